"""Streaming recognition over a WebSocket, for any vendor.

How it works, from top to bottom:

* :class:`WebSocketSpeechStream` is one caller's audio. A frame that is pushed goes into the replay buffer, and out
  on the connection right away if there is one. One task, the *supervisor*, connects, reads what the vendor says,
  and connects again whenever the connection ends before the caller does. A timer looks after what it does not see:
  silence of the vendor, idle connections, session limits.
* A :class:`~.link.Link` is one connection: the socket and the protocol's conversation on it.
* What a vendor's messages mean is the protocol's business, what LiveKit hears the assembler's, what must be sent
  again the replay buffer's, whether a vendor has said all there is the remainder's, and what is wrong when nothing
  comes the lookout's. None of them does I/O, and nothing here knows a vendor.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from time import monotonic
from typing import TYPE_CHECKING, Any

from livekit import rtc
from livekit.agents import APIConnectOptions
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
from ..transport.failures import ConnectionFailed, api_error
from .adapter import OnFailure
from .direct import DirectStream
from .link import Link, connect
from .lookout import GIVE_UP_SECONDS, Lookout, tick_seconds
from .outbox import Outbox
from .remainder import Remainder
from .ticker import ticker

if TYPE_CHECKING:
    from .streaming import CustomWebSocketSTTAdapter

__all__ = ["WebSocketSpeechStream"]

logger = logging.getLogger("agents.providers.stt")

_USAGE_SECONDS = 5.0
"""Usage and losses are reported in steps of so much audio."""

_PROOF_SECONDS = 0.2
"""A connection that broke sooner proves nothing, whatever it said: reconnects to it slow down."""

_HELD_END_SECONDS = 3.0
"""How long END waits for the final that belongs before it."""

_UNREADABLE_LIMIT = 100
"""So many messages in a row that no protocol knows: this is not the service it should be."""

_AHEAD_SECONDS = 2.0
"""So much of a recording waits to be sent at most."""


class WebSocketSpeechStream(DirectStream):
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
        self._settings = stt._settings
        if language:
            self._settings = dataclasses.replace(self._settings, language=language)
        self._traits = self._protocol.traits(self._settings)
        self._assembler = TranscriptAssembler(
            language=self._settings.language, announces_end=self._traits.announces_end
        )
        self._stats = stt.stats
        self._outbox = Outbox(
            form=self._traits.audio,
            own_rate=stt.sample_rate,
            keep_seconds=replay_seconds or stt._replay_seconds,
            on_gap=self._assembler.skipped,
        )
        self._remainder = Remainder(self._assembler, self._outbox, self._traits, answers_flush=stt._answers_flush)
        self._lookout = Lookout(self._assembler, self._outbox, self._remainder)
        self._backoff = Backoff()
        self._failures_in_a_row = 0
        self._connects = 0
        self._link: Link | None = None
        self._wanted = asyncio.Event()  # there is something to send, or the end of it
        self._input_ended_at = 0.0
        self._input_ends: asyncio.Future[None] | None = None  # made when somebody waits for it
        self._begun = False
        self._reconnect_wanted = False
        self._end_held_since: float | None = None

    # ------------------------------------------------------------------ the supervisor

    async def _run(self) -> None:
        clock = ticker()
        clock.add(self._tick, every=tick_seconds(self._traits))
        try:
            await self._supervise()
        finally:
            clock.remove(self._tick)
            self._outbox.stop_waiting()
            self._count_audio()
            self._emit_usage()

    async def _supervise(self) -> None:
        """Keep a connection as long as there is audio to be recognised."""
        over = False
        while not over:
            # Where the rate on the wire does not depend on the input, the first connection need not wait for it.
            early = self._connects == 0 and self._traits.audio.sample_rates is None
            if not early or self._failures_in_a_row:
                await self._wanted.wait()
            if self._outbox.ended and self._remainder.settled:
                break
            try:
                over = await self._converse()
            except ConnectionFailed as failed:
                over = not await self._after_failure(failed.failure)
        self._emit(*self._assembler.finish())

    async def _converse(self) -> bool:
        """One connection, from the handshake to its end. Returns whether the stream is over with it."""
        began = monotonic()
        link, reused = await self._new_link()
        if link.settings != self._settings_now():  # changed meanwhile: nothing was said on it yet
            await link.aclose()
            link, reused = await self._new_link()
        self._link = link
        try:
            self._connects += 1
            self._stats.connects += 1
            self._report_connection_acquired(monotonic() - began, reused)
            self._reconnect_wanted = link.settings != self._settings_now()  # and changed again
            if not link.traits.waits_for_ready:
                self._go_live(link)
            await self._listen(link)
            return link.drained
        except ConnectionFailed as failed:
            if link.closing and self._remainder.is_drained(failed.failure, hurried=self._was_hurried(link)):
                return True
            if self._remainder.is_idle_close(failed.failure, monotonic()):
                self._wanted.clear()  # it did nothing wrong: come back with the next audio
                return False
            if reused and not link.useful:  # it went stale before it was needed, which is nobody's failure
                logger.debug("a prewarmed connection was of no use: %s", self._settings.redact(str(failed)))
                return False
            if self._lasted(link, failed.failure):
                self._proven(link)
            raise
        finally:
            self._link = None
            await link.aclose()

    async def _new_link(self) -> tuple[Link, bool]:
        """A connection with the settings of now, and whether it was opened ahead."""
        settings = self._settings_now()
        link = await self._adapter._take_prewarmed(settings, timeout=self._retry.timeout)
        if link is not None:
            return link, True
        source = self._adapter._source
        return await connect(source, self._protocol, settings, timeout=self._retry.timeout), False

    def _settings_now(self) -> Settings:
        return dataclasses.replace(self._settings, sample_rate=self._outbox.rate)

    def _go_live(self, link: Link) -> None:
        """From here on audio goes out: first what no final has covered, then what comes."""
        self._assembler.connected(self._outbox.go_live(link))
        self._assembler.assume(link.settings.language)
        self._count_audio()

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
                await self._wait_until_read()

    async def _after_failure(self, failure: Failure) -> bool:
        """Raise, or wait until the next attempt is due. ``False`` when there is no point in one any more."""
        error = api_error(failure, vendor=self._protocol.name, settings=self._settings)
        if failure.verdict is Verdict.PERMANENT:
            self._stats.permanent_failures += 1
            raise error from None
        self._stats.transient_failures += 1
        self._failures_in_a_row += 1
        self._count_audio()
        if self._on_failure == "raise" and self._failures_in_a_row > self._retry.max_retry:
            raise error from None
        self._emit_error(error, recoverable=True)
        delay = self._backoff.next_delay(failure.retry_after)
        logger.warning("%s; reconnecting in %.1f s", error.message, delay, extra={"stt": self._adapter.label})
        if not await self._wait_to_reconnect(monotonic() + delay):
            logger.error(
                "%s; the input has ended and %.1f s of audio stay unrecognised",
                error.message,
                self._outbox.give_up(),
                extra={"stt": self._adapter.label},
            )
            self._stats.dropped_seconds += self._outbox.take_dropped()
            return False
        self._stats.reconnects += 1
        return True

    async def _wait_to_reconnect(self, due: float) -> bool:
        """Wait until *due*; ``False`` at once when that is too late for an input that has ended, or ends now."""
        if not self._outbox.ended:
            self._input_ends = self._loop.create_future()
            await asyncio.wait({self._input_ends}, timeout=due - monotonic())
        if self._outbox.ended and due - self._input_ended_at > GIVE_UP_SECONDS:
            return False
        await asyncio.sleep(due - monotonic())
        return True

    def _was_hurried(self, link: Link) -> bool:
        """Whether the connection, not the first one, got more audio than it had time for until the input ended."""
        seconds = link.samples / self._outbox.rate
        return self._connects > 1 and seconds > 1.2 * (self._input_ended_at - link.live_at) + 0.5

    def _lasted(self, link: Link, failure: Failure) -> bool:
        """Whether the connection was well for long. One that answered no speech, or nothing in time, was not."""
        silent = failure.detail.get("timeout") or link.loud_since_received
        return not silent and monotonic() - link.live_at > self._retry.timeout

    def _proven(self, link: Link) -> None:
        """The connection was of use: the next failure is a new one. One that broke at once proves nothing."""
        if monotonic() - link.live_at >= _PROOF_SECONDS:
            self._backoff.reset()
            self._failures_in_a_row = 0

    # ------------------------------------------------------------------ audio out

    def _accept_frame(self, frame: rtc.AudioFrame) -> None:
        if not self._begun:
            self._begin(frame)
        link = self._link
        if link is not None and link.live and not link.sending:
            self._outbox.push_through(frame, link)
        else:  # it goes out after what is being sent, or on the next connection
            self._outbox.push(frame)
            self._wanted.set()

    def _begin(self, frame: rtc.AudioFrame) -> None:
        self._begun = True
        self._adapter._last_input_rate = frame.sample_rate
        self.start_time = self._assembler.started_at = time.time() - frame.duration
        self._wanted.set()

    def _accept_flush(self) -> None:
        if self._outbox.flush():
            self._send_now()

    def _accept_end(self) -> None:
        self._outbox.ended = True
        self._input_ended_at = monotonic()
        if self._input_ends is not None and not self._input_ends.done():
            self._input_ends.set_result(None)
        self._send_now()

    def _send_now(self) -> None:
        """Send what waits if there is a connection that is not busy sending; else it goes with the next."""
        if not self._wanted.is_set():
            self._wanted.set()
        link = self._link
        if link is not None and link.live and not link.sending:
            link.run(lambda: self._outbox.send_pending(link))

    # ------------------------------------------------------------------ events in

    def _on_message(self, link: Link, message: str | bytes) -> None:
        try:
            events = link.conversation.receive(message)
            link.unreadable = 0
        except Exception as error:
            self._on_unreadable(link, error)
            return
        assembler, outbox = self._assembler, self._outbox
        assembler.offset = self._start_time_offset
        sent = outbox.sent_seconds
        through: float | None = None  # where the message that answers a flush puts its end
        for event in events:
            if type(event) is Partial:
                link.useful = True
                self._emit(*assembler.partial(event, sent))
                if len(events) == 1:
                    return  # nothing is final by it: that is most messages
            elif isinstance(event, Final):
                link.useful = True
                self._emit(*assembler.accept(event, sent))
                through = assembler.final_through
                self._proven(link)
                self._remainder.said()
                if assembler.gives_times is False:
                    outbox.answered()
            elif isinstance(event, Ready):
                assembler.identified(event.request_id)
                if not link.live and not link.closed:
                    self._go_live(link)
            elif isinstance(event, Flushed):
                position = outbox.flush_answered(through)
                self._adapter._answers_flush = self._remainder.answers_flush = True
                if position is not None:
                    self._emit(*assembler.flushed(position))
            elif isinstance(event, Finished):
                if link.closing:
                    link.drained = True
                    link.finish()
            elif isinstance(event, Failure):
                self._on_vendor_failure(link, event)
            else:
                self._emit(*assembler.accept(event, sent))
        if outbox.acknowledge(assembler.acknowledged):
            self._remainder.answered()
            self._proven(link)
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

    # ------------------------------------------------------------------ the timer

    def _tick(self, now: float) -> None:
        if self._assembler.end_held:
            self._end_held_since = self._end_held_since or now
            if now - self._end_held_since > _HELD_END_SECONDS:
                self._emit(*self._assembler.release_end())
        else:
            self._end_held_since = None
        if self._outbox.unreported_seconds >= _USAGE_SECONDS:
            self._emit_usage()
        if self._outbox.uncounted_loss >= _USAGE_SECONDS:
            self._count_audio()
        link = self._link
        if link is None or link.closed:
            return
        link.keep_heart_beating(now)
        failure = self._lookout.failure(link, now, input_ended_at=self._input_ended_at)
        if failure is not None:
            link.fail(failure)
        elif link.closing:
            pass  # nothing is asked of it any more
        elif self._reconnect_wanted and not self._assembler.speaking:
            link.finish()
        elif link.live:
            self._keep_alive(link, now)

    def _keep_alive(self, link: Link, now: float) -> None:
        traits = link.traits
        if traits.keepalive_seconds is not None and now - link.last_sent >= traits.keepalive_seconds:
            link.run(lambda: link.send(link.ask("keepalive")))
        if traits.session_seconds is not None and now - link.opened_at > traits.session_seconds:
            self._reconnect_wanted = True

    # ------------------------------------------------------------------ options, usage, counters

    def _apply(self, changes: dict[str, Any]) -> None:
        """New settings, in band or by a new connection at the end of the utterance."""
        self._settings = dataclasses.replace(self._settings, **changes)
        link = self._link
        if link is None or link.closed or link.closing:  # all words were said before, and some take nothing after
            return
        link.settings = dataclasses.replace(link.settings, **changes)
        try:
            messages = link.ask("update", link.settings) if link.live else None
        except ConnectionFailed as failed:
            link.fail(failed.failure)
            return
        if messages is not None:
            link.run(lambda: link.send(messages))
            self._assembler.assume(link.settings.language)
        else:
            self._reconnect_wanted = True
            if not self._assembler.speaking:
                link.finish()

    def _emit_usage(self) -> None:
        """Report audio that was sent, once, however often it had to be sent."""
        seconds = self._outbox.take_usage()
        self._stats.audio_seconds += seconds
        if seconds > 0 and not self._traits.reports_usage:
            self._emit(self._assembler.usage(Usage(audio_seconds=seconds)))

    def _count_audio(self) -> None:
        outbox = self._outbox
        self._stats.replayed_seconds += outbox.replayed / outbox.rate
        outbox.replayed = 0
        lost = outbox.take_dropped()
        if lost > 0:
            self._stats.dropped_seconds += lost
            logger.error(
                "%.1f s of audio are lost: they waited for %s longer than replay_seconds",
                lost,
                self._protocol.name,
                extra={"stt": self._adapter.label},
            )

    async def _send_audio_frame(self, frame: rtc.AudioFrame) -> None:
        """Push a frame of a recording, and wait while too much of it waits to be sent."""
        self.push_frame(frame)
        await self.wait_for_room(_AHEAD_SECONDS)

    async def wait_for_room(self, seconds: float) -> None:
        """Wait until less than *seconds* of audio waits to be sent, so that a recording can be pushed at once."""
        while not self._task.done() and self._outbox.waiting_seconds > seconds:
            await self._outbox.wait_for_progress()
