"""The messages of Azure's Speech WebSocket protocol, as the service reads them.

Text: headers, an empty line, JSON. Binary: the length of the headers in two bytes (big endian), headers, payload.
(``WebsocketMessageFormatter.ts`` and ``SpeechContext.ts`` of the public JavaScript SDK.)
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["BadMessage", "Form", "Message", "json_object", "part", "read_riff"]

_PCM = 1
_EXTENSIBLE = 0xFFFE


class BadMessage(Exception):
    """The client does not speak the protocol; the connection is closed with 1007."""


@dataclass(frozen=True)
class Message:
    """What a client sent; header names in lower case."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.headers.get("path", "").lower()

    @property
    def request_id(self) -> str:
        return self.headers.get("x-requestid", "").lower()

    @staticmethod
    def from_text(text: str) -> Message:
        head, separator, body = text.partition("\r\n\r\n")
        if not separator:
            raise BadMessage("a text message without an empty line after its headers")
        return Message(_headers(head), body.encode())

    @staticmethod
    def from_bytes(data: bytes) -> Message:
        if len(data) < 2:
            raise BadMessage("a binary message without the length of its headers")
        (length,) = struct.unpack_from(">H", data)
        if len(data) < 2 + length:
            raise BadMessage("a binary message shorter than its headers")
        return Message(_headers(data[2 : 2 + length].decode("ascii", errors="replace")), data[2 + length :])


def _headers(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.split("\r\n") if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


@dataclass(frozen=True)
class Form:
    """How a client wants its results."""

    detailed: bool
    word_times: bool
    word_confidence: bool
    interim: bool
    detects_language: bool
    diarizes: bool

    @staticmethod
    def of(query: Mapping[str, str], context: Mapping[str, Any]) -> Form:
        output = part(context, "phraseOutput")
        options = part(output, "detailed").get("options") or []
        diarization = part(part(context, "phraseDetection"), "speakerDiarization")
        interim = part(output, "interimResults").get("resultType", "Auto")
        word_times = _true(query, "wordLevelTimestamps") or "WordTimings" in options
        return Form(
            detailed=word_times or "detailed" in (query.get("format", ""), str(output.get("format", "")).lower()),
            word_times=word_times,
            word_confidence=_true(query, "wordLevelConfidence") or "WordConfidence" in options,
            interim=interim != "None",
            detects_language=_true(query, "lidEnabled") or bool(part(context, "languageId").get("languages")),
            diarizes=diarization.get("mode", "None") != "None",
        )


def part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _true(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() == "true"


def json_object(body: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise BadMessage(f"{what} is not JSON") from error
    if not isinstance(value, dict):
        raise BadMessage(f"{what} is not a JSON object")
    return value


def read_riff(data: bytes) -> tuple[int, int, bytes]:
    """Rate, channels and the samples behind a RIFF header of 16-bit PCM, whose sizes may be zero."""
    if data[:4] != b"RIFF" or data[8:16] != b"WAVEfmt " or len(data) < 36:
        raise BadMessage("the audio does not begin with a RIFF header")
    size, kind, channels, rate, _, _, bits = struct.unpack_from("<IHHIIHH", data, 16)
    if kind not in (_PCM, _EXTENSIBLE) or bits != 16 or not channels or not rate:
        raise BadMessage(f"audio format {kind} with {bits} bits: send 16-bit PCM")
    at = data.find(b"data", 20 + size)
    return rate, channels, data[at + 8 :] if at >= 0 else b""
