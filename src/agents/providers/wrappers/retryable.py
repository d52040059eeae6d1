"""Recordings are tried again when that can help, with patience but not for ever."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any

import aiohttp
from livekit.agents import APIError, APITimeoutError, stt
from livekit.agents.language import LanguageCode
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr

from ..base import ConfigurationError
from ..protocol import Backoff, Verdict, judge_status, retry_after_seconds
from ..stt.adapter import given
from ..transport.bounded import bounded
from ..transport.checks import positive_count, positive_seconds
from .base import STTWrapper, unwrapped

__all__ = ["RetryStats", "RetryableSTTAdapter", "is_retryable", "retry_after_of"]

logger = logging.getLogger("agents.providers.stt")

_TRANSPORT_ERRORS = (aiohttp.ClientError, asyncio.TimeoutError, TimeoutError, ConnectionError)
_CHAIN = 8  # exceptions behind an exception, at most


@dataclasses.dataclass(slots=True)
class RetryStats:
    """What was tried, counted since the wrapper was made."""

    calls: int = 0
    attempts: int = 0
    recovered: int = 0
    given_up: int = 0


class RetryableSTTAdapter(STTWrapper):
    """Tries a recording again when the failure may pass.

    Waits grow exponentially with full jitter; a vendor's ``Retry-After`` is waited for, unless that is beyond the
    deadline: then there is no point. While this retries, nobody else does: LiveKit's ``recognize`` makes one call.

    Streams pass through as they are: LiveKit and Voxport's streams reconnect by themselves, and another vendor is
    ``FailoverSTTAdapter``'s business.

    Args:
        stt: what to wrap. One of Voxport's with ``on_failure="degrade"`` retries by itself, because it answers
            with an empty final when nothing helps; it is given the attempts, *max_delay* and the deadline of this.
            A ``FailoverSTTAdapter`` that degrades makes one round an attempt.
        attempts: how often to try in all, at least 1.
        base_delay, max_delay: seconds; the n-th wait is at most ``base_delay * 2**n`` and *max_delay*.
        total_deadline: seconds for everything, the attempts included; ``None`` for no limit.

    Raises:
        ConfigurationError: a number above makes no sense.
    """

    retries_itself = True

    def __init__(
        self,
        stt: stt.STT[Any],
        *,
        attempts: int = 3,
        base_delay: float = 0.25,
        max_delay: float = 8.0,
        total_deadline: float | None = 30.0,
    ) -> None:
        super().__init__(stt)
        self._attempts = positive_count(attempts, setting="attempts")
        numbers = all(isinstance(delay, (int, float)) for delay in (base_delay, max_delay))
        if not numbers or not 0 <= base_delay <= max_delay < float("inf"):
            raise ConfigurationError(
                f"base_delay and max_delay must be seconds with 0 <= base_delay <= max_delay, "
                f"not {base_delay!r} and {max_delay!r}"
            )
        if total_deadline is not None:
            total_deadline = positive_seconds(total_deadline, setting="total_deadline, unless None,")
        self._base_delay = base_delay
        self._max_delay = max_delay
        self._total_deadline = total_deadline
        self.retry_stats = RetryStats()

    async def _recognize_impl(
        self, buffer: Any, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: Any = None
    ) -> stt.SpeechEvent:
        """The first result of at most *attempts* tries.

        Raises:
            APIError: the last failure, as it was; ``APITimeoutError`` when the deadline came during an attempt.
                What degrades gives an empty final instead.
        """
        self.retry_stats.calls += 1
        options, attempts = self._budget(conn_options or DEFAULT_API_CONNECT_OPTIONS)
        degraded = _Degraded(unwrapped(self))
        backoff = Backoff(base=self._base_delay, cap=self._max_delay, attempt=1)  # the first wait is one too
        deadline = _Deadline(self._total_deadline)
        for attempt in range(1, attempts + 1):
            self.retry_stats.attempts += 1
            try:
                event = await deadline.bound(self._ask(buffer, language=language, conn_options=options))
            except Exception as error:
                delay = backoff.next_delay(retry_after_of(error))
                last = attempt == attempts or delay > deadline.left
                if last or not is_retryable(error):
                    self.retry_stats.given_up += 1
                    if deadline.passed and degraded.rather_than_raise:
                        self._emit_error(error, recoverable=True)
                        return degraded.result(language)
                    raise
                self._tell(error, attempt, delay)
            else:
                if not degraded.instead(event):
                    self.retry_stats.recovered += attempt > 1
                    return event
                delay = backoff.next_delay()
                if attempt == attempts or delay > deadline.left:
                    self.retry_stats.given_up += 1
                    return event
            await asyncio.sleep(delay)
        raise AssertionError("the last attempt returns or raises")

    def _budget(self, options: APIConnectOptions) -> tuple[APIConnectOptions, int]:
        """The options of one attempt, and how many attempts are made here."""
        if getattr(unwrapped(self), "_on_failure", None) == "degrade":
            mine = dataclasses.replace(options, max_retry=self._attempts - 1, retry_interval=self._max_delay)
            return mine, 1
        return dataclasses.replace(options, max_retry=0), self._attempts

    def _tell(self, error: Exception, attempt: int, delay: float) -> None:
        if not self._reports_itself:
            self._emit_error(error, recoverable=True)
        logger.warning(
            "attempt %d of %d failed (%s); trying again in %.1f s",
            attempt,
            self._attempts,
            type(error).__name__ if not isinstance(error, APIError) else error,
            delay,
            extra={"stt": self.label},
        )


class _Degraded:
    """Tells an empty final that stands for a failure from one for silence, by Voxport's counters."""

    def __init__(self, recogniser: stt.STT[Any]) -> None:
        self._recogniser = recogniser
        self._seen = self._count

    @property
    def _count(self) -> int:
        return getattr(getattr(self._recogniser, "stats", None), "empty_results", 0)

    @property
    def rather_than_raise(self) -> bool:
        """Whether the caller is to get an empty final when nothing helps."""
        options = getattr(self._recogniser, "_options", None)
        return "degrade" in (
            getattr(self._recogniser, "_on_failure", None),
            getattr(options, "on_failure", None),
        )

    def instead(self, event: stt.SpeechEvent) -> bool:
        """Whether *event* stands for a failure since the last time this was asked."""
        before, self._seen = self._seen, self._count
        return self._seen > before and not any(data.text.strip() for data in event.alternatives)

    @staticmethod
    def result(language: NotGivenOr[str]) -> stt.SpeechEvent:
        """An empty final."""
        data = stt.SpeechData(language=LanguageCode(given(language) or ""), text="")
        return stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[data])


class _Deadline:
    """Seconds for everything that is bound to it.

    Attributes:
        passed: it has ended what was bound to it.
    """

    def __init__(self, seconds: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._end = float("inf") if seconds is None else self._loop.time() + seconds
        self.passed = False

    @property
    def left(self) -> float:
        """Seconds until the deadline, 0 when it is past."""
        return max(self._end - self._loop.time(), 0.0)

    async def bound(self, work: Coroutine[Any, Any, stt.SpeechEvent]) -> stt.SpeechEvent:
        """The result of the coroutine *work*.

        Raises:
            APITimeoutError: the deadline came first; not to be retried.
        """
        if self._seconds is None:
            return await work
        try:
            return await bounded(work, self.left)
        except asyncio.TimeoutError:
            if self.left > 0:
                raise  # it was not this deadline
        self.passed = True
        raise APITimeoutError(
            f"no transcript within {self._seconds:g} s; raise total_deadline or send shorter audio",
            retryable=False,
        ) from None


def is_retryable(error: BaseException) -> bool:
    """Whether another try can help: by LiveKit's own mark, by status, or because the transport failed."""
    if isinstance(error, APIError):
        return error.retryable
    if isinstance(error, aiohttp.ClientResponseError):
        return judge_status(error.status) is Verdict.TRANSIENT
    if isinstance(error, (aiohttp.InvalidURL, aiohttp.ClientConnectorCertificateError)):
        return False
    return isinstance(error, _TRANSPORT_ERRORS)


def retry_after_of(error: BaseException) -> float | None:
    """The wait in seconds that the vendor asked for with ``Retry-After``, wherever in the chain it is.

    Voxport's errors carry it as ``retry_after``. Native plugins lose it, but the exception they translated
    (aiohttp's with ``headers``, the vendor SDK's with a ``response``) is still behind theirs.
    """
    for link in _chain(error):
        seconds = getattr(link, "retry_after", None)
        if isinstance(seconds, (int, float)) and not isinstance(seconds, bool):
            return retry_after_seconds(str(seconds))
        for holder in (link, getattr(link, "response", None)):
            headers = getattr(holder, "headers", None)
            if isinstance(headers, Mapping):
                value = headers.get("Retry-After") or headers.get("retry-after")
                if isinstance(value, str):
                    return retry_after_seconds(value)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    for _ in range(_CHAIN):
        if link is None:
            return
        yield link
        link = link.__cause__ or link.__context__
