"""How vendors speak over a WebSocket, by their documentation: what is sent, and what their messages mean."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from agents.providers.base import ConfigurationError
from agents.providers.protocol import (
    Audio,
    Failure,
    ProtocolError,
    Ready,
    SegmentDone,
    Settings,
    SpokenWords,
    StreamingSynthesisProtocol,
    SynthesisConversation,
    SynthesisForm,
    Verdict,
    WireMessage,
    Word,
)
from agents.providers.redaction import Secret
from agents.providers.vendors import find_vendor

KEY = "secret-4711"
VENDORS = ["generic", "deepgram", "elevenlabs", "cartesia", "jambonz"]


def protocol(name: str) -> StreamingSynthesisProtocol:
    found = find_vendor(name).streaming_synthesis
    assert found is not None
    return found


def settings(name: str, **fields: Any) -> Settings:
    url = find_vendor(name).streaming_synthesis_url or "ws://127.0.0.1:1/speak"
    made = Settings(**{"url": url, "api_key": Secret(KEY), "sample_rate": 24000, **fields})
    protocol(name).check(made)
    return made


def talk(name: str, **fields: Any) -> SynthesisConversation:
    return protocol(name).converse(settings(name, **fields))


def begun(name: str, **fields: Any) -> SynthesisConversation:
    conversation = talk(name, **fields)
    conversation.opening()
    conversation.begin("seg-1")
    return conversation


def read(messages: Sequence[WireMessage]) -> list[Any]:
    return [orjson.loads(message) for message in messages if isinstance(message, str)]


def received(conversation: SynthesisConversation, message: Any) -> list[Any]:
    return list(conversation.receive(message if isinstance(message, bytes) else orjson.dumps(message).decode()))


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


# --- Deepgram ---


def test_deepgram_is_connected_as_documented() -> None:
    request = protocol("deepgram").connect(settings("deepgram", sample_rate=22050, options={"speed": 1.2}))
    assert request.url.startswith("wss://api.deepgram.com/v1/speak?")
    assert request.headers == {"Authorization": f"Token {KEY}"}
    assert parse_qs(urlsplit(request.url).query) == {
        "model": ["aura-2-thalia-en"],
        "encoding": ["linear16"],
        "sample_rate": ["24000"],
        "mip_opt_out": ["false"],
        "speed": ["1.2"],
    }


def test_deepgram_is_told_as_documented() -> None:
    conversation = begun("deepgram")
    assert read(conversation.text("Good ")) == [{"type": "Speak", "text": "Good "}]
    assert read([*conversation.flush(), *conversation.end()]) == [{"type": "Flush"}] * 2
    assert read([*conversation.cancel(), *conversation.close()]) == [{"type": "Clear"}, {"type": "Close"}]


def test_a_segment_of_deepgram_is_over_with_the_answer_to_its_last_flush() -> None:
    conversation = begun("deepgram")
    assert received(conversation, {"type": "Metadata", "request_id": "r1"}) == [Ready("r1")]
    conversation.flush()
    assert received(conversation, b"\1\0") == [Audio(b"\1\0")]
    assert received(conversation, {"type": "Flushed", "sequence_id": 0}) == []
    conversation.flush()
    conversation.end()
    assert received(conversation, {"type": "Flushed", "sequence_id": 1}) == []
    assert received(conversation, {"type": "Flushed", "sequence_id": 2}) == [SegmentDone()]
    assert received(conversation, {"type": "Flushed", "sequence_id": 3}) == []
    assert received(conversation, b"\1\0") == []  # nobody asked for it


def test_a_cancelled_segment_of_deepgram_is_over_when_it_is_cleared() -> None:
    conversation = begun("deepgram")
    conversation.end()
    conversation.cancel()
    assert received(conversation, b"\1\0") == []
    assert received(conversation, {"type": "Flushed", "sequence_id": 0}) == []  # it was on its way
    assert received(conversation, {"type": "Cleared", "sequence_id": 1}) == [SegmentDone()]
    conversation.begin("seg-2")
    conversation.end()
    assert received(conversation, b"\2\0") == [Audio(b"\2\0")]
    assert received(conversation, {"type": "Flushed", "sequence_id": 2}) == [SegmentDone()]


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        ({"type": "Error", "description": "bad", "code": "DATA-0000"}, Verdict.PERMANENT),
        ({"type": "Error", "err_msg": "bad", "err_code": "INTERNAL"}, Verdict.TRANSIENT),
    ],
)
def test_errors_of_deepgram(message: Any, verdict: Verdict) -> None:
    (failure,) = received(begun("deepgram"), message)
    assert (failure.message, failure.verdict) == ("bad", verdict)
    assert received(begun("deepgram"), {"type": "Warning", "description": "slow down", "code": "X"}) == []


# --- ElevenLabs ---


def test_elevenlabs_is_connected_as_documented() -> None:
    given = settings("elevenlabs", voice="anna", language="de-DE", options={"auto_mode": True})
    request = protocol("elevenlabs").connect(given)
    assert request.url.startswith("wss://api.elevenlabs.io/v1/text-to-speech/anna/stream-input?")
    assert request.headers == {"xi-api-key": KEY}
    assert parse_qs(urlsplit(request.url).query) == {
        "model_id": ["eleven_turbo_v2_5"],
        "language_code": ["de"],
        "output_format": ["pcm_24000"],
        "auto_mode": ["true"],
        "inactivity_timeout": ["180"],
    }
    assert not protocol("elevenlabs").traits(given).reusable


def test_elevenlabs_is_told_as_documented() -> None:
    conversation = talk("elevenlabs", options={"stability": 0.5, "chunk_length_schedule": [80]})
    assert read(conversation.opening()) == [
        {
            "text": " ",
            "voice_settings": {"stability": 0.5},
            "generation_config": {"chunk_length_schedule": [80]},
        }
    ]
    assert read(conversation.begin("seg-1")) == []
    assert read([*conversation.text("Good"), *conversation.text("morning. ")]) == [
        {"text": "Good "},  # it "should always end with a single space"
        {"text": "morning. "},
    ]
    assert read([*conversation.flush(), *conversation.end()]) == [{"text": " ", "flush": True}, {"text": ""}]


def aligned(text: str, start: int, step: int = 100) -> dict[str, Any]:
    return {
        "chars": list(text),
        "charStartTimesMs": [start + step * i for i in range(len(text))],
        "charDurationsMs": [step] * len(text),
    }


@pytest.mark.parametrize("restarts", [True, False], ids=["as documented", "as LiveKit reads it"])
def test_characters_of_elevenlabs_become_words_wherever_their_times_begin(restarts: bool) -> None:
    conversation = begun("elevenlabs")
    half_a_second = bytes(24000)
    first = received(
        conversation,
        {"audio": base64_of(half_a_second), "normalizedAlignment": aligned("Hi my", 0), "isFinal": None},
    )
    assert first == [SpokenWords([Word("Hi", 0.0, 0.2)]), Audio(half_a_second)]
    second = received(
        conversation,
        {"audio": base64_of(half_a_second), "normalizedAlignment": aligned("ne x", 0 if restarts else 500)},
    )
    (words, _) = second
    (mine,) = words.words
    assert (mine.text, round(mine.start, 3), round(mine.end, 3)) == ("myne", 0.3, 0.7)
    end = received(conversation, {"audio": None, "isFinal": True})
    assert [type(event) for event in end] == [SpokenWords, SegmentDone]
    assert (end[0].words[0].text, round(end[0].words[0].start, 3)) == ("x", 0.8)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        ("invalid_api_key", Verdict.PERMANENT),
        ("input_timeout_exceeded", Verdict.TRANSIENT),
        (7, Verdict.TRANSIENT),
    ],
)
def test_errors_of_elevenlabs(error: Any, verdict: Verdict) -> None:
    (failure,) = received(begun("elevenlabs"), {"message": "no", "error": error, "code": 1008})
    assert (failure.message, failure.verdict) == ("no", verdict)


# --- Cartesia ---


def test_cartesia_is_connected_as_documented() -> None:
    request = protocol("cartesia").connect(settings("cartesia"))
    assert request.url == "wss://api.cartesia.ai/tts/websocket?cartesia_version=2026-08-14"
    assert request.headers == {"X-API-Key": KEY, "Cartesia-Version": "2026-08-14"}


def test_every_input_of_a_context_is_alike_but_for_the_transcript() -> None:
    conversation = begun("cartesia", voice="v1", options={"emotion": "calm", "max_buffer_delay_ms": 0})
    said, flush, end = read([*conversation.text("Good "), *conversation.flush(), *conversation.end()])
    assert said == {
        "model_id": "sonic-3",
        "transcript": "Good ",
        "voice": {"mode": "id", "id": "v1"},
        "language": "en",
        "context_id": "seg-1",
        "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000},
        "generation_config": {"emotion": "calm"},
        "max_buffer_delay_ms": 0,
        "add_timestamps": True,
        "continue": True,
    }
    assert flush == {**said, "transcript": "", "flush": True}
    assert end == {**said, "transcript": "", "continue": False}
    assert read(conversation.cancel()) == [{"context_id": "seg-1", "cancel": True}]


def test_messages_of_cartesia_belong_to_their_context() -> None:
    conversation = begun("cartesia")
    sound = {"type": "chunk", "data": base64_of(b"\1\0"), "done": False, "status_code": 206}
    assert received(conversation, {**sound, "context_id": "seg-0"}) == []
    assert received(conversation, {**sound, "context_id": "seg-1"}) == [Audio(b"\1\0")]
    times = {"words": ["Good", "day"], "start": [0, 0.5], "end": [0.4, 0.9]}
    assert received(conversation, {"type": "timestamps", "context_id": "seg-1", "word_timestamps": times}) == [
        SpokenWords([Word("Good", 0.0, 0.4), Word("day", 0.5, 0.9)])
    ]
    for ignored in (
        {"type": "flush_done"},
        {"type": "phoneme_timestamps"},
        {"type": "done", "context_id": "seg-0"},
    ):
        assert received(conversation, {"context_id": "seg-1", **ignored}) == []
    done = {"type": "done", "context_id": "seg-1", "done": True}
    assert received(conversation, done) == [SegmentDone()]
    assert received(conversation, done) == []


def test_a_cancelled_context_of_cartesia_is_forgotten_at_once() -> None:
    assert not protocol("cartesia").traits(settings("cartesia")).cancel_answered
    conversation = begun("cartesia")
    conversation.cancel()
    late = {"type": "chunk", "data": base64_of(b"\1\0"), "context_id": "seg-1"}
    assert received(conversation, late) == []
    conversation.begin("seg-2")
    assert received(conversation, late) == []
    assert received(conversation, {"type": "error", "context_id": "seg-1", "status_code": 500}) == []
    assert received(conversation, {**late, "context_id": "seg-2"}) == [Audio(b"\1\0")]


@pytest.mark.parametrize(("status", "verdict"), [(400, Verdict.PERMANENT), (503, Verdict.TRANSIENT)])
def test_errors_of_cartesia(status: int, verdict: Verdict) -> None:
    message = {"type": "error", "title": "Oh", "message": "no", "status_code": status, "context_id": "seg-1"}
    (failure,) = received(begun("cartesia"), message)
    assert (failure.message, failure.verdict, failure.status) == ("no", verdict, status)


# --- jambonz ---


def test_jambonz_is_connected_and_told_as_documented() -> None:
    given = settings("jambonz", voice="anna", language="en-US", sample_rate=16000)
    request = protocol("jambonz").connect(given)
    assert request.url == "ws://127.0.0.1:1/speak?voice=anna&language=en-US&sampleRate=16000"
    traits = protocol("jambonz").traits(given)
    assert (traits.waits_for_ready, traits.silence_seconds, traits.reusable) == (True, 1.0, False)
    conversation = begun("jambonz")
    assert read(
        [*conversation.text("Good "), *conversation.flush(), *conversation.end(), *conversation.close()]
    ) == [
        {"type": "stream", "text": "Good "},
        {"type": "flush"},
        {"type": "flush"},
        {"type": "stop"},
    ]


def test_a_server_for_jambonz_says_which_rate_its_audio_has() -> None:
    conversation = begun("jambonz")
    hello = {"type": "connect", "data": {"sample_rate": 8000, "base64_encoding": True}}
    assert received(conversation, hello) == [SynthesisForm("audio/pcm", 8000), Ready()]
    assert received(conversation, b"\1\0") == [Audio(b"\1\0")]
    assert received(conversation, {"type": "data", "data": {"audio": base64_of(b"\2\0")}}) == [Audio(b"\2\0")]
    # with a type as documented, or bare, as a server of jambonz's own examples sends it
    for error in ({"type": "error", "error": "no"}, {"error": "no"}):
        (failure,) = received(conversation, error)
        assert isinstance(failure, Failure) and failure.message == "no"


# --- all of them ---


_ABSURD: list[Any] = [
    b"",
    b"\xff",
    [],
    7,
    {},
    {"type": None},
    {"type": ["Flushed"]},
    {"type": "chunk", "context_id": "seg-1"},
    {"type": "chunk", "data": 7},
    {"type": "chunk", "data": "not base64!"},
    {"type": "timestamps", "word_timestamps": {"words": ["a"], "start": [], "end": [1]}},
    {"type": "timestamps", "word_timestamps": {"words": "a", "start": 1, "end": None}},
    {"type": "timestamps", "word_timestamps": {"words": [1], "start": ["x"], "end": [None]}},
    {"type": "words", "words": [1, {"word": 2}, {"word": "a", "start": "x"}]},
    {"type": "started", "sample_rate": 10**9},
    {"type": "started", "sample_rate": -1},
    {"type": "started", "sample_rate": "fast"},
    {"type": "connect", "data": {"sample_rate": float("1e300")}},
    {"type": "error", "code": {}, "message": [], "status_code": True},
    {"audio": 5},
    {"audio": "====", "normalizedAlignment": 4, "isFinal": "no"},
    {"audio": None, "normalizedAlignment": {"chars": [None], "charStartTimesMs": [0], "charDurationsMs": [0]}},
]


@pytest.mark.parametrize("name", VENDORS)
def test_only_a_protocol_error_escapes_from_rubbish(name: str) -> None:
    for message in [*_ABSURD, "", "nonsense", "{", "[1]"]:
        conversation = begun(name)
        try:
            events = conversation.receive(message) if isinstance(message, str) else received(conversation, message)
        except ProtocolError as refused:
            assert len(str(refused)) < 100
        else:
            assert not any(isinstance(event, SegmentDone) for event in events)


@pytest.mark.parametrize("name", VENDORS)
def test_text_travels_whole_and_keys_never(name: str) -> None:
    conversation = begun(name)
    text = 'She said: "Ein Stück Käse"\n\\ 😀 ${key} '
    (sent,) = read(conversation.text(text))
    assert text in sent.values()
    messages = [*conversation.flush(), *conversation.end(), *conversation.cancel(), *conversation.close()]
    assert KEY not in str(messages)
    assert text not in repr(conversation) and "Käse" not in str(vars(conversation))


@pytest.mark.parametrize("name", VENDORS)
def test_an_unknown_option_is_refused_where_it_would_go_nowhere(name: str) -> None:
    if name == "generic":
        assert read(talk(name, options={"mood": "glad"}).begin("s"))[0]["options"] == {"mood": "glad"}
        return
    with pytest.raises(ConfigurationError, match="no option 'mood'"):
        settings(name, options={"mood": "glad"})
