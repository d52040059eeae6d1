"""Amazon Transcribe's streaming over a WebSocket: ``/stream-transcription-websocket``.

Client: a presigned GET, then event-stream frames: ``AudioEvent`` with PCM, an empty one at the end. Server:
``TranscriptEvent`` with results that are partial until they are not, or an exception, also for a signature by an
unknown key. https://docs.aws.amazon.com/transcribe/latest/dg/streaming-websocket.html; its older version in
github.com/awsdocs/amazon-transcribe-developer-guide has the exceptions; names from amazon-transcribe 0.6.4.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from ..recogniser import Final, Partial, RecogniserSession, Result, SpeechStarted
from .aws_frames import BadFrame, read_frame, write_frame
from .aws_signature import Unsigned, WrongKey, signed_by
from .base import Dialect, Handler, RequestFailed
from .websocket import SocketConversation

__all__ = ["AmazonTranscribe"]

_IDLE_SECONDS = 15.0
_SIGNATURE_SECONDS = 300
_RATES = (8000, 48000)
_PARAMETERS = {
    "language-code",
    "sample-rate",
    "media-encoding",
    "vocabulary-name",
    "vocabulary-names",
    "session-id",
    "vocabulary-filter-name",
    "vocabulary-filter-names",
    "vocabulary-filter-method",
    "show-speaker-label",
    "enable-channel-identification",
    "number-of-channels",
    "enable-partial-results-stabilization",
    "partial-results-stability",
    "content-identification-type",
    "content-redaction-type",
    "pii-entity-types",
    "language-model-name",
    "identify-language",
    "identify-multiple-languages",
    "language-options",
    "preferred-language",
}
_WRONG_KEY = "UnrecognizedClientException"
_EXCEPTIONS = {
    400: "BadRequestException",
    401: _WRONG_KEY,
    403: "InvalidSignatureException",
    408: "BadRequestException",
    409: "ConflictException",
    429: "LimitExceededException",
    503: "LimitExceededException",  # no stream is free
}


class AmazonTranscribe(Dialect):
    """``/stream-transcription-websocket``."""

    name = "aws-transcribe"

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [("GET", "/stream-transcription-websocket", self._stream)]

    def api_key(self, request: web.Request) -> str | None:
        try:
            return signed_by(request, self.services.options.api_keys, "transcribe", _SIGNATURE_SECONDS)
        except WrongKey as error:
            raise RequestFailed(401, str(error), _WRONG_KEY) from None
        except Unsigned as error:
            raise RequestFailed(401, str(error)) from None

    def _check_key(self, request: web.Request) -> None:
        try:
            super()._check_key(request)
        except RequestFailed as refusal:
            if refusal.code != _WRONG_KEY or "Upgrade" not in request.headers:
                raise
            request["refusal"] = refusal  # which is told on the socket

    def error(self, failure: RequestFailed) -> web.Response:
        status = 403 if failure.status == 401 else failure.status
        kind = (
            "InvalidSignatureException" if status == 403 else _EXCEPTIONS.get(status, "InternalFailureException")
        )
        return web.json_response(
            {"message": failure.message}, status=status, headers={"x-amzn-ErrorType": f"{kind}:"}
        )

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        return await _Stream(self.services, request).answer()


class _Stream(SocketConversation):
    """One connected client."""

    def __init__(self, services: Any, request: web.Request) -> None:
        super().__init__(services, request)
        self.idle_seconds = min(_IDLE_SECONDS, services.options.idle_seconds)
        self._query = {n: v for n, v in request.query.items() if not n.startswith("X-Amz-")}
        self._result_id = ""
        self._heard_language = ""

    async def begin(self) -> RecogniserSession:
        if "refusal" in self.request:
            raise self.request["refusal"]
        query = self._query
        if unknown := sorted(query.keys() - _PARAMETERS):
            raise RequestFailed(400, f"unknown parameter {unknown[0]}")
        identify = "true" in (query.get("identify-language"), query.get("identify-multiple-languages"))
        if identify == ("language-code" in query):
            raise RequestFailed(400, "give either language-code or identify-language, not both")
        if identify and "language-options" not in query:
            raise RequestFailed(400, "identify-language wants language-options")
        if query.get("media-encoding") != "pcm":
            raise RequestFailed(400, "media-encoding: this server takes pcm")
        rate = query.get("sample-rate", "")
        if not rate.isdecimal() or not _RATES[0] <= int(rate) <= _RATES[1]:
            raise RequestFailed(400, f"sample-rate must be from {_RATES[0]} to {_RATES[1]}")
        for name in query["language-options"].split(",") if identify else [query["language-code"]]:
            if "-" not in name:
                raise RequestFailed(400, f"language {name!r}: give it with its region, as in en-US")
        self._heard_language = self._choose_language(query["language-options"].split(",")) if identify else ""
        if not identify:
            self.services.language(query["language-code"])
        session = await self.services.recogniser.open()
        session.configure(sample_rate=int(rate))
        return session

    def _choose_language(self, options: list[str]) -> str:
        """The one of the languages offered that this server's recogniser knows."""
        known = self.services.recogniser.languages
        for name in options:
            if known is None or name.partition("-")[0] in known:
                return name
        raise RequestFailed(400, f"this server knows {', '.join(sorted(known or ()))}")

    async def receive_text(self, text: str) -> bool:
        raise RequestFailed(400, "send event-stream frames in binary messages")

    async def receive_audio(self, data: bytes) -> None:
        try:
            headers, payload = read_frame(data)
        except BadFrame as error:
            raise RequestFailed(400, str(error)) from error
        if (headers.get(":message-type"), headers.get(":event-type")) != ("event", "AudioEvent"):
            raise RequestFailed(400, "send frames of :message-type event and :event-type AudioEvent")
        if headers.get(":content-type") != "application/octet-stream":
            raise RequestFailed(400, ":content-type must be application/octet-stream")
        if payload:
            await self.session.accept(payload)
        else:
            await self.session.end()

    def messages(self, result: Result) -> list[dict[str, Any]]:
        if isinstance(result, SpeechStarted):
            self._result_id = str(uuid.uuid4())
        if not isinstance(result, (Final, Partial)):
            return []
        shown: dict[str, Any] = {
            "ResultId": self._result_id or str(uuid.uuid4()),
            "StartTime": result.start,
            "EndTime": result.end,
            "IsPartial": isinstance(result, Partial),
        }
        if self._heard_language:
            shown["LanguageCode"] = self._heard_language
        if isinstance(result, Partial):
            shown["Alternatives"] = [{"Transcript": result.text, "Items": []}]
        else:
            shown["Alternatives"] = [{"Transcript": f"{result.text}.", "Items": self._items(result)}]
            self._result_id = str(uuid.uuid4())
        return [{":event-type": "TranscriptEvent", "body": {"Transcript": {"Results": [shown]}}}]

    def _items(self, final: Final) -> list[dict[str, Any]]:
        """Words, and the full stop with which Transcribe ends what is said."""
        speaker = {"Speaker": "0"} if self._query.get("show-speaker-label") == "true" else {}
        items = [
            {
                "StartTime": word.start,
                "EndTime": word.end,
                "Type": "pronunciation",
                "Content": word.text,
                "Confidence": word.confidence,
                "VocabularyFilterMatch": False,
                **speaker,
            }
            for word in final.words
        ]
        stop = {"StartTime": final.end, "EndTime": final.end, "Type": "punctuation", "Content": "."}
        return [*items, {**stop, "VocabularyFilterMatch": False}]

    def failed(self, failure: RequestFailed) -> tuple[dict[str, Any], int, str]:
        said = failure.message
        if failure.status == 408:
            said = f"Your request timed out because no new audio was received for {self.idle_seconds:g} seconds."
        kind = _EXCEPTIONS.get(failure.status, "InternalFailureException")
        return {":exception-type": kind, "body": {"Message": said}}, 1000, kind

    async def send(self, message: dict[str, Any]) -> None:
        body = message.pop("body")
        headers = {
            ":content-type": "application/json",
            ":message-type": "exception" if ":exception-type" in message else "event",
            **message,
        }
        data = write_frame(headers, json.dumps(body).encode())
        await self.taken(self.socket.send_bytes(data))
