"""A vendor in a hurry: any protocol, with waits short enough for audio at many times real time."""

from __future__ import annotations

import dataclasses

from ..protocol import Settings, StreamingProtocol, Traits
from .delegating import DelegatingStreaming

__all__ = ["Hurried"]


class Hurried(DelegatingStreaming):
    """A protocol of which only the times differ.

    Args:
        inner: the protocol.
        seconds: how long speech may stay unanswered; twice as long, a heartbeat and the end of a drain.
    """

    def __init__(self, inner: StreamingProtocol, *, seconds: float) -> None:
        super().__init__(inner)
        self._seconds = seconds

    def traits(self, settings: Settings) -> Traits:
        return dataclasses.replace(
            super().traits(settings),
            ready_seconds=self._seconds,
            stall_seconds=self._seconds,
            heartbeat_seconds=2 * self._seconds,
            drain_seconds=2 * self._seconds,
        )
