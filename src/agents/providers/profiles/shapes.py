"""What an answer looks like, for errors about one that lacks something: its keys, and never what they hold."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["shape_of"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
"""A key that somebody chose for a field; where keys are data, they may be what people said."""

_MOST_KEYS = 8


def shape_of(answer: Any) -> str:
    """In what way *answer*, decoded JSON, might be another than expected: ``it has error, id``."""
    if isinstance(answer, dict):
        if not answer:
            return "it is empty"
        names = sorted(key for key in answer if _NAME.fullmatch(key))[:_MOST_KEYS]
        more = len(answer) - len(names)
        if not names:
            return f"it has {more} key{'s' if more > 1 else ''}"
        return f"it has {', '.join(names)}" + (f" and {more} more" if more else "")
    if isinstance(answer, list):
        return "it is a list"
    if isinstance(answer, str):
        return "it is a string"
    return "it is null" if answer is None else "it is a number, true or false"
