"""The embedded server's Deepgram, accepted by Deepgram's own client and by LiveKit's plugin."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import av
import numpy as np
import pytest
from conformance import API_KEY, Server
from livekit import rtc
from livekit.agents import APIStatusError
from livekit.plugins import deepgram as livekit_deepgram
from spoken_lines import LINES, RATE, plain, push, silence, spoken
from talks import Kind, text_of

pytestmark = [
    # deepgram-sdk imports the old client of websockets where it is there
    pytest.mark.filterwarnings("ignore::DeprecationWarning:websockets"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:deepgram"),
    pytest.mark.filterwarnings("ignore:websockets:DeprecationWarning"),
]

CHUNK = RATE // 10 * 2


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Any]:
    """Deepgram's client, pointed at the server."""
    async with connected_to(server, API_KEY) as made:
        yield made


@contextlib.asynccontextmanager
async def connected_to(server: Server, key: str) -> AsyncIterator[Any]:
    import httpx
    from deepgram import AsyncDeepgramClient
    from deepgram.environment import DeepgramClientEnvironment

    where = DeepgramClientEnvironment(
        base=server.url, production=server.ws_url, agent=server.ws_url, agent_rest=server.url
    )
    async with httpx.AsyncClient() as http:
        yield AsyncDeepgramClient(api_key=key, environment=where, httpx_client=http)


async def hear(socket: Any, until: Any = lambda message: False) -> list[Any]:
    """Messages until one that *until* takes, or the end of the connection."""
    heard = []
    async for message in socket:
        heard.append(message)
        if until(message):
            break
    return heard


async def say(socket: Any, pcm: bytes) -> None:
    for at in range(0, len(pcm), CHUNK):
        await socket.send_media(pcm[at : at + CHUNK])


def kinds(messages: list[Any]) -> list[str]:
    """Types in order of their first."""
    return list(dict.fromkeys(message.type for message in messages))


def finals(messages: list[Any]) -> list[Any]:
    return [message for message in messages if message.type == "Results" and message.is_final]


def transcript(messages: list[Any]) -> str:
    return plain(" ".join(final.channel.alternatives[0].transcript for final in finals(messages)))


# --- v1 ---


async def test_a_stream_from_its_first_word_to_its_metadata(client: Any) -> None:
    options = {"interim_results": "true", "vad_events": "true", "utterance_end_ms": "1000", "punctuate": "true"}
    async with client.listen.v1.connect(
        model="nova-3", encoding="linear16", sample_rate=str(RATE), diarize="true", **options
    ) as socket:
        await say(socket, spoken(LINES[0]) + silence(1.2))
        heard = await hear(socket, lambda message: message.type == "UtteranceEnd")
        assert kinds(heard) == ["SpeechStarted", "Results", "UtteranceEnd"]
        assert [m for m in heard if m.type == "Results" and not m.is_final]
        (final,) = finals(heard)
        assert (final.speech_final, final.from_finalize) == (True, False)
        said = final.channel.alternatives[0]
        assert said.transcript == "What are your opening hours."
        assert (said.words[0].punctuated_word, said.words[0].speaker) == ("What", 0)
        assert heard[-1].last_word_end == said.words[-1].end

        await socket.send_keep_alive()
        await say(socket, spoken(LINES[1]))
        await socket.send_finalize()
        heard = await hear(socket, lambda message: message.type == "Results" and message.from_finalize)
        assert transcript(heard) == LINES[1]
        assert finals(heard)[0].start == pytest.approx(final.start + final.duration)

        await socket.send_close_stream()
        (metadata,) = [message for message in await hear(socket) if message.type == "Metadata"]
        sent = len(spoken(LINES[0]) + silence(1.2) + spoken(LINES[1])) / 2 / RATE
        assert metadata.duration == pytest.approx(sent, abs=0.01)
        assert metadata.request_id == final.metadata.request_id


async def test_telephone_audio_is_understood(client: Any) -> None:
    """FFmpeg's G.711 is decoded to the samples it was made of, near enough to be heard word for word."""
    frame = av.AudioFrame.from_ndarray(np.frombuffer(spoken(LINES[1]), "<i2")[np.newaxis], "s16", "mono")
    frame.sample_rate = RATE
    codec = av.CodecContext.create("pcm_mulaw", "w")
    codec.sample_rate, codec.layout, codec.format = RATE, "mono", "s16"
    coded = b"".join(bytes(packet) for packet in codec.encode(frame))
    async with client.listen.v1.connect(model="nova-3", encoding="mulaw", sample_rate=str(RATE)) as socket:
        await say(socket, coded)
        await socket.send_close_stream()
        assert transcript(await hear(socket)) == LINES[1]


async def test_options_change_in_mid_stream(client: Any) -> None:
    from deepgram.listen.v1.types import ListenV1Configure

    async def configure(model: str, **fields: Any) -> Any:
        async with client.listen.v1.connect(model=model, encoding="linear16", sample_rate=str(RATE)) as socket:
            await socket.send_configure(ListenV1Configure(**fields))
            return await socket.recv()

    success = await configure("nova-3", keyterms=["opening hours"])
    assert (success.type, success.keyterms) == ("ConfigureSuccess", ["opening hours"])
    success = await configure("nova-3", features={"numerals": True})
    assert (success.type, success.keyterms) == ("ConfigureSuccess", None)
    failure = await configure("nova-2", keyterms=["opening hours"])
    assert (failure.type, failure.code) == ("ConfigureFailure", "CONFIGURE_KEYTERMS_NOT_SUPPORTED")
    failure = await configure("nova-3", keyterms=["word"] * 501)
    assert failure.code == "CONFIGURE_KEYTERM_LIMIT_EXCEEDED"


async def test_a_message_that_is_none_is_a_schema_error(client: Any) -> None:
    async with client.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=str(RATE)) as socket:
        await socket._send("not JSON")
        error = await socket.recv()
    assert (error.type, error.variant, error.message) == ("Error", "SchemaError", "not JSON")


@pytest.mark.parametrize(
    ("key", "query", "status"),
    [
        ("wrong", {}, 401),
        (API_KEY, {"model": "no-such-model"}, 403),
        (API_KEY, {"encoding": "flac"}, 400),
        (API_KEY, {"language": "xx"}, 400),
    ],
)
async def test_a_handshake_is_refused(server: Server, key: str, query: dict[str, str], status: int) -> None:
    from deepgram.core.api_error import ApiError

    given = {"model": "nova-3", "encoding": "linear16", "sample_rate": str(RATE), **query}
    async with connected_to(server, key) as client:
        with pytest.raises(ApiError) as caught:
            async with client.listen.v1.connect(**given):
                pass
    assert caught.value.status_code == status


async def test_a_refusal_has_deepgrams_headers(server: Server) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(f"{server.ws_url}/v1/listen?model=nova-3")
    assert caught.value.headers is not None
    assert "API key" in caught.value.headers["dg-error"]
    assert caught.value.headers["dg-request-id"]


async def test_a_recording(client: Any, server: Server) -> None:
    wav = rtc.AudioFrame(spoken(LINES[0]), RATE, 1, len(spoken(LINES[0])) // 2).to_wav_bytes()
    answer = await client.listen.v1.media.transcribe_file(
        request=wav, model="nova-3", smart_format=True, utterances=True, detect_language=True
    )
    (channel,) = answer.results.channels
    assert plain(channel.alternatives[0].transcript) == LINES[0]
    assert channel.detected_language == "en"
    assert [plain(utterance.transcript) for utterance in answer.results.utterances] == [LINES[0]]
    assert answer.metadata.duration == pytest.approx(len(wav) / 2 / RATE, abs=0.05)
    bare = await client.listen.v1.media.transcribe_file(
        request=spoken(LINES[0]),
        model="nova-3",
        encoding="linear16",
        request_options={"additional_query_parameters": {"sample_rate": str(RATE)}},
    )
    assert bare.results.channels[0].alternatives[0].transcript == LINES[0]


async def test_a_recording_is_refused_in_its_shape(server: Server) -> None:
    from deepgram.core.api_error import ApiError

    async with connected_to(server, "wrong") as client:
        with pytest.raises(ApiError) as caught:
            await client.listen.v1.media.transcribe_file(request=b"RIFF", model="nova-3")
    assert caught.value.status_code == 401
    assert caught.value.body["err_code"] == "INVALID_AUTH"
    async with connected_to(server, API_KEY) as client:
        with pytest.raises(ApiError) as caught:
            await client.listen.v1.media.transcribe_file(request=b"no audio", model="nova-3")
    assert caught.value.status_code == 400


async def test_a_granted_token_is_a_key_for_a_time(client: Any, server: Server) -> None:
    grant = await client.auth.v1.tokens.grant(ttl_seconds=30)
    assert grant.expires_in == 30
    async with aiohttp.ClientSession() as session:
        url = f"{server.ws_url}/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000"
        async with session.ws_connect(url, headers={"Authorization": f"Bearer {grant.access_token}"}) as socket:
            await socket.send_json({"type": "CloseStream"})
            assert (await socket.receive_json())["type"] == "Metadata"
        async with session.ws_connect(url, protocols=("token", API_KEY)) as socket:
            assert socket.protocol == "token"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url, headers={"Authorization": "Bearer made-up"})


# --- Flux ---


def turns(messages: list[Any]) -> list[str]:
    """Events in order, repeated updates once."""
    events = [message.event for message in messages if message.type == "TurnInfo"]
    return [event for i, event in enumerate(events) if i == 0 or event != events[i - 1]]


async def test_turns_eager_resumed_ended_forced_and_cut_short(client: Any) -> None:
    def event(name: str) -> Any:
        return lambda message: getattr(message, "event", None) == name

    thresholds = {"eager_eot_threshold": "0.5", "eot_threshold": "0.9"}
    async with client.listen.v2.connect(
        model="flux-general-multi", encoding="linear16", sample_rate=str(RATE), **thresholds
    ) as socket:
        (connected,) = await hear(socket, lambda message: True)
        assert (connected.type, connected.sequence_id) == ("Connected", 0)

        await say(socket, spoken(LINES[0]) + silence(0.5))
        heard = await hear(socket, event("EagerEndOfTurn"))
        assert turns(heard) == ["StartOfTurn", "Update", "EagerEndOfTurn"]
        assert (plain(heard[-1].transcript), heard[-1].trigger) == (LINES[0], None)
        goes_on = spoken(LINES[1])[RATE // 5 * 2 :]
        soon = int(0.7 * RATE) * 2  # before the pause is long enough to end the turn
        await say(socket, goes_on[:soon])
        assert turns(await hear(socket, event("TurnResumed"))) == ["TurnResumed"]
        await say(socket, goes_on[soon:] + silence(1.6))
        end = (await hear(socket, event("EndOfTurn")))[-1]
        assert (end.transcript, end.turn_index, end.trigger) == (f"{LINES[0]} {LINES[1]}", 0, "model")
        assert end.words[0].start < end.words[-1].end <= end.audio_window_end
        assert end.languages == ["en"]

        await say(socket, spoken(LINES[2]))
        await socket.send_force_end_turn()
        (end,) = [m for m in await hear(socket, event("EndOfTurn")) if m.event == "EndOfTurn"]
        assert (end.transcript, end.turn_index, end.trigger) == (LINES[2], 1, "manual")

        await say(socket, spoken(LINES[1]))
        await socket.send_close_stream()
        heard = await hear(socket)
        assert turns(heard) == ["StartOfTurn", "Update"]
        assert heard[-1].transcript == LINES[1]
        assert socket._websocket.close_code == 1005


async def test_flux_is_configured_in_mid_stream(client: Any) -> None:
    async def configure(**fields: Any) -> Any:
        async with client.listen.v2.connect(
            model="flux-general-en", encoding="linear16", sample_rate=str(RATE), keyterm=["Voxport"]
        ) as socket:
            await socket.recv()
            await socket.send_configure({"type": "Configure", **fields})
            return await socket.recv()

    success = await configure(thresholds={"eot_threshold": 0.8})
    assert (success.type, success.thresholds.eot_threshold, success.keyterms) == (
        "ConfigureSuccess",
        0.8,
        ["Voxport"],
    )
    assert (await configure(thresholds={"eot_threshold": 2})).type == "ConfigureFailure"
    assert (await configure(language_hints=["es"])).type == "ConfigureFailure"
    error = await configure(type="Invented")
    assert (error.type, error.code) == ("Error", "UNPARSABLE_CLIENT_MESSAGE")


# --- LiveKit's plugin ---


async def livekit_talk(adapter: Any) -> list[Any]:
    """Everything LiveKit's plugin says of the first line, read until its END."""
    stream = adapter.stream()
    events = []
    push(stream, spoken(LINES[0]) + silence(1.2))
    async for event in stream:
        events.append(event)
        if event.type is Kind.END_OF_SPEECH:
            break
    await stream.aclose()
    return events


async def test_livekits_plugin_streams(server: Server) -> None:
    async with aiohttp.ClientSession() as session:
        adapter = livekit_deepgram.STT(
            api_key=API_KEY, base_url=f"{server.url}/v1/listen", http_session=session, sample_rate=RATE
        )
        events = await asyncio.wait_for(livekit_talk(adapter), 20)
    assert events[0].type is Kind.START_OF_SPEECH
    assert Kind.INTERIM_TRANSCRIPT in [event.type for event in events]
    assert text_of(events) == LINES[0]


async def test_livekits_plugin_recognises(server: Server) -> None:
    frame = rtc.AudioFrame(spoken(LINES[0]), RATE, 1, len(spoken(LINES[0])) // 2)
    async with aiohttp.ClientSession() as session:
        adapter = livekit_deepgram.STT(
            api_key=API_KEY, base_url=f"{server.url}/v1/listen", http_session=session, language="en"
        )
        event = await adapter.recognize([frame])
    assert plain(event.alternatives[0].text) == LINES[0]


async def test_livekits_plugin_takes_turns(server: Server) -> None:
    async with aiohttp.ClientSession() as session:
        adapter = livekit_deepgram.STTv2(
            api_key=API_KEY,
            base_url=f"{server.ws_url}/v2/listen",
            http_session=session,
            sample_rate=RATE,
            eager_eot_threshold=0.5,
        )
        events = await asyncio.wait_for(livekit_talk(adapter), 20)
    assert Kind.PREFLIGHT_TRANSCRIPT in [event.type for event in events]
    assert text_of(events) == LINES[0]
    assert events[-1].type is Kind.END_OF_SPEECH


async def test_livekits_plugin_is_refused(server: Server) -> None:
    async with aiohttp.ClientSession() as session:
        adapter = livekit_deepgram.STTv2(
            api_key="wrong", base_url=f"{server.ws_url}/v2/listen", http_session=session, sample_rate=RATE
        )
        with pytest.raises(APIStatusError) as caught:
            await asyncio.wait_for(livekit_talk(adapter), 20)
    assert caught.value.status_code == 401
