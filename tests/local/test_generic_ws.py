"""The generic protocol over a WebSocket: commands, errors, and clients that misbehave."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from agents.providers.local import ServerProcess

CONFIG = {"type": "config", "sample_rate": 16000, "language": "en-US", "encoding": "LINEAR16"}


async def test_flush_gives_the_final_of_all_audio_so_far(
    server: ServerProcess, client: aiohttp.ClientSession, pcm: Callable[..., bytes], line: str
) -> None:
    """Though the speaker is in mid-word; the stream goes on, and its clock too."""
    async with client.ws_connect(f"{server.ws_url}/v1/stt/stream") as socket:
        await socket.send_json(CONFIG)
        half = len(pcm(16000)) // 4 * 2
        finals = []
        for part in (pcm(16000)[:half], pcm(16000)):
            await socket.send_bytes(part)
            await socket.send_json({"type": "flush"})
            kinds = []
            while (message := await socket.receive_json())["type"] != "flushed":
                kinds.append(message["type"])
                if message.get("is_final"):
                    finals.append(message)
            assert kinds[-1] == "speech_ended"
        assert finals[0]["end"] <= half / 32000 + 0.01
        assert finals[1]["text"] == line
        assert finals[1]["start"] > finals[0]["end"]


async def test_flush_without_speech_is_answered_at_once(
    server: ServerProcess, client: aiohttp.ClientSession
) -> None:
    """Also before the first audio."""
    async with client.ws_connect(f"{server.ws_url}/v1/stt/stream") as socket:
        await socket.send_json(CONFIG)
        await socket.send_json({"type": "flush"})
        assert [(await socket.receive_json())["type"] for _ in range(2)] == ["ready", "flushed"]


async def test_the_server_closes_normally_after_the_end_of_the_stream(
    server: ServerProcess, client: aiohttp.ClientSession
) -> None:
    """An empty stream ends without a result."""
    async with client.ws_connect(f"{server.ws_url}/v1/stt/stream") as socket:
        await socket.send_json(CONFIG)
        await socket.send_json({"type": "end_of_stream"})
        assert [json.loads(message.data)["type"] async for message in socket] == ["ready"]
        assert socket.close_code == 1000


@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [
        (["not json"], 400, "JSON object"),
        (["[1]"], 400, "JSON object"),
        (['{"type":"dance"}'], 400, "'dance'"),
        (['{"type":["flush"]}'], 400, "unknown message type"),
        ([b"\0\0"], 400, "config"),
        (['{"type":"config","sample_rate":"high"}'], 400, "whole numbers"),
        (['{"type":"config","sample_rate":1}'], 400, "1 Hz"),
        (['{"type":"config","encoding":"mulaw"}'], 400, "LINEAR16"),
        (['{"type":"config","language":"fr"}'], 400, "knows en"),
        (['{"type":"config","language":5}'], 400, "language"),
        (['{"type":"config","model":["x"]}'], 400, "model"),
        (['{"type":"config","model":"nova"}'], 404, "nova"),
        ([json.dumps(CONFIG), json.dumps(CONFIG)], 400, "already"),
    ],
)
async def test_a_wrong_message_is_answered_with_what_is_wrong(
    server: ServerProcess, client: aiohttp.ClientSession, sent: list[Any], code: int, said: str
) -> None:
    """An error message with a code, then a close that says it was the client's doing."""
    async with client.ws_connect(f"{server.ws_url}/v1/stt/stream") as socket:
        for message in sent:
            await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_str(message))
        got = [json.loads(message.data) async for message in socket]
        assert (got[-1]["type"], got[-1]["code"]) == ("error", code)
        assert said in got[-1]["message"]
        assert socket.close_code == 1008


async def test_a_hostile_message_size_closes_only_that_socket(
    server: ServerProcess, client: aiohttp.ClientSession
) -> None:
    """Messages are at most 1 MiB; the next client is served."""
    async with client.ws_connect(f"{server.ws_url}/v1/stt/stream") as socket:
        await socket.send_json(CONFIG)
        await socket.receive_json()
        with contextlib.suppress(ConnectionError):  # it is refused by its header, while it is still being sent
            await socket.send_bytes(bytes(3 << 20))
        async for _ in socket:
            pass
        assert socket.close_code in {1006, 1009}
    async with client.ws_connect(f"{server.ws_url}/v1/stt/stream") as socket:
        await socket.send_json(CONFIG)
        assert (await socket.receive_json())["type"] == "ready"


async def test_a_plain_request_is_told_to_upgrade(server: ServerProcess, client: aiohttp.ClientSession) -> None:
    """400, in the shape of the protocol's errors."""
    async with client.get(f"{server.url}/v1/stt/stream") as response:
        assert response.status == 400
        assert "WebSocket" in (await response.json())["message"]
