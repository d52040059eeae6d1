"""The embedded speech server: what a vendor does, on this machine, without a network or a key.

It recognises with pocketsphinx (or faster-whisper), speaks with espeak-ng, and answers in Voxport's generic
protocol and in OpenAI's. It is written independently of the clients it proves. Needs
``pip install "voxport[local]"``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .extras import MissingExtraError
    from .options import ServerOptions
    from .process import ServerProcess
    from .server import SpeechServer

__all__ = ["MissingExtraError", "ServerOptions", "ServerProcess", "SpeechServer"]

_HOMES = {
    "MissingExtraError": ".extras",
    "ServerOptions": ".options",
    "ServerProcess": ".process",
    "SpeechServer": ".server",
}


def __getattr__(name: str) -> Any:
    """Import on first use: decoder processes are in this package too, and need neither server nor codecs."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
