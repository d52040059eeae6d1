"""Checks of what users configure: credentials, URLs, headers, choices, times. A refusal says what to change."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from ..base import ConfigurationError
from ..protocol import BatchProtocol, Settings, StreamingProtocol
from ..redaction import MASK, Secret, misspelt_reference, resolve_environment, safe_url

__all__ = [
    "MaskedHeaders",
    "check_choice",
    "check_headers",
    "check_mapping",
    "check_name",
    "check_url",
    "environment_key",
    "is_loopback",
    "located",
    "positive_count",
    "positive_seconds",
    "secret_key",
]


def secret_key(api_key: str | Secret | None, *, setting: str = "api_key") -> Secret | None:
    """The credential as it will be used, with ``${env:NAME}`` resolved.

    Raises:
        ConfigurationError: the environment variable is not set, or is referred to in another way.
    """
    if api_key is None or isinstance(api_key, Secret):
        return api_key or None
    if not isinstance(api_key, str):
        raise ConfigurationError(f"{setting} must be a string, not {type(api_key).__name__}")
    try:
        value = resolve_environment(api_key).strip()
    except KeyError as missing:
        raise ConfigurationError(
            f"{setting} names the environment variable {missing.args[0]}, which is not set"
        ) from None
    if "\n" in value or "\r" in value:
        raise ConfigurationError(f"{setting} holds a line break: it was probably copied with one")
    if meant := misspelt_reference(value):
        raise ConfigurationError(
            f"{setting} would be sent as it stands, and looks like the name of a variable: write {meant}"
        )
    return Secret(value) if value else None


def environment_key(names: str | Sequence[str] | None) -> Secret | None:
    """The credential in the environment variable a vendor's users keep it in; of several, in the first that holds
    one. ``None`` if none does."""
    for name in (names,) if isinstance(names, str) else names or ():
        if value := os.environ.get(name, "").strip():
            return Secret(value)
    return None


def check_url(
    url: object, *, setting: str, schemes: tuple[str, str], has_key: bool, placeholders: bool = False
) -> str:
    """*url* if audio and credentials may go there.

    Args:
        url: what the user gave.
        setting: its name in messages.
        schemes: the clear and the encrypted scheme, for example ``("ws", "wss")``.
        has_key: whether a credential will be sent.
        placeholders: whether its host may leave something open, such as ``{region}``, for :func:`located`.

    Raises:
        ConfigurationError: it is missing, has another scheme, no host or an open one, or a credential would go
            over it in clear text to another machine.
    """
    if not url or not isinstance(url, str):
        raise ConfigurationError(
            f'{setting} is missing: give the URL of the service, like "{schemes[1]}://host/path"'
        )
    url = url.strip()
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ConfigurationError(f"{setting} is not a URL: {error}") from None
    clear, encrypted = schemes
    if parts.scheme not in schemes:
        swap = {"http": "ws", "https": "wss", "ws": "http", "wss": "https"}.get(parts.scheme)
        hint = f'; did you mean "{swap}://…"?' if swap in schemes else ""
        raise ConfigurationError(
            f'{setting} must start with "{clear}://" or "{encrypted}://", not {safe_url(url)!r}{hint}'
        )
    if not parts.hostname:
        raise ConfigurationError(f"{setting} has no host: {safe_url(url)!r}")
    if not placeholders:
        _refuse_placeholders(url, setting)
    if parts.username or parts.password:
        raise ConfigurationError(
            f"{setting} holds a user name or password: give credentials as api_key or headers"
        )
    if parts.scheme == clear and has_key and not is_loopback(parts.hostname):
        raise ConfigurationError(
            f'{setting} would send the API key in clear text to {parts.hostname}: use "{encrypted}://", '
            "or give no api_key when the service needs none"
        )
    return url


def located(protocol: StreamingProtocol | BatchProtocol, settings: Settings, *, setting: str) -> Settings:
    """*settings* with the whole URL: *protocol* fills in what it leaves open.

    Args:
        setting: the name of the URL in messages.

    Raises:
        ConfigurationError: nothing says what belongs there, so it would reach the network as it is.
    """
    url = protocol.place(settings)
    _refuse_placeholders(url, setting)
    return replace(settings, url=url) if url != settings.url else settings


def _refuse_placeholders(url: str, setting: str) -> None:
    if re.search(r"[{}]", urlsplit(url).netloc):
        raise ConfigurationError(
            f"{setting} has a placeholder in its host, {safe_url(url)!r}: write what belongs there"
        )


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_choice(value: str, choices: tuple[str, ...], *, setting: str) -> None:
    """Raise a ConfigurationError that names the nearest of *choices* unless *value* is one of them."""
    if value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError(f"{setting} must be one of {', '.join(map(repr, choices))}, not {value!r}{hint}")


def check_mapping(value: Mapping[str, Any] | None, *, setting: str) -> dict[str, Any]:
    """A copy of *value*.

    Raises:
        ConfigurationError: it is something else than a mapping; only its type is named.
    """
    if value is not None and not isinstance(value, Mapping):
        raise ConfigurationError(
            f'{setting} must be a mapping, like {{"name": value}}, not {type(value).__name__}'
        )
    return dict(value or {})


def check_name(value: str | None, *, setting: str) -> str | None:
    """*value*; an empty one is none.

    Raises:
        ConfigurationError: it is no text.
    """
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{setting} must be a text, not {type(value).__name__}")
    return value or None


def check_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """A copy of the user's *headers*, with ``${env:NAME}`` resolved."""
    resolved = {}
    for name, value in check_mapping(headers, setting="headers").items():
        if not isinstance(value, str) or not isinstance(name, str):
            raise ConfigurationError(f"header {name!r} must be a string")
        secret = secret_key(value, setting=f"header {name!r}")
        resolved[name] = secret.reveal() if secret else ""
    return resolved


def positive_count(value: int, *, setting: str) -> int:
    """*value*.

    Raises:
        ConfigurationError: it is no positive whole number.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ConfigurationError(f"{setting} must be positive, and a whole number, not {value!r}")
    return value


def positive_seconds(value: float, *, setting: str) -> float:
    """*value* as a float.

    Raises:
        ConfigurationError: it is no positive, finite number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise ConfigurationError(f"{setting} must be a positive number of seconds, not {value!r}")
    return float(value)


class MaskedHeaders(dict[str, str]):
    """Headers that do not print what they hold, since that may be credentials. Nor do their copies, and they are
    not pickled."""

    def __repr__(self) -> str:
        return repr(dict.fromkeys(self, MASK))

    __str__ = __repr__

    def copy(self) -> MaskedHeaders:
        return MaskedHeaders(self)

    def __or__(self, other: Mapping[str, str]) -> MaskedHeaders:  # type: ignore[override]
        return MaskedHeaders({**self, **other})

    def __ror__(self, other: Mapping[str, str]) -> MaskedHeaders:  # type: ignore[override]
        return MaskedHeaders({**other, **self})

    __copy__ = copy

    def __deepcopy__(self, memo: object) -> MaskedHeaders:
        return self.copy()

    def __reduce_ex__(self, protocol: object) -> str | tuple[object, ...]:
        raise TypeError("headers are not pickled, since they may hold credentials")
