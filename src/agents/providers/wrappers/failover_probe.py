"""Finding out whether a member works again, without giving it anything the caller needs.

The member hears the next speech beside the one that serves the caller. What it says is thrown away; that it says
a word is the proof.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from livekit import rtc
from livekit.agents import stt

from .failover_leg import close_quietly
from .failover_silence import SilenceWatch

__all__ = ["Probe"]


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

    def push(self, frame: rtc.AudioFrame, *, speech: bool) -> None:
        """Let it hear *frame*, which may hold *speech*."""
        now = self._loop.time()
        self._watch.audio(now)
        if speech:
            self._watch.speech(now, frame.duration)
        try:
            self.stream.push_frame(frame)
        except Exception:
            self.decide(False)

    def check(self, now: float) -> None:
        """Decide against a member that says nothing."""
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
        except Exception:  # a member that fails its trial is what a trial is for
            pass
        self.decide(False)

    async def aclose(self) -> None:
        """Stop hearing along."""
        self.over = True
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await close_quietly(self.stream)
