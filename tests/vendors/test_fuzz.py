"""Every vendor's decoders, fed whatever comes: nothing but a clear refusal may escape, and no time may be wasted.

A short run of this is in each vendor's own tests; the long one is part of `make soak`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.providers.protocol import HttpResponse, ProtocolError, Settings
from agents.providers.vendors import find_vendor, vendor_names

STREAMING = [name for name in vendor_names() if find_vendor(name).streaming is not None]
BATCH = [name for name in vendor_names() if find_vendor(name).batch is not None]
TRACES = Path(__file__).parents[1] / "traces"

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
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


def spoken(name: str) -> list[dict[str, Any]]:
    """Messages this vendor's server really sent, to change a little at a time."""
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
    real = spoken(name)
    changed = st.sampled_from(real) if real else st.nothing()
    mutated = (
        st.builds(
            lambda base, key, value: {**base, **({list(base)[key % len(base)]: value} if base else {})},
            st.sampled_from(real),
            st.integers(0, 50),
            JSON,
        )
        if real
        else st.nothing()
    )
    as_text = st.one_of(JSON, changed, mutated).map(lambda value: json.dumps(value, default=str))
    return st.one_of(as_text, as_text.map(str.encode), st.text(max_size=40), st.binary(max_size=200))


_LONG = settings(max_examples=3000, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.mark.soak
@pytest.mark.parametrize("name", STREAMING)
def test_no_message_breaks_a_conversation(name: str) -> None:
    vendor = find_vendor(name)
    protocol = vendor.streaming
    assert protocol is not None
    ours = Settings(vendor.streaming_url or "ws://127.0.0.1/", sample_rate=16000, language="en-US")

    @_LONG
    @given(st.lists(messages(name), max_size=6))
    def run(received: list[str | bytes]) -> None:
        conversation = protocol.converse(ours)
        for message in received:
            try:
                events = conversation.receive(message)
            except ProtocolError:
                continue
            assert len(events) < 1000

    run()


@pytest.mark.soak
@pytest.mark.parametrize("name", BATCH)
def test_no_answer_breaks_the_reading_of_a_result(name: str) -> None:
    vendor = find_vendor(name)
    protocol = vendor.batch
    assert protocol is not None
    ours = Settings(vendor.batch_url or "http://127.0.0.1/", sample_rate=16000, language="en-US")

    @_LONG
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
