"""Connections opened ahead: used, or thrown away without a word; never a failure, never left open."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from vendor_server import Connection, Tuned, VendorServer, frames, ramp, texts

from agents.providers.stt.streaming import CustomWebSocketSTTAdapter
from agents.providers.stt.websocket import WebSocketSpeechStream
from agents.providers.transport.event_loops import PerLoop


async def answers(c: Connection) -> None:
    await c.receive_until("end_of_stream")
    await c.final("hello", start=0.0, end=c.seconds)


async def heard(stream: WebSocketSpeechStream) -> list[str]:
    for frame in frames(ramp(0.2)):
        stream.push_frame(frame)
    stream.end_input()
    return texts([event async for event in stream])


@pytest.mark.parametrize("code", [1011, 1008])
async def test_one_the_vendor_closed_meanwhile_is_no_failure(code: int) -> None:
    """Half a minute of ringing is long enough for that, and 1008 would be an end for good."""
    closed = asyncio.Event()

    async def closes(c: Connection) -> None:
        await c.ws.close(code=code, message=b"no audio")
        closed.set()

    async with VendorServer(closes, answers) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport:
            errors: list[Any] = []
            voxport.on("error", errors.append)
            voxport.prewarm()
            await closed.wait()
            async with voxport.stream() as stream:
                assert await heard(stream) == ["hello"]
            assert errors == []
            assert (voxport.stats.connects, voxport.stats.transient_failures) == (2, 0)


async def test_one_of_another_event_loop_is_not_touched() -> None:
    """Workers with a loop in each of several threads share an adapter."""
    async with VendorServer(answers) as server:
        voxport = CustomWebSocketSTTAdapter(server.url, vendor=Tuned())
        other = asyncio.new_event_loop()
        thread = threading.Thread(target=other.run_forever)
        thread.start()

        async def prewarm() -> None:
            voxport.prewarm()
            await asyncio.wait([task for _, task in voxport._prewarmed.all()])

        async def elsewhere(work: Any) -> None:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, other))

        try:
            await elsewhere(prewarm())
            async with voxport.stream() as stream:
                assert await heard(stream) == ["hello"]
            await voxport.aclose()
            await elsewhere(voxport.aclose())
        finally:
            other.call_soon_threadsafe(other.stop)
            while thread.is_alive():
                await asyncio.sleep(0.001)
            other.close()
    assert voxport.stats.connects == 1


async def test_it_is_closed_with_the_stream_that_was_to_have_it() -> None:
    """Also when that is closed in the very turn of the loop in which the connection gets ready."""

    async def waits(c: Connection) -> None:
        await c.receive_all()

    async with VendorServer(waits) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport:
            voxport.prewarm()
            ((_, task),) = voxport._prewarmed.all()
            streams: list[WebSocketSpeechStream] = []
            task.add_done_callback(lambda _: streams[0]._task.cancel())  # before the stream hears of it
            streams.append(voxport.stream())
            link = await task
            await streams[0].aclose()
            assert link.closed


@pytest.mark.parametrize("between", range(4))
async def test_it_is_closed_however_often_the_stream_is_cancelled(between: int) -> None:
    async def waits(c: Connection) -> None:
        await c.receive_all()

    async with VendorServer(waits) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport:
            voxport.prewarm()
            ((_, task),) = voxport._prewarmed.all()
            task.add_done_callback(lambda _: taking.cancel())  # before the taking hears of it
            taking = asyncio.create_task(voxport._take_prewarmed(voxport._settings, timeout=60))
            link = await task
            for _ in range(between):
                await asyncio.sleep(0)
            taking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await taking
            assert link.closed


async def test_one_that_takes_too_long_is_not_waited_for() -> None:
    stuck = asyncio.Event()

    async with VendorServer(answers) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport:
            voxport._prewarmed = PerLoop(lambda: asyncio.create_task(stuck.wait()))  # type: ignore[arg-type]
            voxport.prewarm()
            assert await voxport._take_prewarmed(voxport._settings, timeout=0.01) is None
            assert voxport._prewarmed.all() == []


async def test_a_session_is_as_old_as_its_connection() -> None:
    """The vendor's limit does not wait for the first word."""

    async def hears(c: Connection) -> None:
        await c.receive_all()

    vendor = Tuned(session_seconds=50.0, ready_seconds=0.1)  # which sets the timer
    async with VendorServer(hears, answers) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=vendor) as voxport:
            voxport.prewarm()
            ((_, task),) = voxport._prewarmed.all()
            (await task).opened_at -= 60
            async with voxport.stream() as stream:
                for frame in frames(ramp(0.2)):
                    stream.push_frame(frame)
                late = time.monotonic() + 5
                while len(server.connections) < 2 and time.monotonic() < late:
                    await asyncio.sleep(0.005)
                assert len(server.connections) == 2
                assert await heard(stream) == ["hello"]
            assert voxport.stats.transient_failures == 0
