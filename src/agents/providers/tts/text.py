"""Text on its way to the vendor, in the pieces it takes well, and on its way back as words with times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, TypeVar

from livekit.agents import tokenize
from livekit.agents.types import TimedString

from ..protocol import Word

__all__ = ["TextUnits", "WordAligner", "well_formed"]

Unit = Literal["token", "word", "sentence"]

_LONGEST_WORD = 40  # what is longer without a space is of a script that has none
_SENTENCE_CONTEXT = 10  # so much must follow a sentence to tell its end from an abbreviation
_LATEST = 86400.0  # seconds of a segment; what comes later is nonsense
_FAR = 60  # characters of the text in which a word of the vendor is looked for


def well_formed(text: str) -> str:
    """*text* with a sign in the place of every half of a surrogate pair, which nothing can be sent with.

    They come from language models whose server cuts text by UTF-16 units; two halves side by side are joined.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class TextUnits:
    """Joins the pieces of a language model to units a vendor takes well. No character is lost or added."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._held = ""
        self._half = ""  # the first half of a surrogate pair

    def push(self, text: str) -> list[str]:
        """Take a piece; answer what is complete."""
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        text = well_formed(text)
        if self._unit == "token":
            return [text] if text else []
        self._held += text
        if self._unit == "word":
            return self._words()
        *whole, rest = _sentences().tokenize(self._held) or [""]
        if not whole or len(rest) < _SENTENCE_CONTEXT:
            return []
        self._held = self._held[sum(map(len, whole)) :]
        return whole

    def flush(self) -> list[str]:
        """What is held back, complete or not."""
        held, self._held = self._held, ""
        return [held] if held else []

    def _words(self) -> list[str]:
        end = max(self._held.rfind(" "), self._held.rfind("\n")) + 1
        if not end and len(self._held) > _LONGEST_WORD:
            end = len(self._held)
        whole, self._held = self._held[:end], self._held[end:]
        return [whole] if whole else []


@lru_cache(maxsize=1)
def _sentences() -> tokenize.blingfire.SentenceTokenizer:
    return tokenize.blingfire.SentenceTokenizer(retain_format=True)


class WordAligner:
    """Gives the text that was sent the times of the words the vendor says it spoke.

    LiveKit shows the timed words as the transcript, one after the other: so what comes out is the text itself, cut
    behind each word. A word that is not in the text (a number that is read out, say) lends its time to what stands
    there.
    """

    def __init__(self) -> None:
        self._text = ""  # sent, and not said yet
        self._since: float | None = None  # when that began, where words before were not found
        self._end = 0.0

    def sent(self, text: str) -> None:
        """*text* was sent."""
        self._text += text

    def spoken(self, words: Sequence[Word]) -> list[TimedString]:
        """The text up to each of *words*; times in seconds of the segment."""
        timed = []
        for word in words:
            start, over = _moment(word.start, self._end), _moment(word.end, None)
            self._end = max(over if over is not None else start, self._end)
            end = self._place_after(word.text.strip())
            if end is None:
                if self._since is None:
                    self._since = start
                continue
            since = self._since if self._since is not None else start
            timed.append(TimedString(self._text[:end], start_time=since, end_time=max(self._end, since)))
            self._text, self._since = self._text[end:], None
        return timed

    def finish(self) -> list[TimedString]:
        """What of the text no word was found for, at the end of the segment; nothing when there were no times."""
        rest, self._text = self._text, ""
        if not rest.strip() or not self._end:
            return []
        start = self._since if self._since is not None else self._end
        return [TimedString(rest, start_time=start, end_time=max(self._end, start))]

    def _place_after(self, word: str) -> int | None:
        """Where the text goes on after *word* and the signs that belong to it."""
        if not word:
            return None
        near = self._text[: _FAR + len(word)]
        found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", near, re.IGNORECASE)
        if found is None:
            found = re.match(rf"\s*{re.escape(word)}", near, re.IGNORECASE)  # scripts without spaces
        if found is None:
            return None
        tail = re.match(r"[^\w\s]*\s*", self._text[found.end() :])
        assert tail is not None
        return found.end() + tail.end()


_Else = TypeVar("_Else", float, None)


def _moment(at: float | None, otherwise: _Else) -> float | _Else:
    """*at*, if a word can be spoken then."""
    return at if at is not None and 0 <= at <= _LATEST else otherwise
