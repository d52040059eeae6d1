"""What is read as JSON and what is not."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from agents.providers.protocol.decoding import decode_json


@pytest.mark.parametrize("value", [None, 1, 2.5, "é😀", [1, {"a": []}], {"text": "x", "n": -3}])
def test_json_is_its_value(value: Any) -> None:
    assert decode_json(json.dumps(value)) == value
    assert decode_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_null(number: float) -> None:
    """As a server writes it in Python whose recogniser has no confidence."""
    message = json.dumps({"text": "hello", "confidence": number, "words": [{"w": "hello", "end": 1.5}]})
    expected = {"text": "hello", "confidence": None, "words": [{"w": "hello", "end": 1.5}]}
    assert decode_json(message) == expected
    assert decode_json(message.encode()) == expected


def test_a_number_too_large_for_one_is_null() -> None:
    assert decode_json('{"text":"hello","confidence":1e400,"end":NaN,"start":0.5}') == {
        "text": "hello",
        "confidence": None,
        "end": None,
        "start": 0.5,
    }


@pytest.mark.parametrize(
    "data",
    ['\ufeff{"text":"a\tb"}', '\ufeff{"text":"a\tb"}'.encode(), '{"text":"a\tb"}\n\0', b'{"text":"a\tb"}\0'],
)
def test_what_stands_around_and_in_it_by_mistake_is_passed_over(data: str | bytes) -> None:
    assert decode_json(data) == {"text": "a\tb"}


@pytest.mark.parametrize(
    ("text", "read"), [(r"\ud83d", "\ufffd"), (r"a\ude00b", "a\ufffdb"), (r"\ud83d\ude00 \ud83d", "😀 \ufffd")]
)
def test_half_a_surrogate_pair_is_no_character(text: str, read: str) -> None:
    assert decode_json(f'{{"text":"{text}"}}') == {"text": read}


@pytest.mark.parametrize(
    "data",
    ["", "{", "nul", "{'a': 1}", '{"a":1}x', b"\xff\xfe", b'"\xff"', "[" * 100_000, '{"a":' * 100_000],
)
def test_anything_else_is_refused(data: str | bytes) -> None:
    with pytest.raises(ValueError):
        decode_json(data)
