"""The connections of an adapter that speaks: opened ahead, used again, and closed when nobody needs them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from ..protocol import Failure, Settings, StreamingSynthesisProtocol
from ..transport.failures import ConnectionFailed
from ..transport.sessions import SessionSource
from ..transport.sockets import throw_away
from .connection import Connection, connect

__all__ = ["Pool"]

logger = logging.getLogger("agents.providers.tts")

_MOST_FREE = 2
"""An agent says one thing at a time: one connection in use, and one that was cancelled a moment ago."""

_CANCEL_SECONDS = 2.0
"""How long the vendor may take to answer a cancellation before its connection is given up."""


@dataclass(eq=False)
class _Opening:
    """A connection that is not there yet, and how many wait for it."""

    settings: Settings
    task: asyncio.Task[Connection]
    waiting: int = 0


class Pool:
    """Connections with the same settings, one segment each at a time.

    A connection is taken by one stream, and given back, or closed. What is opened for somebody who leaves before
    it is there is kept for the next.
    """

    def __init__(
        self, source: SessionSource, protocol: StreamingSynthesisProtocol, on_open: Callable[[], None]
    ) -> None:
        self._source = source
        self._protocol = protocol
        self._on_open = on_open
        self._free: list[Connection] = []
        self._timers: dict[Connection, asyncio.TimerHandle] = {}
        self._openings: list[_Opening] = []
        self._cancelled: set[Connection] = set()  # that are not answered yet
        self._tasks: set[asyncio.Task[None]] = set()
        self._wanted: Settings | None = None

    @property
    def free(self) -> int:
        """How many connections wait for a segment."""
        return sum(connection.usable for connection in self._free)

    def prewarm(self, settings: Settings, *, timeout: float) -> None:
        """Open a connection, unless one is free or on its way."""
        self._sort_out(settings)
        if not self._free and self._being_opened(settings) is None:
            self._open(settings, timeout)

    async def take(self, settings: Settings, *, timeout: float, fresh: bool = False) -> tuple[Connection, bool]:
        """A connection to speak on, and whether it was there already.

        Args:
            timeout: seconds a new connection may take.
            fresh: only a new one will do.

        Raises:
            ConnectionFailed: there is none to be had.
        """
        while True:
            self._sort_out(settings)
            if self._free and not fresh:
                connection = self._free.pop()
                self._timers.pop(connection).cancel()
                return connection, True
            opening = self._being_opened(settings) or self._open(settings, timeout)
            opening.waiting += 1
            try:
                await asyncio.wait({opening.task})  # a cancellation leaves it to the next
            finally:
                opening.waiting -= 1
            if opening in self._openings:  # nobody else took it in the same moment
                self._openings.remove(opening)
                return opening.task.result(), False

    def give_back(self, connection: Connection) -> None:
        """The segment on *connection* is over: keep it for the next one, where that can be."""
        traits = connection.traits
        age = asyncio.get_running_loop().time() - connection.opened_at
        if (
            not connection.usable
            or not traits.reusable
            or age >= traits.session_seconds
            or connection.settings != self._wanted
            or len(self._free) >= _MOST_FREE
        ):
            self.close(connection)
            return
        self._keep(connection)

    def cancel(self, connection: Connection) -> None:
        """Somebody was interrupted: break the segment on *connection* off, at once."""
        if connection.cancel() and connection.traits.reusable:
            self._do(self._until_free(connection))
        else:
            self.close(connection)

    def close(self, connection: Connection) -> None:
        """Close *connection*, without waiting for it."""
        self._do(connection.aclose())

    async def aclose(self) -> None:
        """Close all, and wait for it. Connections that are in use are their users' to give back before."""
        openings, self._openings = self._openings, []
        for opening in openings:
            self._do(throw_away(opening.task))
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._wanted = None  # what is given back from now on is closed
        free, self._free = self._free, []
        for connection in free:
            self.close(connection)
        for connection in self._cancelled:
            connection.fail(Failure("closed"))
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)  # since Python 3.12 the line above does not wait when all are done

    # --- its own ---

    def _being_opened(self, settings: Settings) -> _Opening | None:
        return next((opening for opening in self._openings if opening.settings == settings), None)

    def _open(self, settings: Settings, timeout: float) -> _Opening:
        self._on_open()
        task = asyncio.get_running_loop().create_task(
            connect(self._source, self._protocol, settings, timeout=timeout), name="voxport.voice.open"
        )
        opening = _Opening(settings, task)
        self._openings.append(opening)
        task.add_done_callback(lambda _: self._settle())
        return opening

    def _settle(self) -> None:
        """Keep connections that were opened and that nobody waits for; forget those that failed."""
        for opening in [*self._openings]:
            if opening.waiting or not opening.task.done():
                continue
            self._openings.remove(opening)
            if opening.task.cancelled():
                continue
            error = opening.task.exception()
            if error is None and opening.settings == self._wanted:
                self._keep(opening.task.result())
            elif error is None:
                self.close(opening.task.result())
            else:
                reason = error if isinstance(error, ConnectionFailed) else type(error).__name__
                logger.debug("a connection opened ahead failed: %s", reason)

    def _sort_out(self, settings: Settings) -> None:
        """From now on *settings* are wanted: close what is of no use for them."""
        self._wanted = settings
        self._settle()
        for connection in [*self._free]:
            if connection.settings != settings or not connection.usable:
                self._drop(connection)
        for opening in [*self._openings]:
            if opening.settings != settings and not opening.waiting:
                self._openings.remove(opening)
                self._do(throw_away(opening.task))

    def _keep(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        traits = connection.traits
        left = min(traits.idle_seconds, connection.opened_at + traits.session_seconds - loop.time())
        self._free.append(connection)
        self._timers[connection] = loop.call_later(max(left, 0.0), self._drop, connection)

    def _drop(self, connection: Connection) -> None:
        if connection in self._free:
            self._free.remove(connection)
            self._timers.pop(connection).cancel()
            self.close(connection)

    async def _until_free(self, connection: Connection) -> None:
        """Wait for the vendor's answer to a cancellation: until then old audio may come."""
        self._cancelled.add(connection)
        try:
            await asyncio.wait({connection.over}, timeout=_CANCEL_SECONDS)
        finally:
            self._cancelled.discard(connection)
        if connection.over.done():
            self.give_back(connection)
        else:
            await connection.aclose()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="voxport.voice.pool")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
