"""Which member hears a caller next. Pure: it is told what happened and asked what to do.

The members are in the order of preference. A choice is sticky: the member that works goes on working, until it
fails or, at the end of an utterance, one that is preferred to it has been proved to work again.

Silence is judged by comparison. A member that says nothing about speech is a *suspect*; when the next one finds
words in the same audio, the suspect has failed. When nobody finds any, there were none to be found (music, a
crowd): nobody has failed, and everybody is given more patience until there is a word again.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..protocol import Backoff
from .failover_breaker import Breaker

__all__ = ["Choice"]

_MOST_PATIENCE = 8.0


class Choice:
    """The choice for one stream, or for one recording. The breakers may be shared with others.

    Attributes:
        patience: by how much the limit of silence is multiplied.
    """

    def __init__(self, breakers: Sequence[Breaker], backoff: Backoff | None = None) -> None:
        self._breakers = breakers
        self._backoff = backoff or Backoff(cap=3.0)
        self._tried: set[int] = set()
        self._suspects: set[int] = set()
        self._wanted: int | None = None
        self._rounds = 0
        self.patience = 1.0

    def next(self, now: float) -> tuple[int, float]:
        """The member to use, and the seconds to wait before.

        A member that may be used comes before one whose breaker is open, but that one before nobody. Only when all
        have failed in turn is there a wait.
        """
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            return wanted, 0.0
        delay = 0.0
        if self._all_tried:
            if self._suspects == self._tried:
                self.patience = min(self.patience * 2, _MOST_PATIENCE)
            else:
                self._rounds += 1
                delay = self._backoff.next_delay()
            self._tried.clear()
            self._suspects.clear()
        untried = [member for member in range(len(self._breakers)) if member not in self._tried]
        return min(untried, key=lambda member: self._rank(member, now)), delay

    def _rank(self, member: int, now: float) -> tuple[bool, bool, bool, float, int]:
        breaker = self._breakers[member]
        ready = breaker.ready(now)
        # a caller's audio is no probe while there is a member known to work
        return breaker.permanent, not breaker.closed, not ready, 0.0 if ready else breaker.retry_at, member

    def failed(self, member: int, now: float, *, permanent: bool = False) -> bool:
        """*member* failed. Returns whether it is out of use since now."""
        self._tried.add(member)
        return self._breakers[member].failed(now, permanent=permanent)

    def silent(self, member: int) -> None:
        """*member* said nothing about what seems to be speech."""
        self._tried.add(member)
        self._suspects.add(member)

    def heard(self, member: int, now: float, *, proven: bool) -> list[tuple[int, bool]]:
        """*member* found words. Whoever found none in the same audio has failed.

        Args:
            proven: it has worked for long enough to be trusted; one that breaks at once, again and again, with a
                word each time must not be asked without any wait.

        Returns:
            members that are out of use (``False``) or in use again (``True``) since now.
        """
        breaker = self._breakers[member]
        if not (self._tried or self._rounds or breaker.failures or breaker.on_trial or self.patience > 1.0):
            return []  # nothing to make up for, as with nearly every word
        changes = [
            (other, False) for other in sorted(self._suspects - {member}) if self._breakers[other].failed(now)
        ]
        self._suspects.clear()
        self.patience = 1.0
        if proven:
            self._tried.clear()
            self._backoff.reset()
            self._rounds = 0
            if breaker.succeeded():
                changes.append((member, True))
        return changes

    def better(self, member: int, now: float, *, untested: bool = False) -> int | None:
        """A member preferred to *member* that works, for the end of the utterance.

        Args:
            untested: one that is half open will do: the next utterance is its trial.
        """
        for other in range(member):
            breaker = self._breakers[other]
            if breaker.closed or (untested and breaker.half_open(now)):
                return other
        return None

    def hand_to(self, member: int) -> None:
        """The utterance is over, and *member* is the next to hear the caller."""
        self._tried.clear()
        self._suspects.clear()
        self._wanted = member

    def due_for_trial(self, member: int, now: float) -> int | None:
        """A member preferred to *member* that is half open."""
        return next((other for other in range(member) if self._breakers[other].half_open(now)), None)

    @property
    def rounds(self) -> int:
        """How many times in a row every member has failed."""
        return self._rounds + (self._all_tried and self._suspects != self._tried)

    @property
    def hopeless(self) -> bool:
        """Every member has failed in a way that does not pass by itself."""
        return self._all_tried and all(breaker.permanent for breaker in self._breakers)

    @property
    def _all_tried(self) -> bool:
        return len(self._tried) == len(self._breakers)
