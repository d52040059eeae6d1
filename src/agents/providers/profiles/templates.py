"""Values of the moment inside fixed text: ``Token ${key}``, ``{rate: "${sample_rate}"}``.

A string that is one reference keeps the value's type; inside a longer string the value is text. Where a value is
missing, what refers to it is left out: the key of a mapping, the item of a list, the parameter of a query.
``${name|filter}`` changes the value on its way.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..protocol import Settings

__all__ = [
    "FILTERS",
    "HEARING",
    "NAMES",
    "SPEAKING",
    "Scope",
    "Template",
    "compile_template",
    "misspelt_references",
    "references",
]

_REFERENCE = re.compile(r"\$\{([a-z_]+(?:\.[A-Za-z0-9_-]+)?)((?:\|[a-z0-9_]+)*)\}")
_OPENED = re.compile(r"\$\{[^}]*\}?")
_FOREIGN = re.compile(r"(?<!\$)\$([a-z_]+)|(?<!\$)\{\{\s*([a-z_]+)\s*\}\}")


@dataclass
class Scope:
    """What templates can refer to.

    Attributes:
        settings: of the connection or call. Names like ``${language}`` are its fields.
        options: the vendor's parameters with their defaults, under ``${options.NAME}``.
        undeclared: parameters the profile does not declare, all together ``${options}``.
        language, model, voice: as settings give them, or the profile's default.
        text, segment: what is to be spoken, and the name of what it is part of.
        saved: what earlier requests brought, under ``${saved.NAME}``.
        audio: the chunk or recording, for ``${audio}`` in base64.
        messages_sent, bytes_sent: audio on this connection so far, in signed 16-bit samples,
            for ``${sent.messages}``, ``${sent.bytes}`` and ``${sent.ms}``.
    """

    settings: Settings
    options: Mapping[str, Any] = field(default_factory=dict)
    undeclared: Mapping[str, Any] = field(default_factory=dict)
    language: str | None = None
    model: str | None = None
    voice: str | None = None
    text: str = field(default="", repr=False)
    segment: str | None = None
    saved: dict[str, Any] = field(default_factory=dict, repr=False)
    audio: bytes | bytearray | memoryview = field(default=b"", repr=False)
    messages_sent: int = 0
    bytes_sent: int = 0

    @property
    def ms_sent(self) -> int:
        """Audio sent, in milliseconds."""
        return self.bytes_sent * 500 // (self.settings.sample_rate * self.settings.channels)


Template = Callable[[Scope], Any]
"""The value for a scope; ``None`` when it is missing."""

NAMES: Mapping[str, Template] = {
    "url": lambda scope: scope.settings.url,
    "key": lambda scope: scope.settings.key or None,
    "language": lambda scope: scope.language,
    "model": lambda scope: scope.model,
    "voice": lambda scope: scope.voice,
    "voice_or_model": lambda scope: scope.settings.voice or scope.settings.model or scope.voice or scope.model,
    "text": lambda scope: scope.text,
    "segment": lambda scope: scope.segment,
    "sample_rate": lambda scope: scope.settings.sample_rate,
    "channels": lambda scope: scope.settings.channels,
    "interim_results": lambda scope: scope.settings.interim_results,
    "keyterms": lambda scope: list(scope.settings.keyterms) or None,
    "all_keyterms": lambda scope: list(scope.settings.keyterms),
    "options": lambda scope: dict(scope.undeclared) or None,
    "audio": lambda scope: base64.b64encode(scope.audio).decode(),
    "uuid": lambda scope: str(uuid.uuid4()),
    "sent.messages": lambda scope: scope.messages_sent,
    "sent.bytes": lambda scope: scope.bytes_sent,
    "sent.ms": lambda scope: scope.ms_sent,
}
"""References every profile has, beside ``options.NAME`` and ``saved.NAME``. ``all_keyterms`` may be empty."""

SPEAKING = frozenset({"voice", "voice_or_model", "text", "segment"})
"""References that mean something where a vendor speaks only."""

HEARING = frozenset(
    {"interim_results", "keyterms", "all_keyterms", "audio", "sent.messages", "sent.bytes", "sent.ms"}
)
"""References that mean something where a vendor hears only."""

FILTERS: Mapping[str, Callable[[Any], Any]] = {
    "base": lambda tag: str(tag).partition("-")[0].lower(),  # en-US -> en
    "lower": lambda value: str(value).lower(),
    "json": lambda value: orjson.dumps(value).decode(),
    "comma": lambda value: ",".join(map(str, value)) if isinstance(value, list) else value,
    "not": lambda value: not value,
    "text": lambda value: _as_text(value),
    "spaced": lambda value: f"{value} " if value and not str(value)[-1].isspace() else value,
}


def references(value: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The names and filters all strings inside *value* refer to; a malformed reference is a name with ``${``."""
    if isinstance(value, str):
        rest = value
        for match in _REFERENCE.finditer(value):
            yield match.group(1), tuple(f for f in match.group(2).split("|") if f)
            rest = rest.replace(match.group(0), "", 1)
        for broken in _OPENED.findall(rest):
            yield broken, ()
    elif isinstance(value, dict):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def misspelt_references(text: str) -> Iterator[tuple[str, str]]:
    """What in *text* is a reference in other languages, ``$key`` and ``{{key}}``, and the name that is meant."""
    for match in _FOREIGN.finditer(text):
        name = match.group(1) or match.group(2)
        if name in NAMES:
            yield match.group(0), name


def compile_template(value: Any) -> Template:
    """The function that fills *value* in. References have been checked by the loader."""
    if not any(True for _ in references(value)):
        return lambda scope: value
    if isinstance(value, str):
        return _compile_string(value)
    if isinstance(value, dict):
        entries = [(key, compile_template(item)) for key, item in value.items()]

        def fill_mapping(scope: Scope) -> Any:
            filled = {key: item for key, get in entries if (item := get(scope)) is not None}
            return filled or None

        return fill_mapping
    items = [compile_template(item) for item in value]

    def fill_list(scope: Scope) -> Any:
        return [item for get in items if (item := get(scope)) is not None] or None

    return fill_list


def _compile_string(text: str) -> Template:
    whole = _REFERENCE.fullmatch(text)
    if whole:
        return _compile_reference(whole)
    parts: list[str | Template] = []
    position = 0
    for match in _REFERENCE.finditer(text):
        parts += [text[position : match.start()], _compile_reference(match)]
        position = match.end()
    parts.append(text[position:])

    def fill(scope: Scope) -> Any:
        filled = []
        for part in parts:
            value = part if isinstance(part, str) else part(scope)
            if value is None:
                return None
            filled.append(_as_text(value))
        return "".join(filled)

    return fill


def _compile_reference(match: re.Match[str]) -> Template:
    name = match.group(1)
    filters = [FILTERS[f] for f in match.group(2).split("|") if f]
    get = _compile_name(name)
    if not filters:
        return get

    def filtered(scope: Scope) -> Any:
        value = get(scope)
        for change in filters:
            if value is None:
                return None
            value = change(value)
        return value

    return filtered


def _compile_name(name: str) -> Template:
    if name in NAMES:
        return NAMES[name]
    kind, _, key = name.partition(".")
    if kind == "options":
        return lambda scope: scope.options.get(key)
    if kind == "saved":
        return lambda scope: scope.saved.get(key)
    raise ValueError(f"unknown reference ${{{name}}}")


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)
