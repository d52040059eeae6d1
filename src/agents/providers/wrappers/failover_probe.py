"""Finding out whether a member works again, without giving it anything the caller needs.

The member hears the next speech beside the one that serves the caller. What it says is thrown away; that it says
a word is the proof.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from livekit import rtc
from livekit.agents import stt

from .failover_choice import Choice
from .failover_leg import close_quietly
from .failover_silence import SilenceWatch

if TYPE_CHECKING:
    from .failover import FailoverSTTAdapter

__all__ = ["Probe", "Trials"]

logger = logging.getLogger("agents.providers.wrappers")

_PROBE_SECONDS = 30.0
"""A trial that brought no verdict in this time is given up; the next speech begins another."""


class Probe:
    """One member hears along.

    Args:
        member: its place in the order.
        stream: its stream, just made.
        limit: seconds it may take to say something about speech.
        interims: whether it answers while somebody speaks.
        on_verdict: called once: whether the member works.
    """

    def __init__(
        self,
        member: int,
        stream: stt.RecognizeStream,
        *,
        limit: float,
        interims: bool,
        on_verdict: Callable[[Probe, bool], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_verdict = on_verdict
        self._watch = SilenceWatch(limit, interims=interims)
        self._watch.begin(self._loop.time(), 0.0, text_open=False)
        self.member = member
        self.stream = stream
        self.began_at = self._loop.time()
        self.over = False
        self._reader = self._loop.create_task(self._read(), name="voxport.failover.probe")

    def push(self, frame: rtc.AudioFrame) -> None:
        """Let it hear *frame*."""
        try:
            self.stream.push_frame(frame)
        except Exception:
            self.decide(False)

    def check(self, now: float, *, came: bool, speech: float) -> None:
        """Decide against a member that says nothing.

        Args:
            came: it was given audio since the last time.
            speech: seconds of that which may hold speech.
        """
        if came:
            self._watch.audio(now)
        if speech:
            self._watch.speech(now, speech)
        if self._watch.overdue(now):
            self.decide(False)

    def decide(self, works: bool) -> None:
        """Only the first decision counts."""
        if not self.over:
            self.over = True
            self._on_verdict(self, works)

    async def _read(self) -> None:
        try:
            async for event in self.stream:
                if any(data.text.strip() for data in event.alternatives):
                    self.decide(True)
                    return
        except Exception as error:  # a member that fails its trial is what a trial is for
            logger.debug("a trial failed: %s", type(error).__name__)
        self.decide(False)

    def stop(self) -> None:
        """Believe nothing it says from now on."""
        self.over = True

    async def aclose(self) -> None:
        """Stop hearing along."""
        self.stop()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await close_quietly(self.stream)


class Trials:
    """The trials beside one stream, one at a time.

    Args:
        adapter: whose members they are.
        choice: of the stream; it knows who is due.
        beside: who is given the caller's frames beside the active member; the one on trial is put there.
        open_stream: makes a member's stream.
        close: closes a probe beside everything else.
    """

    def __init__(
        self,
        adapter: FailoverSTTAdapter,
        choice: Choice,
        *,
        beside: list[Callable[[rtc.AudioFrame], None]],
        open_stream: Callable[[int], stt.RecognizeStream],
        close: Callable[[Probe], None],
    ) -> None:
        self._adapter = adapter
        self._choice = choice
        self._beside = beside
        self._open_stream = open_stream
        self._close = close
        self._probe: Probe | None = None

    def look_after(self, now: float, *, active: int | None, came: bool, speech: float, speaking: bool) -> None:
        """End a trial that takes too long; begin one when somebody speaks and one better than *active* is due.

        Args:
            came, speech: whether audio came since the last time, and how many seconds of it may hold speech.
            speaking: the last of it may.
        """
        if self._probe is not None:
            self._probe.check(now, came=came, speech=speech)
            if self._probe is not None and now - self._probe.began_at > _PROBE_SECONDS:
                self.end()
        elif active and speaking and self._adapter._options.probe == "background":
            member = self._choice.due_for_trial(active, now)
            if member is not None:
                self._begin(member, now)

    def _begin(self, member: int, now: float) -> None:
        breaker = self._adapter._breakers[member]
        try:
            stream = self._open_stream(member)
        except Exception:  # a member that cannot even begin is no better than it was
            breaker.failed(now)
            return
        breaker.on_trial = True
        self._probe = Probe(
            member,
            stream,
            limit=self._adapter._options.silence_limit,
            interims=self._adapter._members[member].capabilities.interim_results,
            on_verdict=self._on_verdict,
        )
        self._beside.append(self._probe.push)

    def _on_verdict(self, probe: Probe, works: bool) -> None:
        breaker = self._adapter._breakers[probe.member]
        if not works:
            breaker.failed(asyncio.get_running_loop().time())
        elif breaker.succeeded():
            self._adapter._changed(probe.member, available=True)
        self.end()

    def on_error(self, member: int) -> None:
        """*member* has reported an error; on trial, that decides."""
        if self._probe is not None and self._probe.member == member:
            self._probe.decide(False)

    def end(self) -> None:
        """Give up the trial that goes on, if there is one."""
        probe, self._probe = self._probe, None
        if probe is not None:
            self._beside.remove(probe.push)
            self._adapter._breakers[probe.member].on_trial = False
            self._close(probe)
