"""Access tokens for a Google service account: asked for with a signed statement, kept, renewed in time. No I/O.

https://developers.google.com/identity/protocols/oauth2/service-account#httprest. PyJWT signs, loaded when needed.
"""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson

from ..base import ConfigurationError
from ..protocol import HttpRequest, HttpResponse, Settings, Wait
from ..redaction import redact

__all__ = ["Account", "Tokens", "account_of"]

SCOPE = "https://www.googleapis.com/auth/cloud-platform"

_ENVIRONMENT = "GOOGLE_APPLICATION_CREDENTIALS"
_AUDIENCE = "https://oauth2.googleapis.com/token"
"""Whatever the address is at which the token is asked for, as google-auth has it."""
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_STATEMENT_SECONDS = 3600
_RENEW_SECONDS = 225.0
"""Before it expires, as google-auth does (its REFRESH_THRESHOLD)."""
_LOOK_AGAIN_SECONDS = 0.02
_SUSPECT_SECONDS = 60.0
_MOST_KEPT = 64


@dataclass(frozen=True)
class Account:
    """A service account. Its key does not print."""

    email: str
    token_uri: str
    key_id: str = field(repr=False)
    private_key: str = field(repr=False)

    @classmethod
    def read(cls, content: Mapping[str, Any], source: str) -> Account:
        """The account a key file describes.

        Raises:
            ConfigurationError: it is another kind of file, incomplete, or names a token endpoint in clear text.
        """
        kind = content.get("type")
        if kind != "service_account":
            raise ConfigurationError(
                f"google: {source} is no key of a service account (its type is {kind!r}): make one at"
                " https://console.cloud.google.com/iam-admin/serviceaccounts, or pass an API key as api_key"
            )
        for name in ("client_email", "private_key", "token_uri"):
            if not isinstance(content.get(name), str) or not content[name]:
                raise ConfigurationError(f"google: {source} lacks {name}: download the key file again")
        where = urlsplit(content["token_uri"])
        if where.scheme != "https" and where.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise ConfigurationError(f"google: the token_uri of {source} must start with https://")
        account = cls(
            content["client_email"],
            content["token_uri"],
            str(content.get("private_key_id", "")),
            content["private_key"],
        )
        account.statement(0)  # a key that cannot sign is found out now
        return account

    def statement(self, now: float) -> str:
        """A signed statement that this account asks for a token, good for an hour from *now* (seconds, UTC).

        Raises:
            ConfigurationError: PyJWT is missing, or the key is none.
        """
        claims = {
            "iss": self.email,
            "scope": SCOPE,
            "aud": _AUDIENCE,
            "iat": int(now),
            "exp": int(now) + _STATEMENT_SECONDS,
        }
        try:
            jwt = importlib.import_module("jwt")
            signing = jwt.get_algorithm_by_name("RS256")
        except (ModuleNotFoundError, NotImplementedError):  # PyJWT, or cryptography under it
            raise ConfigurationError(
                'google: a service account needs the package PyJWT[crypto]: pip install "voxport[google]"'
            ) from None
        try:
            key = signing.prepare_key(self.private_key)
            signed: str = jwt.encode(claims, key, algorithm="RS256", headers={"kid": self.key_id})
        except (ValueError, TypeError, jwt.PyJWTError) as error:  # its text may hold the key
            raise ConfigurationError(
                f"google: the private_key of {self.email} cannot be read ({type(error).__name__}):"
                " download the key file again"
            ) from None
        return signed


def account_of(settings: Settings) -> Account | None:
    """The service account to use: that of the option ``credentials``, or without an API key the environment's.

    Raises:
        ConfigurationError: there should be one, and it cannot be read.
    """
    given = settings.options.get("credentials")
    if isinstance(given, Mapping):
        return _from_text(orjson.dumps(dict(given)), "the option credentials")
    if given is None and not settings.key:
        given = os.environ.get(_ENVIRONMENT)
        source = f"the file that {_ENVIRONMENT} names"
    else:
        source = "the file that the option credentials names"
    if not given:
        return None
    if given.lstrip().startswith("{"):
        return _from_text(given.encode(), "the option credentials")
    try:
        return _from_text(Path(given).expanduser().read_bytes(), source)
    except OSError as error:
        raise ConfigurationError(f"google: {source} cannot be read ({error.strerror}): {given}") from None


_read: dict[bytes, Account] = {}


def _from_text(text: bytes, source: str) -> Account:
    """The account in a key file's *text*; reading and trying a key takes milliseconds, so it is done once."""
    account = _read.get(text)
    if account is None:
        try:
            content = orjson.loads(text)
        except orjson.JSONDecodeError:
            content = None
        if not isinstance(content, dict):
            raise ConfigurationError(f"google: {source} is not JSON: give the key file of a service account")
        account = Account.read(content, source)
        if len(_read) >= _MOST_KEPT:
            _read.clear()
        _read[text] = account
    return account


@dataclass(frozen=True)
class _Token:
    value: str = field(repr=False)
    since: float
    until: float


class Tokens:
    """The tokens of all accounts of a protocol. Thread-safe; for each account one flow asks, and others wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Account, _Token] = {}
        self._asking: set[Account] = set()

    def __repr__(self) -> str:
        return f"Tokens({len(self._kept)} kept)"

    def token(self, account: Account) -> Generator[HttpRequest | Wait, HttpResponse | None, str]:
        """A token of *account* that is good for minutes, asked for when none is kept.

        Raises:
            ValueError: the answer holds no token.
        """
        while True:
            with self._lock:
                kept = self._kept.get(account)
                if kept is not None and time.monotonic() < kept.until:
                    return kept.value
                mine = account not in self._asking
                if mine:
                    self._asking.add(account)
            if mine:
                try:
                    return (yield from self._ask(account))
                finally:  # also when this flow is given up
                    with self._lock:
                        self._asking.discard(account)
            yield Wait(_LOOK_AGAIN_SECONDS)

    def _ask(self, account: Account) -> Generator[HttpRequest | Wait, HttpResponse | None, str]:
        form = urlencode({"grant_type": _GRANT, "assertion": account.statement(time.time())})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        asked = time.monotonic()
        response = yield HttpRequest("POST", account.token_uri, headers, form.encode())
        assert response is not None, "a request is answered by a response"
        answer = response.json()
        value = answer.get("access_token") if isinstance(answer, dict) else None
        seconds = answer.get("expires_in") if isinstance(answer, dict) else None
        if not isinstance(value, str) or not value or isinstance(seconds, bool):
            raise ValueError("the token endpoint answered without an access_token")
        if not isinstance(seconds, (int, float)):
            seconds = _STATEMENT_SECONDS
        early = min(_RENEW_SECONDS, seconds / 2)
        with self._lock:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[account] = _Token(value, asked, asked + seconds - early)
        return value

    def refused(self) -> bool:
        """The service refused a token: none is kept any more. Returns whether another attempt may fare better."""
        with self._lock:
            oldest = min((token.since for token in self._kept.values()), default=None)
            self._kept.clear()
        return oldest is not None and time.monotonic() - oldest > _SUSPECT_SECONDS

    def redact(self, text: str) -> str:
        """*text* without any token that is kept."""
        with self._lock:
            values = [token.value for token in self._kept.values()]
        return redact(text, values)
