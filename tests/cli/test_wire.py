"""`voxport transcribe --wire`, and what is said of a recording in which nothing was heard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents.providers.cli.wire import Wiretap
from agents.providers.profiles import Profile
from agents.providers.protocol import HttpResponse, Pcm, ProtocolError, Settings
from agents.providers.redaction import Secret
from agents.providers.vendors import find_vendor

from .conftest import LINE, Recording, Voxport

KEY = "a-key-nobody-should-see"
FINAL = {"event": "final", "text": "text"}
WS, HTTP = "/v1/listen", "/v1/stt"
PROFILE = """
name: corp
title: Corp
auth: {header: Authorization, value: "Token ${key}"}
streaming:
  query: {encoding: linear16, sample_rate: "${sample_rate}", interim_results: true}
  opening: [{json: {type: KeepAlive, secret: "${key}"}}]
  close: [{json: {type: CloseStream}}]
  results:
    switch: type
    rules:
      - case: Results
        event: transcript
        final: is_final
        text: channel.alternatives[0].transcript
        start: start
        duration: duration
      - {case: Metadata, event: finished}
batch:
  steps: [{body: {raw: wav}}]
  result: {text: text, end: duration}
"""
"""Deepgram's wire, in which the embedded server says that it has finished."""


@pytest.fixture
def corp(tmp_path: Path) -> Path:
    path = tmp_path / "corp.yaml"
    path.write_text(PROFILE)
    return path


def test_the_wire_of_a_stream_is_shown_with_what_it_means_and_without_the_key(
    voxport: Voxport, serve: tuple[str, str], recording: Recording, corp: Path
) -> None:
    to = ["--vendor", corp, "--url", serve[1] + WS, "--api-key", KEY, "--wire"]
    result = voxport("transcribe", recording("a.wav"), *to)
    assert result.stdout == f"{LINE}\n"
    lines = result.stderr.splitlines()
    assert lines[0] == f"→ connect {serve[1]}{WS}?encoding=linear16&sample_rate=16000&interim_results=true"
    assert lines[1] == '→ {"type":"KeepAlive","secret":"***"}'
    assert re.search(r"^→ \d\.\d\d s of audio in \d+ messages$", result.stderr, re.MULTILINE)
    assert '→ {"type":"CloseStream"}' in lines
    final = next(n for n, line in enumerate(lines) if line.startswith(f"    Final '{LINE}'"))
    assert re.fullmatch(rf"    Final '{LINE}' \d\.\d\d to \d\.\d\d s", lines[final])
    assert lines[final - 1].startswith('← {"type":') and LINE in lines[final - 1]
    assert lines[-1] == "    Finished"
    assert KEY not in result.output


def test_the_wire_of_a_recording_is_shown(
    voxport: Voxport, serve: tuple[str, str], recording: Recording, corp: Path
) -> None:
    to = ["--vendor", corp, "--url", serve[0] + HTTP, "--api-key", KEY, "--wire"]
    result = voxport("transcribe", recording("a.wav"), *to)
    asked, answered, meant = result.stderr.splitlines()
    assert re.fullmatch(rf"→ POST {re.escape(serve[0] + HTTP)}, \d+ bytes", asked)
    assert answered.startswith("← 200 {") and LINE in answered
    assert re.fullmatch(rf"    Recognition '{LINE}' until \d\.\d\d s", meant)


def test_the_wire_shows_why_a_request_was_refused(
    voxport: Voxport, serve: tuple[str, str], recording: Recording, corp: Path
) -> None:
    to = ["--vendor", corp, "--url", serve[0] + "/nowhere", "--api-key", KEY, "--wire"]
    result = voxport("transcribe", recording("a.wav"), *to)
    assert result.exit_code == 1
    assert re.search(r"^← 404 .*\n    Failure, permanent", result.stderr, re.MULTILINE)


def test_the_wire_shows_no_credential_that_was_got_on_the_way() -> None:
    lines: list[str] = []
    steps = [
        {"url": "${url}/login", "save": {"pass": "access_token"}},
        {"url": "${url}/stt", "headers": {"X": "${saved.pass}"}, "body": {"json": {"with": "${saved.pass}"}}},
    ]
    prepare = [{"url": "https://acme.test/session", "save": {"ticket": "ticket"}}]
    streaming = {"connect": "${url}?t=${saved.ticket}", "prepare": prepare, "results": {"rules": [FINAL]}}
    batch = {"steps": steps, "result": {"text": "text"}}
    profile = {"name": "acme", "title": "Acme", "streaming": streaming, "batch": batch}
    vendor = Wiretap(lines.append).on(find_vendor(Profile.model_validate(profile)))
    assert vendor.batch is not None and vendor.streaming is not None

    flow = vendor.batch.recognise(Pcm(b"\0\0", 16000), Settings("https://acme.test"))
    next(flow)
    flow.send(HttpResponse(200, {}, b'{"access_token": "tok-4711-0815"}'))
    with pytest.raises(StopIteration):
        flow.send(HttpResponse(200, {}, b'{"text": "hi, tok-4711-0815"}'))
    flow = vendor.streaming.prepare(Settings("wss://acme.test"))
    next(flow)
    with pytest.raises(StopIteration):
        flow.send(HttpResponse(200, {}, b'{"ticket": "tic-4711-0815"}'))

    assert "4711" not in "\n".join(lines)
    assert '← 200 {"access_token": "***"}' in lines
    assert '→ POST https://acme.test/stt {"with":"***"}' in lines
    assert "→ connect wss://acme.test?t=***" in lines


def test_a_credential_as_long_as_audio_is_one_still() -> None:
    lines: list[str] = []
    long = "4711" * 40
    tap = Wiretap(lines.append)
    tap.heard(f'{{"access_token": "{long}"}}', [], Settings("wss://acme.test"))
    tap.heard(f"again: {long}", [], Settings("wss://acme.test"))
    assert "4711" not in "\n".join(lines) and "← again: ***" in lines


def test_the_wire_shows_what_was_not_understood_and_the_audio_before_it() -> None:
    lines: list[str] = []
    vendor = Wiretap(lines.append).on(find_vendor("deepgram"))
    assert vendor.streaming is not None
    conversation = vendor.streaming.converse(Settings("wss://acme.test"))
    for _ in range(2):
        conversation.audio(bytes(16000))
    with pytest.raises(ProtocolError) as refused:
        conversation.receive("not json")
    assert lines == ["→ 1.00 s of audio in 2 messages", "← not json", f"    not understood: {refused.value}"]


def test_the_wire_shows_the_form_of_audio_in_messages_once() -> None:
    lines: list[str] = []
    audio = {"message": {"type": "audio", "pass": "${key}", "data": "${audio}"}}
    streaming = {"audio": audio, "flush": [{"json": {"type": "cut"}}], "results": {"rules": [FINAL]}}
    profile = Profile.model_validate({"name": "acme", "title": "Acme", "streaming": streaming})
    vendor = Wiretap(lines.append).on(find_vendor(profile))
    assert vendor.streaming is not None
    conversation = vendor.streaming.converse(Settings("wss://acme.test", api_key=Secret(KEY)))
    for _ in range(2):
        conversation.audio(bytes(range(250)) * 64)
        conversation.audio(bytes(16000))
        conversation.flush()
    form = '{"type":"audio","pass":"***","data":"(21336 characters)"}'
    assert lines == [
        f"→ 1.00 s of audio in 2 messages like {form}",
        '→ {"type":"cut"}',
        "→ 1.00 s of audio in 2 messages",
        '→ {"type":"cut"}',
    ]


def test_the_wire_shows_the_form_of_a_recording_in_json() -> None:
    lines: list[str] = []
    body = {"json": {"config": {"rate": "${sample_rate}"}, "audio": "${audio}"}}
    batch = {"steps": [{"body": body}], "result": {"text": "text"}}
    profile = Profile.model_validate({"name": "acme", "title": "Acme", "batch": batch})
    vendor = Wiretap(lines.append).on(find_vendor(profile))
    assert vendor.batch is not None
    next(vendor.batch.recognise(Pcm(bytes(16000), 16000), Settings("https://acme.test")))
    assert re.fullmatch(
        r'→ POST https://acme.test \{"config":\{"rate":16000\},"audio":"\(\d{5} characters\)"\}', lines[0]
    )


def test_the_wire_cannot_be_shown_of_a_configuration(
    voxport: Voxport, recording: Recording, tmp_path: Path
) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text("stt: {provider: custom_ws, metadata: {ws_url: 'ws://127.0.0.1:9/'}}")
    result = voxport("transcribe", recording("a.wav"), "--config", config, "--wire")
    assert result.exit_code == 2
    assert "--wire" in result.stderr and "--vendor" in result.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("alternatives[0].transcript", "alternatives[0].text", "brought no transcript: corp sent a message"),
        ("case: Results", "case: Result", "brought no transcript; --wire shows what the vendor sends"),
    ],
)
def test_a_file_that_maps_nothing_is_not_passed_over_in_silence(
    voxport: Voxport,
    serve: tuple[str, str],
    recording: Recording,
    corp: Path,
    right: str,
    wrong: str,
    said: str,
) -> None:
    corp.write_text(PROFILE.replace(right, wrong))
    to = ["--vendor", corp, "--url", serve[1] + WS, "--api-key", KEY]
    result = voxport("transcribe", recording("a.wav"), *to)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert f"warning: {recording('a.wav')} {said}" in result.stderr
