"""A member's own stream, while it hears the caller: audio in, events out, and how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from livekit.agents import APIConnectionError, APIError, stt

from ..stt.direct import DirectStream

__all__ = ["Ending", "EndingKind", "Leg"]

EndingKind = Literal["failed", "silent", "ended", "handed over"]

_CATCH_UP_SECONDS = 1.0
"""A member may take so long to begin, and as long as the audio that was kept for it lasts to hear that."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a member does not hear the caller any more.

    Attributes:
        kind: ``failed`` with an *error*; ``silent``; ``ended`` by itself; ``handed over`` to another member.
        error: what the outside hears about it.
    """

    kind: EndingKind
    error: Exception

    @property
    def permanent(self) -> bool:
        """Whether trying again cannot help."""
        return isinstance(self.error, APIError) and not self.error.retryable


class Leg:
    """One member's stream.

    Args:
        member: its place in the order.
        stream: its stream, just made.
        interims: it answers while somebody speaks.
        on_event: called with the leg and each event, in order.

    Attributes:
        push: gives it a frame. What this raises belongs into :meth:`refused`.
        hears: whether audio is given to it.
        ended: the :class:`Ending`, once there is one.
        origin: seconds of the outer stream at which its audio begins.
        late_seconds: how long the first of its audio was kept before it got it.
        asked_to_end: it has been told that its audio is over, at this time of the event loop.
        successor: the member that goes on, when it only hands over.
        last_event_at: on the event loop's clock.
        troubles: recoverable errors of the member since its last event, and when the last one came.
    """

    def __init__(
        self,
        member: int,
        stream: stt.RecognizeStream,
        *,
        origin: float,
        interims: bool,
        on_event: Callable[[Leg, stt.SpeechEvent], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_event = on_event
        self.member = member
        self.stream = stream
        self.origin = origin
        self.interims = interims
        self.push = stream.intake if isinstance(stream, DirectStream) else stream.push_frame
        self.hears = True
        self.ended: asyncio.Future[Ending] = self._loop.create_future()
        self.began_at = self.last_event_at = self._loop.time()
        self.asked_to_end: float | None = None
        self.successor: int | None = None
        self.late_seconds = 0.0
        self.troubles = 0
        self.trouble_at = 0.0
        self._over = False
        if isinstance(stream, DirectStream):
            stream.deliver_to(self._take)  # no task has to wake up for an event
        self._reader = self._loop.create_task(self._read(), name="voxport.failover.leg")

    def flush(self) -> None:
        """Ask it for what it has."""
        try:
            self.stream.flush()
        except Exception as error:
            self.refused(error)

    def end_input(self) -> None:
        """Tell it that there is no more audio. One that is over cannot say the rest, and was never asked."""
        if self.asked_to_end is None and not self._over:
            self.asked_to_end = self.last_event_at = self._loop.time()
            self.hears = False
            try:
                self.stream.end_input()
            except Exception as error:
                self.refused(error)

    @property
    def had_caught_up(self) -> bool:
        """Whether it had the time to hear what was kept for it, before it was asked for the rest."""
        served = self.asked_to_end - self.began_at if self.asked_to_end is not None else 0.0
        return not self.late_seconds or served >= self.late_seconds + _CATCH_UP_SECONDS

    def refused(self, error: Exception) -> None:
        """It raised *error* when it was given something, and so has failed.

        Where its stream has failed before and nobody has read that yet, that is the reason, and *error* is not.
        """
        task = self.stream._task
        reason = task.exception() if task.done() and not task.cancelled() else None
        self.end(Ending("failed", reason if isinstance(reason, Exception) else error))

    def end(self, ending: Ending) -> None:
        """It hears no more. Only the first ending counts."""
        self.hears, self._over = False, True
        if not self.ended.done():
            self.ended.set_result(ending)
            self._reader.cancel()

    def _take(self, event: stt.SpeechEvent) -> None:
        if self._over:
            return
        self.last_event_at = self._loop.time()
        try:
            self._on_event(self, event)
        except Exception as error:  # nothing of the stream around it may break the member's own work
            self.end(Ending("failed", error))

    async def _read(self) -> None:
        try:
            async for event in self.stream:
                self._take(event)
        except Exception as error:
            ending = Ending("failed", error)
        else:
            ending = Ending("ended", APIConnectionError(f"{self.stream._stt.label} ended its stream"))
        self.end(ending)

    def stop(self) -> None:
        """Take no more events from it."""
        self.hears, self._over = False, True

    async def aclose(self) -> None:
        """Close the stream. Its failure is known by then, or of no interest."""
        self.stop()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await close_quietly(self.stream)
        if isinstance(self.stream, DirectStream):
            self.stream.deliver_to(None)


async def close_quietly(stream: Any) -> None:
    """Close a stream that may have failed: some raise that again when they are closed."""
    try:
        await stream.aclose()
    except Exception:  # the caller has been told when it failed
        return
