"""How an embedded server is set up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["ServerOptions"]


@dataclass(frozen=True)
class ServerOptions:
    """Settings of a `SpeechServer`; the defaults serve this machine only, and ask for no key.

    ``port`` 0 takes a free one. ``api_keys``: a request must carry one of them; none means all are welcome.
    ``engine`` is "pocketsphinx" or "whisper", ``model`` that engine's model where it has a choice.
    ``streams`` is the number of streams at a time (None: what the machine decodes in real time). Limits:
    ``max_body_bytes`` of one request, ``max_audio_seconds`` of one recording, ``max_text_chars`` of one
    synthesis. A batch request waits ``queue_seconds`` for a free decoder; a WebSocket that sends nothing for
    ``idle_seconds`` is closed, and so is one that takes nothing for ``send_seconds``.
    """

    host: str = "127.0.0.1"
    port: int = 0
    api_keys: Sequence[str] = field(default=(), repr=False)
    engine: str = "pocketsphinx"
    model: str = ""
    streams: int | None = None
    max_body_bytes: int = 25 * 1024 * 1024
    max_audio_seconds: float = 600.0
    max_text_chars: int = 4096
    queue_seconds: float = 10.0
    idle_seconds: float = 60.0
    send_seconds: float = 10.0
