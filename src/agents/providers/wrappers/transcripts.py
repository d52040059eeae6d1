"""What a cache stores: a hash to find it by, and the transcript as JSON."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from livekit.agents import stt
from livekit.agents.language import LanguageCode
from livekit.agents.types import NOT_GIVEN, TimedString
from livekit.agents.utils import is_given
from pydantic import BaseModel

from ..base import ConfigurationError
from ..redaction import Secret, is_secret_name, safe_url
from .base import unwrapped

__all__ = ["decode", "encode", "key_of", "options_of"]

_FORMAT = 2
"""Part of every key: a change of what is hashed or stored finds nothing old."""

_THREAD_BYTES = 1 << 20
"""Hashing more than this takes the event loop's time noticeably; a thread does it."""

_PLACES = (
    *("_settings", "_opts", "_options", "opts", "options", "_config", "config"),
    *("language", "_language", "languages", "_model", "_body", "prompt", "sample_rate", "_sample_rate"),
    *("endpoint_url", "ws_url", "base_url", "_base_url", "url", "_url"),
)
"""Where STTs keep what changes a transcript."""

_MEMBERS = ("_stt_instances", "_members", "_wrapped_stt", "_stt")
"""Where STTs that are made of others keep them."""

_TYPES: dict[str, Any] = {
    **dict.fromkeys(("text", "language"), str),
    "speaker_id": (str, int),
    **dict.fromkeys(("start_time", "end_time", "confidence"), (int, float)),
    **dict.fromkeys(("source_languages", "source_texts", "target_languages", "target_texts", "words"), list),
    "is_primary_speaker": bool,
}
"""What is stored of a transcript; whatever LiveKit adds is taken as it is."""

_WORD_TIMES = ("start_time", "end_time", "confidence", "start_time_offset")


# ---------------------------------------------------------------------- the key


async def key_of(buffer: Any, *, language: str | None, recogniser: stt.STT[Any], options: Any) -> str | None:
    """SHA-256 of the samples, their format, and everything that decides what becomes of them, in hex.

    Args:
        buffer: frames, or anything with ``data`` and ``sample_rate``; how they are cut does not matter.
        language: what this call asks for.
        recogniser: whose label, provider and model count.
        options: its options, as plain data.

    Returns:
        ``None`` for what cannot be hashed: no audio, or frames of mixed formats.

    Raises:
        ConfigurationError: *options* are no plain data.
    """
    audio = _audio_of(buffer)
    if audio is None:
        return None
    rate, channels, pieces = audio
    who = [recogniser.label, str(recogniser.provider), str(recogniser.model)]
    try:  # not by orjson, which takes no large numbers and no half of a surrogate pair
        head = json.dumps([_FORMAT, who, language, options, rate, channels], sort_keys=True).encode()
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"what options= of CachedSTTAdapter gives must be JSON data: {error}") from None
    if sum(piece.nbytes for piece in pieces) > _THREAD_BYTES:
        return await asyncio.get_running_loop().run_in_executor(None, _digest, head, pieces)
    return _digest(head, pieces)


def _digest(head: bytes, pieces: Sequence[memoryview]) -> str:
    digest = hashlib.sha256(len(head).to_bytes(8, "big") + head)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _audio_of(buffer: Any) -> tuple[int, int, list[memoryview]] | None:
    """Rate, channels and samples of *buffer*, without a copy."""
    frames = list(buffer) if isinstance(buffer, (list, tuple)) else [buffer]
    formats = {(getattr(frame, "sample_rate", None), getattr(frame, "num_channels", 1)) for frame in frames}
    if len(formats) != 1:
        return None
    rate, channels = formats.pop()
    if not isinstance(rate, int) or not isinstance(channels, int):
        return None
    pieces = []
    for frame in frames:
        try:
            view = memoryview(frame.data)
            samples = getattr(frame, "samples_per_channel", None)
            view = view.cast("B") if view.format != "B" else view
        except (AttributeError, TypeError):
            return None
        # LiveKit's frames may hold more than they say
        pieces.append(view if samples is None else view[: 2 * channels * samples])
    return rate, channels, pieces


def options_of(recogniser: stt.STT[Any]) -> Any:
    """What *recogniser* was told that changes its transcripts, as plain data without credentials.

    It is read where Voxport's adapters and LiveKit's plugins keep it, each time, so that ``update_options`` and
    the session's keyterms count.
    """
    inner = unwrapped(recogniser)
    found: dict[str, Any] = {}
    for name in _PLACES:
        value = inner.__dict__.get(name)
        if value is not None:
            found[name] = _plain(value)
    for name in _MEMBERS:
        members = inner.__dict__.get(name)
        members = members if isinstance(members, (list, tuple)) else [members]
        told = [[m.label, m.provider, m.model, options_of(m)] for m in members if isinstance(m, stt.STT)]
        if told:
            found[name] = told
    return found


def _plain(value: Any) -> Any:
    """*value* as JSON can hold it; credentials are left out, and of other objects only the type counts."""
    if isinstance(value, str):
        return safe_url(value) if "://" in value else str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Secret) or not is_given(value):
        return None
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, BaseModel):
        return _plain(dict(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain({field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)})
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items() if k != "headers" and not is_secret_name(str(k))}
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return type(value).__qualname__


# ---------------------------------------------------------------------- the transcript


def encode(event: stt.SpeechEvent) -> bytes | None:
    """The transcript in *event*; ``None`` when nothing was said, which is not worth keeping, or it is no JSON."""
    if not event.alternatives or not event.alternatives[0].text.strip():
        return None
    try:
        return orjson.dumps([_stored(data) for data in event.alternatives])
    except TypeError:  # half of a surrogate pair, or what a plugin puts in place of a string
        return None


def _stored(data: stt.SpeechData) -> dict[str, Any]:
    fields = {field.name: getattr(data, field.name) for field in dataclasses.fields(data)}
    del fields["metadata"]  # the vendor's own, whatever that is
    fields["words"] = data.words and [_stored_word(word) for word in data.words]
    return {name: value for name, value in fields.items() if value is not None}


def _stored_word(word: TimedString) -> list[Any]:
    times = [getattr(word, name, NOT_GIVEN) for name in _WORD_TIMES]
    return [str(word), *(time if is_given(time) else None for time in times), getattr(word, "speaker_id", None)]


def decode(value: bytes) -> stt.SpeechEvent | None:
    """A fresh event with the transcript in *value*; ``None`` when that is none."""
    try:
        alternatives = [_restored(stored) for stored in orjson.loads(value)]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    if not alternatives or not alternatives[0].text.strip():
        return None
    return stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=alternatives)


def _restored(stored: dict[str, Any]) -> stt.SpeechData:
    for name, value in stored.items():
        if not isinstance(value, _TYPES.get(name, object)):
            raise TypeError(f"{name} is no {_TYPES[name]}")
        if isinstance(value, list) and name != "words" and not all(isinstance(item, str) for item in value):
            raise TypeError(f"{name} holds more than text")
    words = stored.pop("words", None)
    data = stt.SpeechData(**stored)
    data.language = LanguageCode(stored["language"])
    data.words = words and [_restored_word(*word) for word in words]
    return data


def _restored_word(text: str, *rest: Any) -> TimedString:
    *times, speaker = rest
    if not isinstance(text, str) or type(speaker) not in (str, int, type(None)):
        raise TypeError("no word")
    given = {
        name: NOT_GIVEN if time is None else float(time) for name, time in zip(_WORD_TIMES, times, strict=True)
    }
    return TimedString(text, speaker_id=speaker, **given)
