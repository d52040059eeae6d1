"""Compare what streaming speech recognition costs: Voxport, LiveKit's Deepgram plugin, and a bare aiohttp loop.

    python benchmarks/streaming.py --quick
    python benchmarks/streaming.py --json result.json --plot result.png
    python benchmarks/streaming.py --profile voxport

How to read the output, and what is subtracted, is in ``benchmarks/README.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from _streaming_clients import CLIENTS
from _streaming_report import Key, Runs, plot, print_table, print_targets
from _streaming_worker import SETTLE_SECONDS, Job, Result

_HERE = Path(__file__).resolve().parent
FORMATS = {"24k/50": (24000, 50), "24k/10": (24000, 10), "16k/50": (16000, 50), "48k/10": (48000, 10)}
"""Sample rate in Hz and length of a frame in ms; 24k/50 is what AgentSession feeds an STT."""
STREAMS = (1, 20, 100, 200)
_OVERHEAD_SECONDS = 8.0  # of a measurement: start, warm-up, connecting, reading memory, draining


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="CPU, memory and delay of streaming speech recognition, side by side in one run."
    )
    parser.add_argument("--quick", action="store_true", help="24k/50 with 20 streams, 6 s, 2 repeats: 3 minutes")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, help="rate and frame length in ms (default: all)")
    parser.add_argument("--streams", nargs="+", type=int, metavar="N", help="default: 1 20 100 200")
    parser.add_argument("--seconds", type=float, help="of audio measured, per stream (default: 10)")
    parser.add_argument("--repeats", type=int, help="default: 3")
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS), help="default: all")
    parser.add_argument(
        "--together",
        action="store_true",
        help="the clients at the same time, for fair ratios of CPU where the machine's speed changes",
    )
    parser.add_argument("--chunk-ms", type=int, default=50, help="messages of the bare loops (default: 50)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the medians (needs matplotlib)")
    parser.add_argument("--profile", choices=CLIENTS, metavar="CLIENT", help="profile one client and stop")
    parser.add_argument(
        "--profiler", choices=("sample", "cprofile", "memory"), default="sample", help="default: sample"
    )
    arguments = parser.parse_args(argv)
    small = arguments.quick or arguments.profile
    arguments.formats = arguments.formats or (["24k/50"] if small else list(FORMATS))
    arguments.streams = arguments.streams or ([20] if small else list(STREAMS))
    arguments.seconds = arguments.seconds or (6.0 if small else 10.0)
    arguments.repeats = arguments.repeats or (2 if small else 3)
    if min(arguments.streams) < 1 or arguments.seconds < 1 or arguments.repeats < 1:
        parser.error("--streams, --seconds and --repeats start at 1")
    return arguments


@contextmanager
def local_server() -> Iterator[str]:
    """The server, in a process of its own; gives its host and port."""
    process = subprocess.Popen(
        [sys.executable, str(_HERE / "_streaming_server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        port = process.stdout.readline().strip()
        if not port:
            raise SystemExit("the local server did not start")
        yield f"127.0.0.1:{port}"
    finally:
        process.stdin.close()  # it serves until then
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run_job(job: Job) -> Result:
    """Measure in a child process, so that no client inherits another's memory, caches or threads."""
    limit = SETTLE_SECONDS + job.seconds * 3 + job.streams * 0.05 + 60
    try:
        done = subprocess.run(
            [sys.executable, str(_HERE / "_streaming_worker.py"), json.dumps(asdict(job))],
            capture_output=True,
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return Result(overloaded=f"no result after {limit:.0f} s")
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        return Result(skipped=last[0])
    return Result(**json.loads(done.stdout.splitlines()[-1]))


def environment() -> dict[str, Any]:
    """What the numbers depend on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    packages = ("livekit-agents", "livekit-plugins-deepgram", "livekit", "aiohttp", "orjson", "numpy")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }


def measure_all(arguments: argparse.Namespace, servers: Mapping[str, str]) -> Runs:
    """Every client, format and number of streams, *repeats* times; clients in turn are in another order each time.

    Args:
        servers: the host and port of each client's server; one for each when they are measured together.
    """
    runs = Runs()
    clients = list(arguments.clients)
    at_once = len(clients) if arguments.together else 1
    total = arguments.repeats * len(arguments.formats) * len(arguments.streams) * len(clients)
    each = SETTLE_SECONDS + arguments.seconds + _OVERHEAD_SECONDS
    print(f"{total} measurements, about {total // at_once * each / 60:.0f} min", file=sys.stderr)
    for repeat in range(arguments.repeats):
        shift = repeat % len(clients)
        order = clients[shift:] + clients[:shift]
        for name in arguments.formats:
            rate, frame_ms = FORMATS[name]
            for streams in arguments.streams:
                jobs = [
                    Job(client, servers[client], rate, frame_ms, streams, arguments.seconds, arguments.chunk_ms)
                    for client in order
                    if client not in runs.skipped
                ]
                with ThreadPoolExecutor(max_workers=at_once) as pool:
                    for job, result in zip(jobs, pool.map(run_job, jobs), strict=True):
                        runs.add(Key(name, streams, job.client), repeat, result)
                        per_second = f"{result.cpu / result.audio * 1000:.2f} ms/s" if result.audio else ""
                        word = result.skipped or result.overloaded or per_second
                        print(f"[{repeat + 1}] {name} ×{streams} {job.client}: {word}", file=sys.stderr)
    return runs


def profile(arguments: argparse.Namespace, base: str) -> None:
    """Profile one client and print where the CPU goes."""
    for name in arguments.formats:
        rate, frame_ms = FORMATS[name]
        for streams in arguments.streams:
            job = Job(
                arguments.profile,
                base,
                rate,
                frame_ms,
                streams,
                arguments.seconds,
                arguments.chunk_ms,
                arguments.profiler,
            )
            result = run_job(job)
            print(f"{arguments.profile}, {name} ms, {streams} streams: {result.skipped or result.profile}")


def main() -> None:
    arguments = parse_arguments()
    with ExitStack() as stack:
        base = stack.enter_context(local_server())
        if arguments.profile:
            profile(arguments, base)
            return
        servers = dict.fromkeys(arguments.clients, base)
        if arguments.together:
            servers = {client: stack.enter_context(local_server()) for client in arguments.clients}
        facts = environment()
        runs = measure_all(arguments, servers)
        facts["load at the end"] = os.getloadavg()[0]
    print(
        f"{facts['cpu']}, {facts['cores']} cores, load {facts['load']:.1f} to {facts['load at the end']:.1f}, "
        f"Python {facts['python']}, " + ", ".join(f"{name} {number}" for name, number in facts["packages"].items())
    )
    for client, reason in runs.skipped.items():
        print(f"left out: {client}: {reason}")
    print_table(runs)
    print_targets(runs)
    if arguments.json:
        content = {"environment": facts, "seconds": arguments.seconds, "measurements": runs.records()}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if arguments.plot:
        plot(runs, arguments.plot)


if __name__ == "__main__":
    main()
