"""Samples of any kind as signed 16-bit ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import av
import numpy as np

__all__ = ["FLOAT", "LINEAR", "MULAW", "TO_PCM", "BadAudio", "downmixed", "mulaw_to_pcm", "planes"]


class BadAudio(ValueError):
    """It is not the audio it was said to be. The message says what it is instead."""


LINEAR, FLOAT, MULAW = 1, 3, 7
"""Format tags of WAV files (RFC 2361)."""


def _from_8(data: bytes) -> bytes:
    samples: bytes = ((np.frombuffer(data, "u1").astype("<i2") - 128) << 8).tobytes()
    return samples


def _from_24(data: bytes) -> bytes:
    upper: Any = np.frombuffer(data, "u1").reshape(-1, 3)[:, 1:]  # the lowest byte is inaudible
    samples: bytes = upper.tobytes()
    return samples


def _from_32(data: bytes) -> bytes:
    samples: bytes = (np.frombuffer(data, "<i4") >> 16).astype("<i2").tobytes()
    return samples


def _from_float(kind: str) -> Callable[[bytes], bytes]:
    def convert(data: bytes) -> bytes:
        scaled = np.nan_to_num(np.frombuffer(data, kind), nan=0.0, posinf=1.0, neginf=-1.0) * 32767.0
        samples: bytes = np.clip(np.rint(scaled), -32768, 32767).astype("<i2").tobytes()
        return samples

    return convert


def mulaw_to_pcm(data: bytes) -> bytes:
    """ITU-T G.711 µ-law, a byte a sample."""
    samples: bytes = _mulaw_table()[np.frombuffer(data, "u1")].tobytes()
    return samples


@lru_cache(maxsize=1)
def _mulaw_table() -> Any:
    """The sample each byte stands for."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4) & 7, (code & 15).astype(np.int32)
    magnitude = ((mantissa << 3) + 132 << exponent) - 132
    return np.where(code & 128, -magnitude, magnitude).astype("<i2")


TO_PCM: Mapping[tuple[int, int], Callable[[bytes], bytes]] = {
    (LINEAR, 8): _from_8,
    (LINEAR, 16): lambda data: data,
    (LINEAR, 24): _from_24,
    (LINEAR, 32): _from_32,
    (FLOAT, 32): _from_float("<f4"),
    (FLOAT, 64): _from_float("<f8"),
    (MULAW, 8): mulaw_to_pcm,
}
"""By format tag and bits a sample."""


def downmixed(pcm: bytes, channels: int) -> bytes:
    """The mean of interleaved 16-bit *channels*."""
    if channels == 1:
        return pcm
    mono: bytes = np.frombuffer(pcm, "<i2").reshape(-1, channels).mean(axis=1).astype("<i2").tobytes()
    return mono


def planes(frames: list[av.AudioFrame]) -> bytes:
    """The samples in *frames* of one channel."""
    # a plane is padded for alignment: only its samples count
    return b"".join(bytes(frame.planes[0])[: frame.samples * 2] for frame in frames)
