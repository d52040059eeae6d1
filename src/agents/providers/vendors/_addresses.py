"""Where a vendor is when nobody says: where the environment has its own SDK look, or its usual place.

The variables are those that the vendor's SDK reads, or LiveKit's plugin where the SDK reads none; a name that
neither knows is not made up here. As in the SDK, the service's path comes behind what the variable holds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..base import ConfigurationError

if TYPE_CHECKING:
    from . import Service, Vendor

__all__ = ["address_of"]

_VARIABLES: Mapping[tuple[str, str], tuple[str, str]] = {
    # openai 3.54.0, lib/_client_auth.py; its realtime client puts ws in http's place
    ("openai", "streaming"): ("OPENAI_BASE_URL", "/realtime"),
    ("openai", "batch"): ("OPENAI_BASE_URL", "/audio/transcriptions"),
    ("openai", "synthesis"): ("OPENAI_BASE_URL", "/audio/speech"),
    # assemblyai 1.8.2, types.Settings; the host of streams is no part of it
    ("assemblyai", "batch"): ("ASSEMBLYAI_BASE_URL", ""),
    ("assemblyai_sync", "batch"): ("ASSEMBLYAI_SYNC_BASE_URL", "/v1/transcribe/live"),
    # cartesia 4.2.0, _client.py
    ("cartesia", "synthesis"): ("CARTESIA_BASE_URL", "/tts/bytes"),
    ("cartesia", "streaming_synthesis"): ("CARTESIA_BASE_URL", "/tts/websocket"),
    # livekit-plugins-azure 1.8.9, stt.py; a container, as Microsoft's SDK takes it for streams
    ("azure", "streaming"): ("AZURE_SPEECH_HOST", ""),
}
"""By vendor and service: the variable, and the path behind it."""

_NEARER = ("region", "speech_region")
"""Options that say where, too: whoever sets one does not mean the environment's place."""


def address_of(vendor: Vendor, service: Service, options: Mapping[str, Any]) -> str | None:
    """The URL of *vendor*'s *service*; ``None`` where it has no usual place.

    Args:
        options: of the vendor, as they are set.

    Raises:
        ConfigurationError: what the environment holds is no URL.
    """
    usual: str | None = getattr(vendor, f"{service}_url")
    name, path = _VARIABLES.get((vendor.name, service), ("", ""))
    base = os.environ.get(name, "").strip().rstrip("/") if name else ""
    if not base or usual is None or any(options.get(option) for option in _NEARER):
        return usual
    if not re.match(r"(https?|wss?)://[^/]", base):
        raise ConfigurationError(
            f"the environment variable {name} is no URL: it must begin with https:// or http:// and a host"
        )
    scheme, rest = base.split("://", 1)
    kind = "ws" if service.startswith("streaming") else "http"
    return f"{kind}{'s' if scheme in ('https', 'wss') else ''}://{rest}{path}"
