"""Speech to text on pocketsphinx, with the English model of its wheel.

Two decoders share the work. The *draft* decoder follows the speaker and gives interims; it has to normalise
with a running mean of what it has heard. The *final* decoder is given each utterance whole, normalises it by
its own mean (``cmn=batch``) and runs all passes: its text depends on the utterance alone, not on what came
before or on how it was sent. Building both takes about 0.6 s and 200 MB, so they are kept and reused.
"""

from __future__ import annotations

import re
from typing import Any

from .extras import require
from .recogniser import SAMPLE_RATE, Word

__all__ = ["MODEL", "SphinxBackend"]

MODEL = "pocketsphinx-en-us"

_FRAMES_PER_SECOND = 100
_FILLER = re.compile(r"^(<.*>|\[.*\]|\+\+.*\+\+)$")
_PRONUNCIATION = re.compile(r"\(\d+\)$")  # "of(2)" is the second way to say "of"

# Bounds what one 10 ms frame can cost. Without it short utterances take twice as long and read the same.
_FINAL_HYPOTHESES = 3000
_DRAFT_HYPOTHESES = 1500  # and it scores every second frame only: a third less work, and it is a draft

# Below this many samples pocketsphinx has no frame to work with.
_SHORTEST_BYTES = 2 * 800


class SphinxBackend:
    """A `segmenter.Backend`. pocketsphinx holds the GIL while it decodes: give each a process of its own."""

    def __init__(self) -> None:
        decoder = require("pocketsphinx").Decoder
        common = {"samprate": SAMPLE_RATE, "loglevel": "FATAL"}
        self._final = decoder(cmn="batch", maxhmmpf=_FINAL_HYPOTHESES, **common)
        self._draft = decoder(fwdflat=False, bestpath=False, ds=2, maxhmmpf=_DRAFT_HYPOTHESES, **common)
        self._mean_known = False
        self._drafting = False

    def reset(self) -> None:
        self.draft_end()
        self._draft.reinit_feat()  # forgets the mean and the noise of the stream before
        self._mean_known = False

    def draft_start(self, pcm: bytes) -> None:
        self._prime_mean(pcm)
        self._draft.start_utt()
        self._drafting = True
        if pcm:
            self._draft.process_raw(pcm)

    def draft(self, pcm: bytes) -> str:
        self._draft.process_raw(pcm)
        hypothesis = self._draft.hyp()
        if hypothesis is None:
            return ""
        return " ".join(word for word in map(_spelling, hypothesis.hypstr.split()) if word)

    def draft_end(self) -> None:
        if self._drafting:
            self._draft.end_utt()
            self._drafting = False

    def final(self, pcm: bytes) -> list[Word]:
        if len(pcm) < _SHORTEST_BYTES:
            return []
        self._final.reinit_feat()  # else its noise estimate remembers the utterance before; costs 0.1 ms
        self._final.start_utt()
        self._final.process_raw(pcm, full_utt=True)
        self._final.end_utt()
        if self._final.hyp() is None:
            return []
        words = (self._word(segment) for segment in self._final.seg())
        return [word for word in words if word is not None]

    def _prime_mean(self, pcm: bytes) -> None:
        """Measure the first utterance's beginning, for the draft decoder's mean starts far from any real voice."""
        if self._mean_known or len(pcm) < _SHORTEST_BYTES:
            return
        self._draft.start_utt()
        self._draft.process_raw(pcm, no_search=True)
        self._draft.end_utt()
        self._draft.get_cmn(True)
        self._mean_known = True

    def _word(self, segment: Any) -> Word | None:
        text = _spelling(segment.word)
        if not text:
            return None
        confidence = min(1.0, max(0.0, segment.prob))  # a posterior already, not its logarithm
        start = segment.start_frame / _FRAMES_PER_SECOND
        end = (segment.end_frame + 1) / _FRAMES_PER_SECOND
        return Word(text, start, end, confidence)


def _spelling(word: str) -> str:
    """A dictionary entry as it is written; empty for silence and noises."""
    return "" if _FILLER.match(word) else _PRONUNCIATION.sub("", word)
