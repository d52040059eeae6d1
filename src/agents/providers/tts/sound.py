"""From what a vendor sends to signed 16-bit mono PCM at the adapter's rate, piece by piece.

LiveKit wants one rate for all the audio of an adapter. What comes at another is resampled here, so that it is
neither too high nor too short: a WAV header, a ``rate`` in a media type or a vendor's message says which it is.

A file is known by its first bytes, whatever it was said to be: servers that ignore the format they are asked for
are common, and played as bare samples a file would be noise, as loud as can be.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import av

from ..protocol import SynthesisForm
from ..protocol.media import BARE, file_type
from .decoder import Decoder
from .samples import BadAudio, downmixed, mulaw_to_pcm, planes
from .wav import WavReader

__all__ = ["BEGINNING_BYTES", "SoundReader", "decoded", "true_form"]

BEGINNING_BYTES = 12
"""So many tell a file from samples."""

_WAV_FILE = re.compile(rb"RIFF.{4}WAVE", re.DOTALL)

_QUOTED = 200


class SoundReader:
    """Reads bare samples and WAV files; the event loop needs no other thread for them.

    Where one WAV file follows another, or every piece is one, all of them are heard and no header is. Vendors
    that speak in messages send such, and servers that speak sentence by sentence.

    Args:
        form: ``audio/pcm``, ``audio/basic`` (µ-law) or ``audio/wav``.
        sample_rate: Hz of what is given out.
    """

    def __init__(self, form: SynthesisForm, sample_rate: int) -> None:
        self._form = form
        self._sample_rate = sample_rate
        self._wav = WavReader() if form.mime_type == "audio/wav" else None
        self._width = form.channels * (1 if form.mime_type == "audio/basic" else 2)
        self._held = b""
        self._behind = b""
        self._rate = sample_rate
        self._resampler: av.AudioResampler | None = None

    def push(self, data: bytes) -> bytes:
        """The PCM that is complete with *data*; half a sample waits for the rest of it.

        Raises:
            BadAudio: *data* is not of the form.
        """
        if file_type(data) == "audio/wav" and (self._wav is None or self._wav.has_begun):
            self._wav, self._behind = WavReader(), b""
        if self._wav is not None:
            return self._from_wav(data)
        data = self._held + data if self._held else data
        whole = len(data) - len(data) % self._width
        self._held = data[whole:]
        samples = data[:whole]
        if self._form.mime_type == "audio/basic":
            samples = mulaw_to_pcm(samples)
        return self._resampled(downmixed(samples, self._form.channels), self._form.sample_rate)

    @property
    def is_cut_off(self) -> bool:
        """Whether it is a WAV file that promised more than has come."""
        return self._wav is not None and self._wav.is_cut_off

    def rest(self) -> bytes:
        """What the resampler still holds, at the end."""
        if self._resampler is None:
            return b""
        rest, self._resampler = planes(self._resampler.resample(None)), None
        return rest

    def _from_wav(self, data: bytes) -> bytes:
        pcm = b""
        while data:
            wav = self._wav
            assert wav is not None
            samples = wav.push(data)
            if samples:
                pcm += self._resampled(downmixed(samples, wav.channels), wav.sample_rate)
            data = self._next_file(wav.behind)
        return pcm

    def _next_file(self, behind: bytes) -> bytes:
        """The beginning of another WAV file *behind* the samples of one; everything else there is no sound."""
        self._behind += behind
        found = _WAV_FILE.search(self._behind)
        if found is None:
            self._behind = self._behind[1 - BEGINNING_BYTES :]
            return b""
        data, self._behind = self._behind[found.start() :], b""
        self._wav = WavReader()
        return data

    def _resampled(self, samples: bytes, rate: int) -> bytes:
        if not samples:
            return b""
        before = b""
        if rate != self._rate:
            before, self._rate = self.rest(), rate
        if rate == self._sample_rate:
            return before + samples
        if self._resampler is None:
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=self._sample_rate)
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples) // 2)
        frame.sample_rate = rate
        frame.planes[0].update(samples)
        return before + planes(self._resampler.resample(frame))


async def decoded(
    pieces: AsyncIterator[bytes], form: SynthesisForm, sample_rate: int
) -> AsyncGenerator[bytes, None]:
    """The audio in *pieces*, which are of *form*, as PCM at *sample_rate*, while it comes.

    Raises:
        BadAudio: it is not of that form, or breaks off; after what came before that.
        Exception: whatever *pieces* raises, after what came before it.
    """
    try:
        beginning = await _beginning(pieces)
        if not beginning:
            return
        form = true_form(form, beginning)
        read = _read if form.mime_type in BARE or form.mime_type == "audio/wav" else _decode
        async with (
            aclosing(_chained(beginning, pieces)) as whole,
            aclosing(read(whole, form, sample_rate)) as speech,
        ):
            async for pcm in speech:
                if pcm:
                    yield pcm
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


def true_form(form: SynthesisForm, beginning: bytes) -> SynthesisForm:
    """What audio that was said to be of *form* is, by how it begins.

    Raises:
        BadAudio: samples were expected, and it is a text: an error, most likely.
    """
    if form.mime_type == "audio/pcm" and len(beginning) >= BEGINNING_BYTES and _is_text(beginning):
        quoted = beginning[:_QUOTED].decode("ascii").strip()
        raise BadAudio(f"expected audio, got a text ({quoted})")
    file = file_type(beginning)
    return replace(form, mime_type=file) if file else form


def _is_text(data: bytes) -> bool:
    return data.isascii() and all(byte >= 32 or byte in b"\t\r\n" for byte in data)


async def _beginning(pieces: AsyncIterator[bytes]) -> bytes:
    beginning = b""
    async for piece in pieces:
        beginning += piece
        if len(beginning) >= BEGINNING_BYTES:
            break
    return beginning


async def _chained(beginning: bytes, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    yield beginning
    async for piece in rest:
        yield piece


async def _read(
    pieces: AsyncIterator[bytes], form: SynthesisForm, sample_rate: int
) -> AsyncGenerator[bytes, None]:
    reader = SoundReader(form, sample_rate)
    async for piece in pieces:
        yield reader.push(piece)
    yield reader.rest()
    if reader.is_cut_off:
        raise BadAudio("the WAV file breaks off")


async def _decode(
    pieces: AsyncIterator[bytes], form: SynthesisForm, sample_rate: int
) -> AsyncGenerator[bytes, None]:
    decoder = Decoder(form.mime_type, sample_rate)

    async def feed() -> None:
        try:
            async for piece in pieces:
                decoder.push(piece)
        finally:
            decoder.end()

    feeding = asyncio.get_running_loop().create_task(feed(), name="voxport.decode")
    try:
        async for pcm in decoder.pcm():
            yield pcm
        await feeding
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        await decoder.aclose()
