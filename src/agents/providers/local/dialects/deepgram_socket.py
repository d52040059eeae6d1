"""What the conversations of Deepgram's two WebSocket services share: reading, idling, and ways to end.

Source: deepgram-sdk 7.17.0 and https://developers.deepgram.com/docs/audio-keep-alive for the idle limit.
"""

from __future__ import annotations

import abc
import asyncio
import json
import uuid
from typing import Any

import numpy as np
from aiohttp import WSMessage, WSMsgType, web

from ...transport.bounded import bounded
from ..recogniser import RecogniserSession, Result
from .base import RequestFailed, Services
from .talk import Talk

__all__ = ["IDLE_SECONDS", "DeepgramConversation", "decoder"]

IDLE_SECONDS = 10.0
_LEAVE_SECONDS = 1.0


class DeepgramConversation(Talk):
    """One connected client. A subclass says what messages mean and how results are written.

    Raises `RequestFailed` for a query that says nothing usable about the audio.
    """

    subprotocols = ("token",)

    def __init__(self, services: Services, request: web.Request, query: dict[str, list[str]]) -> None:
        super().__init__(services, request)
        self.request_id = str(uuid.uuid4())
        self.socket.headers["dg-request-id"] = self.request_id
        self.accepted = 0.0
        """Seconds of audio received."""
        self.idle_seconds = min(IDLE_SECONDS, self.idle_seconds)
        self._decode = decoder(_first(query, "encoding"))
        self._rate, self._channels = number(query, "sample_rate", 0), number(query, "channels", 1)
        if self._rate <= 0:
            raise RequestFailed(400, "sample_rate is needed with encoding")
        self._seconds_per_byte = 0.0
        self._session: RecogniserSession | None = None
        self._deadline = 0.0
        self._heard_audio = False
        self._one_at_a_time = asyncio.Lock()  # results and audio are worked on one at a time

    @property
    def session(self) -> RecogniserSession:
        """The recogniser's session; there is one from the handshake on."""
        assert self._session is not None
        return self._session

    # what a service fills in

    @abc.abstractmethod
    async def command(self, message: dict[str, Any]) -> bool:
        """Obey a text message; True when it ends the stream."""

    @abc.abstractmethod
    async def bad_command(self, text: str) -> None:
        """A text message that is none."""

    @abc.abstractmethod
    async def write(self, result: Result) -> None:
        """Send what a result means."""

    @abc.abstractmethod
    async def audio_passed(self) -> None:
        """Audio came; `accepted` has grown."""

    # the talk

    async def admit(self) -> None:
        self._session = await self.services.recogniser.open()
        self._session.configure(sample_rate=self._rate, channels=self._channels)
        self._seconds_per_byte = 1.0 / (self._rate * self._channels * (1 if self._decode else 2))

    async def greet(self) -> None:
        self._restart_clock()

    async def respond(self) -> None:
        async for result in self.session.results():
            async with self._one_at_a_time:
                await self.write(result)

    async def next_message(self) -> WSMessage:
        left = self._deadline - asyncio.get_running_loop().time()
        if left <= 0.0:  # also for a client that sends without a pause, but no audio
            raise asyncio.TimeoutError
        return await bounded(self.socket.receive(), left)

    async def receive_audio(self, data: bytes) -> None:
        if not data:  # documented as "may result in unexpected closures"
            await self.socket.close()
            return
        self._restart_clock()
        self._heard_audio = True
        self.accepted += len(data) * self._seconds_per_byte
        await self.session.accept(self._decode(data) if self._decode else data)
        async with self._one_at_a_time:
            await self.audio_passed()

    async def receive_text(self, text: str) -> bool:
        if self._heard_audio:  # text alone does not hold a connection on which no audio ever came
            self._restart_clock()
        try:
            message = json.loads(text)
        except ValueError:
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            await self.bad_command(text)
            return False
        if not await self.command(message):
            return False
        await self.session.end()
        return True

    def failed(self, failure: RequestFailed) -> tuple[dict[str, Any] | None, int, str]:
        return None, 1011, _TOO_QUIET if failure.status == 408 else f"NET-0000: {failure.message}"

    async def close_without_status(self) -> None:
        """An empty close frame, which clients see as 1005; aiohttp's own close always has a code."""
        writer = self.socket._writer
        assert writer is not None
        await writer.send_frame(b"", WSMsgType.CLOSE)
        try:
            await bounded(self.socket.receive(), _LEAVE_SECONDS)
        except (ConnectionError, asyncio.TimeoutError):
            self.cut()

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.aclose()

    def _restart_clock(self) -> None:
        self._deadline = asyncio.get_running_loop().time() + self.idle_seconds


_TOO_QUIET = "NET-0001: Deepgram did not receive audio data or a text message within the timeout window."


def _first(query: dict[str, list[str]], name: str) -> str:
    return query.get(name, [""])[0]


def number(query: dict[str, list[str]], name: str, default: int) -> int:
    """A whole number of the query. Raises `RequestFailed`."""
    text = _first(query, name)
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise RequestFailed(400, f"{name}={text!r} is not a whole number", "INVALID_QUERY_PARAMETER") from None


def decoder(encoding: str) -> Any:
    """The function from *encoding* to 16-bit PCM; None where it is that already. Raises `RequestFailed`."""
    if encoding == "linear16":
        return None
    if encoding == "mulaw":
        return _mulaw
    raise RequestFailed(
        400, f"encoding {encoding!r}: this server takes linear16 and mulaw", "INVALID_QUERY_PARAMETER"
    )


def _mulaw(data: bytes) -> bytes:
    """ITU-T G.711 µ-law to 16-bit PCM."""
    codes = ~np.frombuffer(data, np.uint8)
    sign, exponent, mantissa = codes & 0x80, (codes >> 4) & 0x07, (codes & 0x0F).astype(np.int32)
    magnitude = ((mantissa << 3) + 0x84 << exponent) - 0x84
    return bytes(np.where(sign, -magnitude, magnitude).astype("<i2").tobytes())
