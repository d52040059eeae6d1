"""What recognition costs in time and how it fails, for Prometheus and OpenTelemetry.

Metrics are in :mod:`.instruments`; what a stream does is read by :mod:`.metered_stream`. Spans carry durations,
counts and classes of errors. No audio, no transcript, no message of an error and no key is in any of it.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from typing import Any, Literal

from livekit.agents import stt, telemetry
from livekit.agents.metrics import STTMetrics
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr
from opentelemetry import trace
from opentelemetry.metrics import MeterProvider
from prometheus_client import CollectorRegistry

from .base import STTWrapper, in_recognize
from .error_classes import error_class
from .instruments import Instruments
from .metered_stream import MeteredStream

__all__ = ["MeteredSTTAdapter"]

Mode = Literal["batch", "stream"]

_in_batch: contextvars.ContextVar[bool] = contextvars.ContextVar("voxport_in_batch", default=False)

_COUNTED_BY_STATS = {
    "reconnects": "voxport_stt_reconnects_total",
    "replayed_seconds": "voxport_stt_replayed_seconds_total",
    "dropped_seconds": "voxport_stt_dropped_seconds_total",
}


class MeteredSTTAdapter(STTWrapper):
    """Measures what it wraps, recordings and streams.

    Args:
        stt: what to wrap. Where it has Voxport's ``stats``, reconnects and replayed and dropped audio come from
            there; for others, reconnects are the connections beyond one a stream.
        registry: of Prometheus; by default the one LiveKit's worker serves under ``/metrics``.
        meter_provider: of OpenTelemetry; by default the global one.
        tracer_provider: of OpenTelemetry; by default LiveKit's, which follows
            ``livekit.agents.telemetry.set_tracer_provider`` and else the global one.
    """

    def __init__(
        self,
        stt: stt.STT[Any],
        *,
        registry: CollectorRegistry | None = None,
        meter_provider: MeterProvider | None = None,
        tracer_provider: trace.TracerProvider | None = None,
    ) -> None:
        super().__init__(stt)
        self._instruments = Instruments(registry, meter_provider)
        self._tracer: trace.Tracer = (
            tracer_provider.get_tracer("voxport") if tracer_provider is not None else telemetry.tracer
        )
        self._streams_opened = 0
        self._connections = 0
        self._seen = self._read_stats() or {}
        self.on("metrics_collected", self._on_metrics)
        self.on("error", self._on_error)

    async def aclose(self) -> None:
        try:
            await super().aclose()
        finally:
            self.off("metrics_collected", self._on_metrics)
            self.off("error", self._on_error)

    # ------------------------------------------------------------------ recordings

    async def _recognize_impl(
        self, buffer: Any, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: Any = None
    ) -> stt.SpeechEvent:
        labels = self._labels("batch")
        seconds = _duration_of(buffer)
        span = self._tracer.start_span("voxport.stt.recognize", attributes=_attributes(labels))
        span.set_attribute("voxport.stt.audio_seconds", seconds)
        began = time.perf_counter()
        outcome = "error"
        token = _in_batch.set(True)
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                event = await self._ask(buffer, language=language, conn_options=conn_options)
            outcome = "ok" if event.alternatives and event.alternatives[0].text.strip() else "empty"
            self._instruments.record("voxport_stt_batch_seconds", labels, time.perf_counter() - began)
            self._instruments.add("voxport_stt_audio_seconds_total", labels, seconds)
            if outcome == "ok":
                self._instruments.add("voxport_stt_finals_total", labels)
            return event
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except Exception as error:
            kind = error_class(error)
            span.set_attribute("error.type", kind)
            span.set_status(trace.StatusCode.ERROR)
            if not in_recognize():  # else whoever retries says whether it was recovered from
                self._count_error(error, "batch", recoverable=False)
            raise
        finally:
            _in_batch.reset(token)
            self._instruments.add("voxport_stt_requests_total", (*labels, outcome))
            self._count_stats("batch")
            span.set_attribute("voxport.stt.outcome", outcome)
            span.end()

    # ------------------------------------------------------------------ streams

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions | None = DEFAULT_API_CONNECT_OPTIONS,
        **options: Any,
    ) -> stt.RecognizeStream:
        inner = super().stream(language=language, conn_options=conn_options, **options)
        self._streams_opened += 1
        labels = self._labels("stream")
        span = self._tracer.start_span("voxport.stt.stream", attributes=_attributes(labels))
        return MeteredStream(
            inner,
            instruments=self._instruments,
            labels=lambda: self._labels("stream"),
            tracer=self._tracer,
            span=span,
            on_progress=lambda: self._count_stats("stream"),
        )

    # ------------------------------------------------------------------ what is wrapped tells

    def _on_metrics(self, metrics: Any) -> None:
        if not isinstance(metrics, STTMetrics) or not (metrics.acquire_time > 0 or metrics.connection_reused):
            return
        labels = self._labels("stream")
        if not metrics.connection_reused:
            self._instruments.record("voxport_stt_connect_seconds", labels, metrics.acquire_time)
        self._connections += 1
        if self._connections > self._streams_opened and self._read_stats() is None:
            self._instruments.add("voxport_stt_reconnects_total", labels)

    def _on_error(self, event: Any) -> None:
        if not isinstance(event, stt.STTError):
            return
        mode: Mode = "batch" if _in_batch.get() or in_recognize() else "stream"
        self._count_error(event.error, mode, recoverable=event.recoverable)
        self._count_stats(mode)

    def _count_error(self, error: BaseException, mode: Mode, *, recoverable: bool) -> None:
        """Count *error* once, though it may be emitted and raised, or be the cause of what is raised."""
        if self._counted(error) or (error.__cause__ is not None and self._counted(error.__cause__)):
            return
        error.__dict__.setdefault("_voxport_counted", set()).add(id(self))
        kind = error_class(error)
        labels = (*self._labels(mode), kind, str(recoverable).lower())
        self._instruments.add("voxport_stt_errors_total", labels)

    def _counted(self, error: BaseException) -> bool:
        return id(self) in error.__dict__.get("_voxport_counted", ())

    def _read_stats(self) -> dict[str, float] | None:
        stats = getattr(self.wrapped_stt, "stats", None)
        values = {name: getattr(stats, name, None) for name in _COUNTED_BY_STATS}
        if not isinstance(values["reconnects"], (int, float)):
            return None
        return {name: float(value) for name, value in values.items() if isinstance(value, (int, float))}

    def _count_stats(self, mode: Mode) -> None:
        """Take over what the wrapped adapter has counted since the last time."""
        now = self._read_stats()
        if now is None:
            return
        before, self._seen = self._seen, now
        for name, value in now.items():
            grown = value - before.get(name, 0.0)
            if grown > 0:
                self._instruments.add(_COUNTED_BY_STATS[name], self._labels(mode), grown)

    def _labels(self, mode: Mode) -> tuple[str, str, str]:
        return (*self._instruments.who(self.provider, self.model), mode)


def _attributes(labels: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(("voxport.stt.provider", "voxport.stt.model", "voxport.stt.mode"), labels, strict=True))


def _duration_of(buffer: Any) -> float:
    """Seconds of audio in *buffer*; 0 when it does not say."""
    frames = buffer if isinstance(buffer, (list, tuple)) else [buffer]
    return float(sum(getattr(frame, "duration", 0.0) for frame in frames))
