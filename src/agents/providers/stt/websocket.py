"""Streaming recognition over a WebSocket, for any vendor.

How it works, from top to bottom:

* :class:`WebSocketSpeechStream` is one caller's audio. One task of it, the *pump*, takes frames from LiveKit, puts
  them into the replay buffer and sends what waits there. The other, the *supervisor*, connects, reads what the
  vendor says, and connects again whenever the connection ends before the caller does. A timer looks after what
  neither of them sees: silence of the vendor, idle connections, session limits.
* A :class:`~.link.Link` is one connection: the socket and the protocol's conversation on it.
* What a vendor's messages mean is the protocol's business, what LiveKit hears the assembler's, what must be sent
  again the replay buffer's. None of them does I/O, and nothing here knows a vendor.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from typing import TYPE_CHECKING, Any

from livekit import rtc
from livekit.agents import APIConnectOptions, stt, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from ..protocol import (
    Backoff,
    Failure,
    Final,
    Finished,
    Flushed,
    Partial,
    Ready,
    Settings,
    Usage,
    Verdict,
)
from ..protocol.assembler import TranscriptAssembler
from ..protocol.replay import FLUSH, ReplayBuffer, Samples, is_loud
from .adapter import OnFailure
from .failures import ConnectionFailed, api_error
from .feed import AudioFeed
from .link import NO_STATUS, Link, connect

if TYPE_CHECKING:
    from .streaming import CustomWebSocketSTTAdapter

__all__ = ["WebSocketSpeechStream"]

logger = logging.getLogger("agents.providers.stt")

_USAGE_SECONDS = 5.0
"""Usage is reported in steps of so much audio."""

_LOUD = 500
"""A peak above this (of 32767) may be speech."""

_UNHEARD_SECONDS = 0.1
"""So much loud audio without a final at the end is not just the tail of the last word."""

_HELD_END_SECONDS = 3.0
"""How long END waits for the final that belongs before it."""

_UNREADABLE_LIMIT = 100
"""So many messages in a row that no protocol knows: this is not the service it should be."""

_BACKLOG_INTERIMS = 1000
"""So many events nobody has read: interims are left out, since a later one replaces them anyway."""

_BACKLOG_LIMIT = 5000
"""So many events nobody has read: the socket is not read on until half of them are."""

_GIVE_UP_SECONDS = 30.0
"""After end_input, a vendor that cannot be reached for so long will not give the rest any more."""


class WebSocketSpeechStream(stt.SpeechStream):
    """One caller's audio on its way to the vendor, and what comes back.

    Made by :meth:`CustomWebSocketSTTAdapter.stream`. Push frames, iterate over events, and close it.
    """

    def __init__(
        self,
        *,
        stt: CustomWebSocketSTTAdapter,
        language: str | None = None,
        conn_options: APIConnectOptions | None = None,
        on_failure: OnFailure | None = None,
        replay_seconds: float | None = None,
    ) -> None:
        self._retry = conn_options or DEFAULT_API_CONNECT_OPTIONS
        # All retries are made here, where the audio is. LiveKit's own would start over without it.
        super().__init__(stt=stt, conn_options=dataclasses.replace(self._retry, max_retry=0))
        self._adapter = stt
        self._protocol = stt._protocol
        self._on_failure = on_failure or stt._on_failure
        self._replay_seconds = replay_seconds or stt._replay_seconds
        self._settings = stt._settings
        if language:
            self._settings = dataclasses.replace(self._settings, language=language)
        self._traits = self._protocol.traits(self._settings)
        self._assembler = TranscriptAssembler(
            language=self._settings.language, announces_end=self._traits.announces_end
        )
        self._stats = stt.stats
        self._backoff = Backoff()
        self._failures_in_a_row = 0
        self._feed: AudioFeed | None = None
        self._buffer: ReplayBuffer | None = None
        self._link: Link | None = None
        self._connects = 0
        self._drained_again = False
        self._wanted = asyncio.Event()  # there is something to send, or the end of it
        self._progress = asyncio.Event()  # something was sent, or nothing will be any more
        self._input_ended_at: float | None = None
        self._last_audio_at = asyncio.get_running_loop().time()
        self._reconnect_wanted = False
        self._end_held_since: float | None = None
        self._counted = 0  # samples of usage reported
        self._counted_dropped = 0
        self._furthest_sent = 0
        self._read = asyncio.Event()  # somebody read an event
        self._emitted = 0
        self._consumed = 0

    # ------------------------------------------------------------------ the supervisor

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        pump = self._loop.create_task(self._pump(), name="voxport.pump")
        pump.add_done_callback(self._on_pump_done)
        self._timer = self._loop.call_later(self._tick_seconds, self._tick)
        try:
            await self._supervise(pump)
        finally:
            self._timer.cancel()
            self._progress.set()
            await utils.aio.cancel_and_wait(pump)
            self._count_dropped()

    async def _supervise(self, pump: asyncio.Task[None]) -> None:
        """Keep a connection as long as there is audio to be recognised."""
        over = False
        while not over:
            settings = await self._settings_for_connection()
            if pump.done():
                pump.result()  # a frame that does not fit raises here, to whoever reads the events
            if settings is None or (self._input_ended_at is not None and self._settled()):
                break
            try:
                over = await self._converse(settings)
            except ConnectionFailed as failed:
                over = not await self._after_failure(failed.failure)
        self._emit_usage()
        self._emit(*self._assembler.finish())

    async def _settings_for_connection(self) -> Settings | None:
        """Wait until a connection is wanted; the settings for it, or ``None`` when the input ended without audio.

        Where the rate on the wire does not depend on the input, the first connection need not wait for audio.
        """
        early = self._connects == 0 and self._traits.audio.sample_rates is None
        if not early or self._failures_in_a_row:
            await self._wanted.wait()
        if self._buffer is None and self._input_ended_at is not None:
            return None
        return dataclasses.replace(self._settings, sample_rate=self._rate)

    async def _converse(self, settings: Settings) -> bool:
        """One connection, from the handshake to its end. Returns whether the stream is over with it."""
        began = self._loop.time()
        link = await self._adapter._take_prewarmed(settings)
        reused = link is not None
        if link is None:
            link = await connect(self._adapter._source, self._protocol, settings, timeout=self._retry.timeout)
        self._link = link
        self._reconnect_wanted = False
        try:
            self._stats.connects += 1
            self._connects += 1
            self._report_connection_acquired(self._loop.time() - began, reused)
            if not link.traits.waits_for_ready:
                self._go_live(link)
            await self._listen(link)
            return link.drained
        except ConnectionFailed as failed:
            if link.closing and self._is_drained(failed.failure):
                return True
            if self._is_idle_close(failed.failure):
                self._wanted.clear()  # it did nothing wrong: come back with the next audio
                return False
            raise
        finally:
            self._link = None
            await link.aclose()

    def _settled(self) -> bool:
        """Whether nothing is left that a vendor could say about the audio so far."""
        return not self._assembler.speaking and (self._buffer is None or self._buffer.all_final)

    def _is_drained(self, failure: Failure) -> bool:
        """Whether a vendor that closed after the closing message has given all there is.

        Some answer with a message of their own; the others just close, and then only what is missing tells a
        proper end from a break: an utterance without its final, or speech that no final covers. Such a stream is
        drained once more, over a new connection.
        """
        if self._settled() or self._drained_again:
            return True
        if failure.status in (1000, NO_STATUS):
            if self._traits.promotes_last_partial:
                return True
            unheard = self._buffer is not None and self._buffer.loud_seconds(_LOUD) > _UNHEARD_SECONDS
            if not self._assembler.speaking and not (self._assembler.gives_times and unheard):
                return True
            self._drained_again = True
        return False

    async def _listen(self, link: Link) -> None:
        read = 0
        while True:
            message = await link.receive()
            if message is None:
                return
            self._on_message(link, message)
            read += 1
            if read % 32 == 0:  # a queue of messages must not keep the loop from everything else
                await asyncio.sleep(0)
                await self._wait_for_reader()

    async def _after_failure(self, failure: Failure) -> bool:
        """Raise, or wait until the next attempt is due. ``False`` when there is no point in one any more."""
        error = api_error(failure, vendor=self._protocol.name, settings=self._settings)
        if failure.verdict is Verdict.PERMANENT:
            self._stats.permanent_failures += 1
            raise error from None
        self._stats.transient_failures += 1
        self._count_dropped()
        self._failures_in_a_row += 1
        if self._on_failure == "raise" and self._failures_in_a_row > self._retry.max_retry:
            raise error from None
        self._emit_error(error, recoverable=True)
        delay = self._backoff.next_delay(failure.retry_after)
        if (
            self._input_ended_at is not None
            and self._loop.time() + delay - self._input_ended_at > _GIVE_UP_SECONDS
        ):
            self._give_up(failure)
            return False
        logger.warning("%s; reconnecting in %.1f s", error.message, delay, extra={"stt": self._adapter.label})
        await asyncio.sleep(delay)
        self._stats.reconnects += 1
        return True

    def _give_up(self, failure: Failure) -> None:
        buffer = self._buffer
        left = buffer.end - buffer.acknowledged if buffer is not None else 0
        if buffer is not None and left:
            buffer.dropped += left
            logger.error(
                "the input ended and %s cannot be reached (%s): %.1f s of audio stay unrecognised",
                self._protocol.name,
                failure.message,
                left / buffer.sample_rate,
                extra={"stt": self._adapter.label},
            )

    def _is_idle_close(self, failure: Failure) -> bool:
        """Whether the vendor closed because there was nothing to do, which is no failure."""
        buffer = self._buffer
        return (
            failure.status is not None
            and self._input_ended_at is None
            and not self._assembler.speaking
            and (buffer is None or buffer.unsent == 0)
            and self._loop.time() - self._last_audio_at >= self._traits.idle_seconds
        )

    # ------------------------------------------------------------------ audio out

    async def _pump(self) -> None:
        """Take what LiveKit pushes, for as long as it does."""
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                self._on_frame(item)
            else:
                self._on_flush()
            link = self._link
            if link is not None and link.live and not link.sending:
                await self._send_pending(link)
        self._input_ended_at = self._loop.time()
        self._wanted.set()
        if self._link is not None and self._link.live:
            await self._send_pending(self._link)

    def _on_pump_done(self, pump: asyncio.Task[None]) -> None:
        if not pump.cancelled() and pump.exception() is not None:
            self._wanted.set()
            if self._link is not None:
                self._link.finish()

    def _on_frame(self, frame: rtc.AudioFrame) -> None:
        now = self._last_audio_at = self._loop.time()
        if self._buffer is None:
            self._begin(frame)
        feed = self._feed
        if feed is None or feed.channels != frame.num_channels:
            feed = self._renew_feed(frame, now)
        assert self._buffer is not None
        for chunk in feed.push(frame):
            self._buffer.append(chunk, now)
        if not self._wanted.is_set():
            self._wanted.set()

    def _begin(self, frame: rtc.AudioFrame) -> None:
        """The first frame tells the rate: LiveKit allows no other one after it."""
        form = self._traits.audio
        wire_rate = form.wire_rate(frame.sample_rate, self._adapter.sample_rate)
        self._adapter._last_input_rate = frame.sample_rate
        self._buffer = ReplayBuffer(wire_rate, keep_seconds=self._replay_seconds, form=form)
        self.start_time = self._assembler.started_at = time.time() - frame.duration

    def _renew_feed(self, frame: rtc.AudioFrame, now: float) -> AudioFeed:
        """A feed for frames like this one; what the last one still held goes out first."""
        self._flush_feed(now)
        self._feed = AudioFeed(
            input_rate=frame.sample_rate,
            channels=frame.num_channels,
            wire_rate=self._rate,
            form=self._traits.audio,
        )
        return self._feed

    def _flush_feed(self, now: float) -> None:
        if self._feed is not None and self._buffer is not None:
            for chunk in self._feed.flush():
                self._buffer.append(chunk, now)

    def _on_flush(self) -> None:
        if self._buffer is not None:  # else nothing was said yet
            self._flush_feed(self._loop.time())
            self._buffer.flush()
            self._wanted.set()

    def _go_live(self, link: Link) -> None:
        """From here on audio goes out: first what no final has covered, then what comes."""
        origin = 0
        if self._buffer is not None:
            origin = self._buffer.rewind()
            self._count_dropped()
        link.origin = origin
        link.live = True
        link.live_at = link.last_sent = self._loop.time()
        self._assembler.connected(origin / self._rate)
        if self._buffer is not None and (self._buffer.unsent or self._input_ended_at is not None):
            link.run(self._send_pending(link))

    async def _send_pending(self, link: Link) -> None:
        """Send all that waits, in order. There is one writer at a time, or audio would go out of order."""
        if link.sending:
            return
        link.sending = True
        try:
            buffer = self._buffer
            while link.live and buffer is not None and (item := buffer.take()) is not None:
                if item is FLUSH:
                    await link.send(link.conversation.flush())
                    continue
                assert isinstance(item, tuple)
                await self._send_chunk(link, *item)
            if link.live and self._input_ended_at is not None and not link.closing:
                link.closing = True
                link.closing_since = self._loop.time()
                await link.send(link.conversation.close())
        except ConnectionFailed as failed:
            link.fail(failed.failure)
        finally:
            link.sending = False

    async def _send_chunk(self, link: Link, position: int, samples: Samples) -> None:
        count = len(samples) // 2
        if position != link.origin + link.samples:  # audio in between had to be dropped before it was sent
            self._assembler.skipped(link.samples / self._rate, position / self._rate)
            link.origin = position - link.samples
        await link.send(link.conversation.audio(samples))
        self._progress.set()
        link.samples += count
        end = position + count
        if end > self._furthest_sent:
            self._furthest_sent = end
            if end - self._counted >= _USAGE_SECONDS * self._rate:
                self._emit_usage()
        else:
            self._stats.replayed_seconds += count / self._rate
        if link.last_sent - link.last_received > link.traits.stall_seconds / 2 and is_loud(samples, _LOUD):
            link.loud_since_received += count
        pace = link.traits.audio.replay_pace
        if pace is not None:
            ahead = link.samples / self._rate - pace * (self._loop.time() - link.live_at) - 1.0
            if ahead > 0:
                await asyncio.sleep(ahead / pace)

    # ------------------------------------------------------------------ events in

    def _on_message(self, link: Link, message: str | bytes) -> None:
        try:
            events = link.conversation.receive(message)
            link.unreadable = 0
        except Exception as error:
            self._on_unreadable(link, error)
            return
        assembler = self._assembler
        assembler.offset = self._start_time_offset
        buffer = self._buffer
        sent = buffer.sent / buffer.sample_rate if buffer is not None else 0.0
        for event in events:
            if isinstance(event, (Partial, Final)):
                self._emit(*assembler.accept(event, sent))
            elif isinstance(event, Ready):
                assembler.identified(event.request_id)
                if not link.live and not link.closed:
                    self._go_live(link)
            elif isinstance(event, Flushed):
                position = buffer.flush_answered() if buffer is not None else None
                if position is not None:
                    self._emit(*assembler.flushed(position / self._rate))
            elif isinstance(event, Finished):
                if link.closing:
                    link.drained = True
                    link.finish()
            elif isinstance(event, Failure):
                self._on_vendor_failure(link, event)
            else:
                self._emit(*assembler.accept(event, sent))
        if buffer is not None:
            before = buffer.acknowledged
            buffer.acknowledge(round(assembler.acknowledged * buffer.sample_rate))
            if buffer.acknowledged > before:  # the connection has proven itself
                self._backoff.reset()
                self._failures_in_a_row = 0
        if self._reconnect_wanted and not assembler.speaking:
            link.finish()

    def _on_unreadable(self, link: Link, error: Exception) -> None:
        self._stats.messages_ignored += 1
        link.unreadable += 1
        if link.unreadable == 1:
            logger.warning(
                "%s sent a message that is not understood and is ignored: %s",
                self._protocol.name,
                self._settings.redact(f"{type(error).__name__}: {error}"),
                extra={"stt": self._adapter.label},
            )
        if link.unreadable >= _UNREADABLE_LIMIT:
            link.fail(Failure(f"{link.unreadable} messages in a row are not understood; check vendor and URL"))

    def _on_vendor_failure(self, link: Link, failure: Failure) -> None:
        if failure.verdict is Verdict.IGNORE:
            logger.warning(
                "%s: %s",
                self._protocol.name,
                self._settings.redact(failure.message),
                extra={"stt": self._adapter.label},
            )
        elif failure.verdict is Verdict.RECYCLE:
            link.finish()
        else:
            link.fail(failure)

    def _emit(self, *events: stt.SpeechEvent) -> None:
        for event in events:
            if (
                self._emitted - self._consumed > _BACKLOG_INTERIMS
                and event.type is stt.SpeechEventType.INTERIM_TRANSCRIPT
            ):
                continue
            self._emitted += 1
            self._event_ch.send_nowait(event)

    async def __anext__(self) -> stt.SpeechEvent:
        event = await super().__anext__()
        self._consumed += 1
        self._read.set()
        return event

    async def _wait_for_reader(self) -> None:
        """A vendor that talks faster than anybody listens must not fill the memory."""
        while self._emitted - self._consumed > _BACKLOG_LIMIT:
            self._read.clear()
            await self._read.wait()

    # ------------------------------------------------------------------ the timer

    @property
    def _tick_seconds(self) -> float:
        traits = self._traits
        shortest = min(
            traits.stall_seconds,
            traits.drain_seconds,
            traits.ready_seconds,
            traits.keepalive_seconds or 4.0,
            traits.session_seconds or 4.0,
        )
        return float(min(max(shortest / 4, 0.02), 1.0))

    def _tick(self) -> None:
        self._timer = self._loop.call_later(self._tick_seconds, self._tick)
        now = self._loop.time()
        if self._assembler.end_held:
            self._end_held_since = self._end_held_since or now
            if now - self._end_held_since > _HELD_END_SECONDS:
                self._emit(*self._assembler.release_end())
        else:
            self._end_held_since = None
        link = self._link
        if link is None or link.closed:
            return
        failure = link.trouble(now, speaking=self._assembler.speaking, last_audio_at=self._last_audio_at)
        if failure is not None:
            link.fail(failure)
        elif link.closing:
            if now - max(link.last_received, link.closing_since) > link.traits.drain_seconds:
                logger.warning(
                    "%s did not close within %g s of the last message",
                    self._protocol.name,
                    link.traits.drain_seconds,
                )
                link.drained = True
                link.finish()
        elif self._reconnect_wanted and not self._assembler.speaking:
            link.finish()
        elif link.live:
            self._keep_alive(link, now)

    def _keep_alive(self, link: Link, now: float) -> None:
        traits = link.traits
        if traits.keepalive_seconds is not None and now - link.last_sent >= traits.keepalive_seconds:
            link.run(link.send(link.conversation.keepalive()))
        if traits.session_seconds is not None and now - link.live_at > traits.session_seconds:
            self._reconnect_wanted = True

    # ------------------------------------------------------------------ options, usage, counters

    def _apply(self, changes: dict[str, Any]) -> None:
        """New settings, in band or by a new connection at the end of the utterance."""
        self._settings = dataclasses.replace(self._settings, **changes)
        link = self._link
        if link is None or link.closed:
            return
        link.settings = dataclasses.replace(link.settings, **changes)
        messages = link.conversation.update(link.settings) if link.live else None
        if messages is not None:
            link.run(link.send(messages))
        else:
            self._reconnect_wanted = True
            if not self._assembler.speaking:
                link.finish()

    def _emit_usage(self) -> None:
        """Report audio that was sent, once, however often it had to be sent."""
        fresh = self._furthest_sent - self._counted
        if fresh <= 0 or self._buffer is None:
            return
        self._counted = self._furthest_sent
        self._stats.audio_seconds += fresh / self._rate
        if not self._traits.reports_usage:
            self._emit(self._assembler.usage(Usage(audio_seconds=fresh / self._rate)))

    def _count_dropped(self) -> None:
        buffer = self._buffer
        if buffer is None or buffer.dropped == self._counted_dropped:
            return
        lost = (buffer.dropped - self._counted_dropped) / buffer.sample_rate
        self._counted_dropped = buffer.dropped
        self._stats.dropped_seconds += lost
        logger.error(
            "%.1f s of audio had to be dropped: the outage of %s was longer than replay_seconds=%g",
            lost,
            self._protocol.name,
            self._replay_seconds,
            extra={"stt": self._adapter.label},
        )

    async def wait_for_room(self, seconds: float) -> None:
        """Wait until less than *seconds* of audio waits to be sent, so that a recording can be pushed at once."""
        while not self._task.done() and (
            self._input_ch.qsize() > 4 or (self._buffer is not None and self._buffer.unsent > seconds * self._rate)
        ):
            self._progress.clear()
            await self._progress.wait()

    @property
    def _rate(self) -> int:
        return self._buffer.sample_rate if self._buffer is not None else self._adapter.sample_rate
