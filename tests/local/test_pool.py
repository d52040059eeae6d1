"""Decoders are lent, and come back whatever becomes of who waited for them."""

from __future__ import annotations

import asyncio

import pytest

from agents.providers.local.pool import DecoderPool
from agents.providers.local.recogniser import Busy


async def test_who_is_cancelled_while_getting_a_decoder_gets_none_and_keeps_none() -> None:
    """In whichever step of the loop the cancellation comes: waiting, just given one, or holding it."""
    pool = DecoderPool(capacity=1)
    await pool.start()
    try:
        cancelled = held = 0
        for steps in range(8):
            before = await pool.open()
            waiting = asyncio.ensure_future(pool.open(wait_seconds=30.0))
            await asyncio.sleep(0)
            releasing = asyncio.ensure_future(before.aclose())
            while pool.active:
                await asyncio.sleep(0)
            for _ in range(steps):
                await asyncio.sleep(0)
            if waiting.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                cancelled += 1
            else:
                await (await waiting).aclose()
                held += 1
            await releasing
            assert pool.active == 0
            await (await pool.open()).aclose()
        assert cancelled
        assert held
    finally:
        await pool.aclose()


async def test_who_waits_too_long_for_a_decoder_is_told_to_come_again() -> None:
    pool = DecoderPool(capacity=1)
    await pool.start()
    try:
        holder = await pool.open()
        with pytest.raises(Busy):
            await pool.open(wait_seconds=0.01)
        await holder.aclose()
        await (await pool.open(wait_seconds=30.0)).aclose()
    finally:
        await pool.aclose()
