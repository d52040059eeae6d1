"""From LiveKit's frames to the chunks a vendor likes: mono, at the wire's rate, joined and cut as needed.

A frame that already is a good chunk is copied once, to bytes: the replay buffer keeps them for seconds, and a view
on the frame would be larger and cost the garbage collector more than the copy does.
"""

from __future__ import annotations

from collections.abc import Sequence

import av
import numpy as np
from livekit import rtc

from ..protocol import AudioForm
from ..protocol.replay import Samples

__all__ = ["AudioFeed"]

_BYTES_PER_SAMPLE = 2


class AudioFeed:
    """Cuts the audio of one stream.

    Attributes:
        input_rate, channels, wire_rate: as given.
        shortest, longest: samples of a mono frame that is a good chunk as it is; none is where longest is 0.
        holds: bytes that wait for the next frame.

    Args:
        input_rate: Hz of the frames.
        channels: of the frames; more than one are averaged to mono.
        wire_rate: Hz of the chunks.
        form: the vendor's chunk sizes.
    """

    def __init__(self, *, input_rate: int, channels: int, wire_rate: int, form: AudioForm) -> None:
        self.input_rate = input_rate
        self.channels = channels
        self.wire_rate = wire_rate
        self._converts = channels > 1 or input_rate != wire_rate
        self._min_bytes = max(form.min_chunk_ms * wire_rate // 1000, 1) * _BYTES_PER_SAMPLE
        self._max_bytes = max(form.max_chunk_ms * wire_rate // 1000, 1) * _BYTES_PER_SAMPLE
        as_it_is = not self._converts and form.replay_pace is None
        self.shortest = self._min_bytes // _BYTES_PER_SAMPLE
        self.longest = self._max_bytes // _BYTES_PER_SAMPLE if as_it_is else 0
        self._pending: list[Samples] = []
        self.holds = 0
        self._resampler: av.AudioResampler | None = None
        if input_rate != wire_rate:
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=wire_rate)

    def push(self, frame: rtc.AudioFrame) -> Sequence[Samples]:
        """Take a frame of the feed's rate and channels; return the chunks that are complete with it."""
        data = frame.data
        count = frame.samples_per_channel * self.channels
        if len(data) != count:  # LiveKit allows a buffer that is larger than the frame in it
            data = data[:count]
        samples = data.tobytes()
        if self._converts and samples:
            samples = self._convert(samples)
        if self._min_bytes <= len(samples) <= self._max_bytes and not self.holds:
            return (samples,)
        return self._join(samples)

    def _convert(self, samples: bytes) -> bytes:
        if self.channels > 1:
            samples = downmix(samples, self.channels)
        return samples if self._resampler is None else self._resample(samples)

    def flush(self) -> Sequence[Samples]:
        """The rest, however short: what was joined so far and what the resampler holds back."""
        chunks: list[Samples] = []
        if self._resampler is not None:
            tail = b"".join(_plane(out) for out in self._resampler.resample(None))
            # a flushed resampler takes no more audio; the next utterance gets a new one
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=self.wire_rate)
            chunks.extend(self._join(tail))
        if self.holds:
            chunks.append(self._take_pending())
        return chunks

    def _resample(self, samples: Samples) -> bytes:
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples) // _BYTES_PER_SAMPLE)
        frame.sample_rate = self.input_rate
        frame.planes[0].update(bytes(samples))
        assert self._resampler is not None
        return b"".join(_plane(out) for out in self._resampler.resample(frame))

    def _join(self, samples: Samples) -> list[Samples]:
        if samples:
            self._pending.append(samples)
            self.holds += len(samples)
        if self.holds < self._min_bytes:
            return []
        whole = self._take_pending()
        if len(whole) <= self._max_bytes:
            return [whole]
        view = memoryview(whole)
        pieces: list[Samples] = [view[i : i + self._max_bytes] for i in range(0, len(view), self._max_bytes)]
        if len(pieces[-1]) < self._min_bytes:  # too short by itself: the next frame completes it
            self._pending.append(pieces.pop())
            self.holds = len(self._pending[0])
        return pieces

    def _take_pending(self) -> Samples:
        whole = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        self._pending.clear()
        self.holds = 0
        return whole


def downmix(samples: Samples, channels: int) -> bytes:
    """The mean of interleaved 16-bit *channels*."""
    interleaved = np.frombuffer(samples, dtype="<i2").reshape(-1, channels)
    mono: bytes = interleaved.mean(axis=1).astype("<i2").tobytes()
    return mono


def _plane(frame: av.AudioFrame) -> bytes:
    # a plane is padded for alignment: only its samples count
    return bytes(frame.planes[0])[: frame.samples * _BYTES_PER_SAMPLE]
