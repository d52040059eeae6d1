"""Configurations: what they accept, what they refuse, and that no credential shows."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest

from agents.providers.base import (
    ConfigurationError,
    LLMConfig,
    NotBuiltYetError,
    ProviderType,
    STTConfig,
    TTSConfig,
    check_metadata,
    suggest,
)
from agents.providers.redaction import Secret

KEY = "sk-very-secret-0123456789"
EVERY_KIND = pytest.mark.parametrize("kind", [STTConfig, LLMConfig, TTSConfig])


def test_provider_types_have_the_values_the_specification_names() -> None:
    assert {p.value for p in ProviderType} == {
        "openai",
        "azure",
        "custom_http",
        "custom_ws",
        "deepgram",
        "assemblyai",
        "google",
        "aws",
    }


@pytest.mark.parametrize("name", ["custom_ws", "CUSTOM_WS", "custom-ws", " Custom_WS "])
def test_a_provider_type_is_found_by_any_spelling_of_its_name(name: str) -> None:
    assert ProviderType(name) is ProviderType.CUSTOM_WS
    assert STTConfig(name).provider is ProviderType.CUSTOM_WS
    assert STTConfig(name) == STTConfig(ProviderType.CUSTOM_WS)


def test_a_provider_type_prints_as_its_value() -> None:
    assert f"{ProviderType.CUSTOM_WS}" == str(ProviderType.CUSTOM_WS) == "custom_ws"
    assert ProviderType.OPENAI == "openai"


def test_an_unknown_provider_type_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="deepgrm"):
        ProviderType("deepgrm")


def test_a_name_that_is_no_provider_type_is_kept_for_the_factory() -> None:
    assert STTConfig(" acme ").provider == "acme"


def test_configurations_take_the_arguments_of_the_specification() -> None:
    stt = STTConfig(
        provider=ProviderType.CUSTOM_WS, language="en-US", metadata={"ws_url": "wss://x/", "api_key": KEY}
    )
    llm = LLMConfig(provider=ProviderType.OPENAI, model="gpt-4", api_key=KEY)
    tts = TTSConfig(provider=ProviderType.OPENAI, voice="alloy", api_key=KEY)
    assert (stt.key, llm.key, tts.key) == (KEY, KEY, KEY)
    assert stt.metadata["api_key"] == KEY
    assert STTConfig("openai").language == "en-US"
    assert (llm.model, tts.voice, tts.language) == ("gpt-4", "alloy", None)


def test_positional_order_is_the_documented_one() -> None:
    assert STTConfig("openai", "de", "m", KEY, {"a": 1}) == STTConfig(
        provider="openai", language="de", model="m", api_key=KEY, metadata={"a": 1}
    )
    assert LLMConfig("openai", "m", KEY).model == "m"
    assert TTSConfig("openai", "alloy", "m", KEY, "de").language == "de"


@EVERY_KIND
def test_configurations_compare_copy_hash_and_pickle(kind: type[Any]) -> None:
    config = kind("openai", api_key=KEY, metadata={"options": {"a": [1]}})
    for other in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert other == config
        assert hash(other) == hash(config)
    assert dataclasses.replace(config, model="other") != config
    assert config != kind("azure", api_key=KEY)


def test_replacing_a_value_checks_it_again() -> None:
    with pytest.raises(ConfigurationError, match="model must be a text"):
        dataclasses.replace(STTConfig("openai"), model=3)  # type: ignore[arg-type]


def test_metadata_is_a_copy_all_the_way_down_but_keeps_objects() -> None:
    client = object()
    given = {"options": {"keyterms": ["a"]}, "client": client}
    config = STTConfig("openai", metadata=given)
    given["options"]["keyterms"].append("b")  # type: ignore[index]
    assert config.metadata["options"] == {"keyterms": ["a"]}
    assert config.metadata["client"] is client


@pytest.mark.parametrize(
    ("arguments", "key", "message"),
    [
        ({"provider": 3}, "provider", "provider must be a ProviderType or a name, not int"),
        ({"provider": " "}, "provider", "provider is empty"),
        ({"language": False}, "language", "language must be a text, not bool"),
        ({"language": ""}, "language", "language is empty: give a value, or leave it out"),
        ({"model": ["m"]}, "model", "model must be a text, not list"),
        ({"api_key": 123456}, "api_key", "api_key must be a text, not int"),
        ({"api_key": " "}, "api_key", "api_key is empty"),
        ({"metadata": ["x"]}, "metadata", "metadata must be a mapping, not list"),
        ({"metadata": {1: "x"}}, "metadata", "a name that is no text: 1"),
        ({"metadata": {"api_key": 5}}, "metadata.api_key", "metadata.api_key must be a text, not int"),
        ({"api_key": "a", "metadata": {"api_key": "b"}}, "api_key", "given twice and differs: keep either"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_built(arguments: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as raised:
        STTConfig(**{"provider": "openai", **arguments})
    assert raised.value.key == key


def test_a_wrong_voice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="voice must be a text, not int"):
        TTSConfig("openai", voice=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(("place", "given"), [("api_key", {}), ("metadata.api_key", {"api_key": "${SPEECH_KEY}"})])
def test_a_key_referred_to_in_the_way_of_a_shell_is_refused(place: str, given: dict[str, str]) -> None:
    config = STTConfig("openai", api_key=None if given else "${SPEECH_KEY}", metadata=given)
    with pytest.raises(ConfigurationError, match=r"write \$\{env:SPEECH_KEY\}$") as raised:
        _ = config.key
    assert raised.value.key == place


def test_the_same_key_in_both_places_is_fine() -> None:
    assert STTConfig("openai", api_key=KEY, metadata={"api_key": KEY}).key == KEY


def test_environment_references_are_resolved_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    config = STTConfig(
        "${env:WHO}",
        model="${env:MODEL}",
        api_key="${env:SPEECH}",
        metadata={"headers": {"X-Team": "team ${env:SPEECH}"}, "options": {"keyterms": ["${env:MODEL}"]}, "n": 3},
    )
    for name, value in {"WHO": "custom-ws", "MODEL": "large", "SPEECH": KEY}.items():
        monkeypatch.setenv(name, value)
    assert config.key == KEY
    assert config.api_key == "${env:SPEECH}"
    resolved = config.resolved()
    assert (resolved.provider, resolved.model, resolved.api_key) == (ProviderType.CUSTOM_WS, "large", KEY)
    assert resolved.metadata == {"headers": {"X-Team": f"team {KEY}"}, "options": {"keyterms": ["large"]}, "n": 3}


@pytest.mark.parametrize(
    ("config", "place"),
    [
        (STTConfig("openai", api_key="${env:NOT_SET_ANYWHERE}"), "api_key"),
        (STTConfig("openai", metadata={"api_key": "${env:NOT_SET_ANYWHERE}"}), "metadata.api_key"),
    ],
)
def test_a_missing_variable_is_named_with_the_setting_that_wants_it(config: STTConfig, place: str) -> None:
    for resolve in (config.resolved, lambda: config.key):
        with pytest.raises(ConfigurationError) as raised:
            resolve()
        assert str(raised.value) == (
            f"{place} wants the environment variable NOT_SET_ANYWHERE, which is not set: "
            f"set it, or put the value into {place}"
        )
        assert raised.value.key == place


def test_a_missing_variable_deep_in_metadata_is_named_by_its_place() -> None:
    with pytest.raises(ConfigurationError) as raised:
        STTConfig("openai", metadata={"options": {"keyterms": ["a", "${env:NOT_SET_ANYWHERE}"]}}).resolved()
    assert raised.value.key == "metadata.options.keyterms.1"


@EVERY_KIND
@pytest.mark.parametrize(
    "arguments",
    [
        {"api_key": KEY},
        {"api_key": Secret(KEY)},
        {"metadata": {"api_key": KEY}},
        {"metadata": {"api_key": Secret(KEY)}},
        {"metadata": {"token": KEY}},
        {"metadata": {"speech_key": KEY}},
        {"metadata": {"headers": {"X-Anything": f"Bearer {KEY}"}}},
        {"metadata": {"extra_headers": {"X-Anything": KEY}}},
        {"metadata": {"credentials": {"private_key": KEY, "list": [KEY]}}},
        {"metadata": {"options": [{"client_secret": KEY}]}},
        {"metadata": {"ws_url": f"wss://user:{KEY}@host/listen?token={KEY}&model=x"}},
        {"api_key": KEY, "metadata": {"note": f"the key is {KEY}"}},
        {"metadata": {"headers": {"Authorization": f"Bearer {KEY}"}, "note": f"the key is {KEY}"}},
        {"metadata": {"client": type("Client", (), {"__repr__": lambda self: KEY})()}},
        {"metadata": {"raw": KEY.encode()}},
    ],
)
def test_no_credential_is_printed(kind: type[Any], arguments: dict[str, Any]) -> None:
    config = kind("openai", **arguments)
    assert KEY not in repr(config)
    assert KEY not in str(config)
    assert KEY not in f"{[config]}"


def test_what_is_no_credential_is_printed() -> None:
    config = STTConfig(
        "custom_ws",
        api_key="${env:SPEECH_KEY}",
        metadata={
            "ws_url": "wss://host/listen?model=x",
            "sample_rate": 8000,
            "vendor": Path("acme.yaml"),
            "x": [None, True],
        },
    )
    assert repr(config) == (
        "STTConfig(provider='custom_ws', language='en-US', model=None, api_key='${env:SPEECH_KEY}', "
        "metadata={'ws_url': 'wss://host/listen?model=x', 'sample_rate': 8000, 'vendor': 'acme.yaml', "
        "'x': [None, True]})"
    )


def test_secrets_are_all_that_must_be_kept_out_of_texts() -> None:
    config = LLMConfig(
        "openai",
        api_key="one",
        metadata={"headers": {"A": "Bearer two"}, "base_url": "https://x/?token=three", "model_note": "four"},
    )
    assert set(config.secrets()) == {"one", "Bearer two", "two", "three"}


def test_an_unknown_metadata_key_is_refused_with_the_nearest_ones() -> None:
    config = STTConfig("custom_ws", metadata={"ws_ulr": KEY})
    with pytest.raises(ConfigurationError) as raised:
        check_metadata(config, ["ws_url", "options"], of="the adapter")
    assert str(raised.value) == (
        "metadata['ws_ulr'] is not a setting of the adapter: did you mean 'ws_url'? "
        "Known: api_key, options, ws_url"
    )
    assert raised.value.key == "metadata.ws_ulr"


@pytest.mark.parametrize("name", ["model", "language", "provider"])
def test_a_field_in_metadata_is_sent_where_it_belongs(name: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        check_metadata(STTConfig("custom_ws", metadata={name: "x"}), ["mode", "languages"], of="the adapter")
    assert str(raised.value) == (
        f"metadata[{name!r}] is not a setting of the adapter: it is a field of STTConfig itself, beside metadata. "
        "Known: api_key, languages, mode"
    )


def test_what_is_a_field_of_another_configuration_is_unknown() -> None:
    for name in ("voice", "key"):
        with pytest.raises(ConfigurationError, match="is not a setting of the adapter") as raised:
            check_metadata(STTConfig("custom_ws", metadata={name: "x"}), ["mode"], of="the adapter")
        assert "it is a field" not in str(raised.value)


def test_suggestions_name_what_is_near_and_what_there_is() -> None:
    assert suggest("Deepgrm", ["deepgram", "openai"]) == "did you mean 'deepgram'? Known: deepgram, openai"
    assert suggest("zzz", ["deepgram"]) == "Known: deepgram"
    assert suggest("zzz", []) == "Known: none"


def test_what_is_not_built_yet_is_a_configuration_error_and_a_not_implemented_one() -> None:
    assert issubclass(NotBuiltYetError, ConfigurationError)
    assert issubclass(NotBuiltYetError, NotImplementedError)
    assert issubclass(ConfigurationError, ValueError)
