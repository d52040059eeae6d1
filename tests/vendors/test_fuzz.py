"""Every vendor's decoders, fed whatever comes: nothing but a clear refusal may escape, and no time may be wasted.

The short run is part of `make test`; the long one of `make soak`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import agents.providers.vendors as vendors
from agents.providers.protocol import Conversation, HttpResponse, ProtocolError, Settings, SynthesisConversation
from agents.providers.vendors import find_vendor, vendor_names

STREAMING = [name for name in vendor_names() if find_vendor(name).streaming is not None]
BATCH = [name for name in vendor_names() if find_vendor(name).batch is not None]
SPEAKING = [name for name in vendor_names() if find_vendor(name).streaming_synthesis is not None]
PROFILES = Path(vendors.__file__).parent
TRACES = Path(__file__).parents[1] / "traces"
EXAMPLES = [pytest.param(100, id="short"), pytest.param(3000, id="long", marks=pytest.mark.soak)]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["Results", "Turn", "error", "partial", "final", "transcription", "TurnInfo", "", "0", "1.5s"]
    ),
)


def known_words(name: str) -> list[str]:
    """Words of the profile's paths and cases: what makes an arbitrary message reach the rules."""
    return sorted(set(re.findall(r"[A-Za-z_]{2,}", (PROFILES / f"{name}.yaml").read_text(encoding="utf-8"))))


def recorded(name: str) -> list[dict[str, Any]]:
    """Messages this vendor's server really sent, and what is in them."""
    found = []
    for path in TRACES.glob(f"{name.replace('_', '?')}*.jsonl"):
        for line in path.read_text().splitlines():
            try:
                found.extend(_objects(json.loads(line)))
            except ValueError:
                continue
    return found[:200]


def _objects(value: Any) -> list[dict[str, Any]]:
    """The JSON objects inside a line of a trace."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            return _objects(json.loads(value))
        except ValueError:
            return []
    if isinstance(value, dict):
        return [value, *(inner for item in value.values() for inner in _objects(item))]
    if isinstance(value, list):
        return [inner for item in value for inner in _objects(item)]
    return []


def messages(name: str) -> st.SearchStrategy[str | bytes]:
    """What was recorded, the same with a value changed, objects of the vendor's own words, and noise."""
    word = st.sampled_from(known_words(name))
    key = word | st.text(max_size=5)
    value = st.recursive(
        SCALARS | word,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(key, inner, max_size=4),
        max_leaves=8,
    )
    made: list[st.SearchStrategy[Any]] = [st.dictionaries(word | st.just("type"), value, max_size=6), value]
    if real := recorded(name):
        made += [st.sampled_from(real), st.builds(_changed, st.sampled_from(real), st.integers(0, 50), value)]
    as_text = st.one_of(made).map(lambda message: json.dumps(message, default=str))
    return st.one_of(as_text, as_text, as_text.map(str.encode), st.text(max_size=40), st.binary(max_size=200))


def _changed(message: dict[str, Any], key: int, value: Any) -> dict[str, Any]:
    return {**message, list(message)[key % len(message)]: value} if message else {}


def thorough(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def hold_out(conversation: Conversation | SynthesisConversation, received: list[str | bytes]) -> None:
    """Nothing but a ProtocolError comes of *received*, and never a flood of events."""
    for message in received:
        try:
            events = conversation.receive(message)
        except ProtocolError:
            continue
        assert len(events) < 1000


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", STREAMING)
def test_no_message_breaks_a_conversation(name: str, examples: int) -> None:
    vendor = find_vendor(name)
    protocol = vendor.streaming
    assert protocol is not None
    ours = Settings(vendor.streaming_url or "ws://127.0.0.1/", sample_rate=16000, language="en-US")

    @thorough(examples)
    @given(st.lists(messages(name), max_size=6))
    def run(received: list[str | bytes]) -> None:
        conversation = protocol.converse(ours)
        hold_out(conversation, received)

    run()


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", SPEAKING)
def test_no_message_breaks_a_speech(name: str, examples: int) -> None:
    vendor = find_vendor(name)
    protocol = vendor.streaming_synthesis
    assert protocol is not None
    ours = Settings(vendor.streaming_synthesis_url or "ws://127.0.0.1/", sample_rate=24000)

    @thorough(examples)
    @given(st.lists(messages(name), max_size=6))
    def run(received: list[str | bytes]) -> None:
        conversation = protocol.converse(ours)
        conversation.begin("seg-1")
        hold_out(conversation, received)

    run()


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", BATCH)
def test_no_answer_breaks_the_reading_of_a_result(name: str, examples: int) -> None:
    vendor = find_vendor(name)
    protocol = vendor.batch
    assert protocol is not None
    ours = Settings(vendor.batch_url or "http://127.0.0.1/", sample_rate=16000, language="en-US")

    @thorough(examples)
    @given(messages(name))
    def run(body: str | bytes) -> None:
        data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
        response = HttpResponse(200, {"content-type": "application/json"}, data)
        try:
            protocol.parse(response, ours)
        except (ValueError, NotImplementedError):
            pass
        protocol.failure(HttpResponse(500, {}, data))

    run()
