"""A conversation with a vendor, without a network."""

from __future__ import annotations

from typing import Any

from agents.providers.protocol import Conversation, Settings
from agents.providers.vendors import find_vendor

__all__ = ["talk"]


def talk(vendor: str, **fields: Any) -> Conversation:
    """A new connection's conversation; *fields* are of :class:`Settings`."""
    protocol = find_vendor(vendor).streaming
    assert protocol is not None
    given = Settings("ws://localhost:1", **{"language": "en-US", **fields})
    protocol.check(given)
    return protocol.converse(given)
