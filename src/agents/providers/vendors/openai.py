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

from ..base import ConfigurationError
from ..profiles import Profile, ProfileBatch, ProfileStreaming
from ..profiles.hosts import is_host_of
from ..protocol import ConnectRequest, Conversation, HttpRequest, HttpResponse, Pcm, Settings, Traits
from ..protocol.batch import BatchFlow
from . import Vendor, vendor_in_file
from ._openai_session import RealtimeConversation

__all__ = ["VENDOR", "OpenAIBatch", "OpenAIStreaming"]

_WITHOUT_VAD = ("gpt-live-transcribe", "gpt-realtime-whisper")
_WITH_HINTS = ("gpt-transcribe", "gpt-live-transcribe")
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
        return (yield from super().recognise(audio, settings))


def _at(settings: Settings, path: str) -> Settings:
    """*settings* with *path* under the base URL, where a base URL is what was given."""
    parts = urlsplit(settings.url)
    base = parts.path.rstrip("/")
    if not base.endswith("/v1"):
        return settings
    return dataclasses.replace(settings, url=urlunsplit(parts._replace(path=base + path)))


VENDOR = dataclasses.replace(_VENDOR, streaming=OpenAIStreaming(_PROFILE), batch=OpenAIBatch(_PROFILE))
