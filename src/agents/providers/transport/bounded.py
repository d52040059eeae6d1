"""Work that may take so long, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

__all__ = ["bounded"]

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
