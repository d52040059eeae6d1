"""The metrics of the wrappers, by name: one table, recorded to Prometheus and to OpenTelemetry.

Prometheus names end in their unit, OpenTelemetry's are the same words with dots and the unit beside them, as its
Prometheus exporter expects: ``voxport.stt.final_latency`` with ``s`` is ``voxport_stt_final_latency_seconds``.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import prometheus_client
from opentelemetry import metrics as otel
from opentelemetry.context import Context
from prometheus_client import CollectorRegistry

__all__ = ["INSTRUMENTS", "Instrument", "Instruments"]

_QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
_DELAYS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_CALLS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0)
_COMMON = ("provider", "model", "mode")

_MAX_PAIRS = 50
"""So many different vendors and models get labels of their own; a service that makes up names gets no more."""
_MAX_LENGTH = 60


@dataclass(frozen=True)
class Instrument:
    """One metric.

    Attributes:
        name: in Prometheus, as it is shown there.
        kind: "up_down" goes up and down.
        labels: their names.
        text: what it says.
        buckets: upper bounds in seconds, of a histogram.
    """

    name: str
    kind: Literal["counter", "histogram", "up_down"]
    labels: tuple[str, ...]
    text: str
    buckets: tuple[float, ...] = ()

    @property
    def unit(self) -> str:
        """Seconds, or none for what is counted, in OpenTelemetry's writing."""
        return "s" if "_seconds" in self.name else ""

    @property
    def otel_name(self) -> str:
        """In OpenTelemetry: no unit and no suffix in the name."""
        bare = self.name.removesuffix("_total").removesuffix("_seconds").removeprefix("voxport_stt_")
        return f"voxport.stt.{bare}"


INSTRUMENTS: dict[str, Instrument] = {
    row.name: row
    for row in (
        Instrument(
            "voxport_stt_requests_total",
            "counter",
            (*_COMMON, "outcome"),
            "Recordings and streams that ended, by outcome: ok, empty, error or cancelled. A retry is a request.",
        ),
        Instrument(
            "voxport_stt_errors_total",
            "counter",
            (*_COMMON, "error", "recoverable"),
            "Failures by class, those that were recovered from included.",
        ),
        Instrument(
            "voxport_stt_batch_seconds",
            "histogram",
            _COMMON,
            "From a recording to its transcript.",
            _CALLS,
        ),
        Instrument(
            "voxport_stt_connect_seconds",
            "histogram",
            _COMMON,
            "To open a connection, as the stream reports it; one that was open already does not count.",
            _DELAYS,
        ),
        Instrument(
            "voxport_stt_first_interim_seconds",
            "histogram",
            _COMMON,
            "From the beginning of speech to the first interim transcript of it.",
            _DELAYS,
        ),
        Instrument(
            "voxport_stt_final_latency_seconds",
            "histogram",
            (*_COMMON, "since"),
            "From the end of speech, or from the flush that asked for it, to the final transcript.",
            _DELAYS,
        ),
        Instrument("voxport_stt_finals_total", "counter", _COMMON, "Final transcripts that are not empty."),
        Instrument("voxport_stt_audio_seconds_total", "counter", _COMMON, "Audio given to be recognised."),
        Instrument("voxport_stt_open_streams", "up_down", _COMMON, "Streams that are open now."),
        Instrument("voxport_stt_reconnects_total", "counter", _COMMON, "Connections after the first of a stream."),
        Instrument(
            "voxport_stt_replayed_seconds_total", "counter", _COMMON, "Audio sent again after a reconnect."
        ),
        Instrument("voxport_stt_dropped_seconds_total", "counter", _COMMON, "Audio that was lost."),
        Instrument(
            "voxport_stt_cache_requests_total",
            "counter",
            ("provider", "model", "outcome"),
            "Recordings by how they were answered: hit, miss, shared (with a call under way) or bypass.",
        ),
        Instrument(
            "voxport_stt_cache_lookup_seconds",
            "histogram",
            ("provider", "model"),
            "To make the key and look it up.",
            _QUICK,
        ),
        Instrument(
            "voxport_stt_cache_errors_total",
            "counter",
            ("operation",),
            "Times the cache could not be reached; the calls went on without it.",
        ),
    )
}


class _Registered:
    """What one Prometheus registry holds, shared by all that record to it: a registry takes a name only once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.collectors = {row.name: _collector(registry, row) for row in INSTRUMENTS.values()}
        self.pairs: set[tuple[str, str]] = set()


_registered: weakref.WeakKeyDictionary[CollectorRegistry, _Registered] = weakref.WeakKeyDictionary()


class Instruments:
    """Where measurements go.

    Args:
        registry: of Prometheus; by default the one LiveKit's worker serves.
        meter_provider: of OpenTelemetry; by default the global one.
    """

    def __init__(
        self, registry: CollectorRegistry | None = None, meter_provider: otel.MeterProvider | None = None
    ) -> None:
        registry = registry if registry is not None else prometheus_client.REGISTRY
        if registry not in _registered:
            _registered[registry] = _Registered(registry)
        self._registered = _registered[registry]
        meter = otel.get_meter("voxport", meter_provider=meter_provider)
        self._otel = {row.name: _otel_instrument(meter, row) for row in INSTRUMENTS.values()}
        self._bound: dict[tuple[str, tuple[str, ...]], tuple[Any, Any, dict[str, str]]] = {}

    def who(self, provider: str, model: str) -> tuple[str, str]:
        """The labels for a vendor and its model: bounded in number and length."""
        pairs = self._registered.pairs
        pair = str(provider)[:_MAX_LENGTH], str(model)[:_MAX_LENGTH]  # a plugin may give whatever it was told
        if pair not in pairs:
            if len(pairs) >= _MAX_PAIRS:
                return "other", "other"
            pairs.add(pair)
        return pair

    def add(
        self, name: str, labels: Sequence[str], amount: float = 1.0, *, context: Context | None = None
    ) -> None:
        """Count *amount*, which is negative only for what goes up and down.

        Args:
            context: whose span OpenTelemetry may name as an example; by default the current one.
        """
        collector, instrument, attributes = self._find(name, labels)
        collector.inc(amount)
        instrument.add(amount, attributes, context)

    def record(self, name: str, labels: Sequence[str], seconds: float, *, context: Context | None = None) -> None:
        """Take a duration into a histogram. *context* is as for :meth:`add`."""
        collector, instrument, attributes = self._find(name, labels)
        collector.observe(seconds)
        instrument.record(seconds, attributes, context)

    def _find(self, name: str, labels: Sequence[str]) -> tuple[Any, Any, dict[str, str]]:
        key = name, tuple(labels)
        found = self._bound.get(key)
        if found is None:
            attributes = dict(zip(INSTRUMENTS[name].labels, labels, strict=True))
            found = self._bound[key] = (
                self._registered.collectors[name].labels(*labels),
                self._otel[name],
                attributes,
            )
        return found


def _collector(registry: CollectorRegistry, row: Instrument) -> Any:
    if row.kind == "counter":
        return prometheus_client.Counter(row.name, row.text, row.labels, registry=registry)
    if row.kind == "histogram":
        return prometheus_client.Histogram(row.name, row.text, row.labels, registry=registry, buckets=row.buckets)
    return prometheus_client.Gauge(row.name, row.text, row.labels, registry=registry, multiprocess_mode="livesum")


def _otel_instrument(meter: otel.Meter, row: Instrument) -> Any:
    if row.kind == "counter":
        return meter.create_counter(row.otel_name, row.unit, row.text)
    if row.kind == "histogram":
        return meter.create_histogram(
            row.otel_name, row.unit, row.text, explicit_bucket_boundaries_advisory=row.buckets
        )
    return meter.create_up_down_counter(row.otel_name, row.unit, row.text)
