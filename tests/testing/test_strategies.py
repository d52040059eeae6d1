"""Random schedules stay within what a vendor and a caller can do."""

from __future__ import annotations

from hypothesis import given

from agents.providers.testing import Schedule
from agents.providers.testing.strategies import fault_schedules


@given(fault_schedules(outage_seconds=10.0))
def test_schedules_are_possible(schedule: Schedule) -> None:
    assert 10 <= sum(schedule.utterances) <= 60
    assert len(schedule.faults) <= 4
    assert all(0 < fault.seconds <= 10 or not fault.seconds for fault in schedule.faults)
    behaviour = schedule.behaviour
    assert behaviour.times or (behaviour.flushed and not behaviour.duplicate_finals)
    assert schedule.gap_ms < behaviour.pause_ms < schedule.pause_ms


@given(fault_schedules(dialect="deepgram", max_words=12))
def test_a_dialect_and_a_length_can_be_asked_for(schedule: Schedule) -> None:
    assert schedule.behaviour.dialect == "deepgram"
    assert schedule.behaviour.times and schedule.behaviour.words
    assert sum(schedule.utterances) <= 12
