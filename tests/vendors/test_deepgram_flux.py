"""Deepgram Flux, by its fact sheet: what is sent, what its messages mean, and turns on the embedded server."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from conformance import API_KEY, Server
from spoken_lines import LINES, push, silence, spoken
from stand_in_recognisers import QuietRecogniser
from talks import ONCE, Kind, text_of

from agents.providers.adapters import CustomWebSocketSTTAdapter
from agents.providers.base import ConfigurationError
from agents.providers.local import ServerOptions, SpeechServer
from agents.providers.protocol import (
    Conversation,
    Failure,
    Final,
    Flushed,
    Partial,
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
from agents.providers.testing.tape import Sent, Tape
from agents.providers.vendors import find_vendor

URL = "wss://api.deepgram.com/v2/listen"


def settings(**fields: Any) -> Settings:
    return Settings(**{"url": URL, "api_key": Secret("dg-secret"), "language": "en-US", **fields})


def streaming() -> StreamingProtocol:
    protocol = find_vendor("auto", url=URL).streaming
    assert protocol is not None
    return protocol


def talk(**fields: Any) -> Conversation:
    return streaming().converse(settings(**fields))


def turn(event: str, text: str = "hi there", **fields: Any) -> bytes:
    words = [
        {"word": word, "confidence": 0.8, "start": 1.0 + i, "end": 1.5 + i} for i, word in enumerate(text.split())
    ]
    return orjson.dumps(
        {
            "type": "TurnInfo",
            "request_id": "r1",
            "sequence_id": 3,
            "event": event,
            "turn_index": 0,
            "audio_window_start": 1.0,
            "audio_window_end": 2.5,
            "transcript": text,
            "words": words,
            "end_of_turn_confidence": 0.4,
            **fields,
        }
    )


WORDS = [Word("hi", 1.0, 1.5, 0.8), Word("there", 2.0, 2.5, 0.8)]
HEARD: dict[str, Any] = {
    "text": "hi there",
    "start": 1.0,
    "end": 2.5,
    "confidence": pytest.approx(0.8),
    "words": WORDS,
    "request_id": "r1",
}


def test_it_connects_with_what_is_set_and_no_more() -> None:
    request = streaming().connect(settings())
    assert dict(request.headers) == {"Authorization": "Token dg-secret"}
    assert parse_qs(urlsplit(request.url).query) == {
        "model": ["flux-general-en"],
        "encoding": ["linear16"],
        "sample_rate": ["16000"],
        "mip_opt_out": ["false"],
    }


def test_thresholds_have_their_range_and_the_host_wants_a_key() -> None:
    with pytest.raises(ConfigurationError, match=r"eot_threshold.*0\.5"):
        streaming().check(settings(options={"eot_threshold": 0.2}))
    # 1.0 leaves the end of a turn to flushes, and the time-out is long then
    streaming().check(settings(options={"eot_threshold": 1.0, "eot_timeout_ms": 60000}))
    for beyond in ({"eot_threshold": 1.1}, {"eot_timeout_ms": 60001}, {"eager_eot_threshold": 1.0}):
        with pytest.raises(ConfigurationError, match="at most"):
            streaming().check(settings(options=beyond))
    with pytest.raises(ConfigurationError, match="DEEPGRAM_API_KEY"):
        streaming().check(settings(api_key=None))
    with pytest.raises(ConfigurationError, match="endpointing"):
        streaming().check(settings(options={"endpointing": 25}))


def test_it_is_recognised_by_its_path() -> None:
    assert find_vendor("auto", url=URL).name == "deepgram_flux"
    assert find_vendor("auto", url="wss://api.deepgram.com/v1/listen").name == "deepgram"


def test_control_messages_and_traits() -> None:
    conversation = talk()
    assert (conversation.opening(), conversation.keepalive()) == ([], [])
    assert conversation.flush() == ['{"type":"ForceEndTurn"}']
    assert conversation.close() == ['{"type":"CloseStream"}']
    traits = streaming().traits(settings())
    assert traits.audio.sample_rates == {8000, 16000, 24000, 44100, 48000}
    assert (traits.audio.min_chunk_ms, traits.keepalive_seconds) == (80, None)
    assert (traits.promotes_last_partial, traits.announces_end, traits.keyterms) == (True, True, True)


def test_a_turn_from_start_to_end() -> None:
    conversation = talk()
    assert conversation.receive('{"type":"Connected","request_id":"r1","sequence_id":0}') == [Ready("r1")]
    assert conversation.receive(turn("StartOfTurn")) == [SpeechStarted(1.0), Partial(**HEARD)]
    assert conversation.receive(turn("Update")) == [Partial(**HEARD)]
    assert conversation.receive(turn("EagerEndOfTurn")) == [Partial(**HEARD, stable=True)]
    assert conversation.receive(turn("TurnResumed")) == [Partial(**HEARD)]
    assert conversation.receive(turn("EndOfTurn", trigger="model")) == [Final(**HEARD, ends_utterance=True)]


def test_only_a_forced_end_answers_a_flush() -> None:
    final, flushed = talk().receive(turn("EndOfTurn", trigger="manual"))
    assert (type(final), flushed) == (Final, Flushed())
    assert Flushed() not in talk().receive(turn("EndOfTurn", trigger="timeout"))


def test_a_turn_without_words_still_ends() -> None:
    final, ended = talk().receive(turn("EndOfTurn", "", trigger="model"))
    assert (final, ended) == (Final("", 1.0, 2.5, words=[], request_id="r1"), SpeechEnded(2.5))


def test_the_language_heard_is_the_first_of_those_named() -> None:
    (partial,) = talk(model="flux-general-multi").receive(turn("Update", languages=["es", "en"]))
    assert isinstance(partial, Partial)
    assert partial.language == "es"


def test_keyterms_thresholds_and_numerals_change_in_band() -> None:
    conversation = talk(options={"eot_threshold": 0.6})
    assert conversation.update(settings(keyterms=("a",), options={"eot_threshold": 0.6})) == [
        '{"type":"Configure","keyterms":["a"],"thresholds":{"eot_threshold":0.6}}'
    ]
    more = {"eot_threshold": 0.6, "eager_eot_threshold": 0.4, "numerals": True}
    assert conversation.update(settings(options=more)) == [
        '{"type":"Configure","keyterms":[],"numerals":true,'
        '"thresholds":{"eot_threshold":0.6,"eager_eot_threshold":0.4}}'
    ]
    assert conversation.update(settings(model="flux-general-multi")) is None
    assert conversation.update(settings(options={"profanity_filter": True})) is None


def test_a_setting_that_is_taken_back_wants_a_new_connection() -> None:
    """A Configure without it would leave it as it was."""
    conversation = talk(options={"eager_eot_threshold": 0.4})
    assert conversation.update(settings(options={"eager_eot_threshold": None})) is None
    assert conversation.update(settings()) is None
    changed = settings(options={"eager_eot_threshold": 0.5})
    assert conversation.update(changed) == [
        '{"type":"Configure","keyterms":[],"thresholds":{"eager_eot_threshold":0.5}}'
    ]


def test_keyterms_of_the_options_stay_when_those_of_the_session_change() -> None:
    """A Configure replaces all there are."""
    options = {"keyterm": ["Voxport"]}
    conversation = talk(options=options)
    assert parse_qs(urlsplit(streaming().connect(settings(options=options, keyterms=("a",))).url).query)[
        "keyterm"
    ] == ["a", "Voxport"]
    assert conversation.update(settings(options=options, keyterms=("a",))) == [
        '{"type":"Configure","keyterms":["a","Voxport"]}'
    ]
    assert conversation.update(settings(options={"keyterm": "LiveKit"}, keyterms=("a",))) == [
        '{"type":"Configure","keyterms":["a","LiveKit"]}'
    ]
    assert conversation.update(settings()) == ['{"type":"Configure","keyterms":[]}']


def test_language_hints_change_in_band() -> None:
    conversation = talk(model="flux-general-multi")
    hinted = settings(model="flux-general-multi", options={"language_hint": ["en", "es"]})
    assert conversation.update(hinted) == ['{"type":"Configure","keyterms":[],"language_hints":["en","es"]}']
    single = settings(model="flux-general-multi", options={"language_hint": "es"})
    assert conversation.update(single) == ['{"type":"Configure","keyterms":[],"language_hints":["es"]}']


def test_errors() -> None:
    (failure,) = talk().receive('{"type":"Error","code":"INTERNAL_SERVER_ERROR","description":"oh"}')
    assert failure == Failure("oh", Verdict.TRANSIENT, None, detail={"code": "INTERNAL_SERVER_ERROR"})
    (failure,) = talk().receive('{"type":"ConfigureFailure","code":"X","description":"no"}')
    assert isinstance(failure, Failure)
    assert failure.verdict is Verdict.RECYCLE
    assert talk().receive('{"type":"Warning","code":"SLOW","description":"audio is late"}') == []
    assert talk().receive('{"type":"Invented"}') == []


@pytest.mark.parametrize("raw", ["", "null", "[]", "{", b"\x00\xff", "{}", '{"type":"TurnInfo","event":"Update"}'])
def test_garbage_is_a_protocol_error(raw: str | bytes) -> None:
    with pytest.raises(ProtocolError):
        talk().receive(raw)


def test_absurd_types_cost_no_text() -> None:
    absurd = turn("EndOfTurn", words=[{"word": "hi", "confidence": "x", "start": {}}, 5], audio_window_end="soon")
    (final,) = talk().receive(absurd)
    assert final == Final("hi there", 1.0, words=[Word("hi")], request_id="r1", ends_utterance=True)


# --- on the embedded server ---


async def test_an_eager_end_is_a_preflight_transcript_and_speech_resumes_the_turn(server: Server) -> None:
    adapter = CustomWebSocketSTTAdapter(
        f"{server.ws_url}/v2/listen",
        API_KEY,
        vendor="deepgram_flux",
        options={"eager_eot_threshold": 0.5, "eot_threshold": 0.9},
    )
    stream = adapter.stream(conn_options=ONCE)
    events = []

    async def read_to(kind: Kind) -> None:
        while not events or events[-1].type is not kind:
            events.append(await asyncio.wait_for(stream.__anext__(), 20))

    push(stream, spoken(LINES[0]) + silence(0.6))
    await read_to(Kind.PREFLIGHT_TRANSCRIPT)
    assert events[-1].alternatives[0].text == LINES[0]
    push(stream, spoken(LINES[1])[6400:25600])  # speech, before the pause is long enough to end the turn
    await read_to(Kind.INTERIM_TRANSCRIPT)
    assert events[-1].alternatives[0].text.startswith(LINES[0] + " ")
    push(stream, spoken(LINES[1])[25600:] + silence(1.6))
    await read_to(Kind.END_OF_SPEECH)
    await stream.aclose()
    await adapter.aclose()
    assert text_of(events) == f"{LINES[0]} {LINES[1]}"
    assert [event.type for event in events].count(Kind.START_OF_SPEECH) == 1


async def test_keyterms_of_a_session_are_configured_without_a_new_connection() -> None:
    """The server's ConfigureSuccess is understood, and the stream goes on."""
    tape = Tape()
    async with SpeechServer(ServerOptions(), recogniser=QuietRecogniser()) as server:
        adapter = CustomWebSocketSTTAdapter(
            f"{server.ws_url}/v2/listen", "any", vendor=tape.on(find_vendor("deepgram_flux"))
        )
        stream = adapter.stream(conn_options=ONCE)
        push(stream, silence(0.2))
        while not tape.events(Ready):
            await asyncio.sleep(0.01)
        adapter._update_session_keyterms(["Voxport"])
        stream.flush()
        stream.end_input()
        assert [event.type async for event in stream] in ([], [Kind.RECOGNITION_USAGE])
        await adapter.aclose()
    (update,) = [entry for entry in tape.entries if isinstance(entry, Sent) and entry.what == "update"]
    assert update.messages == ['{"type":"Configure","keyterms":["Voxport"]}']
    assert adapter.stats.connects == 1
