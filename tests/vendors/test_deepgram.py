"""Deepgram v1, by its fact sheet: what is sent, and what its messages mean."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import orjson
import pytest
from spoken_lines import push, silence
from stand_in_recognisers import QuietRecogniser
from talks import ONCE, Kind

from agents.providers.adapters import CustomWebSocketSTTAdapter
from agents.providers.base import ConfigurationError
from agents.providers.local import ServerOptions, SpeechServer
from agents.providers.protocol import (
    BatchProtocol,
    ConnectRequest,
    Conversation,
    Failure,
    Final,
    Finished,
    Flushed,
    HttpResponse,
    Partial,
    Pcm,
    ProtocolError,
    Settings,
    SpeechEnded,
    SpeechStarted,
    StreamingProtocol,
    Traits,
    Usage,
    Verdict,
    Word,
)
from agents.providers.redaction import Secret
from agents.providers.testing import FaultProxy
from agents.providers.testing.tape import Sent, Tape
from agents.providers.vendors import find_vendor

URL = "wss://api.deepgram.com/v1/listen"


def settings(**fields: Any) -> Settings:
    return Settings(**{"url": URL, "api_key": Secret("dg-secret"), "language": "en-US", **fields})


def streaming() -> StreamingProtocol:
    protocol = find_vendor("deepgram").streaming
    assert protocol is not None
    return protocol


def batch() -> BatchProtocol:
    protocol = find_vendor("deepgram").batch
    assert protocol is not None
    return protocol


def talk(**fields: Any) -> Conversation:
    return streaming().converse(settings(**fields))


def query(url: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(urlsplit(url).query):
        found.setdefault(name, []).append(value)
    return found


def results(text: str, *, final: bool = False, words: list[dict[str, Any]] | None = None, **fields: Any) -> bytes:
    alternative = {"transcript": text, "confidence": 0.9, "languages": ["en"], "words": words or []}
    return orjson.dumps(
        {
            "type": "Results",
            "channel_index": [0, 1],
            "start": 1.0,
            "duration": 0.5,
            "is_final": final,
            "speech_final": False,
            "from_finalize": False,
            "channel": {"alternatives": [alternative]},
            "metadata": {"request_id": "r1"},
            **fields,
        }
    )


def word(text: str, start: float, speaker: int | None = None) -> dict[str, Any]:
    found = {"word": text.lower(), "punctuated_word": text, "start": start, "end": start + 0.1, "confidence": 0.8}
    return found if speaker is None else {**found, "speaker": speaker}


def test_it_connects_with_livekits_defaults() -> None:
    request = streaming().connect(settings())
    assert dict(request.headers) == {"Authorization": "Token dg-secret"}
    assert query(request.url) == {
        "model": ["nova-3"],
        "language": ["en-US"],
        "encoding": ["linear16"],
        "sample_rate": ["16000"],
        "channels": ["1"],
        "interim_results": ["true"],
        "punctuate": ["true"],
        "smart_format": ["false"],
        "numerals": ["false"],
        "filler_words": ["true"],
        "profanity_filter": ["false"],
        "mip_opt_out": ["false"],
        "no_delay": ["true"],
        "endpointing": ["25"],
        "vad_events": ["true"],
    }
    assert "dg-secret" not in repr(request) + request.url


def test_options_are_sent_as_documented() -> None:
    options = {
        "endpointing": False,
        "utterance_end_ms": 1000,
        "redact": ["pci", "ssn"],
        "keyterm": ["Voxport"],
        "keywords": [("LiveKit", 2.0), "agent:1.5"],
        "replace": {"hello": "hi"},
        "search": "refund",
        "diarize": True,
        "tag": ["a", "b"],
        "extra": {"call": "7"},
        "smart_format": True,
    }
    given = settings(options=options, keyterms=("session term",))
    streaming().check(given)
    sent = query(streaming().connect(given).url)
    assert sent["endpointing"] == ["false"]
    assert sent["utterance_end_ms"] == ["1000"]
    assert sent["redact"] == ["pci", "ssn"]
    assert sent["keyterm"] == ["session term", "Voxport"]
    assert sent["keywords"] == ["LiveKit:2.0", "agent:1.5"]
    assert sent["replace"] == ["hello:hi"]
    assert sent["search"] == ["refund"]
    assert sent["diarize"] == ["true"]
    assert sent["tag"] == ["a", "b"]
    assert sent["extra"] == ["call:7"]
    assert sent["smart_format"] == ["true"]


def test_an_unknown_option_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'endpointing'"):
        streaming().check(settings(options={"endpoint": 5}))
    with pytest.raises(ConfigurationError, match="is for batch"):
        streaming().check(settings(options={"detect_language": True}))


def test_a_key_is_needed_at_deepgram_itself() -> None:
    with pytest.raises(ConfigurationError, match="DEEPGRAM_API_KEY"):
        streaming().check(settings(api_key=None))
    streaming().check(settings(url="ws://localhost:8080/v1/listen", api_key=None))


def test_control_messages() -> None:
    conversation = talk()
    assert conversation.opening() == []
    assert conversation.keepalive() == ['{"type":"KeepAlive"}']
    assert conversation.flush() == ['{"type":"Finalize"}']
    assert conversation.close() == ['{"type":"CloseStream"}']


def test_traits() -> None:
    traits = streaming().traits(settings(options={"diarize": True}))
    assert traits.audio.sample_rates == {8000, 16000, 22050, 24000, 32000, 44100, 48000}
    assert (traits.audio.min_chunk_ms, traits.keepalive_seconds) == (50, 5.0)
    assert (traits.diarization, traits.keyterms, traits.flush, traits.aligned_transcript) == (
        True,
        True,
        True,
        "word",
    )
    assert traits.close_codes == {1008: Verdict.PERMANENT, 1011: Verdict.TRANSIENT}
    assert streaming().traits(settings()).diarization is False


def test_keyterms_and_numerals_change_in_band_on_nova_3() -> None:
    conversation = talk()
    assert conversation.update(settings(keyterms=("a",))) == [
        '{"type":"Configure","keyterms":["a"],"features":{"numerals":false}}'
    ]
    assert conversation.update(settings(options={"numerals": True})) == [
        '{"type":"Configure","keyterms":[],"features":{"numerals":true}}'
    ]
    assert conversation.update(settings(language="de", options={"numerals": True})) is None
    assert talk(model="nova-2").update(settings(model="nova-2", keyterms=("a",))) is None


def test_keyterms_of_the_options_stay_when_those_of_the_session_change() -> None:
    """A Configure replaces all there are."""
    options = {"keyterm": ["Voxport", "a"]}
    conversation = talk(options=options)
    assert conversation.update(settings(options=options, keyterms=("a",))) == [
        '{"type":"Configure","keyterms":["a","Voxport"],"features":{"numerals":false}}'
    ]
    assert conversation.update(settings(options={**options, "numerals": True}, keyterms=("a",))) == [
        '{"type":"Configure","keyterms":["a","Voxport"],"features":{"numerals":true}}'
    ]
    assert conversation.update(settings(options=options, keyterms=("a",))) == [
        '{"type":"Configure","keyterms":["a","Voxport"],"features":{"numerals":false}}'
    ]


def test_a_change_it_refuses_is_made_by_a_new_connection() -> None:
    (failure,) = talk().receive('{"type":"ConfigureFailure","code":"BAD","description":"no"}')
    assert isinstance(failure, Failure)
    assert (failure.verdict, failure.message) == (Verdict.RECYCLE, "no")
    assert talk().receive('{"type":"ConfigureSuccess"}') == []


def test_interims_and_finals() -> None:
    conversation = talk()
    assert conversation.receive(results("hel", words=[word("Hel", 1.1, 0)])) == [
        Partial("hel", 1.0, 1.5, "en", 0.9, None, [Word("Hel", 1.1, pytest.approx(1.2), 0.8, "S0")], "r1")  # type: ignore[arg-type]
    ]
    assert conversation.receive(results("hello", final=True)) == [
        Final("hello", 1.0, 1.5, "en", 0.9, None, [], "r1")
    ]
    assert conversation.receive(results("")) == []


def test_the_speaker_of_a_final_is_the_one_of_most_words() -> None:
    (final,) = talk().receive(
        results("a b c", final=True, words=[word("A", 1.0, 0), word("b", 1.1, 1), word("c", 1.2, 1)])
    )
    assert isinstance(final, Final)
    assert final.speaker == "S1"


def test_an_empty_final_acknowledges_its_audio() -> None:
    assert talk().receive(results("", final=True)) == [Final("", 1.0, 1.5, "en", 0.9, None, [], "r1")]


def test_speech_final_ends_the_utterance() -> None:
    (final,) = talk().receive(results("x", final=True, speech_final=True))
    assert isinstance(final, Final)
    assert final.ends_utterance
    empty, ended = talk().receive(results("", final=True, speech_final=True))
    assert (empty.ends_utterance, ended) == (False, SpeechEnded(1.5))  # type: ignore[union-attr]


def test_from_finalize_answers_the_flush_after_its_final() -> None:
    final, flushed = talk().receive(results("x", final=True, from_finalize=True))
    assert (type(final), flushed) == (Final, Flushed())


def test_other_messages() -> None:
    conversation = talk()
    assert conversation.receive('{"type":"SpeechStarted","channel":[0,1],"timestamp":0.5}') == [SpeechStarted(0.5)]
    assert conversation.receive('{"type":"UtteranceEnd","channel":[0,1],"last_word_end":2.1}') == [
        SpeechEnded(2.1)
    ]
    assert conversation.receive('{"type":"Metadata","request_id":"","duration":2.2}') == [Finished()]
    assert conversation.receive('{"type":"Invented"}') == []


def test_errors_in_band() -> None:
    (failure,) = talk().receive('{"type":"Error","variant":"SchemaError","description":"bad message"}')
    assert isinstance(failure, Failure)
    assert (failure.message, failure.verdict, failure.detail) == (
        "bad message",
        Verdict.TRANSIENT,
        {"code": "SchemaError"},
    )


@pytest.mark.parametrize("raw", ["", "null", "[]", "{", b"\x00\xff", '{"kind":"Results"}', '{"type":"Results"}'])
def test_garbage_is_a_protocol_error(raw: str | bytes) -> None:
    with pytest.raises(ProtocolError):
        talk().receive(raw)


def test_absurd_types_do_not_crash() -> None:
    (final,) = talk().receive(results("x", final=True, start="soon", duration=[1], metadata=7, speech_final={}))
    assert final == Final("x", None, None, "en", 0.9, None, [])
    (other,) = talk().receive(results("x", words=[{"word": 5}, word("Ok", 1.0), 3, {"word": "y", "start": "1.5"}]))  # type: ignore[list-item]
    assert isinstance(other, Partial)
    assert [(w.text, w.start) for w in other.words or ()] == [("Ok", 1.0), ("y", 1.5)]


# --- batch ---


def test_a_recording_is_posted_as_wav() -> None:
    audio = Pcm(bytes(3200), 16000)
    given = settings(url="https://api.deepgram.com/v1/listen", options={"utterances": True}, keyterms=("a", "b"))
    batch().check(given)
    request = batch().request(audio, given)
    sent = query(request.url)
    assert (request.method, request.body) == ("POST", audio.wav())
    assert dict(request.headers) == {"Authorization": "Token dg-secret", "Content-Type": "audio/wav"}
    assert (sent["keyterm"], sent["utterances"], sent["model"]) == (["a", "b"], ["true"], ["nova-3"])
    assert not {"endpointing", "vad_events", "no_delay", "encoding"} & set(sent)


def test_what_recordings_alone_can_be_asked_for_is_sent() -> None:
    """As in deepgram-sdk 7.17.0, listen.v1.media."""
    options = {
        "paragraphs": True,
        "utterances": True,
        "utt_split": 1.1,
        "measurements": True,
        "sentiment": True,
        "summarize": "v2",
        "topics": True,
        "custom_topic": ["opening hours", "prices"],
        "custom_topic_mode": "strict",
        "intents": True,
        "custom_intent": "book a table",
        "custom_intent_mode": "extended",
    }
    given = settings(url="https://api.deepgram.com/v1/listen", options=options)
    batch().check(given)
    query = parse_qsl(urlsplit(batch().request(Pcm(bytes(320), 16000), given).url).query)
    sent = {(name, value) for name, value in query if name in options}
    assert sent == {
        ("paragraphs", "true"),
        ("utterances", "true"),
        ("utt_split", "1.1"),
        ("measurements", "true"),
        ("sentiment", "true"),
        ("summarize", "v2"),
        ("topics", "true"),
        ("custom_topic", "opening hours"),
        ("custom_topic", "prices"),
        ("custom_topic_mode", "strict"),
        ("intents", "true"),
        ("custom_intent", "book a table"),
        ("custom_intent_mode", "extended"),
    }
    for name in options:
        with pytest.raises(ConfigurationError, match=f"option '{name}' is for batch, not for streaming"):
            streaming().check(settings(options={name: options[name]}))


@pytest.mark.parametrize(
    ("options", "told"),
    [({}, False), ({"diarize": True}, True), ({"diarize_model": "latest"}, True), ({"diarize": False}, False)],
)
def test_either_option_for_speakers_tells_them(options: dict[str, Any], told: bool) -> None:
    """``diarize_model`` turns it on by itself, and ``diarize`` is deprecated (deepgram-sdk 7.17.0)."""
    assert streaming().traits(settings(options=options)).diarization is told


def test_a_batch_reply_is_read() -> None:
    alternative = {
        "transcript": "Hi there.",
        "confidence": 0.9,
        "words": [word("Hi", 0.1, 0), word("there.", 0.3, 0)],
    }
    body = {
        "metadata": {"request_id": "r1", "duration": 1.5},
        "results": {"channels": [{"detected_language": "en", "alternatives": [alternative]}]},
    }
    result = batch().parse(HttpResponse(200, {}, orjson.dumps(body)), settings())
    assert (result.text, result.language, result.confidence, result.request_id) == ("Hi there.", "en", 0.9, "r1")
    assert (result.end, result.usage, result.speaker) == (1.5, Usage(audio_seconds=1.5), "S0")
    assert [w.text for w in result.words or ()] == ["Hi", "there."]


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"results":{"channels":[]}}'])
def test_a_batch_reply_that_is_none_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        batch().parse(HttpResponse(200, {}, body), settings())


# --- on the embedded server ---


async def _configured(model: str, keyterms: list[str], *, connects: int) -> tuple[CustomWebSocketSTTAdapter, Tape]:
    """A stream whose session gets *keyterms* in its middle, and that has so many connections in the end."""
    tape = Tape()
    async with SpeechServer(ServerOptions(), recogniser=QuietRecogniser()) as server:
        adapter = CustomWebSocketSTTAdapter(
            f"{server.ws_url}/v1/listen", "any", vendor=tape.on(find_vendor("deepgram")), model=model
        )
        stream = adapter.stream(conn_options=ONCE)
        push(stream, silence(0.2))
        stream.flush()
        while not tape.events(Flushed):
            await asyncio.sleep(0.01)
        adapter._update_session_keyterms(keyterms)
        push(stream, silence(0.2))
        stream.flush()
        while len(tape.events(Flushed)) < 2 or adapter.stats.connects < connects:
            await asyncio.sleep(0.01)
        await stream.aclose()
        await adapter.aclose()
    return adapter, tape


async def test_keyterms_of_a_session_are_configured_without_a_new_connection() -> None:
    adapter, tape = await _configured("nova-3", ["Voxport"], connects=1)
    (update,) = [entry for entry in tape.entries if isinstance(entry, Sent) and entry.what == "update"]
    assert update.messages == ['{"type":"Configure","keyterms":["Voxport"],"features":{"numerals":false}}']
    assert (adapter.stats.connects, tape.events(Failure)) == (1, [])


async def test_keyterms_that_are_refused_go_with_a_new_connection() -> None:
    """More than 500 tokens is what the server refuses in band, and takes in the URL."""
    adapter, tape = await _configured("nova-3", [f"word{i}" for i in range(501)], connects=2)
    (failure,) = tape.events(Failure)
    assert failure.detail == {"code": "CONFIGURE_KEYTERM_LIMIT_EXCEEDED"}
    assert (adapter.stats.connects, adapter.stats.transient_failures) == (2, 0)


async def test_a_server_left_without_audio_closes_and_is_come_back_to() -> None:
    """1011 NET-0001 after an idle time is no failure: the next audio goes over a new connection."""
    async with SpeechServer(ServerOptions(idle_seconds=0.2), recogniser=QuietRecogniser()) as server:
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            url = f"ws://127.0.0.1:{proxy.port}/v1/listen"
            adapter = CustomWebSocketSTTAdapter(url, "any", vendor=_Idling(streaming()))
            stream = adapter.stream(conn_options=ONCE)
            push(stream, silence(0.2))
            while not proxy.accepted or proxy.connections:
                await asyncio.sleep(0.01)
            push(stream, silence(0.2))
            stream.end_input()
            assert {event.type async for event in stream} <= {Kind.RECOGNITION_USAGE}
            await adapter.aclose()
    assert (adapter.stats.connects, adapter.stats.transient_failures) == (2, 0)


@pytest.mark.parametrize(("audio", "code"), [(b"", 1011), (bytes(3200), None)])
async def test_keepalive_holds_a_connection_on_which_audio_came(audio: bytes, code: int | None) -> None:
    """Without any audio it does not: the server closes all the same."""
    async with SpeechServer(ServerOptions(idle_seconds=0.3), recogniser=QuietRecogniser()) as server:
        async with aiohttp.ClientSession() as session:
            url = f"{server.ws_url}/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000"
            async with session.ws_connect(url, headers={"Authorization": "Token any"}) as socket:
                if audio:
                    await socket.send_bytes(audio)
                loop = asyncio.get_running_loop()
                end = loop.time() + 0.6
                while loop.time() < end and not socket.closed:
                    await socket.send_str(str(*talk().keepalive()))
                    with contextlib.suppress(asyncio.TimeoutError):
                        await socket.receive(0.1)
                assert (socket.close_code if socket.closed else None) == code


class _Idling(StreamingProtocol):
    """Deepgram with idle times for tests."""

    name = "deepgram"

    def __init__(self, inner: StreamingProtocol) -> None:
        self._inner = inner

    def traits(self, given: Settings) -> Traits:
        return dataclasses.replace(self._inner.traits(given), idle_seconds=0.1, keepalive_seconds=None)

    def connect(self, given: Settings) -> ConnectRequest:
        return self._inner.connect(given)

    def converse(self, given: Settings) -> Conversation:
        return self._inner.converse(given)
