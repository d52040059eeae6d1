"""Google Cloud Speech-to-Text over REST: ``recognize`` of v1 and v2.

Fields and numbers of enumerations are those of google-cloud-speech 2.41.0, whose REST transport sends numbers.
"""

from __future__ import annotations

import base64
import binascii
import math
import secrets
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from ..audio import BadAudio
from ..recogniser import Transcript, Word
from .base import Handler, RequestFailed
from .google_base import GoogleDialect, checked, duration, json_object

__all__ = ["LONGEST_SECONDS", "GoogleSpeechV1", "GoogleSpeechV2"]

LONGEST_SECONDS = 60.0
"""Of audio in one request: https://cloud.google.com/speech-to-text/quotas"""

_ADAPTATION = {"phraseSets": list, "customClasses": list, "phraseSetReferences": list, "abnfGrammar": dict}
_V1_CONFIG = {
    "encoding": (str, int),
    "sampleRateHertz": int,
    "audioChannelCount": int,
    "enableSeparateRecognitionPerChannel": bool,
    "languageCode": str,
    "alternativeLanguageCodes": list,
    "maxAlternatives": int,
    "profanityFilter": bool,
    "adaptation": _ADAPTATION,
    "transcriptNormalization": dict,
    "speechContexts": list,
    "enableWordTimeOffsets": bool,
    "enableWordConfidence": bool,
    "enableAutomaticPunctuation": bool,
    "enableSpokenPunctuation": bool,
    "enableSpokenEmojis": bool,
    "diarizationConfig": {
        "enableSpeakerDiarization": bool,
        "minSpeakerCount": int,
        "maxSpeakerCount": int,
    },
    "metadata": dict,
    "model": str,
    "useEnhanced": bool,
}
_V2_CONFIG = {
    "autoDecodingConfig": {},
    "explicitDecodingConfig": {"encoding": (str, int), "sampleRateHertz": int, "audioChannelCount": int},
    "model": str,
    "languageCodes": list,
    "features": {
        "profanityFilter": bool,
        "enableWordTimeOffsets": bool,
        "enableWordConfidence": bool,
        "enableAutomaticPunctuation": bool,
        "enableSpokenPunctuation": bool,
        "enableSpokenEmojis": bool,
        "multiChannelMode": (str, int),
        "diarizationConfig": {"minSpeakerCount": int, "maxSpeakerCount": int},
        "maxAlternatives": int,
    },
    "adaptation": {"phraseSets": list, "customClasses": list},
    "transcriptNormalization": dict,
    "translationConfig": dict,
    "denoiserConfig": dict,
}
_FILES = ("FLAC", "MP3", "OGG_OPUS", "WEBM_OPUS", 2, 6, 8, 9)
_V1_MODELS = ("default", "latest_long", "latest_short", "command_and_search", "phone_call", "video", "telephony")
_V2_MODELS = ("long", "short", "telephony", "chirp", "chirp_2", "chirp_3", "latest_long", "latest_short")


class GoogleSpeechV1(GoogleDialect):
    """``POST /v1/speech:recognize``."""

    name = "google-speech-v1"

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [("POST", "/v1/speech:recognize", self._recognise)]

    async def _recognise(self, request: web.Request) -> web.StreamResponse:
        body = checked(await json_object(request), {"config": dict, "audio": dict, "name": str}, "request")
        config = self.checked_config(body.get("config", {}))
        audio = checked(body.get("audio", {}), {"content": str, "uri": str}, "audio")
        transcript = await self.hear(config, _content(audio.get("content")))
        _check_length(transcript)
        return web.json_response(self.reply(config, transcript))

    @staticmethod
    def checked_config(config: Any) -> dict[str, Any]:
        """*config* as a RecognitionConfig. Raises `RequestFailed`."""
        return checked(config, _V1_CONFIG, "config")

    async def hear(self, config: dict[str, Any], data: bytes) -> Transcript:
        """What *data* says, read as *config* tells."""
        language = config.get("languageCode")
        if not language:
            raise RequestFailed(400, "Invalid recognition 'config': bad language code")
        self.services.check_model(config.get("model"), _V1_MODELS)
        encoding = config.get("encoding", 0)
        if data[:4] == b"RIFF" or encoding in _FILES:
            return await self.services.transcribe_file(data, language)
        if encoding not in ("LINEAR16", 1):
            raise RequestFailed(400, "Invalid recognition 'config': bad encoding..")
        rate = config.get("sampleRateHertz", 0)
        if not 8000 <= rate <= 48000:
            raise RequestFailed(400, "Invalid recognition 'config': bad sample rate hertz.")
        return await _pcm(self, data, rate, config.get("audioChannelCount", 1), language)

    def reply(self, config: dict[str, Any], transcript: Transcript) -> dict[str, Any]:
        """*transcript* as a RecognizeResponse; empty fields are left out, as protobuf does."""
        results: list[dict[str, Any]] = []
        speakers = config.get("diarizationConfig", {}).get("enableSpeakerDiarization")
        language = str(config["languageCode"]).lower()
        timed = speakers or config.get("enableWordTimeOffsets") or config.get("enableWordConfidence")
        for number, segment in enumerate(transcript.segments):
            alternative: dict[str, Any] = {
                "transcript": f" {segment.text}" if number else segment.text,
                "confidence": segment.confidence,
            }
            if timed:
                alternative["words"] = [self._word(config, word) for word in segment.words]
            end = duration(segment.end)
            results.append({"alternatives": [alternative], "resultEndTime": end, "languageCode": language})
        if speakers and results:  # all words once more, each with its speaker
            words = [{**self._word(config, word), "speakerTag": 1} for word in transcript.words]
            results.append({**results[-1], "alternatives": [{"words": words}]})
        billed = duration(math.ceil(transcript.duration))
        reply = {"totalBilledTime": billed, "requestId": str(secrets.randbits(63))}
        return {"results": results, **reply} if results else reply

    @staticmethod
    def _word(config: dict[str, Any], word: Word) -> dict[str, Any]:
        shown: dict[str, Any] = {"word": word.text}
        if config.get("enableWordTimeOffsets") or "diarizationConfig" in config:
            shown |= {"startTime": duration(word.start), "endTime": duration(word.end)}
        if config.get("enableWordConfidence"):
            shown["confidence"] = word.confidence
        return shown


class GoogleSpeechV2(GoogleDialect):
    """``POST /v2/projects/PROJECT/locations/LOCATION/recognizers/RECOGNIZER:recognize``."""

    name = "google-speech-v2"

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        path = r"/v2/projects/{project}/locations/{location}/recognizers/{recognizer:[a-z0-9_-]+}:recognize"
        return [("POST", path, self._recognise)]

    async def _recognise(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["recognizer"] != "_":
            raise RequestFailed(404, f"Unable to find Recognizer: {request.path.rpartition(':')[0][4:]}")
        known = {"recognizer": str, "config": dict, "configMask": str, "content": str, "uri": str}
        body = checked(await json_object(request), known, "request")
        config = self.checked_config(body.get("config", {}))
        transcript = await self.hear(config, _content(body.get("content")))
        _check_length(transcript)
        return web.json_response(self.reply(config, transcript))

    @staticmethod
    def checked_config(config: Any) -> dict[str, Any]:
        """*config* as a RecognitionConfig. Raises `RequestFailed`."""
        return checked(config, _V2_CONFIG, "config")

    async def hear(self, config: dict[str, Any], data: bytes) -> Transcript:
        """What *data* says, read as *config* tells."""
        languages = config.get("languageCodes") or []
        if not languages or not all(isinstance(name, str) for name in languages):
            raise RequestFailed(400, "Invalid value at 'config.language_codes': at least one must be specified.")
        if not config.get("model"):
            raise RequestFailed(400, "Invalid value at 'config.model': a model must be specified.")
        self.services.check_model(config["model"], _V2_MODELS)
        known = self.services.recogniser.languages
        spoken = [name for name in languages if known is None or name.partition("-")[0] in known]
        language = (spoken or languages)[0]
        explicit = config.get("explicitDecodingConfig")
        if explicit is None:
            if "autoDecodingConfig" not in config:
                raise RequestFailed(400, "Invalid value at 'config.decoding_config': one must be specified.")
            return await self.services.transcribe_file(data, language)
        if explicit.get("encoding") not in ("LINEAR16", 1):
            raise RequestFailed(400, "Invalid value at 'config.explicit_decoding_config.encoding'.")
        rate = explicit.get("sampleRateHertz", 0)
        if not 8000 <= rate <= 48000:
            raise RequestFailed(400, "Invalid value at 'config.explicit_decoding_config.sample_rate_hertz'.")
        return await _pcm(self, data, rate, explicit.get("audioChannelCount", 1), language)

    def reply(self, config: dict[str, Any], transcript: Transcript) -> dict[str, Any]:
        """*transcript* as a RecognizeResponse."""
        features = config.get("features", {})
        language = config["languageCodes"][0]
        results = []
        for number, segment in enumerate(transcript.segments):
            alternative: dict[str, Any] = {
                "transcript": f" {segment.text}" if number else segment.text,
                "confidence": segment.confidence,
            }
            if features.keys() & {"enableWordTimeOffsets", "enableWordConfidence", "diarizationConfig"}:
                alternative["words"] = [self._word(features, word) for word in segment.words]
            end = duration(segment.end)
            results.append({"alternatives": [alternative], "resultEndOffset": end, "languageCode": language})
        billed = duration(math.ceil(transcript.duration))
        metadata = {"requestId": secrets.token_hex(12), "totalBilledDuration": billed}
        return {"results": results, "metadata": metadata} if results else {"metadata": metadata}

    @staticmethod
    def _word(features: dict[str, Any], word: Word) -> dict[str, Any]:
        shown: dict[str, Any] = {"word": word.text}
        if features.get("enableWordTimeOffsets"):
            shown |= {"startOffset": duration(word.start), "endOffset": duration(word.end)}
        if features.get("enableWordConfidence"):
            shown["confidence"] = word.confidence
        if "diarizationConfig" in features:
            shown["speakerLabel"] = "1"
        return shown


async def _pcm(dialect: GoogleDialect, data: bytes, rate: int, channels: int, language: str) -> Transcript:
    if len(data) % 2:
        raise BadAudio("the audio ends in the middle of a sample")
    return await dialect.services.transcribe_pcm(data, rate, channels, language)


def _content(encoded: str | None) -> bytes:
    if not encoded:
        raise RequestFailed(400, "RecognitionAudio not set.")
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise RequestFailed(400, "Invalid value at 'audio.content': Base64 decoding failed") from None


def _check_length(transcript: Transcript) -> None:
    if transcript.duration > LONGEST_SECONDS:
        raise RequestFailed(
            400,
            "Sync input too long. For audio longer than 1 min use LongRunningRecognize with a 'uri' parameter.",
        )
