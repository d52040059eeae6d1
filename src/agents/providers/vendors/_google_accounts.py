"""Whose access token is asked for: a service account's, or that of a person who logged in with gcloud. No I/O.

Which one, where it is kept and what is read from it is as in google-auth 2.62 (``google.auth.default``). A service
account signs a statement (https://developers.google.com/identity/protocols/oauth2/service-account#httprest; PyJWT
signs, loaded when needed); a login has a refresh token (RFC 6749, section 6).
"""

from __future__ import annotations

import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from ..base import ConfigurationError
from ..protocol import Settings

__all__ = ["STATEMENT_SECONDS", "Account", "Login", "ServiceAccount", "account_of"]

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
STATEMENT_SECONDS = 3600
"""So long a statement is good for, and a token that does not say."""

_ENVIRONMENT = "GOOGLE_APPLICATION_CREDENTIALS"
_QUOTA_PROJECT = "GOOGLE_CLOUD_QUOTA_PROJECT"
_FOLDER = "CLOUDSDK_CONFIG"
_FILE = "application_default_credentials.json"
_LOG_IN = "gcloud auth application-default login"
_ENDPOINT = "https://oauth2.googleapis.com/token"
"""Also the audience of a statement, whatever the address at which the token is asked for."""
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_MOST_KEPT = 64


class Account(ABC):
    """Who asks for tokens.

    Attributes:
        token_uri: where they are asked for.
        quota_project: the project that requests are counted for and billed to, where it is not the account's own.
    """

    token_uri: str
    quota_project: str | None

    @abstractmethod
    def form(self, now: float) -> dict[str, str]:
        """What is sent for a token *now* (seconds, UTC).

        Raises:
            ConfigurationError: the account cannot ask.
        """

    @abstractmethod
    def secrets(self) -> tuple[str, ...]:
        """What of it may not be shown."""


@dataclass(frozen=True)
class ServiceAccount(Account):
    """A service account, from its key file. Its key does not print."""

    email: str
    token_uri: str
    key_id: str = field(repr=False)
    private_key: str = field(repr=False)
    quota_project: str | None = None

    def form(self, now: float) -> dict[str, str]:
        return {"grant_type": _GRANT, "assertion": self.statement(now)}

    def secrets(self) -> tuple[str, ...]:
        return (self.private_key,)

    def statement(self, now: float) -> str:
        """A signed statement that this account asks for a token, good for an hour from *now* (seconds, UTC).

        Raises:
            ConfigurationError: PyJWT is missing, or the key is none.
        """
        claims = {
            "iss": self.email,
            "scope": SCOPE,
            "aud": _ENDPOINT,
            "iat": int(now),
            "exp": int(now) + STATEMENT_SECONDS,
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


@dataclass(frozen=True)
class Login(Account):
    """A person's login, as ``gcloud auth application-default login`` leaves it. Its secrets do not print."""

    client_id: str
    token_uri: str
    quota_project: str | None
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)

    def form(self, now: float) -> dict[str, str]:
        return {
            "grant_type": "refresh_token",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "refresh_token": self.refresh_token,
        }

    def secrets(self) -> tuple[str, ...]:
        return self.client_secret, self.refresh_token


def account_of(settings: Settings, *, at_google: bool) -> Account | None:
    """The account to use: that of the option ``credentials``, or without an API key the environment's.

    Args:
        at_google: whether the service is Google's own. A login that gcloud left on this machine, and that nothing
            names, is used for no other.

    Raises:
        ConfigurationError: there should be one, and it cannot be read.
    """
    given = settings.options.get("credentials")
    source = "the file that the option credentials names"
    if isinstance(given, Mapping):
        return _from_text(orjson.dumps(dict(given)), "the option credentials")
    if given is None and not settings.key:
        given, source = os.environ.get(_ENVIRONMENT), f"the file that {_ENVIRONMENT} names"
        path = _left_by_gcloud() if not given and at_google else None
        if path is not None and path.is_file():
            given, source = str(path), "the login that gcloud left"
    if not given:
        return None
    if given.lstrip().startswith("{"):
        return _from_text(given.encode(), "the option credentials")
    try:
        return _from_text(Path(given).expanduser().read_bytes(), source)
    except OSError as error:
        raise ConfigurationError(f"google: {source} cannot be read ({error.strerror}): {given}") from None


def _left_by_gcloud() -> Path | None:
    """Where gcloud keeps a login, as in google-auth's ``_cloud_sdk``; ``None`` for a user without a home."""
    folder = os.environ.get(_FOLDER)
    if folder:
        return Path(folder) / _FILE
    if os.name == "nt":
        return Path(os.environ.get("APPDATA", "C:\\")) / "gcloud" / _FILE
    try:
        return Path.home() / ".config" / "gcloud" / _FILE
    except RuntimeError:
        return None


_read: dict[bytes, Account] = {}


def _from_text(text: bytes, source: str) -> Account:
    """The account in a file's *text*; reading and trying a key takes milliseconds, so it is done once."""
    account = _read.get(text)
    if account is None:
        try:
            content = orjson.loads(text)
        except orjson.JSONDecodeError:
            content = None
        if not isinstance(content, dict):
            raise ConfigurationError(f"google: {source} is not JSON: give the key file of a service account")
        account = _account(content, source)
        if len(_read) >= _MOST_KEPT:
            _read.clear()
        _read[text] = account
    return account


def _account(content: Mapping[str, Any], source: str) -> Account:
    """The account a file describes.

    Raises:
        ConfigurationError: it is another kind of file, incomplete, or names a token endpoint in clear text.
    """
    kind = content.get("type")
    if kind == "service_account":
        wanted, remedy = ("client_email", "private_key", "token_uri"), "download the key file again"
    elif kind == "authorized_user":
        wanted, remedy = ("client_id", "client_secret", "refresh_token"), f"run {_LOG_IN}"
    else:
        raise ConfigurationError(
            f"google: {source} is neither the key of a service account nor a login (its type is {kind!r}): make a"
            f" key at https://console.cloud.google.com/iam-admin/serviceaccounts, run {_LOG_IN},"
            " or pass an API key as api_key"
        )
    for name in wanted:
        if not isinstance(content.get(name), str) or not content[name]:
            raise ConfigurationError(f"google: {source} lacks {name}: {remedy}")
    endpoint = content.get("token_uri") or _ENDPOINT  # gcloud writes none
    where = urlsplit(str(endpoint))
    if where.scheme != "https" and where.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ConfigurationError(f"google: the token_uri of {source} must start with https://")
    project = content.get("quota_project_id")
    quota_project = project if isinstance(project, str) and project else None
    if kind == "authorized_user":
        return Login(
            content["client_id"], str(endpoint), quota_project, content["client_secret"], content["refresh_token"]
        )
    key_id = str(content.get("private_key_id", ""))
    account = ServiceAccount(content["client_email"], str(endpoint), key_id, content["private_key"], quota_project)
    account.statement(0)  # a key that cannot sign is found out now
    return account


def quota_project_of(account: Account) -> str | None:
    """The project *account*'s requests are billed to: the environment's, or the one in its file."""
    return os.environ.get(_QUOTA_PROJECT) or account.quota_project
