"""PCM, and the rate a vendor gets it at."""

from __future__ import annotations

import io
import wave

import pytest

from agents.providers.protocol import AudioForm, Pcm


@pytest.mark.parametrize(
    ("recording", "seconds"),
    [(Pcm(bytes(32000), 16000), 1.0), (Pcm(bytes(32000), 16000, 2), 0.5), (Pcm(b"", 8000), 0.0)],
)
def test_duration_counts_samples_of_each_channel(recording: Pcm, seconds: float) -> None:
    assert recording.duration == seconds


@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_file_holds_the_same_samples(channels: int) -> None:
    samples = bytes(range(256)) * 2
    with wave.open(io.BytesIO(Pcm(samples, 24000, channels).wav())) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24000, channels, 2)
        assert file.readframes(file.getnframes()) == samples


@pytest.mark.parametrize(
    ("rates", "input_rate", "own_rate", "wire_rate"),
    [
        (None, 24000, 16000, 16000),
        ({8000, 24000}, 24000, 8000, 24000),  # what comes is taken: no resampling
        ({8000, 16000}, 24000, 8000, 8000),  # the user's choice, where the vendor takes it
        ({8000, 44100}, 24000, 16000, 44100),  # rather more than needed than less
        ({8000, 11025}, 24000, 16000, 11025),  # the nearest below, if nothing is above
        ({32000, 48000}, 24000, 16000, 32000),  # the nearest above
    ],
)
def test_the_rate_on_the_wire(rates: set[int] | None, input_rate: int, own_rate: int, wire_rate: int) -> None:
    form = AudioForm(sample_rates=frozenset(rates) if rates else None)
    assert form.wire_rate(input_rate, own_rate) == wire_rate
