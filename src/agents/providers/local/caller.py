"""The caller of the demo: lines of a telephone call, said by espeak-ng.

Only the voice is made; what the recogniser hears is its own affair. Voice and lines were chosen out of some
fifty everyday sentences in twenty voices because pocketsphinx's English model reads them word for word, at 16
kHz and by way of 24 kHz. The faint noise stands for the room: recordings have one, and the model misreads
speech in digital silence.
"""

from __future__ import annotations

import numpy as np

from .synthesiser import SAMPLE_RATE, Voice, synthesise

__all__ = ["CALLER_LINES", "CALLER_VOICE", "ROOM_NOISE", "speak_line"]

CALLER_VOICE = Voice(name="en-us+klatt3", rate=160, pitch=50)

ROOM_NOISE = 100.0
"""Standard deviation of the room's noise, in steps of 16-bit PCM (about 50 dB under full scale)."""

CALLER_LINES = (
    "what are your opening hours on sunday",
    "i would like to book a table for two people on friday",
    "is there any parking near the restaurant",
    "thank you that is all i wanted to know",
)

_SEED = 20261122


def speak_line(
    text: str, *, voice: Voice = CALLER_VOICE, room_noise: float = ROOM_NOISE, silence_seconds: float = 0.2
) -> bytes:
    """Say ``text`` in a room: 16-bit mono PCM at `synthesiser.SAMPLE_RATE`, with silence before and after it.

    The room's noise is the same each time; the voice is not, to the sample: espeak-ng lets it flutter. Each line
    was read word for word in 24 of 24 tries. Blocks.
    """
    silence = b"\0\0" * round(silence_seconds * SAMPLE_RATE)
    speech = np.frombuffer(silence + synthesise(text, voice) + silence, "<i2").astype(np.float64)
    noise = np.random.default_rng(_SEED).normal(0.0, room_noise, len(speech))
    return np.clip(speech + noise, -32768, 32767).astype("<i2").tobytes()
