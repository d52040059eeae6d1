"""The part of the profile language for vendors that speak: what it can say, and what it refuses."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import orjson
import pytest

from agents.providers.base import ConfigurationError
from agents.providers.profiles import (
    ProfileStreamingSynthesis,
    ProfileSynthesis,
    find_problems,
    load_profile,
    parse_profile,
)
from agents.providers.protocol import (
    Audio,
    Failure,
    HttpResponse,
    ProtocolError,
    Settings,
    SpokenWords,
    SynthesisForm,
    Verdict,
    Word,
)
from agents.providers.vendors import find_vendor

HTTP = """
name: acme
title: Acme
synthesis:
  body: {json: {say: "${text}"}}
"""

SOCKET = """
name: acme
title: Acme
streaming_synthesis:
  text: [{json: {say: "${text}"}}]
  end: [{text: END}]
  results:
    switch: kind
    rules: [{case: over, event: done}]
"""

HEARS = """
name: acme
title: Acme
streaming:
  results: {rules: [{event: final, text: t}]}
"""


def http(text: str = HTTP) -> ProfileSynthesis:
    return ProfileSynthesis(parse_profile(text))


def settings(**fields: Any) -> Settings:
    return Settings(**{"url": "https://speech.example/say", "sample_rate": 24000, **fields})


def socket(text: str = SOCKET) -> ProfileStreamingSynthesis:
    return ProfileStreamingSynthesis(parse_profile(text))


# --- over HTTP ---


@pytest.mark.parametrize(
    ("service", "body", "content_type"),
    [
        ('  body: {json: {say: "${text}"}}', b'{"say":"Hi & bye"}', "application/json"),
        ('  body: {text: "${text}"}', b"Hi & bye", "text/plain; charset=utf-8"),
        (
            '  body: {text: "<speak>${text}</speak>", content_type: application/ssml+xml}',
            b"<speak>Hi & bye</speak>",
            "application/ssml+xml",
        ),
        ('  method: GET\n  query: {q: "${text}", lang: "${language}"}', None, None),
    ],
    ids=["json", "text", "ssml", "query"],
)
def test_a_text_goes_where_the_profile_says(service: str, body: bytes | None, content_type: str | None) -> None:
    protocol = ProfileSynthesis(parse_profile(f"name: acme\ntitle: Acme\nsynthesis:\n{service}\n"))
    request = protocol.request("Hi & bye", settings())
    assert (request.body, request.headers.get("Content-Type")) == (body, content_type)
    assert request.url == "https://speech.example/say" + ("?q=Hi%20%26%20bye" if body is None else "")


def test_defaults_and_options_of_speech_are_its_own() -> None:
    protocol = http(
        """
name: acme
title: Acme
defaults: {model: hearing}
options: {pace: {type: integer, default: 3}}
streaming: {results: {rules: [{event: final, text: text}]}}
speech:
  defaults: {model: speaking, voice: anna}
  options:
    pace: {type: number, minimum: 0.5, goes: body, name: style.pace}
    loud: {type: boolean, goes: header, name: X-Loud}
synthesis:
  query: {model: "${model}", voice: "${voice}"}
  body: {json: {say: "${text}"}}
"""
    )
    request = protocol.request("Hi", settings(options={"pace": 1.5, "loud": True}))
    assert request.url.endswith("?model=speaking&voice=anna")
    assert isinstance(request.body, bytes)
    assert orjson.loads(request.body) == {"say": "Hi", "style": {"pace": 1.5}}
    assert request.headers["X-Loud"] == "true"
    with pytest.raises(ConfigurationError, match="'pace' must be at least"):
        protocol.check(settings(options={"pace": 0.1}))


def test_a_content_type_that_lies_is_not_believed_but_a_page_is() -> None:
    protocol = http(HTTP + "  audio: {type: audio/mpeg, content_type: false}\n")
    assert (
        protocol.form(HttpResponse(200, {"content-type": "text/plain"}, b""), settings()).mime_type == "audio/mpeg"
    )
    for page in ("text/html", "application/json; charset=utf-8"):
        with pytest.raises(ValueError, match="expected audio"):
            protocol.form(HttpResponse(200, {"content-type": page}, b""), settings())


def test_a_voice_that_a_path_needs_must_be_given() -> None:
    text = HTTP + "  url: https://speech.example/v1\n  path: /${voice}/say\nspeech: {voices: [anna, bob]}\n"
    with pytest.raises(ConfigurationError, match=r"needs a voice: pass voice: anna, bob"):
        http(text).check(settings())
    http(text).check(settings(voice="carl"))


def test_a_voice_that_goes_nowhere_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no voices to choose from"):
        http().check(settings(voice="anna"))


# --- audio in JSON ---


def wrapped(answer: str, body: bytes, piece: int) -> list[Any]:
    protocol = http(HTTP + f"  answer: {answer}\n  audio: {{type: audio/wav}}\n")
    head = HttpResponse(200, {"content-type": "application/json"}, b"")
    assert protocol.form(head, settings()).mime_type == "audio/wav"
    reader = protocol.reader(head, settings())
    assert reader is not None
    found = [event for i in range(0, len(body), piece) for event in reader.push(body[i : i + piece])]
    return [*found, *reader.finish()]


ONE, TWO = (base64.b64encode(data).decode() for data in (b"\1\0\2\0", b"\3\0"))
_ANSWERS = {
    "body": ("{audio: reply.sound}", f'\n{{"reply": {{"sound": "{ONE}{TWO}"}}}}', [b"\1\0\2\0\3\0"]),
    "line": (
        "{each: line, audio: [sound, more]}",
        f'{{"sound": "{ONE}"}}\r\n\n{{"usage": 3}}\n{{"more": "{TWO}"}}',
        [b"\1\0\2\0", b"\3\0"],
    ),
    "event": (
        "{each: event, audio: sound}",
        f': hello\nevent: audio\ndata: {{"sound":\ndata: "{ONE}"}}\n\n'
        f'data:{{"sound": "{TWO}"}}\n\ndata: [DONE]\n\n',
        [b"\1\0\2\0", b"\3\0"],
    ),
}


@pytest.mark.parametrize("piece", [1, 9, 9999])
@pytest.mark.parametrize(("answer", "body", "audio"), _ANSWERS.values(), ids=_ANSWERS)
def test_audio_may_be_in_json_however_it_is_cut(answer: str, body: str, audio: list[bytes], piece: int) -> None:
    body = body.replace(ONE + TWO, base64.b64encode(b"".join(audio)).decode())
    assert wrapped(answer, body.encode(), piece) == [Audio(data) for data in audio]


def test_errors_in_json_are_told_by_the_profile() -> None:
    answer = "{each: line, audio: a, failed: err, message: err.text, code: err.code, code_is: http status}"
    found = wrapped(answer, f'{{"a": "{TWO}"}}\n{{"err": {{"text": "no", "code": 403}}}}\n'.encode(), 7)
    assert found == [Audio(b"\3\0"), Failure("no", Verdict.PERMANENT, 403, detail={"code": "403"})]


def test_a_body_without_audio_is_an_error_that_says_why() -> None:
    (failure,) = wrapped("{audio: sound}", b'{"error": {"message": "busy"}}', 99)
    assert (failure.message, failure.verdict) == ("busy", Verdict.TRANSIENT)


@pytest.mark.parametrize(
    ("answer", "body", "told"),
    [
        (
            "{audio: sound}",
            {"ok": False, "fault": {"no": 3}},
            "the answer has no audio at sound; it has fault, ok",
        ),
        ("{audio: [sound, a.b]}", [], "the answer has no audio at sound, a.b; it is a list"),
        ("{audio: sound}", {"sound": None}, "the answer has no audio at sound; it has sound"),
    ],
)
def test_a_body_without_audio_is_told_by_its_keys_and_not_by_what_they_hold(
    answer: str, body: Any, told: str
) -> None:
    (failure,) = wrapped(answer, orjson.dumps(body), 99)
    assert (failure.message, failure.verdict) == (told, Verdict.TRANSIENT)


@pytest.mark.parametrize(
    ("answer", "body", "told"),
    [
        ("{audio: sound}", b"", "expected JSON in the body"),
        ("{each: line, audio: sound}", b"<html>\n", "expected JSON in the line"),
        ("{each: event, audio: sound}", b"data: {\n\n", "expected JSON in the event"),
        ("{audio: sound}", b'{"sound": 7}', "not base64"),
        ("{audio: sound}", b'{"sound": "?"}', "not base64"),
    ],
)
def test_json_that_is_none_is_refused(answer: str, body: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        wrapped(answer, body, 3)


# --- over a WebSocket ---


def test_options_go_to_the_first_message_with_json() -> None:
    text = SOCKET.replace("streaming_synthesis:", 'streaming_synthesis:\n  begin: [{json: {id: "${segment}"}}]')
    text += "speech: {options: {pace: {type: number, goes: body}}}\n"
    talk = socket(text).converse(settings(options={"pace": 2}))
    assert talk.begin("seg-1") == ['{"id":"seg-1","pace":2}']
    assert (talk.text("Hi "), talk.end(), talk.flush(), talk.cancel()) == (['{"say":"Hi "}'], ["END"], [], [])


def test_traits_are_what_the_profile_says() -> None:
    text = SOCKET.replace(
        "  results:",
        """  audio: {type: audio/basic, rates: [8000]}
  text_unit: sentence
  connection:
    {reusable: false, heartbeat: never, idle: 5s, session: 2min, stall: 3s, silence: 500ms,
      close_codes: {"4000-4001": permanent}}
  keepalive: {after: 4s, send: [{text: PING}]}
  results:""",
    )
    traits = socket(text).traits(settings())
    assert traits.form == SynthesisForm("audio/basic", 8000)
    assert (traits.text_unit, traits.reusable, traits.cancels, traits.timed_words) == (
        "sentence",
        False,
        False,
        False,
    )
    assert (traits.heartbeat_seconds, traits.idle_seconds, traits.session_seconds) == (None, 5.0, 120.0)
    assert (traits.stall_seconds, traits.silence_seconds, traits.keepalive_seconds) == (3.0, 0.5, 4.0)
    assert traits.close_codes == {4000: Verdict.PERMANENT, 4001: Verdict.PERMANENT}
    assert socket(text).converse(settings()).keepalive() == ["PING"]


def test_words_may_be_objects_or_lists_side_by_side_and_in_any_unit() -> None:
    rules = """
    unit: ms
    rules:
      - {case: objects, event: words, words: {items: words, text: w, start: from, duration: for}}
      - {case: lists, event: words, aligned: {texts: t, starts: [s, begins], ends: e}}
      - {case: over, event: done}
"""
    text = SOCKET.replace("    rules: [{case: over, event: done}]\n", rules.lstrip("\n"))
    talk = socket(text).converse(settings())
    talk.begin("seg-1")
    objects = {"kind": "objects", "words": [{"w": "Hi", "from": 100, "for": 50}]}
    lists = {"kind": "lists", "t": ["you", "two"], "begins": ["200", 300], "e": [250, 400]}
    wanted = [SpokenWords([Word("Hi", 0.1, 0.15000000000000002)])]
    assert talk.receive(orjson.dumps(objects).decode()) == wanted
    assert talk.receive(orjson.dumps(lists).decode()) == [
        SpokenWords([Word("you", 0.2, 0.25), Word("two", 0.3, 0.4)])
    ]


def test_times_may_begin_with_the_audio_of_their_message() -> None:
    text = SOCKET.replace(
        "    rules: [{case: over, event: done}]\n",
        """    times_from: message
    rules:
      - {event: audio, audio: sound, when: {sound: {present: true}}, more: true}
      - {event: words, aligned: {texts: t, starts: s, ends: e}, when: {t: {present: true}}, more: true}
      - {event: done, when: over}
""",
    )
    talk = socket(text).converse(settings(sample_rate=8000))
    talk.begin("seg-1")
    second = base64.b64encode(bytes(16000)).decode()
    message = {"sound": second, "t": ["x"], "s": [0.5], "e": [0.75]}
    words = []
    for _ in range(3):
        words += [
            event.words[0].start
            for event in talk.receive(orjson.dumps(message).decode())
            if isinstance(event, SpokenWords)
        ]
    assert words == [0.5, 1.5, 2.5]  # whatever order the rules have


def test_audio_that_is_not_base64_is_a_protocol_error() -> None:
    text = SOCKET.replace("[{case: over, event: done}]", "[{case: a, event: audio, audio: d}, {event: done}]")
    talk = socket(text).converse(settings())
    talk.begin("s")
    assert talk.receive('{"kind": "a", "d": "AQA="}') == [Audio(b"\1\0")]
    for wrong in ('{"kind": "a", "d": "?"}', '{"kind": "a"}', '{"kind": "a", "d": 7}'):
        with pytest.raises(ProtocolError, match="audio that is no"):
            talk.receive(wrong)


# --- what is refused, with its line ---


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        (HTTP.replace("${text}", "hello"), 4, "sends no text: put ${text}"),
        (HTTP.replace("${text}", "${text} ${keyterms}"), 5, "${keyterms} is for recognition"),
        (HTTP.replace("${text}", "${txt}"), 5, "did you mean 'text'"),
        (HTTP.replace("${text}", "${text} ${options.pace}"), 5, "is not declared under speech.options"),
        (HTTP.replace("body:", "bodi:"), 5, "unknown key, did you mean 'body'"),
        (HTTP.replace("{json:", "{jsn:"), 5, "unknown key"),
        (HTTP + "  method: GET\n", 5, "is nothing a GET has"),
        (HTTP + "  audio: {type: mp3}\n", 6, "is no media type of audio"),
        (HTTP + "  url: wss://acme.test/x\n", 6, 'must begin with http:// or https://; did you mean "https://'),
        (SOCKET + "  url: http://localhost/x\n", 10, 'must begin with ws:// or wss://; did you mean "ws://'),
        (HTTP + "options: {pace: {type: number, used_by: synthesis}}\n", 6, "put it under speech.options"),
        (
            HTTP + "speech: {options: {a: {type: number, used_by: batch}}}\n",
            6,
            "put it under the options at the top",
        ),
        (HTTP + "speech: {options: {a: {type: number, used_by: streaming_synthesis}}}\n", 6, "does not have"),
        (HTTP + "speech: {options: {a: {type: number, default: x}}}\n", 6, "the default must be number"),
        (HTTP + "speech: {options: {a: {type: number, goes: nowhere}}}\n", 6, "goes nowhere"),
        (
            HTTP.replace("json: {say: ", "text: ").replace('}"}}', '}"}')
            + "speech: {options: {a: {type: number, goes: body}}}\n",
            6,
            "there is no JSON that takes it",
        ),
        (SOCKET.replace("${text}", "hello"), 5, "carries no text"),
        (SOCKET.replace("text: END", 'text: "${text}"'), 6, "has no text to say"),
        (
            SOCKET.replace("{case: over, event: done}", "{case: over, event: ignore}"),
            9,
            "no rule says that a segment",
        ),
        (SOCKET.replace("    switch: kind\n", ""), 8, "there is no switch"),
        (SOCKET.replace("event: done}", "event: don}"), 9, "did you mean 'done'? It is one of 'ignore', 'ready'"),
        (SOCKET.replace("[{case", "[{event: audio}, {case"), 9, "`event: audio` needs audio"),
        (SOCKET.replace("[{case", "[{event: form}, {case"), 9, "`event: form` needs rate"),
        (SOCKET.replace("[{case", "[{event: words}, {case"), 9, "needs exactly one of words and aligned"),
        (SOCKET.replace("[{case", "[{event: ignore}, {case"), 9, "is never reached"),
        (SOCKET + "  audio: {type: mp3}\n", 10, "is no media type of audio"),
        (
            SOCKET.replace("    switch", "    times_from: message\n    switch") + "  audio: {type: audio/mpeg}\n",
            8,
            "which have no length in audio/mpeg: only `segment` can be",
        ),
        (SOCKET + "  connection: {ready_wait: true}\n", 10, "no rule says `event: ready`"),
        (SOCKET + "  connection: {cancel_answer: false}\n", 10, "add results.segment"),
        (SOCKET + "  connection: {close_codes: {99: permanent}}\n", 10, "not a close code"),
        (
            SOCKET.replace("event: done", "event: flushed") + "  cancel: [{text: STOP}]\n",
            10,
            "has no answer: a rule must say `event: done`",
        ),
        ("name: acme\ntitle: Acme\n", 1, "give at least one of streaming, batch, synthesis"),
        (
            "name: a\ntitle: A\nstreaming: {results: {rules: [{event: final, text: t}]}}\nspeech: {voices: [a]}\n",
            4,
            "is of no use without synthesis",
        ),
        (
            HEARS + "  query: {x: '${voice}'}\n",
            6,
            "${voice} is for speech",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, line: int, told: str) -> None:
    problems = find_problems(text)
    assert any(told in problem.message and problem.line == line for problem in problems), list(map(str, problems))


def test_the_plain_profiles_are_sound() -> None:
    assert find_problems(HTTP) == find_problems(SOCKET) == []


def test_a_file_is_a_vendor_that_speaks(tmp_path: Path) -> None:
    path = tmp_path / "acme.yaml"
    path.write_text(HTTP + SOCKET.partition("title: Acme")[2])
    load_profile(path)
    vendor = find_vendor(path)
    assert vendor.synthesis is not None and vendor.streaming_synthesis is not None
    assert vendor.streaming is None and vendor.batch is None
