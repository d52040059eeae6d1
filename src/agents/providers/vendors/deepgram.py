"""Deepgram: what its file says, and keyterms that a change in band does not lose."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from . import vendor_in_file
from ._deepgram_terms import DeepgramStreaming

__all__ = ["VENDOR"]

_plain = vendor_in_file(Path(__file__).with_suffix(".yaml"))
assert _plain.profile is not None, "it was made from one"

VENDOR = dataclasses.replace(_plain, streaming=DeepgramStreaming(_plain.profile))
