"""A circuit breaker: whether a member that failed may be used again. No I/O and no clock of its own.

Closed, the member is in use. After so many failures in a row it opens: nobody asks it for a while, each time for
twice as long. When that time is over it is half open: one trial decides whether it closes or opens again.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..base import ConfigurationError

__all__ = ["Breaker", "BreakerOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerOptions:
    """When a member counts as down, and for how long.

    Attributes:
        failures: so many in a row open the breaker.
        seconds: how long the first time.
        max_seconds: how long at most; each failed trial doubles the time. A failure that cannot pass (a wrong key)
            takes this time at once.
    """

    failures: int = 1
    seconds: float = 5.0
    max_seconds: float = 60.0

    def __post_init__(self) -> None:
        if isinstance(self.failures, bool) or not isinstance(self.failures, int) or self.failures < 1:
            raise ConfigurationError(f"breaker: failures must be at least 1, not {self.failures!r}")
        if not 0 < self.seconds <= self.max_seconds < float("inf"):
            raise ConfigurationError(
                f"breaker: seconds must be more than 0 and no more than max_seconds ({self.max_seconds!r}), "
                f"not {self.seconds!r}"
            )


class Breaker:
    """The breaker of one member. Times are seconds of any monotonic clock.

    Attributes:
        failures: in a row.
        permanent: the last failure cannot pass by itself.
        on_trial: somebody tries it out; there is one trial at a time.
    """

    def __init__(self, options: BreakerOptions | None = None) -> None:
        self._options = options or BreakerOptions()
        self.failures = 0
        self._pause = 0.0
        self._until: float | None = None
        self.permanent = False
        self.on_trial = False

    @property
    def closed(self) -> bool:
        """The member is in use."""
        return self._until is None

    @property
    def retry_at(self) -> float:
        """When it is half open; 0 while it is closed."""
        return self._until or 0.0

    def half_open(self, now: float) -> bool:
        """It was open for long enough: a trial may begin."""
        return self._until is not None and now >= self._until and not self.on_trial

    def ready(self, now: float) -> bool:
        """Closed or half open."""
        return self.closed or self.half_open(now)

    def failed(self, now: float, *, permanent: bool = False) -> bool:
        """Count a failure. Returns whether the member was in use until now and is not any more."""
        was_closed = self.closed
        self.on_trial = False
        self.failures += 1
        self.permanent = permanent
        if was_closed and self.failures < self._options.failures and not permanent:
            return False
        longest = self._options.max_seconds
        self._pause = longest if permanent else min(max(self._pause * 2, self._options.seconds), longest)
        self._until = now + self._pause
        return was_closed

    def succeeded(self) -> bool:
        """The member did its work. Returns whether it was out of use until now."""
        was_closed = self.closed
        self.failures, self._pause, self._until = 0, 0.0, None
        self.permanent = self.on_trial = False
        return not was_closed
