"""Which member is asked: breakers, the order, silence judged by comparison. No clock runs here."""

from __future__ import annotations

import random

import pytest

from agents.providers.base import ConfigurationError
from agents.providers.protocol import Backoff
from agents.providers.wrappers.failover_breaker import Breaker, BreakerOptions
from agents.providers.wrappers.failover_choice import Choice

OPTIONS = BreakerOptions(failures=1, seconds=5.0, max_seconds=20.0)


def choice(count: int, options: BreakerOptions = OPTIONS) -> tuple[Choice, list[Breaker]]:
    breakers = [Breaker(options) for _ in range(count)]
    return Choice(breakers, Backoff(random=random.Random(1))), breakers


# ---------------------------------------------------------------------- the breaker


def test_a_failure_opens_the_breaker_and_time_makes_it_half_open() -> None:
    breaker = Breaker(OPTIONS)
    assert breaker.closed and breaker.ready(0)
    assert breaker.failed(100.0), "out of use since now"
    assert not breaker.ready(104.9)
    assert breaker.half_open(105.0) and not breaker.closed
    assert breaker.succeeded(), "in use again since now"
    assert breaker.closed and not breaker.succeeded()


def test_each_failed_trial_doubles_the_time_up_to_the_longest() -> None:
    breaker, now, waits = Breaker(OPTIONS), 0.0, []
    for _ in range(4):
        breaker.failed(now)
        waits.append(breaker.retry_at - now)
        now = breaker.retry_at
    assert waits == [5.0, 10.0, 20.0, 20.0]
    breaker.succeeded()
    breaker.failed(0.0)
    assert breaker.retry_at == 5.0, "a success starts it over"


def test_fewer_failures_than_it_takes_leave_it_closed() -> None:
    breaker = Breaker(BreakerOptions(failures=3))
    assert [breaker.failed(0.0) for _ in range(3)] == [False, False, True]
    breaker.succeeded()
    assert not breaker.failed(1.0), "only failures in a row count"


def test_what_cannot_pass_opens_it_for_the_longest_time_at_once() -> None:
    breaker = Breaker(BreakerOptions(failures=3, seconds=5.0, max_seconds=60.0))
    assert breaker.failed(0.0, permanent=True)
    assert breaker.retry_at == 60.0 and breaker.permanent


def test_there_is_one_trial_at_a_time() -> None:
    breaker = Breaker(OPTIONS)
    breaker.failed(0.0)
    breaker.on_trial = True
    assert not breaker.half_open(10.0)
    breaker.failed(10.0)
    assert not breaker.on_trial and breaker.retry_at == 20.0


@pytest.mark.parametrize(
    "options", [{"failures": 0}, {"failures": True}, {"seconds": 0.0}, {"seconds": 9.0, "max_seconds": 5.0}]
)
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="breaker"):
        BreakerOptions(**options)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- the order


def test_the_preferred_member_comes_first_and_the_next_one_without_a_wait() -> None:
    chosen, _ = choice(3)
    assert chosen.next(0.0) == (0, 0.0)
    chosen.failed(0, 0.0)
    assert chosen.next(0.0) == (1, 0.0)
    chosen.failed(1, 0.0)
    assert chosen.next(0.0) == (2, 0.0)


def test_a_member_that_is_out_of_use_is_asked_before_nobody() -> None:
    chosen, breakers = choice(2)
    breakers[0].failed(0.0)
    assert chosen.next(1.0) == (1, 0.0)
    chosen.failed(1, 1.0)
    assert chosen.next(1.0) == (0, 0.0), "its time is not over, but there is nobody else"


def test_one_that_works_is_asked_before_one_that_may_work_again() -> None:
    chosen, breakers = choice(3)
    breakers[0].failed(0.0)
    assert breakers[0].half_open(50.0)
    assert chosen.next(50.0)[0] == 1


def test_when_all_have_failed_the_waits_grow_and_the_rounds_are_counted() -> None:
    chosen, _ = choice(2)
    waits = []
    for now in range(6):
        for _ in range(2):
            member, delay = chosen.next(float(now))
            waits.append(delay)
            chosen.failed(member, float(now))
        assert chosen.rounds == now + 1
    assert waits[1::2] == [0.0] * 6, "the second of a round does not wait"
    assert waits[:3:2] == [0.0, 0.0] and 0 < max(waits) <= 3.0


def test_a_word_ends_the_count_unless_the_member_breaks_at_once_again_and_again() -> None:
    chosen, breakers = choice(2)
    for member in (0, 1):
        chosen.failed(member, 0.0)
    chosen.next(0.0)
    chosen.heard(0, 0.0, proven=False)
    assert chosen.rounds == 1 and not breakers[0].closed
    assert chosen.heard(0, 1.0, proven=True) == [(0, True)]
    assert chosen.rounds == 0 and breakers[0].closed and not breakers[1].closed


def test_there_is_no_hope_only_when_nobody_can_ever_work() -> None:
    chosen, _ = choice(2)
    chosen.failed(0, 0.0, permanent=True)
    assert not chosen.hopeless
    chosen.failed(1, 0.0)
    assert not chosen.hopeless
    chosen.failed(1, 0.0, permanent=True)
    assert chosen.hopeless


# ---------------------------------------------------------------------- silence


def test_silence_is_a_failure_when_another_finds_words_in_it() -> None:
    chosen, breakers = choice(2)
    chosen.silent(0)
    assert breakers[0].closed, "it may be right"
    assert chosen.next(0.0) == (1, 0.0)
    assert chosen.heard(1, 3.0, proven=True) == [(0, False)]
    assert not breakers[0].closed


def test_silence_of_all_is_no_failure_and_gives_everybody_more_patience() -> None:
    chosen, breakers = choice(2)
    for patience in (2.0, 4.0, 8.0, 8.0):
        chosen.silent(0)
        chosen.silent(1)
        assert chosen.rounds == 0
        assert chosen.next(0.0) == (0, 0.0)
        assert chosen.patience == patience
    assert all(breaker.closed for breaker in breakers)
    chosen.heard(0, 1.0, proven=True)
    assert chosen.patience == 1.0


# ---------------------------------------------------------------------- the way back


def test_the_stream_goes_back_only_to_a_member_that_is_preferred_and_proved() -> None:
    chosen, breakers = choice(3)
    breakers[0].failed(0.0)
    breakers[1].failed(0.0)
    assert chosen.better(2, 1.0) is None and chosen.due_for_trial(2, 1.0) is None
    assert chosen.due_for_trial(2, 6.0) == 0
    assert chosen.better(2, 6.0) is None, "half open is not proved"
    assert chosen.better(2, 6.0, untested=True) == 0
    breakers[1].succeeded()
    assert chosen.better(2, 6.0) == 1 and chosen.better(1, 6.0) is None and chosen.better(0, 6.0) is None


def test_a_handover_goes_where_it_was_meant_to() -> None:
    chosen, breakers = choice(2)
    breakers[0].failed(0.0)
    chosen.silent(1)
    chosen.hand_to(0)
    assert chosen.next(0.0) == (0, 0.0)
    assert chosen.next(0.0) == (1, 0.0), "only once, and everybody may be asked again"
