"""One timer serves all streams of a loop."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref

import pytest

from agents.providers.stt.ticker import Ticker, ticker


async def ticks(clock: Ticker, every: float, count: int) -> list[float]:
    """The times of *count* calls."""
    times: list[float] = []
    done = asyncio.Event()

    def call(now: float) -> None:
        times.append(now)
        if len(times) == count:
            clock.remove(call)
            done.set()

    clock.add(call, every=every)
    await done.wait()
    return times


async def test_each_is_called_about_as_often_as_it_asked_for() -> None:
    clock = ticker()
    often, seldom = await asyncio.gather(ticks(clock, 0.01, 12), ticks(clock, 0.04, 2))
    assert all(later - earlier >= 0.009 for earlier, later in itertools.pairwise(often))
    assert seldom[1] - seldom[0] >= 0.039


async def test_a_shorter_interval_does_not_wait_for_a_longer_one() -> None:
    clock = ticker()
    clock.add(never, every=1000.0)
    assert len(await ticks(clock, 0.01, 2)) == 2
    clock.remove(never)


async def test_a_failure_of_one_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    clock = ticker()

    def fails(now: float) -> None:
        raise ValueError("broken")

    clock.add(fails, every=0.005)
    assert len(await ticks(clock, 0.01, 2)) == 2
    clock.remove(fails)
    assert "broken" in caplog.text


async def test_without_members_there_is_no_timer() -> None:
    clock = ticker()
    clock.add(never, every=1000.0)
    timer = clock._timer
    assert timer is not None
    clock.remove(never)
    clock.remove(never)
    assert timer.cancelled()
    assert clock._timer is None


async def test_one_may_remove_another_that_is_due() -> None:
    clock = ticker()
    called: list[str] = []
    done = asyncio.Event()

    def first(now: float) -> None:
        called.append("first")
        clock.remove(second)
        clock.remove(first)
        done.set()

    def second(now: float) -> None:
        called.append("second")

    clock.add(first, every=0.005)
    clock.add(second, every=0.005)
    await done.wait()
    assert called == ["first"]


def test_each_loop_has_its_own_which_is_gone_with_the_next() -> None:
    async def mine() -> weakref.ref[Ticker]:
        assert ticker() is ticker()
        return weakref.ref(ticker())

    one, other = asyncio.run(mine()), asyncio.run(mine())
    gc.collect()
    assert one() is None is not other()


def never(now: float) -> None:
    raise AssertionError("called too early")
