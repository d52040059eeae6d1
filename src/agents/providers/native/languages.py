"""The form of language that a plugin's constructor wants: what its signature says of it, and what it does not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, get_args, get_origin

from livekit.agents import LanguageCode

__all__ = ["language_for"]

_WITHOUT_REGION = frozenset(
    {
        # docs.gladia.io/chapters/language/supported-languages; livekit/agents issue 3827
        "livekit.plugins.gladia.STT",
        # docs.speechmatics.com/speech-to-text/languages
        "livekit.plugins.speechmatics.STT",
        # elevenlabs-python 2.78.0, speech_to_text.convert; the plugin takes the region off for streams alone
        "livekit.plugins.elevenlabs.STT",
        # soniox.com/docs/tts/concepts/languages
        "livekit.plugins.soniox.TTS",
    }
)
"""Their services know languages by ISO 639, and the plugins (1.8.9) pass on what they are given. The plugins for
AssemblyAI, Cartesia, Groq, OpenAI and ElevenLabs' voices take the region off themselves; Azure and Google want
it."""

_ENGLISH_ONLY = frozenset(
    {
        ("livekit.plugins.assemblyai.STT", "universal-streaming-english"),
        ("livekit.plugins.deepgram.STTv2", "flux-general-en"),
    }
)
"""Models that take no language, since they have one: the plugin refuses it, or warns."""


def language_for(
    language: str, constructor: str, model: str | None, *, parameter: str, choices: Collection[Any], default: Any
) -> str | None:
    """*language* as *constructor* takes it; ``None`` when it is to be called without.

    Args:
        language: as the configuration has it.
        constructor: its whole name.
        model: what is used, as far as the configuration or the constructor's default tell.
        parameter: that takes the language.
        choices: the types it may have; a ``Literal`` lists languages.
        default: its default. What differs from the plugin's own by a region only, such as the ``en-US`` that every
            configuration has, stays away.
    """
    if language.startswith(f"{default}-"):
        return None
    alone = language.partition("-")[0]
    if alone == "en" and (constructor, model) in _ENGLISH_ONLY:
        return None
    if constructor in _WITHOUT_REGION:
        return LanguageCode(language).language
    listed = {choice for m in choices if get_origin(m) is Literal for choice in get_args(m)}
    return alone if "hint" in parameter or (language not in listed and alone in listed) else language
