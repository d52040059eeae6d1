"""What Cartesia's requests name (models, voices, output formats), and its errors.

The ids are those of voices in Cartesia's documentation and clients; espeak-ng's own names are taken as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..speech import SpeechForm, at_speed, voice_of
from ..synthesiser import Voice
from .base import RequestFailed

__all__ = ["error_fields", "file_form", "raw_form", "voice_for"]

_MODELS = {
    "sonic",
    "sonic-2",
    "sonic-3",
    "sonic-3.5",
    "sonic-latest",
    "sonic-lite",
    "sonic-preview",
    "sonic-turbo",
}
_VOICES = (
    "f786b574-daa5-4673-aa0c-cbe3e8534c02",  # LiveKit's default
    "6ccbfb76-1fc6-48f7-b71d-91ac6298247b",  # the SDK's
    "a0e99841-438c-4a64-b679-ae501e7d6091",  # those of the documentation
    "694f9389-aac1-45b6-b726-9d9369183238",
    "794f9389-aac1-45b6-b726-9d9369183238",
    "bf0a246a-8642-498a-9950-80c35e9276b5",
)
_RATES = (8000, 16000, 22050, 24000, 44100, 48000)
_RAW = {"pcm_s16le": "pcm", "pcm_f32le": "f32", "pcm_mulaw": "mulaw", "pcm_alaw": "alaw"}
_WAV = {"pcm_s16le": "wav", "pcm_mulaw": "wav-mulaw", "pcm_alaw": "wav-alaw"}
_MP3_BIT_RATES = (32000, 64000, 96000, 128000, 192000)
_SPEEDS = {"slow": 0.8, "normal": 1.0, "fast": 1.2}
_SPEED_BOUNDS = (0.6, 1.5)
_TITLES = {
    400: "Invalid request",
    401: "Unauthorized",
    404: "Not found",
    408: "Timeout",
    413: "Too long",
    429: "Too many concurrent requests",
    500: "Internal server error",
}
_CODES = {401: "unauthorized", 429: "concurrency_limited", 500: "internal_error"}


def voice_for(request: Mapping[str, Any]) -> Voice:
    """The voice of a request, in its language and at its speed.

    Raises:
        RequestFailed: there is no such model, voice or speed.
    """
    model, voice = request.get("model_id"), request.get("voice")
    if not isinstance(model, str) or not {model, model.rpartition("-20")[0]} & _MODELS:
        raise RequestFailed(400, "The model is not valid, make sure it is a valid model ID.", "model_not_found")
    voice_id = voice.get("id") if isinstance(voice, dict) else voice
    if not isinstance(voice_id, str):
        raise RequestFailed(400, 'voice must be {"mode": "id", "id": …}', "invalid_voice")
    speed = _speed(request)
    language = request.get("language")
    if voice_id in _VOICES:
        return voice_of(_VOICES.index(voice_id), language if isinstance(language, str) else None, speed)
    if "+" in voice_id:
        return at_speed(Voice(voice_id), speed)
    raise RequestFailed(404, f"There is no voice {voice_id}.", "voice_not_found")


def raw_form(wanted: Any) -> SpeechForm:
    """The form of audio over the WebSocket, which is always raw. Raises `RequestFailed`."""
    if not isinstance(wanted, dict) or wanted.get("container") != "raw" or wanted.get("encoding") not in _RAW:
        raise _bad_format(f"container raw and encoding {', '.join(_RAW)}")
    return SpeechForm(_RAW[wanted["encoding"]], _rate(wanted))


def file_form(wanted: Any) -> SpeechForm:
    """The form of audio in the body of an answer. Raises `RequestFailed`."""
    container = wanted.get("container") if isinstance(wanted, dict) else None
    if container == "wav":
        if wanted.get("encoding") not in _WAV:
            raise _bad_format(f"for container wav this server makes {', '.join(_WAV)}")
        return SpeechForm(_WAV[wanted["encoding"]], _rate(wanted))
    if container == "mp3":
        if wanted.get("bit_rate") not in _MP3_BIT_RATES:
            raise _bad_format(f"bit_rate {', '.join(map(str, _MP3_BIT_RATES))}")
        return SpeechForm("mp3", _rate(wanted), wanted["bit_rate"])
    return raw_form(wanted)


def error_fields(failure: RequestFailed) -> tuple[int, dict[str, Any]]:
    """The status of a failure, and ``error_code``, ``title`` and ``message`` of its object."""
    status = 429 if failure.status == 503 else failure.status
    return status, {
        "error_code": _CODES.get(status, failure.code),
        "title": _TITLES.get(status, "Error"),
        "message": failure.message,
    }


def _speed(request: Mapping[str, Any]) -> float:
    config = request.get("generation_config")
    speed = config.get("speed") if isinstance(config, dict) else None
    if speed is None:
        speed = _SPEEDS.get(str(request.get("speed") or "normal"))
    low, high = _SPEED_BOUNDS
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not low <= speed <= high:
        raise RequestFailed(400, f"speed must be between {low} and {high}", "invalid_speed")
    return speed


def _rate(wanted: Mapping[str, Any]) -> int:
    rate = wanted.get("sample_rate")
    if rate not in _RATES:
        raise _bad_format(f"sample_rate {', '.join(map(str, _RATES))}")
    return int(rate)


def _bad_format(known: str) -> RequestFailed:
    return RequestFailed(400, f"output_format is not valid: {known}", "invalid_output_format")
