"""What Google's dialects share: errors, credentials, JSON that is checked field by field, and their notations.

A request carries an API key (``x-goog-api-key`` or ``?key=``) or an OAuth token. A token is got with a service
account: the server knows one whose public key, in PEM, is among its keys. Or it is got with a person's refresh
token, which is one of its keys.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from aiohttp import web

from ..extras import require
from .base import Dialect, Handler, RequestFailed

__all__ = ["SCOPE", "GoogleDialect", "GoogleTokens", "checked", "duration", "json_object"]

SCOPE = "https://www.googleapis.com/auth/cloud-platform"

# https://cloud.google.com/apis/design/errors
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_TOKEN_SECONDS = 3600
_AUDIENCE = "https://oauth2.googleapis.com/token"
"""Also where the token is asked for elsewhere: google-auth 2.62, oauth2/service_account.py."""
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_MOST_TOKENS = 1000


class GoogleDialect(Dialect):
    """A dialect that fails as Google's APIs do: ``{"error": {"code", "message", "status"}}``."""

    tokens: ClassVar[dict[str, float]] = {}
    """Tokens given out by any of this process's servers, and when they expire on the monotonic clock."""

    def error(self, failure: RequestFailed) -> web.Response:
        status = 400 if failure.status == 413 else failure.status
        name = _STATUSES.get(status, "UNKNOWN")
        body = {"error": {"code": status, "message": failure.message, "status": name}}
        return web.json_response(body, status=status)

    def api_key(self, request: web.Request) -> str | None:
        keys = self.services.options.api_keys
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if self.tokens.get(token, 0.0) < time.monotonic():
                raise RequestFailed(401, "Request had invalid authentication credentials.")
            return keys[0]
        key = request.headers.get("x-goog-api-key") or request.query.get("key")
        if not key:
            raise RequestFailed(403, "Method doesn't allow unregistered callers (callers without identity).")
        if not any(hmac.compare_digest(key.encode(), known.encode()) for known in keys):
            raise RequestFailed(400, "API key not valid. Please pass a valid API key.")
        return key


class GoogleTokens(GoogleDialect):
    """``POST /token``: a JSON Web Token signed by a service account, or a refresh token, for an access token.

    https://developers.google.com/identity/protocols/oauth2/service-account#httprest
    https://developers.google.com/identity/protocols/oauth2/native-app#offline
    """

    name = "google-tokens"

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [("POST", "/token", self._token)]

    def api_key(self, request: web.Request) -> str | None:
        return next(iter(self.services.options.api_keys), None)  # what is asked for here is the key

    def error(self, failure: RequestFailed) -> web.Response:
        body = {"error": failure.code, "error_description": failure.message}
        return web.json_response(body, status=failure.status)

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        if form.get("grant_type") == _GRANT:
            self._check_assertion(str(form.get("assertion", "")))
        elif form.get("grant_type") == "refresh_token":
            self._check_refresh({name: str(value) for name, value in form.items()})
        else:
            raise RequestFailed(400, "Invalid grant_type", "unsupported_grant_type")
        token = f"ya29.{secrets.token_urlsafe(48)}"
        now = time.monotonic()
        for old in [old for old, expires in self.tokens.items() if expires < now][:_MOST_TOKENS]:
            del self.tokens[old]
        self.tokens[token] = now + _TOKEN_SECONDS
        return web.json_response({"access_token": token, "expires_in": _TOKEN_SECONDS, "token_type": "Bearer"})

    def _check_refresh(self, form: Mapping[str, str]) -> None:
        if not form.get("client_id") or not form.get("client_secret"):
            raise RequestFailed(401, "The OAuth client was not found.", "invalid_client")
        if not form.get("refresh_token"):
            raise RequestFailed(400, "Missing required parameter: refresh_token", "invalid_request")
        known = self.services.options.api_keys
        if not any(hmac.compare_digest(form["refresh_token"].encode(), key.encode()) for key in known):
            raise RequestFailed(400, "Token has been expired or revoked.", "invalid_grant")

    def _check_assertion(self, assertion: str) -> None:
        jwt = require("jwt", "google")
        wanted = {"require": ["exp", "iat", "iss", "scope"]}
        reason = "Invalid JWT Signature."
        for key in self.services.options.api_keys:
            if not key.startswith("-----BEGIN"):
                continue
            try:
                claims = jwt.decode(assertion, key, algorithms=["RS256"], audience=_AUDIENCE, options=wanted)
            except jwt.InvalidTokenError as error:
                reason = f"Invalid JWT: {error}"
                continue
            if claims["exp"] - claims["iat"] > _TOKEN_SECONDS:
                reason = "Invalid JWT: Token must be a short-lived token (60 minutes)"
            elif SCOPE not in str(claims["scope"]).split():
                raise RequestFailed(400, "Invalid OAuth scope or ID token audience provided.", "invalid_scope")
            else:
                return
        raise RequestFailed(400, reason, "invalid_grant")


async def json_object(request: web.Request) -> dict[str, Any]:
    """The JSON object a request carries. Raises `RequestFailed`."""
    try:
        body = json.loads(await request.read())
    except ValueError:
        raise RequestFailed(400, "Invalid JSON payload received.") from None
    if not isinstance(body, dict):
        raise RequestFailed(400, "Invalid JSON payload received. Root element must be a message.")
    return body


def checked(value: Any, known: Mapping[str, Any], where: str) -> dict[str, Any]:
    """*value* as an object with no other fields than *known*; those that are null count as absent.

    Args:
        known: names, each with the type its value must have, or with the fields of the object it must be.
        where: what the object is called in errors.
    """
    if not isinstance(value, dict):
        raise RequestFailed(400, f"Invalid value at '{where}'")
    for name, inner in value.items():
        kind = known.get(name)
        if kind is None:
            raise RequestFailed(
                400, f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field."
            )
        if inner is None:
            continue
        if isinstance(kind, Mapping):
            checked(inner, kind, f"{where}.{name}")
        elif not isinstance(inner, kind) or (isinstance(inner, bool) and kind is not bool):
            raise RequestFailed(400, f"Invalid value at '{where}.{name}'")
    return {name: inner for name, inner in value.items() if inner is not None}


def duration(seconds: float) -> str:
    """Seconds as protobuf's JSON writes them: ``"1s"``, ``"1.300s"``."""
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{seconds:.3f}s"
