"""The audio of a segment as it comes in messages: whatever it is, what is given on is PCM at one rate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..protocol import SynthesisForm
from ..protocol.media import BARE
from .decoder import Decoder
from .samples import BadAudio
from .sound import BEGINNING_BYTES, SoundReader, true_form

__all__ = ["Listening"]


class Listening:
    """Takes the audio of one segment. Close it in the end; a decoder has a thread.

    Args:
        form: what the audio was said to be.
        sample_rate: Hz of what is given on.
        give: takes the PCM, as soon as it is there.
        fail: is told what cannot be decoded; after that nothing is given any more.
    """

    def __init__(
        self,
        form: SynthesisForm,
        sample_rate: int,
        give: Callable[[bytes], None],
        fail: Callable[[BadAudio], None],
    ) -> None:
        self._form = form
        self._sample_rate = sample_rate
        self._give = give
        self._fail = fail
        self._beginning = b""
        self._reader: SoundReader | None = None
        self._decoder: Decoder | None = None
        self._decoding: asyncio.Task[None] | None = None

    def expect(self, form: SynthesisForm) -> None:
        """What comes from now on is of *form*. A file that is being decoded goes on."""
        if form != self._form and self._decoder is None:
            self._end_samples()
            self._form = form

    def push(self, data: bytes) -> None:
        """Take more of it.

        Raises:
            BadAudio: it is not what it was said to be.
        """
        if self._reader is None and self._decoder is None:
            data = self._beginning + data
            self._beginning = data if len(data) < BEGINNING_BYTES else b""
            if self._beginning:
                return
            self._begin(data)
        self._take(data)

    async def finish(self) -> None:
        """All has come: give what is held back. What cannot be decoded was told to *fail* when this returns.

        Raises:
            BadAudio: as for :meth:`push`.
        """
        self._end_samples()
        if self._decoder is not None and self._decoding is not None:
            self._decoder.end()
            await asyncio.wait({self._decoding})

    async def aclose(self) -> None:
        """Give nothing more, and wait until nothing is being decoded."""
        if self._decoder is not None and self._decoding is not None:
            self._decoding.cancel()
            await asyncio.gather(self._decoding, return_exceptions=True)
            await self._decoder.aclose()

    def _begin(self, beginning: bytes) -> None:
        form = true_form(self._form, beginning)
        if form.mime_type in BARE or form.mime_type == "audio/wav":
            self._reader = SoundReader(form, self._sample_rate)
            return
        self._decoder = Decoder(form.mime_type, self._sample_rate)
        self._decoding = asyncio.get_running_loop().create_task(
            self._decode(self._decoder), name="voxport.voice.decode"
        )

    def _take(self, data: bytes) -> None:
        if self._decoder is not None:
            self._decoder.push(data)
        elif self._reader is not None:
            self._give(self._reader.push(data))

    def _end_samples(self) -> None:
        data, self._beginning = self._beginning, b""
        if data:
            self._begin(data)
            self._take(data)
        if self._reader is not None:
            self._give(self._reader.rest())
            self._reader = None

    async def _decode(self, decoder: Decoder) -> None:
        try:
            async for pcm in decoder.pcm():
                self._give(pcm)
        except BadAudio as wrong:
            self._fail(wrong)
