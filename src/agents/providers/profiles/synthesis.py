"""A profile's speech over HTTP as a :class:`~agents.providers.protocol.SynthesisProtocol`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from ..base import ConfigurationError
from ..protocol import (
    AnswerReader,
    HttpRequest,
    HttpResponse,
    Settings,
    SynthesisForm,
    SynthesisProtocol,
    form_of,
    is_page,
)
from .json_answers import JsonAnswerReader
from .options import Service, check_options, unknown_option
from .parts import Auth
from .requests import (
    Query,
    auth_headers,
    body_options,
    check_key,
    headers_of,
    make_scope,
    place_of,
    with_options,
)
from .schema import Profile
from .speech import SpeechAudio, TextBody
from .templates import Scope, compile_template, references

__all__ = ["ProfileSynthesis", "check_speech", "declared_form", "wire_settings"]

Fill = Callable[[Scope], "tuple[str, bytes]"]
"""The Content-Type and the bytes of a body."""


class ProfileSynthesis(SynthesisProtocol):
    """Speaks what a profile's ``synthesis`` says."""

    def __init__(self, profile: Profile) -> None:
        synthesis = profile.synthesis
        if synthesis is None:
            raise ConfigurationError(f"{profile.title} does not speak over HTTP")
        self.name = profile.name
        self.profile = profile
        self._synthesis = synthesis
        self._auth = synthesis.auth or profile.auth
        self._path = compile_template(synthesis.path) if synthesis.path is not None else None
        self._query = Query(synthesis.query, profile, "synthesis", self._auth, options=True)
        self._headers = {name: compile_template(value) for name, value in synthesis.headers.items()}
        into_body = body_options(profile, "synthesis")
        self._body = _compile_body(synthesis.body, into_body) if synthesis.body is not None else None

    def __repr__(self) -> str:
        return f"ProfileSynthesis({self.name!r})"

    def place(self, settings: Settings) -> str:
        scope = make_scope(self.profile, "synthesis", settings)
        return place_of(settings.url, self._synthesis.url, self._path, scope)

    def check(self, settings: Settings) -> None:
        check_speech(self.profile, "synthesis", self._auth, settings)

    def request(self, text: str, settings: Settings) -> HttpRequest:
        scope = make_scope(self.profile, "synthesis", wire_settings(self._synthesis.audio, settings), text=text)
        headers = {
            **auth_headers(self._auth, scope),
            **headers_of(self._headers, self.profile, "synthesis", scope),
        }
        body = None
        if self._body is not None:
            headers["Content-Type"], body = self._body(scope)
        headers.update(settings.headers)
        url = place_of(settings.url, self._synthesis.url, self._path, scope)
        return HttpRequest(self._synthesis.method, self._query.apply(url, scope), headers, body)

    def form(self, response: HttpResponse, settings: Settings) -> SynthesisForm:
        audio = self._synthesis.audio
        declared = declared_form(audio, settings)
        said = response.headers.get("content-type", "")
        if self._synthesis.answer is not None:
            if response.content_type == "text/html":
                raise ValueError("expected JSON with audio, got an HTML page")
            return declared
        return form_of(said, declared) if audio.content_type or is_page(said) else declared

    def reader(self, response: HttpResponse, settings: Settings) -> AnswerReader | None:
        answer = self._synthesis.answer
        return JsonAnswerReader(answer) if answer is not None else None

    def describe(self) -> Mapping[str, Any]:
        return self.profile.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _compile_body(body: TextBody, into_body: list[tuple[str, str]]) -> Fill:
    if body.text is not None:
        fill_text = compile_template(body.text)
        return lambda scope: (body.content_type, str(fill_text(scope) or "").encode())
    fill = compile_template(body.json_)
    return lambda scope: ("application/json", orjson.dumps(with_options(fill(scope), into_body, scope)))


def check_speech(profile: Profile, service: Service, auth: Auth | None, settings: Settings) -> None:
    """Refuse what a vendor that speaks cannot serve.

    Raises:
        ConfigurationError: an unknown option, a missing key, or a voice or model where one is needed or of no use.
    """
    check_options(profile, service, settings.options)
    check_key(profile, service, auth, settings)
    section = getattr(profile, service)
    named = {name for name, _ in references(section.model_dump(mode="json", by_alias=True))}
    scope = make_scope(profile, service, settings)
    for name in ("voice", "model"):
        if name in named and getattr(scope, name) is None and _is_needed(section, name):
            known = getattr(profile.speech, f"{name}s")
            hint = f": {', '.join(known[:8])} …" if known else ""
            raise ConfigurationError(f"{profile.title} needs a {name}: pass {name}{hint}")
    if scope.undeclared and "options" not in named:
        name = next(iter(scope.undeclared))
        raise ConfigurationError(unknown_option(profile, service, name), key=f"options.{name}")
    if settings.voice and not named & {"voice", "voice_or_model"}:
        raise ConfigurationError(f"{profile.title} has no voices to choose from: leave voice out")


def _is_needed(section: Any, name: str) -> bool:
    """Whether the URL cannot be made without *name*; elsewhere what is missing is left out."""
    return section.path is not None and any(found == name for found, _ in references(section.path))


def wire_settings(audio: SpeechAudio, settings: Settings) -> Settings:
    """*settings* at a rate the vendor can make: the wanted one, else the next above it, else the highest."""
    rates, wanted = audio.rates, settings.sample_rate
    if rates is None or wanted in rates:
        return settings
    return dataclasses.replace(
        settings, sample_rate=min(rates, key=lambda rate: (rate < wanted, abs(rate - wanted)))
    )


def declared_form(audio: SpeechAudio, settings: Settings) -> SynthesisForm:
    """What the profile says comes back, for these settings."""
    return SynthesisForm(audio.type, wire_settings(audio, settings).sample_rate, audio.channels)
