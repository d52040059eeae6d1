"""The embedded server's Cartesia, accepted by Cartesia's own client and by LiveKit's plugin."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import numpy as np
import pytest
from conformance import API_KEY, Server
from livekit.agents import APIStatusError
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT
from livekit.plugins import cartesia as livekit_cartesia
from said import TEXT, assert_says, decoded, seconds_of

VOICE: Any = {"mode": "id", "id": "f786b574-daa5-4673-aa0c-cbe3e8534c02"}
MODEL = "sonic-3"


def raw(encoding: str = "pcm_s16le", rate: int = 24000) -> dict[str, Any]:
    return {"container": "raw", "encoding": encoding, "sample_rate": rate}


@contextlib.asynccontextmanager
async def connected_to(server: Server, key: str = API_KEY) -> AsyncIterator[Any]:
    import httpx
    from cartesia import AsyncCartesia

    async with httpx.AsyncClient() as http:
        yield AsyncCartesia(
            api_key=key, base_url=server.url, websocket_base_url=server.ws_url, http_client=http, max_retries=0
        )


@contextlib.asynccontextmanager
async def socket_of(server: Server) -> AsyncIterator[Any]:
    async with connected_to(server) as client, client.tts.websocket_connect() as connection:
        yield connection


async def received(context: Any) -> dict[str, list[Any]]:
    """All of a context's messages, by their type."""
    found: dict[str, list[Any]] = {}
    async for message in context.receive():
        found.setdefault(message.type, []).append(message)
    return found


def audio_of(found: dict[str, list[Any]]) -> bytes:
    return b"".join(chunk.audio for chunk in found["chunk"])


@pytest.mark.parametrize(
    ("output_format", "rate"),
    [
        (raw(rate=16000), 16000),
        (raw("pcm_f32le", 44100), 44100),
        (raw("pcm_mulaw", 8000), 8000),
        ({"container": "wav", "encoding": "pcm_s16le", "sample_rate": 22050}, 22050),
        ({"container": "mp3", "bit_rate": 64000, "sample_rate": 44100}, 44100),
    ],
    ids=str,
)
async def test_a_text_is_audio_in_the_format_asked_for(
    server: Server, output_format: dict[str, Any], rate: int
) -> None:
    async with connected_to(server) as client:
        answer = await client.tts.generate(
            model_id=MODEL, transcript=TEXT, voice=VOICE, output_format=output_format, language="en"
        )
        audio = await answer.read()
    if output_format.get("encoding") == "pcm_f32le":
        pcm = (np.frombuffer(audio, "<f4") * 32767).astype("<i2").tobytes()
    elif output_format.get("encoding") == "pcm_mulaw":
        pcm, _ = decoded(audio, "mulaw", rate)
    elif output_format["container"] == "raw":
        pcm = audio
    else:
        pcm, made = decoded(audio)
        assert made == rate
    assert_says(pcm, rate)


@pytest.mark.parametrize(
    ("key", "wanted", "status", "code"),
    [
        ("wrong", {}, 401, "unauthorized"),
        (API_KEY, {"voice": {"mode": "id", "id": "nobody"}}, 404, "voice_not_found"),
        (API_KEY, {"model_id": "sonnet"}, 400, "model_not_found"),
        (API_KEY, {"output_format": raw(rate=1)}, 400, "invalid_output_format"),
        (API_KEY, {"transcript": " "}, 400, "invalid_request"),
    ],
)
async def test_a_request_is_refused_in_cartesias_shape(
    server: Server, key: str, wanted: dict[str, Any], status: int, code: str
) -> None:
    from cartesia import APIStatusError as Refused

    given = {"model_id": MODEL, "transcript": TEXT, "voice": VOICE, "output_format": raw(), **wanted}
    async with connected_to(server, key) as client:
        with pytest.raises(Refused) as caught:
            await client.tts.generate(**given)
    assert caught.value.status_code == status
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error_code"] == code


async def test_a_context_joins_its_inputs_and_times_its_words(server: Server) -> None:
    async with socket_of(server) as connection:
        context = connection.context(model_id=MODEL, voice=VOICE, output_format=raw(), add_timestamps=True)
        for word in TEXT.split():
            await context.push(f"{word} ")
        await context.no_more_inputs()
        found = await received(context)
    assert set(found) == {"chunk", "timestamps", "done"}
    pcm = audio_of(found)
    assert_says(pcm, 24000)
    times = [message.word_timestamps for message in found["timestamps"]]
    words = [word for message in times for word in message.words]
    starts = [start for message in times for start in message.start]
    ends = [end for message in times for end in message.end]
    assert words == TEXT.split()
    assert starts == sorted(starts) and all(start < end for start, end in zip(starts, ends, strict=True))
    samples = np.abs(np.frombuffer(pcm, "<i2").astype(int))
    for start, end in zip(starts, ends, strict=True):
        assert samples[int(start * 24000) : int(end * 24000)].mean() > 300  # it is there that something is said
    assert ends[-1] <= seconds_of(pcm, 24000) + 0.01


async def test_contexts_share_a_connection_and_flushes_are_numbered(server: Server) -> None:
    async with socket_of(server) as connection:
        one = connection.context("one", model_id=MODEL, voice=VOICE, output_format=raw(rate=16000))
        two = connection.context("two", model_id=MODEL, voice=VOICE, output_format=raw(rate=8000))
        await one.push("First, ", flush=True)
        await two.push(TEXT, continue_=False)
        await one.push("and second.", continue_=False)
        found, other = await received(one), await received(two)
    assert [message.flush_id for message in found["flush_done"]] == [1]
    assert {chunk.flush_id for chunk in found["chunk"]} == {1, 2}
    assert "timestamps" not in found
    assert_says(audio_of(other), 8000)


async def test_what_has_not_begun_can_be_cancelled(server: Server) -> None:
    """What is being spoken goes on, as documented; nothing comes after its end."""
    async with socket_of(server) as connection:
        context = connection.context("gone", model_id=MODEL, voice=VOICE, output_format=raw(rate=8000))
        sentences = [f"This is sentence number {number}. " for number in range(40)]
        await context.push("".join(sentences), continue_=False)
        await connection.send({"context_id": "gone", "cancel": True})
        found = await received(context)
        assert seconds_of(audio_of(found), 8000) < 40
        next_one = connection.context(model_id=MODEL, voice=VOICE, output_format=raw(rate=8000))
        await next_one.push(TEXT, continue_=False)
        assert_says(audio_of(await received(next_one)), 8000)


@pytest.mark.parametrize(
    ("wanted", "status", "code"),
    [
        ({"voice": {"mode": "id", "id": "nobody"}}, 404, "voice_not_found"),
        ({"output_format": {"container": "mp3"}}, 400, "invalid_output_format"),
        ({"language": "xx"}, 400, "invalid_request"),
        ({"transcript": ""}, 400, "invalid_request"),
    ],
)
async def test_an_error_ends_its_context_and_not_the_connection(
    server: Server, wanted: dict[str, Any], status: int, code: str
) -> None:
    async with socket_of(server) as connection:
        bad = connection.context("bad", model_id=MODEL, voice=VOICE, output_format=raw())
        given = {"transcript": TEXT, "voice": VOICE, "continue_": False, **wanted}
        await bad.send(**given)
        (error,) = (await received(bad))["error"]
        assert (error.status_code, error.error_code, error.context_id) == (status, code, "bad")
        good = connection.context(model_id=MODEL, voice=VOICE, output_format=raw())
        await good.push(TEXT, continue_=False)
        assert_says(audio_of(await received(good)), 24000)


async def test_older_clients_get_an_error_in_one_line(server: Server) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"{server.ws_url}/tts/websocket?cartesia_version=2025-04-16&api_key={API_KEY}"
        ) as socket,
    ):
        await socket.send_str("not JSON")
        message = await socket.receive_json()
    assert message["type"] == "error" and message["error"].startswith("Invalid request: ")


async def test_a_handshake_is_refused(server: Server) -> None:
    async with aiohttp.ClientSession() as session:
        for headers, status in (
            ({"X-API-Key": "wrong", "Cartesia-Version": "2026-03-01"}, 401),
            ({"X-API-Key": API_KEY}, 400),
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(f"{server.ws_url}/tts/websocket", headers=headers)
            assert caught.value.status == status


async def test_livekits_plugin_speaks(server: Server) -> None:
    async with aiohttp.ClientSession() as session:
        given: dict[str, Any] = {"base_url": server.url, "http_session": session, "model": MODEL}
        plugin = livekit_cartesia.TTS(api_key=API_KEY, **given)
        whole = await plugin.synthesize(TEXT).collect()
        assert_says(bytes(whole.data), whole.sample_rate)
        async with plugin.stream() as stream:
            stream.push_text(TEXT)
            stream.end_input()
            frames = [event.frame async for event in stream]
        assert_says(b"".join(bytes(frame.data) for frame in frames), frames[0].sample_rate)
        words = [word for frame in frames for word in frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])]
        assert "".join(words).split() == TEXT.split()
        await plugin.aclose()
        wrong = livekit_cartesia.TTS(api_key="wrong", **given)
        with pytest.raises(APIStatusError) as caught:
            await wrong.synthesize(TEXT).collect()
        assert caught.value.status_code == 401
