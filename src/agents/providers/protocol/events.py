"""What a vendor says, in words every vendor shares.

Times are seconds on the audio clock of the *connection*: 0 is the first sample sent on it. The engine moves
them to the clock of the stream. ``None`` means the vendor did not say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Union, overload

from .policy import Verdict

__all__ = [
    "Event",
    "Failure",
    "Final",
    "Finished",
    "Flushed",
    "LazyWords",
    "Partial",
    "Ready",
    "Segment",
    "SpeechEnded",
    "SpeechStarted",
    "Usage",
    "Word",
]


@dataclass(slots=True)
class Word:
    """One recognised word; times in seconds, confidence 0 to 1 (0 when the vendor gives none)."""

    text: str
    start: float | None = None
    end: float | None = None
    confidence: float = 0.0
    speaker: str | None = None


class LazyWords(Sequence[Word]):
    """Words that are read when somebody wants more than where they begin and end.

    Args:
        read: gives the words; what it does not understand is left out.
        start: of the first word, in seconds.
        end: of the last word.
    """

    __slots__ = ("_read", "_words", "end", "start")

    def __init__(self, read: Callable[[], list[Word]], start: float | None, end: float | None) -> None:
        self._read: Callable[[], list[Word]] | None = read
        self._words: list[Word] = []
        self.start = start
        self.end = end

    def _all(self) -> list[Word]:
        if self._read is not None:
            self._words = self._read()
            self._read = None
        return self._words

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, index: int) -> Word: ...
    @overload
    def __getitem__(self, index: slice) -> list[Word]: ...
    def __getitem__(self, index: int | slice) -> Word | list[Word]:
        return self._all()[index]

    def __eq__(self, other: object) -> bool:
        return self._all() == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it can be compared and changed, as a list can

    def __repr__(self) -> str:
        return repr(self._all())


@dataclass(slots=True)
class Segment:
    """A stretch of transcript."""

    text: str
    start: float | None = None
    end: float | None = None
    language: str | None = None
    confidence: float = 0.0
    speaker: str | None = None
    words: Sequence[Word] | None = None
    request_id: str = ""
    metadata: dict[str, Any] | None = None


@dataclass(slots=True)
class Partial(Segment):
    """All the vendor has heard since the last :class:`Final`, and may still revise.

    *stable* text will not change unless the caller goes on speaking: it starts preemptive generation.
    """

    stable: bool = False


@dataclass(slots=True)
class Final(Segment):
    """Text that will not change, and only what no earlier Final held (a delta).

    An empty text says that the audio up to *end* is done and held no speech. *segment_id* is the vendor's own
    name for the segment; a second Final with the same one is a repetition and is dropped.
    """

    segment_id: str | None = None
    ends_utterance: bool = False


@dataclass(slots=True)
class Ready:
    """The vendor accepts audio from now on."""

    request_id: str = ""


@dataclass(slots=True)
class SpeechStarted:
    """Somebody began to speak, *at* seconds."""

    at: float | None = None


@dataclass(slots=True)
class SpeechEnded:
    """The utterance is over, *at* seconds."""

    at: float | None = None


@dataclass(slots=True)
class Flushed:
    """The vendor's answer to a flush: all audio sent before that flush is final."""


@dataclass(slots=True)
class Finished:
    """The vendor's answer to the closing message: nothing more will come."""


@dataclass(slots=True)
class Usage:
    """What the vendor bills since its last report: an increment."""

    audio_seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(slots=True)
class Failure:
    """An error, from whatever level: HTTP status, close code, message of the vendor, broken socket.

    *status* is the HTTP status or WebSocket close code, where there is one. *retry_after* is seconds.
    """

    message: str
    verdict: Verdict = Verdict.TRANSIENT
    status: int | None = None
    retry_after: float | None = None
    detail: dict[str, Any] = field(default_factory=dict)


Event = Union[Ready, SpeechStarted, Partial, Final, SpeechEnded, Flushed, Finished, Usage, Failure]
