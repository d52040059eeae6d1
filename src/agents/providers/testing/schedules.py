"""A schedule says who speaks what, in which chunks, to which vendor, and what goes wrong; running it tells how an
adapter took it.

    report = await run_schedule(lambda url: MySTT(url), Schedule(utterances=(5, 3), faults=(Fault(2.0, "abort"),)))
    assert not report.problems()
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectOptions, stt

from .checks import StreamReport
from .faults import Fault, FaultInjector
from .numbered_words import Speech, speak
from .oracle import OracleServer
from .proxy import FaultProxy
from .transcriber import Behaviour

__all__ = ["Schedule", "frames_of", "run_schedule", "run_schedules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One run. Its ``repr`` can be pasted into a test.

    Attributes:
        utterances: the number of words of each utterance.
        faults: what goes wrong.
        behaviour: the vendor.
        sample_rate: of the frames pushed, in Hz.
        chunk_ms: the length of the frames pushed.
        flush_after: the numbers of the words behind which ``flush()`` is called, in the silence that follows.
        gap_ms, pause_ms, tail_ms: the silences between words, between utterances, and behind the last word.
        pace: how many seconds of audio are pushed in one second.
        connect_timeout: seconds the adapter is told to give a handshake.
    """

    utterances: tuple[int, ...]
    faults: tuple[Fault, ...] = ()
    behaviour: Behaviour = field(default_factory=Behaviour)
    sample_rate: int = 16000
    chunk_ms: int = 50
    flush_after: tuple[int, ...] = ()
    gap_ms: int = 100
    pause_ms: int = 600
    tail_ms: int = 0
    pace: float = 20.0
    connect_timeout: float = 1.0

    def speech(self) -> Speech:
        """The audio."""
        return speak(
            self.utterances, self.sample_rate, gap_ms=self.gap_ms, pause_ms=self.pause_ms, tail_ms=self.tail_ms
        )

    @property
    def patience(self) -> float:
        """Seconds after which the run is given up: the audio, every outage and what follows it, and a margin."""
        after_each = self.connect_timeout + 4.0
        outages = sum(fault.seconds + float(fault.retry_after or 0) + after_each for fault in self.faults)
        return self.speech().duration / self.pace + outages + 20.0


def frames_of(schedule: Schedule, speech: Speech) -> Iterator[rtc.AudioFrame | None]:
    """The frames to push, in order; ``None`` stands for a flush, before which a shorter frame may come."""
    cuts = [
        round((speech.words[number].end + schedule.gap_ms / 2000) * speech.sample_rate)
        for number in sorted(set(schedule.flush_after))
        if number < len(speech.words)
    ]
    step = schedule.sample_rate * schedule.chunk_ms // 1000
    total = len(speech.pcm) // 2
    position = 0
    while position < total or cuts:
        if cuts and (cuts[0] <= position or position >= total):
            cuts.pop(0)
            yield None
            continue
        end = min(position + step, total, *cuts[:1])
        pcm = speech.pcm[2 * position : 2 * end]
        yield rtc.AudioFrame(pcm, schedule.sample_rate, 1, end - position)
        position = end


async def run_schedule(make_stt: Callable[[str], stt.STT[Any]], schedule: Schedule) -> StreamReport:
    """Stream the schedule's audio through an adapter to the oracle and report.

    Args:
        make_stt: makes the adapter for the WebSocket URL it is given. The adapter is closed at the end; a client
            session it does not own stays with the caller.
        schedule: what happens.

    The run is bounded by :attr:`Schedule.patience`. Tasks and sockets that were not there before count as leaks,
    so nothing else may start any on the same event loop meanwhile.
    """
    return (await run_schedules(lambda _: make_stt, [schedule]))[0]


async def run_schedules(
    make_stt_for: Callable[[Schedule], Callable[[str], stt.STT[Any]]], schedules: Sequence[Schedule]
) -> list[StreamReport]:
    """Run several schedules at once, each with an adapter and an oracle of its own; see :func:`run_schedule`.

    What is left behind is in every report, since nobody knows whose it is.
    """
    tasks, sockets = asyncio.all_tasks(), _open_sockets()
    reports = await asyncio.gather(*(_run(make_stt_for(schedule), schedule) for schedule in schedules))
    leaks = await _leaks(tasks, sockets)
    for report in reports:
        report.leaks = leaks
    return reports


async def _run(make_stt: Callable[[str], stt.STT[Any]], schedule: Schedule) -> StreamReport:
    began = time.perf_counter()
    speech = schedule.speech()
    times_known = schedule.behaviour.times
    report = StreamReport(speech.words, speech.duration, times_known=times_known)
    async with OracleServer(schedule.behaviour) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        injector = FaultInjector(server, proxy, schedule.faults)
        adapter = make_stt(f"ws://127.0.0.1:{proxy.port}{server.path}")
        try:
            await asyncio.wait_for(_stream(adapter, schedule, speech, report), schedule.patience)
        except asyncio.TimeoutError:
            report.timed_out = True
        finally:
            await adapter.aclose()
            await injector.aclose()
        report.faults_fired = len(injector.fired)
        report.connections = server.connections
    report.wall_seconds = time.perf_counter() - began
    return report


async def _stream(adapter: stt.STT[Any], schedule: Schedule, speech: Speech, report: StreamReport) -> None:
    def on_error(error: stt.STTError) -> None:
        report.recoverable_errors += error.recoverable

    adapter.on("error", on_error)
    stream = adapter.stream(conn_options=APIConnectOptions(timeout=schedule.connect_timeout))
    pushing = asyncio.ensure_future(_push(stream, schedule, speech))
    try:
        async for event in stream:
            report.events.append(event)
        if not pushing.done():
            raise EOFError("the stream ended while its input was open")
        pushing.result()
    except Exception as error:
        report.error = error
    finally:
        pushing.cancel()
        await asyncio.gather(pushing, return_exceptions=True)
        await stream.aclose()
        adapter.off("error", on_error)


async def _push(stream: stt.RecognizeStream, schedule: Schedule, speech: Speech) -> None:
    """Push the audio at the schedule's pace: time is the source of audio, it does not wait for the network."""
    loop = asyncio.get_running_loop()
    began, pushed = loop.time(), 0.0
    for frame in frames_of(schedule, speech):
        if frame is None:
            stream.flush()
            continue
        stream.push_frame(frame)
        pushed += frame.duration
        ahead = pushed / schedule.pace - (loop.time() - began)
        await asyncio.sleep(max(ahead, 0.0))
    stream.end_input()


def _open_sockets() -> set[str]:
    """The sockets this process holds (Linux; empty elsewhere)."""
    folder = Path("/proc/self/fd")
    found = set()
    for entry in folder.iterdir() if folder.exists() else ():
        try:
            target = os.readlink(entry)  # noqa: PTH115 - a socket link is not a path
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


async def _leaks(tasks_before: set[asyncio.Task[object]], sockets_before: set[str]) -> list[str]:
    """What is still there although everything was closed; what only needs a moment to end is given it."""
    for attempt in range(20):
        tasks = {task for task in asyncio.all_tasks() - tasks_before if not task.done()}
        sockets = _open_sockets() - sockets_before
        if not tasks and not sockets:
            break
        if attempt == 10:
            gc.collect()
        await asyncio.sleep(0.005 * attempt)
    return [repr(task) for task in tasks] + sorted(sockets)
