"""OpenAI's ``POST /v1/audio/transcriptions``, on the embedded recogniser.

Answers in json, text, verbose_json (segments, and words when asked for), srt and vtt, or as server-sent
events with ``stream=true`` — which ``whisper-1`` ignores, as it does at OpenAI.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from aiohttp import web
from multidict import MultiDictProxy

from ..recogniser import Final, Transcript
from .base import Handler, RequestFailed
from .openai_base import OpenAIDialect, sse, start_sse

__all__ = ["TRANSCRIPTION_MODELS", "OpenAITranscriptions"]

TRANSCRIPTION_MODELS = (
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-transcribe",
)
"""OpenAI's names, all answered by the one recogniser there is."""

_FORMATS = ("json", "text", "verbose_json", "srt", "vtt")
_LANGUAGE_NAMES = {"en": "english"}

_Form = MultiDictProxy[str | bytes | bytearray | web.FileField]


class OpenAITranscriptions(OpenAIDialect):
    """``POST /v1/audio/transcriptions``."""

    name = "openai-transcriptions"

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [("POST", "/v1/audio/transcriptions", self._transcribe)]

    async def _transcribe(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != "multipart/form-data":
            raise RequestFailed(400, "send a multipart/form-data body with the fields 'file' and 'model'")
        try:
            form = await request.post()
        except ValueError as error:
            raise RequestFailed(400, f"the form cannot be read ({error})") from error
        part = form.get("file")
        if not isinstance(part, web.FileField):
            raise RequestFailed(400, "the form has no file; put the recording in a field called 'file'")
        model = _field(form, "model")
        if not model:
            raise RequestFailed(400, "the form names no model; give one of those at /v1/models")
        self.services.check_model(model, TRANSCRIPTION_MODELS)
        wanted = _field(form, "response_format") or "json"
        if wanted not in _FORMATS:
            raise RequestFailed(400, f"response_format {wanted!r}: this server writes {', '.join(_FORMATS)}")
        language = _field(form, "language") or _field(form, "languages[]") or None
        transcript = await self.services.transcribe_file(part.file.read(), language)
        if _field(form, "stream") == "true" and model != "whisper-1":
            return await _stream(request, transcript)
        granularities = form.getall("timestamp_granularities[]", []) + form.getall("timestamp_granularities", [])
        return _respond(transcript, wanted, with_words="word" in granularities)


def _field(form: _Form, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""


def _respond(transcript: Transcript, wanted: str, *, with_words: bool) -> web.Response:
    if wanted == "verbose_json":
        return web.json_response(_verbose(transcript, with_words=with_words))
    if wanted == "json":
        return web.json_response({"text": transcript.text, "usage": _usage(transcript)})
    if wanted == "srt":
        return web.Response(text=_srt(transcript.segments), content_type="application/x-subrip")
    if wanted == "vtt":
        return web.Response(text=_vtt(transcript.segments), content_type="text/vtt")
    return web.Response(text=transcript.text + "\n", content_type="text/plain")


def _usage(transcript: Transcript) -> dict[str, Any]:
    return {"type": "duration", "seconds": math.ceil(transcript.duration)}


def _verbose(transcript: Transcript, *, with_words: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "task": "transcribe",
        "language": _LANGUAGE_NAMES.get(transcript.language, transcript.language),
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
        "segments": [_segment(number, segment) for number, segment in enumerate(transcript.segments)],
        "usage": _usage(transcript),
    }
    if with_words:
        body["words"] = [{"word": word.text, "start": word.start, "end": word.end} for word in transcript.words]
    return body


def _segment(number: int, segment: Final) -> dict[str, Any]:
    """Fields that only Whisper's decoder has are there, since clients require them, with their neutral values."""
    return {
        "id": number,
        "seek": 0,
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": round(math.log(max(segment.confidence, 1e-6)), 4),
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    }


async def _stream(request: web.Request, transcript: Transcript) -> web.StreamResponse:
    response = await start_sse(request)
    for number, segment in enumerate(transcript.segments):
        delta = f" {segment.text}" if number else segment.text
        await sse(response, {"type": "transcript.text.delta", "delta": delta})
    await sse(response, {"type": "transcript.text.done", "text": transcript.text, "usage": _usage(transcript)})
    await response.write_eof()
    return response


def _srt(segments: Iterable[Final]) -> str:
    blocks = (
        f"{number}\n{_clock(segment.start, ',')} --> {_clock(segment.end, ',')}\n{segment.text}\n"
        for number, segment in enumerate(segments, 1)
    )
    return "\n".join(blocks)


def _vtt(segments: Iterable[Final]) -> str:
    blocks = (f"{_clock(s.start, '.')} --> {_clock(s.end, '.')}\n{s.text}\n" for s in segments)
    return "\n".join(["WEBVTT\n", *blocks])


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    whole, milliseconds = divmod(milliseconds, 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{milliseconds:03}"
