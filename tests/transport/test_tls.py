"""TLS on loopback: who cannot show who he is gets no request, and so no credential."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from certificates import certificate

from agents.providers.protocol import ConnectRequest, Failure, HttpRequest, HttpResponse, Settings, Verdict, Wait
from agents.providers.redaction import Secret
from agents.providers.transport.exchange import exchange
from agents.providers.transport.failures import ConnectionFailed
from agents.providers.transport.sessions import SessionSource
from agents.providers.transport.sockets import open_socket

KEY = "key-4711-very-secret"


class Secure:
    """A server with a certificate, which counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if request.headers.get("Upgrade") == "websocket":
            ws = web.WebSocketResponse()
            await ws.prepare(request)
            await ws.receive()
            return ws
        return web.json_response({"text": "hello"})


@contextlib.asynccontextmanager
async def served_with(file: Path) -> AsyncIterator[Secure]:
    made = Secure()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    server = TestServer(app, scheme="https")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    await server.start_server(shutdown_timeout=0.1, ssl=context)
    made.url = str(server.make_url("/"))
    yield made
    await server.close()


async def failures(source: SessionSource, url: str) -> list[Failure]:
    """Why there is neither an answer nor a WebSocket at *url*."""
    settings = Settings(url=url, api_key=Secret(KEY))
    headers = {"Authorization": f"Bearer {KEY}"}

    def way() -> Generator[HttpRequest | Wait, HttpResponse, ConnectRequest]:
        return ConnectRequest(url.replace("https", "wss"), headers)
        yield Wait(0.0)

    found = []
    with pytest.raises(ConnectionFailed) as caught:
        asked = HttpRequest("POST", url, headers, b"audio")
        await exchange(source.get(), asked, settings=settings, timeout=aiohttp.ClientTimeout(total=5))
    found.append(caught.value.failure)
    with pytest.raises(ConnectionFailed) as caught:
        await open_socket(source, way(), settings, timeout=5, max_message_bytes=1000)
    found.append(caught.value.failure)
    return found


@pytest.mark.parametrize(
    ("address", "days", "trusted"),
    [("127.0.0.1", 1, False), ("127.0.0.2", 1, True), ("127.0.0.1", -1, True)],
    ids=["nobody's", "another host's", "out of date"],
)
async def test_a_certificate_that_is_not_valid_is_refused_before_anything_is_sent(
    address: str, days: int, trusted: bool, tmp_path: Path
) -> None:
    file = certificate(tmp_path, address=address, days=days)
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(file))) if trusted else None
    async with served_with(file) as server, contextlib.AsyncExitStack() as stack:
        given = await stack.enter_async_context(aiohttp.ClientSession(connector=connector)) if connector else None
        source = SessionSource(given)
        stack.push_async_callback(source.aclose)
        for failure in await failures(source, server.url):
            assert failure.verdict is Verdict.PERMANENT
            assert "TLS certificate is not valid" in failure.message
        assert server.asked == 0


async def test_a_trust_store_of_ones_own_is_that_of_the_session_that_is_given(tmp_path: Path) -> None:
    file = certificate(tmp_path, address="127.0.0.1")
    context = ssl.create_default_context(cafile=str(file))
    async with (
        served_with(file) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
    ):
        settings = Settings(url=server.url, api_key=Secret(KEY))
        asked = HttpRequest("POST", server.url, {"Authorization": f"Bearer {KEY}"}, b"audio")
        timeout = aiohttp.ClientTimeout(total=5)
        assert (await exchange(session, asked, settings=settings, timeout=timeout)).json() == {"text": "hello"}
