"""What a failover adapter is to the outside: members of every kind, events, options, recordings, ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import numpy as np
import pytest
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, stt, utils, vad
from livekit.agents.metrics import STTMetrics
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN
from livekit.plugins import deepgram
from prometheus_client import CollectorRegistry

from agents.providers.adapters import FailoverSTTAdapter
from agents.providers.base import ConfigurationError
from agents.providers.stt.adapter import STTAdapter
from agents.providers.stt.http import CustomHTTPSTTAdapter
from agents.providers.stt.streaming import CustomWebSocketSTTAdapter
from agents.providers.testing import Behaviour, Ear, OracleServer, numbers_in, speak
from agents.providers.testing.several import VendorPlan, vendors_on_loopback
from agents.providers.wrappers.metered import MeteredSTTAdapter

RATE = 16000
ONCE = APIConnectOptions(max_retry=0, timeout=1.0)
START, END = stt.SpeechEventType.START_OF_SPEECH, stt.SpeechEventType.END_OF_SPEECH
FINAL, INTERIM = stt.SpeechEventType.FINAL_TRANSCRIPT, stt.SpeechEventType.INTERIM_TRANSCRIPT


# ---------------------------------------------------------------------- members without a network


class Scripted(STTAdapter):
    """Hears numbered words, and does what it is told.

    Attributes:
        fails: raised by every new stream and every recognition while set.
        deaf: says nothing.
        quits: its next stream ends in good order after the first final, whatever it was given.
        takes: seconds from a flush, or the end of the input, to what it still has to say.
        trips: its streams report an error at each flush, and go on.
        streams: how many there were.
        heard: seconds of audio each stream was given.
    """

    def __init__(self, name: str = "one", **capabilities: Any) -> None:
        super().__init__(sample_rate=RATE, **{"interim_results": True, **capabilities})
        self.name = name
        self.fails: Exception | None = None
        self.deaf = False
        self.quits = False
        self.takes = 0.0
        self.trips = False
        self.times = True
        self.streams: list[ScriptedStream] = []
        self.options: dict[str, Any] = {}
        self.keyterms: list[str] = []
        self.items: list[Any] = []
        self.prewarmed = 0
        self.recognised = 0
        self.closed = False

    @property
    def model(self) -> str:
        return f"model-{self.name}"

    @property
    def provider(self) -> str:
        return self.name

    def stream(self, *, language: Any = NOT_GIVEN, conn_options: Any = None) -> ScriptedStream:
        made = ScriptedStream(self, conn_options or DEFAULT_API_CONNECT_OPTIONS)
        made.language = language
        self.streams.append(made)
        return made

    async def _recognize_impl(
        self, buffer: Any, *, language: Any = NOT_GIVEN, conn_options: Any = None
    ) -> stt.SpeechEvent:
        self.recognised += 1
        if self.fails is not None:
            raise self.fails
        if self.deaf:
            await asyncio.Event().wait()
        frames = buffer if isinstance(buffer, list) else [buffer]
        ear = Ear(frames[0].sample_rate)
        words = [word for frame in frames for word in ear.listen(frame.data.cast("B"))[1]]
        return final(" ".join(f"w{word.number}" for word in words))

    def update_options(self, *, language: Any = NOT_GIVEN, keyterm: Any = NOT_GIVEN) -> None:
        if language == "tlh":
            raise ValueError("nobody speaks that")
        self.options.update(language=language, keyterm=keyterm)

    def _update_session_keyterms(self, keyterms: list[str]) -> None:
        self.keyterms = keyterms

    def _push_conversation_item(self, ev: Any) -> None:
        self.items.append(ev)

    def prewarm(self) -> None:
        self.prewarmed += 1

    async def aclose(self) -> None:
        self.closed = True


class ScriptedStream(stt.RecognizeStream):
    """Says a final after 300 ms of silence, and an interim with every word."""

    def __init__(self, recogniser: Scripted, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=recogniser, conn_options=conn_options)
        self._recogniser = recogniser
        self.language: Any = None
        self.heard = 0.0
        self.flushes = 0
        self.channels = 0
        self.stop = asyncio.Event()

    async def _run(self) -> None:
        if self._recogniser.fails is not None:
            raise self._recogniser.fails
        reading = asyncio.ensure_future(self._read())
        stopping = asyncio.ensure_future(self.stop.wait())
        try:
            await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if self._recogniser.fails is not None:
                raise self._recogniser.fails
            if reading.done():
                reading.result()
        finally:
            await utils.aio.cancel_and_wait(reading, stopping)

    async def _read(self) -> None:
        ear: Ear | None = None
        words: list[Any] = []
        async for item in self._input_ch:
            if not isinstance(item, rtc.AudioFrame):
                self.flushes += 1
                if self._recogniser.trips:
                    self._emit_error(DOWN, recoverable=True)
                await asyncio.sleep(self._recogniser.takes)
                self._finish(ear, words)
                continue
            self.channels = item.num_channels
            self.heard += item.duration
            if self._recogniser.deaf:
                continue
            ear = ear or Ear(item.sample_rate)
            _, heard = ear.listen(item.data.cast("B"))
            if heard:
                words += heard
                self.say(INTERIM, ear, words)
            if words and ear.position - ear.voice_end >= 0.3 * item.sample_rate:
                self._finish(ear, words)
                if self._recogniser.quits:
                    self._recogniser.quits = False
                    return
        self._finish(ear, words)

    def _finish(self, ear: Ear | None, words: list[Any]) -> None:
        if ear is not None and words:
            self.say(FINAL, ear, words)
            words.clear()

    def say(self, kind: stt.SpeechEventType, ear: Ear, words: list[Any]) -> None:
        rate = ear._word_samples / 0.2
        text = " ".join(f"w{word.number}" for word in words)
        times = (words[0].start / rate, words[-1].end / rate) if self._recogniser.times else (-1.0, -1.0)
        offset = self.start_time_offset if self._recogniser.times else 1.0
        self._event_ch.send_nowait(event(kind, text, times[0] + offset, times[1] + offset))


def event(kind: stt.SpeechEventType, text: str, start: float = 0.0, end: float = 0.0) -> stt.SpeechEvent:
    data = stt.SpeechData(language="en", text=text, start_time=start, end_time=end)  # type: ignore[arg-type]
    return stt.SpeechEvent(type=kind, alternatives=[data])


def final(text: str) -> stt.SpeechEvent:
    return event(FINAL, text)


class EnergyVAD(vad.VAD):
    """A VAD by level: what a real one does, without a model."""

    def __init__(self) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=0.05))

    def stream(self) -> vad.VADStream:
        return EnergyVADStream(self)


class EnergyVADStream(vad.VADStream):
    async def _main_task(self) -> None:
        clock, silence, speech, frames = 0.0, 0.0, 0.0, []
        speaking = False
        async for item in self._input_ch:
            if not isinstance(item, rtc.AudioFrame):
                speaking, silence, speech, frames = False, 0.0, 0.0, []
                continue
            clock += item.duration
            loud = bool(np.abs(np.frombuffer(item.data, dtype="<i2").astype(np.int32)).max() > 1000)
            silence = 0.0 if loud else silence + item.duration
            frames = [*frames, item] if speaking or loud else [*frames[-5:], item]
            self._say(vad.VADEventType.INFERENCE_DONE, clock, speech, silence, [item], speaking=loud)
            if loud and not speaking:
                speaking = True
                self._say(vad.VADEventType.START_OF_SPEECH, clock, speech, silence, list(frames))
            speech += item.duration if speaking and loud else 0.0
            if speaking and silence >= 0.25:
                speaking = False
                self._say(vad.VADEventType.END_OF_SPEECH, clock, speech, silence, frames)
                frames, speech = [], 0.0

    def _say(
        self,
        kind: vad.VADEventType,
        clock: float,
        speech: float,
        silence: float,
        frames: list[rtc.AudioFrame],
        *,
        speaking: bool = False,
    ) -> None:
        self._event_ch.send_nowait(
            vad.VADEvent(
                type=kind,
                samples_index=0,
                timestamp=clock,
                speech_duration=speech,
                silence_duration=silence,
                frames=list(frames),
                speaking=speaking,
            )
        )


class BrokenVAD(EnergyVAD):
    """Its model fails at the first frame."""

    def stream(self) -> vad.VADStream:
        return BrokenVADStream(self)


class BrokenVADStream(vad.VADStream):
    async def _main_task(self) -> None:
        async for _ in self._input_ch:
            raise ArithmeticError("no model")


# ---------------------------------------------------------------------- a caller


class Call:
    """A stream, what is said into it, and what comes out."""

    def __init__(self, adapter: stt.STT[Any], **stream_options: Any) -> None:
        self.stream = adapter.stream(conn_options=ONCE, **stream_options)
        self.events: list[stt.SpeechEvent] = []
        self.error: Exception | None = None
        self._news = asyncio.Event()
        self._next = 0
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        try:
            async for said in self.stream:
                self.events.append(said)
                self._news.set()
        except Exception as error:
            self.error = error
        self._news.set()

    async def say(self, *lengths: int, rate: int = RATE, channels: int = 1, pace: float = 20.0) -> None:
        """Utterances of so many words, numbered on from the last ones, and a pause after the last."""
        speech = speak([*([self._next] if self._next else []), *lengths], rate, pause_ms=600, tail_ms=700)
        first = round((speech.words[self._next].start - 0.1) * rate) if self._next else 0
        self._next += sum(lengths)
        await self.push(speech.pcm[2 * first :], rate=rate, channels=channels, pace=pace)

    async def push(self, pcm: bytes, *, rate: int = RATE, channels: int = 1, pace: float = 20.0) -> None:
        step = rate // 20
        for begin in range(0, len(pcm) // 2, step):
            piece = np.frombuffer(pcm[2 * begin : 2 * (begin + step)], dtype="<i2")
            data = np.repeat(piece, channels).tobytes()
            self.stream.push_frame(rtc.AudioFrame(data, rate, channels, len(piece)))
            await asyncio.sleep(0.05 / pace)

    async def silence(self, seconds: float, pace: float = 20.0) -> None:
        await self.push(bytes(round(seconds * RATE) * 2), pace=pace)

    @property
    def words(self) -> list[int]:
        """In finals."""
        return [n for said in self.events if said.type is FINAL for n in numbers_in(said.alternatives[0].text)]

    @property
    def order(self) -> str:
        return "".join({START: "(", END: ")", FINAL: "!"}.get(said.type, "") for said in self.events)

    async def until(self, holds: Callable[[], bool], seconds: float = 5.0) -> None:
        """Wait for events until *holds*."""

        async def wait() -> None:
            while not holds():
                self._news.clear()
                await self._news.wait()

        await asyncio.wait_for(wait(), seconds)

    async def end(self) -> Call:
        if self.error is None and not self._reader.done():
            self.stream.end_input()
        await asyncio.wait_for(asyncio.shield(self._reader), 8.0)
        await self.stream.aclose()
        return self

    async def aclose(self) -> None:
        await self.stream.aclose()
        await asyncio.gather(self._reader, return_exceptions=True)


def noted(adapter: stt.STT[Any], name: Any) -> list[Any]:
    found: list[Any] = []
    adapter.on(name, found.append)
    return found


def pair(**options: Any) -> tuple[Scripted, Scripted, FailoverSTTAdapter]:
    one, two = Scripted("one"), Scripted("two")
    return one, two, FailoverSTTAdapter([one, two], **{"silence_limit": 0.4, "breaker_seconds": 0.1, **options})


DOWN = APIStatusError("down", status_code=503)
WRONG_KEY = APIStatusError("wrong key", status_code=401)


# ---------------------------------------------------------------------- switching


async def test_a_healthy_member_is_left_alone() -> None:
    one, two, adapter = pair()
    call = Call(adapter)
    await call.say(3, 2)
    await call.end()
    assert call.words == [0, 1, 2, 3, 4] and call.order == "(!)(!)"
    assert len(one.streams) == 1 and not two.streams
    assert adapter.stats.switches == adapter.stats.replayed_seconds == 0 and adapter.model == "model-one"
    await adapter.aclose()


@pytest.mark.parametrize("failure", [DOWN, RuntimeError("bug"), WRONG_KEY], ids=["503", "bug", "401"])
async def test_whatever_a_member_raises_the_next_one_hears_all_that_is_not_final(failure: Exception) -> None:
    one, two, adapter = pair(breaker_seconds=60.0)  # a trial that fails would be told, too
    changes, errors = noted(adapter, "stt_availability_changed"), noted(adapter, "error")
    call = Call(adapter, language="de")
    await call.say(2)
    await call.until(lambda: call.words == [0, 1])
    one.fails = failure
    speech = asyncio.ensure_future(call.say(4))
    await call.until(lambda: call.events[-1].type is INTERIM)
    one.streams[0].stop.set()
    await speech
    await call.end()
    assert call.words == [0, 1, 2, 3, 4, 5] and call.order == "(!)(!)"
    assert two.streams[0].heard < 3.0, "not what was final"
    assert 0 < adapter.stats.replayed_seconds < 1.5
    assert two.streams[0].language == "de"
    assert [(change.stt, change.available) for change in changes] == [(one, False)]
    assert len(errors) == 1 and errors[0].recoverable and errors[0].error is failure
    assert adapter.model == "model-two" and adapter.provider == "two" and adapter.available == (False, True)
    times = [said.alternatives[0] for said in call.events if said.type is FINAL]
    assert [round(data.start_time, 1) for data in times] == [0.1, 1.4]
    await adapter.aclose()


async def test_a_frame_that_meets_a_failure_does_not_hide_it() -> None:
    one, two, adapter = pair()
    one.fails = WRONG_KEY
    call = Call(adapter)
    while not one.streams:
        await asyncio.sleep(0)
    failing = one.streams[0]
    while not failing._event_ch.closed:
        await asyncio.sleep(0)
    assert adapter.available == (True, True), "nobody has read it yet"
    await call.say(1)
    await call.end()
    assert call.words == [0] and adapter._breakers[0].permanent, "a wrong key stays wrong"
    await adapter.aclose()


async def test_a_stream_that_ends_by_itself_is_a_failure() -> None:
    one, _, adapter = pair()
    errors = noted(adapter, "error")
    call = Call(adapter)
    await asyncio.sleep(0)
    one.streams[0].stop.set()
    await call.say(3)
    await call.end()
    assert call.words == [0, 1, 2]
    assert [error.recoverable for error in errors] == [True] and "ended" in str(errors[0].error)
    await adapter.aclose()


async def test_a_silent_member_is_left_and_has_failed_once_another_finds_words() -> None:
    one, two, adapter = pair()
    one.deaf = True
    changes = noted(adapter, "stt_availability_changed")
    call = Call(adapter)
    await call.say(4, pace=2.0)
    await call.end()
    assert call.words == [0, 1, 2, 3]
    assert adapter.stats.silences == 1 and [change.stt for change in changes] == [one]
    assert two.streams
    await adapter.aclose()


async def test_time_in_which_nobody_listened_is_nobodys_silence() -> None:
    one, two, adapter = pair(silence_limit=0.2)
    call = Call(adapter)
    await call.silence(0.5)
    pcm = speak([3], RATE).pcm
    for begin in range(0, len(pcm), RATE // 10):
        piece = pcm[begin : begin + RATE // 10]
        call.stream.push_frame(rtc.AudioFrame(piece, RATE, 1, len(piece) // 2))
    time.sleep(0.6)  # noqa: ASYNC251 - somebody else's code, which blocks the loop
    await call.silence(1.0)
    await call.end()
    assert call.words == [0, 1, 2] and adapter.stats.silences == 0 and not two.streams
    await adapter.aclose()


async def test_music_is_not_taken_for_an_outage() -> None:
    one, two, adapter = pair()
    call = Call(adapter)
    music = (np.sin(np.arange(RATE * 3) / 9) * 6000).astype("<i2").tobytes()
    await call.push(music, pace=2.0)
    assert adapter.available == (True, True), "nobody finds words in it, so nobody has failed"
    assert 1 <= adapter.stats.silences <= 6, "with growing patience"
    await call.say(3)
    await call.end()
    assert call.words == [0, 1, 2]
    await adapter.aclose()


async def test_recoverable_errors_without_a_word_in_between_are_a_failure() -> None:
    one, two, adapter = pair(silence_limit=5.0)
    errors = noted(adapter, "error")
    one.deaf = True
    call = Call(adapter)
    await call.say(2)
    one._emit_error(DOWN, recoverable=True)
    assert not two.streams, "one may be mended at once"
    one._emit_error(DOWN, recoverable=True)
    await call.say(2)
    await call.end()
    assert call.words == [0, 1, 2, 3] and two.streams
    assert [str(error.error) for error in errors][:2] == [str(DOWN)] * 2 and "2 errors" in str(errors[2].error)
    await adapter.aclose()


async def test_an_idle_member_that_closes_is_asked_again_with_the_next_audio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agents.providers.wrappers.failover_stream._IDLE_SECONDS", 0.05)
    one, two, adapter = pair()
    call = Call(adapter)
    await asyncio.sleep(0.1)
    one.streams[0].stop.set()
    await asyncio.sleep(0.05)
    await call.say(2)
    await call.end()
    assert call.words == [0, 1] and len(one.streams) == 2 and not two.streams
    assert adapter.available == (True, True)
    await adapter.aclose()


async def test_a_failed_stream_constructor_is_a_failure_too() -> None:
    one, two, adapter = pair()

    def refuse(**_: Any) -> Any:
        raise RuntimeError("no stream today")

    one.stream = refuse  # type: ignore[method-assign]
    errors = noted(adapter, "error")
    call = Call(adapter)
    await call.say(2)
    await call.end()
    assert call.words == [0, 1] and "no stream today" in str(errors[0].error)
    await adapter.aclose()


# ---------------------------------------------------------------------- the end of a call


async def test_members_that_need_longer_for_the_rest_than_they_may_be_silent_are_given_longer() -> None:
    one, two, adapter = pair(silence_limit=0.1)
    one.takes = two.takes = 0.5
    call = Call(adapter)
    await call.push(speak([4], RATE).pcm)
    await call.end()
    assert call.words == [0, 1, 2, 3] and adapter.stats.dropped_seconds == 0
    assert all(stream.heard for stream in one.streams + two.streams), "nobody is tried out without audio"
    await adapter.aclose()


async def test_speech_without_a_pause_is_not_taken_for_noise_when_a_member_breaks_at_the_end() -> None:
    one, two, adapter = pair(silence_limit=1.0)
    one.deaf = True
    call = Call(adapter)
    await call.push(speak([40], RATE, gap_ms=0).pcm)
    one.fails = DOWN
    one.streams[0].stop.set()
    await call.end()
    assert call.words == list(range(40))
    await adapter.aclose()


async def test_a_member_that_quits_while_it_is_given_the_rest_again_has_not_said_all() -> None:
    one, two, adapter = pair()
    one.times = two.times = False
    two.quits = one.deaf = True
    call = Call(adapter)
    await call.push(speak([2, 3], RATE).pcm)
    one.fails = DOWN
    one.streams[0].stop.set()
    await call.end()
    assert call.words == [0, 1, 2, 3, 4]
    await adapter.aclose()


async def test_a_member_that_ended_before_the_input_did_has_not_said_all() -> None:
    one, two, adapter = pair()
    one.times = False
    call = Call(adapter)
    await call.say(2)
    await call.until(lambda: call.words == [0, 1])
    one.deaf = True
    speech = speak([2, 3], RATE)
    await call.push(speech.pcm[2 * round((speech.words[2].start - 0.1) * RATE) :])
    leg = call.stream._leg
    one.streams[0].stop.set()
    while not leg.ended.done():
        await asyncio.sleep(0)
    await call.end()
    assert call.words == [0, 1, 2, 3, 4]
    await adapter.aclose()


# ---------------------------------------------------------------------- all down


async def test_when_all_are_down_the_audio_waits_for_the_first_that_comes_back() -> None:
    one, two, adapter = pair()
    one.fails = two.fails = DOWN
    call = Call(adapter)
    await call.say(3)
    assert not call.words
    two.fails = None
    await call.until(lambda: call.words == [0, 1, 2])
    await call.end()
    assert adapter.stats.dropped_seconds == 0
    await adapter.aclose()


async def test_on_failure_raise_gives_up_after_the_rounds_it_is_given() -> None:
    one, two, adapter = pair(on_failure="raise")
    one.fails = two.fails = DOWN
    errors = noted(adapter, "error")
    call = Call(adapter)
    await call.until(lambda: call.error is not None)
    assert isinstance(call.error, APIConnectionError) and call.error.retryable
    assert "member 1 (one" in str(call.error) and "member 2 (two" in str(call.error)
    assert len(one.streams) == len(two.streams) == 1, "max_retry=0: one round"
    assert [error.recoverable for error in errors] == [True, True, False]
    await call.aclose()
    await adapter.aclose()


async def test_wrong_keys_everywhere_end_the_stream_in_any_mode() -> None:
    one, two, adapter = pair(on_failure="degrade")
    one.fails = two.fails = WRONG_KEY
    call = Call(adapter)
    await call.until(lambda: call.error is not None)
    assert isinstance(call.error, APIConnectionError) and not call.error.retryable
    await call.aclose()
    await adapter.aclose()


async def test_audio_beyond_replay_seconds_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    one, two, adapter = pair(replay_seconds=0.3)
    one.fails = two.fails = DOWN
    call = Call(adapter)
    await call.push(speak([10], RATE).pcm, pace=4.0)
    one.fails = None
    with caplog.at_level(logging.ERROR, "agents.providers.wrappers"):
        await call.end()
    assert adapter.stats.dropped_seconds > 0 and "are lost" in caplog.text
    assert call.words[-1] == 9 and 0 not in call.words
    await adapter.aclose()


# ---------------------------------------------------------------------- the way back


@pytest.mark.parametrize("probe", ["background", "next_utterance"])
async def test_the_preferred_member_comes_back_at_the_end_of_an_utterance(probe: Any) -> None:
    one, two, adapter = pair(probe=probe, breaker_seconds=0.6)
    changes = noted(adapter, "stt_availability_changed")
    one.fails = DOWN
    call = Call(adapter)
    await call.say(2, pace=4.0)
    one.fails = None
    for _ in range(4):
        await call.say(2, pace=4.0)
    await call.end()
    assert call.words == list(range(10)) and call.order == "(!)" * 5
    assert adapter.model == "model-one" and adapter.available == (True, True)
    assert [(change.stt, change.available) for change in changes] == [(one, False), (one, True)]
    assert len(two.streams) == 1
    await adapter.aclose()


async def test_a_trial_that_fails_is_nothing_to_the_caller() -> None:
    one, two, adapter = pair(breaker_seconds=0.05)
    one.fails = DOWN
    call = Call(adapter)
    for _ in range(3):
        await call.say(2, pace=5.0)
    await call.end()
    assert call.words == list(range(6)) and len(two.streams) == 1
    assert len(one.streams) >= 2 and adapter.available == (False, True)
    await adapter.aclose()


# ---------------------------------------------------------------------- members of all kinds


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "StreamAdapter"])
async def test_a_batch_member_with_a_vad_goes_on_to_the_word_and_has_times(wrapped: bool) -> None:
    one, batch = Scripted("one"), Scripted("batch", streaming=False, interim_results=False)
    member = stt.StreamAdapter(stt=batch, vad=EnergyVAD()) if wrapped else batch
    adapter = FailoverSTTAdapter([one, member], vad=EnergyVAD(), silence_limit=0.5)
    call = Call(adapter)
    await call.say(2)
    one.fails = DOWN
    one.streams[0].stop.set()
    await call.say(3, 2)
    await call.end()
    assert call.words == list(range(7)) and call.order == "(!)(!)(!)"
    last = [said.alternatives[0] for said in call.events if said.type is FINAL][-1]
    assert last.end_time == pytest.approx(3.3, abs=0.1)
    assert adapter.active is member and batch.recognised == 2
    await adapter.aclose()


async def test_a_batch_member_that_fails_hands_over_the_utterance() -> None:
    batch, two = Scripted("batch", streaming=False, interim_results=False), Scripted("two")
    batch.fails = DOWN
    adapter = FailoverSTTAdapter([batch, two], vad=EnergyVAD(), silence_limit=0.5)
    errors = noted(adapter, "error")
    call = Call(adapter)
    await call.say(3)
    await call.end()
    assert call.words == [0, 1, 2] and call.order == "(!)"
    assert [error.error for error in errors] == [DOWN], "told once"
    await adapter.aclose()


async def test_an_utterance_that_is_open_at_the_end_is_recognised_by_a_batch_member() -> None:
    batch = Scripted("batch", streaming=False, interim_results=False)
    adapter = FailoverSTTAdapter([batch], vad=EnergyVAD())
    call = Call(adapter)
    await call.push(speak([3], RATE).pcm)
    await call.end()
    assert call.words == [0, 1, 2]
    await adapter.aclose()


async def test_finals_without_times_are_aligned_by_their_words() -> None:
    one, two, adapter = pair()
    one.times = False
    call = Call(adapter)
    await call.say(3)
    await call.until(lambda: call.words == [0, 1, 2])
    one.fails = DOWN
    one.streams[0].stop.set()
    await call.say(2)
    await call.end()
    assert call.words == [0, 1, 2, 3, 4] and call.order == "(!)(!)"
    assert two.streams[0].heard > 2.8, "all of it, since nobody knows what is covered"
    await adapter.aclose()


async def test_several_channels_are_mixed_and_every_rate_goes_in_as_it_comes() -> None:
    for rate in (8000, 48000):
        one, two, adapter = pair()
        call = Call(adapter)
        await call.say(2, rate=rate, channels=2)
        one.fails = DOWN
        one.streams[0].stop.set()
        await call.say(2, rate=rate, channels=2)
        await call.end()
        assert call.words == [0, 1, 2, 3] and two.streams[0].channels == 1
        with pytest.raises(RuntimeError, match=r"closed|ended"):
            call.stream.push_frame(rtc.AudioFrame(bytes(320), rate, 1, 160))
        await adapter.aclose()


async def test_the_rate_of_a_stream_stays() -> None:
    _, _, adapter = pair()
    call = Call(adapter)
    await call.say(1)
    with pytest.raises(ValueError, match="sample rate"):
        call.stream.push_frame(rtc.AudioFrame(bytes(320), 8000, 1, 160))
    await call.aclose()
    await adapter.aclose()


@pytest.mark.leaks_allowed("the plugin's keepalive task ends when it wakes up; LiveKit's resampler stays")
async def test_livekits_plugin_voxports_adapter_and_a_wrapped_one_mix() -> None:
    plans = [
        VendorPlan(behaviour=Behaviour(dialect="deepgram"), silent_after=2.0),
        VendorPlan(behaviour=Behaviour(dialect="deepgram"), silent_after=1.5),
        VendorPlan(),
    ]
    async with AsyncExitStack() as stack:
        urls, _, _ = await vendors_on_loopback(plans, stack)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        native = deepgram.STT(api_key="key", base_url=urls[0].replace("ws:", "http:"), http_session=http)
        voxport = CustomWebSocketSTTAdapter(urls[1], "key", vendor="deepgram")
        metered = MeteredSTTAdapter(
            CustomWebSocketSTTAdapter(urls[2], vendor="generic"), registry=CollectorRegistry()
        )
        for member in (native, voxport, metered):
            stack.push_async_callback(member.aclose)
        adapter = FailoverSTTAdapter([native, voxport, metered], silence_limit=0.6)
        outer = MeteredSTTAdapter(adapter, registry=CollectorRegistry())
        call = Call(outer)
        for _ in range(4):
            await call.say(4, rate=24000, pace=6.0)
        await call.end()
        assert call.words == list(range(16)) and call.order == "(!)" * 4
        assert adapter.active is metered and adapter.stats.switches == 2
        await outer.aclose()


# ---------------------------------------------------------------------- speech by VAD


async def test_a_vad_that_fails_is_done_without(caplog: pytest.LogCaptureFixture) -> None:
    """The caller goes on; who is silent is still found out, by the level of the audio."""
    one, two, adapter = pair(vad=BrokenVAD(), speech_by="vad")
    one.deaf = True
    call = Call(adapter)
    await call.say(2)
    await call.say(2)
    await call.end()
    assert call.error is None and call.words == [0, 1, 2, 3] and two.streams
    told = [record.message for record in caplog.records if "VAD" in record.message]
    assert told == [
        "the VAD fails with ArithmeticError: the level of the audio tells from now on whether somebody speaks"
    ]
    await adapter.aclose()


async def test_with_a_vad_only_speech_counts() -> None:
    class Nobody(EnergyVAD):
        def stream(self) -> vad.VADStream:
            return NobodySpeaks(self)

    class NobodySpeaks(vad.VADStream):
        async def _main_task(self) -> None:
            async for _ in self._input_ch:
                pass

    for hearing, switches in ((Nobody(), 0), (EnergyVAD(), 1)):
        one, _, adapter = pair(vad=hearing, speech_by="vad")
        one.deaf = True
        call = Call(adapter)
        await call.say(5, pace=2.5)
        assert adapter.stats.silences == switches
        await call.aclose()
        await adapter.aclose()


# ---------------------------------------------------------------------- recordings

RECORDING = rtc.AudioFrame(speak([3], RATE).pcm, RATE, 1, len(speak([3], RATE).pcm) // 2)


async def recognise(adapter: stt.STT[Any], **options: Any) -> str:
    result = await adapter.recognize(RECORDING, conn_options=ONCE, **options)
    return result.alternatives[0].text


@pytest.mark.parametrize("failure", [DOWN, WRONG_KEY, RuntimeError("bug")], ids=["503", "401", "bug"])
async def test_a_recording_goes_to_the_next_member(failure: Exception) -> None:
    one, two, adapter = pair()
    metrics, changes = noted(adapter, "metrics_collected"), noted(adapter, "stt_availability_changed")
    one.fails = failure
    assert await recognise(adapter) == "w0 w1 w2"
    assert [change.stt for change in changes] == [one] and adapter.active is two
    assert await recognise(adapter) == "w0 w1 w2"
    assert one.recognised == 1, "it is not asked while it is out of use"
    assert [type(metric) for metric in metrics] == [STTMetrics] * 2
    await adapter.aclose()


async def test_a_member_that_takes_too_long_for_a_recording_has_failed() -> None:
    one, _, adapter = pair(attempt_timeout=0.05)
    one.deaf = True
    assert await recognise(adapter) == "w0 w1 w2"
    await adapter.aclose()


async def test_a_cancellation_that_meets_the_result_of_a_member_is_not_lost() -> None:
    class Late(Scripted):
        async def _recognize_impl(self, buffer: Any, **options: Any) -> stt.SpeechEvent:
            asyncio.get_running_loop().call_soon(call.cancel)
            return await super()._recognize_impl(buffer, **options)

    adapter = FailoverSTTAdapter([Late(), Scripted("two")])
    call = asyncio.ensure_future(recognise(adapter))
    with pytest.raises(asyncio.CancelledError):
        await call
    await adapter.aclose()


async def test_a_member_is_tried_out_with_a_recording_nobody_waits_for() -> None:
    one, two, adapter = pair(breaker_seconds=0.02)
    back = asyncio.Event()
    adapter.on("stt_availability_changed", lambda change: back.set() if change.available else None)
    one.fails = DOWN
    await recognise(adapter)
    await asyncio.sleep(0.03)
    one.fails = None
    assert await recognise(adapter) == "w0 w1 w2" and adapter.active is two
    await asyncio.wait_for(back.wait(), 2.0)
    assert await recognise(adapter) == "w0 w1 w2" and adapter.active is one
    await adapter.aclose()


async def test_when_all_fail_a_recording_has_an_empty_result_or_raises() -> None:
    for mode, options in (("degrade", {}), ("raise", {"on_failure": "raise"})):
        one, two, adapter = pair(**options)
        errors = noted(adapter, "error")
        one.fails = two.fails = DOWN
        if mode == "degrade":
            assert await recognise(adapter) == ""
            assert adapter.stats.empty_results == 1 and all(error.recoverable for error in errors)
        else:
            with pytest.raises(APIConnectionError, match="all members failed"):
                await recognise(adapter)
        one.fails = two.fails = WRONG_KEY
        with pytest.raises(APIConnectionError, match="wrong key"):
            await recognise(adapter)
        await adapter.aclose()


async def test_a_member_that_degrades_is_not_taken_for_one_that_heard_nothing() -> None:
    async with CustomHTTPSTTAdapter("http://127.0.0.1:9/stt") as degrading:
        two = Scripted("two")
        adapter = FailoverSTTAdapter([degrading, two], vad=EnergyVAD())
        assert await recognise(adapter) == "w0 w1 w2" and adapter.active is two
        await adapter.aclose()


# ---------------------------------------------------------------------- what it is, and what it passes on


async def test_who_hears_nothing_has_not_failed_because_anothers_recording_did() -> None:
    """Both callers share the member, which answers with an empty result whether it heard nothing or degraded."""
    failed = asyncio.Event()

    class Degrades(Scripted):
        async def _recognize_impl(self, buffer: Any, **options: Any) -> stt.SpeechEvent:
            if buffer.sample_rate == RATE:
                await failed.wait()
            else:
                self._emit_error(DOWN, recoverable=True)
                failed.set()
            return final("")

    one, two = Degrades("one"), Scripted("two")
    adapter = FailoverSTTAdapter([one, two])
    silence = adapter.recognize(rtc.AudioFrame(bytes(RATE), RATE, 1, RATE // 2), conn_options=ONCE)
    broken = adapter.recognize(rtc.AudioFrame(bytes(8000), 8000, 1, 4000), conn_options=ONCE)
    await asyncio.gather(silence, broken)
    assert two.recognised == 1 and adapter.stats.switches == 1
    await adapter.aclose()


def test_capabilities_are_what_all_have_or_some_offer() -> None:
    rich = Scripted("rich", diarization=True, aligned_transcript="word", keyterms=True, manual_flush=True)
    plain = Scripted("plain", interim_results=False)
    both = FailoverSTTAdapter([rich, plain]).capabilities
    assert (both.streaming, both.interim_results, both.diarization, both.manual_flush) == (
        True,
        False,
        False,
        False,
    )
    assert both.aligned_transcript is False and both.keyterms
    alone = FailoverSTTAdapter([rich]).capabilities
    assert alone.aligned_transcript == "word" and alone.manual_flush and alone.diarization


async def test_recordings_only_need_no_vad_unless_somebody_streams() -> None:
    batch, other = (Scripted(name, streaming=False, interim_results=False) for name in ("one", "two"))
    adapter = FailoverSTTAdapter([batch, other])
    assert not adapter.capabilities.streaming and await recognise(adapter) == "w0 w1 w2"
    with pytest.raises(ConfigurationError, match="vad="):
        adapter.stream()
    with pytest.raises(ConfigurationError, match="Scripted recognises recordings only: give a VAD"):
        FailoverSTTAdapter([batch, Scripted()])
    await adapter.aclose()


def test_options_reach_every_member_that_has_them() -> None:
    one, two = Scripted("one"), Scripted("two")
    batch = CustomHTTPSTTAdapter("http://127.0.0.1:9/stt")
    adapter = FailoverSTTAdapter([one, two, batch], vad=EnergyVAD())
    adapter.update_options(keyterm=["Voxport"])
    assert one.options["keyterm"] == two.options["keyterm"] == ["Voxport"]
    with pytest.raises(TypeError, match="no member has the option colour"):
        adapter.update_options(colour="blue")
    with pytest.raises(ValueError, match="nobody speaks"):
        adapter.update_options(language="tlh")


def test_options_pass_by_a_failover_inside_none_of_whose_members_has_them() -> None:
    class Other(Scripted):
        def update_options(self, *, eot: Any = NOT_GIVEN) -> None:  # type: ignore[override]
            self.options["eot"] = eot

    one, two, three, four = Scripted("one"), Scripted("two"), Other("three"), Other("four")
    inside = MeteredSTTAdapter(FailoverSTTAdapter([one, two]), registry=CollectorRegistry())
    FailoverSTTAdapter([inside, three]).update_options(eot=0.5)
    assert three.options == {"eot": 0.5} and not one.options and not two.options
    FailoverSTTAdapter([FailoverSTTAdapter([one, three]), four]).update_options(eot=0.7, keyterm=["x"])
    assert one.options["keyterm"] == ["x"] and three.options == four.options == {"eot": 0.7}
    with pytest.raises(TypeError, match="no member has the option mood"):
        FailoverSTTAdapter([inside, four]).update_options(mood="bright")


def test_hooks_reach_the_members_that_can_use_them(caplog: pytest.LogCaptureFixture) -> None:
    able, unable = Scripted("able", keyterms=True), Scripted("unable")
    able.capabilities.chat_context = True
    adapter = FailoverSTTAdapter([unable, able])
    adapter._update_session_keyterms(["a"])
    adapter._push_conversation_item("item")  # type: ignore[arg-type]
    adapter.prewarm()
    assert able.keyterms == ["a"] and able.items == ["item"] and not unable.keyterms and not unable.items
    assert unable.prewarmed == 1 and able.prewarmed == 0, "only the preferred one"
    assert not caplog.records


async def test_a_flush_reaches_the_active_member_and_the_next_one() -> None:
    one, two, adapter = pair()
    call = Call(adapter)
    await call.push(speak([2], RATE).pcm)
    call.stream.flush()
    await call.until(lambda: call.words == [0, 1])
    assert one.streams[0].flushes == 1
    one.deaf = True
    await call.push(speak([4], RATE).pcm[2 * round(0.7 * RATE) :])
    call.stream.flush()
    one.fails = DOWN
    one.streams[0].stop.set()
    await call.until(lambda: call.words == [0, 1, 2, 3])
    assert two.streams[0].flushes == 1
    await call.end()
    await adapter.aclose()


async def test_closing_ends_streams_and_leaves_the_members_open_and_unobserved() -> None:
    one, two, adapter = pair()
    call = Call(adapter)
    await call.say(1)
    await adapter.aclose()
    assert not one.closed and not two.closed
    await call.aclose()
    errors = noted(adapter, "error")
    one._emit_error(DOWN, recoverable=True)
    assert not errors


async def one_turn(times: int = 1) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def begun(adapter: FailoverSTTAdapter, *members: Scripted) -> stt.RecognizeStream:
    """A stream of *adapter* that was given a frame, once *members* have been given it."""
    stream = adapter.stream(conn_options=ONCE)
    before = [len(member.streams) for member in members]
    stream.push_frame(rtc.AudioFrame(bytes(RATE // 5), RATE, 1, RATE // 10))
    while [len(member.streams) for member in members] == before:
        await one_turn()
    return stream


@pytest.mark.parametrize("between", range(7))
async def test_a_stream_that_is_closed_twice_closes_its_member(between: int) -> None:
    """Whoever closes the adapter closes its streams, and may meet the session that is closing its own."""
    member = Scripted()
    stream = await begun(FailoverSTTAdapter([member]), member)
    closing = asyncio.create_task(stream.aclose())
    await one_turn(between)
    await stream.aclose()
    await closing
    assert member.streams[0]._task.done()


async def test_a_stream_that_is_closed_twice_waits_for_its_member() -> None:
    is_closing, gate = asyncio.Event(), asyncio.Event()
    member = Scripted()
    stream = await begun(FailoverSTTAdapter([member]), member)
    close = member.streams[0].aclose

    async def slow_to_close() -> None:
        is_closing.set()
        await gate.wait()
        await close()

    member.streams[0].aclose = slow_to_close  # type: ignore[method-assign]
    first = asyncio.create_task(stream.aclose())
    await is_closing.wait()
    second = asyncio.create_task(stream.aclose())
    await one_turn(5)
    assert not first.done() and not second.done()
    gate.set()
    await asyncio.gather(first, second)
    assert member.streams[0]._task.done()


@pytest.mark.parametrize("before", range(4))
async def test_a_stream_that_is_closed_before_it_begins_leaves_no_vad_behind(before: int) -> None:
    stream = FailoverSTTAdapter([Scripted()], vad=EnergyVAD(), speech_by="vad").stream()
    await one_turn(before)
    await stream.aclose()  # the check for leaks finds the VAD's tasks


async def test_errors_of_one_callers_stream_are_no_trouble_of_anothers() -> None:
    """LiveKit's event does not say whose stream it is about, and a caller who is silent gets no other answer."""
    one, two, adapter = pair(silence_limit=5.0)
    talker, listener = await begun(adapter, one), await begun(adapter, one)
    one.trips = True
    talker.flush()
    talker.flush()
    while not two.streams:
        await one_turn()
    await one_turn(5)
    assert len(two.streams) == 1
    await talker.aclose()
    await listener.aclose()
    await adapter.aclose()


async def test_metrics_of_members_are_forwarded_once() -> None:
    async with OracleServer() as server, CustomWebSocketSTTAdapter(server.url, sample_rate=RATE) as member:
        adapter = FailoverSTTAdapter([member])
        metrics = noted(adapter, "metrics_collected")
        call = Call(adapter)
        await call.say(4)
        await call.end()
        seconds = sum(metric.audio_duration for metric in metrics)
        usage = [said for said in call.events if said.type is stt.SpeechEventType.RECOGNITION_USAGE]
        assert call.words == [0, 1, 2, 3]
        assert seconds == pytest.approx(sum(said.recognition_usage.audio_duration for said in usage))
        assert seconds == pytest.approx(2.0, abs=0.2)
        await adapter.aclose()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FailoverSTTAdapter([]), "needs a list"),
        (lambda: FailoverSTTAdapter(Scripted()), "needs a list"),
        (lambda: FailoverSTTAdapter(["x"]), "must be a livekit.agents.stt.STT"),
        (lambda: FailoverSTTAdapter([Scripted()] * 2), "there twice"),
        (lambda: FailoverSTTAdapter([Scripted()], silence_limit=0), "silence_limit must be more than 0"),
        (lambda: FailoverSTTAdapter([Scripted()], replay_seconds=True), "replay_seconds must be"),
        (lambda: FailoverSTTAdapter([Scripted()], on_failure="rise"), "did you mean 'raise'"),
        (lambda: FailoverSTTAdapter([Scripted()], probe="x"), "probe must be one of"),
        (lambda: FailoverSTTAdapter([Scripted()], speech_by="vad"), "needs a VAD"),
        (lambda: FailoverSTTAdapter([Scripted()], breaker_failures=0), "at least 1"),
    ],
)
def test_bad_configuration_says_what_to_change(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()
