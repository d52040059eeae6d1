"""The OpenAI dialect, as OpenAI's own client and LiveKit's OpenAI plugin see it."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable

import aiohttp
import openai
import pytest
from livekit import rtc
from livekit.agents import llm as agents_llm
from livekit.plugins import openai as plugin
from openai import AsyncOpenAI

from agents.providers.local import ServerProcess
from agents.providers.local.audio import decode_file


@pytest.fixture
async def api(server: ServerProcess) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
        yield client


async def test_transcription_formats(api: AsyncOpenAI, recording: Callable[..., bytes], line: str) -> None:
    """json, text, srt, vtt and verbose_json with words and segments."""
    file = ("a.wav", recording(24000), "audio/wav")
    create = api.audio.transcriptions.create
    assert (await create(file=file, model="gpt-4o-transcribe", language="en")).text == line
    assert (await create(file=file, model="whisper-1", response_format="text")).strip() == line  # type: ignore[attr-defined]
    srt = await create(file=file, model="whisper-1", response_format="srt")
    assert srt.splitlines()[0] == "1" and srt.splitlines()[2] == line  # type: ignore[attr-defined]
    assert " --> " in srt.splitlines()[1] and "," in srt.splitlines()[1]  # type: ignore[attr-defined]
    vtt = await create(file=file, model="whisper-1", response_format="vtt")
    assert vtt.startswith("WEBVTT\n\n00:00:00.")  # type: ignore[attr-defined]
    verbose = await create(
        file=file, model="whisper-1", response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert (verbose.text, verbose.language) == (line, "english")
    assert [word.word for word in verbose.words or []] == line.split()
    (segment,) = verbose.segments or []
    assert (segment.text, segment.start < segment.end) == (line, True)


async def test_transcription_as_events(api: AsyncOpenAI, recording: Callable[..., bytes], line: str) -> None:
    """The deltas add up to the text of the last event."""
    file = ("a.wav", recording(), "audio/wav")
    events = [
        event
        async for event in await api.audio.transcriptions.create(file=file, model="gpt-4o-transcribe", stream=True)
    ]
    assert "".join(e.delta for e in events if e.type == "transcript.text.delta") == line
    assert events[-1].type == "transcript.text.done" and events[-1].text == line


async def test_transcription_errors_are_those_of_the_api(api: AsyncOpenAI) -> None:
    """The client raises its own exceptions, with our reasons."""
    create = api.audio.transcriptions.create
    with pytest.raises(openai.BadRequestError, match="not an audio file"):
        await create(file=("a.wav", b"junk" * 100), model="whisper-1")
    with pytest.raises(openai.NotFoundError, match="no model 'other'") as caught:
        await create(file=("a.wav", b"junk"), model="other")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="response_format"):
        await create(file=("a.wav", b"junk"), model="whisper-1", response_format="diarized_json")


@pytest.mark.parametrize("wanted", ["wav", "mp3", "opus", "flac", "aac", "pcm"])
async def test_speech_in_every_format(api: AsyncOpenAI, wanted: str) -> None:
    """What comes back is audio of the length such a sentence takes."""
    said = await api.audio.speech.create(
        input="The table is reserved for you.",
        model="tts-1",
        voice="alloy",
        response_format=wanted,  # type: ignore[arg-type]
    )
    data = said.content
    seconds = len(data) / 48000 if wanted == "pcm" else len(decode_file(data, 60)) / 32000
    assert 1.0 < seconds < 4.0


async def test_speed_changes_the_length_of_speech(api: AsyncOpenAI) -> None:
    """Twice as fast is at most two thirds as long."""

    async def length(speed: float) -> int:
        reply = await api.audio.speech.create(
            input="A table for two on Friday.", model="tts-1", voice="nova", response_format="pcm", speed=speed
        )
        return len(reply.content)

    assert await length(2.0) < await length(1.0) * 0.67


async def test_speech_as_events(server: ServerProcess, client: aiohttp.ClientSession) -> None:
    """stream_format=sse carries as much audio, in base64."""
    body = {"input": "Hello.", "model": "gpt-4o-mini-tts", "voice": "alloy", "response_format": "pcm"}
    async with client.post(f"{server.url}/v1/audio/speech", json=body) as response:
        plain = await response.read()
    async with client.post(f"{server.url}/v1/audio/speech", json={**body, "stream_format": "sse"}) as response:
        events = [json.loads(row[6:]) for row in (await response.text()).split("\n\n") if row]
    audio = b"".join(base64.b64decode(e["audio"]) for e in events if e["type"] == "speech.audio.delta")
    assert len(audio) == pytest.approx(len(plain), rel=0.4)  # espeak-ng ends on a whole block or not
    assert events[-1]["type"] == "speech.audio.done"


async def test_speech_errors(api: AsyncOpenAI) -> None:
    """Unknown voice, model and format, text that is missing or too long."""
    create = api.audio.speech.create
    with pytest.raises(openai.BadRequestError, match="no voice 'nobody'"):
        await create(input="Hello.", model="tts-1", voice="nobody")
    with pytest.raises(openai.NotFoundError, match="no model"):
        await create(input="Hello.", model="tts-9", voice="alloy")
    with pytest.raises(openai.BadRequestError, match="the text to say"):
        await create(input=" ", model="tts-1", voice="alloy")
    with pytest.raises(openai.APIStatusError, match="at most 4096") as caught:
        await create(input="x" * 5000, model="tts-1", voice="alloy")
    assert caught.value.status_code == 413


async def test_chat_answers_what_was_heard(api: AsyncOpenAI, line: str) -> None:
    """Whole, and in pieces with usage at the end."""
    messages = [{"role": "system", "content": "You are a waiter."}, {"role": "user", "content": line}]
    reply = await api.chat.completions.create(model="gpt-4o-mini", messages=messages)  # type: ignore[arg-type]
    answer = reply.choices[0].message.content
    assert answer and "Sundays" in answer
    assert reply.usage and reply.usage.completion_tokens > 0
    stream = await api.chat.completions.create(
        model="gpt-4o-mini",
        messages=messages,
        stream=True,
        stream_options={"include_usage": True},  # type: ignore[arg-type]
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == answer
    assert chunks[-1].usage == reply.usage


async def test_chat_errors(api: AsyncOpenAI, server: ServerProcess, client: aiohttp.ClientSession) -> None:
    """No messages, no such model, no JSON."""
    with pytest.raises(openai.BadRequestError, match="messages"):
        await api.chat.completions.create(model="gpt-4o", messages=[])
    with pytest.raises(openai.NotFoundError, match="no model"):
        await api.chat.completions.create(model="x", messages=[{"role": "user", "content": "hi"}])
    async with client.post(f"{server.url}/v1/chat/completions", data=b"{") as response:
        assert response.status == 400
        assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_models_are_listed(api: AsyncOpenAI) -> None:
    """Those that answer, each by its name too."""
    names = [model.id async for model in api.models.list()]
    assert {"pocketsphinx-en-us", "whisper-1", "tts-1", "voxport-rules"} <= set(names)
    assert (await api.models.retrieve("tts-1")).id == "tts-1"
    with pytest.raises(openai.NotFoundError):
        await api.models.retrieve("tts-9")


async def test_livekit_hears(api: AsyncOpenAI, pcm: Callable[..., bytes], line: str) -> None:
    """livekit.plugins.openai.STT against the server."""
    stt = plugin.STT(client=api, model="whisper-1", language="en")
    samples = pcm(24000)
    event = await stt.recognize(rtc.AudioFrame(samples, 24000, 1, len(samples) // 2))
    assert event.alternatives[0].text == line
    await stt.aclose()


@pytest.mark.parametrize("model", ["tts-1", "gpt-4o-mini-tts"])
async def test_livekit_speaks(api: AsyncOpenAI, model: str) -> None:
    """livekit.plugins.openai.TTS, as events and as bare audio."""
    tts = plugin.TTS(client=api, model=model, voice="alloy")
    async with tts.synthesize("The table is reserved for you.") as stream:
        seconds = [frame.frame.duration async for frame in stream]
    assert 1.0 < sum(seconds) < 4.0
    await tts.aclose()


async def test_livekit_thinks(api: AsyncOpenAI) -> None:
    """livekit.plugins.openai.LLM gets the answer of the rules."""
    llm = plugin.LLM(client=api, model="gpt-4o-mini")
    context = agents_llm.ChatContext.empty()
    context.add_message(role="user", content="is there any parking near the restaurant")
    async with llm.chat(chat_ctx=context) as stream:
        answer = "".join([chunk.delta.content or "" async for chunk in stream if chunk.delta])
    assert "car park" in answer
    await llm.aclose()
