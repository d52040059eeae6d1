"""Both ends of a telephone line without a telephone: a caller's microphone and earpiece for an AgentSession.

Everything is in real time and on one time axis, that of a `Clock`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from livekit import rtc
from livekit.agents.voice import io

__all__ = ["ROOM_RATE", "Clock", "Microphone", "Samples", "Speaker", "Subtitles"]

ROOM_RATE = 24000
"""Hz of what AgentSession gets from a room, and of both sides of the recording."""

FRAME_SECONDS = 0.05
_FRAME_SAMPLES = int(ROOM_RATE * FRAME_SECONDS)

Samples = npt.NDArray[np.int16]


class Clock:
    """Seconds since the call began."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._zero = self._loop.time()

    def now(self) -> float:
        return self._loop.time() - self._zero

    def call_at(self, at: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_at(self._zero + at, callback)


class Microphone(io.AudioInput):
    """The caller's end of the line: what he says when he speaks, and the noise of his room when he does not.

    Every frame comes when its last sample would have been recorded, also after the event loop was late.
    """

    def __init__(self, clock: Clock, room_noise: float) -> None:
        super().__init__(label="Voxport caller")
        self._clock = clock
        self._noise = np.random.default_rng(1).normal(0.0, room_noise, 2 * ROOM_RATE).astype(np.int16)
        self._frames = 0
        self._waiting: Samples = np.empty(0, np.int16)
        self._said = asyncio.Event()
        self._hung_up = False
        self.recorded: list[Samples] = []
        self.level = 0.0

    @property
    def position(self) -> float:
        """Seconds of audio that went out so far: where the next sample goes."""
        return self._frames * FRAME_SECONDS

    async def say(self, samples: Samples) -> None:
        """Say it; returns when the last sample is out."""
        self._waiting = samples
        self._said.clear()
        await self._said.wait()

    def hang_up(self) -> None:
        """End the input."""
        self._hung_up = True
        self._said.set()

    async def __anext__(self) -> rtc.AudioFrame:
        due = (self._frames + 1) * FRAME_SECONDS
        await asyncio.sleep(max(due - self._clock.now(), 0))
        if self._hung_up:
            raise StopAsyncIteration
        speech, self._waiting = self._waiting[:_FRAME_SAMPLES], self._waiting[_FRAME_SAMPLES:]
        at = self._frames * _FRAME_SAMPLES % (len(self._noise) - _FRAME_SAMPLES)
        samples = np.concatenate([speech, self._noise[at : at + _FRAME_SAMPLES - len(speech)]])
        self._frames += 1
        self.recorded.append(samples)
        self.level = float(np.abs(samples).max()) / 32768
        if not len(self._waiting):
            self._said.set()
        return rtc.AudioFrame(samples.tobytes(), ROOM_RATE, 1, _FRAME_SAMPLES)


class Speaker(io.AudioOutput):
    """The caller's earpiece: plays what the agent says as fast as it is spoken, and remembers it.

    AgentSession hands audio over faster than that. A segment is reported as finished when its last sample would
    have been heard, and cut where the agent was interrupted.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(
            label="Voxport listener",
            capabilities=io.AudioOutputCapabilities(pause=False),
            sample_rate=ROOM_RATE,
        )
        self._clock = clock
        self._pieces: list[tuple[float, Samples]] = []
        self._started_at: float | None = None
        self._segment: list[tuple[float, Samples]] = []
        self._played_until = 0.0
        self._end: asyncio.TimerHandle | None = None
        self.on_first_audio: Callable[[float], None] = lambda at: None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        start = max(self._clock.now(), self._played_until)
        if self._started_at is None:
            self._started_at = start
            self.on_playback_started(created_at=time.time())
            self.on_first_audio(start)
        self._segment.append((start, np.frombuffer(frame.data, np.int16).copy()))
        self._played_until = start + frame.duration

    def flush(self) -> None:
        super().flush()
        if self._started_at is not None and self._end is None:
            self._end = self._clock.call_at(self._played_until, lambda: self._finish(interrupted=False))

    def clear_buffer(self) -> None:
        if self._started_at is not None:
            self._finish(interrupted=True)

    def level(self, at: float) -> float:
        """The loudness around *at*, from 0 to 1."""
        for start, samples in reversed(self._segment):
            if start <= at < start + len(samples) / ROOM_RATE:
                offset = int((at - start) * ROOM_RATE)
                heard = samples[max(offset - _FRAME_SAMPLES, 0) : offset + _FRAME_SAMPLES]
                return float(np.abs(heard).max()) / 32768 if len(heard) else 0.0
        return 0.0

    def track(self, length: int) -> Samples:
        """All that was heard, as *length* samples from the beginning of the call."""
        track = np.zeros(length, np.int16)
        for start, samples in self._pieces:
            at = round(start * ROOM_RATE)
            fits = samples[: max(length - at, 0)]
            track[at : at + len(fits)] = fits
        return track

    def aclose(self) -> None:
        """Stop playing."""
        if self._started_at is not None:
            self._finish(interrupted=True)

    def _finish(self, *, interrupted: bool) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None
        now = self._clock.now()
        for start, samples in self._segment:
            heard = samples if not interrupted else samples[: max(round((now - start) * ROOM_RATE), 0)]
            if len(heard):
                self._pieces.append((start, heard))
        assert self._started_at is not None
        played = sum(len(samples) for start, samples in self._pieces if start >= self._started_at) / ROOM_RATE
        self._played_until = min(self._played_until, now)
        self._started_at = None
        self._segment = []
        self.on_playback_finished(playback_position=played, interrupted=interrupted)


class Subtitles(io.TextOutput):
    """The agent's words, as they are spoken."""

    def __init__(self, on_text: Callable[[str], None]) -> None:
        super().__init__(label="Voxport subtitles", next_in_chain=None)
        self._on_text = on_text

    async def capture_text(self, text: str) -> None:
        self._on_text(text)

    def flush(self) -> None:
        """Nothing is held back."""
