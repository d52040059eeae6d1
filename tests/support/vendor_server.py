"""A vendor on loopback whose every word the test decides: it speaks the generic protocol."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import aiohttp
import numpy as np
from aiohttp import web
from livekit import rtc
from scripted_server import ScriptedServer

from agents.providers.protocol import (
    ConnectRequest,
    Conversation,
    Settings,
    StreamingProtocol,
    Traits,
)
from agents.providers.vendors import find_vendor

RATE = 16000


class Connection:
    """One client on the vendor's side: what it sent, and ways to answer."""

    def __init__(self, ws: web.WebSocketResponse, request: web.Request, over: asyncio.Event) -> None:
        self.ws = ws
        self.request = request
        self.config: dict[str, Any] = {}
        self.controls: list[str] = []
        self.audio = bytearray()
        self._transport = request.transport
        self._over = over

    @property
    def seconds(self) -> float:
        return len(self.audio) / 2 / RATE

    async def next_message(self) -> str:
        """Receive one message; ``"audio"``, its type, or ``"closed"``."""
        message = await self.ws.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            self.audio += message.data
            return "audio"
        if message.type is aiohttp.WSMsgType.TEXT:
            data = json.loads(message.data)
            if data["type"] == "config":
                self.config = data
            else:
                self.controls.append(data["type"])
            return str(data["type"])
        return "closed"

    async def receive_until(self, kind: str) -> None:
        """Receive up to and with a message of *kind*."""
        while (got := await self.next_message()) != kind:
            if got == "closed":
                raise ConnectionError(f"the client left before {kind}")

    async def receive_seconds(self, seconds: float) -> None:
        """Receive until so much audio is there."""
        while self.seconds < seconds - 1e-6:
            if await self.next_message() == "closed":
                raise ConnectionError(f"the client left after {self.seconds} s")

    async def receive_all(self) -> None:
        """Receive until the client leaves."""
        while await self.next_message() != "closed":
            pass

    async def say(self, kind: str, **fields: Any) -> None:
        await self.ws.send_json({"type": kind, **fields})

    async def partial(self, text: str, **fields: Any) -> None:
        await self.say("transcription", text=text, is_final=False, **fields)

    async def final(self, text: str, **fields: Any) -> None:
        await self.say("transcription", text=text, is_final=True, **fields)

    async def hang(self) -> None:
        """Neither read nor answer any more, until the server is taken down."""
        assert self._transport is not None
        self._transport.pause_reading()  # type: ignore[attr-defined]
        await self._over.wait()

    def abort(self) -> None:
        """Cut the connection as a broken network does."""
        assert self._transport is not None
        self._transport.abort()


Handler = Callable[[Connection], Awaitable[None]]


class VendorServer(ScriptedServer[Connection]):
    """A vendor that hears."""

    def client(self, ws: web.WebSocketResponse, request: web.Request) -> Connection:
        return Connection(ws, request, self.over)


class Tuned(StreamingProtocol):
    """The generic protocol with other traits, so that a test need not wait for real time-outs."""

    name = "generic"

    def __init__(self, **traits: Any) -> None:
        found = find_vendor("generic").streaming
        assert found is not None
        self._inner = found
        self._traits = traits

    def traits(self, settings: Settings) -> Traits:
        return dataclasses.replace(self._inner.traits(settings), **self._traits)

    def connect(self, settings: Settings) -> ConnectRequest:
        return self._inner.connect(settings)

    def converse(self, settings: Settings) -> Conversation:
        return self._inner.converse(settings)


def ramp(seconds: float, *, rate: int = RATE, start: int = 0) -> bytes:
    """Audio in which every sample tells its position: lost, doubled or swapped samples show."""
    count = round(seconds * rate)
    return ((np.arange(start, start + count) % 30000) + 1001).astype("<i2").tobytes()


def frames(pcm: bytes, *, rate: int = RATE, channels: int = 1, ms: int = 50) -> list[rtc.AudioFrame]:
    """*pcm* in frames of *ms*."""
    step = rate * ms // 1000 * 2 * channels
    pieces = [pcm[i : i + step] for i in range(0, len(pcm), step)]
    return [rtc.AudioFrame(piece, rate, channels, len(piece) // 2 // channels) for piece in pieces]


async def events_until(stream: Any, count: int, kind: str) -> list[Any]:
    """Read events until *count* of *kind* came."""
    got = []
    while count:
        got.append(await asyncio.wait_for(stream.__anext__(), 10))
        count -= got[-1].type.value == kind
    return got


def texts(events: Iterable[Any], kind: str = "final_transcript") -> list[str]:
    return [event.alternatives[0].text for event in events if event.type.value == kind]


def kinds(events: Iterable[Any]) -> list[str]:
    return [event.type.value for event in events if event.type.value != "recognition_usage"]
