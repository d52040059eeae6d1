"""The interfaces of vendors that speak: text in, audio out. Nothing here does I/O.

Over HTTP a vendor is a :class:`SynthesisProtocol`: one text, one answer, whose body is the audio. Over a
WebSocket it is a :class:`StreamingSynthesisProtocol`, which for every connection makes a
:class:`SynthesisConversation`: text goes out as the language model writes it, audio comes back as it is made.

A *segment* is what is said in one go, usually one answer of the agent: it begins with :meth:`begin
<SynthesisConversation.begin>`, ends with :meth:`end <SynthesisConversation.end>`, and is over with
:class:`SegmentDone`. A connection carries one segment at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Union

from .batch import HttpRequest, HttpResponse, Wait, error_text
from .events import Failure, Ready, Word
from .policy import Verdict, judge_status
from .settings import Settings
from .streaming import ConnectRequest, WireMessage

__all__ = [
    "AnswerReader",
    "Audio",
    "SegmentDone",
    "SpokenWords",
    "StreamingSynthesisProtocol",
    "SynthesisConversation",
    "SynthesisEvent",
    "SynthesisForm",
    "SynthesisProtocol",
    "SynthesisTraits",
]


@dataclass(frozen=True)
class SynthesisForm:
    """What the audio of an answer is.

    Attributes:
        mime_type: ``audio/pcm`` for signed 16-bit little-endian samples, ``audio/basic`` for µ-law (ITU-T G.711),
            otherwise ``audio/mpeg``, ``audio/wav``, ``audio/ogg`` …, whose own header says the rate.
        sample_rate: Hz of ``audio/pcm`` and ``audio/basic``.
        channels: of these, interleaved.
    """

    mime_type: str = "audio/pcm"
    sample_rate: int = 24000
    channels: int = 1


@dataclass(slots=True)
class Audio:
    """More audio of the segment, in the form of the connection. Any number of bytes; samples may be cut in two."""

    data: bytes = field(repr=False)


@dataclass(slots=True)
class SpokenWords:
    """Words that are in the audio of the segment; times are seconds from its beginning."""

    words: list[Word]


@dataclass(slots=True)
class SegmentDone:
    """All audio of the segment has come."""


SynthesisEvent = Union[Ready, Audio, SpokenWords, SegmentDone, SynthesisForm, Failure]
"""A :class:`SynthesisForm` among the events says what the audio after it is, where only the vendor knows."""


class AnswerReader(ABC):
    """Takes the audio out of an answer that wraps it, as JSON does, while it comes."""

    @abstractmethod
    def push(self, data: bytes) -> Sequence[Audio | Failure]:
        """What is complete with more of the body. A :class:`~.events.Failure` ends the answer.

        Raises:
            ValueError: it is not what this vendor sends; the message says why, without the body.
        """

    def finish(self) -> Sequence[Audio | Failure]:
        """What is complete at the end of the body.

        Raises:
            ValueError: as :meth:`push`.
        """
        return ()


class SynthesisProtocol(ABC):
    """One vendor's HTTP wire format for speech. Immutable, shared by all calls."""

    name: str
    """The vendor, as errors, metrics and ``provider`` show it."""

    @abstractmethod
    def request(self, text: str, settings: Settings) -> HttpRequest:
        """The request that has *text* spoken, with ``settings.voice``, at ``settings.sample_rate`` if it can."""

    @abstractmethod
    def form(self, response: HttpResponse, settings: Settings) -> SynthesisForm:
        """What the body of a successful response is. ``response.body`` is empty: only the head has come.

        Raises:
            ValueError: the answer is no audio; the message says what it is instead.
        """

    def reader(self, response: HttpResponse, settings: Settings) -> AnswerReader | None:
        """What takes the audio out of the body of a successful response; ``None`` where the body is the audio.

        ``response.body`` is empty: only the head has come.
        """
        return None

    def failure(self, response: HttpResponse) -> Failure:
        """What an unsuccessful response means. The default reads the status and common error bodies."""
        return Failure(error_text(response), judge_status(response.status), status=response.status)

    def place(self, settings: Settings) -> str:
        """Where the service is asked with *settings*, for errors: their URL, with what the vendor adds to it."""
        return settings.url

    def check(self, settings: Settings) -> None:
        """Refuse settings this vendor cannot serve, before any request is made.

        Raises:
            ConfigurationError: with what to change.
        """

    def describe(self) -> Mapping[str, Any]:
        """Facts for listings: title, links, options. Nothing in the engine reads them."""
        return {}


@dataclass(frozen=True)
class SynthesisTraits:
    """What holds for every connection to a vendor that speaks. Times are seconds.

    Attributes:
        form: of the audio.
        timed_words: the vendor says when which word is spoken (LiveKit's ``aligned_transcript``).
        text_unit: the smallest piece of text it takes well; pieces of the language model are joined to it.
        early_flushes: of a vendor that speaks nothing before a flush: how many a minute, of one connection, may be
            spent on having the first sentence of a segment spoken while the rest is still being written.
        reusable: a connection carries one segment after another; otherwise each segment has its own.
        cancels: a segment can be broken off without closing the connection, by
            :meth:`SynthesisConversation.cancel`, which the vendor answers with :class:`SegmentDone`.
        cancel_answered: and only then is the connection free. ``False``: messages name their segment, so that the
            next one may begin at once; the vendor need not answer, and what it still sends is left out.
        waits_for_ready: no text before the vendor's :class:`~.events.Ready`.
        ready_seconds: how long to wait for it.
        keepalive_seconds: after so long without sending, send :meth:`SynthesisConversation.keepalive`.
        heartbeat_seconds: interval of WebSocket pings; ``None``: never.
        idle_seconds: an unused connection is not kept longer.
        session_seconds: no connection is kept longer.
        stall_seconds: so long after the last text or audio, a segment that is not done counts as dead.
        silence_seconds: of a vendor that never says when a segment is done: it is, when after
            :meth:`SynthesisConversation.end` no audio has come for so long, and there was some.
        close_codes: the vendor's own meanings of WebSocket close codes.
    """

    form: SynthesisForm = field(default_factory=SynthesisForm)
    timed_words: bool = False
    text_unit: Literal["token", "word", "sentence"] = "word"
    early_flushes: int = 0
    reusable: bool = True
    cancels: bool = False
    cancel_answered: bool = True
    waits_for_ready: bool = False
    ready_seconds: float = 10.0
    keepalive_seconds: float | None = None
    heartbeat_seconds: float | None = 20.0
    idle_seconds: float = 60.0
    session_seconds: float = 3600.0
    stall_seconds: float = 10.0
    silence_seconds: float | None = None
    close_codes: Mapping[int, Verdict] = field(default_factory=dict)


class SynthesisConversation(ABC):
    """One connection's talk. Methods return what to send; the engine sends it, in order."""

    def opening(self) -> Sequence[WireMessage]:
        """Messages to send right after the handshake."""
        return ()

    def begin(self, segment_id: str) -> Sequence[WireMessage]:
        """Messages that begin a segment; *segment_id* is unique and may be sent."""
        return ()

    @abstractmethod
    def text(self, text: str) -> Sequence[WireMessage]:
        """Messages that add *text* to the segment."""

    def flush(self) -> Sequence[WireMessage]:
        """Messages that have all text so far spoken now, without ending the segment."""
        return ()

    @abstractmethod
    def end(self) -> Sequence[WireMessage]:
        """Messages that end the segment: what is not spoken yet is, and then the vendor says that it is done."""

    def cancel(self) -> Sequence[WireMessage]:
        """Messages that break the segment off; only asked for where the traits say ``cancels``."""
        return ()

    def keepalive(self) -> Sequence[WireMessage]:
        """Messages that keep an idle connection open."""
        return ()

    def close(self) -> Sequence[WireMessage]:
        """Messages that say goodbye before the socket is closed."""
        return ()

    @abstractmethod
    def receive(self, message: str | bytes) -> Sequence[SynthesisEvent]:
        """What a message of the vendor means. What belongs to an earlier segment is left out.

        Raises:
            ProtocolError: the message is not of this protocol. The connection goes on without it.
        """


class StreamingSynthesisProtocol(ABC):
    """One vendor's WebSocket wire format for speech. Immutable, shared by all connections of an adapter."""

    name: str
    """The vendor, as errors, metrics and ``provider`` show it."""

    @abstractmethod
    def traits(self, settings: Settings) -> SynthesisTraits:
        """What holds for connections with these settings."""

    @abstractmethod
    def connect(self, settings: Settings) -> ConnectRequest:
        """Where and how to open the WebSocket."""

    def prepare(self, settings: Settings) -> Generator[HttpRequest | Wait, HttpResponse, ConnectRequest]:
        """The way to the WebSocket for vendors that want HTTP requests first, as for streaming recognition."""
        return self.connect(settings)
        yield  # a generator, even where there is nothing to ask first

    @abstractmethod
    def converse(self, settings: Settings) -> SynthesisConversation:
        """The talk on a new connection."""

    def place(self, settings: Settings) -> str:
        """Where the service is asked with *settings*, for errors: their URL, with what the vendor adds to it."""
        return settings.url

    def check(self, settings: Settings) -> None:
        """Refuse settings this vendor cannot serve, before any connection is made.

        Raises:
            ConfigurationError: with what to change.
        """

    def describe(self) -> Mapping[str, Any]:
        """Facts for listings: title, links, options. Nothing in the engine reads them."""
        return {}
