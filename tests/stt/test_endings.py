"""How a stream ends with vendors that say less than they might, or nothing at all."""

from __future__ import annotations

import asyncio
import time

import pytest
from livekit.agents import APIConnectOptions, APIError
from vendor_server import Connection, Tuned, VendorServer, events_until, frames, kinds, ramp, texts

from agents.providers.stt import websocket
from agents.providers.stt.adapter import OnFailure
from agents.providers.stt.streaming import CustomWebSocketSTTAdapter


async def begins_and_never_ends(c: Connection) -> None:
    """Its VAD never hears the end of a recording without silence after it."""
    await c.receive_seconds(0.5)
    await c.say("speech_started", at=0.1)
    await c.partial("hel", start=0.1, end=0.4)
    await c.receive_until("end_of_stream")
    await c.final("hello", start=0.1, end=c.seconds)


class TestABeginningWithoutAnEnd:
    async def test_a_recording_is_heard(self) -> None:
        async with VendorServer(begins_and_never_ends) as server:
            async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned(drain_seconds=0.2)) as voxport:
                event = await voxport.recognize(frames(ramp(1.0)))
        assert event.alternatives[0].text == "hello"

    @pytest.mark.parametrize("mode", ["degrade", "raise"])
    async def test_one_connection_is_enough_and_the_end_is_said(self, mode: OnFailure) -> None:
        async with VendorServer(begins_and_never_ends) as server:
            adapter = CustomWebSocketSTTAdapter(server.url, vendor=Tuned(drain_seconds=0.2), on_failure=mode)
            async with adapter as voxport, voxport.stream() as stream:
                for frame in frames(ramp(1.0)):
                    stream.push_frame(frame)
                stream.end_input()
                events = [event async for event in stream]
        assert kinds(events) == ["start_of_speech", "interim_transcript", "final_transcript", "end_of_speech"]
        assert texts(events) == ["hello"]
        assert voxport.stats.transient_failures == 0
        assert len(server.connections) == 1

    async def test_silence_after_the_final_is_no_fault_of_the_vendor(self) -> None:
        async def begins(c: Connection) -> None:
            await c.say("speech_started", at=0.0)
            await c.receive_seconds(0.2)
            await c.final("hello", start=0.0, end=0.2)
            await c.receive_all()

        async with VendorServer(begins) as server:
            async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned(stall_seconds=0.1)) as voxport:
                async with voxport.stream() as stream:
                    for frame in frames(ramp(0.2)):
                        stream.push_frame(frame)
                    await events_until(stream, 1, "final_transcript")
                    until = time.monotonic() + 0.4
                    while time.monotonic() < until:
                        stream.push_frame(frames(bytes(640), ms=20)[0])
                        await asyncio.sleep(0.02)
        assert voxport.stats.transient_failures == 0


@pytest.mark.parametrize("ready", [True, False], ids=["never answers speech", "never ready"])
async def test_a_service_that_says_nothing_is_given_up(ready: bool) -> None:
    """Or a FallbackAdapter would stay with it for ever: each connection is open for longer than its limit."""

    async def mute(c: Connection) -> None:
        await c.receive_all()

    vendor = Tuned(waits_for_ready=not ready, ready_seconds=0.2, stall_seconds=0.2)
    options = APIConnectOptions(max_retry=1, timeout=0.1)
    async with VendorServer(mute, mute, mute) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=vendor, on_failure="raise") as voxport:
            async with voxport.stream(conn_options=options) as stream:
                ended = asyncio.Event()

                async def speak() -> None:
                    while not ended.is_set():
                        stream.push_frame(frames(ramp(0.05))[0])
                        await asyncio.sleep(0.02)

                speaking = asyncio.create_task(speak())
                try:
                    with pytest.raises(APIError):
                        async for _ in stream:
                            pass
                finally:
                    ended.set()
                    await asyncio.gather(speaking, return_exceptions=True)
    assert voxport.stats.transient_failures == 2


async def test_the_end_of_the_input_does_not_wait_for_a_vendor_that_asks_for_patience(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "GIVE_UP_SECONDS", 0.5)

    async def never(c: Connection) -> None:
        raise AssertionError("it refuses everybody")

    async with VendorServer(never, refuse=[(503, {"Retry-After": "30"})]) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport, voxport.stream() as stream:
            failed = asyncio.Event()
            voxport.on("error", lambda _: failed.set())
            for frame in frames(ramp(0.2)):
                stream.push_frame(frame)
            await failed.wait()
            stream.end_input()
            began = time.monotonic()
            assert texts([event async for event in stream]) == []
            assert time.monotonic() - began < 10
        assert voxport.stats.dropped_seconds == pytest.approx(0.2)


async def test_a_server_that_closes_at_a_flush_is_heard_all_the_same() -> None:
    """Vosk servers were like that before they knew `reset`."""

    async def closes_at_a_flush(c: Connection) -> None:
        while (kind := await c.next_message()) != "end_of_stream":
            if kind == "flush":
                await c.ws.close(code=1011)
            if kind in ("flush", "closed"):
                return
        await c.final("hello", start=0.0, end=c.seconds)

    async with VendorServer(*[closes_at_a_flush] * 9) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport, voxport.stream() as stream:
            for frame in frames(ramp(0.2)):
                stream.push_frame(frame)
            stream.flush()
            stream.end_input()
            assert texts([event async for event in stream]) == ["hello"]
    assert len(server.connections) == 3
