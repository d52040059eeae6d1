"""Where vendors are when the configuration does not say: what their own SDKs read from the environment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conformance import API_KEY
from livekit import rtc
from livekit.agents import APIConnectOptions
from spoken_lines import LINES, RATE, plain, spoken

from agents.providers import ProviderFactory
from agents.providers.base import ConfigurationError, STTConfig, TTSConfig
from agents.providers.local import ServerProcess
from agents.providers.vendors import Service, find_vendor

ONCE = APIConnectOptions(max_retry=0, timeout=10)
VARIABLES = (
    "OPENAI_BASE_URL",
    "ASSEMBLYAI_BASE_URL",
    "ASSEMBLYAI_SYNC_BASE_URL",
    "CARTESIA_BASE_URL",
    "AZURE_SPEECH_HOST",
    "AZURE_SPEECH_REGION",
)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variable", "value", "vendor", "service", "url"),
    [
        ("OPENAI_BASE_URL", "http://gpu:8000/v1", "openai", "streaming", "ws://gpu:8000/v1/realtime"),
        ("OPENAI_BASE_URL", "https://x.test/v1/", "openai", "batch", "https://x.test/v1/audio/transcriptions"),
        ("OPENAI_BASE_URL", "https://x.test/openai", "openai", "synthesis", "https://x.test/openai/audio/speech"),
        ("ASSEMBLYAI_BASE_URL", "https://api.eu.test", "assemblyai", "batch", "https://api.eu.test"),
        (
            "ASSEMBLYAI_BASE_URL",
            "https://api.eu.test",
            "assemblyai",
            "streaming",
            "wss://streaming.assemblyai.com/v3/ws",
        ),
        (
            "ASSEMBLYAI_SYNC_BASE_URL",
            "https://sync.test",
            "assemblyai_sync",
            "batch",
            "https://sync.test/v1/transcribe/live",
        ),
        ("CARTESIA_BASE_URL", "https://c.test", "cartesia", "synthesis", "https://c.test/tts/bytes"),
        ("CARTESIA_BASE_URL", "https://c.test", "cartesia", "streaming_synthesis", "wss://c.test/tts/websocket"),
        ("AZURE_SPEECH_HOST", "ws://localhost:5000", "azure", "streaming", "ws://localhost:5000"),
        ("OPENAI_BASE_URL", " ", "openai", "batch", "https://api.openai.com/v1/audio/transcriptions"),
    ],
)
def test_a_vendor_is_where_its_own_sdk_looks(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, vendor: str, service: Service, url: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert find_vendor(vendor).address(service) == url


def test_without_the_variable_a_vendor_is_at_its_usual_place() -> None:
    assert find_vendor("openai").address("streaming") == "wss://api.openai.com/v1/realtime"
    assert find_vendor("openai").address("streaming_synthesis") is None
    assert find_vendor("generic").address("batch") is None


def test_a_region_that_is_set_counts_more_than_the_environments_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_SPEECH_HOST", "ws://localhost:5000")
    azure = find_vendor("azure")
    assert azure.address("streaming", {"region": "westeurope"}) == azure.streaming_url


@pytest.mark.parametrize("value", ["gpu:8000/v1", "https://", "ftp://gpu/v1"])
def test_what_is_no_url_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", value)
    with pytest.raises(ConfigurationError, match="the environment variable OPENAI_BASE_URL is no URL"):
        ProviderFactory.create_stt(STTConfig("openai", api_key=API_KEY, metadata={"mode": "batch"}))


async def heard(stt: Any) -> str:
    """What *stt* reads in the first line."""
    pcm = spoken(LINES[0])
    frame = rtc.AudioFrame(pcm, RATE, 1, len(pcm) // 2)
    async with stt:
        event = await asyncio.wait_for(stt.recognize([frame], conn_options=ONCE), 30)
    return plain(event.alternatives[0].text)


async def test_openai_is_heard_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, server: ServerProcess
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    config = STTConfig("openai", api_key=API_KEY, metadata={"mode": "batch"})
    assert await heard(ProviderFactory.create_stt(config)) == LINES[0]


async def test_an_endpoint_that_is_given_counts_more(
    monkeypatch: pytest.MonkeyPatch, server: ServerProcess
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    metadata = {"mode": "batch", "endpoint_url": f"{server.url}/v1"}
    tts = ProviderFactory.create_tts(TTSConfig("openai", api_key=API_KEY, metadata=metadata))
    async with tts:
        assert [event async for event in tts.synthesize("Good morning.", conn_options=ONCE)]


async def test_cartesia_speaks_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, server: ServerProcess
) -> None:
    monkeypatch.setenv("CARTESIA_BASE_URL", server.url)
    tts = ProviderFactory.create_tts(TTSConfig("cartesia", api_key=API_KEY))
    async with tts, tts.stream(conn_options=ONCE) as stream:
        stream.push_text("Good morning.")
        stream.end_input()
        assert [event async for event in stream]


async def test_azure_streams_from_the_environments_host(
    monkeypatch: pytest.MonkeyPatch, server: ServerProcess
) -> None:
    monkeypatch.setenv("AZURE_SPEECH_HOST", server.ws_url)
    stt = ProviderFactory.create_stt(STTConfig("azure", api_key=API_KEY, metadata={"mode": "stream"}))
    async with stt, stt.stream(conn_options=ONCE) as stream:
        pcm = spoken(LINES[0])
        stream.push_frame(rtc.AudioFrame(pcm, RATE, 1, len(pcm) // 2))
        stream.end_input()
        texts = [event.alternatives[0].text async for event in stream if event.type == "final_transcript"]
    assert plain(" ".join(texts)) == LINES[0]
