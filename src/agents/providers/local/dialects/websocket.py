"""What vendors' WebSockets have in common: one client, one recogniser session, two directions at once.

A dialect subclasses `SocketConversation`, which reads what the client sends and writes what was heard; its
``answer`` is the handler of a route.
"""

from __future__ import annotations

import abc
import asyncio
import json
import logging
from typing import Any

from aiohttp import WSMsgType, web

from ..recogniser import RecogniserSession, Result
from .base import RequestFailed, Services, failure_of

__all__ = ["SocketConversation"]

logger = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 20.0


class SocketConversation(abc.ABC):
    """One connected client. ``idle_seconds`` without a message from it end the talk."""

    max_message_bytes = 1 << 20

    def __init__(self, services: Services, request: web.Request) -> None:
        self.services = services
        self.request = request
        self.idle_seconds = services.options.idle_seconds
        self.socket = web.WebSocketResponse(heartbeat=_HEARTBEAT_SECONDS, max_msg_size=self.max_message_bytes)
        self._session: RecogniserSession | None = None

    @property
    def session(self) -> RecogniserSession:
        """The recogniser's session; there is one after `begin`."""
        assert self._session is not None
        return self._session

    async def answer(self) -> web.WebSocketResponse:
        """Upgrade, talk until either side is done, and give the recogniser's session back."""
        if not self.socket.can_prepare(self.request).ok:
            raise RequestFailed(400, "connect with a WebSocket: ws://… and an Upgrade header")
        self.services.sockets.add(self.socket)
        try:
            await self.socket.prepare(self.request)
            await self._talk()
        finally:
            self.services.sockets.discard(self.socket)
            if self._session is not None:
                await self._session.aclose()
        return self.socket

    @abc.abstractmethod
    async def begin(self) -> RecogniserSession:
        """What happens right after the upgrade. Raises `RequestFailed` for a client that may not go on."""

    @abc.abstractmethod
    async def receive_text(self, text: str) -> bool:
        """Obey a text message; True when it ended the stream."""

    async def receive_audio(self, data: bytes) -> None:
        """Take a binary message."""
        await self.session.accept(data)

    @abc.abstractmethod
    def messages(self, result: Result) -> list[dict[str, Any]]:
        """What the vendor sends for a result."""

    async def finish(self) -> None:
        """Send what comes after the last result, when the client ended the stream."""

    @abc.abstractmethod
    def failed(self, failure: RequestFailed) -> tuple[dict[str, Any] | None, int, str]:
        """The last message (None where the vendor says nothing), close code and close reason for a failure."""

    async def send(self, message: dict[str, Any]) -> None:
        """Send one JSON message; a client that takes nothing is given up."""
        await asyncio.wait_for(self.socket.send_str(json.dumps(message)), self.services.options.send_seconds)

    async def _talk(self) -> None:
        tasks: set[asyncio.Task[Any]] = set()
        try:
            self._session = await self.begin()
            sending = asyncio.ensure_future(self._send_results())
            receiving = asyncio.ensure_future(self._receive())
            tasks = {sending, receiving}
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done() and not receiving.exception() and receiving.result():
                await sending  # the client said that it is done: it gets what is left
                await self.finish()
            for task in (receiving, sending):
                if task.done():
                    task.result()
            await self.socket.close()
        except (ConnectionError, asyncio.TimeoutError) as error:
            logger.info("a client is gone: %s", error or "it takes no results")
            self._drop()
        except Exception as error:
            await self._fail(error)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self) -> bool:
        """Read until the end of the stream (True) or of the connection (False)."""
        while True:
            try:
                message = await asyncio.wait_for(self.socket.receive(), self.idle_seconds)
            except asyncio.TimeoutError:
                raise RequestFailed(408, f"no messages received for {self.idle_seconds:g} seconds") from None
            if message.type == WSMsgType.BINARY:
                await self.receive_audio(message.data)
            elif message.type == WSMsgType.TEXT:
                if await self.receive_text(message.data):
                    return True
            else:
                return False

    async def _send_results(self) -> None:
        async for result in self.session.results():
            for message in self.messages(result):
                await self.send(message)

    async def _fail(self, error: Exception) -> None:
        failure = failure_of(error)
        if failure is None:
            logger.error("a stream failed", exc_info=error)
            failure = RequestFailed(500, "the server failed on this stream; its log says why")
        message, code, reason = self.failed(failure)
        try:
            if message is not None:
                await self.send(message)
            await self.socket.close(code=code, message=reason.encode()[:120])
        except (ConnectionError, asyncio.TimeoutError):
            logger.info("a client was gone before it could be told: %s", failure.message)
            self._drop()

    def _drop(self) -> None:
        """Cut the connection: a close frame would wait behind what the client does not read."""
        if self.request.transport is not None:
            self.request.transport.abort()
