"""Where CPU and memory go: a sampling profiler, cProfile, or tracemalloc."""

from __future__ import annotations

import cProfile
import io
import pstats
import signal
import sys
import tracemalloc
from collections import Counter
from operator import itemgetter
from pathlib import Path
from types import FrameType
from typing import Protocol

_ROWS = 30


class Profiler(Protocol):
    """What the pacer switches on and off around the measured time."""

    def enable(self) -> None: ...

    def disable(self) -> None: ...


class Sampler:
    """Looks at the main thread's stack at intervals of the CPU time the process uses.

    CPU used inside C code and in LiveKit's FFI threads is charged to the Python line that runs when the signal is
    handled. What cProfile distorts (many small functions) it shows in true proportion. The kernel looks at its
    clock at every tick only (4 ms at 250 Hz), so many streams and seconds make a better picture.
    """

    def __init__(self) -> None:
        self.ticks = 0
        self.own: Counter[str] = Counter()
        self.cumulative: Counter[str] = Counter()

    def enable(self) -> None:
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)

    def disable(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0.0)

    def _look(self, number: int, frame: FrameType | None) -> None:
        self.ticks += 1
        seen: set[str] = set()
        innermost = True
        while frame is not None:
            code = frame.f_code
            name = f"{_short(code.co_filename)}:{code.co_firstlineno} {code.co_name}"
            if innermost:
                self.own[name] += 1
                innermost = False
            seen.add(name)
            frame = frame.f_back
        self.cumulative.update(seen)


class Tracer:
    """What was allocated since before the first stream and still is at the end of the measured time."""

    def __init__(self) -> None:
        self.held: list[tracemalloc.Statistic] = []
        tracemalloc.start(1)

    def enable(self) -> None:
        pass  # it traces from the start: a stream's memory is what it was opened with, too

    def disable(self) -> None:
        self.held = tracemalloc.take_snapshot().statistics("lineno")
        tracemalloc.stop()


def _short(filename: str) -> str:
    return "/".join(Path(filename).parts[-3:])


def describe(profiler: Profiler, audio: float, cpu: float, streams: int) -> str:
    """The top of the profile, as text.

    Args:
        profiler: after the measurement.
        audio: seconds of audio in it, all streams together.
        cpu: CPU seconds in it.
        streams: how many there were.
    """
    out = io.StringIO()
    print(f"{audio:.0f} s of audio, {cpu / audio * 1e6:.0f} µs of CPU per second of audio", file=out)
    print(f"Python {sys.version.split()[0]}", file=out)
    if isinstance(profiler, Sampler):
        print(f"{profiler.ticks} samples", file=out)
        for title, counter in (("own", profiler.own), ("cumulative", profiler.cumulative)):
            print(f"\n{title}: µs of CPU per second of audio, share", file=out)
            for name, count in counter.most_common(_ROWS):
                share = count / max(profiler.ticks, 1)
                print(f"{share * cpu / audio * 1e6:9.1f} {share:7.1%}  {name}", file=out)
    elif isinstance(profiler, Tracer):
        print("\nmemory held: kB per stream, objects per stream", file=out)
        for one in profiler.held[:_ROWS]:
            place = one.traceback[0]
            where = f"{_short(place.filename)}:{place.lineno}"
            print(f"{one.size / streams / 1024:9.2f} {one.count / streams:9.1f}  {where}", file=out)
        print(f"{sum(one.size for one in profiler.held) / streams / 1024:9.2f} {'':9}  in all", file=out)
    elif isinstance(profiler, cProfile.Profile):
        _describe_calls(profiler, audio, out)
    return out.getvalue()


def _describe_calls(profiler: cProfile.Profile, audio: float, out: io.StringIO) -> None:
    print("times are by the clock on the wall: epoll's is waiting, not work", file=out)
    stats = pstats.Stats(profiler)
    rows = [
        (own, cumulative, calls, f"{_short(file)}:{line} {name}")
        for (file, line, name), (_, calls, own, cumulative, _) in stats.stats.items()  # type: ignore[attr-defined]
    ]
    for title, column in (("own", 0), ("cumulative", 1)):
        print(f"\n{title}: µs per second of audio (own, cumulative), calls per second of audio", file=out)
        for own, cumulative, calls, name in sorted(rows, key=itemgetter(column), reverse=True)[:_ROWS]:
            print(
                f"{own / audio * 1e6:9.1f} {cumulative / audio * 1e6:9.1f} {calls / audio:8.1f}  {name}", file=out
            )
