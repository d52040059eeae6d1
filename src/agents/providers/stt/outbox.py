"""Audio on its way out: from LiveKit's frames to messages on a connection, across all connections of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from livekit import rtc

from ..protocol import AudioForm
from ..protocol.replay import FLUSH, ReplayBuffer, Samples, is_loud
from ..transport.failures import ConnectionFailed
from .feed import AudioFeed
from .link import Link, mistake

__all__ = ["LOUD_PEAK", "Outbox"]

LOUD_PEAK = 1000
"""A sample above this (of 32767) may be speech."""

_BYTES_PER_SAMPLE = 2


class Outbox:
    """Takes frames at any time; sends what waits whenever there is a connection.

    Args:
        form: the vendor's rates and chunk sizes.
        own_rate: Hz of the adapter, for vendors that do not take the rate that comes.
        keep_seconds: how much audio that is not final yet is kept for a reconnect.
        on_gap: called with (seconds on the connection, seconds of the stream) where audio had to be dropped.

    Attributes:
        rate: Hz on the wire; *own_rate* until the first frame.
        last_audio_at: when the last frame came, as ``monotonic`` has it.
        ended: no more audio will come.
        replayed: samples sent more than once.
    """

    def __init__(
        self, *, form: AudioForm, own_rate: int, keep_seconds: float, on_gap: Callable[[float, float], None]
    ) -> None:
        self._form = form
        self._own_rate = own_rate
        self._keep_seconds = keep_seconds
        self._on_gap = on_gap
        self._feed: AudioFeed | None = None
        self._buffer: ReplayBuffer | None = None
        self._loop = asyncio.get_running_loop()
        self._progress: asyncio.Event | None = None  # made when somebody waits for it
        self._furthest_sent = 0
        self._reported = 0
        self._reported_dropped = 0
        self.rate = own_rate
        self.last_audio_at = monotonic()
        self.ended = False
        self.replayed = 0

    # ------------------------------------------------------------------ in

    @property
    def empty(self) -> bool:
        """Whether no audio came yet."""
        return self._buffer is None

    def push(self, frame: rtc.AudioFrame) -> None:
        """Take a frame. The first one settles the rate: LiveKit allows no other one after it."""
        now = self.last_audio_at = monotonic()
        buffer, feed = self._buffer, self._feed
        if buffer is None:
            self.rate = self._form.wire_rate(frame.sample_rate, self._own_rate)
            buffer = self._buffer = ReplayBuffer(self.rate, keep_seconds=self._keep_seconds, form=self._form)
        if feed is None or feed.channels != frame.num_channels:
            feed = self._renew_feed(frame, now)
        for chunk in feed.push(frame):
            buffer.append(chunk, now)

    def push_through(self, frame: rtc.AudioFrame, link: Link) -> None:
        """Take a frame and send on *link*, which is live and not busy, what is complete with it.

        This is what runs for every frame of every stream, and between two frames of one stream come those of all
        others, so what counts is how much code it touches: a good chunk goes the short way.
        """
        feed, data = self._feed, frame.data
        if (
            feed is not None
            and feed.shortest <= len(data) <= feed.longest
            and len(data) == frame.samples_per_channel  # one channel, and nothing behind the samples
            and not feed.holds
        ):
            self._pass_on(data.tobytes(), monotonic(), link)
        elif feed is None or feed.channels != frame.num_channels or self._form.replay_pace:
            self.push(frame)
            link.run(lambda: self.send_pending(link))
        else:
            now = self.last_audio_at = monotonic()
            for chunk in feed.push(frame):
                self._pass_on(chunk, now, link)

    def _pass_on(self, chunk: Samples, now: float, link: Link) -> None:
        """Send *chunk*, new audio, unless something else goes first."""
        self.last_audio_at = now
        buffer = self._buffer
        assert buffer is not None, "made with the feed"
        position = buffer.pass_on(chunk, now) if link.live and not link.sending else None
        if position is None:
            buffer.append(chunk, now)
            link.run(lambda: self.send_pending(link))
            return
        if position != link.origin + link.samples:
            self._note_gap(link, position)
        try:
            messages = (chunk,) if link.plain_audio else link.conversation.audio(chunk)
        except Exception as error:
            link.fail(mistake(error, link.settings))
            return
        link.send_now(messages, now, self.send_pending)
        if not link.live:
            return
        # as _note_sent has it for audio that may have been sent before
        count = len(chunk) // _BYTES_PER_SAMPLE
        link.samples += count
        self._furthest_sent = position + count
        if self._progress is not None:
            self._progress.set()
        if now - link.last_received > link.suspicious_after and is_loud(chunk, LOUD_PEAK):
            link.sent_speech(count, now)

    def _renew_feed(self, frame: rtc.AudioFrame, now: float) -> AudioFeed:
        self._flush_feed(now)
        self._feed = AudioFeed(
            input_rate=frame.sample_rate, channels=frame.num_channels, wire_rate=self.rate, form=self._form
        )
        return self._feed

    def flush(self) -> bool:
        """The caller wants all audio so far to be final. Returns whether there is any."""
        if self._buffer is None:
            return False
        self._flush_feed(monotonic())
        self._buffer.flush()
        return True

    def _flush_feed(self, now: float) -> None:
        if self._feed is not None and self._buffer is not None:
            for chunk in self._feed.flush():
                self._buffer.append(chunk, now)

    # ------------------------------------------------------------------ out

    def go_live(self, link: Link) -> float:
        """From here on audio goes out on *link*, first what no final has covered.

        Returns where that starts, in seconds of the stream.
        """
        origin = self._buffer.rewind() if self._buffer is not None else 0
        link.go_live(origin)
        if self.ended or not self.empty:
            link.run(lambda: self.send_pending(link))
        return origin / self.rate

    async def send_pending(self, link: Link) -> None:
        """Send all that waits, in order. There is one writer at a time, or audio would go out of order."""
        if link.sending:
            return
        link.sending = True
        buffer = self._buffer
        try:
            while link.live and buffer is not None and (item := buffer.take()) is not None:
                if not isinstance(item, tuple):
                    assert item is FLUSH
                    await link.send(link.ask("flush"))
                    continue
                position, samples = item
                if position != link.origin + link.samples:
                    self._note_gap(link, position)
                await link.send(link.ask("audio", samples))
                self._note_sent(link, position, samples)
                if self._form.replay_pace is not None:
                    await self._keep_pace(link, self._form.replay_pace)
            if link.live and self.ended and not link.closing:
                link.closing = True
                await link.send(link.ask("close"))
        except ConnectionFailed as failed:
            link.fail(failed.failure)
        finally:
            link.sending = False

    def _note_gap(self, link: Link, position: int) -> None:
        """Audio before *position* was dropped before it could be sent."""
        self._on_gap(link.samples / self.rate, position / self.rate)
        link.origin = position - link.samples

    def _note_sent(self, link: Link, position: int, samples: Samples) -> None:
        count = len(samples) // _BYTES_PER_SAMPLE
        link.samples += count
        end = position + count
        if end > self._furthest_sent:
            if position > self._furthest_sent:  # what lies between was dropped, and never sent
                self._reported += position - self._furthest_sent
            self._furthest_sent = end
        else:
            self.replayed += count
        if self._progress is not None:
            self._progress.set()
        if link.last_sent - link.last_received > link.suspicious_after and is_loud(samples, LOUD_PEAK):
            link.sent_speech(count, link.last_sent)

    async def _keep_pace(self, link: Link, pace: float) -> None:
        ahead = link.samples / self.rate - pace * (monotonic() - link.live_at) - 1.0
        if ahead > 0:
            await asyncio.sleep(ahead / pace)

    # ------------------------------------------------------------------ what became of it

    @property
    def sent_seconds(self) -> float:
        """Where sending stands on the stream's clock."""
        return self._buffer.sent / self.rate if self._buffer is not None else 0.0

    @property
    def waiting_seconds(self) -> float:
        """Audio that waits to be sent."""
        return self._buffer.unsent / self.rate if self._buffer is not None else 0.0

    @property
    def all_final(self) -> bool:
        """Whether finals cover all audio that came."""
        return self._buffer is None or self._buffer.all_final

    @property
    def unheard_seconds(self) -> float:
        """Audio loud enough for speech that no final covers."""
        return self._buffer.loud_seconds(LOUD_PEAK) if self._buffer is not None else 0.0

    def acknowledge(self, seconds: float) -> bool:
        """Audio before *seconds* is final. Returns whether that is news."""
        buffer = self._buffer
        if buffer is None:
            return False
        position = round(seconds * self.rate)
        if position <= buffer.acknowledged:
            return False
        before = buffer.acknowledged
        buffer.acknowledge(position)
        return buffer.acknowledged > before

    def answered(self) -> None:
        """A final without times came: some of what was sent so far is final."""
        if self._buffer is not None:
            self._buffer.answered(self._buffer.sent)

    def flush_answered(self, through: float | None) -> float | None:
        """The vendor answered a flush: audio is final up to where, in seconds of the stream.

        Args:
            through: what the answer itself says, if it does.
        """
        if self._buffer is None:
            return None
        position = self._buffer.flush_answered(None if through is None else round(through * self.rate))
        return position / self.rate if position is not None else None

    def give_up(self) -> float:
        """Count all audio that is not final as dropped; how many seconds that is."""
        buffer = self._buffer
        if buffer is None:
            return 0.0
        left = buffer.end - buffer.acknowledged
        buffer.dropped += left
        return left / self.rate

    @property
    def unreported_seconds(self) -> float:
        """Audio sent for the first time since :meth:`take_usage`."""
        return (self._furthest_sent - self._reported) / self.rate

    def take_usage(self) -> float:
        """Seconds of audio sent since the last call; audio that had to be sent again counts once."""
        seconds = self.unreported_seconds
        self._reported = self._furthest_sent
        return seconds

    @property
    def uncounted_loss(self) -> float:
        """Seconds of audio dropped since :meth:`take_dropped`."""
        dropped = self._buffer.dropped if self._buffer is not None else 0
        return (dropped - self._reported_dropped) / self.rate

    def take_dropped(self) -> float:
        """Seconds of audio dropped since the last call."""
        seconds = self.uncounted_loss
        if self._buffer is not None:
            self._reported_dropped = self._buffer.dropped
        return seconds

    def stop_waiting(self) -> None:
        """Let :meth:`wait_for_progress` return: nothing will be sent any more."""
        if self._progress is not None:
            self._progress.set()

    async def wait_for_progress(self) -> None:
        """Wait until a chunk is sent. Several may wait."""
        progress = self._progress
        if progress is None or progress.is_set():
            progress = self._progress = asyncio.Event()
        await progress.wait()
        if self._progress is progress:
            self._progress = None
