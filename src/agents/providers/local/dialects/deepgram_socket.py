"""What the conversations of Deepgram's two WebSocket services share: reading, idling, and ways to end.

Source: deepgram-sdk 7.17.0 and https://developers.deepgram.com/docs/audio-keep-alive for the idle limit.
"""

from __future__ import annotations

import abc
import asyncio
import json
import logging
from typing import Any

import numpy as np
from aiohttp import WSMessage, WSMsgType, web

from ...transport.bounded import bounded
from ..recogniser import RecogniserSession, Result
from .base import RequestFailed, Services, failure_of

__all__ = ["IDLE_SECONDS", "DeepgramConversation", "decoder"]

logger = logging.getLogger(__name__)

IDLE_SECONDS = 10.0
_LEAVE_SECONDS = 1.0


class DeepgramConversation(abc.ABC):
    """One connected client. A subclass says what messages mean and how results are written."""

    def __init__(
        self,
        services: Services,
        socket: web.WebSocketResponse,
        session: RecogniserSession,
        transport: asyncio.Transport | None,
        request_id: str,
        query: dict[str, list[str]],
    ) -> None:
        self.services = services
        self.session = session
        self.request_id = request_id
        self.accepted = 0.0
        """Seconds of audio received."""
        rate, self._channels = number(query, "sample_rate", 0), number(query, "channels", 1)
        self._decode = decoder(_first(query, "encoding"))
        session.configure(sample_rate=rate, channels=self._channels)
        self._seconds_per_byte = 1.0 / (rate * self._channels * (1 if self._decode else 2))
        self._socket = socket
        self._transport = transport
        self._heard_audio = False
        self._one_at_a_time = asyncio.Lock()  # results and audio are worked on one at a time

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

    @abc.abstractmethod
    async def goodbye(self) -> None:
        """All results are written and the client asked to end: the last messages, and the close."""

    @abc.abstractmethod
    async def failed(self, failure: RequestFailed) -> None:
        """Say that the server failed, and close."""

    # the talk

    async def run(self) -> None:
        """Talk until either side is done."""
        writing = asyncio.ensure_future(self._write_results())
        reading = asyncio.ensure_future(self._read())
        try:
            await asyncio.wait({writing, reading}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and not reading.exception() and reading.result():
                await writing
                await self.goodbye()
            for task in (reading, writing):
                if task.done():
                    task.result()
        except (ConnectionError, asyncio.TimeoutError) as error:
            logger.info("a client is gone: %s", str(error) or "it takes no results")
            self.cut()
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                logger.error("a stream failed", exc_info=error)
                failure = RequestFailed(500, "the server failed on this stream; its log says why")
            try:
                await self.failed(failure)
            except (ConnectionError, asyncio.TimeoutError):
                self.cut()
        finally:
            for task in (writing, reading):
                task.cancel()
            await asyncio.gather(writing, reading, return_exceptions=True)

    async def send(self, message: dict[str, Any]) -> None:
        """One text message; a client that takes none is cut off."""
        await bounded(self._socket.send_str(json.dumps(message)), self.services.options.send_seconds)

    async def close(self, code: int, reason: str = "") -> None:
        """Close with a code and a reason of at most 123 bytes."""
        await self._socket.close(code=code, message=reason.encode()[:123])

    async def close_without_status(self) -> None:
        """An empty close frame, which clients see as 1005; aiohttp's own close always has a code."""
        writer = self._socket._writer
        assert writer is not None
        await writer.send_frame(b"", WSMsgType.CLOSE)
        try:
            await bounded(self._socket.receive(), _LEAVE_SECONDS)
        except (ConnectionError, asyncio.TimeoutError):
            self.cut()

    def cut(self) -> None:
        """End the connection: a close frame would wait behind what the client does not read."""
        if self._transport is not None:
            self._transport.abort()

    async def _write_results(self) -> None:
        async for result in self.session.results():
            async with self._one_at_a_time:
                await self.write(result)

    async def _read(self) -> bool:
        """Read until the client ends the stream (True) or the connection (False)."""
        loop = asyncio.get_running_loop()
        limit = min(IDLE_SECONDS, self.services.options.idle_seconds)
        deadline = loop.time() + limit
        while True:
            message = await self._message(deadline - loop.time())
            if message is None:
                await self.close(1011, _TOO_QUIET)
                return False
            if message.type == WSMsgType.BINARY:
                if not message.data:  # documented as "may result in unexpected closures"
                    await self.close(1000)
                    return False
                deadline = loop.time() + limit
                self._heard_audio = True
                await self._accept(message.data)
            elif message.type == WSMsgType.TEXT:
                # text alone does not hold a connection on which no audio ever came
                if self._heard_audio:
                    deadline = loop.time() + limit
                if await self._text(message.data):
                    await self.session.end()
                    return True
            else:
                return False

    async def _message(self, seconds: float) -> WSMessage | None:
        """The next message, or None when there is none in time."""
        if seconds <= 0.0:  # else a client that sends without a pause, but no audio, would never be too late
            return None
        try:
            return await bounded(self._socket.receive(), seconds)
        except asyncio.TimeoutError:
            return None

    async def _accept(self, data: bytes) -> None:
        self.accepted += len(data) * self._seconds_per_byte
        await self.session.accept(self._decode(data) if self._decode else data)
        async with self._one_at_a_time:
            await self.audio_passed()

    async def _text(self, text: str) -> bool:
        try:
            message = json.loads(text)
        except ValueError:
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            await self.bad_command(text)
            return False
        return await self.command(message)


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
