"""What everything else is configured with: who provides speech recognition, language model and voice, and how.

The configurations are plain data. They hold credentials as they were given, ``"${env:NAME}"`` included, and never
print them; what they name is looked up when a provider is built.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from .redaction import (
    MASK,
    Secret,
    is_secret_name,
    misspelt_reference,
    redact,
    resolve_environment,
    safe_url,
    secrets_in_url,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "ConfigurationError",
    "LLMConfig",
    "NotBuiltYetError",
    "ProviderConfig",
    "ProviderType",
    "STTConfig",
    "TTSConfig",
    "check_metadata",
    "suggest",
]

_REFERENCE = re.compile(r"\s*\$\{env:[A-Za-z_][A-Za-z0-9_]*\}\s*")


class ConfigurationError(ValueError):
    """What the user configured cannot work. The message says what to change.

    Attributes:
        key: the setting at fault, as in ``"metadata.endpoint_url"``, where one is; a file loader finds its line.
    """

    def __init__(self, message: str = "", *, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


class NotBuiltYetError(ConfigurationError, NotImplementedError):
    """Voxport has no such part yet. The message names what to use instead."""


class ProviderType(str, Enum):
    """The providers that are built in. Each is equal to its value: ``ProviderType.OPENAI == "openai"``.

    ``OPENAI`` and ``AZURE`` are LiveKit's own plugins, unless ``metadata`` has a ``mode`` (``"stream"`` or
    ``"batch"``), which asks for Voxport's own protocol. The others are Voxport's.

    >>> ProviderType("Custom-WS")
    <ProviderType.CUSTOM_WS: 'custom_ws'>
    """

    OPENAI = "openai"
    AZURE = "azure"
    CUSTOM_HTTP = "custom_http"
    CUSTOM_WS = "custom_ws"
    DEEPGRAM = "deepgram"
    ASSEMBLYAI = "assemblyai"
    GOOGLE = "google"
    AWS = "aws"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def _missing_(cls, value: object) -> ProviderType | None:
        name = value.strip().lower().replace("-", "_") if isinstance(value, str) else value
        return next((member for member in cls if member.value == name), None)


class ProviderConfig:
    """What the three configurations have in common.

    They are frozen: change one with :func:`dataclasses.replace`, which checks it again. ``metadata`` holds the
    provider's own settings; it is copied, so that nothing done to the given mapping afterwards changes them.
    """

    if TYPE_CHECKING:  # the fields every subclass has, each at its own place in the order

        @property
        def provider(self) -> ProviderType | str: ...
        @property
        def model(self) -> str | None: ...
        @property
        def api_key(self) -> str | Secret | None: ...
        @property
        def metadata(self) -> Mapping[str, Any]: ...

    def __post_init__(self) -> None:
        values = vars(self)
        object.__setattr__(self, "provider", _checked_provider(values["provider"]))
        for name in ("language", "model", "voice"):
            _check_text(values.get(name), name)
        if isinstance(values["api_key"], str):
            _check_text(values["api_key"], "api_key")
        elif not isinstance(values["api_key"], (Secret, type(None))):
            raise _wrong_type("api_key", "a text", values["api_key"])
        object.__setattr__(self, "metadata", _checked_metadata(values["metadata"]))
        if self.api_key is not None and self.metadata.get("api_key", self.api_key) != self.api_key:
            raise ConfigurationError(
                "the key is given twice and differs: keep either api_key or metadata['api_key']", key="api_key"
            )

    @property
    def key(self) -> str | None:
        """The credential from either place, in plain, with ``${env:NAME}`` resolved; ``None`` when there is none.

        Raises:
            ConfigurationError: the environment variable is not set, or is referred to in another way.
        """
        found, place = self.api_key, "api_key"
        if found is None:
            found, place = self.metadata.get("api_key"), "metadata.api_key"
        if isinstance(found, Secret):
            found = found.reveal()
        key = _resolved(found, place) if found else None
        if key and (meant := misspelt_reference(key)):
            raise ConfigurationError(
                f"{place} would be sent as it stands, and looks like the name of a variable: write {meant}",
                key=place,
            )
        return key

    def resolved(self) -> Self:
        """This configuration with every ``${env:NAME}`` in it replaced by that environment variable.

        Raises:
            ConfigurationError: a variable is not set; the message names it and the setting that wants it.
        """
        values = {f.name: _resolved(getattr(self, f.name), f.name) for f in fields(self)}  # type: ignore[arg-type]
        return replace(self, **values)  # type: ignore[type-var]

    def secrets(self) -> tuple[str, ...]:
        """Every credential in here, in plain, for :func:`~.redaction.redact`."""
        return tuple(_secrets({"api_key": self.api_key, **self.metadata}))

    def __repr__(self) -> str:
        secrets = self.secrets()
        shown = (f"{f.name}={_shown(getattr(self, f.name), f.name, secrets)}" for f in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, repr=False)
class STTConfig(ProviderConfig):
    """Which speech recognition to use.

    Args:
        provider: a :class:`ProviderType` or its name, a registered name, the name of a built-in vendor, or
            ``livekit:NAME`` for LiveKit's own plugin of that name.
        language: BCP-47 tag of what is spoken; ``None`` leaves it to the vendor.
        model: the vendor's name of the model; ``None`` for the vendor's default.
        api_key: the credential, or ``"${env:NAME}"``; may be given as ``metadata["api_key"]`` as well.
        metadata: the provider's own settings; which there are depends on the provider, and an unknown one is an
            error when the provider is built.

    Raises:
        ConfigurationError: a value is of the wrong type or empty.
    """

    provider: ProviderType | str
    language: str | None = "en-US"
    model: str | None = None
    api_key: str | Secret | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, repr=False)
class LLMConfig(ProviderConfig):
    """Which language model to use. Arguments and errors are those of :class:`STTConfig`."""

    provider: ProviderType | str
    model: str | None = None
    api_key: str | Secret | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, repr=False)
class TTSConfig(ProviderConfig):
    """Which voice to use. Arguments and errors are those of :class:`STTConfig`, and:

    Args:
        voice: the vendor's name of the voice; ``None`` for the vendor's default.
        language: BCP-47 tag of what is to be said, for vendors that want one; by default it is the voice's.
    """

    provider: ProviderType | str
    voice: str | None = None
    model: str | None = None
    api_key: str | Secret | None = None
    language: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)


def suggest(name: str, known: Iterable[str]) -> str:
    """What to say after "unknown *name*": the nearest of *known* where there is one, and all of them."""
    names = sorted(known)
    folded = {n.lower(): n for n in names}
    near = [folded[n] for n in difflib.get_close_matches(name.lower(), folded, n=2, cutoff=0.6)]
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return f"{hint}Known: {', '.join(names) or 'none'}"


def check_metadata(config: ProviderConfig, known: Iterable[str], *, of: str) -> None:
    """Refuse what *config* holds in ``metadata`` and *of* does not know.

    Args:
        known: the settings it knows, besides ``api_key``.
        of: who is meant, for the message: "the HTTP adapter".

    Raises:
        ConfigurationError: an unknown setting, with where it belongs or the nearest known ones.
    """
    allowed = {*known, "api_key"}
    for name in config.metadata:
        if name not in allowed:
            raise ConfigurationError(
                f"metadata[{name!r}] is not a setting of {of}: {_instead_of(name, config, allowed)}",
                key=f"metadata.{name}",
            )


def _instead_of(name: str, config: ProviderConfig, known: Iterable[str]) -> str:
    if name in {f.name for f in fields(config)}:  # type: ignore[arg-type]
        kind = type(config).__name__
        return f"it is a field of {kind} itself, beside metadata. Known: {', '.join(sorted(known))}"
    return suggest(name, known)


def _wrong_type(key: str, wanted: str, value: object) -> ConfigurationError:
    # the type only: the value may be a credential in the wrong place
    return ConfigurationError(f"{key} must be {wanted}, not {type(value).__name__}", key=key)


def _check_text(value: object, key: str) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise _wrong_type(key, "a text", value)
    if not value.strip():
        raise ConfigurationError(f"{key} is empty: give a value, or leave it out", key=key)


def _checked_provider(provider: object) -> ProviderType | str:
    if not isinstance(provider, str):
        raise _wrong_type("provider", "a ProviderType or a name", provider)
    if not provider.strip():
        raise ConfigurationError(f"provider is empty: {suggest('', ProviderType)}", key="provider")
    try:
        return ProviderType(provider)
    except ValueError:
        return provider.strip()  # a registered name or a vendor: who builds it knows


def _checked_metadata(metadata: object) -> dict[str, Any]:
    if not isinstance(metadata, Mapping):
        raise _wrong_type("metadata", "a mapping", metadata)
    for name in metadata:
        if not isinstance(name, str):
            raise ConfigurationError(f"metadata has a name that is no text: {name!r}", key="metadata")
    key = metadata.get("api_key")
    if not isinstance(key, (str, Secret, type(None))):
        raise _wrong_type("metadata.api_key", "a text", key)
    return {name: _copied(value) for name, value in metadata.items()}


def _copied(value: Any) -> Any:
    """Containers are copied all the way down; what they hold stays the same object."""
    if isinstance(value, Mapping):
        return {name: _copied(item) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_copied, value))
    return value


def _resolved(value: Any, key: str) -> Any:
    if isinstance(value, str) and not isinstance(value, Enum):
        try:
            return resolve_environment(value)
        except KeyError as missing:
            raise ConfigurationError(
                f"{key} wants the environment variable {missing.args[0]}, which is not set: "
                f"set it, or put the value into {key}",
                key=key,
            ) from None
    if isinstance(value, Mapping):
        return {name: _resolved(item, f"{key}.{name}") for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_resolved(item, f"{key}.{index}") for index, item in enumerate(value))
    return value


def _is_hidden(name: object) -> bool:
    """Whether everything under *name* is to be masked. Headers are: services name theirs as they like."""
    return isinstance(name, str) and (is_secret_name(name) or "header" in name.lower())


def _secrets(value: Any, *, hidden: bool = False) -> Iterable[str]:
    if isinstance(value, Secret):
        yield value.reveal()
    elif isinstance(value, str):
        if hidden and not _REFERENCE.fullmatch(value):
            yield value
            yield from value.split()[1:]  # the credential without its scheme ("Bearer")
        elif "://" in value:
            yield from secrets_in_url(value)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _secrets(item, hidden=hidden or _is_hidden(name))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _secrets(item, hidden=hidden)


def _shown(value: Any, name: object, secrets: tuple[str, ...], *, hidden: bool = False) -> str:
    """*value* as ``repr`` shows it: no credential, nor anything foreign that might print one."""
    hidden = hidden or _is_hidden(name)
    if isinstance(value, Mapping):
        items = (f"{k!r}: {_shown(v, k, secrets, hidden=hidden)}" for k, v in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_shown(item, None, secrets, hidden=hidden) for item in value) + "]"
    if value is None or isinstance(value, (bool, Enum)):
        return str(value) if value is None or isinstance(value, bool) else repr(value.value)
    if isinstance(value, str) and _REFERENCE.fullmatch(value):
        return repr(value)
    if hidden or isinstance(value, Secret):
        return repr(MASK)
    if isinstance(value, (str, PurePath)):
        text = safe_url(value) if isinstance(value, str) and "://" in value else str(value)
        return repr(redact(text, secrets))
    return repr(value) if isinstance(value, (int, float)) else f"<{type(value).__name__}>"
