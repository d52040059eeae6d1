"""Optional packages of the embedded server, and what to say when one is missing."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["MissingExtraError", "require"]


class MissingExtraError(ImportError):
    """A package of an optional extra is not installed. The message holds the command that installs it."""


def require(module: str, extra: str = "local") -> Any:
    """Import ``module``, or say which extra of voxport brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise  # installed, but something it needs itself is not
        raise MissingExtraError(
            f'the package {module!r} is not installed; install it with: pip install "voxport[{extra}]"',
            name=module,
        ) from error
