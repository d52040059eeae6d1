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
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, Union
from urllib.parse import unquote_plus

from ..protocol import (
    BatchProtocol,
    ConnectRequest,
    Conversation,
    Event,
    Failure,
    HttpRequest,
    HttpResponse,
    Pcm,
    Recognition,
    Settings,
    StreamingProtocol,
    Traits,
    Verdict,
    Wait,
    WireMessage,
)
from ..vendors import Vendor

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
class Tape:
    """What went through the protocols it is :meth:`on`, in order."""

    entries: list[Entry] = field(default_factory=list)

    def on(self, vendor: Vendor) -> Vendor:
        """*vendor*, with everything its protocols do recorded here."""
        return dataclasses.replace(
            vendor,
            streaming=_TapedStreaming(vendor.streaming, self) if vendor.streaming is not None else None,
            batch=_TapedBatch(vendor.batch, self) if vendor.batch is not None else None,
        )

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


class _TapedStreaming(StreamingProtocol):
    def __init__(self, inner: StreamingProtocol, tape: Tape) -> None:
        self.name = inner.name
        self._inner = inner
        self._tape = tape

    def traits(self, settings: Settings) -> Traits:
        return self._inner.traits(settings)

    def connect(self, settings: Settings) -> ConnectRequest:
        return self._inner.connect(settings)

    def prepare(self, settings: Settings) -> Generator[HttpRequest, HttpResponse, ConnectRequest]:
        request = yield from _taped_flow(self._inner.prepare(settings), self._tape)
        self._tape.entries.append(Connected(request, settings))
        return request

    def converse(self, settings: Settings) -> Conversation:
        return _TapedConversation(self._inner.converse(settings), self._tape)

    def place(self, settings: Settings) -> str:
        return self._inner.place(settings)

    def check(self, settings: Settings) -> None:
        self._inner.check(settings)

    def describe(self) -> Mapping[str, Any]:
        return self._inner.describe()


class _TapedConversation(Conversation):
    def __init__(self, inner: Conversation, tape: Tape) -> None:
        self._inner = inner
        self._tape = tape

    def _sent(self, what: str, messages: Sequence[WireMessage], pcm: bytes = b"") -> Sequence[WireMessage]:
        self._tape.entries.append(Sent(what, [m if isinstance(m, str) else bytes(m) for m in messages], pcm))
        return messages

    def opening(self) -> Sequence[WireMessage]:
        return self._sent("opening", self._inner.opening())

    def audio(self, chunk: bytes | bytearray | memoryview) -> Sequence[WireMessage]:
        return self._sent("audio", self._inner.audio(chunk), bytes(chunk))

    def flush(self) -> Sequence[WireMessage]:
        return self._sent("flush", self._inner.flush())

    def keepalive(self) -> Sequence[WireMessage]:
        return self._sent("keepalive", self._inner.keepalive())

    def close(self) -> Sequence[WireMessage]:
        return self._sent("close", self._inner.close())

    def update(self, settings: Settings) -> Sequence[WireMessage] | None:
        messages = self._inner.update(settings)
        if messages is not None:
            self._sent("update", messages)
        return messages

    def receive(self, message: str | bytes) -> Sequence[Event]:
        events = self._inner.receive(message)
        # a copy: the engine may go on to change what it was given
        self._tape.entries.append(Heard(message, [dataclasses.replace(event) for event in events]))
        return events


class _TapedBatch(BatchProtocol):
    def __init__(self, inner: BatchProtocol, tape: Tape) -> None:
        self.name = inner.name
        self.aligned_words = inner.aligned_words
        self.diarization = inner.diarization
        self.sample_rates = inner.sample_rates
        self._inner = inner
        self._tape = tape

    def request(self, audio: Pcm, settings: Settings) -> HttpRequest:
        return self._inner.request(audio, settings)

    def parse(self, response: HttpResponse, settings: Settings) -> Recognition:
        return self._inner.parse(response, settings)

    def recognise(
        self, audio: Pcm, settings: Settings
    ) -> Generator[Union[HttpRequest, Wait], Union[HttpResponse, None], Recognition]:
        result = yield from _taped_flow(self._inner.recognise(audio, settings), self._tape)
        self._tape.entries.append(Recognised(dataclasses.replace(result), settings, audio))
        return result

    def failure(self, response: HttpResponse) -> Failure:
        return self._inner.failure(response)

    def judge_result(self, recognition: Recognition) -> Verdict | None:
        return self._inner.judge_result(recognition)

    def place(self, settings: Settings) -> str:
        return self._inner.place(settings)

    def check(self, settings: Settings) -> None:
        self._inner.check(settings)

    def describe(self) -> Mapping[str, Any]:
        return self._inner.describe()


def _taped_flow(flow: Generator[Any, Any, E], tape: Tape) -> Generator[Any, Any, E]:
    """*flow*, with its requests and their answers recorded."""
    answer: Any = None
    while True:
        try:
            step = flow.send(answer)
        except StopIteration as done:
            result: E = done.value
            return result
        asked = Asked(step) if isinstance(step, HttpRequest) else None
        if asked is not None:
            tape.entries.append(asked)
        answer = yield step
        if asked is not None:
            asked.response = answer
