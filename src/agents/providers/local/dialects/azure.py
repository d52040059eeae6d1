"""Azure Speech, on the embedded recogniser: streaming, short audio, fast transcription, and tokens.

Written from the public JavaScript SDK (microsoft/cognitive-services-speech-sdk-js) and from what Microsoft's own
clients (azure-cognitiveservices-speech 1.53, azure-ai-transcription 1.0) send and accept. All paths are on one
host here; in the cloud they are spread over ``REGION.stt.speech.microsoft.com`` and
``REGION.api.cognitive.microsoft.com``.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from ..recogniser import Final, Transcript
from .azure_stream import Conversation
from .base import Dialect, Handler, RequestFailed, Services

__all__ = ["Azure"]

_KEY_HEADER = "Ocp-Apim-Subscription-Key"
_MODES = ("conversation", "interactive", "dictation")
_TOKEN_SECONDS = 600.0
_SHORT_AUDIO_SECONDS = 60.0
_HEARTBEAT_SECONDS = 20.0
_MAX_MESSAGE_BYTES = 1 << 20


class Azure(Dialect):
    """Azure AI Speech."""

    name = "azure"

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._tokens: dict[str, tuple[str, float]] = {}  # token -> the key it stands for, and when it expires

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        for mode in _MODES:
            path = f"/speech/recognition/{mode}/cognitiveservices/v1"
            yield "GET", path, self._stream
            yield "POST", path, self._short_audio
        for path in ("/speech/universal/v2", "/stt/speech/universal/v2"):
            yield "GET", path, self._stream
        yield "POST", "/speechtotext/transcriptions:transcribe", self._fast_transcription
        yield "POST", "/sts/v1.0/issueToken", self._issue_token

    def error(self, failure: RequestFailed) -> web.Response:
        body = {"error": {"code": str(failure.status), "message": failure.message}}
        return web.json_response(body, status=failure.status)

    def api_key(self, request: web.Request) -> str | None:
        """The subscription key, from its header, the query (browsers), or the token issued for it."""
        key = request.headers.get(_KEY_HEADER) or request.query.get(_KEY_HEADER)
        if key:
            return key
        bearer = super().api_key(request) or request.query.get("Authorization", "").removeprefix("Bearer ")
        known, expires = self._tokens.get(bearer, ("", 0.0))
        return known if time.monotonic() < expires else None

    # ------------------------------------------------------------------ streaming

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        language = request.query.get("language")
        self.services.language(language)
        socket = web.WebSocketResponse(
            protocols=("USP",), heartbeat=_HEARTBEAT_SECONDS, max_msg_size=_MAX_MESSAGE_BYTES
        )
        if not socket.can_prepare(request).ok:
            raise RequestFailed(400, "connect with a WebSocket")
        # taken before the handshake, so that a full server answers 503 and not a socket that says no
        session = await self.services.recogniser.open()
        conversation = Conversation(self.services, socket, session, request)
        self.services.sockets.add(socket)
        try:
            await socket.prepare(request)
            await conversation.run()
        finally:
            self.services.sockets.discard(socket)
            await conversation.aclose()
        return socket

    # ------------------------------------------------------------------ over HTTP

    async def _issue_token(self, request: web.Request) -> web.Response:
        """A token that stands for the key for ten minutes, as plain text."""
        token = secrets.token_urlsafe(24)
        now = time.monotonic()
        self._tokens = {known: entry for known, entry in self._tokens.items() if entry[1] > now}
        self._tokens[token] = (request.headers.get(_KEY_HEADER, ""), now + _TOKEN_SECONDS)
        return web.Response(text=token)

    async def _short_audio(self, request: web.Request) -> web.Response:
        """One utterance of at most 60 s; nothing recognised is a success that says so."""
        language = request.query.get("language")
        if not language:
            raise RequestFailed(400, "the query parameter 'language' is missing")
        transcript = await self.services.transcribe_file(await request.read(), language)
        if transcript.duration > _SHORT_AUDIO_SECONDS:
            raise RequestFailed(400, "send at most 60 s of audio")
        detailed = request.query.get("format", "simple") == "detailed"
        return web.json_response(
            _short_result(
                transcript, detailed=detailed, words=request.query.get("wordLevelTimestamps", "").lower() == "true"
            )
        )

    async def _fast_transcription(self, request: web.Request) -> web.Response:
        if not request.query.get("api-version"):
            raise RequestFailed(400, "the query parameter 'api-version' is missing")
        if request.content_type != "multipart/form-data":
            raise RequestFailed(400, "send multipart/form-data with the fields 'audio' and 'definition'")
        form = await request.post()
        part, definition = form.get("audio"), form.get("definition")
        if not isinstance(part, web.FileField):
            raise RequestFailed(400, "the form has no file; put the recording in a field called 'audio'")
        if isinstance(definition, web.FileField):
            definition = definition.file.read().decode(errors="replace")
        try:
            wanted = json.loads(definition or "{}")
            locales = wanted.get("locales") or []
            speakers = wanted.get("diarization") or {}
            diarization = bool(speakers.get("enabled", speakers.get("maxSpeakers")))
        except (ValueError, TypeError, AttributeError) as error:
            raise RequestFailed(
                400, f"the field 'definition' is not a JSON object of the API ({error})"
            ) from error
        locale = str(locales[0]) if locales else "en-US"
        transcript = await self.services.transcribe_file(part.file.read(), locale)
        return web.json_response(_fast_result(transcript, locale, diarization=diarization))


def _ticks(seconds: float) -> int:
    return round(seconds * 10_000_000)


def _short_result(transcript: Transcript, *, detailed: bool, words: bool) -> dict[str, Any]:
    if not transcript.segments:
        return {"RecognitionStatus": "NoMatch", "Offset": 0, "Duration": _ticks(transcript.duration)}
    start, end = transcript.segments[0].start, transcript.segments[-1].end
    result: dict[str, Any] = {
        "RecognitionStatus": "Success",
        "DisplayText": transcript.text,
        "Offset": _ticks(start),
        "Duration": _ticks(end - start),
    }
    if detailed:
        best: dict[str, Any] = {
            "Confidence": round(transcript.confidence, 4),
            "Lexical": transcript.text,
            "ITN": transcript.text,
            "MaskedITN": transcript.text,
            "Display": transcript.text,
        }
        if words:
            best["Words"] = [
                {"Word": word.text, "Offset": _ticks(word.start), "Duration": _ticks(word.end - word.start)}
                for word in transcript.words
            ]
        result["NBest"] = [best]
    return result


def _fast_result(transcript: Transcript, locale: str, *, diarization: bool) -> dict[str, Any]:
    return {
        "durationMilliseconds": _milliseconds(transcript.duration),
        "combinedPhrases": [{"text": transcript.text}] if transcript.segments else [],
        "phrases": [_fast_phrase(segment, locale, diarization=diarization) for segment in transcript.segments],
    }


def _fast_phrase(segment: Final, locale: str, *, diarization: bool) -> dict[str, Any]:
    phrase: dict[str, Any] = {"speaker": 1} if diarization else {}  # one caller: nobody is told apart
    phrase |= _span(segment.start, segment.end)
    phrase |= {
        "text": segment.text,
        "words": [{"text": word.text, **_span(word.start, word.end)} for word in segment.words],
        "locale": locale,
        "confidence": round(segment.confidence, 4),
    }
    return phrase


def _span(start: float, end: float) -> dict[str, int]:
    offset = _milliseconds(start)
    return {"offsetMilliseconds": offset, "durationMilliseconds": _milliseconds(end) - offset}


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
