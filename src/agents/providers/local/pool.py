"""A bounded number of decoder processes, and the sessions that borrow them.

A session has its decoder for itself for as long as it is open. That is the capacity rule: as many streams as
there may be decoders, two for each core, and whoever comes then is told when to come again. A decoder that a
client left in mid-speech is reset and used again; one that does not answer is ended, and another is started
when it is needed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

from ..transport.bounded import bounded
from .audio import Resampler
from .engine import ENGINES
from .pipe import pack
from .recogniser import Busy, RecogniserFailed, Result, result_from_json

__all__ = ["DecoderPool", "PoolSession", "default_capacity"]

logger = logging.getLogger(__name__)

_LOAD_SECONDS = 120.0  # a large model from a cold disk
_RESET_SECONDS = 10.0
_PIECE_BYTES = 16000  # half a second: what an abandoned stream may still have to decode stays short
_LINE_BYTES = 1 << 20
_RETRY_AFTER_SECONDS = 2
_MAX_WAITING = 16  # more would wait longer than their clients do


def default_capacity(engine: str = "pocketsphinx") -> int:
    """Streams this machine decodes in real time with half of it to spare."""
    return max(2, ENGINES[engine].streams_per_core * (os.cpu_count() or 1))


class _Decoder:
    """One decoder process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, engine: str, model: str) -> _Decoder:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "agents.providers.local.worker",
            engine,
            model,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        decoder = cls(process)
        try:
            answer = await bounded(decoder.read(), _LOAD_SECONDS)
        except BaseException:
            await decoder.stop()
            raise
        if answer["type"] != "loaded":
            await decoder.stop()
            raise RecogniserFailed(f"the {engine} recogniser did not start: {answer['message']}")
        return decoder

    async def write(self, kind: bytes, payload: bytes = b"") -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(pack(kind, payload))
            await self._process.stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise RecogniserFailed(self._epitaph()) from error

    async def read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise RecogniserFailed(self._epitaph())
        message: dict[str, Any] = json.loads(line)
        return message

    async def reset(self) -> None:
        """Abandon the open stream and discard what it still says."""
        await self.write(b"R")
        while (await self.read())["type"] != "reset":
            pass

    async def stop(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await asyncio.sleep(0)  # lets the pipe transports notice that the other end is gone
        transport: asyncio.BaseTransport = self._process._transport  # type: ignore[attr-defined]
        transport.close()

    def _epitaph(self) -> str:
        return f"the decoder process {self._process.pid} ended unexpectedly (status {self._process.returncode})"


class DecoderPool:
    """A `recogniser.Recogniser` on decoder processes.

    ``capacity`` is the number of decoders at most; one is loaded at the start and the others when they are
    needed.
    """

    def __init__(self, engine: str = "pocketsphinx", model: str = "", capacity: int | None = None) -> None:
        if engine not in ENGINES:
            raise ValueError(f"there is no recogniser {engine!r}; choose one of: {', '.join(ENGINES)}")
        if capacity is not None and capacity < 1:
            raise ValueError(f"capacity is {capacity}: it must be 1 or more")
        self._engine = engine
        self._model = model
        self._capacity = capacity or default_capacity(engine)
        self._slots = asyncio.Semaphore(self._capacity)
        self._idle: list[_Decoder] = []
        self._all: set[_Decoder] = set()
        self._active = 0
        self._waiting = 0
        self._releasing: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        return ENGINES[self._engine].model

    @property
    def languages(self) -> frozenset[str] | None:
        return ENGINES[self._engine].languages

    @property
    def capacity(self) -> int:
        return self._capacity

    @property
    def active(self) -> int:
        return self._active

    @property
    def decoders(self) -> int:
        return len(self._all)

    async def start(self) -> None:
        self._idle.append(await self._new_decoder())

    async def open(self, *, wait_seconds: float = 0.0) -> PoolSession:
        await self._take_slot(wait_seconds)
        self._active += 1
        try:
            decoder = self._idle.pop() if self._idle else await self._new_decoder()
        except BaseException:
            self._free_slot()
            raise
        return PoolSession(self, decoder)

    async def _take_slot(self, wait_seconds: float) -> None:
        if self._slots.locked():
            if wait_seconds <= 0 or self._waiting >= _MAX_WAITING:
                raise Busy(self._capacity, _RETRY_AFTER_SECONDS)
            self._waiting += 1
            try:
                await self._wait_for_slot(wait_seconds)
            except asyncio.TimeoutError:
                raise Busy(self._capacity, _RETRY_AFTER_SECONDS) from None
            finally:
                self._waiting -= 1
        else:
            await self._slots.acquire()  # free, so this does not wait

    async def _wait_for_slot(self, seconds: float) -> None:
        taken = False

        async def take() -> None:
            nonlocal taken
            await self._slots.acquire()
            taken = True

        try:
            await bounded(take(), seconds)
        except BaseException:
            if taken:  # by somebody who was cancelled in that moment
                self._slots.release()
            raise

    async def aclose(self) -> None:
        await asyncio.gather(*self._releasing, return_exceptions=True)
        await asyncio.gather(*(self._discard(decoder) for decoder in list(self._all)))

    def release(self, decoder: _Decoder) -> asyncio.Task[None]:
        """Take a decoder back. In a task of its own: a cancelled handler must not leave one behind."""
        task = asyncio.get_running_loop().create_task(self._recover(decoder))
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)
        return task

    async def _recover(self, decoder: _Decoder) -> None:
        try:
            await bounded(decoder.reset(), _RESET_SECONDS)
            self._idle.append(decoder)
        except (RecogniserFailed, asyncio.TimeoutError) as error:
            logger.warning("a decoder is replaced: %s", error)
            await self._discard(decoder)
        finally:
            self._free_slot()

    async def _new_decoder(self) -> _Decoder:
        decoder = await _Decoder.start(self._engine, self._model)
        self._all.add(decoder)
        return decoder

    async def _discard(self, decoder: _Decoder) -> None:
        self._all.discard(decoder)
        if decoder in self._idle:
            self._idle.remove(decoder)
        await decoder.stop()

    def _free_slot(self) -> None:
        self._active -= 1
        self._slots.release()


class PoolSession:
    """A `recogniser.RecogniserSession` that has one decoder of the pool."""

    def __init__(self, pool: DecoderPool, decoder: _Decoder) -> None:
        self._pool = pool
        self._decoder = decoder
        self._resampler: Resampler | None = None
        self._opened = False
        self._interim = True
        self._closed = False

    def configure(self, *, sample_rate: int, channels: int = 1, interim: bool = True) -> None:
        self._resampler = Resampler(sample_rate, channels)
        self._interim = interim

    async def accept(self, pcm: bytes) -> None:
        if self._resampler is None:
            raise RuntimeError("configure() the session before its first audio")
        await self._send_audio(self._resampler.feed(pcm))

    async def flush(self) -> None:
        await self._open()
        await self._decoder.write(b"F")

    async def mark(self) -> None:
        await self._open()
        await self._decoder.write(b"M")

    async def end(self) -> None:
        if self._resampler is not None:
            await self._send_audio(self._resampler.finish())
        await self._open()
        await self._decoder.write(b"E")

    async def results(self) -> AsyncIterator[Result]:
        while True:
            message = await self._decoder.read()
            if message["type"] == "ended":
                return
            yield result_from_json(message)

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.shield(self._pool.release(self._decoder))

    async def _open(self) -> None:
        if not self._opened:
            self._opened = True
            await self._decoder.write(b"O", json.dumps({"interim": self._interim}).encode())

    async def _send_audio(self, pcm: bytes) -> None:
        await self._open()
        for at in range(0, len(pcm), _PIECE_BYTES):
            await self._decoder.write(b"A", pcm[at : at + _PIECE_BYTES])
