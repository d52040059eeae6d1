"""A recording heard before is answered from memory or from Redis; everything else is asked anew."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import APIStatusError, stt
from livekit.agents.types import NOT_GIVEN, APIConnectOptions, TimedString
from livekit.plugins import deepgram
from other_loop import other_loop
from prometheus_client import CollectorRegistry

from agents.providers.base import ConfigurationError
from agents.providers.stt.adapter import STTAdapter
from agents.providers.stt.http import CustomHTTPSTTAdapter
from agents.providers.stt.streaming import CustomWebSocketSTTAdapter
from agents.providers.transport.event_loops import PerLoop
from agents.providers.wrappers.cached import CachedSTTAdapter, MemoryCache, RedisCache
from agents.providers.wrappers.caches import CacheUnavailable
from agents.providers.wrappers.metered import MeteredSTTAdapter
from agents.providers.wrappers.retryable import RetryableSTTAdapter
from agents.providers.wrappers.transcripts import decode, encode, key_of, options_of

from .conftest import KEY, QUICK, Service, collect, frame

ONCE = APIConnectOptions(max_retry=0)


@dataclass
class Options:
    """As a native plugin keeps them."""

    language: str = "en"
    keyterm: list[str] = field(default_factory=list)
    api_key: str = KEY


class Slow(STTAdapter):
    """Answers when it is told to, and counts how often it was asked."""

    def __init__(self, text: str = "hello") -> None:
        super().__init__(streaming=False, interim_results=False)
        self._opts = Options()
        self.text = text
        self.calls = 0
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self.cancelled = 0

    async def _recognize_impl(
        self, buffer: Any, *, language: Any = NOT_GIVEN, conn_options: Any = None
    ) -> stt.SpeechEvent:
        self.calls += 1
        self.asked.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return told(self.text)


def told(text: str, **fields: Any) -> stt.SpeechEvent:
    data = stt.SpeechData(language="en", text=text, **fields)  # type: ignore[arg-type]
    return stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, request_id="r-1", alternatives=[data])


def cached(inner: stt.STT[Any], **arguments: Any) -> CachedSTTAdapter:
    return CachedSTTAdapter(inner, **{"registry": CollectorRegistry(), **arguments})


async def text_of(adapter: stt.STT[Any], audio: Any, **arguments: Any) -> str:
    event = await adapter.recognize(audio, **{"conn_options": ONCE, **arguments})
    return event.alternatives[0].text if event.alternatives else ""


class TestWhatIsFoundAgain:
    async def test_the_same_recording_costs_nothing(self, http: CustomHTTPSTTAdapter, service: Service) -> None:
        wrapper = cached(http)
        metrics = collect(wrapper, "metrics_collected")
        service.answers = ["first", "second"]
        assert await text_of(wrapper, frame()) == "first"
        assert await text_of(wrapper, frame()) == "first"
        assert service.requests == 1
        assert len(metrics) == 1  # what was billed
        assert (wrapper.cache_stats.misses, wrapper.cache_stats.hits) == (1, 1)

    async def test_however_it_is_cut_into_frames(self, http: CustomHTTPSTTAdapter, service: Service) -> None:
        wrapper = cached(http)
        whole = frame(0.1)
        pieces = [
            rtc.AudioFrame(bytes(whole.data.cast("B")[i : i + 320]), 16000, 1, 160) for i in range(0, 3200, 320)
        ]
        await text_of(wrapper, whole)
        await text_of(wrapper, pieces)
        assert service.requests == 1

    async def test_with_a_native_plugin(self, native_http: deepgram.STT, service: Service) -> None:
        wrapper = cached(native_http)
        service.answers = ["hello world"]
        first = await wrapper.recognize([frame()])
        again = await wrapper.recognize([frame()])
        assert service.requests == 1
        assert first.alternatives == again.alternatives
        word = (again.alternatives[0].words or [])[1]
        assert (word, word.start_time, word.end_time) == ("world", 0.1, 0.2)

    @pytest.mark.parametrize("order", ["outside", "inside"])
    async def test_wherever_the_cache_is_nested(
        self, order: str, http: CustomHTTPSTTAdapter, service: Service, registry: CollectorRegistry
    ) -> None:
        inner: stt.STT[Any] = http
        if order == "outside":
            inner = RetryableSTTAdapter(MeteredSTTAdapter(inner, registry=registry))
        wrapper: stt.STT[Any] = cached(inner, registry=registry)
        if order == "inside":
            wrapper = MeteredSTTAdapter(RetryableSTTAdapter(wrapper), registry=registry)
        metrics = collect(wrapper, "metrics_collected")
        await text_of(wrapper, frame())
        await text_of(wrapper, frame())
        assert (service.requests, len(metrics)) == (1, 1)

    async def test_an_answer_may_be_changed_without_harm(self, http: CustomHTTPSTTAdapter) -> None:
        wrapper = cached(http)
        for _ in range(3):
            event = await wrapper.recognize(frame())
            assert event.alternatives[0].text == "hello"
            event.alternatives[0].text = "spoilt"
            event.alternatives.clear()


class TestWhatIsNot:
    @pytest.mark.parametrize(
        "other",
        [frame(value=8), frame(0.11), frame(sample_rate=8000), frame(0.05)],
        ids=["sample", "length", "rate", "part"],
    )
    async def test_other_audio(self, other: rtc.AudioFrame, http: CustomHTTPSTTAdapter, service: Service) -> None:
        wrapper = cached(http)
        await text_of(wrapper, frame())
        await text_of(wrapper, other)
        assert service.requests == 2

    async def test_the_same_samples_in_more_channels(self, http: CustomHTTPSTTAdapter, service: Service) -> None:
        wrapper = cached(http)
        mono = frame()
        await text_of(wrapper, mono)
        await text_of(wrapper, rtc.AudioFrame(bytes(mono.data.cast("B")), 16000, 2, 800))
        assert service.requests == 2

    async def test_another_language_model_option_or_endpoint(
        self, http: CustomHTTPSTTAdapter, service: Service
    ) -> None:
        kept = MemoryCache()
        wrapper = cached(http, cache=kept)
        await text_of(wrapper, frame())
        await text_of(wrapper, frame(), language="de")
        http.update_options(model="large")
        await text_of(wrapper, frame())
        http.update_options(language="fr")
        await text_of(wrapper, frame())
        other = CustomHTTPSTTAdapter(service.url + "/v2", KEY, "fr", model="large", on_failure="raise")
        await text_of(cached(other, cache=kept), frame())
        await other.aclose()
        assert (service.requests, len(kept)) == (5, 5)

    async def test_other_options_of_a_native_plugin(self, native_http: deepgram.STT, service: Service) -> None:
        wrapper = cached(native_http)
        await wrapper.recognize([frame()])
        native_http.update_options(punctuate=False)
        await wrapper.recognize([frame()])
        wrapper._update_session_keyterms(["Voxport"])
        await wrapper.recognize([frame()])
        assert service.requests == 3

    async def test_the_options_somebody_names(self, service: Service, http: CustomHTTPSTTAdapter) -> None:
        tenant = ["a"]
        wrapper = cached(http, options=lambda: tenant)
        await text_of(wrapper, frame())
        tenant[0] = "b"
        await text_of(wrapper, frame())
        tenant[0] = "a"
        await text_of(wrapper, frame())
        assert service.requests == 2

    @pytest.mark.parametrize(
        "odd", ["\ud83d", 2**70, float("nan"), object(), b"x", NOT_GIVEN], ids=lambda odd: type(odd).__name__
    )
    async def test_odd_options_of_a_plugin_break_nothing(self, odd: Any) -> None:
        inner = Slow()
        inner.go.set()
        inner._opts.keyterm = [odd]
        wrapper = cached(inner)
        assert [await text_of(wrapper, frame()) for _ in range(2)] == ["hello"] * 2
        assert inner.calls == 1

    async def test_options_that_are_no_data_are_an_error(self) -> None:
        with pytest.raises(ConfigurationError, match="JSON data"):
            await cached(Slow(), options=object).recognize(frame(), conn_options=ONCE)

    async def test_a_plugin_without_a_name_of_its_model(self) -> None:
        class Nameless(Slow):
            model = None  # type: ignore[assignment]

        inner = Nameless()
        inner.go.set()
        wrapper = MeteredSTTAdapter(cached(inner), registry=CollectorRegistry())
        assert await text_of(wrapper, frame()) == "hello"

    async def test_half_a_surrogate_pair(self) -> None:
        """No JSON can hold it, and a vendor may send it: it is heard, and not kept."""
        inner = Slow("smile \ud83d")
        inner.go.set()
        wrapper = cached(inner)
        assert [await text_of(wrapper, frame()) for _ in range(2)] == [inner.text] * 2
        assert (inner.calls, wrapper.cache_stats.errors) == (2, 0)

    async def test_a_failure(self, http: CustomHTTPSTTAdapter, service: Service) -> None:
        wrapper = cached(http)
        service.answers = [(503, {}), "hello"]
        with pytest.raises(APIStatusError):
            await text_of(wrapper, frame())
        assert await text_of(wrapper, frame()) == "hello"

    async def test_silence(self, http: CustomHTTPSTTAdapter, service: Service) -> None:
        wrapper = cached(http)
        service.answers = ["", "  ", "hello"]
        assert [(await text_of(wrapper, frame())).strip() for _ in range(4)] == ["", "", "hello", "hello"]
        assert service.requests == 3

    async def test_what_is_no_audio(self, service: Service) -> None:
        inner = Slow()
        inner.go.set()
        wrapper = cached(inner)
        odd = [
            object(),
            [],
            [frame(), frame(sample_rate=8000)],
            type("X", (), {"sample_rate": 1, "data": "text"})(),
        ]
        for buffer in odd:
            await wrapper._recognize_impl(buffer)
        assert (inner.calls, wrapper.cache_stats.bypassed) == (4, 4)

    async def test_what_was_pushed_out_or_is_too_old(self, http: CustomHTTPSTTAdapter, service: Service) -> None:
        wrapper = cached(http, cache=MemoryCache(max_entries=2))
        for value in (1, 2, 3, 1):
            await text_of(wrapper, frame(value=value))
        assert service.requests == 4
        small = MemoryCache(max_bytes=200)  # two of these transcripts fit
        wrapper = cached(http, cache=small)
        for value in (1, 2, 3, 3, 1):
            await text_of(wrapper, frame(value=value))
        assert (service.requests, len(small)) == (8, 2)
        service.answers, service.requests = ["hello " * 100], 4
        assert len(await text_of(wrapper, frame(value=4))) == 600
        assert (service.requests, len(small), wrapper.cache_stats.errors) == (5, 2, 0), "it fits at no time"
        service.requests = 4
        brief = MemoryCache(ttl=1e-9)
        wrapper = cached(http, cache=brief)
        await text_of(wrapper, frame())
        await text_of(wrapper, frame())
        assert (service.requests, len(brief)) == (6, 0)


class TestEqualRequestsAtOnce:
    async def test_share_one_call(self) -> None:
        inner = Slow()
        wrapper = cached(inner)
        metrics = collect(wrapper, "metrics_collected")
        calls = [asyncio.ensure_future(wrapper.recognize(frame())) for _ in range(5)]
        await inner.asked.wait()
        inner.go.set()
        events = await asyncio.gather(*calls)
        assert inner.calls == 1
        assert {event.alternatives[0].text for event in events} == {"hello"}
        assert len({id(event) for event in events}) == 5
        assert (wrapper.cache_stats.misses, wrapper.cache_stats.shared, len(metrics)) == (1, 4, 1)

    async def test_of_several_event_loops_ask_for_themselves(self) -> None:
        """Workers with a loop in each of several threads may share an adapter; a task serves one loop only."""
        inner = Slow()
        wrapper = cached(inner)

        async def text_elsewhere() -> str:
            here, inner.asked, inner.go = (inner.asked, inner.go), asyncio.Event(), asyncio.Event()
            inner.go.set()
            try:
                return await text_of(wrapper, frame())
            finally:
                await wrapper.aclose()
                inner.asked, inner.go = here

        async with other_loop() as elsewhere:
            call = asyncio.ensure_future(text_of(wrapper, frame()))
            await inner.asked.wait()
            assert await elsewhere(text_elsewhere()) == "hello"
            assert not call.done(), "to close the adapter there calls nothing off here"
            inner.go.set()
            assert await call == "hello"
        assert (inner.calls, wrapper.cache_stats.misses) == (2, 2)

    async def test_are_billed_once_whoever_left(self) -> None:
        """The vendor was asked, so there is usage, also when he who asked first has gone."""
        inner = Slow()
        wrapper = cached(inner)
        metrics = collect(wrapper, "metrics_collected")
        calls = [asyncio.ensure_future(wrapper.recognize(frame())) for _ in range(3)]
        await inner.asked.wait()
        calls[0].cancel()
        inner.go.set()
        await asyncio.gather(*calls, return_exceptions=True)
        assert (wrapper.cache_stats.misses, wrapper.cache_stats.shared, len(metrics)) == (1, 1, 1)

    async def test_do_not_see_what_another_makes_of_the_answer(self) -> None:
        inner = Slow()
        wrapper = cached(inner)

        async def spoil() -> str:
            heard = (await wrapper.recognize(frame())).alternatives[0]
            text, heard.text = heard.text, "spoilt"
            return text

        calls = [asyncio.ensure_future(spoil()) for _ in range(3)]
        await inner.asked.wait()
        inner.go.set()
        assert await asyncio.gather(*calls) == ["hello"] * 3

    @pytest.mark.parametrize("first", [True, False], ids=["who_came_first", "who_came_second"])
    async def test_one_who_leaves_does_not_take_the_others_along(self, first: bool) -> None:
        inner = Slow()
        wrapper = cached(inner)
        calls = [asyncio.ensure_future(wrapper.recognize(frame())) for _ in range(2)]
        await inner.asked.wait()
        leaving, staying = calls if first else reversed(calls)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        inner.go.set()
        assert (await staying).alternatives[0].text == "hello"
        assert (inner.calls, inner.cancelled) == (1, 0)

    async def test_the_last_to_leave_calls_it_off(self) -> None:
        inner = Slow()
        wrapper = cached(inner)
        calls = [asyncio.ensure_future(wrapper.recognize(frame())) for _ in range(2)]
        await inner.asked.wait()
        for call in calls:
            call.cancel()
        assert all(
            isinstance(r, asyncio.CancelledError) for r in await asyncio.gather(*calls, return_exceptions=True)
        )
        assert inner.cancelled == 1
        inner.go.set()
        assert await text_of(wrapper, frame()) == "hello"  # and nobody is given the call that was called off

    async def test_share_a_failure_and_then_try_anew(self, http: CustomHTTPSTTAdapter, service: Service) -> None:
        arrived = asyncio.Event()

        async def fail() -> Any:
            await arrived.wait()
            return 503, {}

        service.answers = [fail, "hello"]
        wrapper = cached(http)
        calls = [asyncio.ensure_future(wrapper.recognize(frame(), conn_options=QUICK)) for _ in range(3)]
        await service.arrived.wait()
        arrived.set()
        events = await asyncio.gather(*calls)
        assert {event.alternatives[0].text for event in events} == {"hello"}
        assert service.requests == 2

    async def test_are_called_off_when_the_adapter_is_closed(self) -> None:
        inner = Slow()
        wrapper = cached(inner)
        call = asyncio.ensure_future(wrapper.recognize(frame()))
        await inner.asked.wait()
        await wrapper.aclose()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert inner.cancelled == 1


class TestWhatIsStored:
    def test_a_transcript_comes_back_whole(self) -> None:
        words = [
            TimedString("hello", start_time=0.1, end_time=0.4, confidence=0.9, speaker_id="A"),
            TimedString("world"),
        ]
        event = told("hello world", start_time=0.1, end_time=0.9, confidence=0.8, speaker_id="A", words=words)
        event.alternatives.append(stt.SpeechData(language="de", text="Hallo", source_languages=["en"]))  # type: ignore[arg-type, list-item]
        stored = encode(event)
        assert stored is not None
        back = decode(stored)
        assert back is not None
        assert back.type is stt.SpeechEventType.FINAL_TRANSCRIPT
        assert back.alternatives == event.alternatives
        for word, before in zip(back.alternatives[0].words or [], words, strict=True):
            assert vars(word) == vars(before)
        assert back.alternatives[0].language.language == "en"

    def test_and_nothing_else(self) -> None:
        event = told("hello", metadata={"account": "secret"})
        stored = encode(event)
        assert stored is not None
        assert set(json.loads(stored)[0]) == {"language", "text", "start_time", "end_time", "confidence"}
        assert b"r-1" not in stored

    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b"{",
            b"null",
            b"[]",
            b"[1]",
            b"{}",
            b'[{"text": 1}]',
            b'[{"text": "x", "language": "en", "evil": 1}]',
            b'[{"text":"x","language":"en","words":[[1]]}]',
            b'[{"text":" ","language":"en"}]',
            b'[{"text":"x","language":"en","start_time":"now"}]',
            b'[{"text":"x","language":"en","confidence":null}]',
            b'[{"text":"x","language":"en","speaker_id":{}}]',
            b'[{"text":"x","language":"en","source_languages":"en"}]',
            b'[{"text":"x","language":"en","source_texts":[1]}]',
            b'[{"text":"x","language":"en","words":[[1,0,0,0,0,null]]}]',
            b'[{"text":"x","language":"en","words":[["x",0,0,0,0,[]]]}]',
            b"[" * 100_000,
            b"\xff",
        ],
    )
    def test_what_others_put_there_is_no_transcript(self, value: bytes) -> None:
        assert decode(value) is None

    async def test_no_credential_is_in_the_key(self, http: CustomHTTPSTTAdapter, service: Service) -> None:
        for adapter in (
            http,
            Slow(),
            CustomHTTPSTTAdapter("https://h/stt?api_key=" + KEY, KEY, headers={"X-Key": KEY}),
            CustomWebSocketSTTAdapter("wss://h/", KEY, headers={"Authorization": KEY}),
        ):
            told_options = options_of(adapter)
            assert KEY not in json.dumps(told_options)
            assert told_options

    async def test_long_audio_is_hashed_beside_the_event_loop(self) -> None:
        samples = np.arange(2_000_000, dtype=np.int16)
        long = rtc.AudioFrame(samples.tobytes(), 48000, 1, samples.size)
        inner = Slow()
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        key = await key_of(long, language=None, recogniser=inner, options=None)
        counting.cancel()
        assert turns > 1
        assert key == await key_of([long], language=None, recogniser=inner, options=None)


class TestACacheThatFails:
    class Broken:
        def __init__(self) -> None:
            self.error: Exception | None = ConnectionError("gone")

        async def get(self, key: str) -> bytes | None:
            if self.error:
                raise self.error
            return None

        async def set(self, key: str, value: bytes) -> None:
            if self.error:
                raise self.error

        async def aclose(self) -> None: ...

    async def test_is_done_without_counted_and_logged_once(
        self, http: CustomHTTPSTTAdapter, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        broken = self.Broken()
        registry = CollectorRegistry()
        wrapper = cached(http, cache=broken, registry=registry)
        with caplog.at_level(logging.INFO, "agents.providers.stt"):
            for _ in range(3):
                assert await text_of(wrapper, frame()) == "hello"
            assert (service.requests, wrapper.cache_stats.errors) == (3, 6)
            assert registry.get_sample_value("voxport_stt_cache_errors_total", {"operation": "get"}) == 3
            assert [r.levelname for r in caplog.records] == ["WARNING"]
            broken.error = None
            await text_of(wrapper, frame())
            assert [r.levelname for r in caplog.records] == ["WARNING", "INFO"]

    async def test_to_close_leaves_nothing_else_open(self) -> None:
        class Stuck(self.Broken):  # type: ignore[misc, name-defined]
            async def aclose(self) -> None:
                raise ConnectionError("gone")

        closed = asyncio.Event()

        class Inner(Slow):
            async def aclose(self) -> None:
                closed.set()

        with pytest.raises(ConnectionError):
            await cached(Inner(), cache=Stuck()).aclose()
        assert closed.is_set()

    def test_is_refused_when_it_is_none(self) -> None:
        with pytest.raises(ConfigurationError, match="MemoryCache or a RedisCache"):
            cached(Slow(), cache="redis://localhost")

    @pytest.mark.parametrize(
        ("cache", "arguments"),
        [
            (MemoryCache, {"max_entries": 0}),
            (MemoryCache, {"max_bytes": True}),
            (MemoryCache, {"ttl": 0}),
            (MemoryCache, {"ttl": "1h"}),
            (RedisCache, {"ttl": float("inf")}),
            (RedisCache, {"timeout": 0}),
            (RedisCache, {"rest": -1}),
        ],
        ids=lambda value: getattr(value, "__name__", None) or str(value),
    )
    def test_is_refused_when_a_bound_makes_no_sense(self, cache: Any, arguments: dict[str, Any]) -> None:
        place = ("redis://127.0.0.1",) if cache is RedisCache else ()
        with pytest.raises(ConfigurationError, match=next(iter(arguments))):
            cache(*place, **arguments)


async def test_hits_and_misses_are_metered(http: CustomHTTPSTTAdapter, registry: CollectorRegistry) -> None:
    wrapper = cached(http, registry=registry)
    for _ in range(3):
        await text_of(wrapper, frame())
    who = {"provider": "generic", "model": "unknown"}
    for outcome, times in (("miss", 1), ("hit", 2)):
        labels = {**who, "outcome": outcome}
        assert registry.get_sample_value("voxport_stt_cache_requests_total", labels) == times
    assert registry.get_sample_value("voxport_stt_cache_lookup_seconds_count", who) == 3


# ---------------------------------------------------------------------- Redis


REDIS_SERVER = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(REDIS_SERVER is None, reason="no redis-server: apt-get install redis-server")


class Redis:
    """Debian's server on a free port, without persistence."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://:{KEY}@127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert REDIS_SERVER is not None
        self._process = subprocess.Popen(
            [REDIS_SERVER, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--requirepass", KEY],
            cwd=self._folder,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if b"Ready to accept connections" in line:
                return
        raise RuntimeError("redis-server did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture(scope="module")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def redis_cache(redis_process: Redis, request: pytest.FixtureRequest) -> AsyncIterator[RedisCache]:
    cache = RedisCache(redis_process.url, prefix=request.node.name, timeout=5.0, rest=0.001)
    yield cache
    await cache.aclose()


@needs_redis
class TestRedis:
    async def test_workers_share_it(
        self, redis_process: Redis, redis_cache: RedisCache, http: CustomHTTPSTTAdapter, service: Service
    ) -> None:
        other = RedisCache(redis_process.url, prefix=redis_cache._prefix, timeout=5.0)
        first, second = cached(http, cache=redis_cache), cached(http, cache=other)
        assert [await text_of(adapter, frame()) for adapter in (first, second)] == ["hello", "hello"]
        assert service.requests == 1
        await second.aclose()
        assert await text_of(second, frame()) == "hello"  # it opens again
        await other.aclose()

    async def test_holds_hash_and_transcript_for_a_while(
        self, redis_cache: RedisCache, http: CustomHTTPSTTAdapter
    ) -> None:
        await text_of(cached(http, cache=redis_cache), frame())
        client = redis_cache._clients.here()
        (key,) = await client.keys(redis_cache._prefix + "*")
        assert len(key) == len(redis_cache._prefix) + 64
        assert 0 < await client.pttl(key) <= 86_400_000
        stored = json.loads(await client.get(key))
        assert stored == [
            {"language": "en-US", "text": "hello", "start_time": 0.0, "end_time": 0.0, "confidence": 0.0}
        ]

    async def test_may_go_away_and_come_back(
        self, tmp_path: Path, http: CustomHTTPSTTAdapter, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        server = Redis(tmp_path)
        server.start()
        cache = RedisCache(server.url, timeout=5.0, rest=0.001)
        wrapper = cached(http, cache=cache)
        try:
            for _ in range(2):
                await text_of(wrapper, frame())
            assert service.requests == 1
            server.stop()
            with caplog.at_level(logging.WARNING, "agents.providers.stt"):
                for _ in range(3):
                    assert await text_of(wrapper, frame()) == "hello"
            assert (service.requests, len(caplog.records)) == (4, 1)
            assert KEY not in caplog.text
            assert wrapper.cache_stats.errors >= 3
            server.start()
            for _ in range(2):
                await text_of(wrapper, frame())
            assert service.requests == 5
        finally:
            server.stop()
            await cache.aclose()

    async def test_that_refuses_one_key_is_asked_for_others(
        self, redis_process: Redis, http: CustomHTTPSTTAdapter, service: Service
    ) -> None:
        """It holds a list under the key, then garbage, and then its memory is full."""
        cache = RedisCache(redis_process.url, prefix="refuses:", timeout=5.0, rest=60.0)
        wrapper = cached(http, cache=cache)
        await text_of(wrapper, frame())
        client = cache._clients.here()
        (key,) = await client.keys("refuses:*")
        await client.delete(key)
        await client.lpush(key, "no transcript")
        assert [await text_of(wrapper, frame()) for _ in range(2)] == ["hello"] * 2
        assert (service.requests, wrapper.cache_stats.hits, wrapper.cache_stats.errors) == (2, 1, 1)
        await client.set(key, b"\xff garbage")
        assert [await text_of(wrapper, frame()) for _ in range(2)] == ["hello"] * 2
        assert (service.requests, wrapper.cache_stats.hits) == (3, 2)
        await client.config_set("maxmemory", "1")
        try:
            assert await text_of(wrapper, frame(value=8)) == "hello"
        finally:
            await client.config_set("maxmemory", "0")
        assert await text_of(wrapper, frame()) == "hello"
        assert (service.requests, wrapper.cache_stats.hits, wrapper.cache_stats.errors) == (4, 3, 2)
        await wrapper.aclose()

    def test_serves_several_event_loops(self, redis_process: Redis) -> None:
        cache = RedisCache(redis_process.url, prefix="loops:", timeout=5.0)
        loops = [asyncio.new_event_loop() for _ in range(2)]
        for turn in range(2):
            for loop in loops:
                loop.run_until_complete(cache.set(f"{turn}", b"x"))
        assert len(cache._clients.all()) == 2, "each loop keeps its connection"
        for loop in loops:
            assert loop.run_until_complete(cache.get("0")) == b"x"
            loop.run_until_complete(cache.aclose())
            loop.close()
        assert cache._clients.all() == []

    async def test_with_the_wrong_password_is_done_without(
        self, redis_process: Redis, http: CustomHTTPSTTAdapter, caplog: pytest.LogCaptureFixture
    ) -> None:
        wrapper = cached(http, cache=RedisCache(redis_process.url.replace(KEY, "wrong-but-secret"), timeout=5.0))
        assert await text_of(wrapper, frame()) == "hello"
        assert wrapper.cache_stats.errors == 2
        assert "wrong-but-secret" not in caplog.text
        await wrapper.aclose()


async def test_a_redis_that_does_not_answer_is_not_waited_for_each_time(http: CustomHTTPSTTAdapter) -> None:
    accepted = []

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    wrapper = cached(http, cache=RedisCache(f"redis://127.0.0.1:{port}", timeout=0.02, rest=60.0))
    for _ in range(5):
        assert await text_of(wrapper, frame()) == "hello"
    assert (len(accepted), wrapper.cache_stats.errors) == (1, 10)
    await wrapper.aclose()
    silent.close()
    await silent.wait_closed()


async def _answer_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, held: asyncio.Event) -> None:
    """Speaks enough of Redis: what is kept under a key is the key, and "late" is answered when *held* is set."""
    while line := await reader.readline():
        parts = []
        for _ in range(int(line[1:])):
            length = int((await reader.readline())[1:])
            parts.append((await reader.readexactly(length + 2))[:-2])
        if parts[0].upper() == b"GET":
            if parts[1] == b"late":
                await held.wait()
            writer.write(b"$%d\r\n%s\r\n" % (len(parts[1]), parts[1]))
        else:
            writer.write(b"+OK\r\n")
    writer.close()


@pytest.mark.parametrize("how", ["too_late", "called_off"])
async def test_nobody_gets_the_answer_to_anothers_question(how: str) -> None:
    """An answer that comes when nobody waits for it any more must not be taken for that to the next command."""
    held = asyncio.Event()
    server = await asyncio.start_server(lambda *pair: _answer_late(*pair, held), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    cache = RedisCache(f"redis://127.0.0.1:{port}?protocol=2", prefix="", timeout=0.1, rest=1e-6)
    assert await cache.get("one") == b"one"
    asked = asyncio.ensure_future(cache.get("late"))
    if how == "called_off":
        asyncio.get_running_loop().call_later(0.02, asked.cancel)
    with pytest.raises(CacheUnavailable if how == "too_late" else asyncio.CancelledError):
        await asked
    held.set()
    assert [await cache.get(key) for key in ("two", "three")] == [b"two", b"three"]
    await cache.aclose()
    server.close()
    await server.wait_closed()


async def test_a_cancellation_that_meets_the_answer_of_redis_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = RedisCache("redis://127.0.0.1:9", timeout=5.0)

    async def answer(*_: Any, **__: Any) -> bytes:
        asyncio.get_running_loop().call_soon(call.cancel)
        return b"nobody takes it"

    async def close() -> None: ...

    monkeypatch.setattr(cache, "_clients", PerLoop(lambda: SimpleNamespace(get=answer, aclose=close)))
    call = asyncio.ensure_future(cache.get("key"))
    with pytest.raises(asyncio.CancelledError):
        await call
    await cache.aclose()


def test_a_redis_url_is_checked_and_never_shown() -> None:
    with pytest.raises(ConfigurationError, match="a Redis URL is like") as raised:
        RedisCache(f"http://user:{KEY}@host")
    assert KEY not in str(raised.value)
    assert KEY not in repr(RedisCache(f"redis://user:{KEY}@host:6379/0"))
