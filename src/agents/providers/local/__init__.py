"""The embedded speech server: what a vendor does, on this machine, without a network or a key.

It recognises with pocketsphinx (or faster-whisper), speaks with espeak-ng, and answers in Voxport's generic
protocol and in OpenAI's. It is written independently of the clients it proves. Needs ``pip install
"voxport[local]"``.
"""

from __future__ import annotations

from .extras import MissingExtraError
from .options import ServerOptions
from .process import ServerProcess
from .server import SpeechServer

__all__ = ["MissingExtraError", "ServerOptions", "ServerProcess", "SpeechServer"]
