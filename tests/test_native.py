"""LiveKit's own plugins behind the configurations: built for real, since that needs no network."""

from __future__ import annotations

import importlib
import sys
import threading
from types import ModuleType
from typing import Any

import pytest
from livekit.agents import llm, stt, tts
from livekit.plugins import azure, openai  # on the main thread, as the tests' own use of them

from agents.providers.base import ConfigurationError, LLMConfig, ProviderConfig, STTConfig, TTSConfig
from agents.providers.native import (
    NATIVE,
    AzureLLM,
    AzureSTT,
    AzureTTS,
    OpenAILLM,
    OpenAISTT,
    OpenAITTS,
    build_native,
    parameter_names,
)

KEY = "sk-very-secret-0123456789"

AZURE_OPENAI = {"azure_endpoint": "https://x.openai.azure.com", "api_version": "2024-10-21"}


@pytest.fixture(autouse=True)
def _no_azure_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_SPEECH_KEY", "AZURE_SPEECH_REGION", "AZURE_SPEECH_HOST", "AZURE_SPEECH_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("OPENAI_API_VERSION", "AZURE_OPENAI_ENDPOINT", "OPENAI_ADMIN_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def refusal(provider: str, config: ProviderConfig) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as raised:
        build_native(provider, config)
    assert KEY not in str(raised.value)
    assert KEY not in repr(raised.value)
    return raised.value


async def test_openai_recognises_with_the_configuration_given() -> None:
    built = build_native(
        "openai",
        STTConfig("openai", "de-DE", "whisper-1", KEY, {"base_url": "http://127.0.0.1:9/v1", "prompt": "hi"}),
    )
    assert type(built) is openai.STT
    assert built.model == "whisper-1"
    assert built.provider == "127.0.0.1:9"
    assert built._opts.languages == ["de-DE"]
    assert built._client.api_key == KEY
    await built._client.close()


async def test_openai_detects_the_language_when_none_is_given() -> None:
    built = build_native("openai", STTConfig("openai", None, api_key=KEY))
    assert built._opts.detect_language is True
    assert built._opts.languages == []
    await built._client.close()


async def test_openai_takes_several_languages_in_place_of_one() -> None:
    config = STTConfig("openai", None, "gpt-transcribe", KEY, {"language": ["en", "de"]})
    built = build_native("openai", config)
    assert built._opts.languages == ["en", "de"]
    await built._client.close()


async def test_openai_answers_with_the_configuration_given() -> None:
    built = build_native(
        "openai", LLMConfig("openai", "gpt-4", KEY, {"temperature": 0.5, "base_url": "http://127.0.0.1:9"})
    )
    assert type(built) is openai.LLM
    assert built.model == "gpt-4"
    assert built._opts.temperature == 0.5
    await built.aclose()


async def test_openai_speaks_with_the_configuration_given() -> None:
    built = build_native("openai", TTSConfig("openai", "alloy", "tts-1", KEY, metadata={"speed": 1.5}))
    assert type(built) is openai.TTS
    assert (built._opts.voice, built._opts.model, built._opts.speed) == ("alloy", "tts-1", 1.5)
    await built.aclose()


async def test_a_default_of_the_plugin_holds_for_what_is_not_configured() -> None:
    built = build_native("openai", TTSConfig("openai", api_key=KEY))
    assert built._opts.voice == "ash"
    await built.aclose()


async def test_azure_recognises_with_the_configuration_given() -> None:
    built = build_native(
        "azure", STTConfig("azure", "de-DE", api_key=KEY, metadata={"speech_region": "westeurope"})
    )
    assert type(built) is azure.STT
    assert built._config.speech_key == KEY
    assert built._config.speech_region == "westeurope"
    assert built._config.language == ["de-DE"]
    await built.aclose()


async def test_azure_answers_through_the_openai_plugin() -> None:
    built = build_native("azure", LLMConfig("azure", "gpt-4o", KEY, AZURE_OPENAI))
    assert type(built) is openai.LLM
    assert built.provider == "x.openai.azure.com"
    await built.aclose()


async def test_azure_speaks_with_the_configuration_given() -> None:
    config = TTSConfig(
        "azure", "de-DE-KatjaNeural", api_key=KEY, language="de-DE", metadata={"speech_region": "x"}
    )
    built = build_native("azure", config)
    assert type(built) is azure.TTS
    assert (built._opts.voice, built._opts.language, built._opts.subscription_key) == (
        "de-DE-KatjaNeural",
        "de-DE",
        KEY,
    )
    await built.aclose()


async def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    built = build_native("openai", LLMConfig("openai", api_key="${env:MY_KEY}"))
    assert built._client.api_key == KEY
    await built.aclose()
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    built = build_native("openai", LLMConfig("openai", metadata={"base_url": "http://127.0.0.1:9/v1"}))
    assert built._client.api_key == KEY
    await built.aclose()


async def test_the_wrappers_take_keyword_arguments() -> None:
    made: list[Any] = [
        OpenAISTT(api_key=KEY, base_url="http://127.0.0.1:9/v1"),
        OpenAILLM(api_key=KEY, model="gpt-4"),
        OpenAITTS(api_key=KEY, voice="alloy"),
        AzureSTT(api_key=KEY, speech_region="westeurope"),
        AzureLLM(api_key=KEY, **AZURE_OPENAI),
        AzureTTS(api_key=KEY, speech_region="westeurope", language="de-DE"),
    ]
    kinds = [stt.STT, llm.LLM, tts.TTS] * 2
    assert all(isinstance(built, kind) for built, kind in zip(made, kinds, strict=True))
    await made[0]._client.close()
    for built in made:
        await built.aclose()


def test_an_unknown_setting_lists_those_of_the_constructor() -> None:
    error = refusal("openai", TTSConfig("openai", api_key=KEY, metadata={"baseurl": KEY}))
    assert str(error) == (
        "metadata['baseurl'] is not a setting of livekit.plugins.openai.TTS: did you mean 'base_url'? "
        "Known: api_key, base_url, client, instructions, model, response_format, speed, voice"
    )
    assert error.key == "metadata.baseurl"


def test_private_parameters_of_a_constructor_are_not_settings() -> None:
    assert "_strict_tool_schema" not in parameter_names(openai.LLM)
    assert refusal("openai", LLMConfig("openai", api_key=KEY, metadata={"_provider_fmt": "x"})).key


@pytest.mark.parametrize(
    ("provider", "config", "message"),
    [
        ("azure", STTConfig("azure", model="m"), "livekit.plugins.azure.STT takes no model: leave model out"),
        (
            "openai",
            TTSConfig("openai", language="de"),
            "livekit.plugins.openai.TTS takes no language: leave language out",
        ),
    ],
)
def test_a_field_the_plugin_does_not_take_is_refused(provider: str, config: ProviderConfig, message: str) -> None:
    assert str(refusal(provider, config)) == message


@pytest.mark.parametrize(
    ("provider", "config", "message"),
    [
        (
            "azure",
            STTConfig("azure", metadata={"language": ["de-DE", "en-US"]}),
            "language is given twice: leave metadata['language'] out, or say language=None",
        ),
        (
            "azure",
            TTSConfig("azure", api_key=KEY, metadata={"speech_key": "x"}),
            "speech_key is given twice: leave metadata['speech_key'] out, or say api_key=None",
        ),
    ],
)
def test_a_setting_given_twice_is_refused(provider: str, config: ProviderConfig, message: str) -> None:
    assert str(refusal(provider, config)) == message


@pytest.mark.parametrize(
    ("provider", "config", "message"),
    [
        (
            "openai",
            LLMConfig("openai"),
            "livekit.plugins.openai.LLM does not accept this configuration: .*OPENAI_API_KEY",
        ),
        ("azure", STTConfig("azure", api_key=KEY), "livekit.plugins.azure.STT does not .*AZURE_SPEECH_REGION"),
        ("azure", TTSConfig("azure", api_key=KEY), "livekit.plugins.azure.TTS does not .*speech_region"),
        ("azure", LLMConfig("azure", api_key=KEY), "LLM.with_azure does not .*api_version"),
        (
            "openai",
            STTConfig("openai", None, "whisper-1", KEY, {"language": ["en", "de"], "detect_language": False}),
            "livekit.plugins.openai.STT does not .*whisper-1 accepts a single language",
        ),
    ],
)
def test_what_the_plugin_refuses_is_told_as_it_tells_it(
    provider: str, config: ProviderConfig, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as raised:
        build_native(provider, config)
    assert raised.value.__suppress_context__


def test_a_plugin_that_repeats_a_credential_does_not_get_it_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*, api_key: str = "", extra_headers: Any = None) -> None:
        raise RuntimeError(f"bad key {api_key}, bad headers {extra_headers}")

    monkeypatch.setattr(openai, "LLM", refuse)
    config = LLMConfig("openai", api_key=KEY, metadata={"extra_headers": {"X": "another-secret"}})
    assert str(refusal("openai", config)) == (
        "livekit.plugins.openai.LLM does not accept this configuration: bad key ***, bad headers {'X': '***'}"
    )


@pytest.mark.parametrize(
    ("provider", "kind", "module", "install"),
    [
        ("openai", STTConfig, "livekit.plugins.openai", 'pip install "voxport[openai]"'),
        ("openai", LLMConfig, "livekit.plugins.openai", 'pip install "voxport[openai]"'),
        ("azure", TTSConfig, "livekit.plugins.azure", 'pip install "voxport[azure]"'),
        ("azure", LLMConfig, "livekit.plugins.openai", 'pip install "voxport[openai]"'),
    ],
)
def test_a_missing_package_says_exactly_what_to_install(
    monkeypatch: pytest.MonkeyPatch, provider: str, kind: type[Any], module: str, install: str
) -> None:
    def missing(name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(importlib, "import_module", missing)
    assert str(refusal(provider, kind(provider, api_key=KEY))) == f"{module} is not installed: {install}"


def test_a_package_that_does_not_import_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> ModuleType:
        raise ImportError("libfoo.so is missing")

    monkeypatch.delitem(sys.modules, "livekit.plugins.azure")
    monkeypatch.setattr(importlib, "import_module", broken)
    assert str(refusal("azure", STTConfig("azure"))) == (
        'livekit.plugins.azure cannot be imported (libfoo.so is missing): pip install "voxport[azure]"'
    )


def in_a_thread(config: ProviderConfig) -> Any:
    result: list[Any] = []

    def build() -> None:
        try:
            result.append(build_native("azure", config))
        except ConfigurationError as error:
            result.append(error)

    thread = threading.Thread(target=build)
    thread.start()
    thread.join()
    return result[0]


async def test_off_the_main_thread_a_plugin_is_not_imported_but_one_that_is_loaded_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = STTConfig("azure", api_key=KEY, metadata={"speech_region": "x"})
    assert isinstance(in_a_thread(config), azure.STT)
    monkeypatch.delitem(sys.modules, "livekit.plugins.azure")
    assert str(in_a_thread(config)) == (
        "LiveKit plugins register themselves on the main thread: build this provider there, "
        'or write "import livekit.plugins.azure" at the top of your program'
    )


def test_every_row_names_parameters_that_its_constructor_has() -> None:
    for (_, kind), plugin in NATIVE.items():
        module = importlib.import_module(plugin.module)
        constructor: Any = module
        for name in plugin.constructor.split("."):
            constructor = getattr(constructor, name)
        assert set(plugin.parameters.values()) | set(plugin.without_language) <= set(parameter_names(constructor))
        assert set(plugin.parameters) <= set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
