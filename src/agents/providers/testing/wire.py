"""What a server may do to a WebSocket message on its way: one frame, several, and odd TCP segments.

aiohttp always sends a message as one frame, so the oracle writes its frames itself (RFC 6455 section 5.2;
servers do not mask).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Literal

__all__ = ["frame", "segments"]

_CONTINUATION, _TEXT, _BINARY = 0x0, 0x1, 0x2
_FINAL = 0x80


def frame(payload: bytes, opcode: int, *, final: bool = True) -> bytes:
    """One unmasked WebSocket frame."""
    head = opcode | (_FINAL if final else 0)
    if len(payload) < 126:
        return struct.pack("!BB", head, len(payload)) + payload
    if len(payload) < 65536:
        return struct.pack("!BBH", head, 126, len(payload)) + payload
    return struct.pack("!BBQ", head, 127, len(payload)) + payload


def segments(messages: Sequence[str | bytes], wire: Literal["whole", "fragmented", "merged"]) -> list[bytes]:
    """The writes that carry *messages*: one each, several each (cut inside frame headers too), or one for all.

    A message in bytes is sent as a text message all the same when it starts with ``{``: that is how invalid UTF-8
    gets out.
    """
    if wire == "fragmented":
        return [piece for message in messages for piece in _fragments(message)]
    frames = [frame(_payload(message), _opcode(message)) for message in messages]
    return [b"".join(frames)] if wire == "merged" else frames


def _fragments(message: str | bytes) -> list[bytes]:
    payload = _payload(message)
    third = len(payload) // 3
    whole = (
        frame(payload[:third], _opcode(message), final=False)
        + frame(payload[third : 2 * third], _CONTINUATION, final=False)
        + frame(payload[2 * third :], _CONTINUATION)
    )
    return [whole[:1], whole[1 : third + 5], whole[third + 5 :]]


def _payload(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message


def _opcode(message: str | bytes) -> int:
    return _TEXT if isinstance(message, str) or message.startswith(b"{") else _BINARY
