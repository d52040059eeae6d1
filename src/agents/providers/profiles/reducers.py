"""How a vendor's pieces become partials that hold all since the last final, and finals that are deltas.

One object belongs to one connection. ``partial`` and ``final`` take what a rule read and return what to report;
``close_utterance`` returns what is still held back when the vendor says that the utterance, a flush or the session
is over.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol

from ..protocol import Event, Final, Flushed, Partial, SpeechEnded, Word

__all__ = ["Accumulate", "Counter", "Delta", "PieceReducer", "SlidingSegments", "Token", "TokenStream"]


class PieceReducer(ABC):
    """Between the rules and the engine."""

    @abstractmethod
    def partial(self, piece: Partial, key: str | None) -> list[Event]:
        """What a partial of the vendor adds up to."""

    @abstractmethod
    def final(self, piece: Final, key: str | None) -> list[Event]:
        """What a final of the vendor adds up to."""

    def close_utterance(self) -> list[Event]:
        """What was held back."""
        return []


def _joined(first: Final, second: Final, join: str) -> Final:
    """Two neighbouring finals as one."""
    text = first.text + (join if first.text and second.text else "") + second.text
    words = [*(first.words or ()), *(second.words or ())] or None
    return Final(
        text,
        first.start if first.start is not None and first.text else second.start,
        second.end if second.end is not None else first.end,
        second.language or first.language,
        second.confidence if second.text else first.confidence,
        first.speaker or second.speaker,
        words,
        second.request_id or first.request_id,
    )


class Accumulate(PieceReducer):
    """Finals are pieces of an utterance, partials the tail after them (Speechmatics)."""

    def __init__(self, join: str = "") -> None:
        self._join = join
        self._held: Final | None = None

    def partial(self, piece: Partial, key: str | None) -> list[Event]:
        held = self._held
        if held is not None and held.text:
            piece.text = held.text + (self._join if piece.text else "") + piece.text
            piece.start = held.start
            if held.words or piece.words:
                piece.words = [*(held.words or ()), *(piece.words or ())]
        return [piece] if piece.text else []

    def final(self, piece: Final, key: str | None) -> list[Event]:
        self._held = piece if self._held is None else _joined(self._held, piece, self._join)
        if piece.ends_utterance:
            self._held.ends_utterance = True
            return self.close_utterance()
        return [_as_partial(self._held)] if self._held.text else []

    def close_utterance(self) -> list[Event]:
        held, self._held = self._held, None
        return [held] if held is not None else []


def _as_partial(held: Final) -> Partial:
    words = list(held.words) if held.words is not None else None
    return Partial(
        held.text, held.start, held.end, held.language, held.confidence, held.speaker, words, held.request_id
    )


class Delta(PieceReducer):
    """Partials are pieces of the segment *key* names (OpenAI Realtime), or of the only one (FunASR)."""

    def __init__(self, join: str = "") -> None:
        self._join = join
        self._texts: dict[str | None, str] = {}

    def partial(self, piece: Partial, key: str | None) -> list[Event]:
        before = self._texts.get(key, "")
        text = before + (self._join if before and piece.text else "") + piece.text
        self._texts[key] = piece.text = text
        return [piece] if text else []

    def final(self, piece: Final, key: str | None) -> list[Event]:
        self._texts.pop(key, None)
        return [piece]


class Counter(PieceReducer):
    """A text is replaced until *key* changes, which makes it final (sherpa-onnx)."""

    def __init__(self) -> None:
        self._key: str | None = None
        self._last: Partial | None = None

    def partial(self, piece: Partial, key: str | None) -> list[Event]:
        events = self.close_utterance() if key != self._key else []
        self._key, self._last = key, piece
        return [*events, piece] if piece.text else events

    def final(self, piece: Final, key: str | None) -> list[Event]:
        events = self.close_utterance() if key != self._key else []
        self._key, self._last = key, None
        return [*events, piece]

    def close_utterance(self) -> list[Event]:
        last, self._last = self._last, None
        if last is None or not last.text:
            return []
        return [
            Final(
                last.text,
                last.start,
                last.end,
                last.language,
                last.confidence,
                last.speaker,
                last.words,
                last.request_id,
                ends_utterance=True,
            )
        ]


@dataclass
class Token:
    """A piece of a word: *word* holds its text and times."""

    word: Word
    final: bool
    language: str | None = None


class TokenStream:
    """Final tokens come once, others again in every message; marker tokens end the utterance (Soniox)."""

    def __init__(self) -> None:
        self._final: list[Token] = []

    def tokens(self, tokens: list[Token], markers: dict[str, Any]) -> list[Event]:
        """What a message's *tokens* mean; *markers* are tokens that are signs."""
        events: list[Event] = []
        tail: list[Token] = []
        for token in tokens:
            marker = markers.get(token.word.text)
            if marker is not None:
                events += self.close_utterance(ends=marker == "utterance_end")
                tail = []
                if marker == "flushed":
                    events.append(Flushed())
            elif token.final:
                self._final.append(token)
            else:
                tail.append(token)
        if tokens and (self._final or tail):
            events.append(_spoken(Partial, [*self._final, *tail], stable=not tail))
        return events

    def close_utterance(self, *, ends: bool = False) -> list[Event]:
        """The final tokens so far as a final; *ends* when the vendor has heard the end of the utterance."""
        held, self._final = self._final, []
        if held:
            return [_spoken(Final, held, ends_utterance=ends)]
        return [SpeechEnded()] if ends else []


class _MakesSegment(Protocol):
    def __call__(self, text: str, *args: Any, **kwargs: Any) -> Any: ...


def _spoken(kind: _MakesSegment, tokens: list[Token], **fields: Any) -> Any:
    """Tokens as one segment: texts joined as they are, for tokens carry their own spaces."""
    text = "".join(token.word.text for token in tokens).strip()
    starts = [token.word.start for token in tokens if token.word.start is not None]
    ends = [token.word.end for token in tokens if token.word.end is not None]
    confidences = [token.word.confidence for token in tokens if token.word.confidence]
    speakers = [token.word.speaker for token in tokens if token.word.speaker]
    languages = [token.language for token in tokens if token.language]
    return kind(
        text,
        min(starts, default=None),
        max(ends, default=None),
        max(set(languages), key=languages.count) if languages else None,
        sum(confidences) / len(confidences) if confidences else 0.0,
        max(sorted(set(speakers)), key=speakers.count) if speakers else None,
        [token.word for token in tokens],
        **fields,
    )


class SlidingSegments:
    """A window of segments is sent again and again; completed ones are final once (WhisperLive).

    Segments are told apart by their start: a completed one that begins before the end of the last final is old.
    """

    _SAME = 0.01  # seconds by which a repeated segment's start may have moved

    def __init__(self) -> None:
        self._done_until = -1.0

    def segments(self, segments: list[Token]) -> list[Event]:
        """What a window of *segments* adds."""
        events: list[Event] = []
        open_texts: list[Token] = []
        for segment in segments:
            start = segment.word.start
            if start is not None and start < self._done_until - self._SAME:
                continue
            if segment.final:
                final: Final = _spoken(Final, [segment])
                final.words = None
                events.append(final)
                if segment.word.end is not None:
                    self._done_until = max(self._done_until, segment.word.end)
            else:
                open_texts.append(segment)
        if open_texts:
            partial: Partial = _spoken(Partial, open_texts)
            partial.words = None
            events.append(partial)
        return events
