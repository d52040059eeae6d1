"""The audio of one caller that no FINAL has covered, as frames to give to whoever hears the caller next."""

from __future__ import annotations

from collections.abc import Iterator

from livekit import rtc

from ..protocol.replay import ReplayBuffer
from ..stt.feed import downmix
from .failover_silence import EnergyGate

__all__ = ["KeptAudio"]

_BYTES_PER_SAMPLE = 2


class KeptAudio:
    """Keeps frames at the rate they come in, as mono.

    Args:
        keep_seconds: how much is kept at most.

    Attributes:
        loud: the last frame may hold speech.
        loud_until: seconds of the audio until which there was any.
    """

    def __init__(self, keep_seconds: float) -> None:
        self._keep_seconds = keep_seconds
        self._buffer: ReplayBuffer | None = None
        self._gate = EnergyGate()
        self._rate = 0
        self._reported_dropped = 0
        self.loud = False
        self.loud_until = 0.0

    @property
    def empty(self) -> bool:
        """No audio came yet."""
        return self._buffer is None

    def push(self, frame: rtc.AudioFrame, now: float) -> rtc.AudioFrame | None:
        """Keep *frame*. Returns it as mono; ``None`` when there is nothing in it."""
        channels, count = frame.num_channels, frame.samples_per_channel
        if not count:
            return None
        samples = frame.data.cast("B")
        if len(samples) != count * channels * _BYTES_PER_SAMPLE:
            samples = samples[: count * channels * _BYTES_PER_SAMPLE]
        if channels > 1:
            frame = rtc.AudioFrame(downmix(samples, channels), frame.sample_rate, 1, count)
            samples = frame.data.cast("B")
        if self._buffer is None:
            self._rate = frame.sample_rate
            self._buffer = ReplayBuffer(self._rate, keep_seconds=self._keep_seconds)
        self._buffer.append(samples, now)
        self.loud = self._gate.loud(samples, count / self._rate)
        if self.loud:
            self.loud_until = self._buffer.end / self._rate
        return frame

    def flush(self) -> None:
        """Remember that the caller flushed here."""
        if self._buffer is not None:
            self._buffer.flush()

    def given(self) -> None:
        """What was pushed or flushed last went out as it came."""
        if self._buffer is not None:
            self._buffer.take()

    def rewind(self) -> float:
        """Begin again with the first sample no final covers; returns its place in seconds."""
        return self._buffer.rewind() / self._rate if self._buffer is not None else 0.0

    def pending(self) -> Iterator[rtc.AudioFrame | None]:
        """What is to be given, in order; ``None`` stands for a flush. What is taken counts as given."""
        while self._buffer is not None and (item := self._buffer.take()) is not None:
            if isinstance(item, tuple):
                samples = item[1]
                yield rtc.AudioFrame(bytes(samples), self._rate, 1, len(samples) // _BYTES_PER_SAMPLE)
            else:
                yield None

    def acknowledge(self, seconds: float) -> None:
        """Finals cover everything before *seconds*."""
        if self._buffer is not None:
            self._buffer.acknowledge(round(seconds * self._rate))

    def answered(self) -> None:
        """A final without times came: nothing of what was given is lost when it cannot be kept."""
        if self._buffer is not None:
            self._buffer.answered(self._buffer.sent)

    @property
    def seconds(self) -> float:
        """All the audio there was."""
        return self._buffer.end / self._rate if self._buffer is not None else 0.0

    @property
    def given_seconds(self) -> float:
        """Where giving stands."""
        return self._buffer.sent / self._rate if self._buffer is not None else 0.0

    @property
    def unheard_seconds(self) -> float:
        """Audio loud enough for speech that no final covers."""
        return self._buffer.loud_seconds(self._gate.threshold) if self._buffer is not None else 0.0

    @property
    def pause_seconds(self) -> float:
        """The silence that follows what finals cover."""
        return self._buffer.quiet_seconds(self._gate.threshold) if self._buffer is not None else 0.0

    def take_dropped(self) -> float:
        """Seconds that could not be kept, since the last call."""
        dropped = self._buffer.dropped if self._buffer is not None else 0
        news, self._reported_dropped = dropped - self._reported_dropped, dropped
        return news / self._rate if self._rate else 0.0
