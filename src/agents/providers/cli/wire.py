"""What goes over the wire, and what it means: for people who write a vendor's file and see nothing come of it.

    → connect ws://127.0.0.1:9000/ears?rate=16000&lang=en
    ← {"evt":"hello"}
        Ready
    → 2.37 s of audio in 12 messages
    ← {"evt":"hyp","txt":"what are","fixed":false,"from":170,"to":540}
        Partial 'what are' 0.17 to 0.54 s

It is wrapped around the protocols, so it shows what an adapter's connection is asked to send and has received. The
key is not shown, nor what else the settings hold that is secret, nor a credential that was got for it on the way.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

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
    Segment,
    Settings,
    StreamingProtocol,
    Traits,
    Verdict,
    WireMessage,
)
from ..redaction import MASK, is_secret_name, safe_url
from ..vendors import Vendor

__all__ = ["Wiretap"]

_SHOWN_CHARS = 400
_INDENT = "    "
_FIELD = re.compile(r'"([^"\\]+)"\s*:\s*"((?:[^"\\]|\\.){6,})"')


class Wiretap:
    """Tells *say*, line by line, what the protocols it is :meth:`on` do. It tells of one recording at a time."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._audio_messages = 0
        self._audio_bytes = 0
        self._audio_rate = 0
        self._hidden: set[str] = set()

    def on(self, vendor: Vendor) -> Vendor:
        """*vendor*, listened in on."""
        return dataclasses.replace(
            vendor,
            streaming=_TappedStreaming(vendor.streaming, self) if vendor.streaming is not None else None,
            batch=_TappedBatch(vendor.batch, self) if vendor.batch is not None else None,
        )

    def line(self, text: str) -> None:
        """Say *text*, behind the audio that was sent before."""
        if self._audio_messages:
            seconds = self._audio_bytes / 2 / self._audio_rate
            self._say(f"→ {seconds:.2f} s of audio in {self._audio_messages} messages")
            self._audio_messages = self._audio_bytes = 0
        self._say(text)

    def audio(self, size: int, rate: int) -> None:
        """Count *size* bytes of 16-bit PCM that were sent."""
        self._audio_messages += 1
        self._audio_bytes += size
        self._audio_rate = rate

    def sent(self, messages: Sequence[WireMessage], settings: Settings) -> None:
        """Say what was sent beside audio."""
        for message in messages:
            self.line(f"→ {self._shown(message, settings)}")

    def heard(self, message: str | bytes, settings: Settings, meaning: Sequence[str]) -> None:
        """Say what was received, and what came of it."""
        self.line(f"← {self._shown(message, settings)}")
        for told in meaning or ["(no rule is for it)"]:
            self.meant(told, settings)

    def meant(self, told: str, settings: Settings) -> None:
        """Say what came of something."""
        self.line(_INDENT + self.plain(told, settings))

    def asked(self, request: HttpRequest, settings: Settings) -> None:
        """Say what was requested."""
        body = request.body
        told = ""
        if isinstance(body, bytes):
            is_json = len(body) <= _SHOWN_CHARS and body.startswith(b"{")
            told = f" {self.plain(body.decode(errors='replace'), settings)}" if is_json else f", {len(body)} bytes"
        elif body is not None:
            told = ", a form of " + ", ".join(part.name for part in body)
        self.line(f"→ {request.method} {self.plain(safe_url(request.url), settings)}{told}")

    def answered(self, response: HttpResponse, settings: Settings) -> None:
        """Say how a request was answered."""
        try:
            text = " ".join(response.body.decode().split())
        except UnicodeDecodeError:
            text = f"{len(response.body)} bytes"
        self.line(f"← {response.status} {self.plain(text, settings)}".rstrip())

    def answered_with_credentials(self, response: HttpResponse) -> None:
        """Say that a request was answered, and hide what the answer holds from now on."""
        text = response.body.decode(errors="replace")
        found = [value for _, value in _FIELD.findall(text)]
        self._hidden.update(found or ([text.strip()] if text.strip() else []))
        self.line(f"← {response.status}")

    def plain(self, text: str, settings: Settings) -> str:
        """*text* without credentials, and not too long."""
        self._hidden.update(value for name, value in _FIELD.findall(text) if is_secret_name(name))
        for value in sorted(self._hidden, key=len, reverse=True):
            text = text.replace(value, MASK).replace(quote(value, safe=""), MASK)
        return settings.redact(text, limit=_SHOWN_CHARS)

    def _shown(self, message: WireMessage, settings: Settings) -> str:
        if not isinstance(message, str):
            return f"{len(bytes(message))} bytes"
        return self.plain(message, settings) or "(an empty message)"


def _told(event: Any) -> str:
    """An event or a result by its name and what it says."""
    name = type(event).__name__
    if isinstance(event, (Segment, Recognition)):
        return f"{name} {event.text!r}{_told_times(event)}"
    if isinstance(event, Failure):
        return f"{name}, {event.verdict.value}: {event.message}"
    said = {f.name: getattr(event, f.name) for f in dataclasses.fields(event)}
    return " ".join([name, *(f"{key} {value}" for key, value in said.items() if value not in (None, "", 0, {}))])


def _told_times(heard: Segment | Recognition) -> str:
    start, end = heard.start, heard.end
    times = "" if end is None else f" until {end:.2f} s" if start is None else f" {start:.2f} to {end:.2f} s"
    sure = f", confidence {heard.confidence:.2f}" if heard.confidence else ""
    return f"{times or ' without times'}{sure}" + (f", {len(heard.words)} words" if heard.words else "")


class _TappedStreaming(StreamingProtocol):
    def __init__(self, inner: StreamingProtocol, tap: Wiretap) -> None:
        self.name = inner.name
        self._inner = inner
        self._tap = tap

    def traits(self, settings: Settings) -> Traits:
        return self._inner.traits(settings)

    def connect(self, settings: Settings) -> ConnectRequest:
        return self._inner.connect(settings)

    def prepare(self, settings: Settings) -> Generator[Any, Any, ConnectRequest]:
        # what a preparing request is answered with is a credential: it is not shown
        preparing = self._inner.prepare(settings)
        request: ConnectRequest = yield from _tapped(preparing, self._tap, settings, answers=False)
        self._tap.line(f"→ connect {self._tap.plain(safe_url(request.url), settings)}")
        return request

    def converse(self, settings: Settings) -> Conversation:
        return _TappedConversation(self._inner.converse(settings), self._tap, settings)

    def place(self, settings: Settings) -> str:
        return self._inner.place(settings)

    def check(self, settings: Settings) -> None:
        self._inner.check(settings)

    def describe(self) -> Mapping[str, Any]:
        return self._inner.describe()


class _TappedConversation(Conversation):
    def __init__(self, inner: Conversation, tap: Wiretap, settings: Settings) -> None:
        self._inner = inner
        self._tap = tap
        self._settings = settings

    def _sent(self, messages: Sequence[WireMessage]) -> Sequence[WireMessage]:
        self._tap.sent(messages, self._settings)
        return messages

    def opening(self) -> Sequence[WireMessage]:
        return self._sent(self._inner.opening())

    def audio(self, chunk: bytes | bytearray | memoryview) -> Sequence[WireMessage]:
        self._tap.audio(len(bytes(chunk)), self._settings.sample_rate)
        return self._inner.audio(chunk)

    def flush(self) -> Sequence[WireMessage]:
        return self._sent(self._inner.flush())

    def keepalive(self) -> Sequence[WireMessage]:
        return self._sent(self._inner.keepalive())

    def close(self) -> Sequence[WireMessage]:
        return self._sent(self._inner.close())

    def update(self, settings: Settings) -> Sequence[WireMessage] | None:
        messages = self._inner.update(settings)
        if messages is not None:
            self._sent(messages)
        return messages

    def receive(self, message: str | bytes) -> Sequence[Event]:
        try:
            events = self._inner.receive(message)
        except Exception as error:
            self._tap.heard(message, self._settings, [f"not understood: {error}"])
            raise
        self._tap.heard(message, self._settings, [_told(event) for event in events])
        return events


class _TappedBatch(BatchProtocol):
    def __init__(self, inner: BatchProtocol, tap: Wiretap) -> None:
        self.name = inner.name
        self.aligned_words = inner.aligned_words
        self.diarization = inner.diarization
        self.sample_rates = inner.sample_rates
        self._inner = inner
        self._tap = tap
        self._settings: Settings | None = None

    def request(self, audio: Pcm, settings: Settings) -> HttpRequest:
        return self._inner.request(audio, settings)

    def parse(self, response: HttpResponse, settings: Settings) -> Recognition:
        return self._inner.parse(response, settings)

    def recognise(self, audio: Pcm, settings: Settings) -> Generator[Any, Any, Recognition]:
        self._settings = settings
        result: Recognition = yield from _tapped(self._inner.recognise(audio, settings), self._tap, settings)
        self._tap.meant(_told(result), settings)
        return result

    def failure(self, response: HttpResponse) -> Failure:
        failure = self._inner.failure(response)
        if self._settings is not None:
            self._tap.answered(response, self._settings)
            self._tap.meant(_told(failure), self._settings)
        return failure

    def judge_result(self, recognition: Recognition) -> Verdict | None:
        return self._inner.judge_result(recognition)

    def place(self, settings: Settings) -> str:
        return self._inner.place(settings)

    def check(self, settings: Settings) -> None:
        self._inner.check(settings)

    def describe(self) -> Mapping[str, Any]:
        return self._inner.describe()


def _tapped(flow: Generator[Any, Any, Any], tap: Wiretap, settings: Settings, *, answers: bool = True) -> Any:
    """*flow*, with its requests told, and their *answers* where they may be seen."""
    answer: Any = None
    while True:
        try:
            step = flow.send(answer)
        except StopIteration as done:
            return done.value
        if isinstance(step, HttpRequest):
            tap.asked(step, settings)
        answer = yield step
        if isinstance(answer, HttpResponse):
            if answers:
                tap.answered(answer, settings)
            else:
                tap.answered_with_credentials(answer)
