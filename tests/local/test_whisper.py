"""The optional recogniser: what can be tried without its model."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from agents.providers.local.recogniser import RecogniserFailed
from agents.providers.local.whisper import WhisperBackend


def test_a_model_that_cannot_be_loaded_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the package raises: no network, no such folder."""

    def fail(*_: object, **__: object) -> None:
        raise OSError("no route to the hub")

    package = ModuleType("faster_whisper")
    package.WhisperModel = fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "faster_whisper", package)
    with pytest.raises(RecogniserFailed, match=r"'base\.en'.*no route to the hub.*--model"):
        WhisperBackend("base.en")
