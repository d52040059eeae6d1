"""Messages from the server to a decoder process: a type, a length, a payload.

    O  open a stream; payload JSON {"interim": bool}      F  flush       R  abandon the stream, answer "reset"
    A  audio, 16-bit mono at 16 kHz                       E  end, answer "ended"

The other way goes one JSON line for each result.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

__all__ = ["pack", "unpack"]

_HEADER = struct.Struct(">cI")


def pack(kind: bytes, payload: bytes = b"") -> bytes:
    """One message as it goes through the pipe."""
    return _HEADER.pack(kind, len(payload)) + payload


def unpack(source: BinaryIO) -> tuple[bytes, bytes] | None:
    """Read one message, waiting for it: type and payload; None when the other end is closed."""
    header = source.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    kind, length = _HEADER.unpack(header)
    payload = source.read(length)
    return (kind, payload) if len(payload) == length else None
