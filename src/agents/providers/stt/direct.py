"""LiveKit's stream, with nothing between the caller and the stream's own code.

LiveKit's base class puts a queue before ``_run``, and a queue, two readers and a task behind it. Here a frame goes
to ``_accept_frame`` where it is pushed, and an event to its reader where it is made. What the base class promises
stays: the checks, the errors, the metrics of usage, the end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectOptions, stt, utils
from livekit.agents.metrics import STTMetrics
from livekit.agents.metrics.base import Metadata

__all__ = ["DirectStream"]

_INTERIM = stt.SpeechEventType.INTERIM_TRANSCRIPT
_USAGE = stt.SpeechEventType.RECOGNITION_USAGE

_BACKLOG_INTERIMS = 1000
"""So many events nobody has read: interims are left out, since a later one replaces them anyway."""

_BACKLOG_LIMIT = 5000
"""So many events nobody has read: the vendor is not listened to until somebody reads."""


class _Input:
    """Of LiveKit's queue of frames, whether it is closed."""

    __slots__ = ("closed",)

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


class _Events:
    """What waits for the reader. LiveKit's channel can do more, and keeps four queues for it."""

    __slots__ = ("_loop", "_waiting", "closed", "queue")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Future[None]] = []
        self.closed = False
        self.queue: list[stt.SpeechEvent] = []

    def send_nowait(self, event: stt.SpeechEvent) -> None:
        """Give *event* to the reader; nobody hears it after the end."""
        if self.closed:
            raise utils.aio.ChanClosed
        self.queue.append(event)
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def close(self) -> None:
        """There will be no more."""
        self.closed = True
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def recv(self) -> stt.SpeechEvent:
        """The next event. Raises `ChanClosed` at the end."""
        while not self.queue:
            if self.closed:
                raise utils.aio.ChanClosed
            waiting = self._loop.create_future()
            self._waiting.append(waiting)
            try:
                await waiting
            finally:
                self._waiting.remove(waiting)
        return self.queue.pop(0)


class _NoReaders:
    """Of LiveKit's readers of events, that they can be closed."""

    __slots__ = ()

    async def aclose(self) -> None:
        """There are none."""


class DirectStream(stt.SpeechStream):
    """A ``RecognizeStream`` for subclasses that take frames one by one.

    A subclass implements ``_run`` and the three ``_accept`` methods, and gives its events to :meth:`_emit`.
    """

    _listener: Callable[[stt.SpeechEvent], None] | None = None

    def __init__(self, *, stt: stt.STT[Any], conn_options: APIConnectOptions) -> None:
        super().__init__(stt=stt, conn_options=conn_options)
        self._metrics_task.cancel()  # its work is done in _emit
        # a cancelled task keeps its frame, and with it all that is left out below
        self._metrics_task = None  # type: ignore[assignment]
        # Nothing goes through LiveKit's queues and its two readers; they would keep 8 kB a stream.
        self._input_ch = _Input()  # type: ignore[assignment]
        self._event_ch = _Events()  # type: ignore[assignment]
        self._tee = _NoReaders()  # type: ignore[assignment]
        del self._event_aiter
        self._loop = asyncio.get_running_loop()
        self._open = True
        self._task.add_done_callback(lambda _: self._shut())
        self._read: asyncio.Event | None = None  # made when somebody waits for it
        self._ended_utterance = False
        self._emitted = 0
        self._consumed = 0

    # ------------------------------------------------------------------ in

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        """Take a frame; all frames of a stream have one sample rate.

        Raises:
            ValueError: the frame has another rate than the one before.
            RuntimeError: the input has ended, or the stream is closed.
        """
        if not self._open:
            self._check_input_not_ended()
            self._check_not_closed()
        rate = frame.sample_rate
        if rate != self._pushed_sr:
            if self._pushed_sr:
                raise ValueError("the sample rate of the input frames must be consistent")
            self._pushed_sr = rate
        self._accept_frame(frame)

    @property
    def intake(self) -> Callable[[rtc.AudioFrame], None]:
        """What takes frames without the checks, for a stream around this one that makes them itself."""
        checks = type(self).push_frame is DirectStream.push_frame  # and nothing else
        return self._accept_frame if checks else self.push_frame

    def flush(self) -> None:
        """Ask for finals of all audio so far."""
        self._check_input_not_ended()
        self._check_not_closed()
        self._accept_flush()

    def end_input(self) -> None:
        """No more audio will come: finals of all that came, then the end."""
        self.flush()
        self._input_ch.close()
        self._shut()
        self._accept_end()

    def _shut(self) -> None:
        self._open = False

    def _accept_frame(self, frame: rtc.AudioFrame) -> None:
        raise TypeError(f"{type(self).__name__} must take frames")

    def _accept_flush(self) -> None:
        raise TypeError(f"{type(self).__name__} must take flushes")

    def _accept_end(self) -> None:
        raise TypeError(f"{type(self).__name__} must take the end of the input")

    # ------------------------------------------------------------------ out

    def deliver_to(self, listener: Callable[[stt.SpeechEvent], None] | None) -> None:
        """Call *listener* with each event where it is made, without a queue; ``None``: readers get them again.

        For a stream around this one. It still reads, and hears only of the end and of the error there was.
        """
        self._listener = listener

    def _emit(self, *events: stt.SpeechEvent) -> None:
        """Give *events* to the reader, and their usage to those who collect metrics."""
        listener, send = self._listener, self._event_ch.send_nowait
        for event in events:
            kind = event.type
            if kind is _USAGE:
                self._report_usage(event)
            if listener is not None:
                listener(event)
                continue
            if kind is _INTERIM and self._emitted - self._consumed > _BACKLOG_INTERIMS:
                continue
            self._emitted += 1
            send(event)

    def _report_usage(self, event: stt.SpeechEvent) -> None:
        usage = event.recognition_usage
        assert usage is not None
        self._stt.emit(
            "metrics_collected",
            STTMetrics(
                request_id=event.request_id,
                timestamp=time.time(),
                duration=0.0,
                label=self._stt.label,
                audio_duration=usage.audio_duration,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                streamed=True,
                metadata=Metadata(model_name=self._stt.model, model_provider=self._stt.provider),
            ),
        )

    async def _wait_until_read(self) -> None:
        """A vendor that talks faster than anybody reads must not fill the memory."""
        while self._emitted - self._consumed > _BACKLOG_LIMIT:
            self._read = asyncio.Event()
            await self._read.wait()

    async def __anext__(self) -> stt.SpeechEvent:
        if self._ended_utterance:
            # After an outage an END and the next START come together. LiveKit decides on the turn in a task of its
            # own, which that START would cancel before it ran: two turns would become one.
            self._ended_utterance = False
            await asyncio.sleep(0)
        try:
            event = await self._event_ch.recv()
        except utils.aio.ChanClosed:
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                raise error from None
            raise StopAsyncIteration from None
        self._consumed += 1
        self._ended_utterance = event.type is stt.SpeechEventType.END_OF_SPEECH
        if self._read is not None:
            self._read.set()
        return event
