"""`docs/generic-protocol.md` describes what the generic protocol does: its messages are tried."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from agents.providers.local.dialects.generic_speech import GenericSpeech
from agents.providers.local.dialects.generic_ws import GenericWebSocket
from agents.providers.protocol import (
    Audio,
    Conversation,
    Failure,
    Final,
    Flushed,
    HttpResponse,
    Partial,
    Ready,
    SegmentDone,
    Settings,
    SpeechEnded,
    SpeechStarted,
    SpokenWords,
    SynthesisConversation,
    SynthesisForm,
    Verdict,
    Word,
    judge_close,
    judge_status,
)
from agents.providers.vendors import find_vendor

PAGE = (Path(__file__).parents[2] / "docs" / "generic-protocol.md").read_text(encoding="utf-8")
VOICE = Settings(
    "ws://localhost:1/speak",
    voice="anna",
    language="en-US",
    model="large",
    sample_rate=24000,
    options={"speed": 1.1},
)
SETTINGS = Settings("ws://localhost:1/stream", language="en-US", model="general", options={"beam": 5})


def _messages(kind: str) -> list[Any]:
    return [
        json.loads(text) for text in re.findall(rf"^```json {kind}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    ]


@pytest.fixture
def talk() -> Conversation:
    protocol = find_vendor("generic").streaming
    assert protocol is not None
    return protocol.converse(SETTINGS)


def test_the_client_sends_what_the_page_says(talk: Conversation) -> None:
    sent = [*talk.opening(), *talk.flush(), *talk.close()]
    assert [json.loads(str(message)) for message in sent] == _messages("client")


def test_the_server_is_understood_as_the_page_says(talk: Conversation) -> None:
    events = [event for message in _messages("server") for event in talk.receive(json.dumps(message))]
    words = [Word("what", 0.31, 0.46, 0.97, "1"), Word("are", 0.46, 0.58)]
    assert events == [
        Partial("what are your", 0.31, 1.02),
        Final("what are your opening hours", 0.31, 1.88, "en-US", 0.94, "1", words),
        SpeechStarted(0.3),
        SpeechEnded(1.9),
        Flushed(),
        Ready("c2a1"),
        Failure("all decoders are taken", Verdict.TRANSIENT, 503, detail={"code": "503"}),
    ]
    assert talk.receive('{"type": "metrics", "load": 3}') == []


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *((status, Verdict.PERMANENT) for status in (400, 401, 402, 403, 404)),
        *((status, Verdict.TRANSIENT) for status in (408, 429, 500, 503)),
    ],
)
def test_statuses_mean_what_the_page_says(talk: Conversation, status: int, verdict: Verdict) -> None:
    (failure,) = talk.receive(json.dumps({"type": "error", "message": "no", "code": status}))
    assert isinstance(failure, Failure)
    assert (failure.verdict, judge_status(status), judge_close(4000 + status)) == (verdict, verdict, verdict)


def test_close_codes_mean_what_the_page_says() -> None:
    assert {judge_close(code) for code in (1003, 1008, 1009, 1010, 4001, 4003)} == {Verdict.PERMANENT}
    assert {judge_close(code) for code in (None, 1000, 1001, 1006, 1011, 1012)} == {Verdict.TRANSIENT}


def test_answers_are_read_as_the_page_says() -> None:
    protocol = find_vendor("generic").batch
    assert protocol is not None
    (answer,) = _messages("answer")
    headers = {"content-type": "application/json"}
    for body in (answer, {"result": answer}, {"results": [answer]}):
        if body is not answer:
            body = json.loads(json.dumps(body).replace('"text"', '"transcript"'))
        read = protocol.parse(HttpResponse(200, headers, json.dumps(body).encode()), SETTINGS)
        assert (read.text, read.language, read.confidence) == ("what are your opening hours", "en-US", 0.94)
        assert read.end == 1.9
        assert [word.text for word in read.words or ()] == ["what"]
    plain = HttpResponse(200, {"content-type": "text/plain; charset=utf-8"}, b"what are your\n")
    assert protocol.parse(plain, SETTINGS).text == "what are your"


@pytest.mark.parametrize(
    "body", ['{"message": "too loud"}', '{"error": "too loud"}', '{"error": {"message": "too loud"}}']
)
def test_messages_of_errors_are_shown(body: str) -> None:
    protocol = find_vendor("generic").batch
    assert protocol is not None
    failure = protocol.failure(HttpResponse(422, {"content-type": "application/json"}, body.encode()))
    assert failure.message == "too loud"


@pytest.fixture
def speech() -> SynthesisConversation:
    protocol = find_vendor("generic").streaming_synthesis
    assert protocol is not None
    return protocol.converse(VOICE)


def test_the_client_asks_for_speech_as_the_page_says(speech: SynthesisConversation) -> None:
    protocol = find_vendor("generic").synthesis
    assert protocol is not None
    body = protocol.request("We open at nine.", VOICE).body
    assert isinstance(body, bytes)
    assert [json.loads(body)] == _messages("speech-request")
    sent = [
        *speech.opening(),
        *speech.begin("seg-1"),
        *speech.text("We open "),
        *speech.flush(),
        *speech.end(),
        *speech.cancel(),
        *speech.close(),
    ]
    assert [json.loads(str(message)) for message in sent] == _messages("speech-client")


def test_a_speaking_server_is_understood_as_the_page_says(speech: SynthesisConversation) -> None:
    speech.begin("seg-1")
    events = [event for message in _messages("speech-server") for event in speech.receive(json.dumps(message))]
    assert events == [
        Ready("c2a1"),
        SynthesisForm("audio/pcm", 22050),
        SpokenWords([Word("We", 0.05, 0.17), Word("open", 0.17, 0.52)]),
        SegmentDone(),
        Failure("there is no voice 'anna'", Verdict.PERMANENT, 404, detail={"code": "404"}),
    ]
    speech.begin("seg-2")
    assert speech.receive('{"type": "done", "id": "seg-1"}') == []  # of another segment
    assert speech.receive(b"\1\0") == [Audio(b"\1\0")]
    speech.cancel()
    assert speech.receive(b"\1\0") == []  # "thrown away by the client"
    assert speech.receive('{"type": "done", "id": "seg-2"}') == [SegmentDone()]


def test_the_answers_are_the_kinds_of_audio_the_page_says() -> None:
    protocol = find_vendor("generic").synthesis
    assert protocol is not None
    table = PAGE.partition("## Speech over HTTP")[2].partition("Errors are")[0]
    kinds = re.findall(r"`(audio/[^`]+)`", table)
    assert len(kinds) == 10
    for kind in kinds:
        form = protocol.form(HttpResponse(200, {"content-type": kind}, b""), VOICE)
        rate = re.search(r"rate=(\d+)", kind)
        assert form.sample_rate == (int(rate[1]) if rate else 8000 if kind == "audio/basic" else 24000)


def test_the_server_to_compare_with_is_where_the_page_says() -> None:
    for dialect in (GenericWebSocket, GenericSpeech):
        for _, path, _ in dialect(None).routes():  # type: ignore[arg-type]
            assert f"`{path}`" in PAGE


def test_forms_of_the_body_are_all_on_the_page() -> None:
    profile = find_vendor("generic").profile
    assert profile is not None
    for form in profile.options["body"].choices or ():
        assert f"| `{form}`" in PAGE
