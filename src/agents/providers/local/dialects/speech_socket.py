"""What the WebSockets of vendors that speak have in common: text in, and one thing said after another.

A dialect subclasses `SpeakingConversation`. What it reads it turns into *jobs*, which are done in order while it
reads on; dropping them is how a client that was interrupted gets silence.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from .base import RequestFailed, Services
from .talk import Talk

__all__ = ["SpeakingConversation", "object_in"]

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


class SpeakingConversation(Talk):
    """One connected client that is spoken to. While it listens it need not send anything."""

    max_message_bytes = 1 << 18

    def __init__(self, services: Services, request: web.Request) -> None:
        super().__init__(services, request)
        self._jobs: deque[tuple[str, Job]] = deque()
        self._wake = asyncio.Event()
        self._running: tuple[str, asyncio.Future[None]] | None = None
        self._ending = False

    async def greet(self) -> None:
        """Most vendors have nothing to say before they are asked."""

    async def receive_audio(self, data: bytes) -> None:
        raise RequestFailed(415, "this server takes text, not binary messages")

    async def send(self, message: dict[str, Any] | bytes) -> None:
        if isinstance(message, bytes):
            await self.taken(self.socket.send_bytes(message))
        else:
            await super().send(message)

    def later(self, job: Job, of: str = "") -> None:
        """Have *job* done after those before it; *of* names whose it is."""
        self._jobs.append((of, job))
        self._wake.set()

    def drop(self, of: str = "", *, running: bool = True) -> None:
        """Forget the jobs of somebody, with the one under way unless *running* is False."""
        self._jobs = deque(entry for entry in self._jobs if entry[0] != of)
        if running and self._running is not None and self._running[0] == of:
            self._running[1].cancel()

    @property
    def is_busy(self) -> bool:
        return self._running is not None

    def ended(self) -> None:
        self._ending = True
        self._wake.set()

    async def respond(self) -> None:
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

    def close(self) -> None:
        """Free what the talk held."""

    async def aclose(self) -> None:
        self.close()
