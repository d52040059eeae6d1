"""What DirectStream puts in the place of LiveKit's queues keeps what those promise."""

from __future__ import annotations

import asyncio

import pytest
from livekit.agents import stt, utils

from agents.providers.stt.direct import _Events


def event(text: str) -> stt.SpeechEvent:
    return stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, request_id=text)


async def test_events_come_in_order_and_then_the_end() -> None:
    events = _Events()
    events.send_nowait(event("one"))
    events.send_nowait(event("two"))
    events.close()
    assert [(await events.recv()).request_id for _ in range(2)] == ["one", "two"]
    with pytest.raises(utils.aio.ChanClosed):
        await events.recv()
    with pytest.raises(utils.aio.ChanClosed):
        events.send_nowait(event("too late"))


async def test_a_reader_that_waits_is_told_of_an_event_and_of_the_end() -> None:
    events = _Events()
    reading = asyncio.create_task(events.recv())
    await asyncio.sleep(0)
    events.send_nowait(event("one"))
    events.send_nowait(event("two"))
    assert (await reading).request_id == "one"
    assert (await events.recv()).request_id == "two"
    reading = asyncio.create_task(events.recv())
    await asyncio.sleep(0)
    events.close()
    with pytest.raises(utils.aio.ChanClosed):
        await reading


async def test_a_reader_that_goes_takes_nothing_along() -> None:
    events = _Events()
    reading = asyncio.create_task(events.recv())
    await asyncio.sleep(0)
    reading.cancel()
    events.send_nowait(event("one"))
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (await events.recv()).request_id == "one"


async def test_two_readers_share_what_comes() -> None:
    events = _Events()
    readers = [asyncio.create_task(events.recv()) for _ in range(2)]
    await asyncio.sleep(0)
    events.send_nowait(event("one"))
    await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
    events.send_nowait(event("two"))
    assert {(await reader).request_id for reader in readers} == {"one", "two"}
