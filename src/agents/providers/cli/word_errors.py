"""How much of what was said was understood: the word error rate, and which words were lost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Comparison", "compare", "together"]


@dataclass(frozen=True)
class Comparison:
    """What was said against what was heard. ``errors`` counts words replaced, left out and put in."""

    said: int
    errors: int
    lost: tuple[str, ...]
    """The words that were said and not heard, in their order."""

    @property
    def rate(self) -> float:
        """The word error rate: 0 is perfect; more than 1 is possible."""
        return self.errors / self.said if self.said else float(bool(self.errors))


def compare(said: str, heard: str) -> Comparison:
    """Compare two texts word by word; case and punctuation do not count.

    >>> compare("ten of clubs", "Ten clubs.")
    Comparison(said=3, errors=1, lost=('of',))
    """
    reference, hypothesis = _words(said), _words(heard)
    table = _distances(reference, hypothesis)
    row, column = len(reference), len(hypothesis)
    lost: list[str] = []
    while row:
        if (
            column
            and reference[row - 1] == hypothesis[column - 1]
            and table[row][column] == table[row - 1][column - 1]
        ):
            row, column = row - 1, column - 1
        elif column and table[row][column] == table[row][column - 1] + 1:
            column -= 1
        else:
            lost.append(reference[row - 1])
            if column and table[row][column] == table[row - 1][column - 1] + 1:
                column -= 1
            row -= 1
    return Comparison(len(reference), table[-1][-1], tuple(reversed(lost)))


def together(comparisons: Sequence[Comparison]) -> Comparison:
    """Several comparisons as one, so that a long line counts for more than a short one."""
    return Comparison(
        sum(c.said for c in comparisons),
        sum(c.errors for c in comparisons),
        tuple(word for c in comparisons for word in c.lost),
    )


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def _distances(reference: Sequence[str], hypothesis: Sequence[str]) -> list[list[int]]:
    """Levenshtein distances between all beginnings of the two."""
    table = [list(range(len(hypothesis) + 1))]
    for row, word in enumerate(reference, 1):
        current = [row]
        for column, heard in enumerate(hypothesis, 1):
            above = table[-1]
            current.append(min(above[column] + 1, current[-1] + 1, above[column - 1] + (word != heard)))
        table.append(current)
    return table
