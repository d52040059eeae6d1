"""Whether audio says a text: it is compared with what espeak-ng makes of the text here, in length and loudness."""

from __future__ import annotations

import functools
import io
from typing import Any

import av
import numpy as np

from agents.providers.local.synthesiser import SAMPLE_RATE, Voice, synthesise

TEXT = "We are open from nine in the morning, until eight in the evening."
"""One sentence, so that every way of cutting it into sentences gives the same audio."""

_WINDOW_SECONDS = 0.02


@functools.lru_cache
def _reference(text: str, voice: Voice) -> bytes:
    return synthesise(text, voice)


def _envelope(samples: Any, rate: int) -> Any:
    window = round(rate * _WINDOW_SECONDS)
    whole = len(samples) - len(samples) % window
    return np.sqrt(np.mean(np.square(samples[:whole].reshape(-1, window).astype(float)), axis=1))


def seconds_of(pcm: bytes, rate: int) -> float:
    return len(pcm) / 2 / rate


def likeness(pcm: bytes, rate: int, text: str = TEXT, voice: Voice | None = None) -> tuple[float, float]:
    """Length compared with the reference (1.0 is the same), and correlation of the loudness over time."""
    reference = np.frombuffer(_reference(text, voice or Voice("en-us+f3")), "<i2")
    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2")
    ours, theirs = _envelope(samples, rate), _envelope(reference, SAMPLE_RATE)
    length = len(ours) / len(theirs)
    common = min(len(ours), len(theirs))
    # encoders delay what they encode, by some milliseconds
    best = max(
        float(np.corrcoef(ours[shift:common], theirs[: common - shift])[0, 1]) for shift in range(4) if common > 8
    )
    return length, best


def assert_says(pcm: bytes, rate: int, text: str = TEXT, voice: Voice | None = None) -> None:
    """*pcm* is 16-bit mono; the voice is that of number 0 of `voice_of` unless it is given."""
    length, alike = likeness(pcm, rate, text, voice)
    assert 0.96 < length < 1.06, f"the audio is {length:.2f} times as long as {text!r}"
    assert alike > 0.9, f"the audio is not that of {text!r}: {alike:.2f}"


def decoded(data: bytes, form: str | None = None, rate: int | None = None) -> tuple[bytes, int]:
    """An audio file, or bare G.711 (``form="mulaw"``) at *rate*, as 16-bit mono PCM and its rate."""
    options = {"sample_rate": str(rate)} if rate else {}
    with av.open(io.BytesIO(data), format=form, options=options) as container:
        made, resampler = 0, None
        pieces = []
        for frame in container.decode(audio=0):
            resampler = resampler or av.AudioResampler(format="s16", layout="mono", rate=frame.sample_rate)
            made = frame.sample_rate
            pieces += [piece.to_ndarray().tobytes() for piece in resampler.resample(frame)]
    return b"".join(pieces), made
