"""The voices that have no public client: the generic protocol as its page describes it, and jambonz'."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from said import TEXT, assert_says, decoded
from speaking_server import speaking_server

from agents.providers.local import SpeechServer
from agents.providers.local.dialects.generic_speech import GenericSpeech
from agents.providers.local.dialects.jambonz_speech import JambonzSpeech

KEY = "a-key"
HEADERS = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
async def server() -> AsyncIterator[SpeechServer]:
    async with speaking_server(GenericSpeech, JambonzSpeech, api_keys=(KEY,), max_text_chars=100) as made:
        yield made


@pytest.fixture
async def http(server: SpeechServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url, headers=HEADERS) as session:
        yield session


async def until(socket: Any, kind: str) -> tuple[bytes, list[dict[str, Any]]]:
    """The audio and the messages up to and with one of *kind*."""
    audio, messages = b"", []
    while True:
        message = await socket.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            audio += message.data
            continue
        assert message.type is aiohttp.WSMsgType.TEXT, message
        messages.append(json.loads(message.data))
        if messages[-1]["type"] == kind:
            return audio, messages


# --- generic ---


@pytest.mark.parametrize(
    ("wanted", "content_type", "rate"),
    [
        ({"sample_rate": 16000}, "audio/pcm;rate=16000;channels=1", 16000),
        ({"format": "wav", "sample_rate": 8000}, "audio/wav", 8000),
        ({"format": "ogg"}, "audio/ogg", 48000),
        ({"format": "mulaw"}, "audio/basic", 8000),
    ],
)
async def test_a_text_is_audio_of_the_type_it_names(
    http: aiohttp.ClientSession, wanted: dict[str, Any], content_type: str, rate: int
) -> None:
    async with http.post("/v1/tts", json={"text": TEXT, **wanted}) as answer:
        audio = await answer.read()
        assert answer.headers["Content-Type"] == content_type
    if "pcm" in content_type:
        pcm, made = audio, rate
    else:
        pcm, made = decoded(audio, "mulaw" if "basic" in content_type else None, rate)
    assert made == rate
    assert_says(pcm, rate)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"text": " "}, 400),
        ({"text": "a" * 101}, 413),
        ({"text": TEXT, "voice": "nobody"}, 400),
        ({"text": TEXT, "model": "nothing"}, 404),
        ({"text": TEXT, "format": "midi"}, 400),
        ({"text": TEXT, "sample_rate": "fast"}, 400),
        ({"text": TEXT, "options": {"speed": 9}}, 400),
        ("not JSON", 400),
    ],
    ids=str,
)
async def test_what_cannot_be_said_is_refused(http: aiohttp.ClientSession, body: Any, status: int) -> None:
    async with http.post("/v1/tts", data=body if isinstance(body, str) else json.dumps(body)) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["message"]


async def test_segments_follow_one_another(http: aiohttp.ClientSession) -> None:
    async with http.ws_connect("/v1/tts/stream") as ws:
        assert await ws.receive_json() == {"type": "ready"}
        for number, rate in enumerate((24000, 8000)):
            await ws.send_json({"type": "start", "id": number, "sample_rate": rate})
            for word in TEXT.split():
                await ws.send_json({"type": "speak", "text": f"{word} "})
            await ws.send_json({"type": "end"})
            audio, messages = await until(ws, "done")
            assert_says(audio, rate)
            assert {message["id"] for message in messages} == {number}
            words = [word for message in messages[:-1] for word in message["words"]]
            assert [word["word"] for word in words] == TEXT.split()
            assert all(0 <= word["start"] < word["end"] <= len(audio) / 2 / rate + 0.01 for word in words)


async def test_a_flush_is_spoken_and_a_cancellation_answered_without_the_rest(http: aiohttp.ClientSession) -> None:
    async with http.ws_connect("/v1/tts/stream") as ws:
        await ws.send_json({"type": "start", "id": "a"})
        await ws.send_json({"type": "speak", "text": "Yes"})
        await ws.send_json({"type": "flush"})
        await until(ws, "words")
        await ws.send_json({"type": "speak", "text": "This is very long. " * 500})
        await ws.send_json({"type": "end"})
        await ws.send_json({"type": "cancel"})
        audio, _ = await until(ws, "done")
        assert len(audio) / 48000 < 300
        await ws.send_json({"type": "cancel"})  # it crossed the end, and means nothing any more
        await ws.send_json({"type": "start", "id": "b"})
        await ws.send_json({"type": "speak", "text": TEXT})
        await ws.send_json({"type": "end"})
        audio, messages = await until(ws, "done")
        assert_says(audio, 24000)
        assert {message["id"] for message in messages} == {"b"}


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (["not JSON"], 400),
        ([{"type": "sing"}], 400),
        ([{"type": "speak", "text": "too early"}], 400),
        ([{"type": "start"}, {"type": "start"}], 400),
        ([{"type": "start"}, {"type": "speak", "text": 7}], 400),
        ([{"type": "start"}, {"type": "end"}, {"type": "speak", "text": "late"}], 400),
        ([{"type": "start", "encoding": "MP3"}], 400),
        ([{"type": "start", "model": "nothing"}], 404),
        ([{"type": "start", "voice": "nobody"}, {"type": "speak", "text": "Hello."}, {"type": "end"}], 400),
    ],
    ids=str,
)
async def test_what_is_not_of_the_protocol_ends_the_connection(
    http: aiohttp.ClientSession, messages: list[Any], code: int
) -> None:
    async with http.ws_connect("/v1/tts/stream") as ws:
        for message in messages:
            await ws.send_str(message if isinstance(message, str) else json.dumps(message))
        told = [json.loads(message.data) async for message in ws]
        errors = [message for message in told if message["type"] == "error"]
        if messages[-1] == {"type": "speak", "text": "late"} and not errors:
            pytest.fail("a late text was taken")
        assert [error["code"] for error in errors] == [code]
        assert ws.close_code == 1008


async def test_a_client_that_says_nothing_is_sent_away() -> None:
    async with (
        speaking_server(GenericSpeech, idle_seconds=0.05) as server,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{server.ws_url}/v1/tts/stream") as ws,
    ):
        told = [json.loads(message.data) async for message in ws]
    assert (told[-1]["type"], told[-1]["code"]) == ("error", 408)


@pytest.mark.parametrize("path", ["/v1/tts", "/jambonz/tts"])
async def test_a_wrong_key_is_refused(server: SpeechServer, path: str) -> None:
    async with aiohttp.ClientSession(server.url, headers={"Authorization": "Bearer wrong"}) as session:
        async with session.post(path, json={"text": TEXT}) as answer:
            assert answer.status == 401
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(f"{path}/stream" if path == "/v1/tts" else path)
        assert caught.value.status == 401


# --- jambonz ---


async def test_jambonz_gets_a_text_as_telephone_audio_or_what_it_accepts(http: aiohttp.ClientSession) -> None:
    body = {"language": "en-US", "voice": "en-us+f3", "type": "text", "text": TEXT}
    async with http.post("/jambonz/tts", json=body) as answer:
        assert answer.headers["Content-Type"] == "audio/l16;rate=8000"
        assert_says(await answer.read(), 8000)
    async with http.post("/jambonz/tts", json=body, headers={"Accept": "audio/mpeg"}) as answer:
        pcm, rate = decoded(await answer.read())
        assert_says(pcm, rate)
    async with http.post("/jambonz/tts", json={**body, "type": "ssml"}) as answer:
        assert answer.status == 400 and "SSML" in (await answer.json())["error"]


@pytest.mark.parametrize("coded", [False, True])
async def test_jambonz_streams_text_and_gets_audio(http: aiohttp.ClientSession, coded: bool) -> None:
    query = {"voice": "en-us+f3", "language": "en-US", "sampleRate": "16000", "base64": str(coded).lower()}
    async with http.ws_connect("/jambonz/tts", params=query) as ws:
        connected = await ws.receive_json()
        assert connected == {"type": "connect", "data": {"sample_rate": 16000, "base64_encoding": coded}}
        for word in TEXT.split():
            await ws.send_json({"type": "stream", "text": f"{word} "})
        await ws.send_json({"type": "flush"})
        audio = b""
        while len(audio) < 3.35 * 32000:
            message = await ws.receive()
            audio += message.data if not coded else base64.b64decode(json.loads(message.data)["data"]["audio"])
        assert_says(audio, 16000)
        await ws.send_json({"type": "stream", "text": "This is not said. "})
        await ws.send_json({"type": "stop"})
        assert (await ws.receive()).type in (
            aiohttp.WSMsgType.CLOSE,
            aiohttp.WSMsgType.BINARY,
            aiohttp.WSMsgType.TEXT,
        )


async def test_jambonz_is_told_what_is_wrong(http: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await http.ws_connect("/jambonz/tts", params={"sampleRate": "fast"})
    assert caught.value.status == 400
    for message in ({"type": "sing"}, {"type": "stream"}):
        async with http.ws_connect("/jambonz/tts") as ws:
            await ws.receive_json()
            await ws.send_json(message)
            assert (await ws.receive_json())["type"] == "error"


async def test_a_client_that_leaves_in_mid_speech_is_no_fault_of_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Agents are interrupted all the time: a server that is watched must not print an error for each."""
    caplog.set_level(logging.INFO)
    async with speaking_server(GenericSpeech) as server:
        async with aiohttp.ClientSession(server.url) as client:
            async with client.post("/v1/tts", json={"text": "and so on, " * 300}) as answer:
                await answer.content.readany()
                answer.close()
        while "a client left" not in caplog.text:
            await asyncio.sleep(0.01)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
