"""One caller's audio through whichever member works.

A frame is given to the active member where it is pushed, without a queue, and kept until a FINAL covers it. An
event of a member goes out where it comes. One task, the supervisor, waits for the active member to end, for
whatever reason, and starts the next one with all that is kept. What nobody says of himself, the lookout sees
(:mod:`.failover_lookout`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, stt
from livekit.agents.types import NotGivenOr
from pydantic import BaseModel

from ..stt.direct import DirectStream
from ..stt.feed import downmix
from ..transport.bounded import to_its_end
from .failover_audio import KeptAudio
from .failover_callers import on_behalf_of
from .failover_choice import Choice
from .failover_leg import Ending, EndingKind, Leg
from .failover_lookout import UNHEARD_SECONDS, Lookout
from .failover_probe import Probe, Trials
from .failover_transcript import JoinedTranscript

if TYPE_CHECKING:
    from .failover import FailoverSTTAdapter

__all__ = ["FailoverStream"]

logger = logging.getLogger("agents.providers.wrappers")

_GIVE_UP_SECONDS = 30.0
"""After end_input, members that cannot be reached for so long will not give the rest any more."""

_PROOF_SECONDS = 0.2
"""A member that broke sooner proves nothing by the words it said before."""

_IDLE_SECONDS = 5.0
"""A member that ends its stream after so much time without audio has not failed."""


class FailoverStream(DirectStream):
    """Made by :meth:`FailoverSTTAdapter.stream`. Push frames, iterate over events, and close it."""

    def __init__(
        self, *, stt: FailoverSTTAdapter, language: NotGivenOr[str], conn_options: APIConnectOptions
    ) -> None:
        # The retries are made here, where the audio is. LiveKit's own would start over without it.
        super().__init__(stt=stt, conn_options=dataclasses.replace(conn_options, max_retry=0))
        self._adapter = stt
        self._language = language
        self._retry = conn_options
        self._member_options = dataclasses.replace(conn_options, max_retry=0)
        self._audio = KeptAudio(stt._options.replay_seconds)
        self._transcript = JoinedTranscript()
        self._choice = Choice(stt._breakers)
        self._beside: list[Callable[[rtc.AudioFrame], None]] = []
        self._trials = Trials(
            stt, self._choice, beside=self._beside, open_stream=self._member_stream, close=self._close
        )
        self._leg: Leg | None = None
        self._closers: set[asyncio.Task[None]] = set()
        self._more = asyncio.Event()  # audio came, or its end
        self._input_ended_at: float | None = None
        self._drained_in_vain = 0
        hearing = stt._vad if stt._options.speech_by == "vad" else None
        self._lookout = Lookout(self, limit=stt._options.silence_limit, hearing=hearing)

    # ------------------------------------------------------------------ audio in

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        """Take a frame. This is the short way of those that are as all before and need only be given and kept."""
        audio, leg = self._audio, self._leg
        if (
            leg is None
            or not leg.hears
            or frame.samples_per_channel != audio.step
            or frame.sample_rate != audio.rate
            or frame.num_channels != 1
            or self._beside
        ):
            super().push_frame(frame)
            return
        audio.keep(frame)
        audio.end = audio.given = audio.end + audio.step
        try:
            leg.push(frame)
        except Exception as error:
            leg.refused(error)

    def _accept_frame(self, frame: rtc.AudioFrame) -> None:
        audio, leg = self._audio, self._leg
        samples = frame.samples_per_channel
        if not samples:
            return
        if not audio.rate:
            audio.rate = frame.sample_rate
            self.start_time = time.time() - frame.duration
        if frame.num_channels != 1:
            mono = downmix(frame.data[: samples * frame.num_channels], frame.num_channels)
            frame = rtc.AudioFrame(mono, frame.sample_rate, 1, samples)
        audio.push(frame, samples)
        if leg is not None and leg.hears:
            audio.given = audio.end
            try:
                leg.push(frame)
            except Exception as error:
                leg.refused(error)
        elif not self._more.is_set():
            self._more.set()
        if self._beside:
            for hear in tuple(self._beside):
                hear(frame)

    def _accept_flush(self) -> None:
        self._audio.flush()
        leg = self._leg
        if leg is not None and leg.hears:
            leg.flush()

    def end_input(self) -> None:
        """Mark the end of input: the active member says the rest."""
        self._check_input_not_ended()
        self._check_not_closed()
        self._input_ch.close()
        self._shut()
        self._input_ended_at = self._loop.time()
        self._more.set()
        if self._leg is not None:
            self._leg.end_input()
        self._lookout.watch_closely()

    # ------------------------------------------------------------------ the supervisor

    async def _run(self) -> None:
        self._adapter._streams.here().add(self)
        try:
            self._lookout.start()
            await self._supervise()
            self._emit(*self._transcript.finish())
        finally:
            self._count_dropped()
            # whoever closes the adapter, and the session that closes its stream, cancel this twice
            await to_its_end(self._leave_members(), name="voxport.failover.end")

    async def _leave_members(self) -> None:
        self._trials.end()
        if self._leg is not None:
            self._close(self._leg)
        try:
            await self._lookout.aclose()
        finally:
            while self._closers:
                await asyncio.gather(*self._closers, return_exceptions=True)
                await asyncio.sleep(0)  # since Python 3.12 the line above does not wait when all are done

    async def _supervise(self) -> None:
        while True:
            leg = await self._open_next()
            if leg is None:
                return
            ending = await leg.ended
            self._leg = None
            self._lookout.watch_closely()
            self._close(leg)
            if not await self._go_on_after(leg, ending):
                return

    async def _open_next(self) -> Leg | None:
        """Start the next member with all audio that is kept; ``None`` when there is no point in one."""
        while True:
            member, delay = self._choice.next(self._loop.time())
            if delay:
                if self._given_up(delay):
                    return None
                await asyncio.sleep(delay)
            if self._input_ended_at is not None and not self._audio.end:
                return None
            try:
                stream = self._member_stream(member)
            except Exception as error:
                self._adapter._report(member, error)
                self._failed(member, Ending("failed", error))
                continue
            self._go_live(member, stream)
            return self._leg

    def _member_stream(self, member: int) -> stt.RecognizeStream:
        recogniser = self._adapter._members[member]
        with on_behalf_of(self):
            return recogniser.stream(language=self._language, conn_options=self._member_options)

    def _go_live(self, member: int, stream: stt.RecognizeStream) -> None:
        """From here on *member* hears the caller, first what no final has covered."""
        now = self._loop.time()
        self._lookout.look(now)
        given_before = self._audio.given_seconds
        origin = self._audio.rewind()
        self._count_dropped()
        self._transcript.began(origin)
        stream.start_time_offset = self._start_time_offset + origin
        interims = self._adapter._members[member].capabilities.interim_results
        leg = self._leg = Leg(member, stream, origin=origin, interims=interims, on_event=self._on_event)
        self._lookout.begin(now, interims=interims)
        self._give_all(leg)
        leg.late_seconds = self._audio.given_seconds - origin
        self._adapter.stats.replayed_seconds += max(given_before - origin, 0.0)
        if self._input_ended_at is not None:
            leg.end_input()
        self._adapter._serving(member)

    def _give_all(self, leg: Leg) -> None:
        try:
            for frame in self._audio.pending():
                if frame is None:
                    leg.flush()
                else:
                    leg.push(frame)
        except Exception as error:
            leg.refused(error)

    async def _go_on_after(self, leg: Leg, ending: Ending) -> bool:
        """Decide what an ending means. Returns whether another member is needed."""
        now = self._loop.time()
        if leg.successor is not None and ending.kind in ("ended", "handed over"):
            if ending.kind == "ended":
                self._settle()
            self._choice.hand_to(leg.successor)
            return True
        if leg.asked_to_end is not None and leg.successor is None:
            ended = ending.kind == "ended"
            if self._is_drained(sure=ended, trusted=ended and leg.had_caught_up, broken=not ended):
                return False
            if ending.kind == "ended":  # there may be speech it did not hear; ask somebody else
                self._drained_in_vain += 1
                self._choice.silent(leg.member)
                return True
        elif self._is_idle(leg, ending, now):
            self._more.clear()
            await self._more.wait()  # it did nothing wrong: come back with the next audio
            return True
        if ending.kind == "silent":
            self._adapter.stats.silences += 1
            self._choice.silent(leg.member)
            self._adapter._report(leg.member, ending.error)
        else:
            if ending.kind == "ended":
                self._adapter._report(leg.member, ending.error)
            self._failed(leg.member, ending)
        self._adapter.stats.switches += 1
        logger.warning(
            "%s: %s; %.1f s of audio go to the next member",
            self._adapter._name(leg.member),
            ending.error,
            self._audio.seconds - self._transcript.acknowledged,
            extra={"stt": self._adapter.label},
        )
        return True

    def _failed(self, member: int, ending: Ending) -> None:
        """Count a failure; raise when there is nobody left to ask.

        Raises:
            APIConnectionError: as ``on_failure`` says, or because no member can ever work.
        """
        if self._choice.failed(member, self._loop.time(), permanent=ending.permanent):
            self._adapter._changed(member, available=False)
        spent = self._adapter._options.on_failure == "raise" and self._choice.rounds > self._retry.max_retry
        if spent or self._choice.hopeless:
            raise APIConnectionError(
                f"all members failed ({self._adapter._names}); the last one: {ending.error}",
                retryable=not self._choice.hopeless,
            ) from ending.error

    def _is_idle(self, leg: Leg, ending: Ending, now: float) -> bool:
        """Whether the member had nothing to do, which is no reason to leave it."""
        self._lookout.look(now)
        return (
            self._input_ended_at is None
            and now - max(self._lookout.last_audio_at, leg.began_at) >= _IDLE_SECONDS
            and not ending.permanent
            and not self._transcript.speaking
            and self._audio.unheard_seconds <= UNHEARD_SECONDS
        )

    def _is_drained(self, *, sure: bool, trusted: bool = False, broken: bool = False) -> bool:
        """Whether all there was has been said after the end of the input.

        Args:
            sure: the member ended in good order, so its last final is its last.
            trusted: and it was not busy with older audio when the input ended. Without times nothing else tells;
                but one that gets much at once, and the end with it, may break in the middle, and in good order.
            broken: the member did not live to say what it heard: whatever is not silence may have been speech.
        """
        transcript = self._transcript
        if sure and self._drained_in_vain >= len(self._adapter.members) - 1:
            return True
        if transcript.text_open or transcript.final_missing:
            return False
        unheard = self._audio.audible_seconds if broken else self._audio.unheard_seconds
        return (trusted and transcript.timed is False) or unheard <= UNHEARD_SECONDS

    def _given_up(self, delay: float) -> bool:
        ended = self._input_ended_at
        if ended is None or self._loop.time() + delay - ended <= _GIVE_UP_SECONDS:
            return False
        left = self._audio.seconds - self._transcript.acknowledged
        self._adapter.stats.dropped_seconds += left
        logger.error(
            "no member can be reached; the input has ended and %.1f s of audio stay unrecognised",
            left,
            extra={"stt": self._adapter.label},
        )
        return True

    def _settle(self) -> None:
        """A member was asked for all it had and has said it."""
        given = self._audio.given_seconds
        if not self._transcript.text_open:
            self._transcript.settled(given)
            self._audio.acknowledge(given)

    # ------------------------------------------------------------------ events in

    def _on_event(self, leg: Leg, event: stt.SpeechEvent) -> None:
        kind = event.type
        if kind is stt.SpeechEventType.RECOGNITION_USAGE:
            self._emit(event)
            return
        leg.troubles = 0
        now, transcript, audio = leg.last_event_at, self._transcript, self._audio
        said = event.alternatives
        if kind is stt.SpeechEventType.INTERIM_TRANSCRIPT and transcript.goes_on(event):
            self._emit(event)
            words = True
        else:
            transcript.offset = self._start_time_offset
            if event.speech_start_time is not None and leg.late_seconds:
                # the member takes the moment it was given the audio for the moment it was spoken
                event = dataclasses.replace(event, speech_start_time=event.speech_start_time - leg.late_seconds)
            self._emit(*transcript.accept(event, audio.given_seconds))
            words = bool(said) and bool(said[0].text.strip())
        if said or leg.interims:
            self._lookout.answered_at, self._lookout.last_answer = audio.end, now
        if words:
            proven = now - leg.began_at >= _PROOF_SECONDS
            for member, available in self._choice.heard(leg.member, now, proven=proven):
                self._adapter._changed(member, available=available)
        if kind is stt.SpeechEventType.FINAL_TRANSCRIPT:
            if leg.member:
                self._lookout.look(now)  # before it is gone: how long it has been quiet must be known to go back
            audio.acknowledge(transcript.acknowledged)
            if transcript.timed is False:
                audio.answered()

    def _end(self, leg: Leg, kind: EndingKind, what: str) -> None:
        """The member hears no more, because of *what* it does."""
        error = APIConnectionError(f"{self._adapter._name(leg.member)} {what}")
        if kind == "failed":
            self._adapter._report(leg.member, error)
        leg.end(Ending(kind, error))

    # ------------------------------------------------------------------ the rest

    def _close(self, ended: Leg | Probe) -> None:
        """Close beside everything else: the next member need not wait for it."""
        ended.stop()
        task = self._loop.create_task(ended.aclose(), name="voxport.failover.close")
        self._closers.add(task)
        task.add_done_callback(self._closers.discard)

    def _count_dropped(self) -> None:
        lost = self._audio.take_dropped()
        if lost > 0:
            self._adapter.stats.dropped_seconds += lost
            logger.error(
                "%.1f s of audio are lost: no member could be reached for longer than replay_seconds",
                lost,
                extra={"stt": self._adapter.label},
            )

    def _report_usage(self, event: stt.SpeechEvent) -> None:
        """The members report their own."""

    @property
    def context(self) -> BaseModel | None:
        """What the active member has learnt about the speaker."""
        return self._leg.stream.context if self._leg is not None else self._context

    @context.setter
    def context(self, value: BaseModel | None) -> None:
        self._context = value
