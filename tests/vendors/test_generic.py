"""The generic protocol, as its page describes it."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from agents.providers.base import ConfigurationError
from agents.providers.protocol import (
    BatchProtocol,
    Conversation,
    Failure,
    Final,
    Flushed,
    HttpResponse,
    Partial,
    Pcm,
    ProtocolError,
    Ready,
    Settings,
    SpeechEnded,
    SpeechStarted,
    StreamingProtocol,
    Verdict,
    Word,
)
from agents.providers.redaction import Secret
from agents.providers.vendors import find_vendor

AUDIO = Pcm(b"\x01\x02" * 80, 8000)


def settings(**fields: Any) -> Settings:
    return Settings(**{"url": "wss://speech.corp.test/x?team=a", "language": "en-US", **fields})


def streaming() -> StreamingProtocol:
    protocol = find_vendor("generic").streaming
    assert protocol is not None
    return protocol


def batch() -> BatchProtocol:
    protocol = find_vendor("generic").batch
    assert protocol is not None
    return protocol


def talk(**fields: Any) -> Conversation:
    return streaming().converse(settings(**fields))


def test_it_connects_to_the_url_given() -> None:
    request = streaming().connect(settings())
    assert (request.url, dict(request.headers)) == ("wss://speech.corp.test/x?team=a", {})
    request = streaming().connect(settings(api_key=Secret("k-1234"), headers={"X-Tenant": "7"}))
    assert dict(request.headers) == {"Authorization": "Bearer k-1234", "X-Tenant": "7"}


def test_the_first_message_says_what_comes() -> None:
    assert talk().opening() == [
        '{"type":"config","language":"en-US","sample_rate":16000,"encoding":"LINEAR16","interim_results":true}'
    ]
    (message,) = talk(model="m", options={"beam": 5}, interim_results=False, sample_rate=8000).opening()
    assert orjson.loads(str(message)) == {
        "type": "config",
        "language": "en-US",
        "model": "m",
        "sample_rate": 8000,
        "encoding": "LINEAR16",
        "interim_results": False,
        "options": {"beam": 5},
    }


def test_any_option_is_taken_and_body_is_for_batch() -> None:
    streaming().check(settings(options={"whatever": [1, 2]}))
    batch().check(settings(options={"whatever": 1, "body": "pcm"}))
    with pytest.raises(ConfigurationError, match="is for batch"):
        streaming().check(settings(options={"body": "pcm"}))
    with pytest.raises(ConfigurationError, match="one of wav, pcm, multipart, json"):
        batch().check(settings(options={"body": "mp3"}))


def test_audio_is_binary_and_control_messages_are_json() -> None:
    conversation = talk()
    chunk = bytes(640)
    assert conversation.audio(chunk)[0] is chunk
    assert conversation.flush() == ['{"type":"flush"}']
    assert conversation.close() == ['{"type":"end_of_stream"}']
    assert conversation.keepalive() == []


def test_traits() -> None:
    traits = streaming().traits(settings())
    assert (traits.waits_for_ready, traits.flush, traits.audio.sample_rates) == (False, True, None)
    assert (traits.audio.min_chunk_ms, traits.audio.max_chunk_ms) == (20, 100)


def test_results() -> None:
    message = {
        "type": "transcription",
        "text": "hi",
        "is_final": True,
        "start": 0.5,
        "end": 1,
        "confidence": 0.9,
        "language": "en",
        "speaker": "A",
        "words": [{"word": "hi", "start": 0.5, "end": 1.0, "confidence": 0.9}, {"text": "x"}],
    }
    conversation = talk()
    assert conversation.receive(orjson.dumps(message)) == [
        Final("hi", 0.5, 1.0, "en", 0.9, "A", [Word("hi", 0.5, 1.0, 0.9), Word("x")])
    ]
    assert conversation.receive('{"type":"transcription","text":"h","is_final":false}') == [Partial("h")]
    assert conversation.receive('{"type":"transcription","text":"h"}') == [Partial("h")]


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ('{"type":"ready"}', Ready()),
        ('{"type":"speech_started"}', SpeechStarted()),
        ('{"type":"speech_started","at":1.5}', SpeechStarted(1.5)),
        ('{"type":"speech_ended","at":2}', SpeechEnded(2.0)),
        ('{"type":"flushed"}', Flushed()),
    ],
)
def test_other_messages(message: str, event: Any) -> None:
    assert talk().receive(message) == [event]


@pytest.mark.parametrize(
    ("code", "verdict", "status"),
    [
        (401, Verdict.PERMANENT, 401),
        (429, Verdict.TRANSIENT, 429),
        ("503", Verdict.TRANSIENT, 503),
        (None, Verdict.TRANSIENT, None),
    ],
)
def test_errors_carry_an_http_status(code: Any, verdict: Verdict, status: int | None) -> None:
    (failure,) = talk().receive(orjson.dumps({"type": "error", "message": "no", "code": code}))
    assert isinstance(failure, Failure)
    assert (failure.message, failure.verdict, failure.status) == ("no", verdict, status)


@pytest.mark.parametrize("raw", ["", "hello", b"\x00", "[]", "{}", '{"type":5}', '{"type":"transcription"}'])
def test_garbage_is_a_protocol_error(raw: str | bytes) -> None:
    with pytest.raises(ProtocolError):
        talk().receive(raw)


# --- batch ---


def test_a_recording_is_posted_as_wav() -> None:
    given = settings(url="https://h.test/x", api_key=Secret("k-1234"), model="m", options={"beam": 5})
    request = batch().request(AUDIO, given)
    assert request.url == "https://h.test/x?language=en-US&model=m&beam=5"
    assert dict(request.headers) == {"Authorization": "Bearer k-1234", "Content-Type": "audio/wav"}
    assert request.body == AUDIO.wav()


def test_the_body_may_be_bare_samples() -> None:
    request = batch().request(AUDIO, settings(options={"body": "pcm"}))
    assert request.headers["Content-Type"] == "audio/l16;rate=8000;channels=1"
    assert request.body == AUDIO.data


def test_the_body_may_be_a_form() -> None:
    request = batch().request(AUDIO, settings(options={"body": "multipart"}))
    assert isinstance(request.body, list)
    assert [(f.name, f.filename) for f in request.body] == [("language", None), ("file", "audio.wav")]
    assert request.body[1].value == AUDIO.wav()


def test_the_body_may_be_json() -> None:
    request = batch().request(AUDIO, settings(options={"body": "json"}))
    assert isinstance(request.body, bytes)
    assert orjson.loads(request.body) == {
        "audio": base64.b64encode(AUDIO.wav()).decode(),
        "format": "wav",
        "sample_rate": 8000,
        "language": "en-US",
    }


@pytest.mark.parametrize(
    "body",
    [
        {"text": "hi"},
        {"transcript": "hi"},
        {"transcription": "hi"},
        {"result": {"text": "hi"}},
        {"results": [{"transcript": "hi"}]},
    ],
)
def test_the_text_is_found_where_servers_put_it(body: Any) -> None:
    assert batch().parse(HttpResponse(200, {}, orjson.dumps(body)), settings()).text == "hi"


def test_the_rest_of_a_reply() -> None:
    body = {
        "text": "hi",
        "language": "en",
        "confidence": 1,
        "duration": 2.5,
        "words": [{"text": "hi", "start": 0}],
    }
    result = batch().parse(HttpResponse(200, {}, orjson.dumps(body)), settings())
    assert (result.language, result.confidence, result.end) == ("en", 1.0, 2.5)
    assert result.words == [Word("hi", 0.0)]


def test_silence_is_a_result_and_plain_text_is_a_transcript() -> None:
    assert batch().parse(HttpResponse(200, {}, b'{"text":""}'), settings()).text == ""
    assert batch().parse(HttpResponse(200, {}, b'{"transcript":null,"confidence":0}'), settings()).text == ""
    assert batch().parse(HttpResponse(204, {}, b""), settings()).text == "", "no content"
    reply = HttpResponse(200, {"content-type": "text/plain; charset=utf-8"}, b" hi \n")
    assert batch().parse(reply, settings()).text == "hi"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"status":"ok"}', "no text at text, transcript, transcription"),
        (b"[]", "no text"),
        (b"", "an empty body"),
        (b"<html>", "an HTML page"),
        (b'{"text":5}', "without text"),
    ],
)
def test_a_reply_without_text_says_what_is_missing(body: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        batch().parse(HttpResponse(200, {}, body), settings())
