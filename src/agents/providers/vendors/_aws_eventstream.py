"""Amazon's event-stream encoding: binary messages with typed headers, a payload and two checksums. No I/O.

``[u32 total][u32 headers][u32 CRC of these][headers][payload][u32 CRC of all before]``, big-endian, as
https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html has it. A header is
``[u8 length][name][u8 type][value]``.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..protocol import ProtocolError

__all__ = ["EventMessage", "EventWriter", "decode_messages", "encode_message"]

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_OVERHEAD = _PRELUDE.size + _CRC.size
_STRING = 7
_INTEGERS = {2: struct.Struct(">b"), 3: struct.Struct(">h"), 4: struct.Struct(">i"), 5: struct.Struct(">q")}
_TIMESTAMP = struct.Struct(">q")
_LENGTH = struct.Struct(">H")


@dataclass(frozen=True, slots=True)
class EventMessage:
    """One message. Headers are texts, numbers, booleans or bytes; a timestamp is its milliseconds."""

    headers: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes = b""


class EventWriter:
    """Writes messages whose headers are always the same, with no more work than the payload needs.

    Args:
        headers: names and texts, which go out in this order.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = b"".join(_text_header(name, value) for name, value in headers.items())

    def write(self, payload: bytes | bytearray | memoryview) -> bytes:
        """The message with *payload*."""
        size = len(payload) if not isinstance(payload, memoryview) else payload.nbytes
        lengths = struct.pack(">II", _OVERHEAD + len(self._headers) + size, len(self._headers))
        head = lengths + _CRC.pack(zlib.crc32(lengths)) + self._headers
        return b"".join((head, payload, _CRC.pack(zlib.crc32(payload, zlib.crc32(head)))))


def encode_message(message: EventMessage) -> bytes:
    """*message* as bytes. Headers must be texts."""
    return EventWriter({name: str(value) for name, value in message.headers.items()}).write(message.payload)


def decode_messages(data: bytes) -> list[EventMessage]:
    """The messages in *data*, which holds whole ones.

    Raises:
        ProtocolError: lengths or checksums do not fit, or a header cannot be read.
    """
    messages = []
    view = memoryview(data)
    while view:
        if len(view) < _OVERHEAD:
            raise ProtocolError(f"an event-stream message is broken off after {len(view)} bytes")
        total, headers, checksum = _PRELUDE.unpack_from(view)
        if zlib.crc32(view[:8]) != checksum:
            raise ProtocolError("the checksum of an event-stream prelude is wrong")
        if total > len(view) or headers > total - _OVERHEAD:
            raise ProtocolError(f"an event-stream message says it has {total} bytes and has {len(view)}")
        end = total - _CRC.size
        if zlib.crc32(view[:end]) != _CRC.unpack_from(view, end)[0]:
            raise ProtocolError("the checksum of an event-stream message is wrong")
        start = _PRELUDE.size + headers
        messages.append(EventMessage(_read_headers(bytes(view[_PRELUDE.size : start])), bytes(view[start:end])))
        view = view[total:]
    return messages


def _text_header(name: str, value: str) -> bytes:
    encoded_name, encoded = name.encode(), value.encode()
    return bytes([len(encoded_name)]) + encoded_name + bytes([_STRING]) + _LENGTH.pack(len(encoded)) + encoded


def _read_headers(data: bytes) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    at = 0
    try:
        while at < len(data):
            end = at + 1 + data[at]
            name = data[at + 1 : end].decode()
            headers[name], at = _read_value(data, data[end], end + 1)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise ProtocolError(f"the headers of an event-stream message cannot be read ({error})") from None
    if at != len(data):
        raise ProtocolError("the last header of an event-stream message is broken off")
    return headers


def _read_value(data: bytes, kind: int, at: int) -> tuple[Any, int]:
    """The value of type *kind* at *at*, and where the next header begins."""
    if kind in (0, 1):
        return kind == 0, at
    if kind in _INTEGERS:
        form = _INTEGERS[kind]
        return form.unpack_from(data, at)[0], at + form.size
    if kind in (6, _STRING):
        size = _LENGTH.unpack_from(data, at)[0]
        at += _LENGTH.size
        value = data[at : at + size]
        return (value.decode() if kind == _STRING else value), at + size
    if kind == 8:
        return _TIMESTAMP.unpack_from(data, at)[0], at + _TIMESTAMP.size
    if kind == 9:
        return data[at : at + 16], at + 16
    raise ProtocolError(f"an event-stream header has the unknown type {kind}")
