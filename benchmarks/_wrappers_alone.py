"""Recognisers that do nothing, so that what is left of a stream's cost is the wrapper around it.

The event loop's clock and the streams' timer run with the audio: what a wrapper does by the clock is done as often
as in a real call, however fast the audio is pushed. The timer runs around all of them, as it does around Voxport's
own streams.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from livekit import rtc
from livekit.agents import stt
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN

from agents.providers.adapters import STTAdapter
from agents.providers.stt import ticker as timer
from agents.providers.stt.direct import DirectStream

RATE, FRAME_MS = 24000, 50
"""What AgentSession feeds an STT."""

Wrap = Callable[[stt.STT[Any]], stt.STT[Any]]

_UTTERANCE_SECONDS = 3.0
_Kind = stt.SpeechEventType


class _Speaker(Protocol):
    def say(self, event: stt.SpeechEvent) -> None: ...


class IdleDirect(DirectStream):
    """A stream as Voxport's are, that drops what is pushed and says what it is told."""

    def __init__(self, recogniser: stt.STT[Any]) -> None:
        super().__init__(stt=recogniser, conn_options=DEFAULT_API_CONNECT_OPTIONS)

    def _accept_frame(self, frame: rtc.AudioFrame) -> None:
        pass

    async def _run(self) -> None:
        await asyncio.Event().wait()

    def say(self, event: stt.SpeechEvent) -> None:
        self._emit(event)


class IdleNative(stt.RecognizeStream):
    """The same, as LiveKit's plugins are."""

    def __init__(self, recogniser: stt.STT[Any]) -> None:
        super().__init__(stt=recogniser, conn_options=DEFAULT_API_CONNECT_OPTIONS)

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        pass

    async def _run(self) -> None:
        await asyncio.Event().wait()

    def say(self, event: stt.SpeechEvent) -> None:
        self._event_ch.send_nowait(event)


class Instant(STTAdapter):
    """Recognises the same at once; its streams do nothing.

    Attributes:
        streams: all it has made.
    """

    def __init__(self, kind: Callable[[stt.STT[Any]], Any] = IdleDirect) -> None:
        super().__init__(sample_rate=RATE, interim_results=True)
        self._kind = kind
        self.streams: list[_Speaker] = []

    async def _recognize_impl(self, buffer: Any, *, language: Any = NOT_GIVEN, conn_options: Any = None) -> Any:
        data = stt.SpeechData(language="en", text="so it goes")  # type: ignore[arg-type]
        return stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[data])

    def stream(self, **options: Any) -> stt.RecognizeStream:
        made = self._kind(self)
        self.streams.append(made)
        return made  # type: ignore[no-any-return]


class _AudioTime(asyncio.SelectorEventLoop):
    """An event loop whose time is that of the audio."""

    now = 1000.0

    def time(self) -> float:
        return self.now


def _utterance(start: float) -> list[stt.SpeechEvent]:
    """As the local server speaks: START, an interim every 250 ms, FINAL, END."""
    text = "so the quick brown fox jumps over a lazy dog again"
    said = stt.SpeechData("en", text, start + 0.2, start + _UTTERANCE_SECONDS - 0.5)  # type: ignore[arg-type]
    return [
        stt.SpeechEvent(_Kind.START_OF_SPEECH),
        *(stt.SpeechEvent(_Kind.INTERIM_TRANSCRIPT, alternatives=[said]) for _ in range(12)),
        stt.SpeechEvent(_Kind.FINAL_TRANSCRIPT, alternatives=[said]),
        stt.SpeechEvent(_Kind.END_OF_SPEECH),
    ]


class _Calls:
    """Counts calls of functions, Python's and built-in ones."""

    count = 0

    def __call__(self, frame: Any, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            self.count += 1


@contextmanager
def counted_calls() -> Iterator[_Calls]:
    """How many there are inside: a cost that no other process on the machine changes."""
    calls = _Calls()
    sys.setprofile(calls)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def _do_nothing(_: float) -> None: ...


async def _talk(wrap: Wrap, kind: Any, utterances: int, count_calls: bool) -> float:
    """CPU seconds, or calls, for each second of audio."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _AudioTime)
    member = Instant(kind)
    recogniser = wrap(member)
    timer.ticker().add(_do_nothing, every=1.0)
    stream = recogniser.stream()
    samples = RATE * FRAME_MS // 1000
    data = np.random.default_rng(1).integers(-3000, 3000, samples, np.int16).tobytes()
    heard = said = 0

    async def listen() -> None:
        nonlocal heard
        async for _ in stream:
            heard += 1

    listener = asyncio.create_task(listen())
    for _ in range(10):
        await asyncio.sleep(0)
    scripts = [_utterance(_UTTERANCE_SECONDS * number) for number in range(utterances)]
    frames = round(_UTTERANCE_SECONDS * 1000 / FRAME_MS / len(scripts[0]))

    async def utter(events: list[stt.SpeechEvent]) -> None:
        nonlocal said
        for event in events:
            for _ in range(frames):
                loop.now += FRAME_MS / 1000
                stream.push_frame(rtc.AudioFrame(data, RATE, 1, samples))
                await asyncio.sleep(0)
            member.streams[0].say(event)
            said += 1
            while heard < said:  # noqa: ASYNC110 - the turns this takes are part of the cost
                await asyncio.sleep(0)

    gc.collect()
    if count_calls:
        with counted_calls() as calls:
            for script in scripts:
                await utter(script)
        spent = float(calls.count)
    else:
        began = time.process_time()
        for script in scripts:
            await utter(script)
        spent = time.process_time() - began
    listener.cancel()
    await asyncio.gather(listener, return_exceptions=True)
    await stream.aclose()
    await recogniser.aclose()
    timer.ticker().remove(_do_nothing)
    return spent / (utterances * _UTTERANCE_SECONDS)


def alone(
    sides: dict[str, Wrap], *, utterances: int = 150, repeats: int = 9
) -> dict[str, dict[str, tuple[float, float]]]:
    """What each wrapper adds to a stream that does nothing, by the kind of stream: seconds of CPU for a second of
    audio, the least of *repeats*, and calls."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    loop = _AudioTime()
    real_time = time.monotonic
    timer.monotonic = loop.time  # type: ignore[attr-defined]  # the clock it imported, not one it exports
    try:
        for title, kind in (("as Voxport's", IdleDirect), ("as LiveKit's", IdleNative)):
            least: dict[str, float] = {}
            for _ in range(repeats):
                for name, wrap in sides.items():
                    spent = loop.run_until_complete(_talk(wrap, kind, utterances, False))
                    least[name] = min(spent, least.get(name, spent))
            calls = {name: loop.run_until_complete(_talk(wrap, kind, 20, True)) for name, wrap in sides.items()}
            found[title] = {name: (least[name] - least["bare"], calls[name] - calls["bare"]) for name in sides}
    finally:
        timer.monotonic = real_time  # type: ignore[attr-defined]
        loop.close()
    return found
