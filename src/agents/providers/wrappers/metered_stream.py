"""What can be measured of a stream from outside: by what goes in, what comes out, and when.

It is written down when it happens, and handed over twice a minute: the SDKs' work costs more than all the rest,
and less when much is done at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from livekit.agents import stt
from opentelemetry import trace

from ..stt.ticker import ticker
from .audio_clock import AudioClock
from .error_classes import error_class
from .instruments import Instruments
from .ledger import Ledger
from .stream import StreamWrapper
from .times import seconds

__all__ = ["MeteredStream"]

_now = time.monotonic

_INTERIM = stt.SpeechEventType.INTERIM_TRANSCRIPT
_PREFLIGHT = stt.SpeechEventType.PREFLIGHT_TRANSCRIPT
_FINAL = stt.SpeechEventType.FINAL_TRANSCRIPT
_START = stt.SpeechEventType.START_OF_SPEECH
_END = stt.SpeechEventType.END_OF_SPEECH

_MADE_UP_SECONDS = 0.002
"""START this close before the interim was made from it, as LiveKit asks for: it says nothing about the delay."""

_SLACK_SECONDS = 0.05

_LATEST_SECONDS = 3600.0
"""A final that is later than this has a time of its own making."""

_PENDING_FLUSHES = 16  # of a vendor that answers none

_REPORT_SECONDS = 30.0
"""Whoever draws a graph looks at minutes."""


class _Flush(NamedTuple):
    """A flush that may not have been answered: when it came, at which position of the audio, in mid-utterance."""

    at: float
    position: float
    in_utterance: bool


class _Utterance(NamedTuple):
    """A span to be. Times are nanoseconds, as spans have them."""

    began: int
    ended: int
    attributes: dict[str, float | str]


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
        # 20 to 100 frames a second are what a stream costs, and attributes of a class with __getattr__ are slow
        self.push_frame = self._clock.push_frame  # type: ignore[method-assign]
        self._instruments = instruments
        self._labels = labels
        self._opened_as = labels()
        self._tracer = tracer
        self._span = span
        self._on_progress = on_progress
        self._ticker = ticker()
        self._reported = 0.0
        self._utterances: list[_Utterance] = []
        self._finals = 0
        self._over = False
        self._traced = span.is_recording()
        self._inside = trace.set_span_in_context(span)
        self._ledger = Ledger(instruments, self._inside)
        self._utterance_began: int | None = None  # nanoseconds
        self._first_interim: float | None = None
        self._announced: float | None = None  # when START came
        self._heard = False  # an interim of this utterance came
        self._ever_heard = False
        self._flushes: list[_Flush] = []
        instruments.add("voxport_stt_open_streams", self._opened_as)
        self._ticker.add(self._report, every=_REPORT_SECONDS)

    # ------------------------------------------------------------------ what goes in

    def flush(self) -> None:
        self._inner.flush()
        self._note_flush()

    def end_input(self) -> None:
        self._inner.end_input()
        self._note_flush()

    def _note_flush(self) -> None:
        open_now = self._heard or self._announced is not None
        self._flushes = [*self._flushes[-_PENDING_FLUSHES:], _Flush(_now(), self._clock.position, open_now)]

    # ------------------------------------------------------------------ what comes out

    async def __anext__(self) -> stt.SpeechEvent:
        try:
            event = await self._inner.__anext__()
        except StopAsyncIteration:
            self._finish("ok")
            raise
        except Exception as error:
            if not self._over:
                self._span.set_attribute("error.type", error_class(error))
                self._span.set_status(trace.StatusCode.ERROR)
            self._finish("error")
            raise
        kind = event.type
        if kind is _INTERIM or kind is _PREFLIGHT:
            if not self._heard:
                self._on_first_interim(event)
        elif kind is _FINAL:
            self._on_final(event)
        elif kind is _START:
            self._announced = _now()
            self._utterance_began = time.time_ns()
        elif kind is _END:
            self._announced = None
            self._begin_anew()
        return event

    def _on_first_interim(self, event: stt.SpeechEvent) -> None:
        self._heard = self._ever_heard = True
        self._utterance_began = self._utterance_began or time.time_ns()
        start = seconds(event.alternatives[0].start_time) if event.alternatives else 0.0
        began = self._clock.when_began(start - self._clock.base) if start > 0 else None
        if began is None and self._announced is not None and _now() - self._announced > _MADE_UP_SECONDS:
            began = self._announced
        if began is not None:
            self._first_interim = max(_now() - began, 0.0)
            self._ledger.record("voxport_stt_first_interim_seconds", self._labels(), self._first_interim)

    def _on_final(self, event: stt.SpeechEvent) -> None:
        latency, since = self._latency(event)
        if event.alternatives and event.alternatives[0].text.strip():
            labels = self._labels()
            self._finals += 1
            self._ledger.add("voxport_stt_finals_total", labels)
            if latency is not None:
                self._ledger.record("voxport_stt_final_latency_seconds", (*labels, since), latency)
            if self._traced:
                self._note_utterance(latency, since)
            self._begin_anew()

    def _latency(self, event: stt.SpeechEvent) -> tuple[float | None, str]:
        """Seconds to the FINAL, and since what: a flush that asked for it, else the end of speech where known."""
        end = seconds(event.alternatives[0].end_time) if event.alternatives else 0.0
        position = end - self._clock.base if end > 0 else None
        asked_at = self._asked_at(position) if self._flushes else None
        if asked_at is not None:
            return _now() - asked_at, "flush"
        late = time.time() - seconds(event.speech_end_time)
        if late < _LATEST_SECONDS:
            return max(late, 0.0), "speech"
        spoken = self._clock.when_ended(position) if position is not None else None
        return (None, "") if spoken is None else (max(_now() - spoken, 0.0), "speech")

    def _asked_at(self, position: float | None) -> float | None:
        """When a FINAL for speech up to *position* was asked for by a flush, if one did."""
        if position is not None:  # flushes of audio before that are answered, if ever, by an earlier one
            self._flushes = [flush for flush in self._flushes if position <= flush.position + _SLACK_SECONDS]
            return self._flushes[0].at if self._flushes else None
        first, *others = self._flushes
        self._flushes = [flush for flush in others if flush.position > first.position + _SLACK_SECONDS]
        return first.at if first.in_utterance or not self._ever_heard else None

    def _begin_anew(self) -> None:
        self._heard = False
        self._utterance_began = self._first_interim = None

    def _note_utterance(self, latency: float | None, since: str) -> None:
        """A span from the first sign of speech to its final."""
        attributes: dict[str, float | str] = {}
        if self._first_interim is not None:
            attributes["voxport.stt.first_interim_seconds"] = self._first_interim
        if latency is not None:
            attributes["voxport.stt.final_latency_seconds"] = latency
            attributes["voxport.stt.final_latency_since"] = since
        now = time.time_ns()
        self._utterances.append(_Utterance(self._utterance_began or now, now, attributes))

    # ------------------------------------------------------------------ what is handed over, and when

    def _report(self, _: float) -> None:
        """Hand over what was measured and the audio that came since the last time; count what the adapter has."""
        grown = self._clock.position - self._reported
        if grown > 0:
            self._reported = self._clock.position
            self._ledger.add("voxport_stt_audio_seconds_total", self._labels(), grown)
        self._ledger.hand_over()
        utterances, self._utterances = self._utterances, []
        for began, ended, attributes in utterances:
            span = self._tracer.start_span(
                "voxport.stt.utterance", self._inside, attributes=attributes, start_time=began
            )
            span.end(ended)
        self._on_progress()

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._finish("ok")

    def _finish(self, outcome: str) -> None:
        """Report the rest. What is read after the end is not measured."""
        if self._over:
            return
        self._over = True
        self._ticker.remove(self._report)
        self._report(_now())
        instruments = self._instruments
        instruments.add("voxport_stt_open_streams", self._opened_as, -1)
        instruments.add("voxport_stt_requests_total", (*self._labels(), outcome))
        self._span.set_attribute("voxport.stt.outcome", outcome)
        self._span.set_attribute("voxport.stt.audio_seconds", self._clock.position)
        self._span.set_attribute("voxport.stt.finals", self._finals)
        self._span.end()
