"""Two vendors that fail at random, singly and both: no word is lost and none is said twice.

The short run is part of `make test`; the 200 schedules of the long one of `make soak`. A failure prints what can
be pasted into a test, and the seed: ``VOXPORT_SEED=… pytest tests/wrappers/test_failover_schedules.py``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from numbered_talk import TURNS, talk_to

from agents.providers.stt.streaming import CustomWebSocketSTTAdapter
from agents.providers.testing import Behaviour, Fault, Hurried, Schedule, StreamReport
from agents.providers.testing.several import VendorPlan, run_all_with_vendors, vendors_on_loopback
from agents.providers.testing.strategies import behaviours, fault_schedules, faults
from agents.providers.vendors import find_vendor
from agents.providers.wrappers.failover import FailoverSTTAdapter

SEED = int(os.environ.get("VOXPORT_SEED") or random.SystemRandom().randrange(2**32))

_COMMON = settings(
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class Owner(FailoverSTTAdapter):
    """Closes its members too: a schedule makes them only for it."""

    async def aclose(self) -> None:
        await super().aclose()
        for member in self.members:
            await member.aclose()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One schedule. Its ``repr`` can be pasted into a test.

    Attributes:
        seconds: how long the failover adapter bears silence.
        stall: how long the members do.
    """

    schedule: Schedule
    vendors: tuple[VendorPlan, ...]
    on_failure: tuple[Literal["degrade", "raise"], ...] = ("raise", "raise")
    probe: Literal["background", "next_utterance"] = "background"
    seconds: float = 0.8
    stall: float = 1.0

    def make(self, urls: Sequence[str]) -> Owner:
        """Voxport's adapters for the vendors, and what goes from one to the other."""
        members = [
            CustomWebSocketSTTAdapter(
                url,
                "key",
                sample_rate=self.schedule.sample_rate,
                vendor=Hurried(_protocol(plan.behaviour.dialect), seconds=self.stall),
                on_failure=on_failure,
            )
            for url, plan, on_failure in zip(urls, self.vendors, self.on_failure, strict=True)
        ]
        return Owner(
            members,
            silence_limit=self.seconds,
            breaker_seconds=0.5,
            breaker_max_seconds=1.0,
            probe=self.probe,
        )

    def complaints(self, report: StreamReport) -> list[str]:
        """What must not be. Audio that two vendors heard is billed twice, and that is what usage says; vendors
        that give no times are mixed with vendors that do."""
        mixed = len({plan.behaviour.times for plan in self.vendors}) > 1
        return [
            problem
            for problem in report.problems()
            if not problem.startswith("usage of") and not (mixed and problem.endswith("the vendor never said so"))
        ]


def _protocol(dialect: str) -> Any:
    return find_vendor(dialect).streaming


async def check(runs: Sequence[Run]) -> list[StreamReport]:
    reports = await run_all_with_vendors([(run.make, run.schedule, run.vendors) for run in runs])
    bad = [(run, report) for run, report in zip(runs, reports, strict=True) if run.complaints(report)]
    assert not bad, "\n\n".join(
        f"seed {SEED}\n{run!r}\n  " + "\n  ".join(run.complaints(report)) + f"\n{report.transcript()}"
        for run, report in bad
    )
    return reports


@st.composite
def plans(draw: st.DrawFn, audio: float, outage: float) -> VendorPlan:
    """A vendor that fails at up to three moments, and may fall silent for a while."""
    silent_after = draw(st.sampled_from([None, None, None, 0.5, 2.0, 5.0]))
    return VendorPlan(
        behaviour=draw(behaviours()),
        faults=tuple(draw(st.lists(faults(audio, outage), max_size=3))),
        silent_after=silent_after,
        silent_seconds=draw(st.sampled_from([0.5, 1.5])) if silent_after else None,
    )


@st.composite
def runs(draw: st.DrawFn, *, outage: float = 1.0, pace: float = 8.0, max_words: int = 60) -> Run:
    schedule = dataclasses.replace(
        draw(fault_schedules(pace=pace, max_words=max_words)), faults=(), behaviour=Behaviour()
    )
    audio = schedule.speech().duration
    mode = st.sampled_from(["raise", "degrade"])
    return Run(
        schedule=schedule,
        vendors=(draw(plans(audio, outage)), draw(plans(audio, outage))),
        on_failure=(draw(mode), draw(mode)),
        probe=draw(st.sampled_from(["background", "next_utterance"])),
    )


@settings(_COMMON, max_examples=2, derandomize=True)
@given(st.lists(runs(outage=0.5, max_words=30), min_size=8, max_size=8))
async def test_no_word_is_lost_or_doubled(several: list[Run]) -> None:
    await check(several)


@seed(SEED)
@settings(_COMMON, max_examples=1)
@given(st.lists(runs(outage=0.5, max_words=30), min_size=6, max_size=6))
async def test_no_word_is_lost_or_doubled_in_schedules_nobody_has_seen(several: list[Run]) -> None:
    await check(several)


@pytest.mark.soak
@seed(SEED)
@settings(_COMMON, max_examples=20)
@given(st.lists(runs(outage=4.0, pace=6.0), min_size=10, max_size=10))
async def test_no_word_is_lost_or_doubled_in_200_schedules(several: list[Run]) -> None:
    await check(several)


_WORKS = VendorPlan(behaviour=Behaviour(dialect="deepgram"))
_TALK = Schedule(utterances=(4, 5, 3, 4), pace=8.0, tail_ms=300)


_FAILING = [
    VendorPlan(faults=(Fault(1.5, "abort"),)),
    VendorPlan(faults=(Fault(1.5, "close", code=1000),)),
    VendorPlan(faults=(Fault(1.5, "close", code=1008),)),
    VendorPlan(faults=(Fault(0.02, "status", 60.0, 503),)),
    VendorPlan(faults=(Fault(0.02, "hang", 60.0),)),
    VendorPlan(faults=(Fault(1.5, "half_open"),)),
    VendorPlan(silent_after=0.0),
    VendorPlan(silent_after=1.5),
    VendorPlan(behaviour=Behaviour(times=False), faults=(Fault(2.6, "abort"),)),
    VendorPlan(behaviour=Behaviour(times=False, speech_events=False, words=False), silent_after=2.6),
]
_MODES: tuple[Literal["raise", "degrade"], ...] = ("raise", "degrade")


@pytest.mark.parametrize("mode", _MODES)
async def test_the_second_vendor_goes_on_whatever_the_first_does(mode: Literal["raise", "degrade"]) -> None:
    several = [Run(schedule=_TALK, vendors=(first, _WORKS), on_failure=(mode, mode)) for first in _FAILING]
    for run, report in zip(several, await check(several), strict=True):
        assert len(report.connections) >= 2 or run.vendors[0].faults[0].kind in ("status", "hang"), run
        assert report.wall_seconds < 30.0, f"the first vendor was waited for: {run}"


async def test_silence_that_no_member_notices_is_noticed_while_the_caller_speaks() -> None:
    schedule = dataclasses.replace(_TALK, utterances=(4, 5, 3, 4, 6, 5, 4), pace=4.0)
    run = Run(schedule=schedule, vendors=(VendorPlan(silent_after=1.5), _WORKS), stall=30.0)
    [report] = await check([run])
    last_audio = max(event.created_at for event in report.events)
    heard = [event.created_at for event in report.events if "w20" in str(event.alternatives)]
    assert last_audio - heard[0] > 0.8, "the second vendor was there long before the end of the call"


async def test_both_fail_at_once_and_come_back() -> None:
    first = VendorPlan(faults=(Fault(1.5, "refuse", 1.0),))
    second = VendorPlan(behaviour=Behaviour(dialect="deepgram"), faults=(Fault(0.1, "refuse", 1.2),))
    await check([Run(schedule=_TALK, vendors=(first, second), on_failure=(mode, mode)) for mode in _MODES])


async def test_three_vendors_of_three_kinds_one_after_the_other() -> None:
    vendors = (
        VendorPlan(faults=(Fault(1.2, "abort"), Fault(1.3, "refuse", 30.0))),
        VendorPlan(behaviour=Behaviour(times=False), silent_after=1.4),
        VendorPlan(behaviour=Behaviour(dialect="deepgram", latency=0.1, finals_every=3)),
    )
    await check([Run(schedule=_TALK, vendors=vendors, on_failure=("raise", "degrade", "raise"))])


# ---------------------------------------------------------------------- in an AgentSession


async def converse(make: Callable[[Sequence[str]], Owner], vendors: Sequence[VendorPlan]) -> list[list[int]]:
    """The turns that are committed."""
    async with AsyncExitStack() as stack:
        urls, _, _ = await vendors_on_loopback(vendors, stack)
        turns, _ = await talk_to(make(urls), pace=6.0, seconds=15.0, pause_ms=900)
    return turns


_TALKS = {
    "nothing": (VendorPlan(), _WORKS),
    "drops": (VendorPlan(faults=(Fault(0.9, "abort"), Fault(2.5, "abort"))), _WORKS),
    "silence": (VendorPlan(silent_after=2.2), _WORKS),
    "both": (
        VendorPlan(faults=(Fault(2.0, "refuse", 0.6),)),
        VendorPlan(behaviour=Behaviour(dialect="deepgram"), faults=(Fault(0.3, "refuse", 0.7),)),
    ),
    "no times": (VendorPlan(behaviour=Behaviour(times=False), faults=(Fault(3.1, "abort"),)), _WORKS),
}


@pytest.mark.parametrize("mode", _MODES)
async def test_turns_are_committed_whole_and_once(mode: Literal["raise", "degrade"]) -> None:
    schedule = dataclasses.replace(_TALK, sample_rate=24000)
    several = {
        # members that would bear silence for ever: only the failover adapter can notice it
        name: Run(
            schedule=schedule, vendors=vendors, on_failure=(mode, mode), stall=30 if name == "silence" else 1
        )
        for name, vendors in _TALKS.items()
    }
    turns = await asyncio.gather(*(converse(run.make, run.vendors) for run in several.values()))
    assert dict(zip(several, turns, strict=True)) == dict.fromkeys(several, TURNS)
