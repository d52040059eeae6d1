"""What callers do to a stream: odd frames, calls after the end, leaving at any moment, several loops."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from livekit import rtc
from livekit.agents import stt
from vendor_server import RATE, Connection, Tuned, VendorServer, frames, ramp, texts

from agents.providers.stt.streaming import CustomWebSocketSTTAdapter


async def answers(connection: Connection) -> None:
    await connection.receive_until("end_of_stream")
    await connection.final("hello", start=0.0, end=connection.seconds)


async def rest_of(stream: Any) -> list[Any]:
    return [event async for event in stream]


def cut_at(pcm: bytes, *sizes: int) -> list[rtc.AudioFrame]:
    """*pcm* in frames of so many samples; the last size goes on to the end."""
    cut, at = [], 0
    while at < len(pcm):
        size = 2 * sizes[min(len(cut), len(sizes) - 1)]
        cut.append(rtc.AudioFrame(pcm[at : at + size], RATE, 1, len(pcm[at : at + size]) // 2))
        at += size
    return cut


@pytest.mark.parametrize("sizes", [(1,), (160_000,), (1, 47, 8000, 3)], ids=["1 sample", "10 s", "mixed"])
async def test_frames_of_any_length_arrive_to_the_sample(sizes: tuple[int, ...]) -> None:
    pcm = ramp(10.0) if sizes == (160_000,) else ramp(0.1 if sizes == (1,) else 0.6)
    async with VendorServer(answers) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport, voxport.stream() as stream:
            stream.push_frame(rtc.AudioFrame(b"", RATE, 1, 0))
            for frame in cut_at(pcm, *sizes):
                stream.push_frame(frame)
            stream.end_input()
            assert texts(await rest_of(stream)) == ["hello"]
        assert bytes(server.connections[0].audio) == pcm


async def test_the_number_of_channels_may_change_in_between() -> None:
    loud = (10_000).to_bytes(2, "little")
    pushed = [rtc.AudioFrame(loud * 800 * channels, RATE, channels, 800) for channels in (1, 2, 6, 1)]
    async with VendorServer(answers) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport, voxport.stream() as stream:
            for frame in pushed:
                stream.push_frame(frame)
            stream.end_input()
            assert texts(await rest_of(stream)) == ["hello"]
        assert bytes(server.connections[0].audio) == loud * 3200


async def test_nothing_is_taken_after_the_end_or_the_close() -> None:
    frame = frames(ramp(0.05))[0]
    async with VendorServer(answers) as server, CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport:
        ended, closed = voxport.stream(), voxport.stream()
        ended.push_frame(frame)
        ended.end_input()
        closed.push_frame(frame)
        await closed.aclose()
        await closed.aclose()
        for stream in (ended, closed):
            for call in (lambda s: s.push_frame(frame), lambda s: s.flush(), lambda s: s.end_input()):
                with pytest.raises(RuntimeError, match=r"ended|closed"):
                    call(stream)
        assert texts(await rest_of(ended)) == ["hello"], "the calls that were refused did no harm"
        assert await rest_of(closed) == []


async def test_what_a_cancelled_reader_did_not_take_is_there_for_the_next() -> None:
    async with VendorServer(answers) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport, voxport.stream() as stream:
            reader = asyncio.create_task(rest_of(stream))
            for frame in frames(ramp(0.3)):
                stream.push_frame(frame)
            while not server.connections:
                await asyncio.sleep(0.005)
            reader.cancel()
            stream.end_input()
            assert [event.type for event in await rest_of(stream)][:2] == [
                stt.SpeechEventType.START_OF_SPEECH,
                stt.SpeechEventType.FINAL_TRANSCRIPT,
            ]
            with pytest.raises(asyncio.CancelledError):
                await reader


async def test_whoever_hears_of_an_error_may_close_the_stream() -> None:
    async with VendorServer(answers, refuse=[503] * 99) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport:
            stream, closing = voxport.stream(), []
            voxport.on("error", lambda error: closing.append(asyncio.create_task(stream.aclose())))
            for frame in frames(ramp(0.1)):
                stream.push_frame(frame)
            assert await rest_of(stream) == []
            await asyncio.gather(*closing)


async def test_options_that_never_stop_changing_cost_no_audio() -> None:
    async with VendorServer(answers) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport, voxport.stream() as stream:
            for number, frame in enumerate(frames(ramp(1.0))):
                stream.push_frame(frame)
                voxport.update_options(language=("de-DE", "en-US")[number % 2])
                for _ in range(number % 7):
                    await asyncio.sleep(0.001)
            stream.end_input()
            assert texts(await rest_of(stream)) == ["hello"]
        assert len(server.connections) > 1
        assert bytes(server.connections[-1].audio) == ramp(1.0)


async def test_several_may_wait_until_there_is_room() -> None:
    async with VendorServer(answers, refuse=[503]) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport, voxport.stream() as stream:
            for frame in frames(ramp(5.0)):
                stream.push_frame(frame)
            waiting = [asyncio.create_task(stream.wait_for_room(2.0)) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[1].cancel()
            done, late = await asyncio.wait(waiting, timeout=5)
            assert not late
            assert [task.cancelled() for task in waiting] == [False, True, False]


async def restless(connection: Connection) -> None:
    """Talks, breaks off and closes as it comes."""
    chance = random.Random(len(connection.request.headers))
    while await connection.next_message() != "closed":
        await connection.partial("x", start=0.0, end=connection.seconds)
        if chance.random() < 0.05:
            connection.abort()
        elif chance.random() < 0.05:
            await connection.ws.close(code=chance.choice([1000, 1011, 1012]))


async def hangs(connection: Connection) -> None:
    await connection.receive_seconds(0.05)
    await connection.hang()


@pytest.mark.parametrize("vendor", [restless, hangs], ids=lambda vendor: vendor.__name__)
async def test_a_stream_may_be_left_at_any_moment(vendor: Callable[[Connection], Awaitable[None]]) -> None:
    """The leak check of all tests is what can fail here, and the limit on each close."""
    chance = random.Random(4711)
    hurried = Tuned(stall_seconds=0.1, drain_seconds=0.1, heartbeat_seconds=0.1, keepalive_seconds=0.05)
    loop = asyncio.get_running_loop()
    async with VendorServer(vendor) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=hurried) as voxport:
            for _ in range(25):
                if chance.random() < 0.5:
                    voxport.prewarm()
                stream = voxport.stream()
                reader = asyncio.create_task(rest_of(stream))
                until, ended = loop.time() + chance.random() * 0.03, False
                while loop.time() < until and not ended:
                    stream.push_frame(frames(ramp(0.05))[0])
                    if chance.random() < 0.2:
                        stream.flush()
                    if chance.random() < 0.05:
                        stream.end_input()
                        ended = True
                    for _ in range(chance.randrange(4)):
                        await asyncio.sleep(0)
                if chance.random() < 0.5:
                    reader.cancel()
                began = loop.time()
                await asyncio.gather(stream.aclose(), stream.aclose())
                assert loop.time() - began < 2
                await asyncio.gather(reader, return_exceptions=True)


async def test_two_event_loops_share_an_adapter() -> None:
    heard: list[str] = []
    async with VendorServer(answers) as server:
        voxport = CustomWebSocketSTTAdapter(server.url, vendor=Tuned())

        async def calls() -> None:
            for _ in range(4):
                async with voxport.stream() as stream:
                    for frame in frames(ramp(0.1)):
                        stream.push_frame(frame)
                    stream.end_input()
                    heard.extend(texts(await rest_of(stream)))
            await voxport._source.aclose()  # of this loop; the adapter is not at its end

        workers = [threading.Thread(target=asyncio.run, args=(calls(),)) for _ in range(2)]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            await asyncio.sleep(0.01)
    assert heard == ["hello"] * 8


async def test_an_event_loop_may_close_with_streams_open() -> None:
    """asyncio.run cancels them, and has to come back from that in bounded time, also while a vendor hangs."""
    async with VendorServer(answers, hangs) as server:

        async def leaves() -> None:
            voxport = CustomWebSocketSTTAdapter(server.url, vendor=Tuned())
            sessions.append(voxport._source.get())
            streams = [voxport.stream() for _ in range(5)]
            for stream in streams:
                stream.push_frame(frames(ramp(0.1))[0])
            while sum(connection.seconds > 0 for connection in server.connections) < len(streams):
                await asyncio.sleep(0.01)

        sessions: list[aiohttp.ClientSession] = []
        worker = threading.Thread(target=asyncio.run, args=(leaves(),))
        began = asyncio.get_running_loop().time()
        worker.start()
        while worker.is_alive():
            await asyncio.sleep(0.01)
        assert asyncio.get_running_loop().time() - began < 5
        assert not sessions[0].connector._acquired, "a stream kept its connection"  # type: ignore[union-attr]
        sessions[0].detach()  # its loop is gone: there is nothing to close it on
