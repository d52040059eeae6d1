"""Noticing a recogniser that says nothing although somebody speaks. No I/O and no clock of its own."""

from __future__ import annotations

import math

from ..protocol.replay import Samples

__all__ = ["LEAST_SPEECH", "QUIETEST_PEAK", "EnergyGate", "SilenceWatch"]

QUIETEST_PEAK = 1000
"""A sample below this (of 32767) is no speech."""

_ABOVE_NOISE = 3.0
"""Speech is so many times louder than the noise it is in."""

_RISE_SECONDS = 10.0
"""The time in which the estimate of the noise comes up to sound that never pauses."""

_LOOKED_AT = 32
"""So many samples of a frame tell whether it is loud; looking at all would cost more than keeping them."""

_LEVELS = bytes(min(high, 255 - high) for high in range(256))
"""The high byte of a sample without its sign: told apart faster than samples are, and fine enough."""

LEAST_SPEECH = 0.3
"""Seconds: less may be a cough, or the end of the word a final has just covered."""

_LONGEST_MONOLOGUE = 30.0
"""Seconds: nobody speaks for longer without any pause a recogniser would end an utterance at."""


class EnergyGate:
    """Tells frames that may hold speech from those that do not, by their level above the noise."""

    def __init__(self) -> None:
        self._noise = 0.0

    @property
    def threshold(self) -> int:
        """The peak (of 32767) speech must exceed."""
        return int(max(QUIETEST_PEAK, _ABOVE_NOISE * self._noise))

    def loud(self, samples: Samples, seconds: float) -> bool:
        """Whether *samples* (mono, 16 bit), *seconds* long, may hold speech. A few dozen of them are looked at."""
        whole = bytes(samples)
        levels = whole[1 :: 2 * (len(whole) // (2 * _LOOKED_AT) or 1)].translate(_LEVELS)
        if not levels:
            return False
        peak = 256 * max(levels) + 128
        loud = peak > self.threshold
        if peak < self._noise:
            self._noise = float(peak)
        else:
            self._noise += (peak - self._noise) * min(seconds / _RISE_SECONDS, 1.0)
        return loud


class SilenceWatch:
    """Compares what was said with what was answered. Times are seconds of any monotonic clock.

    Args:
        limit: seconds an answer may take. It must be longer than the silence by which the vendor tells the end of
            an utterance.
        interims: whether the recogniser answers while somebody speaks. One that does not is given until so long
            after the end of the speech.
    """

    def __init__(self, limit: float, *, interims: bool) -> None:
        self._limit = limit
        self._interims = interims
        self._hurry: float | None = None
        self._unanswered = 0.0  # seconds of speech
        self._since = 0.0
        self._last_speech = 0.0
        self._last_audio = self._last_look = 0.0
        self._last_answer = 0.0
        self._text_open = False

    def begin(self, now: float, speech_seconds: float, *, text_open: bool) -> None:
        """A recogniser is given so much speech at once, because no final covers it.

        Args:
            text_open: another one has said words in it that are not final.
        """
        self._since = self._last_answer = self._last_speech = self._last_audio = self._last_look = now
        self._unanswered = speech_seconds
        self._text_open = text_open

    def audio(self, now: float) -> None:
        """Audio went to the recogniser. Without any, it cannot find the end of an utterance."""
        self._last_look, self._last_audio = self._last_audio, now

    def speech(self, now: float, seconds: float, *, ago: float = 0.0) -> None:
        """So much speech went to the recogniser, the first of it *ago* seconds or fewer before now."""
        if not self._unanswered:
            self._since = max(now - ago, self._last_answer, self._last_look)
        self._unanswered += seconds
        self._last_speech = now

    def answered(self, now: float, *, text_open: bool) -> None:
        """It said something. *text_open*: there are words that are not final yet."""
        self._unanswered = 0.0
        self._last_answer = now
        self._text_open = text_open
        self._hurry = None

    def hurry(self, seconds: float) -> None:
        """It is in trouble: until its next answer, it is given no longer than this."""
        self._hurry = seconds

    @property
    def hurried(self) -> bool:
        """Whether it is in trouble."""
        return self._hurry is not None

    def excuse(self, now: float, seconds: float) -> None:
        """Nobody could have heard it for the last so many *seconds* before *now*: they do not count."""
        self._since = min(self._since + seconds, now)
        self._last_answer = min(self._last_answer + seconds, now)
        self._last_speech = min(self._last_speech + seconds, now)

    def left(self, now: float, patience: float = 1.0) -> float:
        """Seconds until the answer that is owed is overdue; 0 or less: it is. *patience* multiplies the limit."""
        limit = self._limit * patience if self._hurry is None else min(self._hurry, self._limit)
        if now - self._last_audio >= limit:
            return math.inf
        if self._unanswered >= LEAST_SPEECH:
            if self._interims:
                return self._since + limit - now
            return min(self._last_speech, self._since + _LONGEST_MONOLOGUE) + limit - now
        return max(self._last_answer, self._last_speech) + limit - now if self._text_open else math.inf

    def overdue(self, now: float, patience: float = 1.0) -> bool:
        """Whether the recogniser owes an answer for too long."""
        return self.left(now, patience) <= 0
