"""Speech to text on faster-whisper, for who has its model: ``pip install "voxport[whisper]"``.

Whisper hears an utterance as a whole, so there are no interims; speech start and end, finals and word times
are as with pocketsphinx. The project's own tests cover the two ways in which loading fails (no package, no
model): they have no network to fetch a model, so recognition itself has not been tried there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .extras import require
from .recogniser import RecogniserFailed, Word

__all__ = ["WhisperBackend"]


class WhisperBackend:
    """A `segmenter.Backend`. ``model`` is a size (``"base.en"``) or the folder of a converted model."""

    def __init__(self, model: str = "") -> None:
        package = require("faster_whisper", "whisper")
        name = model or "base"
        try:
            self._model: Any = package.WhisperModel(name, device="auto", compute_type="default")
        except Exception as error:  # the package raises whatever its downloader and its runtime raise
            raise RecogniserFailed(
                f"faster-whisper could not load the model {name!r} ({type(error).__name__}: {error}). "
                "Fetch it once where there is a network, and give its folder: "
                "--engine whisper --model /path/to/model"
            ) from error

    def reset(self) -> None:
        """Nothing is kept from one utterance to the next."""

    def draft_start(self, pcm: bytes) -> None:
        """Whisper has no running text."""

    def draft(self, pcm: bytes) -> str:
        return ""

    def draft_end(self) -> None:
        """Whisper has no running text."""

    def final(self, pcm: bytes) -> list[Word]:
        samples = np.frombuffer(pcm, np.int16).astype(np.float32) / 32768.0
        segments, _ = self._model.transcribe(samples, word_timestamps=True, condition_on_previous_text=False)
        return [
            Word(word.word.strip(), word.start, word.end, word.probability)
            for segment in segments
            for word in segment.words or ()
            if word.word.strip()
        ]
