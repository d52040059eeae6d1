"""Voxport's generic protocol for voices: ``POST /v1/tts``, and ``/v1/tts/stream`` as WebSocket.

docs/generic-protocol.md says what it is. Voices are espeak-ng's by their own names; ``options`` knows ``speed``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from ..speech import HeardWord, Sentences, Speech, SpeechForm, at_speed, voice_of
from ..synthesiser import Voice
from .base import Dialect, Handler, RequestFailed, Services
from .openai_base import json_body
from .openai_speech import SPEECH_MODELS
from .speech_body import check_text, send_speech
from .speech_socket import SpeakingConversation, object_in

__all__ = ["GenericSpeech"]

_RATE = 24000
_RATES = (8000, 192000)
_FORMATS = {
    "pcm": "pcm",
    "wav": "wav",
    "mp3": "mp3",
    "ogg": "opus",
    "flac": "flac",
    "aac": "aac",
    "mulaw": "mulaw",
}
_FIXED_RATES = {"ogg": 48000, "mulaw": 8000}
_SPEEDS = (0.5, 2.0)
_CLOSE_CODES = {400: 1008, 404: 1008, 408: 1008, 413: 1009}


class GenericSpeech(Dialect):
    """Both ways to speak."""

    name = "generic-speech"

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [("POST", "/v1/tts", self._speak), ("GET", "/v1/tts/stream", self._stream)]

    def error(self, failure: RequestFailed) -> web.Response:
        body = {"error": {"message": failure.message, "code": failure.code, "status": failure.status}}
        return web.json_response(body, status=failure.status)

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        body = await json_body(request)
        text = check_text(body.get("text"), self.services.options)
        voice = _voice(body)
        wanted = body.get("format") or "pcm"
        if wanted not in _FORMATS:
            raise RequestFailed(400, f"format {wanted!r}: this server makes {', '.join(_FORMATS)}")
        rate = _FIXED_RATES.get(wanted) or _rate(body)
        headers = {"Content-Type": f"audio/pcm;rate={rate};channels=1"} if wanted == "pcm" else {}
        return await send_speech(request, text, voice, SpeechForm(_FORMATS[wanted], rate), headers)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        return await _Talk(self.services, request).answer()


class _Talk(SpeakingConversation):
    """One client; one segment at a time."""

    def __init__(self, services: Services, request: web.Request) -> None:
        super().__init__(services, request)
        self._segment: _Segment | None = None

    async def greet(self) -> None:
        await self.send({"type": "ready"})

    async def receive_text(self, text: str) -> bool:
        message = object_in(text)
        kind = message.get("type")
        if kind == "start":
            if self._segment is not None and not self._segment.over:
                raise RequestFailed(400, "a segment is open already: end or cancel it first")
            self._segment = _Segment(self, message)
            return False
        if kind not in {"speak", "flush", "end", "cancel"}:
            raise RequestFailed(400, f"unknown message type {kind!r}: send start, speak, flush, end or cancel")
        segment = self._segment
        if segment is None or segment.over:
            if kind == "cancel":
                return False  # it crossed the end of the segment
            raise RequestFailed(400, f"{kind} came before start")
        if kind == "speak":
            segment.take(message.get("text"))
        elif kind == "flush":
            segment.flush()
        elif kind == "end":
            segment.end()
        else:
            await segment.cancel()
        return False

    def failed(self, failure: RequestFailed) -> tuple[dict[str, Any] | None, int, str]:
        message = {"type": "error", "message": failure.message, "code": failure.status}
        return message, _CLOSE_CODES.get(failure.status, 1011), failure.code

    def close(self) -> None:
        if self._segment is not None:
            self._segment.close()


class _Segment:
    """What is said in one go. *over*: ``done`` has been said of it."""

    def __init__(self, talk: _Talk, start: dict[str, Any]) -> None:
        if start.get("encoding", "LINEAR16") != "LINEAR16":
            raise RequestFailed(400, f"encoding {start['encoding']!r}: this server sends LINEAR16")
        self._talk = talk
        self._id = start.get("id")
        self._text = Sentences()
        self._speech = Speech(_voice(start), SpeechForm("pcm", _rate(start)))
        self._ended = False
        self.over = False

    def take(self, text: object) -> None:
        if not isinstance(text, str):
            raise RequestFailed(400, "speak carries no text")
        if self._ended:
            raise RequestFailed(400, "speak came after end")
        for sentence in self._text.add(text):
            self._say(sentence)

    def flush(self) -> None:
        self._say(self._text.take())

    def end(self) -> None:
        self._ended = True
        self._say(self._text.take())
        self._talk.later(self._done)

    async def cancel(self) -> None:
        self._talk.drop()
        self.over = True
        self.close()
        await self._talk.send({"type": "done", "id": self._id})

    def close(self) -> None:
        self._speech.close()

    def _say(self, text: str) -> None:
        async def job() -> None:
            words: list[HeardWord] = []
            async with contextlib.aclosing(self._speech.say(text)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, bytes):
                        await self._talk.send(piece)
                        await self._tell(words)
                        words = []
                    else:
                        words.append(piece)
            await self._tell(words)

        if text.strip():
            self._talk.later(job)

    async def _tell(self, words: list[HeardWord]) -> None:
        if words:
            times = [{"word": w.text, "start": round(w.start, 3), "end": round(w.end, 3)} for w in words]
            await self._talk.send({"type": "words", "id": self._id, "words": times})

    async def _done(self) -> None:
        if rest := self._speech.finish():
            await self._talk.send(rest)
        self.over = True
        self.close()
        await self._talk.send({"type": "done", "id": self._id})


def _voice(wanted: Mapping[str, Any]) -> Voice:
    model, name, language = wanted.get("model"), wanted.get("voice"), wanted.get("language")
    if model and model not in SPEECH_MODELS:
        raise RequestFailed(404, f"there is no model {model!r}; this server has {', '.join(SPEECH_MODELS)}")
    options = wanted.get("options") or {}
    speed = options.get("speed") if isinstance(options, dict) else "?"
    if speed is None:
        speed = 1.0
    low, high = _SPEEDS
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not low <= speed <= high:
        raise RequestFailed(400, f"speed must be a number from {low} to {high}")
    if name:
        return at_speed(Voice(str(name)), speed)
    return voice_of(0, language if isinstance(language, str) else None, speed)


def _rate(wanted: Mapping[str, Any]) -> int:
    rate = wanted.get("sample_rate", _RATE)
    if type(rate) is not int or not _RATES[0] <= rate <= _RATES[1]:
        raise RequestFailed(400, f"sample_rate {rate!r} must be a whole number from {_RATES[0]} to {_RATES[1]}")
    return rate
