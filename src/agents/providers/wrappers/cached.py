"""A recording that was recognised before is not recognised again."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

from livekit.agents import stt, utils
from livekit.agents.types import NOT_GIVEN, NotGivenOr
from opentelemetry.metrics import MeterProvider
from prometheus_client import CollectorRegistry

from ..base import ConfigurationError
from ..transport.event_loops import PerLoop
from .base import STTWrapper, answered_for_free
from .caches import CacheUnavailable, MemoryCache, RedisCache, TranscriptCache
from .instruments import Instruments
from .transcripts import decode, encode, key_of, options_of

__all__ = ["CacheStats", "CachedSTTAdapter", "MemoryCache", "RedisCache"]

logger = logging.getLogger("agents.providers.stt")


@dataclasses.dataclass(slots=True)
class CacheStats:
    """How recordings were answered, counted since the wrapper was made.

    Attributes:
        hits: from the cache.
        misses: by what is wrapped.
        shared: with the answer to an equal recording that was under way.
        bypassed: by what is wrapped, because the audio could not be hashed.
        errors: lookups and stores the cache did not answer, those it was spared included.
    """

    hits: int = 0
    misses: int = 0
    shared: int = 0
    bypassed: int = 0
    errors: int = 0


@dataclasses.dataclass(slots=True)
class _Flight:
    """One call for all who ask the same at the same time. Its task tells whether the cache had the answer.

    The first one who takes an answer of the vendor's answers for its usage, since whoever asked may be gone.
    """

    task: asyncio.Task[tuple[stt.SpeechEvent, bool]]
    waiting: int = 0
    taken: bool = False


class CachedSTTAdapter(STTWrapper):
    """Keeps the transcripts of recordings. Streams pass through.

    A recording is found again by SHA-256 of its samples, sample rate and channels, the language, the provider, the
    model and the options. Equal recordings that come while the first is under way share its call. Failures and
    empty transcripts are not kept. Nothing else is stored than the hash and the transcript: no audio, no request
    ID, no credentials, no metadata of the vendor.

    A hit is no usage: it emits no ``metrics_collected``.

    Args:
        stt: what to wrap.
        cache: a :class:`MemoryCache`, a :class:`RedisCache` or anything of their shape; by default 1,024
            transcripts for an hour in memory. :meth:`aclose` closes it.
        options: what else the transcripts depend on, as JSON data; called for each recording. By default it is
            read from where Voxport's adapters and LiveKit's plugins keep their options.
        registry, meter_provider: where hits and misses are counted, as for ``MeteredSTTAdapter``.

    Raises:
        ConfigurationError: *cache* is no cache.
    """

    def __init__(
        self,
        stt: stt.STT[Any],
        *,
        cache: TranscriptCache | None = None,
        options: Callable[[], Any] | None = None,
        registry: CollectorRegistry | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        super().__init__(stt)
        self._cache: TranscriptCache = MemoryCache() if cache is None else cache
        for method in ("get", "set", "aclose"):
            if not callable(getattr(self._cache, method, None)):
                raise ConfigurationError(f"cache must be a MemoryCache or a RedisCache, not {cache!r}")
        self._told = options or (lambda: options_of(self))
        self._instruments = Instruments(registry, meter_provider)
        self._flights: PerLoop[dict[str, _Flight]] = PerLoop(dict)
        self._failing: set[str] = set()  # operations of the cache that did not work the last time
        self.cache_stats = CacheStats()

    async def _recognize_impl(
        self, buffer: Any, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: Any = None
    ) -> stt.SpeechEvent:
        began = time.perf_counter()
        wanted = language if utils.is_given(language) and language else None
        key = await key_of(buffer, language=wanted, recogniser=self, options=self._told())
        if key is None:
            self._count("bypass")
            return await self._ask(buffer, language=language, conn_options=conn_options)
        flights = self._flights.here()
        flight = flights.get(key)
        if flight is None:
            work = self._fetch(key, began, buffer, language=language, conn_options=conn_options)
            flight = flights[key] = _Flight(asyncio.create_task(work, name="voxport.cached"))
        event, hit = await self._arrival(flights, key)
        shared, flight.taken = flight.taken, True
        if shared or hit:
            answered_for_free()
        self._count("shared" if shared else "hit" if hit else "miss")
        return _copy(event)  # those who share an answer must not share what they may change

    async def _arrival(self, flights: dict[str, _Flight], key: str) -> tuple[stt.SpeechEvent, bool]:
        """Wait with all the others; the last one to lose patience calls it off."""
        flight = flights[key]
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if flight.task.done() or flight.waiting == 0:
                if flights.get(key) is flight:
                    del flights[key]
                if not flight.task.done():
                    await utils.aio.cancel_and_wait(flight.task)
                if not flight.task.cancelled():
                    flight.task.exception()  # it has been looked at, also when nobody is left to raise it to

    async def _fetch(self, key: str, began: float, buffer: Any, **call: Any) -> tuple[stt.SpeechEvent, bool]:
        """The transcript, and whether it was kept."""
        kept = await self._look_up(key)
        self._instruments.record("voxport_stt_cache_lookup_seconds", self._who, time.perf_counter() - began)
        if kept is not None:
            return kept, True
        event = await self._ask(buffer, **call)
        value = encode(event)
        if value is not None:
            with self._tolerance("set"):
                await self._cache.set(key, value)
        return event, False

    async def _look_up(self, key: str) -> stt.SpeechEvent | None:
        value: bytes | None = None
        with self._tolerance("get"):
            value = await self._cache.get(key)
        return None if value is None else decode(value)

    @contextlib.contextmanager
    def _tolerance(self, operation: Literal["get", "set"]) -> Iterator[None]:
        """Inside, a cache that cannot be used is counted, logged once until it works again, and forgiven."""
        try:
            yield
        except Exception as error:
            self.cache_stats.errors += 1
            self._instruments.add("voxport_stt_cache_errors_total", (operation,))
            if not self._failing:
                reason = error if isinstance(error, CacheUnavailable) else type(error).__name__
                logger.warning("the cache fails, going on without it: %s", reason, extra={"stt": self.label})
            self._failing.add(operation)
        else:
            if self._failing:
                self._failing.discard(operation)
                if not self._failing:
                    logger.info("the cache works again", extra={"stt": self.label})

    def _count(self, outcome: Literal["hit", "miss", "shared", "bypass"]) -> None:
        stats = self.cache_stats
        stats.hits += outcome == "hit"
        stats.misses += outcome == "miss"
        stats.shared += outcome == "shared"
        stats.bypassed += outcome == "bypass"
        self._instruments.add("voxport_stt_cache_requests_total", (*self._who, outcome))

    @property
    def _who(self) -> tuple[str, str]:
        return self._instruments.who(self.provider, self.model)

    async def aclose(self) -> None:
        """Call off what is under way on this event loop, close the cache and what is wrapped."""
        flights = self._flights.take() or {}
        try:
            await utils.aio.cancel_and_wait(*(flight.task for flight in flights.values()))
            await self._cache.aclose()
        finally:
            await super().aclose()


def _copy(event: stt.SpeechEvent) -> stt.SpeechEvent:
    alternatives = [
        dataclasses.replace(data, words=data.words and list(data.words)) for data in event.alternatives
    ]
    return dataclasses.replace(event, alternatives=alternatives)
