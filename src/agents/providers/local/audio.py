"""Audio as clients send it, made into what recognisers take: 16-bit mono PCM at 16 kHz.

Everything goes through FFmpeg's libraries in the ``av`` wheel (LiveKit depends on it): WAV, FLAC, MP3, Ogg,
WebM, MP4 of any rate and number of channels, and bare PCM at a declared rate.
"""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np

from .recogniser import SAMPLE_RATE

__all__ = ["LENIENT", "BadAudio", "Resampler", "TooLong", "decode_file", "from_pcm"]

LENIENT: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.partition(".")[0]) < 19 else {}
"""With these, ``av.open`` reads a file whose title is no UTF-8. PyAV 19 always does, and knows no such option."""

_RATES = (4000, 192000)
_CHANNELS = (1, 8)


class BadAudio(ValueError):
    """These bytes are no audio this server can read. The message says what is wrong with them."""


class TooLong(ValueError):
    """The recording is longer than the server takes at once."""


class Resampler:
    """A stream of 16-bit interleaved PCM at ``rate`` with ``channels``, to 16-bit mono at 16 kHz.

    What comes out does not depend on how the stream was cut into pieces, apart from where it is cut itself.
    """

    def __init__(self, rate: int, channels: int = 1) -> None:
        if not _RATES[0] <= rate <= _RATES[1]:
            raise BadAudio(f"sample rate {rate} Hz: this server takes {_RATES[0]} to {_RATES[1]} Hz")
        if not _CHANNELS[0] <= channels <= _CHANNELS[1]:
            raise BadAudio(f"{channels} channels: this server takes {_CHANNELS[0]} to {_CHANNELS[1]}")
        self._rate = rate
        self._frame_bytes = 2 * channels
        self._channels = channels
        self._rest = b""
        self._resampler: Any = None
        if rate != SAMPLE_RATE:
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)

    def feed(self, pcm: bytes) -> bytes:
        """Samples in, as many samples out as are ready. Half a sample is kept for the next call."""
        data = self._rest + pcm if self._rest else pcm
        whole = len(data) - len(data) % self._frame_bytes
        self._rest = data[whole:]
        data = data[:whole]
        if not data:
            return b""
        if self._channels > 1:
            # the mean of all channels; FFmpeg's own downmix depends on guessed loudspeaker positions
            channels = np.frombuffer(data, "<i2").reshape(-1, self._channels)
            data = channels.mean(axis=1).round().astype("<i2").tobytes()
        if self._resampler is None:
            return data
        frame = av.AudioFrame.from_ndarray(np.frombuffer(data, "<i2")[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = self._rate
        return _samples(self._resampler.resample(frame))

    def finish(self) -> bytes:
        """The stream is over: what the filter still holds."""
        return _samples(self._resampler.resample(None)) if self._resampler is not None else b""


def from_pcm(pcm: bytes, rate: int, channels: int = 1) -> bytes:
    """A whole recording of bare 16-bit PCM to 16-bit mono at 16 kHz. Raises `BadAudio`."""
    if not pcm:
        raise BadAudio("the audio is empty")
    resampler = Resampler(rate, channels)
    return resampler.feed(pcm) + resampler.finish()


def decode_file(data: bytes, max_seconds: float) -> bytes:
    """A whole audio file to 16-bit mono at 16 kHz. Blocks. Raises `BadAudio`, `TooLong`.

    A file that breaks off is read as far as it goes.
    """
    if not data:
        raise BadAudio("the audio is empty")
    pcm = bytearray()
    limit = int(max_seconds * SAMPLE_RATE) * 2
    try:
        with av.open(io.BytesIO(data), **LENIENT) as container:
            if not container.streams.audio:
                raise BadAudio("the file holds no audio")
            for piece in _decoded(container):
                pcm += piece
                if len(pcm) > limit:
                    raise TooLong(f"the recording is longer than {max_seconds:g} s")
    except av.FFmpegError as error:
        if not pcm:
            raise BadAudio(
                f"not an audio file this server can read ({error.strerror or error}); "
                "send WAV, FLAC, MP3, Ogg, WebM or MP4, or name bare PCM by its content type"
            ) from error
    if not pcm:
        raise BadAudio("the file holds no samples")
    return bytes(pcm)


def _decoded(container: Any) -> Any:
    """Pieces of 16-bit mono at 16 kHz from an opened file."""
    resampler: Resampler | None = None
    to_s16: Any = None
    for frame in container.decode(audio=0):
        if resampler is None:
            # first to 16-bit at the file's own rate: channels are then mixed as in a stream
            resampler = Resampler(frame.sample_rate, frame.layout.nb_channels)
            to_s16 = av.AudioResampler(format="s16", layout=frame.layout, rate=frame.sample_rate)
        for converted in to_s16.resample(frame):
            yield resampler.feed(converted.to_ndarray().tobytes())
    if resampler is not None:
        yield resampler.finish()


def _samples(frames: list[Any]) -> bytes:
    return b"".join(frame.to_ndarray().tobytes() for frame in frames)
