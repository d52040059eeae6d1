"""Configuration files: what is read from them, and that every error says where and what to change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.providers.base import ConfigurationError, LLMConfig, ProviderType, STTConfig, TTSConfig
from agents.providers.config_files import ConfigFile, Configs, load_config

KEY = "sk-very-secret-0123456789"

YAML = """\
stt:
  provider: custom_ws
  language: de-DE
  metadata:
    ws_url: wss://speech.example/v1
    api_key: ${env:SPEECH_KEY}
    sample_rate: 8000
    headers: {X-Team: voice}
llm:
  provider: openai
  model: gpt-4.1
  api_key: ${env:OPENAI_KEY}
tts:
  provider: openai
  voice: alloy
"""

TOML = """\
[stt]
provider = "custom_ws"
language = "de-DE"

[stt.metadata]
ws_url = "wss://speech.example/v1"
api_key = "${env:SPEECH_KEY}"
sample_rate = 8000
headers = { X-Team = "voice" }

[llm]
provider = "openai"
model = "gpt-4.1"
api_key = "${env:OPENAI_KEY}"

[tts]
provider = "openai"
voice = "alloy"
"""

WRITTEN = Configs(
    stt=STTConfig(
        ProviderType.CUSTOM_WS,
        language="de-DE",
        metadata={
            "ws_url": "wss://speech.example/v1",
            "api_key": "${env:SPEECH_KEY}",
            "sample_rate": 8000,
            "headers": {"X-Team": "voice"},
        },
    ),
    llm=LLMConfig(ProviderType.OPENAI, model="gpt-4.1", api_key="${env:OPENAI_KEY}"),
    tts=TTSConfig(ProviderType.OPENAI, voice="alloy"),
)


def written(folder: Path, text: str, name: str = "voxport.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def error_of(path: Path, **arguments: Any) -> str:
    with pytest.raises(ConfigurationError) as raised:
        load_config(path, **arguments)
    message = str(raised.value)
    assert message.startswith(str(path))
    assert KEY not in message
    return message.removeprefix(str(path))


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.yaml", YAML), ("a.yml", YAML), ("a.TOML", TOML), ("bom.yaml", "\ufeff" + YAML), ("json.yaml", None)],
)
def test_yaml_and_toml_say_the_same(tmp_path: Path, name: str, text: str | None) -> None:
    text = json.dumps(yaml.safe_load(YAML)) if text is None else text
    assert load_config(written(tmp_path, text, name)) == WRITTEN


def test_a_section_that_is_not_there_is_none(tmp_path: Path) -> None:
    configs = load_config(written(tmp_path, "llm: {provider: openai}"))
    assert configs == Configs(llm=LLMConfig("openai"))


def test_environment_references_are_left_for_when_a_provider_is_built(tmp_path: Path) -> None:
    stt = load_config(written(tmp_path, YAML)).stt
    assert stt is not None
    assert stt.metadata["api_key"] == "${env:SPEECH_KEY}"


def test_an_empty_metadata_section_is_no_metadata(tmp_path: Path) -> None:
    text = "stt:\n  provider: deepgram\n  model:\n  metadata:\n"
    assert load_config(written(tmp_path, text)).stt == STTConfig("deepgram")


def test_language_can_be_left_to_the_vendor(tmp_path: Path) -> None:
    stt = load_config(written(tmp_path, "stt: {provider: deepgram, language: null}")).stt
    assert stt is not None and stt.language is None


def test_the_language_norwegian_is_not_a_boolean(tmp_path: Path) -> None:
    stt = load_config(written(tmp_path, "stt: {provider: deepgram, language: no}")).stt
    assert stt is not None and stt.language == "no"


def test_a_vendor_profile_beside_the_file_is_found_from_anywhere(tmp_path: Path) -> None:
    written(tmp_path, "name: acme", "acme.yaml")
    path = written(tmp_path, "stt: {provider: custom_ws, metadata: {vendor: ./acme.yaml}}")
    stt = load_config(path).stt
    assert stt is not None and stt.metadata["vendor"] == str((tmp_path / "acme.yaml").resolve())


def test_a_vendor_profile_elsewhere_stays_as_it_is_written(tmp_path: Path) -> None:
    path = written(tmp_path, "stt: {provider: custom_ws, metadata: {vendor: ./acme.yaml}}")
    stt = load_config(path).stt
    assert stt is not None and stt.metadata["vendor"] == "./acme.yaml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "stt: {provider: openai}\nsst: {}\n",
            ":2: unknown section 'sst': did you mean 'stt'? Known: llm, stt, tts",
        ),
        (
            "stt:\n  provider: openai\n  modle: x\n",
            ":3: in stt: unknown setting 'modle': did you mean 'model'? "
            "Known: api_key, language, metadata, model, provider; what is the provider's own goes under metadata",
        ),
        (
            "llm:\n  provider: openai\n  voice: x\n",
            ":3: in llm: unknown setting 'voice': Known: api_key, metadata, model, provider; "
            "what is the provider's own goes under metadata",
        ),
        ("stt:\n  model: x\n", ":1: in stt: provider is missing, such as provider: openai"),
        ("llm: {provider: openai}\nstt: openai\n", ":2: stt must hold settings such as provider, not a text"),
        ("stt:\n", ":1: stt must hold settings such as provider, not nothing"),
        ("stt:\n  provider: openai\n  model: 4\n", ":3: in stt: model must be a text, not int"),
        (f"stt:\n  provider: openai\n  api_key: [{KEY}]\n", ":3: in stt: api_key must be a text, not list"),
        ("tts:\n  provider: openai\n  metadata: x\n", ":3: in tts: metadata must be a mapping, not str"),
        (
            "tts:\n  provider: openai\n  metadata:\n    a: b\n    api_key: 5\n",
            ":5: in tts: metadata.api_key must be a text, not int",
        ),
        ("stt:\n  provider: a\n  provider: b\n", ":3: is not valid YAML: 'provider' is given twice"),
        (f"stt:\n  api_key: '{KEY}\n", ":3: is not valid YAML: found unexpected end of stream"),
        (f"stt: {{api_key: {KEY}\nx: [", ":2: is not valid YAML: expected ',' or '}', but got ':'"),
        (
            "stt: {model: 2024-13-45}\n",
            ": is not valid YAML: a value only looks like a number or a date; put it in quotes",
        ),
        ("stt: \x07\n", ": is not valid YAML: a character that YAML does not allow"),
        ("- stt\n", ": must hold sections stt, llm, tts, not a list"),
        ("just text\n", ": must hold sections stt, llm, tts, not a text"),
        ("# nothing yet\n", ": is empty: it needs a section stt, llm or tts with a provider in it"),
        ("", ": is empty: it needs a section stt, llm or tts with a provider in it"),
        ("stt: &a {provider: x, metadata: {loop: *a}}\n", ": is nested too deeply, or refers to itself"),
    ],
)
def test_an_error_in_yaml_points_at_file_line_and_key(tmp_path: Path, text: str, message: str) -> None:
    assert error_of(written(tmp_path, text)) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[sst]\nprovider = "x"\n', ": unknown section 'sst': did you mean 'stt'? Known: llm, stt, tts"),
        (
            '[stt]\nprovder = "x"\n',
            ": in stt: unknown setting 'provder': did you mean 'provider'? "
            "Known: api_key, language, metadata, model, provider; what is the provider's own goes under metadata",
        ),
        ('[stt]\nprovider = "openai"\nmodel = 4\n', ": in stt: model must be a text, not int"),
        ("", ": is empty: it needs a section stt, llm or tts with a provider in it"),
    ],
)
def test_an_error_in_toml_points_at_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    assert error_of(written(tmp_path, text, "voxport.toml")) == message


def test_toml_that_is_none_says_the_line(tmp_path: Path) -> None:
    message = error_of(written(tmp_path, f"[stt]\napi_key = {KEY}\n", "voxport.toml"))
    assert message.startswith(": is not valid TOML: ") and "line 2" in message


def test_a_missing_section_is_named_with_those_there_are(tmp_path: Path) -> None:
    path = written(tmp_path, YAML.partition("tts:")[0])
    assert error_of(path, require=("stt", "tts")) == ": has no section 'tts'; it has 'stt', 'llm'"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, ": cannot be read: No such file or directory"),
        (lambda path: path.mkdir(), ": cannot be read: Is a directory"),
        (lambda path: path.write_bytes(b"stt: \xff\xfe"), ": is not UTF-8 text (byte 5)"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, make: Any, message: str) -> None:
    path = tmp_path / "voxport.yaml"
    make(path)
    assert error_of(path) == message


def test_a_file_of_another_kind_says_which_there_are(tmp_path: Path) -> None:
    assert error_of(written(tmp_path, "{}", "x.json")) == ": the name must end with one of .yaml, .yml, .toml"


def test_an_error_met_later_gets_the_place_of_its_key_and_keeps_its_kind(tmp_path: Path) -> None:
    class OwnError(ConfigurationError):
        pass

    path = written(tmp_path, YAML)
    file = ConfigFile.read(path)
    for key, line in (
        ("metadata.api_key", 6),
        ("metadata.headers.X-Team", 8),
        ("metadata.not.there", 4),
        (None, 1),
    ):
        with pytest.raises(OwnError) as raised, file.pointing_at("stt"):
            raise OwnError("fails", key=key)
        assert str(raised.value) == f"{path}:{line}: in stt: fails"


def test_a_file_does_not_print_what_it_holds(tmp_path: Path) -> None:
    path = written(tmp_path, f"stt: {{provider: x, metadata: {{api_key: {KEY}}}}}")
    assert KEY not in repr(ConfigFile.read(path))
    assert KEY not in repr(load_config(path))
