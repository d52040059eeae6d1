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
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from ..protocol import (
    ConnectRequest,
    Event,
    Failure,
    HttpRequest,
    HttpResponse,
    Pcm,
    Recognition,
    Segment,
    Settings,
    WireMessage,
)
from ..redaction import MASK, is_secret_name, safe_url
from ..testing.eavesdropper import Eavesdropper

__all__ = ["Wiretap"]

_SHOWN_CHARS = 400
_INDENT = "    "
_AUDIO = re.compile(r'"[\w+/\\-]{100,}={0,2}"', re.ASCII)  # base64, hexadecimal
_FIELD = re.compile(r'"([^"\\]+)"\s*:\s*"((?:[^"\\]|\\.){6,})"')


class Wiretap(Eavesdropper):
    """Tells *say*, line by line, what the protocols it is on do. It tells of one recording at a time."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._settings: Settings | None = None  # of the last request
        self._audio_messages = 0
        self._audio_bytes = 0
        self._audio_rate = 0
        self._audio_form = ""
        self._told_form = False
        self._hidden: set[str] = set()

    def asked(self, request: HttpRequest, settings: Settings) -> None:
        self._settings = settings
        body = request.body
        told = ""
        if isinstance(body, bytes):
            text = self._plain(body.decode(errors="replace"), settings) if body.startswith(b"{") else ""
            told = f" {text}" if text and not text.endswith("…") else f", {len(body)} bytes"
        elif body is not None:
            told = ", a form of " + ", ".join(part.name for part in body)
        self._line(f"→ {request.method} {self._plain(safe_url(request.url), settings)}{told}")

    def answered(
        self, request: HttpRequest, response: HttpResponse, settings: Settings, *, preparing: bool
    ) -> None:
        if preparing:  # the answer is a credential: it is hidden, here and from now on
            text = response.body.decode(errors="replace")
            found = [value for _, value in _FIELD.findall(text)]
            self._hidden.update(found or ([text.strip()] if text.strip() else []))
            self._line(f"← {response.status}")
        else:
            self._response(response, settings)

    def refused(self, response: HttpResponse, failure: Failure) -> None:
        if self._settings is not None:
            self._response(response, self._settings)
            self._meant(_told(failure), self._settings)

    def recognised(self, result: Recognition, audio: Pcm, settings: Settings) -> None:
        self._meant(_told(result), settings)

    def connecting(self, request: ConnectRequest, settings: Settings) -> None:
        self._line(f"→ connect {self._plain(safe_url(request.url), settings)}")

    def sent(self, what: str, messages: Sequence[WireMessage], settings: Settings, pcm: bytes) -> None:
        if what == "audio":
            self._audio_messages += 1
            self._audio_bytes += len(pcm)
            self._audio_rate = settings.sample_rate
            if not self._told_form:
                texts = [message for message in messages if isinstance(message, str)]
                self._audio_form = f" like {self._shown(texts[0], settings)}" if texts else ""
                self._told_form = bool(texts)
            return
        for message in messages:
            self._line(f"→ {self._shown(message, settings)}")

    def heard(self, message: str | bytes, events: Sequence[Event], settings: Settings) -> None:
        self._line(f"← {self._shown(message, settings)}")
        for told in [_told(event) for event in events] or ["(no rule is for it)"]:
            self._meant(told, settings)

    def not_understood(self, message: str | bytes, error: Exception, settings: Settings) -> None:
        self._line(f"← {self._shown(message, settings)}")
        self._meant(f"not understood: {error}", settings)

    def _line(self, text: str) -> None:
        """Say *text*, behind the audio that was sent before."""
        if self._audio_messages:
            seconds = self._audio_bytes / 2 / self._audio_rate
            self._say(f"→ {seconds:.2f} s of audio in {self._audio_messages} messages{self._audio_form}")
            self._audio_messages = self._audio_bytes = 0
            self._audio_form = ""
        self._say(text)

    def _meant(self, told: str, settings: Settings) -> None:
        self._line(_INDENT + self._plain(told, settings))

    def _response(self, response: HttpResponse, settings: Settings) -> None:
        try:
            text = " ".join(response.body.decode().split())
        except UnicodeDecodeError:
            text = f"{len(response.body)} bytes"
        self._line(f"← {response.status} {self._plain(text, settings)}".rstrip())

    def _plain(self, text: str, settings: Settings) -> str:
        """*text* without credentials and audio, and not too long."""
        self._hidden.update(value for name, value in _FIELD.findall(text) if is_secret_name(name))
        text = _AUDIO.sub(lambda value: f'"({len(value[0]) - 2} characters)"', text)
        for value in sorted(self._hidden, key=len, reverse=True):
            text = text.replace(value, MASK).replace(quote(value, safe=""), MASK)
        return settings.redact(text, limit=_SHOWN_CHARS)

    def _shown(self, message: WireMessage, settings: Settings) -> str:
        if not isinstance(message, str):
            return f"{len(bytes(message))} bytes"
        return self._plain(message, settings) or "(an empty message)"


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
