"""`voxport demo`: what it shows, what it leaves behind, and when it fails."""

from __future__ import annotations

import json
import re
import wave
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agents.providers.base import ConfigurationError
from agents.providers.cli.call import CallRecord, Line, ToolUse, Turn
from agents.providers.cli.demo import _medians, _problems
from agents.providers.cli.parts import all_custom_parts
from agents.providers.cli.screen import revised
from agents.providers.cli.service import Service
from agents.providers.cli.word_errors import compare, together
from agents.providers.local.caller import CALLER_LINES, speak_line
from agents.providers.local.synthesiser import SAMPLE_RATE

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
    result = voxport("demo", "--audio", path, "--http", "--all-custom", "--output", tmp_path)
    assert result.exit_code == 0, result.stderr
    for adapter in ("CustomHTTPSTTAdapter", "CustomHTTPLLMAdapter", "CustomHTTPTTSAdapter", "the VAD says"):
        assert adapter in result.stdout
    assert LINE in (tmp_path / "transcript.txt").read_text()


def test_everything_is_custom_and_the_model_calls_a_tool(voxport: Voxport, tmp_path: Path) -> None:
    spoken = tmp_path / "booking.wav"
    with wave.open(str(spoken), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(speak_line("book a table for two on friday"))
    result = voxport("demo", "--all-custom", "--audio", spoken, "--output", tmp_path)
    assert result.exit_code == 0, result.stderr
    for built in (
        r"hears +CustomWebSocketSTTAdapter +generic at ws://127\.0\.0\.1:\d+/v1/stt/stream",
        r"thinks +CustomHTTPLLMAdapter +voxport-rules at http://127\.0\.0\.1:\d+/v1/chat/completions",
        r"speaks +CustomWebSocketTTSAdapter +generic at ws://127\.0\.0\.1:\d+/v1/tts/stream",
        r"medians: end of speech to final \d+ ms, LLM to first token \d+ ms, TTS to first byte \d+ ms",
    ):
        assert re.search(built, result.stdout), f"{built} is not in: {result.stdout}"
    assert "calls    book_table {" in result.stdout
    (turn,) = json.loads((tmp_path / "transcript.json").read_text())["turns"]
    (used,) = turn["tools"]
    assert (used["name"], json.loads(used["arguments"])) == ("book_table", {"day": "Friday", "guests": 2})
    assert turn["reply"] == used["result"] == "Table 12 is yours on Friday, for 2 people."
    assert len(turn["llm_first_token"]) == 2 and len(turn["tts_first_audio"]) == 1


async def test_parts_of_livekits_own_are_refused_where_all_is_to_be_custom(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text("stt: {provider: deepgram, api_key: k}\nllm: {provider: openai, api_key: k}\n")
    server: Any = SimpleNamespace(url="http://127.0.0.1:1", ws_url="ws://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match=r"no room for LiveKit's own livekit\.plugins\.openai") as refused:
        all_custom_parts(Service(config=config), server)
    assert f"give section llm of {config} a custom provider" in str(refused.value)


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
    compared = [compare("hello", "hello")]
    assert _problems(CallRecord([turn], SILENCE, SILENCE), compared, 1) == ["the agent did not answer turn 1"]
    assert _problems(CallRecord([turn], SILENCE, SILENCE, ["no voice"]), compared, 1) == [
        "the agent did not answer turn 1: no voice"
    ]


def test_a_call_that_ended_before_its_time_fails_the_demo() -> None:
    record = CallRecord([], SILENCE, SILENCE, ["the vendor hung up"])
    assert _problems(record, [], 4) == ["the vendor hung up"]
    assert _problems(CallRecord([], SILENCE, SILENCE), [], 4) == ["the call ended after 0 of 4 lines"]


def test_a_tool_that_was_not_called_or_not_told_of_fails_the_demo() -> None:
    turn = Turn(Line(SILENCE, "a table"), 0.0, 1.0, finals=[(1.5, "a table")], heard="a table", reply="Yes.")
    record, compared = CallRecord([turn], SILENCE, SILENCE), [compare("a table", "a table")]
    assert _problems(record, compared, 1) == []
    assert _problems(record, compared, 1, tool="book") == ["the language model did not call book"]
    turn.tools.append(ToolUse("book", "{}", "Table 12."))
    assert _problems(record, compared, 1, tool="book") == ["the agent did not say what book answered: Table 12."]
    turn.reply = "It is Table 12. Goodbye."
    assert _problems(record, compared, 1, tool="book") == []


def test_what_was_not_measured_is_not_shown() -> None:
    turns = [Turn(Line(SILENCE), 0.0, 1.0, first_tokens=[0.01, 0.02]), Turn(Line(SILENCE), 0.0, 1.0)]
    assert _medians(turns) == "medians: LLM to first token 15 ms"
    assert _medians(turns[1:]) == ""


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert compare("Ten of clubs.", "ten, OF clubs").rate == 0
    assert compare("a b c d", "a x c").lost == ("b", "d")
    assert compare("a b", "a b c d").errors == 2
    assert together([compare("a b c", "a b c"), compare("d", "")]).rate == 0.25


def test_a_revision_keeps_what_stands_and_marks_what_is_new() -> None:
    text = revised("what are your open", "what are your opening hours")
    assert text.plain == "what are your opening hours"
    assert text.plain[text.spans[-1].start : text.spans[-1].end].strip() == "opening hours"
