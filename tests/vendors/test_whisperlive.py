"""WhisperLive's protocol, by its server's source."""

from __future__ import annotations

import json
from typing import Any

import pytest
from self_hosted import talk

from agents.providers.protocol import Event, Failure, Final, Partial, Ready, Verdict


def _segment(start: float, end: float, text: str, *, completed: bool, **more: Any) -> dict[str, Any]:
    return {"start": f"{start:.3f}", "end": f"{end:.3f}", "text": text, "completed": completed, **more}


def _window(conversation: Any, *segments: dict[str, Any]) -> list[Event]:
    return list(conversation.receive(json.dumps({"uid": "x", "segments": segments})))


def test_the_first_message_holds_everything() -> None:
    conversation = talk("whisperlive", keyterms=("opening hours", "Voxport"), options={"clip_audio": True})
    (message,) = conversation.opening()
    options = json.loads(message)
    assert len(options.pop("uid")) == 36
    assert options == {
        "language": "en",
        "model": "small",
        "hotwords": "opening hours,Voxport",
        "task": "transcribe",
        "use_vad": True,
        "send_last_n_segments": 10,
        "same_output_threshold": 5,
        "clip_audio": True,
    }


def test_without_a_language_the_server_finds_it() -> None:
    conversation = talk("whisperlive", language=None)
    assert "language" not in json.loads(conversation.opening()[0])  # type: ignore[arg-type]
    assert conversation.receive('{"uid":"x","language":"de","language_prob":0.9}') == []


def test_audio_waits_until_the_model_is_loaded() -> None:
    assert talk("whisperlive").receive('{"uid":"x","message":"SERVER_READY","backend":"faster_whisper"}') == [
        Ready()
    ]


def test_a_completed_segment_is_final_once_though_it_comes_again() -> None:
    conversation = talk("whisperlive")
    first = _segment(0.0, 1.5, " one two", completed=True)
    assert _window(conversation, _segment(0.0, 1.2, " one", completed=False)) == [Partial("one", 0.0, 1.2)]
    assert _window(conversation, first, _segment(1.5, 2.0, " three", completed=False)) == [
        Final("one two", 0.0, 1.5),
        Partial("three", 1.5, 2.0),
    ]
    assert _window(conversation, first, _segment(1.5, 2.5, " three four", completed=True)) == [
        Final("three four", 1.5, 2.5)
    ]
    assert _window(conversation, first) == []


def test_speakers_are_told() -> None:
    (final,) = _window(talk("whisperlive"), _segment(0.0, 1.0, "hi", completed=True, speaker="SPEAKER_00"))
    assert isinstance(final, Final)
    assert final.speaker == "SPEAKER_00"


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        ({"status": "WAIT", "message": 2.5}, Verdict.TRANSIENT),
        ({"status": "ERROR", "message": "Failed to load model: huge"}, Verdict.PERMANENT),
    ],
)
def test_a_status_is_a_failure(message: dict[str, Any], verdict: Verdict) -> None:
    (failure,) = talk("whisperlive").receive(json.dumps({"uid": "x", **message}))
    assert isinstance(failure, Failure)
    assert failure.verdict is verdict
    assert str(message["message"]) in failure.message or failure.message == "WAIT"


@pytest.mark.parametrize(
    "message",
    [
        {"status": "WARNING", "message": "TensorRT-LLM not supported on Server yet."},
        {"message": "DISCONNECT"},
        {"translated_segments": []},
    ],
)
def test_the_rest_is_ignored(message: dict[str, Any]) -> None:
    assert talk("whisperlive").receive(json.dumps({"uid": "x", **message})) == []
