"""What users are told when a service that a profile describes refuses: through the adapters, over loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from livekit import rtc
from livekit.agents import APIError, APIStatusError

from agents.providers.adapters import (
    CustomHTTPSTTAdapter,
    CustomHTTPTTSAdapter,
    CustomWebSocketSTTAdapter,
    CustomWebSocketTTSAdapter,
)
from agents.providers.profiles import (
    Profile,
    ProfileBatch,
    ProfileStreaming,
    ProfileStreamingSynthesis,
    ProfileSynthesis,
)
from agents.providers.protocol import Settings
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


def recogniser(at: str, **batch: Any) -> CustomHTTPSTTAdapter:
    described = {"steps": [{"body": {"raw": "wav"}}], "result": {"text": "text"}, **batch}
    profile = Profile.model_validate({"name": "acme", "title": "Acme", "batch": described})
    vendor = Vendor("acme", "Acme", batch=ProfileBatch(profile))
    return CustomHTTPSTTAdapter(at, KEY, vendor=vendor, on_failure="raise")


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


# --- the address in an error is the one that was asked ---


def listener(at: str, **streaming: Any) -> CustomWebSocketSTTAdapter:
    results = {"rules": [{"event": "final", "text": "text"}]}
    described = {"url": "wss://acme.test/live", "results": results, **streaming}
    profile = Profile.model_validate({"name": "acme", "title": "Acme", "streaming": described})
    vendor = Vendor("acme", "Acme", streaming=ProfileStreaming(profile))
    return CustomWebSocketSTTAdapter(at, KEY, vendor=vendor, on_failure="raise")


@pytest.mark.parametrize(
    ("given", "asked", "shown"),
    [("", "/live", ""), ("/", "/live", ""), (f"?token={KEY}", "/live", "?token=***"), ("/other", "/other", "")],
)
async def test_a_websocket_names_the_address_it_asked_at(
    service: Service, given: str, asked: str, shown: str
) -> None:
    service.status = 404
    ears = listener(service.url.replace("http", "ws") + given)
    async with ears:
        with pytest.raises(APIError) as raised:
            await ears.recognize(RECORDING)
    assert service.paths == [asked]
    assert f"acme at {service.url.replace('http', 'ws')}{asked}{shown}: " in raised.value.message
    assert KEY not in raised.value.message


@pytest.mark.parametrize(
    ("given", "asked", "shown"),
    [("", "/hear", ""), ("/", "/hear", ""), (f"?token={KEY}", "/hear", "?token=***"), ("/other", "/other", "")],
)
async def test_a_recording_names_the_address_it_was_sent_to(
    service: Service, given: str, asked: str, shown: str
) -> None:
    service.status = 404
    error = await refusal(recogniser(service.url + given, url="https://acme.test/hear"))
    assert service.paths == [asked]
    assert f"acme at {service.url}{asked}{shown}: " in error.message
    assert KEY not in error.message


HEARS: dict[str, Any] = {"url": "https://acme.test/v2", "result": {"text": "text"}}
RAW: dict[str, Any] = {"body": {"raw": "wav"}}


@pytest.mark.parametrize(
    ("steps", "place"),
    [
        ([RAW], "http://h:80/v2"),
        ([{**RAW, "url": "https://acme.test/x"}, {}], "http://h:80/v2"),
        ([{**RAW, "url": "${url}/jobs"}], "http://h:80"),
        ([RAW, {"method": "GET", "url": "${url}/jobs"}], "http://h:80"),
        ([{**RAW, "headers": {"Origin": "${url}"}}], "http://h:80"),
        ([{**RAW, "url": "https://acme.test/x"}], "http://h:80"),
    ],
)
def test_a_url_that_addresses_are_made_from_gets_no_path(steps: list[Any], place: str) -> None:
    """The vendor's path belongs to a URL that is an address itself."""
    profile = Profile.model_validate({"name": "acme", "title": "Acme", "batch": {**HEARS, "steps": steps}})
    assert ProfileBatch(profile).place(Settings("http://h:80")) == place


@pytest.mark.parametrize(
    "made",
    [
        {"connect": "${url}/${model}"},
        {"prepare": [{"url": "${url}"}]},
        {"opening": [{"text": "${url}"}]},
    ],
)
def test_nor_does_one_of_a_websocket(made: dict[str, Any]) -> None:
    assert listener("ws://localhost:80", **made).ws_url == "ws://localhost:80"


SAYS: dict[str, Any] = {"url": "https://acme.test/say", "path": "/${voice}", "body": {"json": {"text": "${text}"}}}
TALKS: dict[str, Any] = {
    "url": "wss://acme.test/say",
    "path": "/${voice}",
    "text": [{"text": "${text}"}],
    "end": [{"text": "END"}],
    "results": {"switch": "kind", "rules": [{"case": "over", "event": "done"}]},
}


@pytest.mark.parametrize(("given", "asked"), [("", "/say/anna"), ("/say/", "/say/anna"), ("/other", "/other")])
@pytest.mark.parametrize("socket", [False, True])
async def test_a_voice_names_the_address_it_asked_at(
    service: Service, given: str, asked: str, socket: bool
) -> None:
    service.status = 404
    described = {"streaming_synthesis": TALKS} if socket else {"synthesis": SAYS}
    profile = Profile.model_validate({"name": "acme", "title": "Acme", **described})
    at = service.url.replace("http", "ws") if socket else service.url
    voice: Any
    if socket:
        vendor = Vendor("acme", "Acme", streaming_synthesis=ProfileStreamingSynthesis(profile))
        voice = CustomWebSocketTTSAdapter(at + given, KEY, voice="anna", vendor=vendor)
    else:
        vendor = Vendor("acme", "Acme", synthesis=ProfileSynthesis(profile))
        voice = CustomHTTPTTSAdapter(at + given, KEY, voice="anna", vendor=vendor)
    async with voice:
        with pytest.raises(APIError) as raised:
            async with voice.synthesize("hello") as speech:
                async for _ in speech:
                    raise AssertionError("no audio was sent")
    assert service.paths == [asked]
    assert f"acme at {at}{asked}: " in raised.value.message
