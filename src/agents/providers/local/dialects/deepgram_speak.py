"""Deepgram Aura: ``/v1/speak`` as POST and as WebSocket.

Written from deepgram-sdk 7.17.0 (``speak/v1``) and https://developers.deepgram.com/docs/tts-media-output-settings,
/tts-ws-flush, /tts-ws-clear and /tts-troubleshooting-websocket-net-and-data-errors, and asyncapi.yml of
deepgram-api-specs 10580fc for the close codes. Over the WebSocket nothing is spoken before a Flush, which others
have measured. Each Aura voice is a voice of espeak-ng in its language.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections import deque
from collections.abc import Iterable
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from ..speech import Speech, SpeechForm, voice_of
from ..synthesiser import Voice
from .base import Handler, RequestFailed, Services
from .speech_body import check_text, send_speech
from .speech_socket import SpeakingConversation, object_in

__all__ = ["speak_routes"]

_DEFAULT_MODEL = "aura-asteria-en"
_VOICES = {
    "aura": {"en": "angus arcas asteria athena helios hera luna orion orpheus perseus stella zeus"},
    "aura-2": {
        "en": "amalthea andromeda apollo arcas aries asteria athena atlas aurora callista cora cordelia delia"
        " draco electra harmonia helena hera hermes hyperion iris janus juno jupiter luna mars minerva neptune"
        " odysseus ophelia orion orpheus pandora phoebe pluto saturn selene thalia theia vesta zeus",
        "es": "agustina alvaro antonia aquila carina celeste diana estrella gloria javier luciano nestor olivia"
        " selena silvia sirio valerio",
        "de": "aurelia elara fabian julius kara lara viktoria",
        "nl": "beatrix cornelia daphne hestia lars leda rhea roman sander",
        "fr": "agathe hector",
        "it": "cesare cinzia demetra dionisio elio flavio livia maia melia",
        "ja": "ama ebisu fujin izanami uzume",
    },
}
_MODELS = {
    f"{family}-{name}-{language}": (number, language)
    for family, languages in _VOICES.items()
    for language, names in languages.items()
    for number, name in enumerate(names.split())
}
_LIMIT = 2000  # characters of one request, and of one Speak message
_FLUSHES, _FLUSH_SECONDS = 20, 60.0
_SPEEDS = (0.7, 1.5)
_LINEAR_RATES = (8000, 16000, 24000, 32000, 48000)
_TELEPHONE_RATES = (8000, 16000)
_BARE_TYPES = {"linear16": "audio/l16", "mulaw": "audio/mulaw", "alaw": "audio/alaw"}
# encoding: containers (the default first), rates (the default first; no choice where there is only one)
_REST_FORMS: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "linear16": (("wav", "none"), (24000, *_LINEAR_RATES)),
    "mulaw": (("wav", "none"), (8000, *_TELEPHONE_RATES)),
    "alaw": (("wav", "none"), (8000, *_TELEPHONE_RATES)),
    "mp3": (("none",), (22050,)),
    "opus": (("ogg",), (48000,)),
    "flac": (("none",), (24000, 8000, 16000, 22050, 32000, 48000)),
    "aac": (("none",), (22050,)),
}
_BIT_RATES = {"mp3": (32000, 48000), "opus": (4000, 650000), "aac": (4000, 192000)}
_ENCODERS = {
    ("linear16", "none"): "pcm",
    ("linear16", "wav"): "wav",
    ("mulaw", "none"): "mulaw",
    ("alaw", "none"): "alaw",
    ("mulaw", "wav"): "wav-mulaw",
    ("alaw", "wav"): "wav-alaw",
}
_CLOSES = {
    400: (1008, "DATA-0000"),
    408: (1011, "NET-0001"),
    413: (1009, "BIG-0001"),
    415: (1003, "MESSAGE-0000"),
}


def speak_routes(services: Services) -> Iterable[tuple[str, str, Handler]]:
    """What of ``/v1/speak`` a dialect with Deepgram's keys and errors answers."""

    async def over_http(request: web.Request) -> web.StreamResponse:
        return await _speak(services, request)

    async def over_websocket(request: web.Request) -> web.StreamResponse:
        return await _Talk(services, request).answer()

    return [("POST", "/v1/speak", over_http), ("GET", "/v1/speak", over_websocket)]


async def _speak(services: Services, request: web.Request) -> web.StreamResponse:
    query = request.query
    voice, form, kind = _voice(query), *_rest_form(query)
    try:
        body = json.loads(await request.read())
        text = body["text"]
    except (ValueError, KeyError, TypeError):
        raise RequestFailed(400, 'send {"text": "…"}', "PAYLOAD_ERROR") from None
    said = check_text(text, services.options, limit=_LIMIT)
    headers = {
        "dg-request-id": str(uuid.uuid4()),
        "dg-model-name": query.get("model") or _DEFAULT_MODEL,
        "dg-model-uuid": str(_model_uuid(query)),
        "dg-char-count": str(len(said)),
    }
    if kind:
        headers["Content-Type"] = kind
    return await send_speech(request, said, voice, form, headers)


class _Talk(SpeakingConversation):
    """One WebSocket: ``Speak``, ``Flush``, ``Clear``, ``Close``."""

    def __init__(self, services: Services, request: web.Request) -> None:
        super().__init__(services, request)
        self._request_id = str(uuid.uuid4())
        self._voice = _voice(request.query)
        self._form = _socket_form(request.query)
        self._speech = Speech(self._voice, self._form)
        self._text = ""
        self._sequence = 0
        self._flushes: deque[float] = deque()
        self.socket.headers["dg-request-id"] = self._request_id

    async def greet(self) -> None:
        model = self.request.query.get("model") or _DEFAULT_MODEL
        await self.send(
            {
                "type": "Metadata",
                "request_id": self._request_id,
                "model_name": model,
                "model_version": "2025-04-07.0",
                "model_uuid": str(_model_uuid(self.request.query)),
            }
        )

    async def receive_text(self, text: str) -> bool:
        message = object_in(text)
        kind = message.get("type")
        if kind == "Speak":
            await self._speak(message.get("text"))
        elif kind == "Flush":
            await self._flush()
        elif kind == "Clear":
            self._clear()
        elif kind == "Close":
            self._say_all()
            return True
        else:
            raise RequestFailed(400, f"unknown message type {kind!r}: send Speak, Flush, Clear or Close")
        return False

    async def _speak(self, text: object) -> None:
        if not isinstance(text, str):
            raise RequestFailed(400, "Speak carries no text")
        if len(text) > _LIMIT:
            raise RequestFailed(413, f"Speak carries {len(text)} characters; at most {_LIMIT} are taken")
        self._text += text

    async def _flush(self) -> None:
        now = time.monotonic()
        while self._flushes and now - self._flushes[0] > _FLUSH_SECONDS:
            self._flushes.popleft()
        if len(self._flushes) >= _FLUSHES:
            text, code = (
                f"Flush was sent {_FLUSHES} times in {_FLUSH_SECONDS:g} s; it is ignored",
                "EXCESSIVE_FLUSH",
            )
            # its SDK reads the first two, LiveKit's plugin the others
            warning = {"description": text, "code": code, "warn_msg": text, "warn_code": code}
            await self.send({"type": "Warning", **warning})
            return
        self._flushes.append(now)
        self._say_all()
        self.later(self._flushed)

    async def _flushed(self) -> None:
        if rest := self._speech.flush():
            await self.send(rest)
        await self.send({"type": "Flushed", "sequence_id": self._next()})

    def _clear(self) -> None:
        self._text = ""
        self.drop()
        self.later(self._cleared)

    async def _cleared(self) -> None:
        self._speech.close()
        self._speech = Speech(self._voice, self._form)  # nothing of what was cleared may come out later
        await self.send({"type": "Cleared", "sequence_id": self._next()})

    def _say_all(self) -> None:
        text, self._text = self._text, ""

        async def job() -> None:
            async with contextlib.aclosing(self._speech.say(text)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, bytes):
                        await self.send(piece)

        if text.strip():
            self.later(job)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence - 1

    async def finish(self) -> None:
        if rest := self._speech.flush():
            await self.send(rest)

    def close(self) -> None:
        self._speech.close()

    def failed(self, failure: RequestFailed) -> tuple[dict[str, Any] | None, int, str]:
        code, reason = _CLOSES.get(failure.status, (1011, "NET-0000"))
        return {"type": "Error", "description": failure.message, "code": reason}, code, reason


def _voice(query: MultiMapping[str]) -> Voice:
    model = query.get("model") or _DEFAULT_MODEL
    if model not in _MODELS:
        raise RequestFailed(400, "No such model/version combination found.", "INVALID_QUERY_PARAMETER")
    number, language = _MODELS[model]
    speed = _number(query, "speed", 1.0)
    if not _SPEEDS[0] <= speed <= _SPEEDS[1]:
        raise RequestFailed(400, f"speed must be between {_SPEEDS[0]} and {_SPEEDS[1]}", "INVALID_QUERY_PARAMETER")
    return voice_of(number, language, speed)


def _rest_form(query: MultiMapping[str]) -> tuple[SpeechForm, str]:
    """How the body is encoded, and its media type where that is not the encoder's own."""
    encoding = query.get("encoding") or "mp3"
    if encoding not in _REST_FORMS:
        raise _unsupported(f"encoding {encoding!r}", _REST_FORMS)
    containers, rates = _REST_FORMS[encoding]
    container = query.get("container") or containers[0]
    if container not in containers:
        raise _unsupported(f"container {container!r} with encoding {encoding}", containers)
    if len(rates) == 1 and "sample_rate" in query:
        raise RequestFailed(
            400, f"sample_rate is not configurable with encoding {encoding}", "UNSUPPORTED_AUDIO_FORMAT"
        )
    rate = _rate(query, rates)
    bit_rate = None
    if "bit_rate" in query:
        bit_rate = round(_number(query, "bit_rate", 0))
        low, high = _BIT_RATES.get(encoding, (0, -1))
        if not low <= bit_rate <= high:
            raise _unsupported(f"bit_rate {bit_rate} with encoding {encoding}", (f"{low} to {high}",))
    kind = (
        f"{_BARE_TYPES[encoding]};rate={rate};channels=1"
        if container == "none" and encoding in _BARE_TYPES
        else ""
    )
    return SpeechForm(_ENCODERS.get((encoding, container), encoding), rate, bit_rate), kind


def _socket_form(query: MultiMapping[str]) -> SpeechForm:
    encoding = query.get("encoding") or "linear16"
    if encoding not in _BARE_TYPES:
        raise _unsupported(f"encoding {encoding!r} on a WebSocket", _BARE_TYPES)
    return SpeechForm(_ENCODERS[encoding, "none"], _rate(query, _REST_FORMS[encoding][1]))


def _rate(query: MultiMapping[str], rates: tuple[int, ...]) -> int:
    rate = _number(query, "sample_rate", rates[0])
    if rate not in rates:
        raise _unsupported(f"sample_rate {rate:g}", sorted(set(rates)))
    return round(rate)


def _number(query: MultiMapping[str], name: str, default: float) -> float:
    try:
        return float(query.get(name, default))
    except ValueError:
        raise RequestFailed(400, f"{name} must be a number", "INVALID_QUERY_PARAMETER") from None


def _unsupported(what: str, known: Iterable[object]) -> RequestFailed:
    return RequestFailed(
        400, f"{what} is not supported; it can be {', '.join(map(str, known))}", "UNSUPPORTED_AUDIO_FORMAT"
    )


def _model_uuid(query: MultiMapping[str]) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_DNS, query.get("model") or _DEFAULT_MODEL)
