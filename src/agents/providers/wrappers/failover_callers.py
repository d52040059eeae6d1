"""For which caller a member works: LiveKit's ``error`` events name the member, and not the stream they are about.

Whatever a member's stream starts inherits the context in which it was made, so that tells.
"""

from __future__ import annotations

import contextvars
import weakref
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["caller_of_this", "on_behalf_of"]

_Stream = TypeVar("_Stream")

_callers: contextvars.ContextVar[tuple[weakref.ref[Any], ...]] = contextvars.ContextVar(
    "voxport_failover_callers", default=()
)
"""Several, where one failover is in another. Connections that are kept inherit it, too, and outlive the stream, so
that is not held."""


@contextmanager
def on_behalf_of(stream: object) -> Iterator[None]:
    """What is started inside works for *stream*."""
    token = _callers.set((*_callers.get(), weakref.ref(stream)))
    try:
        yield
    finally:
        _callers.reset(token)


def caller_of_this(streams: Collection[_Stream]) -> _Stream | None:
    """The one of *streams* for which a member does what runs now; ``None`` where that cannot be told."""
    callers = (caller() for caller in _callers.get())
    return next((caller for caller in callers if caller is not None and caller in streams), None)
