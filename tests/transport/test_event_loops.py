"""One of something for each event loop, also when the loops run in threads of their own."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from other_loop import other_loop

from agents.providers.transport.event_loops import PerLoop
from agents.providers.transport.sessions import SessionSource


async def test_each_loop_has_its_own_until_it_is_taken() -> None:
    kept: PerLoop[list[int]] = PerLoop(list)

    async def use(value: int) -> list[int]:
        kept.here().append(value)
        return kept.here()

    async def take() -> list[int] | None:
        return kept.take()

    async with other_loop() as elsewhere:
        assert [await use(1), await elsewhere(use(2)), await use(3)] == [[1, 3], [2], [1, 3]]
        assert [kept.take(), kept.take()] == [[1, 3], None]
        assert await elsewhere(take()) == [2]
        assert await use(4) == [4]


def test_without_a_loop_there_is_nothing() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        PerLoop(list).here()


def test_nothing_is_kept_of_a_loop_that_is_over() -> None:
    kept: PerLoop[list[int]] = PerLoop(list)
    loops = []

    async def use() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        kept.here()

    for _ in range(3):
        asyncio.run(use())
    gc.collect()
    assert [loop() is None for loop in loops] == [True, True, False], (
        "only that of the last one, until another comes"
    )

    async def close() -> None:
        kept.take()

    asyncio.run(close())
    gc.collect()
    assert loops[2]() is None


class Interrupted(asyncio.SelectorEventLoop):
    """A loop that, when it is asked whether it is over, lets another thread go first."""

    meanwhile: Callable[[], Any] | None = None

    def is_closed(self) -> bool:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            thread = threading.Thread(target=meanwhile)
            thread.start()
            thread.join()
        return super().is_closed()


async def _per_loop(kept: Any) -> None:
    kept.here()


async def _session(source: Any) -> None:
    await source.get().close()  # by somebody else: the source has not heard of it


@pytest.mark.parametrize(
    ("use", "kept"), [(_per_loop, PerLoop(list)), (_session, SessionSource())], ids=["anything", "session"]
)
def test_threads_that_forget_the_same_loop_are_not_in_each_others_way(use: Any, kept: Any) -> None:
    over = Interrupted()
    over.run_until_complete(use(kept))
    over.close()
    over.meanwhile = lambda: asyncio.run(use(kept))
    asyncio.run(use(kept))
