"""The talks by which vendors are tried.

Each way of a case is talked through as few times as possible (speech recognition is the slow part), and many tests
look at the same talk.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import logging
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock
from urllib.parse import quote

from conformance import Server, VendorCase
from livekit import rtc
from livekit.agents import APIConnectOptions, stt
from spoken_lines import LINES, RATE, plain, push, silence, spoken

from agents.providers.testing.tape import Tape
from agents.providers.testing.traces import Scrub, scrubber

ONCE = APIConnectOptions(max_retry=0, retry_interval=0.01, timeout=10.0)
Kind = stt.SpeechEventType


@dataclass
class Talk:
    """A streaming conversation: what was said to the vendor, and all that came of it.

    Attributes:
        phases: for each of :data:`LINES`, the events until the next was begun.
        seconds: of audio at the end of each phase.
    """

    tape: Tape
    phases: list[list[stt.SpeechEvent]]
    seconds: list[float]
    reconnects: float = 0.0

    @property
    def events(self) -> list[stt.SpeechEvent]:
        return list(itertools.chain.from_iterable(self.phases))

    @property
    def finals(self) -> list[stt.SpeechData]:
        return [e.alternatives[0] for e in self.events if e.type is Kind.FINAL_TRANSCRIPT]


def text_of(events: Sequence[stt.SpeechEvent]) -> str:
    """The finals among *events*."""
    finals = (e.alternatives[0].text for e in events if e.type is Kind.FINAL_TRANSCRIPT)
    return plain(" ".join(finals))


async def _next(stream: stt.SpeechStream) -> stt.SpeechEvent:
    return await asyncio.wait_for(stream.__anext__(), 20)


async def _until_said(stream: stt.SpeechStream, line: str, events: list[stt.SpeechEvent]) -> None:
    """Read until the finals hold as many words as *line*, and the utterance is over."""
    count = len(line.split())
    while len(text_of(events).split()) < count or Kind.END_OF_SPEECH not in (e.type for e in events):
        events.append(await _next(stream))


async def talk(case: VendorCase, server: Server) -> Talk:
    """Say the three lines, over one connection."""
    tape = Tape()
    adapter = case.streaming(server, tape)
    if case.has("keyterms", "streaming"):
        adapter.update_options(keyterms=["opening hours"])
    stream = adapter.stream(conn_options=ONCE)
    phases: list[list[stt.SpeechEvent]] = [[], [], []]
    seconds: list[float] = []
    pushed = 0

    def say(pcm: bytes) -> None:
        nonlocal pushed
        push(stream, pcm)
        pushed += len(pcm) // 2

    try:
        with Watch(case, adapter, stream):
            say(spoken(LINES[0]) + silence(0.9))
            if not case.has("endpoints", "streaming"):
                stream.flush()
            seconds.append(pushed / RATE)
            await _until_said(stream, LINES[0], phases[0])
            say(spoken(LINES[1]))
            if case.has("flush", "streaming"):
                stream.flush()
            else:
                say(silence(0.9))
            seconds.append(pushed / RATE)
            await _until_said(stream, LINES[1], phases[1])
            say(spoken(LINES[2]))
            seconds.append(pushed / RATE)
            stream.end_input()
            with contextlib.suppress(StopAsyncIteration):
                while True:
                    phases[2].append(await _next(stream))
    finally:
        await stream.aclose()
        await adapter.aclose()
    return Talk(tape, phases, seconds)


async def interrupted_talk(case: VendorCase, server: Server, cut: Callable[[], None]) -> Talk:
    """Say the first line, then the second, and :func:`cut` the connection in the middle of that."""
    tape = Tape()
    adapter = case.streaming(server, tape, on_failure="degrade")
    stream = adapter.stream(conn_options=ONCE)
    phases: list[list[stt.SpeechEvent]] = [[], []]
    before, line = spoken(LINES[0]) + silence(0.9), spoken(LINES[1])
    middle = len(line) * 6 // 10 // 2 * 2
    try:
        with Watch(case, adapter, stream):
            push(stream, before)
            if not case.has("endpoints", "streaming"):
                stream.flush()
            await _until_said(stream, LINES[0], phases[0])
            push(stream, line[:middle])
            if case.has("interims", "streaming") or case.has("speech_events", "streaming"):
                phases[1].append(await _next(stream))
            else:
                await stream.wait_for_room(0.06)
            cut()
            push(stream, line[middle:])
            stream.end_input()
            with contextlib.suppress(StopAsyncIteration):
                while True:
                    phases[1].append(await _next(stream))
    finally:
        await stream.aclose()
        await adapter.aclose()
    seconds = [len(before) / 2 / RATE, len(before + line) / 2 / RATE]
    return Talk(tape, phases, seconds, adapter.stats.reconnects)


async def say_nothing(
    case: VendorCase, server: Server, tape: Tape | None = None, *, end: bool = True, **given: Any
) -> Tape:
    """Connect, send a moment of silence, and *end*; answers what was on the wire. A failure raises."""
    tape = tape or Tape()
    adapter = case.streaming(server, tape, **given)
    stream = adapter.stream(conn_options=ONCE)
    try:
        with Watch(case, adapter, stream):
            push(stream, silence(0.3))
            if end:
                stream.end_input()
            with contextlib.suppress(StopAsyncIteration):
                while True:
                    await _next(stream)
    finally:
        await stream.aclose()
        await adapter.aclose()
    return tape


@dataclass
class Reading:
    """A recording that was recognised whole."""

    tape: Tape
    event: stt.SpeechEvent
    seconds: float

    @property
    def data(self) -> stt.SpeechData:
        return self.event.alternatives[0]


async def read(case: VendorCase, server: Server, pcm: bytes | None = None, **given: Any) -> Reading:
    """Have a recording recognised: the first line, unless *pcm* is given. A failure raises."""
    tape = Tape()
    adapter = case.batch(server, tape, **given)
    recording = spoken(LINES[0]) if pcm is None else pcm
    frame = rtc.AudioFrame(recording, RATE, 1, len(recording) // 2)
    try:
        with Watch(case, adapter):
            event = await asyncio.wait_for(adapter.recognize([frame], conn_options=ONCE), 30)
    finally:
        await adapter.aclose()
    return Reading(tape, event, len(recording) / 2 / RATE)


# --- what is shared between tests ---


class Talks:
    """Each talk is held once, by whichever test asks first."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], Any] = {}

    async def streaming(self, case: VendorCase, server: Server) -> Talk:
        """The talk of :func:`talk`."""
        held: Talk = await self._once(("streaming", case.name), lambda: talk(case, server))
        return held

    async def batch(self, case: VendorCase, server: Server) -> Reading:
        """The reading of :func:`read`."""
        held: Reading = await self._once(("batch", case.name), lambda: read(case, server))
        return held

    async def _once(self, key: tuple[str, str], hold: Callable[[], Any]) -> Any:
        if key not in self._held:
            self._held[key] = None
            with known_ids():
                self._held[key] = await hold()
        if self._held[key] is None:
            raise AssertionError(f"the {key[0]} talk of {key[1]} failed in an earlier test")
        return self._held[key]


@contextlib.contextmanager
def known_ids() -> Iterator[None]:
    """Random ids are counted instead, so that a recorded answer still fits what is sent in a replay."""
    counter = itertools.count(1)
    with mock.patch.object(uuid, "uuid4", lambda: uuid.UUID(int=next(counter), version=4)):
        yield


# --- secrets ---


class Watch:
    """Everything that is logged, shown or raised meanwhile must hold no credential of the case."""

    def __init__(self, case: VendorCase, *objects: object) -> None:
        self._secrets = list(case.secrets) or [case.api_key, case.wrong_key]
        self._objects = objects
        self._log = io.StringIO()

    def __enter__(self) -> Watch:
        self._handler = logging.StreamHandler(self._log)
        self._root = logging.getLogger()
        self._level = self._root.level
        self._root.setLevel(logging.DEBUG)
        self._root.addHandler(self._handler)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._root.removeHandler(self._handler)
        self._root.setLevel(self._level)
        shown = [self._log.getvalue(), *map(repr, self._objects)]
        if error is not None:
            shown += [repr(error), *traceback.format_exception(type(error), error, error.__traceback__)]
        for text in shown:
            for secret in self._secrets:
                assert secret not in text, f"a credential shows in: {text.replace(secret, '<THE KEY>')[:2000]}"


def scrub_for(case: VendorCase, server: Server | None = None) -> Scrub:
    """What takes the credentials of *case* and the address of *server* out of a trace."""
    shown = dict.fromkeys((case.api_key, *case.secrets), "SECRET")
    shown |= {quote(secret, safe=""): "SECRET" for secret in list(shown)}
    if server is not None:
        shown |= {server.url.partition("//")[2]: "server.test"}
    return scrubber(shown)
