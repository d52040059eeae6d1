"""HTTP exchanges and flows, on a real server on loopback."""

from __future__ import annotations

import asyncio
import gzip
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer, unused_port
from livekit.agents import APIError

from agents.providers.base import ConfigurationError
from agents.providers.protocol import (
    Failure,
    FormField,
    HttpRequest,
    HttpResponse,
    JobFailed,
    Settings,
    Verdict,
    Wait,
)
from agents.providers.redaction import Secret
from agents.providers.transport.exchange import exchange, run_flow
from agents.providers.transport.failures import ConnectionFailed, api_error

KEY = "key-4711-very-secret"
TIMEOUT = aiohttp.ClientTimeout(total=5)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server that answers every path with a handler; returns its URL."""
    servers = []

    async def start(handler: Handler) -> str:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", handler)
        server = TestServer(app)
        await server.start_server(shutdown_timeout=0.1)
        servers.append(server)
        return str(server.make_url("/stt"))

    yield start
    for server in servers:
        await server.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


def settings(url: str) -> Settings:
    return Settings(url=url, api_key=Secret(KEY), headers={"X-Tenant": "tenant-secret"})


def post(url: str, body: Any = b"audio", **headers: str) -> HttpRequest:
    return HttpRequest("POST", url, {"Authorization": f"Bearer {KEY}", **headers}, body)


async def failure(session: aiohttp.ClientSession, url: str, **options: Any) -> Failure:
    """The failure of a post to *url*; no way of printing it may show the key."""
    options.setdefault("timeout", TIMEOUT)
    with pytest.raises(ConnectionFailed) as caught:
        await exchange(session, post(url), settings=settings(url), **options)
    assert caught.value.__context__ is None, "the transport's exception holds the request with its headers"
    printed = repr(caught.value) + str(caught.value) + "".join(traceback.format_exception(caught.value))
    assert KEY not in printed + repr(caught.value.failure)
    return caught.value.failure


class NoNames(AbstractResolver):
    """A name server that knows no name, and takes so many seconds to say so."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        await asyncio.sleep(self._seconds)
        raise OSError(f"{host} is not known")

    async def close(self) -> None:
        pass


class TestRequest:
    async def test_raw_bytes_arrive_with_their_type_and_length(
        self, serve: Serve, session: aiohttp.ClientSession
    ) -> None:
        async def handler(request: web.Request) -> web.Response:
            assert request.method == "POST"
            assert request.headers["Content-Type"] == "audio/wav"
            assert request.headers["Authorization"] == f"Bearer {KEY}"
            assert request.content_length == 3_000_000
            return web.json_response({"size": len(await request.read())})

        url = await serve(handler)
        request = post(url, bytes(3_000_000), **{"Content-Type": "audio/wav"})
        response = await exchange(session, request, settings=settings(url), timeout=TIMEOUT)
        assert response.json() == {"size": 3_000_000}
        assert (response.status, response.content_type) == (200, "application/json")

    async def test_a_form_arrives_in_the_order_given(self, serve: Serve, session: aiohttp.ClientSession) -> None:
        seen = []

        async def handler(request: web.Request) -> web.Response:
            assert request.content_length, "many services take no chunked bodies"
            async for part in await request.multipart():
                assert isinstance(part, aiohttp.BodyPartReader)
                kind = part.headers["Content-Type"].partition(";")[0]
                seen.append((part.name, part.filename, kind, bytes(await part.read())))
            return web.Response()

        url = await serve(handler)
        fields = [
            FormField("model", "größte"),
            FormField("file", b"RIFF\x00\xff", filename="audio.wav", content_type="audio/wav"),
            FormField("raw", b"\x01\x02"),
        ]
        request = post(url, fields, **{"Content-Type": "multipart/form-data"})
        await exchange(session, request, settings=settings(url), timeout=TIMEOUT)
        assert seen == [
            ("model", None, "text/plain", "größte".encode()),
            ("file", "audio.wav", "audio/wav", b"RIFF\x00\xff"),
            ("raw", None, "application/octet-stream", b"\x01\x02"),
        ]

    async def test_a_request_without_a_body(self, serve: Serve, session: aiohttp.ClientSession) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(text=f"{request.method} {len(await request.read())}")

        url = await serve(handler)
        response = await exchange(session, HttpRequest("GET", url), settings=settings(url), timeout=TIMEOUT)
        assert response.text() == "GET 0"


class TestAnswer:
    async def test_ten_megabytes_are_refused_and_not_read(
        self, serve: Serve, session: aiohttp.ClientSession
    ) -> None:
        sent = 0

        async def handler(request: web.Request) -> web.StreamResponse:
            nonlocal sent
            reply = web.StreamResponse()
            await reply.prepare(request)
            while sent < 10 * 2**20:
                await reply.write(bytes(2**16))
                sent += 2**16
            return reply

        refused = await failure(session, await serve(handler), max_bytes=2**20)
        assert "longer than 1048576 bytes" in refused.message
        assert refused.verdict is Verdict.PERMANENT
        assert not session.connector._conns, "its connection must be closed, not kept for another request"  # type: ignore[union-attr]
        assert sent < 10 * 2**20

    async def test_a_small_body_that_unpacks_to_ten_megabytes_is_refused(
        self, serve: Serve, session: aiohttp.ClientSession
    ) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(body=gzip.compress(bytes(10 * 2**20)), headers={"Content-Encoding": "gzip"})

        assert "longer than" in (await failure(session, await serve(handler), max_bytes=2**20)).message

    async def test_a_key_is_missed_only_where_the_request_had_none(
        self, serve: Serve, session: aiohttp.ClientSession
    ) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(status=401)

        bare = Settings(await serve(handler))
        for sent, missed in (({}, True), ({"Authorization": "Bearer of-an-account"}, False)):
            with pytest.raises(ConnectionFailed) as refused:
                await exchange(
                    session, HttpRequest("POST", bare.url, headers=sent), settings=bare, timeout=TIMEOUT
                )
            assert ("none was given" in refused.value.failure.message) is missed

    async def test_a_body_of_exactly_the_limit_is_accepted(
        self, serve: Serve, session: aiohttp.ClientSession
    ) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(body=bytes(1000))

        url = await serve(handler)
        response = await exchange(session, post(url), settings=settings(url), timeout=TIMEOUT, max_bytes=1000)
        assert len(response.body) == 1000

    @pytest.mark.parametrize(
        ("status", "verdict", "remedy"),
        [
            (400, Verdict.PERMANENT, "check the options and the form of what is sent"),
            (401, Verdict.PERMANENT, "check the API key"),
            (402, Verdict.PERMANENT, "check the balance of the account"),
            (403, Verdict.PERMANENT, "may use this service and model"),
            (404, Verdict.PERMANENT, "check the URL and the model"),
            (408, Verdict.TRANSIENT, ""),
            (413, Verdict.PERMANENT, "send less at once"),
            (429, Verdict.TRANSIENT, "slow down"),
            (500, Verdict.TRANSIENT, ""),
            (503, Verdict.TRANSIENT, ""),
        ],
    )
    async def test_an_error_status_gives_its_reason_its_remedy_and_its_verdict(
        self, serve: Serve, session: aiohttp.ClientSession, status: int, verdict: Verdict, remedy: str
    ) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.json_response({"error": {"message": f"no {KEY} for tenant-secret"}}, status=status)

        refused = await failure(session, await serve(handler))
        assert refused.message.startswith(f"HTTP {status} (no *** for ***)")
        assert remedy in refused.message
        assert (refused.status, refused.verdict, refused.retry_after) == (status, verdict, None)

    async def test_retry_after_is_read_in_seconds_and_as_a_date(
        self, serve: Serve, session: aiohttp.ClientSession
    ) -> None:
        waits = ["7", format_datetime(datetime.now(timezone.utc) + timedelta(seconds=60), usegmt=True), "soon"]

        async def handler(request: web.Request) -> web.Response:
            return web.Response(status=429, headers={"Retry-After": waits.pop(0)})

        url = await serve(handler)
        assert (await failure(session, url)).retry_after == 7
        assert (await failure(session, url)).retry_after == pytest.approx(60, abs=2)
        assert (await failure(session, url)).retry_after is None

    async def test_the_protocol_judges_an_error_body(self, serve: Serve, session: aiohttp.ClientSession) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.json_response({"code": "quota"}, status=429)

        def judge(response: HttpResponse) -> Failure:
            return Failure(response.json()["code"] + " spent", Verdict.PERMANENT, retry_after=3)

        refused = await failure(session, await serve(handler), judge=judge)
        assert refused.message.startswith("HTTP 429 (quota spent)")
        assert (refused.verdict, refused.status, refused.retry_after) == (Verdict.PERMANENT, 429, 3)

    async def test_a_judge_that_stumbles_over_the_body_of_a_proxy_leaves_the_status(
        self, serve: Serve, session: aiohttp.ClientSession
    ) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(text="<html>Bad Gateway</html>", content_type="text/html", status=502)

        def judge(response: HttpResponse) -> Failure:
            return Failure(response.json()["code"])

        refused = await failure(session, await serve(handler), judge=judge)
        assert (refused.message, refused.status, refused.verdict) == ("HTTP 502", 502, Verdict.TRANSIENT)

    async def test_an_endless_error_body_is_cut(self, serve: Serve, session: aiohttp.ClientSession) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(text="no " * 100_000, status=500)

        refused = await failure(session, await serve(handler))
        assert refused.message.startswith("HTTP 500 (no no")
        assert len(refused.message) < 400

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_a_redirect_is_refused_and_nothing_goes_to_its_target(
        self, serve: Serve, session: aiohttp.ClientSession, status: int
    ) -> None:
        visits = 0

        async def elsewhere(request: web.Request) -> web.Response:
            nonlocal visits
            visits += 1
            return web.Response()

        target = await serve(elsewhere)

        async def handler(request: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": f"{target}?api_key={KEY}&x=1"})

        refused = await failure(session, await serve(handler))
        assert f"it redirects to {target}?api_key=***&x=1" in refused.message
        assert (refused.verdict, refused.status, visits) == (Verdict.PERMANENT, status, 0)

    @pytest.mark.parametrize(
        ("location", "shown"),
        [("/moved", "/moved;"), ("", "a place it does not name"), ("http://[", "a place it does not name")],
    )
    async def test_a_redirect_to_a_relative_or_no_place_is_refused_too(
        self, serve: Serve, session: aiohttp.ClientSession, location: str, shown: str
    ) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": location} if location else {})

        assert shown in (await failure(session, await serve(handler))).message


class TestBrokenTransport:
    async def test_nobody_listens(self, session: aiohttp.ClientSession) -> None:
        refused = await failure(session, f"http://127.0.0.1:{unused_port()}/")
        assert "refused" in refused.message
        assert refused.verdict is Verdict.TRANSIENT

    async def test_a_host_name_that_does_not_exist(self) -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=NoNames())) as session:
            refused = await failure(session, "http://nowhere.invalid/")
        assert refused.message == "the host name cannot be resolved"
        assert refused.verdict is Verdict.TRANSIENT

    async def test_a_server_that_never_answers(self, serve: Serve, session: aiohttp.ClientSession) -> None:
        async def handler(request: web.Request) -> web.Response:
            await asyncio.sleep(60)
            return web.Response()

        url = await serve(handler)
        for timeout in (aiohttp.ClientTimeout(total=0.1), aiohttp.ClientTimeout(total=5, sock_read=0.1)):
            refused = await failure(session, url, timeout=timeout)
            assert refused.message == "timed out while waiting for the answer"
            assert refused.detail == {"timeout": True}

    async def test_a_connection_that_takes_too_long(self) -> None:
        timeout = aiohttp.ClientTimeout(total=5, connect=0.05)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=NoNames(60))) as session:
            refused = await failure(session, "http://slow.invalid/", timeout=timeout)
        assert refused.message == "timed out while connecting"
        assert (refused.verdict, refused.detail) == (Verdict.TRANSIENT, {"timeout": True})

    async def test_an_answer_that_breaks_off(self, session: aiohttp.ClientSession) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"audio")
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"text": "half')
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            refused = await failure(session, f"http://127.0.0.1:{port}/")
        assert refused.verdict is Verdict.TRANSIENT

    async def test_a_connection_that_is_closed_without_an_answer(self, session: aiohttp.ClientSession) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"audio")
            writer.close()

        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            refused = await failure(session, f"http://127.0.0.1:{port}/")
        assert refused.message == "the connection was lost while waiting for the answer"
        assert refused.verdict is Verdict.TRANSIENT

    async def test_https_to_a_server_that_speaks_http(self, serve: Serve, session: aiohttp.ClientSession) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response()

        url = await serve(handler)
        assert "failed" in (await failure(session, url.replace("http:", "https:"))).message

    async def test_a_header_that_cannot_be_sent_is_permanent(
        self, serve: Serve, session: aiohttp.ClientSession
    ) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response()

        url = await serve(handler)
        request = HttpRequest("POST", url, {"X": "a\r\nb"}, b"")
        with pytest.raises(ConnectionFailed) as caught:
            await exchange(session, request, settings=settings(url), timeout=TIMEOUT)
        assert caught.value.failure.verdict is Verdict.PERMANENT

    async def test_cancellation_is_passed_on(self, serve: Serve, session: aiohttp.ClientSession) -> None:
        arrived = asyncio.Event()

        async def handler(request: web.Request) -> web.Response:
            arrived.set()
            await asyncio.sleep(60)
            return web.Response()

        url = await serve(handler)
        task = asyncio.create_task(exchange(session, post(url), settings=settings(url), timeout=TIMEOUT))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


class TestFlow:
    async def test_a_flow_of_several_requests_and_waits(
        self, serve: Serve, session: aiohttp.ClientSession
    ) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(text=request.path)

        url = await serve(handler)

        def flow() -> Generator[HttpRequest | Wait, HttpResponse | None, str]:
            first = yield post(url + "/upload")
            nothing = yield Wait(0.01)
            second = yield post(url + "/fetch")
            assert first is not None and second is not None and nothing is None
            return first.text() + second.text()

        result = await run_flow(flow(), session, settings=settings(url), timeout=TIMEOUT)
        assert result == "/stt/upload/stt/fetch"

    async def test_a_flow_that_asks_for_nothing(self, session: aiohttp.ClientSession) -> None:
        def flow() -> Generator[HttpRequest, HttpResponse, str]:
            return "ready"
            yield

        assert await run_flow(flow(), session, settings=settings("http://h/"), timeout=TIMEOUT) == "ready"

    async def test_a_flow_is_closed_when_an_exchange_fails(
        self, serve: Serve, session: aiohttp.ClientSession
    ) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(status=401)

        url = await serve(handler)
        closed = False

        def flow() -> Generator[HttpRequest, HttpResponse, None]:
            nonlocal closed
            try:
                yield post(url)
            finally:
                closed = True

        with pytest.raises(ConnectionFailed, match="check the API key"):
            await run_flow(flow(), session, settings=settings(url), timeout=TIMEOUT)
        assert closed

    @pytest.mark.parametrize(
        ("error", "text"),
        [
            (ValueError("no text in it"), "the answer cannot be understood: no text in it"),
            (KeyError("text"), "the answer cannot be understood: KeyError: 'text'"),
            (TypeError(f"not {KEY}"), "the answer cannot be understood: TypeError: not ***"),
        ],
    )
    async def test_an_answer_that_is_not_understood_is_permanent(
        self, serve: Serve, session: aiohttp.ClientSession, error: Exception, text: str
    ) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(text="hello")

        url = await serve(handler)

        def flow() -> Generator[HttpRequest, HttpResponse, None]:
            yield post(url)
            raise error

        with pytest.raises(ConnectionFailed) as caught:
            await run_flow(flow(), session, settings=settings(url), timeout=TIMEOUT)
        assert caught.value.failure.message == text
        assert (caught.value.failure.verdict, caught.value.failure.status) == (Verdict.PERMANENT, 200)
        assert caught.value.__context__ is None

    async def test_a_request_that_cannot_be_made_is_permanent(self, session: aiohttp.ClientSession) -> None:
        def flow() -> Generator[HttpRequest, HttpResponse, None]:
            raise ValueError("longer than the 60 s this vendor takes")
            yield

        with pytest.raises(ConnectionFailed, match="the request cannot be made: longer than") as caught:
            await run_flow(flow(), session, settings=settings("http://h/"), timeout=TIMEOUT)
        assert caught.value.failure.verdict is Verdict.PERMANENT

    async def test_refused_settings_and_bugs_pass_through(self, session: aiohttp.ClientSession) -> None:
        def flow(error: Exception) -> Generator[HttpRequest, HttpResponse, None]:
            raise error
            yield

        for error in (ConfigurationError("no such option"), ZeroDivisionError()):
            with pytest.raises(type(error)):
                await run_flow(flow(error), session, settings=settings("http://h/"), timeout=TIMEOUT)

    @pytest.mark.parametrize("verdict", [Verdict.TRANSIENT, Verdict.PERMANENT])
    async def test_a_job_that_failed_keeps_the_vendors_verdict(
        self, serve: Serve, session: aiohttp.ClientSession, verdict: Verdict
    ) -> None:
        async def answer(request: web.Request) -> web.Response:
            return web.json_response({"job": "failed"})

        url = await serve(answer)

        def flow() -> Generator[Any, Any, str]:
            yield post(url)
            raise JobFailed(Failure(f"the job failed: {KEY} was busy", verdict, retry_after=2.0))

        with pytest.raises(ConnectionFailed) as caught:
            await run_flow(flow(), session, settings=settings(url), timeout=TIMEOUT)
        found = caught.value.failure
        assert (found.message, found.verdict, found.retry_after) == ("the job failed: *** was busy", verdict, 2.0)
        assert caught.value.__context__ is None
        error = api_error(found, vendor="acme", settings=settings(url))
        assert type(error) is APIError
        assert error.retryable is (verdict is Verdict.TRANSIENT)

    async def test_a_flow_that_polls_for_ever_ends_with_the_total_time(
        self, serve: Serve, session: aiohttp.ClientSession
    ) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(text="still working")

        url = await serve(handler)

        def flow() -> Generator[HttpRequest | Wait, HttpResponse | None, None]:
            while True:
                yield post(url)
                yield Wait(0.05)

        with pytest.raises(ConnectionFailed, match="timed out") as caught:
            await run_flow(flow(), session, settings=settings(url), timeout=aiohttp.ClientTimeout(total=0.2))
        assert caught.value.failure.detail["timeout"]
        assert caught.value.failure.verdict is Verdict.TRANSIENT

    async def test_without_a_total_time_a_flow_has_no_end_of_its_own(
        self, serve: Serve, session: aiohttp.ClientSession
    ) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response()

        url = await serve(handler)

        def flow() -> Generator[HttpRequest | Wait, HttpResponse | None, str]:
            yield Wait(0.01)
            yield post(url)
            return "done"

        timeout = aiohttp.ClientTimeout(total=None)
        assert await run_flow(flow(), session, settings=settings(url), timeout=timeout) == "done"
