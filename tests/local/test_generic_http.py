"""The generic protocol over HTTP: every way to send a recording, and every way to get it wrong."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from agents.providers.local import ServerProcess

Pcm = Callable[..., bytes]


async def post(
    client: aiohttp.ClientSession, server: ServerProcess, query: str = "", **kwargs: Any
) -> tuple[int, Any]:
    async with client.post(f"{server.url}/v1/stt{query}", **kwargs) as response:
        return response.status, await response.json()


async def test_the_reply_has_text_words_and_times(
    server: ServerProcess, client: aiohttp.ClientSession, recording: Pcm, pcm: Pcm, line: str
) -> None:
    """Every field of the protocol, in seconds."""
    headers = {"Content-Type": "audio/wav"}
    status, reply = await post(client, server, "?language=en-US", data=recording(), headers=headers)
    assert (status, reply["text"], reply["language"]) == (200, line, "en")
    assert reply["duration"] == pytest.approx(len(pcm(16000)) / 32000, abs=0.01)
    assert [word["word"] for word in reply["words"]] == line.split()
    times = [time for word in reply["words"] for time in (word["start"], word["end"])]
    assert times == sorted(times)
    assert 0 < reply["confidence"] <= 1


@pytest.mark.parametrize("field", ["audio_base64", "audio"])
async def test_base64_in_json(
    server: ServerProcess, client: aiohttp.ClientSession, recording: Pcm, pcm: Pcm, line: str, field: str
) -> None:
    """A file, or bare PCM with its rate."""
    whole = {field: base64.b64encode(recording()).decode(), "format": "wav"}
    assert (await post(client, server, json=whole))[1]["text"] == line
    bare = {field: base64.b64encode(pcm(24000)).decode(), "format": "pcm", "sample_rate": 24000}
    assert (await post(client, server, json=bare))[1]["text"] == line


async def test_a_form(server: ServerProcess, client: aiohttp.ClientSession, recording: Pcm, line: str) -> None:
    """Multipart, in the field called file."""
    form = aiohttp.FormData()
    form.add_field("file", recording(), filename="a.wav", content_type="audio/wav")
    assert (await post(client, server, data=form))[1]["text"] == line


async def test_a_truncated_wav_is_read_as_far_as_it_goes(
    server: ServerProcess, client: aiohttp.ClientSession, recording: Pcm, line: str
) -> None:
    """The header promises more than there is."""
    whole = recording()
    status, reply = await post(client, server, data=whole[: len(whole) * 6 // 10])
    assert status == 200
    assert line.startswith(" ".join(reply["text"].split()[:3]))
    assert reply["duration"] == pytest.approx(len(whole) / 32000 * 0.6, abs=0.1)


@pytest.mark.parametrize(
    ("content_type", "body", "query", "status", "said"),
    [
        ("audio/wav", b"this is no audio at all", "", 400, "not an audio file"),
        ("audio/wav", b"", "", 400, "empty"),
        ("audio/l16", b"", "", 400, "empty"),
        ("audio/l16;rate=abc", bytes(100), "", 400, "rate='abc'"),
        ("audio/l16;rate=10", bytes(100), "", 400, "10 Hz"),
        ("audio/l16;rate=16000;channels=99", bytes(100), "", 400, "99 channels"),
        ("application/json", b"{", "", 400, "audio_base64"),
        ("application/json", b"[]", "", 400, "audio_base64"),
        ("application/json", b'{"audio": "!!"}', "", 400, "audio_base64"),
        ("multipart/form-data; boundary=x", b"--x--\r\n", "", 400, "file"),
        ("audio/wav", b"", "?language=de", 400, "knows en"),
        ("audio/wav", b"", "?model=nova", 404, "pocketsphinx-en-us"),
        ("audio/l16;rate=8000", bytes(3_900_000), "", 413, "longer than 30 s"),
        ("audio/wav", bytes(4_100_000), "", 413, "size"),
    ],
)
async def test_what_cannot_be_read_is_refused_with_the_reason(
    server: ServerProcess,
    client: aiohttp.ClientSession,
    content_type: str,
    body: bytes,
    query: str,
    status: int,
    said: str,
) -> None:
    """A status, and a message that says what to change."""
    answer, reply = await post(
        client, server, query, data=io.BytesIO(body), headers={"Content-Type": content_type}
    )
    assert answer == status
    assert said in reply["error"]["message"]
    assert reply["error"]["status"] == status
