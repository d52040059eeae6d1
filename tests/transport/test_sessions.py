"""Which HTTP session is used, who closes it, and that redirects carry no credentials away."""

from __future__ import annotations

import asyncio
import gc
import weakref

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from livekit.agents import utils

from agents.providers.transport.failures import RedirectRefused
from agents.providers.transport.sessions import SessionSource, redirects_refused


async def test_an_own_session_is_made_once_and_closed() -> None:
    source = SessionSource()
    session = source.get()
    assert source.get() is session
    assert isinstance(session.connector, aiohttp.TCPConnector)
    assert session.connector.limit == 0, "every stream keeps a connection open"
    await source.aclose()
    assert session.closed
    await source.aclose()


async def test_an_own_session_that_was_closed_is_replaced() -> None:
    source = SessionSource()
    first = source.get()
    await first.close()
    assert source.get() is not first
    await source.aclose()


async def test_a_session_that_was_given_is_used_and_never_closed() -> None:
    async with aiohttp.ClientSession() as session:
        source = SessionSource(session)
        assert source.get() is session
        await source.aclose()
        assert not session.closed


async def test_inside_a_job_its_session_is_used_and_never_closed() -> None:
    async with utils.http_context.open() as session:
        source = SessionSource()
        assert source.get() is session
        await source.aclose()
        assert not session.closed


async def test_a_session_begun_outside_a_job_is_kept_inside_one() -> None:
    source = SessionSource()
    own = source.get()
    async with utils.http_context.open():
        assert source.get() is own
    await source.aclose()


def test_another_event_loop_gets_a_session_of_its_own() -> None:
    source = SessionSource()
    sessions = []

    async def use() -> None:
        sessions.append(source.get())
        await source.aclose()

    asyncio.run(use())
    asyncio.run(use())
    assert sessions[0] is not sessions[1]


def test_two_event_loops_at_the_same_time_keep_a_session_each() -> None:
    """Workers in threads share an adapter: neither may lose its session and its connections to the other."""
    source = SessionSource()

    async def use() -> aiohttp.ClientSession:
        return source.get()

    loops = [asyncio.new_event_loop() for _ in range(2)]
    first, second, again = (loop.run_until_complete(use()) for loop in (*loops, loops[0]))
    assert again is first is not second
    loops[0].run_until_complete(source.aclose())
    assert first.closed and not second.closed, "only the loop that a session lives on can close it"
    loops[1].run_until_complete(source.aclose())
    assert second.closed
    for loop in loops:
        loop.close()


def test_nothing_is_kept_of_an_event_loop_that_is_over() -> None:
    source = SessionSource()
    kept = []

    async def use(*, and_close: bool) -> None:
        kept.append(weakref.ref(asyncio.get_running_loop()))
        session = source.get()
        if and_close:
            await source.aclose()
        else:  # it was closed by somebody, and this source has not heard of it
            await session.close()

    asyncio.run(use(and_close=False))
    asyncio.run(use(and_close=True))
    gc.collect()
    assert [loop() for loop in kept] == [None, None]


class Redirecting:
    """A service that moved, and the place it moved to."""

    def __init__(self) -> None:
        self.authorizations: list[str | None] = []
        app = web.Application()
        app.router.add_get("/old", self._moved)
        app.router.add_get("/new", self._arrived)
        self.server = TestServer(app)

    async def _moved(self, request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/new?token=abcdef"})

    async def _arrived(self, request: web.Request) -> web.Response:
        self.authorizations.append(request.headers.get("X-Key"))
        return web.Response(text="here")

    async def __aenter__(self) -> Redirecting:
        await self.server.start_server(shutdown_timeout=0.05)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.server.close()


async def test_a_redirect_is_refused_inside_and_followed_outside() -> None:
    async with Redirecting() as service, aiohttp.ClientSession() as session:
        url = service.server.make_url("/old")
        for _ in range(2):
            with redirects_refused(session), pytest.raises(RedirectRefused) as caught:
                await session.get(url, headers={"X-Key": "k"})
            assert (caught.value.status, caught.value.location) == (302, "/new?token=abcdef")
            assert "abcdef" not in str(caught.value)
        assert service.authorizations == []
        async with session.get(url) as reply:
            assert await reply.text() == "here", "a session that belongs to somebody else keeps its ways"
        assert len(session.trace_configs) == 1, "the hook is added once"


async def test_a_redirected_websocket_is_refused() -> None:
    async with Redirecting() as service, aiohttp.ClientSession() as session:
        with redirects_refused(session), pytest.raises(RedirectRefused):
            await session.ws_connect(service.server.make_url("/old"), headers={"X-Key": "k"})
        assert service.authorizations == []


async def test_another_task_on_the_same_session_may_follow_redirects_meanwhile() -> None:
    async with Redirecting() as service, aiohttp.ClientSession() as session:
        url = service.server.make_url("/old")

        async def fetch() -> str:
            async with session.get(url) as reply:
                return await reply.text()

        other = asyncio.create_task(fetch())
        with redirects_refused(session):
            assert await other == "here"
