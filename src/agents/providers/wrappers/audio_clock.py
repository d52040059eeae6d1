"""When each moment of a stream's audio was pushed, at next to no cost for each frame."""

from __future__ import annotations

import time
from collections import deque

from livekit import rtc
from livekit.agents import stt

__all__ = ["AudioClock"]

_now = time.monotonic

_GRAIN_SECONDS = 0.5
_KEPT_MARKS = 60  # 30 s of audio: transcripts are about what was said just now
_SLACK_SECONDS = 0.05


_Mark = tuple[int, float]
"""So many samples were pushed when it was so late."""


class AudioClock:
    """Knows when each moment of a stream's audio was pushed. Positions are seconds of audio since the first frame.

    It looks at the time every 0.5 s of audio only; in between, audio is taken to have come steadily, and no slower
    than in real time. Where it stood still, whoever asks knows on which side: what ended was before the gap, and
    what began was after it.

    Args:
        inner: the stream that gets the frames.

    Attributes:
        base: the stream's ``start_time_offset`` at the first frame.
    """

    __slots__ = ("_due", "_grain", "_inner", "_marks", "_push", "_rate", "_samples", "base")

    def __init__(self, inner: stt.RecognizeStream) -> None:
        self._inner = inner
        self._push = inner.push_frame
        self._rate = self._samples = self._due = self._grain = 0
        self._marks: deque[_Mark] = deque(maxlen=_KEPT_MARKS)
        self.base = 0.0

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        """Hand *frame* on and count it. It is the only thing done for every frame."""
        self._push(frame)
        self._samples = samples = self._samples + frame.samples_per_channel
        if samples >= self._due:
            if not self._rate:
                self._begin(frame)
            self._due = samples + self._grain
            self._marks.append((samples, _now()))

    def _begin(self, frame: rtc.AudioFrame) -> None:
        self._rate = frame.sample_rate
        self._grain = round(_GRAIN_SECONDS * self._rate)
        self._marks.append((0, _now()))
        self.base = self._inner.start_time_offset

    @property
    def position(self) -> float:
        """Seconds pushed so far."""
        return self._samples / self._rate if self._rate else 0.0

    def when_ended(self, position: float) -> float | None:
        """When the sound that ends at *position* was pushed, on ``time.monotonic``.

        ``None``: it was not pushed at all, or long ago.
        """
        found = self._around(position)
        if found is None:
            return None
        (before, moment), _, pace = found
        return moment + (position - before / self._rate) * pace

    def when_began(self, position: float) -> float | None:
        """When the sound that begins at *position* was pushed; ``None`` as for :meth:`when_ended`."""
        found = self._around(position)
        if found is None:
            return None
        _, (after, moment), pace = found
        return moment - (after / self._rate - position) * pace

    def _around(self, position: float) -> tuple[_Mark, _Mark, float] | None:
        """The last mark before *position* and the first after it, which may be now, and the pace between them."""
        marks, sample = self._marks, round(position * self._rate)
        if not marks or not marks[0][0] <= sample <= self._samples + _SLACK_SECONDS * self._rate:
            return None
        after = max(self._samples, sample), _now()
        for mark in reversed(marks):
            if mark[0] <= sample:
                return mark, after, self._pace(mark, after)
            after = mark
        return None

    def _pace(self, before: _Mark, after: _Mark) -> float:
        """Seconds that a second of the audio between the two took: 1 in real time, less for a recording."""
        samples = after[0] - before[0]
        return min((after[1] - before[1]) * self._rate / samples, 1.0) if samples else 0.0
