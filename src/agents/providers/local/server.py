"""The embedded speech server: real recognition and synthesis on this machine, in several vendors' dialects."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from types import TracebackType

from aiohttp import WSCloseCode, web

from .dialects import DIALECTS, Dialect, Services
from .extras import require
from .options import ServerOptions
from .pool import DecoderPool
from .recogniser import Recogniser

__all__ = ["SpeechServer"]

logger = logging.getLogger(__name__)

_SHUTDOWN_SECONDS = 3.0
_GOODBYE_SECONDS = 1.0


class SpeechServer:
    """Serves from ``async with`` until its end; `url` and `ws_url` say where.

    ``recogniser`` and ``dialects`` are there to be replaced; by default the recogniser is `DecoderPool` with
    the engine of the options. Raises `MissingExtraError` when the ``local`` extra is not installed,
    `RecogniserFailed` when the engine does not start, and ``OSError`` when the port is taken.
    """

    def __init__(
        self,
        options: ServerOptions | None = None,
        *,
        recogniser: Recogniser | None = None,
        dialects: Iterable[type[Dialect]] = DIALECTS,
    ) -> None:
        self.options = options or ServerOptions()
        self._recogniser = recogniser
        self._dialects = tuple(dialects)
        self._runner: web.AppRunner | None = None
        self._services: Services | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port it listens on; known once it runs."""
        if not self._port:
            raise RuntimeError("the server is not running; use it in 'async with'")
        return self._port

    @property
    def url(self) -> str:
        """``http://host:port``, without a path."""
        return f"http://{self._address()}"

    @property
    def ws_url(self) -> str:
        """``ws://host:port``, without a path."""
        return f"ws://{self._address()}"

    async def __aenter__(self) -> SpeechServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Load the recogniser and listen."""
        if self._recogniser is None and self.options.engine == "pocketsphinx":
            require("pocketsphinx")
        options = self.options
        recogniser = self._recogniser or DecoderPool(options.engine, options.model, options.streams)
        self._services = Services(options, recogniser)
        try:
            await recogniser.start()
            self._runner = web.AppRunner(self._application(), shutdown_timeout=_SHUTDOWN_SECONDS)
            await self._runner.setup()
            await web.TCPSite(self._runner, options.host, options.port).start()
        except BaseException:
            await self.aclose()
            raise
        self._port = self._runner.addresses[0][1]
        logger.info("listening at %s with %d streams of %s", self.url, recogniser.capacity, recogniser.name)

    async def aclose(self) -> None:
        """Close every connection, then end every decoder."""
        services, self._services = self._services, None
        if services is None:
            return
        if self._runner is not None:
            await asyncio.gather(*(_say_goodbye(socket) for socket in services.sockets))
            await self._runner.cleanup()
            self._runner = None
        await services.recogniser.aclose()
        self._port = 0

    def _address(self) -> str:
        host = self.options.host
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(
            host, f"[{host}]" if ":" in host else host
        )
        return f"{shown}:{self.port}"

    def _application(self) -> web.Application:
        assert self._services is not None
        application = web.Application(client_max_size=self.options.max_body_bytes)
        for kind in self._dialects:
            dialect = kind(self._services)
            for method, path, handler in dialect.routes():
                application.router.add_route(method, path, dialect.guarded(handler))
        application.router.add_get("/health", self._health)
        return application

    async def _health(self, request: web.Request) -> web.Response:
        assert self._services is not None
        recogniser = self._services.recogniser
        return web.json_response(
            {
                "status": "ok" if recogniser.active < recogniser.capacity else "busy",
                "engine": recogniser.name,
                "active_streams": recogniser.active,
                "capacity": recogniser.capacity,
                "decoders": recogniser.decoders,
                "dialects": [kind.name for kind in self._dialects],
            }
        )


async def _say_goodbye(socket: web.WebSocketResponse) -> None:
    try:
        close = socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server stops")
        await asyncio.wait_for(close, _GOODBYE_SECONDS)
    except (asyncio.TimeoutError, ConnectionError):
        logger.info("a client did not take its leave in %s s; its connection is cut", _GOODBYE_SECONDS)
