"""What servers people run themselves have in common: one WebSocket at the root of a port of its own.

Here they share one port, so each has a path named after it; the real ones answer at any. They know no keys,
except WhisperLive: where this server asks for one, it is in the ``Authorization: Bearer`` that a proxy would
check.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from aiohttp import web

from ..recogniser import RecogniserSession
from .base import Dialect, Handler, RequestFailed, Services
from .websocket import SocketConversation

__all__ = ["SelfHosted", "SelfHostedConversation", "from_float32", "object_of"]


class SelfHostedConversation(SocketConversation):
    """A connection that has its decoder before it is upgraded: a full server answers 503.

    Raises `Busy` from `answer` when it is full.
    """

    def __init__(self, services: Services, request: web.Request) -> None:
        super().__init__(services, request)
        self.configured = False

    async def admit(self) -> None:
        self._session = await self.services.recogniser.open()

    async def begin(self) -> RecogniserSession:
        return self.session

    def configure(self, sample_rate: int, *, interim: bool = True) -> None:
        """Set the recogniser up, once."""
        if not self.configured:
            self.configured = True
            self.session.configure(sample_rate=sample_rate, interim=interim)

    def failed(self, failure: RequestFailed) -> tuple[dict[str, Any] | None, int, str]:
        """Most of these servers log what went wrong, and only close."""
        return None, 1011, ""


class SelfHosted(Dialect):
    """A dialect with one WebSocket; ``path`` is where, ``conversation`` what is talked there."""

    path: ClassVar[str]
    conversation: ClassVar[type[SocketConversation]]

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [("GET", self.path, self._stream)]

    def error(self, failure: RequestFailed) -> web.Response:
        return web.Response(text=f"{failure.message}\n", status=failure.status)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        return await self.conversation(self.services, request).answer()


def object_of(text: str) -> dict[str, Any]:
    """The JSON object in a text message. Raises `RequestFailed`."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RequestFailed(400, "a text message must be a JSON object")
    return found


def from_float32(data: bytes) -> bytes:
    """32-bit float samples between -1 and 1 as 16-bit PCM. Raises `RequestFailed`."""
    if len(data) % 4:
        raise RequestFailed(400, f"{len(data)} bytes are no whole number of 32-bit samples")
    samples = np.nan_to_num(np.frombuffer(data, "<f4"), nan=0.0, posinf=1.0, neginf=-1.0)
    pcm: bytes = np.clip(np.round(np.clip(samples, -1.0, 1.0) * 32768.0), -32768, 32767).astype("<i2").tobytes()
    return pcm
