"""What is said in the tests of vendors, as audio, and how it is pushed."""

from __future__ import annotations

import functools
import re

import av
import numpy as np
from livekit import rtc
from livekit.agents import stt

from agents.providers.local.caller import speak_line
from agents.providers.local.synthesiser import SAMPLE_RATE

RATE = 16000
LINES = ("what are your opening hours", "are you open on sunday", "thank you that is all")
"""The first is ended by silence, the second by a flush, the third by the end of the input. They are short, for
recognition is what the tests of vendors take their time for, and each was read word for word in 66 of 66 tries."""

_ROOM = np.random.default_rng(7)


@functools.cache
def spoken(line: str) -> bytes:
    """*line* as 16-bit mono PCM at :data:`RATE`."""
    frame = av.AudioFrame.from_ndarray(np.frombuffer(speak_line(line), "<i2")[np.newaxis], "s16", "mono")
    frame.sample_rate = SAMPLE_RATE
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    pieces = [*resampler.resample(frame), *resampler.resample(None)]
    return b"".join(piece.to_ndarray()[0].astype("<i2").tobytes() for piece in pieces)


def silence(seconds: float) -> bytes:
    """A quiet room."""
    return _ROOM.normal(0.0, 60.0, round(seconds * RATE)).astype("<i2").tobytes()


def push(stream: stt.SpeechStream, pcm: bytes, ms: int = 50) -> None:
    """*pcm* in frames of *ms*, all at once."""
    step = RATE * ms // 1000 * 2
    for at in range(0, len(pcm), step):
        piece = pcm[at : at + step]
        stream.push_frame(rtc.AudioFrame(piece, RATE, 1, len(piece) // 2))


def plain(text: str) -> str:
    """*text* as the recogniser writes it: lower case, words only."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))
