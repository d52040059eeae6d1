"""The words of finals without times, which are all recognised again after a drop."""

from __future__ import annotations

from .repetition import repeated_prefix, tokens, without_overlap

__all__ = ["UnplacedWords"]

_MOST_WORDS = 300
"""So many are remembered for the next connection: two minutes of speech."""

_CUT_FINALS = 2
"""After audio was let go, so many finals may begin anywhere in what was said: the first may be half a word."""


class UnplacedWords:
    """What was said of audio that a vendor without times cannot point at.

    Attributes:
        again: the words said before the drop that were not said again yet, in order.
    """

    def __init__(self) -> None:
        self.again: list[str] = []
        self._words: list[tuple[str, float]] = []  # with how much audio had been sent when they came
        self._let_go = False  # audio before its words were certain
        self._may_begin_later = 0  # in so many finals

    def add(self, text: str, sent: float) -> None:
        """A final without times came when *sent* seconds of the stream had been sent."""
        self._words = [*self._words, *((word, sent) for word in tokens(text))][-_MOST_WORDS:]

    def certain(self) -> None:
        """All audio of the words so far is final, so none will be said again."""
        self._words.clear()
        self._let_go = False

    def reconnected(self, origin: float, *, let_go: bool) -> None:
        """A new connection gets the audio from *origin* seconds on.

        Args:
            let_go: that is not where the audio that is not final begins: some of it is not kept any more.
        """
        self._let_go = self._let_go or let_go
        # audio that is not kept is not said again either; which words it held is only roughly known
        self._words = [(word, sent) for word, sent in self._words if sent > origin]
        self.again = [word for word, _ in self._words]
        self._may_begin_later = _CUT_FINALS if self._let_go else 0

    def new_in_final(self, text: str) -> str:
        """The part of *text* that was not said before the drop."""
        fresh, met = repeated_prefix(self.again, text, cut=self._may_begin_later > 0)
        self._may_begin_later = 0 if met else max(self._may_begin_later - 1, 0)
        # what is not said again now will not be later: the order of the audio is the order of the words
        if met or not self._may_begin_later:
            self.again = self.again[met:] if met else []
        return fresh

    def new_in_interim(self, text: str) -> str:
        """As :meth:`new_in_final`, but more of it may follow, and it may run ahead."""
        fresh, met = repeated_prefix(self.again, text, cut=self._may_begin_later > 0)
        return fresh if met else without_overlap(self.again, text)
