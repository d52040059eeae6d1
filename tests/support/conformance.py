"""What every vendor must hold to, said once: the cases vendors contribute, and the talks they are tried by.

A vendor's file ``tests/vendors/cases/NAME.py`` holds ``CASES: list[VendorCase]``. Each way of a case is talked
through as few times as possible (speech recognition is the slow part), and many tests look at the same talk.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import io
import itertools
import logging
import re
import traceback
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol
from unittest import mock
from urllib.parse import quote

import av
import numpy as np
from livekit import rtc
from livekit.agents import APIConnectOptions, stt

from agents.providers.adapters import CustomHTTPSTTAdapter, CustomWebSocketSTTAdapter
from agents.providers.local.caller import CALLER_LINES, speak_line
from agents.providers.local.recogniser import Busy, Flushed, RecogniserFailed
from agents.providers.local.synthesiser import SAMPLE_RATE
from agents.providers.testing.tape import Tape
from agents.providers.testing.traces import Scrub, scrubber
from agents.providers.vendors import find_vendor

API_KEY = "voxport-test-key-7f3a"
"""What the server of the vendor tests asks for."""

RATE = 16000
LINES = (CALLER_LINES[0], CALLER_LINES[2], CALLER_LINES[3])
"""The first is ended by silence, the second by a flush, the third by the end of the input."""

Way = Literal["streaming", "batch"]

FEATURES = frozenset(
    {
        "interims",  # texts that may still change
        "words",  # words with their times
        "times",  # of the text as a whole
        "confidence",
        "speech_events",  # the vendor says when speech begins or ends
        "endpoints",  # it finalises by itself after a silence
        "flush",  # it finalises when asked to
        "keyterms",
        "speaker",
        "usage",  # the vendor says what it bills
        "language",  # it says which language it heard
        "auth",  # it knows keys
        "quota",  # it refuses when it has no room
        "error",  # it says in a message that it failed
    }
)

_CASES = Path(__file__).parent.parent / "vendors" / "cases"
_ROOM = np.random.default_rng(7)


class Server(Protocol):
    """Where a speech server is: ``http://host:port`` and ``ws://host:port``, without a path."""

    @property
    def url(self) -> str: ...

    @property
    def ws_url(self) -> str: ...


@dataclass(frozen=True)
class Address:
    """A server known by its port on this machine."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class OptionCheck:
    """Options, and texts that must be on the wire when they are set: in the URL (decoded), in a message, in a form
    field (``name=value``), in a JSON body."""

    options: Mapping[str, Any]
    sent: Sequence[str]
    way: Way = "streaming"


@dataclass(frozen=True)
class VendorCase:
    """One vendor on the embedded server.

    Attributes:
        name: of the case; its trace is named after it.
        vendor: as :func:`find_vendor` takes it.
        streaming_url, batch_url: where it is on a :class:`Server`; ``None`` where it has no such way.
        api_key: that the server takes, in the vendor's form.
        wrong_key: one it does not take.
        secrets: parts of the keys that must show nowhere; by default the keys themselves.
        language, model, options: for the talks all tests look at.
        option_checks: more options, each with what must be on the wire.
        lacks: what the vendor does not have, of :data:`FEATURES`; ``"batch:words"`` for one way only.
        keyterm_sent: what must be on the wire for the keyterm ``opening hours``.
        batch_options: instead of *options* for the batch way.
    """

    name: str
    vendor: str
    streaming_url: Callable[[Server], str] | None = None
    batch_url: Callable[[Server], str] | None = None
    api_key: str = API_KEY
    wrong_key: str = "not-the-key-99aa"
    secrets: Sequence[str] = ()
    language: str | None = "en-US"
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    batch_options: Mapping[str, Any] | None = None
    option_checks: Sequence[OptionCheck] = ()
    lacks: frozenset[str] = frozenset()
    keyterm_sent: str = "opening hours"

    def __post_init__(self) -> None:
        known = {*FEATURES, *(f"{way}:{name}" for way in ("streaming", "batch") for name in FEATURES)}
        assert set(self.lacks) <= known, f"{self.name} lacks what is no feature: {set(self.lacks) - known}"

    def __str__(self) -> str:
        return self.name

    def has(self, feature: str, way: Way) -> bool:
        """Whether the vendor has *feature* in this *way*."""
        assert feature in FEATURES
        return feature not in self.lacks and f"{way}:{feature}" not in self.lacks

    @property
    def ways(self) -> list[Way]:
        """The ways it has."""
        urls: list[tuple[Way, Any]] = [("streaming", self.streaming_url), ("batch", self.batch_url)]
        return [way for way, url in urls if url is not None]

    def streaming(self, server: Server, tape: Tape | None = None, **given: Any) -> CustomWebSocketSTTAdapter:
        """The streaming adapter for this case; a single failure raises."""
        assert self.streaming_url is not None
        vendor = find_vendor(self.vendor)
        options = {
            "api_key": self.api_key,
            "language": self.language,
            "model": self.model,
            "options": self.options,
            "on_failure": "raise",
        }
        return CustomWebSocketSTTAdapter(
            self.streaming_url(server), vendor=tape.on(vendor) if tape else vendor, **{**options, **given}
        )

    def batch(self, server: Server, tape: Tape | None = None, **given: Any) -> CustomHTTPSTTAdapter:
        """The batch adapter for this case; a single failure raises."""
        assert self.batch_url is not None
        vendor = find_vendor(self.vendor)
        options = {
            "api_key": self.api_key,
            "language": self.language,
            "model": self.model,
            "options": self.options if self.batch_options is None else self.batch_options,
            "on_failure": "raise",
        }
        return CustomHTTPSTTAdapter(
            self.batch_url(server),
            vendor=tape.on(vendor) if tape else vendor,  # type: ignore[arg-type]
            **{**options, **given},
        )


@functools.cache
def all_cases() -> tuple[VendorCase, ...]:
    """The cases of every file in ``tests/vendors/cases``, in order of file names."""
    found: list[VendorCase] = []
    for path in sorted(_CASES.glob("[a-z]*.py")):
        spec = importlib.util.spec_from_file_location(f"vendor_cases_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += module.CASES
    return tuple(found)


# --- audio ---


@functools.cache
def spoken(line: str) -> bytes:
    """*line* as 16-bit mono PCM at :data:`RATE`."""
    frame = av.AudioFrame.from_ndarray(np.frombuffer(speak_line(line), "<i2")[np.newaxis], "s16", "mono")
    frame.sample_rate = SAMPLE_RATE
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    pieces = [*resampler.resample(frame), *resampler.resample(None)]
    return b"".join(piece.to_ndarray()[0].astype("<i2").tobytes() for piece in pieces)


def silence(seconds: float) -> bytes:
    """A quiet room."""
    return _ROOM.normal(0.0, 60.0, round(seconds * RATE)).astype("<i2").tobytes()


def push(stream: stt.SpeechStream, pcm: bytes, ms: int = 50) -> None:
    """*pcm* in frames of *ms*, all at once."""
    step = RATE * ms // 1000 * 2
    for at in range(0, len(pcm), step):
        piece = pcm[at : at + step]
        stream.push_frame(rtc.AudioFrame(piece, RATE, 1, len(piece) // 2))


def plain(text: str) -> str:
    """*text* as the recogniser writes it: lower case, words only."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))


# --- talks ---

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


# --- servers that cannot ---


class BusyRecogniser:
    """A recogniser without a free decoder."""

    name = "pocketsphinx"
    languages = frozenset({"en"})
    capacity = active = decoders = 1

    async def open(self, *, wait_seconds: float = 0.0) -> Any:
        raise Busy(1, 7)

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...


class DyingRecogniser(BusyRecogniser):
    """A recogniser that dies of the first audio."""

    async def open(self, *, wait_seconds: float = 0.0) -> Any:
        return _DyingSession()


class _DyingSession:
    def __init__(self) -> None:
        self._fed = asyncio.Event()

    def configure(self, *, sample_rate: int, channels: int = 1, interim: bool = True) -> None: ...

    async def accept(self, pcm: bytes) -> None:
        self._fed.set()

    async def flush(self) -> None: ...

    async def mark(self) -> None: ...

    async def end(self) -> None: ...

    async def results(self) -> AsyncIterator[Any]:
        await self._fed.wait()
        raise RecogniserFailed("the decoder died")
        yield

    async def aclose(self) -> None: ...


class QuietRecogniser(BusyRecogniser):
    """A recogniser that hears nothing, and costs nothing."""

    async def open(self, *, wait_seconds: float = 0.0) -> Any:
        return _QuietSession()


class _QuietSession(_DyingSession):
    def __init__(self) -> None:
        super().__init__()
        self._heard: asyncio.Queue[Any] = asyncio.Queue()

    async def flush(self) -> None:
        self._heard.put_nowait(Flushed())

    async def end(self) -> None:
        self._heard.put_nowait(None)

    async def results(self) -> AsyncIterator[Any]:
        while (result := await self._heard.get()) is not None:
            yield result
