"""AssemblyAI's Universal-Streaming v3: ``/v3/ws``, and ``GET /v3/token`` for temporary tokens.

Sources: assemblyai 1.8.2 (``streaming/v3``), https://www.assemblyai.com/docs/streaming/message-sequence and
https://www.assemblyai.com/docs/streaming/common-session-errors-and-closures. The service upgrades first and says
in band what is wrong, a wrong key included; the close code repeats the code of that message. It takes a few
messages of audio that are too short before it refuses them; this server refuses the first.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
import uuid
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from ..recogniser import RecogniserSession, Result
from .assemblyai_turns import LEGACY_MODELS, Turns
from .base import Dialect, Handler, RequestFailed
from .websocket import SocketConversation

__all__ = ["AssemblyAIStreaming"]

_MODELS = (
    *LEGACY_MODELS,
    "u3-rt-pro",
    "u3-rt-pro-beta-1",
    "universal-3-5-pro",
    "universal-3-6-pro",
    "universal-3-6",
)
_DEFAULT_MODEL = "universal-3-5-pro"
_SESSION_SECONDS = 3 * 3600
_MIN_MS, _MAX_MS = 50, 1000
_MAX_CONTEXT_CHARS = 1750
_MAX_KEYTERMS = 100
_UNAUTHORISED, _SERVER, _INPUT, _AUDIO, _TOO_MANY = 1008, 3005, 3006, 3007, 3009


class AssemblyAIStreaming(Dialect):
    """``/v3/ws`` and ``/v3/token``."""

    name = "assemblyai-streaming"

    def __init__(self, services: Any) -> None:
        super().__init__(services)
        self._tokens: dict[str, float] = {}  # token -> when it expires, on the monotonic clock

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [("GET", "/v3/ws", self._stream), ("GET", "/v3/token", self._token)]

    def error(self, failure: RequestFailed) -> web.Response:
        return web.json_response({"detail": failure.message}, status=failure.status)

    def api_key(self, request: web.Request) -> str | None:
        """The bare header; before a token `Bearer` is tolerated."""
        given = request.headers.get("Authorization", "")
        return given[7:] if given.startswith("Bearer ") else given or None

    def _check_key(self, request: web.Request) -> None:
        if request.path != "/v3/ws":  # there, the talk itself says so
            super()._check_key(request)

    def admits(self, request: web.Request) -> str:
        """Why a socket may not be used; empty when it may. A token is used up."""
        keys = self.services.options.api_keys
        given = str(request.query.get("token") or request.headers.get("Authorization", ""))
        expires = self._tokens.pop(given, None)
        if expires is not None:
            return "" if time.monotonic() < expires else "Signature has expired"
        if not keys:
            return ""
        if not given:
            return "Missing Authorization header"
        known = any(hmac.compare_digest(given.encode(), key.encode()) for key in keys)
        return "" if known else "Invalid API key"

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        return await _Session(self, request).answer()

    async def _token(self, request: web.Request) -> web.Response:
        seconds = _whole(request.query.get("expires_in_seconds"))
        longest = _whole(request.query.get("max_session_duration_seconds", str(_SESSION_SECONDS)))
        if seconds is None or not 1 <= seconds <= 600:
            raise RequestFailed(422, "expires_in_seconds: a whole number from 1 to 600")
        if longest is None or not 60 <= longest <= _SESSION_SECONDS:
            raise RequestFailed(422, f"max_session_duration_seconds: a whole number from 60 to {_SESSION_SECONDS}")
        now = time.monotonic()
        self._tokens = {token: until for token, until in self._tokens.items() if until > now}
        token = secrets.token_urlsafe(48)
        self._tokens[token] = now + seconds
        return web.json_response({"token": token, "expires_in_seconds": seconds})


class _Session(SocketConversation):
    """One client of ``/v3/ws``."""

    def __init__(self, dialect: AssemblyAIStreaming, request: web.Request) -> None:
        super().__init__(dialect.services, request)
        self._dialect = dialect
        self._began = time.monotonic()
        self._sample_rate = 16000
        self._bytes = 0
        self._turns = Turns(legacy=False)

    async def begin(self) -> RecogniserSession:
        refusal = self._dialect.admits(self.request)
        if refusal:
            raise RequestFailed(401, f"Unauthorized Connection: {refusal}")
        query = self.request.query
        model = query.get("speech_model", _DEFAULT_MODEL)
        if model not in _MODELS:
            raise _invalid("speech_model", f"Input should be {', '.join(map(repr, _MODELS))}")
        self._read_audio_form()
        _check_settings({name: _from_query(name, value) for name, value in query.items()})
        for code in _from_query("language_codes", query.get("language_codes", "[]")):
            self.services.language(code)
        if "inactivity_timeout" in query:
            self.idle_seconds = float(_whole(query["inactivity_timeout"]) or 0)
            if not 5 <= self.idle_seconds <= 3600:
                raise _invalid("inactivity_timeout", "a whole number from 5 to 3600")
        detects = query.get("language_detection", "").lower() == "true"
        self._turns = Turns(
            legacy=model in LEGACY_MODELS,
            format_turns=query.get("format_turns", "").lower() == "true",
            speaker_labels=query.get("speaker_labels", "").lower() == "true",
            language=self.services.language(None) if detects else None,
        )
        session = await self.services.recogniser.open()
        session.configure(sample_rate=self._sample_rate, channels=1, interim=True)
        configuration = {"model": model, "mode": query.get("mode"), "api_version": "2025-05-12"}
        await self.send(
            {
                "type": "Begin",
                "id": str(uuid.uuid4()),
                "expires_at": int(time.time()) + _SESSION_SECONDS,
                "configuration": configuration,
            }
        )
        return session

    def _read_audio_form(self) -> None:
        query = self.request.query
        encoding = query.get("encoding", "pcm_s16le")
        if encoding != "pcm_s16le":
            raise _invalid("encoding", f"{encoding!r} is not an encoding of this server; send pcm_s16le")
        rate = _whole(query.get("sample_rate"))
        if rate is None:
            raise _invalid("sample_rate", "a whole number is required")
        if not 8000 <= rate <= 48000:
            raise _invalid(
                "sample_rate", "Value error, sample_rate must be at least 8,000 Hz and at most 48,000 Hz"
            )
        self._sample_rate = rate

    async def receive_audio(self, data: bytes) -> None:
        duration = len(data) * 500 / self._sample_rate
        if not _MIN_MS <= duration <= _MAX_MS:
            raise RequestFailed(
                400,
                f"Input Duration Error: Input Duration Violation: {duration:.1f} ms."
                f" Expected between {_MIN_MS} and {_MAX_MS} ms",
                str(_AUDIO),
            )
        self._bytes += len(data)
        await self.session.accept(data)

    async def receive_text(self, text: str) -> bool:
        try:
            message = json.loads(text)
        except ValueError as error:
            raise RequestFailed(400, f"User Input Validation Error: Invalid JSON: {error}") from error
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "Terminate":
            await self.session.end()
            return True
        if kind == "ForceEndpoint":
            await self.session.flush()
        elif kind == "UpdateConfiguration":
            _check_settings(message)
            self._turns.format_turns = message.get("format_turns", self._turns.format_turns) is True
        elif kind != "KeepAlive":
            raise RequestFailed(400, f"Invalid Message Type: {kind}")
        return False

    def messages(self, result: Result) -> list[dict[str, Any]]:
        return self._turns.messages(result)

    async def finish(self) -> None:
        await self.send(
            {
                "type": "Termination",
                "audio_duration_seconds": round(self._bytes / 2 / self._sample_rate),
                "session_duration_seconds": round(time.monotonic() - self._began),
            }
        )

    def failed(self, failure: RequestFailed) -> tuple[dict[str, Any], int, str]:
        by_status = {401: _UNAUTHORISED, 500: _SERVER, 503: _TOO_MANY}
        code = int(failure.code) if failure.code.isdigit() else by_status.get(failure.status, _INPUT)
        text = failure.message
        if failure.status == 408:
            text = f"Session terminated due to inactivity: {text[:1].upper()}{text[1:]}"
        elif failure.status == 503:
            text = f"Too many concurrent sessions: {text}"
        return {"type": "Error", "error_code": code, "error": text}, code, "See Error message for details"


def _check_settings(settings: dict[str, Any]) -> None:
    """What may be set in the query and by ``UpdateConfiguration`` alike."""
    for name in ("agent_context", "prompt"):
        text = settings.get(name)
        if text is not None and (not isinstance(text, str) or len(text) > _MAX_CONTEXT_CHARS):
            raise _invalid(name, f"Value error, {name} exceeds maximum length of {_MAX_CONTEXT_CHARS} characters")
    terms = settings.get("keyterms_prompt")
    if terms is not None and (not _is_texts(terms) or len(terms) > _MAX_KEYTERMS):
        raise _invalid("keyterms_prompt", f"Value error, a list of at most {_MAX_KEYTERMS} texts")
    codes = settings.get("language_codes")
    if codes is not None and (not _is_texts(codes) or len(codes) > 10):
        raise _invalid("language_codes", "Value error, a list of at most 10 codes")


def _from_query(name: str, value: str) -> Any:
    """Lists are JSON inside one value; the rest is text."""
    if name not in {"keyterms_prompt", "language_codes"}:
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise _invalid(name, f"not a JSON list: {value[:40]!r}") from None


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None


def _invalid(name: str, why: str) -> RequestFailed:
    return RequestFailed(400, f"User Input Validation Error: Invalid {name!r}: {why}")
