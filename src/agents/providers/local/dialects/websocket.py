"""What the WebSockets of vendors that listen have in common: one client, one recogniser session.

A dialect subclasses `SocketConversation`, which reads what the client sends and writes what was heard; its
``answer`` is the handler of a route.
"""

from __future__ import annotations

import abc
from typing import Any

from aiohttp import web

from ..recogniser import RecogniserSession, Result
from .base import Services
from .talk import Talk

__all__ = ["SocketConversation"]


class SocketConversation(Talk):
    """One connected client that is heard."""

    def __init__(self, services: Services, request: web.Request) -> None:
        super().__init__(services, request)
        self._session: RecogniserSession | None = None

    @property
    def session(self) -> RecogniserSession:
        """The recogniser's session; there is one after `begin`."""
        assert self._session is not None
        return self._session

    @abc.abstractmethod
    async def begin(self) -> RecogniserSession:
        """What happens right after the upgrade. Raises `RequestFailed` for a client that may not go on."""

    @abc.abstractmethod
    def messages(self, result: Result) -> list[dict[str, Any]]:
        """What the vendor sends for a result."""

    async def greet(self) -> None:
        self._session = await self.begin()

    async def receive_audio(self, data: bytes) -> None:
        await self.session.accept(data)

    async def respond(self) -> None:
        async for result in self.session.results():
            for message in self.messages(result):
                await self.send(message)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.aclose()
