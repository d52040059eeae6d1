"""CustomProviderFactory and the vendor factories: what they build, and what they say when they cannot."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from livekit.plugins import azure, openai

from agents.providers import configured
from agents.providers.adapters import CustomHTTPSTTAdapter, CustomHTTPTTSAdapter, CustomWebSocketSTTAdapter
from agents.providers.base import ConfigurationError, LLMConfig, STTConfig, TTSConfig
from agents.providers.custom_provider import (
    AssemblyAIProviderFactory,
    AWSProviderFactory,
    AzureProviderFactory,
    CustomProviderFactory,
    DeepgramProviderFactory,
    GoogleCloudProviderFactory,
    OpenAIProviderFactory,
    VendorProviderFactory,
    create_vendor_stt,
)
from agents.providers.factory import ProviderFactory
from agents.providers.vendors import Vendor, find_vendor

KEY = "sk-very-secret-0123456789"
REGIONS = {"aws": {"region": "eu-west-1"}}
HTTP = "https://speech.example/v1/recognize"
WS = "wss://speech.example/v1/listen"
AZURE = "wss://{region}.stt.speech.microsoft.com/speech/recognition/conversation/cognitiveservices/v1"


def http_refusal(**metadata: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as raised:
        CustomProviderFactory.create_http_stt(STTConfig("custom_http", metadata=metadata))
    assert KEY not in str(raised.value)
    return raised.value


def ws_refusal(**metadata: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as raised:
        CustomProviderFactory.create_websocket_stt(STTConfig("custom_ws", metadata=metadata))
    assert KEY not in str(raised.value)
    return raised.value


def test_an_http_adapter_is_what_its_configuration_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECH_KEY", KEY)
    built = CustomProviderFactory.create_http_stt(
        STTConfig(
            "custom_http",
            language="de-DE",
            model="large",
            metadata={
                "endpoint_url": HTTP,
                "api_key": "${env:SPEECH_KEY}",
                "headers": {"X-Team": "voice"},
                "request_timeout": 5,
                "sample_rate": 8000,
                "vendor": "generic",
                "options": {"punctuate": True},
                "on_failure": "raise",
            },
        )
    )
    assert type(built) is CustomHTTPSTTAdapter
    assert (built.endpoint_url, built.language, built.model, built.sample_rate) == (HTTP, "de-DE", "large", 8000)
    assert built.headers["X-Team"] == "voice"
    assert built.headers["Authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(built)


def test_a_websocket_adapter_is_what_its_configuration_says() -> None:
    built = CustomProviderFactory.create_websocket_stt(
        STTConfig(
            "custom_ws",
            language="de-DE",
            model="large",
            api_key=KEY,
            metadata={
                "ws_url": WS,
                "headers": {"X-Team": "voice"},
                "sample_rate": 8000,
                "options": {"punctuate": True},
                "on_failure": "raise",
                "replay_seconds": 10,
            },
        )
    )
    assert type(built) is CustomWebSocketSTTAdapter
    assert (built.ws_url, built.language, built.model, built.sample_rate) == (WS, "de-DE", "large", 8000)
    assert built.provider == "generic"
    assert KEY not in repr(built)


def test_a_vendor_is_recognised_by_its_url() -> None:
    built = CustomProviderFactory.create_websocket_stt(
        STTConfig("custom_ws", metadata={"ws_url": "wss://api.deepgram.com/v1/listen", "api_key": KEY})
    )
    assert built.provider == "deepgram"


def test_a_named_vendor_is_found_at_its_usual_place() -> None:
    config = STTConfig("custom_ws", api_key=KEY, metadata={"vendor": "deepgram"})
    assert CustomProviderFactory.create_websocket_stt(config).ws_url == find_vendor("deepgram").streaming_url
    assert CustomProviderFactory.create_http_stt(config).endpoint_url == find_vendor("deepgram").batch_url


async def test_a_session_of_the_user_can_be_given() -> None:
    async with aiohttp.ClientSession() as session:
        built = CustomProviderFactory.create_http_stt(
            STTConfig("custom_http", metadata={"endpoint_url": HTTP, "http_session": session})
        )
        await built.aclose()
        assert not session.closed


def test_numbers_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE", "8000")
    monkeypatch.setenv("REPLAY", "2.5")
    config = STTConfig(
        "custom_ws", metadata={"ws_url": WS, "sample_rate": "${env:RATE}", "replay_seconds": "${env:REPLAY}"}
    )
    assert CustomProviderFactory.create_websocket_stt(config).sample_rate == 8000


def test_a_missing_url_says_so() -> None:
    error = http_refusal(api_key=KEY)
    assert str(error) == (
        "metadata['endpoint_url'] is missing: give the URL of the service, like \"https://host/path\""
    )
    assert error.key == "metadata"
    assert str(ws_refusal(vendor="auto")) == (
        "metadata['ws_url'] is missing: give the URL of the service, like \"wss://host/path\""
    )
    assert "metadata['ws_url'] is missing" in str(ws_refusal(vendor="generic"))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"endpont_url": HTTP}, "metadata['endpont_url'] is not a setting of CustomHTTPSTTAdapter: did you mean "),
        ({"endpoint_url": HTTP, "timeout": 3}, "did you mean 'read_timeout'"),
        ({"endpoint_url": HTTP, "language": "de"}, "metadata['language'] is not a setting of"),
    ],
)
def test_an_unknown_setting_is_refused_with_the_nearest_ones(metadata: dict[str, Any], message: str) -> None:
    error = http_refusal(**metadata)
    assert message in str(error)
    assert all(name in str(error) for name in ("api_key", "endpoint_url", "headers", "options", "vendor"))
    assert error.key == f"metadata.{next(reversed(metadata))}"


def test_a_setting_of_the_other_adapter_is_unknown() -> None:
    assert "metadata['endpoint_url'] is not a setting of CustomWebSocketSTTAdapter" in str(
        ws_refusal(endpoint_url=HTTP)
    )
    assert "metadata['replay_seconds'] is not a setting of CustomHTTPSTTAdapter" in str(
        http_refusal(endpoint_url=HTTP, replay_seconds=3)
    )


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"headers": "X-Team: voice"}, "metadata['headers'] must be a mapping, not str"),
        ({"options": ["a"]}, "metadata['options'] must be a mapping, not list"),
        ({"sample_rate": 8000.5}, "metadata['sample_rate'] must be a whole number, not 8000.5"),
        ({"sample_rate": True}, "metadata['sample_rate'] must be a whole number, not True"),
        ({"replay_seconds": "long"}, "metadata['replay_seconds'] must be a number, not 'long'"),
        ({"replay_seconds": [1]}, "metadata['replay_seconds'] must be a number, not [1]"),
    ],
)
def test_a_setting_of_the_wrong_type_is_refused(metadata: dict[str, Any], message: str) -> None:
    error = ws_refusal(ws_url=WS, **metadata)
    assert str(error) == message
    assert error.key == f"metadata.{next(iter(metadata))}"


@pytest.mark.parametrize(
    ("metadata", "key"),
    [
        ({"ws_url": "https://speech.example/"}, "metadata.ws_url"),
        ({"ws_url": "ws://speech.example/", "api_key": KEY}, "metadata.ws_url"),
        ({"ws_url": WS, "on_failure": "ignore"}, "metadata.on_failure"),
        ({"ws_url": WS, "replay_seconds": -1}, "metadata.replay_seconds"),
        ({"ws_url": WS, "sample_rate": 1}, "metadata.sample_rate"),
    ],
)
def test_what_the_adapter_refuses_points_at_the_setting(metadata: dict[str, Any], key: str) -> None:
    assert ws_refusal(**metadata).key == key


def test_an_unknown_vendor_or_profile_is_refused() -> None:
    assert "unknown vendor 'deepgrm'" in str(ws_refusal(ws_url=WS, vendor="deepgrm"))
    assert "there is no profile file './none.yaml'" in str(ws_refusal(ws_url=WS, vendor="./none.yaml"))


def test_deepgram_streams() -> None:
    built = DeepgramProviderFactory.create_stt(
        STTConfig("deepgram", model="nova-2", api_key=KEY, metadata={"options": {"punctuate": False}})
    )
    assert type(built) is CustomWebSocketSTTAdapter
    assert (built.provider, built.model) == ("deepgram", "nova-2")
    assert built.ws_url == find_vendor("deepgram").streaming_url


@pytest.mark.parametrize(
    "metadata", [{"mode": "batch"}, {"endpoint_url": "https://eu.api.deepgram.com/v1/listen"}]
)
def test_deepgram_recognises_whole_recordings_when_asked_to(metadata: dict[str, Any]) -> None:
    built = DeepgramProviderFactory.create_stt(STTConfig("deepgram", api_key=KEY, metadata=metadata))
    assert type(built) is CustomHTTPSTTAdapter
    assert built.provider == "deepgram"
    assert built.endpoint_url == metadata.get("endpoint_url", find_vendor("deepgram").batch_url)


def test_a_vendor_can_be_reached_elsewhere() -> None:
    config = STTConfig("deepgram", api_key=KEY, metadata={"ws_url": "wss://proxy.example/deepgram"})
    built = DeepgramProviderFactory.create_stt(config)
    assert isinstance(built, CustomWebSocketSTTAdapter)
    assert (built.provider, built.ws_url) == ("deepgram", "wss://proxy.example/deepgram")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"mode": "bach"}, "metadata['mode'] must be one of 'stream', 'batch' for Deepgram, not 'bach'"),
        ({"vendor": "generic"}, "metadata['vendor'] is not a setting of Deepgram: Known: api_key, "),
        ({"punctate": True}, "metadata['punctate'] is not a setting of Deepgram: Known: api_key, "),
        ({"punctuate": True}, "metadata['punctuate'] is an option of Deepgram: put it under metadata['options']"),
    ],
)
def test_a_vendor_refuses_what_it_does_not_know(metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        DeepgramProviderFactory.create_stt(STTConfig("deepgram", api_key=KEY, metadata=metadata))
    assert str(raised.value).startswith(message)
    assert raised.value.key == f"metadata.{next(iter(metadata))}"


def test_a_vendor_that_does_not_recognise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configured, "find_vendor", lambda name: Vendor(name, "Acme"))
    with pytest.raises(ConfigurationError, match="Acme offers no speech recognition: use another provider"):
        create_vendor_stt("acme", STTConfig("acme"))


def test_a_vendor_of_a_profile_without_a_url_wants_one() -> None:
    with pytest.raises(ConfigurationError, match=r"metadata\['ws_url'\] is missing"):
        create_vendor_stt("generic", STTConfig("generic"))


@pytest.mark.parametrize(
    ("factory", "key"),
    [
        (DeepgramProviderFactory, KEY),
        (AssemblyAIProviderFactory, KEY),
        (GoogleCloudProviderFactory, KEY),
        (AWSProviderFactory, "AKIA:secret-of-mine"),
    ],
)
def test_the_vendors_of_the_specification_are_spoken_to(factory: type[VendorProviderFactory], key: str) -> None:
    config = STTConfig(factory.vendor, api_key=key, metadata={"options": REGIONS.get(factory.vendor, {})})
    built = factory.create_stt(config)
    assert built.provider == factory.vendor


async def test_openai_and_azure_are_livekits_own_plugins() -> None:
    region = {"speech_region": "westeurope"}
    built: list[Any] = [
        OpenAIProviderFactory.create_stt(STTConfig("openai", api_key=KEY)),
        OpenAIProviderFactory.create_llm(LLMConfig("openai", api_key=KEY)),
        OpenAIProviderFactory.create_tts(TTSConfig("openai", api_key=KEY)),
        AzureProviderFactory.create_stt(STTConfig("azure", api_key=KEY, metadata=region)),
        AzureProviderFactory.create_tts(TTSConfig("azure", api_key=KEY, metadata=region)),
    ]
    assert [type(b) for b in built] == [openai.STT, openai.LLM, openai.TTS, azure.STT, azure.TTS]
    await asyncio.gather(built[0]._client.close(), *(b.aclose() for b in built))


def test_google_without_streaming_says_what_streams() -> None:
    for metadata, remedy in (
        ({"mode": "stream"}, "With metadata['mode'] = 'batch'"),
        ({"ws_url": WS}, "Without metadata['ws_url']"),
    ):
        config = STTConfig("google", api_key=KEY, metadata=metadata)
        with pytest.raises(ConfigurationError) as raised:
            GoogleCloudProviderFactory.create_stt(config)
        (setting,) = metadata
        assert str(raised.value) == (
            "Google Cloud Speech-to-Text has no streaming recognition here: it streams by gRPC only, which "
            "LiveKit's plugin does (provider='livekit:google'); for whole utterances use CustomHTTPSTTAdapter. "
            f"{remedy} it recognises whole utterances"
        )
        assert raised.value.key == f"metadata.{setting}"


# --- openai and azure: LiveKit's plugin, unless metadata has a mode ---


@pytest.mark.parametrize(
    ("factory", "metadata", "adapter"),
    [
        (OpenAIProviderFactory, {}, openai.STT),
        (OpenAIProviderFactory, {"mode": None}, openai.STT),
        (OpenAIProviderFactory, {"base_url": "http://127.0.0.1:9/v1"}, openai.STT),
        (OpenAIProviderFactory, {"mode": "stream"}, CustomWebSocketSTTAdapter),
        (OpenAIProviderFactory, {"mode": "batch"}, CustomHTTPSTTAdapter),
        (OpenAIProviderFactory, {"mode": "batch", "endpoint_url": HTTP}, CustomHTTPSTTAdapter),
        (AzureProviderFactory, {"speech_region": "westeurope"}, azure.STT),
        (AzureProviderFactory, {"mode": "stream", "speech_region": "westeurope"}, CustomWebSocketSTTAdapter),
        (AzureProviderFactory, {"mode": "batch", "options": {"region": "westeurope"}}, CustomHTTPSTTAdapter),
    ],
)
async def test_a_mode_asks_for_voxports_own_protocol(factory: Any, metadata: dict[str, Any], adapter: Any) -> None:
    built: Any = factory.create_stt(STTConfig(factory.provider, api_key=KEY, metadata=metadata))
    assert type(built) is adapter
    if adapter is openai.STT:
        await built._client.close()
    elif adapter is not azure.STT:
        assert built.provider == factory.provider
    await built.aclose()


def refused(factory: Any, config: STTConfig | LLMConfig | TTSConfig) -> ConfigurationError:
    create = {STTConfig: "create_stt", LLMConfig: "create_llm", TTSConfig: "create_tts"}[type(config)]
    with pytest.raises(ConfigurationError) as raised:
        getattr(factory, create)(config)
    assert KEY not in str(raised.value)
    return raised.value


@pytest.mark.parametrize("mode", ["stram", "", True, 3])
def test_a_mode_there_is_not_names_those_there_are(mode: Any) -> None:
    error = refused(OpenAIProviderFactory, STTConfig("openai", api_key=KEY, metadata={"mode": mode}))
    title = find_vendor("openai").title
    assert str(error) == (
        f"metadata['mode'] must be one of 'stream', 'batch' for {title}, not {mode!r}. "
        "With a mode it is Voxport's own protocol; LiveKit's plugin is what it is without one"
    )
    assert error.key == "metadata.mode"


@pytest.mark.parametrize(
    "setting", ["ws_url", "endpoint_url", "options", "on_failure", "replay_seconds", "headers"]
)
def test_a_setting_of_voxports_own_without_a_mode_names_the_mode(setting: str) -> None:
    error = refused(OpenAIProviderFactory, STTConfig("openai", api_key=KEY, metadata={setting: KEY}))
    assert str(error).startswith(f"metadata[{setting!r}] is not a setting of livekit.plugins.openai.STT: ")
    assert str(error).endswith(
        ". It is one of Voxport's own protocol, which metadata['mode'] = 'stream' or 'batch' asks for"
    )
    assert error.key == f"metadata.{setting}"


def test_an_unknown_setting_of_the_plugin_is_no_reason_to_speak_of_modes() -> None:
    error = refused(OpenAIProviderFactory, STTConfig("openai", api_key=KEY, metadata={"promt": "x"}))
    assert "did you mean 'prompt'?" in str(error) and "mode" not in str(error).partition("Known")[0]


def test_a_setting_of_the_plugin_with_a_mode_says_that_there_is_none() -> None:
    metadata = {"mode": "stream", "base_url": "https://llm.example/v1"}
    error = refused(OpenAIProviderFactory, STTConfig("openai", api_key=KEY, metadata=metadata))
    assert str(error).startswith("metadata['base_url'] is not a setting of OpenAI, and servers that speak its API")
    assert str(error).endswith(
        ". With a mode it is Voxport's own protocol; LiveKit's plugin is what it is without one"
    )


def test_language_models_have_no_mode() -> None:
    error = refused(OpenAIProviderFactory, LLMConfig("openai", api_key=KEY, metadata={"mode": "stream"}))
    assert str(error) == "metadata['mode'] is for speech: leave it out, this is LiveKit's openai plugin"
    assert error.key == "metadata.mode"


async def test_a_voice_follows_the_same_rule() -> None:
    plain: Any = OpenAIProviderFactory.create_tts(
        TTSConfig("openai", "alloy", api_key=KEY, metadata={"mode": None})
    )
    own = OpenAIProviderFactory.create_tts(TTSConfig("openai", "alloy", api_key=KEY, metadata={"mode": "batch"}))
    assert (type(plain), type(own)) == (openai.TTS, CustomHTTPTTSAdapter)
    await asyncio.gather(plain.aclose(), own.aclose())


@pytest.mark.parametrize(
    ("factory", "metadata", "said"),
    [
        (OpenAIProviderFactory, {"options": {}}, ". It is one of Voxport's own protocol, which "),
        (OpenAIProviderFactory, {"mode": "batch", "base_url": "x"}, "metadata['base_url'] is not a setting of "),
        (
            OpenAIProviderFactory,
            {"mode": "stream"},
            "has no WebSocket for speech. With metadata['mode'] = 'batch' it ",
        ),
        (
            AzureProviderFactory,
            {"mode": "batch"},
            "offers no speech synthesis: use another provider. With a mode ",
        ),
    ],
)
def test_a_voice_that_cannot_be_is_refused_with_the_rule(
    factory: Any, metadata: dict[str, Any], said: str
) -> None:
    message = str(refused(factory, TTSConfig(factory.provider, "alloy", api_key=KEY, metadata=metadata)))
    assert said in message
    assert message.endswith(
        ("'stream' or 'batch' asks for", "; LiveKit's plugin is what it is without one"),
    )


# --- regions ---


@pytest.mark.parametrize(
    "config",
    [
        STTConfig("azure", api_key=KEY, metadata={"mode": "stream", "speech_region": "westeurope"}),
        STTConfig("azure", api_key=KEY, metadata={"mode": "stream", "region": "westeurope"}),
        STTConfig("azure", api_key=KEY, metadata={"mode": "stream", "options": {"region": "westeurope"}}),
        STTConfig("azure", api_key=KEY, metadata={"mode": "stream", "options": {"speech_region": "westeurope"}}),
        STTConfig("custom_ws", api_key=KEY, metadata={"vendor": "azure", "speech_region": "westeurope"}),
        STTConfig("custom_ws", api_key=KEY, metadata={"ws_url": AZURE, "speech_region": "westeurope"}),
    ],
)
def test_a_region_may_stand_where_livekits_plugin_has_it(config: STTConfig) -> None:
    built = ProviderFactory.create_stt(config)
    assert isinstance(built, CustomWebSocketSTTAdapter)
    assert built.ws_url == AZURE.replace("{region}", "westeurope")


def test_a_region_reaches_both_adapters_of_other_vendors() -> None:
    config = STTConfig("aws", api_key="AKIA:secret-of-mine", metadata={"region": "eu-west-1"})
    streaming = AWSProviderFactory.create_stt(config)
    assert isinstance(streaming, CustomWebSocketSTTAdapter)
    assert streaming.ws_url.startswith("wss://transcribestreaming.eu-west-1.amazonaws.com")
    metadata = {"mode": "batch", "region": "eu-west-1", "options": {"bucket": "mine"}}
    batch = AWSProviderFactory.create_stt(replace(config, metadata=metadata))
    assert isinstance(batch, CustomHTTPSTTAdapter)
    assert batch.endpoint_url == "https://transcribe.eu-west-1.amazonaws.com/"


def test_a_region_is_no_setting_of_a_vendor_without_regions() -> None:
    error = refused(DeepgramProviderFactory, STTConfig("deepgram", api_key=KEY, metadata={"region": "eu"}))
    assert str(error).startswith("metadata['region'] is not a setting of Deepgram: ")


@pytest.mark.parametrize("mode", ["stream", "batch"])
def test_a_missing_region_is_asked_for_by_every_name(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.delenv("AZURE_SPEECH_REGION", raising=False)
    message = str(refused(AzureProviderFactory, STTConfig("azure", api_key=KEY, metadata={"mode": mode})))
    assert message == (
        "azure: the region is missing: set speech_region (like 'westeurope') or AZURE_SPEECH_REGION, "
        "or give the whole URL"
    )
    monkeypatch.setenv("AZURE_SPEECH_REGION", "northeurope")
    built: Any = AzureProviderFactory.create_stt(STTConfig("azure", api_key=KEY, metadata={"mode": mode}))
    assert "northeurope" in (built.ws_url if mode == "stream" else built.endpoint_url)
