"""An event loop in a thread of its own, beside the one of the test."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

__all__ = ["Elsewhere", "other_loop"]

Elsewhere = Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]]


@contextlib.asynccontextmanager
async def other_loop() -> AsyncIterator[Elsewhere]:
    """Gives a function that has work done on the other loop; that loop is over when the block is left."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def elsewhere(work: Coroutine[Any, Any, Any]) -> Awaitable[Any]:
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))

    async def finish() -> None:
        """Leave nothing of what the loop was given, as `asyncio.run` does."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    try:
        yield elsewhere
    finally:
        await elsewhere(finish())
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join)
        loop.close()
