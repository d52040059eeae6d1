"""When to try again: small pure functions that every connection asks.

A failure is *permanent* (trying again cannot help: wrong key, wrong request), *transient* (the network or the
vendor will recover), *recycle* (a planned end: the session limit, an expired token) or to be *ignored*.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

__all__ = ["Backoff", "Verdict", "judge_close", "judge_status", "remedy_for", "retry_after_seconds"]


class Verdict(str, enum.Enum):
    """What a failure means for the connection."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    RECYCLE = "recycle"
    IGNORE = "ignore"


_TRANSIENT_CLIENT_ERRORS = frozenset({408, 425, 429, 499})

# RFC 6455 section 7.4.1 and the IANA registry. 1008 (policy violation) is what services use for a wrong key or
# an empty account. 1002 and 1007 can come from a broken middlebox, so they are worth another try.
_PERMANENT_CLOSE_CODES = frozenset({1003, 1008, 1009, 1010})
# 4000-4999 belong to the application. Many reuse the HTTP status behind a 4; 4001 and 4003 are the customary
# "unauthorised" and "forbidden" of those that do not.
_PERMANENT_PRIVATE_CODES = frozenset({4001, 4003})


def judge_status(status: int) -> Verdict:
    """The verdict on an HTTP *status* that is not a success. Redirects are not followed, so they are permanent."""
    if status >= 500 or status in _TRANSIENT_CLIENT_ERRORS:
        return Verdict.TRANSIENT
    return Verdict.PERMANENT


def judge_close(code: int | None, table: Mapping[int, Verdict] | None = None) -> Verdict:
    """The verdict on a WebSocket close *code* received while input is open.

    Args:
        code: the close code; ``None`` when the connection broke without one.
        table: the vendor's own meanings, which come first.
    """
    if code is None:
        return Verdict.TRANSIENT
    if table is not None and code in table:
        return table[code]
    if code in _PERMANENT_CLOSE_CODES or code in _PERMANENT_PRIVATE_CODES:
        return Verdict.PERMANENT
    if 4400 <= code <= 4599:
        return judge_status(code - 4000)
    return Verdict.TRANSIENT


def remedy_for(status: int | None) -> str:
    """What the person who reads the error should do, or an empty text where there is nothing to say."""
    if status in (401, 4401, 4001):
        return "check the API key"
    if status in (402, 4402):
        return "check the balance of the account"
    if status in (403, 4403, 4003):
        return "check that the API key may use this service and model"
    if status in (404, 4404):
        return "check the URL and the model"
    if status in (400, 422, 4400, 4422):
        return "check the options and the form of what is sent"
    if status == 413:
        return "send less at once"
    if status in (429, 4429):
        return "slow down or raise the limit of the account"
    if status is not None and 300 <= status < 400:
        return "use the URL it redirects to; redirects are not followed with credentials"
    return ""


def retry_after_seconds(value: str | None, *, now: datetime | None = None, limit: float = 300.0) -> float | None:
    """The wait a ``Retry-After`` header asks for, in seconds from 0 to *limit*.

    Args:
        value: the header: seconds, or an HTTP date (RFC 9110 section 10.2.3). ``None`` and nonsense give ``None``.
        now: the present, for dates; the clock by default.
    """
    if value is None:
        return None
    value = value.strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except (TypeError, ValueError, OverflowError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        seconds = (moment - (now or datetime.now(timezone.utc))).total_seconds()
    if seconds != seconds:  # NaN
        return None
    return min(max(seconds, 0.0), limit)


@dataclass(slots=True)
class Backoff:
    """Waits between attempts: the first retry at once, then exponential with full jitter, capped.

    Full jitter spreads the reconnects of many streams after a common outage
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """

    base: float = 0.25
    cap: float = 8.0
    random: random.Random = field(default_factory=random.Random)
    attempt: int = 0

    def next_delay(self, retry_after: float | None = None) -> float:
        """Seconds to wait before the next attempt; at least *retry_after* where the vendor asked for it."""
        attempt, self.attempt = self.attempt, self.attempt + 1
        if attempt == 0:
            delay = 0.0
        else:
            ceiling = min(self.cap, self.base * 2.0 ** min(attempt, 30))
            delay = self.random.uniform(self.base / 2, ceiling)
        if retry_after is not None:
            # a little jitter on top, or all clients come back in the same millisecond
            delay = max(delay, retry_after + self.random.uniform(0.0, self.base))
        return delay

    def reset(self) -> None:
        """Start over: the connection has proven itself."""
        self.attempt = 0
