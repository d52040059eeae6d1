"""A WebSocket server on loopback that follows a script: one handler for each connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

import aiohttp
from aiohttp import web
from typing_extensions import Self

_Client = TypeVar("_Client")


class ScriptedServer(Generic[_Client]):
    """Serves one handler per connection, in order; the last one serves all that follow.

    *refuse* holds what the first requests get instead: a status (and headers), or ``None`` for a connection. A
    subclass says what a handler gets.
    """

    def __init__(
        self,
        *handlers: Callable[[_Client], Awaitable[None]],
        refuse: Iterable[tuple[int, dict[str, str]] | int | None] = (),
    ) -> None:
        self._handlers = list(handlers)
        self._refuse = list(refuse)
        self.connections: list[_Client] = []
        self.attempts = 0
        self.errors: list[BaseException] = []
        self.over = asyncio.Event()

    def client(self, ws: web.WebSocketResponse, request: web.Request) -> _Client:
        """A new connection, as a handler sees it."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"ws://{host}:{port}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.over.set()
        await self._runner.cleanup()
        for error in self.errors:
            raise error

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.attempts += 1
        if self._refuse and (answer := self._refuse.pop(0)) is not None:
            status, headers = (answer, {}) if isinstance(answer, int) else answer
            return web.Response(status=status, headers=headers)
        ws = web.WebSocketResponse(max_msg_size=0, timeout=0.1)
        await ws.prepare(request)
        client = self.client(ws, request)
        self.connections.append(client)
        handler = self._handlers.pop(0) if len(self._handlers) > 1 else self._handlers[0]
        try:
            await handler(client)
        except (ConnectionError, aiohttp.ClientError):
            pass  # the client left, which tests look at from its side
        except AssertionError as error:
            self.errors.append(error)
        return ws
