"""What nobody says of himself is noticed in time, however seldom anybody looks. The clock is that of the audio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import stt
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN

from agents.providers.adapters import FailoverSTTAdapter
from agents.providers.stt import ticker
from agents.providers.stt.adapter import STTAdapter
from agents.providers.stt.direct import DirectStream

RATE = 8000
QUIET, LOUD = (np.full(RATE // 20, level, np.int16).tobytes() for level in (0, 9000))
INTERIM, FINAL, END = (
    stt.SpeechEventType.INTERIM_TRANSCRIPT,
    stt.SpeechEventType.FINAL_TRANSCRIPT,
    stt.SpeechEventType.END_OF_SPEECH,
)
SAID = stt.SpeechData(language="en", text="so", start_time=4.0, end_time=4.5)  # type: ignore[arg-type]
WORD = stt.SpeechEvent(INTERIM, alternatives=[SAID])


class AudioTime(asyncio.SelectorEventLoop):
    """An event loop in which time passes only when audio comes."""

    now = 1000.0

    def time(self) -> float:
        return self.now


class Mute(STTAdapter):
    """Says nothing by itself."""

    def __init__(self) -> None:
        super().__init__(sample_rate=RATE, interim_results=True)
        self.streams: list[MuteStream] = []

    async def _recognize_impl(self, buffer: Any, *, language: Any = NOT_GIVEN, conn_options: Any = None) -> Any:
        raise NotImplementedError

    def stream(self, **_: Any) -> MuteStream:
        self.streams.append(MuteStream(stt=self, conn_options=DEFAULT_API_CONNECT_OPTIONS))
        return self.streams[-1]


class MuteStream(DirectStream):
    async def _run(self) -> None:
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self.failure

    def _accept_frame(self, frame: rtc.AudioFrame) -> None:
        pass


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[AudioTime]:
    made = AudioTime()
    monkeypatch.setattr(ticker, "monotonic", made.time)
    yield made
    made.close()


async def hear(stream: stt.RecognizeStream, sound: bytes, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, AudioTime)
    for _ in range(round(seconds * 20)):
        loop.now += 0.05
        stream.push_frame(rtc.AudioFrame(sound, RATE, 1, RATE // 20))
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.mark.parametrize("before", [0.1, 1.35, 7.7, 21.95])
@pytest.mark.parametrize("limit", [1.0, 5.0, 20.0])
def test_silence_is_noticed_when_the_limit_is_over(loop: AudioTime, limit: float, before: float) -> None:
    async def call() -> None:
        one, two = Mute(), Mute()
        adapter = FailoverSTTAdapter([one, two], silence_limit=limit)
        stream = adapter.stream()
        await hear(stream, QUIET, before)
        await hear(stream, LOUD, 0.5)
        one.streams[0]._emit(WORD)
        await hear(stream, LOUD, limit - 0.1)
        assert not two.streams, "too early"
        await hear(stream, LOUD, 0.1 + max(0.35, 0.1 * limit))
        assert two.streams and adapter.stats.silences == 1
        await stream.aclose()
        await adapter.aclose()

    loop.run_until_complete(call())


def test_a_member_in_trouble_is_given_half_as_long(loop: AudioTime) -> None:
    async def call() -> None:
        one, two = Mute(), Mute()
        adapter = FailoverSTTAdapter([one, two], silence_limit=4.0)
        stream = adapter.stream()
        await hear(stream, LOUD, 0.5)
        one.streams[0]._emit(WORD)
        await hear(stream, LOUD, 0.5)
        one._emit_error(OSError("down"), recoverable=True)
        await hear(stream, LOUD, 1.3)
        assert not two.streams, "too early"
        await hear(stream, LOUD, 0.7)
        assert two.streams
        await stream.aclose()
        await adapter.aclose()

    loop.run_until_complete(call())


def test_an_utterance_whose_recogniser_died_is_ended_soon(loop: AudioTime) -> None:
    async def call() -> None:
        one, two = Mute(), Mute()
        adapter = FailoverSTTAdapter([one, two])
        stream = adapter.stream()
        heard: list[stt.SpeechEvent] = []
        stream.deliver_to(heard.append)
        await hear(stream, QUIET, 4.0)
        await hear(stream, LOUD, 0.5)
        one.streams[0]._emit(stt.SpeechEvent(stt.SpeechEventType.START_OF_SPEECH), WORD)
        one.streams[0]._emit(stt.SpeechEvent(FINAL, alternatives=[SAID]))
        one.streams[0].failure.set_exception(OSError("down"))
        await hear(stream, QUIET, 1.6)
        assert two.streams and [event.type for event in heard][-2:] == [FINAL, END]
        await stream.aclose()
        await adapter.aclose()

    loop.run_until_complete(call())


@pytest.mark.parametrize("seconds", [0.0, 3.0])
def test_nothing_is_looked_after_once_a_stream_is_closed(loop: AudioTime, seconds: float) -> None:
    async def call() -> None:
        adapter = FailoverSTTAdapter([Mute(), Mute()])
        stream = adapter.stream()
        await hear(stream, LOUD, seconds)
        stream.end_input()
        await stream.aclose()
        stream._lookout.watch_closely()
        assert not ticker.ticker()._calls, "the timer would keep the stream for ever"
        await adapter.aclose()

    loop.run_until_complete(call())
