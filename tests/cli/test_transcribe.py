"""`voxport transcribe` against a real server: what it prints, what it keeps, how it fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from .conftest import LINE, VOXPORT, Recording, Voxport

WS, HTTP = "/v1/stt/stream", "/v1/stt"


@pytest.fixture
def ways(serve: tuple[str, str]) -> dict[str, list[str]]:
    """The options that reach the server, by mode."""
    return {"ws": ["--url", serve[1] + WS], "http": ["--url", serve[0] + HTTP]}


@pytest.mark.parametrize("mode", ["ws", "http"])
def test_a_recording_is_written_down(
    voxport: Voxport, ways: dict[str, list[str]], recording: Recording, mode: str
) -> None:
    result = voxport("transcribe", recording("a.wav"), *ways[mode])
    assert result.stdout == f"{LINE}\n"
    assert result.exit_code == 0


@pytest.mark.parametrize("mode", ["ws", "http"])
def test_many_files_of_many_kinds_are_heard_alike(
    voxport: Voxport, ways: dict[str, list[str]], recording: Recording, tmp_path: Path, mode: str
) -> None:
    files = [
        recording("a.wav", rate=48000, channels=2),
        recording("b.flac", rate=44100, codec="flac"),
        recording("c.mp3", rate=44100, channels=2, codec="libmp3lame"),
        recording("d.ogg", rate=48000, codec="libopus"),
    ]
    out = tmp_path / "out"
    result = voxport("transcribe", *files, *ways[mode], "--output", out, "--concurrency", "2")
    assert result.exit_code == 0, result.stderr
    assert {path.name: path.read_text() for path in out.iterdir()} == {f"{n}.txt": f"{LINE}\n" for n in "abcd"}


def test_without_a_url_the_embedded_server_is_started(voxport: Voxport, recording: Recording) -> None:
    result = voxport("transcribe", recording("a.wav"))
    assert result.stdout == f"{LINE}\n"


@pytest.mark.parametrize("mode", ["ws", "http"])
def test_json_and_captions_have_times(
    voxport: Voxport, ways: dict[str, list[str]], recording: Recording, mode: str
) -> None:
    path = recording("a.wav")
    said = json.loads(voxport("transcribe", path, *ways[mode], "--format", "json").stdout)
    assert said["text"] == LINE
    assert [word["word"] for word in said["segments"][0]["words"]] == LINE.split()
    assert 0 < said["segments"][0]["words"][0]["start"] < said["duration"]
    srt = voxport("transcribe", path, *ways[mode], "--format", "srt").stdout
    assert srt.startswith("1\n00:00:00,")
    assert LINE in srt


def test_files_of_one_name_do_not_overwrite_each_other(
    voxport: Voxport, ways: dict[str, list[str]], recording: Recording, tmp_path: Path
) -> None:
    files = [recording("a.wav"), recording("a.flac", codec="flac")]
    voxport("transcribe", *files, *ways["ws"], "--output", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.flac.txt", "a.txt"]


def test_what_fails_is_in_a_table_and_the_others_are_not_lost(
    voxport: Voxport, ways: dict[str, list[str]], recording: Recording, tmp_path: Path
) -> None:
    letter = tmp_path / "letter.wav"
    letter.write_text("Dear Sir or Madam")
    result = voxport("transcribe", letter, recording("a.wav"), tmp_path / "nowhere.wav", *ways["ws"])
    assert result.exit_code == 1
    assert LINE in result.stdout
    assert "2 of 3 failed" in result.stderr
    assert "is not an audio file" in result.stderr
    assert "does not exist" in result.stderr


def test_a_truncated_recording_is_heard_as_far_as_it_goes(
    voxport: Voxport, ways: dict[str, list[str]], recording: Recording
) -> None:
    path = recording("a.wav")
    path.write_bytes(path.read_bytes()[:-20000])
    result = voxport("transcribe", path, *ways["ws"])
    assert result.exit_code == 0
    assert result.stdout.startswith("thank you")
    assert "is cut off" in result.stderr


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--vendor", "depgram"], 2, "did you mean 'deepgram'"),
        (["--vendor", "deepgram"], 2, "DEEPGRAM_API_KEY"),
        (["--vendor", "generic"], 2, "give --url"),
        (["--url", "ftp://host/x"], 2, "must start with"),
        (["--url", "http://host/x", "--ws"], 2, "did you mean"),
        (["--url", "ws://192.0.2.1/x", "--api-key", "secret"], 2, "in clear text"),
        (["--url", "wss://host/x", "--api-key", "${env:NO_SUCH_KEY}"], 2, "NO_SUCH_KEY"),
        (["--option", "keyterm"], 2, "takes name=value"),
        (["--config", "nowhere.yaml"], 2, "nowhere.yaml"),
        (["--config", "a.yaml", "--vendor", "deepgram"], 2, "leave out"),
        (["--url", "ws://127.0.0.1:1/x"], 1, "refused"),
        (["--url", "http://127.0.0.1:1/x"], 1, "refused"),
    ],
)
def test_a_mistake_is_one_clear_line(
    voxport: Voxport, recording: Recording, options: list[str], status: int, message: str
) -> None:
    result = voxport("transcribe", recording("a.wav"), *options)
    assert result.exit_code == status
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr
    assert "secret" not in result.stderr


def test_captions_of_several_files_need_a_folder(voxport: Voxport, recording: Recording) -> None:
    result = voxport("transcribe", recording("a.wav"), recording("b.wav"), "--format", "vtt")
    assert result.exit_code == 2
    assert "--output" in result.stderr


def test_a_configuration_file_says_who_hears(
    voxport: Voxport, serve: tuple[str, str], recording: Recording, tmp_path: Path
) -> None:
    config = tmp_path / "voxport.yaml"
    config.write_text(f"stt:\n  provider: custom_ws\n  metadata:\n    ws_url: {serve[1]}{WS}\n")
    assert voxport("transcribe", recording("a.wav"), "--config", config).stdout == f"{LINE}\n"


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_ctrl_c_keeps_what_was_heard(ways: dict[str, list[str]], recording: Recording, tmp_path: Path) -> None:
    """Interrupted once the first interim is on the screen, which is a pseudo-terminal."""
    screen, its_end = os.openpty()
    command = [*VOXPORT, "transcribe", str(recording("a.wav", times=20)), *ways["ws"], "--realtime"]
    environment = {**os.environ, "COLUMNS": "200", "TERM": "xterm"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=its_end, env=environment, text=True) as process:
        os.close(its_end)
        shown = b""
        while b"thank you" not in shown:
            shown += os.read(screen, 4096)
        process.send_signal(signal.SIGINT)
        rest = b""
        try:
            while piece := os.read(screen, 4096):
                rest += piece
        except OSError:  # Linux says so when the other end is closed
            pass
        printed, _ = process.communicate(timeout=20)
    os.close(screen)
    assert process.returncode == 130
    assert printed.startswith("thank you")
    assert b"what was heard is kept" in rest
    assert b"Traceback" not in rest
