"""ElevenLabs' ``/v1/text-to-speech/{voice_id}``: whole, ``stream``, ``stream-input``, ``multi-stream-input``.

Written from elevenlabs 2.78.0, https://elevenlabs.io/docs/api-reference/text-to-speech and the AsyncAPI file in
github.com/elevenlabs/elevenlabs-docs (``fern/apis/api/asyncapi.yml``). The voices are espeak-ng's; no text is
normalised, so both alignments are those of the text as it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from .base import Dialect, Handler, RequestFailed
from .elevenlabs_socket import MultiStreamInput, StreamInput
from .elevenlabs_voices import check_model, speech_form, voice_for
from .openai_base import json_body
from .speech_body import check_text, send_speech

__all__ = ["ElevenLabs"]

_PATH = "/v1/text-to-speech/{voice_id}"
_STATUSES = {401: "invalid_api_key", 503: "system_busy", 500: "internal_error"}
_MISSING = ("missing", "Field required")
_KINDS = {401: "authentication_error", 503: "rate_limit_error", 500: "internal_error"}


class ElevenLabs(Dialect):
    """Text to speech, whole and in a stream."""

    name = "elevenlabs"

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [
            ("POST", _PATH, self._speak),
            ("POST", f"{_PATH}/stream", self._speak),
            ("GET", f"{_PATH}/stream-input", self._stream),
            ("GET", f"{_PATH}/multi-stream-input", self._multi_stream),
        ]

    def error(self, failure: RequestFailed) -> web.Response:
        status = 429 if failure.status == 503 else failure.status
        name = _STATUSES.get(failure.status, failure.code)
        kind = _KINDS.get(failure.status, "validation_error")
        detail = {"type": kind, "code": name, "status": name, "message": failure.message}
        return web.json_response({"detail": detail}, status=status)

    def api_key(self, request: web.Request) -> str | None:
        return request.headers.get("xi-api-key") or super().api_key(request)

    def _check_key(self, request: web.Request) -> None:
        # a WebSocket is opened first: its key may come in the first message, and a wrong one is told there
        if not request.path.endswith("stream-input"):
            super()._check_key(request)

    def check_first_message(self, request: web.Request, message: Mapping[str, Any]) -> None:
        """Check the key of the handshake, or of the first message. Raises `RequestFailed`."""
        given = [message.get(name) for name in ("xi_api_key", "xi-api-key", "authorization")]
        key = self.api_key(request) or next((key for key in given if key), "")
        if not isinstance(key, str) or not self.knows(key.removeprefix("Bearer ")):
            raise RequestFailed(401, "Invalid API key", "invalid_api_key")

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        body = await json_body(request)
        if not isinstance(body.get("text"), str):
            kind, message = ("string_type", "Input should be a valid string") if "text" in body else _MISSING
            wrong = {"type": kind, "loc": ["body", "text"], "msg": message, "input": body.get("text")}
            return web.json_response({"detail": [wrong]}, status=422)
        text = check_text(body.get("text"), self.services.options, limit=10000)
        check_model(body.get("model_id"))
        voice = voice_for(request, body.get("language_code"), body.get("voice_settings"))
        form = speech_form(request.query)
        return await send_speech(request, text, voice, form, {"character-cost": str(len(text))})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("model_id", "").startswith("eleven_v3"):
            raise RequestFailed(400, "eleven_v3 is not available over this WebSocket", "unsupported_model")
        return await StreamInput(self, request).answer()

    async def _multi_stream(self, request: web.Request) -> web.StreamResponse:
        return await MultiStreamInput(self, request).answer()
