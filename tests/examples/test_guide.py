"""`docs/custom-stt.md`, read as a user would: every block is run in order, and prints what the page says."""

from __future__ import annotations

import asyncio
import importlib
import logging
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from livekit import rtc
from livekit.agents import Agent, AgentSession, APIConnectOptions, APIError, stt

from agents.providers import ConfigurationError
from agents.providers.adapters import CustomHTTPSTTAdapter, CustomWebSocketSTTAdapter, STTAdapter
from agents.providers.cli.telephone import Clock, Microphone
from agents.providers.testing import Hurried
from agents.providers.vendors import find_vendor

from .notebook import Notebook, run

PAGE = Notebook("docs/custom-stt.md")
TEXT = PAGE.text
SERVER_ON_THE_PAGE = "127.0.0.1:8765"

# ------------------------------------------------------------------ the blocks


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder of somebody who follows the page, with the files it names in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    PAGE.save_files(tmp_path)
    yield tmp_path
    for name in ("my_stt", "test_my_stt"):
        sys.modules.pop(name, None)


async def test_every_block_prints_what_the_page_says(
    server: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STT_KEY", "")  # the page sets it; this takes it away again
    names: dict[str, Any] = {}
    told, expected = {}, {}
    try:
        for place, code, printed in PAGE.steps():
            expected[place] = printed
            told[place] = await run(code.replace(SERVER_ON_THE_PAGE, server.removeprefix("http://")), place, names)
    finally:
        for value in list(names.values()):
            if isinstance(value, stt.STT):
                await value.aclose()
    assert told == expected


@pytest.mark.parametrize("name", re.findall(r"^async def (test_\w+)", TEXT, re.MULTILINE))
async def test_the_tests_to_paste_pass(name: str, folder: Path) -> None:
    await getattr(importlib.import_module("test_my_stt"), name)()


# ------------------------------------------------------------------ troubleshooting

ONCE = APIConnectOptions(max_retry=0, timeout=20.0)
SILENCE = rtc.AudioFrame(bytes(3200), 16000, 1, 1600)


@pytest.fixture
async def vendor() -> AsyncIterator[str]:
    """A service at which everything goes wrong; its path says what."""
    answers: dict[str, Callable[[], web.StreamResponse]] = {
        "key": lambda: web.Response(status=401),
        "path": lambda: web.Response(status=404),
        "page": lambda: web.Response(text="<html></html>", content_type="text/html"),
        "other": lambda: web.json_response({"txt": "hello"}),
        "moved": lambda: web.Response(status=302, headers={"Location": "https://elsewhere.example/"}),
    }

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        return answers[request.match_info["what"]]()

    async def shut(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.close()
        return socket

    async def silent(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    app = web.Application()
    app.router.add_get("/shut", shut)
    app.router.add_get("/silent", silent)
    app.router.add_route("*", "/{what}", answer)
    async with TestServer(app) as service:
        yield f"127.0.0.1:{service.port}"


async def streamed(adapter: stt.STT[Any]) -> None:
    async with adapter, adapter.stream(conn_options=ONCE) as stream:
        stream.push_frame(SILENCE)
        async for _ in stream:
            pass


async def recorded(adapter: stt.STT[Any]) -> None:
    async with adapter:
        await adapter.recognize(SILENCE, conn_options=ONCE)


async def made(make: Callable[[], object]) -> None:
    make()


class Empty(STTAdapter):
    """Somebody forgot the rest."""


Provoke = Callable[[str], Any]
WEBSOCKET, HTTP = CustomWebSocketSTTAdapter, CustomHTTPSTTAdapter
HASTY = Hurried(find_vendor("whisperlive").streaming, seconds=0.05)  # it says when it is ready
TROUBLE: dict[str, Provoke] = {
    "check the API key": lambda at: streamed(WEBSOCKET(f"ws://{at}/key")),
    "check the URL and the model": lambda at: streamed(WEBSOCKET(f"ws://{at}/path")),
    "the server answered, but not as a WebSocket": lambda at: streamed(WEBSOCKET(f"ws://{at}/page")),
    "expected JSON, got an HTML page": lambda at: recorded(HTTP(f"http://{at}/page")),
    "the reply has no text at": lambda at: recorded(HTTP(f"http://{at}/other")),
    "the connection was refused or failed": lambda at: streamed(
        WEBSOCKET("ws://127.0.0.1:9/", on_failure="raise")
    ),
    "the host name cannot be resolved": lambda at: streamed(
        WEBSOCKET("ws://no-such-host.invalid/", on_failure="raise")
    ),
    "not ready within": lambda at: streamed(
        WEBSOCKET(f"ws://{at}/silent", vendor=HASTY, on_failure="raise", language="en")
    ),
    "the vendor closed the connection": lambda at: streamed(WEBSOCKET(f"ws://{at}/shut", on_failure="raise")),
    "the answer cannot be understood": lambda at: recorded(HTTP(f"http://{at}/other")),
    "it redirects to": lambda at: recorded(HTTP(f"http://{at}/moved")),
    "would send the API key in clear text": lambda at: made(lambda: WEBSOCKET("ws://stt.example.com", "key")),
    "did you mean": lambda at: made(lambda: WEBSOCKET("wss://stt.example.com", vendor="deepgrm")),
    "recognises no whole recordings": lambda at: recorded(Empty()),
    "takes no whole recordings over HTTP": lambda at: made(lambda: HTTP("https://stt.example.com", vendor="vosk")),
    "has no streaming recognition": lambda at: made(lambda: WEBSOCKET("wss://stt.example.com", vendor="google")),
}


@pytest.mark.parametrize("message", TROUBLE)
async def test_a_message_of_the_page_is_what_users_see(message: str, vendor: str) -> None:
    with pytest.raises((ConfigurationError, APIError, TypeError)) as caught:
        await TROUBLE[message](vendor)
    assert message in str(caught.value)


def test_every_message_of_the_page_is_tried() -> None:
    table = TEXT.partition("| it says |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([^`]+)`", table, re.MULTILINE) == list(TROUBLE)


async def test_a_session_without_a_vad_is_deaf_as_the_page_says() -> None:
    told = asyncio.Event()
    heard: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno == logging.ERROR:
                heard.append(f"{record.getMessage()}: {record.exc_info and record.exc_info[1]}")
                told.set()

    errors: list[object] = []
    listener = Listener()
    adapter = CustomHTTPSTTAdapter("http://127.0.0.1:9/")
    session: AgentSession[Any] = AgentSession(stt=adapter, vad=None, session_close_transcript_timeout=0.1)
    session.on("error", errors.append)
    session.input.audio = microphone = Microphone(Clock(), 0.0)
    logging.getLogger("livekit.agents").addHandler(listener)
    try:
        await session.start(Agent(instructions="listen"))
        await told.wait()
    finally:
        logging.getLogger("livekit.agents").removeHandler(listener)
        microphone.hang_up()
        await session.aclose()
        await adapter.aclose()
    for message in ("Error in _stt_pump", "does not support streaming, add a VAD"):
        assert message in heard[0]
        assert f"`{message}`" in TEXT
    assert not errors
