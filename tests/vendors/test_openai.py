"""OpenAI's protocol, driven by events: the order of items, what answers a flush, sessions by model, addresses."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.providers.base import ConfigurationError
from agents.providers.protocol import (
    Conversation,
    Event,
    Failure,
    Final,
    Finished,
    Flushed,
    FormField,
    HttpResponse,
    Partial,
    Pcm,
    ProtocolError,
    Ready,
    Recognition,
    Settings,
    SpeechEnded,
    SpeechStarted,
    StreamingProtocol,
    Usage,
    Verdict,
)
from agents.providers.redaction import Secret
from agents.providers.vendors import find_vendor

SECOND = bytes(48000)
LIVE = "gpt-live-transcribe"


def settings(**given: Any) -> Settings:
    fields = {"url": "wss://api.openai.com/v1/realtime", "api_key": Secret("k"), "language": "en-US"}
    return Settings(**{**fields, "sample_rate": 24000, **given})


def streaming() -> StreamingProtocol:
    protocol = find_vendor("openai").streaming
    assert protocol is not None
    return protocol


class Talk:
    """A conversation, and the vendor's events by their short names."""

    def __init__(self, **given: Any) -> None:
        self.inner: Conversation = streaming().converse(settings(**given))

    def hear(self, kind: str, item: str = "", **fields: Any) -> list[Event]:
        prefix = {
            "delta": "conversation.item.input_audio_transcription.",
            "completed": "conversation.item.input_audio_transcription.",
            "failed": "conversation.item.input_audio_transcription.",
            "committed": "input_audio_buffer.",
            "speech_started": "input_audio_buffer.",
            "speech_stopped": "input_audio_buffer.",
        }.get(kind, "")
        return list(self.inner.receive(json.dumps({"type": prefix + kind, "item_id": item, **fields})))

    def refuse(self, commit: str) -> list[Event]:
        """The server has nothing to commit."""
        error = {"type": "invalid_request_error", "code": "input_audio_buffer_commit_empty", "event_id": commit}
        return self.hear("error", error=error)


def sent(messages: Any) -> list[dict[str, Any]]:
    return [json.loads(message) for message in messages]


def told(**given: Any) -> Any:
    """The input of the session that is asked for."""
    [update] = sent(streaming().converse(settings(**given)).opening())
    assert update["type"] == "session.update"
    assert update["session"]["type"] == "transcription"
    return update["session"]["audio"]["input"]


def test_an_utterance_the_server_ends() -> None:
    talk = Talk()
    assert talk.hear("session.created", session={"id": "sess_1"}) == [Ready("sess_1")]
    assert talk.hear("speech_started", "a", audio_start_ms=300) == [SpeechStarted(0.3)]
    assert talk.hear("speech_stopped", "a", audio_end_ms=1500) == [SpeechEnded(1.5)]
    assert talk.hear("committed", "a", previous_item_id=None) == []
    assert [e.text for e in talk.hear("delta", "a", delta="so") if isinstance(e, Partial)] == ["so"]
    assert [e.text for e in talk.hear("delta", "a", delta=" it") if isinstance(e, Partial)] == ["so it"]
    final, usage = talk.hear(
        "completed", "a", transcript="So it", usage={"type": "tokens", "input_tokens": 12, "output_tokens": 2}
    )
    assert isinstance(final, Final)
    assert (final.text, final.start, final.end, final.ends_utterance) == ("So it", 0.3, 1.5, True)
    assert usage == Usage(0.0, 12, 2)


def test_transcripts_come_out_in_the_order_of_the_items() -> None:
    """Though the second was finished first; a delta shows all that is not final yet."""
    talk = Talk()
    for item, before in (("a", None), ("b", "a"), ("c", "b")):
        talk.hear("speech_stopped", item, audio_end_ms=1)
        talk.hear("committed", item, previous_item_id=before)
    assert talk.hear("completed", "b", transcript="two") == []
    [partial] = talk.hear("delta", "a", delta="on")
    assert isinstance(partial, Partial)
    assert partial.text == "on two"
    finals = talk.hear("completed", "a", transcript="one")
    assert [event.text for event in finals if isinstance(event, Final)] == ["one", "two"]
    [last] = talk.hear("completed", "c", transcript="three")
    assert isinstance(last, Final)
    assert last.text == "three"


def test_the_order_is_that_of_previous_item_id() -> None:
    talk = Talk()
    talk.hear("delta", "b", delta="two")
    talk.hear("committed", "a", previous_item_id=None)
    talk.hear("committed", "b", previous_item_id="a")
    assert talk.hear("completed", "b", transcript="two") == []
    finals = talk.hear("completed", "a", transcript="one")
    assert [event.text for event in finals if isinstance(event, Final)] == ["one", "two"]


def test_a_flush_is_answered_by_the_item_of_its_commit() -> None:
    talk = Talk()
    talk.inner.audio(SECOND)
    [commit] = sent(talk.inner.flush())
    assert commit == {"type": "input_audio_buffer.commit", "event_id": "commit_1"}
    assert talk.hear("committed", "a") == []
    final, flushed = talk.hear("completed", "a", transcript="so")
    assert isinstance(final, Final)
    assert final.end == 1.0  # where the commit was
    assert flushed == Flushed()


def test_a_flush_before_the_server_noticed_speech_begins_where_the_item_before_ended() -> None:
    """The commit overtook its discovery that somebody speaks, which alone says where."""
    talk = Talk()
    for item, begin, end in (("a", 0.0, 1.0), ("b", 1.0, 2.0)):
        talk.inner.audio(SECOND)
        talk.inner.flush()
        talk.hear("committed", item)
        final = talk.hear("completed", item, transcript="so")[0]
        assert isinstance(final, Final)
        assert (final.start, final.end) == (begin, end)


def test_silence_that_was_committed_is_an_empty_final() -> None:
    talk = Talk()
    talk.inner.audio(SECOND)
    talk.inner.flush()
    talk.hear("committed", "a")
    final, ended, flushed = talk.hear("completed", "a", transcript="")
    assert isinstance(final, Final)
    assert (final.text, final.end, final.ends_utterance) == ("", 1.0, False)
    assert (ended, flushed) == (SpeechEnded(1.0), Flushed())


def test_a_flush_the_server_came_before_is_answered_by_what_it_committed() -> None:
    """Its own commit at the end of speech left nothing; that is no error."""
    talk = Talk()
    talk.hear("speech_stopped", "a", audio_end_ms=900)
    talk.hear("committed", "a")
    talk.inner.flush()
    assert talk.refuse("commit_1") == []
    assert talk.hear("completed", "a", transcript="so")[-1] == Flushed()
    talk.inner.flush()
    assert talk.refuse("commit_2") == [Flushed()]  # nothing is under way


def test_the_end_is_told_by_the_last_commit_for_there_is_no_closing_message() -> None:
    talk = Talk()
    talk.inner.audio(SECOND)
    talk.inner.flush()
    talk.inner.close()
    assert talk.refuse("commit_2") == []  # the flush has taken all
    talk.hear("committed", "a")
    events = talk.hear("completed", "a", transcript="so")
    assert [type(event) for event in events] == [Final, Flushed, Flushed, Finished]
    quiet = Talk()
    quiet.inner.close()
    assert quiet.refuse("commit_1") == [Flushed(), Finished()]


def test_without_turn_detection_a_short_rest_is_filled_up_to_what_can_be_committed() -> None:
    talk = Talk(model=LIVE)
    talk.inner.audio(SECOND)
    assert [m["type"] for m in sent(talk.inner.flush())] == ["input_audio_buffer.commit"]
    talk.inner.audio(bytes(960))  # 20 ms
    filling, commit = sent(talk.inner.flush())
    assert len(base64.b64decode(filling["audio"])) + 960 >= 4800
    assert commit["type"] == "input_audio_buffer.commit"
    talk.hear("committed", "a")
    talk.hear("committed", "b")
    [final, _] = talk.hear("completed", "a", transcript="so")
    assert isinstance(final, Final)
    assert (final.start, final.end) == (0.0, 1.0)
    [final, _] = talk.hear("completed", "b", transcript="it")
    assert isinstance(final, Final)
    assert (final.start, final.end) == (1.0, 1.02)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        ({"type": "invalid_request_error", "code": "invalid_value"}, Verdict.PERMANENT),
        ({"type": "invalid_request_error", "code": "session_expired"}, Verdict.RECYCLE),
        ({"type": "server_error", "code": None}, Verdict.TRANSIENT),
        ({"type": "tokens", "code": "rate_limit_exceeded"}, Verdict.TRANSIENT),
        ({"type": "insufficient_quota", "code": "insufficient_quota"}, Verdict.PERMANENT),
        ({"type": "new_kind"}, Verdict.TRANSIENT),
    ],
)
def test_errors_mean_what_their_code_says_else_their_type(error: dict[str, Any], verdict: Verdict) -> None:
    [failure] = Talk().hear("error", error={"message": "why", **error})
    assert isinstance(failure, Failure)
    assert (failure.verdict, failure.message) == (verdict, "why")
    [failure] = Talk().hear("failed", "a", error={"message": "why", "type": "server_error"})
    assert isinstance(failure, Failure)
    assert failure.verdict is Verdict.TRANSIENT


def test_a_session_says_what_its_model_takes() -> None:
    plain = told()
    assert plain["transcription"] == {"model": "gpt-4o-mini-transcribe", "language": "en"}
    assert plain["turn_detection"] == {"type": "server_vad"}
    assert plain["format"] == {"type": "audio/pcm", "rate": 24000}
    live = told(model=LIVE, keyterms=("a",), options={"keywords": ["a", "b"], "languages": ["de-DE", "de", "en"]})
    assert live["transcription"] == {"model": LIVE, "keywords": ["a", "b"], "languages": ["de", "en"]}
    assert live["turn_detection"] is None
    assert told(options={"turn_detection": "none"})["turn_detection"] is None
    assert told(options={"turn_detection": "semantic_vad"})["turn_detection"] == {"type": "semantic_vad"}
    assert "languages" not in told(model=LIVE, language=None)["transcription"]
    several = told(model=LIVE, language=None, options={"languages": ["de", "en"]})
    assert several["transcription"]["languages"] == ["de", "en"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"options": {"keywords": ["a"]}}, "gpt-live-transcribe"),
        ({"options": {"turn_detection": "sever_vad"}}, "server_vad, semantic_vad, none"),
        ({"model": LIVE, "options": {"turn_detection": "server_vad"}}, "takes no turn_detection"),
    ],
)
def test_what_the_service_would_refuse_is_refused_before(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        streaming().check(settings(**given))


def test_settings_change_in_band_unless_something_is_taken_back() -> None:
    talk = Talk(model=LIVE, options={"prompt": "a"})
    [update] = sent(talk.inner.update(settings(model=LIVE, options={"prompt": "b"}, keyterms=("k",))))
    assert update["session"]["audio"]["input"]["transcription"]["keywords"] == ["k"]
    assert talk.inner.update(settings(model=LIVE, options={"prompt": "b"}, keyterms=("k",))) == []
    assert talk.inner.update(settings(model=LIVE)) is None
    assert talk.inner.update(settings(options={"prompt": "b"})) is None  # another model


def test_a_part_of_turn_detection_that_is_taken_back_wants_a_new_connection() -> None:
    """What the service makes of an object in which something is missing is nowhere said."""
    vad = {"turn_detection": {"silence_duration_ms": 300}}
    talk = streaming().converse(settings(options=vad))
    assert talk.update(settings()) is None
    assert talk.update(settings(options={"turn_detection": {"silence_duration_ms": 400}}))
    assert talk.update(settings(options={"turn_detection": "none"}))  # the whole of it, by its name


def test_only_models_with_keywords_are_said_to_have_them() -> None:
    assert streaming().traits(settings(model=LIVE)).keyterms
    assert not streaming().traits(settings()).keyterms


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("wss://api.openai.com", "wss://api.openai.com/v1/realtime?intent=transcription"),
        ("wss://api.openai.com/v1", "wss://api.openai.com/v1/realtime?intent=transcription"),
        ("wss://eu.api.openai.com/v1", "wss://eu.api.openai.com/v1/realtime?intent=transcription"),
        ("ws://h:8000/v1/", "ws://h:8000/v1/realtime?intent=transcription&model=gpt-4o-mini-transcribe"),
        ("ws://h/v1/realtime?model=mine", "ws://h/v1/realtime?model=mine&intent=transcription"),
    ],
)
def test_other_servers_are_found_by_their_base_url(url: str, target: str) -> None:
    """They choose by `model`; at OpenAI it would ask for another kind of session."""
    assert streaming().connect(settings(url=url)).url == target


def form(**given: Any) -> tuple[str, dict[str, list[Any]]]:
    batch = find_vendor("openai").batch
    assert batch is not None
    flow = batch.recognise(Pcm(bytes(320), 16000), settings(**{"url": "https://api.openai.com/v1", **given}))
    request: Any = next(flow)
    fields: dict[str, list[Any]] = {}
    for field in request.body:
        assert isinstance(field, FormField)
        fields.setdefault(field.name, []).append(field.value)
    del fields["file"]
    return request.url, fields


def test_a_recordings_form_says_what_its_model_takes() -> None:
    url, fields = form(options={"temperature": 0})
    assert url == "https://api.openai.com/v1/audio/transcriptions"
    assert fields == {
        "model": ["gpt-4o-mini-transcribe"],
        "language": ["en"],
        "response_format": ["json"],
        "temperature": ["0"],
    }
    _, fields = form(model="gpt-transcribe", options={"keywords": ["a", "b"], "languages": ["en", "de"]})
    assert (fields["keywords[]"], fields["languages[]"]) == (["a", "b"], ["en", "de"])
    assert "language" not in fields
    _, fields = form(model="whisper-1", options={"response_format": "verbose_json"})
    assert fields["timestamp_granularities[]"] == ["word", "segment"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["code", "id", "seconds"]), inner),
    max_leaves=5,
)
_KINDS = (
    "speech_started",
    "speech_stopped",
    "committed",
    "delta",
    "completed",
    "failed",
    "error",
    "session.created",
)
_FIELDS = ("item_id", "previous_item_id", "delta", "transcript", "usage", "languages", "error", "session")


@given(
    events=st.lists(
        st.tuples(st.sampled_from(_KINDS), st.dictionaries(st.sampled_from((*_FIELDS, "audio_end_ms")), _JSON)),
        max_size=6,
    )
)
def test_absurd_types_are_protocol_errors_at_worst(events: list[tuple[str, dict[str, Any]]]) -> None:
    talk = Talk()
    talk.inner.close()
    for kind, fields in events:
        try:
            talk.hear(kind, **{"item": "a", **{k: v for k, v in fields.items() if k != "item_id"}})
        except ProtocolError:
            pass


@pytest.mark.parametrize(
    "message", ["", "[]", "null", "{", b"\xff", '{"type":[]}', '{"type":"input_audio_buffer.committed"}']
)
def test_garbage_is_a_protocol_error(message: str | bytes) -> None:
    with pytest.raises(ProtocolError):
        Talk().inner.receive(message)


def events(*data: str) -> HttpResponse:
    body = "".join(f"event: x\ndata: {line}\n\n" for line in data)
    return HttpResponse(200, {"content-type": "text/event-stream; charset=utf-8"}, body.encode())


def recognised(response: HttpResponse) -> Recognition:
    batch = find_vendor("openai").batch
    assert batch is not None
    flow = batch.recognise(Pcm(bytes(3200), 16000), settings(url="https://api.openai.com/v1"))
    next(flow)
    with pytest.raises(StopIteration) as done:
        flow.send(response)
    result = done.value.value
    assert isinstance(result, Recognition)
    return result


def test_an_answer_may_come_as_events() -> None:
    usage = '{"type":"tokens","input_tokens":9,"output_tokens":3}'
    done = f'{{"type":"transcript.text.done","text":"good morning","usage":{usage}}}'
    heard = recognised(events('{"type":"transcript.text.delta","delta":"good"}', done, "[DONE]"))
    assert heard.text == "good morning"
    assert heard.usage is not None
    assert (heard.usage.input_tokens, heard.usage.output_tokens) == (9, 3)


def test_a_server_that_sends_segments_as_events_is_read_too() -> None:
    assert recognised(events('{"text":" good"}', '{"text":"morning "}')).text == "good morning"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (['{"type":"transcript.text.delta","delta":"good"}'], "broke off"),
        (["no json"], "no JSON"),
        (["[1]"], "no JSON object"),
        (['{"type":"other"}'], "no text"),
        ([], "no text"),
    ],
    ids=["broken off", "no json", "no object", "other events", "nothing"],
)
def test_events_that_make_no_transcript_are_refused(data: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        recognised(events(*data))
