"""Audio that carries numbered words in its sample values, and an ear that reads them back.

Word *k* lasts :data:`WORD_SECONDS`. Every one of its samples has the magnitude ``8192 + 32 * k + slot``, where
*slot* counts the 8 ms steps inside the word; the sign alternates between the quarters of the word, which makes it
loud to anything that measures energy, with no offset. Silence is zero. So any stretch of audio, cut anywhere, says
which words it holds and which part of them: lost and doubled audio is counted to the sample, and no clock or model
is involved.

The sign changes seldom (a resampler rings for some 60 samples around a jump) and the magnitudes of neighbouring
words stay apart, so that words also survive a resampler.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

__all__ = [
    "HEARD_SHARE",
    "MAX_WORDS",
    "WORD_SECONDS",
    "Ear",
    "Occurrence",
    "Speech",
    "SpokenWord",
    "numbers_in",
    "speak",
]

WORD_SECONDS = 0.2
"""How long every word lasts."""

HEARD_SHARE = 0.6
"""The share of a word's steps that must arrive for it to be heard: more than half, so of two parts only one is."""

_ONSET_SHARE = 0.15
_FLOOR = 8192  # a quarter of full scale: loud
_STRIDE = 32
_SLOTS = 25
_SIGNS = 4
_FIRST_SLOT = 3  # leaves values between two words unused: rounding cannot turn one into the other

MAX_WORDS = (32768 - _FLOOR) // _STRIDE
"""How many different words there are."""


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word that was put into audio; times are seconds from its first sample."""

    number: int
    start: float
    end: float

    @property
    def text(self) -> str:
        """The word as a transcript writes it."""
        return f"w{self.number}"


@dataclass(frozen=True, slots=True)
class Speech:
    """Audio of one speaker: 16-bit little-endian mono PCM, and what it says."""

    pcm: bytes = field(repr=False)
    sample_rate: int
    words: tuple[SpokenWord, ...]

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.pcm) / (2 * self.sample_rate)


def numbers_in(text: str) -> list[int]:
    """The words of a transcript: ``"w3 w4"`` gives ``[3, 4]``. Punctuation and case do not matter."""
    return [int(number) for number in re.findall(r"\bw(\d+)\b", text.lower())]


def speak(
    utterances: Sequence[int],
    sample_rate: int,
    *,
    gap_ms: int = 100,
    pause_ms: int = 600,
    lead_ms: int = 100,
    tail_ms: int = 0,
) -> Speech:
    """Speech of consecutive numbered words.

    Args:
        utterances: the number of words of each utterance.
        sample_rate: in Hz.
        gap_ms: silence between two words of an utterance.
        pause_ms: silence between two utterances.
        lead_ms: silence before the first word.
        tail_ms: silence after the last one.
    """
    if sum(utterances) > MAX_WORDS:
        raise ValueError(f"at most {MAX_WORDS} words can be told apart, not {sum(utterances)}")
    parts = [_silence(lead_ms, sample_rate)]
    position = parts[0].size
    words: list[SpokenWord] = []

    def add(samples: np.ndarray) -> None:
        nonlocal position
        parts.append(samples)
        position += samples.size

    for length in utterances:
        if words:
            add(_silence(pause_ms, sample_rate))
        for nth in range(length):
            if nth:
                add(_silence(gap_ms, sample_rate))
            start = position
            add(_word(len(words), sample_rate))
            words.append(SpokenWord(len(words), start / sample_rate, position / sample_rate))
    add(_silence(tail_ms, sample_rate))
    return Speech(np.concatenate(parts).astype("<i2").tobytes(), sample_rate, tuple(words))


def _silence(milliseconds: int, sample_rate: int) -> np.ndarray:
    return np.zeros(round(milliseconds * sample_rate / 1000), dtype=np.int16)


def _word(number: int, sample_rate: int) -> np.ndarray:
    length = _word_samples(sample_rate)
    slots = np.arange(length) * _SLOTS // length
    magnitudes = _FLOOR + _STRIDE * number + _FIRST_SLOT + slots
    return np.where(slots * _SIGNS // _SLOTS % 2 == 0, magnitudes, -magnitudes).astype(np.int16)


def _word_samples(sample_rate: int) -> int:
    return round(WORD_SECONDS * sample_rate)


@dataclass(slots=True, eq=False)
class Occurrence:
    """A word, or a part of one, as it arrived; positions are samples since the ear began to listen."""

    number: int
    start: int
    end: int
    steps: np.ndarray = field(default_factory=lambda: np.zeros(_SLOTS, dtype=np.int64), repr=False)
    begun: bool = False
    times_heard: int = 0


class Ear:
    """Reads numbered words from audio that comes in pieces of any size, even of half a sample.

    Attributes:
        position: samples listened to.
        voice_end: the position behind the last sample that was not silence.
        samples: how many samples of each word arrived, all occurrences together.
    """

    def __init__(self, sample_rate: int) -> None:
        self._word_samples = _word_samples(sample_rate)
        self._step_samples = self._word_samples / _SLOTS
        self._open: dict[int, Occurrence] = {}
        self._half_sample = b""
        self.position = 0
        self.voice_end = 0
        self.samples: Counter[int] = Counter()

    def listen(self, pcm: bytes | bytearray | memoryview) -> tuple[list[Occurrence], list[Occurrence]]:
        """Take the next piece.

        Returns:
            the words of which the beginning is now recognisable as speech, and those heard for good. A word that
            comes a second time is heard a second time.
        """
        data = self._half_sample + bytes(pcm)
        whole = len(data) & ~1
        self._half_sample = data[whole:]
        samples = np.frombuffer(data[:whole], dtype="<i2").astype(np.int32)
        offset, self.position = self.position, self.position + samples.size
        codes = np.abs(samples) - (_FLOOR + _FIRST_SLOT)
        voiced = np.flatnonzero((codes >= 0) & (codes % _STRIDE < _SLOTS))
        if not voiced.size:
            return [], []
        self.voice_end = offset + int(voiced[-1]) + 1
        numbers, slots = np.divmod(codes[voiced], _STRIDE)

        begun: list[Occurrence] = []
        heard: list[Occurrence] = []
        bounds = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), voiced.size]
        for first, behind in pairwise(bounds):
            start, end = offset + int(voiced[first]), offset + int(voiced[behind - 1]) + 1
            word = self._occurrence(int(numbers[first]), start)
            self.samples[word.number] += behind - first
            word.end = end
            word.steps += np.bincount(slots[first:behind], minlength=_SLOTS)
            self._judge(word, int(slots[behind - 1]), begun, heard)
        return begun, heard

    def _occurrence(self, number: int, at: int) -> Occurrence:
        """The occurrence that goes on, or a new one when the last one is long over."""
        word = self._open.get(number)
        if word is None or at - word.end > self._word_samples:
            word = self._open[number] = Occurrence(number, at, at)
        return word

    def _judge(self, word: Occurrence, slot: int, begun: list[Occurrence], heard: list[Occurrence]) -> None:
        """Count the steps that arrived: once more than they were heard makes the word heard once more."""
        if not word.begun and self._arrived(word) >= _ONSET_SHARE * _SLOTS:
            word.begun = True
            begun.append(word)
        while self._arrived(word) >= HEARD_SHARE * _SLOTS:
            word.times_heard += 1
            # where it began follows from the step it is in; stray samples (a resampler makes some) may lie before
            began = word.end - round((slot + 1) * self._step_samples)
            if word.start < began - self._step_samples:
                word.start = began
            heard.append(word)

    def _arrived(self, word: Occurrence) -> int:
        """How many steps of the word came more often than it was heard."""
        return int(np.count_nonzero(word.steps >= (word.times_heard + 0.5) * self._step_samples))

    def in_progress(self) -> Occurrence | None:
        """The word whose beginning has arrived, which is not heard yet, and which may still go on."""
        for word in self._open.values():
            if not word.times_heard and word.end == self.position:
                return word
        return None
