"""AssemblyAI's protocol, driven by messages: turns, short audio, changes in band, tokens, jobs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.providers.adapters import CustomWebSocketSTTAdapter
from agents.providers.base import ConfigurationError
from agents.providers.protocol import (
    Conversation,
    Failure,
    Final,
    Finished,
    HttpRequest,
    HttpResponse,
    JobFailed,
    Partial,
    Pcm,
    ProtocolError,
    Ready,
    Settings,
    SpeechEnded,
    SpeechStarted,
    StreamingProtocol,
    Verdict,
    Wait,
)
from agents.providers.redaction import Secret
from agents.providers.vendors import find_vendor

URL = "wss://streaming.assemblyai.com/v3/ws"


def settings(**given: Any) -> Settings:
    return Settings(**{"url": URL, "api_key": Secret("the-key"), "language": "en-US", **given})


def streaming() -> StreamingProtocol:
    protocol = find_vendor("assemblyai").streaming
    assert protocol is not None
    return protocol


def talk(**given: Any) -> Conversation:
    return streaming().converse(settings(**given))


def turn(text: str, *, start: int = 0, **fields: Any) -> str:
    words = [
        {
            "text": word,
            "start": start + 100 * n,
            "end": start + 100 * n + 80,
            "confidence": 0.5,
            "word_is_final": False,
        }
        for n, word in enumerate(text.split())
    ]
    message = {"type": "Turn", "turn_order": 0, "turn_is_formatted": False, "end_of_turn": False}
    return json.dumps({**message, "transcript": "", "utterance": "", "words": words, **fields})


def test_interims_come_from_the_words_for_the_transcript_lags_behind() -> None:
    [partial] = talk().receive(turn("so it goes", transcript="so"))
    assert isinstance(partial, Partial)
    assert (partial.text, partial.start, partial.stable) == ("so it goes", 0.0, False)
    assert partial.end == pytest.approx(0.28)
    assert partial.confidence == 0.5
    assert talk().receive(turn("")) == []


def test_an_utterance_within_a_turn_is_text_that_will_not_change() -> None:
    [partial] = talk().receive(turn("so it", utterance="so it"))
    assert isinstance(partial, Partial)
    assert partial.stable


def test_a_turn_is_final_once() -> None:
    """With format_turns when it is formatted, else when it ends."""
    ended = turn("so it goes", transcript="so it goes", end_of_turn=True, language_code="en", speaker_label="B")
    formatted = turn("So it goes.", transcript="So it goes.", end_of_turn=True, turn_is_formatted=True)
    [final] = talk().receive(ended)
    assert isinstance(final, Final)
    assert (final.text, final.language, final.speaker, final.ends_utterance) == ("so it goes", "en", "B", True)
    conversation = talk(options={"format_turns": True}, model="universal-streaming-english")
    [stable] = conversation.receive(ended)
    assert isinstance(stable, Partial)
    assert stable.stable
    [final] = conversation.receive(formatted)
    assert isinstance(final, Final)
    assert final.text == "So it goes."
    assert [word.text for word in final.words or ()] == ["So", "it", "goes."]


@pytest.mark.parametrize("label", ["UNKNOWN", "PENDING", None])
def test_a_speaker_nobody_knows_is_none(label: str | None) -> None:
    [final] = talk().receive(turn("so", transcript="so", end_of_turn=True, speaker_label=label))
    assert isinstance(final, Final)
    assert final.speaker is None


def test_an_empty_turn_ends_the_utterance_without_text() -> None:
    final, ended = talk().receive(turn("", end_of_turn=True))
    assert isinstance(final, Final)
    assert final.text == ""
    assert isinstance(ended, SpeechEnded)


def test_the_frame_of_a_session() -> None:
    conversation = talk()
    [ready] = conversation.receive('{"type":"Begin","id":"abc","expires_at":1}')
    assert ready == Ready("abc")
    [started] = conversation.receive('{"type":"SpeechStarted","timestamp":120,"confidence":0.9}')
    assert isinstance(started, SpeechStarted)
    assert started.at == pytest.approx(0.12)
    assert conversation.receive('{"type":"Termination","audio_duration_seconds":5}') == [Finished()]
    for kind in ("Heartbeat", "Silence", "SpeakerRevision", "Warning", "LLMGatewayResponse", "NotYetKnown"):
        assert conversation.receive(json.dumps({"type": kind})) == []


@pytest.mark.parametrize(
    ("code", "text", "verdict"),
    [
        (1008, "Unauthorized Connection: Invalid API key", Verdict.PERMANENT),
        (1008, "Too many concurrent sessions", Verdict.TRANSIENT),
        (3005, "Session Cancelled: An error occurred", Verdict.TRANSIENT),
        (3006, "User Input Validation Error: Invalid 'encoding'", Verdict.PERMANENT),
        (3006, "Session terminated due to inactivity: No messages received for 5 seconds", Verdict.RECYCLE),
        (3007, "Input Duration Error: Input Duration Violation: 25.0 ms", Verdict.PERMANENT),
        (3007, "Audio Transmission Rate Exceeded: Received 9 sec. audio in 1 sec", Verdict.TRANSIENT),
        (3008, "Session Expired: Maximum session duration exceeded", Verdict.RECYCLE),
        (3009, "Too many", Verdict.TRANSIENT),
        (None, "something", Verdict.TRANSIENT),
    ],
)
def test_errors_in_band_mean_what_their_code_and_text_say(code: int | None, text: str, verdict: Verdict) -> None:
    [failure] = talk().receive(json.dumps({"type": "Error", "error_code": code, "error": text}))
    assert isinstance(failure, Failure)
    assert (failure.verdict, failure.message) == (verdict, text)


def test_audio_too_short_is_filled_up_and_times_are_put_back() -> None:
    """The service's clock runs ahead by the silence that was filled in; ours does not."""
    conversation = talk(sample_rate=16000)
    assert conversation.audio(b"\1" * 1600) == (b"\1" * 1600,)
    [filled] = conversation.audio(b"\1" * 640)  # 20 of 50 ms
    assert filled == b"\1" * 640 + bytes(960)
    conversation.audio(b"\1" * 3200)
    # on the wire: 50 ms, 20 ms, 30 ms of filling, 100 ms
    [before, within, after] = [
        conversation.receive(json.dumps({"type": "SpeechStarted", "timestamp": at}))[0] for at in (60, 90, 150)
    ]
    assert [event.at for event in (before, within, after)] == pytest.approx([0.06, 0.07, 0.12])  # type: ignore[union-attr]
    [partial] = conversation.receive(turn("so it", start=150))
    assert isinstance(partial, Partial)
    assert partial.words is not None
    assert [word.start for word in partial.words] == pytest.approx([0.12, 0.22])


def test_every_filling_counts() -> None:
    conversation = talk(sample_rate=16000)
    for _ in range(3):  # each 20 ms of audio in 50 ms
        conversation.audio(b"\1" * 640)
    ends = [
        conversation.receive(json.dumps({"type": "SpeechStarted", "timestamp": at}))[0] for at in (50, 110, 150)
    ]
    assert [event.at for event in ends] == pytest.approx([0.02, 0.05, 0.06])  # type: ignore[union-attr]


def test_settings_change_in_band_where_they_can() -> None:
    conversation = talk(options={"min_turn_silence": 300}, keyterms=("Voxport",))
    messages = conversation.update(settings(options={"min_turn_silence": 900}, keyterms=("Voxport", "a b")))
    assert messages is not None
    assert [json.loads(str(message)) for message in messages] == [
        {"type": "UpdateConfiguration", "min_turn_silence": 900, "keyterms_prompt": ["Voxport", "a b"]}
    ]
    assert conversation.update(settings(options={"min_turn_silence": 900}, keyterms=("Voxport", "a b"))) == []
    [message] = conversation.update(settings(options={"min_turn_silence": 900}, language="fr")) or ()
    assert json.loads(str(message)) == {
        "type": "UpdateConfiguration",
        "keyterms_prompt": [],
        "language_codes": ["fr"],
    }


@pytest.mark.parametrize(
    "change",
    [
        {"model": "universal-3-6-pro"},
        {"options": {"format_turns": True}},
        {"options": {"speaker_labels": True}},
        {"options": {}},  # a setting cannot be taken back
        {"sample_rate": 8000},
    ],
)
def test_other_changes_want_a_new_connection(change: dict[str, Any]) -> None:
    assert talk(options={"min_turn_silence": 300}).update(settings(**change)) is None


def query(**given: Any) -> str:
    return streaming().connect(settings(**given)).url.partition("?")[2]


def test_the_language_steers_models_that_can_be_steered() -> None:
    assert "language_codes=%5B%22en%22%5D" in query()
    assert "language_codes" not in query(language="tlh")
    assert "language_codes=%5B%22es%22%5D" in query(options={"language_codes": ["es"]})
    assert "language_codes" not in query(model="universal-streaming-multilingual")
    assert "language_detection=true" in query(model="universal-streaming-multilingual")
    assert "language_detection=false" in query(model="universal-streaming-english")


def test_keyterms_are_one_list_in_json() -> None:
    terms = query(keyterms=("a b", "c"), options={"keyterms_prompt": ["c", "d"]})
    assert "keyterms_prompt=%5B%22a%20b%22%2C%22c%22%2C%22d%22%5D" in terms


def test_a_temporary_token_stands_in_the_keys_place() -> None:
    given = settings(options={"temporary_token": True, "max_session_duration_seconds": 600})
    flow = streaming().prepare(given)
    request: Any = next(flow)
    assert request.url == (
        "https://streaming.assemblyai.com/v3/token?expires_in_seconds=60&max_session_duration_seconds=600"
    )
    assert request.headers["Authorization"] == "the-key"
    with pytest.raises(StopIteration) as done:
        flow.send(HttpResponse(200, {}, b'{"token":"short-lived"}'))
    target = done.value.value
    assert target.headers["Authorization"] == "short-lived"
    assert "token" not in target.url
    flow = streaming().prepare(given)
    next(flow)
    with pytest.raises(ValueError, match="no token"):
        flow.send(HttpResponse(200, {}, b'{"tokens":1}'))


def test_the_retired_realtime_url_is_answered_with_the_one_to_use() -> None:
    """The specification's second example."""
    with pytest.raises(ConfigurationError, match=r"wss://streaming\.assemblyai\.com/v3/ws"):
        CustomWebSocketSTTAdapter(ws_url="wss://api.assemblyai.com/v2/realtime/ws", api_key="k", sample_rate=16000)


def test_what_would_end_the_session_is_refused_before() -> None:
    with pytest.raises(ConfigurationError, match="1750"):
        streaming().check(settings(options={"agent_context": "x" * 1751}))
    with pytest.raises(ConfigurationError, match="did you mean 'min_turn_silence'"):
        streaming().check(settings(options={"min_turn_silense": 1}))


def job(*replies: Any, **given: Any) -> tuple[Any, list[HttpRequest]]:
    """A recording's flow, answered with *replies*; its result and what it asked for."""
    batch = find_vendor("assemblyai").batch
    assert batch is not None
    flow = batch.recognise(
        Pcm(bytes(3200), 16000), settings(url="https://api.assemblyai.com/v2/transcript", **given)
    )
    asked: list[HttpRequest] = []
    answers = list(replies)
    try:
        step = next(flow)
        while True:
            if isinstance(step, Wait):
                step = flow.send(None)
            else:
                asked.append(step)
                step = flow.send(HttpResponse(200, {}, json.dumps(answers.pop(0)).encode()))
    except StopIteration as done:
        return done.value, asked


def test_a_recording_is_uploaded_submitted_and_polled() -> None:
    word = {"text": "so", "start": 100, "end": 400, "confidence": 0.7, "speaker": "A"}
    done = {
        "id": "7",
        "status": "completed",
        "text": "so",
        "words": [word],
        "confidence": 0.7,
        "language_code": "en",
    }
    result, asked = job({"upload_url": "u"}, {"id": "7", "status": "queued"}, {"status": "processing"}, done)
    assert [request.url for request in asked] == [
        "https://api.assemblyai.com/v2/upload",
        "https://api.assemblyai.com/v2/transcript",
        "https://api.assemblyai.com/v2/transcript/7",
        "https://api.assemblyai.com/v2/transcript/7",
    ]
    assert isinstance(asked[1].body, bytes)
    assert json.loads(asked[1].body) == {"audio_url": "u", "language_code": "en"}
    assert (result.text, result.start, result.end, result.speaker) == ("so", 0.1, 0.4, "A")


def test_a_language_is_detected_when_none_is_given() -> None:
    done = {"status": "completed", "text": ""}
    for unset in ({"language": None}, {"options": {"language_detection": True}}):
        _, asked = job({"upload_url": "u"}, {"id": "7"}, done, **unset)
        assert isinstance(asked[1].body, bytes)
        assert json.loads(asked[1].body) == {"audio_url": "u", "language_detection": True}


def test_a_failed_job_is_tried_again_only_when_that_may_help() -> None:
    for reason, verdict in (
        ("Server error, try again", Verdict.TRANSIENT),
        ("Download error, unable to open", Verdict.PERMANENT),
    ):
        with pytest.raises(JobFailed, match=f"AssemblyAI: the job failed: {reason}") as raised:
            job({"upload_url": "u"}, {"id": "7"}, {"status": "error", "error": reason})
        assert raised.value.failure.verdict is verdict


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "start", "end"]), inner),
    max_leaves=6,
)
_FIELDS = (
    "transcript",
    "utterance",
    "words",
    "end_of_turn",
    "turn_is_formatted",
    "speaker_label",
    "timestamp",
    "id",
)
_KINDS = ("Turn", "Begin", "SpeechStarted", "Error", "Termination")


@given(
    kind=st.sampled_from(_KINDS),
    fields=st.dictionaries(st.sampled_from((*_FIELDS, "error", "error_code")), _JSON),
    formatted=st.booleans(),
)
def test_absurd_types_are_protocol_errors_at_worst(kind: str, fields: dict[str, Any], formatted: bool) -> None:
    conversation = talk(options={"format_turns": formatted})
    conversation.audio(b"\0\0")
    try:
        conversation.receive(json.dumps({**fields, "type": kind}))
    except ProtocolError:
        pass


@pytest.mark.parametrize("message", ["", "[]", "null", "{", b"\xff\xfe", "1", '{"type":[]}'])
def test_garbage_is_a_protocol_error_or_nothing(message: str | bytes) -> None:
    try:
        assert talk().receive(message) == []
    except ProtocolError:
        pass
