"""What is measured: true numbers under bounded labels, and nothing that was said."""

from __future__ import annotations

import asyncio
import json
import math
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError, stt, telemetry
from livekit.agents.types import APIConnectOptions
from livekit.plugins import deepgram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from agents.providers.stt.direct import DirectStream
from agents.providers.stt.http import CustomHTTPSTTAdapter
from agents.providers.stt.streaming import CustomWebSocketSTTAdapter
from agents.providers.testing import Behaviour, OracleServer, Refusal, speak
from agents.providers.wrappers.audio_clock import AudioClock
from agents.providers.wrappers.cached import CachedSTTAdapter, MemoryCache
from agents.providers.wrappers.error_classes import error_class
from agents.providers.wrappers.instruments import INSTRUMENTS, Instruments
from agents.providers.wrappers.metered import MeteredSTTAdapter
from agents.providers.wrappers.retryable import RetryableSTTAdapter

from .conftest import KEY, QUICK, Make, Service, collect, five_words, frame, frames_of, transcribe

DOCS = Path(__file__).parents[2] / "docs"
DASHBOARD = DOCS / "grafana" / "voxport.json"
DEEPGRAM = {"provider": "deepgram", "model": "default", "mode": "stream"}
GENERIC = {"provider": "generic", "model": "unknown", "mode": "batch"}


_JOB = """
from agents.providers.wrappers.instruments import Instruments

Instruments().add("voxport_stt_requests_total", ("vendor", "of-a-job", "batch", "ok"))
"""


class Meter:
    """Everything a test reads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])
        self.spans = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.spans))

    def wrap(self, inner: stt.STT[Any]) -> MeteredSTTAdapter:
        return MeteredSTTAdapter(
            inner, registry=self.registry, meter_provider=self.meters, tracer_provider=self.tracers
        )

    def value(self, name: str, **labels: str) -> float:
        """The sum over all label sets that hold *labels*."""
        return sum(
            sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def exported(self) -> dict[str, Any]:
        """OpenTelemetry's metrics, by name."""
        data = self.reader.get_metrics_data()
        metrics = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics] if data else []
        return {metric.name: metric for metric in metrics}


@pytest.fixture
def meter() -> Any:
    made = Meter()
    yield made
    made.meters.shutdown()
    made.tracers.shutdown()


class TestRecordings:
    async def test_are_counted_by_outcome_and_timed(
        self, http: CustomHTTPSTTAdapter, service: Service, meter: Meter
    ) -> None:
        wrapper = meter.wrap(http)
        service.answers = ["hello", "", (401, {}), "hello"]
        for _ in range(2):
            await wrapper.recognize(frame(0.5))
        with pytest.raises(APIStatusError):
            await wrapper.recognize(frame(0.5))
        for outcome, times in (("ok", 1), ("empty", 1), ("error", 1)):
            assert meter.value("voxport_stt_requests_total", outcome=outcome, **GENERIC) == times
        assert meter.value("voxport_stt_batch_seconds_count", **GENERIC) == 2
        assert 0 < meter.value("voxport_stt_batch_seconds_sum", **GENERIC) < 5
        assert meter.value("voxport_stt_audio_seconds_total", **GENERIC) == 1.0
        assert meter.value("voxport_stt_finals_total", **GENERIC) == 1
        assert meter.value("voxport_stt_errors_total", error="auth", recoverable="false", **GENERIC) == 1
        assert meter.value("voxport_stt_errors_total") == 1

    async def test_of_native_plugins_too(self, native_http: deepgram.STT, meter: Meter) -> None:
        await meter.wrap(native_http).recognize([frame()])
        labels = {"provider": "Deepgram", "model": "nova-3", "mode": "batch"}
        assert meter.value("voxport_stt_requests_total", outcome="ok", **labels) == 1

    async def test_that_are_called_off(self, http: CustomHTTPSTTAdapter, service: Service, meter: Meter) -> None:
        service.answers = [asyncio.Event().wait]
        call = asyncio.ensure_future(meter.wrap(http).recognize(frame()))
        await service.arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert meter.value("voxport_stt_requests_total", outcome="cancelled") == 1
        assert meter.value("voxport_stt_errors_total") == 0

    @pytest.mark.parametrize("retrying", ["livekit", "inside", "outside"])
    async def test_count_each_failure_once_whoever_retries(
        self, retrying: str, http: CustomHTTPSTTAdapter, service: Service, meter: Meter
    ) -> None:
        service.answers = [(503, {}), (429, {}), "hello"]
        inner: stt.STT[Any] = http
        quick = {"base_delay": 0.0, "max_delay": 0.01}
        if retrying == "inside":
            inner = RetryableSTTAdapter(inner, **quick)  # type: ignore[arg-type]
        wrapper: stt.STT[Any] = meter.wrap(inner)
        if retrying == "outside":
            wrapper = RetryableSTTAdapter(wrapper, **quick)  # type: ignore[arg-type]
        await wrapper.recognize(frame(), conn_options=QUICK)
        assert meter.value("voxport_stt_errors_total", error="server", mode="batch") == 1
        assert meter.value("voxport_stt_errors_total", error="quota", mode="batch") == 1
        assert meter.value("voxport_stt_errors_total") == 2
        assert meter.value("voxport_stt_errors_total", recoverable="true") == 2, "both were recovered from"
        asked = 1 if retrying == "inside" else 3
        assert meter.value("voxport_stt_requests_total") == asked

    @pytest.mark.parametrize("order", ["metered_outside", "metered_inside", "livekit"])
    async def test_tell_the_failure_that_stays_from_those_that_passed(
        self, order: str, http: CustomHTTPSTTAdapter, service: Service, meter: Meter
    ) -> None:
        service.answers = [(503, {})]
        quick: dict[str, Any] = {"base_delay": 0.0, "max_delay": 0.01}
        wrapper: stt.STT[Any] = RetryableSTTAdapter(http, **quick) if order == "metered_outside" else http
        wrapper = meter.wrap(wrapper)
        if order == "metered_inside":
            wrapper = RetryableSTTAdapter(wrapper, **quick)
        with pytest.raises(APIError):
            await wrapper.recognize(frame(), conn_options=QUICK)
        assert meter.value("voxport_stt_errors_total", recoverable="true", mode="batch") == 2
        assert meter.value("voxport_stt_errors_total", recoverable="false", mode="batch") == 1
        assert meter.value("voxport_stt_errors_total") == 3

    async def test_of_what_recognises_in_its_own_way(self, meter: Meter) -> None:
        """It need not emit an error for what it raises."""

        class Own(stt.STT[Any]):
            def __init__(self) -> None:
                super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))

            async def _recognize_impl(self, buffer: Any, **options: Any) -> Any: ...

            async def recognize(self, buffer: Any, **options: Any) -> Any:
                raise APIStatusError("no", status_code=402)

        with pytest.raises(APIStatusError):
            await meter.wrap(Own()).recognize(frame())
        assert meter.value("voxport_stt_errors_total", error="quota", recoverable="false", mode="batch") == 1

    async def test_may_be_closed_twice(self, http: CustomHTTPSTTAdapter, service: Service, meter: Meter) -> None:
        wrapper = meter.wrap(http)
        await wrapper.aclose()
        await wrapper.aclose()
        service.answers = [(401, {})]
        with pytest.raises(APIStatusError):
            await http.recognize(frame())
        assert meter.value("voxport_stt_errors_total") == 0, "it does not listen any more"


class TestStreams:
    async def test_are_measured(self, streaming: Make, livekit_runtime: None, meter: Meter) -> None:
        wrapper = meter.wrap(streaming())
        stream = wrapper.stream(conn_options=QUICK)
        stream.start_time_offset = 1000.0
        assert meter.value("voxport_stt_open_streams") == 1
        await transcribe(stream, five_words())
        value = meter.value
        assert value("voxport_stt_open_streams") == 0
        assert value("voxport_stt_requests_total", mode="stream", outcome="ok") == 1
        assert value("voxport_stt_finals_total") == 2
        assert value("voxport_stt_audio_seconds_total") == pytest.approx(five_words().duration, abs=0.01)
        assert value("voxport_stt_connect_seconds_count") == 1
        assert value("voxport_stt_first_interim_seconds_count") == 2
        assert value("voxport_stt_final_latency_seconds_count", since="speech") == 2
        assert value("voxport_stt_errors_total") == value("voxport_stt_reconnects_total") == 0

    async def test_tell_how_late_a_final_is(self, meter: Meter) -> None:
        """The vendor hears the end of speech after 0.3 s of silence, 0.06 s at this pace, and is 0.4 s late."""
        async with OracleServer(Behaviour(latency=0.4, speech_events=False)) as server:
            wrapper = meter.wrap(CustomWebSocketSTTAdapter(server.url, KEY))
            stream = wrapper.stream()
            stream.start_time_offset = 1000.0  # so are the vendor's times, then
            await transcribe(stream, speak([2], 16000, tail_ms=600), pace=5.0)
            await wrapper.aclose()
        for name in ("first_interim", "final_latency"):
            assert meter.value(f"voxport_stt_{name}_seconds_count") == 1
            assert 0.4 <= meter.value(f"voxport_stt_{name}_seconds_sum") < 1.2

    @pytest.mark.parametrize("times", [True, False], ids=["times", "no_times"])
    async def test_tell_how_late_the_answer_to_a_flush_is(self, times: bool, meter: Meter) -> None:
        async with OracleServer(Behaviour(latency=0.3, times=times, words=times)) as server:
            wrapper = meter.wrap(CustomWebSocketSTTAdapter(server.url, KEY))
            async with wrapper.stream() as stream:
                for piece in frames_of(speak([2], 16000, tail_ms=100)):
                    stream.push_frame(piece)
                async for event in stream:
                    if event.type is stt.SpeechEventType.INTERIM_TRANSCRIPT:
                        break
                stream.flush()
                async for event in stream:
                    if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                        break
            await wrapper.aclose()
        assert meter.value("voxport_stt_final_latency_seconds_count", since="flush") == 1
        assert 0.3 <= meter.value("voxport_stt_final_latency_seconds_sum", since="flush") < 1.0
        assert meter.value("voxport_stt_final_latency_seconds_count") == 1

    async def test_count_reconnects_and_what_was_replayed(
        self, streaming: Make, livekit_runtime: None, oracle: OracleServer, meter: Meter
    ) -> None:
        inner = streaming()
        wrapper = meter.wrap(inner)
        async with wrapper.stream(conn_options=QUICK) as stream:
            for piece in frames_of(speak([3], 16000)):
                stream.push_frame(piece)
            async for event in stream:
                if event.type is stt.SpeechEventType.INTERIM_TRANSCRIPT:
                    break
            oracle.close(1011)
            pushing = asyncio.ensure_future(self._silence(stream))
            while len(oracle.connections) < 2 or not oracle.connections[1].audio_seconds:
                await asyncio.sleep(0.01)
            pushing.cancel()
        assert meter.value("voxport_stt_reconnects_total", mode="stream") == 1
        assert meter.value("voxport_stt_errors_total", recoverable="true", mode="stream") == 1
        replayed = meter.value("voxport_stt_replayed_seconds_total")
        if isinstance(inner, CustomWebSocketSTTAdapter):
            assert replayed == pytest.approx(inner.stats.replayed_seconds)
            assert replayed > 0.3
        await wrapper.aclose()

    @staticmethod
    async def _silence(stream: stt.RecognizeStream) -> None:
        while True:
            stream.push_frame(frame(0.05, value=0))
            await asyncio.sleep(0.01)

    async def test_that_fail_are_counted_as_such(
        self, streaming: Make, oracle: OracleServer, meter: Meter
    ) -> None:
        oracle.refusal = Refusal(401)
        async with meter.wrap(streaming()).stream(conn_options=APIConnectOptions(max_retry=0)) as stream:
            stream.push_frame(frame())
            with pytest.raises(APIStatusError):
                await stream.__anext__()
        assert meter.value("voxport_stt_requests_total", outcome="error", mode="stream") == 1
        assert meter.value("voxport_stt_requests_total") == 1
        assert meter.value("voxport_stt_errors_total", error="auth", recoverable="false") == 1
        assert meter.value("voxport_stt_errors_total") == 1
        assert meter.value("voxport_stt_open_streams") == 0
        (span,) = meter.spans.get_finished_spans()
        assert span.attributes is not None
        assert (span.attributes["error.type"], span.attributes["voxport.stt.outcome"]) == ("auth", "error")
        assert not span.status.is_ok
        assert (span.events, span.status.description) == ((), None)

    async def test_are_reported_while_they_run(
        self, streaming: Make, livekit_runtime: None, meter: Meter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also when the vendor says nothing; and each thing once."""
        monkeypatch.setattr("agents.providers.wrappers.metered_stream._REPORT_SECONDS", 0.02)
        speech = five_words()
        async with meter.wrap(streaming()).stream(conn_options=QUICK) as stream:
            stream.push_frame(frame(0.5, value=0))
            while meter.value("voxport_stt_audio_seconds_total") < 0.5:
                await asyncio.sleep(0.005)
            for piece in frames_of(speech):
                stream.push_frame(piece)
            async for event in stream:
                if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                    break
            while not meter.value("voxport_stt_finals_total"):
                await asyncio.sleep(0.005)
            assert meter.spans.get_finished_spans()[0].name == "voxport.stt.utterance"
        value = meter.value
        assert value("voxport_stt_audio_seconds_total") == pytest.approx(0.5 + speech.duration, abs=0.01)
        assert value("voxport_stt_finals_total") == value("voxport_stt_final_latency_seconds_count")

    async def test_that_find_a_connection_open_tell_no_time_to_connect(
        self, oracle: OracleServer, meter: Meter
    ) -> None:
        wrapper = meter.wrap(CustomWebSocketSTTAdapter(oracle.url, KEY, vendor="deepgram"))
        metrics = collect(wrapper, "metrics_collected")
        wrapper.prewarm()
        (connecting,) = [task for task in asyncio.all_tasks() if task.get_name() == "voxport.prewarm"]
        await connecting
        await transcribe(wrapper.stream(conn_options=QUICK), speak([2], 24000, tail_ms=600))
        reused = [m.connection_reused for m in metrics if m.connection_reused or m.acquire_time]
        assert reused == [True]
        assert meter.value("voxport_stt_connect_seconds_count") == 0
        await wrapper.aclose()

    async def test_can_be_measured_twice(self, streaming: Make, livekit_runtime: None, meter: Meter) -> None:
        other = Meter()
        wrapper = other.wrap(meter.wrap(streaming()))
        await transcribe(wrapper.stream(conn_options=QUICK), five_words())
        assert meter.value("voxport_stt_finals_total") == other.value("voxport_stt_finals_total") == 2


class Told(DirectStream):
    """Says what it is told."""

    def _accept_frame(self, frame: Any) -> None: ...

    def _accept_flush(self) -> None: ...

    async def _run(self) -> None:
        await asyncio.Event().wait()

    def say(
        self, kind: stt.SpeechEventType, end_time: float = 0.0, *, start_time: float = 0.0, **fields: Any
    ) -> None:
        data = stt.SpeechData(language="en", text="so", start_time=start_time, end_time=end_time)  # type: ignore[arg-type]
        self._emit(stt.SpeechEvent(kind, alternatives=[data], **fields))


class Teller(stt.STT[Any]):
    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))

    async def _recognize_impl(self, buffer: Any, **options: Any) -> Any: ...

    def stream(self, *, conn_options: Any = None, **options: Any) -> Told:
        return Told(stt=self, conn_options=conn_options)


class TestTimesThatAreNone:
    """A plugin passes on what its vendor says; measuring it breaks nothing."""

    @pytest.mark.parametrize(
        ("start", "end"),
        [
            (math.inf, 1.0),
            (0.0, math.inf),
            (math.nan, math.nan),
            (1e308, 1e308),
            (10**400, 10**400),
            (-5.0, -3.0),
            (None, None),
            ("soon", "later"),
        ],
        ids=lambda value: str(value)[:6],
    )
    async def test_are_not_measured(self, start: Any, end: Any, meter: Meter) -> None:
        wrapper = meter.wrap(Teller())
        async with wrapper.stream() as stream:
            inner: Any = stream.wrapped_stream  # type: ignore[attr-defined]
            stream.push_frame(frame(1.0))
            for kind in (stt.SpeechEventType.INTERIM_TRANSCRIPT, stt.SpeechEventType.FINAL_TRANSCRIPT):
                inner.say(kind, end, start_time=start, speech_end_time=end)
                assert (await stream.__anext__()).alternatives[0].text == "so"
        assert meter.value("voxport_stt_finals_total") == 1
        assert meter.value("voxport_stt_final_latency_seconds_sum") <= 10.0

    async def test_reach_livekits_plugin_from_a_hostile_server(self, meter: Meter) -> None:
        async def lies(request: web.Request) -> web.WebSocketResponse:
            ws = web.WebSocketResponse()
            await ws.prepare(request)
            await ws.receive()
            word = '{"word": "lie", "start": 0.1, "end": 1e999, "confidence": 1}'
            best = f'{{"transcript": "lie", "confidence": 1, "words": [{word}]}}'
            channel = f'"channel": {{"alternatives": [{best}]}}, "metadata": {{"request_id": "r"}}'
            await ws.send_str(f'{{"type": "Results", "is_final": true, "speech_final": true, {channel}}}')
            async for _ in ws:
                pass
            return ws

        app = web.Application()
        app.router.add_get("/{path:.*}", lies)
        async with TestServer(app) as server, aiohttp.ClientSession() as session:
            plugin = deepgram.STT(api_key=KEY, base_url=str(server.make_url("/")), http_session=session)
            async with meter.wrap(plugin).stream(conn_options=QUICK) as stream:
                stream.push_frame(frame(0.2))
                texts = [e.alternatives[0].text async for e in _until_final(stream) if e.alternatives]
            assert texts == ["lie"]


async def _until_final(stream: stt.RecognizeStream) -> AsyncIterator[stt.SpeechEvent]:
    async for event in stream:
        yield event
        if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
            return


class TestTheAnswerToAFlush:
    """An agent may flush more than once before the vendor answers."""

    @pytest.mark.parametrize(
        ("ends", "latencies"),
        [
            ([0.0], [0.5]),
            ([0.9], [0.5]),
            ([0.9, 1.9], [0.5, 0.3]),
            ([0.9, 0.95, 1.9], [0.5, 0.5, 0.3]),
            ([1.9], [0.3]),
        ],
        ids=["no_times", "the_first", "one_each", "in_two_parts", "the_second"],
    )
    async def test_is_measured_from_the_one_that_asked(
        self, ends: list[float], latencies: list[float], meter: Meter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 100.0
        monkeypatch.setattr("agents.providers.wrappers.metered_stream._now", lambda: now)
        wrapper = meter.wrap(Teller())
        async with wrapper.stream() as stream:
            inner: Any = stream.wrapped_stream  # type: ignore[attr-defined]
            inner.say(stt.SpeechEventType.INTERIM_TRANSCRIPT)
            await stream.__anext__()
            for _ in range(2):
                stream.push_frame(frame(1.0))
                stream.flush()
                stream.flush()
                now += 0.2
            now += 0.1
            for end in ends:
                inner.say(stt.SpeechEventType.FINAL_TRANSCRIPT, end)
                await stream.__anext__()
        value = meter.value
        assert value("voxport_stt_final_latency_seconds_count", since="flush") == len(latencies)
        assert value("voxport_stt_final_latency_seconds_sum", since="flush") == pytest.approx(sum(latencies))


class Sink:
    """A stream as far as the clock knows one."""

    def __init__(self) -> None:
        self.frames = 0
        self.start_time_offset = 5.0

    def push_frame(self, frame: Any) -> None:
        self.frames += 1


class Caller:
    """Pushes audio at a pace, on a clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("agents.providers.wrappers.audio_clock._now", lambda: self.now)
        self.sink: Any = Sink()
        self.clock = AudioClock(self.sink)

    def speak(self, seconds: float, *, pace: float = 1.0, frame_seconds: float = 0.05) -> None:
        piece = frame(frame_seconds)
        for _ in range(round(seconds / frame_seconds)):
            self.now += frame_seconds * pace
            self.clock.push_frame(piece)


class TestTheAudioClock:
    @pytest.fixture
    def caller(self, monkeypatch: pytest.MonkeyPatch) -> Caller:
        return Caller(monkeypatch)

    @pytest.mark.parametrize("frame_seconds", [0.01, 0.05, 0.1])
    def test_knows_when_audio_was_pushed(self, caller: Caller, frame_seconds: float) -> None:
        clock = caller.clock
        assert clock.when_ended(0.0) is clock.when_began(0.0) is None
        caller.speak(5.0, frame_seconds=frame_seconds)
        assert (caller.sink.frames, clock.base) == (round(5.0 / frame_seconds), 5.0)
        assert clock.position == pytest.approx(5.0)
        for second in (0.5, 2.0, 2.47, 4.98, 5.0):
            for asked in (clock.when_ended, clock.when_began):
                assert asked(second) == pytest.approx(100.0 + second, abs=frame_seconds)
        assert clock.when_ended(6.0) is None

    @pytest.mark.parametrize("pace", [0.0, 0.1], ids=["at_once", "ten_times"])
    def test_knows_when_a_recording_was_pushed(self, caller: Caller, pace: float) -> None:
        caller.speak(5.0, pace=pace)
        caller.now += 3.0
        assert caller.clock.when_ended(2.47) == pytest.approx(100.0 + 2.47 * pace, abs=0.02)
        assert caller.clock.when_began(2.47) == pytest.approx(100.0 + 2.47 * pace, abs=0.02)

    def test_knows_on_which_side_of_a_gap_speech_was(self, caller: Caller) -> None:
        """The microphone is switched off at 5.1 s of audio and on again half a minute later."""
        caller.speak(5.1)
        caller.now += 30.0
        assert caller.clock.when_ended(5.08) == pytest.approx(105.08, abs=0.05)
        caller.speak(1.0)
        assert caller.clock.when_ended(5.08) == pytest.approx(105.08, abs=0.05)
        assert caller.clock.when_began(5.12) == pytest.approx(135.12, abs=0.05)
        assert caller.clock.when_began(5.5) == pytest.approx(135.5, abs=0.05)

    def test_forgets_what_is_long_ago(self, caller: Caller) -> None:
        caller.speak(200.0)
        assert caller.clock.when_ended(1.0) is None
        assert caller.clock.when_ended(199.0) is not None
        assert len(caller.clock._marks) == 60


class TestSpans:
    async def test_hold_durations_and_no_word_or_key(
        self, streaming: Make, livekit_runtime: None, meter: Meter
    ) -> None:
        await transcribe(meter.wrap(streaming()).stream(conn_options=QUICK), five_words())
        spans = meter.spans.get_finished_spans()
        assert [span.name for span in spans] == ["voxport.stt.utterance"] * 2 + ["voxport.stt.stream"]
        *utterances, stream = spans
        for span in utterances:
            assert span.parent is not None
            assert span.parent.span_id == stream.context.span_id
            assert span.attributes is not None
            assert span.attributes["voxport.stt.final_latency_seconds"] >= 0  # type: ignore[operator]
            assert span.attributes["voxport.stt.first_interim_seconds"] >= 0  # type: ignore[operator]
        assert stream.attributes is not None
        assert stream.attributes["voxport.stt.finals"] == 2
        assert stream.attributes["voxport.stt.outcome"] == "ok"
        assert stream.start_time is not None
        assert stream.end_time is not None
        for span in utterances:
            assert stream.start_time < (span.start_time or 0) < (span.end_time or 0) < stream.end_time
        everything = " ".join(span.to_json() for span in spans)
        assert KEY not in everything
        assert not re.search(r"\bw\d\b", everything)

    async def test_are_the_examples_of_what_is_measured(
        self, streaming: Make, livekit_runtime: None, meter: Meter
    ) -> None:
        """Whatever span is the current one when it is handed over."""
        with meter.tracers.get_tracer("test").start_as_current_span("somebody else's"):
            stream = meter.wrap(streaming()).stream(conn_options=QUICK)
            await transcribe(stream, five_words())
        (span,) = [span for span in meter.spans.get_finished_spans() if span.name == "voxport.stt.stream"]
        (point,) = meter.exported()["voxport.stt.final_latency"].data.data_points
        assert point.exemplars
        assert {example.span_id for example in point.exemplars} == {span.context.span_id}

    async def test_of_recordings_tell_the_class_of_an_error_only(
        self, http: CustomHTTPSTTAdapter, service: Service, meter: Meter
    ) -> None:
        service.answers = [(401, {}), "the words said"]
        wrapper = meter.wrap(http)
        with pytest.raises(APIStatusError):
            await wrapper.recognize(frame())
        await wrapper.recognize(frame())
        failed, well = meter.spans.get_finished_spans()
        assert failed.attributes is not None
        assert failed.attributes["error.type"] == "auth"
        assert not failed.status.is_ok
        assert not failed.events
        assert failed.status.description is None
        assert well.attributes is not None
        assert well.attributes["voxport.stt.audio_seconds"] == pytest.approx(0.1)
        everything = failed.to_json() + well.to_json()
        assert KEY not in everything
        assert "the words said" not in everything
        assert service.url not in everything

    async def test_go_where_livekits_go_by_default(self, http: CustomHTTPSTTAdapter, meter: Meter) -> None:
        before = telemetry.tracer._tracer_provider
        telemetry.set_tracer_provider(meter.tracers)
        try:
            await MeteredSTTAdapter(http, registry=meter.registry).recognize(frame())
        finally:
            telemetry.tracer.set_provider(before)
        assert [span.name for span in meter.spans.get_finished_spans()] == ["voxport.stt.recognize"]


class TestTheMetrics:
    async def test_are_the_same_in_opentelemetry(
        self, http: CustomHTTPSTTAdapter, streaming: Make, livekit_runtime: None, meter: Meter
    ) -> None:
        await meter.wrap(http).recognize(frame())
        await transcribe(meter.wrap(streaming()).stream(conn_options=QUICK), five_words())
        exported = meter.exported()
        shown = {
            metric.name
            for metric in meter.registry.collect()
            if any(not s.name.endswith("_created") for s in metric.samples)
        }
        by_otel_name = {row.otel_name: row for row in INSTRUMENTS.values()}
        assert {by_otel_name[name].name.removesuffix("_total") for name in exported} == shown
        latency = exported["voxport.stt.final_latency"]
        assert latency.unit == "s"
        assert sum(point.count for point in latency.data.data_points) == 2
        for name, metric in exported.items():
            for point in metric.data.data_points:
                assert set(point.attributes) == set(by_otel_name[name].labels)

    async def test_are_served_by_livekits_worker(self, http: CustomHTTPSTTAdapter) -> None:
        await MeteredSTTAdapter(MeteredSTTAdapter(http)).recognize(frame())  # a name is registered only once
        answer = await telemetry.http_server.metrics(None)  # type: ignore[arg-type]
        assert isinstance(answer.body, bytes)
        assert (
            b'voxport_stt_requests_total{mode="batch",model="unknown",outcome="ok",provider="generic"}'
            in answer.body
        )
        assert answer.body.count(b"# TYPE voxport_stt_batch_seconds histogram") == 1

    async def test_of_job_processes_are_served_by_the_worker_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """LiveKit's jobs run in processes of their own, and write to files when the worker is told where."""
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
        job = await asyncio.create_subprocess_exec(sys.executable, "-c", _JOB)
        assert await job.wait() == 0
        answer = await telemetry.http_server.metrics(None)  # type: ignore[arg-type]
        assert isinstance(answer.body, bytes)
        assert (
            b'voxport_stt_requests_total{mode="batch",model="of-a-job",outcome="ok",provider="vendor"} 1.0'
            in answer.body
        )

    def test_have_bounded_labels(self, registry: CollectorRegistry) -> None:
        instruments = [Instruments(registry) for _ in range(3)]
        for number in range(300):
            who = instruments[number % 3].who("vendor", f"model-{number}" * 50)
            instruments[number % 3].add("voxport_stt_finals_total", (*who, "batch"))
        (metric,) = [m for m in registry.collect() if m.name == "voxport_stt_finals"]
        models = {sample.labels["model"] for sample in metric.samples}
        assert len(models) == 51
        assert "other" in models
        assert max(map(len, models)) <= 60

    def test_are_all_in_the_guide(self) -> None:
        rows = re.findall(r"^\| `(voxport_\w+)` \|([^|]*)\|", (DOCS / "wrappers.md").read_text(), re.MULTILINE)
        assert {name for name, _ in rows} == set(INSTRUMENTS)
        for name, labels in rows:
            own = set(INSTRUMENTS[name].labels) - {"provider", "model", "mode"}
            assert all(label in labels for label in own), name

    @pytest.mark.parametrize("row", INSTRUMENTS.values(), ids=lambda row: row.name)
    def test_are_named_by_convention(self, row: Any) -> None:
        assert re.fullmatch(r"voxport_stt_[a-z_]+", row.name)
        endings = {"counter": ("_total",), "histogram": ("_seconds",), "up_down": ("_streams",)}
        assert row.name.endswith(endings[row.kind])
        assert bool(row.buckets) == (row.kind == "histogram")
        assert row.otel_name.startswith("voxport.stt.")

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (APIStatusError("", status_code=401), "auth"),
            (APIStatusError("", status_code=4401), "auth"),
            (APIStatusError("", status_code=4001), "auth"),
            (APIStatusError("", status_code=429), "quota"),
            (APIStatusError("", status_code=402), "quota"),
            (APIStatusError("", status_code=404), "request"),
            (APIStatusError("", status_code=408), "timeout"),
            (APIStatusError("", status_code=503), "server"),
            (APIStatusError("", status_code=1011), "closed"),
            (APIStatusError(""), "other"),
            (aiohttp.ClientResponseError(None, (), status=500), "server"),  # type: ignore[arg-type]
            (APITimeoutError(), "timeout"),
            (asyncio.TimeoutError(), "timeout"),
            (APIConnectionError(), "connection"),
            (ConnectionResetError(), "connection"),
            (APIError(""), "answer"),
            (ValueError(), "other"),
        ],
        ids=repr,
    )
    def test_know_few_classes_of_errors(self, error: Exception, kind: str) -> None:
        assert error_class(error) == kind

    async def test_tell_hits_from_requests(
        self, http: CustomHTTPSTTAdapter, service: Service, meter: Meter
    ) -> None:
        wrapper = CachedSTTAdapter(meter.wrap(http), cache=MemoryCache(), registry=meter.registry)
        for _ in range(4):
            await wrapper.recognize(frame())
        assert meter.value("voxport_stt_requests_total") == 1
        assert meter.value("voxport_stt_cache_requests_total", outcome="hit") == 3


class TestTheDashboard:
    """`docs/grafana/voxport.json` asks for metrics and labels there are, and leaves none out."""

    @staticmethod
    def _expressions() -> list[str]:
        dashboard = json.loads(DASHBOARD.read_text())
        return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]

    def test_asks_for_all_metrics_and_no_others(self) -> None:
        kinds = {"histogram": {"_bucket", "_sum", "_count"}, "counter": {""}, "up_down": {""}}
        samples = {row.name + end: row.name for row in INSTRUMENTS.values() for end in kinds[row.kind]}
        asked = {name for expr in self._expressions() for name in re.findall(r"voxport_\w+", expr)}
        assert asked <= set(samples)
        assert {samples[name] for name in asked} == set(INSTRUMENTS)

    def test_asks_for_labels_they_have(self) -> None:
        for expr in self._expressions():
            names = {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"voxport_\w+", expr)}
            labels = set.intersection(*(set(INSTRUMENTS[name].labels) for name in names)) | {"le"}
            grouped = {
                label.strip() for group in re.findall(r"by \(([^)]*)\)", expr) for label in group.split(",")
            }
            matched = {
                label for body in re.findall(r"{([^}]*)}", expr) for label in re.findall(r"(\w+)\s*[=!]", body)
            }
            assert grouped | matched <= labels, expr

    def test_is_one_grafana_can_import(self) -> None:
        dashboard = json.loads(DASHBOARD.read_text())
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)
        assert {v["name"] for v in dashboard["templating"]["list"]} >= {"datasource", "provider", "mode"}
        for panel in dashboard["panels"]:
            assert panel["title"]
            assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
            assert panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}"
