"""What Azure is told at the beginning of every turn: ``speech.context``.

Names from ``SpeechContext.ts`` and the files under ``ServiceMessages`` of the public JavaScript SDK, and from what
azure-cognitiveservices-speech 1.53.0 sends.
"""

from __future__ import annotations

import uuid
from typing import Any

from ..protocol import Settings

__all__ = ["speech_context"]

_LANGUAGE_ID_MODES = {"Continuous": "DetectContinuous", "AtStart": "DetectAtAudioStart"}


def speech_context(settings: Settings) -> dict[str, Any]:
    """The context for *settings*: the form of results, what to listen for, how to cut phrases."""
    options = settings.options
    output: dict[str, Any] = {
        "format": "Detailed",
        "detailed": {"options": ["WordTimings", "WordConfidence"]},
    }
    if not settings.interim_results:
        output["interimResults"] = {"resultType": "None"}
    context: dict[str, Any] = {"phraseOutput": output, "audio": {"streams": {"1": None}}}
    detection = _phrase_detection(settings)
    if detection:
        context["phraseDetection"] = detection
    if settings.keyterms:
        items = [{"Text": term} for term in settings.keyterms]
        context["dgi"] = {"Groups": [{"Type": "Generic", "Items": items}]}
        if options.get("phrase_list_weight") is not None:
            context["dgi"]["bias"] = options["phrase_list_weight"]
    if options.get("languages"):
        mode = _LANGUAGE_ID_MODES[options.get("language_id_mode") or "Continuous"]
        context["languageId"] = {
            "languages": list(options["languages"]),
            "mode": mode,
            "Priority": "PrioritizeLatency",
            "onSuccess": {"action": "Recognize"},
            "onUnknown": {"action": "None"},
        }
        output.setdefault("interimResults", {"resultType": "Auto"})
        output["phraseResults"] = {"resultType": "Always"}
    return context


def _phrase_detection(settings: Settings) -> dict[str, Any]:
    options = settings.options
    detection: dict[str, Any] = {}
    segmentation: dict[str, Any] = {}
    if options.get("segmentation_silence_timeout_ms") is not None:
        segmentation["segmentationSilenceTimeoutMs"] = options["segmentation_silence_timeout_ms"]
    if options.get("segmentation_maximum_time_ms") is not None:
        segmentation["segmentationForcedTimeoutMs"] = options["segmentation_maximum_time_ms"]
    strategy = options.get("segmentation_strategy")
    if segmentation or strategy:
        mode = "Semantic" if strategy == "Semantic" else "Custom"
        detection |= {"mode": "CONVERSATION", "CONVERSATION": {"segmentation": {"mode": mode, **segmentation}}}
    if options.get("languages"):
        detection |= {"onInterim": {"action": "None"}, "onSuccess": {"action": "None"}}
    if options.get("diarization"):
        detection["mode"] = detection.get("mode", "Conversation")
        detection["speakerDiarization"] = {
            "mode": "Anonymous",
            "audioSessionId": uuid.uuid4().hex,
            "audioOffsetMs": 0,
            "diarizeIntermediates": False,
        }
    return detection
