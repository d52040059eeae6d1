"""Voxport's generic protocol over a WebSocket: ``/v1/stt/stream``, audio in, results as they are heard.

Client: ``config``, then binary 16-bit mono PCM, ``flush`` when it wants the finals of all audio so far, and
``end_of_stream``. Server: ``ready``, ``speech_started``, ``transcription``, ``speech_ended``, ``flushed``,
``error``. All times are seconds from the first sample.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from typing import Any

from aiohttp import WSMsgType, web

from ..recogniser import (
    Final,
    Flushed,
    Partial,
    RecogniserSession,
    Result,
    SpeechEnded,
    SpeechStarted,
)
from .base import Dialect, Handler, RequestFailed, failure_of
from .generic_http import word_json

__all__ = ["GenericWebSocket"]

logger = logging.getLogger(__name__)

_ENCODINGS = {"linear16", "pcm_s16le", "s16le", "pcm"}
_HEARTBEAT_SECONDS = 20.0
_MAX_MESSAGE_BYTES = 1 << 20
_CLOSE_CODES = {400: 1008, 404: 1008, 408: 1008, 413: 1009}


class GenericWebSocket(Dialect):
    """``/v1/stt/stream``."""

    name = "generic-ws"

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [("GET", "/v1/stt/stream", self._stream)]

    def error(self, failure: RequestFailed) -> web.Response:
        body = {"type": "error", "message": failure.message, "code": failure.status}
        return web.json_response(body, status=failure.status)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(heartbeat=_HEARTBEAT_SECONDS, max_msg_size=_MAX_MESSAGE_BYTES)
        if not socket.can_prepare(request).ok:
            raise RequestFailed(400, "connect with a WebSocket: ws://… and an Upgrade header")
        # taken before the handshake, so that a full server answers 503 and not a socket that says no
        session = await self.services.recogniser.open()
        self.services.sockets.add(socket)
        try:
            await socket.prepare(request)
            await _Conversation(self, socket, session, request.transport).run()
        finally:
            self.services.sockets.discard(socket)
            await session.aclose()
        return socket


class _Conversation:
    """One connected client."""

    def __init__(
        self,
        dialect: GenericWebSocket,
        socket: web.WebSocketResponse,
        session: RecogniserSession,
        transport: asyncio.Transport | None,
    ) -> None:
        self._services = dialect.services
        self._socket = socket
        self._session = session
        self._transport = transport
        self._language = ""
        self._interim = True
        self._configured = False

    async def run(self) -> None:
        """Talk until either side is done; a failure is said and then closes the socket."""
        sending = asyncio.ensure_future(self._send_results())
        receiving = asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done() and not receiving.exception() and receiving.result():
                await sending  # the client said that it is done: it gets what is left
            for task in (receiving, sending):
                if task.done():
                    task.result()
            await self._socket.close()
        except (ConnectionError, asyncio.TimeoutError) as error:
            logger.info("a client is gone: %s", error or "it takes no results")
            self._drop()
        except Exception as error:
            await self._fail(error)
        finally:
            for task in (sending, receiving):
                task.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)

    async def _receive(self) -> bool:
        """Read until the end of the stream (True) or of the connection (False)."""
        idle = self._services.options.idle_seconds
        while True:
            try:
                message = await asyncio.wait_for(self._socket.receive(), idle)
            except asyncio.TimeoutError:
                raise RequestFailed(408, f"nothing was sent for {idle:g} s") from None
            if message.type == WSMsgType.BINARY:
                if not self._configured:
                    raise RequestFailed(400, 'send {"type":"config","sample_rate":…} before the first audio')
                await self._session.accept(message.data)
            elif message.type == WSMsgType.TEXT:
                if await self._command(message.data):
                    return True
            else:
                return False

    async def _command(self, text: str) -> bool:
        """Obey one text message; True when it ended the stream."""
        try:
            command = json.loads(text)
            kind = command["type"]
        except (ValueError, TypeError, KeyError):
            raise RequestFailed(400, "a text message must be a JSON object with a 'type'") from None
        if kind == "config":
            await self._configure(command)
        elif kind == "flush":
            await self._session.flush()
        elif kind == "end_of_stream":
            await self._session.end()
            return True
        elif kind not in {"keepalive", "keep_alive"}:
            raise RequestFailed(
                400, f"unknown message type {kind!r}; this server knows config, flush, end_of_stream and keepalive"
            )
        return False

    async def _configure(self, config: dict[str, Any]) -> None:
        if self._configured:
            raise RequestFailed(400, "the stream is configured already; open another to change it")
        encoding = str(config.get("encoding") or "LINEAR16")
        if encoding.lower() not in _ENCODINGS:
            raise RequestFailed(400, f"encoding {encoding!r}: send 16-bit little-endian PCM and say LINEAR16")
        rate = config.get("sample_rate", 16000)
        channels = config.get("channels", 1)
        if type(rate) is not int or type(channels) is not int:
            raise RequestFailed(400, f"sample_rate={rate!r} and channels={channels!r} must be whole numbers")
        wanted = config.get("language")
        self._services.check_model(config.get("model"))
        self._language = self._services.language(wanted)
        self._interim = bool(config.get("interim_results", True))
        self._session.configure(sample_rate=rate, channels=channels, interim=self._interim)
        self._configured = True
        await self._send({"type": "ready", "model": self._services.recogniser.name, "language": self._language})

    async def _send_results(self) -> None:
        async for result in self._session.results():
            await self._send(self._shape(result))

    async def _send(self, message: dict[str, Any]) -> None:
        await asyncio.wait_for(self._socket.send_str(json.dumps(message)), self._services.options.send_seconds)

    async def _fail(self, error: Exception) -> None:
        failure = failure_of(error)
        if failure is None:
            logger.error("a stream failed", exc_info=error)
            failure = RequestFailed(500, "the server failed on this stream; its log says why")
        try:
            await self._send({"type": "error", "message": failure.message, "code": failure.status})
            await self._socket.close(code=_CLOSE_CODES.get(failure.status, 1011), message=failure.code.encode())
        except (ConnectionError, asyncio.TimeoutError):
            logger.info("a client was gone before it could be told: %s", failure.message)
            self._drop()

    def _drop(self) -> None:
        """Cut the connection: a close frame would wait behind what the client does not read."""
        if self._transport is not None:
            self._transport.abort()

    def _shape(self, result: Result) -> dict[str, Any]:
        if isinstance(result, Final):
            return {
                "type": "transcription",
                "text": result.text,
                "is_final": True,
                "start": result.start,
                "end": result.end,
                "confidence": result.confidence,
                "language": self._language,
                "words": [word_json(word) for word in result.words],
            }
        if isinstance(result, Partial):
            return {
                "type": "transcription",
                "text": result.text,
                "is_final": False,
                "start": result.start,
                "end": result.end,
                "language": self._language,
            }
        if isinstance(result, SpeechStarted):
            return {"type": "speech_started", "start": result.at}
        if isinstance(result, SpeechEnded):
            return {"type": "speech_ended", "end": result.at}
        assert isinstance(result, Flushed)
        return {"type": "flushed"}
