"""What nobody says of himself: that he fell silent, that an utterance is over, that a better member is back.

A timer looks after it. It is the timer, too, that looks at the audio: until then a frame that came costs nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from livekit.agents import APIConnectionError, utils, vad

from .failover_leg import Ending, Leg
from .failover_silence import SilenceWatch

if TYPE_CHECKING:
    from .failover_stream import FailoverStream

__all__ = ["UNHEARD_SECONDS", "Lookout"]

UNHEARD_SECONDS = 0.1
"""So much loud audio that no final covers is not just the tail of the last word."""

_PAUSE_SECONDS = 0.5
"""So much silence after a final ends an utterance whose recogniser did not live to say so."""

_HELD_END_SECONDS = 3.0
"""How long END waits for the final that belongs before it."""

_HANDOVER_SECONDS = 1.0
"""How long a member may take to say the rest before another one goes on."""

_SHORTEST_TICK = 0.02


class Lookout:
    """Looks after one stream.

    Args:
        stream: it reads who serves and what was said, ends a member's turn, and says END there.
        limit: seconds a member may say nothing about speech.
        hearing: hears speech, instead of the level of the audio. Closed by :meth:`aclose`.
        hearing_interval: seconds between its reports, where they hold no frames.

    Attributes:
        last_audio_at: when audio came, as far as was looked.
    """

    def __init__(
        self,
        stream: FailoverStream,
        *,
        limit: float,
        hearing: vad.VADStream | None,
        hearing_interval: float,
    ) -> None:
        self._stream = stream
        self._audio = stream._audio
        self._transcript = stream._transcript
        self._choice = stream._choice
        self._limit = limit
        self._tick_seconds = min(max(limit / 8, _SHORTEST_TICK), 0.5)
        self._hearing = hearing
        self._hearing_interval = hearing_interval
        self._hearer: asyncio.Task[None] | None = None
        if hearing is not None:
            stream._beside.append(hearing.push_frame)
        self._watch = SilenceWatch(limit, interims=True)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0  # when the timer fires
        self._seen = 0  # samples, at the last look
        self._answered_at = 0  # samples, at the last answer
        self._last_answer: float | None = None  # when, if it is still to be considered
        self._came, self._speech = False, 0.0  # audio and seconds of speech, since the last tick
        self._end_held_since: float | None = None
        self._drains_cut = 0
        self.last_audio_at = self._loop.time()

    def start(self) -> None:
        """From now on it looks, until :meth:`aclose`."""
        self._set_timer(self._tick_seconds)
        if self._hearing is not None:
            self._hearer = self._loop.create_task(self._hear(self._hearing), name="voxport.failover.vad")

    async def aclose(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._hearer is not None and self._hearing is not None:
            await utils.aio.cancel_and_wait(self._hearer)
            await self._hearing.aclose()

    # ------------------------------------------------------------------ what the stream tells

    def begin(self, now: float, *, interims: bool) -> None:
        """Another member is given all that no final covers.

        Args:
            interims: it answers while somebody speaks.
        """
        self._answered_at = self._audio.end
        self._last_answer = self._end_held_since = None
        self._watch = SilenceWatch(self._limit, interims=interims)
        self._watch.begin(now, self._audio.unheard_seconds, text_open=self._transcript.text_open)

    def answered(self, now: float) -> None:
        """The member said something. It is enough to consider that at the next look."""
        self._last_answer = now
        self._answered_at = self._audio.end

    def _consider_answer(self) -> None:
        if self._last_answer is not None:
            self._watch.answered(self._last_answer, text_open=self._transcript.text_open)
            self._last_answer = None

    def hurry(self) -> None:
        """The member is in trouble: until its next answer it is given half as long."""
        self._consider_answer()
        self._watch.hurry(self._limit / 2)

    def look(self, now: float) -> None:
        """Catch up with the audio that came since the last time."""
        self._consider_answer()
        audio, leg = self._audio, self._stream._leg
        if audio.end == self._seen:
            return
        audio.let_go(now)
        self._seen = audio.end
        self.last_audio_at = now
        self._came = True
        # only for going back to a preferred member must be known of all audio how loud it is
        heard = audio.look(self._answered_at, closely=leg is None or leg.member > 0)
        if leg is not None and leg.hears:
            self._watch.audio(now)
            if heard.unanswered and self._hearing is None:
                self._watch.speech(now, heard.unanswered, ago=heard.ago)
        self._speech += heard.seconds

    async def _hear(self, hearing: vad.VADStream) -> None:
        """Speech as the VAD hears it."""
        async for event in hearing:
            if event.type is vad.VADEventType.INFERENCE_DONE and event.speaking:
                seconds = sum(frame.duration for frame in event.frames) or self._hearing_interval
                self._consider_answer()
                self._watch.speech(self._loop.time(), seconds)

    # ------------------------------------------------------------------ the timer

    def _tick(self) -> None:
        now = self._loop.time()
        try:
            self._look_after(now)
        finally:
            self._set_timer(self._until_next_tick(now))

    def _set_timer(self, seconds: float) -> None:
        self._due = self._loop.time() + seconds
        self._timer = self._loop.call_later(seconds, self._tick)

    def _until_next_tick(self, now: float) -> float:
        """Less often while the preferred member serves; but in time for an answer that may come too late."""
        leg = self._stream._leg
        if leg is None or leg.member or not leg.hears:
            return self._tick_seconds
        left = self._watch.left(now, self._choice.patience)
        return max(min(2 * self._tick_seconds, left), _SHORTEST_TICK)

    def _look_after(self, now: float) -> None:
        self.look(now)
        self._end_utterance(now)
        leg = self._stream._leg
        late = now - self._due
        if late > _SHORTEST_TICK:  # the event loop was held up, and read no answers either
            self._watch.excuse(now, late)
            if leg is not None:
                leg.last_event_at = min(leg.last_event_at + late, now)
        active = leg.member if leg is not None else None
        came, speech, self._came, self._speech = self._came, self._speech, False, 0.0
        speaking = came and self._audio.loud
        self._stream._trials.look_after(now, active=active, came=came, speech=speech, speaking=speaking)
        if leg is None or leg.ended.done():
            return
        if leg.successor is not None:
            if leg.asked_to_end is not None and now - leg.asked_to_end > _HANDOVER_SECONDS:
                self._stream._end(leg, "handed over", "takes its time with the rest")
        elif leg.asked_to_end is not None:
            # members that need longer for the rest of a call are not better at it when they begin anew
            limit = self._limit * 2**self._drains_cut
            if now - leg.last_event_at > limit:
                self._on_endless_drain(leg, limit)
        elif self._watch.overdue(now, self._choice.patience):
            seconds = self._limit * self._choice.patience
            self._stream._end(leg, "silent", f"says nothing about speech since {seconds:g} s")
        else:
            self._return_to_better(leg, now)

    def _on_endless_drain(self, leg: Leg, limit: float) -> None:
        if self._stream._is_drained(sure=False):
            leg.end(Ending("ended", APIConnectionError("")))  # it has said everything, and does not close
        else:
            self._drains_cut += 1
            self._stream._end(leg, "failed", f"neither said the rest nor ended within {limit:g} s")

    def _end_utterance(self, now: float) -> None:
        """Say END where whoever should does not."""
        transcript = self._transcript
        if transcript.end_held:
            self._end_held_since = self._end_held_since or now
            if now - self._end_held_since > _HELD_END_SECONDS:
                self._stream._emit(*transcript.end())
            return
        self._end_held_since = None
        nobody = self._stream._leg is None or transcript.carried
        settled = not transcript.final_missing and not transcript.text_open
        if transcript.speaking and nobody and settled and self._audio.pause_seconds >= _PAUSE_SECONDS:
            self._stream._emit(*transcript.end())

    def _return_to_better(self, leg: Leg, now: float) -> None:
        """At the end of an utterance, let the member go on that is preferred and works."""
        better = self._stream._better_than(leg.member, now)
        if better is None:
            return
        transcript, audio = self._transcript, self._audio
        quiet = audio.quiet_seconds >= _PAUSE_SECONDS
        said = now - leg.last_event_at >= self._tick_seconds and not transcript.speaking
        if not said or not quiet or transcript.text_open:
            return
        if transcript.timed is False or audio.unheard_seconds <= UNHEARD_SECONDS:
            leg.successor = better
            leg.end_input()
