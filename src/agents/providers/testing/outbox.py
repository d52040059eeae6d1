"""The oracle's messages on their way out: in order, each after the latency of the behaviour."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from .transcriber import Behaviour

__all__ = ["Outbox"]

_MERGE_SECONDS = 0.03
"""So long messages wait for others to go with them."""


class Outbox:
    """Sends messages in order, each after the latency of the behaviour; merged ones in groups."""

    def __init__(self, behaviour: Behaviour, write: Callable[[Sequence[str | bytes]], None]) -> None:
        self._wait = behaviour.latency + (_MERGE_SECONDS if behaviour.wire == "merged" else 0.0)
        self._write = write
        self._waiting: list[tuple[float, str | bytes]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    def put(self, message: str | bytes) -> None:
        """Send *message* when it is due."""
        if not self._wait:
            self._write([message])
            return
        loop = asyncio.get_running_loop()
        self._waiting.append((loop.time() + self._wait, message))
        self._empty.clear()
        if self._timer is None:
            self._timer = loop.call_later(self._wait, self._send_due)

    def _send_due(self) -> None:
        loop = asyncio.get_running_loop()
        # the clock's own step: what is due within it would only cost another timer
        now = loop.time() + 0.001
        due = [message for when, message in self._waiting if when <= now]
        del self._waiting[: len(due)]
        self._write(due)
        self._timer = loop.call_at(self._waiting[0][0], self._send_due) if self._waiting else None
        if not self._waiting:
            self._empty.set()

    async def drain(self) -> None:
        """Return when everything is written."""
        await self._empty.wait()

    def stop(self) -> None:
        """Send nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        self._empty.set()
