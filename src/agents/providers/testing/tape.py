"""A tape of everything a protocol sends, is sent and makes of it; it is wrapped around the protocol.

    tape = Tape()
    vendor = tape.on(find_vendor("deepgram"))
    adapter = CustomWebSocketSTTAdapter(url, api_key=key, vendor=vendor)
    ...
    tape.events(Final)          # what the vendor's messages meant
    "keyterm=Voxport" in tape.wire

The tape holds credentials and lives in memory only; :mod:`.traces` makes a file of it that does not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar, Union
from urllib.parse import unquote_plus

from ..protocol import (
    ConnectRequest,
    Event,
    HttpRequest,
    HttpResponse,
    Pcm,
    Recognition,
    Settings,
    WireMessage,
)
from .eavesdropper import Eavesdropper

__all__ = ["Asked", "Connected", "Entry", "Heard", "Recognised", "Sent", "Tape"]

E = TypeVar("E")


@dataclass(repr=False)
class Asked:
    """An HTTP request and its successful answer; ``None`` when there was none."""

    request: HttpRequest
    response: HttpResponse | None = None


@dataclass(repr=False)
class Connected:
    """A WebSocket was opened."""

    request: ConnectRequest
    settings: Settings


@dataclass(repr=False)
class Sent:
    """The protocol wrote *messages*; *what* is the method it did so in, *pcm* the audio it was given."""

    what: str
    messages: Sequence[WireMessage]
    pcm: bytes = b""


@dataclass(repr=False)
class Heard:
    """The vendor sent *message*, which meant *events*."""

    message: str | bytes
    events: Sequence[Event]


@dataclass(repr=False)
class Recognised:
    """What a batch exchange about *audio* came to."""

    result: Recognition
    settings: Settings
    audio: Pcm


Entry = Union[Asked, Connected, Sent, Heard, Recognised]


@dataclass(repr=False)
class Tape(Eavesdropper):
    """What went through the protocols it is :meth:`~.eavesdropper.Eavesdropper.on`, in order."""

    entries: list[Entry] = field(default_factory=list)

    def asked(self, request: HttpRequest, settings: Settings) -> None:
        self.entries.append(Asked(request))

    def answered(
        self, request: HttpRequest, response: HttpResponse, settings: Settings, *, preparing: bool
    ) -> None:
        asked = (entry for entry in reversed(self.entries) if isinstance(entry, Asked))
        next(entry for entry in asked if entry.request is request).response = response

    def recognised(self, result: Recognition, audio: Pcm, settings: Settings) -> None:
        self.entries.append(Recognised(dataclasses.replace(result), settings, audio))

    def connecting(self, request: ConnectRequest, settings: Settings) -> None:
        self.entries.append(Connected(request, settings))

    def sent(self, what: str, messages: Sequence[WireMessage], settings: Settings, pcm: bytes) -> None:
        self.entries.append(Sent(what, [m if isinstance(m, str) else bytes(m) for m in messages], pcm))

    def heard(self, message: str | bytes, events: Sequence[Event], settings: Settings) -> None:
        # a copy: the engine may go on to change what it was given
        self.entries.append(Heard(message, [dataclasses.replace(event) for event in events]))

    def events(self, kind: type[E]) -> list[E]:
        """All events of *kind* the vendor's messages meant."""
        heard = (entry for entry in self.entries if isinstance(entry, Heard))
        return [event for entry in heard for event in entry.events if isinstance(event, kind)]

    @property
    def result(self) -> Recognition:
        """The last batch result."""
        return next(entry.result for entry in reversed(self.entries) if isinstance(entry, Recognised))

    @property
    def wire(self) -> str:
        """All that was sent except audio, as text to search: URLs decoded, binary messages as Latin-1."""
        return "\n".join(line for entry in self.entries for line in _wire_lines(entry))


def _wire_lines(entry: Entry) -> list[str]:
    if isinstance(entry, Connected):
        headers = [f"{name}: {value}" for name, value in entry.request.headers.items()]
        return [entry.request.url, unquote_plus(entry.request.url), *headers, *entry.request.subprotocols]
    if isinstance(entry, Asked):
        request = entry.request
        headers = [f"{name}: {value}" for name, value in request.headers.items()]
        return [f"{request.method} {request.url}", unquote_plus(request.url), *headers, *_body_lines(request)]
    if isinstance(entry, Sent):
        return [_text(message) for message in entry.messages if entry.what != "audio" or isinstance(message, str)]
    return []


def _body_lines(request: HttpRequest) -> list[str]:
    if request.body is None:
        return []
    if isinstance(request.body, bytes):
        return [] if request.body.startswith(b"RIFF") else [_text(request.body)]
    values = ((part.name, _text(part.value)) for part in request.body if part.filename is None)
    return [f"{name}={value}" for name, value in values]


def _text(message: WireMessage) -> str:
    if isinstance(message, str):
        return message
    raw = bytes(message)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
