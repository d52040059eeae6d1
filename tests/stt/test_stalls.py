"""Vendors that say nothing, or take nothing: when that is a fault, and when it is right."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from livekit.agents import APIConnectOptions
from vendor_server import RATE, Connection, Tuned, VendorServer, events_until, frames, ramp, texts

from agents.providers.stt.streaming import CustomWebSocketSTTAdapter
from agents.providers.stt.websocket import WebSocketSpeechStream

SILENCE = bytes(2 * RATE * 50 // 1000)


async def answers(c: Connection) -> None:
    await c.receive_until("end_of_stream")
    await c.final("hello", start=0.0, end=c.seconds)


async def push_for(seconds: float, stream: WebSocketSpeechStream, pcm: bytes) -> None:
    """Push *pcm*, which is 50 ms, again and again in real time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        stream.push_frame(frames(pcm)[0])
        await asyncio.sleep(0.05)


async def test_a_keepalive_is_no_sign_that_audio_goes_out() -> None:
    """It fits into the socket's buffer behind audio that nobody takes."""

    class KeepsAlive(Tuned):
        def converse(self, settings: Any) -> Any:
            conversation = super().converse(settings)
            conversation.keepalive = lambda: ('{"type":"keepalive"}',)  # type: ignore[method-assign]
            return conversation

    async def reads_nothing(c: Connection) -> None:
        await c.hang()

    vendor = KeepsAlive(stall_seconds=0.25, keepalive_seconds=0.05, heartbeat_seconds=None)
    async with VendorServer(reads_nothing, answers) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=vendor) as voxport, voxport.stream() as stream:
            errors: list[Any] = []
            voxport.on("error", errors.append)
            for frame in frames(ramp(300.0), ms=1000):
                stream.push_frame(frame)
            stream.end_input()
            assert texts([event async for event in stream]) == ["hello"]
            assert "takes no audio" in str(errors[0].error)


async def test_speech_after_a_long_silence_has_time_to_be_answered() -> None:
    """Vendors without interims say nothing until the utterance is over, and nothing about silence."""
    vendor = Tuned(stall_seconds=0.6, heartbeat_seconds=None)
    async with VendorServer(answers, answers) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=vendor) as voxport, voxport.stream() as stream:
            await push_for(0.7, stream, SILENCE)
            for frame in frames(ramp(1.5)):  # the words of a moment, as a busy event loop brings them
                stream.push_frame(frame)
            await push_for(0.2, stream, ramp(0.05))
            stream.end_input()
            assert texts([event async for event in stream]) == ["hello"]
        assert voxport.stats.transient_failures == 0
        assert len(server.connections) == 1


async def test_a_noise_that_was_taken_for_speech_is_asked_about_once() -> None:
    """Or an agent nobody speaks to would reconnect for ever, and in "raise" mode end."""

    async def takes_a_noise_for_speech(c: Connection) -> None:
        await c.receive_seconds(0.05)
        await c.say("speech_started", at=0.0)
        await c.receive_seconds(0.4)
        while (kind := await c.next_message()) != "closed":
            if kind == "flush":
                await c.final("hello", start=0.0, end=c.seconds)

    vendor = Tuned(stall_seconds=0.1, heartbeat_seconds=None)
    options = APIConnectOptions(max_retry=1)
    async with VendorServer(takes_a_noise_for_speech) as server:
        adapter = CustomWebSocketSTTAdapter(server.url, vendor=vendor, on_failure="raise")
        async with adapter as voxport, voxport.stream(conn_options=options) as stream:
            stream.push_frame(frames(ramp(0.05))[0])
            await push_for(0.6, stream, SILENCE)
            assert voxport.stats.transient_failures == 1
            await push_for(0.1, stream, ramp(0.05))
            stream.flush()
            assert texts(await events_until(stream, 1, "final_transcript")) == ["hello"]
        assert len(server.connections) == 2


async def test_a_vendor_that_never_answers_is_left_again_and_again() -> None:
    """Also when what is kept for a replay holds no more speech than it did at the last connection."""

    async def mute(c: Connection) -> None:
        await c.receive_all()

    vendor = Tuned(stall_seconds=0.2, heartbeat_seconds=None)
    async with VendorServer(mute, mute, answers) as server:
        adapter = CustomWebSocketSTTAdapter(server.url, vendor=vendor, replay_seconds=0.01)
        async with adapter as voxport, voxport.stream() as stream:
            for frame in frames(ramp(60.0), ms=1000):  # one is kept at a time
                stream.push_frame(frame)
                await asyncio.sleep(0.05)
                if len(server.connections) == 3:
                    break
            assert len(server.connections) == 3
            stream.end_input()
            assert texts([event async for event in stream]) == ["hello"]


async def test_a_dead_connection_is_noticed_in_silence() -> None:
    """By its pings: nobody speaks, so nobody is owed an answer."""

    async def dies(c: Connection) -> None:
        await c.receive_seconds(0.05)
        await c.hang()

    vendor = Tuned(heartbeat_seconds=0.1)
    async with VendorServer(dies, answers) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=vendor) as voxport, voxport.stream() as stream:
            errors: list[Any] = []
            voxport.on("error", errors.append)
            late = time.monotonic() + 5
            while len(server.connections) < 2 and time.monotonic() < late:
                await push_for(0.05, stream, SILENCE)
            assert "does not answer a ping" in str(errors[0].error)
            stream.end_input()
            assert texts([event async for event in stream]) == ["hello"]


async def test_a_drop_while_the_socket_is_full_loses_nothing() -> None:
    """The frame that is half sent, and those that wait behind it."""
    full = asyncio.Event()

    async def reads_nothing(c: Connection) -> None:
        c._transport.pause_reading()  # type: ignore[union-attr]
        await full.wait()
        c.abort()

    async with VendorServer(reads_nothing, answers) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Tuned()) as voxport, voxport.stream() as stream:
            audio, pushed = ramp(300.0), 0
            for frame in frames(audio, ms=1000):
                stream.push_frame(frame)
                pushed += len(frame.data) * 2
                link = stream._link
                if link is None or not link.samples:  # until the first is out, the others wait for it
                    await asyncio.sleep(0.005)
                elif link.sending:
                    break
            assert link is not None and link.sending and link.send_began is not None
            rest = audio[pushed : pushed + RATE]
            for frame in frames(rest):
                stream.push_frame(frame)
            full.set()
            stream.end_input()
            assert texts([event async for event in stream]) == ["hello"]
        assert bytes(server.connections[1].audio) == audio[:pushed] + rest
        assert voxport.stats.audio_seconds == (pushed + len(rest)) / 2 / RATE
