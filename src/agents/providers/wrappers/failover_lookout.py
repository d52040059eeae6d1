"""What nobody says of himself: that he fell silent, that an utterance is over, that a better member is back.

The timer of all streams looks after it, and at the audio, too: until then a frame that came costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

from livekit import rtc
from livekit.agents import APIConnectionError, utils, vad

from ..stt.ticker import ticker
from .failover_leg import Ending, Leg
from .failover_silence import LEAST_SPEECH, SilenceWatch

if TYPE_CHECKING:
    from .failover_stream import FailoverStream

__all__ = ["UNHEARD_SECONDS", "Lookout"]

logger = logging.getLogger("agents.providers.wrappers")

UNHEARD_SECONDS = 0.1
"""So much loud audio that no final covers is not just the tail of the last word."""

_PAUSE_SECONDS = 0.5
"""So much silence after a final ends an utterance whose recogniser did not live to say so."""

_HELD_END_SECONDS = 3.0
"""How long END waits for the final that belongs before it."""

_TROUBLES = 2
"""So many recoverable errors in a row, with nothing said in between: the member is down."""

_HANDOVER_SECONDS = 1.0
"""How long a member may take to say the rest before another one goes on."""

_SHORTEST_TICK, _LONGEST_TICK = 0.02, 2.0

_CALM = 0.4
"""While the preferred member serves, the timer looks after so much of the limit. It may be late by as much."""


class Lookout:
    """Looks after one stream.

    Args:
        stream: it reads who serves and what was said, ends a member's turn, and says END there.
        limit: seconds a member may say nothing about speech.
        hearing: hears speech, instead of the level of the audio.

    Attributes:
        last_audio_at: when audio came, as far as was looked.
        last_answer: when the member said something, until that is considered. The stream sets it.
        answered_at: samples that had come by then.
    """

    def __init__(self, stream: FailoverStream, *, limit: float, hearing: vad.VAD | None) -> None:
        self._stream = stream
        self._audio = stream._audio
        self._transcript = stream._transcript
        self._choice = stream._choice
        self._limit = limit
        self._tick_seconds = min(max(limit / 8, _SHORTEST_TICK), 0.5)
        self._vad = hearing
        self._hearing: vad.VADStream | None = None
        self._listens = False  # it works
        self._hearer: asyncio.Task[None] | None = None
        self._watch = SilenceWatch(limit, interims=True)
        self._loop = asyncio.get_running_loop()
        self._ticker = ticker()
        self._every = 0.0  # seconds between two ticks; they may be twice as far apart
        self._ticked_at = self._loop.time()
        self._alarm: asyncio.TimerHandle | None = None  # when a tick would be too late
        self._looks = False
        self._seen = 0  # samples, at the last look
        self.answered_at = 0
        self.last_answer: float | None = None
        self._came, self._speech = False, 0.0  # audio and seconds of speech, since the last tick
        self._end_held_since: float | None = None
        self._drains_cut = 0
        self.last_audio_at = self._loop.time()

    def start(self) -> None:
        """From now on it looks, until :meth:`aclose`."""
        self._looks = True
        self._ticked_at = self._loop.time()
        self.watch_closely()
        if self._vad is not None:
            hearing = self._hearing = self._vad.stream()  # not before: one that never begins is never closed
            self._listens = True
            self._stream._beside.append(self._let_hear)
            interval = self._vad.capabilities.update_interval
            self._hearer = self._loop.create_task(self._hear(hearing, interval), name="voxport.failover.vad")

    async def aclose(self) -> None:
        """Look no more."""
        self._looks = False
        self._ticker.remove(self._tick)
        if self._alarm is not None:
            self._alarm.cancel()
        if self._hearer is not None and self._hearing is not None:
            await utils.aio.cancel_and_wait(self._hearer)
            await self._hearing.aclose()

    # ------------------------------------------------------------------ what the stream tells

    def begin(self, now: float, *, interims: bool) -> None:
        """Another member is given all that no final covers.

        Args:
            interims: it answers while somebody speaks.
        """
        self.answered_at = self._audio.end
        self.last_answer = self._end_held_since = None
        self._watch = SilenceWatch(self._limit, interims=interims)
        self._watch.begin(now, self._audio.unheard_seconds, text_open=self._transcript.text_open)
        self.watch_closely()

    def _consider_answer(self) -> None:
        if self.last_answer is not None:
            self._watch.answered(self.last_answer, text_open=self._transcript.text_open)
            self.last_answer = None

    def on_error(self, member: int) -> None:
        """A member that goes on by itself reports an error: until its next answer it is given half as long."""
        self._stream._trials.on_error(member)
        leg, now = self._stream._leg, self._loop.time()
        if leg is None or leg.member != member or len(self._stream._adapter.members) == 1 or leg.ended.done():
            return
        leg.troubles = leg.troubles + 1 if now - leg.trouble_at < 2 * self._limit else 1
        leg.trouble_at = now
        self._consider_answer()
        self._watch.hurry(self._limit / 2)
        self.watch_closely()
        if leg.troubles >= _TROUBLES:
            what = f"reported {leg.troubles} errors in a row and said nothing in between"
            self._stream._end(leg, "failed", what)

    def watch_closely(self) -> None:
        """Something has happened: look often, until the preferred member serves and all is well again."""
        self._tick_every(self._tick_seconds)

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
        closely = leg is None or leg.member > 0
        if not closely and audio.end - self.answered_at < LEAST_SPEECH * audio.rate:
            self._watch.audio(now)
            return  # too short to owe an answer; if none comes, it is looked at the next time
        heard = audio.look(self.answered_at, closely=closely)
        if leg is not None and leg.hears:
            self._watch.audio(now)
            if heard.unanswered and not self._listens:
                self._watch.speech(now, heard.unanswered, ago=heard.ago)
        self._speech += heard.seconds

    def _let_hear(self, frame: rtc.AudioFrame) -> None:
        """Give *frame* to the VAD, whose failures are none of the caller's."""
        assert self._hearing is not None
        try:
            self._hearing.push_frame(frame)
        except Exception as error:
            self._hear_no_more(error)

    async def _hear(self, hearing: vad.VADStream, interval: float) -> None:
        """Speech as the VAD hears it, which reports once in *interval* seconds."""
        try:
            async for event in hearing:
                if event.type is vad.VADEventType.INFERENCE_DONE and event.speaking:
                    seconds = sum(frame.duration for frame in event.frames) or interval
                    self._consider_answer()
                    self._watch.speech(self._loop.time(), seconds)
        except Exception as error:
            self._hear_no_more(error)

    def _hear_no_more(self, error: Exception) -> None:
        """Go on without the VAD."""
        if self._listens:
            self._listens = False
            self._stream._beside.remove(self._let_hear)
            logger.error(
                "the VAD fails with %s: the level of the audio tells from now on whether somebody speaks",
                type(error).__name__,
                extra={"stt": self._stream._adapter.label},
            )

    # ------------------------------------------------------------------ the timer

    def _tick_every(self, seconds: float) -> None:
        if seconds != self._every and self._looks:
            self._every = seconds
            self._ticker.add(self._tick, every=seconds)

    def _tick(self, _: float = 0.0) -> None:
        now = self._loop.time()
        late, self._ticked_at = now - self._ticked_at - 2 * self._every, now
        self.look(now)
        leg, left = self._stream._leg, math.inf
        if late > _SHORTEST_TICK:
            self._excuse(leg, now, late)
        self._end_utterance(leg, now)
        self._look_after_trials(leg, now)
        if leg is not None and leg.hears:
            left = self._watch.left(now, self._choice.patience)
            if left <= 0:
                seconds = self._limit * self._choice.patience
                self._stream._end(leg, "silent", f"says nothing about speech since {seconds:g} s")
            elif leg.member:
                self._return_to_better(leg, now)
        elif leg is not None and not leg.ended.done():
            self._look_after_drain(leg, now)
        self._prepare_next_tick(leg, left)

    def _prepare_next_tick(self, leg: Leg | None, left: float) -> None:
        """Less often while the preferred member serves; but in time for an answer that may come too late."""
        calm = leg is not None and leg.hears and not leg.member
        calm = calm and not self._watch.hurried
        self._tick_every(min(self._limit * _CALM, _LONGEST_TICK) if calm else self._tick_seconds)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if left < 2 * self._every:
            self._alarm = self._loop.call_later(max(left, _SHORTEST_TICK), self._tick)

    def _excuse(self, leg: Leg | None, now: float, late: float) -> None:
        """The event loop was held up, and read no answers either."""
        self._watch.excuse(now, late)
        if leg is not None:
            leg.last_event_at = min(leg.last_event_at + late, now)

    def _look_after_trials(self, leg: Leg | None, now: float) -> None:
        came, speech, self._came, self._speech = self._came, self._speech, False, 0.0
        active = leg.member if leg is not None else None
        speaking = came and self._audio.loud
        self._stream._trials.look_after(now, active=active, came=came, speech=speech, speaking=speaking)

    def _look_after_drain(self, leg: Leg, now: float) -> None:
        """A member was asked for the rest."""
        if leg.successor is not None:
            if leg.asked_to_end is not None and now - leg.asked_to_end > _HANDOVER_SECONDS:
                self._stream._end(leg, "handed over", "takes its time with the rest")
            return
        # members that need longer for the rest of a call are not better at it when they begin anew
        limit = self._limit * 2**self._drains_cut
        if now - leg.last_event_at > limit:
            self._on_endless_drain(leg, limit)

    def _on_endless_drain(self, leg: Leg, limit: float) -> None:
        if self._stream._is_drained(sure=False):
            leg.end(Ending("ended", APIConnectionError("")))  # it has said everything, and does not close
        else:
            self._drains_cut += 1
            self._stream._end(leg, "failed", f"neither said the rest nor ended within {limit:g} s")

    def _end_utterance(self, leg: Leg | None, now: float) -> None:
        """Say END where whoever should does not."""
        transcript = self._transcript
        if transcript.end_held:
            self._end_held_since = self._end_held_since or (leg.last_event_at if leg is not None else now)
            if now - self._end_held_since > _HELD_END_SECONDS:
                self._stream._emit(*transcript.end())
            return
        self._end_held_since = None
        if not transcript.speaking or (leg is not None and not transcript.carried):
            return
        settled = not transcript.final_missing and not transcript.text_open
        if settled and self._audio.pause_seconds >= _PAUSE_SECONDS:
            self._stream._emit(*transcript.end())

    def _return_to_better(self, leg: Leg, now: float) -> None:
        """At the end of an utterance, let the member go on that is preferred and works."""
        untested = self._stream._adapter._options.probe == "next_utterance"
        better = self._choice.better(leg.member, now, untested=untested)
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
