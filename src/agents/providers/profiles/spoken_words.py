"""When which word is spoken: from a vendor's lists to :class:`~agents.providers.protocol.Word` objects.

Some vendors send words, some send characters in lists that run side by side, with a word cut in two by the end of
a message. Times begin with the segment or with the audio of the message; ElevenLabs documents the one and is read
as the other by several clients, so there is a way that sees which it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..protocol import Word
from .fields import compile_words
from .paths import compile_first, compile_path
from .results import Words
from .speech import Aligned
from .units import SCALES, number

__all__ = ["PieceReader", "WordJoiner", "base_of", "compile_pieces"]

PieceReader = Callable[[Any], "list[Word]"]
"""From a message to its words or characters, in seconds; an empty list where it has none."""

_NEAR = 0.05  # seconds by which a first time may miss where it is counted from


def compile_pieces(words: Words | None, aligned: Aligned | None, unit: str) -> PieceReader:
    """The reader of a rule's words."""
    if words is not None:
        read = compile_words(words, unit)
        return lambda message: list(read(message) or ())
    assert aligned is not None, "checked by lint"
    return _compile_aligned(aligned, SCALES[unit])


def _compile_aligned(aligned: Aligned, scale: float) -> PieceReader:
    get_texts, get_starts = compile_path(aligned.texts), compile_first(aligned.starts)
    get_ends = compile_first(aligned.ends if aligned.ends is not None else aligned.durations or [])
    are_durations = aligned.ends is None

    def read(message: Any) -> list[Word]:
        columns = get_texts(message), get_starts(message), get_ends(message)
        if not all(isinstance(column, list) for column in columns) or len({len(c) for c in columns}) != 1:
            return []  # what cannot be lined up says nothing
        pieces = []
        for text, start, end in zip(*columns, strict=True):
            begun, over = number(start), number(end)
            if not isinstance(text, str) or begun is None or over is None:
                continue
            begun *= scale
            over = begun + over * scale if are_durations else over * scale
            pieces.append(Word(text, begun, over))
        return pieces

    return read


def base_of(times_from: str, first: float | None, audio_seconds: float, spoken_until: float) -> float:
    """Seconds to add to a message's times.

    Args:
        times_from: ``segment``, ``message`` or ``either``.
        first: the message's first time.
        audio_seconds: audio of the segment before this message.
        spoken_until: the end of the last word before it.
    """
    if times_from == "segment" or first is None:
        return 0.0
    if times_from == "message":
        return audio_seconds
    return audio_seconds if first + _NEAR < min(audio_seconds, spoken_until) else 0.0


class WordJoiner:
    """Joins characters to words. A word ends where white space follows; the last one when the segment is done."""

    def __init__(self) -> None:
        self._open: Word | None = None

    def push(self, characters: list[Word]) -> list[Word]:
        """Take more characters; return the words that are whole."""
        whole: list[Word] = []
        for character in characters:
            if not character.text.strip():
                whole += self.finish()
            elif self._open is None:
                self._open = Word(character.text, character.start, character.end)
            else:
                self._open.text += character.text
                self._open.end = character.end
        return whole

    def finish(self) -> list[Word]:
        """The word that was still open."""
        held, self._open = self._open, None
        return [held] if held is not None else []
