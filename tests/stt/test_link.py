"""One connection, on real sockets: how it opens, how it ends, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from agents.providers.protocol import (
    ConnectRequest,
    Conversation,
    Event,
    Failure,
    HttpRequest,
    HttpResponse,
    Settings,
    StreamingProtocol,
    Traits,
    Verdict,
    WireMessage,
)
from agents.providers.redaction import Secret
from agents.providers.stt.link import MAX_MESSAGE_BYTES, Link, connect
from agents.providers.transport import sockets
from agents.providers.transport.failures import ConnectionFailed
from agents.providers.transport.sessions import SessionSource
from agents.providers.transport.sockets import NO_STATUS

KEY = "key-4711-very-secret"
PATIENCE = 5.0
"""Seconds: no test needs them; a hang fails after so long instead of at the end of the run."""

Socket = web.WebSocketResponse
Talk = Callable[[Socket], Awaitable[None]]
Serve = Callable[..., Awaitable[str]]
Open = Callable[..., Awaitable[Link]]


class Plain(Conversation):
    def __init__(self, opening: Sequence[WireMessage] = ()) -> None:
        self._opening = opening

    def opening(self) -> Sequence[WireMessage]:
        return self._opening

    def receive(self, message: str | bytes) -> list[Event]:
        return []


class Vendor(StreamingProtocol):
    name = "vendor"

    def __init__(self, traits: Traits | None = None, opening: Sequence[WireMessage] = ()) -> None:
        self._traits = traits or Traits()
        self._opening = opening

    def traits(self, settings: Settings) -> Traits:
        return self._traits

    def connect(self, settings: Settings) -> ConnectRequest:
        return ConnectRequest(settings.url, {"Authorization": f"Bearer {settings.key}"}, ("voice",))

    def converse(self, settings: Settings) -> Conversation:
        return Plain(self._opening)


def settings_for(url: str, **more: Any) -> Settings:
    return Settings(url=url, api_key=Secret(KEY), **more)


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server for a WebSocket talk, or any aiohttp handler; returns its URL."""
    servers = []

    async def start(talk: Talk | None = None, handler: Any = None) -> str:
        async def upgrade(request: web.Request) -> Socket:
            ws = Socket(protocols=("voice",), autoping=False, timeout=1.0)
            await ws.prepare(request)
            assert talk is not None
            await talk(ws)
            return ws

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler or upgrade)
        server = TestServer(app)
        await server.start_server(shutdown_timeout=0.01)
        servers.append(server)
        return str(server.make_url("/listen")).replace("http", "ws", 1)

    yield start
    for server in servers:
        await server.close()


@pytest.fixture
async def serve_raw() -> AsyncIterator[Serve]:
    """Start a server below HTTP; returns its URL. The handler's connection is closed when it returns."""
    servers = []
    tasks: set[asyncio.Task[None]] = set()

    async def start(handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> str:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await handler(reader, writer)
            finally:
                writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        servers.append(server)
        port = server.sockets[0].getsockname()[1]
        return f"ws://127.0.0.1:{port}/listen"

    yield start
    for server in servers:
        server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def open_link() -> AsyncIterator[Open]:
    """Connect to a URL; every link and the session are closed at the end."""
    source = SessionSource()
    links: list[Link] = []

    async def start(url: str, traits: Traits | None = None, *, timeout: float = PATIENCE, **more: Any) -> Link:
        opening = more.pop("opening", ())
        link = await connect(source, Vendor(traits, opening), settings_for(url, **more), timeout=timeout)
        links.append(link)
        return link

    yield start
    for link in links:
        await link.aclose()
    await source.aclose()


async def failure_of(work: Awaitable[Any]) -> Failure:
    """The failure that *work* ends with; no way of printing it may show the key."""
    with pytest.raises(ConnectionFailed) as caught:
        await asyncio.wait_for(work, PATIENCE)
    printed = "".join(traceback.format_exception(caught.value)) + repr(caught.value.failure)
    assert KEY not in printed
    return caught.value.failure


async def forever(ws: Socket) -> None:
    """A vendor that listens and says nothing, and answers a close as it should."""
    async for _ in ws:
        pass


class TestConnecting:
    async def test_headers_subprotocols_and_opening_messages_arrive(self, open_link: Open, serve: Serve) -> None:
        seen: list[Any] = []
        done = asyncio.Event()

        async def handler(request: web.Request) -> Socket:
            ws = Socket(protocols=("voice",))
            await ws.prepare(request)
            seen.extend([request.headers["Authorization"], ws.ws_protocol])
            seen.extend([await ws.receive_json(), await ws.receive_bytes()])
            done.set()
            await ws.receive()
            return ws

        link = await open_link(await serve(handler=handler), opening=['{"hello": 1}', memoryview(b"\x01\x02")])
        await asyncio.wait_for(done.wait(), PATIENCE)
        assert seen == [f"Bearer {KEY}", "voice", {"hello": 1}, b"\x01\x02"]
        assert not link.closed
        assert not link.live, "whether audio may flow is for the stream to say"

    @pytest.mark.parametrize(
        ("status", "verdict", "says"),
        [
            (400, Verdict.PERMANENT, "check the options"),
            (401, Verdict.PERMANENT, "check the API key"),
            (402, Verdict.PERMANENT, "balance"),
            (403, Verdict.PERMANENT, "may use this service"),
            (404, Verdict.PERMANENT, "check the URL"),
            (408, Verdict.TRANSIENT, "408"),
            (429, Verdict.TRANSIENT, "slow down"),
            (500, Verdict.TRANSIENT, "500"),
            (503, Verdict.TRANSIENT, "503"),
            (200, Verdict.PERMANENT, "not as a WebSocket"),
        ],
    )
    async def test_a_refused_handshake(
        self, open_link: Open, serve: Serve, status: int, verdict: Verdict, says: str
    ) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Retry-After": "7", "dg-error": f"no {KEY}"})

        failure = await failure_of(open_link(await serve(handler=handler)))
        assert (failure.status, failure.verdict) == (status, verdict)
        assert says in failure.message
        if status != 200:
            assert failure.retry_after == 7.0

    async def test_a_redirect_is_refused_and_names_its_target(self, open_link: Open, serve: Serve) -> None:
        followed = []

        async def target(request: web.Request) -> web.Response:
            followed.append(request.headers.get("Authorization"))
            return web.Response()

        elsewhere = (await serve(handler=target)).replace("ws", "http", 1)

        async def handler(request: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": f"{elsewhere}?token={KEY}"})

        failure = await failure_of(open_link(await serve(handler=handler)))
        assert (failure.status, failure.verdict) == (302, Verdict.PERMANENT)
        assert elsewhere in failure.message
        assert followed == [], "credentials went where the user did not send them"

    async def test_a_server_that_is_no_web_server(self, open_link: Open, serve_raw: Serve) -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"220 mail.example ESMTP\r\n")
            await writer.drain()

        failure = await failure_of(open_link(await serve_raw(handler)))
        assert failure.message

    async def test_nobody_listens(self, open_link: Open) -> None:
        failure = await failure_of(open_link(f"ws://127.0.0.1:{unused_port()}/"))
        assert failure.verdict is Verdict.TRANSIENT
        assert failure.status is None
        assert "refused" in failure.message

    @pytest.mark.parametrize("url", ["ws://", "ws://127.0.0.1:99999/", "http//nothing"])
    async def test_a_url_that_is_none(self, open_link: Open, url: str) -> None:
        failure = await failure_of(open_link(url))
        assert failure.verdict is Verdict.PERMANENT

    async def test_a_server_that_never_answers(self, open_link: Open, serve_raw: Serve) -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()  # until the client gives up

        failure = await failure_of(open_link(await serve_raw(handler), timeout=0.05))
        assert failure.verdict is Verdict.TRANSIENT
        assert failure.detail == {"timeout": True}
        assert "0.05 s" in failure.message

    async def test_a_reset_in_the_handshake(self, open_link: Open, serve_raw: Serve) -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            reset(writer.transport)

        failure = await failure_of(open_link(await serve_raw(handler)))
        assert failure.verdict is Verdict.TRANSIENT
        assert "lost while connecting" in failure.message

    async def test_the_failure_keeps_no_request_with_its_headers(self, open_link: Open, serve: Serve) -> None:
        """Error reporters walk the context of an exception, and aiohttp's hold the request."""

        async def handler(request: web.Request) -> web.Response:
            return web.Response(status=401)

        with pytest.raises(ConnectionFailed) as caught:
            await open_link(await serve(handler=handler))
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None

    async def test_a_connection_lost_during_the_opening_leaves_nothing(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = SessionSource()
        monkeypatch.setattr(Link, "send", lost)
        try:
            failure = await failure_of(
                connect(source, Vendor(opening=["hello"]), settings_for(await serve(forever)), timeout=PATIENCE)
            )
            assert failure.message == "lost"
        finally:
            await source.aclose()

    async def test_requests_that_come_first_are_made_and_judged(self, serve: Serve) -> None:
        async def refuse(request: web.Request) -> web.Response:
            return web.Response(status=401)

        url = await serve(handler=refuse)

        class WithToken(Vendor):
            def prepare(self, settings: Settings) -> Generator[HttpRequest, HttpResponse, ConnectRequest]:
                yield HttpRequest("POST", settings.url.replace("ws", "http", 1))
                raise AssertionError("not reached")

        source = SessionSource()
        failure = await failure_of(connect(source, WithToken(), settings_for(url), timeout=PATIENCE))
        await source.aclose()
        assert (failure.status, failure.verdict) == (401, Verdict.PERMANENT)


async def lost(self: Link, messages: Sequence[WireMessage]) -> None:
    raise ConnectionFailed(Failure("lost"))


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Answer with RST instead of FIN."""
    assert isinstance(transport, asyncio.WriteTransport)
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def transport_of(ws: Socket) -> asyncio.Transport:
    transport = ws._req.transport if ws._req is not None else None
    assert isinstance(transport, asyncio.Transport)
    return transport


class TestReceiving:
    async def test_text_and_binary_messages(self, open_link: Open, serve: Serve) -> None:
        async def talk(ws: Socket) -> None:
            await ws.send_str("größe")
            await ws.send_bytes(b"\x00\xff")
            await ws.ping()
            await ws.send_str("")
            await forever(ws)

        link = await open_link(await serve(talk))
        link.loud_since_received = 1
        assert [await link.receive(), await link.receive(), await link.receive()] == ["größe", b"\x00\xff", ""]
        assert link.loud_since_received == 0
        assert link.last_received >= link.opened_at

    @pytest.mark.parametrize(
        ("code", "reason", "verdict"),
        [
            (1000, b"", Verdict.TRANSIENT),
            (1001, b"going away", Verdict.TRANSIENT),
            (1011, b"internal", Verdict.TRANSIENT),
            (1008, b"policy", Verdict.PERMANENT),
            (4001, b"bad key-4711-very-secret", Verdict.PERMANENT),
            (4429, b"too fast", Verdict.TRANSIENT),
            (3000, b"session over", Verdict.RECYCLE),
        ],
    )
    async def test_a_close_frame(
        self, open_link: Open, serve: Serve, code: int, reason: bytes, verdict: Verdict
    ) -> None:
        async def talk(ws: Socket) -> None:
            await ws.close(code=code, message=reason)

        link = await open_link(await serve(talk), Traits(close_codes={3000: Verdict.RECYCLE}))
        failure = await failure_of(link.receive())
        assert (failure.status, failure.verdict) == (code, verdict)
        shown = reason.decode().replace(KEY, "***")
        assert f"code {code}" in failure.message
        assert shown in failure.message
        assert f"code {code} before it said anything" in failure.message
        assert link.closed

    async def test_a_close_frame_behind_a_message(self, open_link: Open, serve: Serve) -> None:
        async def talk(ws: Socket) -> None:
            await ws.send_str("")
            await ws.close()

        link = await open_link(await serve(talk))
        assert await link.receive() == ""
        failure = await failure_of(link.receive())
        assert failure.message == "the vendor closed the connection with code 1000"

    async def test_a_close_frame_without_a_code(self, open_link: Open, serve: Serve) -> None:
        async def talk(ws: Socket) -> None:
            transport_of(ws).write(b"\x88\x00")
            await ws.receive()

        link = await open_link(await serve(talk))
        assert (await failure_of(link.receive())).status == NO_STATUS

    @pytest.mark.parametrize("how", ["reset", "fin"])
    async def test_a_connection_that_breaks(self, open_link: Open, serve: Serve, how: str) -> None:
        async def talk(ws: Socket) -> None:
            await ws.receive()  # the client is there
            if how == "reset":
                reset(transport_of(ws))
            else:
                transport_of(ws).close()

        link = await open_link(await serve(talk))
        await link.send(["hello"])
        failure = await failure_of(link.receive())
        assert failure.verdict is Verdict.TRANSIENT
        assert failure.status is None
        assert "broke" in failure.message or "lost" in failure.message
        assert link.closed

    async def test_a_message_too_large_to_be_one(self, open_link: Open, serve: Serve) -> None:
        async def talk(ws: Socket) -> None:
            with contextlib.suppress(ConnectionError):
                await ws.send_bytes(bytes(MAX_MESSAGE_BYTES + 1))
            await ws.receive()

        link = await open_link(await serve(talk))
        failure = await failure_of(link.receive())
        assert failure.verdict is Verdict.TRANSIENT
        assert "size" in failure.message

    async def test_a_message_just_not_too_large(self, open_link: Open, serve: Serve) -> None:
        async def talk(ws: Socket) -> None:
            await ws.send_bytes(bytes(MAX_MESSAGE_BYTES - 1))
            await ws.receive()

        link = await open_link(await serve(talk))
        message = await link.receive()
        assert message is not None
        assert len(message) == MAX_MESSAGE_BYTES - 1

    @pytest.mark.parametrize(
        "frame",
        [b"\x81\x02\xff\xfe", b"\x83\x00", b"\xc1\x01a", b"\x88\x01\x03"],
        ids=["invalid UTF-8", "unknown opcode", "compressed unasked", "half a close code"],
    )
    async def test_frames_that_break_the_rules(self, open_link: Open, serve: Serve, frame: bytes) -> None:
        async def talk(ws: Socket) -> None:
            transport_of(ws).write(frame)
            await ws.receive()

        link = await open_link(await serve(talk))
        failure = await failure_of(link.receive())
        assert failure.verdict is Verdict.TRANSIENT
        assert failure.message


class TestHeartbeat:
    """A socket that looks open is asked for a sign of life; what comes by itself is one."""

    async def pinged(self, link: Link) -> float:
        """Ask at a time when nothing has come for long; returns that time."""
        now = link.last_heard + 20.0
        link.keep_heart_beating(now)
        await asyncio.gather(*link._tasks)
        return now

    def trouble(self, link: Link, now: float) -> Failure | None:
        link.opened_at = now  # only the heart is looked at
        return link.trouble(now)

    async def test_a_vendor_that_answers_no_ping_is_dead(self, open_link: Open, serve: Serve) -> None:
        release = asyncio.Event()

        async def talk(ws: Socket) -> None:
            await release.wait()  # reads nothing, so it answers nothing

        link = await open_link(await serve(talk), Traits(heartbeat_seconds=20.0))
        link.keep_heart_beating(link.last_heard + 19.0)
        assert not link._tasks
        now = await self.pinged(link)
        assert self.trouble(link, now + 10.0) is None
        trouble = self.trouble(link, now + 10.1)
        release.set()
        assert trouble is not None
        assert trouble.verdict is Verdict.TRANSIENT
        assert "does not answer a ping" in trouble.message

    async def test_an_answered_ping_is_a_sign_of_life_but_no_message(self, open_link: Open, serve: Serve) -> None:
        async def talk(ws: Socket) -> None:
            ping = await ws.receive()
            await ws.pong(ping.data)
            await ws.receive()
            await ws.send_str("a message")

        link = await open_link(await serve(talk), Traits(heartbeat_seconds=20.0))
        link.last_heard -= 30.0
        link.last_received = before = link.last_heard
        await self.pinged(link)
        reading = asyncio.create_task(link.receive())
        while link.last_heard == before:
            await asyncio.sleep(0)
        assert link.last_received == before
        assert self.trouble(link, link.last_heard + 10.1) is None
        await link.send(["hello"])
        assert await reading == "a message"

    async def test_the_vendors_pings_are_answered(self, open_link: Open, serve: Serve) -> None:
        async def talk(ws: Socket) -> None:
            for _ in range(40):
                await ws.ping(b"are you there")
            answers = {(await ws.receive()).type.name for _ in range(40)}
            await ws.send_str(" ".join(answers))

        link = await open_link(await serve(talk))
        assert await link.receive() == "PONG"

    async def test_never_means_never(self, open_link: Open, serve: Serve) -> None:
        link = await open_link(await serve(forever), Traits(heartbeat_seconds=None))
        link.keep_heart_beating(link.last_heard + 1000.0)
        assert not link._tasks


class TestSending:
    async def test_messages_arrive_in_order_and_of_their_kind(self, open_link: Open, serve: Serve) -> None:
        seen: asyncio.Queue[Any] = asyncio.Queue()

        async def talk(ws: Socket) -> None:
            async for message in ws:
                seen.put_nowait(message.data)

        link = await open_link(await serve(talk))
        await link.send(["text", b"bytes", bytearray(b"array"), memoryview(b"view")])
        await link.send([])
        assert [await seen.get() for _ in range(4)] == ["text", b"bytes", b"array", b"view"]
        assert link.send_began is None

    async def test_on_a_lost_connection_it_fails(self, open_link: Open, serve: Serve) -> None:
        async def talk(ws: Socket) -> None:
            await ws.close(code=1001)

        link = await open_link(await serve(talk))
        await failure_of(link.receive())
        failure = await failure_of(link.send([b"audio"]))
        assert failure.verdict is Verdict.TRANSIENT
        assert "sending audio" in failure.message
        assert link.send_began is None

    async def test_beside_everything_else_its_failure_ends_the_connection(
        self, open_link: Open, serve: Serve
    ) -> None:
        link = await open_link(await serve(forever))
        link.run(lambda: lost(link, []))
        assert (await failure_of(link.receive())).message == "lost"


class TestEnding:
    async def test_fail_cuts_a_half_open_connection_at_once(self, open_link: Open, serve: Serve) -> None:
        """The other side is gone and answers nothing, so nothing may be waited for."""
        release = asyncio.Event()

        async def talk(ws: Socket) -> None:
            await release.wait()  # never reads, never answers a close

        link = await open_link(await serve(talk))
        reading = asyncio.create_task(link.receive())
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        began = loop.time()
        link.live = True
        link.fail(Failure("stalled"))
        assert link.closed
        assert not link.live
        try:
            assert (await failure_of(reading)).message == "stalled"
            await link.aclose()
            assert loop.time() - began < 0.3
        finally:
            release.set()

    async def test_fail_frees_a_sender_that_is_stuck(self, open_link: Open, serve: Serve) -> None:
        release = asyncio.Event()

        async def talk(ws: Socket) -> None:
            transport_of(ws).pause_reading()
            await ws.send_str("paused")
            await release.wait()

        link = await open_link(await serve(talk))
        link.go_live(0)
        assert await link.receive() == "paused"

        async def send_without_end() -> None:
            while True:
                await link.send([bytes(1 << 20)])

        sender = asyncio.create_task(send_without_end())
        while link.send_began is None or link._loop.time() - link.send_began < 0.05:  # until it is stuck
            await asyncio.sleep(0)
        now = link._loop.time()
        trouble = link.trouble(now + link.traits.stall_seconds)
        assert trouble is not None
        assert "takes no audio" in trouble.message
        link.fail(trouble)
        try:
            await failure_of(sender)
        finally:
            release.set()

    async def test_the_first_failure_is_the_one_that_counts(self, open_link: Open, serve: Serve) -> None:
        link = await open_link(await serve(forever))
        link.fail(Failure("first"))
        link.fail(Failure("second"))
        link.finish()
        assert (await failure_of(link.receive())).message == "first"

    async def test_finish_says_goodbye(self, open_link: Open, serve: Serve) -> None:
        codes: asyncio.Queue[int | None] = asyncio.Queue()

        async def talk(ws: Socket) -> None:
            await forever(ws)
            codes.put_nowait(ws.close_code)

        link = await open_link(await serve(talk))
        reading = asyncio.create_task(link.receive())
        await asyncio.sleep(0)
        link.finish()
        assert link.closed
        assert await asyncio.wait_for(reading, PATIENCE) is None
        await link.aclose()
        assert await asyncio.wait_for(codes.get(), PATIENCE) == 1000

    async def test_what_was_finished_cannot_fail_any_more(self, open_link: Open, serve: Serve) -> None:
        link = await open_link(await serve(forever))
        link.finish()
        link.fail(Failure("too late to fail"))
        assert await asyncio.wait_for(link.receive(), PATIENCE) is None

    async def test_aclose_waits_only_so_long_for_a_vendor_without_manners(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sockets, "_CLOSE_SECONDS", 0.05)
        release = asyncio.Event()

        async def talk(ws: Socket) -> None:
            await release.wait()

        source = SessionSource()
        link = await connect(source, Vendor(), settings_for(await serve(talk)), timeout=PATIENCE)
        await asyncio.wait_for(link.aclose(), 0.5)
        assert link.closed
        release.set()
        await source.aclose()

    async def test_aclose_ends_what_still_runs(self, serve: Serve) -> None:
        source = SessionSource()
        link = await connect(source, Vendor(), settings_for(await serve(forever)), timeout=PATIENCE)
        ended = asyncio.Event()

        async def stuck() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        link.run(stuck)
        await asyncio.sleep(0)
        await link.aclose()
        assert ended.is_set()
        await link.aclose()  # twice does no harm
        await source.aclose()

    async def test_aclose_that_is_cancelled_leaves_no_socket(self, serve: Serve) -> None:
        release = asyncio.Event()

        async def talk(ws: Socket) -> None:
            await release.wait()

        source = SessionSource()
        link = await connect(source, Vendor(), settings_for(await serve(talk)), timeout=PATIENCE)
        closing = asyncio.create_task(link.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert link.closed
        release.set()
        await source.aclose()

    async def test_connect_that_is_cancelled_leaves_no_socket(self, serve_raw: Serve) -> None:
        arrived = asyncio.Event()
        gone = asyncio.Event()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            arrived.set()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            gone.set()

        source = SessionSource()
        url = await serve_raw(handler)
        connecting = asyncio.create_task(connect(source, Vendor(), settings_for(url), timeout=PATIENCE))
        await asyncio.wait_for(arrived.wait(), PATIENCE)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await asyncio.wait_for(gone.wait(), PATIENCE)
        await source.aclose()

    async def test_a_session_of_somebody_else_stays_open(self, serve: Serve) -> None:
        async with aiohttp.ClientSession() as session:
            source = SessionSource(session)
            link = await connect(source, Vendor(), settings_for(await serve(forever)), timeout=PATIENCE)
            await link.aclose()
            await source.aclose()
            assert not session.closed


class TestGoingLive:
    async def test_the_connection_knows_which_audio_it_began_with(self, open_link: Open, serve: Serve) -> None:
        link = await open_link(await serve(forever))
        link.go_live(480)
        assert (link.live, link.origin, link.samples) == (True, 480, 0)
        assert link.live_at == link.last_sent >= link.opened_at

    async def test_half_a_stall_is_suspicious(self, open_link: Open, serve: Serve) -> None:
        link = await open_link(await serve(forever), Traits(stall_seconds=10.0))
        assert link.suspicious_after == 5.0


class TestSendNow:
    """Audio goes out where it is pushed, without a task, as long as the socket takes it."""

    @staticmethod
    async def nothing(link: Link) -> None:
        """There is nothing to send afterwards."""

    async def test_what_the_socket_takes_is_on_its_way_when_the_call_returns(
        self, open_link: Open, serve: Serve
    ) -> None:
        async def echo(ws: Socket) -> None:
            async for message in ws:
                await ws.send_str(f"{message.type.name} {len(message.data)}")

        link = await open_link(await serve(echo))
        link.send_now([b"12", "345"], 7.0, self.nothing)
        assert (link.sending, link.send_began, link.last_sent) == (False, None, 7.0)
        assert [await link.receive(), await link.receive()] == ["BINARY 2", "TEXT 3"]

    async def test_what_it_does_not_take_follows_in_order_and_then_what_came_meanwhile(
        self, open_link: Open, serve: Serve
    ) -> None:
        release = asyncio.Event()

        async def read_later(ws: Socket) -> None:
            transport_of(ws).pause_reading()
            await ws.send_str("paused")
            await release.wait()
            transport_of(ws).resume_reading()
            async for message in ws:
                await ws.send_str(str(len(message.data)))

        link = await open_link(await serve(read_later))
        assert await link.receive() == "paused"
        expected = []
        while not link.sending:  # until the socket is full
            link.send_now([bytes(1 << 20), b"next", b"third"], 7.0, lambda link: link.send([b"came later"]))
            expected += ["1048576", "4", "5"]
        assert link.send_began == 7.0
        release.set()
        expected.append("10")
        assert [await link.receive() for _ in expected] == expected
        assert (link.sending, link.send_began) == (False, None)

    async def test_a_lost_connection_is_noticed_where_it_is_used(self, open_link: Open, serve: Serve) -> None:
        link = await open_link(await serve(forever))
        await link._ws.close()
        link.send_now([b"12"], 7.0, self.nothing)
        with pytest.raises(ConnectionFailed, match="lost while sending audio"):
            await link.receive()

    async def test_closing_cancels_what_waits(self, open_link: Open, serve: Serve) -> None:
        release = asyncio.Event()

        async def never_read(ws: Socket) -> None:
            transport_of(ws).pause_reading()
            await ws.send_str("paused")
            await release.wait()

        link = await open_link(await serve(never_read))
        try:
            assert await link.receive() == "paused"
            sent_later = []

            async def then(link: Link) -> None:
                sent_later.append(True)

            while not link.sending:
                link.send_now([bytes(1 << 20)], 7.0, then)
            await asyncio.sleep(0)
            link.fail(Failure("enough"))
            await link.aclose()
            assert (sent_later, link.sending) == ([], False)
        finally:
            release.set()


class TestTrouble:
    """A connection that looks open: what tells that it is not well."""

    TRAITS = Traits(ready_seconds=5.0, stall_seconds=10.0)

    @pytest.fixture
    async def link(self, open_link: Open, serve: Serve) -> Link:
        link = await open_link(await serve(forever), self.TRAITS, sample_rate=8000)
        link.opened_at = link.last_received = 100.0
        return link

    def says(self, link: Link, now: float, *, speaking: bool = False, last_audio_at: float | None = None) -> str:
        failure = link.trouble(now) or link.unanswered(
            now, speaking=speaking, last_audio_at=now if last_audio_at is None else last_audio_at
        )
        if failure is None:
            return ""
        assert failure.verdict is Verdict.TRANSIENT
        assert failure.detail == {"timeout": True}
        return failure.message

    async def test_it_does_not_get_ready(self, link: Link) -> None:
        assert self.says(link, 105.0) == ""
        assert "not ready within 5 s" in self.says(link, 105.1)
        link.live = True
        assert self.says(link, 105.1) == ""

    async def test_it_takes_no_audio(self, link: Link) -> None:
        link.live = True
        link.send_began = 100.0
        assert self.says(link, 110.0) == ""
        assert "takes no audio since 10 s" in self.says(link, 110.1)

    async def test_it_does_not_answer_speech(self, link: Link) -> None:
        link.live = True
        assert self.says(link, 110.1) == "", "nobody spoke, so there is nothing to answer"
        assert self.says(link, 110.0, speaking=True) == ""
        assert "answers nothing since 10 s" in self.says(link, 110.1, speaking=True)
        link.sent_speech(8000, 105.1)
        assert self.says(link, 110.1) == "", "a second may be a cough"
        link.sent_speech(1, 106.1)
        assert "answers nothing" in self.says(link, 110.1)

    async def test_speech_after_a_long_silence_has_as_long_to_be_answered(self, link: Link) -> None:
        link.live = True
        link.sent_speech(8001, 120.0)
        assert self.says(link, 130.0) == ""
        assert "answers nothing since 10 s" in self.says(link, 130.1)

    async def test_nothing_is_answered_before_audio_may_be_sent(self, open_link: Open, serve: Serve) -> None:
        traits = Traits(ready_seconds=60.0, stall_seconds=10.0)
        link = await open_link(await serve(forever), traits)
        link.opened_at = link.last_received = 100.0
        assert self.says(link, 120.0, speaking=True) == ""
        link.go_live(0)
        live_at = link.live_at
        assert self.says(link, live_at + 10.0, speaking=True) == ""
        assert self.says(link, live_at + 10.1, speaking=True)

    async def test_silence_is_right_when_no_audio_comes(self, link: Link) -> None:
        link.live = True
        assert self.says(link, 120.0, speaking=True, last_audio_at=110.0) == ""
        assert self.says(link, 120.0, speaking=True, last_audio_at=110.1)

    async def test_silence_after_the_closing_message_has_its_own_limit(self, link: Link) -> None:
        link.live = link.closing = True
        assert self.says(link, 200.0, speaking=True) == ""
