"""Opening a WebSocket, for whoever still wants it. The rest is held by the tests of the shells' connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Generator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from agents.providers.base import ConfigurationError
from agents.providers.protocol import ConnectRequest, Failure, HttpRequest, HttpResponse, Settings, Verdict, Wait
from agents.providers.redaction import Secret
from agents.providers.transport.failures import ConnectionFailed
from agents.providers.transport.sessions import SessionSource
from agents.providers.transport.sockets import Socket, made_within, open_socket

SETTINGS = Settings(url="ws://127.0.0.1:9/", api_key=Secret("key-4711"))


class Made:
    def __init__(self) -> None:
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True


async def test_what_the_way_refuses_cannot_pass_and_ends_no_session_in_silence() -> None:
    """LiveKit's loop knows its own errors only: a ConfigurationError out of a live stream would leave it deaf."""

    def refuses() -> Generator[HttpRequest | Wait, HttpResponse, ConnectRequest]:
        yield Wait(0.0)
        raise ConfigurationError("there are no credentials beside key-4711: set them")

    source = SessionSource()
    with pytest.raises(ConnectionFailed) as caught:
        await open_socket(source, refuses(), SETTINGS, timeout=1.0, max_message_bytes=1)
    await source.aclose()
    assert caught.value.failure.verdict is Verdict.PERMANENT
    assert caught.value.failure.message == "there are no credentials beside ***: set them"


async def refusal_by(answer: bytes, *, session: aiohttp.ClientSession | None = None) -> Failure:
    """Why there is no WebSocket on a TCP server that says *answer* to whatever it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()
        writer.close()

    def way() -> Generator[HttpRequest | Wait, HttpResponse, ConnectRequest]:
        return ConnectRequest(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        yield Wait(0.0)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    source = SessionSource(session)
    with pytest.raises(ConnectionFailed) as caught:
        await open_socket(source, way(), SETTINGS, timeout=1.0, max_message_bytes=1)
    await source.aclose()
    server.close()
    await server.wait_closed()
    return caught.value.failure


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 101 Go\r\n" + b"X: y\r\n" * 200, "the answer is not HTTP"),
        (
            b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
            "the handshake is not valid (Invalid challenge response)",
        ),
        (b"HTTP/1.1 101 Go\r\nUpgrade: h2c\r\n\r\n", "the handshake is not valid (Invalid upgrade header)"),
    ],
    ids=["another protocol", "headers without end", "wrong key", "no upgrade"],
)
async def test_what_is_no_handshake_is_not_taken_for_a_status_the_server_never_sent(
    answer: bytes, text: str
) -> None:
    failure = await refusal_by(answer)
    assert failure.message.startswith(text) and "check the URL" in failure.message
    assert (failure.verdict, failure.status) == (Verdict.PERMANENT, None)


async def test_a_session_that_was_given_and_closed_is_no_passing_failure() -> None:
    async with aiohttp.ClientSession() as session:
        pass
    failure = await refusal_by(b"", session=session)
    assert failure.verdict is Verdict.PERMANENT
    assert "the HTTP session that was given is closed" in failure.message


async def test_what_takes_too_long_is_a_timeout() -> None:
    async def never() -> Made:
        await asyncio.Event().wait()
        return Made()

    with pytest.raises(ConnectionFailed, match=r"no connection within 0\.01 s") as caught:
        await made_within(0.01, never(), name="test")
    assert caught.value.failure.detail == {"timeout": True}


async def test_what_is_made_in_the_moment_of_a_cancellation_is_closed() -> None:
    made = Made()
    gate = asyncio.Event()

    async def making() -> Made:
        await gate.wait()
        return made

    waiting = asyncio.create_task(made_within(60.0, making(), name="test"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate.set()
    await asyncio.sleep(0)  # it is made, and nobody has been told yet
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert made.closed


async def test_what_is_made_while_the_time_runs_out_is_taken() -> None:
    made = Made()

    async def at_the_last_moment() -> Made:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass  # it was ready
        return made

    assert await made_within(0.01, at_the_last_moment(), name="test") is made
    assert not made.closed


async def test_a_failure_of_the_making_is_the_callers() -> None:
    async def fails() -> Made:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await made_within(1.0, fails(), name="test")


class Opened:
    """A WebSocket on loopback, as a connection of a shell."""

    def __init__(self, ws: Socket) -> None:
        self.ws = ws

    async def aclose(self) -> None:
        await self.ws.close()


@contextlib.asynccontextmanager
async def loopback() -> AsyncIterator[tuple[aiohttp.ClientSession, str, asyncio.Queue[int | None]]]:
    """A session, the URL of a WebSocket, and what the server was told when a client left (a close code)."""
    left: asyncio.Queue[int | None] = asyncio.Queue()

    async def serve(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.receive()
        left.put_nowait(ws.close_code)
        return ws

    app = web.Application()
    app.router.add_get("/", serve)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        yield session, str(server.make_url("/")), left


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("between", range(6))
@pytest.mark.parametrize("late", [False, True], ids=["made at once", "made when the time is up"])
async def test_what_is_made_is_closed_however_often_the_caller_is_cancelled(late: bool, between: int) -> None:
    """Time limits around one another, or a stream that is closed twice, cancel again while one cleans up."""
    is_open, is_cancelled, gate = asyncio.Event(), asyncio.Event(), asyncio.Event()
    opened: list[Opened] = []

    async with loopback() as (session, url, left):

        async def making() -> Opened:
            opened.append(Opened(await session.ws_connect(url)))
            is_open.set()
            while not gate.is_set():
                try:
                    await gate.wait()
                except asyncio.CancelledError:  # it is as good as made
                    is_cancelled.set()
            return opened[0]

        waiting = asyncio.create_task(made_within(0.01 if late else 60.0, making(), name="test"))
        await (is_cancelled if late else is_open).wait()
        gate.set()
        await turns(1)
        waiting.cancel()
        await turns(between)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await waiting).aclose()  # the cancellations came too late
        assert opened[0].ws.closed
        assert await left.get() == aiohttp.WSCloseCode.OK
