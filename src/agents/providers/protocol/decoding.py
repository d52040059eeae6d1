"""JSON as vendors write it, which is not always JSON as the standard has it."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

__all__ = ["decode_json"]


def decode_json(data: str | bytes) -> Any:
    """The value of *data*.

    ``NaN`` and ``Infinity``, which Python's own encoder writes unless told otherwise, are read as ``null``, and
    half a surrogate pair as U+FFFD. A byte order mark, a closing NUL and control characters in texts are passed
    over. The standard knows none of them, but a transcript must not be lost for a confidence that is no number.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        refused = error
    try:
        written = data if isinstance(data, str) else data.decode()
        value = json.loads(
            written.strip("\ufeff\0 \t\r\n"),
            strict=False,
            parse_constant=lambda name: None,
            parse_float=_finite,
        )
        text = json.dumps(value, ensure_ascii=False)
        return orjson.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except (ValueError, RecursionError):
        raise refused from None


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None
