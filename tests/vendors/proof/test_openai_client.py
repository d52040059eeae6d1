"""The embedded server's OpenAI dialects for recognition, spoken to by OpenAI's own client and LiveKit's plugin."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import av
import numpy as np
import openai
import pytest
from conformance import API_KEY
from livekit.agents import stt
from livekit.agents.utils import http_context
from livekit.plugins import openai as plugin
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from spoken_lines import LINES, RATE, push, silence, spoken

from agents.providers.local import ServerProcess
from agents.providers.protocol import Pcm

LOUD = spoken(LINES[0])


def at_24_khz(pcm: bytes) -> bytes:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=24000)
    frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, "<i2")[np.newaxis], "s16", "mono")
    frame.sample_rate = RATE
    return b"".join(
        bytes(f.to_ndarray()[0].tobytes()) for f in [*resampler.resample(frame), *resampler.resample(None)]
    )


@pytest.fixture
async def client(server: ServerProcess) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key=API_KEY, base_url=f"{server.url}/v1", max_retries=0) as client:
        yield client


def connect(client: openai.AsyncOpenAI) -> Any:
    return client.realtime.connect(extra_query={"intent": "transcription"})


async def configure(connection: AsyncRealtimeConnection, vad: Any, model: str = "gpt-4o-mini-transcribe") -> None:
    given = {"format": {"type": "audio/pcm", "rate": 24000}, "transcription": {"model": model, "language": "en"}}
    session: Any = {"type": "transcription", "audio": {"input": {**given, "turn_detection": vad}}}
    await connection.session.update(session=session)


async def say(connection: AsyncRealtimeConnection, pcm: bytes) -> None:
    audio = at_24_khz(pcm)
    for at in range(0, len(audio), 9600):
        await connection.input_audio_buffer.append(audio=base64.b64encode(audio[at : at + 9600]).decode())


async def until(connection: AsyncRealtimeConnection, kind: str) -> list[Any]:
    """The events up to and with one of *kind*."""
    events: list[Any] = []
    while not events or not events[-1].type.endswith(kind):
        events.append(await asyncio.wait_for(connection.recv(), 20))
    return events


def kinds(events: list[Any]) -> list[str]:
    """What happened, each kind once, in order."""
    return list(dict.fromkeys(event.type.rpartition(".")[2] for event in events))


async def test_the_server_commits_when_speech_stops_or_when_it_is_told_to(client: openai.AsyncOpenAI) -> None:
    async with connect(client) as connection:
        assert [e.type for e in await until(connection, "created")] == ["session.created"]
        await configure(connection, {"type": "server_vad", "prefix_padding_ms": 100})
        [updated] = await until(connection, "session.updated")
        assert updated.session.audio.input.transcription.model == "gpt-4o-mini-transcribe"
        await say(connection, LOUD + silence(0.9))
        events = await until(connection, ".completed")
        assert kinds(events) == ["speech_started", "speech_stopped", "committed", "added", "delta", "completed"]
        assert len({event.item_id for event in events if hasattr(event, "item_id")}) == 1
        started, stopped, committed = events[:3]
        assert 0 <= started.audio_start_ms < 300
        assert len(LOUD) / 32 - 300 < stopped.audio_end_ms < len(LOUD) / 32 + 600
        assert committed.previous_item_id is None
        assert "".join(e.delta for e in events if e.type.endswith(".delta")) == LINES[0] == events[-1].transcript
        assert events[-1].usage.type == "tokens"
        await say(connection, spoken(LINES[1]))
        await connection.input_audio_buffer.commit()
        events = await until(connection, ".completed")
        # the commit may overtake the server's own discovery that somebody speaks
        heard = [kind for kind in kinds(events) if kind != "speech_started"]
        assert heard == ["committed", "added", "delta", "completed"]
        assert events[-1].transcript == LINES[1]
        [following] = [event for event in events if event.type.endswith(".committed")]
        assert following.previous_item_id == committed.item_id


async def test_without_turn_detection_the_text_comes_before_the_commit(client: openai.AsyncOpenAI) -> None:
    async with connect(client) as connection:
        await configure(connection, None, "gpt-live-transcribe")
        await until(connection, "session.updated")
        await say(connection, LOUD + silence(0.9))
        early = await until(connection, ".delta")
        await connection.input_audio_buffer.commit()
        events = early + await until(connection, ".completed")
        assert kinds(events) == ["delta", "committed", "added", "completed"]
        assert len({event.item_id for event in events if hasattr(event, "item_id")}) == 1
        assert events[-1].transcript == LINES[0]


async def test_a_wrong_event_is_answered_and_the_session_goes_on(client: openai.AsyncOpenAI) -> None:
    async with connect(client) as connection:
        await until(connection, "created")
        await connection.input_audio_buffer.commit(event_id="mine")
        [error] = await until(connection, "error")
        assert error.error.code == "input_audio_buffer_commit_empty"
        assert error.error.event_id == "mine"
        assert "buffer only has 0.00ms" in error.error.message
        await configure(connection, None, "no-such-model")
        assert (await until(connection, "error"))[0].error.code == "invalid_model"
        await configure(connection, {"type": "server_vad"}, "gpt-live-transcribe")
        assert "turn_detection" in (await until(connection, "error"))[0].error.message
        await connection.send({"type": "input_audio_buffer.append", "audio": "not base64!"})
        assert (await until(connection, "error"))[0].error.param == "audio"
        await configure(connection, None)
        await until(connection, "session.updated")


async def test_a_wrong_key_is_refused_at_the_handshake(server: ServerProcess) -> None:
    async with openai.AsyncOpenAI(api_key="wrong", base_url=f"{server.url}/v1") as client:
        with pytest.raises(Exception, match="401"):
            async with connect(client):
                pass


async def test_recordings_are_transcribed_in_every_form(client: openai.AsyncOpenAI) -> None:
    file = ("audio.wav", Pcm(LOUD, RATE).wav())
    create = client.audio.transcriptions.create
    short = await create(file=file, model="gpt-4o-mini-transcribe", language="en")
    assert short.text == LINES[0]
    verbose = await create(
        file=file, model="whisper-1", response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert [word.word for word in verbose.words or ()] == LINES[0].split()
    assert verbose.duration == pytest.approx(len(LOUD) / 32000, abs=0.01)
    events = [event async for event in await create(file=file, model="gpt-4o-mini-transcribe", stream=True)]
    assert [event.type for event in events] == ["transcript.text.delta", "transcript.text.done"]
    assert getattr(events[-1], "text", None) == LINES[0]
    with pytest.raises(openai.NotFoundError):
        await create(file=file, model="no-such-model")


async def test_livekits_plugin_understands_it(server: ServerProcess) -> None:
    events: list[stt.SpeechEvent] = []
    async with http_context.open():
        native = plugin.STT(api_key=API_KEY, base_url=f"{server.url}/v1", use_realtime=True)
        stream = native.stream()
        push(stream, LOUD + silence(0.9))
        while not events or events[-1].type is not stt.SpeechEventType.RECOGNITION_USAGE:
            events.append(await asyncio.wait_for(stream.__anext__(), 20))
        await stream.aclose()
        await native.aclose()
        await native._client.close()
    finals = [e.alternatives[0].text for e in events if e.type is stt.SpeechEventType.FINAL_TRANSCRIPT]
    assert finals == [LINES[0]]
    assert {stt.SpeechEventType.START_OF_SPEECH, stt.SpeechEventType.INTERIM_TRANSCRIPT} <= {
        e.type for e in events
    }
    usage = events[-1].recognition_usage
    assert usage is not None
    assert usage.input_tokens > 0
    assert usage.audio_duration > 1
