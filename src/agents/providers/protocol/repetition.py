"""Finding, in a transcript that was made again, the part that was already said.

A vendor without times cannot tell which audio a final covers. After a reconnect all audio since the last sure
position is recognised again, and this module takes off the words that had been final before the drop.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

__all__ = ["repeated_prefix", "tokens", "without_overlap"]

# A run of letters and digits between blanks is a token; scripts written without blanks count by character.
_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]|[^\s\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]+")
_NOISE = re.compile(r"[^\w]+")

_LONGER = 50
"""So many words a repetition may have beyond twice those it repeats."""


def tokens(text: str) -> list[str]:
    """The words of *text* as they are compared: without case and punctuation."""
    return [word for word, _ in _placed_tokens(text)]


def _placed_tokens(text: str, most: int | None = None) -> list[tuple[str, int]]:
    """The tokens of *text*, at most *most*, and where each begins. What is punctuation only is none."""
    found = ((_NOISE.sub("", match.group()).casefold(), match.start()) for match in _TOKEN.finditer(text))
    return list(islice(((word, start) for word, start in found if word), most))


def repeated_prefix(said: Sequence[str], text: str) -> tuple[str, int]:
    """Split *text* where it stops repeating what was *said*.

    The two are aligned by edit distance, since a recogniser may spell the same audio differently the second
    time. Either the end of *said* is found inside *text*, or *text* ends inside *said*, or less than half is alike
    and *text* repeats nothing.

    Args:
        said: tokens that were already emitted, oldest first, as :func:`tokens` gives them.
        text: the new transcript of audio that begins where *said* begins.

    Returns:
        The part of *text* that is new, and how many tokens of *said* were met.
    """
    # a repetition is hardly longer than what it repeats, and a text without end must not hold up the program
    most = 2 * len(said) + _LONGER
    placed = _placed_tokens(text, most + 1)
    again = [word for word, _ in placed[:most]]
    if not said or not again:
        return text.strip(), 0
    # row[j]: cost of turning said[:i] into again[:j]
    row = list(range(len(again) + 1))
    best_cost, best_said, best_again = row[-1], 0, len(again)
    for i, word in enumerate(said, 1):
        above, row = row, [i]
        for j, other in enumerate(again, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (word != other)))
        if (row[-1], -i) < (best_cost, -best_said):  # all of the new text used: it ends inside what was said
            best_cost, best_said, best_again = row[-1], i, len(again)
    for j in range(len(again) + 1):  # all of what was said used: the rest of the text is new
        if (row[j], -len(said), -j) < (best_cost, -best_said, -best_again):
            best_cost, best_said, best_again = row[j], len(said), j
    if best_cost > max(best_said, best_again) / 2:  # that is no other spelling, it is something else
        return text.strip(), 0
    if best_again == len(placed):
        return "", best_said
    return text[placed[best_again][1] :].strip(), best_said


def without_overlap(said: Sequence[str], text: str) -> str:
    """The part of *text* that is new, where *text* may begin anywhere in what was *said*.

    An interim can run ahead of the final that has yet to be said again. Here words must be the same to count.
    """
    placed = _placed_tokens(text, len(said) + 1)
    again = [word for word, _ in placed]
    for begin in range(len(said)):
        met = min(len(said) - begin, len(again))
        if met and list(said[begin : begin + met]) == again[:met]:
            return text[placed[met][1] :].strip() if met < len(placed) else ""
    return text
