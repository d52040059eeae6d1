"""No word is lost and none is said twice, whatever happens to the connection.

The short run is part of `make test`; the long one, with outages of up to 10 s, of `make soak`. A failure prints
the schedule, which can be pasted into a test, and the seed: ``VOXPORT_SEED=… pytest tests/stt/test_schedules.py``.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from agents.providers.stt.streaming import CustomWebSocketSTTAdapter
from agents.providers.testing import (
    Behaviour,
    Fault,
    Hurried,
    Schedule,
    StreamReport,
    run_schedules,
)
from agents.providers.testing.strategies import fault_schedules
from agents.providers.vendors import find_vendor

SEED = int(os.environ.get("VOXPORT_SEED") or random.SystemRandom().randrange(2**32))

# Schedules take seconds: shrinking one would take minutes, and what is printed is short enough to read.
_COMMON = settings(
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def engine_for(schedule: Schedule, *, seconds: float = 1.0) -> Callable[[str], CustomWebSocketSTTAdapter]:
    """Makes the adapter for a schedule: its dialect, and its sample rate, so that nothing is resampled.

    A connection that says nothing for *seconds* counts as dead.
    """

    def make(url: str) -> CustomWebSocketSTTAdapter:
        protocol = find_vendor(schedule.behaviour.dialect).streaming
        assert protocol is not None
        return CustomWebSocketSTTAdapter(
            url, "key", sample_rate=schedule.sample_rate, vendor=Hurried(protocol, seconds=seconds)
        )

    return make


def _complaint(schedule: Schedule, report: StreamReport) -> str:
    problems = "\n  ".join(report.problems())
    return f"seed {SEED}\n{schedule!r}\n  {problems}\n{report.transcript()}"


async def _run(schedules: list[Schedule], *, seconds: float = 1.0) -> list[StreamReport]:
    """Run them at once, and fail with all that went wrong."""
    reports = await run_schedules(lambda schedule: engine_for(schedule, seconds=seconds), schedules)
    bad = [(s, r) for s, r in zip(schedules, reports, strict=True) if r.problems()]
    assert not bad, "\n\n".join(_complaint(schedule, report) for schedule, report in bad)
    return reports


# They mostly wait, so many at once take hardly longer than one. The first example is the simplest there is.
_SHORT = st.lists(fault_schedules(outage_seconds=0.5), min_size=12, max_size=12)


@settings(_COMMON, max_examples=3, derandomize=True)
@given(_SHORT)
async def test_no_word_is_lost_or_doubled(schedules: list[Schedule]) -> None:
    await _run(schedules)


@seed(SEED)
@settings(_COMMON, max_examples=2)
@given(_SHORT)
async def test_no_word_is_lost_or_doubled_in_schedules_nobody_has_seen(schedules: list[Schedule]) -> None:
    await _run(schedules)


@pytest.mark.soak
@seed(SEED)
@settings(_COMMON, max_examples=50)
@given(st.lists(fault_schedules(outage_seconds=10.0, pace=8.0), min_size=10, max_size=10))
async def test_no_word_is_lost_or_doubled_in_500_schedules(schedules: list[Schedule]) -> None:
    await _run(schedules, seconds=2.0)


_DROPS = (Fault(1.03, "abort"), Fault(2.51, "cut"), Fault(3.77, "abort"))


async def _run_with_faults(schedules: list[Schedule]) -> None:
    reports = await _run(schedules)
    fired = [report.faults_fired for report in reports]
    assert fired == [len(schedule.faults) for schedule in schedules]


async def test_three_drops_cost_nothing() -> None:
    behaviours = [
        Behaviour(),
        Behaviour(times=False),
        Behaviour(times=False, speech_events=False, words=False),
        Behaviour(dialect="deepgram"),
        Behaviour(dialect="deepgram", speech_events=False, flushed=False),
        Behaviour(late_finals="after_partials", finals_every=2),
        Behaviour(duplicate_finals=True, finals_every=2),
        Behaviour(empty_finals=True, latency=0.1, wire="fragmented"),
    ]
    await _run_with_faults(
        [
            Schedule(utterances=(4, 5, 3), faults=_DROPS, behaviour=behaviour, flush_after=(6,))
            for behaviour in behaviours
        ]
    )


async def test_each_fault_alone_costs_nothing() -> None:
    faults = [
        *(Fault(1.5, "close", code=code) for code in (1000, 1001, 1011, 1012, 1013)),
        Fault(1.5, "refuse", 0.5),
        Fault(1.5, "hang", 0.5),
        Fault(1.5, "status", 0.5, 503),
        Fault(1.5, "status", 0.5, 429, "1"),
        Fault(1.5, "half_open"),
        Fault(1.5, "slow", 0.5),
        Fault(1.5, "nonsense"),
        Fault(1.5, "unknown"),
        Fault(1.5, "stammer"),
    ]
    await _run_with_faults([Schedule(utterances=(4, 5, 3), faults=(fault,), tail_ms=300) for fault in faults])


async def test_finals_that_come_after_the_answer_to_a_flush_are_not_lost() -> None:
    behaviour = Behaviour(late_finals="after_flushed")
    await _run([Schedule(utterances=(4, 5), behaviour=behaviour, flush_after=(1, 6), tail_ms=500)])
