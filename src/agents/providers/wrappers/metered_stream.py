"""What can be measured of a stream from outside: by what goes in, what comes out, and when."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from livekit import rtc
from livekit.agents import stt
from livekit.agents.stt import SpeechEventType
from opentelemetry import trace

from .instruments import Instruments
from .stream import StreamWrapper

__all__ = ["AudioClock", "MeteredStream"]

_now = time.monotonic

_GRAIN_SECONDS = 0.02
_KEPT_MARKS = 1000  # 20 s of audio and more: transcripts are about what was said just now

_MADE_UP_SECONDS = 0.002
"""START this close before the interim was made from it, as LiveKit asks for: it says nothing about the delay."""

_SLACK_SECONDS = 0.05

_REPORT_SECONDS = 5.0
"""Audio is counted in steps of so much, as LiveKit's plugins report their usage."""


class AudioClock:
    """Knows when each moment of the audio was pushed. Positions are seconds of audio since the first frame.

    Args:
        inner: the stream that gets the frames.

    Attributes:
        base: the stream's ``start_time_offset`` at the first frame.
    """

    __slots__ = ("_due", "_grain", "_inner", "_marks", "_push", "_rate", "_samples", "base")

    def __init__(self, inner: stt.RecognizeStream) -> None:
        self._inner = inner
        self._push = inner.push_frame
        self._rate = self._samples = self._due = self._grain = 0
        self._marks: deque[tuple[int, float]] = deque(maxlen=_KEPT_MARKS)
        self.base = 0.0

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        """Hand *frame* on and note when. It is the only thing done for every frame."""
        self._push(frame)
        if not self._rate:
            self._rate = frame.sample_rate
            self._grain = round(_GRAIN_SECONDS * self._rate)
            self.base = self._inner.start_time_offset
        self._samples = samples = self._samples + frame.samples_per_channel
        if samples >= self._due:
            self._due = samples + self._grain
            self._marks.append((samples, _now()))

    @property
    def position(self) -> float:
        """Seconds pushed so far."""
        return self._samples / self._rate if self._rate else 0.0

    def when(self, position: float) -> float | None:
        """When the audio at *position* was pushed, on ``time.monotonic``; ``None``: not at all, or long ago."""
        marks, sample, slack = self._marks, position * self._rate, _SLACK_SECONDS * self._rate
        if not marks or sample > self._samples + slack or sample < marks[0][0] - slack:
            return None
        found = marks[-1][1]
        for marked, moment in reversed(marks):
            if marked < round(sample):
                break
            found = moment
        return found


class MeteredStream(StreamWrapper):
    """A stream that is measured. Made by ``MeteredSTTAdapter.stream``.

    Args:
        labels: gives provider, model and mode, which may change while the stream runs.
        span: of the whole stream; ended here.
        on_progress: called when the adapter may have counted something.
    """

    def __init__(
        self,
        inner: stt.RecognizeStream,
        *,
        instruments: Instruments,
        labels: Callable[[], tuple[str, str, str]],
        tracer: trace.Tracer,
        span: trace.Span,
        on_progress: Callable[[], None],
    ) -> None:
        super().__init__(inner)
        self._clock = AudioClock(inner)
        # frames go through the clock alone: 20 to 100 of them a second are what a stream costs
        self.push_frame = self._clock.push_frame  # type: ignore[method-assign]
        self._instruments = instruments
        self._labels = labels
        self._opened_as = labels()
        self._tracer = tracer
        self._span = span
        self._on_progress = on_progress
        self._reported = 0.0
        self._finals = 0
        self._over = False
        self._traced = span.is_recording()
        self._inside = trace.set_span_in_context(span)
        self._utterance_began: int | None = None  # nanoseconds, as spans have it
        self._first_interim: float | None = None
        self._announced: float | None = None  # when START came
        self._heard = False  # an interim of this utterance came
        self._ever_heard = False
        self._flushed: tuple[float, float, bool] | None = None  # when, at which position, in mid-utterance
        instruments.add("voxport_stt_open_streams", self._opened_as)

    # ------------------------------------------------------------------ what goes in

    def flush(self) -> None:
        self._inner.flush()
        self._note_flush()

    def end_input(self) -> None:
        self._inner.end_input()
        self._note_flush()

    def _note_flush(self) -> None:
        self._flushed = (_now(), self._clock.position, self._heard or self._announced is not None)

    # ------------------------------------------------------------------ what comes out

    async def __anext__(self) -> stt.SpeechEvent:
        try:
            event = await self._inner.__anext__()
        except StopAsyncIteration:
            self._finish("ok")
            raise
        except asyncio.CancelledError:
            raise
        except Exception:
            self._span.set_status(trace.StatusCode.ERROR)
            self._finish("error")
            raise
        kind = event.type
        if kind is SpeechEventType.INTERIM_TRANSCRIPT or kind is SpeechEventType.PREFLIGHT_TRANSCRIPT:
            if not self._heard:
                self._on_first_interim(event)
        elif kind is SpeechEventType.FINAL_TRANSCRIPT:
            self._on_final(event)
        elif kind is SpeechEventType.START_OF_SPEECH:
            self._announced = _now()
            self._utterance_began = time.time_ns()
        elif kind is SpeechEventType.END_OF_SPEECH:
            self._announced = None
            self._begin_anew()
        else:
            self._report()
        return event

    def _on_first_interim(self, event: stt.SpeechEvent) -> None:
        self._heard = self._ever_heard = True
        self._utterance_began = self._utterance_began or time.time_ns()
        start = event.alternatives[0].start_time if event.alternatives else 0.0
        began = self._clock.when(start - self._clock.base) if start > 0 else None
        if began is None and self._announced is not None and _now() - self._announced > _MADE_UP_SECONDS:
            began = self._announced
        if began is not None:
            seconds = max(_now() - began, 0.0)
            self._instruments.record("voxport_stt_first_interim_seconds", self._labels(), seconds)
            self._first_interim = seconds

    def _on_final(self, event: stt.SpeechEvent) -> None:
        latency, since = self._latency(event)
        self._flushed = None
        if event.alternatives and event.alternatives[0].text.strip():
            labels = self._labels()
            self._finals += 1
            self._instruments.add("voxport_stt_finals_total", labels)
            if latency is not None:
                self._instruments.record("voxport_stt_final_latency_seconds", (*labels, since), latency)
            if self._traced and not self._over:
                self._trace_utterance(latency, since)
            self._begin_anew()
        self._report()

    def _latency(self, event: stt.SpeechEvent) -> tuple[float | None, str]:
        """Seconds to the FINAL, and since what: a flush that asked for it, else the end of speech where known."""
        end = event.alternatives[0].end_time if event.alternatives else 0.0
        position = end - self._clock.base if end > 0 else None
        if self._flushed is not None:
            at, flushed_position, open_then = self._flushed
            asked_for = (
                position <= flushed_position + _SLACK_SECONDS
                if position is not None
                else open_then or not self._ever_heard
            )
            if asked_for:
                return _now() - at, "flush"
        if event.speech_end_time is not None:
            return max(time.time() - event.speech_end_time, 0.0), "speech"
        spoken = self._clock.when(position) if position is not None else None
        return (None, "") if spoken is None else (_now() - spoken, "speech")

    # ------------------------------------------------------------------ spans, counters, the end

    def _begin_anew(self) -> None:
        self._heard = False
        self._utterance_began = self._first_interim = None

    def _trace_utterance(self, latency: float | None, since: str) -> None:
        """A span from the first sign of speech to its final, made when all is known: that is cheaper."""
        attributes: dict[str, float | str] = {}
        if self._first_interim is not None:
            attributes["voxport.stt.first_interim_seconds"] = self._first_interim
        if latency is not None:
            attributes["voxport.stt.final_latency_seconds"] = latency
            attributes["voxport.stt.final_latency_since"] = since
        self._tracer.start_span(
            "voxport.stt.utterance", self._inside, attributes=attributes, start_time=self._utterance_began
        ).end()

    def _report(self, *, at_once: bool = False) -> None:
        """Count the audio that came since the last time, and whatever the adapter has counted."""
        grown = self._clock.position - self._reported
        if grown < _REPORT_SECONDS and not at_once:
            return
        if grown > 0:
            self._reported = self._clock.position
            self._instruments.add("voxport_stt_audio_seconds_total", self._labels(), grown)
        self._on_progress()

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._finish("ok")

    def _finish(self, outcome: str) -> None:
        if self._over:
            return
        self._over = True
        self._report(at_once=True)
        instruments = self._instruments
        instruments.add("voxport_stt_open_streams", self._opened_as, -1)
        instruments.add("voxport_stt_requests_total", (*self._labels(), outcome))
        self._span.set_attribute("voxport.stt.outcome", outcome)
        self._span.set_attribute("voxport.stt.audio_seconds", self._clock.position)
        self._span.set_attribute("voxport.stt.finals", self._finals)
        self._span.end()
