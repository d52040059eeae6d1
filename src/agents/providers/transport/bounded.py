"""Work that may take so long and no longer, and work that must come to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

__all__ = ["bounded", "to_its_end"]

_T = TypeVar("_T")


async def bounded(work: Awaitable[_T], seconds: float) -> _T:
    """The result of *work*, which is cancelled after so many seconds.

    It is here instead of ``asyncio.wait_for`` because that one, before Python 3.12, swallows a cancellation that
    comes in the moment of the result: whoever was cancelled goes on. Here the cancellation wins, and the result is
    lost; work that opens something must close it itself when nobody takes it.

    Raises:
        asyncio.TimeoutError: it took longer.
        Exception: whatever *work* raises.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
    finally:
        if not task.done():
            task.cancel()
        # also after a cancellation: nothing may run on for a caller who is gone
        await asyncio.gather(task, return_exceptions=True)
    if task.cancelled():
        raise asyncio.TimeoutError(f"it took longer than {seconds:g} s")
    return task.result()  # just in time


async def to_its_end(work: Coroutine[Any, Any, _T], *, name: str) -> _T:
    """The result of *work*, which goes on however often the caller is cancelled.

    A caller who is cancelled meanwhile, once or several times, is so when that is done: what cleans up and is
    cancelled in the middle leaves behind what nobody else knows of.

    Raises:
        Exception: whatever *work* raises.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    cancelled = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result
