"""What was heard, and how it is written down: plain text, JSON, SubRip (srt) and WebVTT (vtt). No I/O."""

from __future__ import annotations

import itertools
import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

__all__ = ["Cue", "Format", "Segment", "Transcript", "TranscriptWord", "cues", "render"]

_LINE_CHARS = 42
"""Characters in one line of a caption; two lines to a caption. Broadcasters' usual limits."""

_CUE_CHARS = 2 * _LINE_CHARS
_CUE_SECONDS = 7.0
_SHORTEST_SECONDS = 1.0
"""A caption stays at least so long, when the next one leaves it the time."""

_PAUSE_SECONDS = 0.8
"""A pause this long between two words ends a caption."""

_ROUNDING_SECONDS = 0.001
"""Both caption formats count in milliseconds."""


class Format(str, Enum):
    """How a transcript is written."""

    TEXT = "text"
    JSON = "json"
    SRT = "srt"
    VTT = "vtt"

    @property
    def suffix(self) -> str:
        """The ending of a file in this format."""
        return ".txt" if self is Format.TEXT else f".{self.value}"


@dataclass(frozen=True)
class TranscriptWord:
    """A word; times in seconds from the beginning of the recording, ``None`` where the vendor gave none."""

    text: str
    start: float | None = None
    end: float | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class Segment:
    """One final result. ``start`` and ``end`` are seconds; an ``end`` of 0 means that the vendor gave no times."""

    text: str
    start: float = 0.0
    end: float = 0.0
    confidence: float | None = None
    speaker: str | None = None
    words: tuple[TranscriptWord, ...] = ()


@dataclass
class Transcript:
    """All that was heard in one recording, growing while it is heard.

    ``unfinished`` is the last interim text that no final has replaced yet; ``duration`` is seconds of audio,
    ``complete`` says that the recording was heard to its end.
    """

    source: str
    language: str | None = None
    duration: float = 0.0
    segments: list[Segment] = field(default_factory=list)
    unfinished: str = ""
    complete: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Everything heard, finals first and then what is not final yet."""
        return " ".join(
            part for part in (*(s.text.strip() for s in self.segments), self.unfinished.strip()) if part
        )


@dataclass(frozen=True)
class Cue:
    """One caption on the screen, from ``start`` to ``end`` in seconds."""

    start: float
    end: float
    text: str


def render(transcript: Transcript, form: Format) -> str:
    """*transcript* as the content of a file, ending with a line break (empty for a text without words)."""
    if form is Format.TEXT:
        lines = [segment.text.strip() for segment in transcript.segments] + [transcript.unfinished.strip()]
        return "".join(f"{line}\n" for line in lines if line)
    if form is Format.JSON:
        return json.dumps(as_json(transcript), ensure_ascii=False, indent=2) + "\n"
    return _srt(cues(transcript)) if form is Format.SRT else _vtt(cues(transcript))


def as_json(transcript: Transcript) -> dict[str, Any]:
    """*transcript* as JSON holds it; what is not known is left out."""
    return _known(
        {
            "file": transcript.source,
            "text": transcript.text,
            "language": transcript.language,
            "duration": round(transcript.duration, 3),
            "complete": transcript.complete,
            "warnings": transcript.warnings or None,
            "segments": [_segment_json(segment) for segment in transcript.segments],
            "unfinished": transcript.unfinished or None,
        }
    )


def cues(transcript: Transcript) -> list[Cue]:
    """The captions of *transcript*: at most two lines and seven seconds each, in order, without overlaps."""
    made = [cue for segment in _timed(transcript) for cue in _segment_cues(segment)]
    return [
        Cue(cue.start, _shown_until(cue, made[at + 1].start if at + 1 < len(made) else None), cue.text)
        for at, cue in enumerate(made)
    ]


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _segment_json(segment: Segment) -> dict[str, Any]:
    has_times = segment.end > 0
    return _known(
        {
            "text": segment.text,
            "start": round(segment.start, 3) if has_times else None,
            "end": round(segment.end, 3) if has_times else None,
            "confidence": None if segment.confidence is None else round(segment.confidence, 4),
            "speaker": segment.speaker,
            "words": [_word_json(word) for word in segment.words] or None,
        }
    )


def _word_json(word: TranscriptWord) -> dict[str, Any]:
    return _known(
        {
            "word": word.text,
            "start": None if word.start is None else round(word.start, 3),
            "end": None if word.end is None else round(word.end, 3),
            "confidence": None if word.confidence is None else round(word.confidence, 4),
        }
    )


def _timed(transcript: Transcript) -> Iterator[Segment]:
    """The segments, each with times: those without share the time between their neighbours by length of text."""
    segments = [s for s in transcript.segments if s.text.strip()]
    if transcript.unfinished.strip():
        segments.append(Segment(transcript.unfinished))
    at = 0
    reached = 0.0
    while at < len(segments):
        if segments[at].end > 0:
            yield segments[at]
            reached = segments[at].end
            at += 1
            continue
        stop = next((i for i in range(at, len(segments)) if segments[i].end > 0), len(segments))
        until = segments[stop].start if stop < len(segments) else max(transcript.duration, reached)
        texts = [s.text for s in segments[at:stop]]
        for segment, (start, end) in zip(segments[at:stop], _shares(texts, reached, until), strict=True):
            yield Segment(segment.text, start, end)
        at, reached = stop, until


def _shares(texts: Sequence[str], start: float, end: float) -> list[tuple[float, float]]:
    """The time from *start* to *end* divided among *texts* by their lengths."""
    total = sum(map(len, texts)) or 1
    edges = [start]
    for text in texts:
        edges.append(edges[-1] + (max(end, start) - start) * len(text) / total)
    return list(itertools.pairwise(edges))


def _segment_cues(segment: Segment) -> Iterator[Cue]:
    timed_words = [(w.text, w.start, w.end) for w in segment.words if w.start is not None and w.end is not None]
    if len(timed_words) == len(segment.words) and timed_words:
        # the words may lack the punctuation of the text; where they match one by one, the text's are shown
        shown = segment.text.split()
        if len(shown) == len(timed_words):
            timed_words = [(t, s, e) for t, (_, s, e) in zip(shown, timed_words, strict=True)]
    else:
        shown = segment.text.split()
        shares = _shares(shown, segment.start, segment.end)
        timed_words = [(t, s, e) for t, (s, e) in zip(shown, shares, strict=True)]
    held: list[tuple[str, float, float]] = []
    for word in timed_words:
        if held and _is_full(held, word):
            yield _cue(held)
            held = []
        held.append(word)
    if held:
        yield _cue(held)


def _is_full(held: list[tuple[str, float, float]], word: tuple[str, float, float]) -> bool:
    text = " ".join([*(w for w, _, _ in held), word[0]])
    return (
        len(text) > _CUE_CHARS
        or len(textwrap.wrap(text, _LINE_CHARS)) > 2
        or word[2] - held[0][1] > _CUE_SECONDS
        or word[1] - held[-1][2] >= _PAUSE_SECONDS
    )


def _cue(words: list[tuple[str, float, float]]) -> Cue:
    return Cue(words[0][1], words[-1][2], " ".join(text for text, _, _ in words))


def _shown_until(cue: Cue, following: float | None) -> float:
    """When *cue* goes: not too soon to be read, and not after the next one comes."""
    end = max(cue.end, cue.start + _SHORTEST_SECONDS)
    if following is not None:
        end = min(end, max(following, cue.start + _ROUNDING_SECONDS))
    return end


def _srt(made: list[Cue]) -> str:
    blocks = [
        f"{number}\n{_stamp(cue.start, ',')} --> {_stamp(cue.end, ',')}\n{_lines(cue.text)}\n"
        for number, cue in enumerate(made, 1)
    ]
    return "\n".join(blocks)


def _vtt(made: list[Cue]) -> str:
    blocks = [
        f"{_stamp(cue.start, '.')} --> {_stamp(cue.end, '.')}\n{_lines(_escaped(cue.text))}\n" for cue in made
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _lines(text: str) -> str:
    """*text* on one line, or on two of about the same length."""
    if len(text) <= _LINE_CHARS:
        return text
    balanced = textwrap.wrap(text, max(len(text) // 2 + 6, _LINE_CHARS // 2), break_long_words=False)
    if len(balanced) > 2:
        balanced = textwrap.wrap(text, _LINE_CHARS, break_long_words=False)
    return "\n".join(balanced)


def _stamp(seconds: float, point: str) -> str:
    """``hh:mm:ss`` and milliseconds after *point*."""
    whole = max(round(seconds * 1000), 0)
    minutes, ms = divmod(whole, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{ms // 1000:02}{point}{ms % 1000:03}"
