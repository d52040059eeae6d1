"""OpenAI: Realtime transcription and ``/v1/audio/transcriptions``, and whatever speaks them at another address.

What a session may say depends on the model: ``gpt-transcribe`` and ``gpt-live-transcribe`` take keywords and
several languages; ``gpt-live-transcribe`` and ``gpt-realtime-whisper`` find no ends of speech, so only a flush
commits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import orjson

from ..base import ConfigurationError
from ..profiles import Profile, ProfileBatch, ProfileStreaming
from ..profiles.hosts import is_host_of
from ..protocol import (
    ConnectRequest,
    Conversation,
    HttpRequest,
    HttpResponse,
    Pcm,
    Recognition,
    Settings,
    Traits,
    Usage,
    decode_json,
)
from ..protocol.batch import BatchFlow
from . import Vendor, vendor_in_file
from ._openai_session import RealtimeConversation

__all__ = ["VENDOR", "OpenAIBatch", "OpenAIStreaming"]

_WITHOUT_VAD = ("gpt-live-transcribe", "gpt-realtime-whisper")
_WITH_HINTS = ("gpt-transcribe", "gpt-live-transcribe")
_JSON = {"content-type": "application/json"}
_SILENT_STALL_SECONDS = 120.0
"""A server that does not listen for ends of speech may say nothing until it is asked to."""


def _load() -> tuple[Vendor, Profile]:
    vendor = vendor_in_file(Path(__file__).with_suffix(".yaml"))
    assert vendor.profile is not None, "it was made from one"
    return vendor, vendor.profile


_VENDOR, _PROFILE = _load()


def _model(settings: Settings) -> str:
    return settings.model or _PROFILE.defaults["model"]


def _takes_hints(settings: Settings) -> bool:
    return _model(settings).startswith(_WITH_HINTS)


def _refuse_hints(settings: Settings) -> None:
    """The service answers what a model does not take with an error, so it is refused before."""
    if _takes_hints(settings):
        return
    for name in ("keywords", "languages"):
        if settings.options.get(name):
            raise ConfigurationError(
                f"OpenAI: option {name!r} is for {' and '.join(_WITH_HINTS)}, not for {_model(settings)}:"
                " leave it out"
            )


def _hints(settings: Settings) -> tuple[list[str], list[str]]:
    """Keywords and languages, as ``gpt-transcribe`` and ``gpt-live-transcribe`` take them."""
    keywords = dict.fromkeys([*settings.keyterms, *(settings.options.get("keywords") or ())])
    languages = settings.options.get("languages") or ([settings.language] if settings.language else [])
    return list(keywords), list(dict.fromkeys(str(tag).partition("-")[0].lower() for tag in languages))


def _turn_detection(settings: Settings) -> dict[str, Any] | None:
    given = settings.options.get("turn_detection")
    if isinstance(given, str):
        return None if given == "none" else {"type": given}
    if given is not None:
        return {"type": "server_vad", **given}
    return None if _model(settings).startswith(_WITHOUT_VAD) else {"type": "server_vad"}


def session(settings: Settings) -> dict[str, Any]:
    """*settings* as a transcription session."""
    transcription: dict[str, Any] = {"model": _model(settings)}
    for name in ("prompt", "delay"):
        if settings.options.get(name) is not None:
            transcription[name] = settings.options[name]
    if _takes_hints(settings):
        keywords, languages = _hints(settings)
        transcription["keywords"] = keywords
        if languages:
            transcription["languages"] = languages
    elif settings.language:
        transcription["language"] = settings.language.partition("-")[0].lower()
    audio: dict[str, Any] = {
        "format": {"type": "audio/pcm", "rate": settings.sample_rate},
        "transcription": transcription,
        "turn_detection": _turn_detection(settings),
    }
    if settings.options.get("noise_reduction") is not None:
        audio["noise_reduction"] = {"type": settings.options["noise_reduction"]}
    return {"type": "transcription", "audio": {"input": audio}}


class OpenAIStreaming(ProfileStreaming):
    """Realtime transcription."""

    def check(self, settings: Settings) -> None:
        super().check(settings)
        _refuse_hints(settings)
        given = settings.options.get("turn_detection")
        if isinstance(given, str) and given not in ("server_vad", "semantic_vad", "none"):
            raise ConfigurationError(
                "OpenAI: option 'turn_detection' must be server_vad, semantic_vad, none or a mapping"
            )
        if _model(settings).startswith(_WITHOUT_VAD) and _turn_detection(settings) is not None:
            raise ConfigurationError(f"OpenAI: {_model(settings)} takes no turn_detection: leave the option out")

    def traits(self, settings: Settings) -> Traits:
        traits = dataclasses.replace(
            super().traits(settings), keyterms=_takes_hints(settings), reports_usage=True, announces_end=True
        )
        if _turn_detection(settings) is None:
            traits = dataclasses.replace(traits, stall_seconds=_SILENT_STALL_SECONDS)
        return traits

    def connect(self, settings: Settings) -> ConnectRequest:
        target = super().connect(_at(settings, "/realtime"))
        if is_host_of(target.url, _PROFILE.hosts):
            return target  # there `model` would ask for another kind of session
        parts = urlsplit(target.url)
        query = parse_qsl(parts.query, keep_blank_values=True)
        if all(name != "model" for name, _ in query):
            query.append(("model", _model(settings)))  # by which gateways and other servers choose
        return dataclasses.replace(target, url=urlunsplit(parts._replace(query=urlencode(query))))

    def prepare(self, settings: Settings) -> Generator[HttpRequest, HttpResponse, ConnectRequest]:
        yield from ()  # there is nothing to ask first
        return self.connect(settings)

    def converse(self, settings: Settings) -> Conversation:
        return RealtimeConversation(settings, session)


class OpenAIBatch(ProfileBatch):
    """Recordings."""

    def check(self, settings: Settings) -> None:
        super().check(settings)
        _refuse_hints(settings)

    def recognise(self, audio: Pcm, settings: Settings) -> BatchFlow:
        options = dict(settings.options)
        keywords: list[str] = []
        language = settings.language
        if _takes_hints(settings):
            keywords, options["languages"] = _hints(settings)
            language = None
        if options.get("response_format") == "verbose_json":
            options.setdefault("timestamp_granularities", ["word", "segment"])
        settings = dataclasses.replace(
            _at(settings, "/audio/transcriptions"), options=options, keyterms=tuple(keywords), language=language
        )
        flow = super().recognise(audio, settings)
        response = yield next(flow)
        assert isinstance(response, HttpResponse), "a request is answered by a response"
        response = _whole(response)
        try:
            flow.send(response)
        except StopIteration as done:
            return _with_tokens(done.value, response)
        raise ValueError("the profile's flow asks for more than one answer")


def _whole(response: HttpResponse) -> HttpResponse:
    """The answer as one JSON object, also where it came as server-sent events.

    OpenAI names events in their data (``transcript.text.delta``, ``.done``); speaches sends objects with the text
    of a segment each (speaches 870e1e1).

    Raises:
        ValueError: an event is no JSON object, or none holds a text.
    """
    if response.content_type != "text/event-stream":
        return response
    deltas: list[str] = []
    segments: list[str] = []
    for line in response.text().splitlines():
        name, _, data = line.partition(":")
        data = data.strip()
        if name != "data" or data == "[DONE]":
            continue
        try:
            event = decode_json(data)
        except ValueError as error:
            raise ValueError("an event of the answer is no JSON") from error
        if not isinstance(event, dict):
            raise ValueError("an event of the answer is no JSON object")
        if event.get("type") == "transcript.text.done":
            return dataclasses.replace(response, headers=_JSON, body=data.encode())
        if isinstance(event.get("delta"), str):
            deltas.append(event["delta"])
        elif isinstance(event.get("text"), str):
            segments.append(event["text"].strip())
    if deltas:
        raise ValueError("the answer broke off before it was done")
    if not segments:
        raise ValueError("the events of the answer hold no text")
    return dataclasses.replace(response, headers=_JSON, body=orjson.dumps({"text": " ".join(segments)}))


def _with_tokens(recognition: Recognition, response: HttpResponse) -> Recognition:
    """*recognition* with the tokens the service bills, where it bills tokens."""
    usage = response.json().get("usage") if response.content_type == "application/json" else None
    if not isinstance(usage, dict) or usage.get("type") != "tokens":
        return recognition
    heard, written = usage.get("input_tokens"), usage.get("output_tokens")
    if type(heard) is not int or type(written) is not int or heard < 0 or written < 0:
        return recognition
    seconds = recognition.usage.audio_seconds if recognition.usage is not None else 0.0
    return dataclasses.replace(recognition, usage=Usage(seconds, heard, written))


def _at(settings: Settings, path: str) -> Settings:
    """*settings* with *path* under the base URL, where a base URL is what was given."""
    parts = urlsplit(settings.url)
    base = parts.path.rstrip("/")
    if not base.endswith("/v1"):
        return settings
    return dataclasses.replace(settings, url=urlunsplit(parts._replace(path=base + path)))


VENDOR = dataclasses.replace(_VENDOR, streaming=OpenAIStreaming(_PROFILE), batch=OpenAIBatch(_PROFILE))
