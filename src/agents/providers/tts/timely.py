"""Audio that has to come in time, from whoever makes it: a vendor's answer, or an override of the user's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from inspect import isawaitable
from typing import Any

from ..protocol import Failure
from ..transport.bounded import bounded
from ..transport.failures import ConnectionFailed

__all__ = ["given_by", "timely"]

_AHEAD = 16
"""So many pieces are taken before anybody wants them."""


async def timely(pieces: AsyncGenerator[bytes, None], first: float, each: float) -> AsyncGenerator[bytes, None]:
    """*pieces*, the first within *first* seconds, every other within *each*.

    They are asked for in one task, from the first to the last: libraries mind when parts of a request run in
    different ones.

    Raises:
        ConnectionFailed: nothing came in time.
        Exception: whatever *pieces* raises.
    """
    queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(_AHEAD)

    async def take() -> None:
        last: Exception | None = None
        async with aclosing(pieces):
            try:
                async for piece in pieces:
                    await queue.put(piece)
            except Exception as error:  # whatever it is, it is for who listens
                last = error
        await queue.put(last)

    taking = asyncio.get_running_loop().create_task(take(), name="voxport.voice.audio")
    seconds = first
    try:
        while True:
            try:
                piece = await bounded(queue.get(), seconds)
            except asyncio.TimeoutError:
                failure = Failure(f"no audio came for {seconds:.3g} s", detail={"timeout": True})
                raise ConnectionFailed(failure) from None
            if piece is None:
                return
            if isinstance(piece, Exception):
                raise piece
            yield piece
            seconds = each
    finally:
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)


async def given_by(ask: Callable[[str], Any], text: str) -> AsyncGenerator[bytes, None]:
    """What an override of ``_synthesize`` gives: pieces, or by ``return`` all of the audio at once.

    Raises:
        TypeError: it is neither.
    """
    given = ask(text)
    if isawaitable(given):  # "async def" with a "return" in place of "yield"
        given = await given
    if isinstance(given, (bytes, bytearray, memoryview)):
        yield bytes(given)
    elif isinstance(given, AsyncGenerator):
        async with aclosing(given):
            async for piece in given:
                yield _checked(piece)
    elif hasattr(given, "__aiter__"):
        async for piece in given:
            yield _checked(piece)
    else:
        raise TypeError(f"_synthesize must yield bytes, and returned {type(given).__name__}")


def _checked(piece: Any) -> bytes:
    if not isinstance(piece, (bytes, bytearray, memoryview)):
        raise TypeError(f"_synthesize must yield bytes, and gave {type(piece).__name__}")
    return bytes(piece)
