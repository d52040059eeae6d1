"""OpenAI's Realtime API for transcription: ``/v1/realtime?intent=transcription``.

Sources: openai 3.54.0 (``types/realtime``), openai-openapi f85dbe2, livekit-plugins-openai 1.8.9. Audio that is
committed becomes an item, whose transcript comes in deltas and then whole. With ``server_vad`` the server commits
when speech stops; without turn detection only the client does. A wrong event is answered with an error, and the
session goes on.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import secrets
from collections import deque
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from ..recogniser import Final, Flushed, Partial, RecogniserSession, Result, SpeechEnded, SpeechStarted
from .base import Handler, RequestFailed
from .openai_base import OpenAIDialect
from .websocket import SocketConversation

__all__ = ["OpenAIRealtime"]

_RATE = 24000
_MIN_COMMIT_MS = 100
_TOKENS_PER_SECOND = 10
_MODELS_WITH_VAD = (
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-transcribe",
)
_LIVE_MODELS = ("gpt-realtime-whisper", "gpt-live-transcribe")
_MODELS_WITH_KEYWORDS = ("gpt-transcribe", "gpt-live-transcribe")
_DEFAULT_VAD = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 200}
_END_SILENCE_MS = 500  # how long the recogniser hears silence before it calls speech over


class OpenAIRealtime(OpenAIDialect):
    """``/v1/realtime``, for transcription only."""

    name = "openai-realtime"

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [("GET", "/v1/realtime", self._stream)]

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("intent") != "transcription":
            raise RequestFailed(400, "this server only transcribes: connect with ?intent=transcription")
        return await _Session(self.services, request).answer()


class _EventRefused(Exception):
    """A client's event that cannot be obeyed; the session goes on."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class _Session(SocketConversation):
    """One client of ``/v1/realtime``."""

    max_message_bytes = 16 << 20

    def __init__(self, services: Any, request: web.Request) -> None:
        super().__init__(services, request)
        self._id = _name("sess")
        self._model = "whisper-1"
        self._vad: dict[str, Any] | None = dict(_DEFAULT_VAD)
        self._languages: list[str] = []
        self._bytes = 0
        self._committed_bytes = 0
        self._commits: deque[tuple[str, float]] = deque()  # the client's not recognised yet: item, ms of audio
        self._onset = 0.0
        self._item = _name("item")
        self._previous: str | None = None
        self._texts: list[str] = []
        self._draft: list[str] = []
        self._told: list[str] = []  # words of the utterance that went out as deltas
        self._configured: dict[str, Any] = {}

    async def begin(self) -> RecogniserSession:
        session = await self.services.recogniser.open()
        await self.send(self._event("session.created", session=self._shown()))
        return session

    async def receive_audio(self, data: bytes) -> None:
        raise RequestFailed(400, "audio goes into input_audio_buffer.append, in base64")

    async def receive_text(self, text: str) -> bool:
        event: Any = None
        try:
            try:
                event = json.loads(text)
            except ValueError as error:
                raise _EventRefused("invalid_json", f"the event is not JSON ({error})") from error
            kind = event.get("type") if isinstance(event, dict) else None
            if kind == "input_audio_buffer.append":
                await self._append(event)
            elif kind == "input_audio_buffer.commit":
                await self._commit()
            elif kind == "session.update":
                self._update(event.get("session"))
                await self.send(self._event("session.updated", session=self._shown()))
            else:
                raise _EventRefused("invalid_value", f"Invalid value: {kind!r} is no event of this server", "type")
        except _EventRefused as refused:
            given = event.get("event_id") if isinstance(event, dict) else None
            await self.send(self._error(refused.code, str(refused), refused.param, given))
        return False

    async def _append(self, event: dict[str, Any]) -> None:
        try:
            audio = base64.b64decode(event["audio"], validate=True)
        except (KeyError, TypeError, binascii.Error) as error:
            raise _EventRefused("invalid_value", "Invalid 'audio'. Expected base64.", "audio") from error
        if len(audio) % 2:
            raise _EventRefused("invalid_value", "Invalid 'audio'. Expected 16-bit samples.", "audio")
        if not self._bytes and audio:
            self.session.configure(sample_rate=_RATE, channels=1, interim=self._model in _LIVE_MODELS)
        self._bytes += len(audio)
        await self.session.accept(audio)

    async def _commit(self) -> None:
        have = _milliseconds(self._bytes - self._committed_bytes)
        if have < _MIN_COMMIT_MS:
            raise _EventRefused(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least"
                f" {_MIN_COMMIT_MS}ms of audio, but buffer only has {have:.2f}ms of audio.",
            )
        self._committed_bytes = self._bytes
        item = self._item
        for message in self._committed():
            await self.send(message)
        self._commits.append((item, have))
        await self.session.flush()

    def _update(self, session: Any) -> None:
        if not isinstance(session, dict) or session.get("type") != "transcription":
            raise _EventRefused("invalid_value", "Invalid 'session.type': use transcription", "session.type")
        given = _at(session, "audio", "input")
        form = given.get("format") or {"type": "audio/pcm", "rate": _RATE}
        if form != {"type": "audio/pcm", "rate": _RATE}:
            param = "session.audio.input.format"
            raise _EventRefused("invalid_value", f"Invalid {param!r}: this server takes PCM at {_RATE} Hz", param)
        transcription = _at(given, "transcription")
        model = transcription.get("model", self._model)
        param = "session.audio.input.transcription"
        if model not in (*_MODELS_WITH_VAD, *_LIVE_MODELS, self.services.recogniser.name):
            raise _EventRefused("invalid_model", f"Invalid {param}.model: there is no model {model!r}", param)
        if model not in _MODELS_WITH_KEYWORDS and (transcription.keys() & {"keywords", "languages"}):
            raise _EventRefused("invalid_value", f"{model} takes neither keywords nor languages", param)
        self._languages = self._checked_languages(transcription, param)
        vad = given.get("turn_detection", None if model in _LIVE_MODELS else self._vad)
        if vad is not None and model in _LIVE_MODELS:
            param = "session.audio.input.turn_detection"
            raise _EventRefused("invalid_value", f"turn_detection is not supported for {model}", param)
        if vad is not None and (
            not isinstance(vad, dict) or vad.get("type") not in {"server_vad", "semantic_vad"}
        ):
            param = "session.audio.input.turn_detection.type"
            raise _EventRefused("invalid_value", f"Invalid {param!r}: server_vad, semantic_vad or null", param)
        self._model = model
        self._vad = None if vad is None else {**_DEFAULT_VAD, **vad}
        self._configured = transcription

    def _checked_languages(self, transcription: dict[str, Any], param: str) -> list[str]:
        wanted = transcription.get("languages") or [transcription.get("language")]
        try:
            return [self.services.language(language) for language in wanted]
        except (RequestFailed, AttributeError, TypeError) as error:
            raise _EventRefused("invalid_value", f"Invalid language: {error}", f"{param}.language") from error

    def messages(self, result: Result) -> list[dict[str, Any]]:
        item = self._commits[0][0] if self._commits else self._item
        if isinstance(result, SpeechStarted) and self._vad is not None:
            self._onset = result.at
            start = max(round(result.at * 1000) - int(self._vad["prefix_padding_ms"]), 0)
            return [self._event("input_audio_buffer.speech_started", audio_start_ms=start, item_id=item)]
        if isinstance(result, Partial):
            return self._stable_deltas(item, result.text.split())
        if isinstance(result, Final):
            rest = result.text.split()[len(self._told) :]
            deltas = self._deltas(item, rest) if self._model in _LIVE_MODELS else []
            self._texts.append(result.text)
            self._draft, self._told = [], []
            return deltas
        if isinstance(result, SpeechEnded) and self._vad is not None:
            return self._speech_stopped(result.at)
        if isinstance(result, Flushed):
            return self._completed(*self._commits.popleft())
        return []

    def _speech_stopped(self, at: float) -> list[dict[str, Any]]:
        if self._commits:
            return []  # the client was first: the item is that of its commit
        item = self._item
        self._committed_bytes = self._bytes
        end = min(round(at * 1000) + _END_SILENCE_MS, round(_milliseconds(self._bytes)))
        stopped = self._event("input_audio_buffer.speech_stopped", audio_end_ms=end, item_id=item)
        return [stopped, *self._committed(), *self._completed(item, (at - self._onset) * 1000)]

    def _committed(self) -> list[dict[str, Any]]:
        """The audio so far becomes an item."""
        item, previous = self._item, self._previous
        self._item, self._previous = _name("item"), item
        content = [{"type": "input_audio", "transcript": None}]
        shown = {"id": item, "type": "message", "status": "completed", "role": "user", "content": content}
        return [
            self._event("input_audio_buffer.committed", item_id=item, previous_item_id=previous),
            self._event("conversation.item.added", item=shown, previous_item_id=previous),
        ]

    def _completed(self, item: str, milliseconds: float) -> list[dict[str, Any]]:
        """The transcript of an item of so much audio: the texts so far."""
        deltas = [] if self._model in _LIVE_MODELS else self._deltas(item, " ".join(self._texts).split())
        text, self._texts, self._told = " ".join(self._texts), [], []
        return [
            *deltas,
            self._event(
                "conversation.item.input_audio_transcription.completed",
                item_id=item,
                content_index=0,
                transcript=text,
                usage=self._usage(text, milliseconds / 1000),
            ),
        ]

    def _stable_deltas(self, item: str, draft: list[str]) -> list[dict[str, Any]]:
        """Live models write while they listen, and take nothing back: words two drafts in a row agree on."""
        agreed = 0
        for before, now in zip(self._draft, draft, strict=False):
            if before != now:
                break
            agreed += 1
        self._draft = draft
        return self._deltas(item, draft[len(self._told) : agreed])

    def _deltas(self, item: str, words: list[str]) -> list[dict[str, Any]]:
        """A word a delta; all but the first of an item begin with a space."""
        kind = "conversation.item.input_audio_transcription.delta"
        messages = []
        for word in words:
            first = not self._told and (not self._texts or self._model not in _LIVE_MODELS)
            self._told.append(word)
            messages.append(self._event(kind, item_id=item, content_index=0, delta=word if first else f" {word}"))
        return messages

    def _usage(self, text: str, seconds: float) -> dict[str, Any]:
        if self._model == "whisper-1":
            return {"type": "duration", "seconds": math.ceil(seconds)}
        heard, said = math.ceil(seconds * _TOKENS_PER_SECOND), len(text.split())
        return {
            "type": "tokens",
            "total_tokens": heard + said,
            "input_tokens": heard,
            "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
            "output_tokens": said,
        }

    def _shown(self) -> dict[str, Any]:
        audio = {
            "format": {"type": "audio/pcm", "rate": _RATE},
            "transcription": {**self._configured, "model": self._model},
            "turn_detection": self._vad,
            "noise_reduction": None,
        }
        return {
            "id": self._id,
            "object": "realtime.transcription_session",
            "type": "transcription",
            "audio": {"input": audio},
            "include": None,
        }

    def _event(self, kind: str, **fields: Any) -> dict[str, Any]:
        return {"type": kind, "event_id": _name("event"), **fields}

    def _error(
        self, code: str, message: str, param: str | None = None, event_id: Any = None, kind: str = ""
    ) -> dict[str, Any]:
        error = {
            "type": kind or "invalid_request_error",
            "code": code,
            "message": message,
            "param": param,
            "event_id": event_id,
        }
        return self._event("error", error=error)

    def failed(self, failure: RequestFailed) -> tuple[dict[str, Any], int, str]:
        at_fault = "server_error" if failure.status >= 500 else "invalid_request_error"
        code = 1011 if failure.status >= 500 else 1008
        return self._error(failure.code, failure.message, kind=at_fault), code, failure.code


def _at(value: Any, *names: str) -> dict[str, Any]:
    """The object under *names*; an empty one where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _milliseconds(count: int) -> float:
    """How long *count* bytes of audio are."""
    return count / 2 / _RATE * 1000


def _name(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(8)}"
