"""WAV files read while they come: the header says what the samples are, and where they end.

LiveKit's own reader takes 16-bit samples only, leaves stereo as it is and plays what stands behind the samples.
Servers that stream write sizes they do not know as 0, or near the largest there is: then the samples last as long
as the file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from .samples import TO_PCM, BadAudio

__all__ = ["WavReader"]

_MAX_HEADER_BYTES = 1 << 20
_UNKNOWN_SIZE = 0x7FFF0000  # from here on it stands for "not known": 0xFFFFFFFF, 0x7FFFFFFF, less a header
_EXTENSIBLE = 0xFFFE  # the format tag is the beginning of a GUID further on


class WavReader:
    """Takes the bytes of a WAV file and gives its samples as signed 16-bit PCM, interleaved by channel.

    Attributes:
        sample_rate, channels: from the header; 0 until it has been read.
        has_begun: the header has been read, samples follow.
        behind: what the last piece held behind the end of the samples.
    """

    def __init__(self) -> None:
        self.sample_rate = 0
        self.channels = 0
        self.has_begun = False
        self.behind = b""
        self._held = b""  # the header, and later what is less than one sample of every channel
        self._convert: Callable[[bytes], bytes] = bytes
        self._width = 1  # bytes of one sample of every channel
        self._left: int | None = None  # bytes of samples still to come, where the header says it

    def push(self, data: bytes) -> bytes:
        """The samples that are complete with *data*.

        Raises:
            BadAudio: it is no WAV file, or one of a kind nobody here can read.
        """
        data, self._held, self.behind = self._held + data, b"", b""
        if not self.has_begun:
            begin = self._read_header(data)
            if begin is None:
                self._held = data
                return b""
            self.has_begun = True
            data = data[begin:]
        if self._left is not None:
            data, self.behind = data[: self._left], data[self._left :]
        whole = len(data) - len(data) % self._width
        if self._left is not None:
            self._left -= whole
        self._held = data[whole:]
        return self._convert(data[:whole])

    @property
    def is_cut_off(self) -> bool:
        """Whether the header promised more samples than have come."""
        return not self.has_begun or bool(self._left)

    def _read_header(self, head: bytes) -> int | None:
        """Where the samples begin; ``None`` while the header is not all there."""
        if len(head) >= 12 and (head[:4] != b"RIFF" or head[8:12] != b"WAVE"):
            raise BadAudio("expected a WAV file, got something else")
        position = 12
        while len(head) >= position + 8:
            name, size = struct.unpack_from("<4sI", head, position)
            position += 8
            if name == b"data":
                if not self.sample_rate:
                    raise BadAudio("a WAV file that does not say what its samples are")
                self._left = None if size == 0 or size >= _UNKNOWN_SIZE else size
                return position
            if position + size > _MAX_HEADER_BYTES:
                raise BadAudio("a WAV file without samples")
            if name == b"fmt ":
                if len(head) < position + size:
                    return None
                self._read_format(head[position : position + size])
            position += size + size % 2  # chunks are padded to even lengths
        return None

    def _read_format(self, chunk: bytes) -> None:
        if len(chunk) < 16:
            raise BadAudio("a WAV file that does not say what its samples are")
        kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
        if kind == _EXTENSIBLE and len(chunk) >= 26:
            (kind,) = struct.unpack_from("<H", chunk, 24)
        if (kind, bits) not in TO_PCM or not 1 <= channels <= 8 or not 1000 <= rate <= 384000:
            raise BadAudio(f"a WAV file of a kind that cannot be read (format {kind}, {bits} bits, {rate} Hz)")
        self.sample_rate, self.channels = rate, channels
        self._convert = TO_PCM[kind, bits]
        self._width = bits // 8 * channels
