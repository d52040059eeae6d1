"""Times in a profile, and times in a vendor's messages.

A profile writes durations with their unit (``5s``, ``50ms``, ``4h``). A vendor's messages use one unit throughout,
which the profile names; whatever it is, the rest of the code sees seconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

__all__ = ["SCALES", "Milliseconds", "Seconds", "number", "seconds_reader"]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|min|h)")
_PER_UNIT = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
_PATTERN = r"^\d+(\.\d+)?(ms|s|min|h)$"

SCALES: dict[str, float] = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ticks": 1e-7}
"""Seconds per unit of a vendor's times; a tick is 100 ns."""


def _seconds(value: Any) -> float:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("not a duration: write a number and its unit, one of ms, s, min, h, as in 5s or 50ms")
    return float(match.group(1)) * _PER_UNIT[match.group(2)]


def _milliseconds(value: Any) -> int:
    return round(_seconds(value) * 1000)


_JSON = WithJsonSchema({"type": "string", "pattern": _PATTERN, "examples": ["5s", "50ms", "4h"]})

Seconds = Annotated[float, BeforeValidator(_seconds), _JSON]
"""A duration in a profile, as seconds."""

Milliseconds = Annotated[int, BeforeValidator(_milliseconds), _JSON]
"""A duration in a profile, as whole milliseconds."""


def number(value: Any) -> float | None:
    """*value* as a finite number: a JSON number, or a text like ``"1.3"`` or ``"1.3s"``; otherwise ``None``."""
    kind = type(value)
    if kind is float or kind is int:
        return float(value) if -1e300 < value < 1e300 else None
    if kind is str:
        try:
            result = float(value[:-1] if value[-1:] == "s" else value)
        except ValueError:
            return None
        return result if math.isfinite(result) else None
    return None


def seconds_reader(get: Callable[[Any], Any], unit: str, key: str | None = None) -> Callable[[Any], float | None]:
    """What *get* finds in a message, from *unit* to seconds; ``None`` where there is no usable number.

    With *key*, that is the value of this name in the message itself.
    """
    scale = SCALES[unit]
    if scale == 1.0 and key is not None:

        def named(message: Any) -> float | None:
            try:
                value = message[key]
            except (KeyError, TypeError):
                return None
            return value if type(value) is float else number(value)

        return named
    if scale == 1.0:

        def plain(message: Any) -> float | None:
            value = get(message)
            return value if type(value) is float else number(value)

        return plain

    def scaled(message: Any) -> float | None:
        value = number(get(message))
        return None if value is None else value * scale

    return scaled
