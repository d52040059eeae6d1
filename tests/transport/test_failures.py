"""From what went wrong to a verdict, and to LiveKit's typed errors; no text shows a credential."""

from __future__ import annotations

import asyncio
import ssl
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError
from multidict import CIMultiDict, CIMultiDictProxy

from agents.providers.protocol import Failure, Settings, Verdict
from agents.providers.redaction import Secret
from agents.providers.transport.failures import (
    ConnectionFailed,
    RedirectRefused,
    api_error,
    failure_of_close,
    failure_of_exception,
    with_remedy,
)

KEY = "key-4711"
SETTINGS = Settings(f"wss://host/v1?token={KEY}", api_key=Secret(KEY))
REQUEST = cast(
    aiohttp.RequestInfo,
    SimpleNamespace(real_url=SETTINGS.url, headers={"Authorization": KEY}, method="GET", url=SETTINGS.url),
)
CONNECTION = cast(Any, SimpleNamespace(host="host", port=443, ssl=True, is_ssl=True, proxy=None))


def headers(**values: str) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in values.items()}))


def judge(error: BaseException) -> Failure:
    failure = failure_of_exception(error, SETTINGS, doing="connecting")
    assert KEY not in failure.message
    return failure


@pytest.mark.parametrize("error", [asyncio.TimeoutError(), TimeoutError(), aiohttp.ServerTimeoutError()])
def test_a_timeout_is_transient_and_marked(error: Exception) -> None:
    failure = failure_of_exception(error, SETTINGS, doing="sending audio")
    assert (failure.message, failure.verdict) == ("timed out while sending audio", Verdict.TRANSIENT)
    assert failure.detail == {"timeout": True}


def test_a_timeout_of_the_connection_says_so_whatever_was_to_be_done() -> None:
    failure = failure_of_exception(aiohttp.ConnectionTimeoutError(), SETTINGS, doing="sending audio")
    assert failure.message == "timed out while connecting"


@pytest.mark.parametrize(
    ("error", "verdict", "text"),
    [
        (
            aiohttp.ClientConnectorCertificateError(CONNECTION, ssl.CertificateError("bad")),
            Verdict.PERMANENT,
            "TLS certificate is not valid",
        ),
        (ssl.SSLCertVerificationError("bad"), Verdict.PERMANENT, "TLS certificate is not valid"),
        (aiohttp.InvalidURL(SETTINGS.url), Verdict.PERMANENT, "the URL is not valid"),
        (aiohttp.NonHttpUrlClientError(SETTINGS.url), Verdict.PERMANENT, "the URL is not valid"),
        (
            aiohttp.ClientConnectorDNSError(CONNECTION, OSError(-2, "Name or service not known")),
            Verdict.TRANSIENT,
            "the host name cannot be resolved",
        ),
        (
            aiohttp.ClientConnectorError(CONNECTION, OSError(111, "Connection refused")),
            Verdict.TRANSIENT,
            "refused or failed (Connection refused)",
        ),
        (aiohttp.ClientConnectorError(CONNECTION, ConnectionError()), Verdict.TRANSIENT, "(ConnectionError)"),
        (aiohttp.ServerDisconnectedError(), Verdict.TRANSIENT, "the connection was lost while connecting"),
        (ConnectionResetError(), Verdict.TRANSIENT, "the connection was lost while connecting"),
        (ValueError(f"a header with {KEY}"), Verdict.PERMANENT, "cannot be sent (ValueError: a header with ***)"),
        (aiohttp.ClientPayloadError(f"half of {KEY}"), Verdict.TRANSIENT, "the connection was lost while"),
        (RedirectRefused(307, f"https://else/?key={KEY}"), Verdict.PERMANENT, "https://else/?key=***"),
        (RedirectRefused(307, ""), Verdict.PERMANENT, "a place it does not name"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_exception_of_the_transport_has_a_verdict_and_a_text_for_people(
    error: Exception, verdict: Verdict, text: str
) -> None:
    failure = judge(error)
    assert text in failure.message
    assert failure.verdict is verdict


class TestHandshake:
    def answer(self, status: int, **values: str) -> Failure:
        return judge(
            aiohttp.WSServerHandshakeError(
                REQUEST, (), message="Invalid", status=status, headers=headers(**values)
            )
        )

    def test_a_refusal_gives_status_remedy_and_verdict(self) -> None:
        failure = self.answer(401)
        assert failure.message == "the handshake was refused with HTTP 401: check the API key"
        assert (failure.status, failure.verdict) == (401, Verdict.PERMANENT)

    def test_the_reason_in_a_header_is_shown_without_secrets(self) -> None:
        assert "(no ***)" in self.answer(400, dg_error=f"no {KEY}").message

    def test_retry_after_is_kept(self) -> None:
        failure = self.answer(503, retry_after="3")
        assert (failure.retry_after, failure.verdict) == (3, Verdict.TRANSIENT)

    def test_a_web_page_is_no_websocket(self) -> None:
        failure = self.answer(200)
        assert "not as a WebSocket" in failure.message
        assert failure.verdict is Verdict.PERMANENT

    def test_no_headers_at_all(self) -> None:
        error = aiohttp.WSServerHandshakeError(REQUEST, (), message="Invalid", status=500)
        assert judge(error).retry_after is None


class TestResponse:
    def test_a_status_raised_by_aiohttp_is_judged_and_its_url_is_not_shown(self) -> None:
        error = aiohttp.ClientResponseError(
            REQUEST, (), status=429, message="Too Many", headers=headers(retry_after="7")
        )
        failure = judge(error)
        assert failure.message == "HTTP 429 (Too Many): slow down or raise the limit of the account"
        assert (failure.status, failure.verdict, failure.retry_after) == (429, Verdict.TRANSIENT, 7)

    def test_an_answer_of_another_type_is_permanent(self) -> None:
        error = aiohttp.ContentTypeError(
            REQUEST, (), status=200, message="unexpected mimetype", headers=headers(content_type="text/html; a=b")
        )
        failure = judge(error)
        assert failure.message == "expected JSON, got text/html; check the URL"
        assert (failure.verdict, failure.detail) == (Verdict.PERMANENT, {"malformed": True})

    def test_an_answer_without_a_type_is_permanent_too(self) -> None:
        failure = judge(aiohttp.ContentTypeError(REQUEST, (), status=200))
        assert "got something else" in failure.message
        assert judge(aiohttp.ClientResponseError(REQUEST, (), status=200)).verdict is Verdict.PERMANENT

    def test_the_error_page_of_a_server_is_judged_by_its_status(self) -> None:
        failure = judge(aiohttp.ContentTypeError(REQUEST, (), status=502, message="unexpected mimetype"))
        assert (failure.message, failure.verdict) == ("HTTP 502", Verdict.TRANSIENT)


class TestClose:
    @pytest.mark.parametrize("code", [None, 1006])
    def test_without_a_code_the_connection_broke(self, code: int | None) -> None:
        failure = failure_of_close(code, "", SETTINGS)
        assert (failure.message, failure.verdict) == ("the connection broke", Verdict.TRANSIENT)

    def test_code_and_reason_are_shown_without_secrets(self) -> None:
        failure = failure_of_close(4001, f"bad {KEY}", SETTINGS)
        assert failure.message == "the vendor closed the connection with code 4001 (bad ***): check the API key"
        assert (failure.status, failure.verdict) == (4001, Verdict.PERMANENT)

    def test_it_is_told_that_nothing_came_before(self) -> None:
        failure = failure_of_close(1000, "bye", SETTINGS, silent=True)
        assert failure.message == "the vendor closed the connection with code 1000 before it said anything (bye)"
        assert failure_of_close(1006, "", SETTINGS, silent=True).message == "the connection broke"

    def test_the_vendors_own_meaning_comes_first(self) -> None:
        failure = failure_of_close(4001, "", SETTINGS, {4001: Verdict.RECYCLE})
        assert failure.verdict is Verdict.RECYCLE


class TestApiError:
    def error(self, failure: Failure) -> APIError:
        error = api_error(failure, vendor="acme", settings=SETTINGS)
        assert error.message.startswith("acme at wss://host/v1?token=***: ")
        assert KEY not in str(error) + repr(error)
        return error

    def test_a_timeout(self) -> None:
        error = self.error(Failure("late", detail={"timeout": True}))
        assert type(error) is APITimeoutError
        assert error.retryable

    def test_a_connection(self) -> None:
        error = self.error(Failure(f"broke with {KEY}"))
        assert type(error) is APIConnectionError
        assert error.retryable

    def test_an_answer_that_makes_no_sense(self) -> None:
        error = self.error(Failure("HTML", Verdict.PERMANENT, status=200, detail={"malformed": True}))
        assert type(error) is APIError
        assert not error.retryable

    @pytest.mark.parametrize(
        ("status", "verdict", "retryable"),
        [
            (401, Verdict.PERMANENT, False),
            (425, Verdict.TRANSIENT, True),
            (409, Verdict.TRANSIENT, True),
            (4001, Verdict.PERMANENT, False),
            (503, Verdict.TRANSIENT, True),
            (503, Verdict.PERMANENT, False),
            (1000, Verdict.RECYCLE, True),
        ],
    )
    def test_a_status_is_retryable_as_the_verdict_says(
        self, status: int, verdict: Verdict, retryable: bool
    ) -> None:
        error = self.error(Failure("refused", verdict, status=status))
        assert isinstance(error, APIStatusError)
        assert (error.status_code, error.retryable) == (status, retryable)


def test_a_failed_connection_prints_its_failure() -> None:
    failed = ConnectionFailed(Failure("the vendor said no"))
    assert str(failed) == "the vendor said no"
    assert failed.failure.verdict is Verdict.TRANSIENT


def test_a_remedy_is_added_where_there_is_one() -> None:
    assert with_remedy("HTTP 500", 500, SETTINGS) == "HTTP 500"
    assert with_remedy("HTTP 401", 401, SETTINGS) == "HTTP 401: check the API key"


@pytest.mark.parametrize("status", [401, 403, 4001, 4003, 4401, 4403])
def test_where_no_key_was_sent_it_says_so_and_where_one_was_looked_for(status: int) -> None:
    told = with_remedy("no", status, Settings("wss://host/", key_variables=("A_KEY", "B_KEY")))
    assert "API key" in told and told.endswith(" (none was given, nor found in A_KEY or B_KEY)")
    assert with_remedy("no", status, Settings("wss://host/")).endswith(" (none was given)")


@pytest.mark.parametrize(
    "settings",
    [
        Settings("wss://host/?token=abcdef"),
        Settings("wss://host/", headers={"X-Api-Key": "abcdef"}),
        Settings("wss://host/", options={"temporary_token": "abcdef"}),
    ],
)
def test_a_credential_in_another_place_is_one(settings: Settings) -> None:
    assert with_remedy("HTTP 401", 401, settings) == "HTTP 401: check the API key"


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("wss://host/", {"Authorization": "AWS4-HMAC-SHA256 Credential=…"}),
        ("wss://host/?X-Amz-Signature=abcdef", {}),
        ("wss://host/", {}),
        ("wss://host/", {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}),
    ],
)
def test_a_credential_that_the_vendor_found_for_itself_is_one(url: str, sent: dict[str, str]) -> None:
    """Google's accounts and Amazon's signatures are no API keys, and come from elsewhere."""
    asked = cast(aiohttp.RequestInfo, SimpleNamespace(url=url, headers=CIMultiDict(sent)))
    refused = aiohttp.WSServerHandshakeError(asked, (), message="Invalid", status=403)
    failure = failure_of_exception(refused, Settings("wss://host/"), doing="connecting")
    assert ("none was given" in failure.message) is ("Authorization" not in sent and "?" not in url)


def test_other_remedies_have_nothing_to_do_with_a_key() -> None:
    assert with_remedy("HTTP 404", 404, Settings("wss://host/")) == "HTTP 404: check the URL and the model"
