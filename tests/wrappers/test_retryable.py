"""Trying again: when, how often, how long, and never twice over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import aiohttp
import pytest
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError, stt
from livekit.agents.types import NOT_GIVEN, APIConnectOptions
from livekit.plugins import deepgram, openai

from agents.providers.base import ConfigurationError
from agents.providers.protocol import Failure, Settings, Verdict
from agents.providers.stt.adapter import STTAdapter
from agents.providers.stt.http import CustomHTTPSTTAdapter
from agents.providers.transport.failures import api_error
from agents.providers.wrappers.failover import FailoverSTTAdapter
from agents.providers.wrappers.retryable import RetryableSTTAdapter, is_retryable, retry_after_of

from .conftest import KEY, Service, collect, frame

SETTINGS = Settings(url="https://vendor.example/v1")


class Scripted(STTAdapter):
    """Raises what it is given, then recognises."""

    def __init__(self, *failures: BaseException, delay: float = 0.0) -> None:
        super().__init__(streaming=False, interim_results=False)
        self.failures = list(failures)
        self.delay = delay
        self.options: list[APIConnectOptions] = []

    async def _recognize_impl(
        self, buffer: Any, *, language: Any = NOT_GIVEN, conn_options: Any = None
    ) -> stt.SpeechEvent:
        self.options.append(conn_options)
        await asyncio.sleep(self.delay)
        if self.failures:
            raise self.failures.pop(0)
        data = stt.SpeechData(language="en", text="at last")  # type: ignore[arg-type]
        return stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[data])


def quick(inner: stt.STT[Any], **arguments: Any) -> RetryableSTTAdapter:
    return RetryableSTTAdapter(inner, **{"base_delay": 0.0, "max_delay": 0.01, **arguments})


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits, which then take no time."""
    noted: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float, *rest: Any) -> Any:
        if seconds > 0:
            noted.append(seconds)
        return await sleep(0, *rest)

    monkeypatch.setattr("agents.providers.wrappers.retryable.asyncio.sleep", note)
    return noted


async def test_a_failure_that_passes_is_not_noticed(http: CustomHTTPSTTAdapter, service: Service) -> None:
    service.answers = [(503, {}), (429, {}), "hello"]
    wrapper = quick(http)
    event = await wrapper.recognize(frame())
    assert event.alternatives[0].text == "hello"
    assert (service.requests, wrapper.retry_stats.attempts, wrapper.retry_stats.recovered) == (3, 3, 1)


async def test_the_last_failure_is_raised_as_it_was(http: CustomHTTPSTTAdapter, service: Service) -> None:
    service.answers = [(503, {})]
    wrapper = quick(http, attempts=4)
    with pytest.raises(APIStatusError) as raised:
        await wrapper.recognize(frame())
    assert (raised.value.status_code, raised.value.retryable) == (503, True)
    assert KEY not in f"{raised.value} {raised.value!r}"
    assert (service.requests, wrapper.retry_stats.given_up) == (4, 1)


async def test_livekits_adapters_around_it_do_not_multiply(http: CustomHTTPSTTAdapter, service: Service) -> None:
    service.answers = [(503, {})]
    with pytest.raises(APIError):
        await quick(quick(http, attempts=2), attempts=1).recognize(frame())
    assert service.requests == 2


async def test_a_native_plugin_is_retried(native_http: deepgram.STT, service: Service) -> None:
    async def break_down() -> Any:
        raise ConnectionResetError  # the server answers 500 with no JSON, which the plugin cannot read

    service.answers = [break_down, "hello"]
    event = await quick(native_http).recognize([frame()])
    assert (event.alternatives[0].text, service.requests) == ("hello", 2)


async def test_waits_grow_with_jitter_up_to_the_longest(waits: list[float]) -> None:
    failures = [APIConnectionError() for _ in range(7)]
    await RetryableSTTAdapter(
        Scripted(*failures), attempts=8, base_delay=1.0, max_delay=10.0, total_deadline=None
    ).recognize(frame())
    assert len(waits) == 7
    ceilings = [2.0, 4.0, 8.0, 10.0, 10.0, 10.0, 10.0]
    assert all(0.5 <= wait <= ceiling for wait, ceiling in zip(waits, ceilings, strict=True))
    assert len(set(waits)) == 7


class TestRetryAfter:
    async def test_is_waited_for(self, http: CustomHTTPSTTAdapter, service: Service, waits: list[float]) -> None:
        service.answers = [(429, {"Retry-After": "7"}), "hello"]
        await quick(http).recognize(frame())
        assert len(waits) == 1
        assert 7.0 <= waits[0] <= 7.1

    async def test_beyond_the_deadline_ends_it_at_once(
        self, http: CustomHTTPSTTAdapter, service: Service, waits: list[float]
    ) -> None:
        service.answers = [(429, {"Retry-After": "60"})]
        with pytest.raises(APIStatusError) as raised:
            await quick(http, total_deadline=5.0).recognize(frame())
        assert (raised.value.status_code, waits, service.requests) == (429, [], 1)

    async def test_may_be_a_date(self, http: CustomHTTPSTTAdapter, service: Service, waits: list[float]) -> None:
        date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=8), usegmt=True)
        service.answers = [(503, {"Retry-After": date}), "hello"]
        await quick(http).recognize(frame())
        assert len(waits) == 1
        assert 5.0 <= waits[0] <= 8.1

    async def test_is_found_behind_what_livekits_openai_plugin_raises(
        self, service: Service, waits: list[float]
    ) -> None:
        service.answers = [(429, {"Retry-After": "3"}), "hello"]
        plugin = openai.STT(api_key=KEY, base_url=service.url, model="whisper-1", detect_language=False)
        wrapper = quick(plugin)
        event = await wrapper.recognize([frame()])
        assert (event.alternatives[0].text, service.requests) == ("hello", 2)
        assert len(waits) == 1
        assert 3.0 <= waits[0] <= 3.1
        await plugin._client.close()

    def test_is_carried_by_voxports_errors(self) -> None:
        failure = Failure("slow down", Verdict.TRANSIENT, status=429, retry_after=3.0)
        assert retry_after_of(api_error(failure, vendor="x", settings=SETTINGS)) == 3.0
        assert retry_after_of(api_error(Failure("no"), vendor="x", settings=SETTINGS)) is None

    def test_is_found_behind_what_a_plugin_raises(self) -> None:
        class SdkError(Exception):
            class response:
                headers = {"retry-after": "2.5"}  # noqa: RUF012

        def translated(cause: Exception, *, openly: bool) -> Exception:
            try:
                try:
                    raise cause
                except Exception as error:
                    raise APIStatusError("no", status_code=429) from (error if openly else None)
            except APIStatusError as error:
                return error

        http = aiohttp.ClientResponseError(None, (), status=429, headers={"Retry-After": "4"})  # type: ignore[arg-type]
        assert retry_after_of(translated(http, openly=True)) == 4.0
        assert retry_after_of(translated(SdkError(), openly=False)) == 2.5
        assert retry_after_of(APIConnectionError()) is None


class TestTheDeadline:
    async def test_ends_an_attempt(self) -> None:
        inner = Scripted(delay=30.0)
        wrapper = quick(inner, total_deadline=0.05)
        errors = collect(wrapper, "error")
        with pytest.raises(APITimeoutError, match=r"within 0\.05 s") as raised:
            await wrapper.recognize(frame())
        assert not raised.value.retryable
        assert [error.recoverable for error in errors] == [False]
        assert len(inner.options) == 1

    async def test_loses_no_cancellation_that_meets_the_transcript(self) -> None:
        class Late(Scripted):
            async def _recognize_impl(self, buffer: Any, **call_options: Any) -> stt.SpeechEvent:
                asyncio.get_running_loop().call_soon(call.cancel)
                return await super()._recognize_impl(buffer, **call_options)

        call = asyncio.ensure_future(quick(Late()).recognize(frame()))
        with pytest.raises(asyncio.CancelledError):
            await call

    async def test_leaves_no_time_for_another_wait(self) -> None:
        inner = Scripted(APIConnectionError("first"), APIConnectionError("second"))
        wrapper = RetryableSTTAdapter(inner, base_delay=8.0, max_delay=8.0, total_deadline=3.0)
        with pytest.raises(APIConnectionError, match="first"):
            await wrapper.recognize(frame())


class TestWhatIsRetried:
    @pytest.mark.parametrize(
        ("error", "retried"),
        [
            (APIConnectionError(), True),
            (APITimeoutError(), True),
            (APIStatusError("", status_code=503), True),
            (APIStatusError("", status_code=429), True),
            (APIStatusError("", status_code=401), False),
            (APIError("", retryable=False), False),
            (aiohttp.ServerDisconnectedError(), True),
            (aiohttp.ClientResponseError(None, (), status=502), True),  # type: ignore[arg-type]
            (aiohttp.ClientResponseError(None, (), status=403), False),  # type: ignore[arg-type]
            (aiohttp.InvalidURL("x"), False),
            (asyncio.TimeoutError(), True),
            (ConnectionResetError(), True),
            (FileNotFoundError(), False),
            (ValueError("a bug"), False),
        ],
        ids=repr,
    )
    async def test_is_what_may_pass(self, error: Exception, retried: bool) -> None:
        assert is_retryable(error) is retried
        inner = Scripted(error)
        if retried:
            await quick(inner).recognize(frame())
        else:
            with pytest.raises(type(error)):
                await quick(inner).recognize(frame())
        assert len(inner.options) == 1 + retried

    async def test_cancellation_is_not(self) -> None:
        inner = Scripted(delay=30.0)
        call = asyncio.ensure_future(quick(inner).recognize(frame()))
        while not inner.options:
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert len(inner.options) == 1


async def test_each_retry_is_told(caplog: pytest.LogCaptureFixture) -> None:
    wrapper = quick(Scripted(APIConnectionError("the line is cut")))
    errors = collect(wrapper, "error")
    with caplog.at_level(logging.WARNING, "agents.providers.stt"):
        await wrapper.recognize(frame())
    assert [(str(e.error), e.recoverable) for e in errors] == [("the line is cut", True)]
    assert "attempt 1 of 3 failed (the line is cut)" in caplog.text


async def test_an_adapter_that_degrades_uses_the_attempts_and_then_degrades(service: Service) -> None:
    """It would answer a single failed attempt with an empty final, and nothing would ever be retried."""
    service.answers = [(503, {}), (503, {}), (503, {}), "too late"]
    async with CustomHTTPSTTAdapter(service.url, KEY) as adapter:
        event = await quick(adapter, attempts=3).recognize(frame())
        assert (event.alternatives[0].text, service.requests) == ("", 3)
        service.answers, service.requests = [(503, {}), "hello"], 0
        event = await quick(adapter, attempts=2).recognize(frame())
        assert (event.alternatives[0].text, service.requests) == ("hello", 2)


async def test_failover_that_degrades_is_asked_for_another_round(
    http: CustomHTTPSTTAdapter, service: Service
) -> None:
    """It answers with an empty final when all its members failed once."""
    service.answers = [(503, {}), (503, {}), "hello"]
    wrapper = quick(FailoverSTTAdapter([http]))
    event = await wrapper.recognize(frame())
    assert (event.alternatives[0].text, service.requests, wrapper.retry_stats.recovered) == ("hello", 3, 1)
    service.answers = [(503, {})]
    assert (await wrapper.recognize(frame())).alternatives[0].text == ""
    assert (service.requests, wrapper.retry_stats.given_up) == (6, 1)
    service.answers = [""]
    assert (await wrapper.recognize(frame())).alternatives[0].text == ""
    assert service.requests == 7, "silence is not asked about again"
    await wrapper.aclose()


async def test_the_deadline_of_what_degrades_raises_nothing(service: Service) -> None:
    service.answers = [asyncio.Event().wait]
    async with CustomHTTPSTTAdapter(service.url, KEY) as adapter:
        wrapper = quick(adapter, total_deadline=0.05)
        errors = collect(wrapper, "error")
        event = await wrapper.recognize(frame(), language="de")
    assert [(data.text, data.language) for data in event.alternatives] == [("", "de")]
    assert [(type(error.error), error.recoverable) for error in errors] == [(APITimeoutError, True)]
    assert wrapper.retry_stats.given_up == 1


async def test_the_timeout_of_the_caller_reaches_each_attempt() -> None:
    inner = Scripted(APIConnectionError())
    await quick(inner).recognize(frame(), conn_options=APIConnectOptions(max_retry=9, timeout=1.5))
    assert [(options.max_retry, options.timeout) for options in inner.options] == [(0, 1.5)] * 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"attempts": 0}, "attempts"),
        ({"attempts": 2.5}, "attempts"),
        ({"base_delay": 5.0, "max_delay": 1.0}, "base_delay <= max_delay"),
        ({"base_delay": -1.0}, "base_delay"),
        ({"base_delay": "1"}, "base_delay"),
        ({"total_deadline": 0}, "total_deadline"),
        ({"total_deadline": "30"}, "total_deadline"),
        ({"total_deadline": float("inf")}, "None"),
    ],
)
def test_numbers_without_sense_are_refused(arguments: dict[str, Any], said: str) -> None:
    make: Callable[..., Any] = RetryableSTTAdapter
    with pytest.raises(ConfigurationError, match=said):
        make(Scripted(), **arguments)
