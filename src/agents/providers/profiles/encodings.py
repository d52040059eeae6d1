"""Samples as vendors want them, from signed 16-bit little-endian PCM.

NumPy is loaded by what needs it: a profile is also read where nobody is heard, as by ``voxport vendors``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

__all__ = ["ENCODERS"]


def _to_float32(chunk: bytes | bytearray | memoryview) -> bytes:
    import numpy as np

    return (np.frombuffer(chunk, "<i2").astype("<f4") / 32768.0).tobytes()


def _to_mulaw(chunk: bytes | bytearray | memoryview) -> bytes:
    import numpy as np

    table: Any = _mulaw_table()
    return bytes(table[np.frombuffer(chunk, "<u2")])


@lru_cache(maxsize=1)
def _mulaw_table() -> Any:
    """ITU-T G.711 µ-law for each 16-bit sample, taken as unsigned."""
    import numpy as np

    samples = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    magnitude = np.minimum(np.abs(samples), 32635) + 132  # the bias moves segment borders to powers of two
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    sign = np.where(samples < 0, 0x80, 0)
    return (~(sign | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8)


ENCODERS: Mapping[str, Callable[[bytes | bytearray | memoryview], bytes] | None] = {
    "s16": None,
    "f32": _to_float32,
    "mulaw": _to_mulaw,
}
"""By the profile's name of the encoding; ``None`` where nothing changes."""
