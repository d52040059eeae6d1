"""When each word of a text is heard in the audio that was made of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

__all__ = ["SpokenWord", "WordTimes"]

_LOUD = 200  # of 32768: what is below is the silence between words


@dataclass(frozen=True)
class SpokenWord:
    """A word of the text, as it is written there (``"nine,"``), and where it is heard.

    ``first`` is its first character in the text; ``start`` and ``end`` are samples of the audio.
    """

    text: str
    first: int
    start: int
    end: int


class WordTimes:
    """From espeak-ng's events to the words of the text.

    It says numbers and symbols as several words of its own: all of them are the one that is written. And it says
    some words in one ("in the"): these share its time, by their letters.
    """

    def __init__(self, text: str) -> None:
        found = re.finditer(r"\S*\w\S*", text)  # a dash that stands alone is not spoken
        self._places = [(match.start(), match.group()) for match in found]
        self._next = 0  # the first of the places that no event has been about yet
        self._open: tuple[int, int] | None = None  # the place that is being said, and its first sample
        self._audio = bytearray()  # since that sample
        self._samples = 0

    def feed(self, block: bytes, begun: list[tuple[int, int]]) -> list[SpokenWord]:
        """Take the next block; answer the words that ended in it."""
        ended = []
        base = self._samples - len(self._audio) // 2  # sample at which the audio that is kept begins
        self._audio += block
        self._samples += len(block) // 2
        for character, sample in begun:
            place = self._place(character)
            if place is None:
                continue
            cut = max(0, sample - base) * 2
            if self._open is not None:
                ended += self._end(bytes(self._audio[:cut]), place)
            del self._audio[:cut]
            base = max(base, sample)
            self._open, self._next = (place, sample), place + 1
        if self._open is None:
            self._audio.clear()
        return ended

    def finish(self) -> list[SpokenWord]:
        """The last words, when there is no more audio."""
        return self._end(bytes(self._audio), len(self._places)) if self._open is not None else []

    def _place(self, character: int) -> int | None:
        """The place an event is about; None for more of what is being said already."""
        before = self._places[self._next - 1] if self._next else None
        if before is not None and character < before[0] + len(before[1]):
            return None
        for number in range(self._next, len(self._places)):
            start, text = self._places[number]
            if character < start + len(text):
                return number
        return None

    def _end(self, audio: bytes, upto: int) -> list[SpokenWord]:
        """The words from the open one on that end before the place *upto*; *audio* is what they sound like."""
        assert self._open is not None
        first, start = self._open
        loud = np.flatnonzero(np.abs(np.frombuffer(audio, "<i2").astype(np.int32)) > _LOUD)
        if not len(loud):
            return []
        begin, end = start + int(loud[0]), start + int(loud[-1]) + 1
        said = self._places[first:upto]
        letters = [len(text) for _, text in said]
        marks = [begin + (end - begin) * sum(letters[:count]) // sum(letters) for count in range(len(said) + 1)]
        return [
            SpokenWord(text, character, marks[number], marks[number + 1])
            for number, (character, text) in enumerate(said)
        ]
