"""Text in, PCM out: speech synthesis with espeak-ng, on this machine.

The library comes in the ``espeakng-loader`` wheel and is driven through ctypes. It keeps its state in
process-wide globals, so one thread owns it: every synthesis in the process goes through that thread, one
after the other. espeak-ng makes speech some hundred times faster than it is spoken, so waiting for one's turn
is short.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

from .extras import require
from .word_times import SpokenWord, WordTimes

__all__ = [
    "SAMPLE_RATE",
    "SpokenWord",
    "SynthesisError",
    "Voice",
    "speak",
    "synthesise",
    "synthesise_stream",
    "voice_names",
]

SAMPLE_RATE = 22050
"""Samples per second of everything espeak-ng makes (16-bit mono)."""

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: espeak_Synth returns when the last callback has been called
_DONT_EXIT = 0x8000  # report a missing data folder instead of ending the process
_UTF8 = 1
_RATE, _VOLUME, _PITCH, _RANGE, _WORD_GAP = 1, 2, 3, 4, 7
_BLOCK_MS = 100
_SEED = 1
_WORD = 1  # espeakEVENT_WORD
_ESPEAK_ENDED = 0  # espeakEVENT_LIST_TERMINATED


class _Event(ctypes.Structure):
    """``espeak_EVENT`` of speak_lib.h; positions in the text are in characters, the first is 1."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_Sink = Callable[[bytes, list[tuple[int, int]]], bool]
"""Takes a block of PCM and the words that begin in it (character of the text, sample of the audio)."""


class SynthesisError(Exception):
    """espeak-ng refused: an unknown voice, or a setting out of range. The message says which."""


@dataclass(frozen=True)
class Voice:
    """How espeak-ng is to speak.

    ``name`` is an espeak-ng voice, with a variant after a plus sign (``"en-us+f3"``); ``rate`` is words per
    minute (80–450), ``pitch`` and ``pitch_range`` are 0–100, ``word_gap`` is extra silence between words in
    units of 10 ms.
    """

    name: str = "en-us"
    rate: int = 160
    pitch: int = 50
    pitch_range: int = 50
    word_gap: int = 0

    def __post_init__(self) -> None:
        for label, value, low, high in (
            ("rate", self.rate, 80, 450),
            ("pitch", self.pitch, 0, 100),
            ("pitch_range", self.pitch_range, 0, 100),
            ("word_gap", self.word_gap, 0, 100),
        ):
            if not low <= value <= high:
                raise SynthesisError(f"{label}={value} is out of range: espeak-ng takes {low} to {high}")


class _VoiceRow(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


class _Espeak:
    """The loaded library. Only the thread of `_worker` may call it."""

    def __init__(self) -> None:
        loader = require("espeakng_loader")
        self._lib = ctypes.CDLL(str(loader.get_library_path()))
        self._lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceRow))
        data = str(loader.get_data_path()).encode()
        rate = self._lib.espeak_Initialize(_SYNCHRONOUS, _BLOCK_MS, data, _DONT_EXIT)
        if rate != SAMPLE_RATE:
            raise SynthesisError(
                f"espeak-ng did not start (answered {rate}); reinstall it: "
                "pip install --force-reinstall espeakng-loader"
            )
        self._sink: _Sink = lambda _, __: False
        self._callback = _Callback(self._on_audio)  # kept: ctypes does not hold it
        self._lib.espeak_SetSynthCallback(self._callback)

    def _on_audio(self, wav: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]) -> int:
        if not wav or count <= 0:
            return 0
        words = []
        index = 0
        while events and events[index].type != _ESPEAK_ENDED:
            if events[index].type == _WORD:
                words.append((events[index].text_position - 1, events[index].sample))
            index += 1
        return 0 if self._sink(ctypes.string_at(wav, count * 2), words) else 1

    def speak(self, text: str, voice: Voice, sink: _Sink) -> None:
        """Hand each block of PCM to ``sink`` as it is made, until it answers False or the text is said."""
        if self._lib.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise SynthesisError(f"espeak-ng has no voice {voice.name!r}; voice_names() lists those it has")
        for parameter, value in (
            (_RATE, voice.rate),
            (_VOLUME, 90),
            (_PITCH, voice.pitch),
            (_RANGE, voice.pitch_range),
            (_WORD_GAP, voice.word_gap),
        ):
            self._lib.espeak_SetParameter(parameter, value, 0)
        self._lib.espeak_ng_SetRandSeed(ctypes.c_long(_SEED))  # the noise in voices; their flutter still goes on
        raw = text.encode() + b"\0"
        self._sink = sink
        if self._lib.espeak_Synth(raw, ctypes.c_size_t(len(raw)), 0, 0, 0, _UTF8, None, None) != 0:
            raise SynthesisError("espeak-ng could not take the text")

    def voices(self) -> tuple[str, ...]:
        rows = self._lib.espeak_ListVoices(None)
        names = []
        index = 0
        while rows[index]:
            # `languages` starts with a priority byte and then the name by which the voice is chosen
            names.append(rows[index].contents.languages[1:].decode())
            index += 1
        return tuple(sorted(set(names)))


_worker = ThreadPoolExecutor(1, thread_name_prefix="espeak")


@lru_cache(maxsize=1)
def _espeak() -> _Espeak:
    return _Espeak()


def voice_names() -> tuple[str, ...]:
    """The names `Voice` takes, without variants."""
    return _worker.submit(lambda: _espeak().voices()).result()


def synthesise(text: str, voice: Voice | None = None) -> bytes:
    """Say ``text``: 16-bit mono PCM at `SAMPLE_RATE`. Blocks; in a coroutine use `synthesise_stream`.

    Raises `SynthesisError` for a voice espeak-ng does not have.
    """
    blocks: list[bytes] = []

    def keep(block: bytes, _words: list[tuple[int, int]]) -> bool:
        blocks.append(block)
        return True

    _worker.submit(lambda: _espeak().speak(text, voice or Voice(), keep)).result()
    return b"".join(blocks)


async def synthesise_stream(text: str, voice: Voice | None = None) -> AsyncGenerator[bytes, None]:
    """Say ``text``: blocks of 16-bit mono PCM at `SAMPLE_RATE`, each about 100 ms, as they are made.

    Closing the iterator stops the synthesis. Raises `SynthesisError` for a voice espeak-ng does not have.
    """
    speech = speak(text, voice)
    try:
        async for piece in speech:
            if isinstance(piece, bytes):
                yield piece
    finally:
        await speech.aclose()


async def speak(text: str, voice: Voice | None = None) -> AsyncGenerator[bytes | SpokenWord, None]:
    """Like `synthesise_stream`, with each word after the audio it is in.

    The times are those of espeak-ng's own events, without the silence at both ends of a word.
    """
    loop = asyncio.get_running_loop()
    made: asyncio.Queue[tuple[bytes, list[tuple[int, int]]] | None] = asyncio.Queue()
    stopped = threading.Event()

    def push(block: tuple[bytes, list[tuple[int, int]]] | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(made.put_nowait, block)

    def sink(block: bytes, words: list[tuple[int, int]]) -> bool:
        if not stopped.is_set():
            push((block, words))
        return not stopped.is_set()

    def run() -> None:
        try:
            if not stopped.is_set():
                _espeak().speak(text, voice or Voice(), sink)
        finally:
            push(None)

    words = WordTimes(text)
    work = loop.run_in_executor(_worker, run)
    try:
        while (block := await made.get()) is not None:
            yield block[0]
            for word in words.feed(*block):
                yield word
        await work
        for word in words.finish():
            yield word
    finally:
        stopped.set()
        if not work.done():
            work.cancel()
