"""What the wrappers cost: CPU of a wrapped stream beside the bare one, and the time of a cache hit.

    python benchmarks/wrappers.py --quick
    python benchmarks/wrappers.py --repeats 12 --json result.json

Streams run against the local server of ``streaming.py`` (a process of its own). Within one repeat every side gets
the same audio, one after the other in random order in one process; a ratio is that of one repeat, and what is
printed is their median and range. A wrapper that leaves streams alone returns the very stream it wraps, so the
range of its ratio is what the machine adds. How to read it is in ``docs/wrappers.md``.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import random
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from livekit import rtc
from livekit.agents import stt
from livekit.agents.types import NOT_GIVEN
from livekit.plugins import deepgram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from streaming import local_server

from agents.providers.adapters import (
    CachedSTTAdapter,
    CustomWebSocketSTTAdapter,
    MemoryCache,
    MeteredSTTAdapter,
    RedisCache,
    RetryableSTTAdapter,
    STTAdapter,
)

RATE, FRAME_MS = 24000, 50  # what AgentSession feeds an STT
REGISTRY = CollectorRegistry()
METERS = MeterProvider([InMemoryMetricReader()])
TRACERS = TracerProvider()  # spans are made and ended; exporting them is the exporter's cost
Wrap = Callable[[stt.STT[Any]], stt.STT[Any]]


def _metered(inner: stt.STT[Any]) -> stt.STT[Any]:
    return MeteredSTTAdapter(inner, registry=REGISTRY)


def _traced(inner: stt.STT[Any]) -> stt.STT[Any]:
    return MeteredSTTAdapter(inner, registry=REGISTRY, meter_provider=METERS, tracer_provider=TRACERS)


SIDES: dict[str, Wrap] = {
    "bare": lambda inner: inner,
    "cached": lambda inner: CachedSTTAdapter(inner, registry=REGISTRY),
    "retryable": RetryableSTTAdapter,
    "metered, Prometheus": _metered,
    "metered, with OpenTelemetry's SDK": _traced,
    "all three": lambda inner: _metered(RetryableSTTAdapter(CachedSTTAdapter(inner, registry=REGISTRY))),
}


# ---------------------------------------------------------------------- streams


async def stream_cpu(recogniser: stt.STT[Any], *, streams: int, seconds: float, pace: float) -> tuple[float, int]:
    """CPU seconds per second of audio of one stream, and the events heard.

    Args:
        streams: how many at a time, spread evenly over the length of a frame.
        seconds: of audio, each.
        pace: how many seconds of it are pushed in one second.
    """
    samples = RATE * FRAME_MS // 1000
    frame = rtc.AudioFrame(
        np.random.default_rng(1).integers(-3000, 3000, samples, np.int16).tobytes(), RATE, 1, samples
    )
    opened = [recogniser.stream() for _ in range(streams)]
    heard = 0

    async def listen(stream: stt.RecognizeStream) -> None:
        nonlocal heard
        async for _ in stream:
            heard += 1

    listeners = [asyncio.create_task(listen(stream)) for stream in opened]
    for _ in range(20):  # connecting is not what is measured
        for stream in opened:
            stream.push_frame(frame)
        await asyncio.sleep(FRAME_MS / 1000)
    gc.collect()
    began, cpu = time.monotonic(), time.process_time()
    period = FRAME_MS / 1000 / pace
    for tick in range(round(seconds * 1000 / FRAME_MS)):
        for index, stream in enumerate(opened):
            due = began + (tick + index / streams) * period
            if index % 4 == 0 and (ahead := due - time.monotonic()) > 0:
                await asyncio.sleep(ahead)
            stream.push_frame(frame)
    spent = time.process_time() - cpu
    for listener in listeners:
        listener.cancel()
    await asyncio.gather(*listeners, return_exceptions=True)
    await asyncio.gather(*(stream.aclose() for stream in opened))
    return spent / (seconds * streams), heard


async def compare_streams(
    make: Callable[[], stt.STT[Any]], arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """CPU of every side, one number a repeat."""
    shape = {"streams": arguments.streams, "seconds": arguments.seconds, "pace": arguments.pace}
    spent: dict[str, list[float]] = {name: [] for name in SIDES}
    order = list(SIDES)
    for repeat in range(-1, arguments.repeats):  # the first one warms up
        random.Random(repeat).shuffle(order)
        for name in order:
            recogniser = SIDES[name](make())
            cost, heard = await stream_cpu(recogniser, **shape)
            await recogniser.aclose()
            if not heard:
                raise SystemExit(f"{name} heard nothing")
            if repeat >= 0:
                spent[name].append(cost)
    return spent


def print_streams(title: str, spent: dict[str, list[float]]) -> None:
    """The least of all repeats, since other processes only ever add; and ratios within each repeat."""
    print(f"\n{title}: CPU ms per second of audio\n  {'':34}{'least':>8}  x bare: of the least, median [range]")
    for name, costs in spent.items():
        ratios = [cost / bare for cost, bare in zip(costs, spent["bare"], strict=True)]
        shown = f"{statistics.median(ratios):.3f} [{min(ratios):.3f}-{max(ratios):.3f}]"
        print(f"  {name:34}{1000 * min(costs):8.3f}  {min(costs) / min(spent['bare']):.3f}, {shown}")


# ---------------------------------------------------------------------- the wrapper alone


CYCLE_SECONDS = 3.0
"""As the local server speaks: START, an interim every 250 ms, FINAL, END, and a report of usage."""


class Idle(stt.RecognizeStream):
    """Drops what is pushed and says what the server would say, so that what is left is the wrapper."""

    def __init__(self, recogniser: stt.STT[Any]) -> None:
        self._stt = recogniser
        self._start_time_offset = 0.0
        self._cycle = -1
        self._next: list[stt.SpeechEvent] = []

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        pass

    async def __anext__(self) -> stt.SpeechEvent:
        if not self._next:
            self._cycle += 1
            start = CYCLE_SECONDS * self._cycle
            kinds = stt.SpeechEventType
            said = stt.SpeechData("en", "so it goes", start + 0.2, start + CYCLE_SECONDS - 0.5)  # type: ignore[arg-type]
            self._next = [
                stt.SpeechEvent(kinds.END_OF_SPEECH),
                stt.SpeechEvent(kinds.FINAL_TRANSCRIPT, alternatives=[said]),
                *(stt.SpeechEvent(kinds.INTERIM_TRANSCRIPT, alternatives=[said]) for _ in range(12)),
                stt.SpeechEvent(kinds.START_OF_SPEECH),
            ]
            self._report_connection_acquired(0.0, False)  # emits metrics, as usage does
        return self._next.pop()

    async def aclose(self) -> None:
        pass

    async def _run(self) -> None:
        pass


class Instant(STTAdapter):
    """Recognises the same, and streams nothing, at once."""

    async def _recognize_impl(self, buffer: Any, *, language: Any = NOT_GIVEN, conn_options: Any = None) -> Any:
        data = stt.SpeechData(language="en", text="so it goes")  # type: ignore[arg-type]
        return stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[data])

    def stream(self, **options: Any) -> stt.RecognizeStream:
        return Idle(self)


async def wrappers_alone(cycles: int = 500, repeats: int = 7) -> dict[str, float]:
    """Seconds of CPU that each wrapper adds to a second of audio: the least of several runs."""
    samples = RATE * FRAME_MS // 1000
    frame = rtc.AudioFrame(bytes(samples * 2), RATE, 1, samples)
    events = 15
    pushes = round(CYCLE_SECONDS * 1000 / FRAME_MS / events)
    least: dict[str, float] = {}
    for _ in range(repeats):
        for name, wrap in SIDES.items():
            recogniser = wrap(Instant())
            stream = recogniser.stream()
            push = stream.push_frame
            began = time.process_time()
            for _ in range(cycles * events):
                for _ in range(pushes):
                    push(frame)
                await stream.__anext__()
            spent = (time.process_time() - began) / (cycles * CYCLE_SECONDS)
            least[name] = min(spent, least.get(name, spent))
            await stream.aclose()
            await recogniser.aclose()
    return {name: spent - least["bare"] for name, spent in least.items()}


def print_alone(alone: dict[str, float], spent: dict[str, dict[str, list[float]]]) -> None:
    """Beside what the bare streams cost in the same run."""
    print("\nThe wrapper's own CPU, around a stream that does nothing: microseconds per second of audio, and")
    print("its share of what the bare stream costs")
    for name, extra in alone.items():
        shares = [f"{extra / min(costs['bare']):6.2%} of {of}" for of, costs in spent.items()]
        print(f"  {name:34}{1e6 * extra:8.2f}  {', '.join(shares)}")


# ---------------------------------------------------------------------- recordings


async def timed(work: Callable[[], Awaitable[Any]], repeats: int) -> tuple[float, float]:
    """Median and 99th percentile of the seconds *work* takes."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        await work()
        times.append(time.perf_counter() - began)
    times.sort()
    return times[len(times) // 2], times[int(len(times) * 0.99)]


async def print_cache_hits(redis_url: str | None) -> dict[str, tuple[float, float]]:
    """How long a hit takes for 10 s of audio."""
    results = {}
    print("\nA cache hit for 10 s of audio, recognize() as a whole: ms, median and 99th percentile")
    caches: dict[str, Callable[[], Any]] = {"memory": MemoryCache}
    if redis_url is not None:
        caches["Redis on loopback"] = lambda: RedisCache(redis_url)
    for rate in (16000, 24000, 48000):
        samples = np.random.default_rng(rate).integers(-3000, 3000, 10 * rate, np.int16)
        frame = rtc.AudioFrame(samples.tobytes(), rate, 1, samples.size)
        for name, make in caches.items():
            wrapper = CachedSTTAdapter(Instant(), cache=make(), registry=REGISTRY)
            await wrapper.recognize(frame)
            median, late = results[f"{name} {rate}"] = await timed(lambda w=wrapper, f=frame: w.recognize(f), 500)
            assert wrapper.cache_stats.hits == 500, wrapper.cache_stats
            await wrapper.aclose()
            print(f"  {name:20}{rate // 1000:3} kHz {1000 * median:8.3f} {1000 * late:8.3f}")
    return results


async def print_recordings() -> None:
    """What a wrapper adds to ``recognize`` of a vendor that needs no time."""
    print("\nrecognize() of 1 s, with a vendor that needs no time: microseconds, median")
    samples = iter(range(1 << 30))
    for name, wrap in SIDES.items():
        wrapper = wrap(Instant())

        async def ask(wrapper: stt.STT[Any] = wrapper) -> None:
            data = np.full(RATE, next(samples) % 30000, np.int16).tobytes()
            await wrapper.recognize(rtc.AudioFrame(data, RATE, 1, RATE))

        median, _ = await timed(ask, 2000)
        print(f"  {name:34}{1e6 * median:8.1f}")


@contextmanager
def redis_server() -> Iterator[str | None]:
    """Debian's redis-server on a free port, where there is one."""
    binary = shutil.which("redis-server")
    if binary is None:
        print("no redis-server on this machine: Redis is left out")
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd="/tmp")
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if b"Ready to accept connections" in line:
                break
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.communicate()


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything, printed as it comes."""
    with redis_server() as redis_url:
        hits = await print_cache_hits(redis_url)
    await print_recordings()
    spent: dict[str, dict[str, list[float]]] = {}
    with local_server() as base:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            kinds: dict[str, Callable[[], stt.STT[Any]]] = {
                "Voxport": lambda: CustomWebSocketSTTAdapter(
                    f"ws://{base}/v1/listen", "bench", vendor="deepgram", http_session=session
                ),
                "native Deepgram": lambda: deepgram.STT(
                    api_key="bench", base_url=f"http://{base}/v1/listen", http_session=session
                ),
            }
            for name, make in kinds.items():
                spent[name] = await compare_streams(make, arguments)
                print_streams(name, spent[name])
    alone = await wrappers_alone()
    print_alone(alone, spent)
    return {"hits": hits, "streams": spent, "alone": alone}


def main() -> None:
    parser = argparse.ArgumentParser(description="What the wrappers cost, side by side in one run.")
    parser.add_argument("--quick", action="store_true", help="3 repeats of 10 s: about 2 minutes")
    parser.add_argument("--repeats", type=int, help="default: 8")
    parser.add_argument("--streams", type=int, default=20, help="at a time (default: 20)")
    parser.add_argument("--seconds", type=float, help="of audio per stream (default: 20)")
    parser.add_argument("--pace", type=float, default=5.0, help="times real time (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement")
    arguments = parser.parse_args()
    arguments.repeats = arguments.repeats or (3 if arguments.quick else 8)
    arguments.seconds = arguments.seconds or (10.0 if arguments.quick else 20.0)
    logging.getLogger("livekit").setLevel(logging.ERROR)
    gc.freeze()
    result = asyncio.run(run(arguments))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
