"""Azure's service for short audio, with Azure's ways to authenticate."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from . import vendor_in_file
from .azure import AzureBatch

__all__ = ["VENDOR"]

_plain = vendor_in_file(Path(__file__).with_suffix(".yaml"))
assert _plain.batch is not None, "the profile has a batch part"

VENDOR = dataclasses.replace(_plain, batch=AzureBatch(_plain.batch))
