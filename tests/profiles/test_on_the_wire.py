"""What users are told when a service that a profile describes refuses: through the adapters, over loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from livekit import rtc
from livekit.agents import APIError, APIStatusError

from agents.providers.adapters import CustomHTTPSTTAdapter
from agents.providers.profiles import Profile, ProfileBatch
from agents.providers.vendors import Vendor

KEY = "key-4711-very-secret"
RECORDING = rtc.AudioFrame(bytes(3200), 16000, 1, 1600)


class Service:
    """Answers every request alike, and keeps the paths it was asked at."""

    def __init__(self) -> None:
        self.body: Any = {}
        self.status = 200
        self.paths: list[str] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        await request.read()
        self.paths.append(request.path)
        return web.json_response(self.body, status=self.status)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    found = Service()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    async with TestServer(app) as server:
        found.url = f"http://127.0.0.1:{server.port}"
        yield found


def recogniser(url: str, **batch: Any) -> CustomHTTPSTTAdapter:
    described = {"steps": [{"body": {"raw": "wav"}}], "result": {"text": "text"}, **batch}
    profile = Profile.model_validate({"name": "acme", "title": "Acme", "batch": described})
    vendor = Vendor("acme", "Acme", batch=ProfileBatch(profile))
    return CustomHTTPSTTAdapter(url, KEY, vendor=vendor, on_failure="raise")


async def refusal(ears: CustomHTTPSTTAdapter) -> APIError:
    async with ears:
        with pytest.raises(APIError) as raised:
            await ears._recognize_impl(RECORDING, conn_options=None)
    return raised.value


FAILS: dict[str, Any] = {"text": "text", "failed": "!ok", "message": "why", "code": "no"}


async def test_an_error_with_status_200_is_told_without_the_key(service: Service) -> None:
    service.body = {"ok": False, "why": f"{KEY} is busy", "no": 503}
    error = await refusal(recogniser(service.url, result=FAILS))
    assert str(error.message).endswith(": *** is busy") and error.retryable
    assert not isinstance(error, APIStatusError)


async def test_a_status_inside_the_reply_is_the_status_of_the_error(service: Service) -> None:
    service.body = {"ok": False, "why": "not yours", "no": 403}
    error = await refusal(recogniser(service.url, result={**FAILS, "code_is": "http status"}))
    assert isinstance(error, APIStatusError)
    assert (error.status_code, error.retryable) == (403, False)
