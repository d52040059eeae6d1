"""Rules about a speaking vendor's messages, compiled to a program as those about transcripts are."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any, Union

from ..protocol import (
    Audio,
    Failure,
    ProtocolError,
    Ready,
    SegmentDone,
    SpokenWords,
    SynthesisEvent,
    SynthesisForm,
    Word,
    decode_json,
)
from .fields import compile_condition
from .paths import Getter, compile_first, compile_path
from .rules import compile_failure
from .speech import SpeechResults, SpeechRule
from .spoken_words import PieceReader, WordJoiner, base_of, compile_pieces
from .units import number

__all__ = ["SegmentMemory", "SpeechProgram"]

_LOWEST_RATE, _HIGHEST_RATE = 1000, 384000


class SegmentMemory:
    """What one connection must remember: its segment, and how far the vendor has come with it.

    Attributes:
        form: of the audio.
        segment: the name of the segment under way; ``None`` between two.
        flushes: answers to flushes that are still to come.
        ending: the end was sent, so that the answer to the last flush is the end of the segment.
        cancelled: it was broken off: only ``done`` counts, for an answer to an earlier flush may be on its way.
        before: seconds of audio of the segment before the message being read.
    """

    __slots__ = (
        "_bytes",
        "_spoken_until",
        "before",
        "cancelled",
        "ending",
        "flushes",
        "form",
        "joiner",
        "segment",
    )

    def __init__(self, form: SynthesisForm) -> None:
        self.form = form
        self.segment: str | None = None
        self.begin(None)

    def begin(self, segment: str | None) -> None:
        """A new segment, or with ``None`` none."""
        self.segment = segment
        self.flushes = 0
        self.ending = self.cancelled = False
        self.before = 0.0
        self.joiner = WordJoiner()
        self._bytes = 0
        self._spoken_until = 0.0

    def add(self, data: bytes) -> None:
        """Count audio of the segment."""
        self._bytes += len(data)

    @property
    def audio_seconds(self) -> float:
        """Audio of the segment so far."""
        width = 1 if self.form.mime_type == "audio/basic" else 2
        return self._bytes / (width * self.form.channels * self.form.sample_rate)

    def shift(self, pieces: list[Word], times_from: str) -> None:
        """Bring the times of *pieces* to the segment's."""
        first = next((piece.start for piece in pieces if piece.start is not None), None)
        base = base_of(times_from, first, self.before, self._spoken_until)
        for piece in pieces:
            if base and piece.start is not None:
                piece.start += base
            if base and piece.end is not None:
                piece.end += base
            self._spoken_until = max(self._spoken_until, piece.end or 0.0)

    def done(self) -> list[SynthesisEvent]:
        """The end of the segment, with the word that was still open before it."""
        if self.segment is None:
            return []
        rest = self.joiner.finish() if not self.cancelled else []
        self.begin(None)
        return [SpokenWords(rest), SegmentDone()] if rest else [SegmentDone()]


Apply = Callable[[Any, SegmentMemory], "list[SynthesisEvent]"]
Step = tuple[Union[Callable[[Any], Any], None], Apply, bool, bool]
"""The rule's condition, what it does, whether the message is done then, and whether it must be of the segment."""


class SpeechProgram:
    """What a speaking vendor's messages mean. Immutable; one for all connections."""

    def __init__(self, results: SpeechResults) -> None:
        self._switch = results.switch
        self._get_case = compile_path(results.switch) if results.switch is not None else None
        self._get_segment = compile_first(results.segment) if results.segment is not None else None
        steps = [
            (
                rule,
                (compile_condition(rule.when), _compile(rule, results), not rule.more, rule.event != "ready"),
            )
            for rule in results.rules
        ]
        cases = {case for rule in results.rules for case in cases_of(rule)}
        self._table: Mapping[Any, tuple[Step, ...]] = {
            case: tuple(step for rule, step in steps if rule.case is None or case in cases_of(rule))
            for case in cases
        }
        self._any: tuple[Step, ...] = tuple(step for rule, step in steps if rule.case is None)

    def read(self, raw: str | bytes, memory: SegmentMemory) -> list[SynthesisEvent]:
        """The events of a message as it came over the wire. Audio outside a segment is left out.

        Raises:
            ProtocolError: it cannot be understood.
        """
        if not isinstance(raw, str):
            return _audio(bytes(raw), memory)
        try:
            message = decode_json(raw)
        except ValueError as error:
            raise ProtocolError("not JSON") from error
        if type(message) is not dict:
            raise ProtocolError("not a JSON object")
        named = self._get_segment(message) if self._get_segment is not None else None
        foreign = named is not None and named != memory.segment
        steps = self._any
        if self._get_case is not None:
            case = self._get_case(message)
            if type(case) is str:
                steps = self._table.get(case, steps)
            elif not steps:
                raise ProtocolError(f"no {self._switch!r} that says what kind of message it is")
        memory.before = memory.audio_seconds
        events: list[SynthesisEvent] = []
        for test, apply, last, of_segment in steps:
            if foreign and of_segment:
                continue
            if test is None or test(message):
                events += apply(message, memory)
                if last:
                    break
        return events


def cases_of(rule: SpeechRule) -> list[str]:
    """The values of the switch *rule* is for."""
    if rule.case is None:
        return []
    return rule.case if isinstance(rule.case, list) else [rule.case]


def _audio(data: bytes, memory: SegmentMemory) -> list[SynthesisEvent]:
    if memory.segment is None or memory.cancelled or not data:
        return []
    memory.add(data)
    return [Audio(data)]


def _compile(rule: SpeechRule, results: SpeechResults) -> Apply:
    return _COMPILERS[rule.event](rule, results)


def _compile_ignore(rule: SpeechRule, results: SpeechResults) -> Apply:
    return lambda message, memory: []


def _compile_ready(rule: SpeechRule, results: SpeechResults) -> Apply:
    get_id = _optional(rule.request_id)

    def ready(message: Any, memory: SegmentMemory) -> list[SynthesisEvent]:
        request_id = get_id(message)
        return [Ready(request_id if isinstance(request_id, str) else "")]

    return ready


def _compile_form(rule: SpeechRule, results: SpeechResults) -> Apply:
    get_rate = _optional(rule.rate)

    def form(message: Any, memory: SegmentMemory) -> list[SynthesisEvent]:
        rate = number(get_rate(message))
        if rate is None:
            return []
        if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
            raise ProtocolError("a sample rate out of range")
        memory.form = SynthesisForm(memory.form.mime_type, int(rate), memory.form.channels)
        return [memory.form]

    return form


def _compile_audio(rule: SpeechRule, results: SpeechResults) -> Apply:
    get_audio = _optional(rule.audio)

    def audio(message: Any, memory: SegmentMemory) -> list[SynthesisEvent]:
        text = get_audio(message)
        if not isinstance(text, str):
            raise ProtocolError("audio that is no text in base64")
        try:
            data = b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ProtocolError("audio that is not base64") from error
        return _audio(data, memory)

    return audio


def _compile_words(rule: SpeechRule, results: SpeechResults) -> Apply:
    read: PieceReader = compile_pieces(rule.words, rule.aligned, results.unit)
    joins = rule.aligned is not None and rule.aligned.characters

    def words(message: Any, memory: SegmentMemory) -> list[SynthesisEvent]:
        pieces = read(message)
        if memory.segment is None or memory.cancelled or not pieces:
            return []
        memory.shift(pieces, results.times_from)
        whole = memory.joiner.push(pieces) if joins else pieces
        return [SpokenWords(whole)] if whole else []

    return words


def _compile_flushed(rule: SpeechRule, results: SpeechResults) -> Apply:
    def flushed(message: Any, memory: SegmentMemory) -> list[SynthesisEvent]:
        if memory.segment is None or memory.cancelled:
            return []
        memory.flushes = max(memory.flushes - 1, 0)
        return memory.done() if memory.ending and not memory.flushes else []

    return flushed


def _compile_done(rule: SpeechRule, results: SpeechResults) -> Apply:
    return lambda message, memory: memory.done()


def _compile_error(rule: SpeechRule, results: SpeechResults) -> Apply:
    read = compile_failure(rule)

    def error(message: Any, memory: SegmentMemory) -> list[SynthesisEvent]:
        failure: Failure | None = read(message)
        return [failure] if failure is not None else []

    return error


def _optional(paths: Any) -> Getter:
    return (lambda message: None) if paths is None else compile_first(paths)


_COMPILERS: Mapping[str, Callable[[SpeechRule, SpeechResults], Apply]] = {
    "ignore": _compile_ignore,
    "ready": _compile_ready,
    "form": _compile_form,
    "audio": _compile_audio,
    "words": _compile_words,
    "flushed": _compile_flushed,
    "done": _compile_done,
    "error": _compile_error,
}
