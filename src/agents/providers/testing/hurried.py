"""A vendor in a hurry: any protocol, with waits short enough for audio at many times real time."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping
from typing import Any

from ..protocol import (
    ConnectRequest,
    Conversation,
    HttpRequest,
    HttpResponse,
    Settings,
    StreamingProtocol,
    Traits,
    Wait,
)

__all__ = ["Hurried"]


class Hurried(StreamingProtocol):
    """A protocol of which only the times differ.

    Args:
        inner: the protocol.
        seconds: how long speech may stay unanswered; twice as long, a heartbeat and the end of a drain.
    """

    def __init__(self, inner: StreamingProtocol, *, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds
        self.name = inner.name

    def traits(self, settings: Settings) -> Traits:
        return dataclasses.replace(
            self._inner.traits(settings),
            ready_seconds=self._seconds,
            stall_seconds=self._seconds,
            heartbeat_seconds=2 * self._seconds,
            drain_seconds=2 * self._seconds,
        )

    def connect(self, settings: Settings) -> ConnectRequest:
        return self._inner.connect(settings)

    def prepare(self, settings: Settings) -> Generator[HttpRequest | Wait, HttpResponse, ConnectRequest]:
        return self._inner.prepare(settings)

    def converse(self, settings: Settings) -> Conversation:
        return self._inner.converse(settings)

    def place(self, settings: Settings) -> str:
        return self._inner.place(settings)

    def check(self, settings: Settings) -> None:
        self._inner.check(settings)

    def describe(self) -> Mapping[str, Any]:
        return self._inner.describe()
