"""The embedded server's ElevenLabs, accepted by ElevenLabs' own client and by LiveKit's plugin.

The SDK forces ``wss://`` on its realtime client, so the test tells that one where it is; everything else is
``base_url``.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from conformance import API_KEY, Server
from livekit.agents import APIStatusError
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT
from livekit.plugins import elevenlabs as livekit_elevenlabs
from said import TEXT, assert_says, decoded, seconds_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:elevenlabs"),
    pytest.mark.filterwarnings("ignore:ConnectionClosed.code is deprecated:DeprecationWarning"),  # the SDK asks it
]

VOICE_ID = "21m00Tcm4TlvDq8ikWAM"
MODEL = "eleven_flash_v2_5"


@contextlib.asynccontextmanager
async def connected_to(server: Server, key: str = API_KEY) -> AsyncIterator[Any]:
    import httpx
    from elevenlabs import AsyncElevenLabs

    async with httpx.AsyncClient() as http:
        yield AsyncElevenLabs(api_key=key, base_url=server.url, httpx_client=http)


@pytest.mark.parametrize(
    ("output_format", "rate", "form"),
    [
        ("pcm_24000", 24000, None),
        ("mp3_22050_32", 22050, ""),
        ("ulaw_8000", 8000, "mulaw"),
        ("opus_48000_64", 48000, ""),
    ],
)
async def test_a_text_is_audio_in_the_format_asked_for(
    server: Server, output_format: str, rate: int, form: str | None
) -> None:
    async with connected_to(server) as client:
        speech = client.text_to_speech
        for ask in (speech.convert, speech.stream):
            pieces = ask(VOICE_ID, text=TEXT, model_id=MODEL, output_format=output_format)
            audio = b"".join([piece async for piece in pieces])
            pcm = audio
            if form is not None:
                pcm, made = decoded(audio, form or None, rate if form else None)
                assert made == rate
            assert_says(pcm, rate)


@pytest.mark.parametrize(
    ("key", "wanted", "status", "name"),
    [
        ("wrong", {}, 401, "invalid_api_key"),
        (API_KEY, {"voice_id": "nobody"}, 404, "voice_not_found"),
        (API_KEY, {"model_id": "eleven_nothing"}, 400, "model_not_found"),
        (API_KEY, {"output_format": "pcm_1"}, 400, "invalid_output_format"),
        (API_KEY, {"language_code": "xx"}, 400, "invalid_request"),
    ],
)
async def test_a_request_is_refused_in_elevenlabs_shape(
    server: Server, key: str, wanted: dict[str, str], status: int, name: str
) -> None:
    from elevenlabs.core.api_error import ApiError

    async with connected_to(server, key) as client:
        with pytest.raises(ApiError) as caught:
            async for _ in client.text_to_speech.convert(**{"voice_id": VOICE_ID, "text": TEXT, **wanted}):
                pass
    assert caught.value.status_code == status
    assert caught.value.body["detail"]["status"] == name


async def test_a_request_without_text_is_told_field_by_field(server: Server) -> None:
    from elevenlabs.errors import UnprocessableEntityError

    async with connected_to(server) as client:
        with pytest.raises(UnprocessableEntityError) as caught:
            async for _ in client.text_to_speech.convert(VOICE_ID, text=None):
                pass
    assert caught.value.body["detail"][0]["loc"] == ["body", "text"]


async def test_the_sdk_streams_text_in_and_audio_out(server: Server) -> None:
    """Its realtime client is a blocking one: it lives in a thread. It has text spoken by 50 characters."""
    from elevenlabs import ElevenLabs, VoiceSettings

    text = "We open at nine, and close at eight."

    def talk(speed: float) -> bytes:
        client = ElevenLabs(api_key=API_KEY, base_url=server.url)
        client.text_to_speech._ws_base_url = server.ws_url  # it would be wss://
        pieces = client.text_to_speech.convert_realtime(
            VOICE_ID,
            text=iter(word + " " for word in text.split()),
            model_id=MODEL,
            output_format="pcm_16000",
            voice_settings=VoiceSettings(speed=speed),
        )
        audio = b"".join(pieces)
        client._client_wrapper.httpx_client.httpx_client.close()
        return audio

    normal, slow = await asyncio.gather(asyncio.to_thread(talk, 1.0), asyncio.to_thread(talk, 0.8))
    assert_says(normal, 16000, text)
    assert seconds_of(slow, 16000) > 1.15 * seconds_of(normal, 16000)


@contextlib.asynccontextmanager
async def socket_to(server: Server, path: str, *, key: str | None = API_KEY, **query: str) -> AsyncIterator[Any]:
    async with aiohttp.ClientSession() as session:
        url = f"{server.ws_url}/v1/text-to-speech/{path}"
        async with session.ws_connect(url, headers={"xi-api-key": key} if key else {}, params=query) as socket:
            yield socket


async def messages_of(socket: Any) -> list[dict[str, Any]]:
    return [json.loads(message.data) async for message in socket]


async def test_characters_have_times_in_the_chunk_they_come_with(server: Server) -> None:
    """As the SDK documents them: what is written is aligned, and a chunk's characters last as long as it does."""
    from elevenlabs.types import AudioOutput

    text = "Yes, on Monday. Or would you rather come on Tuesday? "
    async with socket_to(
        server, f"{VOICE_ID}/stream-input", output_format="pcm_24000", sync_alignment="true"
    ) as ws:
        await ws.send_json({"text": " "})
        await ws.send_json({"text": text, "flush": True})
        await ws.send_json({"text": ""})
        messages = await messages_of(ws)
        assert ws.close_code == 1000
    assert messages[-1] == {"audio": None, "isFinal": True}
    written = ""
    for message in messages[:-1]:
        output = AudioOutput.model_validate(message)
        assert output.alignment is not None and output.normalized_alignment is not None
        alignment = message["alignment"]
        starts, lengths = alignment["charStartTimesMs"], alignment["charDurationsMs"]
        assert starts == sorted(starts) and min(lengths) >= 0
        assert starts[-1] + lengths[-1] == pytest.approx(
            seconds_of(base64.b64decode(output.audio), 24000) * 1000, abs=15
        )
        written += "".join(alignment["chars"])
    assert written == " " + text
    assert len(messages) == 3


async def test_text_waits_for_the_schedule_a_flush_or_the_end(server: Server) -> None:
    """A chunk is spoken when so many characters are there; auto_mode waits for nothing."""
    async with socket_to(server, f"{VOICE_ID}/stream-input", output_format="pcm_8000") as ws:
        await ws.send_json({"text": " ", "generation_config": {"chunk_length_schedule": [50]}})
        await ws.send_json({"text": "Too short. "})
        await ws.send_json({"text": "But together with this one it is long enough. "})
        first = await ws.receive_json()
        assert "".join(first["alignment"]["chars"]).strip() == "Too short."
        await ws.send_json({"text": ""})
        assert (await messages_of(ws))[-1]["isFinal"] is True
    async with socket_to(server, f"{VOICE_ID}/stream-input", output_format="pcm_8000", auto_mode="true") as ws:
        await ws.send_json({"text": " "})
        await ws.send_json({"text": "Short. "})
        assert (await ws.receive_json())["audio"]


async def test_contexts_share_a_connection(server: Server) -> None:
    from elevenlabs.types import WebsocketTtsServerMessageMulti

    async with socket_to(server, f"{VOICE_ID}/multi-stream-input", output_format="pcm_16000") as ws:
        for name in ("a", "b"):
            await ws.send_json({"text": " ", "context_id": name})
            await ws.send_json({"text": TEXT + " ", "context_id": name, "flush": True})
            await ws.send_json({"context_id": name, "close_context": True})
        audio, over = {"a": b"", "b": b""}, []
        while len(over) < 2:
            message = await ws.receive_json()
            read = WebsocketTtsServerMessageMulti.model_validate(message)
            assert read.context_id is not None
            audio[read.context_id] += base64.b64decode(read.audio or "")
            if message["isFinal"]:
                over.append(read.context_id)
        assert over == ["a", "b"]
        for pcm in audio.values():
            assert_says(pcm, 16000)
        await ws.send_json({"close_socket": True})
        assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE


@pytest.mark.parametrize(
    ("path", "query", "first", "error"),
    [
        ("nobody/stream-input", {}, {"text": " "}, "voice_id_does_not_exist"),
        (f"{VOICE_ID}/stream-input", {"model_id": "eleven_nothing"}, {"text": " "}, "model_not_found"),
        (f"{VOICE_ID}/stream-input", {}, {"text": 7}, "invalid_input_message"),
        (f"{VOICE_ID}/stream-input", {"inactivity_timeout": "0.2"}, {"text": " "}, "input_timeout_exceeded"),
    ],
)
async def test_errors_are_told_and_then_close_the_socket(
    server: Server, path: str, query: dict[str, str], first: dict[str, Any], error: str
) -> None:
    async with socket_to(server, path, **query) as ws:
        await ws.send_json(first)
        (message,) = await messages_of(ws)
        assert (message["error"], message["code"], ws.close_code) == (error, 1008, 1008)


async def test_the_key_may_come_in_the_first_message(server: Server) -> None:
    async with socket_to(server, f"{VOICE_ID}/stream-input", key=None) as ws:
        await ws.send_json({"text": " ", "xi_api_key": API_KEY})
        await ws.send_json({"text": ""})
        assert (await messages_of(ws))[-1]["isFinal"] is True


@pytest.mark.parametrize(("key", "message"), [("wrong", {}), (None, {"xi_api_key": "wrong"}), (None, {})])
async def test_a_wrong_key_is_told_on_the_open_socket(server: Server, key: str | None, message: Any) -> None:
    async with socket_to(server, f"{VOICE_ID}/stream-input", key=key) as ws:
        await ws.send_json({"text": " ", **message})
        assert (await messages_of(ws))[-1]["error"] == "invalid_api_key"
        assert ws.close_code == 1008


async def test_the_dialogue_model_has_another_socket(server: Server) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with socket_to(server, f"{VOICE_ID}/stream-input", model_id="eleven_v3"):
            pass
    assert caught.value.status == 400


async def test_livekits_plugin_speaks(server: Server) -> None:
    """Its stream is multi-stream-input; its words are the text."""
    async with aiohttp.ClientSession() as session:
        given: dict[str, Any] = {"base_url": f"{server.url}/v1", "http_session": session, "encoding": "pcm_24000"}
        plugin = livekit_elevenlabs.TTS(api_key=API_KEY, voice_id=VOICE_ID, model=MODEL, **given)
        whole = await plugin.synthesize(TEXT).collect()
        assert_says(bytes(whole.data), whole.sample_rate)
        async with plugin.stream() as stream:
            stream.push_text(TEXT)
            stream.end_input()
            frames = [event.frame async for event in stream]
        assert_says(b"".join(bytes(frame.data) for frame in frames), frames[0].sample_rate)
        words = [word for frame in frames for word in frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])]
        assert "".join(words).strip() == TEXT
        await plugin.aclose()
        wrong = livekit_elevenlabs.TTS(api_key="wrong", voice_id=VOICE_ID, model=MODEL, **given)
        with pytest.raises(APIStatusError) as caught:
            await wrong.synthesize(TEXT).collect()
        assert caught.value.status_code == 401
        await wrong.aclose()
