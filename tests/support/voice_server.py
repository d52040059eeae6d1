"""A vendor that speaks, on loopback, whose every word the test decides: it speaks the generic protocol."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import aiohttp
import numpy as np
from aiohttp import web
from scripted_server import ScriptedServer

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


class VoiceServer(ScriptedServer[Caller]):
    """A vendor that speaks."""

    def client(self, ws: web.WebSocketResponse, request: web.Request) -> Caller:
        return Caller(ws, request)

    @property
    def callers(self) -> list[Caller]:
        """Every connection there was."""
        return self.connections


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
