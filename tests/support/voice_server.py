"""A vendor that speaks, on loopback, whose every word the test decides: it speaks the generic protocol."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import aiohttp
import numpy as np
from aiohttp import web

from agents.providers.protocol import (
    ConnectRequest,
    Settings,
    StreamingSynthesisProtocol,
    SynthesisConversation,
    SynthesisTraits,
)
from agents.providers.vendors import find_vendor

RATE = 24000


def tone(seconds: float, *, level: int = 1000, rate: int = RATE) -> bytes:
    """Samples of one *level*, so that it shows whose audio one hears."""
    return np.full(round(seconds * rate), level, "<i2").tobytes()


class Caller:
    """One connection, on the vendor's side."""

    def __init__(self, ws: web.WebSocketResponse, request: web.Request) -> None:
        self.ws = ws
        self.request = request
        self.start: dict[str, Any] = {}
        self.text = ""
        self.pieces: list[str] = []
        self._transport = request.transport

    async def next(self) -> str:
        """The type of the next message; ``"closed"`` at the end."""
        message = await self.ws.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            return "closed"
        data = json.loads(message.data)
        if data["type"] == "start":
            self.start, self.text, self.pieces = data, "", []
        if data["type"] == "speak":
            self.text += data["text"]
            self.pieces.append(data["text"])
        return str(data["type"])

    async def until(self, kind: str) -> None:
        """Read up to and with a message of *kind*. Raises `ConnectionError` when the client leaves before."""
        while (got := await self.next()) != kind:
            if got == "closed":
                raise ConnectionError(f"the client left before {kind}")

    async def tell(self, kind: str, **fields: Any) -> None:
        await self.ws.send_json({"type": kind, **fields})

    async def done(self) -> None:
        await self.tell("done", id=self.start["id"])

    async def speak(self, pcm: bytes, words: Iterable[tuple[str, float, float]] = ()) -> None:
        """Answer a segment: read its end, send audio and words, and be done."""
        await self.until("end")
        await self.ws.send_bytes(pcm)
        times = [{"word": word, "start": start, "end": end} for word, start, end in words]
        if times:
            await self.tell("words", id=self.start["id"], words=times)
        await self.done()

    def abort(self) -> None:
        """Cut the connection as a broken network does."""
        assert self._transport is not None
        self._transport.abort()


Handler = Callable[[Caller], Awaitable[None]]


class VoiceServer:
    """Serves one handler per connection, in order; the last one serves all that follow.

    *refuse* holds what the first requests get instead: a status, or ``None`` for a connection.
    """

    def __init__(self, *handlers: Handler, refuse: Iterable[int | None] = ()) -> None:
        self._handlers = list(handlers)
        self._refuse = list(refuse)
        self.callers: list[Caller] = []
        self.attempts = 0
        self.errors: list[BaseException] = []
        self.over = asyncio.Event()

    async def __aenter__(self) -> VoiceServer:
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
        if self._refuse and (status := self._refuse.pop(0)) is not None:
            return web.Response(status=status)
        ws = web.WebSocketResponse(max_msg_size=0, timeout=0.1)
        await ws.prepare(request)
        caller = Caller(ws, request)
        self.callers.append(caller)
        handler = self._handlers.pop(0) if len(self._handlers) > 1 else self._handlers[0]
        try:
            await handler(caller)
        except (ConnectionError, aiohttp.ClientError):
            pass  # the client left, which tests look at from its side
        except AssertionError as error:
            self.errors.append(error)
        return ws


class TunedVoice(StreamingSynthesisProtocol):
    """The generic protocol with other traits, so that a test need not wait for real time-outs."""

    name = "generic"

    def __init__(self, **traits: Any) -> None:
        found = find_vendor("generic").streaming_synthesis
        assert found is not None
        self._inner = found
        self._traits = traits

    def traits(self, settings: Settings) -> SynthesisTraits:
        return dataclasses.replace(self._inner.traits(settings), **self._traits)

    def connect(self, settings: Settings) -> ConnectRequest:
        return self._inner.connect(settings)

    def converse(self, settings: Settings) -> SynthesisConversation:
        return self._inner.converse(settings)
