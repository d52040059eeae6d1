"""A time limit that loses neither the result, nor an error, nor a cancellation; and work that none interrupts."""

from __future__ import annotations

import asyncio

import pytest

from agents.providers.transport.bounded import bounded, to_its_end


async def test_the_result_and_the_error_come_through() -> None:
    async def works() -> int:
        await asyncio.sleep(0)
        return 7

    async def fails() -> int:
        raise KeyError("no")

    assert await bounded(works(), 5.0) == 7
    with pytest.raises(KeyError):
        await bounded(fails(), 5.0)


@pytest.mark.parametrize("seconds", [0.0, 0.01])
async def test_what_takes_too_long_is_cancelled_before_the_caller_goes_on(seconds: float) -> None:
    cleaned = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    with pytest.raises(asyncio.TimeoutError, match=rf"longer than {seconds:g} s"):
        await bounded(endless(), seconds)
    assert cleaned == [True]


async def test_a_result_in_the_moment_of_the_limit_counts() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "here it is"
        return ""

    assert await bounded(stubborn(), 0.01) == "here it is"


async def test_a_cancellation_reaches_the_work() -> None:
    began, cleaned = asyncio.Event(), []

    async def endless() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    caller = asyncio.ensure_future(bounded(endless(), 5.0))
    await began.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert cleaned == [True]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancellation_that_meets_the_result_wins(fails: bool) -> None:
    """``asyncio.wait_for`` returns the result here before Python 3.12, and the cancellation is forgotten."""

    async def work() -> str:
        asyncio.get_running_loop().call_soon(caller.cancel)  # it runs when this is done, before the caller does
        if fails:
            raise KeyError("nobody hears of it")
        return "nobody takes it"

    caller = asyncio.ensure_future(bounded(work(), 5.0))
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_a_cancellation_in_the_moment_of_the_limit_wins() -> None:
    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            asyncio.get_running_loop().call_soon(caller.cancel)

    caller = asyncio.ensure_future(bounded(slow_to_end(), 0.01))
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_work_that_cancels_itself_is_no_timeout() -> None:
    async def gives_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await bounded(gives_up(), 5.0)


@pytest.mark.parametrize("fails", [False, True])
async def test_work_that_must_come_to_its_end_does_however_often_its_caller_is_cancelled(fails: bool) -> None:
    gate, done = asyncio.Event(), []

    async def work() -> int:
        await gate.wait()
        done.append(True)
        if fails:
            raise KeyError("no")
        return 7

    caller = asyncio.create_task(to_its_end(work(), name="test"))
    for _ in range(3):
        await asyncio.sleep(0)
        caller.cancel()
    await asyncio.sleep(0)
    assert not caller.done()
    gate.set()
    with pytest.raises(KeyError if fails else asyncio.CancelledError):
        await caller
    assert done == [True]
    gate.set()
    if not fails:
        assert await to_its_end(work(), name="test") == 7
