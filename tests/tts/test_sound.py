"""Samples of every kind as 16-bit PCM, however they are cut."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from agents.providers.protocol import SynthesisForm
from agents.providers.tts.sound import SoundReader
from agents.providers.tts.wav import WavReader

WAVE = np.sin(np.arange(2400) * 2 * np.pi * 440 / 24000) * 0.5
PCM = np.rint(WAVE * 32767).astype("<i2").tobytes()


def riff(
    samples: bytes, kind: int = 1, bits: int = 16, *, rate: int = 24000, channels: int = 1, size: int | None = None
) -> bytes:
    """A WAV file with a chunk of odd length before the samples, as some tools write."""
    width = bits // 8 * channels
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * width, width, bits)
    if kind == 0xFFFE:
        form += struct.pack("<HHI", 22, bits, 0) + struct.pack(
            "<H14s", 1, b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
        )
    head = b"fmt " + struct.pack("<I", len(form)) + form + b"LIST" + struct.pack("<I", 5) + b"hello\0"
    head += b"data" + struct.pack("<I", len(samples) if size is None else size)
    return b"RIFF" + struct.pack("<I", 4 + len(head) + len(samples)) + b"WAVE" + head + samples


def read(data: bytes, piece: int, form: SynthesisForm | None = None, rate: int = 24000) -> bytes:
    reader = SoundReader(form or SynthesisForm("audio/wav"), rate)
    out = b"".join(reader.push(data[i : i + piece]) for i in range(0, len(data), piece))
    assert not reader.is_cut_off
    return out + reader.rest()


_KINDS = {
    "16 bits": riff(PCM),
    "extensible": riff(PCM, 0xFFFE),
    "8 bits": riff((np.rint(WAVE * 127) + 128).astype("u1").tobytes(), bits=8),
    "24 bits": riff(np.rint(WAVE * (2**31 - 1)).astype("<i4").view("u1").reshape(-1, 4)[:, 1:].tobytes(), bits=24),
    "32 bits": riff(np.rint(WAVE * (2**31 - 1)).astype("<i4").tobytes(), bits=32),
    "float": riff(WAVE.astype("<f4").tobytes(), 3, 32),
    "double": riff(WAVE.astype("<f8").tobytes(), 3, 64),
    "stereo": riff(np.repeat(np.frombuffer(PCM, "<i2"), 2).tobytes(), channels=2),
    "length not known": riff(PCM, size=0xFFFFFFFF),
    "length zero": riff(PCM, size=0),
}


@pytest.mark.parametrize("piece", [1, 7, 100000])
@pytest.mark.parametrize("file", _KINDS.values(), ids=_KINDS)
def test_wav_files_of_every_kind_sound_alike(file: bytes, piece: int) -> None:
    out = np.frombuffer(read(file, piece), "<i2").astype(int)
    assert len(out) == 2400
    assert np.abs(out - np.frombuffer(PCM, "<i2")).max() <= 256  # of 8 bits that is the least step


def test_what_stands_behind_the_samples_is_not_played() -> None:
    assert read(riff(PCM) + b"LIST\x04\0\0\0junk", 999) == PCM


@pytest.mark.parametrize("piece", [1, 7, 4000, 100000])
def test_one_wav_file_after_another_is_heard_without_the_headers(piece: int) -> None:
    slow = riff(PCM[::2] + PCM[1::2], rate=12000)  # whatever it sounds like, it lasts twice as long
    assert read(riff(PCM) + b"LIST\x04\0\0\0RIFF" + riff(PCM) + b"\0" + riff(PCM), piece) == PCM * 3
    assert abs(len(read(riff(PCM) + slow + riff(PCM), piece)) - len(PCM) * 4) <= 64


@pytest.mark.parametrize("size", [None, 0, 0xFFFFFFFF])
@pytest.mark.parametrize("form", ["audio/wav", "audio/pcm"])
def test_a_header_before_every_piece_is_no_sound(form: str, size: int | None) -> None:
    reader = SoundReader(SynthesisForm(form), 24000)
    pieces = [PCM[at : at + 480] for at in range(0, len(PCM), 480)]
    out = reader.push(pieces[0]) if form == "audio/pcm" else reader.push(riff(pieces[0], size=size))
    assert out + b"".join(reader.push(riff(piece, size=size)) for piece in pieces[1:]) == PCM


def test_mulaw_is_the_standards() -> None:
    """The decoder output values of ITU-T G.711, table 2a and 2b, on the scale of 16 bits."""
    codes = bytes([0x00, 0x80, 0x7F, 0xFF, 0x0F, 0x8F, 0x70, 0xF0])
    form = SynthesisForm("audio/basic", 24000)
    out = np.frombuffer(read(codes, 3, form), "<i2")
    assert out.tolist() == [-32124, 32124, 0, 0, -16764, 16764, -120, 120]


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_resampling_keeps_the_length(rate: int) -> None:
    out = read(PCM, 333, SynthesisForm("audio/pcm", rate))
    assert abs(len(out) / 2 - 2400 * 24000 / rate) <= 2


def test_a_float_that_is_no_number_is_silence() -> None:
    samples = np.array([np.nan, np.inf, -np.inf, 2.0], "<f4").tobytes()
    assert np.frombuffer(read(riff(samples, 3, 32), 5), "<i2").tolist() == [0, 32767, -32767, 32767]


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (b"RIFX\0\0\0\0WAVEfmt ", "expected a WAV file"),
        (riff(PCM, 2, 4), "cannot be read"),
        (riff(PCM, rate=1), "cannot be read"),
        (riff(PCM, channels=0), "cannot be read"),
        (b"RIFF\0\0\0\0WAVEdata\x04\0\0\0abcd", "does not say what its samples are"),
        (b"RIFF\0\0\0\0WAVEfmt \x04\0\0\0abcd", "does not say what its samples are"),
        (b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\x7f", "without samples"),
    ],
)
def test_what_cannot_be_read_is_refused(file: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        WavReader().push(file)
