"""What all servers one runs oneself must hold to: nothing they send can do harm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from self_hosted import talk

from agents.providers.protocol import ProtocolError, Segment, Settings
from agents.providers.redaction import Secret
from agents.providers.vendors import find_vendor

VENDORS = ["vosk", "jambonz", "sherpa_onnx", "whisperlive", "funasr"]

_NAMES = """
    type mode text partial result alternatives is_final segments segment start end word conf timestamp status
    message completed transcript confidence language error is_end uid
"""
_KEYS = st.sampled_from(_NAMES.split())
_WORDS = st.sampled_from(
    ["2pass-online", "2pass-offline", "transcription", "SERVER_READY", "WAIT", "[[1]]", "1.0", ""]
)
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), _WORDS, st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=4)),
    max_leaves=12,
)


@pytest.mark.parametrize("vendor", VENDORS)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages=st.lists(st.dictionaries(_KEYS, _VALUES, max_size=6), max_size=4))
def test_garbage_is_a_protocol_error_or_nothing(vendor: str, messages: list[dict[str, Any]]) -> None:
    conversation = talk(vendor)
    for message in messages:
        try:
            events = conversation.receive(json.dumps(message))
        except ProtocolError:
            continue
        for event in events:
            if isinstance(event, Segment):
                assert isinstance(event.text, str)
                assert event.start is None or isinstance(event.start, float)
                assert event.end is None or isinstance(event.end, float)


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("raw", ["", "{", "[]", "null", b"\x00\xff", "Done"])
def test_what_is_no_json_object_is_a_protocol_error(vendor: str, raw: str | bytes) -> None:
    with pytest.raises(ProtocolError):
        talk(vendor).receive(raw)


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_key_is_sent_where_a_proxy_would_check_it(vendor: str) -> None:
    """And none is needed, for most of them know none."""
    protocol = find_vendor(vendor).streaming
    assert protocol is not None
    with_key = protocol.connect(Settings("wss://speech.example/x", Secret("k")))
    assert with_key.headers["Authorization"] == "Bearer k"
    without = Settings("ws://localhost:1")
    protocol.check(without)
    assert "Authorization" not in protocol.connect(without).headers
