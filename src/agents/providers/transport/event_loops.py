"""What belongs to one event loop, kept apart from what belongs to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["PerLoop"]

_T = TypeVar("_T")


class PerLoop(Generic[_T]):
    """One of something for each event loop.

    A program may run one loop after the other, and workers with a loop in each of several threads may share an
    adapter. Sockets, tasks and streams serve no other loop than their own.

    Args:
        make: makes one for a loop that has none.
    """

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        self._kept: dict[asyncio.AbstractEventLoop, _T] = {}

    def here(self) -> _T:
        """That of the running loop.

        Raises:
            RuntimeError: none runs.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._kept:
            self._forget_loops_that_are_over()
            self._kept[loop] = self._make()
        return self._kept[loop]

    def if_any(self) -> _T | None:
        """That of the running loop, if it has one."""
        return self._kept.get(asyncio.get_running_loop())

    def take(self) -> _T | None:
        """That of the running loop, if it has one, which is not kept any longer."""
        self._forget_loops_that_are_over()
        return self._kept.pop(asyncio.get_running_loop(), None)

    def all(self) -> list[tuple[asyncio.AbstractEventLoop, _T]]:
        """Those of all loops that are not over."""
        self._forget_loops_that_are_over()
        return list(self._kept.items())

    def _forget_loops_that_are_over(self) -> None:
        for loop in list(self._kept):  # in one step: other threads add and forget at the same time
            if loop.is_closed():
                self._kept.pop(loop, None)
