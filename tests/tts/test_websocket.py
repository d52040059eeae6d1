"""Speaking over a WebSocket, against vendors on loopback that do what the test says."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import logging
import threading
import time
import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from livekit.agents import APIConnectionError, APIConnectOptions, APIError, APIStatusError, APITimeoutError
from livekit.agents.metrics import TTSMetrics
from livekit.agents.tts import FallbackAdapter
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT
from voice_server import RATE, Caller, TunedVoice, VoiceServer, tone
from yarl import URL

from agents.providers import ConfigurationError
from agents.providers.cli.vendor_new import starting_file
from agents.providers.local.encoding import Encoder
from agents.providers.protocol import Audio, SpokenWords, SynthesisConversation, SynthesisForm
from agents.providers.testing import FaultProxy
from agents.providers.tts import pool
from agents.providers.tts.websocket import CustomWebSocketTTSAdapter

TEXT = "We open at nine, and close at eight."
TWO = "This is the first sentence. And here comes the second one."
KEY = "a-key-nobody-may-see"
ONCE = APIConnectOptions(max_retry=0, timeout=5)
TWICE = APIConnectOptions(max_retry=1, retry_interval=0.01, timeout=5)
SEEN_SECONDS = 0.2  # within which a vendor must notice an interruption


@contextlib.asynccontextmanager
async def voice(server: VoiceServer, **given: Any) -> AsyncIterator[CustomWebSocketTTSAdapter]:
    async with CustomWebSocketTTSAdapter(server.url, KEY, **given) as adapter:
        yield adapter


async def said(adapter: CustomWebSocketTTSAdapter, text: str = TEXT, options: Any = ONCE) -> list[Any]:
    """The frames of *text*, pushed as a language model writes it."""
    async with adapter.stream(conn_options=options) as stream:
        for piece in text.split(" "):
            stream.push_text(piece + " ")
        stream.end_input()
        return [event.frame async for event in stream]


def pcm_of(frames: list[Any]) -> Any:
    return np.concatenate([np.frombuffer(frame.data, np.int16) for frame in frames])


def levels(frames: list[Any]) -> set[int]:
    return set(pcm_of(frames).tolist())


def words_of(frames: list[Any]) -> list[Any]:
    return [word for frame in frames for word in frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])]


async def answers(caller: Caller) -> None:
    """Say every segment with half a second of the same level."""
    while True:
        await caller.speak(tone(0.5))


def says(level: int) -> Callable[[Caller], Any]:
    async def handler(caller: Caller) -> None:
        while True:
            await caller.speak(tone(0.5, level=level))

    return handler


def errors_of(adapter: CustomWebSocketTTSAdapter) -> list[Any]:
    seen: list[Any] = []
    adapter.on("error", seen.append)
    return seen


# --- what goes out, what comes back ---


async def test_text_goes_out_in_words_and_audio_comes_back_as_it_is() -> None:
    ramp = (np.arange(30001) % 20000).astype("<i2").tobytes()

    async def handler(caller: Caller) -> None:
        await caller.until("end")
        for at in range(0, len(ramp), 777):  # samples are cut in two
            await caller.ws.send_bytes(ramp[at : at + 777])
        await caller.done()

    async with VoiceServer(handler) as server, voice(server, voice="anna", language="en-GB") as adapter:
        frames = await said(adapter)
        assert np.array_equal(pcm_of(frames), np.frombuffer(ramp, "<i2"))
        assert {frame.sample_rate for frame in frames} == {RATE}
        (caller,) = server.callers
    assert caller.request.headers["Authorization"] == f"Bearer {KEY}"
    start = {key: caller.start[key] for key in ("voice", "language", "sample_rate")}
    assert start == {"voice": "anna", "language": "en-GB", "sample_rate": RATE}
    assert (caller.text, caller.pieces) == (TEXT + " ", [word + " " for word in TEXT.split()])


async def test_a_vendor_that_has_just_begun_speaks(tmp_path: Path) -> None:
    """The file that `voxport vendors new --voice` writes, as it is, with a server that does what it says."""
    path = tmp_path / "acme.yaml"
    text = starting_file("acme", speaks=True)
    path.write_text(text.replace("speech.example.com/v1/speak/stream", "speech.example.com"), encoding="utf-8")

    async def handler(caller: Caller) -> None:
        await caller.until("end")
        assert (caller.start["voice"], caller.start["pace"]) == ("anna", 1.5)
        audio = base64.b64encode(tone(0.25)).decode()
        await caller.tell("audio", id=caller.start["id"], data=audio)
        await caller.tell("audio", id="another", data=audio)
        await caller.ws.send_bytes(tone(0.25))
        await caller.tell("words", id=caller.start["id"], words=[{"word": "We", "start": 0, "end": 0.1}])
        await caller.done()

    async with VoiceServer(handler) as server, voice(server, vendor=path, options={"pace": 1.5}) as adapter:
        frames = await said(adapter)
    assert sum(frame.duration for frame in frames) == pytest.approx(0.5, abs=1e-3)
    assert str(words_of(frames)[0]) == "We "


async def test_a_vendor_may_speak_in_mp3(tmp_path: Path) -> None:
    path = tmp_path / "acme.yaml"
    path.write_text(
        "name: acme\ntitle: Acme\nstreaming_synthesis:\n  audio: {type: audio/mpeg}\n"
        "  begin: [{json: {type: start, id: '${segment}'}}]\n  text: [{json: {type: speak, text: '${text}'}}]\n"
        "  end: [{json: {type: end}}]\n"
        "  results: {switch: type, segment: id, rules: [{case: done, event: done}]}\n"
    )
    file = _coded("mp3")

    async def handler(caller: Caller) -> None:
        while True:
            await caller.until("end")
            for at in range(0, len(file), 200):
                await caller.ws.send_bytes(file[at : at + 200])
            await caller.done()

    async with VoiceServer(handler) as server, voice(server, vendor=path) as adapter:
        for _ in range(2):  # on one connection
            frames = await said(adapter)
            assert sum(frame.duration for frame in frames) == pytest.approx(0.5, abs=0.06)
            assert np.abs(pcm_of(frames)).max() > 900
        assert server.attempts == 1


async def test_audio_comes_while_text_still_goes_out() -> None:
    async def handler(caller: Caller) -> None:
        await caller.until("speak")
        await caller.ws.send_bytes(tone(0.5))
        await caller.until("end")
        await caller.done()

    async with VoiceServer(handler) as server, voice(server) as adapter, adapter.stream() as stream:
        stream.push_text("The first sentence of an answer. And")
        first = await anext(stream)
        assert first.frame.samples_per_channel
        stream.push_text(" the rest.")
        stream.end_input()
        assert [event async for event in stream][-1].is_final
        assert server.callers[0].text == "The first sentence of an answer. And the rest."


async def test_a_flush_has_spoken_what_is_there() -> None:
    """Also half a word; the segment goes on until the input ends."""

    async def handler(caller: Caller) -> None:
        await caller.until("flush")
        assert caller.text == "Yes"
        await caller.ws.send_bytes(tone(0.5))
        await caller.until("end")
        await caller.done()

    async with VoiceServer(handler) as server, voice(server) as adapter, adapter.stream() as stream:
        stream.push_text("Yes")
        stream.flush()
        await anext(stream)
        stream.end_input()
        assert [event async for event in stream]


async def test_the_first_sentence_is_spoken_early_by_a_vendor_that_waits_for_a_flush() -> None:
    """As often as the vendor allows it: later answers are flushed when they end."""

    async def handler(caller: Caller) -> None:
        while True:
            if len(answered) < 2:
                await caller.until("flush")
                assert caller.text == "This is the first sentence."
                await caller.ws.send_bytes(tone(0.1))
            await caller.until("end")
            assert caller.text in (TWO, "One sentence. ")
            answered.append(caller.text)
            await caller.ws.send_bytes(tone(0.1))
            await caller.done()

    answered: list[str] = []
    tuned = TunedVoice(early_flushes=2)
    async with VoiceServer(handler) as server, voice(server, vendor=tuned) as adapter:
        for _ in range(3):
            async with adapter.stream(conn_options=ONCE) as stream:
                stream.push_text(TWO[:40])
                if len(answered) < 2:
                    await anext(stream)  # while the rest is still to come
                stream.push_text(TWO[40:])
                stream.end_input()
                assert [event async for event in stream]
        await said(adapter, "One sentence.")  # is flushed when it ends, and once
        assert len(server.callers) == 1


async def test_words_are_the_text_with_times() -> None:
    """What the vendor calls otherwise lends its time to what is written; the text comes once and whole."""
    spoken = [("we", 0.0, 0.1), ("open", 0.1, 0.2), ("at", 0.2, 0.25), ("9", 0.25, 0.3), ("and", 0.3, 0.35)]

    async def handler(caller: Caller) -> None:
        await caller.speak(tone(0.5), spoken)

    async with VoiceServer(handler) as server, voice(server) as adapter:
        assert adapter.capabilities.aligned_transcript
        words = words_of(await said(adapter))
    assert "".join(words).strip() == TEXT
    assert [(str(word), word.start_time, word.end_time) for word in words[:4]] == [
        ("We ", 0.0, 0.1),
        ("open ", 0.1, 0.2),
        ("at ", 0.2, 0.25),
        ("nine, and ", 0.25, 0.35),
    ]


@pytest.mark.parametrize(
    ("form", "make"),
    [
        (SynthesisForm("audio/basic", 8000), lambda: bytes([0x8F]) * 4000),
        (SynthesisForm("audio/pcm", 8000), lambda: tone(0.5, rate=8000)),
        (SynthesisForm("audio/pcm", 48000, 2), lambda: tone(1.0, rate=48000)),
        (SynthesisForm("audio/mpeg"), lambda: _coded("mp3")),
        (SynthesisForm("audio/pcm", 8000), lambda: _coded("wav")),
        (SynthesisForm("audio/pcm", 8000), lambda: _coded("mp3")),
    ],
    ids=["mulaw", "slow", "stereo", "mp3", "wav-called-pcm", "mp3-called-pcm"],
)
async def test_other_audio_comes_out_at_the_adapters_rate(form: SynthesisForm, make: Any) -> None:
    async def handler(caller: Caller) -> None:
        await caller.speak(make())

    async with VoiceServer(handler) as server, voice(server, vendor=TunedVoice(form=form)) as adapter:
        frames = await said(adapter)
    assert {frame.sample_rate for frame in frames} == {RATE}
    assert sum(frame.duration for frame in frames) == pytest.approx(0.5, abs=0.06)
    assert np.abs(pcm_of(frames)).max() > 900


def _coded(form: str) -> bytes:
    encoder = Encoder(form, RATE)
    return encoder.feed(tone(0.5)) + encoder.finish()


async def test_a_wav_header_in_every_message_is_not_heard() -> None:
    """Also a first one that comes in pieces."""
    file = _wav(tone(0.5))

    async def handler(caller: Caller) -> None:
        await caller.until("end")
        for at in range(0, len(file), 5):
            await caller.ws.send_bytes(file[at : at + 5])
        for _ in range(3):
            await caller.ws.send_bytes(file)
        await caller.done()

    async with VoiceServer(handler) as server, voice(server) as adapter:
        frames = await said(adapter)
    assert levels(frames) == {1000}
    assert sum(frame.duration for frame in frames) == pytest.approx(2.0, abs=1e-3)


def _wav(pcm: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", ""))
        out.writeframes(pcm)
    return file.getvalue()


@pytest.mark.parametrize("rubbish", [b"\x12\x34" * 500, b"ID3\x04\0\0\0\0\0\0\0\0"], ids=["noise", "nothing"])
async def test_what_cannot_be_decoded_is_an_error_without_the_text(
    rubbish: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """LiveKit's own error for a text without audio quotes the text, and logs it."""

    async def handler(caller: Caller) -> None:
        await caller.speak(rubbish)

    tuned = TunedVoice(form=SynthesisForm("audio/mpeg"))
    async with VoiceServer(handler) as server, voice(server, vendor=tuned) as adapter:
        with pytest.raises(APIError, match="audio/mpeg that cannot be decoded") as caught:
            await said(adapter, options=TWICE)
        assert adapter.stats.transient_failures == 2
    assert TEXT not in str(caught.value) + caplog.text


async def test_audio_without_end_is_broken_off() -> None:
    async def handler(caller: Caller) -> None:
        while True:
            await caller.ws.send_bytes(tone(5, rate=8000))

    async with VoiceServer(handler) as server, voice(server, sample_rate=8000) as adapter:
        with pytest.raises(APIError, match="without end"):
            await said(adapter, "Yes")
        assert 60 < adapter.stats.audio_seconds < 80


async def test_half_a_sign_is_no_obstacle() -> None:
    async with VoiceServer(answers) as server, voice(server) as adapter:
        assert await said(adapter, "Hi \ud83c there.")
    assert server.callers[0].text == "Hi \ufffd there. "


async def test_leaving_while_audio_is_decoded_ends_the_thread() -> None:
    async def handler(caller: Caller) -> None:
        await caller.until("end")
        await caller.ws.send_bytes(_coded("mp3"))
        await caller.next()

    tuned = TunedVoice(form=SynthesisForm("audio/mpeg"))
    async with VoiceServer(handler) as server, voice(server, vendor=tuned) as adapter:
        async with adapter.stream(conn_options=ONCE) as stream:
            stream.push_text(TEXT)
            stream.end_input()
            await anext(stream)
    for thread in threading.enumerate():
        if thread.name.startswith("voxport.decoder"):
            thread.join(2.0)
            assert not thread.is_alive()


async def test_the_rate_the_vendor_names_is_believed() -> None:
    """For the segment it was named in, and no other."""

    async def handler(caller: Caller) -> None:
        await caller.until("end")
        await caller.tell("started", id=caller.start["id"], sample_rate=12000)
        await caller.ws.send_bytes(tone(0.5, rate=12000))
        await caller.done()
        await caller.speak(tone(0.5))

    async with VoiceServer(handler) as server, voice(server) as adapter:
        for _ in range(2):
            assert sum(frame.duration for frame in await said(adapter)) == pytest.approx(0.5, abs=0.02)
        assert len(server.callers) == 1


async def test_a_whole_text_can_be_synthesised() -> None:
    async with VoiceServer(answers) as server, voice(server) as adapter:
        frame = await adapter.synthesize(TEXT, conn_options=ONCE).collect()
        assert frame.duration == pytest.approx(0.5, abs=0.02)  # LiveKit ends it with 10 ms of silence
        assert server.callers[0].text == TEXT


@pytest.mark.parametrize("text", ["", "  "])
async def test_no_text_is_nothing_to_say(text: str) -> None:
    async with VoiceServer(answers) as server, voice(server) as adapter:
        async with adapter.stream(conn_options=ONCE) as stream:
            stream.push_text(text)
            stream.end_input()
            assert [event async for event in stream] == []
        assert adapter.stats.segments == 0


async def test_signs_that_are_not_spoken_are_no_error() -> None:
    async def handler(caller: Caller) -> None:
        await caller.until("end")
        await caller.done()

    async with VoiceServer(handler) as server, voice(server) as adapter:
        assert sum(frame.duration for frame in await said(adapter, "… 👍")) < 0.05


async def test_metrics_and_counters_tell_what_happened() -> None:
    seen: list[TTSMetrics] = []
    async with VoiceServer(answers) as server, voice(server, model="large") as adapter:
        adapter.on("metrics_collected", seen.append)
        await said(adapter)
        await said(adapter)
    first, second = seen
    assert (first.connection_reused, second.connection_reused) == (False, True)
    assert first.acquire_time > 0 == second.acquire_time
    assert first.ttfb > 0 and first.characters_count == len(TEXT) + 1
    assert first.metadata is not None
    assert (first.metadata.model_name, first.metadata.model_provider) == ("large", "generic")
    stats = adapter.stats
    assert (stats.segments, stats.connects, stats.reuses, stats.cancelled) == (2, 1, 1, 0)
    assert (stats.characters, stats.audio_seconds) == (2 * len(TEXT) + 2, pytest.approx(1.0))


# --- connections ---


async def test_a_prewarmed_connection_is_used() -> None:
    async with VoiceServer(answers) as server, voice(server) as adapter:
        adapter.prewarm()
        adapter.prewarm()
        while not server.callers:
            await asyncio.sleep(0.001)
        await said(adapter)
        assert (len(server.callers), adapter.stats.connects) == (1, 1)


async def test_pings_in_a_row_leave_turns_for_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call's audio must not wait until a thousand of them are answered."""
    turn = 0
    answered: dict[int, int] = {}
    pong = aiohttp.ClientWebSocketResponse.pong

    async def counted(self: Any, message: bytes = b"") -> None:
        answered[turn] = answered.get(turn, 0) + 1
        await pong(self, message)

    async def pings(caller: Caller) -> None:
        for _ in range(200):
            await caller.ws.ping()
        await answers(caller)

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(aiohttp.ClientWebSocketResponse, "pong", counted)
    counting = asyncio.create_task(count_turns())
    async with VoiceServer(pings) as server, voice(server) as adapter:
        assert await said(adapter)
    counting.cancel()
    assert sum(answered.values()) == 200
    assert max(answered.values()) <= 20


def test_prewarming_without_a_loop_waits_for_the_first_stream() -> None:
    adapter = CustomWebSocketTTSAdapter("ws://127.0.0.1:1/")
    adapter.prewarm()
    assert adapter.stats.connects == 0


async def test_a_prewarming_that_fails_costs_nothing() -> None:
    async with VoiceServer(answers, refuse=[503]) as server, voice(server) as adapter:
        adapter.prewarm()
        while server.attempts < 1 or adapter._pool._openings:
            await asyncio.sleep(0.001)
        assert await said(adapter)


async def test_changed_options_are_said_over_a_new_connection() -> None:
    async with VoiceServer(answers) as server, voice(server, voice="anna") as adapter:
        await said(adapter)
        adapter.update_options(voice="bert", options={"speed": 2})
        await said(adapter)
        first, second = server.callers
        assert (first.start["voice"], second.start["voice"]) == ("anna", "bert")
        assert second.start["options"] == {"speed": 2}
        assert await first.ws.receive() and first.ws.closed


async def test_options_changed_while_connecting_cost_that_connection() -> None:
    async with VoiceServer(answers) as server, voice(server, voice="anna") as adapter:
        adapter.prewarm()
        await asyncio.sleep(0)
        adapter.update_options(voice="bert")
        await asyncio.gather(said(adapter), said(adapter))
        assert {caller.start["voice"] for caller in server.callers if caller.start} == {"bert"}
        assert adapter.voice == "bert"


async def test_answers_with_different_options_do_not_take_each_others_connections() -> None:
    """Both are connecting when the options change: each gets its own."""
    async with VoiceServer(answers) as server, voice(server, voice="anna") as adapter:
        first = asyncio.ensure_future(said(adapter))
        await asyncio.sleep(0)
        adapter.update_options(voice="bert")
        assert all(await asyncio.gather(first, said(adapter)))
        assert [caller.start["voice"] for caller in server.callers] == ["anna", "bert"]


@pytest.mark.parametrize("method", ["begin", "text", "end"])
async def test_a_protocol_that_fails_ends_the_answer_and_leaves_no_connection(method: str) -> None:
    class Broken(TunedVoice):
        def converse(self, settings: Any) -> SynthesisConversation:
            talk = super().converse(settings)
            setattr(talk, method, lambda *_: [][len(TEXT)])
            return talk

    async with VoiceServer(answers) as server, voice(server, vendor=Broken()) as adapter:
        with pytest.raises(APIError, match=r"failed with IndexError \(test_websocket\.py, line \d+\)") as caught:
            await said(adapter, options=TWICE)
        assert caught.value.retryable is False and adapter.stats.permanent_failures == 1


@pytest.mark.parametrize("limits", [{"idle_seconds": 0.02}, {"session_seconds": 0.02}, {"reusable": False}])
async def test_connections_are_not_kept_longer_than_the_vendor_likes(limits: dict[str, Any]) -> None:
    async with VoiceServer(answers) as server, voice(server, vendor=TunedVoice(**limits)) as adapter:
        await said(adapter)
        while not server.callers[0].ws.closed:
            await asyncio.sleep(0.001)
        await said(adapter)
        assert len(server.callers) == 2


async def test_a_connection_that_died_while_idle_costs_no_error() -> None:
    """Whether that is known already, or only found out when the next segment begins."""

    async def leaves(caller: Caller) -> None:
        await caller.speak(tone(0.1))
        await caller.ws.close()

    async def breaks_later(caller: Caller) -> None:
        await caller.speak(tone(0.1))
        await caller.next()
        caller.abort()

    async with VoiceServer(leaves, breaks_later, answers) as server, voice(server) as adapter:
        errors = errors_of(adapter)
        await said(adapter)
        while adapter._pool.free:
            await asyncio.sleep(0.001)
        for _ in range(3):
            assert await said(adapter)
        assert len(server.callers) == 3
        assert server.callers[2].text == TEXT + " "
        assert (errors, adapter.stats.stale, adapter.stats.transient_failures) == ([], 1, 0)


async def test_two_answers_at_a_time_have_a_connection_each() -> None:
    async with VoiceServer(answers) as server, voice(server) as adapter:
        assert all(await asyncio.gather(said(adapter), said(adapter)))
        assert len(server.callers) == 2


async def test_an_idle_connection_is_kept_alive() -> None:
    class Lively(TunedVoice):
        def converse(self, settings: Any) -> SynthesisConversation:
            talk = super().converse(settings)
            talk.keepalive = lambda: ('{"type": "keepalive"}',)  # type: ignore[method-assign]
            return talk

    alive = asyncio.Event()

    async def handler(caller: Caller) -> None:
        await caller.speak(tone(0.1))
        await caller.until("keepalive")
        alive.set()
        await caller.speak(tone(0.1))

    async with VoiceServer(handler) as server, voice(server, vendor=Lively(keepalive_seconds=0.02)) as adapter:
        await said(adapter)
        await asyncio.wait_for(alive.wait(), 5)
        await said(adapter)
        assert len(server.callers) == 1


async def test_text_waits_until_the_vendor_is_ready() -> None:
    async def handler(caller: Caller) -> None:
        await caller.tell("ready")
        await answers(caller)

    async def silent(caller: Caller) -> None:
        await caller.next()

    async with VoiceServer(handler) as server, voice(server, vendor=TunedVoice(waits_for_ready=True)) as adapter:
        assert await said(adapter)
    patient = TunedVoice(waits_for_ready=True, ready_seconds=0.05)
    async with VoiceServer(silent) as server, voice(server, vendor=patient) as adapter:
        with pytest.raises(APITimeoutError, match="not ready within"):
            await said(adapter)


async def test_silence_ends_a_segment_of_a_vendor_that_never_says_so() -> None:
    async def handler(caller: Caller) -> None:
        await caller.until("end")
        await caller.ws.send_bytes(tone(0.3))
        await caller.ws.send_bytes(tone(0.2))
        await caller.next()

    quiet = TunedVoice(silence_seconds=0.05, reusable=False)
    async with VoiceServer(handler) as server, voice(server, vendor=quiet) as adapter:
        assert sum(frame.duration for frame in await said(adapter)) == pytest.approx(0.5)


# --- interruptions ---


class Interrupted:
    """A vendor in mid-speech, that notes when it sees what."""

    def __init__(self, *, then: Callable[[Caller], Any] | None = None) -> None:
        self.seen: dict[str, float] = {}
        self.speaking = asyncio.Event()
        self.noticed = asyncio.Event()
        self._then = then

    async def __call__(self, caller: Caller) -> None:
        await caller.until("speak")
        await caller.ws.send_bytes(tone(1.0, level=1))
        self.speaking.set()
        while (kind := await caller.next()) not in ("cancel", "closed"):
            pass
        self.seen[kind] = time.monotonic()
        self.noticed.set()
        if self._then is not None:
            await self._then(caller)


async def interrupt(adapter: CustomWebSocketTTSAdapter, vendor: Interrupted) -> float:
    """Break an answer off in mid-speech; when, by the clock."""
    stream = adapter.stream(conn_options=ONCE)
    stream.push_text(TEXT)
    await anext(stream)
    await vendor.speaking.wait()
    at = time.monotonic()
    await stream.aclose()
    await asyncio.wait_for(vendor.noticed.wait(), 5)
    return at


async def test_an_interruption_is_cancelled_at_once_and_the_connection_used_again() -> None:
    """But only after the vendor's answer: what it still sends of the old answer is heard by nobody."""
    answered = asyncio.Event()

    async def late(caller: Caller) -> None:
        await caller.ws.send_bytes(tone(1.0, level=1))
        await caller.done()
        answered.set()
        await says(2)(caller)

    vendor = Interrupted(then=late)
    async with VoiceServer(vendor, says(3)) as server, voice(server) as adapter:
        at = await interrupt(adapter, vendor)
        assert vendor.seen["cancel"] - at < SEEN_SECONDS
        await answered.wait()
        while not adapter._pool.free:
            await asyncio.sleep(0.001)
        assert levels(await said(adapter)) == {2}
        assert (len(server.callers), adapter.stats.cancelled) == (1, 1)


async def test_the_next_answer_does_not_wait_for_the_old_one() -> None:
    """As long as the vendor has not answered, the connection is not used."""
    vendor = Interrupted(then=lambda caller: caller.until("never"))
    async with VoiceServer(vendor, says(3)) as server, voice(server) as adapter:
        await interrupt(adapter, vendor)
        assert levels(await said(adapter)) == {3}
        assert len(server.callers) == 2


async def test_a_cancellation_that_is_not_answered_costs_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_CANCEL_SECONDS", 0.02)
    left = asyncio.Event()

    async def mute(caller: Caller) -> None:
        assert await caller.next() == "closed"
        left.set()

    vendor = Interrupted(then=mute)
    async with VoiceServer(vendor) as server, voice(server) as adapter:
        await interrupt(adapter, vendor)
        await asyncio.wait_for(left.wait(), 5)


async def test_where_messages_name_their_segment_the_next_answer_begins_at_once() -> None:
    async def late(caller: Caller) -> None:
        await caller.ws.send_bytes(tone(0.1, level=1))
        await says(2)(caller)

    vendor = Interrupted(then=late)
    tuned = TunedVoice(cancel_answered=False)
    async with VoiceServer(vendor) as server, voice(server, vendor=tuned) as adapter:
        await interrupt(adapter, vendor)
        frames = await said(adapter)
        assert len(server.callers) == 1 and len(frames) > 1


async def test_a_vendor_that_cannot_cancel_is_hung_up_on_at_once() -> None:
    vendor = Interrupted()
    async with VoiceServer(vendor) as server, voice(server, vendor=TunedVoice(cancels=False)) as adapter:
        at = await interrupt(adapter, vendor)
        assert vendor.seen["closed"] - at < SEEN_SECONDS


async def test_an_interruption_while_connecting_leaves_the_connection_to_the_next() -> None:
    async with VoiceServer(answers) as server, voice(server) as adapter:
        stream = adapter.stream(conn_options=ONCE)
        stream.push_text(TEXT)
        await asyncio.sleep(0)
        await stream.aclose()
        assert await said(adapter)
        assert len(server.callers) == 1


async def test_closing_the_adapter_ends_a_text_for_good(caplog: pytest.LogCaptureFixture) -> None:
    """LiveKit would take the end of its stream for silence, log the text, and begin again."""

    async def mute(caller: Caller) -> None:
        await caller.until("end")
        speaking.set()
        await caller.next()

    speaking = asyncio.Event()
    async with VoiceServer(mute) as server:
        async with voice(server) as adapter:
            speech = adapter.synthesize(TEXT, conn_options=TWICE)
            await speaking.wait()
        assert speech.done and server.attempts == 1
    assert TEXT not in caplog.text


async def test_closing_the_adapter_ends_what_it_says() -> None:
    vendor = Interrupted()
    async with VoiceServer(vendor) as server:
        adapter = CustomWebSocketTTSAdapter(server.url, KEY)
        stream = adapter.stream(conn_options=ONCE)
        stream.push_text(TEXT)
        await anext(stream)
        await adapter.aclose()
        await asyncio.wait_for(vendor.noticed.wait(), 5)


# --- faults ---


async def test_a_break_before_any_audio_is_tried_again_with_the_whole_text() -> None:
    async def breaks(caller: Caller) -> None:
        await caller.until("end")
        caller.abort()

    async with VoiceServer(breaks, answers) as server, voice(server) as adapter:
        errors = errors_of(adapter)
        frames = await said(adapter, options=TWICE)
        assert sum(frame.duration for frame in frames) == pytest.approx(0.5)
        assert [caller.text for caller in server.callers] == [TEXT + " "] * 2
        assert [error.recoverable for error in errors] == [True]


async def test_a_break_in_mid_audio_is_an_error_and_nothing_is_said_twice() -> None:
    async def breaks(caller: Caller) -> None:
        await caller.until("end")
        await caller.ws.send_bytes(tone(1.0))
        await caller.next()

    async def hear(stream: Any) -> float:
        heard = 0.0
        with pytest.raises(APIConnectionError) as caught:
            async for event in stream:
                heard += event.frame.duration
                server.callers[-1].abort()
        assert caught.value.retryable is False
        return heard

    async with VoiceServer(breaks) as server, voice(server) as adapter:
        stream = adapter.stream(conn_options=TWICE)
        stream.push_text(TEXT)
        stream.end_input()
        assert await hear(stream) <= 1.0
        await stream.aclose()
        whole = adapter.synthesize(TEXT, conn_options=TWICE)
        assert await hear(whole) <= 1.0
        await whole.aclose()
        assert len(server.callers) == 2
        assert adapter.stats.broken_off == 2


async def test_a_vendor_that_says_nothing_any_more_is_given_up() -> None:
    async def silent(caller: Caller) -> None:
        await caller.until("closed")

    async with VoiceServer(silent) as server, voice(server, vendor=TunedVoice(stall_seconds=0.05)) as adapter:
        with pytest.raises(APITimeoutError, match=r"answers nothing since 0\.05 s"):
            await said(adapter)


async def test_a_language_model_may_take_its_time() -> None:
    """While text is still to come, the vendor owes nothing."""

    async def handler(caller: Caller) -> None:
        await caller.until("speak")
        await asyncio.sleep(0.1)  # longer than the stall, and nothing is missing
        release.set()
        await caller.speak(tone(0.1))

    release = asyncio.Event()
    tuned = TunedVoice(stall_seconds=0.05)
    async with VoiceServer(handler) as server, voice(server, vendor=tuned) as adapter, adapter.stream() as stream:
        stream.push_text("One moment, ")
        await release.wait()
        stream.push_text("please.")
        stream.end_input()
        assert [event async for event in stream]


async def test_after_a_flush_the_vendor_owes_an_answer_and_no_more() -> None:
    async def handler(caller: Caller) -> None:
        await caller.until("flush")
        await caller.ws.send_bytes(tone(0.1))
        await asyncio.sleep(0.12)  # longer than the stall
        release.set()
        await caller.until("end")
        await caller.done()

    async def silent(caller: Caller) -> None:
        await caller.until("closed")

    release = asyncio.Event()
    tuned = TunedVoice(stall_seconds=0.05, reusable=False)
    async with VoiceServer(handler, silent) as server, voice(server, vendor=tuned) as adapter:
        async with adapter.stream(conn_options=ONCE) as stream:
            stream.push_text("One moment, please. ")
            stream.flush()
            await release.wait()
            stream.end_input()
            assert [event async for event in stream]
        async with adapter.stream(conn_options=ONCE) as stream:
            stream.push_text("Hello? ")
            stream.flush()
            with pytest.raises(APITimeoutError):
                await anext(stream)


async def test_a_connection_that_went_dead_without_a_word_is_found_out_and_replaced() -> None:
    """Nobody tells of it: the first answer on it is tried again, and heard whole."""
    async with VoiceServer(answers) as server, FaultProxy("127.0.0.1", URL(server.url).port or 0) as proxy:
        tuned = TunedVoice(stall_seconds=0.1)
        async with CustomWebSocketTTSAdapter(f"ws://127.0.0.1:{proxy.port}/", vendor=tuned) as adapter:
            await said(adapter)
            proxy.half_open()
            frames = await said(adapter, options=TWICE)
            assert sum(frame.duration for frame in frames) == pytest.approx(0.5)
            assert adapter.stats.transient_failures == 1
        proxy.drop()


@pytest.mark.parametrize(("status", "retryable"), [(401, False), (404, False), (429, True), (503, True)], ids=str)
async def test_a_refusal_says_why_and_whether_to_come_back(status: int, retryable: bool) -> None:
    async with VoiceServer(answers, refuse=[status, status]) as server, voice(server) as adapter:
        with pytest.raises(APIStatusError) as caught:
            await said(adapter, options=ONCE)
        assert (caught.value.status_code, caught.value.retryable) == (status, retryable)
        assert KEY not in str(caught.value)


@pytest.mark.parametrize(("asks_for", "waits"), [("0.4", True), ("11", False)])
async def test_a_vendor_that_asks_for_patience_gets_it(asks_for: str, waits: bool) -> None:
    """But not more of it than a connection may take."""
    refusals = [(429, {"Retry-After": asks_for})]
    async with VoiceServer(answers, refuse=refusals) as server, voice(server) as adapter:
        before = time.monotonic()
        with contextlib.nullcontext() if waits else pytest.raises(APIStatusError):
            await said(adapter, options=TWICE)
        assert time.monotonic() - before >= 0.4 or not waits
        assert server.attempts == (2 if waits else 1)


async def test_patience_is_for_whatever_is_said_next() -> None:
    """Also for a whole text, which is another stream with every attempt. A pause too long holds up nothing."""
    refusals = [(429, {"Retry-After": "0.3"}), (429, {"Retry-After": "60"})]
    async with VoiceServer(answers, refuse=refusals) as server, voice(server) as adapter:
        before = time.monotonic()
        with pytest.raises(APIStatusError):
            await adapter.synthesize(TEXT, conn_options=TWICE).collect()
        assert server.attempts == 2 and 0.3 <= time.monotonic() - before < 5
        await said(adapter)


async def test_nobody_there_is_a_connection_error() -> None:
    async with CustomWebSocketTTSAdapter("ws://127.0.0.1:9/", KEY) as adapter:
        with pytest.raises(APIConnectionError, match="refused"):
            await said(adapter)


async def test_a_handshake_that_hangs_times_out() -> None:
    async with FaultProxy("127.0.0.1", 9) as proxy:
        proxy.hang()
        async with CustomWebSocketTTSAdapter(f"ws://127.0.0.1:{proxy.port}/", connect_timeout=0.05) as adapter:
            with pytest.raises(APITimeoutError, match=r"no connection within 0\.05 s"):
                await said(adapter)


@pytest.mark.parametrize(("code", "retryable"), [(404, False), (401, False), (429, True), (500, True)], ids=str)
async def test_an_error_in_a_message_has_its_own_verdict(code: int, retryable: bool) -> None:
    async def handler(caller: Caller) -> None:
        await caller.until("start")
        await caller.tell("error", message=f"no voice for {TEXT} with {KEY}", code=code)
        await caller.next()

    async with VoiceServer(handler) as server, voice(server) as adapter:
        with pytest.raises(APIError, match="no voice for") as caught:
            await said(adapter)
        assert caught.value.retryable is retryable
        shown = f"{caught.value!s} {caught.value!r}"
        assert KEY not in shown and TEXT not in shown


async def test_what_is_quoted_of_the_text_is_not_told() -> None:
    async def tells(caller: Caller) -> None:
        await caller.until("end")
        await caller.tell("error", message="cannot say 'open at nine, and close'")
        await caller.next()

    async def hangs_up(caller: Caller) -> None:
        await caller.until("end")
        await caller.ws.close(code=1008, message=b"cannot say: close at eight")

    async with VoiceServer(tells, hangs_up) as server, voice(server) as adapter:
        with pytest.raises(APIError, match="cannot say '…'"):
            await said(adapter)
        with pytest.raises(APIError, match=r"\(cannot say: …\)"):
            await said(adapter)


async def test_a_vendor_that_hangs_up_at_once_is_told_from_one_that_spoke() -> None:
    async def hangs_up(caller: Caller) -> None:
        await caller.until("end")
        await caller.ws.close()

    async def breaks_off(caller: Caller) -> None:
        await caller.until("end")
        await caller.ws.send_bytes(tone(0.1))
        await caller.ws.close()

    async with VoiceServer(hangs_up, breaks_off) as server, voice(server) as adapter:
        with pytest.raises(APIError, match="with code 1000 before it said anything"):
            await said(adapter)
        with pytest.raises(APIError, match=r"with code 1000',"):
            await said(adapter)


async def test_a_client_closed_request_is_not_taken_for_our_own_leaving() -> None:
    """LiveKit ends an answer with that status without a word."""
    async with VoiceServer(answers, refuse=[499, 499]) as server, voice(server) as adapter:
        with pytest.raises(APIConnectionError, match="HTTP 499"):
            await said(adapter, options=ONCE)


async def test_garbage_is_ignored_and_only_garbage_is_not(caplog: pytest.LogCaptureFixture) -> None:
    async def stammers(caller: Caller) -> None:
        await caller.until("end")
        for nonsense in ("not JSON", "[]", '{"type": 7}', '{"no": "type"}', '{"type": "surprise"}'):
            await caller.ws.send_str(nonsense)
        await caller.ws.send_bytes(tone(0.5))
        await caller.done()

    async def raves(caller: Caller) -> None:
        await caller.until("end")
        for _ in range(200):
            await caller.ws.send_str("not JSON")
        await caller.next()

    async with VoiceServer(stammers, raves) as server, voice(server) as adapter:
        with caplog.at_level(logging.WARNING):
            assert sum(frame.duration for frame in await said(adapter)) == pytest.approx(0.5)
        assert adapter.stats.messages_ignored >= 2
        assert "not understood" in caplog.text and TEXT not in caplog.text
        adapter.update_options(voice="another")  # and so another connection
        with pytest.raises(APIError, match="100 messages in a row"):
            await said(adapter)


async def test_what_a_protocol_makes_of_messages_can_end_an_answer_and_never_the_reader() -> None:
    """Somebody's own protocol may make anything of a message: words without text, a form there is not."""

    class Odd(TunedVoice):
        def converse(self, settings: Any) -> SynthesisConversation:
            talk = super().converse(settings)
            talk.receive = lambda message: [odd.pop(0)] if odd else []  # type: ignore[method-assign]
            return talk

    async def handler(caller: Caller) -> None:
        await caller.until("end")
        await caller.ws.send_bytes(tone(0.1))
        await caller.ws.send_bytes(tone(0.1))
        await caller.next()

    async with VoiceServer(handler) as server, voice(server, vendor=Odd()) as adapter:
        for event in (SpokenWords([None]), SynthesisForm("audio/pcm", -1)):  # type: ignore[list-item]
            odd = [event, Audio(tone(0.1))]
            with pytest.raises(APIError, match="cannot be read"):
                await said(adapter)


@pytest.mark.parametrize("how", ["no audio", "closed", "early"])
async def test_what_ends_too_soon_is_an_error_that_names_no_text(how: str) -> None:
    async def handler(caller: Caller) -> None:
        await caller.until("speak" if how == "early" else "end")
        if how == "closed":
            await caller.ws.send_bytes(tone(0.01))
            await caller.ws.close()
            return
        await caller.done()
        await caller.next()

    match = {"no audio": "sent no audio", "closed": "code 1000", "early": "before all of the text"}[how]
    async with (
        VoiceServer(handler) as server,
        voice(server) as adapter,
        adapter.stream(conn_options=ONCE) as stream,
    ):
        stream.push_text(TEXT + " ")
        if how != "early":
            stream.end_input()
        with pytest.raises(APIError, match=match) as caught:
            async for _ in stream:
                pass
        assert TEXT not in str(caught.value)


async def test_what_cannot_work_is_refused_before_anything_is_sent() -> None:
    for given, match in (
        ({"ws_url": "http://localhost/"}, "ws_url"),
        ({"ws_url": "ws://voices.example/", "api_key": KEY}, "clear text"),
        ({"ws_url": "ws://localhost/", "vendor": "no-such-vendor"}, "no-such-vendor"),
        ({"ws_url": "ws://localhost/", "vendor": "vosk"}, "vosk"),
        ({"ws_url": "ws://localhost/", "connect_timeout": 0}, "connect_timeout"),
        ({"ws_url": "ws://localhost/", "vendor": "cartesia", "options": {"sped": 1}}, "sped"),
    ):
        with pytest.raises(ConfigurationError, match=match):
            CustomWebSocketTTSAdapter(**given)  # type: ignore[arg-type]


async def test_livekits_fallback_adapter_turns_to_the_next_voice() -> None:
    """One that refuses, or breaks before anything was heard, is replaced by the next, with the whole text."""

    async def breaks(caller: Caller) -> None:
        await caller.until("end")
        caller.abort()

    async with VoiceServer(breaks, refuse=[None, 503]) as bad, VoiceServer(answers) as good:
        async with voice(bad) as first, voice(good) as second:
            fallback = FallbackAdapter([first, second], max_retry_per_tts=0)
            for _ in range(2):
                async with fallback.stream() as stream:
                    stream.push_text(TEXT)
                    stream.end_input()
                    heard = sum([event.frame.duration async for event in stream])
                assert heard == pytest.approx(0.5, abs=0.05)
                assert good.callers[-1].text == TEXT
            await fallback.aclose()
        assert len(good.callers) == 1
