"""The language of a configuration in the form LiveKit's plugins and the services behind them take."""

from __future__ import annotations

import logging
import warnings
from operator import attrgetter
from typing import Any

import pytest

from agents.providers.base import ConfigurationError, ProviderConfig, STTConfig, TTSConfig
from agents.providers.native import build_native, installed_plugins

KEY = "sk-very-secret-0123456789"


def build(provider: str, config: ProviderConfig) -> Any:
    plugin = provider.partition(":")[2].partition(".")[0]
    if plugin not in installed_plugins():
        pytest.skip(f"livekit-plugins-{plugin} is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a plugin's own dependencies say when they are imported
        return build_native(provider, config)


def hearing(language: str | None, model: str | None = None) -> STTConfig:
    return STTConfig("x", language, model, KEY)


DEFAULT = STTConfig("x", api_key=KEY)
SPEAKING_GERMAN = TTSConfig("x", "Adrian", api_key=KEY, language="de-DE")
WANTED = [
    ("livekit:gladia", DEFAULT, "_opts.language_config.languages", ["en"]),
    ("livekit:gladia", hearing("zh-Hans-CN"), "_opts.language_config.languages", ["zh"]),
    ("livekit:gladia", hearing("yue"), "_opts.language_config.languages", ["yue"]),
    ("livekit:gladia", hearing(None), "_opts.language_config.languages", None),
    ("livekit:speechmatics", hearing("de-DE"), "_stt_options.language", "de"),
    ("livekit:elevenlabs", DEFAULT, "_opts.language_code", "en"),
    ("livekit:elevenlabs", hearing("pt-BR"), "_opts.language_code", "pt"),
    ("livekit:soniox", SPEAKING_GERMAN, "_opts.language", "de"),
    ("livekit:soniox", hearing("de-CH", "stt-rt-v4"), "_params.language_hints", ["de"]),
    ("livekit:cartesia", hearing("de-AT", "ink-whisper"), "_language", "de-AT"),  # it takes the region off
    ("livekit:assemblyai", DEFAULT, "_opts.language_codes", ["en"]),
    ("livekit:deepgram", DEFAULT, "_opts.language", "en-US"),
    ("livekit:deepgram", hearing("de-DE"), "_opts.language", "de"),
    ("livekit:deepgram.STTv2", hearing("de-DE", "flux-general-multi"), "_opts.language_hint", ["de"]),
    ("livekit:deepgram.STTv2", hearing("en-GB", "flux-general-multi"), "_opts.language_hint", ["en"]),
    ("livekit:azure", STTConfig("x", "de-CH", None, KEY, {"speech_region": "x"}), "_config.language", ["de-CH"]),
]


@pytest.mark.parametrize(
    ("provider", "config", "attribute", "wanted"), WANTED, ids=[f"{w[0]}-{w[1].language}" for w in WANTED]
)
async def test_a_plugin_is_given_the_form_of_language_it_takes(
    provider: str, config: STTConfig | TTSConfig, attribute: str, wanted: Any
) -> None:
    built = build(provider, config)
    assert attrgetter(attribute)(built) == wanted
    await built.aclose()


ENGLISH = [
    ("livekit:assemblyai", "universal-streaming-english", "_opts.language_codes"),
    ("livekit:deepgram.STTv2", None, "_opts.language_hint"),
    ("livekit:deepgram.STTv2", "flux-general-en", "_opts.language_hint"),
]


@pytest.mark.parametrize(("provider", "model", "attribute"), ENGLISH)
async def test_a_model_of_english_alone_is_told_no_language(
    provider: str, model: str | None, attribute: str, caplog: pytest.LogCaptureFixture
) -> None:
    """``en-US``, which every configuration has, is refused by the one and warned of by the other."""
    with caplog.at_level(logging.WARNING):
        built = build(provider, STTConfig("x", model=model, api_key=KEY))
    assert not attrgetter(attribute)(built)
    assert not [record for record in caplog.records if record.name.startswith("livekit")]
    await built.aclose()


def test_a_plugin_that_refuses_the_language_is_answered_with_what_to_say() -> None:
    with pytest.raises(ConfigurationError) as raised:
        build("livekit:assemblyai", hearing("en-US", "universal-streaming-multilingual"))
    assert "language_codes" in str(raised.value)
    assert str(raised.value).endswith("language='en-US' went to language_codes: language=None leaves it out")
