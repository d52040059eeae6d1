"""One client at a WebSocket: it is read while it is answered, until either side is done.

`SocketConversation` of :mod:`.websocket` listens to it, `SpeakingConversation` of :mod:`.speech_socket` speaks.
"""

from __future__ import annotations

import abc
import asyncio
import json
import logging
from collections.abc import Awaitable
from typing import Any, ClassVar

from aiohttp import WSMessage, WSMsgType, web

from ...transport.bounded import bounded
from .base import RequestFailed, Services, failure_of

__all__ = ["Talk"]

logger = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 20.0


class Talk(abc.ABC):
    """One connected client. ``idle_seconds`` without a message from it end the talk."""

    max_message_bytes: ClassVar[int] = 1 << 20
    subprotocols: ClassVar[tuple[str, ...]] = ()

    def __init__(self, services: Services, request: web.Request) -> None:
        self.services = services
        self.request = request
        self.idle_seconds = services.options.idle_seconds
        self.socket = web.WebSocketResponse(
            heartbeat=_HEARTBEAT_SECONDS, max_msg_size=self.max_message_bytes, protocols=self.subprotocols
        )

    async def answer(self) -> web.WebSocketResponse:
        """Upgrade, talk until either side is done, and free what the talk held."""
        if not self.socket.can_prepare(self.request).ok:
            raise RequestFailed(400, "connect with a WebSocket: ws://… and an Upgrade header")
        try:
            await self.admit()
            self.services.sockets.add(self.socket)
            await self.socket.prepare(self.request)
            await self._talk()
        finally:
            self.services.sockets.discard(self.socket)
            await self.aclose()
        return self.socket

    async def admit(self) -> None:
        """What has to be there before the handshake; what this raises is answered over HTTP."""

    @abc.abstractmethod
    async def greet(self) -> None:
        """What happens right after the upgrade. Raises `RequestFailed` for a client that may not go on."""

    @abc.abstractmethod
    async def respond(self) -> None:
        """Send what there is to send, until there is nothing more after `ended`."""

    @abc.abstractmethod
    async def receive_text(self, text: str) -> bool:
        """Obey a text message; True when it ended the talk: what is left is sent first."""

    @abc.abstractmethod
    async def receive_audio(self, data: bytes) -> None:
        """Take a binary message."""

    def ended(self) -> None:
        """The client said that it is done."""

    async def finish(self) -> None:
        """Send what comes after all else, when the client ended the talk."""

    @abc.abstractmethod
    def failed(self, failure: RequestFailed) -> tuple[dict[str, Any] | None, int, str]:
        """The last message (None where the vendor says nothing), close code and close reason for a failure."""

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Free what the talk held."""

    @property
    def is_busy(self) -> bool:
        """Whether a client that is silent just listens."""
        return False

    async def send(self, message: dict[str, Any]) -> None:
        """Send one JSON message; a client that takes nothing is given up."""
        await self.taken(self.socket.send_str(json.dumps(message)))

    async def taken(self, sending: Awaitable[None]) -> None:
        """Wait until something is sent, but not for ever."""
        await bounded(sending, self.services.options.send_seconds)

    async def next_message(self) -> WSMessage:
        """What the client sends next. Raises `asyncio.TimeoutError` when it sends nothing for too long."""
        return await bounded(self.socket.receive(), self.idle_seconds)

    async def _talk(self) -> None:
        tasks: set[asyncio.Task[Any]] = set()
        try:
            await self.greet()
            responding = asyncio.ensure_future(self.respond())
            receiving = asyncio.ensure_future(self._receive())
            tasks = {responding, receiving}
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done() and not receiving.exception() and receiving.result():
                self.ended()
                await responding  # the client said that it is done: it gets what is left
                await self.finish()
            for task in (receiving, responding):
                if task.done():
                    task.result()
            await self.socket.close()
        except (ConnectionError, asyncio.TimeoutError) as error:
            logger.info("a client is gone: %s", str(error) or "it takes nothing")
            self.cut()
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
                message = await self.next_message()
            except asyncio.TimeoutError:
                if self.is_busy:
                    continue
                raise RequestFailed(408, f"no messages received for {self.idle_seconds:g} seconds") from None
            if message.type == WSMsgType.BINARY:
                await self.receive_audio(message.data)
            elif message.type == WSMsgType.TEXT:
                if await self.receive_text(message.data):
                    return True
            else:
                return False

    async def _fail(self, error: Exception) -> None:
        failure = failure_of(error)
        if failure is None:
            logger.error("a talk failed", exc_info=error)
            failure = RequestFailed(500, "the server failed on this talk; its log says why")
        message, code, reason = self.failed(failure)
        try:
            if message is not None:
                await self.send(message)
            await self.socket.close(code=code, message=reason.encode()[:120])
        except (ConnectionError, asyncio.TimeoutError):
            logger.info("a client was gone before it could be told: %s", failure.message)
            self.cut()

    def cut(self) -> None:
        """Cut the connection: a close frame would wait behind what the client does not read."""
        if self.request.transport is not None:
            self.request.transport.abort()
