"""One measurement: one client, one format, a number of streams, in a process of its own.

Run with a job as JSON in the first argument; prints the result as one line of JSON. Units: seconds and bytes.
"""

from __future__ import annotations

import asyncio
import cProfile
import gc
import json
import logging
import math
import random
import resource
import sys
import time
from array import array
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp
from _streaming_clients import Client, ClientUnavailable, NullClient, Stream, make_client
from _streaming_profile import Profiler, Sampler, Tracer, describe
from livekit import rtc

SETTLE_SECONDS = 3.5
"""Audio pushed before the measurement starts: every stream is connected and has had its first final (3 s)."""
_MEMORY_SECONDS = 3.0
"""Memory is read over a whole segment of the server's script, because what a client keeps until the next final
grows and shrinks with it; and after the measured time, because one reading costs milliseconds."""
_MEMORY_READINGS = 6
_DRAIN_SECONDS = 10.0
_LONGEST_TURN = 0.002  # the pacer gives way to the event loop after so long, even when it is behind


@dataclass(frozen=True)
class Job:
    """What to measure.

    Attributes:
        client: one of :data:`_streaming_clients.CLIENTS`.
        base: host and port of the server.
        rate: of the pushed frames, Hz.
        frame_ms: their length.
        streams: how many at a time.
        seconds: of audio to measure, after the settling time.
        chunk_ms: what the bare loop joins frames to.
        profiler: "sample", "cprofile", "memory", or "" for none.
    """

    client: str
    base: str
    rate: int
    frame_ms: int
    streams: int
    seconds: float
    chunk_ms: int = 50
    profiler: str = ""


@dataclass
class Result:
    """What was measured; see the README for how to read it.

    Attributes:
        skipped: why there is no measurement, or an empty text.
        overloaded: why the numbers would be false, or an empty text.
        cpu, user, system: CPU seconds of the whole process, FFI threads included, in the measured time.
        audio: seconds of audio pushed in that time, all streams together.
        wall: its length.
        memory: bytes of anonymous memory grown since before the first stream, all streams together: the mean over
            one segment of the script.
        lag_p50, lag_p99: how late the pacer pushed.
        push_to_wire, wire_to_event: {"p50", "p99", "max", "count"} of the delays.
        messages: audio messages on the wire per second of audio.
        wire_rates: the sample rates that went over the wire, Hz.
        events: transcripts heard by all streams in the measured time.
        reconnects: connections beyond one per stream.
        server: share of one core the server used.
        profile: text, when profiling.
    """

    skipped: str = ""
    overloaded: str = ""
    cpu: float = 0.0
    user: float = 0.0
    system: float = 0.0
    audio: float = 0.0
    wall: float = 0.0
    memory: int = 0
    lag_p50: float = 0.0
    lag_p99: float = 0.0
    push_to_wire: dict[str, float] = field(default_factory=dict)
    wire_to_event: dict[str, float] = field(default_factory=dict)
    messages: float = 0.0
    wire_rates: list[int] = field(default_factory=list)
    events: int = 0
    reconnects: int = 0
    server: float = 0.0
    profile: str = ""


def percentiles(values: array[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum of *values*, and how many there are; empty when there are none."""
    if not values:
        return {}
    ordered = sorted(values)
    last = len(ordered) - 1
    return {
        "p50": ordered[last // 2],
        "p99": ordered[math.ceil(last * 0.99)],
        "max": ordered[last],
        "count": len(ordered),
    }


def anonymous_memory() -> int:
    """Bytes of memory that is this process's own: no mapped files, no libraries."""
    with open("/proc/self/smaps_rollup", encoding="ascii") as file:  # noqa: PTH123 - without a Path's own memory
        for line in file:
            if line.startswith("Anonymous:"):
                return int(line.split()[1]) * 1024
    return 0


_PROFILERS: dict[str, Callable[[], Profiler]] = {
    "sample": Sampler,
    "cprofile": cProfile.Profile,
    "memory": Tracer,
}


class Pacer:
    """Pushes frames to all streams in real time, their phases spread evenly over the length of a frame."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.period = job.frame_ms / 1000
        self.first_tick = math.ceil(SETTLE_SECONDS / self.period)
        self.last_tick = self.first_tick + math.ceil(job.seconds / self.period)
        self.final_tick = self.last_tick + math.ceil(_MEMORY_SECONDS / self.period)
        # allocated and touched now, so that it is not taken for the client's memory later
        self.pushed = [array("d", [0.0]) * (self.final_tick + 1) for _ in range(job.streams)]
        self.lags = array("d", [0.0]) * ((self.last_tick - self.first_tick) * job.streams)
        self.memory: list[int] = []
        self.begin = self.end = 0.0
        self.cpu = self.user = self.system = 0.0
        noise = random.Random(1)
        samples = job.rate * job.frame_ms // 1000
        self._samples = samples
        self._payloads = [
            array("h", [noise.randint(-3000, 3000) for _ in range(samples)]).tobytes() for _ in range(8)
        ]

    def frame(self, tick: int) -> rtc.AudioFrame:
        """A frame with memory of its own, as a real source gives it."""
        return rtc.AudioFrame(bytearray(self._payloads[tick & 7]), self._job.rate, 1, self._samples)

    async def run(self, streams: list[Stream], profiler: Profiler | None) -> None:
        """Push everything; the measured time is from *first_tick* to *last_tick*."""
        monotonic, period = time.monotonic, self.period
        phase = period / len(streams)
        memory_ticks = (self.final_tick - self.last_tick) // _MEMORY_READINGS
        start = yielded = monotonic()
        measured = 0
        for tick in range(self.final_tick):
            if tick == self.first_tick:
                self._mark(-1.0)
                self.begin = monotonic()
                if profiler is not None:
                    profiler.enable()
            elif tick == self.last_tick:
                if profiler is not None:
                    profiler.disable()
                self.end = monotonic()
                self._mark(1.0)
            measuring = self.first_tick <= tick < self.last_tick
            if tick >= self.last_tick and (tick - self.last_tick) % memory_ticks == 0:
                self.memory.append(anonymous_memory())
            due = start + tick * period
            for index, stream in enumerate(streams):
                now = monotonic()
                if due > now:
                    await asyncio.sleep(due - now)
                    now = yielded = monotonic()
                elif now - yielded > _LONGEST_TURN:
                    await asyncio.sleep(0)
                    now = yielded = monotonic()
                if measuring:
                    self.lags[measured] = now - due
                    measured += 1
                self.pushed[index][tick] = now
                stream.push_frame(self.frame(tick))
                due += phase

    def _mark(self, sign: float) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.cpu += sign * time.process_time()
        self.user += sign * usage.ru_utime
        self.system += sign * usage.ru_stime


async def _fetch(session: aiohttp.ClientSession, url: str) -> Any:
    async with session.get(url) as response:
        return await response.json()


async def _open_streams(job: Job, client: Client, session: aiohttp.ClientSession, count: int) -> list[Stream]:
    """*count* streams, and their connections where the client connects before the first audio."""
    streams = []
    for _ in range(count):
        streams.append(await client.open(job.rate))
        await asyncio.sleep(0.005)
    if not isinstance(client, NullClient):
        for _ in range(20):
            if (await _fetch(session, f"http://{job.base}/bench/state"))["open"] >= count:
                break
            await asyncio.sleep(0.1)
    return streams


async def _warm_up(job: Job, client: Client, session: aiohttp.ClientSession) -> None:
    """One stream for a second: imports, caches and thread pools are not the price of a stream."""
    (stream,) = await _open_streams(job, client, session, 1)
    samples = job.rate * job.frame_ms // 1000
    for _ in range(1000 // job.frame_ms):
        stream.push_frame(rtc.AudioFrame(bytearray(samples * 2), job.rate, 1, samples))
        await asyncio.sleep(0.002)
    await stream.finish(_DRAIN_SECONDS)
    for _ in range(20):  # until the server has seen it go, or it would be counted among the next
        if (await _fetch(session, f"http://{job.base}/bench/state"))["open"] == 0:
            break
        await asyncio.sleep(0.05)
    async with session.post(f"http://{job.base}/bench/reset"):
        pass


def _push_to_wire(pacer: Pacer, streams: list[Stream], samples: list[dict[str, Any]]) -> array[float]:
    """Seconds from the push of the frame that holds a message's last sample to the message's arrival.

    Streams that had to reconnect are left out: their byte counts began anew.
    """
    by_number = {str(entry["number"]): entry for entry in samples}
    delays = array("d")
    for index, stream in enumerate(streams):
        if len(stream.heard.connections) != 1:
            continue
        entry = by_number[next(iter(stream.heard.connections))[1:]]
        pushed, frame_bytes = pacer.pushed[index], entry["sample_rate"] * 2 * pacer.period
        for received, arrival in zip(entry["bytes"], entry["times"], strict=True):
            tick = math.ceil(received / frame_bytes - 1e-6) - 1
            if pacer.first_tick <= tick < pacer.last_tick:
                delays.append(arrival - pushed[tick])
    return delays


def _judge_load(result: Result, pacer: Pacer) -> str:
    """Why the process could not keep up with real time, or an empty text when it did."""
    busy = result.cpu / result.wall
    if busy > 0.95:
        return f"{busy:.0%} of a core"
    behind = max(result.lag_p50, min(pacer.lags[-len(pacer.pushed) :]))
    if behind > 0.010:
        return f"pacing fell {behind * 1000:.0f} ms behind at {busy:.0%} of a core"
    return ""


async def measure(job: Job) -> Result:
    """Carry out *job*."""
    logging.getLogger("livekit").setLevel(logging.ERROR)
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    try:
        client = make_client(job.client, job.base, session, job.chunk_ms)
        await _warm_up(job, client, session)
        result = await _measure(job, client, session)
        await client.aclose()
    except ClientUnavailable as error:
        return Result(skipped=str(error))
    finally:
        await session.close()
    return result


async def _measure(job: Job, client: Client, session: aiohttp.ClientSession) -> Result:
    pacer = Pacer(job)
    gc.collect()
    gc.freeze()  # as LiveKit's job processes do, so that collections do not walk all imported modules
    memory_before = anonymous_memory()
    profiler = _PROFILERS[job.profiler]() if job.profiler else None
    streams = await _open_streams(job, client, session, job.streams)
    before = await _fetch(session, f"http://{job.base}/bench/state")
    await pacer.run(streams, profiler)
    after = await _fetch(session, f"http://{job.base}/bench/state")
    await asyncio.gather(*(stream.finish(_DRAIN_SECONDS) for stream in streams))
    samples = await _fetch(session, f"http://{job.base}/bench/samples")

    wall = pacer.end - pacer.begin
    audio = (pacer.last_tick - pacer.first_tick) * pacer.period * job.streams
    lags, heard = percentiles(pacer.lags), [stream.heard for stream in streams]
    events = array("d")
    for one in heard:
        events.extend(
            delay for at, delay in zip(one.arrivals, one.delays, strict=True) if pacer.begin <= at < pacer.end
        )
    audio_messages = sum(sum(pacer.begin <= at < pacer.end for at in entry["times"]) for entry in samples)
    result = Result(
        cpu=pacer.cpu,
        user=pacer.user,
        system=pacer.system,
        audio=audio,
        wall=wall,
        memory=sum(pacer.memory) // len(pacer.memory) - memory_before,
        lag_p50=lags["p50"],
        lag_p99=lags["p99"],
        push_to_wire=percentiles(_push_to_wire(pacer, streams, samples)),
        wire_to_event=percentiles(events),
        messages=audio_messages / audio,
        wire_rates=sorted({entry["sample_rate"] for entry in samples}),
        events=len(events),
        reconnects=sum(max(0, len(one.connections) - 1) for one in heard),
        server=(after["cpu"] - before["cpu"]) / (after["now"] - before["now"]),
    )
    if job.client != "null" and not events:
        result.skipped = "it heard nothing"
    result.overloaded = _judge_load(result, pacer)
    if profiler is not None:
        result.profile = describe(profiler, audio, pacer.cpu, job.streams)
    return result


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(measure(Job(**json.loads(sys.argv[1])))))))
