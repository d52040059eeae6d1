"""Tapes and traces: what is kept, what is left out, and that a change shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agents.providers.protocol import (
    BatchProtocol,
    ConnectRequest,
    Conversation,
    Event,
    Final,
    HttpRequest,
    HttpResponse,
    Partial,
    Pcm,
    Recognition,
    Settings,
    StreamingProtocol,
    Traits,
    WireMessage,
)
from agents.providers.redaction import Secret
from agents.providers.testing.tape import Tape
from agents.providers.testing.traces import load_trace, replay, save_trace, scrubber, trace_of, without_hashes
from agents.providers.vendors import Vendor

KEY = "k-secret-1"
SETTINGS = Settings("ws://127.0.0.1:999/x", Secret(KEY), language="en", keyterms=("a",))
SCRUB = scrubber({KEY: "SECRET", "127.0.0.1:999": "server.test"})


class Talker(StreamingProtocol):
    """Sends its key and a time, hears texts; *shout* is the change a replay must see."""

    name = "talker"

    def __init__(self, *, shout: bool = False) -> None:
        self.shout = shout

    def traits(self, settings: Settings) -> Traits:
        return Traits()

    def connect(self, settings: Settings) -> ConnectRequest:
        url = f"{settings.url}?key={settings.key}&at=2026-11-22T10:00:00.5Z"
        return ConnectRequest(url, {"X-Request": "0b1b5b4e-94a5-4e0c-a3d5-5c6b5f1d9f0e"}, ("token", settings.key))

    def converse(self, settings: Settings) -> Conversation:
        return _Talk(self)


class _Talk(Conversation):
    def __init__(self, talker: Talker) -> None:
        self._talker = talker

    def opening(self) -> Sequence[WireMessage]:
        return ['{"type": "HELLO"}' if self._talker.shout else '{"type":"hello"}', b"\x00\x01"]

    def receive(self, message: str | bytes) -> Sequence[Event]:
        text = message.decode() if isinstance(message, bytes) else message
        return [Final(text, 0.0, 1.23456, confidence=0.5)]


class Asker(BatchProtocol):
    """Posts the audio and takes the answer as the text."""

    name = "asker"

    def request(self, audio: Pcm, settings: Settings) -> HttpRequest:
        return HttpRequest("POST", settings.url, {"Authorization": settings.key}, audio.wav())

    def parse(self, response: HttpResponse, settings: Settings) -> Recognition:
        return Recognition(response.json()["text"])


def held(vendor: Vendor, *heard: str | bytes) -> Tape:
    """A talk: opening, three pieces of audio, what is *heard*, close."""
    tape = Tape()
    protocol = tape.on(vendor).streaming
    assert protocol is not None
    with pytest.raises(StopIteration):
        next(protocol.prepare(SETTINGS))
    conversation = protocol.converse(SETTINGS)
    conversation.opening()
    for _ in range(3):
        conversation.audio(b"\x05" * 640)
    for message in heard:
        conversation.receive(message)
    conversation.close()
    return tape


def talker(**fields: Any) -> Vendor:
    return Vendor("talker", "Talker", streaming=Talker(**fields))


def test_a_trace_reads_as_the_talk_went() -> None:
    settings, connect, opening, audio, receive, close = trace_of(held(talker(), '{"text":"hi"}'), SCRUB)
    assert settings["settings"]["url"] == "ws://server.test/x"
    assert connect == {
        "connect": {
            "url": "ws://server.test/x?key=SECRET&at=<time>",
            "headers": {"X-Request": "<id>"},
            "subprotocols": ["token", "SECRET"],
        }
    }
    assert opening == {"send": "opening", "messages": [{"json": {"type": "hello"}}, {"binary": 2}]}
    assert (audio["audio"], audio["chunks"], audio["messages"]) == (1920, 3, [{"binary": 640}])
    assert receive == {
        "receive": {"text": "hi"},
        "events": [{"Final": {"text": '{"text":"hi"}', "end": 1.2346, "confidence": 0.5}}],
    }
    assert close == {"send": "close", "messages": []}


@pytest.mark.parametrize(
    "heard", ['{"text": "hi"}', "plain", "", "[1]", '{"raw": "x"}', '{"base64": 5}', b"\x7b\x7d"]
)
def test_a_replay_of_what_did_not_change_is_the_same(heard: str | bytes, tmp_path: Path) -> None:
    save_trace(tmp_path / "t.jsonl", trace_of(held(talker(), heard), SCRUB))
    recorded = load_trace(tmp_path / "t.jsonl")
    assert KEY not in (tmp_path / "t.jsonl").read_text()
    assert replay(recorded, talker(), KEY, SCRUB) == without_hashes(recorded)


def test_a_change_shows_in_its_line_alone() -> None:
    recorded = trace_of(held(talker(), '{"text": "hi"}'), SCRUB)
    replayed = replay(recorded, talker(shout=True), KEY, SCRUB)
    differing = [now for now, then in zip(replayed, without_hashes(recorded), strict=True) if now != then]
    assert differing == [{"send": "opening", "messages": [{"json": {"type": "HELLO"}}, {"binary": 2}]}]


def test_a_recording_is_replayed_by_its_length() -> None:
    tape, vendor = Tape(), Vendor("asker", "Asker", batch=Asker())
    protocol = tape.on(vendor).batch
    assert protocol is not None
    flow = protocol.recognise(Pcm(b"\x05\x06" * 50, 16000), SETTINGS)
    next(flow)
    with pytest.raises(StopIteration):
        flow.send(HttpResponse(200, {"content-type": "application/json", "x-trace": "7"}, b'{"text":"hi"}'))
    recorded = trace_of(tape, SCRUB)
    settings, ask, answer, result = recorded
    assert settings["audio"] == 100
    assert (ask["ask"]["headers"], ask["ask"]["body"]) == ({"Authorization": "SECRET"}, {"binary": 144})
    assert answer["answer"]["headers"] == {"content-type": "application/json"}
    assert result == {"result": {"Recognition": {"text": "hi"}}}
    assert replay(recorded, vendor, KEY, SCRUB) == recorded


def test_what_was_sent_can_be_searched_as_text() -> None:
    wire = held(talker(), "x").wire
    assert f"key={KEY}" in wire
    assert '{"type":"hello"}' in wire
    assert "\x05" not in wire


def test_the_tape_keeps_events_as_they_were() -> None:
    """The engine changes what it is given; the tape has a copy."""
    tape = Tape()
    protocol = tape.on(talker()).streaming
    assert protocol is not None
    (event,) = protocol.converse(SETTINGS).receive("said")
    assert isinstance(event, Final)
    event.text = "changed"
    assert [final.text for final in tape.events(Final)] == ["said"]
    assert tape.events(Partial) == []
    assert dataclasses.is_dataclass(event)
