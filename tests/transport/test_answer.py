"""Answers read piece by piece: they break, pause and are left early, and say nothing they should not."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from agents.providers.protocol import Failure, HttpRequest, Settings, Verdict
from agents.providers.redaction import Secret
from agents.providers.transport.exchange import Answer, open_answer
from agents.providers.transport.failures import ConnectionFailed

KEY = "key-4711-very-secret"

Write = Callable[[web.StreamResponse, web.Request], Awaitable[None]]


class Sender:
    """Answers with what *write* sends; ``left`` is set when the other side goes before that is over."""

    def __init__(self, write: Write, headers: dict[str, str] | None = None) -> None:
        self._write = write
        self._headers = headers
        self.left = asyncio.Event()
        self.connections: set[int] = set()
        app = web.Application()
        app.router.add_post("/", self._answer)
        self._server = TestServer(app)

    async def __aenter__(self) -> Sender:
        await self._server.start_server(shutdown_timeout=0.1)
        self.url = str(self._server.make_url("/"))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._server.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        self.connections.add(request.transport.get_extra_info("peername")[1])
        response = web.StreamResponse(headers=self._headers)
        await response.prepare(request)
        try:
            await self._write(response, request)
        except asyncio.CancelledError:
            self.left.set()
            raise
        return response


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def opened(session: aiohttp.ClientSession, url: str, **times: float | None) -> Answer:
    headers = {"Authorization": f"Bearer {KEY}", "X-Tenant": "tenant-secret"}
    return await open_answer(
        session,
        HttpRequest("POST", url, headers, b"{}"),
        settings=Settings(url=url, api_key=Secret(KEY), headers={"X-Tenant": "tenant-secret"}),
        timeout=aiohttp.ClientTimeout(total=times.get("total", 5), sock_read=times.get("pause")),
    )


async def failure_in(answer: Answer) -> tuple[bytes, Failure]:
    """What came before reading failed, and the failure; no way of printing it may show a credential."""
    body = b""
    with pytest.raises(ConnectionFailed) as caught:
        while piece := await answer.read():
            body += piece
    assert caught.value.__context__ is None, "the transport's exception holds the request with its headers"
    printed = repr(caught.value) + "".join(traceback.format_exception(caught.value)) + repr(caught.value.failure)
    assert KEY not in printed and "tenant-secret" not in printed
    return body, caught.value.failure


async def hold(response: web.StreamResponse, request: web.Request) -> None:
    await response.write(b"first")
    await asyncio.sleep(30)


async def breaking_off(response: web.StreamResponse, request: web.Request) -> None:
    await response.write(b"first")
    assert request.transport is not None
    request.transport.close()


async def whole(response: web.StreamResponse, request: web.Request) -> None:
    for piece in (b"first", b"second"):
        await response.write(piece)


async def test_a_body_read_to_its_end_leaves_the_connection_for_the_next(session: aiohttp.ClientSession) -> None:
    async with Sender(whole) as server:
        for _ in range(3):
            async with await opened(session, server.url) as answer:
                assert (answer.head.status, answer.head.body) == (200, b"")
                body = b""
                while piece := await answer.read():
                    body += piece
                assert body == b"firstsecond"
                assert await answer.read() == b""
        assert len(server.connections) == 1


@pytest.mark.parametrize("times", [{}, {"total": None, "pause": 5}], ids=["in all", "to begin"])
async def test_a_body_that_breaks_off_is_a_passing_failure(
    session: aiohttp.ClientSession, times: dict[str, float | None]
) -> None:
    async with Sender(breaking_off) as server, await opened(session, server.url, **times) as answer:
        body, failure = await failure_in(answer)
        assert (body, failure.verdict) == (b"first", Verdict.TRANSIENT)
        assert "while receiving the answer" in failure.message


@pytest.mark.parametrize("times", [{"pause": 0.5}, {"total": 0.5}], ids=["pause", "total"])
async def test_a_pause_that_is_too_long_is_a_timeout(
    session: aiohttp.ClientSession, times: dict[str, float]
) -> None:
    async with Sender(hold) as server, await opened(session, server.url, **times) as answer:
        body, failure = await failure_in(answer)
        assert (body, failure.message) == (b"first", "timed out while receiving the answer")
        assert failure.detail == {"timeout": True}


@contextlib.asynccontextmanager
async def dripping(beginning: bytes, drop: bytes) -> AsyncIterator[str]:
    """The URL of a server that begins like this and goes on drop by drop, for ever."""

    serving: list[asyncio.Task[Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.append(task)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(beginning)
            while True:
                writer.write(drop)
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 60000\r\n\r\n", b"a"),
    ],
    ids=["head", "interim heads", "reason"],
)
async def test_an_answer_that_drips_has_begun_in_time_or_never(
    session: aiohttp.ClientSession, beginning: bytes, drop: bytes
) -> None:
    """Without a limit on the whole, each byte would buy the next pause."""
    async with dripping(beginning, drop) as url:
        with pytest.raises(ConnectionFailed) as caught:
            await asyncio.wait_for(opened(session, url, total=None, pause=0.2), 3.0)
    assert caught.value.failure.message == "timed out while waiting for the answer"
    assert caught.value.failure.detail == {"timeout": True} and caught.value.__context__ is None


async def test_a_body_that_drips_may_take_as_long_as_it_likes(session: aiohttp.ClientSession) -> None:
    async with (
        dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"a") as url,
        await opened(session, url, total=None, pause=0.1) as answer,
    ):
        body = b""
        while len(body) < 20:
            body += await answer.read()


async def test_who_is_cancelled_while_an_answer_begins_leaves_no_connection(
    session: aiohttp.ClientSession,
) -> None:
    async with dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a") as url:
        waiting = asyncio.ensure_future(opened(session, url, total=None, pause=5.0))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_an_answer_that_meets_a_cancellation_is_let_go(session: aiohttp.ClientSession) -> None:
    async with Sender(hold) as server:
        for turns in range(1, 60):
            waiting = asyncio.ensure_future(opened(session, server.url, total=None, pause=5.0))
            for _ in range(turns):
                await asyncio.sleep(0)
            waiting.cancel()
            done = await asyncio.gather(waiting, return_exceptions=True)
            if isinstance(done[0], Answer):
                done[0].close()
        assert not session.connector or not session.connector._acquired  # type: ignore[attr-defined]


async def test_a_body_that_unpacks_to_much_comes_in_pieces_and_leaves_others_their_turns(
    session: aiohttp.ClientSession,
) -> None:
    packed = gzip.compress(bytes(1 << 24))

    async def bomb(response: web.StreamResponse, request: web.Request) -> None:
        await response.write(packed)

    turns = seen = size = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.ensure_future(others())
    async with (
        Sender(bomb, {"Content-Encoding": "gzip"}) as server,
        await opened(session, server.url) as answer,
    ):
        while piece := await answer.read():
            assert len(piece) <= 1 << 16 and turns > seen
            seen, size = turns, size + len(piece)
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    assert size == 1 << 24


async def test_leaving_in_the_middle_of_the_body_closes_the_connection(session: aiohttp.ClientSession) -> None:
    async with Sender(hold) as server:
        async with await opened(session, server.url) as answer:
            assert await answer.read() == b"first"
        await asyncio.wait_for(server.left.wait(), 2)
        async with await opened(session, server.url) as answer:
            assert await answer.read() == b"first"
        assert len(server.connections) == 2


async def test_a_reader_that_is_cancelled_closes_the_connection(session: aiohttp.ClientSession) -> None:
    reading = asyncio.Event()

    async def read(url: str) -> None:
        async with await opened(session, url) as answer:
            await answer.read()
            reading.set()
            await answer.read()

    async with Sender(hold) as server:
        task = asyncio.create_task(read(server.url))
        await reading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.left.wait(), 2)
