"""ElevenLabs' ``/v1/text-to-speech/{voice_id}``: whole, ``stream``, ``stream-input``, ``multi-stream-input``.

Written from elevenlabs 2.78.0, https://elevenlabs.io/docs/api-reference/text-to-speech and the AsyncAPI file in
github.com/elevenlabs/elevenlabs-docs (``fern/apis/api/asyncapi.yml``). The voices are espeak-ng's; no text is
normalised, so both alignments are those of the text as it came.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from .base import Dialect, Handler, RequestFailed
from .elevenlabs_socket import MultiStreamInput, StreamInput
from .elevenlabs_voices import check_model, speech_form, voice_for
from .openai_base import json_body
from .speech_body import check_text, send_speech

__all__ = ["ElevenLabs"]

_PATH = "/v1/text-to-speech/{voice_id}"
_STATUSES = {401: "invalid_api_key", 503: "system_busy", 500: "internal_error"}


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
        detail = {"status": _STATUSES.get(failure.status, failure.code), "message": failure.message}
        return web.json_response({"detail": detail}, status=status)

    def api_key(self, request: web.Request) -> str | None:
        return request.headers.get("xi-api-key") or super().api_key(request)

    def _check_key(self, request: web.Request) -> None:
        # a WebSocket's key may also come in its first message
        if request.path.endswith("stream-input") and self.api_key(request) is None:
            return
        super()._check_key(request)

    def check_first_message(self, key: object) -> None:
        """Check the key of a client that sent none in the handshake. Raises `RequestFailed`."""
        if not isinstance(key, str) or not self.knows(key.removeprefix("Bearer ")):
            raise RequestFailed(401, "Invalid API key", "invalid_api_key")

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        body = await json_body(request)
        text = check_text(body.get("text"), self.services.options, limit=10000)
        check_model(body.get("model_id"))
        voice = voice_for(request, body.get("language_code"), body.get("voice_settings"))
        form = speech_form(request.query)
        return await send_speech(request, text, voice, form, {"character-cost": str(len(text))})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        return await StreamInput(self, request).answer()

    async def _multi_stream(self, request: web.Request) -> web.StreamResponse:
        return await MultiStreamInput(self, request).answer()
