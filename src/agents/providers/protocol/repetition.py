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

_COST = 1 << 20
"""An alignment is one number: so much for each word that differs, plus where it begins."""


def tokens(text: str) -> list[str]:
    """The words of *text* as they are compared: without case and punctuation."""
    return [word for word, _ in _placed_tokens(text)]


def _placed_tokens(text: str, most: int | None = None) -> list[tuple[str, int]]:
    """The tokens of *text*, at most *most*, and where each begins. What is punctuation only is none."""
    found = ((_NOISE.sub("", match.group()).casefold(), match.start()) for match in _TOKEN.finditer(text))
    return list(islice(((word, start) for word, start in found if word), most))


def repeated_prefix(said: Sequence[str], text: str, *, cut: bool = False) -> tuple[str, int]:
    """Split *text* where it stops repeating what was *said*.

    The two are aligned by edit distance, since a recogniser may spell the same audio differently the second
    time. Either the end of *said* is found inside *text*, or *text* ends inside *said*, or less than half is alike
    and *text* repeats nothing.

    Args:
        said: tokens that were already emitted, oldest first, as :func:`tokens` gives them.
        text: the new transcript of audio that begins where *said* begins.
        cut: that audio is not all there any more, so *text* may begin later in *said*. Of equal places the
            first counts.

    Returns:
        The part of *text* that is new, and how many tokens of *said* were met, with those before them.
    """
    # a repetition is hardly longer than what it repeats, and a text without end must not hold up the program
    most = 2 * len(said) + _LONGER
    placed = _placed_tokens(text, most + 1)
    again = [word for word, _ in placed[:most]]
    if not said or not again:
        return text.strip(), 0
    alike = _best_alignment(said, again, cut)
    if alike is None:  # that is no other spelling, it is something else
        return text.strip(), 0
    met, used = alike
    return ("" if used == len(placed) else text[placed[used][1] :].strip()), met


def _best_alignment(said: Sequence[str], again: Sequence[str], cut: bool) -> tuple[int, int] | None:
    """Up to which token of *said* and of *again* the two are the same; ``None`` where less than half is alike."""

    def judged(cell: int, i: int, j: int) -> tuple[int, int, int, int]:
        """The less the better."""
        cost, begin = divmod(cell, _COST)
        return (2 * cost - max(i - begin, j) if cut else cost), begin, -i, -j

    # row[j]: what it costs to turn said[begin:i] into again[:j], and begin
    row = list(range(0, (len(again) + 1) * _COST, _COST))
    best = judged(row[-1], 0, len(again))
    for i, word in enumerate(said, 1):
        above, row = row, [i if cut else i * _COST]
        for j, other in enumerate(again, 1):
            changed = above[j - 1] if word == other else above[j - 1] + _COST
            row.append(min(above[j] + _COST, row[j - 1] + _COST, changed))
        best = min(best, judged(row[-1], i, len(again)))  # all of the new text used: it ends inside what was said
    # all of what was said used: the rest of the text is new
    best = min(best, *(judged(cell, len(said), j) for j, cell in enumerate(row)))
    merit, begin, met, used = best[0], best[1], -best[2], -best[3]
    if cut:
        return (met, used) if merit < 0 else None
    return (met, used) if 2 * merit <= max(met - begin, used) else None


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
