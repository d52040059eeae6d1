"""From the clock of a connection to the clock of the stream, for segments and for words."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any

from livekit.agents.stt import SpeechData
from livekit.agents.types import NOT_GIVEN, NotGivenOr, TimedString

from .events import Word

__all__ = ["Anchors", "WithWords", "placed", "placed_span", "timed_words"]

_BEYOND = 0.5
"""Seconds: a time so far after the last audio sent is nonsense, one nearer is a rounding of the vendor."""

_LONGEST = 1e7
"""Seconds: no connection lasts so long."""

Anchors = Sequence[tuple[float, float]]
"""Where the clock of the connection stands on that of the stream: (connection, stream) seconds, in order."""


def placed(at: float | None, anchors: Anchors, sent: float, *, ends: bool = False) -> float | None:
    """*at* seconds of the connection on the stream's clock; ``None`` for times that cannot be.

    Args:
        sent: seconds of the stream's audio that were sent; no time can lie beyond.
        ends: whether something ends there: what ends where a gap begins ends before the gap.
    """
    if type(at) not in (float, int) or at is None or not 0 <= at <= _LONGEST:
        return None
    if len(anchors) == 1:
        connection, stream = anchors[0]
    else:
        index = bisect_left(anchors, (at, -1.0)) if ends else bisect_right(anchors, (at, math.inf))
        connection, stream = anchors[max(index - 1, 0)]
    moment = stream + at - connection
    if moment > sent:
        return sent if moment <= sent + _BEYOND else None
    return moment


def placed_span(
    start: float | None, end: float | None, anchors: Anchors, sent: float
) -> tuple[float | None, float | None]:
    """*start* and *end* of one stretch of audio, each as :func:`placed` has it."""
    if len(anchors) == 1 and type(start) is float and type(end) is float and 0 <= start <= end:
        connection, stream = anchors[0]
        moment = stream + end - connection
        if moment <= sent:  # which is so for nearly all
            return stream + start - connection, moment
    return placed(start, anchors, sent), placed(end, anchors, sent, ends=True)


def timed_words(words: Sequence[Word], anchors: Anchors, sent: float, offset: float) -> list[TimedString]:
    """LiveKit's words, on the stream's clock plus *offset*; without times where they contradict each other."""
    connection, stream = anchors[0]
    shift = stream - connection
    plain = len(anchors) == 1  # no gap: one sum moves every time, which is what most messages need
    timed = []
    for word in words:
        start, end = word.start, word.end
        from_: NotGivenOr[float]
        to: NotGivenOr[float]
        if plain and type(start) is float and type(end) is float and 0 <= start <= end <= sent - shift:
            from_, to = start + shift + offset, end + shift + offset
        else:
            begun, ended = placed(start, anchors, sent), placed(end, anchors, sent, ends=True)
            if begun is not None and ended is not None and begun > ended:
                begun = ended = None
            from_ = NOT_GIVEN if begun is None else begun + offset
            to = NOT_GIVEN if ended is None else ended + offset
        confidence = word.confidence or NOT_GIVEN
        timed.append(TimedString(word.text, from_, to, confidence, offset, word.speaker))
    return timed


class WithWords(SpeechData):
    """LiveKit's data of a transcript, whose words are made when somebody looks at them.

    Interims come several times a second and each holds all words since the last final, yet LiveKit's session reads
    only their text. Making the words was a third of what an interim costs, and two fifths of what a final does.
    """

    _made: list[TimedString] | None = None
    _later: tuple[Sequence[Word], Anchors, float, float] | None = None

    @property
    def words(self) -> list[TimedString] | None:
        """As LiveKit has it: the words with their times, if the vendor gives any."""
        if self._later is not None:
            self._made = timed_words(*self._later) or None
            self._later = None
        return self._made

    @words.setter
    def words(self, words: list[TimedString] | None) -> None:
        self._made = words
        self._later = None

    def words_later(self, words: Sequence[Word], anchors: Anchors, sent: float, offset: float) -> None:
        """The arguments of :func:`timed_words`, for the first look. *words* and *anchors* must not change."""
        self._later = (words, anchors, sent, offset)

    def __getstate__(self) -> dict[str, Any]:
        _ = self.words  # whoever unpickles it cannot make them any more
        return dict(self.__dict__)

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, SpeechData):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__dataclass_fields__)

    __hash__ = None  # type: ignore[assignment]  # as that of the dataclass
