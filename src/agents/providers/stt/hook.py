"""A subclass' own request: what it returns as a text, what it raises as a failure, whether it ever returns."""

from __future__ import annotations

import inspect
import logging
from traceback import walk_tb
from typing import Any

from ..protocol import Failure, Verdict
from ..protocol.replay import is_loud
from ..transport.bounded import bounded
from .outbox import LOUD_PEAK

__all__ = ["HOOK", "Hook", "failure_of_hook"]

logger = logging.getLogger("agents.providers.stt")

HOOK = "_send_audio_chunk"

_SUSPICIOUS = 5
"""So many answers, all of them ``None``, to audio that may hold speech, are more than noises."""


class Hook:
    """The answers of one adapter's hook.

    Args:
        owner: the class it belongs to, for the log.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._nothings: int | None = 0  # answers to loud audio, all of them None; None once that is settled

    async def text(self, asked: Any, audio: bytes, *, timeout: float) -> str:
        """What the hook returns, as a text; ``None`` is an empty one.

        Args:
            asked: what calling it with *audio* gave.
            timeout: seconds for it. A hook may set none of its own, and nobody may wait for ever.

        Raises:
            TypeError: it is no coroutine, or returns something else than a text.
            TimeoutError: it took longer.
        """
        if not inspect.isawaitable(asked):
            raise TypeError(f"write it as 'async def {HOOK}'")
        text = await bounded(asked, timeout)
        if text is not None and not isinstance(text, str):
            raise TypeError(f"it must return the text, not a {type(text).__name__}")
        if self._nothings is not None:
            self._watch(text, audio)
        return text or ""

    def _watch(self, text: str | None, audio: bytes) -> None:
        """Warn, once, of a hook whose ``return`` was forgotten: everything it hears would be silence."""
        if text is not None:
            self._nothings = None
        elif self._nothings is not None and is_loud(audio, LOUD_PEAK):
            self._nothings += 1
            if self._nothings == _SUSPICIOUS:
                self._nothings = None
                logger.warning(
                    "%s.%s returned None for each of the first %d recordings that are loud enough for speech: "
                    "is 'return' missing? Where nothing was said, return \"\"",
                    self._owner,
                    HOOK,
                    _SUSPICIOUS,
                )


def failure_of_hook(raw: Exception) -> Failure:
    """The failure that an exception of a hook's own is, with the hook's line: the session would be deaf in silence
    if it got out as it is."""
    lines = [f", line {line}" for frame, line in walk_tb(raw.__traceback__) if frame.f_code.co_name == HOOK]
    text = f"{HOOK} failed with {type(raw).__name__}: {raw}{lines[0] if lines else ''}"
    return Failure(text, Verdict.PERMANENT, detail={"malformed": True})
