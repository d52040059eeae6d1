"""LiveKit's own plugins behind the same configurations as everything else.

``provider="livekit:NAME"`` is any plugin that is installed (:mod:`~.plugins` says what a name may be);
``"openai"`` and ``"azure"`` are the same plugins under shorter names. The fields of a configuration go to the
parameters that plugins have for them, everything in ``metadata`` to the parameter of that name
(:mod:`~.arguments`). A plugin is imported when it is asked for, not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..base import ConfigurationError, LLMConfig, ProviderConfig, STTConfig, TTSConfig
from ..redaction import redact
from .arguments import NAMES, arguments_for, parameter_names
from .plugins import PREFIX, find_constructor, has_constructor, installed_plugins, is_plugin_name

if TYPE_CHECKING:
    from livekit.agents import llm, stt, tts

__all__ = [
    "PREFIX",
    "AzureLLM",
    "AzureSTT",
    "AzureTTS",
    "OpenAILLM",
    "OpenAISTT",
    "OpenAITTS",
    "build_native",
    "has_constructor",
    "installed_plugins",
    "is_plugin_name",
    "parameter_names",
]

_KINDS: Mapping[type[ProviderConfig], str] = {STTConfig: "STT", LLMConfig: "LLM", TTSConfig: "TTS"}

_ELSEWHERE = {("azure", "LLM"): "openai.LLM.with_azure"}
"""Azure's language models are OpenAI's, under other URLs: LiveKit serves them from its OpenAI plugin."""

_DETECTING = ("livekit.plugins.openai.STT", "livekit.plugins.groq.STT")
"""They have a language by default; another argument than an empty one has it detected."""

_LONGEST = 5000
"""Characters of an error: it may list dozens of parameters."""


def build_native(provider: str, config: ProviderConfig) -> Any:
    """LiveKit's own plugin for *provider*, made from *config*.

    Args:
        provider: ``"openai"``, ``"azure"``, or ``"livekit:"`` and the name of an installed plugin.
        config: the kind says what is built: an STT, an LLM or a TTS. ``metadata`` may hold any other parameter of
            the plugin's constructor, such as ``base_url``. A key that is not given is the plugin's to find in the
            environment (``OPENAI_API_KEY``, ``AZURE_SPEECH_KEY`` …).

    Raises:
        ConfigurationError: the plugin is not installed, builds no such thing, does not know a setting, or refuses
            one.
    """
    config = config.resolved()
    kind = next(kind for type_, kind in _KINDS.items() if isinstance(config, type_))
    path = (
        provider.strip()[len(PREFIX) :] if is_plugin_name(provider) else _ELSEWHERE.get((provider, kind), provider)
    )
    name, constructor = find_constructor(path, kind)
    try:
        arguments = arguments_for(config, constructor, name=name)
    except ConfigurationError as error:
        error.args = (redact(str(error), config.secrets(), limit=_LONGEST),)
        raise
    if name in _DETECTING and "language" not in arguments and getattr(config, "language", None) is None:
        arguments.setdefault("detect_language", True)
    try:
        return constructor(**arguments)
    except Exception as error:
        # Plugins refuse with errors of many kinds; chained, one might print the arguments it was called with.
        reason = redact(str(error) or type(error).__name__, config.secrets())
        remedy = _about_language(config, arguments, reason)
        raise ConfigurationError(f"{name} does not accept this configuration: {reason}{remedy}") from None


def _about_language(config: ProviderConfig, arguments: Mapping[str, Any], reason: str) -> str:
    """What to do where a plugin refuses for its language, which may be the ``en-US`` that nobody chose."""
    language = getattr(config, "language", None)
    parameter = next((name for name in NAMES["language"] if name in arguments and name in reason), None)
    if language is None or parameter is None:
        return ""
    return f" language={language!r} went to {parameter}: language=None leaves it out"


def OpenAISTT(
    *, language: str | None = "en-US", model: str | None = None, api_key: str | None = None, **settings: Any
) -> stt.STT[Any]:
    """LiveKit's ``openai.STT``. *settings* are its other parameters; errors are those of :func:`build_native`."""
    built: stt.STT[Any] = build_native("openai", STTConfig("openai", language, model, api_key, settings))
    return built


def OpenAILLM(*, model: str | None = None, api_key: str | None = None, **settings: Any) -> llm.LLM[Any]:
    """LiveKit's ``openai.LLM``. *settings* are its other parameters; errors are those of :func:`build_native`."""
    built: llm.LLM[Any] = build_native("openai", LLMConfig("openai", model, api_key, settings))
    return built


def OpenAITTS(
    *, voice: str | None = None, model: str | None = None, api_key: str | None = None, **settings: Any
) -> tts.TTS[Any]:
    """LiveKit's ``openai.TTS``. *settings* are its other parameters; errors are those of :func:`build_native`."""
    built: tts.TTS[Any] = build_native("openai", TTSConfig("openai", voice, model, api_key, metadata=settings))
    return built


def AzureSTT(*, language: str | None = "en-US", api_key: str | None = None, **settings: Any) -> stt.STT[Any]:
    """LiveKit's ``azure.STT``, such as ``AzureSTT(api_key=…, speech_region="westeurope")``.

    *settings* are its other parameters; errors are those of :func:`build_native`.
    """
    built: stt.STT[Any] = build_native("azure", STTConfig("azure", language, None, api_key, settings))
    return built


def AzureLLM(*, model: str | None = None, api_key: str | None = None, **settings: Any) -> llm.LLM[Any]:
    """LiveKit's ``openai.LLM.with_azure``, such as ``AzureLLM(azure_endpoint=…, api_version=…)``.

    *settings* are its other parameters; errors are those of :func:`build_native`.
    """
    built: llm.LLM[Any] = build_native("azure", LLMConfig("azure", model, api_key, settings))
    return built


def AzureTTS(
    *, voice: str | None = None, api_key: str | None = None, language: str | None = None, **settings: Any
) -> tts.TTS[Any]:
    """LiveKit's ``azure.TTS``, such as ``AzureTTS(api_key=…, speech_region="westeurope")``.

    *settings* are its other parameters; errors are those of :func:`build_native`.
    """
    built: tts.TTS[Any] = build_native("azure", TTSConfig("azure", voice, None, api_key, language, settings))
    return built
