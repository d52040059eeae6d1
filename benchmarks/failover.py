"""Words lost and time to switch when vendors fail: LiveKit's FallbackAdapter and Voxport's, in one run.

    python benchmarks/failover.py [--repeats 3] [--words 60] [--pace 1] [--members native|voxport]

Both adapters have the same two members: LiveKit's Deepgram plugin (or, with `--members voxport`, Voxport's adapter
with on_failure="raise"), on two servers of the test kit that transcribe exactly the audio they receive. Both have
their defaults, but for the silence limit of Voxport's, which the table shows. Audio is pushed in frames of 50 ms
at 16 kHz, in real time unless `--pace` says otherwise. All runs go on at the same time, each with its own servers.

What goes wrong, after 8 s of audio (and 0.37 s later in every repeat):

    drop     the first vendor's connection is reset; a new one works at once
    outage   the first vendor resets the connection and refuses new ones for the rest of the call
    both     so it does for 6 s, and 1 s later the second one does it for 3 s
    silent   the first vendor goes on taking audio and says nothing more

*switch* is the time from then until the second vendor received audio of this caller. A run that did not end by
itself within 20 s of the end of its audio is given up and counted.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from livekit.agents import stt
from livekit.plugins import deepgram

from agents.providers.adapters import CustomWebSocketSTTAdapter, FailoverSTTAdapter
from agents.providers.testing import Behaviour, Fault, OracleServer, Schedule, StreamReport
from agents.providers.testing.several import VendorPlan, run_all_with_vendors

_RATE = 16000
_WORDS_PER_UTTERANCE = (5, 3, 8, 4, 6, 2, 7)
_VENDOR = Behaviour(dialect="deepgram", latency=0.15, finals_every=5)
_FAILS_AT = 8.0
_SILENCE_LIMIT = 3.0

MakeSTT = Callable[[Sequence[str]], "stt.STT[Any]"]


@dataclass(frozen=True)
class Scenario:
    """What happens to the two vendors when the first has heard so many seconds."""

    name: str
    plans: Callable[[float], tuple[VendorPlan, VendorPlan]]


def _plan(*faults: Fault, silent_after: float | None = None) -> VendorPlan:
    return VendorPlan(behaviour=_VENDOR, faults=faults, silent_after=silent_after)


SCENARIOS = (
    Scenario("drop", lambda at: (_plan(Fault(at, "abort")), _plan())),
    Scenario("outage", lambda at: (_plan(Fault(at, "refuse", 600.0)), _plan())),
    Scenario("both", lambda at: (_plan(Fault(at, "refuse", 6.0)), _plan(Fault(1.0, "refuse", 3.0)))),
    Scenario("silent", lambda at: (_plan(silent_after=at), _plan())),
)


def schedule_of(words: int, pace: float) -> Schedule:
    """So many words in utterances of common lengths."""
    utterances: list[int] = []
    while (left := words - sum(utterances)) > 0:
        utterances.append(min(left, _WORDS_PER_UTTERANCE[len(utterances) % len(_WORDS_PER_UTTERANCE)]))
    return Schedule(
        utterances=tuple(utterances), sample_rate=_RATE, chunk_ms=50, tail_ms=500, pace=pace, connect_timeout=10.0
    )


def makers(kind: str, session: aiohttp.ClientSession, made: list[stt.STT[Any]]) -> dict[str, MakeSTT]:
    """The two adapters, by name. What they make is noted in *made*: neither closes its members."""

    def members(urls: Sequence[str]) -> list[stt.STT[Any]]:
        found: list[stt.STT[Any]] = [
            deepgram.STT(
                api_key="key", base_url=url.replace("ws://", "http://"), http_session=session, sample_rate=_RATE
            )
            if kind == "native"
            else CustomWebSocketSTTAdapter(url, "key", vendor="deepgram", on_failure="raise")
            for url in urls
        ]
        made.extend(found)
        return found

    return {
        "livekit": lambda urls: stt.FallbackAdapter(members(urls)),
        "voxport": lambda urls: FailoverSTTAdapter(members(urls), silence_limit=_SILENCE_LIMIT),
    }


class Stopwatch:
    """Times from the moment the first vendor fails until the second one hears anything."""

    def __init__(self, fails_at: Sequence[float]) -> None:
        self._fails_at = fails_at
        self._failed: dict[int, float] = {}
        self.switched: dict[int, float] = {}

    def watch(self, number: int, servers: list[OracleServer]) -> None:
        """Look at run *number*."""
        first, second = servers
        now = asyncio.get_running_loop().time
        self._before(
            first, lambda heard: heard >= self._fails_at[number] and self._failed.setdefault(number, now())
        )
        self._before(
            second,
            lambda heard: (
                number in self._failed and self.switched.setdefault(number, now() - self._failed[number])
            ),
        )

    @staticmethod
    def _before(server: OracleServer, note: Callable[[float], Any]) -> None:
        then = server.on_audio

        def on_audio(heard: float) -> None:
            note(heard)
            if then is not None:
                then(heard)

        server.on_audio = on_audio


async def measure(args: argparse.Namespace) -> dict[tuple[str, str], list[tuple[StreamReport, float | None]]]:
    """All runs: the report and the time to switch, by scenario and adapter."""
    schedule = schedule_of(args.words, args.pace)
    plan = [
        (scenario, name, _FAILS_AT + 0.37 * repeat)
        for scenario in SCENARIOS
        for repeat in range(args.repeats)
        for name in ("livekit", "voxport")
    ]
    stopwatch = Stopwatch([at for _, _, at in plan])
    made: list[stt.STT[Any]] = []
    async with aiohttp.ClientSession() as session:
        make = makers(args.members, session, made)
        runs = [(make[name], schedule, scenario.plans(at)) for scenario, name, at in plan]
        reports = await run_all_with_vendors(runs, on_start=stopwatch.watch)
        for member in made:
            await member.aclose()
    found: dict[tuple[str, str], list[tuple[StreamReport, float | None]]] = {}
    for number, ((scenario, name, _), report) in enumerate(zip(plan, reports, strict=True)):
        found.setdefault((scenario.name, name), []).append((report, stopwatch.switched.get(number)))
    return found


def show(found: dict[tuple[str, str], list[tuple[StreamReport, float | None]]], args: argparse.Namespace) -> None:
    """Print the table."""
    print(
        f"{args.words} words, {args.repeats} repeats, pace {args.pace:g} × real time, members: {args.members}, "
        f"silence limit {_SILENCE_LIMIT:g} s"
    )
    print()
    head = ("what fails", "adapter", "words lost", "mean", "words doubled", "switch s", "failed", "never ended")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for (scenario, name), outcomes in found.items():
        reports = [report for report, _ in outcomes]
        lost = [len(report.lost) for report in reports]
        cells = (
            scenario,
            {"livekit": "livekit FallbackAdapter", "voxport": "voxport FailoverSTTAdapter"}[name],
            _listed(lost),
            f"{statistics.mean(lost):.1f}",
            _listed(len(report.doubled) for report in reports),
            _listed("never" if seconds is None else f"{seconds:.2f}" for _, seconds in outcomes),
            _listed(int(report.error is not None) for report in reports),
            _listed(int(report.timed_out) for report in reports),
        )
        print("| " + " | ".join(cells) + " |")


def _listed(values: Any) -> str:
    return ", ".join(str(value) for value in values)


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each row, which fail at different moments")
    parser.add_argument("--words", type=int, default=60)
    parser.add_argument("--pace", type=float, default=1.0, help="times real time")
    parser.add_argument("--members", choices=("native", "voxport"), default="native")
    args = parser.parse_args(argv)
    logging.disable(logging.CRITICAL)  # every failure is logged by everybody
    show(asyncio.run(measure(args)), args)


if __name__ == "__main__":
    main()
