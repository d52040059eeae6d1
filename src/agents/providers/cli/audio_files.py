"""Any audio file as 16-bit mono PCM, piece by piece, at the file's own rate or another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.audio.resampler
import numpy as np
import numpy.typing as npt

from ..local.audio import LENIENT

__all__ = ["AudioFile", "AudioFileError", "read_samples"]

_MISSING_SECONDS = 0.1
_MISSING_PART = 0.01
"""A file that ends earlier than its header says, by more than both, was cut."""

_LONGEST_STREAMED_SECONDS = 6 * 3600.0
"""A WAV written to a pipe says it is as long as its header can say; nobody records as long as that."""

Samples = npt.NDArray[np.int16]


class AudioFileError(Exception):
    """A file cannot be heard. The message says why, on one line and without the file's name."""


class AudioFile:
    """An audio file to be read once: ``with AudioFile(path) as file: for samples in file: …``.

    Args:
        path: WAV, FLAC, MP3, Ogg or whatever else FFmpeg reads.
        rate: Hz of what is read; the file's own by default.

    Raises:
        AudioFileError: it is missing, empty, or no audio.
    """

    def __init__(self, path: Path, *, rate: int | None = None) -> None:
        self.path = path
        self.warning = ""
        """What is wrong with the file although it can be heard; known at its end."""
        self.read_seconds = 0.0
        self._container: Any = _opened(path)
        try:
            if not self._container.streams.audio:
                raise AudioFileError("holds no audio")
            self._stream = self._container.streams.audio[0]
            if not self._stream.rate:
                raise AudioFileError("holds audio of a kind that cannot be decoded")
            self.rate: int = rate or int(self._stream.rate)
            self.channels: int = int(self._stream.channels)
        except BaseException:
            self._container.close()
            raise
        self.said_seconds = self._duration()

    def __enter__(self) -> AudioFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[Samples]:
        """The samples, some tens of milliseconds at a time. A file that breaks off is read as far as it goes."""
        resampler = None
        shape: tuple[object, ...] = ()
        broken = ""
        frames = self._container.decode(self._stream)
        while True:
            try:
                frame = next(frames, None)
            except av.FFmpegError as error:
                broken = error.strerror or type(error).__name__
                frame = None
            now = (frame.format.name, frame.layout.name, frame.sample_rate) if frame is not None else ()
            if now != shape:  # the first frame, the end, or a file that changes its format on the way
                if resampler is not None:
                    yield from self._counted(resampler.resample(None))
                resampler = av.audio.resampler.AudioResampler(format="s16", layout="mono", rate=self.rate)
                shape = now
            if frame is None:
                break
            assert resampler is not None
            yield from self._counted(resampler.resample(frame))
        if not self.read_seconds:
            raise AudioFileError(
                f"is damaged ({broken})" if broken else "holds no sound: its audio has no samples"
            )
        self.warning = self._judge(broken)

    def _counted(self, frames: list[Any]) -> Iterator[Samples]:
        for frame in frames:
            samples: Samples = frame.to_ndarray().reshape(-1)
            self.read_seconds += len(samples) / self.rate
            yield samples

    def _duration(self) -> float | None:
        """How long the file says it is, in seconds; ``None`` when it does not say."""
        header = _wav_seconds(self.path)
        if header is not None:
            return header if header < _LONGEST_STREAMED_SECONDS else None
        if self._stream.duration is not None and self._stream.time_base is not None:
            return float(self._stream.duration * self._stream.time_base)
        return self._container.duration / 1e6 if self._container.duration else None

    def _judge(self, broken: str) -> str:
        said, read = self.said_seconds, self.read_seconds
        if said is not None and said - read > max(_MISSING_SECONDS, _MISSING_PART * said):
            return f"is cut off: {read:.1f} s of {said:.1f} s are there"
        return f"is damaged after {read:.1f} s ({broken})" if broken else ""


def read_samples(path: Path, *, rate: int) -> tuple[Samples, str]:
    """All samples of *path* at *rate* Hz, and a warning (empty when all is well).

    Raises:
        AudioFileError: it cannot be heard.
    """
    with AudioFile(path, rate=rate) as file:
        pieces = list(file)
        return np.concatenate(pieces), file.warning


def _opened(path: Path) -> Any:
    try:
        if path.is_dir():
            raise AudioFileError("is a folder, not an audio file")
        if path.stat().st_size == 0:
            raise AudioFileError("is empty")
        return av.open(str(path), **LENIENT)
    except FileNotFoundError:
        raise AudioFileError("does not exist") from None
    except av.FFmpegError as error:
        if isinstance(error, PermissionError):
            raise AudioFileError("may not be read (permission denied)") from None
        raise AudioFileError("is not an audio file") from None
    except OSError as error:
        raise AudioFileError(f"cannot be read ({error.strerror or error})") from None


def _wav_seconds(path: Path) -> float | None:
    """The length that the header of a WAV file claims; FFmpeg would only tell how long the file really is."""
    with path.open("rb") as file:
        if file.read(4) != b"RIFF" or file.read(8)[4:] != b"WAVE":
            return None
        bytes_per_second = 0
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                return size / bytes_per_second if bytes_per_second else None
            if head[:4] == b"fmt ":
                body = file.read(size + size % 2)
                bytes_per_second = int.from_bytes(body[8:12], "little")
            else:
                file.seek(size + size % 2, 1)
    return None
