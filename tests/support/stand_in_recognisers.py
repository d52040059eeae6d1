"""Recognisers in place of the real one, for what a test must decide: no room, a death, and nothing heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from agents.providers.local.recogniser import Busy, Flushed, RecogniserFailed


class BusyRecogniser:
    """A recogniser without a free decoder."""

    name = "pocketsphinx"
    languages = frozenset({"en"})
    capacity = active = decoders = 1

    async def open(self, *, wait_seconds: float = 0.0) -> Any:
        raise Busy(1, 7)

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...


class DyingRecogniser(BusyRecogniser):
    """A recogniser that dies of the first audio."""

    async def open(self, *, wait_seconds: float = 0.0) -> Any:
        return _DyingSession()


class _DyingSession:
    def __init__(self) -> None:
        self._fed = asyncio.Event()

    def configure(self, *, sample_rate: int, channels: int = 1, interim: bool = True) -> None: ...

    async def accept(self, pcm: bytes) -> None:
        self._fed.set()

    async def flush(self) -> None: ...

    async def mark(self) -> None: ...

    async def end(self) -> None: ...

    async def results(self) -> AsyncIterator[Any]:
        await self._fed.wait()
        raise RecogniserFailed("the decoder died")
        yield

    async def aclose(self) -> None: ...


class QuietRecogniser(BusyRecogniser):
    """A recogniser that hears nothing, and costs nothing."""

    async def open(self, *, wait_seconds: float = 0.0) -> Any:
        return _QuietSession()


class _QuietSession(_DyingSession):
    def __init__(self) -> None:
        super().__init__()
        self._heard: asyncio.Queue[Any] = asyncio.Queue()

    async def flush(self) -> None:
        self._heard.put_nowait(Flushed())

    async def end(self) -> None:
        self._heard.put_nowait(None)

    async def results(self) -> AsyncIterator[Any]:
        while (result := await self._heard.get()) is not None:
            yield result
