"""What everything else is configured with."""

from __future__ import annotations

__all__ = ["ConfigurationError"]


class ConfigurationError(ValueError):
    """What the user configured cannot work. The message says what to change."""
