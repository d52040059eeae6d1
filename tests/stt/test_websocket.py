"""The invariants of the stream, one by one, against a vendor whose every word the test decides."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, stt
from vendor_server import RATE, Connection, Tuned, VendorServer, events_until, frames, kinds, ramp, texts

from agents.providers.protocol import AudioForm, Failure, Verdict, Wait
from agents.providers.stt.streaming import CustomWebSocketSTTAdapter
from agents.providers.stt.websocket import WebSocketSpeechStream

KEY = "sk-very-secret-0123456789"


def adapter(server: VendorServer, **options: Any) -> CustomWebSocketSTTAdapter:
    traits = options.pop("traits", {})
    return CustomWebSocketSTTAdapter(server.url, KEY, vendor=Tuned(**traits), **options)


def push(stream: WebSocketSpeechStream, pcm: bytes, **form: Any) -> None:
    for frame in frames(pcm, **form):
        stream.push_frame(frame)


async def rest_of(stream: WebSocketSpeechStream) -> list[stt.SpeechEvent]:
    return [event async for event in stream]


async def answer_all(connection: Connection) -> None:
    """Recognise one utterance per stream, when the client is done."""
    await connection.receive_until("end_of_stream")
    await connection.final("hello", start=0.0, end=connection.seconds)


# ------------------------------------------------------------------ 1: nothing lost, nothing twice


async def test_audio_no_final_covers_is_sent_again_from_the_very_sample() -> None:
    async def breaks(connection: Connection) -> None:
        await connection.receive_seconds(1.0)
        await connection.final("one", start=0.0, end=0.637)
        await connection.receive_seconds(1.5)
        connection.abort()

    async with VendorServer(breaks, answer_all) as server, adapter(server) as voxport:
        async with voxport.stream() as stream:
            audio = ramp(2.0)
            push(stream, audio[: 2 * RATE * 3 // 2])
            await events_until(stream, 1, "final_transcript")
            push(stream, audio[2 * RATE * 3 // 2 :])
            stream.end_input()
            events = await rest_of(stream)
        first, second = server.connections
        assert bytes(second.audio) == audio[round(0.637 * RATE) * 2 :]
        assert texts(events) == ["hello"]
        assert voxport.stats.reconnects == 1
        assert voxport.stats.dropped_seconds == 0


async def test_audio_is_sent_again_no_faster_than_the_vendor_takes_it() -> None:
    """One second at once, and then at the pace of the profile; a flush stays in its place."""
    took = []

    async def breaks(connection: Connection) -> None:
        await connection.receive_seconds(2.5)
        connection.abort()

    async def keeps_time(connection: Connection) -> None:
        began = time.monotonic()
        await connection.receive_seconds(2.5)
        took.append(time.monotonic() - began)
        assert connection.controls == []
        await answer_all(connection)

    form = AudioForm(replay_pace=10.0)
    async with VendorServer(breaks, keeps_time) as server, adapter(server, traits={"audio": form}) as voxport:
        async with voxport.stream() as stream:
            push(stream, ramp(2.5))
            while not server.connections or server.connections[0].seconds < 2.5:
                await asyncio.sleep(0.005)
            stream.flush()
            push(stream, ramp(0.5, start=5 * RATE // 2))
            stream.end_input()
            assert texts(await rest_of(stream)) == ["hello"]
    assert bytes(server.connections[1].audio) == ramp(3.0)
    assert server.connections[1].controls[0] == "flush"
    assert took[0] > 0.1


async def test_a_final_that_comes_twice_is_said_once() -> None:
    async def repeats(connection: Connection) -> None:
        await connection.receive_until("end_of_stream")
        for _ in range(2):
            await connection.final("once", start=0.1, end=0.9)
        await connection.final("then", start=0.9, end=1.0)

    async with VendorServer(repeats) as server, adapter(server) as voxport, voxport.stream() as stream:
        push(stream, ramp(1.0))
        stream.end_input()
        assert texts(await rest_of(stream)) == ["once", "then"]


async def test_words_of_a_vendor_without_times_are_said_once_across_a_drop() -> None:
    async def breaks(connection: Connection) -> None:
        await connection.receive_seconds(1.0)
        await connection.final("one two")
        await connection.receive_seconds(1.5)
        connection.abort()

    async def hears_all_again(connection: Connection) -> None:
        await connection.receive_until("end_of_stream")
        await connection.partial("one")
        await connection.partial("one two three")
        await connection.final("One, two three four.")

    async with VendorServer(breaks, hears_all_again) as server, adapter(server) as voxport:
        async with voxport.stream() as stream:
            push(stream, ramp(2.0))
            stream.end_input()
            events = await rest_of(stream)
        assert texts(events) == ["one two", "three four."]
        assert texts(events, "interim_transcript") == ["three"]
        assert bytes(server.connections[1].audio) == ramp(2.0)


# ------------------------------------------------------------------ 2: order


async def test_start_and_end_alternate_across_a_drop_in_mid_utterance() -> None:
    async def breaks(connection: Connection) -> None:
        await connection.receive_seconds(0.5)
        await connection.say("speech_started", at=0.1)
        await connection.partial("hel")
        await connection.receive_seconds(0.7)
        connection.abort()

    async def goes_on(connection: Connection) -> None:
        await connection.receive_until("end_of_stream")
        await connection.say("speech_started", at=0.1)
        await connection.partial("hello")
        await connection.final("hello", start=0.1, end=0.9)
        await connection.say("speech_ended", at=0.9)

    async with VendorServer(breaks, goes_on) as server, adapter(server) as voxport, voxport.stream() as stream:
        push(stream, ramp(1.0))
        stream.end_input()
        assert kinds(await rest_of(stream)) == [
            "start_of_speech",
            "interim_transcript",
            "interim_transcript",
            "final_transcript",
            "end_of_speech",
        ]


# ------------------------------------------------------------------ 3: times


async def test_the_onset_is_on_the_wall_clock_of_the_first_frame() -> None:
    async def hears(connection: Connection) -> None:
        await connection.receive_until("end_of_stream")
        await connection.final("hello", start=0.25, end=0.75)

    async with VendorServer(hears) as server, adapter(server) as voxport, voxport.stream() as stream:
        await asyncio.sleep(0.02)  # a stream is made before anybody speaks
        before = time.time()
        push(stream, ramp(1.0))
        stream.end_input()
        events = await rest_of(stream)
        frame_seconds = 0.1  # the first frame was heard before it was pushed; no frame here is longer
        assert before - frame_seconds <= stream.start_time <= time.time()
        assert events[0].speech_start_time == pytest.approx(stream.start_time + 0.25)


async def test_times_stay_on_the_audio_clock_after_an_outage() -> None:
    async def breaks(connection: Connection) -> None:
        await connection.receive_seconds(1.0)
        await connection.final("one", start=0.2, end=1.0)
        connection.abort()

    async def goes_on(connection: Connection) -> None:
        await connection.receive_until("end_of_stream")
        word = {"word": "two", "start": 0.25, "end": 0.75, "confidence": 0.5}
        await connection.final("two", start=0.25, end=0.75, words=[word])
        await connection.say("flushed")

    async with VendorServer(breaks, goes_on, refuse=[None, 503]) as server:
        async with adapter(server) as voxport, voxport.stream() as stream:
            stream.start_time_offset = 10.0
            push(stream, ramp(2.0))
            stream.end_input()
            events = await rest_of(stream)
    one, two = [event.alternatives[0] for event in events if event.type.value == "final_transcript"]
    assert (one.start_time, one.end_time) == pytest.approx((10.2, 11.0), abs=0.005)
    assert (two.start_time, two.end_time) == pytest.approx((11.25, 11.75), abs=0.005)
    assert two.words is not None
    assert (two.words[0].start_time, two.words[0].end_time) == pytest.approx((11.25, 11.75), abs=0.005)


async def test_end_time_stays_0_when_the_vendor_gives_none() -> None:
    async def no_times(connection: Connection) -> None:
        await connection.receive_until("end_of_stream")
        await connection.final("hello")

    async with VendorServer(no_times) as server, adapter(server) as voxport, voxport.stream() as stream:
        stream.start_time_offset = 5.0
        push(stream, ramp(0.5))
        stream.end_input()
        final = next(e for e in await rest_of(stream) if e.type.value == "final_transcript")
        assert final.alternatives[0].end_time == 0


# ------------------------------------------------------------------ 4: flush, end_input, aclose


async def test_flush_reaches_the_vendor_also_with_an_empty_chunk_buffer() -> None:
    async def answers_flush(connection: Connection) -> None:
        for text in ("one", "two"):
            await connection.receive_until("flush")
            await connection.final(text, end=connection.seconds)
            await connection.say("flushed")
        await connection.receive_all()

    async with VendorServer(answers_flush) as server, adapter(server) as voxport, voxport.stream() as stream:
        push(stream, ramp(0.5))
        stream.flush()
        push(stream, ramp(0.03))  # less than a chunk: flush sends it
        stream.flush()
        events = await events_until(stream, 2, "final_transcript")
        assert texts(events) == ["one", "two"]
        assert server.connections[0].seconds == pytest.approx(0.53)


async def test_a_flush_nobody_answered_is_asked_again_after_a_drop() -> None:
    async def dies_on_flush(connection: Connection) -> None:
        await connection.receive_until("flush")
        connection.abort()

    async def answers(connection: Connection) -> None:
        await connection.receive_until("flush")
        assert connection.seconds == pytest.approx(0.5)
        await connection.final("hello", end=0.5)
        await connection.say("flushed")
        await connection.receive_all()

    async with VendorServer(dies_on_flush, answers) as server, adapter(server) as voxport:
        async with voxport.stream() as stream:
            push(stream, ramp(0.5))
            stream.flush()
            assert texts(await events_until(stream, 1, "final_transcript")) == ["hello"]


async def test_end_input_is_bounded_when_the_vendor_never_closes() -> None:
    async def never_closes(connection: Connection) -> None:
        await connection.receive_until("end_of_stream")
        await connection.final("hello", end=connection.seconds)
        await connection.receive_all()

    async with VendorServer(never_closes) as server:
        async with adapter(server, traits={"drain_seconds": 0.2}) as voxport, voxport.stream() as stream:
            push(stream, ramp(0.5))
            stream.end_input()
            assert texts(await asyncio.wait_for(rest_of(stream), 5)) == ["hello"]


async def test_end_input_is_bounded_when_the_vendor_talks_for_ever() -> None:
    async def heartbeats(connection: Connection) -> None:
        await connection.receive_until("end_of_stream")
        await connection.final("hello", end=connection.seconds)
        while not connection.ws.closed:
            await connection.say("ready")
            await asyncio.sleep(0.02)

    async with VendorServer(heartbeats) as server:
        async with adapter(server, traits={"drain_seconds": 0.2}) as voxport, voxport.stream() as stream:
            push(stream, ramp(0.5))
            stream.end_input()
            assert texts(await asyncio.wait_for(rest_of(stream), 5)) == ["hello"]


async def test_end_input_waits_for_finals_that_come_late() -> None:
    async def slow(connection: Connection) -> None:
        await connection.receive_until("end_of_stream")
        for number in range(4):  # each is later than half the time to drain
            await asyncio.sleep(0.15)
            await connection.final(f"part {number}", start=number / 10, end=(number + 1) / 10)

    async with VendorServer(slow) as server:
        async with adapter(server, traits={"drain_seconds": 0.3}) as voxport, voxport.stream() as stream:
            push(stream, ramp(0.5))
            stream.end_input()
            assert len(texts(await rest_of(stream))) == 4


async def test_a_drop_while_draining_loses_nothing() -> None:
    async def dies(connection: Connection) -> None:
        await connection.receive_until("end_of_stream")
        connection.abort()

    async with VendorServer(dies, answer_all) as server, adapter(server) as voxport, voxport.stream() as stream:
        push(stream, ramp(0.5))
        stream.end_input()
        assert texts(await rest_of(stream)) == ["hello"]


async def test_a_clean_close_in_mid_utterance_while_draining_loses_nothing() -> None:
    async def closes(connection: Connection) -> None:
        await connection.receive_until("end_of_stream")
        await connection.partial("hel")
        await connection.ws.close(code=1000)

    async with VendorServer(closes, answer_all) as server, adapter(server) as voxport, voxport.stream() as stream:
        push(stream, ramp(0.5))
        stream.end_input()
        assert texts(await rest_of(stream)) == ["hello"]


async def test_a_stream_without_audio_ends_at_once() -> None:
    async with VendorServer(answer_all) as server, adapter(server) as voxport, voxport.stream() as stream:
        stream.end_input()
        assert texts(await asyncio.wait_for(rest_of(stream), 3)) in ([], ["hello"])


async def test_aclose_returns_at_once_whatever_the_vendor_does() -> None:
    async def mute(connection: Connection) -> None:
        await connection.receive_seconds(0.2)
        await connection.hang()

    async with VendorServer(mute) as server, adapter(server) as voxport:
        stream = voxport.stream()
        push(stream, ramp(0.5))
        while not server.connections or server.connections[0].seconds < 0.2:
            await asyncio.sleep(0)
        began = time.monotonic()
        await stream.aclose()
        assert time.monotonic() - began < 2


async def test_aclose_while_connecting_leaves_nothing_behind() -> None:
    hanging = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hanging.set()
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with CustomWebSocketSTTAdapter(f"ws://127.0.0.1:{port}/", vendor=Tuned()) as voxport:
        stream = voxport.stream()
        push(stream, ramp(0.1))
        await hanging.wait()
        await stream.aclose()
    listener.close()
    await listener.wait_closed()


# ------------------------------------------------------------------ 5: failures to recover from


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1011, 1012, 1013])
async def test_a_vendor_that_closes_while_input_is_open_is_connected_to_again(code: int) -> None:
    async def closes(connection: Connection) -> None:
        await connection.receive_seconds(0.2)
        if code == 1005:
            await connection.ws._writer.send_frame(b"", aiohttp.WSMsgType.CLOSE)  # type: ignore[union-attr]
        else:
            await connection.ws.close(code=code)

    async with VendorServer(closes, answer_all) as server, adapter(server) as voxport, voxport.stream() as stream:
        errors: list[Any] = []
        voxport.on("error", errors.append)
        push(stream, ramp(0.5))
        while len(server.connections) < 2:
            await asyncio.sleep(0.01)
        stream.end_input()
        assert texts(await rest_of(stream)) == ["hello"]
        assert [error.recoverable for error in errors] == [True]
        assert str(code) in str(errors[0].error)


async def test_a_half_open_connection_is_noticed_while_speech_is_sent() -> None:
    async def goes_silent(connection: Connection) -> None:
        await connection.receive_all()

    traits = {"stall_seconds": 0.3, "heartbeat_seconds": None}
    async with VendorServer(goes_silent, answer_all) as server, adapter(server, traits=traits) as voxport:
        async with voxport.stream() as stream:
            errors: list[Any] = []
            voxport.on("error", errors.append)
            while len(server.connections) < 2:
                push(stream, ramp(0.3))
                await asyncio.sleep(0.03)
            stream.end_input()
            assert texts(await rest_of(stream)) == ["hello"]
            assert "answers nothing" in str(errors[0].error)


async def test_silence_is_no_fault() -> None:
    async def says_nothing(connection: Connection) -> None:
        await connection.receive_seconds(8)
        await connection.final("hello", end=8.0)
        await connection.receive_all()

    traits = {"stall_seconds": 0.2, "heartbeat_seconds": None}
    async with VendorServer(says_nothing) as server, adapter(server, traits=traits) as voxport:
        async with voxport.stream() as stream:
            for _ in range(20):
                push(stream, bytes(2 * RATE * 4 // 10))
                await asyncio.sleep(0.05)
            assert texts(await events_until(stream, 1, "final_transcript")) == ["hello"]
            assert len(server.connections) == 1


async def test_a_vendor_that_takes_no_audio_is_given_up() -> None:
    """A slow reader: the socket's buffers fill, and sending blocks."""

    async def reads_nothing(connection: Connection) -> None:
        await connection.hang()

    traits = {"stall_seconds": 0.3, "heartbeat_seconds": None}
    async with VendorServer(reads_nothing, answer_all) as server, adapter(server, traits=traits) as voxport:
        async with voxport.stream() as stream:
            errors: list[Any] = []
            voxport.on("error", errors.append)
            audio = ramp(600.0)
            push(stream, audio, ms=1000)
            stream.end_input()
            assert texts(await rest_of(stream)) == ["hello"]
            assert "takes no audio" in str(errors[0].error)
            assert bytes(server.connections[1].audio) == audio


async def test_a_vendor_that_is_never_ready_is_given_up() -> None:
    async def never_ready(connection: Connection) -> None:
        await connection.receive_all()

    async def ready(connection: Connection) -> None:
        assert connection.seconds == 0
        await connection.say("ready")
        await answer_all(connection)

    traits = {"waits_for_ready": True, "ready_seconds": 0.2}
    async with VendorServer(never_ready, ready) as server, adapter(server, traits=traits) as voxport:
        async with voxport.stream() as stream:
            push(stream, ramp(0.5))
            stream.end_input()
            assert texts(await rest_of(stream)) == ["hello"]
            assert server.connections[0].seconds == 0


# ------------------------------------------------------------------ 6: options


async def test_new_options_wait_for_the_end_of_the_utterance_and_lose_nothing() -> None:
    async def first(connection: Connection) -> None:
        await connection.receive_seconds(0.5)
        await connection.partial("hel")
        await connection.receive_seconds(1.0)
        await connection.final("hello", start=0.0, end=0.8)
        await connection.receive_all()

    async with VendorServer(first, answer_all) as server, adapter(server) as voxport, voxport.stream() as stream:
        audio = ramp(1.5)
        push(stream, audio[:RATE])
        await events_until(stream, 1, "interim_transcript")
        voxport.update_options(language="de")
        assert len(server.connections) == 1
        push(stream, audio[RATE:])
        await events_until(stream, 1, "end_of_speech")
        stream.end_input()
        await rest_of(stream)
        assert [c.config["language"] for c in server.connections] == ["en-US", "de"]
        assert bytes(server.connections[1].audio) == audio[round(0.8 * RATE) * 2 :]
        assert voxport.stats.transient_failures == 0


@pytest.mark.parametrize("in_band", [True, False])
async def test_a_new_language_is_reported_where_the_vendor_names_none(in_band: bool) -> None:
    """LiveKit's turn detector goes by it."""

    async def hears(connection: Connection) -> None:
        await connection.receive_seconds(0.2)
        await connection.final("hello", start=0.0, end=0.2)
        await connection.receive_until("end_of_stream")
        await connection.final("hallo", start=connection.seconds - 0.2, end=connection.seconds)

    async with VendorServer(hears, answer_all) as server:
        vendor = TakesKeyterms(in_band=in_band)
        async with CustomWebSocketSTTAdapter(server.url, vendor=vendor) as voxport, voxport.stream() as stream:
            push(stream, ramp(0.2))
            events = await events_until(stream, 1, "end_of_speech")
            voxport.update_options(language="de-DE")
            push(stream, ramp(0.2))
            stream.end_input()
            events += await rest_of(stream)
            finals = [e.alternatives[0].language for e in events if e.type.value == "final_transcript"]
            assert finals == ["en-US", "de-DE"]
            assert len(server.connections) == (1 if in_band else 2)


async def test_options_that_change_while_connecting_hold_for_the_first_word() -> None:
    """Or a short recording would be over before the end of the utterance comes."""
    connecting, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Tuned):
        def prepare(self, settings: Any) -> Any:
            connecting.set()
            while not go_on.is_set():
                yield Wait(0.005)
            return self.connect(settings)

    async with VendorServer(answer_all) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Slow()) as voxport, voxport.stream() as stream:
            await connecting.wait()
            for language in ("de", "fr"):
                voxport.update_options(language=language)
            push(stream, ramp(0.5))
            stream.end_input()
            go_on.set()
            assert texts(await rest_of(stream)) == ["hello"]
            assert [c.config["language"] for c in server.connections if c.audio] == ["fr"]
            assert voxport.stats.transient_failures == 0


async def test_options_are_copied_per_stream() -> None:
    async with VendorServer(answer_all) as server, adapter(server) as voxport:
        async with voxport.stream(language="fr") as french, voxport.stream() as english:
            for stream in (french, english):
                push(stream, ramp(0.2))
                stream.end_input()
                await rest_of(stream)
        assert sorted(c.config["language"] for c in server.connections) == ["en-US", "fr"]
        assert voxport.language == "en-US"


async def test_a_connection_that_reaches_its_session_limit_is_renewed_at_the_end_of_the_utterance() -> None:
    async def first(connection: Connection) -> None:
        await connection.receive_seconds(0.5)
        await connection.partial("hel")
        await asyncio.sleep(0.5)  # the limit passes in mid-utterance
        await connection.final("hello", start=0.0, end=0.4)
        await connection.receive_all()

    async with (
        VendorServer(first, answer_all) as server,
        adapter(server, traits={"session_seconds": 0.2}) as voxport,
    ):
        async with voxport.stream() as stream:
            audio = ramp(0.5)
            push(stream, audio)
            events = await events_until(stream, 1, "end_of_speech")
            assert texts(events) == ["hello"]
            while len(server.connections) < 2:
                await asyncio.sleep(0.01)
            stream.end_input()
            await rest_of(stream)
        assert bytes(server.connections[1].audio) == audio[round(0.4 * RATE) * 2 :]
        assert voxport.stats.transient_failures == 0


async def test_a_vendor_that_asks_for_a_new_connection_gets_one_and_it_is_no_failure() -> None:
    class Recycles(Tuned):
        def converse(self, settings: Any) -> Any:
            conversation = super().converse(settings)
            receive = conversation.receive

            def receiving(message: Any) -> Any:
                if "token_expired" in message:
                    return [Failure("the token expired", Verdict.RECYCLE)]
                return receive(message)

            conversation.receive = receiving  # type: ignore[method-assign]
            return conversation

    async def expires(connection: Connection) -> None:
        await connection.receive_seconds(0.5)
        await connection.say("token_expired")
        await connection.receive_all()

    async with VendorServer(expires, answer_all) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Recycles()) as voxport, voxport.stream() as stream:
            errors: list[Any] = []
            voxport.on("error", errors.append)
            push(stream, ramp(0.5))
            while len(server.connections) < 2:
                await asyncio.sleep(0.01)
            stream.end_input()
            assert texts(await rest_of(stream)) == ["hello"]
        assert bytes(server.connections[1].audio) == ramp(0.5)
        assert not errors


class TakesKeyterms(Tuned):
    """Keyterms go into the first message, and in band where *in_band* says so."""

    def __init__(self, *, in_band: bool) -> None:
        super().__init__(keyterms=True)
        self.in_band = in_band

    def converse(self, settings: Any) -> Any:
        conversation = super().converse(settings)

        def message(now: Any) -> tuple[str]:
            return (json.dumps({"type": "config", "keyterms": list(now.keyterms)}),)

        conversation.opening = lambda: message(settings)  # type: ignore[method-assign]
        if self.in_band:
            conversation.update = message  # type: ignore[method-assign]
        return conversation


@pytest.mark.parametrize("in_band", [True, False])
async def test_the_sessions_keyterms_join_the_users_in_band_or_after_the_utterance(in_band: bool) -> None:
    async def hears(connection: Connection) -> None:
        await connection.receive_seconds(0.2)
        await connection.partial("hel")
        if in_band:
            await connection.receive_until("config")
        await connection.receive_seconds(0.4)
        await connection.final("hello", start=0.0, end=0.4)
        await connection.receive_all()

    async with VendorServer(hears, answer_all) as server:
        vendor = TakesKeyterms(in_band=in_band)
        async with CustomWebSocketSTTAdapter(server.url, vendor=vendor) as voxport, voxport.stream() as stream:
            assert voxport.capabilities.keyterms
            push(stream, ramp(0.2))
            await events_until(stream, 1, "interim_transcript")
            voxport.update_options(keyterms=["Voxport", "LiveKit"])
            voxport._update_session_keyterms(["LiveKit", "Agents"])
            push(stream, ramp(0.2))
            await events_until(stream, 1, "end_of_speech")
            if in_band:
                assert server.connections[0].config["keyterms"] == ["Voxport", "LiveKit", "Agents"]
            while len(server.connections) < (1 if in_band else 2) or not server.connections[-1].config:
                await asyncio.sleep(0.01)
            assert len(server.connections) == (1 if in_band else 2)
            stream.end_input()
        assert server.connections[-1].config["keyterms"] == ["Voxport", "LiveKit", "Agents"]


@pytest.mark.parametrize("in_band", [True, False])
async def test_options_that_change_after_the_last_word_change_nothing_about_it(in_band: bool) -> None:
    ended = asyncio.Event()

    async def looks_for_more(connection: Connection) -> None:
        await connection.receive_until("end_of_stream")
        ended.set()
        with contextlib.suppress(asyncio.TimeoutError):
            late = await asyncio.wait_for(connection.next_message(), 0.1)
            raise AssertionError(f"{late} after the end")
        await connection.final("hello", start=0.0, end=connection.seconds)

    async with VendorServer(looks_for_more) as server:
        vendor = TakesKeyterms(in_band=in_band)
        async with CustomWebSocketSTTAdapter(server.url, vendor=vendor) as voxport, voxport.stream() as stream:
            push(stream, ramp(0.5))
            stream.end_input()
            await ended.wait()
            voxport.update_options(keyterms=["Voxport"])
            assert texts(await rest_of(stream)) == ["hello"]
        assert len(server.connections) == 1


# ------------------------------------------------------------------ 7: idle


async def test_an_idle_connection_that_closes_is_no_failure_and_comes_back_with_audio() -> None:
    async def closes_when_idle(connection: Connection) -> None:
        await connection.receive_seconds(0.5)
        await connection.final("one", end=0.5)
        await asyncio.sleep(0.3)
        await connection.ws.close(code=1011)

    async with VendorServer(closes_when_idle, answer_all) as server:
        async with adapter(server, traits={"idle_seconds": 0.1}) as voxport, voxport.stream() as stream:
            errors: list[Any] = []
            voxport.on("error", errors.append)
            push(stream, ramp(0.5))
            await events_until(stream, 1, "final_transcript")
            while not server.connections[0].ws.closed:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            assert len(server.connections) == 1
            push(stream, ramp(0.5))
            stream.end_input()
            assert texts(await rest_of(stream)) == ["hello"]
            assert not errors
            assert voxport.stats.transient_failures == 0


async def test_an_idle_connection_is_kept_alive() -> None:
    class KeepsAlive(Tuned):
        def converse(self, settings: Any) -> Any:
            conversation = super().converse(settings)
            conversation.keepalive = lambda: ('{"type":"keepalive"}',)  # type: ignore[method-assign]
            return conversation

    async def waits(connection: Connection) -> None:
        await connection.receive_until("keepalive")
        await connection.receive_until("keepalive")
        await answer_all(connection)

    async with VendorServer(waits) as server:
        vendor = KeepsAlive(keepalive_seconds=0.1)
        async with CustomWebSocketSTTAdapter(server.url, vendor=vendor) as voxport, voxport.stream() as stream:
            push(stream, ramp(0.2))
            while server.connections == [] or server.connections[0].controls.count("keepalive") < 2:
                await asyncio.sleep(0.01)
            stream.end_input()
            assert texts(await rest_of(stream)) == ["hello"]


# ------------------------------------------------------------------ 8: usage


async def test_usage_counts_audio_once_however_often_it_was_sent() -> None:
    async def breaks(connection: Connection) -> None:
        await connection.receive_seconds(8.0)
        connection.abort()

    async with VendorServer(breaks, breaks, answer_all) as server, adapter(server) as voxport:
        async with voxport.stream() as stream:
            push(stream, ramp(12.0))
            stream.end_input()
            usage = [e.recognition_usage for e in await rest_of(stream) if e.recognition_usage]
        assert sum(u.audio_duration for u in usage) == pytest.approx(12.0)
        assert voxport.stats.audio_seconds == pytest.approx(12.0)
        assert voxport.stats.replayed_seconds >= 16.0


# ------------------------------------------------------------------ 9: sessions


async def test_a_session_that_was_given_stays_open_and_an_own_one_is_closed() -> None:
    async with VendorServer(answer_all) as server, aiohttp.ClientSession() as session:
        async with adapter(server, http_session=session) as voxport, voxport.stream() as stream:
            push(stream, ramp(0.2))
            stream.end_input()
            await rest_of(stream)
        assert not session.closed
        own = adapter(server)
        async with own.stream() as stream:
            push(stream, ramp(0.2))
            stream.end_input()
            await rest_of(stream)
        owned = own._source.get()
        await own.aclose()
        assert owned.closed


# ------------------------------------------------------------------ on_failure


@pytest.mark.parametrize("mode", ["degrade", "raise"])
@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "API key"), (403, "API key"), (404, "URL"), (402, "balance")]
)
async def test_a_permanent_refusal_raises_at_once_and_says_what_to_do(mode: Any, status: int, remedy: str) -> None:
    async with VendorServer(answer_all, refuse=[status] * 9) as server:
        async with adapter(server, on_failure=mode) as voxport, voxport.stream() as stream:
            errors: list[Any] = []
            voxport.on("error", errors.append)
            push(stream, ramp(0.2))
            with pytest.raises(APIStatusError) as caught:
                await rest_of(stream)
            assert caught.value.status_code == status
            assert not caught.value.retryable
            assert remedy in str(caught.value)
            assert "generic" in str(caught.value)
            assert server.attempts == 1
            assert [error.recoverable for error in errors] == [False]


@pytest.mark.parametrize("code", [1008, 4001, 4401])
async def test_a_close_for_a_wrong_key_is_permanent(code: int) -> None:
    async def rejects(connection: Connection) -> None:
        await connection.ws.close(code=code, message=b"bad key " + KEY.encode())

    async with VendorServer(rejects) as server, adapter(server) as voxport, voxport.stream() as stream:
        push(stream, ramp(0.2))
        with pytest.raises(APIStatusError) as caught:
            await rest_of(stream)
        assert caught.value.status_code == code
        assert not caught.value.retryable
        assert KEY not in str(caught.value)


async def test_degrade_outlives_an_outage_longer_than_any_retry_budget() -> None:
    refusals: list[Any] = [503 for _ in range(5)]
    async with VendorServer(answer_all, refuse=refusals) as server, adapter(server) as voxport:
        async with voxport.stream(conn_options=APIConnectOptions(max_retry=1, retry_interval=0.01)) as stream:
            errors: list[Any] = []
            voxport.on("error", errors.append)
            push(stream, ramp(0.5))
            stream.end_input()
            assert texts(await rest_of(stream)) == ["hello"]
        assert [error.recoverable for error in errors] == [True] * 5
        assert voxport.stats.transient_failures == 5
        assert bytes(server.connections[0].audio) == ramp(0.5)


async def test_raise_gives_up_after_the_budget_with_a_retryable_error() -> None:
    async with VendorServer(answer_all, refuse=[503] * 9) as server:
        async with adapter(server, on_failure="raise") as voxport:
            options = APIConnectOptions(max_retry=2, retry_interval=0.01)
            async with voxport.stream(conn_options=options) as stream:
                push(stream, ramp(0.2))
                with pytest.raises(APIStatusError) as caught:
                    await rest_of(stream)
        assert server.attempts == 3
        assert caught.value.retryable


async def test_retry_after_is_honoured() -> None:
    refusals: list[Any] = [(429, {"Retry-After": "1"})]
    async with VendorServer(answer_all, refuse=refusals) as server, adapter(server) as voxport:
        async with voxport.stream() as stream:
            began = time.monotonic()
            push(stream, ramp(0.2))
            stream.end_input()
            assert texts(await rest_of(stream)) == ["hello"]
            assert time.monotonic() - began >= 1.0


async def test_livekits_fallback_adapter_switches() -> None:
    async with VendorServer(answer_all, refuse=[503] * 99) as down:
        async with VendorServer(answer_all) as up:
            async with adapter(down, on_failure="raise") as first, adapter(up) as second:
                both = stt.FallbackAdapter([first, second], max_retry_per_stt=0, retry_interval=0.01)
                async with both.stream() as stream:
                    push(stream, ramp(0.5))
                    while not up.connections:
                        push(stream, ramp(0.05))
                        await asyncio.sleep(0.01)
                    stream.end_input()
                    assert texts([e async for e in stream]) == ["hello"]
                await both.aclose()


async def test_an_error_in_band_is_judged_by_its_code() -> None:
    async def busy(connection: Connection) -> None:
        await connection.receive_seconds(0.1)
        await connection.say("error", message="busy", code=503)
        await connection.receive_all()

    async def rejects(connection: Connection) -> None:
        await connection.say("error", message=f"no such key {KEY}", code=401)
        await connection.receive_all()

    async with VendorServer(busy, answer_all) as server, adapter(server) as voxport, voxport.stream() as stream:
        push(stream, ramp(0.2))
        stream.end_input()
        assert texts(await rest_of(stream)) == ["hello"]
    async with VendorServer(rejects) as server, adapter(server) as voxport, voxport.stream() as stream:
        push(stream, ramp(0.2))
        with pytest.raises(APIStatusError) as caught:
            await rest_of(stream)
        assert KEY not in str(caught.value) and not caught.value.retryable


async def test_an_unreachable_host_is_named_without_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    voxport = CustomWebSocketSTTAdapter("ws://127.0.0.1:9/stt", KEY, vendor=Tuned(), on_failure="raise")
    async with voxport.stream(conn_options=APIConnectOptions(max_retry=0)) as stream:
        push(stream, ramp(0.2))
        with pytest.raises(APIConnectionError) as caught:
            await rest_of(stream)
    await voxport.aclose()
    assert "127.0.0.1:9" in str(caught.value)
    assert KEY not in str(caught.value) + repr(caught.value) + caplog.text + repr(voxport._settings)
    assert caught.value.__cause__ is None


# ------------------------------------------------------------------ the rest of LiveKit's contract


async def test_a_prewarmed_connection_is_used_by_the_first_stream() -> None:
    async with VendorServer(answer_all) as server, adapter(server) as voxport:
        metrics: list[Any] = []
        voxport.on("metrics_collected", metrics.append)
        voxport.prewarm()
        while not server.connections or not server.connections[0].config:
            await asyncio.sleep(0.01)
            if server.connections and not server.connections[0].config:
                break
        async with voxport.stream() as stream:
            push(stream, ramp(0.2))
            stream.end_input()
            assert texts(await rest_of(stream)) == ["hello"]
        assert len(server.connections) == 1
        assert [m.connection_reused for m in metrics if m.acquire_time or m.connection_reused] == [True]


async def test_a_prewarmed_connection_nobody_used_is_closed() -> None:
    async def waits(connection: Connection) -> None:
        await connection.receive_all()

    async with VendorServer(waits) as server:
        async with adapter(server) as voxport:
            voxport.prewarm()
            while not server.connections:
                await asyncio.sleep(0.01)
        while not server.connections[0].ws.closed:
            await asyncio.sleep(0.01)


async def test_recognize_streams_a_whole_recording() -> None:
    async def two_parts(connection: Connection) -> None:
        await connection.receive_until("end_of_stream")
        await connection.final("good", start=0.5, end=1.0, confidence=0.5)
        await connection.final("morning", start=1.0, end=1.5, confidence=1.0)
        await connection.say("flushed")

    async with VendorServer(two_parts) as server, adapter(server) as voxport:
        event = await voxport.recognize(frames(ramp(40.0)))
        assert bytes(server.connections[0].audio) == ramp(40.0)
    data = event.alternatives[0]
    assert (data.text, data.start_time, data.end_time, data.confidence) == pytest.approx(
        ("good morning", 0.5, 1.5, 0.75), abs=0.01
    )


async def test_recognize_gives_an_empty_final_when_retries_are_spent_and_raises_when_told_to() -> None:
    options = APIConnectOptions(max_retry=1, retry_interval=0.01)
    async with VendorServer(answer_all, refuse=[503] * 99) as server:
        async with adapter(server) as voxport:
            event = await voxport.recognize(frames(ramp(0.2)), conn_options=options)
            assert event.alternatives[0].text == ""
            assert server.attempts == 2
            assert voxport.stats.empty_results == 1
        async with adapter(server, on_failure="raise") as voxport:
            with pytest.raises(APIConnectionError):
                await voxport.recognize(frames(ramp(0.2)), conn_options=options)
            assert server.attempts == 4


@pytest.mark.parametrize(
    ("buffer", "error"),
    [
        ("no audio", TypeError),
        ([rtc.AudioFrame(bytes(320), rate, 1, 160) for rate in (8000, 16000)], ValueError),
    ],
    ids=["no audio", "two rates"],
)
async def test_recognize_refuses_what_is_no_recording(buffer: Any, error: type[Exception]) -> None:
    async with VendorServer(answer_all) as server, adapter(server) as voxport:
        with pytest.raises(error):
            await asyncio.wait_for(voxport.recognize(buffer), 5)
        assert server.attempts == 0


async def test_stereo_at_another_rate_arrives_as_mono_at_the_adapters_rate() -> None:
    async with VendorServer(answer_all) as server, adapter(server) as voxport, voxport.stream() as stream:
        push(stream, bytes(2 * 2 * 48000), rate=48000, channels=2)
        stream.end_input()
        await rest_of(stream)
        assert server.connections[0].config["sample_rate"] == RATE
        assert server.connections[0].seconds == pytest.approx(1.0, abs=0.02)


async def test_the_key_goes_to_the_vendor_and_not_to_where_it_redirects() -> None:
    seen: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        return web.Response()

    other = web.Application()
    other.router.add_get("/", elsewhere)
    runner = web.AppRunner(other)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    target = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    refusal = (302, {"Location": target})
    async with VendorServer(answer_all, refuse=[refusal]) as server, adapter(server) as voxport:
        async with voxport.stream() as stream:
            push(stream, ramp(0.2))
            with pytest.raises(APIStatusError, match="redirect"):
                await rest_of(stream)
    await runner.cleanup()
    assert seen == []


async def test_usage_of_the_specification_conn_options_none_means_livekits_defaults() -> None:
    async with VendorServer(answer_all) as server, adapter(server) as voxport:
        async with voxport.stream(language=None, conn_options=None) as stream:
            push(stream, ramp(0.2))
            stream.end_input()
            assert texts(await rest_of(stream)) == ["hello"]
