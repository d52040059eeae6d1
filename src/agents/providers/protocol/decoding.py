"""JSON as vendors write it, which is not always JSON as the standard has it."""

from __future__ import annotations

import json
from typing import Any

import orjson

__all__ = ["decode_json"]


def decode_json(data: str | bytes) -> Any:
    """The value of *data*.

    ``NaN`` and ``Infinity``, which Python's own encoder writes unless told otherwise, are read as ``null``, and
    half a surrogate pair as U+FFFD. The standard knows neither, but a transcript must not be lost for a confidence
    that is no number.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        refused = error
    try:
        value = json.loads(data, parse_constant=lambda name: None)
        text = json.dumps(value, ensure_ascii=False)
        return orjson.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except (ValueError, RecursionError):
        raise refused from None
