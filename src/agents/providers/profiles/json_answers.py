"""Audio inside JSON: in one body, in lines, or in server-sent events."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import orjson

from ..protocol import AnswerReader, Audio, Failure, HttpResponse
from ..protocol.batch import error_text
from .fields import compile_condition
from .paths import compile_first
from .rules import compile_failure
from .shapes import shape_of
from .speech import JsonAnswer

__all__ = ["JsonAnswerReader"]

_MAX_BYTES = 64 * 1024 * 1024
"""Of one JSON value: more than half an hour of speech."""


class JsonAnswerReader(AnswerReader):
    """Reads one answer as a profile's ``answer`` says."""

    def __init__(self, answer: JsonAnswer) -> None:
        self._each = answer.each
        self._get_audio = compile_first(answer.audio)
        self._paths = [answer.audio] if isinstance(answer.audio, str) else answer.audio
        self._has_failed = compile_condition(answer.failed)
        self._read_failure = compile_failure(answer)
        self._held = bytearray()
        self._event: list[bytes] = []  # the lines of the server-sent event that is not over yet
        self._gave_audio = False

    def push(self, data: bytes) -> Sequence[Audio | Failure]:
        self._held += data
        if len(self._held) > _MAX_BYTES:
            raise ValueError("an answer without end")
        if self._each == "body" or b"\n" not in data:
            return ()
        *lines, rest = bytes(self._held).split(b"\n")
        self._held = bytearray(rest)
        return [found for line in lines for found in self._line(line.strip())]

    def finish(self) -> Sequence[Audio | Failure]:
        rest, self._held = bytes(self._held).strip(), bytearray()
        if self._each != "body":
            return [*self._line(rest), *self._line(b"")]
        found = self._value(rest)
        if not self._gave_audio and not found:
            reason = error_text(HttpResponse(200, {}, rest))
            lacks = f"the answer has no audio at {', '.join(self._paths)}; {shape_of(orjson.loads(rest))}"
            return [Failure(reason or lacks, detail={"malformed": True})]
        return found

    def _line(self, line: bytes) -> Sequence[Audio | Failure]:
        if self._each == "line":
            return self._value(line) if line else ()
        if line:
            if line.startswith(b"data:"):
                self._event.append(line[5:].strip())
            return ()
        data, self._event = b"\n".join(self._event), []
        return self._value(data) if data and data != b"[DONE]" else ()

    def _value(self, text: bytes) -> Sequence[Audio | Failure]:
        try:
            value: Any = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise ValueError(f"expected JSON in the {self._each} of the answer, got something else") from None
        if self._has_failed is not None and self._has_failed(value):
            failure = self._read_failure(value)
            return [failure] if failure is not None else ()
        audio = self._get_audio(value)
        if audio is None or audio == "":
            return ()
        try:
            data = b64decode(audio, validate=True) if isinstance(audio, str) else None
        except (binascii.Error, ValueError):
            data = None
        if data is None:
            raise ValueError("audio in the answer that is not base64")
        self._gave_audio = True
        return [Audio(data)]
