"""The memory of the stream: every sample no FINAL has covered yet, ready to be sent again.

Positions count samples since the stream began (its audio clock). Three of them move forwards only:
``acknowledged`` ≤ ``end``, and ``sent``, which :meth:`ReplayBuffer.rewind` takes back to ``acknowledged``.

Audio is kept until it is acknowledged, but no longer than *keep_seconds*. What had to be let go is counted in
:attr:`ReplayBuffer.dropped`, in two ways: audio that was never sent counts at once; audio that was sent but not
acknowledged counts when a reconnect would have needed it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import Final, Union

from .audio import AudioForm

__all__ = ["FLUSH", "Chunk", "ReplayBuffer", "Samples", "is_loud"]

_BYTES_PER_SAMPLE: Final = 2
_MAX_PENDING_FLUSHES: Final = 64
_FLUSH_TRIES: Final = 2
"""A flush on which so many connections broke is not sent again: some servers close at what they do not know."""

Samples = Union[bytes, bytearray, memoryview]
Chunk = tuple[int, Samples]
"""The position of the first sample, and the samples: mono, signed 16-bit, little-endian."""


class _Flush:
    def __repr__(self) -> str:
        return "FLUSH"


FLUSH: Final = _Flush()
"""Taken from the buffer where the caller flushed."""


def is_loud(samples: Samples, peak: int) -> bool:
    """Whether *samples* exceed *peak*. Every 16th is enough to see speech, and costs next to nothing."""
    view = memoryview(samples).cast("B").cast("h")[::16]
    return len(view) > 0 and (max(view) > peak or min(view) < -peak)


class ReplayBuffer:
    """Audio between the caller and the vendor.

    Args:
        sample_rate: Hz, of the audio that goes over the wire.
        keep_seconds: how much audio is kept at most, counted in audio and in age: audio pushed faster than real
            time is not old yet. Age is known to within a second.
        form: the vendor's chunk sizes, kept when a chunk is cut in two by an acknowledgement.
    """

    def __init__(self, sample_rate: int, *, keep_seconds: float, form: AudioForm | None = None) -> None:
        form = form or AudioForm()
        self.sample_rate = sample_rate
        self._keep_seconds = keep_seconds
        self._keep_samples = keep_seconds * sample_rate
        self._min_chunk = form.min_chunk_ms * sample_rate // 1000
        self._max_chunk = form.max_chunk_ms * sample_rate // 1000
        self._chunks: deque[Samples] = deque()  # without a gap from position _start to end
        # when audio came, as (position, time), noted often enough to tell its age and no more
        self._arrivals: deque[tuple[int, float]] = deque()
        self._arrivals_apart = min(keep_seconds / 16, 1.0)
        self._arrival_due = -math.inf
        self._start = 0
        self._next = 0  # index of the first chunk not sent yet; its position is sent
        self._flushes: list[int] = []  # positions, oldest first
        self._flushes_sent = 0
        self._flush_tries = 0  # on how many connections the oldest flush was sent
        self._answered = 0
        self.acknowledged = 0
        self.end = 0
        self.sent = 0
        self.dropped = 0

    def append(self, samples: Samples, now: float) -> None:
        """Add audio that arrived at *now* (seconds of any monotonic clock)."""
        if now >= self._arrival_due:
            self._note_arrival(now)
        self._chunks.append(samples)
        self.end += len(samples) // _BYTES_PER_SAMPLE
        if self.end - self._start > self._keep_samples:
            self._let_go(now)

    def pass_on(self, samples: Samples, now: float) -> int | None:
        """Add audio that is sent at once, if all before it was: :meth:`append` and :meth:`take` in one.

        Returns its position; ``None``, and nothing is added, where something else is to be sent first.
        """
        if self._next != len(self._chunks) or self._flushes_sent != len(self._flushes):
            return None
        if now >= self._arrival_due:
            self._note_arrival(now)
        position = self.end
        self._chunks.append(samples)
        self._next += 1
        self.end = self.sent = end = position + len(samples) // _BYTES_PER_SAMPLE
        if end - self._start > self._keep_samples:
            self._let_go(now)
        return position

    def _note_arrival(self, now: float) -> None:
        self._arrivals.append((self.end, now))
        self._arrival_due = now + self._arrivals_apart
        self._oldest_arrival()

    def _oldest_arrival(self) -> float:
        """When the first chunk came, or up to ``_arrivals_apart`` before; older notes are thrown away."""
        arrivals = self._arrivals
        while len(arrivals) > 1 and arrivals[1][0] <= self._start:
            arrivals.popleft()
        return arrivals[0][1]

    def _let_go(self, now: float) -> None:
        oldest_kept = now - self._keep_seconds - self._arrivals_apart
        while (
            len(self._chunks) > 1
            and self.end - self._start > self._keep_samples
            and self._oldest_arrival() < oldest_kept
        ):
            self._drop_first()
            if self._next:
                self._next -= 1
            else:  # never sent; with it goes what was sent, let go before and not final
                self._lose(self._start)
                self.sent = self._start

    def _drop_first(self) -> None:
        self._start += len(self._chunks.popleft()) // _BYTES_PER_SAMPLE

    def _lose(self, position: int) -> None:
        """Nothing before *position* can be sent again; what was answered without times is not lost by that."""
        self.dropped += max(0, position - max(self.acknowledged, self._answered))
        self.acknowledged = position

    def flush(self) -> None:
        """Remember that the caller flushed here."""
        self._flushes.append(self.end)
        if len(self._flushes) > _MAX_PENDING_FLUSHES:  # a vendor that never answers
            self._flushes.pop(0)
            self._flushes_sent = max(0, self._flushes_sent - 1)
            self._flush_tries = 0

    def take(self) -> Chunk | _Flush | None:
        """The next thing to send, in order; ``None`` when all is sent."""
        flushes = self._flushes
        if self._flushes_sent < len(flushes) and flushes[self._flushes_sent] <= self.sent:
            self._flushes_sent += 1
            return FLUSH
        if self._next == len(self._chunks):
            return None
        position, samples = self.sent, self._chunks[self._next]
        self._next += 1
        self.sent = position + len(samples) // _BYTES_PER_SAMPLE
        return position, samples

    def acknowledge(self, position: int) -> None:
        """All audio before *position* is final: it need not be kept."""
        position = min(position, self.sent)
        if position <= self.acknowledged:
            return
        self.acknowledged = position
        chunks, start, sent = self._chunks, self._start, self._next
        while sent and (end := start + len(chunks[0]) // _BYTES_PER_SAMPLE) <= position:
            chunks.popleft()
            start, sent = end, sent - 1
        self._start, self._next = start, sent

    def answered(self, position: int) -> None:
        """A final without times came when *position* had been sent.

        Which audio it covers is not known, so all of it is kept; what cannot be kept any longer is not lost.
        """
        self._answered = max(self._answered, min(position, self.sent))

    def flush_answered(self, through: int | None = None) -> int | None:
        """The vendor answered a flush: everything before that flush is final.

        Args:
            through: the position up to which the answer says so. Without one, the answer is to the oldest flush
                that was sent; then a vendor that answers twice is believed twice.

        Returns the position up to which audio is final by this answer, or ``None`` when none was waiting for one.
        """
        if not self._flushes_sent:
            return None
        if through is None:
            position = self._take_flush()
        else:
            position = through
            while self._flushes_sent and self._flushes[0] <= through + self._min_chunk:  # vendors round
                self._take_flush()
        self.acknowledge(position)
        return position

    def _take_flush(self) -> int:
        self._flushes_sent -= 1
        self._flush_tries = 0
        return self._flushes.pop(0)

    def rewind(self) -> int:
        """Start again on a new connection: the next :meth:`take` gives the first sample that is not final.

        Returns that sample's position. Flushes that were sent and whose audio is final by now have done their
        work; the others are sent again, but not for ever.
        """
        self._next = 0
        if self._chunks and self._start > self.acknowledged:
            self._lose(self._start)
        while self._flushes_sent and self._flushes[0] <= self.acknowledged:
            self._take_flush()
        if self._flushes_sent:
            self._flush_tries += 1
            if self._flush_tries == _FLUSH_TRIES:
                at = self._take_flush()
                while self._flushes and self._flushes[0] == at:
                    self._flushes.pop(0)
        self._flushes_sent = 0
        self.sent = self.acknowledged
        if self._chunks and self._start < self.acknowledged:
            self._cut_first()
        return self.acknowledged

    def _cut_first(self) -> None:
        """Take the part that is final off the first chunk; join a rest that is too short to the next chunk."""
        chunks = self._chunks
        done = self.acknowledged - self._start
        rest: Samples = memoryview(chunks.popleft()).cast("B")[done * _BYTES_PER_SAMPLE :]
        self._start = self.acknowledged
        too_short = len(rest) < self._min_chunk * _BYTES_PER_SAMPLE
        following = self._start + len(rest) // _BYTES_PER_SAMPLE
        if too_short and chunks and following not in self._flushes:  # a flush stays between the two
            rest = b"".join((rest, chunks.popleft()))
            if len(rest) > self._max_chunk * _BYTES_PER_SAMPLE:  # two halves, or one would be too short again
                half = len(rest) // (2 * _BYTES_PER_SAMPLE) * _BYTES_PER_SAMPLE
                chunks.appendleft(rest[half:])
                rest = rest[:half]
        chunks.appendleft(rest)

    def loud_seconds(self, peak: int) -> float:
        """Seconds of chunks that are not final and exceed *peak* (of 32767) somewhere: they may hold speech."""
        loud = 0
        for position, samples in self._positions():
            count = len(samples) // _BYTES_PER_SAMPLE
            if position + count > self.acknowledged and is_loud(samples, peak):
                loud += min(count, position + count - self.acknowledged)
        return loud / self.sample_rate

    def quiet_seconds(self, peak: int) -> float:
        """Seconds from the end of what is final to the first chunk that exceeds *peak* (of 32767) anywhere."""
        for position, samples in self._positions():
            if position + len(samples) // _BYTES_PER_SAMPLE > self.acknowledged and is_loud(samples, peak):
                return max(position - self.acknowledged, 0) / self.sample_rate
        return (self.end - self.acknowledged) / self.sample_rate

    def _positions(self) -> Iterator[Chunk]:
        position = self._start
        for samples in self._chunks:
            yield position, samples
            position += len(samples) // _BYTES_PER_SAMPLE

    @property
    def unsent(self) -> int:
        """Samples that wait to be sent on this connection."""
        return self.end - self.sent

    @property
    def all_final(self) -> bool:
        """Whether every sample is acknowledged."""
        return self.acknowledged >= self.end
