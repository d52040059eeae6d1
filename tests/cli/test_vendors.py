"""`voxport vendors`: listed, shown, begun and checked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents.providers.cli.vendor_new import starting_file
from agents.providers.profiles import find_problems, load_profile
from agents.providers.tts.websocket import CustomWebSocketTTSAdapter
from agents.providers.vendors import find_vendor, vendor_names

from .conftest import Voxport


def test_every_vendor_is_listed_with_what_it_can_do(voxport: Voxport) -> None:
    lines = {line.split()[0]: line for line in voxport("vendors").stdout.splitlines() if line.strip()}
    assert set(vendor_names()) <= set(lines)
    assert lines["deepgram"].split()[-1] == "DEEPGRAM_API_KEY"
    assert "ws, http" in lines["deepgram"]
    assert "diarize" in lines["deepgram"]
    assert lines["deepgram"].count("yes") == 4  # interims, words, keyterms, flush
    assert lines["jambonz"].count("yes") == 1
    speaks = ["ElevenLabs", "ws,", "http", "ELEVENLABS_API_KEY,", "ELEVEN_API_KEY"]
    assert lines["elevenlabs"].split()[1:] == speaks  # and does not hear


def test_the_page_is_printed(voxport: Voxport) -> None:
    page = voxport("vendors", "--markdown").stdout
    assert page.startswith("# Vendors\n")
    assert "| `whisperlive` |" in page


def test_a_vendor_is_shown_with_its_options(voxport: Voxport) -> None:
    shown = " ".join(voxport("vendors", "show", "whisperlive").stdout.split())
    for fact in (
        "WebSocket give its URL",
        "key goes to the header Authorization, if there is one",
        "model small",
        "speakers of streams (option enable_diarization)",
        "whisper-live 0.10.0",
        "task string: transcribe, translate; default transcribe",
        "no_speech_thresh number, 0 to 1",
        "https://github.com/collabora/WhisperLive",
    ):
        assert fact in shown


@pytest.mark.parametrize("name", vendor_names())
def test_every_vendor_can_be_shown(voxport: Voxport, name: str) -> None:
    result = voxport("vendors", "show", name)
    assert result.exit_code == 0
    assert f"({name})" in result.stdout
    profile = find_vendor(name).profile
    assert profile is not None
    assert all(f"\n{option} " in result.stdout for option in (*profile.options, *profile.speech.options))


def test_a_vendor_that_speaks_is_shown_with_its_voices(voxport: Voxport) -> None:
    shown = " ".join(voxport("vendors", "show", "deepgram").stdout.split())
    for fact in (
        "Deepgram (deepgram): ws, http; speaks ws, http",
        "speech, WebSocket wss://api.deepgram.com/v1/speak",
        "voice aura-2-thalia-en",
        "voices aura-2-thalia-en, aura-2-andromeda-en",
        "options of speech speed number, 0.7 to 1.5",
    ):
        assert fact in shown
    assert "word times of speech" in " ".join(voxport("vendors", "show", "cartesia").stdout.split())


def test_a_wrong_name_is_answered_with_the_nearest(voxport: Voxport) -> None:
    result = voxport("vendors", "show", "vsok")
    assert result.exit_code == 2
    assert "did you mean 'vosk'" in result.stderr


def test_a_new_file_is_sound_and_a_vendor(
    voxport: Voxport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = voxport("vendors", "new", "acme-speech")
    assert result.exit_code == 0
    path = tmp_path / "acme-speech.yaml"
    assert find_problems(path.read_text()) == []
    profile = load_profile(path)
    assert (profile.name, profile.title, profile.key_environment) == (
        "acme-speech",
        "Acme speech",
        "ACME_SPEECH_API_KEY",
    )
    vendor = find_vendor(path)
    assert vendor.streaming is not None
    assert vendor.batch is not None
    assert voxport("vendors", "lint", path).stdout == f"{path}: sound\n"
    assert voxport("vendors", "show", "./acme-speech.yaml").exit_code == 0


def test_a_new_file_names_a_schema_that_is_there(voxport: Voxport, tmp_path: Path) -> None:
    voxport("vendors", "new", "acme", "-o", tmp_path / "a.yaml")
    header = (tmp_path / "a.yaml").read_text().splitlines()[0]
    assert Path(header.partition("$schema=")[2]).is_file()


def test_a_new_file_is_checked_under_its_own_name(voxport: Voxport, tmp_path: Path) -> None:
    voxport("vendors", "new", "acme", "-o", tmp_path / "corp-speech.yaml")
    text = (tmp_path / "corp-speech.yaml").read_text()
    assert "voxport vendors lint corp-speech.yaml\n" in text and "acme.yaml" not in text
    assert "voxport vendors lint acme.yaml\n" in starting_file("acme")


def test_a_new_file_of_a_voice_is_sound_and_a_vendor_that_speaks(voxport: Voxport, tmp_path: Path) -> None:
    path = tmp_path / "acme.yaml"
    result = voxport("vendors", "new", "acme", "--voice", "-o", path)
    assert f'vendor="{path}"' in result.stdout
    assert voxport("vendors", "lint", path).stdout == f"{path}: sound\n"
    vendor = find_vendor(path)
    assert vendor.synthesis is not None and vendor.streaming_synthesis is not None
    assert vendor.streaming is None and vendor.batch is None
    adapter = CustomWebSocketTTSAdapter("ws://localhost:9/", "key", vendor=path, options={"pace": 1.2})
    assert (adapter.voice, adapter.capabilities.aligned_transcript) == ("anna", True)


@pytest.mark.parametrize(("asked", "suggestions"), [([], 7), (["--voice"], 10)], ids=["listens", "speaks"])
def test_what_is_commented_in_a_new_file_is_sound_as_well(
    voxport: Voxport, tmp_path: Path, asked: list[str], suggestions: int
) -> None:
    """Each of its suggestions can be taken."""
    path = tmp_path / "acme.yaml"
    voxport("vendors", "new", "acme", *asked, "--output", path)
    text = path.read_text()
    suggested = [line for line in text.splitlines() if re.match(r" {2}(  )?# (?!goes)[a-z_]+: ", line)]
    assert len(suggested) == suggestions
    for line in suggested:
        taken = text.replace(line, line.replace("# ", "", 1))
        if "ready_wait" in line:
            taken = taken.replace("rules: ", "rules:\n      - {case: ready, event: ready} ")
        assert find_problems(taken) == [], line


def test_a_file_is_not_overwritten_unasked(voxport: Voxport, tmp_path: Path) -> None:
    path = tmp_path / "acme.yaml"
    path.write_text("mine")
    result = voxport("vendors", "new", "acme", "-o", path)
    assert result.exit_code == 1
    assert "--force" in result.stderr
    assert path.read_text() == "mine"
    assert voxport("vendors", "new", "acme", "-o", path, "--force").exit_code == 0
    assert "name: acme" in path.read_text()


@pytest.mark.parametrize("name", ["Acme", "1up", "a b", "../acme", ""])
def test_a_name_that_is_none_is_refused(voxport: Voxport, tmp_path: Path, name: str) -> None:
    result = voxport("vendors", "new", name, "-o", tmp_path / "x.yaml")
    assert result.exit_code == 2
    assert "lower-case letters" in result.stderr
    assert not (tmp_path / "x.yaml").exists()


def test_a_name_that_is_taken_is_said(voxport: Voxport, tmp_path: Path) -> None:
    assert "already" in voxport("vendors", "new", "vosk", "-o", tmp_path / "x.yaml").stdout


def test_problems_are_told_with_line_and_remedy(voxport: Voxport, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.yaml", tmp_path / "good.yaml"
    voxport("vendors", "new", "good", "-o", good)
    bad.write_text(
        "name: bad\ntitle: Bad\nstreaming:\n  urll: wss://x\n  query: {model: '${modle}'}\n"
        "  results: {rules: [{event: final, text: text}]}\n"
    )
    result = voxport("vendors", "lint", bad, good)
    assert result.exit_code == 1
    assert result.stdout == f"{bad}:4: streaming.urll: unknown key, did you mean 'url'?\n{good}: sound\n"
    bad.write_text(bad.read_text().replace("urll", "url"))
    result = voxport("vendors", "lint", bad)
    assert result.exit_code == 1
    assert result.stdout.startswith(
        f"{bad}:5: streaming.query.model: ${{modle}} is not known, did you mean 'model'"
    )


def test_every_built_in_file_is_sound(voxport: Voxport) -> None:
    import agents.providers.vendors as package

    files = sorted(Path(package.__file__).parent.glob("*.yaml"))
    result = voxport("vendors", "lint", *files)
    assert result.exit_code == 0, result.stdout


def test_a_file_that_is_not_there_is_said(voxport: Voxport, tmp_path: Path) -> None:
    result = voxport("vendors", "lint", tmp_path / "no.yaml")
    assert result.exit_code == 1
    assert "No such file" in result.stderr
