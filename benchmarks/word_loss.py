"""Words lost when connections drop: LiveKit's Deepgram plugin and Voxport, on the same schedule, in one run.

    python benchmarks/word_loss.py [--repeats 3] [--words 100] [--pace 1]

Both talk to the test kit's oracle in its Deepgram dialect, which transcribes exactly the audio it received. The
connection is reset after every so many seconds of audio the server received, and a new one is accepted at once.
Audio is pushed in frames of 10 ms at 16 kHz, in real time unless `--pace` says otherwise; faster than real time
would be unfair to whoever waits before it reconnects. All runs go on at the same time; each has its own server.

How many words are at stake in a drop depends on how often the vendor finalises: here after 5 words (1.5 s) and
after every pause of 300 ms, with 150 ms of latency, which is often.

Replayed audio counts as received, so an adapter that replays is dropped at least as often as one that does not.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import logging
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp
from livekit.agents import stt
from livekit.plugins import deepgram

from agents.providers.stt.streaming import CustomWebSocketSTTAdapter
from agents.providers.testing import Behaviour, Fault, Schedule, StreamReport, run_schedules

DROP_EVERY_SECONDS = (7.0, 3.3)
_RATE = 16000
_WORDS_PER_UTTERANCE = (5, 3, 8, 4, 6, 2, 7)

MakeSTT = Callable[[str], "stt.STT[Any]"]


def schedule_with_drops(words: int, every: float, pace: float, shift: float) -> Schedule:
    """So many words in utterances of common lengths, and a drop every so many seconds, each *shift* late."""
    utterances: list[int] = []
    while (left := words - sum(utterances)) > 0:
        utterances.append(min(left, _WORDS_PER_UTTERANCE[len(utterances) % len(_WORDS_PER_UTTERANCE)]))
    schedule = Schedule(
        utterances=tuple(utterances),
        behaviour=Behaviour(dialect="deepgram", latency=0.15, finals_every=5),
        sample_rate=_RATE,
        chunk_ms=10,
        tail_ms=500,
        pace=pace,
        connect_timeout=10.0,
    )
    moments = range(1, int(schedule.speech().duration / every) + 1)
    faults = tuple(Fault(round(every * n + shift, 3), "abort") for n in moments)
    return dataclasses.replace(schedule, faults=faults)


def native(session: aiohttp.ClientSession) -> MakeSTT:
    """LiveKit's plugin."""
    return lambda url: deepgram.STT(
        api_key="key", base_url=url.replace("ws://", "http://"), http_session=session, sample_rate=_RATE
    )


def voxport(url: str) -> CustomWebSocketSTTAdapter:
    """Voxport, with nothing changed."""
    return CustomWebSocketSTTAdapter(url, "key", vendor="deepgram")


async def measure(args: argparse.Namespace) -> dict[tuple[float, str], list[StreamReport]]:
    """All runs, by drop interval and adapter."""
    plan: list[tuple[float, str, Schedule]] = []
    for every in DROP_EVERY_SECONDS:
        for repeat in range(args.repeats):
            schedule = schedule_with_drops(args.words, every, args.pace, shift=0.37 * repeat)
            plan += [(every, name, schedule) for name in ("native", "voxport")]
    async with aiohttp.ClientSession() as session:
        makers: dict[str, MakeSTT] = {"native": native(session), "voxport": voxport}
        order = iter(plan)
        reports = await run_schedules(lambda _: makers[next(order)[1]], [schedule for _, _, schedule in plan])
    found: dict[tuple[float, str], list[StreamReport]] = {}
    for (every, name, _), report in zip(plan, reports, strict=True):
        found.setdefault((every, name), []).append(report)
    return found


def show(found: dict[tuple[float, str], list[StreamReport]], args: argparse.Namespace) -> None:
    """Print the table."""
    print(f"{args.words} words, {args.repeats} repeats, pace {args.pace:g} × real time, instant reconnect")
    print()
    head = ("drop every", "adapter", "drops", "words lost", "mean", "words doubled", "failed", "audio s", "run s")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for (every, name), reports in found.items():
        lost = [len(report.lost) for report in reports]
        cells = (
            f"{every:g} s",
            {"native": "livekit-plugins-deepgram", "voxport": "voxport"}[name],
            _listed(report.faults_fired for report in reports),
            _listed(lost),
            f"{statistics.mean(lost):.1f}",
            _listed(len(report.doubled) for report in reports),
            _listed(int(report.error is not None or report.timed_out) for report in reports),
            f"{reports[0].audio_seconds:.1f}",
            f"{max(report.wall_seconds for report in reports):.1f}",
        )
        print("| " + " | ".join(cells) + " |")


def _listed(values: Any) -> str:
    return ", ".join(str(value) for value in values)


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each row, dropped at different moments")
    parser.add_argument("--words", type=int, default=100)
    parser.add_argument("--pace", type=float, default=1.0, help="times real time")
    args = parser.parse_args(argv)
    logging.disable(logging.ERROR)  # every drop is logged by both adapters
    show(asyncio.run(measure(args)), args)


if __name__ == "__main__":
    main()
