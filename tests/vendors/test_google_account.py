"""Google Cloud Speech with a service account and with a login on the embedded server: tokens, long recordings."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from google_logins import PRIVATE_KEY, REFRESH_TOKEN, account
from livekit import rtc
from livekit.agents import APIConnectOptions, APIError, APIStatusError
from spoken_lines import LINES, RATE, plain, silence, spoken

from agents.providers.adapters import CustomHTTPSTTAdapter
from agents.providers.local import ServerProcess
from agents.providers.vendors import google

ONCE = APIConnectOptions(max_retry=0, timeout=10.0)
LONG = spoken(LINES[0]) + silence(60.0) + spoken(LINES[2])


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google, "_POLL_SECONDS", (0.01,))


def adapter(server: ServerProcess, *, key: Any = PRIVATE_KEY, **options: Any) -> CustomHTTPSTTAdapter:
    return CustomHTTPSTTAdapter(
        f"{server.url}/v1/speech:recognize",
        vendor="google",
        options={"credentials": account(server, key), "storage_url": server.url, **options},
        on_failure="raise",
    )


async def heard(stt: CustomHTTPSTTAdapter, pcm: bytes) -> Any:
    """The result for *pcm*."""
    frame = rtc.AudioFrame(pcm, RATE, 1, len(pcm) // 2)
    return (await asyncio.wait_for(stt.recognize([frame], conn_options=ONCE), 30)).alternatives[0]


@pytest.mark.parametrize("options", [{}, {"project": "voxport"}], ids=["v1", "v2"])
async def test_a_service_account_is_heard(server: ServerProcess, options: dict[str, Any]) -> None:
    stt = adapter(server, **options)
    results = await asyncio.gather(*(heard(stt, spoken(LINES[2])) for _ in range(2)))
    assert [plain(result.text) for result in results] == [LINES[2]] * 2
    await stt.aclose()


def with_login(server: ServerProcess, folder: Path, refresh_token: str) -> CustomHTTPSTTAdapter:
    """As after ``gcloud auth application-default login``, but for the endpoint."""
    login = {
        "type": "authorized_user",
        "client_id": "764086051850-x.apps.googleusercontent.com",
        "client_secret": "secret-of-gcloud",
        "refresh_token": refresh_token,
        "quota_project_id": "billed",
        "token_uri": f"{server.url}/token",
    }
    path = folder / "application_default_credentials.json"
    path.write_text(json.dumps(login), encoding="utf-8")
    url = f"{server.url}/v1/speech:recognize"
    options = {"credentials": str(path)}
    return CustomHTTPSTTAdapter(url, vendor="google", options=options, on_failure="raise")


async def test_a_login_is_heard(server: ServerProcess, tmp_path: Path) -> None:
    stt = with_login(server, tmp_path, REFRESH_TOKEN)
    assert plain((await heard(stt, spoken(LINES[2]))).text) == LINES[2]
    await stt.aclose()


async def test_a_login_that_was_revoked_is_a_permanent_failure(server: ServerProcess, tmp_path: Path) -> None:
    stt = with_login(server, tmp_path, "1//revoked-secret")
    with pytest.raises(
        APIStatusError, match="refused: invalid_grant: Token has been expired or revoked"
    ) as caught:
        await heard(stt, silence(0.3))
    assert caught.value.retryable is False
    assert "secret" not in str(caught.value)
    await stt.aclose()


async def test_an_account_the_service_does_not_know_is_a_permanent_failure(server: ServerProcess) -> None:
    stt = adapter(server, key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    with pytest.raises(APIStatusError, match="the credentials are refused: invalid_grant") as caught:
        await heard(stt, silence(0.3))
    assert caught.value.retryable is False
    assert "PRIVATE" not in str(caught.value)
    await stt.aclose()


@pytest.mark.parametrize("options", [{}, {"project": "voxport"}], ids=["v1", "v2"])
async def test_a_recording_of_more_than_a_minute_goes_through_the_bucket(
    server: ServerProcess, options: dict[str, Any]
) -> None:
    """And nothing is left in it."""
    stt = adapter(server, bucket="calls", **options)
    result = await heard(stt, LONG)
    assert plain(result.text) == f"{LINES[0]} {LINES[2]}"
    assert result.words and 60 < float(result.words[-1].end_time) < 70
    flow = google.VENDOR.batch._tokens._kept  # type: ignore[union-attr]
    token = next(iter(flow.values())).value
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as client:
        headers = {"Authorization": f"Bearer {token}"}
        async with client.get(f"{server.url}/storage/v1/b/calls/o", headers=headers) as response:
            assert (await response.json())["items"] == []
    await stt.aclose()


async def test_without_a_bucket_a_long_recording_is_refused_before_it_is_sent(server: ServerProcess) -> None:
    stt = adapter(server)
    with pytest.raises(APIError, match="name a bucket of Cloud Storage in the option bucket") as caught:
        await heard(stt, bytes(2 * RATE * 61))
    assert caught.value.retryable is False
    await stt.aclose()
