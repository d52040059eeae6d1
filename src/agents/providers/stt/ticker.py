"""One timer for all streams of an event loop.

A timer per stream costs every other timer of the program: asyncio keeps them in one heap, and each ``sleep`` is
compared with some of them. With a hundred streams that was a twentieth of all their work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

from ..transport.event_loops import PerLoop

__all__ = ["Ticker", "ticker"]

logger = logging.getLogger("agents.providers.stt")

_EARLY = 0.001
"""Seconds a timer may be early."""


class Ticker:
    """Calls what was added about as often as it asked for, and never more often."""

    def __init__(self) -> None:
        self._calls: dict[Callable[[float], None], list[float]] = {}  # how often, in seconds, and when next
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = 0.0

    def add(self, call: Callable[[float], None], *, every: float) -> None:
        """Call *call* with the time (``monotonic``) about *every* seconds: at most twice as late, never early."""
        now = monotonic()
        self._calls[call] = [every, now + every]
        self._arm(now)

    def remove(self, call: Callable[[float], None]) -> None:
        """Do not call *call* any more."""
        self._calls.pop(call, None)
        if not self._calls and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, now: float) -> None:
        shortest = min(every for every, _ in self._calls.values())
        if self._timer is not None:
            if self._fires_at <= now + shortest:
                return
            self._timer.cancel()
        self._fires_at = now + shortest
        self._timer = asyncio.get_running_loop().call_later(shortest, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = monotonic()
        for call, times in list(self._calls.items()):
            if times[1] > now + _EARLY or call not in self._calls:  # not due, or removed by one before it
                continue
            times[1] = now + times[0]
            try:
                call(now)
            except Exception:
                logger.exception("a stream's timer failed; the other streams go on")
        if self._calls and self._timer is None:
            self._arm(now)


_tickers = PerLoop(Ticker)


def ticker() -> Ticker:
    """The ticker of the running event loop."""
    return _tickers.here()
