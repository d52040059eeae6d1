"""PCM in, an encoded stream out, piece by piece: what a synthesis is sent as."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

__all__ = ["FORMATS", "OUTPUT_RATE", "TELEPHONE_RATE", "Encoder", "Format"]

OUTPUT_RATE = 24000
"""Samples per second of every format; OpenAI's ``pcm`` carries no rate, and means this one."""


TELEPHONE_RATE = 8000
"""Samples per second of G.711, unless somebody asks for another."""


@dataclass(frozen=True)
class Format:
    """An output format: its media type and, for FFmpeg, container, codec, sample format and codec rate."""

    media_type: str
    container: str = ""
    codec: str = ""
    samples: str = "s16"
    rate: int = OUTPUT_RATE


FORMATS = {
    "pcm": Format("audio/pcm"),
    "wav": Format("audio/wav"),
    "mp3": Format("audio/mpeg", "mp3", "libmp3lame", "s16p"),
    "opus": Format("audio/ogg", "ogg", "libopus", "s16", 48000),
    "flac": Format("audio/flac", "flac", "flac"),
    "aac": Format("audio/aac", "adts", "aac", "fltp"),
}

_MORE_FORMATS = {
    "mulaw": Format("audio/basic", "mulaw", "pcm_mulaw", rate=TELEPHONE_RATE),
    "alaw": Format("audio/x-alaw", "alaw", "pcm_alaw", rate=TELEPHONE_RATE),
    "f32": Format("audio/pcm", samples="flt"),
    "wav-mulaw": Format("audio/wav", "wav", "pcm_mulaw", rate=TELEPHONE_RATE),
    "wav-alaw": Format("audio/wav", "wav", "pcm_alaw", rate=TELEPHONE_RATE),
}
"""What OpenAI does not make, and others do."""


class _Pipe:
    """What FFmpeg writes into; it cannot seek, so containers are written for streaming."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


class Encoder:
    """16-bit mono PCM at ``source_rate`` to one of `FORMATS`, or to bare ``mulaw``, ``alaw`` or ``f32``.

    ``wav-mulaw`` and ``wav-alaw`` are G.711 in a WAV file.

    ``rate`` is another rate than the format's own, ``bit_rate`` bits per second where the codec has a choice.
    """

    def __init__(
        self, name: str, source_rate: int, *, rate: int | None = None, bit_rate: int | None = None
    ) -> None:
        self.format = FORMATS.get(name) or _MORE_FORMATS[name]
        self.rate = rate or self.format.rate
        self._source_rate = source_rate
        self._pipe = _Pipe()
        self._started = False
        self._container: Any = None
        self._stream: Any = None
        if self.format.codec:
            self._container = av.open(self._pipe, "w", format=self.format.container)
            self._stream = self._container.add_stream(self.format.codec, rate=self.rate, layout="mono")
            if bit_rate:
                self._stream.bit_rate = bit_rate
        self._resampler = av.AudioResampler(format=self.format.samples, layout="mono", rate=self.rate)
        if self._stream is not None and self._stream.codec_context.frame_size > 1:
            self._resampler = av.AudioResampler(
                format=self.format.samples,
                layout="mono",
                rate=self.rate,
                frame_size=self._stream.codec_context.frame_size,
            )

    def feed(self, pcm: bytes) -> bytes:
        """Take samples, and answer what can be sent already."""
        frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, "<i2")[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = self._source_rate
        return self._head() + self._encode(self._resampler.resample(frame))

    def finish(self) -> bytes:
        """The rest, when the last samples were fed."""
        rest = self._head() + self._encode(self._resampler.resample(None))
        if self._container is None:
            return rest
        for packet in self._stream.encode(None):
            self._container.mux(packet)
        self.close()
        return rest + self._pipe.take()

    def close(self) -> None:
        """Free the encoder; what it still held is lost unless `finish` came before."""
        if self._container is not None:
            self._container.close()

    def _head(self) -> bytes:
        if self._started:
            return b""
        self._started = True
        bare_wav = self.format.media_type == "audio/wav" and not self.format.codec
        return _wav_header(self.rate) if bare_wav else b""

    def _encode(self, frames: list[Any]) -> bytes:
        if self._container is None:
            return b"".join(frame.to_ndarray().tobytes() for frame in frames)
        for frame in frames:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        return self._pipe.take()


def _wav_header(rate: int) -> bytes:
    """A WAV header for a stream whose length is not known yet: sizes are the largest there are."""
    unknown = 0xFFFFFFFF
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", unknown, b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16, b"data", unknown
    )
