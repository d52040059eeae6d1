"""A protocol around a protocol: it does what the one inside does, and a subclass says what it does otherwise."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

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
from ..protocol.batch import BatchFlow

__all__ = ["DelegatingBatch", "DelegatingConversation", "DelegatingStreaming"]


class DelegatingStreaming(StreamingProtocol):
    """Does what *inner* does; so does every method a subclass leaves alone."""

    def __init__(self, inner: StreamingProtocol) -> None:
        self.name = inner.name
        self._inner = inner

    def traits(self, settings: Settings) -> Traits:
        return self._inner.traits(settings)

    def place(self, settings: Settings) -> str:
        return self._inner.place(settings)

    def connect(self, settings: Settings) -> ConnectRequest:
        return self._inner.connect(settings)

    def prepare(self, settings: Settings) -> Generator[HttpRequest | Wait, HttpResponse, ConnectRequest]:
        return self._inner.prepare(settings)

    def converse(self, settings: Settings) -> Conversation:
        return self._inner.converse(settings)

    def check(self, settings: Settings) -> None:
        self._inner.check(settings)

    def describe(self) -> Mapping[str, Any]:
        return self._inner.describe()


class DelegatingConversation(Conversation):
    """Says what *inner* says, by way of :meth:`saying`."""

    def __init__(self, inner: Conversation) -> None:
        self._inner = inner

    def saying(self, what: str, messages: Sequence[WireMessage], pcm: bytes = b"") -> Sequence[WireMessage]:
        """The *messages* that the method called *what* answers, for the audio *pcm* if it was given some."""
        return messages

    def opening(self) -> Sequence[WireMessage]:
        return self.saying("opening", self._inner.opening())

    def audio(self, chunk: bytes | bytearray | memoryview) -> Sequence[WireMessage]:
        return self.saying("audio", self._inner.audio(chunk), bytes(chunk))

    def flush(self) -> Sequence[WireMessage]:
        return self.saying("flush", self._inner.flush())

    def keepalive(self) -> Sequence[WireMessage]:
        return self.saying("keepalive", self._inner.keepalive())

    def close(self) -> Sequence[WireMessage]:
        return self.saying("close", self._inner.close())

    def update(self, settings: Settings) -> Sequence[WireMessage] | None:
        messages = self._inner.update(settings)
        return None if messages is None else self.saying("update", messages)

    def receive(self, message: str | bytes) -> Sequence[Event]:
        return self._inner.receive(message)


class DelegatingBatch(BatchProtocol):
    """Does what *inner* does; so does every method a subclass leaves alone."""

    def __init__(self, inner: BatchProtocol) -> None:
        self.name = inner.name
        self.aligned_words = inner.aligned_words
        self.diarization = inner.diarization
        self.sample_rates = inner.sample_rates
        self._inner = inner

    def place(self, settings: Settings) -> str:
        return self._inner.place(settings)

    def request(self, audio: Pcm, settings: Settings) -> HttpRequest:
        return self._inner.request(audio, settings)

    def parse(self, response: HttpResponse, settings: Settings) -> Recognition:
        return self._inner.parse(response, settings)

    def recognise(self, audio: Pcm, settings: Settings) -> BatchFlow:
        return self._inner.recognise(audio, settings)

    def failure(self, response: HttpResponse) -> Failure:
        return self._inner.failure(response)

    def judge_result(self, recognition: Recognition) -> Verdict | None:
        return self._inner.judge_result(recognition)

    def check(self, settings: Settings) -> None:
        self._inner.check(settings)

    def describe(self) -> Mapping[str, Any]:
        return self._inner.describe()
