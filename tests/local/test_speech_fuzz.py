"""Voices on a WebSocket take any messages in any order: they are answered or refused, and nothing fails inside."""

from __future__ import annotations

import asyncio
import json
import logging
from random import Random
from typing import Any

import aiohttp
import pytest
from speaking_server import speaking_server

from agents.providers.local.dialects.cartesia import Cartesia
from agents.providers.local.dialects.deepgram import Deepgram
from agents.providers.local.dialects.elevenlabs import ElevenLabs
from agents.providers.local.dialects.generic_speech import GenericSpeech
from agents.providers.local.dialects.jambonz_speech import JambonzSpeech

VALUES: list[Any] = ["", " ", "Yes. ", "We open at nine. And", "…", "日本語", None, 7, -1, [], {}, True, "a" * 60]
SPEECH = {"model_id": "sonic-3", "voice": {"mode": "id", "id": "f786b574-daa5-4673-aa0c-cbe3e8534c02"}}
RAW = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 8000}
# what a dialect's messages are made of: a good one, and fields that take any value now and then
DIALECTS: dict[str, tuple[str, list[dict[str, Any]], list[str]]] = {
    "generic": (
        "/v1/tts/stream",
        [
            {"type": "start", "id": "a"},
            {"type": "speak", "text": "Hello. "},
            *({"type": kind} for kind in ("flush", "end", "cancel", "x")),
        ],
        ["text", "id", "voice", "options", "sample_rate", "type"],
    ),
    "jambonz": (
        "/jambonz/tts",
        [{"type": "stream", "text": "Hello. "}, *({"type": kind} for kind in ("flush", "keepalive", "stop"))],
        ["text", "type"],
    ),
    "deepgram": (
        "/v1/speak",
        [{"type": "Speak", "text": "Hello. "}, *({"type": kind} for kind in ("Flush", "Clear", "Close"))],
        ["text", "type"],
    ),
    "elevenlabs": (
        "/v1/text-to-speech/21m00Tcm4TlvDq8ikWAM/multi-stream-input?output_format=pcm_8000",
        [{"text": "Hello. ", "context_id": name, "flush": True} for name in "ab"]
        + [{"context_id": "a", "close_context": True}],
        ["text", "voice_settings", "generation_config", "flush", "context_id", "close_socket"],
    ),
    "cartesia": (
        "/tts/websocket?cartesia_version=2026-08-14",
        [
            {**SPEECH, "output_format": RAW, "transcript": "Hello. ", "context_id": name, "continue": more}
            for name in "ab"
            for more in (True, False)
        ]
        + [{"context_id": "a", "cancel": True}],
        ["transcript", "voice", "output_format", "flush", "max_buffer_delay_ms", "generation_config", "language"],
    ),
}


@pytest.mark.parametrize("name", DIALECTS)
async def test_any_messages_in_any_order(name: str, caplog: pytest.LogCaptureFixture) -> None:
    path, good, fields = DIALECTS[name]
    random = Random(7)

    async def talk(session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(path) as socket:
            for _ in range(random.randint(1, 10)):
                message = dict(random.choice(good))
                if random.random() < 0.3:
                    message[random.choice(fields)] = random.choice(VALUES)
                text = json.dumps(message)
                try:
                    await socket.send_str(text[:-1] if random.random() < 0.05 else text)
                except (aiohttp.ClientError, ConnectionError):
                    break
                await asyncio.sleep(0)
            if random.random() < 0.5:  # otherwise it leaves in mid-speech
                await socket.close()

    async with (
        speaking_server(GenericSpeech, JambonzSpeech, Deepgram, ElevenLabs, Cartesia) as server,
        aiohttp.ClientSession(server.url) as session,
    ):
        with caplog.at_level(logging.ERROR):
            for _ in range(8):
                await asyncio.gather(*(talk(session) for _ in range(4)))
    assert [record.getMessage() for record in caplog.records] == []
