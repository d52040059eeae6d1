"""The interface of a streaming vendor.

A :class:`StreamingProtocol` is immutable and shared by all streams of an adapter. For every connection it makes
a :class:`Conversation`, which holds what must be remembered between two messages, and nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Union

from .audio import AudioForm
from .batch import HttpRequest, HttpResponse, Wait
from .events import Event
from .policy import Verdict
from .settings import Settings

__all__ = [
    "ConnectRequest",
    "Conversation",
    "ProtocolError",
    "StreamingProtocol",
    "Traits",
    "WireMessage",
]

WireMessage = Union[str, bytes, bytearray, memoryview]
"""``str`` is sent as a text message, anything else as a binary one."""


class ProtocolError(ValueError):
    """A message of the vendor cannot be understood. Its text says what is wrong, not what the message held."""


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """Where and how to open the WebSocket. Holds credentials, so it does not print."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    subprotocols: Sequence[str] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Traits:
    """What holds for every connection to a vendor. Times are seconds.

    Attributes:
        interim_results, diarization, aligned_transcript, keyterms, flush: LiveKit's capabilities; *flush* says
            that the vendor finalises on request.
        audio: the form of the audio.
        waits_for_ready: no audio before the vendor's :class:`~.events.Ready`.
        ready_seconds: how long to wait for it.
        keepalive_seconds: after so long without sending, send :meth:`Conversation.keepalive`; ``None``: never.
        heartbeat_seconds: interval of WebSocket pings, by which a dead socket is noticed; ``None``: never.
        stall_seconds: how long speech may be sent with no message coming back before the connection counts
            as dead.
        idle_seconds: a vendor that closes after so long without audio did nothing wrong.
        drain_seconds: how long to wait, after the closing message, for the next message.
        session_seconds: after so long the connection is renewed at the end of an utterance; ``None``: never.
        announces_end: the vendor says when an utterance ends. ``False``: it never does, so every final ends one.
            ``None``: not known; it counts as announced from the first event about the beginning or end of speech.
        reports_usage: the vendor sends usage itself; otherwise seconds of audio sent are counted.
        promotes_last_partial: at the end the vendor does not finalise the last text, so the last partial counts.
        close_codes: the vendor's own meanings of WebSocket close codes.
    """

    interim_results: bool = True
    diarization: bool = False
    aligned_transcript: Literal["word", "chunk", False] = False
    keyterms: bool = False
    flush: bool = True
    audio: AudioForm = field(default_factory=AudioForm)
    waits_for_ready: bool = False
    ready_seconds: float = 10.0
    keepalive_seconds: float | None = None
    heartbeat_seconds: float | None = 20.0
    stall_seconds: float = 12.0
    idle_seconds: float = 3.0
    drain_seconds: float = 10.0
    session_seconds: float | None = None
    announces_end: bool | None = None
    reports_usage: bool = False
    promotes_last_partial: bool = False
    close_codes: Mapping[int, Verdict] = field(default_factory=dict)


class Conversation(ABC):
    """One connection's talk. Methods return what to send; the engine sends it, in order.

    Attributes:
        plain_audio: :meth:`audio` gives the chunk itself and nothing else, so that it need not be called.
    """

    plain_audio = False

    def opening(self) -> Sequence[WireMessage]:
        """Messages to send right after the handshake."""
        return ()

    def audio(self, chunk: bytes | bytearray | memoryview) -> Sequence[WireMessage]:
        """Messages that carry *chunk*: signed 16-bit little-endian PCM at the rate of the settings."""
        return (chunk,)

    def flush(self) -> Sequence[WireMessage]:
        """Messages that ask for finals of all audio sent so far."""
        return ()

    def keepalive(self) -> Sequence[WireMessage]:
        """Messages that keep an idle connection open."""
        return ()

    def close(self) -> Sequence[WireMessage]:
        """Messages that end the audio and ask for what is left."""
        return ()

    def update(self, settings: Settings) -> Sequence[WireMessage] | None:
        """Messages that bring the connection to *settings*, or ``None`` when only a new connection can."""
        return None

    @abstractmethod
    def receive(self, message: str | bytes) -> Sequence[Event]:
        """What a message of the vendor means: ``str`` for a text message, ``bytes`` for a binary one.

        Raises:
            ProtocolError: the message is not of this protocol. The connection goes on without it.
        """


class StreamingProtocol(ABC):
    """One vendor's streaming wire format."""

    name: str
    """The vendor, as errors, metrics and ``provider`` show it."""

    @abstractmethod
    def traits(self, settings: Settings) -> Traits:
        """What holds for connections with these settings."""

    def place(self, settings: Settings) -> str:
        """The URL of *settings*, with what it leaves open (such as a region) filled in.

        Raises:
            ConfigurationError: nothing says what belongs there.
        """
        return settings.url

    @abstractmethod
    def connect(self, settings: Settings) -> ConnectRequest:
        """Where and how to open the WebSocket."""

    def prepare(self, settings: Settings) -> Generator[HttpRequest | Wait, HttpResponse, ConnectRequest]:
        """The way to the WebSocket for vendors that want HTTP requests first (a token, a session URL).

        A generator: it yields requests, is sent their successful responses, and returns where to connect. It may
        yield a :class:`~.batch.Wait` while something else (a thread that looks for credentials) gets ready.
        """
        return self.connect(settings)
        yield  # a generator, even where there is nothing to ask first

    @abstractmethod
    def converse(self, settings: Settings) -> Conversation:
        """The talk on a new connection."""

    def check(self, settings: Settings) -> None:
        """Refuse settings this vendor cannot serve, before any connection is made.

        Raises:
            ConfigurationError: with what to change.
        """

    def describe(self) -> Mapping[str, Any]:
        """Facts for listings: title, links, options. Nothing in the engine reads them."""
        return {}
