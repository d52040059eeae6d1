"""A wrapper is what it wraps, to whoever looks, in any order of nesting."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession, APIConnectionError, APIError, APIStatusError, stt
from livekit.agents.types import NOT_GIVEN, APIConnectOptions
from livekit.agents.voice.io import AudioInput
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from agents.providers.base import ConfigurationError
from agents.providers.stt.http import CustomHTTPSTTAdapter
from agents.providers.testing import OracleServer, Refusal, speak
from agents.providers.wrappers.base import STTWrapper, unwrapped
from agents.providers.wrappers.cached import CachedSTTAdapter
from agents.providers.wrappers.failover import FailoverSTTAdapter
from agents.providers.wrappers.metered import MeteredSTTAdapter
from agents.providers.wrappers.retryable import RetryableSTTAdapter
from agents.providers.wrappers.stream import StreamWrapper

from .conftest import KEY, QUICK, Make, Service, collect, finals, five_words, frame, frames_of, transcribe

REGISTRY = CollectorRegistry()
KINDS: dict[str, Callable[[stt.STT[Any]], stt.STT[Any]]] = {
    "plain": STTWrapper,
    "cached": lambda inner: CachedSTTAdapter(inner, registry=REGISTRY),
    "retryable": lambda inner: RetryableSTTAdapter(inner, base_delay=0.0, max_delay=0.01),
    "metered": lambda inner: MeteredSTTAdapter(inner, registry=REGISTRY),
    "failover": lambda inner: FailoverSTTAdapter([inner], on_failure="raise"),
}
WITH_FAILOVER = list(itertools.permutations(["cached", "retryable", "metered", "failover"]))
ORDERS = [order for n in (1, 2, 3) for order in itertools.permutations(["cached", "retryable", "metered"], n)]


def nest(order: tuple[str, ...], inner: stt.STT[Any]) -> stt.STT[Any]:
    """*inner* in wrappers, the first of *order* outermost."""
    for kind in reversed(order):
        inner = KINDS[kind](inner)
    return inner


def named(order: tuple[str, ...]) -> str:
    return ">".join(order)


class Recorder(stt.STT[Any]):
    """Notes what is asked of it; recognises and streams nothing."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True, keyterms=True))
        self.asked: list[tuple[str, Any]] = []
        self.flavour = "vanilla"

    @property
    def model(self) -> str:
        return "a-model"

    @property
    def provider(self) -> str:
        return "a-vendor"

    async def _recognize_impl(self, buffer: Any, *, language: Any = NOT_GIVEN, conn_options: Any = None) -> Any:
        self.asked.append(("recognize", (language, conn_options)))
        raise APIStatusError("no", status_code=400)

    def update_options(self, **options: Any) -> None:
        self.asked.append(("update_options", options))

    def _update_session_keyterms(self, keyterms: list[str]) -> None:
        self.asked.append(("keyterms", keyterms))

    def _push_conversation_item(self, ev: Any) -> None:
        self.asked.append(("item", ev))

    def prewarm(self) -> None:
        self.asked.append(("prewarm", None))

    async def aclose(self) -> None:
        self.asked.append(("aclose", None))


@pytest.mark.parametrize("order", [("plain",), *ORDERS], ids=named)
class TestInAnyOrder:
    async def test_the_framework_sees_what_is_wrapped(self, order: tuple[str, ...]) -> None:
        inner = Recorder()
        wrapper: Any = nest(order, inner)
        assert isinstance(wrapper, stt.STT)
        assert wrapper.capabilities is inner.capabilities
        assert (wrapper.label, wrapper.model, wrapper.provider) == (inner.label, "a-model", "a-vendor")
        assert wrapper.metrics_metadata == inner.metrics_metadata
        assert unwrapped(wrapper) is inner
        assert wrapper.flavour == "vanilla"
        with pytest.raises(AttributeError, match="no_such_thing"):
            wrapper.no_such_thing  # noqa: B018 - the access is the test
        wrapper.update_options(model="b")
        wrapper._update_session_keyterms(["Voxport"])
        wrapper._push_conversation_item("an item")
        wrapper.prewarm()
        await wrapper.aclose()
        assert inner.asked == [
            ("update_options", {"model": "b"}),
            ("keyterms", ["Voxport"]),
            ("item", "an item"),
            ("prewarm", None),
            ("aclose", None),
        ]

    async def test_events_are_heard_once_wherever_one_listens(self, order: tuple[str, ...]) -> None:
        inner = Recorder()
        wrapper = nest(order, inner)
        outside, inside = collect(wrapper, "error"), collect(inner, "error")
        own = collect(wrapper, "an_event_of_its_own")
        once: list[Any] = []
        wrapper.once("an_event_of_its_own", once.append)
        inner.emit("error", "from inside")
        wrapper.emit("error", "from outside")
        inner.emit("an_event_of_its_own", 1)
        inner.emit("an_event_of_its_own", 2)
        assert outside == inside == ["from inside", "from outside"]
        assert (own, once) == ([1, 2], [1])
        wrapper.off("error", outside.append)
        await wrapper.aclose()

    async def test_a_recording_is_recognised_with_one_set_of_metrics(
        self, order: tuple[str, ...], http: CustomHTTPSTTAdapter, service: Service
    ) -> None:
        wrapper = nest(order, http)
        outside, inside = collect(wrapper, "metrics_collected"), collect(http, "metrics_collected")
        event = await wrapper.recognize(frame(0.5), conn_options=QUICK)
        assert event.alternatives[0].text == "hello"
        assert service.requests == 1
        assert outside == inside
        assert [(m.label, m.audio_duration, m.streamed) for m in outside] == [(http.label, 0.5, False)]

    async def test_retries_are_made_once(
        self, order: tuple[str, ...], http: CustomHTTPSTTAdapter, service: Service
    ) -> None:
        """Three attempts, be they LiveKit's or the wrapper's, and one error that is not recoverable."""
        service.answers = [(503, {})]
        wrapper = nest(order, http)
        errors = collect(wrapper, "error")
        with pytest.raises((APIConnectionError, APIStatusError)):
            await wrapper.recognize(frame(), conn_options=QUICK)
        assert service.requests == 3
        assert [error.recoverable for error in errors] == [True, True, False]

    async def test_what_cannot_pass_is_asked_once(
        self, order: tuple[str, ...], http: CustomHTTPSTTAdapter, service: Service
    ) -> None:
        service.answers = [(401, {})]
        wrapper = nest(order, http)
        errors = collect(wrapper, "error")
        with pytest.raises(APIStatusError) as raised:
            await wrapper.recognize(frame(), conn_options=QUICK)
        assert raised.value.status_code == 401
        assert (service.requests, [error.recoverable for error in errors]) == (1, [False])


@pytest.mark.parametrize("order", WITH_FAILOVER, ids=named)
async def test_with_failover_in_any_place_a_recording_is_asked_for_as_often_as_needed(
    order: tuple[str, ...], http: CustomHTTPSTTAdapter, service: Service
) -> None:
    wrapper = nest(order, http)
    outside, inside = collect(wrapper, "metrics_collected"), collect(http, "metrics_collected")
    errors = collect(wrapper, "error")
    service.answers = [(503, {}), "hello"]
    for _ in range(2):  # the second time it is in the cache
        assert (await wrapper.recognize(frame(), conn_options=QUICK)).alternatives[0].text == "hello"
    assert (service.requests, len(outside), len(inside)) == (2, 1, 1)
    assert errors
    assert all(error.recoverable for error in errors)
    service.answers = [(401, {})]
    with pytest.raises(APIError) as raised:
        await wrapper.recognize(frame(0.2), conn_options=QUICK)
    assert (service.requests, raised.value.retryable, errors[-1].recoverable) == (3, False, False)
    assert KEY not in f"{raised.value!r}"
    await wrapper.aclose()


@pytest.mark.parametrize(
    "order",
    [
        ("plain",),
        ("metered",),
        ("cached", "metered", "retryable"),
        ("failover", "retryable", "metered", "cached"),
        ("metered", "cached", "failover", "retryable"),
    ],
    ids=named,
)
async def test_a_stream_says_every_word(
    order: tuple[str, ...], streaming: Make, livekit_runtime: None, oracle: OracleServer
) -> None:
    inner = streaming()
    wrapper = nest(order, inner)
    metrics, inside = collect(wrapper, "metrics_collected"), collect(inner, "metrics_collected")
    stream = wrapper.stream(conn_options=QUICK)
    assert isinstance(stream, stt.RecognizeStream)
    stream.start_time_offset = 100.0
    events = await transcribe(stream, five_words())
    assert finals(events) == "w0 w1 w2 w3 w4"
    times = [e.alternatives[0].start_time for e in events if e.type is stt.SpeechEventType.FINAL_TRANSCRIPT]
    assert all(100.0 <= time < 103.0 for time in times)
    assert sum(m.acquire_time > 0 for m in metrics) == 1
    assert metrics == inside
    await wrapper.aclose()


async def test_a_wrapper_that_leaves_streams_alone_adds_nothing_to_them(streaming: Make) -> None:
    inner = streaming()
    wrapper = nest(("cached", "retryable"), inner)
    stream, bare = wrapper.stream(conn_options=QUICK), inner.stream(conn_options=QUICK)
    assert type(stream) is type(bare)
    await stream.aclose()
    await bare.aclose()
    await inner.aclose()


class Voice(BaseModel):
    mood: str


async def test_whatever_is_done_to_a_stream_is_done_to_the_one_inside(streaming: Make) -> None:
    inner = streaming().stream(conn_options=QUICK)
    stream = StreamWrapper(StreamWrapper(inner))
    async with stream as entered:
        assert entered is stream
        stream.start_time_offset, stream.start_time, stream.context = 5.0, 17.0, Voice(mood="calm")
        assert (inner.start_time_offset, inner.start_time, inner.context) == (5.0, 17.0, Voice(mood="calm"))
        assert (stream.start_time_offset, stream.start_time, stream.context) == (5.0, 17.0, Voice(mood="calm"))
        with pytest.raises(ValueError, match="non-negative"):
            stream.start_time_offset = -1.0
        assert stream._stt is inner._stt
        assert stream._task is inner._task
        assert "_task" not in stream.__dict__
        stream.push_frame(frame())
        with pytest.raises(ValueError, match="sample rate"):
            stream.push_frame(frame(sample_rate=8000))
        stream.flush()
        stream.end_input()
        with pytest.raises(RuntimeError, match="input ended"):
            stream.push_frame(frame())
    assert inner._task.done()


async def test_a_stream_ends_as_the_one_inside_does(streaming: Make, oracle: OracleServer) -> None:

    oracle.refusal = Refusal(401)
    wrapper = nest(("metered", "cached"), streaming())
    errors = collect(wrapper, "error")
    async with wrapper.stream(conn_options=APIConnectOptions(max_retry=0)) as stream:
        stream.push_frame(frame())
        with pytest.raises(APIStatusError) as raised:
            await stream.__anext__()
    assert raised.value.status_code == 401
    assert KEY not in str(raised.value)
    assert [error.recoverable for error in errors] == [False]


class TestARecogniseOfItsOwn:
    """An STT may override ``recognize``; then that is what is called, and it does its own retries and metrics."""

    class Own(Recorder):
        async def recognize(self, buffer: Any, *, language: Any = NOT_GIVEN, conn_options: Any = None) -> Any:
            self.asked.append(("own", conn_options.max_retry))
            data = stt.SpeechData(language="en", text="own")  # type: ignore[arg-type]
            return stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[data])

    @pytest.mark.parametrize("order", [("plain",), ("metered", "cached"), ("cached", "metered")], ids=named)
    async def test_is_called_once_as_it_was(self, order: tuple[str, ...]) -> None:
        inner = self.Own()
        wrapper = nest(order, inner)
        metrics = collect(wrapper, "metrics_collected")
        event = await wrapper.recognize(frame(), conn_options=APIConnectOptions(max_retry=7))
        assert event.alternatives[0].text == "own"
        assert (inner.asked, metrics) == ([("own", 7)], [])

    async def test_is_not_left_to_retry_inside_retries(self) -> None:
        inner = self.Own()
        await nest(("metered", "retryable"), inner).recognize(frame())
        assert inner.asked == [("own", 0)]


async def test_livekits_fallback_adapter_can_be_wrapped_and_can_hold_wrappers(
    http: CustomHTTPSTTAdapter, service: Service, streaming: Make, livekit_runtime: None
) -> None:
    fallback = stt.FallbackAdapter([KINDS["metered"](streaming()), KINDS["cached"](streaming())])
    wrapper = nest(("metered", "retryable"), fallback)
    events = await transcribe(wrapper.stream(conn_options=QUICK), speak([2], 16000, tail_ms=600))
    assert finals(events) == "w0 w1"
    await wrapper.aclose()


async def test_an_agent_session_hears_through_wrappers(streaming: Make, livekit_runtime: None) -> None:
    """The session sets the stream's offset, reads its capabilities and closes it, as it does with any plugin."""
    speech = speak([3], 24000, tail_ms=600)
    wrapper = nest(("metered", "cached", "retryable"), streaming())

    class Caller(AudioInput):
        def __init__(self) -> None:
            super().__init__(label="caller")
            self.frames = iter(frames_of(speech))

        async def __anext__(self) -> rtc.AudioFrame:
            await asyncio.sleep(0.005)
            return next(self.frames, rtc.AudioFrame(bytes(2400), 24000, 1, 1200))

    heard: list[str] = []
    done = asyncio.Event()

    def on_transcript(event: Any) -> None:
        if event.is_final:
            heard.append(event.transcript)
            done.set()

    session: AgentSession[None] = AgentSession(stt=wrapper, vad=None, turn_handling={"turn_detection": "stt"})
    session.on("user_input_transcribed", on_transcript)
    session.input.audio = Caller()
    try:
        await session.start(Agent(instructions=""))
        await asyncio.wait_for(done.wait(), 10)
    finally:
        await session.aclose()
        await wrapper.aclose()
    assert heard == ["w0 w1 w2"]


async def test_what_is_no_recogniser_is_refused() -> None:
    for kind in KINDS.values():
        with pytest.raises(ConfigurationError, match="str"):
            kind("wss://vendor")  # type: ignore[arg-type]
