"""An embedded server that only speaks: it needs no recogniser, and is there at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agents.providers.local import ServerOptions, SpeechServer
from agents.providers.local.dialects import Dialect

__all__ = ["speaking_server"]


class _NoEars:
    """A recogniser nobody may ask."""

    name = "none"
    languages: frozenset[str] | None = None
    capacity, active, decoders = 1, 0, 0

    async def start(self) -> None:
        pass

    async def open(self, *, wait_seconds: float = 0.0) -> Any:
        raise AssertionError("nobody listens here")

    async def aclose(self) -> None:
        pass


def speaking_server(*dialects: type[Dialect], **options: Any) -> SpeechServer:
    """A server with *dialects*, and the options of `ServerOptions`."""
    chosen: Iterable[type[Dialect]] = dialects
    return SpeechServer(ServerOptions(**options), recogniser=_NoEars(), dialects=chosen)
