"""AssemblyAI: the profile's names, and what they do not say.

* A stream's settings depend on the model: Universal-3 is steered by ``language_codes``, the others are not.
* A message of audio must hold 50 ms. What is left before a flush is shorter, so it is filled up with silence, and
  the vendor's times are put back by as much.
* Most settings change in band (``UpdateConfiguration``).
* With ``temporary_token`` the key is exchanged for a token, which then stands in the key's place.
* A recording's job may fail for a reason that passes.
"""

from __future__ import annotations

import dataclasses
import re
from bisect import bisect_left
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import orjson

from ..base import ConfigurationError
from ..profiles import Profile, ProfileBatch, ProfileStreaming
from ..protocol import (
    ConnectRequest,
    Conversation,
    Event,
    HttpRequest,
    HttpResponse,
    JobFailed,
    Pcm,
    Segment,
    Settings,
    SpeechEnded,
    SpeechStarted,
    Verdict,
    WireMessage,
)
from ..protocol.batch import BatchFlow
from ..redaction import Secret
from . import Vendor, vendor_in_file

__all__ = ["VENDOR", "AssemblyAIBatch", "AssemblyAIStreaming"]

_DEFAULT_MODEL = "universal-3-5-pro"
_UNSTEERED = re.compile(r"universal-streaming|whisper")
_MIN_SECONDS = 0.05
_TOKEN_SECONDS = 60

# assemblyai 1.8.2, RealTimeSessionParameters. `format_turns` is one of them, but changes what a final is.
_IN_BAND = frozenset(
    {
        "agent_context",
        "end_of_turn_confidence_threshold",
        "filter_profanity",
        "interruption_delay",
        "keyterms_prompt",
        "language_codes",
        "max_turn_silence",
        "min_turn_silence",
        "prompt",
        "turn_left_pad_ms",
        "vad_threshold",
    }
)

# What a job says when its own service failed, not the recording: then it should be sent again, says
# https://assemblyai.com/docs/pre-recorded-audio/transcript-status, which has no list of the words.
_PASSES = re.compile(r"server error|try again|timed? ?out|capacity|overload", re.IGNORECASE)

_RETIRED = "/v2/realtime"


class AssemblyAIStreaming(ProfileStreaming):
    """Universal-Streaming v3."""

    def check(self, settings: Settings) -> None:
        if urlsplit(settings.url).path.startswith(_RETIRED):
            raise ConfigurationError(
                f"{settings.shown_url} is AssemblyAI's retired v2 realtime API: use"
                " ws_url='wss://streaming.assemblyai.com/v3/ws' (in the EU wss://streaming.eu.assemblyai.com/v3/ws)"
            )
        super().check(settings)
        for name, limit in (("agent_context", 1750), ("prompt", 1750)):  # longer ones end the session
            if len(settings.options.get(name) or "") > limit:
                raise ConfigurationError(
                    f"AssemblyAI: option {name!r} must be at most {limit} characters", key=f"options.{name}"
                )

    def connect(self, settings: Settings) -> ConnectRequest:
        return super().connect(complete(settings))

    def prepare(self, settings: Settings) -> Generator[HttpRequest, HttpResponse, ConnectRequest]:
        if not settings.options.get("temporary_token"):
            return self.connect(settings)
        query: dict[str, Any] = {"expires_in_seconds": _TOKEN_SECONDS}
        longest = settings.options.get("max_session_duration_seconds")
        if longest is not None:
            query["max_session_duration_seconds"] = longest
        parts = urlsplit(settings.url)
        scheme = "http" if parts.scheme in ("ws", "http") else "https"
        url = urlunsplit((scheme, parts.netloc, "/v3/token", urlencode(query), ""))
        response = yield HttpRequest("GET", url, {"Authorization": settings.key, **settings.headers})
        reply = response.json()
        token = reply.get("token") if isinstance(reply, dict) else None
        if not isinstance(token, str) or not token:
            raise ValueError("the reply to the request for a temporary token has no token")
        return self.connect(dataclasses.replace(settings, api_key=Secret(token)))

    def converse(self, settings: Settings) -> Conversation:
        return _Conversation(super().converse(complete(settings)), complete(settings))


def complete(settings: Settings) -> Settings:
    """*settings* with the defaults that depend on the model, and all keyterms in one place."""
    model = settings.model or _DEFAULT_MODEL
    options = dict(settings.options)
    terms = dict.fromkeys([*settings.keyterms, *(options.pop("keyterms_prompt", None) or ())])
    options.setdefault("language_detection", model != "universal-streaming-english")
    if not _UNSTEERED.match(model) and "language_codes" not in options and settings.language:
        code = settings.language.partition("-")[0].lower()
        if code in _PROFILE.languages:
            options["language_codes"] = [code]
    return dataclasses.replace(settings, model=model, options=options, keyterms=tuple(terms))


class _Conversation(Conversation):
    """The profile's conversation, with whole messages and changes in band."""

    def __init__(self, inner: Conversation, settings: Settings) -> None:
        self._inner = inner
        self._settings = settings
        self._min_bytes = round(_MIN_SECONDS * settings.sample_rate) * 2
        self._seconds_per_byte = 0.5 / settings.sample_rate
        self._sent = 0.0  # seconds of audio on the wire
        # where silence was filled in, on the wire, and how much there is up to its end
        self._fillings: list[tuple[float, float]] = []

    def opening(self) -> Sequence[WireMessage]:
        return self._inner.opening()

    def audio(self, chunk: bytes | bytearray | memoryview) -> Sequence[WireMessage]:
        missing = self._min_bytes - len(chunk)
        self._sent += len(chunk) * self._seconds_per_byte
        if missing > 0:
            chunk = bytes(chunk) + bytes(missing)
            before = self._fillings[-1][1] if self._fillings else 0.0
            filled = missing * self._seconds_per_byte
            self._fillings.append((self._sent, before + filled))
            self._sent += filled
        return self._inner.audio(chunk)

    def flush(self) -> Sequence[WireMessage]:
        return self._inner.flush()

    def keepalive(self) -> Sequence[WireMessage]:
        return self._inner.keepalive()

    def close(self) -> Sequence[WireMessage]:
        return self._inner.close()

    def update(self, settings: Settings) -> Sequence[WireMessage] | None:
        settings = complete(settings)
        before, after = _changeable(self._settings), _changeable(settings)
        changed = {name: value for name, value in after.items() if before.get(name) != value}
        dropped = before.keys() - after.keys()
        if _rest(self._settings) != _rest(settings) or dropped or not changed.keys() <= _IN_BAND:
            return None
        self._settings = settings
        return [orjson.dumps({"type": "UpdateConfiguration", **changed}).decode()] if changed else []

    def receive(self, message: str | bytes) -> Sequence[Event]:
        events = self._inner.receive(message)
        if self._fillings:
            for event in events:
                self._put_back(event)
        return events

    def _put_back(self, event: Event) -> None:
        """Move the times of *event* from the wire's clock to that of the audio without filling."""
        if isinstance(event, Segment):
            event.start, event.end = self._real(event.start), self._real(event.end)
            for word in event.words or ():
                word.start, word.end = self._real(word.start), self._real(word.end)
        elif isinstance(event, (SpeechStarted, SpeechEnded)):
            event.at = self._real(event.at)

    def _real(self, at: float | None) -> float | None:
        index = bisect_left(self._fillings, (at,)) if at is not None else 0
        if at is None or not index:
            return at
        begin, filled = self._fillings[index - 1]
        before = self._fillings[index - 2][1] if index > 1 else 0.0
        return at - min(filled, before + at - begin)


def _changeable(settings: Settings) -> dict[str, Any]:
    """All that a stream's options and keyterms say, under the vendor's names."""
    options = {name: value for name, value in settings.options.items() if value is not None}
    return {**options, "keyterms_prompt": list(settings.keyterms)}


def _rest(settings: Settings) -> Settings:
    # the language is told by `language_codes`, or not at all
    return dataclasses.replace(settings, options={}, keyterms=(), language=None)


class AssemblyAIBatch(ProfileBatch):
    """Upload, submit, poll."""

    def recognise(self, audio: Pcm, settings: Settings) -> BatchFlow:
        options = dict(settings.options)
        terms = dict.fromkeys([*settings.keyterms, *(options.pop("keyterms_prompt", None) or ())])
        language = settings.language
        if options.get("language_detection"):
            language = None  # the service takes one or the other
        elif language is None:
            options["language_detection"] = True
        parts = urlsplit(settings.url)
        settings = dataclasses.replace(
            settings,
            url=f"{parts.scheme}://{parts.netloc}",  # whichever of its paths the user gave
            language=language,
            options=options,
            keyterms=tuple(terms),
        )
        try:
            return (yield from super().recognise(audio, settings))
        except JobFailed as failed:
            if _PASSES.search(failed.failure.message):
                failed.failure.verdict = Verdict.TRANSIENT
            raise


def _load() -> tuple[Vendor, Profile]:
    vendor = vendor_in_file(Path(__file__).with_suffix(".yaml"))
    assert vendor.profile is not None, "it was made from one"
    return vendor, vendor.profile


_VENDOR, _PROFILE = _load()

VENDOR = dataclasses.replace(
    _VENDOR,
    streaming=AssemblyAIStreaming(_PROFILE),
    batch=AssemblyAIBatch(_PROFILE),
)
