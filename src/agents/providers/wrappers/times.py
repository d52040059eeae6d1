"""Times as any plugin gives them: what a vendor says is passed on, and vendors say what they like."""

from __future__ import annotations

__all__ = ["seconds"]

_LONGEST = 1e10
"""Seconds: 300 years, more than there are since 1970. Beyond it, and not even there, is infinity."""


def seconds(value: object) -> float:
    """*value* in seconds; 0, which stands for none with LiveKit, where it is no time: ``None``, a text, a number
    beyond all times."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    return float(value) if -_LONGEST <= value <= _LONGEST else 0.0  # compared as they are: it may be any integer
