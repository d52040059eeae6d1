"""What the caller says: the built-in lines, or a recording, cut where its speaker pauses."""

from __future__ import annotations

from pathlib import Path

import av
import av.audio.resampler
import numpy as np

from .audio_files import read_samples
from .call import Line
from .telephone import ROOM_RATE, Samples

__all__ = ["built_in_lines", "lines_of", "room_noise_of"]

_PAUSE_SECONDS = 0.8
"""A speaker who pauses for so long has said his line, and listens."""

_LEAD_SECONDS = 0.2
_STEP_SECONDS = 0.05
_SPEECH_PART = 0.06
"""What is louder than this part of a recording's loud moments is speech."""


def built_in_lines(count: int | None = None) -> tuple[list[Line], float]:
    """The first *count* lines of the embedded server's caller, and the noise of his room. Blocks."""
    from ..local.caller import CALLER_LINES, ROOM_NOISE, speak_line
    from ..local.synthesiser import SAMPLE_RATE

    spoken = ((text, np.frombuffer(speak_line(text), np.int16)) for text in CALLER_LINES[:count])
    return [Line(_resampled(samples, SAMPLE_RATE), text) for text, samples in spoken], ROOM_NOISE


def lines_of(path: Path) -> tuple[list[Line], float, str]:
    """The lines in a recording, the noise between them, and a warning (empty when all is well). Blocks.

    Raises:
        AudioFileError: it cannot be heard.
    """
    samples, warning = read_samples(path, rate=ROOM_RATE)
    return [Line(piece) for piece in split_at_pauses(samples)], room_noise_of(samples), warning


def split_at_pauses(samples: Samples) -> list[Samples]:
    """The stretches of speech in *samples* (at `ROOM_RATE`), each with a little of the pauses around it."""
    levels = _levels(samples)
    step = int(ROOM_RATE * _STEP_SECONDS)
    loud = np.flatnonzero(levels > _SPEECH_PART * np.percentile(levels, 99)) if len(levels) else np.empty(0)
    if not len(loud):
        return [samples]
    gaps = np.flatnonzero(np.diff(loud) > _PAUSE_SECONDS / _STEP_SECONDS)
    firsts = [loud[0], *loud[gaps + 1]]
    lasts = [*loud[gaps], loud[-1]]
    lead = int(_LEAD_SECONDS * ROOM_RATE)
    return [
        samples[max(int(first) * step - lead, 0) : (int(last) + 1) * step + lead]
        for first, last in zip(firsts, lasts, strict=True)
    ]


def room_noise_of(samples: Samples) -> float:
    """The level of the quietest tenth of *samples*: what a caller's room sounds like when he is silent."""
    levels = _levels(samples)
    # a little at least: recognisers misread speech that rises out of digital silence
    return float(np.clip(np.percentile(levels, 10), 5.0, 150.0)) if len(levels) else 5.0


def _levels(samples: Samples) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    step = int(ROOM_RATE * _STEP_SECONDS)
    whole = samples[: len(samples) - len(samples) % step].reshape(-1, step).astype(np.float64)
    return np.asarray(np.sqrt(np.mean(whole**2, axis=1)))


def _resampled(samples: Samples, rate: int) -> Samples:
    resampler = av.audio.resampler.AudioResampler(format="s16", layout="mono", rate=ROOM_RATE)
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis], "s16", "mono")
    frame.sample_rate = rate
    pieces = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([piece.to_ndarray().reshape(-1) for piece in pieces])
