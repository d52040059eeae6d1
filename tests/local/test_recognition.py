"""What is recognised does not depend on how the audio came."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from agents.providers.local import ServerProcess
from agents.providers.local.caller import CALLER_LINES, speak_line
from agents.providers.local.synthesiser import SAMPLE_RATE

RATES = [8000, 16000, 24000, 44100, 48000]


async def post(client: aiohttp.ClientSession, server: ServerProcess, body: bytes, kind: str) -> dict[str, Any]:
    async with client.post(f"{server.url}/v1/stt", data=body, headers={"Content-Type": kind}) as response:
        assert response.status == 200, await response.text()
        reply: dict[str, Any] = await response.json()
        return reply


def finals(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in messages if message.get("is_final")]


@pytest.mark.parametrize("text", CALLER_LINES)
async def test_every_line_of_the_caller_is_recognised_word_for_word(
    server: ServerProcess, client: aiohttp.ClientSession, text: str
) -> None:
    """The demo's caller is understood."""
    reply = await post(client, server, speak_line(text), f"audio/pcm;rate={SAMPLE_RATE}")
    assert reply["text"] == text


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
async def test_a_file_of_any_rate_is_recognised(
    server: ServerProcess,
    client: aiohttp.ClientSession,
    recording: Callable[..., bytes],
    line: str,
    rate: int,
    channels: int,
) -> None:
    """Mono and stereo, telephone to studio."""
    if rate == 8000:
        # a telephone's band lacks what tells some words apart; most of them still come through
        heard = (await post(client, server, recording(rate, channels), "audio/wav"))["text"].split()
        assert len(set(heard) & set(line.split())) >= len(line.split()) // 2
    else:
        assert (await post(client, server, recording(rate, channels), "audio/wav"))["text"] == line


@pytest.mark.parametrize(("container", "codec"), [("flac", "flac"), ("mp3", "libmp3lame"), ("ogg", "libopus")])
async def test_every_container_is_recognised(
    server: ServerProcess,
    client: aiohttp.ClientSession,
    recording: Callable[..., bytes],
    line: str,
    container: str,
    codec: str,
) -> None:
    """FLAC, MP3 and Ogg, whatever the content type says."""
    body = recording(48000, 2, container, codec)
    assert (await post(client, server, body, "application/octet-stream"))["text"] == line


@pytest.mark.parametrize("rate", [16000, 24000, 48000])
async def test_a_stream_reads_as_the_file_does(
    server: ServerProcess,
    client: aiohttp.ClientSession,
    hear: Callable[..., Any],
    pcm: Callable[..., bytes],
    rate: int,
) -> None:
    """The words of a final are those of the batch reply, and its times within a frame; also for odd chunks."""
    reply = await post(client, server, pcm(rate), f"audio/l16;rate={rate}")
    for chunk_bytes in (rate // 10, 1001):
        (final,) = finals(await hear(pcm(rate), rate, chunk_bytes=chunk_bytes))
        assert final["text"] == reply["text"]
        for streamed, whole in zip(final["words"], reply["words"], strict=True):
            assert streamed["word"] == whole["word"]
            assert streamed["start"] == pytest.approx(whole["start"], abs=0.03)
            assert streamed["end"] == pytest.approx(whole["end"], abs=0.03)


async def test_the_same_audio_reads_the_same_each_time(
    server: ServerProcess, client: aiohttp.ClientSession, pcm: Callable[..., bytes]
) -> None:
    """Nothing of one recording is left in the decoder when the next one comes."""
    other = speak_line("thank you that is all")
    first = await post(client, server, pcm(16000), "audio/pcm;rate=16000")
    for _ in range(2):
        await post(client, server, other, f"audio/pcm;rate={SAMPLE_RATE}")
        assert await post(client, server, pcm(16000), "audio/pcm;rate=16000") == first


async def test_results_come_in_order_and_on_the_clock_of_the_audio(
    hear: Callable[..., Any], pcm: Callable[..., bytes], line: str
) -> None:
    """Ready; start, interims, one final and end for each of two utterances; words lie within their final."""
    silence = bytes(2 * 16000)
    twice = pcm(16000) + silence + pcm(16000)
    messages = await hear(twice)
    assert messages[0]["type"] == "ready"
    kinds = [m["type"] if m["type"] != "transcription" else f"final={m['is_final']}" for m in messages[1:]]
    collapsed = [kind for i, kind in enumerate(kinds) if i == 0 or kind != kinds[i - 1]]
    assert collapsed == ["speech_started", "final=False", "final=True", "speech_ended"] * 2
    first, second = finals(messages)
    assert first["text"] == line
    offset = len(pcm(16000) + silence) / 32000
    assert second["start"] == pytest.approx(offset + first["start"], abs=0.1)
    for final in (first, second):
        assert final["start"] == final["words"][0]["start"] < final["words"][-1]["end"] == final["end"]
        assert all(0 <= word["confidence"] <= 1 for word in final["words"])


async def test_interims_can_be_left_out(hear: Callable[..., Any], pcm: Callable[..., bytes]) -> None:
    """Finals only, when the client asks for that."""
    messages = await hear(pcm(16000), interim_results=False)
    assert [m["is_final"] for m in messages if m["type"] == "transcription"] == [True]


async def test_four_streams_keep_up_with_their_speakers(
    server: ServerProcess, client: aiohttp.ClientSession, pcm: Callable[..., bytes], line: str
) -> None:
    """Each stream gets its own right text, and all of them together are decoded faster than spoken."""
    audio = pcm(16000)

    async def stream() -> str:
        async with client.ws_connect(f"{server.ws_url}/v1/stt/stream") as socket:
            await socket.send_json({"type": "config", "sample_rate": 16000})
            await socket.receive_json()
            await socket.send_bytes(audio)
            await socket.send_json({"type": "end_of_stream"})
            messages = [json.loads(message.data) async for message in socket]
            return " ".join(final["text"] for final in finals(messages))

    assert await asyncio.gather(*(stream() for _ in range(4))) == [line] * 4


async def test_silence_is_no_speech(server: ServerProcess, client: aiohttp.ClientSession) -> None:
    """An empty text, not a guess and not an error."""
    reply = await post(client, server, bytes(32000), "audio/pcm;rate=16000")
    assert (reply["text"], reply["words"], reply["duration"]) == ("", [], 1.0)
