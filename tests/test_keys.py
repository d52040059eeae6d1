"""Keys: that a hook can have its adapter's, and that every adapter says so where there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from livekit import rtc
from livekit.agents import APIConnectOptions, APIStatusError, llm

from agents.providers.adapters import (
    CustomHTTPLLMAdapter,
    CustomHTTPSTTAdapter,
    CustomHTTPTTSAdapter,
    CustomWebSocketSTTAdapter,
    CustomWebSocketTTSAdapter,
)
from agents.providers.redaction import Secret

KEY = "key-4711-very-secret"
ONCE = APIConnectOptions(max_retry=0)
FRAME = rtc.AudioFrame(bytes(3200), 16000, 1, 1600)


@pytest.fixture
async def place() -> AsyncIterator[str]:
    """A host and port where everything is answered with 401."""

    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=401)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    async with TestServer(app) as server:
        yield f"127.0.0.1:{server.port}"


async def stream(at: str, **more: Any) -> None:
    async with CustomWebSocketSTTAdapter(f"ws://{at}/v1/listen", **more) as adapter:
        async with adapter.stream(conn_options=ONCE) as caller:
            caller.push_frame(FRAME)
            await anext(caller)


async def recognise(at: str, **more: Any) -> None:
    async with CustomHTTPSTTAdapter(f"http://{at}/v1/listen", **more) as adapter:
        await adapter.recognize(FRAME, conn_options=ONCE)


async def speak(at: str, **more: Any) -> None:
    async with CustomHTTPTTSAdapter(f"http://{at}/v1/speak", **more) as adapter:
        async with adapter.synthesize("Hello.", conn_options=ONCE) as spoken:
            await anext(spoken)


async def speak_on(at: str, **more: Any) -> None:
    async with CustomWebSocketTTSAdapter(f"ws://{at}/v1/speak", **more) as adapter:
        async with adapter.stream(conn_options=ONCE) as spoken:
            spoken.push_text("Hello.")
            spoken.end_input()
            await anext(spoken)


async def ask(at: str, api_key: str | None = None, **more: Any) -> None:
    adapter = CustomHTTPLLMAdapter(f"http://{at}/v1", api_key)
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="Hello?")
    try:
        async with adapter.chat(chat_ctx=context, conn_options=ONCE) as answer:
            await anext(answer)
    finally:
        await adapter.aclose()


@pytest.mark.parametrize("use", [stream, recognise, speak, speak_on, ask])
async def test_it_is_told_that_there_was_no_key(
    place: str, use: Callable[..., Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEEPGRAM_API_KEY", raising=False)
    with pytest.raises(APIStatusError) as refused:
        await use(place, vendor="deepgram")
    looked = "" if use is ask else ", nor found in DEEPGRAM_API_KEY"
    assert str(refused.value.message).endswith(f"HTTP 401: check the API key (none was given{looked})")
    with pytest.raises(APIStatusError) as refused:
        await use(place, vendor="deepgram", api_key=KEY)
    assert str(refused.value.message).endswith("HTTP 401: check the API key")


@pytest.mark.parametrize("adapter", [CustomHTTPSTTAdapter, CustomHTTPTTSAdapter, CustomHTTPLLMAdapter])
async def test_a_hook_has_the_key_in_plain_for_a_body_that_wants_it(
    adapter: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    for given in (KEY, Secret(KEY), "${env:MY_KEY}", f" {KEY}\n"):
        made = adapter("https://host.example/", given)
        assert made.key == KEY
        assert KEY not in repr(made) + repr(vars(made)) + str(made)
    assert adapter("https://host.example/", headers={"X-Key": KEY}).key is None
