"""From what LiveKit (or the specification's own example) calls an audio buffer to mono PCM."""

from __future__ import annotations

from typing import Any

from livekit import rtc

from ..protocol import AudioForm, Pcm
from .feed import AudioFeed, downmix

__all__ = ["at_rate", "pcm_of"]

_SAMPLE_FORMATS = frozenset({"h", "<h", "b", "B", "c"})  # 16-bit samples, or their bytes


def pcm_of(buffer: Any, *, sample_rate: int) -> Pcm:
    """The recording in *buffer*: signed 16-bit mono at the buffer's own rate; several channels are averaged.

    Args:
        buffer: an ``rtc.AudioFrame``, a list of them, or anything with ``data`` (bytes or an int16 array) and
            ``sample_rate``, and ``num_channels`` if there are several.
        sample_rate: Hz, for an empty list, which has no rate of its own.

    Raises:
        TypeError: it is none of these, or its samples are not 16-bit.
        ValueError: the frames have different sample rates, or a frame holds half a sample.
    """
    frames = list(buffer) if isinstance(buffer, (list, tuple)) else [buffer]
    rates = sorted({_rate(frame) for frame in frames}) or [sample_rate]
    if len(rates) > 1:
        raise ValueError(
            f"the frames have different sample rates ({', '.join(map(str, rates))} Hz): resample them to one"
        )
    return Pcm(b"".join(map(_mono, frames)), rates[0])


def at_rate(recording: Pcm, sample_rate: int) -> Pcm:
    """The mono *recording* at *sample_rate* Hz; itself when it is at that rate already."""
    if recording.sample_rate == sample_rate or not recording.data:
        return recording if recording.data else Pcm(b"", sample_rate)
    feed = AudioFeed(input_rate=recording.sample_rate, channels=1, wire_rate=sample_rate, form=AudioForm())
    frame = rtc.AudioFrame(recording.data, recording.sample_rate, 1, len(recording.data) // 2)
    return Pcm(b"".join([*feed.push(frame), *feed.flush()]), sample_rate)


def _rate(frame: Any) -> int:
    rate = getattr(frame, "sample_rate", None)
    if rate is None or not hasattr(frame, "data"):
        raise TypeError(
            f"expected an AudioFrame, a list of them, or an object with data and sample_rate, "
            f"not {type(frame).__name__}"
        )
    if rate <= 0:
        raise ValueError(f"the sample rate must be positive, not {rate}")
    return int(rate)


def _mono(frame: Any) -> bytes:
    """The samples of one frame as bytes."""
    channels = int(getattr(frame, "num_channels", 1))
    try:
        view = memoryview(frame.data)
    except TypeError:
        raise TypeError(f"audio data must be bytes or an int16 array, not {type(frame.data).__name__}") from None
    if view.format not in _SAMPLE_FORMATS:
        raise TypeError(f"audio data must be signed 16-bit samples, not of the format {view.format!r}")
    data = view.tobytes()
    samples = getattr(frame, "samples_per_channel", None)
    if samples is not None:  # LiveKit's frames may hold more than they say
        data = data[: 2 * channels * samples]
    if len(data) % (2 * channels):
        raise ValueError(f"{len(data)} bytes are no whole number of 16-bit samples for {channels} channel(s)")
    return data if channels == 1 else downmix(data, channels)
