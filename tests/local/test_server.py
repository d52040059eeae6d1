"""The server as a whole: keys, capacity, clients that vanish, and a clean end."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp
import psutil
import pytest
from aiohttp import web
from stand_in_recognisers import QuietRecogniser

from agents.providers.local import MissingExtraError, ServerOptions, ServerProcess, SpeechServer
from agents.providers.local.dialects import Dialect, RequestFailed, Services
from agents.providers.local.dialects.base import Handler
from agents.providers.local.extras import require
from agents.providers.local.pool import DecoderPool
from agents.providers.local.recogniser import RecogniserFailed

CONFIG = {"type": "config", "sample_rate": 16000}


async def health(client: aiohttp.ClientSession, url: str) -> dict[str, int]:
    async with client.get(f"{url}/health") as response:
        reply: dict[str, int] = await response.json()
        return reply


async def settled(client: aiohttp.ClientSession, url: str) -> dict[str, int]:
    """The health of a server once all of its decoders are free again."""
    while (state := await health(client, url))["active_streams"]:
        await asyncio.sleep(0.05)
    return state


async def test_twenty_clients_that_vanish_leave_nothing_behind(
    server: ServerProcess,
    client: aiohttp.ClientSession,
    pcm: Callable[..., bytes],
    hear: Callable[..., object],
    line: str,
) -> None:
    """No decoder stays taken, memory stays flat, and the next client is served."""
    dice = random.Random(7)
    served = []

    async def vanish() -> None:
        try:
            socket = await client.ws_connect(f"{server.ws_url}/v1/stt/stream")
        except aiohttp.WSServerHandshakeError as error:
            assert error.status == 503
            assert int((error.headers or {})["Retry-After"]) >= 1
            return
        served.append(socket)
        await socket.send_json(CONFIG)
        await socket.send_bytes(pcm(16000)[: dice.randrange(64000)])
        for _ in range(dice.randrange(3)):
            await socket.receive()
        transport = socket._response.connection.transport  # type: ignore[union-attr]
        transport.abort()  # a reset, not a close frame: the client is gone
        await socket.close()

    async def wave() -> int:
        await asyncio.gather(*(vanish() for _ in range(10)))
        state = await settled(client, server.url)
        assert state["decoders"] <= state["capacity"]
        process = psutil.Process(server.pid)
        assert len(process.children()) == state["decoders"]
        return sum(p.memory_info().rss for p in [process, *process.children()])

    before = await wave()
    after = await wave()
    assert len(served) >= 8
    assert (
        after - before < 60_000_000
    )  # a decoder that was not loaded yet costs 200 MB; a leak of streams would too
    messages = await hear(pcm(16000))  # type: ignore[misc]
    assert [m["text"] for m in messages if m.get("is_final")] == [line]


async def test_a_full_server_says_when_to_come_again(client: aiohttp.ClientSession) -> None:
    """503 with Retry-After to the stream too many; free again as soon as one leaves."""
    async with SpeechServer(ServerOptions(streams=1, queue_seconds=0.05)) as server:
        url = f"{server.ws_url}/v1/stt/stream"
        async with client.ws_connect(url) as first:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await client.ws_connect(url)
            assert caught.value.status == 503
            assert int((caught.value.headers or {})["Retry-After"]) >= 1
            async with client.post(
                f"{server.url}/v1/stt", data=bytes(9), headers={"Content-Type": "audio/l16"}
            ) as r:
                assert (r.status, r.headers["Retry-After"]) == (503, "2")
                assert "1 decoders are taken" in (await r.json())["error"]["message"]
            assert (await health(client, server.url))["status"] == "busy"
            await first.close()
        await settled(client, server.url)
        async with client.ws_connect(url) as second:
            await second.send_json(CONFIG)
            assert (await second.receive_json())["type"] == "ready"


async def test_a_key_is_asked_for_in_each_dialect(client: aiohttp.ClientSession) -> None:
    """401 in the shape of the dialect; health needs none; keys are in no repr."""
    options = ServerOptions(api_keys=["s3cret"])
    assert "s3cret" not in repr(options)
    async with SpeechServer(options, recogniser=QuietRecogniser()) as server:
        async with client.post(f"{server.url}/v1/stt", data=b"") as response:
            assert (response.status, (await response.json())["error"]["code"]) == (401, "invalid_api_key")
        wrong = {"Authorization": "Bearer wrong"}
        async with client.get(f"{server.url}/v1/models", headers=wrong) as response:
            assert (response.status, (await response.json())["error"]["type"]) == (401, "authentication_error")
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await client.ws_connect(f"{server.ws_url}/v1/stt/stream")
        right = {"Authorization": "Bearer s3cret"}
        async with client.get(f"{server.url}/v1/models", headers=right) as response:
            assert response.status == 200
        assert (await health(client, server.url))["capacity"] == 1


async def test_a_server_that_stops_closes_its_streams(client: aiohttp.ClientSession) -> None:
    """Clients see 1001, and no decoder process is left."""
    async with SpeechServer(ServerOptions(streams=1)) as server:
        socket = await client.ws_connect(f"{server.ws_url}/v1/stt/stream")
        await socket.send_json(CONFIG)
        assert (await socket.receive_json())["type"] == "ready"
        decoders = psutil.Process().children()
        reading = asyncio.ensure_future(socket.receive())
    await reading
    assert socket.close_code == 1001
    await socket.close()
    assert not [
        process for process in decoders if process.is_running() and "worker" in " ".join(process.cmdline())
    ]


async def test_an_idle_stream_is_closed(client: aiohttp.ClientSession) -> None:
    """It would hold a decoder for ever; it is told so."""
    async with SpeechServer(ServerOptions(idle_seconds=0.05), recogniser=QuietRecogniser()) as server:
        socket = await client.ws_connect(f"{server.ws_url}/v1/stt/stream")
        message = await socket.receive_json()
        assert (message["type"], message["code"]) == ("error", 408)
        await socket.close()


async def test_a_client_that_reads_nothing_is_let_go(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its decoder is free again after send_seconds, and its connection is cut."""

    async def blocked(socket: web.WebSocketResponse, text: str) -> None:
        await asyncio.Event().wait()  # as when the buffers of the connection are full

    monkeypatch.setattr(web.WebSocketResponse, "send_str", blocked)
    async with SpeechServer(ServerOptions(streams=1, send_seconds=0.05)) as server:
        socket = await client.ws_connect(f"{server.ws_url}/v1/stt/stream")
        await socket.send_json(CONFIG)
        assert (await socket.receive()).type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
        await socket.close()
        assert (await settled(client, server.url))["decoders"] == 1


async def test_a_decoder_that_dies_is_replaced(
    client: aiohttp.ClientSession, pcm: Callable[..., bytes], line: str
) -> None:
    """Its client is told; the next one gets another."""
    async with SpeechServer(ServerOptions(streams=1)) as server:
        async with client.ws_connect(f"{server.ws_url}/v1/stt/stream") as socket:
            await socket.send_json(CONFIG)
            await socket.receive_json()
            (decoder,) = [p for p in psutil.Process().children() if "agents.providers.local.worker" in p.cmdline()]
            decoder.kill()
            message = await socket.receive_json()
            assert (message["type"], message["code"]) == ("error", 500)
            assert "ended unexpectedly" in message["message"]
        kind = {"Content-Type": "audio/pcm;rate=16000"}
        async with client.post(f"{server.url}/v1/stt", data=pcm(16000), headers=kind) as response:
            assert (await response.json())["text"] == line


async def test_the_process_ends_on_a_signal_and_with_its_parent() -> None:
    """SIGTERM, SIGINT, and an end of standard input, which is what is left when a parent is killed."""
    for end in (signal.SIGTERM, signal.SIGINT, None):
        command = [sys.executable, "-m", "agents.providers.local", "--exit-with-stdin", "--streams", "1"]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None and process.stdin is not None
        ready = json.loads(await process.stdout.readline())
        assert (ready["event"], ready["pid"], ready["port"] > 0) == ("ready", process.pid, True)
        decoders = psutil.Process(process.pid).children()
        if end is None:
            process.stdin.close()
        else:
            process.send_signal(end)
        assert await process.wait() == 0
        process.stdin.close()
        await process.stdout.read()
        assert not [decoder for decoder in decoders if decoder.is_running()]


async def test_a_process_that_cannot_start_says_why() -> None:
    """The reason of the child is the reason of the exception."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(RecogniserFailed, match="address already in use"):
            await ServerProcess(ServerOptions(port=taken.getsockname()[1], streams=1)).start()


async def test_wrong_settings_are_refused_by_name() -> None:
    """Before anything is started."""
    with pytest.raises(ValueError, match="no recogniser 'magic'"):
        DecoderPool("magic")
    with pytest.raises(ValueError, match="capacity is 0"):
        DecoderPool(capacity=0)


async def test_whisper_without_its_package_says_what_to_install() -> None:
    """The message of the decoder process comes through."""
    with pytest.raises(RecogniserFailed, match=r'pip install "voxport\[whisper\]"'):
        await SpeechServer(ServerOptions(engine="whisper")).start()


def test_a_missing_extra_names_the_command_that_installs_it() -> None:
    """For who has the base package only."""
    with pytest.raises(MissingExtraError, match=r'pip install "voxport\[local\]"'):
        require("no_such_package_at_all")


async def test_a_dialect_is_one_class(
    client: aiohttp.ClientSession, recording: Callable[..., bytes], line: str
) -> None:
    """Routes and an error shape; the recogniser, keys and limits come with it."""

    class Shout(Dialect):
        name = "shout"

        def routes(self) -> list[tuple[str, str, Handler]]:
            return [("POST", "/shout", self._shout)]

        def error(self, failure: RequestFailed) -> web.Response:
            return web.Response(text=failure.message.upper(), status=failure.status)

        async def _shout(self, request: web.Request) -> web.Response:
            services: Services = self.services
            transcript = await services.transcribe_file(await request.read())
            return web.Response(text=transcript.text.upper())

    async with SpeechServer(ServerOptions(streams=1), dialects=[Shout]) as server:
        async with client.post(f"{server.url}/shout", data=recording()) as response:
            assert await response.text() == line.upper()
        async with client.post(f"{server.url}/shout", data=b"") as response:
            assert (response.status, await response.text()) == (400, "THE AUDIO IS EMPTY")


def test_the_decoder_process_does_not_load_the_server() -> None:
    """It would cost each of them some 50 MB."""
    code = "import agents.providers.local.worker, sys; print('aiohttp' in sys.modules, 'av' in sys.modules)"
    source = Path(__file__).parents[2] / "src"
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == ["False", "False"]
