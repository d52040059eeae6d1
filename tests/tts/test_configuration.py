"""Voices from configurations, and vendors that only speak or only hear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from livekit.plugins import openai

from agents.providers import ProviderFactory, STTConfig, TTSConfig
from agents.providers.adapters import (
    CustomHTTPSTTAdapter,
    CustomHTTPTTSAdapter,
    CustomWebSocketSTTAdapter,
    CustomWebSocketTTSAdapter,
    TTSAdapter,
)
from agents.providers.base import ConfigurationError

KEY = "key-4711-very-secret"


def built(provider: str, metadata: dict[str, Any], **config: Any) -> Any:
    return ProviderFactory.create_tts(TTSConfig(provider, api_key=KEY, metadata=metadata, **config))


def refusal(provider: str, metadata: dict[str, Any], **config: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        built(provider, metadata, **config)
    assert KEY not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("provider", "setting", "url", "kind"),
    [
        ("custom_http", "endpoint_url", "https://speech.example/speak", CustomHTTPTTSAdapter),
        ("custom_ws", "ws_url", "wss://speech.example/speak", CustomWebSocketTTSAdapter),
    ],
)
def test_a_voice_is_what_its_configuration_says(provider: str, setting: str, url: str, kind: type) -> None:
    metadata = {setting: url, "sample_rate": "16000", "options": {"speed": 2}, "headers": {"X-Team": "a"}}
    adapter = built(provider, metadata, voice="anna", model="large", language="en-US")
    assert type(adapter) is kind and isinstance(adapter, TTSAdapter)
    settings = adapter._settings
    assert (settings.url, settings.voice, settings.model, settings.language) == (url, "anna", "large", "en-US")
    assert (settings.sample_rate, settings.options, settings.headers) == (16000, {"speed": 2}, {"X-Team": "a"})
    assert adapter.capabilities.streaming is (provider == "custom_ws")


@pytest.mark.parametrize(
    ("variables", "key"),
    [
        ({"ELEVENLABS_API_KEY": "of-their-sdk"}, "of-their-sdk"),
        ({"ELEVEN_API_KEY": "of-the-plugin"}, "of-the-plugin"),
        ({"ELEVEN_API_KEY": "of-the-plugin", "ELEVENLABS_API_KEY": "of-their-sdk"}, "of-their-sdk"),
    ],
)
def test_a_key_is_taken_from_wherever_the_vendors_users_keep_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], key: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ProviderFactory.create_tts(TTSConfig("elevenlabs"))._settings.key == key  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("provider", "metadata", "kind", "url"),
    [
        ("deepgram", {}, CustomWebSocketTTSAdapter, "wss://api.deepgram.com/v1/speak"),
        ("deepgram", {"mode": "batch"}, CustomHTTPTTSAdapter, "https://api.deepgram.com/v1/speak"),
        ("elevenlabs", {}, CustomWebSocketTTSAdapter, "wss://api.elevenlabs.io/v1"),
        ("elevenlabs", {"mode": "batch"}, CustomHTTPTTSAdapter, "https://api.elevenlabs.io/v1"),
        ("cartesia", {"mode": "stream"}, CustomWebSocketTTSAdapter, "wss://api.cartesia.ai/tts/websocket"),
        ("cartesia", {"endpoint_url": "https://eu.example/"}, CustomHTTPTTSAdapter, "https://eu.example/"),
        ("openai", {"mode": "batch"}, CustomHTTPTTSAdapter, "https://api.openai.com/v1"),
        ("custom_http", {"vendor": "openai"}, CustomHTTPTTSAdapter, "https://api.openai.com/v1"),
    ],
)
def test_vendors_are_providers(provider: str, metadata: dict[str, Any], kind: type, url: str) -> None:
    adapter = built(provider, metadata)
    assert (type(adapter), adapter._settings.url) == (kind, url)
    assert adapter.provider == metadata.get("vendor", provider)


def test_openai_without_a_mode_stays_livekits_plugin() -> None:
    assert type(built("openai", {})) is openai.TTS


@pytest.mark.parametrize(
    ("provider", "metadata", "told", "key"),
    [
        ("custom_http", {}, "metadata['endpoint_url'] is missing", "metadata"),
        ("custom_ws", {}, "metadata['ws_url'] is missing", "metadata"),
        (
            "custom_http",
            {"endpoint_url": "https://h.example", "ws_url": "x"},
            "With a ws_url it is provider='custom_ws'",
            "metadata.ws_url",
        ),
        (
            "custom_ws",
            {"endpoint_url": "https://h.example"},
            "With an endpoint_url it is provider='custom_http'",
            "metadata.endpoint_url",
        ),
        (
            "custom_http",
            {"endpoint_url": "https://h.example", "voice": "anna"},
            "it is a field of TTSConfig itself",
            "metadata.voice",
        ),
        (
            "custom_http",
            {"endpoint_url": "https://h.example", "speed": 2},
            "Parameters of the service itself go under metadata['options']",
            "metadata.speed",
        ),
        ("custom_http", {"endpoint_url": "ftp://h.example"}, "endpoint_url must start", "metadata.endpoint_url"),
        ("deepgram", {"speed": 2}, "put it under metadata['options']", "metadata.speed"),
        ("deepgram", {"options": {"sped": 1}}, "did you mean 'speed'", "metadata.options.sped"),
        (
            "deepgram",
            {"options": {"punctuate": True}},
            "no option 'punctuate' for streaming_synthesis",
            "metadata.options.punctuate",
        ),
        (
            "deepgram",
            {"options": {"tag": "a"}},
            "is for synthesis, not for streaming_synthesis",
            "metadata.options.tag",
        ),
        ("elevenlabs", {"mode": "carrier pigeon"}, "must be one of 'stream', 'batch'", "metadata.mode"),
        ("openai", {"mode": "stream"}, "has no WebSocket for speech", "metadata.mode"),
        ("azure", {"mode": "batch"}, "offers no speech synthesis", "provider"),
        ("assemblyai", {}, "With TTS: azure, cartesia, custom_http, custom_ws, deepgram, elevenlabs", "provider"),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_change(
    provider: str, metadata: dict[str, Any], told: str, key: str | None
) -> None:
    error = refusal(provider, metadata)
    assert told in str(error) and error.key == key


def test_a_vendor_that_only_speaks_is_no_recogniser() -> None:
    with pytest.raises(ConfigurationError, match="'elevenlabs' has no STT, only TTS"):
        ProviderFactory.create_stt(STTConfig("elevenlabs", api_key=KEY))
    for hears, url in (
        (CustomHTTPSTTAdapter, "https://h.example"),
        (CustomWebSocketSTTAdapter, "wss://h.example"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            hears(url, KEY, vendor="cartesia")  # type: ignore[operator]
        assert str(caught.value) == (
            "cartesia only speaks: use it with CustomWebSocketTTSAdapter or CustomHTTPTTSAdapter,"
            " and another vendor for recognition"
        )


def test_a_vendor_that_only_hears_is_no_voice() -> None:
    with pytest.raises(ConfigurationError) as caught:
        CustomWebSocketTTSAdapter("wss://h.example", KEY, vendor="vosk")
    assert str(caught.value) == (
        "vosk only hears: use it with CustomWebSocketSTTAdapter, and another vendor for speech"
    )
    with pytest.raises(ConfigurationError) as caught:
        CustomWebSocketTTSAdapter("wss://h.example", KEY, vendor="openai")
    assert str(caught.value) == "openai does not speak over a WebSocket: use CustomHTTPTTSAdapter"


def test_a_file_may_configure_a_voice(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(
        "tts: {provider: custom_http, metadata: {endpoint_url: 'http://127.0.0.1:1/x', sampel_rate: 1}}"
    )
    with pytest.raises(ConfigurationError, match=r"agent\.yaml:1.*did you mean 'sample_rate'"):
        ProviderFactory.from_file(path)
    path.write_text(path.read_text().replace("sampel_rate: 1", "sample_rate: 16000"))
    voice = ProviderFactory.from_file(path).tts
    assert isinstance(voice, CustomHTTPTTSAdapter) and voice.sample_rate == 16000
