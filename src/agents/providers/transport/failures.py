"""From whatever went wrong on the wire to a verdict, and from a verdict to LiveKit's typed errors.

The texts name the vendor, the place without credentials, what happened and what to do about it.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Mapping
from typing import NoReturn

import aiohttp
from aiohttp.http import HttpProcessingError
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError

from ..protocol import Failure, Settings, Verdict, judge_close, judge_status, retry_after_seconds
from ..protocol.policy import remedy_for
from ..redaction import is_secret_name, safe_url, secrets_in_url

__all__ = ["ConnectionFailed", "api_error", "failure_of_close", "failure_of_exception", "raise_bare"]


_BROKEN = (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionResetError)
_LOST = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})


class ConnectionFailed(Exception):
    """A connection ended otherwise than planned. Carries the :class:`~..protocol.Failure`."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def raise_bare(failure: Failure) -> NoReturn:
    """Raise :class:`ConnectionFailed` with no exception behind it.

    aiohttp's exceptions hold the request with its headers, and a traceback would show them. Raising outside the
    handler is not enough for Python 3.10, which remembers what a coroutine has handled.
    """
    failed = ConnectionFailed(failure)
    try:
        raise failed
    finally:
        failed.__context__ = None


def failure_of_exception(
    error: BaseException, settings: Settings, *, doing: str, session: aiohttp.ClientSession | None = None
) -> Failure:
    """The failure behind an exception of the transport.

    Args:
        error: what aiohttp or the operating system raised.
        settings: whose credentials must not show.
        doing: what was being done, for the text: "connecting", "sending audio".
        session: what it was done on, where that might have been closed.
    """
    if session is not None and session.closed:
        return Failure(
            "the HTTP session that was given is closed: keep it open as long as the adapter, or give none",
            Verdict.PERMANENT,
        )
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return failure_of_handshake(error, settings)
    if isinstance(error, aiohttp.ClientResponseError):
        return failure_of_response_error(error, settings)
    verdict = Verdict.TRANSIENT
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            doing = "connecting"
        return Failure(f"timed out while {doing}", detail={"timeout": True})
    if isinstance(error, RedirectRefused):
        where = settings.redact(safe_url(error.location)) if error.location else "a place it does not name"
        return Failure(f"it redirects to {where}; {remedy_for(301)}", Verdict.PERMANENT, status=error.status)
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError)):
        verdict = Verdict.PERMANENT
        text = "the TLS certificate is not valid for this host; check the URL and the trust store"
    elif isinstance(error, (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)):
        verdict = Verdict.PERMANENT
        text = "the URL is not valid"
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        text = "the host name cannot be resolved"
    elif isinstance(error, aiohttp.ClientConnectorError):
        text = f"the connection was refused or failed ({error.os_error.strerror or type(error.os_error).__name__})"
    elif isinstance(
        error, (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionResetError)
    ) or (isinstance(error, OSError) and error.errno in _LOST):
        text = f"the connection was lost while {doing}"
    elif isinstance(error, (ValueError, TypeError)):  # refused before anything was sent: a header, a host name
        verdict = Verdict.PERMANENT
        text = f"the request cannot be sent ({type(error).__name__}: {error})"
    else:
        text = f"{type(error).__name__} while {doing}: {error}"
    return Failure(settings.redact(text), verdict)


def failure_of_response_error(error: aiohttp.ClientResponseError, settings: Settings) -> Failure:
    """The failure behind aiohttp's exceptions about an HTTP answer, which print the URL with all it holds."""
    if isinstance(error.__cause__, HttpProcessingError):  # aiohttp calls it 400, which the server never said
        text = f"the answer is not HTTP ({settings.redact(error.message, limit=120)}); check the URL"
        return Failure(text, Verdict.PERMANENT, detail={"malformed": True})
    retry_after = retry_after_seconds(error.headers.get("Retry-After") if error.headers else None)
    if 200 <= error.status < 300:
        text = "the answer is not what was expected"
        if isinstance(error, aiohttp.ContentTypeError):
            kind = (error.headers.get("Content-Type") if error.headers else None) or "something else"
            kind = kind.partition(";")[0]
            text = f"expected JSON, got {settings.redact(kind, limit=60)}; check the URL"
        return Failure(text, Verdict.PERMANENT, status=error.status, detail={"malformed": True})
    text = f"HTTP {error.status}" + (f" ({settings.redact(error.message, limit=200)})" if error.message else "")
    if isinstance(error, aiohttp.ContentTypeError):  # says only that the error page is no JSON
        text = f"HTTP {error.status}"
    return Failure(
        with_remedy(text, error.status, settings, error.request_info),
        judge_status(error.status),
        status=error.status,
        retry_after=retry_after,
    )


def failure_of_handshake(error: aiohttp.WSServerHandshakeError, settings: Settings) -> Failure:
    """The failure behind an HTTP answer that is no WebSocket."""
    status, headers, message = error.status, error.headers, error.message
    if status == 101:  # it agrees to something, and not to this
        text = f"the handshake is not valid ({settings.redact(message, limit=120)}); check the URL"
        return Failure(text, Verdict.PERMANENT, detail={"malformed": True})
    if 200 <= status < 300:
        text = "the server answered, but not as a WebSocket; check the URL"
        return Failure(text, Verdict.PERMANENT, status=status)
    # Deepgram names the reason in a header; others put it in a body that aiohttp does not read.
    reason = (headers.get("dg-error") if headers else None) or ""
    retry_after = retry_after_seconds(headers.get("Retry-After") if headers else None)
    text = f"the handshake was refused with HTTP {status}" + (
        f" ({settings.redact(reason, limit=200)})" if reason else ""
    )
    text = with_remedy(text, status, settings, error.request_info)
    return Failure(text, judge_status(status), status=status, retry_after=retry_after)


def failure_of_close(
    code: int | None,
    reason: str,
    settings: Settings,
    table: Mapping[int, Verdict] | None = None,
    *,
    silent: bool = False,
) -> Failure:
    """The failure behind a connection that the vendor closed, with or without a close code.

    Args:
        table: the vendor's own meanings of close codes.
        silent: no message came before, so it may not like what it was sent.
    """
    reason = settings.redact(reason, limit=200)
    if code is None or code == 1006:
        text = "the connection broke"
    else:
        text = f"the vendor closed the connection with code {code}"
        text += (" before it said anything" if silent else "") + (f" ({reason})" if reason else "")
    return Failure(with_remedy(text, code, settings), judge_close(code, table), status=code)


def with_remedy(
    text: str, status: int | None, settings: Settings, asked: aiohttp.RequestInfo | None = None
) -> str:
    """*text* and what to do about *status*, which may come of *settings* without a credential.

    Args:
        asked: the request that was refused, if it is known: a vendor may have found a credential for itself.
    """
    remedy = remedy_for(status)
    if "API key" in remedy and not _holds_credentials(settings, asked):
        names = " or ".join(settings.key_variables)
        remedy += f" (none was given{f', nor found in {names}' if names else ''})"
    return f"{text}: {remedy}" if remedy else text


def _holds_credentials(settings: Settings, asked: aiohttp.RequestInfo | None) -> bool:
    sent, url = (asked.headers, str(asked.url)) if asked is not None else ((), "")
    own = (name for name in sent if name.lower() != "sec-websocket-key")  # which is none
    named = any(map(is_secret_name, (*settings.headers, *settings.options, *own)))
    return bool(named or settings.api_key or secrets_in_url(settings.url) or secrets_in_url(url))


def api_error(failure: Failure, *, vendor: str, settings: Settings) -> APIError:
    """LiveKit's exception for *failure*, retryable when it is transient. Raise it ``from None``.

    It has one attribute more than LiveKit's: ``retry_after``, the seconds the vendor asks to wait, or ``None``.
    """
    text = settings.redact(f"{vendor} at {settings.shown_url}: {failure.message}", limit=800)
    error = _typed_error(failure, text)
    error.retry_after = failure.retry_after  # type: ignore[attr-defined]
    return error


def _typed_error(failure: Failure, text: str) -> APIError:
    retryable = failure.verdict is not Verdict.PERMANENT
    if failure.detail.get("timeout"):
        return APITimeoutError(text, retryable=retryable)
    if failure.detail.get("malformed"):  # an answer came, but it is no answer of this vendor
        return APIError(text, retryable=retryable)
    if failure.status is None:
        return APIConnectionError(text, retryable=retryable)
    error = APIStatusError(text, status_code=failure.status, retryable=retryable)
    error.retryable = retryable  # the constructor overrules it for 425 and for verdicts of the vendor's own
    return error


class RedirectRefused(Exception):
    """The service redirects, which would carry credentials to a place the user did not name."""

    def __init__(self, status: int, location: str) -> None:
        super().__init__(f"redirect to {safe_url(location)}")
        self.status = status
        self.location = location
