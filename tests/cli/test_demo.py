"""`voxport demo`: what it shows, what it leaves behind, and when it fails."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np

from agents.providers.cli.call import CallRecord, Line, Turn
from agents.providers.cli.demo import _problems
from agents.providers.cli.screen import revised
from agents.providers.cli.word_errors import compare, together
from agents.providers.local.caller import CALLER_LINES

from .conftest import LINE, Recording, Voxport

FIRST_LINE = CALLER_LINES[0]
SILENCE = np.zeros(10, np.int16)


def test_a_call_is_shown_kept_and_drawn(voxport: Voxport, tmp_path: Path) -> None:
    result = voxport("demo", "--lines", "1", "--output", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert f"heard    {FIRST_LINE}" in result.stdout
    assert "hears    what are" in result.stdout
    assert "7 of 7 words understood" in result.stdout
    kept = json.loads((tmp_path / "transcript.json").read_text())
    assert kept["turns"][0]["user_turn"] == FIRST_LINE
    assert 0 < kept["turns"][0]["speech_end_to_final"] < 5
    assert f"Caller: {FIRST_LINE}" in (tmp_path / "transcript.txt").read_text()
    with wave.open(str(tmp_path / "conversation.wav")) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 24000)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    assert np.abs(both).max(axis=0).min() > 3000, "both sides are to be heard"
    assert (tmp_path / "timeline.png").read_bytes().startswith(b"\x89PNG")


def test_a_recording_is_the_caller(voxport: Voxport, recording: Recording, tmp_path: Path) -> None:
    path = recording("caller.mp3", rate=44100, channels=2, codec="libmp3lame")
    result = voxport("demo", "--audio", path, "--http", "--output", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert LINE in (tmp_path / "transcript.txt").read_text()


def test_what_cannot_be_heard_is_said_before_anything_starts(voxport: Voxport, tmp_path: Path) -> None:
    result = voxport("demo", "--audio", tmp_path / "nowhere.wav", "--output", tmp_path)
    assert result.exit_code == 1
    assert result.stderr == f"error: {tmp_path / 'nowhere.wav'} does not exist\n"


def test_words_that_were_lost_fail_the_demo_and_are_named() -> None:
    turn = Turn(
        Line(SILENCE, "ten of clubs"), 0.0, 1.0, finals=[(1.5, "tin clubs")], heard="tin clubs", reply="Yes."
    )
    (problem,) = _problems(CallRecord([turn], SILENCE, SILENCE), [compare("ten of clubs", "tin clubs")], 1)
    assert "words lost: ten, of" in problem


def test_a_turn_without_an_answer_fails_the_demo() -> None:
    turn = Turn(Line(SILENCE, "hello"), 0.0, 1.0, finals=[(1.5, "hello")], heard="hello")
    assert _problems(CallRecord([turn], SILENCE, SILENCE), [compare("hello", "hello")], 1) == [
        "the agent did not answer turn 1"
    ]


def test_a_call_that_ended_before_its_time_fails_the_demo() -> None:
    record = CallRecord([], SILENCE, SILENCE, ["the vendor hung up"])
    assert _problems(record, [], 4) == ["the vendor hung up"]
    assert _problems(CallRecord([], SILENCE, SILENCE), [], 4) == ["the call ended after 0 of 4 lines"]


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert compare("Ten of clubs.", "ten, OF clubs").rate == 0
    assert compare("a b c d", "a x c").lost == ("b", "d")
    assert compare("a b", "a b c d").errors == 2
    assert together([compare("a b c", "a b c"), compare("d", "")]).rate == 0.25


def test_a_revision_keeps_what_stands_and_marks_what_is_new() -> None:
    text = revised("what are your open", "what are your opening hours")
    assert text.plain == "what are your opening hours"
    assert text.plain[text.spans[-1].start : text.spans[-1].end].strip() == "opening hours"
