"""Audio as protocols see it: plain 16-bit PCM, and the form in which a vendor wants it."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass

__all__ = ["AudioForm", "Pcm"]

_BYTES_PER_SAMPLE = 2


@dataclass(frozen=True, slots=True)
class Pcm:
    """A recording: signed 16-bit little-endian samples, interleaved by channel."""

    data: bytes
    sample_rate: int
    channels: int = 1

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.data) / (_BYTES_PER_SAMPLE * self.channels * self.sample_rate)

    def wav(self) -> bytes:
        """The recording as a WAV file."""
        target = io.BytesIO()
        with wave.open(target, "wb") as out:
            out.setnchannels(self.channels)
            out.setsampwidth(_BYTES_PER_SAMPLE)
            out.setframerate(self.sample_rate)
            out.writeframes(self.data)
        return target.getvalue()


@dataclass(frozen=True, slots=True)
class AudioForm:
    """What a streaming vendor accepts, and how it likes it cut.

    Attributes:
        sample_rates: the rates it takes, in Hz. Audio at one of them is sent as it comes; other audio is
            resampled to the adapter's own rate, or the nearest of these. ``None``: always the adapter's own rate.
        min_chunk_ms: shorter frames are joined until a message holds this much.
        max_chunk_ms: longer frames are cut.
        replay_pace: how many seconds of audio a second may bring when audio is sent again; ``None``: no limit.
    """

    sample_rates: frozenset[int] | None = None
    min_chunk_ms: int = 20
    max_chunk_ms: int = 1000
    replay_pace: float | None = None

    def wire_rate(self, input_rate: int, own_rate: int) -> int:
        """The rate to send at, in Hz, for audio that comes at *input_rate* into an adapter set to *own_rate*."""
        if self.sample_rates is None:
            return own_rate
        if input_rate in self.sample_rates:
            return input_rate
        if own_rate in self.sample_rates:
            return own_rate
        return min(self.sample_rates, key=lambda rate: (rate < input_rate, abs(rate - input_rate)))
