"""Every vendor's recorded voice, replayed: a change of what is sent, or of what is understood, shows in a diff.

pytest tests/vendors/test_speech_traces.py --record-traces          # all anew
pytest tests/vendors/test_speech_traces.py --record-traces -k NAME  # one vendor

One JSON object a line, as in the traces of recognition. Over a WebSocket ``given`` is what the adapter said: text,
or the name of a segment. Audio is cut to its first bytes when it is written down, and of several pieces in a row
two stay: what a message means does not depend on more.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import itertools
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conformance import API_KEY, Server
from livekit.agents import APIConnectOptions
from speech_cases import CASES, SpeechCase, Way
from talks import known_ids

from agents.providers.protocol import (
    Audio,
    ConnectRequest,
    HttpRequest,
    HttpResponse,
    SegmentDone,
    Settings,
    StreamingSynthesisProtocol,
    SynthesisConversation,
    SynthesisTraits,
    WireMessage,
)
from agents.providers.redaction import Secret
from agents.providers.testing.tape import Asked, Connected, Heard, Sent, Tape
from agents.providers.testing.traces import Line, Scrub, load_trace, save_trace, scrubber, trace_of
from agents.providers.tts.websocket import CustomWebSocketTTSAdapter
from agents.providers.vendors import find_vendor

FOLDER = Path(__file__).parent.parent / "traces"
ONCE = APIConnectOptions(max_retry=0, timeout=10)
TEXT = ("We open at nine. ", "Would you like a table?")
RATE = 8000
WAYS = [pytest.param(case, way, id=f"{case}-{way}") for case in CASES for way in case.ways]
OCCASIONS = ("opening", "begin", "text", "flush", "end", "cancel", "keepalive", "close")
_LONG_BASE64 = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.function is test_record:
        metafunc.parametrize(("case", "way"), WAYS if metafunc.config.getoption("--record-traces", False) else [])


def path_of(case: SpeechCase, way: Way) -> Path:
    return FOLDER / f"{case}-{'streaming-' if way == 'websocket' else ''}speech.jsonl"


async def test_record(case: SpeechCase, way: Way, server: Server) -> None:
    """With --record-traces: have it spoken, write it down, and see that no credential is in it."""
    scrub = scrubber({API_KEY: "SECRET", server.url.partition("//")[2]: "server.test"})
    lines = await (spoken_to if way == "websocket" else asked)(case, server, scrub)
    assert API_KEY not in json.dumps(lines)
    save_trace(path_of(case, way), lines)


@pytest.mark.parametrize(("case", "way"), WAYS)
def test_the_recorded_voice_means_what_it_meant(case: SpeechCase, way: Way) -> None:
    path = path_of(case, way)
    if not path.exists():
        pytest.fail(f"{path.name} is missing: record it with --record-traces")
    recorded = load_trace(path)
    replayed = (replay_talk if way == "websocket" else replay_request)(case, recorded)
    assert _texts(replayed) == _texts(recorded)


def test_there_is_no_trace_without_a_voice() -> None:
    assert set(FOLDER.glob("*-speech.jsonl")) == {path_of(case, way) for case in CASES for way in case.ways}


def _texts(lines: Iterable[Line]) -> list[str]:
    """Lines as they stand in the file, so that a difference is read as one."""
    return [json.dumps(line, ensure_ascii=False) for line in lines]


# --- over HTTP ---


async def asked(case: SpeechCase, server: Server, scrub: Scrub) -> list[Line]:
    """The lines of one text, spoken by *server*."""
    protocol = find_vendor(case.vendor).synthesis
    assert protocol is not None
    settings = Settings(f"{server.url}{case.http_path}", Secret(API_KEY), model=case.model, sample_rate=RATE)
    request = protocol.request("".join(TEXT), settings)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as client,
        client.request(
            request.method, request.url, headers=request.headers, data=_bytes(request.body)
        ) as response,
    ):
        headers = {name.lower(): value for name, value in response.headers.items()}
        body = await response.read()
        assert response.status == 200 and len(body) > 5000, "it does not speak"
    return request_lines(case, settings, request, HttpResponse(200, headers, body[:48]), scrub)


def replay_request(case: SpeechCase, lines: Sequence[Line]) -> list[Line]:
    protocol = find_vendor(case.vendor).synthesis
    assert protocol is not None
    settings = settings_in(lines)
    answer = next(line["answer"] for line in lines if "answer" in line)
    response = HttpResponse(answer["status"], answer["headers"], base64.b64decode(answer["body"][0]))
    request = protocol.request("".join(TEXT), settings)
    return request_lines(case, settings, request, response, scrubber({API_KEY: "SECRET"}))


def request_lines(
    case: SpeechCase, settings: Settings, request: HttpRequest, response: HttpResponse, scrub: Scrub
) -> list[Line]:
    protocol = find_vendor(case.vendor).synthesis
    assert protocol is not None
    form = protocol.form(dataclasses.replace(response, body=b""), settings)
    assert protocol.reader(response, settings) is None, "its answers are the audio itself"
    lines = trace_of(Tape([Connected(ConnectRequest(""), settings), Asked(request, response)]), scrub)
    return [*(line for line in lines if "connect" not in line), {"form": dataclasses.asdict(form)}]


def _bytes(body: Any) -> bytes:
    assert isinstance(body, bytes)
    return body


# --- over a WebSocket ---


async def spoken_to(case: SpeechCase, server: Server, scrub: Scrub) -> list[Line]:
    """The lines of what *server* speaks: an answer, and one broken off where that closes no connection."""
    vendor = find_vendor(case.vendor)
    assert vendor.streaming_synthesis is not None
    taped = Taped(vendor.streaming_synthesis)
    adapter = CustomWebSocketTTSAdapter(
        f"{server.ws_url}{case.websocket_path}",
        API_KEY,
        vendor=dataclasses.replace(vendor, streaming_synthesis=taped),
        model=case.model,
        sample_rate=RATE,
    )
    with known_ids():
        async with adapter:
            await said(adapter, *TEXT)
            if not {"cancel", "reuse"} & case.lacks:
                taped.over.clear()
                await interrupted(adapter)
                await asyncio.wait_for(taped.over.wait(), 10)
    # what is cut means less: it is written down as the replay finds it
    return replay_talk(case, shortened(taped.lines(scrub)))


async def said(adapter: CustomWebSocketTTSAdapter, *sentences: str) -> None:
    async with adapter.stream(conn_options=ONCE) as stream:
        for sentence in sentences:
            stream.push_text(sentence)
        stream.end_input()
        frames = [event.frame async for event in stream]
    assert sum(frame.duration for frame in frames) > 0.5 * len(sentences), "it does not speak"


async def interrupted(adapter: CustomWebSocketTTSAdapter) -> None:
    async with adapter.stream(conn_options=ONCE) as stream:
        stream.push_text("This is a long story, which nobody wants to hear to its end. ")
        stream.flush()
        await anext(stream)


def replay_talk(case: SpeechCase, lines: Sequence[Line]) -> list[Line]:
    protocol = find_vendor(case.vendor).streaming_synthesis
    assert protocol is not None
    taped, settings = Taped(protocol), settings_in(lines)
    conversation: Any = None
    for line in lines:
        if "connect" in line:
            taped.connect(settings)
            conversation = taped.converse(settings)
        elif "send" in line:
            getattr(conversation, line["send"])(*line.get("given", ()))
        elif "receive" in line:
            shown = line["receive"]
            conversation.receive(base64.b64decode(shown[0]) if isinstance(shown, list) else json.dumps(shown))
    return taped.lines(scrubber({API_KEY: "SECRET"}))


def settings_in(lines: Sequence[Line]) -> Settings:
    return Settings(api_key=Secret(API_KEY), **lines[0]["settings"])


def shortened(lines: Sequence[Line]) -> list[Line]:
    """*lines* with little audio: six bytes of a piece, and of several pieces in a row two."""
    kept: list[Line] = []
    for is_audio, group in itertools.groupby(lines, _is_audio):
        kept += list(group)[: 2 if is_audio else None]
    return [{**line, "receive": _cut(line["receive"])} if "receive" in line else line for line in kept]


def _is_audio(line: Line) -> bool:
    """Whether *line* is a message with audio, and nothing else that would count."""
    return "receive" in line and line["receive"] != _cut(line["receive"]) and "Words" not in str(line["events"])


def _cut(received: Any) -> Any:
    if isinstance(received, list):
        return [base64.b64encode(base64.b64decode(received[0])[:6]).decode()]
    if isinstance(received, dict):
        return {name: _cut(value) if isinstance(value, str) else value for name, value in received.items()}
    return received[:8] if _LONG_BASE64.fullmatch(received) else received


@dataclasses.dataclass
class _Audio:
    """Audio as a trace shows it."""

    bytes: int


_Audio.__name__ = "Audio"


class Taped(StreamingSynthesisProtocol):
    """A protocol whose talk is written down, with what it was given to say.

    Attributes:
        over: a segment is, or was broken off by a vendor that does not answer to that.
    """

    def __init__(self, inner: StreamingSynthesisProtocol) -> None:
        self.name = inner.name
        self.over = asyncio.Event()
        self._inner = inner
        self._tape = Tape()
        self._given: list[tuple[Any, ...]] = []

    def lines(self, scrub: Scrub) -> list[Line]:
        given = iter(self._given)
        lines = trace_of(self._tape, scrub)
        return [
            {"send": line["send"], "given": list(said), "messages": line["messages"]}
            if "send" in line and (said := next(given))
            else line
            for line in lines
        ]

    def traits(self, settings: Settings) -> SynthesisTraits:
        traits = self._inner.traits(settings)
        # on this machine the audio comes at once: there is no need to wait long for its end
        return dataclasses.replace(traits, silence_seconds=traits.silence_seconds and 0.2)

    def connect(self, settings: Settings) -> ConnectRequest:
        request = self._inner.connect(settings)
        self._tape.entries.append(Connected(request, settings))
        return request

    def converse(self, settings: Settings) -> SynthesisConversation:
        talk = self._inner.converse(settings)
        answered = self._inner.traits(settings).cancel_answered
        for name in OCCASIONS:
            setattr(talk, name, self._sending(name, getattr(talk, name), name == "cancel" and not answered))
        receive = talk.receive

        def received(message: str | bytes) -> Sequence[Any]:
            events = receive(message)
            shown = [_Audio(len(event.data)) if isinstance(event, Audio) else event for event in events]
            self._tape.entries.append(Heard(message, shown))
            if any(isinstance(event, SegmentDone) for event in events):
                self.over.set()
            return events

        talk.receive = received  # type: ignore[method-assign]
        return talk

    def check(self, settings: Settings) -> None:
        self._inner.check(settings)

    def _sending(self, name: str, method: Callable[..., Any], ends: bool) -> Callable[..., Sequence[WireMessage]]:
        def call(*given: Any) -> Sequence[WireMessage]:
            messages: Sequence[WireMessage] = method(*given)
            self._tape.entries.append(Sent(name, list(messages)))
            self._given.append(given)
            if ends:
                self.over.set()
            return messages

        return call
