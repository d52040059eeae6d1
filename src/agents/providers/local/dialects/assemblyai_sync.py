"""AssemblyAI's synchronous API: ``POST /v1/transcribe/live``, a recording of at most 120 s in, the text out.

Source: assemblyai 1.8.2 (``sync/v1``, ``_multipart.py``, ``types.SyncTranscriptResponse``). The form's JSON
``config`` comes before ``audio``; errors are problem details (RFC 9457).
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable
from typing import Any

from aiohttp import BodyPartReader, web

from ..recogniser import Transcript
from .assemblyai_batch import AssemblyAIDialect, word_json
from .base import Handler, RequestFailed

__all__ = ["AssemblyAISync"]

_MAX_SECONDS = 120
_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    413: "Audio Too Large",
    500: "Internal Error",
    503: "Capacity Exceeded",
}


class AssemblyAISync(AssemblyAIDialect):
    """``/v1/transcribe/live``."""

    name = "assemblyai-sync"

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [("POST", "/v1/transcribe/live", self._transcribe)]

    def error(self, failure: RequestFailed) -> web.Response:
        title = "Bad Audio" if failure.code == "invalid_audio" else _TITLES.get(failure.status, "Bad Request")
        body = {"status": failure.status, "title": title, "detail": failure.message}
        return web.json_response(body, status=failure.status, content_type="application/problem+json")

    async def _transcribe(self, request: web.Request) -> web.Response:
        began = time.monotonic()
        if not request.headers.get("X-AAI-Model"):
            raise RequestFailed(400, "the X-AAI-Model header is missing; send the name of a model")
        config, content_type, audio = await self._read_form(request)
        codes = config.get("language_codes") or [None]
        transcript = await self._recognise(config, content_type, audio, codes[0])
        if transcript.duration > _MAX_SECONDS:
            raise RequestFailed(413, f"the recording is longer than {_MAX_SECONDS} s")
        words = [word_json(word) for word in transcript.words]
        if config.get("timestamps") is not True:
            words = [{"text": word["text"], "confidence": word["confidence"]} for word in words]
        return web.json_response(
            {
                "text": transcript.text,
                "words": words,
                "confidence": round(transcript.confidence, 4),
                "audio_duration_ms": round(transcript.duration * 1000),
                "session_id": str(uuid.uuid4()),
                "request_time_ms": round((time.monotonic() - began) * 1000, 1),
            }
        )

    async def _read_form(self, request: web.Request) -> tuple[dict[str, Any], str, bytes]:
        if request.content_type != "multipart/form-data":
            raise RequestFailed(400, "send a multipart/form-data body: config, then audio")
        parts = await request.multipart()
        first, second = await parts.next(), None
        if not isinstance(first, BodyPartReader) or first.name != "config":
            raise RequestFailed(400, "the first part must be config: the audio cannot be decoded before it")
        try:
            config = json.loads(await first.read())
        except ValueError as error:
            raise RequestFailed(400, f"config is not JSON ({error})") from error
        if not isinstance(config, dict):
            raise RequestFailed(400, "config must be a JSON object")
        second = await parts.next()
        if not isinstance(second, BodyPartReader) or second.name != "audio":
            raise RequestFailed(400, "there must be an audio part after config")
        return config, second.headers.get("Content-Type", ""), await self._read_part(second)

    async def _read_part(self, part: BodyPartReader) -> bytes:
        data = bytearray()
        while chunk := await part.read_chunk():
            data += chunk
            if len(data) > self.services.options.max_body_bytes:
                raise RequestFailed(413, "the recording is too large")
        return bytes(data)

    async def _recognise(
        self, config: dict[str, Any], content_type: str, audio: bytes, language: Any
    ) -> Transcript:
        if content_type != "audio/pcm":
            return await self.services.transcribe_file(audio, language)
        rate, channels = config.get("sample_rate"), config.get("channels")
        if type(rate) is not int or type(channels) is not int:
            raise RequestFailed(400, "sample_rate and channels are required in config for audio/pcm")
        return await self.services.transcribe_pcm(audio, rate, channels, language)
