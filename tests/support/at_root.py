"""A server in one dialect only, at the root of its port: where clients of self-hosted servers look for it."""

from __future__ import annotations

from agents.providers.local import ServerOptions, SpeechServer
from agents.providers.local.dialects.self_hosted import SelfHosted

__all__ = ["server_at_root"]


def server_at_root(dialect: type[SelfHosted]) -> SpeechServer:
    """A server that asks for no key; use it in ``async with``."""
    rooted = type("AtRoot", (dialect,), {"path": "/"})
    return SpeechServer(ServerOptions(streams=1), dialects=[rooted])
