"""Templates, options, queries and messages: what a profile sends."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from agents.providers.base import ConfigurationError
from agents.providers.profiles import Profile, ProfileBatch, ProfileStreaming, ProfileSynthesis, parse_profile
from agents.providers.profiles.templates import Scope, compile_template
from agents.providers.protocol import (
    ConnectRequest,
    HttpRequest,
    HttpResponse,
    JobFailed,
    Pcm,
    Settings,
    Verdict,
    Wait,
)
from agents.providers.redaction import Secret

RESULTS = {"rules": [{"event": "final", "text": "text"}]}


def profile(**fields: Any) -> Profile:
    return Profile.model_validate({"name": "acme", "title": "Acme", **fields})


def streaming(options: dict[str, Any] | None = None, **fields: Any) -> ProfileStreaming:
    service = {"results": RESULTS, **fields}
    auth = service.pop("shared_auth", None)
    return ProfileStreaming(profile(streaming=service, options=options or {}, auth=auth))


def settings(**fields: Any) -> Settings:
    return Settings(
        **{"url": "wss://acme.test/listen", "api_key": Secret("k-1234"), "language": "en-US", **fields}
    )


def query(request: ConnectRequest | HttpRequest) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(request.url).query, keep_blank_values=True)


# --- templates ---


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("plain", "plain"),
        ("${sample_rate}", 16000),
        ("rate=${sample_rate};i=${interim_results}", "rate=16000;i=true"),
        ("${language|base}", "en"),
        ("${language|lower}", "en-us"),
        ("${model}", None),
        ("model ${model}", None),
        ({"a": "${model}", "b": 1}, {"b": 1}),
        ({"a": "${model}", "b": "${channels}"}, {"b": 1}),
        ({"a": {"b": "${model}"}}, None),
        (["${model}", "${language}"], ["en-US"]),
        ("${keyterms}", ["one", "two"]),
        ("${keyterms|json}", '["one","two"]'),
        ("${keyterms|comma}", "one,two"),
        ("${options.speed}", 3),
        ("${options.flag|not}", True),
        ("${options.flag|text}", "false"),
        ("${options.absent}", None),
        ("${options}", {"extra": 1}),
        ("${saved.token}", "t"),
        ("${audio}", "AAE="),
        ("${sent.messages} ${sent.bytes} ${sent.ms}", "2 3200 100"),
        ({}, {}),
        ('{"eof" : 1}', '{"eof" : 1}'),
    ],
)
def test_templates(template: Any, value: Any) -> None:
    scope = Scope(
        settings(keyterms=("one", "two")),
        {"speed": 3, "flag": False},
        {"extra": 1},
        "en-US",
        saved={"token": "t"},
        audio=b"\x00\x01",
        messages_sent=2,
        bytes_sent=3200,
    )
    assert compile_template(template)(scope) == value


# --- credentials ---


@pytest.mark.parametrize(
    ("auth", "headers", "names", "subprotocols"),
    [
        ({"header": "Authorization", "value": "Token ${key}"}, {"Authorization": "Token k-1234"}, [], []),
        ({"header": "X-Key"}, {"X-Key": "k-1234"}, [], []),
        ({"query": "token"}, {}, [("token", "k-1234")], []),
        ({"subprotocols": ["token", "${key}"]}, {}, [], ["token", "k-1234"]),
    ],
)
def test_the_key_travels_as_the_profile_says(
    auth: dict[str, Any], headers: dict[str, str], names: list[tuple[str, str]], subprotocols: list[str]
) -> None:
    protocol = streaming(shared_auth=auth)
    request = protocol.connect(settings())
    assert (dict(request.headers), query(request), list(request.subprotocols)) == (headers, names, subprotocols)
    assert "k-1234" not in repr(request)
    without = protocol.connect(settings(api_key=None))
    assert "k-1234" not in (without.url, *without.headers.values(), *without.subprotocols)


def test_the_services_own_credential_comes_before_the_shared_one() -> None:
    request = streaming(shared_auth={"header": "A"}, auth={"header": "B"}).connect(settings())
    assert dict(request.headers) == {"B": "k-1234"}


def test_headers_of_the_user_win() -> None:
    protocol = streaming({"mode": {"type": "string", "goes": "header", "name": "X-Mode"}}, headers={"X-V": "1"})
    request = protocol.connect(settings(options={"mode": "fast"}, headers={"X-V": "2"}))
    assert dict(request.headers) == {"X-V": "2", "X-Mode": "fast"}


def test_a_key_is_asked_for_at_the_vendors_own_hosts_only() -> None:
    fields = {"hosts": ["acme.test", "*.acme.test"], "key_environment": "ACME_KEY", "auth": {"header": "A"}}
    protocol = ProfileStreaming(profile(streaming={"results": RESULTS}, **fields))
    for url in ("wss://acme.test/x", "wss://eu.acme.test/x"):
        with pytest.raises(ConfigurationError, match="ACME_KEY"):
            protocol.check(settings(url=url, api_key=None))
    protocol.check(settings(url="ws://localhost:80/x", api_key=None))
    protocol.check(settings())


def test_all_the_places_of_a_key_are_named() -> None:
    fields = {"hosts": ["acme.test"], "key_environment": ["ACME_KEY", "ACME_TOKEN"], "auth": {"header": "A"}}
    protocol = ProfileStreaming(profile(streaming={"results": RESULTS}, **fields))
    with pytest.raises(ConfigurationError, match=r"pass api_key or set ACME_KEY or ACME_TOKEN$"):
        protocol.check(settings(url="wss://acme.test/x", api_key=None))


HELLO: dict[str, Any] = {
    "url": "wss://acme.test:8443/x",
    "results": RESULTS,
    "opening": [{"json": {"t": "${key}"}}],
}
ELSEWHERE = "ws://localhost:80/x"


@pytest.mark.parametrize(
    ("fields", "url", "refused"),
    [
        ({"streaming": HELLO}, "wss://acme.test:8443/x", True),
        ({"streaming": HELLO}, "wss://acme.test:8443", True),
        ({"streaming": HELLO}, "wss://acme.test/x", False),  # another service of that machine
        ({"streaming": HELLO}, ELSEWHERE, False),
        ({"streaming": HELLO, "hosts": ["localhost"]}, ELSEWHERE, True),
        ({"streaming": {**HELLO, "opening": [{"text": "k=${key}"}]}}, "wss://acme.test:8443/x", True),
        ({"streaming": {**HELLO, "opening": [], "query": {"t": "${key}"}}}, "wss://acme.test:8443/x", True),
        ({"streaming": {**HELLO, "opening": []}}, "wss://acme.test:8443/x", False),
        ({"streaming": HELLO, "key_environment": None}, "wss://acme.test:8443/x", False),
        ({"streaming": HELLO, "key_required": False}, "wss://acme.test:8443/x", False),
    ],
)
def test_a_key_that_goes_into_messages_is_asked_for_too(fields: dict[str, Any], url: str, refused: bool) -> None:
    protocol = ProfileStreaming(profile(**{"key_environment": "ACME_KEY", **fields}))
    protocol.check(settings(url=url))
    if not refused:
        protocol.check(settings(url=url, api_key=None))
        return
    with pytest.raises(ConfigurationError, match="Acme needs an API key: pass api_key or set ACME_KEY"):
        protocol.check(settings(url=url, api_key=None))


def test_a_key_for_what_the_user_need_not_choose_is_not_asked_for() -> None:
    token = {"url": "https://acme.test/token", "headers": {"K": "${key}"}}
    bodies = {"raw": {"raw": "wav"}, "json": {"json": {"key": "${key}", "sound": "${audio}"}}}
    form = {"type": "string", "default": "raw", "choices": ["raw", "json"], "goes": "nowhere"}
    fields: dict[str, Any] = {
        "key_environment": "ACME_KEY",
        "options": {"token": {"type": "boolean"}, "form": form},
    }

    def check(step: dict[str, Any], alternatives: dict[str, Any]) -> None:
        streaming = {**HELLO, "opening": [], "prepare": [step]}
        batch = {"url": "https://acme.test/x", "steps": [{"bodies": alternatives}], "result": {"text": "t"}}
        made = profile(streaming=streaming, batch=batch, **fields)
        ProfileStreaming(made).check(settings(url="wss://acme.test:8443/x", api_key=None))
        ProfileBatch(made).check(settings(url="https://acme.test/x", api_key=None))

    check({**token, "only_if": "token"}, bodies)
    with pytest.raises(ConfigurationError, match="ACME_KEY"):
        check(token, bodies)
    with pytest.raises(ConfigurationError, match="ACME_KEY"):
        check({**token, "only_if": "token"}, {"json": bodies["json"]})


def test_a_key_that_need_not_be_given_travels_where_the_profile_says() -> None:
    protocol = ProfileStreaming(profile(streaming=HELLO, key_required=False))
    assert list(protocol.converse(settings()).opening()) == ['{"t":"k-1234"}']
    assert list(protocol.converse(settings(api_key=None)).opening()) == ["{}"]
    assert "Authorization" not in protocol.connect(settings()).headers


# --- options and the query ---


OPTIONS = {
    "speed": {"type": "integer", "default": 2, "minimum": 1, "maximum": 9},
    "flag": {"type": "boolean"},
    "terms": {"type": ["list", "string"], "name": "term"},
    "list": {"type": "list", "encode": "json"},
    "csv": {"type": "list", "encode": "comma"},
    "swap": {"type": "mapping", "encode": "pairs"},
    "map": {"type": "mapping"},
    "mode": {"type": "string", "choices": ["a", "b"]},
    "only_batch": {"type": "string", "used_by": "batch"},
}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, [("speed", "2")]),
        ({"speed": None}, []),
        ({"speed": 5, "flag": False}, [("speed", "5"), ("flag", "false")]),
        ({"speed": None, "terms": ["a b", "c"]}, [("term", "a b"), ("term", "c")]),
        ({"speed": None, "terms": "a"}, [("term", "a")]),
        ({"speed": None, "terms": [("a", 2.0)]}, [("term", "a:2.0")]),
        ({"speed": None, "list": ["a"]}, [("list", '["a"]')]),
        ({"speed": None, "csv": ["a", True]}, [("csv", "a,true")]),
        ({"speed": None, "swap": {"a": "b", "c": 1}}, [("swap", "a:b"), ("swap", "c:1")]),
        ({"speed": None, "map": {"a": "b"}}, [("map", '{"a":"b"}')]),
    ],
)
def test_options_reach_the_query(given: dict[str, Any], sent: list[tuple[str, str]]) -> None:
    protocol = streaming(OPTIONS)
    protocol.check(settings(options=given))
    assert query(protocol.connect(settings(options=given))) == sent


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"sped": 1}, "no option 'sped' for streaming: did you mean 'speed'.*it knows csv, flag"),
        ({"speed": "5"}, "option 'speed' must be integer, not str"),
        ({"speed": True}, "must be integer, not bool"),
        ({"speed": 0}, "at least 1"),
        ({"speed": 10}, "at most 9"),
        ({"mode": "c"}, "one of a, b"),
        ({"terms": 5}, "list or string"),
        ({"only_batch": "x"}, "is for batch, not for streaming"),
    ],
)
def test_options_that_cannot_work_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        streaming(OPTIONS).check(settings(options=given))


@pytest.mark.parametrize("name", ["model", "language", "sample_rate", "headers", "api_key"])
def test_an_argument_of_its_own_is_not_taken_for_a_misspelt_option(name: str) -> None:
    near = {
        option: {"type": "string"} for option in ("mode", "language_hint", "sampling_rate", "header", "api_keys")
    }
    with pytest.raises(ConfigurationError, match=f"no option '{name}' for streaming") as refused:
        streaming(near).check(settings(options={name: "x"}))
    assert f"it is an argument of its own, {name}=…" in str(refused.value)
    assert "did you mean" not in str(refused.value) and "voice" not in str(refused.value)
    is_field = name not in ("sample_rate", "headers")
    assert ("and a field of STTConfig" in str(refused.value)) is is_field


def test_a_voice_is_no_option_where_there_are_voices() -> None:
    spoken = {"options": {"voices": {"type": "string"}}}
    body = {"json": {"text": "${text}"}}
    protocol = ProfileSynthesis(profile(speech=spoken, synthesis={"body": body, "audio": {"type": "audio/pcm"}}))
    with pytest.raises(ConfigurationError, match="argument of its own, voice=…, and a field of TTSConfig"):
        protocol.check(settings(options={"voice": "anna"}))
    with pytest.raises(ConfigurationError, match="no option 'voice' for streaming: did you mean 'voices'"):
        streaming({"voices": {"type": "string"}}).check(settings(options={"voice": "anna"}))


def test_keyterms_are_set_by_a_call_of_their_own() -> None:
    takes, option = {"keyterms": True}, {"keyterm": {"type": "list"}}
    with pytest.raises(
        ConfigurationError, match=r"'keyterms' .*: update_options\(keyterms=…\) sets them: it knows"
    ):
        streaming(capabilities=takes).check(settings(options={"keyterms": ["a"]}))
    with pytest.raises(ConfigurationError, match=r"sets them, or did you mean 'keyterm'\? it knows"):
        streaming(option, capabilities=takes).check(settings(options={"keyterms": ["a"]}))
    with pytest.raises(ConfigurationError, match="for streaming: did you mean 'keyterm'"):
        streaming(option).check(settings(options={"keyterms": ["a"]}))


def test_the_users_url_replaces_defaults_but_not_what_the_audio_is() -> None:
    protocol = streaming(
        {"speed": {"type": "integer", "default": 2}},
        query={"model": "${model}", "rate": "${sample_rate}", "encoding": "pcm"},
    )
    url = "wss://acme.test/x?model=mine&rate=8000&encoding=flac&speed=7&mine=1"
    sent = dict(query(protocol.connect(settings(url=url, model="other"))))
    assert sent == {"model": "mine", "rate": "16000", "encoding": "pcm", "speed": "7", "mine": "1"}
    assert dict(query(protocol.connect(settings(url=url, options={"speed": 3}))))["speed"] == "3"


def test_a_url_that_names_only_a_host_gets_the_vendors_path() -> None:
    protocol = streaming(url="wss://api.acme.test/v1/listen")
    assert protocol.connect(settings(url="https://eu.acme.test")).url == "wss://eu.acme.test/v1/listen"
    assert protocol.connect(settings(url="ws://eu.acme.test/mine")).url == "ws://eu.acme.test/mine"


# --- messages ---


def test_options_go_into_the_first_json_message() -> None:
    options = {"words": {"type": "boolean", "goes": "body", "name": "config.words"}}
    opening = [{"text": "hello"}, {"json": {"config": {"rate": "${sample_rate}"}}}, {"json": {"x": 1}}]
    talk = streaming(options, opening=opening).converse(settings(options={"words": True}))
    assert talk.opening() == ["hello", '{"config":{"rate":16000,"words":true}}', '{"x":1}']


def test_literals_are_sent_byte_for_byte() -> None:
    talk = streaming(flush=[{"binary": "END"}, {"text": ""}], close=[{"text": '{"eof" : 1}'}]).converse(settings())
    assert (talk.flush(), talk.close(), talk.keepalive()) == ([b"END", ""], ['{"eof" : 1}'], [])


def test_closing_messages_may_count_what_was_sent() -> None:
    talk = streaming(close=[{"json": {"last": "${sent.messages}", "ms": "${sent.ms}"}}]).converse(settings())
    for _ in range(3):
        talk.audio(bytes(1600))
    assert talk.close() == ['{"last":3,"ms":150}']


def test_binary_audio_is_passed_on_without_a_copy() -> None:
    chunk = bytes(1600)
    assert streaming().converse(settings()).audio(chunk)[0] is chunk


def test_audio_in_json_and_a_message_after_it() -> None:
    audio = {"message": {"type": "append", "audio": "${audio}"}, "then": [{"json": {"type": "commit"}}]}
    talk = streaming(audio=audio).converse(settings())
    assert talk.audio(memoryview(b"\x01\x02")) == ['{"type":"append","audio":"AQI="}', '{"type":"commit"}']


@pytest.mark.parametrize(
    ("encoding", "sent"),
    [
        ("f32", b"\x00\x00\x00\x00\x00\x00\x00\x3f\x00\x00\x80\xbf"),
        # ITU-T G.711: zero is 0xFF, the loudest negative 0x00
        ("mulaw", b"\xff\x8f\x00"),
    ],
)
def test_audio_is_encoded_as_the_vendor_wants_it(encoding: str, sent: bytes) -> None:
    talk = streaming(audio={"encoding": encoding}).converse(settings())
    assert talk.audio(b"\x00\x00\x00\x40\x00\x80") == (sent,)


def test_an_update_in_band_changes_only_what_it_can() -> None:
    update = {
        "changes": ["keyterms", "options.flag"],
        "models": "nova-3",
        "send": [{"json": {"terms": "${all_keyterms}"}}],
    }
    before = settings(model="nova-3-medical", options={"speed": 3})
    talk = streaming(OPTIONS, update=update).converse(before)
    change = {"model": "nova-3-medical"}
    assert talk.update(settings(**change, options={"speed": 3}, keyterms=("a",))) == ['{"terms":["a"]}']
    assert talk.update(settings(**change, options={"speed": 3, "flag": True})) == ['{"terms":[]}']
    assert talk.update(settings(**change, options={"speed": 4, "flag": True})) is None
    assert talk.update(settings(**change, options={"speed": 3}, language="de")) is None
    assert talk.update(settings(**change, options={"speed": 3}, interim_results=False)) is None
    assert talk.update(settings(model="nova-2", options={"speed": 3})) is None
    assert streaming().converse(before).update(before) is None


# --- requests before the WebSocket ---


def test_a_token_fetched_first_is_used_to_connect() -> None:
    step = {
        "url": "https://acme.test/token",
        "method": "GET",
        "query": {"ttl": 60},
        "save": {"token": "token"},
        "only_if": "temporary",
    }
    options = {"temporary": {"type": "boolean", "default": True, "goes": "nowhere"}}
    protocol = streaming(options, shared_auth={"header": "A"}, prepare=[step], query={"token": "${saved.token}"})
    steps = protocol.prepare(settings())
    request = next(steps)
    assert (request.method, request.url, dict(request.headers)) == (
        "GET",
        "https://acme.test/token?ttl=60",
        {"A": "k-1234"},
    )
    with pytest.raises(StopIteration) as stop:
        steps.send(HttpResponse(200, {}, b'{"token":"t"}'))
    assert query(stop.value.value) == [("token", "t")]
    with pytest.raises(StopIteration) as stop:
        next(protocol.prepare(settings(options={"temporary": False})))
    assert query(stop.value.value) == []


def test_a_session_made_first_says_where_to_connect() -> None:
    step = {"url": "${url}", "body": {"rate": "${sample_rate}"}, "with_options": True, "save": {"url": "url"}}
    options = {"silence": {"type": "number", "goes": "body", "name": "vad.silence"}}
    protocol = streaming(options, prepare=[step], connect="${saved.url}")
    steps = protocol.prepare(settings(url="https://acme.test/v2/live", options={"silence": 0.5}))
    request = next(steps)
    assert isinstance(request.body, bytes)
    assert orjson.loads(request.body) == {"rate": 16000, "vad": {"silence": 0.5}}
    with pytest.raises(StopIteration) as stop:
        steps.send(HttpResponse(201, {}, b'{"url":"wss://live.acme.test/s?token=t"}'))
    assert stop.value.value.url == "wss://live.acme.test/s?token=t"


def test_a_plain_text_reply_is_the_value() -> None:
    step = {"url": "https://acme.test/token", "save": {"token": "@"}}
    steps = streaming(prepare=[step], query={"t": "${saved.token}"}).prepare(settings())
    next(steps)
    with pytest.raises(StopIteration) as stop:
        steps.send(HttpResponse(200, {"content-type": "text/plain"}, b"abc\n"))
    assert query(stop.value.value) == [("t", "abc")]


def test_a_reply_without_what_is_needed_is_an_error() -> None:
    steps = streaming(prepare=[{"url": "https://a.test", "save": {"token": "token"}}]).prepare(settings())
    next(steps)
    with pytest.raises(ValueError, match="nothing at token, which is to be saved as token"):
        steps.send(HttpResponse(200, {}, b"{}"))


def test_traits_come_from_the_profile() -> None:
    protocol = streaming(
        {"diarize": {"type": "boolean"}},
        capabilities={"diarization": "${options.diarize}", "keyterms": True, "announces_end": True},
        audio={"rates": [8000], "min_chunk": "50ms", "max_chunk": "1s", "replay_pace": 2},
        connection={
            "ready_wait": True,
            "heartbeat": "never",
            "session": "1h",
            "close_codes": {1008: "permanent", "4000-4002": "recycle"},
        },
        keepalive={"after": "5s", "send": [{"text": "x"}]},
        results={"rules": [*RESULTS["rules"], {"event": "usage", "audio": "x"}]},
    )
    traits = protocol.traits(settings(options={"diarize": True}, interim_results=False))
    assert (traits.diarization, traits.keyterms, traits.interim_results, traits.flush) == (
        True,
        True,
        False,
        False,
    )
    assert (traits.audio.sample_rates, traits.audio.min_chunk_ms, traits.audio.max_chunk_ms) == ({8000}, 50, 1000)
    assert (traits.waits_for_ready, traits.heartbeat_seconds, traits.session_seconds) == (True, None, 3600.0)
    assert (traits.keepalive_seconds, traits.reports_usage, traits.announces_end) == (5.0, True, True)
    assert traits.close_codes == {1008: Verdict.PERMANENT, **dict.fromkeys((4000, 4001, 4002), Verdict.RECYCLE)}
    assert protocol.traits(settings()).diarization is False


# --- batch ---

PCM = Pcm(b"\x00\x01" * 160, 16000)

JOB = """\
name: acme
title: Acme
auth: {header: Authorization}
options:
  labels: {type: boolean, goes: body, used_by: batch}
batch:
  url: https://acme.test
  steps:
    - {url: "https://acme.test/upload", body: {raw: wav}, save: {upload: upload_url}}
    - url: https://acme.test/jobs
      body: {json: {audio_url: "${saved.upload}", language: "${language}"}}
      with_options: true
      save: {id: id}
    - method: GET
      url: https://acme.test/jobs/${saved.id}
      repeat: {every: 3s, until: "status == 'completed'", failed: "status == 'error'", reason: error, times: 3}
  result:
    unit: ms
    text: text
    confidence: confidence
    words: {items: words, text: text, start: start, end: end}
"""


def reply(**fields: Any) -> HttpResponse:
    return HttpResponse(200, {}, orjson.dumps(fields))


def test_a_job_is_uploaded_submitted_polled_and_read() -> None:
    flow = ProfileBatch(parse_profile(JOB)).recognise(PCM, settings(options={"labels": True}))
    upload = next(flow)
    assert isinstance(upload, HttpRequest)
    assert (upload.url, upload.body) == ("https://acme.test/upload", PCM.wav())
    submit = flow.send(reply(upload_url="https://acme.test/f/1"))
    assert isinstance(submit, HttpRequest) and isinstance(submit.body, bytes)
    assert orjson.loads(submit.body) == {
        "audio_url": "https://acme.test/f/1",
        "language": "en-US",
        "labels": True,
    }
    poll = flow.send(reply(id="j1"))
    assert isinstance(poll, HttpRequest)
    assert (poll.method, poll.url, poll.body) == ("GET", "https://acme.test/jobs/j1", None)
    assert flow.send(reply(status="processing")) == Wait(3.0)
    flow.send(None)
    with pytest.raises(StopIteration) as stop:
        flow.send(
            reply(status="completed", text="hi", confidence=0.5, words=[{"text": "hi", "start": 0, "end": 500}])
        )
    result = stop.value.value
    assert (result.text, result.confidence, result.words[0].end) == ("hi", 0.5, 0.5)


def until_the_poll() -> Any:
    flow = ProfileBatch(parse_profile(JOB)).recognise(PCM, settings())
    next(flow)
    flow.send(reply(upload_url="u"))
    flow.send(reply(id="j1"))
    return flow


def test_a_job_that_failed_says_why_without_the_key() -> None:
    with pytest.raises(JobFailed, match=r"the job failed: no speech for \*\*\*") as raised:
        until_the_poll().send(reply(status="error", error="no speech for k-1234"))
    assert raised.value.failure.verdict is Verdict.PERMANENT


def test_a_job_that_is_never_done_is_given_up() -> None:
    flow = until_the_poll()
    flow.send(reply(status="queued"))
    flow.send(None)
    flow.send(reply(status="queued"))
    flow.send(None)
    flow.send(reply(status="queued"))
    with pytest.raises(JobFailed, match="not done after 3 polls") as raised:
        flow.send(None)
    assert raised.value.failure.verdict is Verdict.TRANSIENT
    assert raised.value.failure.detail == {"timeout": True}


def test_forms_carry_fields_in_their_order() -> None:
    body = {
        "multipart": [
            {"name": "config", "value": {"lang": "${language}"}},
            {"name": "model", "value": "${model}"},
            {"name": "tag[]", "value": "${keyterms}"},
            {"name": "file", "audio": "pcm", "filename": "a.raw"},
        ]
    }
    batch = {"steps": [{"body": body}], "result": {"text": "text"}}
    options = {"temperature": {"type": "number", "goes": "body"}, "x": {"type": "list", "goes": "body"}}
    protocol = ProfileBatch(profile(batch=batch, options=options))
    given = settings(url="https://acme.test/t", keyterms=("a", "b"), options={"temperature": 0, "x": [True]})
    request = protocol.request(PCM, given)
    assert not isinstance(request.body, (bytes, type(None)))
    fields = [(f.name, f.value, f.filename, f.content_type) for f in request.body]
    assert fields == [
        ("config", '{"lang":"en-US"}', None, "application/json"),
        ("tag[]", "a", None, None),
        ("tag[]", "b", None, None),
        ("file", PCM.data, "a.raw", "application/octet-stream"),
        ("temperature", "0", None, None),
        ("x", "true", None, None),
    ]


def test_a_service_that_is_not_there_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="no batch service"):
        ProfileBatch(profile(streaming={"results": RESULTS}))
    with pytest.raises(ConfigurationError, match="no streaming service"):
        ProfileStreaming(profile(batch={"steps": [{}], "result": {"text": "t"}}))


def test_protocols_describe_and_name_themselves() -> None:
    protocol = streaming()
    assert (protocol.name, repr(protocol), protocol.describe()["title"]) == (
        "acme",
        "ProfileStreaming('acme')",
        "Acme",
    )
    batch = ProfileBatch(profile(batch={"rates": [8000], "steps": [{}], "result": {"text": "t"}}))
    assert (batch.name, repr(batch), batch.sample_rates) == ("acme", "ProfileBatch('acme')", {8000})
    assert batch.describe()["name"] == "acme"


# --- replies with an error status ---

ERROR = {"message": "fault.text", "code": "fault.id", "codes": {"FULL": "transient", "BROKE": "permanent"}}


def failed(status: int, body: Any, error: dict[str, Any] | None = ERROR) -> Any:
    service = {"steps": [{"body": {"raw": "wav"}}], "result": {"text": "text"}, "error": error}
    reply = HttpResponse(status, {"Content-Type": "application/json"}, orjson.dumps(body))
    return ProfileBatch(profile(batch=service)).failure(reply)


def test_a_profile_says_where_an_error_has_its_message_and_what_its_code_means() -> None:
    failure = failed(422, {"fault": {"id": "LOCALE", "text": "no such locale"}})
    assert (failure.message, failure.verdict, failure.status) == ("no such locale", Verdict.PERMANENT, 422)
    assert failed(400, {"fault": {"id": "FULL"}}).verdict is Verdict.TRANSIENT
    assert failed(503, {"fault": {"id": "BROKE"}}).verdict is Verdict.PERMANENT
    assert failed(503, {"fault": {"id": "BROKE"}}).message == "BROKE"


@pytest.mark.parametrize("body", [{"error": {"message": "the usual"}}, {"fault": 7, "message": "the usual"}])
def test_an_error_of_another_form_is_read_as_usual(body: Any) -> None:
    for error in (ERROR, None):
        assert failed(500, body, error).message == "the usual"
        assert failed(500, body, error).verdict is Verdict.TRANSIENT


def test_an_error_page_is_judged_by_its_status() -> None:
    service = {"steps": [{}], "result": {"text": "text"}, "error": ERROR}
    page = HttpResponse(502, {"Content-Type": "text/html"}, b"<html></html>")
    assert ProfileBatch(profile(batch=service)).failure(page).verdict is Verdict.TRANSIENT


# --- replies with status 200 that are errors ---

FAILS: dict[str, Any] = {"failed": "ok == `false`", "message": "fault.text", "code": "fault.no"}


def answered(body: Any, **result: Any) -> Any:
    service = {"steps": [{"body": {"raw": "wav"}}], "result": {"text": "join(' ', lines[].say)", **result}}
    head = HttpResponse(200, {"content-type": "application/json"}, orjson.dumps(body))
    return ProfileBatch(profile(batch=service)).parse(head, settings())


FAULT = {"ok": False, "fault": {"text": "no such locale", "no": 422}}


@pytest.mark.parametrize(
    ("given", "verdict", "status"),
    [
        ({}, Verdict.TRANSIENT, None),
        ({"verdict": "permanent"}, Verdict.PERMANENT, None),
        ({"codes": {422: "permanent"}}, Verdict.PERMANENT, None),
        ({"code_is": "http status"}, Verdict.PERMANENT, 422),
        ({"code_is": "http status", "codes": {422: "transient"}}, Verdict.TRANSIENT, 422),
    ],
)
def test_a_profile_says_which_replies_with_status_200_are_errors(
    given: dict[str, Any], verdict: Verdict, status: int | None
) -> None:
    with pytest.raises(JobFailed) as raised:
        answered(FAULT, **FAILS, **given)
    failure = raised.value.failure
    assert (failure.message, failure.verdict, failure.status) == ("no such locale", verdict, status)
    assert failure.detail["code"] == "422"
    assert answered({"ok": True, "lines": [{"say": "hi"}, {"say": "there"}]}, **FAILS, **given).text == "hi there"


def test_an_error_that_is_to_be_ignored_is_a_recording_without_speech() -> None:
    assert answered(FAULT, **FAILS, codes={422: "ignore"}).text == ""


def test_an_error_without_a_word_of_why_says_that_it_is_one() -> None:
    with pytest.raises(JobFailed, match="the service says that it failed"):
        answered({"ok": False}, failed="!ok")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (FAULT, r"no text at join\(' ', lines\[\]\.say\); it has fault, ok$"),
        ({"lines": 7}, r"no text at .*; it has lines$"),
        ({"what was said": 1, "a": 2, "x" * 50: 3}, r"no text at .*; it has a and 2 more$"),
        ({f"k{n}": n for n in range(20, 40)}, r"no text at .*; it has k20, k21, .*k27 and 12 more$"),
        ({"ünsaid": 1}, r"no text at .*; it has 1 key$"),
        ({}, r"no text at .*; it is empty$"),
        ([1], r"no text at .*; it is a list$"),
        ("said", r"no text at .*; it is a string$"),
    ],
)
def test_a_reply_without_text_is_told_by_its_keys_and_not_by_what_they_hold(body: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        answered(body)


def test_a_field_beside_the_text_costs_no_text() -> None:
    """A function refuses a value it does not take, which is no reason to lose what was said."""
    body = {"lines": [{"say": "hi"}], "billed": "58"}
    assert answered(body, billed_audio="percent(billed)").text == "hi"
    failure = failed(
        422, {"fault": {"text": 7}}, {"message": "join(' ', fault.text)", "code": "percent(fault.id)"}
    )
    assert failure.verdict is Verdict.PERMANENT


def test_a_reply_without_what_is_to_be_saved_is_told_by_its_path() -> None:
    steps = [{"save": {"job": "job.identity"}}, {"method": "GET", "url": "${url}/${saved.job}"}]
    flow = ProfileBatch(profile(batch={"steps": steps, "result": {"text": "text"}})).recognise(
        Pcm(b"\0\0", 16000), settings(url="https://acme.test")
    )
    next(flow)
    with pytest.raises(ValueError, match=r"nothing at job\.identity, which is to be saved as job"):
        flow.send(HttpResponse(200, {"Content-Type": "application/json"}, b'{"job":{"id":1}}'))
