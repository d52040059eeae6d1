"""Deepgram: ``/v1/listen`` as WebSocket and as POST, ``/v2/listen`` (Flux), ``/v1/speak``, and ``/v1/auth/grant``.

Written from deepgram-sdk 7.17.0 and deepgram-api-specs 4ba987c. Nothing is formatted but the first letter and the
full stop of ``punctuate``, and everybody is speaker 0: the recogniser hears words and nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
import uuid
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

from aiohttp import web

from ..recogniser import Final, Transcript
from .base import Dialect, Handler, RequestFailed, Services
from .deepgram_flux import THRESHOLDS, FluxConversation
from .deepgram_listen import ListenConversation, alternative, model_info
from .deepgram_socket import decoder, number
from .deepgram_speak import speak_routes

__all__ = ["Deepgram"]

_FAMILIES = ("nova-3", "nova-2", "nova", "enhanced", "base", "whisper")
_FLUX = ("flux-general-en", "flux-general-multi")
_ERR_CODES = {
    400: "INVALID_QUERY_PARAMETER",
    401: "INVALID_AUTH",
    403: "INSUFFICIENT_PERMISSIONS",
    413: "PAYLOAD_TOO_LARGE",
    429: "TOO_MANY_REQUESTS",
    500: "INTERNAL_SERVER_ERROR",
}


class Deepgram(Dialect):
    """Deepgram's speech to text, and its voices."""

    name = "deepgram"

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._tokens: dict[str, float] = {}

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [
            ("GET", "/v1/listen", self._listen),
            ("POST", "/v1/listen", self._transcribe),
            ("GET", "/v2/listen", self._flux),
            ("POST", "/v1/auth/grant", self._grant),
            *speak_routes(self.services),
        ]

    def error(self, failure: RequestFailed) -> web.Response:
        status = 429 if failure.status == 503 else failure.status  # so it calls a lack of room
        request_id = str(uuid.uuid4())
        code = failure.code if failure.code.isupper() else _ERR_CODES.get(status, "BAD_REQUEST")
        body = {"err_code": code, "err_msg": failure.message, "request_id": request_id}
        headers = {"dg-error": failure.message, "dg-request-id": request_id}
        return web.json_response(body, status=status, headers=headers)

    def api_key(self, request: web.Request) -> str | None:
        """``Token KEY``, ``Bearer JWT`` of a grant, or the subprotocols ``token, KEY`` of browsers."""
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            scheme, _, key = request.headers.get("Sec-WebSocket-Protocol", "").partition(",")
        scheme, key = scheme.strip().lower(), key.strip()
        if scheme == "bearer":
            keys = self.services.options.api_keys
            return keys[0] if keys and self._tokens.get(key, 0.0) > time.monotonic() else None
        return key if scheme == "token" else None

    async def _grant(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read() or b"{}")
            seconds = float(body.get("ttl_seconds", 30))
        except (ValueError, TypeError, AttributeError):
            raise RequestFailed(400, 'send {"ttl_seconds": 1 to 3600}', "INVALID_JSON") from None
        if not 1 <= seconds <= 3600:
            raise RequestFailed(400, "ttl_seconds must be 1 to 3600", "INVALID_JSON")
        token = secrets.token_urlsafe(24)
        self._tokens[token] = time.monotonic() + seconds
        return web.json_response({"access_token": token, "expires_in": seconds})

    # --- streams ---

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        query = _query(request)
        self._check(query)
        if flag(query, "multichannel"):
            raise RequestFailed(400, "multichannel: this server hears one channel")
        return await ListenConversation(self.services, request, query).answer()

    async def _flux(self, request: web.Request) -> web.StreamResponse:
        query = _query(request)
        if first(query, "model") not in _FLUX:
            raise RequestFailed(400, f"model must be one of {', '.join(_FLUX)} on /v2/listen")
        for name, (low, high) in THRESHOLDS.items():
            _within(query, name, low, high)
        return await FluxConversation(self.services, request, query).answer()

    def _check(self, query: dict[str, list[str]]) -> None:
        model = first(query, "model") or "base"
        if model != self.services.recogniser.name and not model.startswith(_FAMILIES):
            raise RequestFailed(403, "Project does not have access to the requested model.")
        if first(query, "keyterm") and not model.startswith("nova-3"):
            raise RequestFailed(400, "Keyterms are only supported with nova-3 models.")
        if first(query, "keywords") and model.startswith("nova-3"):
            raise RequestFailed(400, "Keywords are not supported with nova-3 models; use keyterm.")
        self.services.language(first(query, "language"))

    # --- recordings ---

    async def _transcribe(self, request: web.Request) -> web.Response:
        query = _query(request)
        self._check(query)
        data = await request.read()
        if request.content_type == "application/json":
            raise RequestFailed(
                400, "this server fetches no URL; send the audio as the body", "REMOTE_CONTENT_ERROR"
            )
        language = first(query, "language")
        rate = number(query, "sample_rate", 0)
        if first(query, "encoding") and rate:
            decode = decoder(first(query, "encoding"))
            pcm = await asyncio.to_thread(decode, data) if decode else data
            transcript = await self.services.transcribe_pcm(pcm, rate, number(query, "channels", 1), language)
        else:
            transcript = await self.services.transcribe_file(data, language)
        return web.json_response(_batch_body(transcript, query, data))


def _batch_body(transcript: Transcript, query: dict[str, list[str]], data: bytes) -> dict[str, Any]:
    channel: dict[str, Any] = {"alternatives": [alternative(transcript.segments, query, transcript.language)]}
    if flag(query, "detect_language"):
        channel |= {"detected_language": transcript.language, "language_confidence": 1.0}
    results: dict[str, Any] = {"channels": [channel]}
    if flag(query, "utterances"):
        results["utterances"] = [
            _utterance(segment, query, transcript.language) for segment in transcript.segments
        ]
    info = model_info(first(query, "model"))
    return {
        "metadata": {
            "transaction_key": "deprecated",
            "request_id": str(uuid.uuid4()),
            "sha256": hashlib.sha256(data).hexdigest(),
            "created": datetime.now(timezone.utc).isoformat(),
            "duration": round(transcript.duration, 4),
            "channels": 1,
            "models": list(info),
            "model_info": info,
        },
        "results": results,
    }


def _utterance(segment: Final, query: dict[str, list[str]], language: str) -> dict[str, Any]:
    said = alternative([segment], query, language)
    head = {"start": segment.start, "end": segment.end, "channel": 0, "id": str(uuid.uuid4())}
    return {**head, "confidence": said["confidence"], "transcript": said["transcript"], "words": said["words"]}


def _query(request: web.Request) -> dict[str, list[str]]:
    return {name: request.query.getall(name) for name in request.query}


def first(query: dict[str, list[str]], name: str) -> str:
    """The first value of a parameter; empty when it is not there."""
    return query.get(name, [""])[0]


def flag(query: dict[str, list[str]], name: str) -> bool:
    """Whether a parameter is on."""
    return first(query, name).lower() in {"true", "1"}


def _within(query: dict[str, list[str]], name: str, low: float, high: float) -> None:
    if name not in query:
        return
    text = first(query, name)
    try:
        good = low <= float(text or "") <= high
    except ValueError:
        good = False
    if not good:
        raise RequestFailed(400, f"{name}={text!r} must be between {low:g} and {high:g}")
