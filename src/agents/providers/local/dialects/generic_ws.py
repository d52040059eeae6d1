"""Voxport's generic protocol over a WebSocket: ``/v1/stt/stream``, audio in, results as they are heard.

Client: ``config``, then binary 16-bit mono PCM, ``flush`` when it wants the finals of all audio so far, and
``end_of_stream``. Server: ``ready``, ``speech_started``, ``transcription``, ``speech_ended``, ``flushed``,
``error``. All times are seconds from the first sample.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from ..recogniser import (
    Final,
    Flushed,
    Partial,
    RecogniserSession,
    Result,
    SpeechEnded,
    SpeechStarted,
)
from .base import Dialect, Handler, RequestFailed, Services
from .generic_http import word_json
from .websocket import SocketConversation

__all__ = ["GenericWebSocket"]

_ENCODINGS = {"linear16", "pcm_s16le", "s16le", "pcm"}
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
        return await _Conversation(self.services, request).answer()


class _Conversation(SocketConversation):
    """One connected client; it has its decoder before the handshake, so that a full server answers 503."""

    def __init__(self, services: Services, request: web.Request) -> None:
        super().__init__(services, request)
        self._language = ""
        self._configured = False

    async def admit(self) -> None:
        self._session = await self.services.recogniser.open()

    async def begin(self) -> RecogniserSession:
        return self.session

    async def receive_audio(self, data: bytes) -> None:
        if not self._configured:
            raise RequestFailed(400, 'send {"type":"config","sample_rate":…} before the first audio')
        await super().receive_audio(data)

    async def receive_text(self, text: str) -> bool:
        try:
            command = json.loads(text)
            kind = command["type"]
        except (ValueError, TypeError, KeyError):
            raise RequestFailed(400, "a text message must be a JSON object with a 'type'") from None
        if kind == "config":
            await self._configure(command)
        elif kind == "flush":
            await self.session.flush()
        elif kind == "end_of_stream":
            await self.session.end()
            return True
        elif kind not in ("keepalive", "keep_alive"):
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
        model, language = config.get("model"), config.get("language")
        if not isinstance(model, str | None) or not isinstance(language, str | None):
            raise RequestFailed(400, f"model={model!r} and language={language!r} must be texts")
        self.services.check_model(model)
        self._language = self.services.language(language)
        interim = bool(config.get("interim_results", True))
        self.session.configure(sample_rate=rate, channels=channels, interim=interim)
        self._configured = True
        await self.send({"type": "ready", "model": self.services.recogniser.name, "language": self._language})

    def failed(self, failure: RequestFailed) -> tuple[dict[str, Any] | None, int, str]:
        message = {"type": "error", "message": failure.message, "code": failure.status}
        return message, _CLOSE_CODES.get(failure.status, 1011), failure.code

    def messages(self, result: Result) -> list[dict[str, Any]]:
        return [self._shape(result)]

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
