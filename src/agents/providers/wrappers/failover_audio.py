"""The audio of one caller that no FINAL has covered, as frames to give to whoever hears the caller next.

Frames are kept as they came, without a copy, and are only counted when they come: twenty to a hundred of them a
second are what a stream costs. What else there is to know of them is found out when somebody asks, about once a
second, and of a tenth of a second from one frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from livekit import rtc

from ..protocol.replay import is_loud
from .failover_silence import QUIETEST_PEAK, EnergyGate

__all__ = ["Heard", "KeptAudio"]

_MAX_FLUSHES = 64

_LOOK_SECONDS = 0.1
"""One frame tells of so much audio whether it is loud. The next look begins where the last one ended."""


class Heard(NamedTuple):
    """What may have been speech in the audio since the last look.

    Attributes:
        seconds: in all of it.
        unanswered: of it, since the last answer.
        ago: how many seconds of audio before the last frame's end *unanswered* began.
    """

    seconds: float = 0.0
    unanswered: float = 0.0
    ago: float = 0.0


class KeptAudio:
    """Keeps mono frames at the rate they come in. Positions count samples.

    Args:
        keep_seconds: how much is kept at most, counted in audio and in age: audio pushed faster than real time is
            not old yet.

    Attributes:
        rate: Hz; 0 before the first frame.
        step: samples of every frame there was; 0: they differ.
        keep: takes a frame of *step* samples; whoever calls it adds them to *end*.
        end: all there was.
        given: so far it was given to whoever hears the caller.
        acknowledged: so far finals cover it.
        loud: the last frame that was looked at may hold speech.
        loud_until: where the last frame ends that may.
    """

    def __init__(self, keep_seconds: float) -> None:
        self._keep_seconds = keep_seconds
        self._frames: list[rtc.AudioFrame] = []
        self._first = 0  # position of the first frame
        self._flushes: deque[int] = deque()
        self._reached: deque[tuple[float, int]] = deque()  # at that time, the audio had come so far
        self._answered = 0
        self._looked = 0
        self._dropped = self._reported_dropped = 0
        self._gate = EnergyGate()
        self.rate = self.step = 0
        self.keep = self._frames.append
        self.end = self.given = self.acknowledged = 0
        self.loud = False
        self.loud_until = 0

    def push(self, frame: rtc.AudioFrame, samples: int) -> None:
        """Keep *frame*: mono, with so many *samples*, and with the rate of all the others."""
        if samples != self.step:
            self.step = 0 if self.end else samples
        self.keep(frame)
        self.end += samples

    def flush(self) -> None:
        """Remember that the caller flushed here."""
        self._flushes.append(self.end)
        if len(self._flushes) > _MAX_FLUSHES:  # a recogniser that never answers
            self._flushes.popleft()

    # ------------------------------------------------------------------ what need not be kept

    def acknowledge(self, seconds: float) -> None:
        """Finals cover everything before *seconds*."""
        position = min(round(seconds * self.rate), self.given)
        if position <= self.acknowledged:
            return
        self.acknowledged = position
        self._forget(position)

    def _forget(self, position: int, *, but: int = 0) -> None:
        """Keep no frame that ends before *position*, except the last so many."""
        step, frames = self.step, self._frames
        if step:
            count = min((position - self._first) // step, len(frames) - but)
            if count > 0:
                del frames[:count]
                self._first += count * step
            return
        while len(frames) > but and self._first + (samples := frames[0].samples_per_channel) <= position:
            del frames[0]
            self._first += samples

    def answered(self) -> None:
        """A final without times came: nothing of what was given is lost when it cannot be kept."""
        self._answered = self.given

    def let_go(self, now: float) -> None:
        """Drop what is too old at *now*, in seconds of any clock. Call it regularly while audio comes."""
        reached, oldest = self._reached, now - self._keep_seconds
        if not reached or reached[-1][1] != self.end:
            reached.append((now, self.end))
        while len(reached) > 1 and reached[1][0] < oldest:
            reached.popleft()
        too_much = self.end - round(self._keep_seconds * self.rate)
        if self._first >= too_much or reached[0][0] >= oldest:
            return
        too_old = min(too_much, reached[0][1])
        self._forget(too_old, but=1)
        if self._first > self.given:  # nobody ever heard it
            self._lose()
            self.given = self._first

    def _lose(self) -> None:
        """What was let go cannot be given again; what was answered without times is not lost by that."""
        self._dropped += max(0, self._first - max(self.acknowledged, self._answered))
        self.acknowledged = self._first

    def take_dropped(self) -> float:
        """Seconds that could not be kept, since the last call."""
        news, self._reported_dropped = self._dropped - self._reported_dropped, self._dropped
        return news / self.rate if self.rate else 0.0

    # ------------------------------------------------------------------ giving it again

    def rewind(self) -> float:
        """Begin again with the first sample no final covers; returns its place in seconds."""
        if self._first > self.acknowledged:
            self._lose()
        while self._flushes and self._flushes[0] <= self.acknowledged:
            self._flushes.popleft()
        self.given = self.acknowledged
        return self.acknowledged / self.rate if self.rate else 0.0

    def pending(self) -> Iterator[rtc.AudioFrame | None]:
        """What is to be given, in order; ``None`` stands for a flush. What is taken counts as given."""
        position, flushes = self._first, deque(self._flushes)
        for frame in list(self._frames):
            while flushes and flushes[0] <= position:
                flushes.popleft()
                yield None
            begin = position
            position += frame.samples_per_channel
            if position > self.given:
                skip, self.given = self.given - begin, position
                yield frame if skip <= 0 else _rest(frame, skip)
        yield from (None for _ in flushes)

    # ------------------------------------------------------------------ how loud it is

    def look(self, since: int, *, closely: bool) -> Heard:
        """Look at the audio that came since the last time.

        Args:
            since: the position at which the recogniser answered last.
            closely: also at audio it has answered since; of that, the level is learnt from one frame.
        """
        rate = self.rate
        begin = self._looked if closely else max(self._looked, since)
        self._looked = self.end
        loud = unanswered = 0
        first = self.end
        for frame, start, end in reversed(self._stretches(begin)):
            self.loud = self._gate.loud(frame.data, (end - start) / rate)
            if self.loud:
                loud += end - start
                self.loud_until = end
                if start >= since:
                    unanswered += end - start
                    first = min(first, start)
        return Heard(loud / rate, unanswered / rate, (self.end - first) / rate)

    def _stretches(self, begin: int) -> list[tuple[rtc.AudioFrame, int, int]]:
        """The audio from *begin* on, at least one frame, in stretches from the last to the first.

        Each has its last frame, which stands for all, and where it begins and ends.
        """
        wide = self.rate * _LOOK_SECONDS
        found: list[tuple[rtc.AudioFrame, int, int]] = []
        position = self.end
        for frame in reversed(self._frames):
            if found and position <= begin:
                break
            start = position - frame.samples_per_channel
            if found and found[-1][2] - start <= wide:
                found[-1] = (found[-1][0], start, found[-1][2])
            else:
                found.append((frame, start, position))
            position = start
        return found

    @property
    def unheard_seconds(self) -> float:
        """Audio loud enough for speech, in the noise there is, that no final covers."""
        return self._uncovered_seconds(self._gate.threshold)

    @property
    def audible_seconds(self) -> float:
        """Audio louder than silence that no final covers. Sound without a pause may be speech as well as noise."""
        return self._uncovered_seconds(QUIETEST_PEAK)

    def _uncovered_seconds(self, peak: int) -> float:
        loud = sum(min(count, end - self.acknowledged) for end, count in self._loud_frames(peak))
        return loud / self.rate if loud else 0.0

    @property
    def pause_seconds(self) -> float:
        """The silence that follows what finals cover."""
        found = next(self._loud_frames(self._gate.threshold), None)
        quiet_until = found[0] - found[1] if found is not None else self.end
        return max(quiet_until - self.acknowledged, 0) / self.rate if self.rate else 0.0

    def _loud_frames(self, peak: int) -> Iterator[tuple[int, int]]:
        """Where frames end and how long they are that no final covers, and that exceed *peak*."""
        position = self._first
        for frame in self._frames:
            count = frame.samples_per_channel
            position += count
            if position > self.acknowledged and is_loud(frame.data[:count], peak):
                yield position, count

    # ------------------------------------------------------------------ in seconds

    @property
    def seconds(self) -> float:
        """All the audio there was."""
        return self.end / self.rate if self.rate else 0.0

    @property
    def given_seconds(self) -> float:
        """Where giving stands."""
        return self.given / self.rate if self.rate else 0.0

    @property
    def quiet_seconds(self) -> float:
        """The silence at the end, as far as it was looked at."""
        return (self.end - self.loud_until) / self.rate if self.rate else 0.0


def _rest(frame: rtc.AudioFrame, skip: int) -> rtc.AudioFrame:
    """*frame* without its first *skip* samples."""
    count = frame.samples_per_channel
    return rtc.AudioFrame(frame.data[skip:count].tobytes(), frame.sample_rate, 1, count - skip)
