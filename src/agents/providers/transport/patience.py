"""The wait that a vendor asks for (``Retry-After``), kept within LiveKit's own loop of retries."""

from __future__ import annotations

import asyncio

from livekit.agents import APIError

__all__ = ["Patience"]


class Patience:
    """LiveKit waits its interval and calls for the next attempt, which waits for the rest here.

    A voice has one for all it says, sentence by sentence; a language model one for each answer.

    Args:
        longest: seconds somebody would wait; a vendor that asks for more is not asked again.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._not_before = 0.0

    def heed(self, error: APIError) -> None:
        """Note what *error* says of when to come back. It is not retryable any more if that is too long."""
        seconds: float | None = getattr(error, "retry_after", None)
        if not error.retryable or seconds is None:
            return
        if seconds > self._longest:
            error.retryable = False
            return
        self._not_before = asyncio.get_running_loop().time() + seconds

    async def wait(self) -> None:
        """Wait until the vendor may be asked."""
        await asyncio.sleep(max(self._not_before - asyncio.get_running_loop().time(), 0))
