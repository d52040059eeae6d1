"""What is counted: audio that was sent, once, however the stream ends; and audio that was lost, when it is."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest
from livekit.agents import APIError
from vendor_server import RATE, Connection, Tuned, VendorServer, frames, ramp, texts

from agents.providers.stt.streaming import CustomWebSocketSTTAdapter
from agents.providers.stt.websocket import WebSocketSpeechStream


async def hears(c: Connection) -> None:
    await c.receive_all()


async def answers_at_the_end(c: Connection) -> None:
    """Its final covers the last 100 ms."""
    await c.receive_until("end_of_stream")
    await c.final("hello", start=c.seconds - 0.1, end=c.seconds)


def push(stream: WebSocketSpeechStream, pcm: bytes, *, ms: int = 50) -> None:
    for frame in frames(pcm, ms=ms):
        stream.push_frame(frame)


def usage_of(events: list[Any]) -> float:
    return sum(event.recognition_usage.audio_duration for event in events if event.recognition_usage)


async def test_audio_that_was_sent_is_counted_when_the_stream_is_closed() -> None:
    """An agent's session closes its streams, and ends none."""
    async with VendorServer(hears) as server, CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport:
        metrics: list[Any] = []
        voxport.on("metrics_collected", metrics.append)
        stream = voxport.stream()
        push(stream, ramp(3.0))
        while not server.connections or server.connections[0].seconds < 3.0:
            await asyncio.sleep(0.005)
        await stream.aclose()
        assert voxport.stats.audio_seconds == pytest.approx(3.0)
        assert sum(metric.audio_duration for metric in metrics) == pytest.approx(3.0)
        assert usage_of([event async for event in stream]) == pytest.approx(3.0)


async def test_audio_that_was_sent_is_counted_when_the_stream_fails() -> None:
    async def ends(c: Connection) -> None:
        await c.receive_seconds(3.0)
        await c.ws.close(code=4001)

    events: list[Any] = []
    async with VendorServer(ends) as server, CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport:
        async with voxport.stream() as stream:
            push(stream, ramp(3.0))
            with pytest.raises(APIError):
                async for event in stream:
                    events.append(event)
        assert voxport.stats.audio_seconds == usage_of(events) == pytest.approx(3.0)


async def test_after_an_outage_longer_than_what_is_kept_the_loss_is_known_to_the_sample(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def breaks(c: Connection) -> None:
        await c.receive_seconds(0.2)
        await c.final("one", start=0.0, end=0.1)
        c.abort()

    refuse: list[Any] = [None, (503, {"Retry-After": "0.6"})]
    async with VendorServer(breaks, answers_at_the_end, refuse=refuse) as server:
        adapter = CustomWebSocketSTTAdapter(server.url, vendor=Tuned(), replay_seconds=0.2)
        async with adapter as voxport, voxport.stream() as stream:
            stream.start_time_offset = 100.0
            failed = asyncio.Event()
            voxport.on("error", lambda _: failed.set())
            push(stream, ramp(0.2))
            await failed.wait()
            spoken = 0.2
            while len(server.connections) < 2:
                push(stream, ramp(0.05, start=round(spoken * RATE)))
                spoken += 0.05
                await asyncio.sleep(0.05)
            stream.end_input()
            events = [event async for event in stream]
    kept = server.connections[1].seconds
    assert 0.2 <= kept <= spoken - 0.2
    assert bytes(server.connections[1].audio) == ramp(kept, start=round((spoken - kept) * RATE))
    assert texts(events) == ["one", "hello"]
    assert voxport.stats.dropped_seconds == pytest.approx(spoken - 0.1 - kept), "all but the final and the replay"
    assert "of audio are lost" in caplog.text
    assert usage_of(events) == pytest.approx(0.2 + kept), "what was never sent was never used"
    last = next(e.alternatives[0] for e in reversed(events) if e.alternatives)
    assert (last.start_time, last.end_time) == pytest.approx((100 + spoken - 0.1, 100 + spoken), abs=0.001)


async def test_a_vendor_that_reads_too_slowly_costs_audio_and_says_so_meanwhile(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def reads_nothing(c: Connection) -> None:
        await c.hang()

    vendor = Tuned(ready_seconds=0.1, stall_seconds=60.0, heartbeat_seconds=None)
    async with VendorServer(reads_nothing) as server:
        adapter = CustomWebSocketSTTAdapter(server.url, vendor=vendor, replay_seconds=0.1)
        async with adapter as voxport, voxport.stream() as stream:
            late = time.monotonic() + 10
            while not voxport.stats.dropped_seconds and time.monotonic() < late:
                push(stream, bytes(2 * RATE * 60), ms=1000)
                await asyncio.sleep(0.01)
            assert voxport.stats.dropped_seconds > 0
            assert voxport.stats.connects == 1
            assert [r.levelno for r in caplog.records if "are lost" in r.getMessage()] == [logging.ERROR]
