"""Cartesia's Sonic: ``POST /tts/bytes``, and ``/tts/websocket``.

Written from cartesia 4.2.0 (``types/websocket_response.py``, ``types/generation_request.py``), and
https://docs.cartesia.ai: api-reference/tts/websocket, use-the-api/tts-websocket/contexts, use-the-api/api-errors.
The voices are espeak-ng's, in the language of the request.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from aiohttp import web

from .base import Dialect, Handler, RequestFailed
from .cartesia_socket import CartesiaTalk
from .cartesia_voices import error_fields, file_form, voice_for
from .openai_base import json_body
from .speech_body import check_text, send_speech

__all__ = ["Cartesia"]


class Cartesia(Dialect):
    """Text to speech, whole and over a WebSocket."""

    name = "cartesia"

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [("POST", "/tts/bytes", self._bytes), ("GET", "/tts/websocket", self._websocket)]

    def api_key(self, request: web.Request) -> str | None:
        given = request.headers.get("X-API-Key") or super().api_key(request)
        return given or request.query.get("api_key") or request.query.get("access_token")

    def error(self, failure: RequestFailed) -> web.Response:
        status, fields = error_fields(failure)
        return web.json_response({**fields, "request_id": str(uuid.uuid4())}, status=status)

    async def _bytes(self, request: web.Request) -> web.StreamResponse:
        _version(request)
        body = await json_body(request)
        text = check_text(body.get("transcript"), self.services.options, name="transcript")
        voice, form = voice_for(body), file_form(body.get("output_format"))
        return await send_speech(request, text, voice, form, {})

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        return await CartesiaTalk(self.services, request, _version(request)).answer()


def _version(request: web.Request) -> str:
    """The version of the API a client was written for, as a date. Raises `RequestFailed`."""
    given = request.headers.get("Cartesia-Version") or request.query.get("cartesia_version")
    if not given:
        raise RequestFailed(400, "send the version of the API in the header Cartesia-Version")
    return given
