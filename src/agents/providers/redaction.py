"""Secrets that do not print themselves, and texts that carry none.

Everything a person may read (logs, reprs, exceptions, traces) goes through here first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit, urlunsplit

__all__ = [
    "MASK",
    "Secret",
    "is_secret_name",
    "misspelt_reference",
    "redact",
    "resolve_environment",
    "safe_url",
    "secret_values",
    "secrets_in_headers",
    "secrets_in_url",
]

MASK = "***"

_ENVIRONMENT = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")

# What a shell would replace, alone or behind a scheme: "Bearer $KEY". Passwords hold dollar signs elsewhere.
_SHELL_REFERENCE = re.compile(r"(?:\S+\s+)?(?:\$\{([^{}]+)\}|\$env:(\w+)|\$([A-Z_][A-Z0-9_]*))", re.ASCII)

# Names under which services take a credential in a query string, a header or a body.
_SECRET_NAME = re.compile(
    r"(^|[-_.]|api|access|auth|client|session|refresh|subscription)"
    r"(key|token|jwt|secret|signature|credential|password|authorization|auth)s?$"
    r"|^(sig|passwd|pwd)$"
    r"|^cookie$",
    re.IGNORECASE,
)


class Secret:
    """A credential. It compares and hashes like its value, and prints as ``***``.

    >>> Secret("s3cr3t")
    Secret('***')
    >>> Secret("s3cr3t").reveal()
    's3cr3t'
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the wire and nothing else."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not pickled: pass the configuration that names it instead")


def resolve_environment(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Replace every ``${env:NAME}`` in *text* by that environment variable.

    Raises:
        KeyError: the variable is not set; the exception's argument is its name.
    """
    source = os.environ if environment is None else environment

    def value_of(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in source:
            raise KeyError(name)
        return source[name]

    return _ENVIRONMENT.sub(value_of, text)


def misspelt_reference(text: str) -> str:
    """How ``${env:NAME}`` is written that *text*, a credential, means by ``$NAME``, ``${NAME}`` and the like.

    Empty where it means none. What might be the credential itself is not repeated.
    """
    match = _SHELL_REFERENCE.fullmatch(text.strip())
    if match is None:
        return ""
    braced, powershell, bare = match.groups()
    name = re.sub(r"^env:", "", braced or powershell or "", flags=re.IGNORECASE).strip()
    if bare and bare in os.environ:
        name = bare
    return f"${{env:{name if re.fullmatch('[A-Za-z_][A-Za-z0-9_]*', name) else 'NAME'}}}"


def is_secret_name(name: str) -> bool:
    """Whether a query parameter, header or field of this name usually carries a credential."""
    return _SECRET_NAME.search(name) is not None


def safe_url(url: str) -> str:
    """*url* without user, password and the values of parameters that usually carry a credential."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if ":" in host:
            host = f"[{host}]"
        netloc = f"{host}:{parts.port}" if parts.port else host
        query = urlencode(
            [(k, MASK if is_secret_name(k) else v) for k, v in parse_qsl(parts.query, keep_blank_values=True)],
            safe="*:/;,",
        )
        return urlunsplit((parts.scheme, netloc, parts.path, query, ""))
    except ValueError:
        return "(malformed URL)"


def secrets_in_url(url: str) -> tuple[str, ...]:
    """The credentials that *url* carries in its query, decoded and as they stand there."""
    try:
        query = urlsplit(url).query
    except ValueError:
        return ()
    plain = [value for name, value in parse_qsl(query) if is_secret_name(name)]
    return (*plain, *(quote(value, safe="") for value in plain), *map(quote_plus, plain))


def secrets_in_headers(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The values of *headers*, which all count as secret, and credentials without the scheme ("Bearer") before."""
    credentials = [part for name, value in headers.items() if is_secret_name(name) for part in value.split()[1:]]
    return (*headers.values(), *credentials)


def secret_values(values: Iterable[str | Secret | None]) -> tuple[str, ...]:
    """The plain values to remove from texts, longest first; values too short to be told from words are left."""
    plain = {v.reveal() if isinstance(v, Secret) else v for v in values if v}
    return tuple(sorted((v for v in plain if len(v) >= 4), key=len, reverse=True))


def redact(text: str, secrets: Iterable[str | Secret | None], *, limit: int = 500) -> str:
    """*text* with every secret replaced by ``***``, on one line, cut to *limit* characters.

    What a terminal would obey, and what cannot be encoded, becomes U+FFFD.
    """
    for value in secret_values(secrets):
        text = text.replace(value, MASK)
    text = " ".join(text.split())
    if not text.isprintable():
        text = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
