"""Event-stream frames, as the embedded server writes and reads them.

Written from https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html, apart from the client's: two
4-byte lengths and their CRC-32, headers, payload, CRC-32 of everything before it.
"""

from __future__ import annotations

from binascii import crc32

__all__ = ["BadFrame", "Frame", "read_frame", "write_frame"]

Frame = tuple[dict[str, str], bytes]
"""Headers that are strings, and the payload."""

_LARGEST = 16 * 1024 * 1024


class BadFrame(ValueError):
    """These bytes are no frame. The message says why."""


def write_frame(headers: dict[str, str], payload: bytes) -> bytes:
    """A frame as it goes over the wire."""
    block = bytearray()
    for name, value in headers.items():
        text = value.encode()
        block += len(name).to_bytes(1, "big") + name.encode() + b"\x07" + len(text).to_bytes(2, "big") + text
    frame = bytearray((12 + len(block) + len(payload) + 4).to_bytes(4, "big") + len(block).to_bytes(4, "big"))
    frame += crc32(frame).to_bytes(4, "big")
    frame += block + payload
    return bytes(frame + crc32(frame).to_bytes(4, "big"))


def read_frame(data: bytes) -> Frame:
    """The one frame that *data* is. Raises `BadFrame`."""
    if not 16 <= len(data) <= _LARGEST:
        raise BadFrame(f"a frame of {len(data)} bytes")
    if int.from_bytes(data[8:12], "big") != crc32(data[:8]):
        raise BadFrame("the checksum of the prelude does not match")
    if int.from_bytes(data[:4], "big") != len(data):
        raise BadFrame(f"a frame that says it has {int.from_bytes(data[:4], 'big')} bytes has {len(data)}")
    if int.from_bytes(data[-4:], "big") != crc32(data[:-4]):
        raise BadFrame("the checksum of the frame does not match")
    size = int.from_bytes(data[4:8], "big")
    if size > len(data) - 16:
        raise BadFrame("the headers are longer than the frame")
    return _headers(data[12 : 12 + size]), data[12 + size : -4]


def _headers(block: bytes) -> dict[str, str]:
    headers = {}
    while block:
        name_end = 1 + block[0]
        if block[name_end : name_end + 1] != b"\x07":
            raise BadFrame("a header is no string")
        value_end = name_end + 3 + int.from_bytes(block[name_end + 1 : name_end + 3], "big")
        if value_end > len(block):
            raise BadFrame("a header is broken off")
        headers[block[1:name_end].decode("utf-8", "replace")] = block[name_end + 3 : value_end].decode(
            "utf-8", "replace"
        )
        block = block[value_end:]
    return headers
