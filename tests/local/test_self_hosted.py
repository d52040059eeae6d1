"""The dialects of servers one runs oneself, with clients that misbehave."""

from __future__ import annotations

import json
import struct
from typing import Any

import aiohttp
import pytest

from agents.providers.local import ServerProcess
from agents.providers.local.dialects.self_hosted import from_float32

WHISPER = {"uid": "x", "language": "en", "model": "small"}
FUNASR = {"mode": "2pass", "chunk_size": [5, 10, 5], "is_speaking": True}


@pytest.mark.parametrize(
    ("path", "sent", "code", "said"),
    [
        ("vosk", ["hello"], 1011, ""),
        ("vosk", ['{"config": 7}'], 1011, ""),
        ("vosk", ['{"config": {"sample_rate": "inf"}}', b"\0\0"], 1011, ""),
        ("vosk", ['{"config": {"sample_rate": 1}}', b"\0\0"], 1011, ""),
        ("jambonz", [b"\0\0"], 1011, "before the start"),
        ("jambonz", ["[]"], 1011, "JSON object"),
        ("jambonz", ['{"type": "start", "encoding": "MULAW"}'], 1011, "LINEAR16"),
        ("jambonz", ['{"type": "start", "language": "fr-FR"}'], 1011, "knows en"),
        ("jambonz", ['{"type": "dance"}'], 1011, "dance"),
        ("sherpa-onnx", [b"\0\0\0"], 1011, ""),
        ("sherpa-onnx-python", ["what?"], 1011, ""),
        ("whisperlive", ["{}"], 1000, ""),
        ("whisperlive", [b"\0\0\0\0"], 1000, ""),
        ("whisperlive", [json.dumps({**WHISPER, "model": "huge"})], 1000, "Failed to load model: huge"),
        ("whisperlive", [json.dumps(WHISPER), "more?"], 1000, "SERVER_READY"),
        ("funasr", [json.dumps({**FUNASR, "mode": "3pass"})], 1011, ""),
        ("funasr", [json.dumps({**FUNASR, "wav_format": "mp3"})], 1011, ""),
        ("funasr", [json.dumps({**FUNASR, "audio_fs": "fast"})], 1011, ""),
    ],
)
async def test_what_is_not_understood_ends_that_connection_only(
    server: ServerProcess, client: aiohttp.ClientSession, path: str, sent: list[Any], code: int, said: str
) -> None:
    async with client.ws_connect(f"{server.ws_url}/{path}") as socket:
        for message in sent:
            await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_str(message))
        got = [message.data async for message in socket]
        assert socket.close_code == code
        assert said in (got[-1] if got else "")
        assert bool(got) == bool(said)
    async with client.ws_connect(f"{server.ws_url}/vosk") as socket:
        await socket.send_str('{"eof" : 1}')
        assert await socket.receive_json() == {"text": ""}


async def test_funasr_drops_audio_it_was_not_told_how_to_cut(
    server: ServerProcess, client: aiohttp.ClientSession, pcm: Any, line: str
) -> None:
    """And hears the same audio when it was told, on the same connection."""
    async with client.ws_connect(f"{server.ws_url}/funasr", protocols=["binary"]) as socket:
        assert socket.protocol == "binary"
        heard = []
        for chunk_size in (None, "5,10,5"):
            await socket.send_json({"is_speaking": True, "chunk_size": chunk_size, "mode": "offline"})
            await socket.send_bytes(pcm(16000))
            await socket.send_json({"is_speaking": False})
            heard.append(await socket.receive_json())
    assert [message["text"] for message in heard] == ["", line]


def test_samples_beyond_the_loudest_are_the_loudest() -> None:
    given = struct.pack("<6f", 0.5, 3e38, -2.0, float("nan"), float("inf"), float("-inf"))
    assert struct.unpack("<6h", from_float32(given)) == (16384, 32767, -32768, 0, 32767, -32768)
