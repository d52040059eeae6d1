"""What the wrappers cost: CPU of a wrapped stream beside the bare one, and the time of a cache hit.

    python benchmarks/wrappers.py --quick
    python benchmarks/wrappers.py --repeats 12 --json result.json

Streams run against the local server of ``streaming.py`` (a process of its own). Within one repeat every side gets
the same audio, one after the other in random order in one process; a ratio is that of one repeat, and what is
printed is their median and range. What pushing the audio costs by itself is measured too and taken off first. A
wrapper that leaves streams alone returns the very stream it wraps, so the range of its ratio is what the machine
adds. How to read it is in ``docs/wrappers.md``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
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
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from _wrappers_alone import FRAME_MS, RATE, Instant, Wrap, alone, counted_calls
from livekit import rtc
from livekit.agents import stt
from livekit.plugins import deepgram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from streaming import local_server

from agents.providers.adapters import (
    CachedSTTAdapter,
    CustomWebSocketSTTAdapter,
    FailoverSTTAdapter,
    MemoryCache,
    MeteredSTTAdapter,
    RedisCache,
    RetryableSTTAdapter,
)

REGISTRY = CollectorRegistry()
METERS = MeterProvider([InMemoryMetricReader()])
TRACERS = TracerProvider()  # spans are made and ended; exporting them is the exporter's cost


def _nobody(inner: stt.STT[Any]) -> stt.STT[Any]:
    """For audio that goes nowhere."""
    return inner


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
    "failover": lambda inner: FailoverSTTAdapter([inner, Instant()]),
    "all three": lambda inner: _metered(RetryableSTTAdapter(CachedSTTAdapter(inner, registry=REGISTRY))),
}


# ---------------------------------------------------------------------- streams


async def stream_cost(
    recogniser: stt.STT[Any], *, streams: int, seconds: float, pace: float, count_calls: bool = False
) -> tuple[float, int]:
    """CPU seconds per second of audio of one stream, and the events heard.

    Args:
        streams: how many at a time, spread evenly over the length of a frame.
        seconds: of audio, each.
        pace: how many seconds of it are pushed in one second.
        count_calls: give calls of functions instead of CPU seconds.
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
    period = FRAME_MS / 1000 / pace
    with counted_calls() if count_calls else contextlib.nullcontext() as calls:
        began, cpu = time.monotonic(), time.process_time()
        for tick in range(round(seconds * 1000 / FRAME_MS)):
            for index, stream in enumerate(opened):
                due = began + (tick + index / streams) * period
                if index % 4 == 0 and (ahead := due - time.monotonic()) > 0:
                    await asyncio.sleep(ahead)
                stream.push_frame(frame)
        spent = time.process_time() - cpu if calls is None else calls.count
    for listener in listeners:
        listener.cancel()
    await asyncio.gather(*listeners, return_exceptions=True)
    await asyncio.gather(*(stream.aclose() for stream in opened))
    return spent / (seconds * streams), heard


async def compare_streams(
    make: Callable[[], stt.STT[Any]], arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """CPU of every side, one number a repeat, without what pushing the audio costs."""
    shape = {"streams": arguments.streams, "seconds": arguments.seconds, "pace": arguments.pace}
    spent: dict[str, list[float]] = {name: [] for name in SIDES}
    order = list(SIDES)
    for repeat in range(-1, arguments.repeats):  # the first one warms up
        random.Random(repeat).shuffle(order)
        pushing = await measured(_nobody, Instant, **shape)
        for name in order:
            cost = await measured(SIDES[name], make, **shape)
            if repeat >= 0:
                spent[name].append(cost - pushing)
    return spent


async def measured(wrap: Wrap, make: Callable[[], stt.STT[Any]], **shape: Any) -> float:
    """The cost of streams of a new recogniser."""
    inner = make()
    recogniser = wrap(inner)
    cost, heard = await stream_cost(recogniser, **shape)
    await recogniser.aclose()
    await inner.aclose()
    if not heard and wrap is not _nobody:
        raise SystemExit(f"{recogniser.label} heard nothing")
    return cost


async def calls_of_bare(make: Callable[[], stt.STT[Any]]) -> float:
    """Calls of functions for a second of audio, without the pusher's."""
    shape = {"streams": 5, "seconds": 6.0, "pace": 3.0, "count_calls": True}
    return await measured(SIDES["bare"], make, **shape) - await measured(_nobody, Instant, **shape)


def print_streams(title: str, spent: dict[str, list[float]]) -> None:
    """The least of all repeats, since other processes only ever add; and ratios within each repeat."""
    print(f"\n{title}: CPU ms per second of audio\n  {'':34}{'least':>8}  x bare: of the least, median [range]")
    for name, costs in spent.items():
        ratios = [cost / bare for cost, bare in zip(costs, spent["bare"], strict=True)]
        shown = f"{statistics.median(ratios):.3f} [{min(ratios):.3f}-{max(ratios):.3f}]"
        print(f"  {name:34}{1000 * min(costs):8.3f}  {min(costs) / min(spent['bare']):.3f}, {shown}")


# ---------------------------------------------------------------------- the wrapper alone


def print_alone(
    found: dict[str, dict[str, tuple[float, float]]],
    spent: dict[str, dict[str, list[float]]],
    calls: dict[str, float],
) -> None:
    """Beside what the bare streams cost in the same run."""
    print(
        "\nThe wrapper's own cost, around a stream that does nothing: microseconds of CPU and calls of functions,"
    )
    print("for each second of audio, and both as shares of what the bare stream costs in this run")
    for (kind, extras), (of, costs) in zip(found.items(), spent.items(), strict=True):
        print(f"  {f'{kind}: {of}':34}{'CPU':>8}  {'share':>7}{'calls':>9}  {'share':>7}")
        for name, (cpu, more) in extras.items():
            shares = cpu / min(costs["bare"]), more / calls[of]
            print(f"  {name:34}{1e6 * cpu:8.1f}  {shares[0]:7.2%}{more:9.1f}  {shares[1]:7.2%}")


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
            median, late = results[f"{name} {rate}"] = await timed(partial(wrapper.recognize, frame), 500)
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


@contextlib.contextmanager
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
    calls: dict[str, float] = {}
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
                calls[name] = await calls_of_bare(make)
    return {"hits": hits, "streams": spent, "calls": calls}


def main() -> None:
    parser = argparse.ArgumentParser(description="What the wrappers cost, side by side in one run.")
    parser.add_argument("--quick", action="store_true", help="3 repeats of 5 s: about 8 minutes")
    parser.add_argument("--repeats", type=int, help="default: 6")
    parser.add_argument("--streams", type=int, default=40, help="at a time (default: 40)")
    parser.add_argument("--seconds", type=float, help="of audio per stream (default: 10)")
    parser.add_argument("--pace", type=float, default=1.0, help="times real time (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement")
    arguments = parser.parse_args()
    arguments.repeats = arguments.repeats or (3 if arguments.quick else 6)
    arguments.seconds = arguments.seconds or (5.0 if arguments.quick else 10.0)
    logging.getLogger("livekit").setLevel(logging.ERROR)
    gc.freeze()
    result = asyncio.run(run(arguments))
    result["alone"] = alone(SIDES)
    print_alone(result["alone"], result["streams"], result["calls"])
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
