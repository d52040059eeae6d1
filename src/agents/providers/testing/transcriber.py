"""A speech vendor without a network: audio in, results out, by the rules of a :class:`Behaviour`.

What it says is decided by the audio alone, in steps of 20 ms on the audio clock of one connection, so it does
not depend on how the audio was cut into messages. Times are seconds on that clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Union

from .numbered_words import Ear, Occurrence

__all__ = ["Behaviour", "Ended", "FinalResult", "Flushed", "PartialResult", "Result", "Started", "Transcriber"]

_STEP_SECONDS = 0.02
_EMPTY_FINAL_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How the oracle behaves, within what real vendors do.

    Attributes:
        dialect: the wire format.
        times: results carry times.
        words: results carry single words (with their times).
        speech_events: the beginning and the end of an utterance are announced; or only its beginning.
        flushed: a flush is answered, also when it had nothing to finalise.
        ready: the first message says that audio is welcome.
        pause_ms: so much silence ends an utterance.
        finals_every: a long utterance is finalised after so many words; 0: only at its end.
        empty_finals: about every second of silence is acknowledged by a final without text.
        duplicate_finals: some finals are sent a second time.
        late_finals: a final is overtaken by the partial that follows it, or by the answer to a flush.
        latency: seconds from the audio to the result, by the wall clock.
        wire: whole messages; messages in several WebSocket frames and TCP segments; or several in one segment.
        api_key: the key to ask for, or ``None`` to let everybody in.
        idle_seconds: without audio for so long, the connection is closed with 1011.
    """

    dialect: Literal["generic", "deepgram"] = "generic"
    times: bool = True
    words: bool = True
    speech_events: bool | Literal["beginnings"] = True
    flushed: bool = True
    ready: bool = True
    pause_ms: int = 300
    finals_every: int = 0
    empty_finals: bool = False
    duplicate_finals: bool = False
    late_finals: Literal["no", "after_partials", "after_flushed"] = "no"
    latency: float = 0.0
    wire: Literal["whole", "fragmented", "merged"] = "whole"
    api_key: str | None = None
    idle_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word of a result."""

    number: int
    start: float
    end: float

    @property
    def text(self) -> str:
        """The word as a transcript writes it."""
        return f"w{self.number}"


@dataclass(frozen=True, slots=True)
class Started:
    """Somebody began to speak."""

    at: float


@dataclass(frozen=True, slots=True)
class PartialResult:
    """All words since the last final; *start* and *end* are those of the segment they are in."""

    words: tuple[HeardWord, ...]
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class FinalResult:
    """Words that are settled. A segment begins where the one before ended, so it includes silence."""

    words: tuple[HeardWord, ...]
    start: float
    end: float
    ends_utterance: bool
    from_flush: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """The utterance is over; it ended at *at*."""

    at: float


@dataclass(frozen=True, slots=True)
class Flushed:
    """The answer to a flush."""


Result = Union[Started, PartialResult, FinalResult, Ended, Flushed]


class Transcriber:
    """Hears one connection's audio.

    Attributes:
        ear: what reads the samples.
        words: the numbers of the words heard, in order.
    """

    def __init__(self, sample_rate: int, behaviour: Behaviour) -> None:
        self.ear = Ear(sample_rate)
        self._rate = sample_rate
        self._behaviour = behaviour
        self._step_bytes = 2 * round(_STEP_SECONDS * sample_rate)
        self._rest = bytearray()
        self._pause = behaviour.pause_ms * sample_rate // 1000
        self._pending: list[Occurrence] = []
        self._speaking = False
        self._final_end = 0
        self.words: list[int] = []

    @property
    def seconds(self) -> float:
        """Seconds of audio received."""
        return self.ear.position / self._rate + len(self._rest) / (2 * self._rate)

    def feed(self, pcm: bytes) -> list[Result]:
        """Hear the next piece of audio."""
        results: list[Result] = []
        self._rest += pcm
        while len(self._rest) >= self._step_bytes:
            step = bytes(self._rest[: self._step_bytes])
            del self._rest[: self._step_bytes]
            results += self._step(step)
        return results

    def flush(self) -> list[Result]:
        """Settle all that was heard."""
        results = self._step(bytes(self._rest)) if self._rest else []
        self._rest.clear()
        if self._pending or self._speaking:
            results += self._end_utterance(from_flush=True)
        elif self._behaviour.flushed and self._behaviour.dialect == "deepgram":
            results.append(self._final(ends_utterance=False, from_flush=True))
        if self._behaviour.flushed:
            results.append(Flushed())
        return results

    def _step(self, pcm: bytes) -> list[Result]:
        results: list[Result] = []
        begun, heard = self.ear.listen(pcm)
        if (begun or heard) and not self._speaking:  # a flush may have come between the two
            self._speaking = True
            results.append(Started((begun or heard)[0].start / self._rate))
        if heard:
            self._pending += heard
            self.words += [word.number for word in heard]
            segment = (self._final_end / self._rate, self.ear.position / self._rate)
            results.append(PartialResult(self._words(), *segment))
        every = self._behaviour.finals_every
        if every and len(self._pending) >= every and self._pending[-1].end < self.ear.position:
            results.append(self._final(ends_utterance=False))
        silence = self.ear.position - self.ear.voice_end
        if self._speaking and silence >= self._pause:
            results += self._end_utterance()
        elif not self._speaking and self._behaviour.empty_finals and self._unacknowledged >= _EMPTY_FINAL_SECONDS:
            results.append(self._final(ends_utterance=False))
        return results

    @property
    def _unacknowledged(self) -> float:
        return (self.ear.position - self._final_end) / self._rate

    def _end_utterance(self, *, from_flush: bool = False) -> list[Result]:
        results: list[Result] = []
        # a fragment of a word is a noise: it began something, but there is nothing to write
        if self._pending or self._behaviour.dialect == "deepgram":
            results.append(self._final(ends_utterance=True, from_flush=from_flush))
        if self._speaking:
            self._speaking = False
            results.append(Ended(self.ear.voice_end / self._rate))
        return results

    def _final(self, *, ends_utterance: bool, from_flush: bool = False) -> FinalResult:
        words = self._words()
        self._pending.clear()
        unheard = self.ear.in_progress()
        start, self._final_end = self._final_end, unheard.start if unheard else self.ear.position
        return FinalResult(
            words, start / self._rate, self._final_end / self._rate, ends_utterance, from_flush=from_flush
        )

    def _words(self) -> tuple[HeardWord, ...]:
        return tuple(HeardWord(w.number, w.start / self._rate, w.end / self._rate) for w in self._pending)
