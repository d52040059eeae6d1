"""The embedded server's Aura, accepted by Deepgram's own client and by LiveKit's plugin."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from conformance import API_KEY, Server
from livekit.agents import APIStatusError
from livekit.plugins import deepgram as livekit_deepgram
from said import TEXT, assert_says, decoded, seconds_of

from agents.providers.local.speech import voice_of

pytestmark = [
    # deepgram-sdk imports the old client of websockets where it is there
    pytest.mark.filterwarnings("ignore::DeprecationWarning:websockets"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:deepgram"),
    pytest.mark.filterwarnings("ignore:websockets:DeprecationWarning"),
]

VOICE = voice_of(2, "en")  # the third of Aura's first generation
MODEL = "aura-asteria-en"


@contextlib.asynccontextmanager
async def connected_to(server: Server, key: str = API_KEY) -> AsyncIterator[Any]:
    import httpx
    from deepgram import AsyncDeepgramClient
    from deepgram.environment import DeepgramClientEnvironment

    where = DeepgramClientEnvironment(
        base=server.url, production=server.ws_url, agent=server.ws_url, agent_rest=server.url
    )
    async with httpx.AsyncClient() as http:
        yield AsyncDeepgramClient(api_key=key, environment=where, httpx_client=http)


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Any]:
    async with connected_to(server) as made:
        yield made


async def until(socket: Any, kind: str) -> tuple[bytes, list[Any]]:
    """The audio and the messages up to and with one of *kind*."""
    audio, messages = b"", []
    while True:
        message = await socket.recv()
        if isinstance(message, bytes):
            audio += message
            continue
        messages.append(message)
        if message.type == kind:
            return audio, messages


async def generated(client: Any, **options: Any) -> bytes:
    pieces = [piece async for piece in client.speak.v1.audio.generate(text=TEXT, model=MODEL, **options)]
    return b"".join(pieces)


@pytest.mark.parametrize(
    ("options", "rate"),
    [
        ({}, 22050),  # mp3
        ({"encoding": "linear16"}, 24000),  # in a WAV file
        ({"encoding": "mulaw", "sample_rate": 8000}, 8000),
        ({"encoding": "opus", "bit_rate": 64000}, 48000),
        ({"encoding": "flac", "sample_rate": 16000}, 16000),
        ({"encoding": "aac"}, 22050),
    ],
)
async def test_a_text_is_a_file_of_the_encoding_asked_for(client: Any, options: Any, rate: int) -> None:
    pcm, made = decoded(await generated(client, **options))
    assert made == rate
    assert_says(pcm, rate, voice=VOICE)


async def test_bare_samples_have_the_rate_asked_for(client: Any) -> None:
    pcm = await generated(client, encoding="linear16", container="none", sample_rate=16000)
    assert_says(pcm, 16000, voice=VOICE)
    slow = await generated(client, encoding="linear16", container="none", sample_rate=16000, speed=0.8)
    assert seconds_of(slow, 16000) > 1.15 * seconds_of(pcm, 16000)
    bare = await generated(client, encoding="alaw", container="none")
    assert_says(decoded(bare, "alaw", 8000)[0], 8000, voice=VOICE)


@pytest.mark.parametrize(
    ("key", "query", "status", "code"),
    [
        ("wrong", {}, 401, "INVALID_AUTH"),
        (API_KEY, {"model": "aura-nobody-en"}, 400, "INVALID_QUERY_PARAMETER"),
        (API_KEY, {"encoding": "linear16", "sample_rate": 12345}, 400, "UNSUPPORTED_AUDIO_FORMAT"),
        (API_KEY, {"encoding": "mp3", "container": "wav"}, 400, "UNSUPPORTED_AUDIO_FORMAT"),
        (API_KEY, {"text": "a" * 2001}, 413, "PAYLOAD_TOO_LARGE"),
    ],
)
async def test_a_request_is_refused_in_deepgrams_shape(
    server: Server, key: str, query: dict[str, Any], status: int, code: str
) -> None:
    from deepgram.core.api_error import ApiError

    async with connected_to(server, key) as client:
        with pytest.raises(ApiError) as caught:
            async for _ in client.speak.v1.audio.generate(**{"text": TEXT, **query}):
                pass
    assert (caught.value.status_code, caught.value.body["err_code"]) == (status, code)


async def test_a_stream_is_spoken_flushed_cleared_and_closed(client: Any) -> None:
    from deepgram.speak.v1.types import SpeakV1Text

    async with client.speak.v1.connect(model=MODEL, encoding="linear16", sample_rate="24000") as socket:
        (metadata,) = (await until(socket, "Metadata"))[1]
        assert (metadata.model_name, len(metadata.request_id)) == (MODEL, 36)
        for word in TEXT.split():
            await socket.send_text(SpeakV1Text(text=f"{word} "))
        await socket.send_flush()
        audio, (flushed,) = await until(socket, "Flushed")
        assert flushed.sequence_id == 0
        assert_says(audio, 24000, voice=VOICE)

        await socket.send_text(SpeakV1Text(text="This is taken back. And so is this."))
        await socket.send_clear()
        _, (cleared,) = await until(socket, "Cleared")
        assert cleared.sequence_id == 1
        await socket.send_text(SpeakV1Text(text=TEXT))
        await socket.send_flush()
        audio, _ = await until(socket, "Flushed")
        assert_says(audio, 24000, voice=VOICE)

        await socket.send_text(SpeakV1Text(text=TEXT))
        await socket.send_close()  # what is left is still said
        assert_says(b"".join([message async for message in socket]), 24000, voice=VOICE)


async def test_nothing_is_spoken_before_a_flush(client: Any) -> None:
    """And the answer to it says that all of its audio has come."""
    from deepgram.speak.v1.types import SpeakV1Text

    async with client.speak.v1.connect(model=MODEL, encoding="linear16", sample_rate="16000") as socket:
        await socket.send_text(SpeakV1Text(text="One sentence. "))
        await socket.send_clear()
        audio, _ = await until(socket, "Cleared")
        assert audio == b""
        for number in range(2):
            await socket.send_text(SpeakV1Text(text=TEXT))
            await socket.send_flush()
            audio, messages = await until(socket, "Flushed")
            assert_says(audio, 16000, voice=VOICE)
            assert messages[-1].sequence_id == number + 1


async def test_more_flushes_than_allowed_are_warned_of(client: Any) -> None:
    async with client.speak.v1.connect(model=MODEL) as socket:
        for _ in range(21):
            await socket.send_flush()
        _, messages = await until(socket, "Warning")
    assert messages[-1].code == "EXCESSIVE_FLUSH"


@pytest.mark.parametrize(
    ("message", "close"),
    [
        ("not JSON", (1008, "DATA-0000")),
        ('{"type": "Sing"}', (1008, "DATA-0000")),
        ('{"type": "Speak", "text": 7}', (1008, "DATA-0000")),
        ('{"type": "Speak", "text": "' + "a" * 2001 + '"}', (1009, "BIG-0001")),
        (b"audio", (1003, "MESSAGE-0000")),
    ],
    ids=["no-json", "no-type", "no-text", "too-long", "binary"],
)
async def test_a_message_that_is_none_ends_the_stream(client: Any, message: Any, close: tuple[int, str]) -> None:
    from websockets.exceptions import ConnectionClosedError

    async with client.speak.v1.connect(model=MODEL) as socket:
        await socket._send(message)
        with pytest.raises(ConnectionClosedError) as caught:
            while True:
                await socket.recv()
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == close


@pytest.mark.parametrize(
    ("key", "query", "status"),
    [("wrong", {}, 401), (API_KEY, {"encoding": "mp3"}, 400), (API_KEY, {"model": "aura-2-nobody-en"}, 400)],
)
async def test_a_handshake_is_refused(server: Server, key: str, query: dict[str, str], status: int) -> None:
    from deepgram.core.api_error import ApiError

    async with connected_to(server, key) as client:
        with pytest.raises(ApiError) as caught:
            async with client.speak.v1.connect(**query):
                pass
    assert caught.value.status_code == status


async def test_livekits_plugin_speaks(server: Server) -> None:
    async with aiohttp.ClientSession() as session:
        plugin = livekit_deepgram.TTS(
            api_key=API_KEY, base_url=f"{server.url}/v1/speak", model=MODEL, http_session=session
        )
        whole = await plugin.synthesize(TEXT).collect()
        assert_says(bytes(whole.data), whole.sample_rate, voice=VOICE)
        async with plugin.stream() as stream:
            stream.push_text(TEXT)
            stream.end_input()
            frames = [event.frame async for event in stream]
        assert_says(b"".join(bytes(frame.data) for frame in frames), frames[0].sample_rate, voice=VOICE)
        await plugin.aclose()
        wrong = livekit_deepgram.TTS(api_key="wrong", base_url=f"{server.url}/v1/speak", http_session=session)
        with pytest.raises(APIStatusError) as caught:
            await wrong.synthesize(TEXT).collect()
        assert caught.value.status_code == 401
