"""LiveKit's own plugins behind the configurations: built for real, since that needs no network."""

from __future__ import annotations

import importlib.util
import re
import sys
import textwrap
import threading
import warnings
from operator import attrgetter
from pathlib import Path
from typing import Any

import livekit.plugins
import pytest
from livekit import agents
from livekit.agents import llm, stt, tts
from livekit.plugins import azure, openai  # on the main thread, as the tests' own use of them

from agents.providers.base import ConfigurationError, LLMConfig, ProviderConfig, STTConfig, TTSConfig
from agents.providers.factory import ProviderFactory
from agents.providers.native import (
    AzureLLM,
    AzureSTT,
    AzureTTS,
    OpenAILLM,
    OpenAISTT,
    OpenAITTS,
    arguments,
    build_native,
    installed_plugins,
    parameter_names,
    plugins,
)

REGION = {"speech_region": "westeurope"}
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
        (
            "azure",
            STTConfig("azure", model="m"),
            "livekit.plugins.azure.STT takes no model: leave model out. It takes explicit_punctuation, language, ",
        ),
        (
            "openai",
            TTSConfig("openai", language="de"),
            "livekit.plugins.openai.TTS takes no language: say language=None. It takes api_key, base_url, client, "
            "instructions, model, response_format, speed, voice",
        ),
        (
            "livekit:deepgram",
            TTSConfig("livekit:deepgram", voice="thalia", api_key=KEY),
            "livekit.plugins.deepgram.TTS takes no voice: leave voice out. It takes api_key, base_url, ",
        ),
    ],
)
def test_a_field_the_plugin_does_not_take_is_refused(provider: str, config: ProviderConfig, message: str) -> None:
    assert str(refusal(provider, config)).startswith(message)


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
    def refuse(self: Any, *, api_key: str = "", extra_headers: Any = None) -> None:
        raise RuntimeError(f"bad key {api_key}, bad headers {extra_headers}")

    monkeypatch.setattr(openai.LLM, "__init__", refuse)
    config = LLMConfig("openai", api_key=KEY, metadata={"extra_headers": {"X": "another-secret"}})
    assert str(refusal("openai", config)) == (
        "livekit.plugins.openai.LLM does not accept this configuration: bad key ***, bad headers {'X': '***'}"
    )


@pytest.mark.parametrize(
    ("provider", "kind", "message"),
    [
        (
            "openai",
            STTConfig,
            'livekit.plugins.openai is not installed: pip install "voxport[openai]". Installed: azure',
        ),
        (
            "azure",
            LLMConfig,
            'livekit.plugins.openai is not installed: pip install "voxport[openai]". Installed: azure',
        ),
        (
            "livekit:Turn-Detector",
            STTConfig,
            "livekit.plugins.turn_detector is not installed: "
            f'pip install "livekit-plugins-turn-detector~={agents.__version__}". Installed: azure',
        ),
        (
            "livekit:azur",
            TTSConfig,
            "livekit.plugins.azur is not installed: did you mean 'azure'? "
            f'pip install "livekit-plugins-azur~={agents.__version__}". Installed: azure',
        ),
    ],
)
def test_a_missing_package_says_exactly_what_to_install(
    monkeypatch: pytest.MonkeyPatch, provider: str, kind: type[Any], message: str
) -> None:
    monkeypatch.delitem(sys.modules, "livekit.plugins.openai")
    monkeypatch.setattr(plugins, "installed_plugins", lambda: ["azure"])
    error = refusal(provider, kind(provider, api_key=KEY))
    assert str(error) == message
    assert error.key == "provider"


def test_no_plugin_at_all_is_said_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "find_spec", lambda name: None)
    assert installed_plugins() == []
    assert str(refusal("livekit:acme", STTConfig("x"))).endswith(". Installed: no plugin")


def test_what_is_installed_is_known_without_importing_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_plugin(monkeypatch, tmp_path, "raise SystemExit")
    assert {"acme_voice", "assemblyai", "azure", "deepgram", "openai"} <= set(installed_plugins())
    assert "livekit.plugins.acme_voice" not in sys.modules


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise ImportError('libfoo.so is missing')", "libfoo.so is missing"),
        ("import acme_client", "acme_client is missing"),
        ("raise RuntimeError()", "RuntimeError"),
    ],
)
def test_a_package_that_does_not_import_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, message: str
) -> None:
    with_plugin(monkeypatch, tmp_path, source)
    assert str(refusal("livekit:acme_voice", STTConfig("x"))) == (
        f"livekit.plugins.acme_voice cannot be imported ({message}): "
        f'pip install "livekit-plugins-acme-voice~={agents.__version__}"'
    )


def in_a_thread(provider: str, config: ProviderConfig) -> Any:
    result: list[Any] = []

    def build() -> None:
        try:
            result.append(build_native(provider, config))
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
    assert isinstance(in_a_thread("azure", config), azure.STT)
    monkeypatch.delitem(sys.modules, "livekit.plugins.azure")
    for provider in ("azure", "livekit:azure"):
        assert str(in_a_thread(provider, config)) == (
            "LiveKit plugins register themselves on the main thread: build this provider there, "
            'or write "import livekit.plugins.azure" at the top of your program'
        )


# --- livekit:NAME ---


def with_plugin(monkeypatch: pytest.MonkeyPatch, folder: Path, source: str) -> None:
    """A plugin called acme_voice is installed."""
    package = folder / "acme_voice"
    package.mkdir()
    (package / "__init__.py").write_text(textwrap.dedent(source), encoding="utf-8")
    monkeypatch.setattr(livekit.plugins, "__path__", [*livekit.plugins.__path__, str(folder)])
    spec = importlib.util.find_spec("livekit.plugins")
    assert spec is not None
    monkeypatch.setattr(spec, "submodule_search_locations", livekit.plugins.__path__)
    monkeypatch.setattr(plugins, "find_spec", lambda name: spec)
    monkeypatch.delitem(sys.modules, "livekit.plugins.acme_voice", raising=False)


@pytest.mark.parametrize(
    ("provider", "config", "name"),
    [
        ("livekit:deepgram", STTConfig("x", "de", "nova-2", KEY), "livekit.plugins.deepgram.stt.STT"),
        ("LiveKit:Deepgram", TTSConfig("x", api_key=KEY), "livekit.plugins.deepgram.tts.TTS"),
        (" livekit:deepgram.STTv2 ", STTConfig("x", None, api_key=KEY), "livekit.plugins.deepgram.stt_v2.STTv2"),
        ("livekit:assemblyai", STTConfig("x", api_key=KEY), "livekit.plugins.assemblyai.stt.STT"),
        ("livekit:assemblyai", TTSConfig("x", "vera", api_key=KEY), "livekit.plugins.assemblyai.tts.TTS"),
        ("livekit:openai", LLMConfig("x", "gpt-4o", KEY), "livekit.plugins.openai.llm.LLM"),
        ("livekit:openai.LLM", LLMConfig("x", "gpt-4o", KEY), "livekit.plugins.openai.llm.LLM"),
        ("livekit:openai.responses", LLMConfig("x", "gpt-4o", KEY), "livekit.plugins.openai.responses.llm.LLM"),
        ("livekit:openai.LLM.with_deepseek", LLMConfig("x", None, KEY), "livekit.plugins.openai.llm.LLM"),
        ("livekit:azure", STTConfig("x", api_key=KEY, metadata=REGION), "livekit.plugins.azure.stt.STT"),
    ],
)
async def test_a_plugin_is_built_by_its_name(provider: str, config: ProviderConfig, name: str) -> None:
    built = build_native(provider, config)
    assert f"{type(built).__module__}.{type(built).__qualname__}" == name
    if config.model is not None:
        assert built.model == config.model
    if getattr(built, "_client", None) is not None:
        await built._client.close()
    await built.aclose()


async def test_the_short_names_are_the_same_plugins() -> None:
    one, other = (build_native(name, STTConfig(name, None, api_key=KEY)) for name in ("openai", "livekit:openai"))
    assert one._opts == other._opts
    assert one._opts.detect_language is True
    for built in (one, other):
        await built._client.close()


@pytest.mark.parametrize(
    ("provider", "config", "message"),
    [
        (
            "livekit:deepgram",
            LLMConfig("x"),
            "livekit.plugins.deepgram has no LLM, only STT, TTS: use another provider",
        ),
        (
            "livekit:azure",
            LLMConfig("x"),
            "'livekit:azure' names no LLM: did you mean 'livekit:azure.responses.LLM'? "
            "Known: livekit:azure.responses.LLM",
        ),
        (
            "livekit:deepgram.sttv2",
            STTConfig("x"),
            "'livekit:deepgram.sttv2' names no STT: did you mean 'livekit:deepgram.STTv2' or "
            "'livekit:deepgram.STT'? Known: livekit:deepgram.STT, livekit:deepgram.STTv2",
        ),
        ("livekit:deepgram.TTS", STTConfig("x"), "'livekit:deepgram.TTS' names no STT: did you mean "),
        ("livekit:openai.LLM.chat", LLMConfig("x"), "'livekit:openai.LLM.chat' names no LLM: did you mean "),
        ("livekit:openai.LLM.with_", LLMConfig("x"), "'livekit:openai.LLM.with_' names no LLM: did you mean "),
        ("livekit:openai.create_embeddings", LLMConfig("x"), "'livekit:openai.create_embeddings' names no LLM: "),
        ("livekit:openai.realtime", LLMConfig("x"), "'livekit:openai.realtime' names no LLM: "),
        ("livekit:azure.realtime", STTConfig("x"), "'livekit:azure.realtime' names no STT: "),
        ("livekit:openai.llm.os.system", LLMConfig("x"), "'livekit:openai.llm.os.system' names no LLM: "),
        (
            "livekit:",
            TTSConfig("x"),
            "'livekit:' names no plugin: write 'livekit:NAME' for livekit.plugins.NAME.TTS, or "
            "'livekit:NAME.CONSTRUCTOR' for another TTS in it",
        ),
        ("livekit:openai._utils", LLMConfig("x"), "'livekit:openai._utils' names no plugin: write "),
        ("livekit:../openai", LLMConfig("x"), "'livekit:../openai' names no plugin: write "),
    ],
)
def test_a_name_of_nothing_says_what_there_is(provider: str, config: ProviderConfig, message: str) -> None:
    error = refusal(provider, config)
    assert str(error).startswith(message)
    assert error.key == "provider"


ACME = """
    from dataclasses import dataclass
    from enum import Enum
    from typing import Literal
    from livekit.agents import stt, vad
    from livekit.agents.types import NOT_GIVEN, NotGivenOr

    class Mode(Enum):
        FAST = "quick"
        EXACT = "slow"

    @dataclass
    class Term:
        text: str
        boost: float = 1.0

    @dataclass
    class Common:
        depth: int = 0

    @dataclass
    class Options(Common):
        model_id: str = "base"
        language_hints: list[str] | None = None
        terms: list[Term] | None = None
        secret_word: str = ""

        def __post_init__(self):
            if self.secret_word:
                raise ValueError(f"no such word: {self.secret_word}")

    class Base(stt.STT):
        def __init__(self, **given):
            super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
            self.given = given

        async def _recognize_impl(self, buffer, *, language=NOT_GIVEN, conn_options=None): ...

    class STT(Base):
        def __init__(self, *, api_token: str | None = None, options: Options | None = None,
                     rate: NotGivenOr[int] = NOT_GIVEN, gain: float = 1.0, loud: bool = False,
                     mode: NotGivenOr[Mode] = NOT_GIVEN, form: Literal["a", "b"] = "a", _private: int = 0):
            super().__init__(key=api_token, options=options, rate=rate, gain=gain, loud=loud, mode=mode, form=form)

    class ListSTT(Base):
        def __init__(self, *, languages: list[str] | None = None):
            super().__init__(languages=languages)

    class EnglishSTT(Base):
        def __init__(self, *, language: str = "en", language_code: str = ""):
            super().__init__(language=language, language_code=language_code)

    class ListedSTT(Base):
        def __init__(self, *, language: Literal["de", "en", "en-GB"] | str | None = None):
            super().__init__(language=language)

    class TypedForCheckersSTT(Base):
        def __init__(self, *, gain: "Unknown" = 1, rate: "int" = 1):
            super().__init__(gain=gain, rate=rate)

    class HintSTT(Base):
        def __init__(self, *, hints: "Unknown" = None):
            super().__init__(hints=hints)

    class VAD(vad.VAD): ...
"""


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_plugin(monkeypatch, tmp_path, ACME)


def given(provider: str, *arguments: Any, **fields: Any) -> dict[str, Any]:
    built: dict[str, Any] = build_native(provider, STTConfig(provider, *arguments, **fields)).given
    return built


@pytest.mark.usefixtures("acme")
def test_fields_reach_the_options_object_a_constructor_takes() -> None:
    got = given(
        "livekit:acme-voice",
        "de-DE",
        "large",
        KEY,
        {"options": {"depth": "3", "terms": [{"text": "Voxport", "boost": "2"}]}},
    )
    assert got["key"] == KEY
    assert (got["options"].model_id, got["options"].depth) == ("large", 3)
    assert got["options"].language_hints == ["de"]
    (term,) = got["options"].terms
    assert (type(term).__name__, term.text, term.boost) == ("Term", "Voxport", 2.0)


@pytest.mark.usefixtures("acme")
def test_texts_become_what_the_constructor_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE", "8000")
    settings = {"rate": "${env:RATE}", "gain": "0.5", "loud": "True", "mode": "fast", "form": "b"}
    got = given("livekit:acme-voice", None, metadata=settings)
    assert (got["rate"], got["gain"], got["loud"], got["form"]) == (8000, 0.5, True, "b")
    assert got["mode"].name == "FAST"
    assert given("livekit:acme-voice", None, metadata={"mode": "quick", "gain": "much"})["gain"] == "much"
    assert given("livekit:acme-voice.ListSTT", None, metadata={"languages": "de"}) == {"languages": "de"}


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    ("path", "language", "wanted"),
    [
        ("ListSTT", "de-DE", {"languages": ["de-DE"]}),
        ("ListSTT", None, {"languages": None}),
        ("ListedSTT", "de-DE", {"language": "de"}),
        ("ListedSTT", "en-GB", {"language": "en-GB"}),
        ("ListedSTT", "pt-BR", {"language": "pt-BR"}),
        ("EnglishSTT", "en-US", {"language": "en", "language_code": ""}),
        ("EnglishSTT", "de-DE", {"language": "de-DE", "language_code": ""}),
    ],
)
def test_the_language_is_given_as_the_constructor_takes_it(
    path: str, language: str, wanted: dict[str, Any]
) -> None:
    assert given(f"livekit:acme-voice.{path}", language) == wanted


@pytest.mark.usefixtures("acme")
def test_a_constructor_whose_types_cannot_be_told_gets_values_as_they_are() -> None:
    assert given("livekit:acme-voice.HintSTT", None, metadata={"hints": {"a": "1"}}) == {"hints": {"a": "1"}}
    settings = {"gain": "2", "rate": "2"}
    assert given("livekit:acme-voice.TypedForCheckersSTT", None, metadata=settings) == {"gain": "2", "rate": 2}


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    ("path", "fields", "message"),
    [
        (
            "",
            {"metadata": {"optons": {}}},
            "metadata['optons'] is not a setting of livekit.plugins.acme_voice.STT: did you mean 'options'? "
            "Known: api_key, api_token, form, gain, loud, mode, options, rate",
        ),
        (
            "",
            {"metadata": {"options": {"term": []}}},
            "metadata.options.term is not a setting of Options: did you mean 'terms'? "
            "Known: depth, language_hints, model_id, secret_word, terms",
        ),
        ("", {"metadata": {"options": {"terms": [{}]}}}, "metadata.options.terms.0 makes no Term: "),
        ("", {"metadata": {"mode": "slw"}}, "metadata.mode must be one of fast, exact"),
        (
            "",
            {"metadata": {"options": {"language_hints": ["de"]}}},
            "language_hints is given twice: leave metadata['options']['language_hints'] out, or say language=None",
        ),
        (
            "",
            {"metadata": {"options": ACME}},
            "metadata['options'] is a str already: put language into it as language_hints, and say language=None",
        ),
        (
            "",
            {"api_key": KEY, "metadata": {"api_token": "x"}},
            "api_token is given twice: leave metadata['api_token'] out, or say api_key=None",
        ),
        (
            ".EnglishSTT",
            {"metadata": {"language_code": "en"}},
            "language_code is given twice: leave metadata['language_code'] out, or say language=None",
        ),
        (
            ".HintSTT",
            {},
            "livekit.plugins.acme_voice.HintSTT takes no language: say language=None. It takes hints",
        ),
    ],
)
def test_what_a_constructor_cannot_take_is_refused(path: str, fields: dict[str, Any], message: str) -> None:
    assert str(refusal(f"livekit:acme_voice{path}", STTConfig("x", **fields))).startswith(message)


@pytest.mark.usefixtures("acme")
def test_an_options_object_that_repeats_a_credential_does_not_get_it_printed() -> None:
    settings = {"options": {"secret_word": KEY}, "api_key": KEY}
    error = refusal("livekit:acme-voice", STTConfig("x", None, metadata=settings))
    assert str(error) == "metadata.options makes no Options: no such word: ***"
    assert error.__cause__ is None and error.__suppress_context__


@pytest.mark.usefixtures("acme")
def test_a_plugin_that_builds_something_else_says_what() -> None:
    assert str(refusal("livekit:acme-voice", TTSConfig("x"))) == (
        "livekit.plugins.acme_voice has no TTS, only STT, VAD: use another provider"
    )


OTHERS = [
    ("livekit:soniox", STTConfig("x", api_key=KEY, model="stt-rt-v4"), "_params.language_hints", ["en"]),
    ("livekit:soniox", TTSConfig("x", "Adrian", api_key=KEY), "_opts.voice", "Adrian"),
    ("livekit:elevenlabs", STTConfig("x", "de", api_key=KEY), "_opts.language_code", "de"),
    ("livekit:elevenlabs", TTSConfig("x", "a-voice", api_key=KEY), "_opts.voice_id", "a-voice"),
    (
        "livekit:cartesia",
        STTConfig("x", None, api_key=KEY, metadata={"sample_rate": "8000"}),
        "_sample_rate",
        8000,
    ),
    ("livekit:cartesia", TTSConfig("x", "a-voice", api_key=KEY), "_opts.voice", "a-voice"),
    ("livekit:gladia", STTConfig("x", "de", api_key=KEY), "_opts.language_config.languages", ["de"]),
    ("livekit:google", LLMConfig("x", "gemini-2.5-flash", KEY), "_opts.model", "gemini-2.5-flash"),
    ("livekit:groq", LLMConfig("x", "llama-3.1-8b-instant", KEY), "_opts.model", "llama-3.1-8b-instant"),
    ("livekit:groq", STTConfig("x", None, api_key=KEY), "_opts.detect_language", True),
    ("livekit:speechmatics", STTConfig("x", api_key=KEY), "_stt_options.language", "en"),
]


@pytest.mark.parametrize(
    ("provider", "config", "attribute", "wanted"), OTHERS, ids=[f"{o[0]}-{type(o[1]).__name__}" for o in OTHERS]
)
async def test_other_plugins_of_livekit_take_the_same_configurations(
    provider: str, config: ProviderConfig, attribute: str, wanted: Any
) -> None:
    plugin = provider.partition(":")[2]
    if plugin not in installed_plugins():
        pytest.skip(f"livekit-plugins-{plugin} is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a plugin's own dependencies say when they are imported
        built = build_native(provider, config)
    assert attrgetter(attribute)(built) == wanted
    await built.aclose()


def test_a_plugin_without_speech_says_what_it_has() -> None:
    pytest.importorskip("livekit.plugins.silero", reason="livekit-plugins-silero is not installed")
    assert str(refusal("livekit:silero", STTConfig("x"))) == (
        "livekit.plugins.silero has no STT, only VAD: use another provider"
    )


# --- docs/native.md ---

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "native.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
async def test_the_configurations_in_the_documentation_are_built(
    text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for plugin in re.findall(r"livekit:(\w+)", text):
        if plugin not in installed_plugins():
            pytest.skip(f"livekit-plugins-{plugin} is not installed")
    for name in ("SONIOX_API_KEY", "GROQ_API_KEY", "ELEVEN_API_KEY", "AZURE_SPEECH_KEY"):
        monkeypatch.setenv(name, KEY)
    path = tmp_path / "voxport.yaml"
    path.write_text(text, encoding="utf-8")
    built = ProviderFactory.from_file(path)
    assert [name for name in ("stt", "llm", "tts") if getattr(built, name) is not None] == [
        name for name in ("stt", "llm", "tts") if f"{name}:\n" in text
    ]
    await built.aclose()


def test_the_documentation_names_the_parameters_that_take_a_field() -> None:
    for field, names in arguments.NAMES.items():
        assert f"| `{field}` | {', '.join(f'`{name}`' for name in names)} |" in PAGE
