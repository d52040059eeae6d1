"""How a vendor is found, and that every file is sound."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

import agents.providers.vendors as vendors
from agents.providers.base import ConfigurationError
from agents.providers.profiles import Profile, ProfileBatch, ProfileStreaming, find_problems
from agents.providers.vendors import Vendor, find_vendor, vendor_names

FOLDER = Path(vendors.__file__).parent
FILES = sorted(FOLDER.glob("*.yaml"))
NAMES = [path.stem for path in FILES if not path.stem.startswith("_")]  # others are parts of a vendor
HEADER = "# yaml-language-server: $schema=../profiles/profile.schema.json\n"

MINE = """\
name: mine
title: Mine
streaming:
  url: ws://mine.test
  results: {rules: [{event: final, text: text}]}
"""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_is_sound_and_named_for_its_vendor(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert find_problems(text, source=path.name) == []
    assert text.startswith(HEADER)
    if path.stem in NAMES:
        assert find_vendor(path.stem).name == path.stem


def test_hosts_are_those_of_the_files() -> None:
    known = {host: name for name in vendor_names() for host in find_vendor(name).hosts}
    assert known == vendors._HOSTS


@pytest.mark.parametrize("host", ["api.deepgram.com", "api.eu.deepgram.com", "x.api.deepgram.com"])
def test_auto_says_what_an_address_is_that_no_vendor_here_speaks_to(host: str) -> None:
    for url in (f"wss://{host}/v2/speak", f"https://{host}/v2/speak?model=flux-alexis-en"):
        with pytest.raises(ConfigurationError) as raised:
            find_vendor("auto", url=url)
        assert str(raised.value) == (
            "/v2/speak is Deepgram's Flux text-to-speech, which Voxport does not speak: use /v1/speak (Aura), or"
            " LiveKit's plugin, provider='livekit:deepgram.TTSv2'. Flux for recognition is /v2/listen"
        )


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("wss://api.deepgram.com/v1/listen", "deepgram"),
        ("https://API.deepgram.com", "deepgram"),
        ("wss://api.eu.deepgram.com/v1/listen", "deepgram"),
        ("wss://api.au.deepgram.com/v2/listen", "deepgram_flux"),
        ("wss://eu.api.openai.com/v1/realtime", "openai"),
        ("wss://streaming.us.assemblyai.com/v3/ws", "assemblyai"),
        ("https://api.eu.assemblyai.com", "assemblyai"),
        ("https://sync.eu.assemblyai.com/transcribe", "assemblyai_sync"),
        ("wss://virginia.stt.speech.azure.us", "azure"),
        ("https://virginia.api.cognitive.microsoft.us", "azure"),
        ("https://chinaeast2.api.cognitive.azure.cn", "azure"),
        ("wss://mine.cognitiveservices.azure.us", "azure"),
        ("https://fips.transcribe.us-gov-west-1.amazonaws.com", "aws"),
        ("https://cn.transcribe.cn-north-1.amazonaws.com.cn", "aws"),
        ("wss://transcribestreaming.cn-north-1.amazonaws.com.cn:8443/p", "aws"),
        ("wss://transcribestreaming.eusc-de-east-1.amazonaws.eu:8443/p", "aws"),
        ("wss://transcribestreaming-fips.us-east-1.api.aws:8443/p", "aws"),
        ("wss://api.eu.deepgram.com.evil.test/v1/listen", "generic"),
        ("wss://evil.test.deepgram.com/v1/listen", "generic"),
        ("wss://eu.api.openai.com.evil.test/v1/realtime", "generic"),
        ("wss://transcribestreaming.us-east-1.api.aws.evil.test/p", "generic"),
        ("wss://evil.test/api.deepgram.com", "generic"),
        ("ws://localhost:8080/v1/listen", "generic"),
        ("", "generic"),
        ("ws://[broken", "generic"),
    ],
)
def test_auto_recognises_the_host(url: str, name: str) -> None:
    assert find_vendor("auto", url=url).name == name


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean 'deepgram' or .*by its path"):
        find_vendor("deepgran")
    with pytest.raises(ConfigurationError, match=r"known are .*generic"):
        find_vendor("")


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    vendor = find_vendor(path)
    assert (vendor.name, vendor.streaming_url, vendor.batch) == ("mine", "ws://mine.test", None)
    assert find_vendor(str(path)) is vendor
    path.write_text(MINE.replace("event", "evnt"))
    with pytest.raises(ConfigurationError, match=r"mine\.yaml:5: .*did you mean 'event'"):
        find_vendor(path)
    with pytest.raises(ConfigurationError, match="no profile file"):
        find_vendor(tmp_path / "other.yaml")


def test_objects_are_taken_as_they_are() -> None:
    vendor = find_vendor("deepgram")
    assert find_vendor(vendor) is vendor
    assert isinstance(vendor.profile, Profile)
    assert find_vendor(vendor.profile).name == "deepgram"
    assert isinstance(vendor.streaming, ProfileStreaming)
    assert find_vendor(vendor.streaming).streaming is vendor.streaming
    assert isinstance(vendor.batch, ProfileBatch)
    assert find_vendor(vendor.batch).batch is vendor.batch
    with pytest.raises(ConfigurationError, match="is int, not a vendor"):
        find_vendor(7)  # type: ignore[arg-type]


def test_a_class_is_not_the_object_it_makes() -> None:
    with pytest.raises(
        ConfigurationError, match=r"is the class .*ProfileBatch.*give an object of it, ProfileBatch\("
    ):
        find_vendor(ProfileBatch)  # type: ignore[arg-type]
    with pytest.raises(
        ConfigurationError, match=r"is the class .*Path.*: give a Vendor, a Profile, a protocol object"
    ):
        find_vendor(Path)  # type: ignore[arg-type]


def test_deepgram_says_what_a_factory_needs() -> None:
    vendor = find_vendor("deepgram")
    assert (vendor.title, vendor.key_environment, vendor.default_model) == (
        "Deepgram",
        "DEEPGRAM_API_KEY",
        "nova-3",
    )
    assert vendor.streaming_url == "wss://api.deepgram.com/v1/listen"
    assert vendor.batch_url == "https://api.deepgram.com/v1/listen"


def test_a_key_may_customarily_be_in_several_variables() -> None:
    assert find_vendor("deepgram").key_variables == ("DEEPGRAM_API_KEY",)
    assert find_vendor("elevenlabs").key_variables == ("ELEVENLABS_API_KEY", "ELEVEN_API_KEY")
    assert find_vendor("vosk").key_variables == ()
    several = Vendor("acme", "Acme", key_environment=("A_KEY", "B_KEY"))
    assert several.key_variables == ("A_KEY", "B_KEY")


OF_PACKAGES: dict[str, Callable[[], Any] | Any] = {
    "acme": Vendor("acme", "Acme"),
    "made": lambda: Vendor("made", "Made"),
    "file": str(FOLDER / "generic.yaml"),
    "wrong": 5,
}


def explode() -> Vendor:
    raise RuntimeError("out of order")


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed packages with vendors of their own, one of them broken."""
    module = sys.modules[__name__]
    for name, value in OF_PACKAGES.items():
        monkeypatch.setattr(module, f"vendor_{name}", value, raising=False)
    points = [EntryPoint(name, f"{__name__}:vendor_{name}", "voxport.vendors") for name in OF_PACKAGES]
    points += [
        EntryPoint("broken", "no.such.module:VENDOR", "voxport.vendors"),
        EntryPoint("exploding", f"{__name__}:explode", "voxport.vendors"),
    ]
    monkeypatch.setattr(vendors, "entry_points", lambda group: EntryPoints(points))
    vendors._from_entry_point.cache_clear()


@pytest.mark.usefixtures("packages")
def test_packages_add_vendors() -> None:
    assert {"acme", "made", "broken", "deepgram"} <= set(vendor_names())
    assert find_vendor("acme").title == "Acme"
    assert find_vendor("made").title == "Made"
    assert find_vendor("file").name == "generic"


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize(
    ("name", "says"),
    [("broken", "cannot be loaded.*ModuleNotFoundError"), ("exploding", "out of order"), ("wrong", "is int")],
)
def test_a_broken_package_is_an_error_only_when_it_is_asked_for(name: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        find_vendor(name)


def test_importing_the_registry_loads_no_profile() -> None:
    code = (
        "import sys, agents.providers.vendors as v; v.vendor_names();"
        "assert not {'yaml', 'pydantic', 'jmespath', 'numpy', 'agents.providers.profiles'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("name", "option", "used_by"),
    [
        ("aws", "bucket", "batch"),
        ("aws", "max_speaker_labels", "batch"),
        ("aws", "preferred_language", "streaming"),
        ("aws", "identify_language", "both"),
        ("google", "denoiser_config", "both"),
        ("google", "speech_contexts", "both"),
    ],
)
def test_options_of_a_second_file_are_listed_too(name: str, option: str, used_by: str) -> None:
    """A vendor whose services are in two files is one vendor to whoever looks for an option."""
    profile = find_vendor(name).profile
    assert profile is not None
    assert profile.options[option].used_by == used_by
