"""Voxport's generic protocol over HTTP: ``POST /v1/stt``, a recording in, JSON out.

The recording is the body itself (any audio file, or bare PCM under ``audio/l16`` or ``audio/pcm`` with a
``rate``), the ``file`` field of a form, or base64 in JSON (``audio_base64`` or ``audio``, with ``format`` and
``sample_rate``). ``?language=`` and ``?model=`` are optional.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from typing import Any

from aiohttp import web
from aiohttp.helpers import parse_mimetype

from ..audio import BadAudio
from ..recogniser import Transcript, Word
from .base import Dialect, Handler, RequestFailed

__all__ = ["GenericHttp", "word_json"]

_BARE = {"audio/l16", "audio/pcm", "audio/raw", "audio/x-raw"}
_BARE_FORMATS = {"pcm", "raw", "l16", "linear16", "pcm_s16le", "s16le"}


def word_json(word: Word) -> dict[str, Any]:
    """A word as the generic protocol writes it; times in seconds."""
    return {"word": word.text, "start": word.start, "end": word.end, "confidence": word.confidence}


class GenericHttp(Dialect):
    """``POST /v1/stt``."""

    name = "generic-http"

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [("POST", "/v1/stt", self._transcribe)]

    def error(self, failure: RequestFailed) -> web.Response:
        body = {"error": {"message": failure.message, "code": failure.code, "status": failure.status}}
        return web.json_response(body, status=failure.status)

    async def _transcribe(self, request: web.Request) -> web.Response:
        language = request.query.get("language")
        self.services.check_model(request.query.get("model"))
        self.services.language(language)
        kind = parse_mimetype(request.headers.get("Content-Type", ""))
        content_type = f"{kind.type}/{kind.subtype}"
        if content_type in _BARE:
            transcript = await self.services.transcribe_pcm(
                await request.read(),
                _number(kind.parameters.get("rate"), "rate", 16000),
                _number(kind.parameters.get("channels"), "channels", 1),
                language,
            )
        elif content_type == "application/json":
            transcript = await self._transcribe_json(await request.read(), language)
        elif content_type == "multipart/form-data":
            form = await request.post()
            part = form.get("file") or form.get("audio")
            if not isinstance(part, web.FileField):
                raise RequestFailed(400, "the form has no file field; put the recording in a field called 'file'")
            transcript = await self.services.transcribe_file(part.file.read(), language)
        else:
            transcript = await self.services.transcribe_file(await request.read(), language)
        return web.json_response(_shape(transcript))

    async def _transcribe_json(self, body: bytes, language: str | None) -> Transcript:
        try:
            fields = json.loads(body)
            encoded = fields.get("audio_base64") or fields.get("audio")
            data = base64.b64decode(encoded, validate=True)
        except (ValueError, AttributeError, TypeError, binascii.Error) as error:
            raise RequestFailed(
                400, f'send {{"audio_base64": "…", "format": "wav"}} with the recording in base64 ({error})'
            ) from error
        language = fields.get("language") or language
        self.services.check_model(fields.get("model"))
        if str(fields.get("format", "")).lower() in _BARE_FORMATS:
            rate = _number(fields.get("sample_rate"), "sample_rate", 16000)
            channels = _number(fields.get("channels"), "channels", 1)
            return await self.services.transcribe_pcm(data, rate, channels, language)
        return await self.services.transcribe_file(data, language)


def _number(value: Any, name: str, default: int) -> int:
    if value is None:
        return default
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise BadAudio(f"{name}={value!r} is not a whole number") from error


def _shape(transcript: Transcript) -> dict[str, Any]:
    return {
        "text": transcript.text,
        "language": transcript.language,
        "confidence": round(transcript.confidence, 4),
        "duration": round(transcript.duration, 3),
        "words": [word_json(word) for word in transcript.words],
    }
