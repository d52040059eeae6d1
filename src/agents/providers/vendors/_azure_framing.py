"""The messages of Azure's Speech WebSocket protocol (USP). No I/O.

Text: ``Name:Value`` lines, an empty line, a JSON body. Binary: the length of the headers in two bytes, big-endian,
the headers, the payload. Source: ``WebsocketMessageFormatter.ts`` of the public JavaScript SDK, and what
azure-cognitiveservices-speech 1.53.0 sends.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import orjson

from ..protocol import ProtocolError

__all__ = ["audio_message", "read_message", "riff_header", "text_message"]

_BLANK = "\r\n\r\n"
_LENGTH = struct.Struct(">H")


def text_message(path: str, body: Mapping[str, Any], *, request_id: str | None = None) -> str:
    """A message with a JSON *body*; one about the whole connection has no *request_id*."""
    request = f"X-RequestId:{request_id}\r\n" if request_id else ""
    head = f"X-Timestamp:{_now()}\r\nPath:{path}\r\nContent-Type:application/json\r\n{request}"
    return f"{head}\r\n{orjson.dumps(body).decode()}"


def audio_message(
    request_id: str, stream_id: int, payload: bytes | bytearray | memoryview, *, content_type: str = ""
) -> bytes:
    """Audio of a turn; an empty *payload* is the end of it."""
    kind = f"Content-Type:{content_type}\r\n" if content_type else ""
    head = (
        f"X-Timestamp:{_now()}\r\nPath:audio\r\n{kind}X-RequestId:{request_id}\r\nX-StreamId:{stream_id}\r\n"
    ).encode("ascii")
    return b"".join((_LENGTH.pack(len(head)), head, payload))


def riff_header(sample_rate: int, channels: int = 1) -> bytes:
    """What audio of unknown length begins with: a WAV header whose sizes are zero."""
    frame = 2 * channels
    form = struct.pack("<IHHIIHH", 16, 1, channels, sample_rate, sample_rate * frame, frame, 16)
    return b"RIFF\0\0\0\0WAVEfmt " + form + b"data\0\0\0\0"


def read_message(message: str | bytes) -> tuple[str, str, dict[str, Any]]:
    """Path (in lower case), request id and JSON body of a message; the body is empty where there is none.

    Raises:
        ProtocolError: it is no message of this protocol.
    """
    if not isinstance(message, str):
        raise ProtocolError("a binary message, where the service sends text")
    head, blank, body = message.partition(_BLANK)
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head.splitlines())
    }
    path = headers.get("path", "").lower()
    if not blank or not path:
        raise ProtocolError("a message without headers, an empty line and a path")
    return path, headers.get("x-requestid", "").lower(), _json_object(body) if body.strip() else {}


def _json_object(body: str) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProtocolError("the body is not JSON") from error
    if type(value) is not dict:
        raise ProtocolError("the body is not a JSON object")
    return value


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
