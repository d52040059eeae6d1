"""A server that means harm: it cannot crash, block or grow the process."""

from __future__ import annotations

import asyncio
import resource
import time
from typing import Any

import pytest
from vendor_server import Connection, Tuned, VendorServer, events_until, frames, kinds, ramp, texts

from agents.providers.stt.streaming import CustomWebSocketSTTAdapter


async def answer(connection: Connection) -> None:
    await connection.receive_until("end_of_stream")
    await connection.final("hello", start=0.0, end=connection.seconds)


async def transcribe(server: VendorServer, **traits: Any) -> tuple[list[Any], CustomWebSocketSTTAdapter]:
    """One second of audio through *server*; the events, and the adapter with its counters."""
    async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned(**traits)) as voxport:
        async with voxport.stream() as stream:
            for frame in frames(ramp(1.0)):
                stream.push_frame(frame)
            stream.end_input()
            return [event async for event in stream], voxport


async def test_a_message_of_100_megabytes_is_refused_and_the_audio_recognised_elsewhere() -> None:
    async def floods(connection: Connection) -> None:
        await connection.receive_seconds(0.5)
        piece = b"x" * (1 << 20)
        await connection.ws._writer.send_frame(piece * 100, 1)  # type: ignore[union-attr,arg-type]

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with VendorServer(floods, answer) as server:
        events, voxport = await transcribe(server)
    assert texts(events) == ["hello"]
    assert voxport.stats.transient_failures == 1
    # the server of this test holds the 100 MB twice itself; a client that took them would add another 200
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 350_000


@pytest.mark.parametrize(
    "nonsense",
    [
        "{" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"type":"transcription","text":' + "[" * 5000 + "]" * 5000 + ',"is_final":true}',
        '{"type":"transcription","text":{"a":1},"is_final":true}',
        '{"type":"transcription","text":"x","is_final":"maybe","words":"many"}',
        '{"type":"transcription","text":"x","words":[null,1,{"word":7,"start":"soon"}],"is_final":false,"end":[]}',
        '{"type":["transcription"]}',
        '{"type":{}}',
        "null",
        "true",
        "-1e999",
        '""',
        "",
        "not json at all",
        '{"type":"error","message":{"deep":[1,2,3]},"code":"seven"}',
        '{"no":"type"}',
        '{"type":"transcription"}',
        "\x00\x01\x02",
    ],
    ids=lambda text: text[:24] or "empty",
)
async def test_nonsense_is_survived(nonsense: str) -> None:
    async def talks_nonsense(connection: Connection) -> None:
        await connection.receive_seconds(0.3)
        await connection.ws.send_str(nonsense)
        await connection.ws.send_bytes(nonsense.encode())
        await answer(connection)

    async with VendorServer(talks_nonsense, answer) as server:
        events, _ = await transcribe(server)
    assert texts(events)[-1] == "hello"


async def test_invalid_utf8_ends_the_connection_and_nothing_else() -> None:
    async def garbles(connection: Connection) -> None:
        await connection.receive_seconds(0.3)
        await connection.ws._writer.send_frame(b'{"type":"\xff\xfe"}', 1)  # type: ignore[union-attr,arg-type]
        await connection.receive_all()

    async with VendorServer(garbles, answer) as server:
        events, voxport = await transcribe(server)
    assert texts(events) == ["hello"]
    assert voxport.stats.transient_failures == 1


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (-5, -1),
        (1e300, 1e301),
        (0, 1e12),
        (9e9, 3),
        (0.5, 0.1),
        ("soon", "later"),
        (None, -0.0),
        (10**400, 10**400),
    ],
)
async def test_absurd_times_acknowledge_nothing_and_break_nothing(start: Any, end: Any) -> None:
    async def lies(connection: Connection) -> None:
        await connection.receive_seconds(0.5)
        await connection.final("lie", start=start, end=end)
        await connection.receive_seconds(0.6)
        connection.abort()

    async with VendorServer(lies, answer) as server:
        events, _ = await transcribe(server)
    assert texts(events)[-1] == "hello"
    assert server.connections[1].seconds == pytest.approx(1.0)
    for event in events:
        for data in event.alternatives:
            assert 0 <= data.start_time <= 1.001 and 0 <= data.end_time <= 1.001


async def test_endless_messages_neither_block_the_loop_nor_fill_the_memory() -> None:
    stop = asyncio.Event()

    async def never_stops(connection: Connection) -> None:
        await connection.receive_seconds(0.2)
        while not stop.is_set():
            await connection.partial("blah " * 20)
            await asyncio.sleep(0)

    async with VendorServer(never_stops) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport:
            stream = voxport.stream()
            for frame in frames(ramp(0.5)):
                stream.push_frame(frame)
            longest = 0.0
            until = time.monotonic() + 2.0
            while time.monotonic() < until:  # nobody reads the events
                before = time.monotonic()
                await asyncio.sleep(0)
                longest = max(longest, time.monotonic() - before)
            assert longest < 0.5
            assert stream._emitted - stream._consumed <= 1100
            began = time.monotonic()
            await stream.aclose()  # though the server goes on talking
            assert time.monotonic() - began < 5
            stop.set()


async def test_endless_finals_wait_until_somebody_reads() -> None:
    stop = asyncio.Event()

    async def never_stops(connection: Connection) -> None:
        await connection.receive_seconds(0.2)
        while not stop.is_set():
            await connection.final("blah " * 200)  # the buffers of both sockets are full after fewer of them

    async with VendorServer(never_stops) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport:
            stream = voxport.stream()
            for frame in frames(ramp(0.5)):
                stream.push_frame(frame)
            stalled = 0
            last = -1
            while stalled < 200:  # it stops reading when nobody listens
                await asyncio.sleep(0.001)
                stalled = stalled + 1 if stream._emitted == last and last > 1000 else 0
                last = stream._emitted
            assert stream._emitted <= 6000
            await events_until(stream, 2000, "final_transcript")  # and goes on when somebody does
            stop.set()
            await stream.aclose()


async def test_a_vendor_nobody_understands_is_left() -> None:
    async def babbles(connection: Connection) -> None:
        await connection.receive_seconds(0.2)
        for _ in range(150):
            await connection.ws.send_str("bla")
        await connection.receive_all()

    async with VendorServer(babbles, answer) as server:
        events, voxport = await transcribe(server)
    assert texts(events) == ["hello"]
    assert voxport.stats.messages_ignored >= 100
    assert voxport.stats.transient_failures == 1


async def test_starts_and_ends_without_end_stay_paired() -> None:
    async def excited(connection: Connection) -> None:
        await connection.receive_seconds(0.2)
        for _ in range(50):
            await connection.say("speech_started")
        for _ in range(50):
            await connection.say("speech_ended")
        await answer(connection)

    async with VendorServer(excited) as server:
        events, _ = await transcribe(server)
    marks = [kind for kind in kinds(events) if kind in ("start_of_speech", "end_of_speech")]
    assert marks == ["start_of_speech", "end_of_speech"] * (len(marks) // 2)


async def test_a_vendor_that_breaks_every_connection_at_once_is_not_hammered() -> None:
    async def breaks(connection: Connection) -> None:
        await connection.partial("x")
        connection.abort()

    async with VendorServer(breaks) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport, voxport.stream() as stream:
            for frame in frames(ramp(0.2)):
                stream.push_frame(frame)
            await asyncio.sleep(1.5)
            assert 2 <= server.attempts <= 10
