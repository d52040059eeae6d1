"""ProviderFactory: names, registration, entry points, files."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from livekit.agents import llm, stt, tts
from livekit.plugins import deepgram, openai

from agents.providers import factory
from agents.providers.adapters import (
    CustomHTTPLLMAdapter,
    CustomHTTPSTTAdapter,
    CustomWebSocketSTTAdapter,
    STTAdapter,
)
from agents.providers.base import (
    ConfigurationError,
    LLMConfig,
    NotBuiltYetError,
    ProviderType,
    STTConfig,
    TTSConfig,
)
from agents.providers.factory import ProviderFactory

KEY = "sk-very-secret-0123456789"
WS = "wss://speech.example/v1/listen"


class AcmeSTT(STTAdapter):
    """A third party's adapter, which remembers what it was made from."""

    def __init__(self, config: STTConfig) -> None:
        super().__init__()
        self.config = config


class AcmeProviderFactory:
    """A third party's provider."""

    @staticmethod
    def create_stt(config: STTConfig) -> AcmeSTT:
        return AcmeSTT(config)


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factory, "_registered", {})


class EntryPoints:
    """Stands in for installed packages: what :func:`importlib.metadata.entry_points` finds in our group."""

    def __init__(self) -> None:
        self.found: list[importlib.metadata.EntryPoint] = []
        self.loaded: list[str] = []

    def add(
        self, name: str, value: Any, *, package: str = "acme-voice", target: str = "acme.voice:Provider"
    ) -> None:
        loaded = self.loaded

        class Point(importlib.metadata.EntryPoint):
            def load(self) -> Any:
                loaded.append(name)
                if isinstance(value, Exception):
                    raise value
                return value

            @property
            def dist(self) -> Any:
                return SimpleNamespace(name=package)

        self.found.append(Point(name, target, factory.ENTRY_POINT_GROUP))

    def __call__(self, *, group: str) -> list[importlib.metadata.EntryPoint]:
        assert group == "voxport.providers"
        return self.found


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[EntryPoints]:
    points = EntryPoints()
    monkeypatch.setattr(factory, "entry_points", points)
    yield points


def refusal(config: Any, part: str = "stt") -> ConfigurationError:
    with pytest.raises(ConfigurationError) as raised:
        getattr(ProviderFactory, f"create_{part}")(config)
    assert KEY not in str(raised.value)
    return raised.value


@pytest.mark.parametrize("provider", [ProviderType.CUSTOM_WS, "custom_ws", "CUSTOM-WS"])
async def test_a_websocket_adapter_is_built_whatever_the_spelling(provider: ProviderType | str) -> None:
    built = ProviderFactory.create_stt(STTConfig(provider, metadata={"ws_url": WS, "api_key": KEY}))
    assert type(built) is CustomWebSocketSTTAdapter
    assert isinstance(built, stt.STT)
    await built.aclose()


async def test_every_kind_is_built() -> None:
    http = ProviderFactory.create_stt(
        STTConfig("custom_http", metadata={"endpoint_url": "https://speech.example/"})
    )
    assert type(http) is CustomHTTPSTTAdapter
    model = ProviderFactory.create_llm(LLMConfig(ProviderType.OPENAI, model="gpt-4", api_key=KEY))
    assert type(model) is openai.LLM and isinstance(model, llm.LLM)
    voice = ProviderFactory.create_tts(TTSConfig(ProviderType.OPENAI, voice="alloy", api_key=KEY))
    assert type(voice) is openai.TTS and isinstance(voice, tts.TTS)
    for built in (http, model, voice):
        await built.aclose()


@pytest.mark.parametrize("name", ["deepgram", "Deepgram", ProviderType.DEEPGRAM])
def test_a_vendor_is_built_by_its_name(name: str) -> None:
    assert ProviderFactory.create_stt(STTConfig(name, api_key=KEY)).provider == "deepgram"


def test_a_vendor_that_is_no_provider_type_is_built_by_its_name() -> None:
    built = ProviderFactory.create_stt(STTConfig("generic", metadata={"ws_url": WS}))
    assert built.provider == "generic"


def test_an_unknown_provider_is_refused_with_the_nearest_names() -> None:
    error = refusal(STTConfig("deepgrm"))
    assert str(error).startswith("unknown provider 'deepgrm': did you mean 'deepgram' or 'deepgram_flux'? Known: ")
    assert all(p.value in str(error) for p in ProviderType)
    assert error.key == "provider"


def test_a_configuration_of_another_kind_is_refused() -> None:
    assert str(refusal(LLMConfig("openai"))) == "create_stt takes STTConfig, not LLMConfig"
    assert str(refusal({"provider": "openai"}, "tts")) == "create_tts takes TTSConfig, not dict"


def test_a_part_a_provider_does_not_have_is_refused_with_those_that_have_it() -> None:
    error = refusal(LLMConfig("deepgram"), "llm")
    assert str(error) == (
        "provider 'deepgram' has no LLM, only STT, TTS. With LLM: azure, custom_http, openai; "
        "and every LiveKit plugin that has one, as in 'livekit:NAME'"
    )
    assert error.key == "provider"


def test_a_part_that_only_livekits_own_plugin_has_names_it() -> None:
    message = str(refusal(TTSConfig("assemblyai"), "tts"))
    assert message.startswith(
        "provider 'assemblyai' has no TTS, only STT. "
        "LiveKit's own plugin has: provider='livekit:assemblyai'. With TTS: "
    )


async def test_a_livekit_plugin_is_built_by_its_name(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        f"stt: {{provider: livekit:deepgram, api_key: {KEY}, metadata: {{endpointing_ms: '300'}}}}\n"
        f"llm: {{provider: LiveKit:openai.responses, model: gpt-4o, api_key: {KEY}}}\n"
        f"tts: {{provider: livekit:deepgram, model: aura-2-thalia-en, api_key: {KEY}}}\n",
    )
    providers = ProviderFactory.from_file(path)
    assert type(providers.stt) is deepgram.STT and providers.stt._opts.endpointing_ms == 300
    assert type(providers.llm) is openai.responses.LLM and providers.llm.model == "gpt-4o"
    assert type(providers.tts) is deepgram.TTS and providers.tts.model == "aura-2-thalia-en"
    await providers.aclose()


def test_installed_plugins_are_among_the_names() -> None:
    assert {"livekit:assemblyai", "livekit:azure", "livekit:deepgram", "livekit:openai"} <= set(
        ProviderFactory.names()
    )


def test_a_plugin_without_its_prefix_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factory, "installed_plugins", lambda: ["acme_voice"])
    assert str(refusal(STTConfig("Acme-Voice"))) == (
        "unknown provider 'Acme-Voice': LiveKit's own plugin is 'livekit:acme_voice'"
    )
    assert str(refusal(STTConfig("acmevoices"))).endswith(
        ". A LiveKit plugin is 'livekit:NAME' once it is installed"
    )


def test_what_a_plugin_cannot_do_is_told_with_the_line(tmp_path: Path) -> None:
    path = written(tmp_path, "llm:\n  model: nova-3\n  provider: livekit:deepgram\n")
    with pytest.raises(ConfigurationError) as raised:
        ProviderFactory.from_file(path)
    assert str(raised.value) == (
        f"{path}:3: in llm: livekit.plugins.deepgram has no LLM, only STT, TTS: use another provider"
    )


def test_a_plugin_may_be_replaced_by_another_provider() -> None:
    ProviderFactory.register("livekit:acme", AcmeProviderFactory)
    assert isinstance(ProviderFactory.create_stt(STTConfig("livekit:acme")), AcmeSTT)


def test_a_language_model_over_a_websocket_is_not_built_and_what_is_instead_is_named() -> None:
    error = refusal(LLMConfig("custom_ws"), "llm")
    assert isinstance(error, NotBuiltYetError) and error.key == "provider"
    assert "provider='custom_http' with metadata={'endpoint_url'" in str(error) and "_send_messages" in str(error)


async def test_a_language_model_of_ones_own_is_built() -> None:
    metadata = {"endpoint_url": "https://llm.example/v1", "options": {"temperature": 0}, "request_timeout": "20"}
    built = ProviderFactory.create_llm(LLMConfig("custom_http", model="m", api_key=KEY, metadata=metadata))
    assert type(built) is CustomHTTPLLMAdapter and isinstance(built, llm.LLM)
    assert (built.model, built.provider, built.request_timeout) == ("m", "llm.example", 20.0)
    assert built.endpoint_url == "https://llm.example/v1/chat/completions"
    await built.aclose()


@pytest.mark.parametrize(
    ("metadata", "key"),
    [
        ({"endpoint_url": "https://llm.example/v1", "url": "x"}, "metadata.url"),
        ({"endpoint_url": "ws://llm.example/v1"}, "metadata.endpoint_url"),
        ({"endpoint_url": "https://llm.example/v1", "protocol": "opena"}, "metadata.protocol"),
        ({"endpoint_url": "https://llm.example/v1", "options": 7}, "metadata.options"),
        ({"endpoint_url": "https://llm.example/v1", "text_path": "a["}, "metadata.text_path"),
        ({"endpoint_url": "https://llm.example/v1", "strict_tools": "no"}, "metadata.strict_tools"),
        ({"endpoint_url": "https://llm.example/v1", "read_timeout": "soon"}, "metadata.read_timeout"),
    ],
)
def test_a_language_model_of_ones_own_that_cannot_work_points_at_the_setting(
    metadata: dict[str, Any], key: str
) -> None:
    assert refusal(LLMConfig("custom_http", metadata=metadata), "llm").key == key


def test_a_missing_variable_is_refused_by_name_and_setting() -> None:
    error = refusal(STTConfig("deepgram", api_key="${env:NOT_SET_ANYWHERE}"))
    assert "api_key wants the environment variable NOT_SET_ANYWHERE" in str(error)


def test_a_registered_provider_is_built_from_a_resolved_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_SECRET", KEY)
    ProviderFactory.register("Acme-Voice", AcmeProviderFactory)
    built = ProviderFactory.create_stt(
        STTConfig("acme_voice", metadata={"api_key": "${env:ACME_SECRET}", "own": 1})
    )
    assert isinstance(built, AcmeSTT)
    assert built.config.metadata == {"api_key": KEY, "own": 1}
    assert "acme_voice" in ProviderFactory.names()


@pytest.mark.parametrize("provider", [SimpleNamespace(create_stt=AcmeSTT), ModuleType("acme")])
def test_a_provider_may_be_any_object(provider: Any) -> None:
    provider.create_stt = AcmeSTT
    ProviderFactory.register("acme", provider)
    assert isinstance(ProviderFactory.create_stt(STTConfig("acme")), AcmeSTT)


@pytest.mark.parametrize("name", ["acme", "openai", "CUSTOM-HTTP", "deepgram", "generic"])
def test_a_name_that_is_taken_needs_replace(name: str) -> None:
    ProviderFactory.register("acme", AcmeProviderFactory)
    with pytest.raises(ConfigurationError) as raised:
        ProviderFactory.register(name, AcmeProviderFactory)
    assert str(raised.value) == f"there is a provider {name!r} already: choose another name, or replace=True"
    ProviderFactory.register(name, AcmeProviderFactory, replace=True)
    assert isinstance(ProviderFactory.create_stt(STTConfig(name)), AcmeSTT)


def test_a_provider_that_is_unregistered_is_gone_and_what_it_replaced_is_back() -> None:
    ProviderFactory.register("deepgram", AcmeProviderFactory, replace=True)
    ProviderFactory.unregister("Deepgram")
    assert isinstance(ProviderFactory.create_stt(STTConfig("deepgram", api_key=KEY)), CustomWebSocketSTTAdapter)
    with pytest.raises(ConfigurationError, match="no provider 'deepgram' is registered: Known: none"):
        ProviderFactory.unregister("deepgram")


@pytest.mark.parametrize("name", ["", "  ", None])
def test_a_provider_needs_a_name(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="give a text that is not empty"):
        ProviderFactory.register(name, AcmeProviderFactory)


def test_a_provider_that_creates_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'acme' has neither create_stt, create_llm nor create_tts"):
        ProviderFactory.register("acme", AcmeSTT)


def test_a_provider_that_builds_something_else_is_named() -> None:
    async def create_stt(config: STTConfig) -> AcmeSTT:
        return AcmeSTT(config)

    ProviderFactory.register("late", SimpleNamespace(create_stt=create_stt))
    ProviderFactory.register("wrong", SimpleNamespace(create_stt=lambda config: "text"))
    for name, returned in (("late", "coroutine"), ("wrong", "str")):
        assert str(refusal(STTConfig(name))) == (
            f"provider {name!r} is broken: its create_stt must return a livekit.agents STT, "
            f"and returned {returned}"
        )


def test_a_registered_provider_is_offered_for_parts_others_lack() -> None:
    ProviderFactory.register("acme", SimpleNamespace(create_tts=lambda config: None))
    assert "With TTS: acme, azure, " in str(refusal(TTSConfig("aws"), "tts"))
    assert "provider 'acme' has no STT, only TTS." in str(refusal(STTConfig("acme")))


def test_an_installed_package_brings_its_provider_and_is_loaded_only_when_used(installed: EntryPoints) -> None:
    installed.add("acme", AcmeProviderFactory)
    installed.add("broken", ImportError("no module named nothing"))
    assert {"acme", "broken"} <= set(ProviderFactory.names())
    ProviderFactory.create_stt(STTConfig("deepgram", api_key=KEY))
    assert installed.loaded == []
    assert isinstance(ProviderFactory.create_stt(STTConfig("ACME")), AcmeSTT)
    assert installed.loaded == ["acme"]


def test_a_broken_package_is_named_when_it_is_used(installed: EntryPoints) -> None:
    installed.add("broken", ImportError("no module named nothing"))
    assert str(refusal(STTConfig("broken"))) == (
        "provider 'broken' of the package acme-voice cannot be loaded (ImportError: no module named nothing): "
        "repair or uninstall the package"
    )


def test_an_entry_point_to_something_else_is_named(installed: EntryPoints) -> None:
    installed.add("acme", AcmeSTT)
    assert str(refusal(STTConfig("acme"))) == (
        "provider 'acme' of the package acme-voice has neither create_stt, create_llm nor create_tts: "
        "its entry point 'acme.voice:Provider' must name an object with one"
    )


def test_two_packages_of_one_name_are_ambiguous_until_one_is_registered(installed: EntryPoints) -> None:
    installed.add("acme", AcmeProviderFactory, package="acme-a", target="a:P")
    installed.add("acme", AcmeProviderFactory, package="acme-b", target="b:P")
    assert str(refusal(STTConfig("acme"))) == (
        "provider 'acme' is offered by acme-a and acme-b: uninstall one, or register one with "
        "ProviderFactory.register"
    )
    ProviderFactory.register("acme", AcmeProviderFactory)
    assert isinstance(ProviderFactory.create_stt(STTConfig("acme")), AcmeSTT)


def test_a_package_found_twice_is_one(installed: EntryPoints) -> None:
    installed.add("acme", AcmeProviderFactory)
    installed.add("acme", AcmeProviderFactory)
    assert isinstance(ProviderFactory.create_stt(STTConfig("acme")), AcmeSTT)


def test_a_package_replaces_a_vendor_but_no_provider_type(installed: EntryPoints) -> None:
    installed.add("generic", AcmeProviderFactory)
    installed.add("deepgram", AcmeProviderFactory)
    assert isinstance(ProviderFactory.create_stt(STTConfig("generic")), AcmeSTT)
    assert isinstance(ProviderFactory.create_stt(STTConfig("deepgram", api_key=KEY)), CustomWebSocketSTTAdapter)


def test_a_nearest_name_may_be_an_installed_one(installed: EntryPoints) -> None:
    installed.add("acme-voice", AcmeProviderFactory)
    assert "did you mean 'acme-voice'?" in str(refusal(STTConfig("acme-voic")))


def written(folder: Path, text: str, name: str = "voxport.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


async def test_a_file_gives_what_it_configures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECH_KEY", KEY)
    path = written(
        tmp_path,
        "stt:\n  provider: deepgram\n  api_key: ${env:SPEECH_KEY}\n"
        "tts: {provider: openai, voice: alloy, api_key: '${env:SPEECH_KEY}'}\n",
    )
    providers = ProviderFactory.from_file(path)
    assert isinstance(providers.stt, CustomWebSocketSTTAdapter)
    assert providers.llm is None
    assert isinstance(providers.tts, openai.TTS)
    assert KEY not in repr(providers)
    await providers.aclose()


async def test_toml_gives_the_same(tmp_path: Path) -> None:
    text = f'[stt]\nprovider = "custom_ws"\n[stt.metadata]\nws_url = "{WS}"\nsample_rate = 8000\n'
    providers = ProviderFactory.from_file(written(tmp_path, text, "voxport.toml"))
    assert isinstance(providers.stt, CustomWebSocketSTTAdapter)
    assert providers.stt.sample_rate == 8000
    await providers.aclose()


async def test_a_profile_beside_the_file_is_used(tmp_path: Path) -> None:
    generic = Path(factory.__file__).parent / "vendors" / "generic.yaml"
    written(tmp_path, generic.read_text(encoding="utf-8").replace("name: generic", "name: acme"), "acme.yaml")
    text = f"stt: {{provider: custom_ws, metadata: {{vendor: ./acme.yaml, ws_url: '{WS}'}}}}"
    providers = ProviderFactory.from_file(written(tmp_path, text))
    assert providers.stt is not None and providers.stt.provider == "acme"
    await providers.aclose()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "stt:\n  provider: deepgrm\n",
            ":2: in stt: unknown provider 'deepgrm': did you mean 'deepgram' or 'deepgram_flux'? Known: ",
        ),
        (
            "stt:\n  provider: deepgram\n\n  api_key: ${env:NOT_SET_ANYWHERE}\n",
            ":4: in stt: api_key wants the environment variable NOT_SET_ANYWHERE, which is not set: ",
        ),
        (
            f"stt:\n  provider: custom_ws\n  metadata:\n    ws_url: {WS}\n    replay_secs: 3\n",
            ":5: in stt: metadata['replay_secs'] is not a setting of CustomWebSocketSTTAdapter: did you mean ",
        ),
        (
            "stt:\n  provider: custom_ws\n  metadata:\n    sample_rate: 8000\n",
            ":3: in stt: metadata['ws_url'] is missing: ",
        ),
        (
            "stt:\n  provider: custom_ws\n  metadata:\n    ws_url: https://speech.example/\n",
            ':4: in stt: ws_url must start with "ws://" or "wss://"',
        ),
        (
            "stt:\n  provider: deepgram\n  metadata:\n    options:\n      numerals: true\n      mdel: x\n",
            ":6: in stt: Deepgram has no option 'mdel' for streaming: ",
        ),
        (
            "stt: {provider: deepgram, api_key: key, metadata: {\n options: {\n  numerals: 3}}}\n",
            ":3: in stt: Deepgram: option 'numerals' must be boolean, not int",
        ),
        (
            "tts:\n  provider: elevenlabs\n  api_key: key\n  metadata:\n    options:\n\n      sped: 1\n",
            ":7: in tts: ElevenLabs has no option 'sped' for streaming_synthesis: ",
        ),
        (
            "llm:\n  provider: custom_http\n  metadata: {endpoint_url: 'https://x/', options: {\n    model: x}}\n",
            ":4: in llm: options holds 'model', which the adapter sets itself: give model",
        ),
        (
            "stt:\n  provider: deepgram\n  metadata:\n    mode: stream\n    headers: {X-Key: '${SPEECH_KEY}'}\n",
            ":5: in stt: header 'X-Key' would be sent as it stands, and looks like the name of a variable: ",
        ),
        (
            "stt:\n  provider: aws\n  api_key: none\n  metadata: {options: {region: eu-west-1}}\n",
            ":3: in stt: api_key for AWS must be ",
        ),
        (
            "tts:\n  provider: openai\n  metadata:\n    baseurl: x\n",
            ":4: in tts: metadata['baseurl'] is not a setting of livekit.plugins.openai.TTS: ",
        ),
        (
            "llm:\n  provider: custom_http\n",
            ":1: in llm: metadata['endpoint_url'] is missing: ",
        ),
        (
            "llm:\n  provider: openai\n",
            ":1: in llm: livekit.plugins.openai.LLM does not accept this configuration: ",
        ),
    ],
)
def test_an_error_while_building_points_at_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as raised:
        ProviderFactory.from_file(path)
    assert str(raised.value).startswith(f"{path}{message}")


def test_a_file_must_have_what_is_required(tmp_path: Path) -> None:
    path = written(tmp_path, "llm: {provider: openai}")
    with pytest.raises(ConfigurationError, match="has no section 'stt'; it has 'llm'"):
        ProviderFactory.from_file(path, require=["stt"])
