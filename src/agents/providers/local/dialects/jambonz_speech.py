"""A custom voice as jambonz calls them: ``POST /jambonz/tts``, and ``/jambonz/tts`` as WebSocket.

Source: https://docs.jambonz.org/guides/features/custom-tts-providers, and ``lib/tts/streaming`` in
github.com/jambonz/custom-speech-example. Over the WebSocket, voice, language and sampleRate are parameters of the
URL; the server says ``connect``, takes ``stream``, ``flush`` and ``stop`` (which ends the connection at once), and
sends audio. That a text has been spoken to its end it does not say.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from ..speech import Sentences, Speech, SpeechForm, voice_of
from ..synthesiser import Voice
from .base import Dialect, Handler, RequestFailed, Services
from .openai_base import json_body
from .speech_body import check_text, send_speech
from .speech_socket import SpeakingConversation, object_in

__all__ = ["JambonzSpeech"]

_PATH = "/jambonz/tts"
_RATE = 8000
_RATES = (8000, 16000, 22050, 24000, 44100, 48000)
_FILES = {"audio/mpeg": SpeechForm("mp3"), "audio/mp3": SpeechForm("mp3"), "audio/wav": SpeechForm("wav")}


class JambonzSpeech(Dialect):
    """A voice that somebody wrote for jambonz."""

    name = "jambonz-speech"

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [("POST", _PATH, self._speak), ("GET", _PATH, self._stream)]

    def error(self, failure: RequestFailed) -> web.Response:
        return web.json_response({"error": failure.message}, status=failure.status)

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        body = await json_body(request)
        if body.get("type", "text") != "text":
            raise RequestFailed(400, "type must be text: this server reads no SSML")
        text = check_text(body.get("text"), self.services.options)
        voice = _voice(body.get("voice"), body.get("language"))
        # it is the server's choice what to send; a client that accepts only one kind gets that
        accepted = request.headers.get("Accept", "").partition(",")[0].partition(";")[0].strip()
        form, kind = _FILES.get(accepted), ""
        if form is None:
            form, kind = SpeechForm("pcm", _RATE), f"audio/l16;rate={_RATE}"
        return await send_speech(request, text, voice, form, {"Content-Type": kind} if kind else {})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        return await _Talk(self.services, request).answer()


class _Talk(SpeakingConversation):
    """One call's voice."""

    def __init__(self, services: Services, request: web.Request) -> None:
        super().__init__(services, request)
        query = request.query
        rate = query.get("sampleRate") or str(_RATE)
        if not rate.isdecimal() or int(rate) not in _RATES:
            raise RequestFailed(400, f"sampleRate {rate!r}: this server has {', '.join(map(str, _RATES))}")
        self._base64 = query.get("base64") in {"1", "true"}
        self._speech = Speech(_voice(query.get("voice"), query.get("language")), SpeechForm("pcm", int(rate)))
        self._text = Sentences()

    async def greet(self) -> None:
        data = {"sample_rate": self._speech.rate, "base64_encoding": self._base64}
        await self.send({"type": "connect", "data": data})

    async def receive_text(self, text: str) -> bool:
        message = object_in(text)
        kind = message.get("type")
        if kind == "stream":
            more = message.get("text")
            if not isinstance(more, str):
                raise RequestFailed(400, "stream carries no text")
            for sentence in self._text.add(more):
                self._say(sentence)
        elif kind == "flush":
            self._say(self._text.take())
            self.later(self._flush)
        elif kind == "stop":
            self.drop()
            return True
        elif kind != "keepalive":
            raise RequestFailed(400, f"unknown message type {kind!r}: send stream, flush or stop")
        return False

    def _say(self, text: str) -> None:
        async def job() -> None:
            async with contextlib.aclosing(self._speech.say(text)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, bytes):
                        await self._audio(piece)

        if text.strip():
            self.later(job)

    async def _flush(self) -> None:
        if rest := self._speech.flush():
            await self._audio(rest)

    async def _audio(self, audio: bytes) -> None:
        if self._base64:
            await self.send({"type": "data", "data": {"audio": base64.b64encode(audio).decode()}})
        else:
            await self.send(audio)

    def close(self) -> None:
        self._speech.close()

    def failed(self, failure: RequestFailed) -> tuple[dict[str, Any] | None, int, str]:
        return {"type": "error", "error": failure.message}, 1011, ""


def _voice(name: object, language: object) -> Voice:
    if isinstance(name, str) and name:
        return Voice(name)
    return voice_of(0, language if isinstance(language, str) else None)
