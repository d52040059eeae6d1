"""What vendors' WebSockets that speak have in common: text in, and one voice that says one thing after another.

A dialect subclasses `SpeakingConversation`. What it reads it turns into *jobs*, which are done in order while it
reads on; dropping them is how a client that was interrupted gets silence.
"""

from __future__ import annotations

import abc
import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import WSMsgType, web

from ...transport.bounded import bounded
from .base import RequestFailed, Services, failure_of

__all__ = ["SpeakingConversation", "object_in"]

logger = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 20.0
_MAX_MESSAGE_BYTES = 1 << 18

Job = Callable[[], Awaitable[None]]


def object_in(text: str) -> dict[str, Any]:
    """The JSON object in a text message. Raises `RequestFailed`."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RequestFailed(400, "a message must be a JSON object")
    return found


class SpeakingConversation(abc.ABC):
    """One connected client. ``idle_seconds`` without a message from it, and without speech, end the talk."""

    def __init__(self, services: Services, request: web.Request) -> None:
        self.services = services
        self.request = request
        self.idle_seconds = services.options.idle_seconds
        self.socket = web.WebSocketResponse(heartbeat=_HEARTBEAT_SECONDS, max_msg_size=_MAX_MESSAGE_BYTES)
        self._jobs: deque[tuple[str, Job]] = deque()
        self._wake = asyncio.Event()
        self._running: tuple[str, asyncio.Future[None]] | None = None
        self._ending = False

    async def answer(self) -> web.WebSocketResponse:
        """Upgrade, and talk until either side is done."""
        if not self.socket.can_prepare(self.request).ok:
            raise RequestFailed(400, "connect with a WebSocket: ws://… and an Upgrade header")
        self.services.sockets.add(self.socket)
        try:
            await self.socket.prepare(self.request)
            await self._talk()
        finally:
            self.services.sockets.discard(self.socket)
            self.close()
        return self.socket

    async def begin(self) -> None:
        """What happens right after the upgrade."""

    @abc.abstractmethod
    async def receive(self, text: str) -> bool:
        """Obey a message; True when it ended the talk: what is still to be said is said first."""

    async def finish(self) -> None:
        """Send what comes after all speech, when the client ended the talk."""

    @abc.abstractmethod
    def failed(self, failure: RequestFailed) -> tuple[dict[str, Any] | None, int, str]:
        """The last message (None where the vendor says nothing), close code and close reason for a failure."""

    def close(self) -> None:
        """Free what the talk held."""

    async def send(self, message: dict[str, Any] | bytes) -> None:
        """Send one message; a client that takes nothing is given up."""
        sending = (
            self.socket.send_bytes(message)
            if isinstance(message, bytes)
            else self.socket.send_str(json.dumps(message))
        )
        # not asyncio.wait_for: a job that is dropped in the moment something is sent would go on
        await bounded(sending, self.services.options.send_seconds)

    # --- jobs ---

    def later(self, job: Job, of: str = "") -> None:
        """Have *job* done after those before it; *of* names whose it is."""
        self._jobs.append((of, job))
        self._wake.set()

    def drop(self, of: str = "", *, running: bool = True) -> None:
        """Forget the jobs of somebody, with the one under way unless *running* is False."""
        self._jobs = deque(entry for entry in self._jobs if entry[0] != of)
        if running and self._running is not None and self._running[0] == of:
            self._running[1].cancel()

    async def _work(self) -> None:
        """Do jobs until the talk ends and none is left."""
        while True:
            if not self._jobs:
                if self._ending:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            of, job = self._jobs.popleft()
            task = asyncio.ensure_future(job())
            self._running = (of, task)
            try:
                await asyncio.wait({task})
            finally:
                self._running = None
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            if not task.cancelled():
                task.result()

    # --- the talk ---

    async def _talk(self) -> None:
        tasks: set[asyncio.Task[Any]] = set()
        try:
            await self.begin()
            working = asyncio.ensure_future(self._work())
            receiving = asyncio.ensure_future(self._receive())
            tasks = {working, receiving}
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done() and not receiving.exception() and receiving.result():
                self._ending = True
                self._wake.set()
                await working
                await self.finish()
            for task in (receiving, working):
                if task.done():
                    task.result()
            await self.socket.close()
        except (ConnectionError, asyncio.TimeoutError) as error:
            logger.info("a client is gone: %s", error or "it takes no audio")
            self._drop_connection()
        except Exception as error:
            await self._fail(error)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self) -> bool:
        """Read until the client ended the talk (True) or the connection (False)."""
        while True:
            try:
                message = await bounded(self.socket.receive(), self.idle_seconds)
            except asyncio.TimeoutError:
                if self._running is not None:
                    continue
                raise RequestFailed(408, f"no messages received for {self.idle_seconds:g} seconds") from None
            if message.type == WSMsgType.TEXT:
                if await self.receive(message.data):
                    return True
            elif message.type == WSMsgType.BINARY:
                raise RequestFailed(415, "this server takes text, not binary messages")
            else:
                return False

    async def _fail(self, error: Exception) -> None:
        failure = failure_of(error)
        if failure is None:
            logger.error("a speech failed", exc_info=error)
            failure = RequestFailed(500, "the server failed on this speech; its log says why")
        message, code, reason = self.failed(failure)
        try:
            if message is not None:
                await self.send(message)
            await self.socket.close(code=code, message=reason.encode()[:120])
        except (ConnectionError, asyncio.TimeoutError):
            logger.info("a client was gone before it could be told: %s", failure.message)
            self._drop_connection()

    def _drop_connection(self) -> None:
        """Cut the connection: a close frame would wait behind what the client does not read."""
        if self.request.transport is not None:
            self.request.transport.abort()
