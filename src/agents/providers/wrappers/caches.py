"""Where transcripts are kept: in this process, or in Redis for all workers."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Protocol

from ..base import ConfigurationError
from ..redaction import safe_url
from ..transport.bounded import bounded
from ..transport.checks import positive_count, positive_seconds
from ..transport.event_loops import PerLoop

__all__ = ["CacheUnavailable", "MemoryCache", "RedisCache", "TranscriptCache"]


class CacheUnavailable(Exception):
    """The cache cannot be reached now. Whoever asked goes on without it."""


class TranscriptCache(Protocol):
    """Keeps bytes under a key for a while. Closed by the adapter that uses it; one that is used again reopens."""

    async def get(self, key: str) -> bytes | None:
        """What is kept under *key*. Raises :class:`CacheUnavailable`."""

    async def set(self, key: str, value: bytes) -> None:
        """Keep *value*. Raises :class:`CacheUnavailable`."""

    async def aclose(self) -> None:
        """Let go of connections."""


class MemoryCache:
    """In this process: the *max_entries* used last, of *max_bytes* in all, none older than *ttl* seconds.

    Raises:
        ConfigurationError: a bound is not positive, or ``cachetools`` is not installed.
    """

    def __init__(self, *, max_entries: int = 1024, max_bytes: int = 1 << 25, ttl: float = 3600.0) -> None:
        self._max_entries = positive_count(max_entries, setting="max_entries")
        self._max_bytes = positive_count(max_bytes, setting="max_bytes")
        ttl = positive_seconds(ttl, setting="ttl")
        try:
            from cachetools import TTLCache
        except ImportError:
            raise ConfigurationError("MemoryCache needs cachetools: pip install cachetools") from None
        self._kept: TTLCache[str, bytes] = TTLCache(self._max_bytes, ttl, getsizeof=len)
        self._lock = threading.Lock()  # jobs of one process may run on several event loops

    async def get(self, key: str) -> bytes | None:
        with self._lock:
            value: bytes | None = self._kept.get(key)
        return value

    async def set(self, key: str, value: bytes) -> None:
        if len(value) > self._max_bytes:
            return
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > self._max_entries:
                self._kept.popitem()

    async def aclose(self) -> None:
        """Nothing to let go of; what is kept stays."""

    def __len__(self) -> int:
        with self._lock:
            self._kept.expire()
            return len(self._kept)


class RedisCache:
    """In a Redis server, shared by all workers that name the same server and *prefix*.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``; it may carry a password, which is never shown.
        prefix: of every key.
        ttl: seconds until Redis forgets an entry.
        timeout: seconds for one command, connecting included. A call never waits longer for the cache than this,
            once for looking up and once for storing.
        rest: seconds in which a server that could not be reached is not asked again.

    Raises:
        ConfigurationError: *url* is no URL of Redis, a time makes no sense, or the package ``redis`` is not
            installed.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "voxport:stt:",
        ttl: float = 86400.0,
        timeout: float = 0.25,
        rest: float = 5.0,
    ) -> None:
        self._milliseconds = max(round(positive_seconds(ttl, setting="ttl") * 1000), 1)
        self._timeout = positive_seconds(timeout, setting="timeout")
        self._rest = 0.0 if rest == 0 else positive_seconds(rest, setting="rest")
        try:
            import redis.asyncio
        except ImportError:
            raise ConfigurationError('RedisCache needs the package redis: pip install "voxport[redis]"') from None
        self._redis = redis
        self._url = url
        self._prefix = prefix
        self._resting_until = 0.0
        self._clients: PerLoop[Any] = PerLoop(lambda: redis.asyncio.Redis.from_url(url, decode_responses=False))
        try:
            redis.asyncio.ConnectionPool.from_url(url)
        except (ValueError, AttributeError, TypeError):
            shown = safe_url(url) if isinstance(url, str) else type(url).__name__
            raise ConfigurationError(
                f'a Redis URL is like "redis://host:6379/0", "rediss://…" or "unix://…", not {shown!r}'
            ) from None

    def __repr__(self) -> str:
        return f"RedisCache({safe_url(self._url)!r})"

    async def get(self, key: str) -> bytes | None:
        value: bytes | None = await self._do("get", self._prefix + key)
        return value

    async def set(self, key: str, value: bytes) -> None:
        await self._do("set", self._prefix + key, value, px=self._milliseconds)

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        client = self._clients.take()
        if client is not None:
            await client.aclose()

    async def _do(self, command: str, *arguments: Any, **options: Any) -> Any:
        loop = asyncio.get_running_loop()
        if loop.time() < self._resting_until:
            raise CacheUnavailable(f"{self!r} does not answer")
        try:
            return await bounded(getattr(self._clients.here(), command)(*arguments, **options), self._timeout)
        except self._redis.ResponseError as error:
            # It is there, and another key may do: its memory is full, or there is no text under this key.
            reason = f"{self!r} refuses {command}: {type(error).__name__}"
        except (self._redis.RedisError, OSError, asyncio.TimeoutError) as error:
            self._resting_until = loop.time() + self._rest
            reason = f"{self!r} does not answer: {type(error).__name__}"
        raise CacheUnavailable(reason)  # outside the handler: the cause may carry what the URL carries
