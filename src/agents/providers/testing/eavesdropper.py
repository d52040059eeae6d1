"""Somebody who is told what a vendor's protocols send, are sent and make of it; it is put around them.

:class:`~.tape.Tape` keeps what it is told, ``voxport transcribe --wire`` prints it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from typing import Any, TypeVar

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
    WireMessage,
)
from ..protocol.batch import BatchFlow
from ..vendors import Vendor
from .delegating import DelegatingBatch, DelegatingConversation, DelegatingStreaming

__all__ = ["Eavesdropper"]

T = TypeVar("T")


class Eavesdropper:
    """A subclass overrides what it wants to be told. *settings* are those of the connection or call.

    It is told everything as it is, credentials and audio included.
    """

    def on(self, vendor: Vendor) -> Vendor:
        """*vendor*, with everything its recognising protocols do told here."""
        return dataclasses.replace(
            vendor,
            streaming=_Streaming(vendor.streaming, self) if vendor.streaming is not None else None,
            batch=_Batch(vendor.batch, self) if vendor.batch is not None else None,
        )

    def asked(self, request: HttpRequest, settings: Settings) -> None:
        """*request* is about to be sent."""

    def answered(
        self, request: HttpRequest, response: HttpResponse, settings: Settings, *, preparing: bool
    ) -> None:
        """*request* succeeded; when *preparing*, it was made to get into a WebSocket."""

    def refused(self, response: HttpResponse, failure: Failure) -> None:
        """A request about a recording failed, which means *failure*."""

    def recognised(self, result: Recognition, audio: Pcm, settings: Settings) -> None:
        """What all requests about *audio* came to."""

    def connecting(self, request: ConnectRequest, settings: Settings) -> None:
        """A WebSocket is about to be opened."""

    def sent(self, what: str, messages: Sequence[WireMessage], settings: Settings, pcm: bytes) -> None:
        """A conversation wrote *messages* in its method *what*, which was given the audio *pcm*."""

    def heard(self, message: str | bytes, events: Sequence[Event], settings: Settings) -> None:
        """The vendor sent *message*, which means *events*."""

    def not_understood(self, message: str | bytes, error: Exception, settings: Settings) -> None:
        """The vendor sent *message*, and the protocol raised *error* over it."""


class _Streaming(DelegatingStreaming):
    def __init__(self, inner: StreamingProtocol, told: Eavesdropper) -> None:
        super().__init__(inner)
        self._told = told

    def prepare(self, settings: Settings) -> Generator[Any, Any, ConnectRequest]:
        request = yield from _overheard(self._inner.prepare(settings), self._told, settings, preparing=True)
        self._told.connecting(request, settings)
        return request

    def converse(self, settings: Settings) -> Conversation:
        return _Conversation(self._inner.converse(settings), self._told, settings)


class _Conversation(DelegatingConversation):
    def __init__(self, inner: Conversation, told: Eavesdropper, settings: Settings) -> None:
        super().__init__(inner)
        self._told = told
        self._settings = settings

    def saying(self, what: str, messages: Sequence[WireMessage], pcm: bytes = b"") -> Sequence[WireMessage]:
        self._told.sent(what, messages, self._settings, pcm)
        return messages

    def receive(self, message: str | bytes) -> Sequence[Event]:
        try:
            events = self._inner.receive(message)
        except Exception as error:
            self._told.not_understood(message, error, self._settings)
            raise
        self._told.heard(message, events, self._settings)
        return events


class _Batch(DelegatingBatch):
    def __init__(self, inner: BatchProtocol, told: Eavesdropper) -> None:
        super().__init__(inner)
        self._told = told

    def recognise(self, audio: Pcm, settings: Settings) -> BatchFlow:
        flow = self._inner.recognise(audio, settings)
        result = yield from _overheard(flow, self._told, settings, preparing=False)
        self._told.recognised(result, audio, settings)
        return result

    def failure(self, response: HttpResponse) -> Failure:
        failure = self._inner.failure(response)
        self._told.refused(response, failure)
        return failure


def _overheard(
    flow: Generator[Any, Any, T], told: Eavesdropper, settings: Settings, *, preparing: bool
) -> Generator[Any, Any, T]:
    """*flow*, with its requests and their answers told."""
    answer: Any = None
    while True:
        try:
            step = flow.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result
        if isinstance(step, HttpRequest):
            told.asked(step, settings)
        answer = yield step
        if isinstance(step, HttpRequest) and answer is not None:
            told.answered(step, answer, settings, preparing=preparing)
