"""What ElevenLabs' requests name: models, voices, output formats.

The ids are those of ElevenLabs' ready-made voices in its documentation; each is a voice of espeak-ng, whose own
names are taken as well.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from multidict import MultiMapping

from ..speech import SpeechForm, at_speed, voice_of
from ..synthesiser import Voice
from .base import RequestFailed

__all__ = ["check_model", "speech_form", "voice_for"]

_MODELS = (
    "eleven_flash_v2",
    "eleven_flash_v2_5",
    "eleven_monolingual_v1",
    "eleven_multilingual_v1",
    "eleven_multilingual_v2",
    "eleven_turbo_v2",
    "eleven_turbo_v2_5",
    "eleven_v3",
)
_DEFAULT_MODEL = "eleven_multilingual_v2"
_VOICES = (
    "21m00Tcm4TlvDq8ikWAM",
    "JBFqnCBsd6RMkjVDRZzb",
    "EXAVITQu4vr4xnSDxMaL",
    "pNInz6obpgDQGcFmaJgB",
    "hpp4J3VqNfWAUOO0d1Us",
    "ErXwobaYiN019PkySvjV",
    "Xb7hH8MSUJpSbSDYk0k2",
    "TxGEqnHWrfWFTfGW9XjX",
)
_FORMATS: dict[str, SpeechForm] = {
    **{f"pcm_{rate}": SpeechForm("pcm", rate) for rate in (8000, 16000, 22050, 24000, 32000, 44100, 48000)},
    **{f"mp3_44100_{kbps}": SpeechForm("mp3", 44100, kbps * 1000) for kbps in (32, 64, 96, 128, 192)},
    **{f"opus_48000_{kbps}": SpeechForm("opus", 48000, kbps * 1000) for kbps in (32, 64, 96, 128, 192)},
    "mp3_22050_32": SpeechForm("mp3", 22050, 32000),
    "mp3_24000_48": SpeechForm("mp3", 24000, 48000),
    "mp3_44100": SpeechForm("mp3", 44100, 128000),
    "ulaw_8000": SpeechForm("mulaw", 8000),
    "alaw_8000": SpeechForm("alaw", 8000),
}
_DEFAULT_FORMAT = "mp3_44100_128"
_SPEEDS = (0.7, 1.2)


def check_model(model: object) -> None:
    """Raise `RequestFailed` for a model there is not."""
    if model is not None and model not in _MODELS:
        raise RequestFailed(
            400, f"A model with model ID {model!r} does not exist; try {_DEFAULT_MODEL}.", "model_not_found"
        )


def voice_for(request: web.Request, language: object, settings: Any) -> Voice:
    """The voice of a request's path, in *language*, with the speed of ``voice_settings``.

    Raises:
        RequestFailed: there is no such voice, or a setting is out of range.
    """
    speed = settings.get("speed") if isinstance(settings, dict) else None
    if speed is None:
        speed = 1.0
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not _SPEEDS[0] <= speed <= _SPEEDS[1]:
        raise RequestFailed(400, f"speed must be between {_SPEEDS[0]} and {_SPEEDS[1]}", "invalid_voice_settings")
    voice_id = request.match_info["voice_id"]
    if voice_id in _VOICES:
        return voice_of(_VOICES.index(voice_id), language if isinstance(language, str) else None, speed)
    if "+" in voice_id:  # espeak-ng's own name
        return at_speed(Voice(voice_id), speed)
    raise RequestFailed(404, f"A voice with the voice_id {voice_id} was not found.", "voice_not_found")


def speech_form(query: MultiMapping[str]) -> SpeechForm:
    """How to encode. Raises `RequestFailed` for an unknown ``output_format``."""
    wanted = query.get("output_format") or _DEFAULT_FORMAT
    if wanted not in _FORMATS:
        raise RequestFailed(
            400, f"output_format {wanted!r} is unknown; there are {', '.join(_FORMATS)}", "invalid_output_format"
        )
    return _FORMATS[wanted]
