"""Encoded audio to PCM while it comes, by FFmpeg in a thread.

LiveKit's own decoder opens FFmpeg with ``nobuffer``, which makes it lose the last packet of a file: 20 ms of Opus,
40 ms of AAC, up to 100 ms of FLAC (livekit-agents 1.8.9). This one does not, and it says when it met rubbish.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor

import av

from .samples import BadAudio, planes

__all__ = ["FORMATS", "Decoder"]

FORMATS = {
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
    "audio/aac": "aac",
    "audio/mp4": "mp4",
    "audio/webm": "matroska",
}
"""FFmpeg's name of the container, by media type."""

# It may look at as little as possible before it decodes, or the first words would wait for the next ones.
_OPTIONS = {
    "probesize": "32",
    "analyzeduration": "0",
    "flags": "low_delay",
    "max_delay": "0",
    "avioflags": "direct",
}
_READ_BYTES = 256

_MOST_BROKEN = 3
"""So many packets in a row that cannot be decoded are rubbish; where one file follows another there are fewer."""


class _Pipe:
    """What FFmpeg reads from, and waits on. Without ``seek``, it knows that there is no going back."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._changed = threading.Condition()
        self._ended = False

    def write(self, data: bytes) -> None:
        with self._changed:
            self._data += data
            self._changed.notify()

    def end(self, *, drop: bool = False) -> None:
        """No more comes; *drop*: and what is there is not wanted."""
        with self._changed:
            self._ended = True
            if drop:
                self._data.clear()
            self._changed.notify()

    def read(self, size: int) -> bytes:
        with self._changed:
            while not self._data and not self._ended:
                self._changed.wait()
            taken = bytes(self._data[:size])
            del self._data[:size]
            return taken


class Decoder:
    """Decodes one file. Push its bytes, end it, and read :meth:`pcm` meanwhile.

    Args:
        media_type: one of :data:`FORMATS`.
        sample_rate: Hz of the mono PCM that comes out.
    """

    def __init__(self, media_type: str, sample_rate: int) -> None:
        self._media_type = media_type
        self._sample_rate = sample_rate
        self._loop = asyncio.get_running_loop()
        self._pipe = _Pipe()
        self._out: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._understood = True
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="voxport.decoder")
        self._running: asyncio.Future[None] | None = None

    def push(self, data: bytes) -> None:
        """More of the file."""
        self._pipe.write(data)
        if self._running is None:
            self._running = self._loop.run_in_executor(self._executor, self._decode)

    def end(self) -> None:
        """The file is over."""
        self._pipe.end()
        if self._running is None:
            self._out.put_nowait(None)

    async def pcm(self) -> AsyncGenerator[bytes, None]:
        """What has been decoded, as it is.

        Raises:
            BadAudio: it cannot be decoded, from here on.
        """
        while (piece := await self._out.get()) is not None:
            yield piece
        if not self._understood:
            raise BadAudio(f"{self._media_type} that cannot be decoded")

    async def aclose(self) -> None:
        """Give up what is left, and wait until nothing is being decoded any more."""
        self._pipe.end(drop=True)
        try:
            if self._running is not None:
                await asyncio.gather(self._running, return_exceptions=True)
        finally:
            self._executor.shutdown(wait=False)

    def _decode(self) -> None:
        """In the thread."""
        try:
            with av.open(
                self._pipe, "r", format=FORMATS[self._media_type], buffer_size=_READ_BYTES, options=_OPTIONS
            ) as container:
                self._decode_packets(container)
        except (av.FFmpegError, IndexError, ValueError):  # rubbish, or a container without sound
            self._understood = False
        finally:
            self._give(None)

    def _decode_packets(self, container: av.container.InputContainer) -> None:
        kind: tuple[str, str, int] | None = None
        resampler = av.AudioResampler(format="s16", layout="mono", rate=self._sample_rate)
        broken = 0
        for packet in container.demux(container.streams.audio[0]):
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                broken += 1
                if broken == _MOST_BROKEN:
                    raise
                continue
            broken = 0
            for frame in frames:
                before, kind = kind, (frame.format.name, frame.layout.name, frame.sample_rate)
                if before not in (None, kind):  # another file, of another kind
                    self._give(planes(resampler.resample(None)))
                    resampler = av.AudioResampler(format="s16", layout="mono", rate=self._sample_rate)
                self._give(planes(resampler.resample(frame)))
        self._give(planes(resampler.resample(None)))

    def _give(self, pcm: bytes | None) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody wants it
            self._loop.call_soon_threadsafe(self._out.put_nowait, pcm)
