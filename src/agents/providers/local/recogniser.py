"""What the embedded server asks of a recogniser: sessions that take PCM and give results.

A dialect only ever sees this module: it opens a session, feeds it, and writes each result down in its
vendor's words. A batch request is the same session, fed at once and read to its end, so that a file is
transcribed alike through HTTP and through a WebSocket.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

__all__ = [
    "SAMPLE_RATE",
    "Busy",
    "Final",
    "Flushed",
    "Heard",
    "Partial",
    "Recogniser",
    "RecogniserFailed",
    "RecogniserSession",
    "Result",
    "SpeechEnded",
    "SpeechStarted",
    "Transcript",
    "Word",
    "result_from_json",
    "result_to_json",
    "transcribe",
]

SAMPLE_RATE = 16000
"""Samples per second every recogniser works at; sessions resample to it."""


class Busy(Exception):
    """Every decoder is taken. ``retry_after`` is the number of seconds after which to ask again."""

    def __init__(self, capacity: int, retry_after: int) -> None:
        super().__init__(
            f"all {capacity} decoders are taken; try again in {retry_after} s, "
            "or start the server with more streams"
        )
        self.retry_after = retry_after


class RecogniserFailed(Exception):
    """The recogniser could not start, or died. The message holds what it said last."""


@dataclass(frozen=True)
class Word:
    """One word; times in seconds from the first sample of the session, confidence 0–1."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class SpeechStarted:
    """Somebody began to speak ``at`` seconds."""

    at: float


@dataclass(frozen=True)
class Partial:
    """The text so far of the utterance that is being spoken; it may still change."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Final:
    """The text of a stretch of speech: never empty, never changed. ``confidence`` is the mean of the words'."""

    text: str
    start: float
    end: float
    confidence: float
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class SpeechEnded:
    """The speech that last started was over ``at`` seconds; its finals came before."""

    at: float


@dataclass(frozen=True)
class Flushed:
    """Everything fed before the matching ``flush()`` has had its final."""


@dataclass(frozen=True)
class Heard:
    """Everything fed before the matching ``mark()`` has been listened to; what it brought came before."""


Result = SpeechStarted | Partial | Final | SpeechEnded | Flushed | Heard

_KINDS: dict[str, type[Any]] = {
    "speech_started": SpeechStarted,
    "partial": Partial,
    "final": Final,
    "speech_ended": SpeechEnded,
    "flushed": Flushed,
    "heard": Heard,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def result_to_json(result: Result) -> dict[str, Any]:
    """A result as plain data, for the pipe between server and decoder process."""
    return {"type": _NAMES[type(result)], **asdict(result)}


def result_from_json(data: dict[str, Any]) -> Result:
    """The inverse of `result_to_json`."""
    fields = {key: value for key, value in data.items() if key != "type"}
    if "words" in fields:
        fields["words"] = tuple(Word(**word) for word in fields["words"])
    result: Result = _KINDS[data["type"]](**fields)
    return result


class RecogniserSession(Protocol):
    """One stream of audio. Close it always; closing in mid-speech frees the decoder at once."""

    def configure(self, *, sample_rate: int, channels: int = 1, interim: bool = True) -> None:
        """Say what will be fed: 16-bit little-endian PCM at ``sample_rate``. Once, before the first audio."""

    async def accept(self, pcm: bytes) -> None:
        """Feed audio. Waits while the decoder is behind, so that a fast sender is held back."""

    async def flush(self) -> None:
        """Ask for the final of everything fed so far; `Flushed` follows it."""

    async def mark(self) -> None:
        """Ask for `Heard` when everything fed so far has been listened to; nothing is finished by it."""

    async def end(self) -> None:
        """Say that no more audio comes; `results` ends after the last final."""

    def results(self) -> AsyncIterator[Result]:
        """What was heard, as it is heard."""

    async def aclose(self) -> None:
        """Give the decoder back, whatever state the stream is in."""


class Recogniser(Protocol):
    """Something that recognises speech, with a bounded number of sessions at a time."""

    @property
    def name(self) -> str:
        """The model's name, as clients may ask for it."""

    @property
    def languages(self) -> frozenset[str] | None:
        """Base language codes it knows (``{"en"}``); None for many."""

    @property
    def capacity(self) -> int:
        """How many sessions may be open at a time."""

    @property
    def active(self) -> int:
        """How many sessions are open now."""

    @property
    def decoders(self) -> int:
        """How many decoders are loaded now."""

    async def open(self, *, wait_seconds: float = 0.0) -> RecogniserSession:
        """Take a decoder, waiting for a free one at most that long. Raises `Busy`, `RecogniserFailed`."""

    async def start(self) -> None:
        """Load what must be there before the first client comes. Raises `RecogniserFailed`."""

    async def aclose(self) -> None:
        """End every decoder."""


@dataclass(frozen=True)
class Transcript:
    """What was said in one recording of ``duration`` seconds, in ``segments`` parted by silence."""

    duration: float
    language: str
    segments: tuple[Final, ...] = field(default=())

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments)

    @property
    def words(self) -> tuple[Word, ...]:
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def confidence(self) -> float:
        """Mean of the words' confidences; 0 where nothing was recognised."""
        words = self.words
        return sum(word.confidence for word in words) / len(words) if words else 0.0


async def transcribe(session: RecogniserSession, pcm: bytes, language: str = "en") -> Transcript:
    """Feed a whole recording (16-bit mono at `SAMPLE_RATE`) to a fresh session and wait for all of its text."""
    session.configure(sample_rate=SAMPLE_RATE, interim=False)

    async def feed() -> None:
        await session.accept(pcm)
        await session.end()

    feeding = asyncio.ensure_future(feed())
    try:
        finals = [result async for result in session.results() if isinstance(result, Final)]
        await feeding
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
    return Transcript(len(pcm) / 2 / SAMPLE_RATE, language, tuple(finals))
