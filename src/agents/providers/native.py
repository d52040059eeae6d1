"""LiveKit's own OpenAI and Azure plugins behind the same configurations as everything else.

A plugin is a row in :data:`NATIVE`: what to install, what to call, and which parameter takes which part of the
configuration. Everything else in ``metadata`` goes to the plugin's constructor under its own name. The plugins are
imported when one is built, not before.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from .base import ConfigurationError, LLMConfig, ProviderConfig, STTConfig, TTSConfig, check_metadata
from .redaction import redact

if TYPE_CHECKING:
    from livekit.agents import llm, stt, tts

__all__ = [
    "NATIVE",
    "AzureLLM",
    "AzureSTT",
    "AzureTTS",
    "NativePlugin",
    "OpenAILLM",
    "OpenAISTT",
    "OpenAITTS",
    "build_native",
    "parameter_names",
]


@dataclass(frozen=True)
class NativePlugin:
    """One constructor of a LiveKit plugin.

    Attributes:
        module: what to import.
        constructor: what to call in it.
        extra: Voxport's extra that installs it.
        parameters: fields of the configuration, and the parameters that take them.
        without_language: arguments that stand for "no language given: detect it".
    """

    module: str
    constructor: str
    extra: str
    parameters: Mapping[str, str]
    without_language: Mapping[str, Any] = field(default_factory=dict)


NATIVE: Mapping[tuple[str, type[ProviderConfig]], NativePlugin] = {
    ("openai", STTConfig): NativePlugin(
        "livekit.plugins.openai",
        "STT",
        extra="openai",
        parameters={"language": "language", "model": "model", "api_key": "api_key"},
        without_language={"detect_language": True},
    ),
    ("openai", LLMConfig): NativePlugin(
        "livekit.plugins.openai",
        "LLM",
        extra="openai",
        parameters={"model": "model", "api_key": "api_key"},
    ),
    ("openai", TTSConfig): NativePlugin(
        "livekit.plugins.openai",
        "TTS",
        extra="openai",
        parameters={"voice": "voice", "model": "model", "api_key": "api_key"},
    ),
    ("azure", STTConfig): NativePlugin(
        "livekit.plugins.azure",
        "STT",
        extra="azure",
        parameters={"language": "language", "api_key": "speech_key"},
    ),
    # Azure's language models are OpenAI's, under other URLs: LiveKit serves them from its OpenAI plugin.
    ("azure", LLMConfig): NativePlugin(
        "livekit.plugins.openai",
        "LLM.with_azure",
        extra="openai",
        parameters={"model": "model", "api_key": "api_key"},
    ),
    ("azure", TTSConfig): NativePlugin(
        "livekit.plugins.azure",
        "TTS",
        extra="azure",
        parameters={"voice": "voice", "language": "language", "api_key": "speech_key"},
    ),
}


def build_native(provider: str, config: ProviderConfig) -> Any:
    """LiveKit's own plugin for *provider*, made from *config*.

    Args:
        provider: ``"openai"`` or ``"azure"``.
        config: the kind says what is built: an STT, an LLM or a TTS. ``metadata`` may hold any other parameter of
            the plugin's constructor, such as ``base_url``. A key that is not given is the plugin's to find in the
            environment (``OPENAI_API_KEY``, ``AZURE_SPEECH_KEY`` …).

    Raises:
        ConfigurationError: the plugin is not installed, does not know a setting, or refuses one.
    """
    config = config.resolved()
    plugin = NATIVE[provider, type(config)]
    name = f"{plugin.module}.{plugin.constructor}"
    constructor = attrgetter(plugin.constructor)(_import_plugin(plugin))
    arguments = _arguments(plugin, config, parameter_names(constructor), name)
    try:
        return constructor(**arguments)
    except Exception as error:
        # Plugins refuse with errors of many kinds; chained, one might print the arguments it was called with.
        reason = redact(str(error) or type(error).__name__, config.secrets())
        raise ConfigurationError(f"{name} does not accept this configuration: {reason}") from None


def parameter_names(constructor: Callable[..., Any]) -> list[str]:
    """The parameters that *constructor* takes by name, without private ones."""
    return [
        name
        for name, parameter in inspect.signature(constructor).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and not name.startswith("_")
    ]


def _import_plugin(plugin: NativePlugin) -> Any:
    loaded = sys.modules.get(plugin.module)
    if loaded is not None:
        return loaded
    if threading.current_thread() is not threading.main_thread():
        raise ConfigurationError(
            f"LiveKit plugins register themselves on the main thread: build this provider there, "
            f'or write "import {plugin.module}" at the top of your program'
        )
    install = f'pip install "voxport[{plugin.extra}]"'
    try:
        return importlib.import_module(plugin.module)
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error.name} is not installed: {install}") from error
    except ImportError as error:
        raise ConfigurationError(f"{plugin.module} cannot be imported ({error}): {install}") from error


def _arguments(plugin: NativePlugin, config: ProviderConfig, known: list[str], name: str) -> dict[str, Any]:
    own = {"provider", "metadata", "api_key"}
    given = {f.name: getattr(config, f.name) for f in fields(config) if f.name not in own}  # type: ignore[arg-type]
    taken = set(plugin.parameters.values()) & set(config.metadata) - {"api_key"}
    for setting, parameter in plugin.parameters.items():
        if parameter in taken and (given.get(setting) is not None or (setting == "api_key" and config.key)):
            raise ConfigurationError(
                f"{parameter} is given twice: leave metadata[{parameter!r}] out, or say {setting}=None",
                key=f"metadata.{parameter}",
            )
    check_metadata(config, set(known) - {"api_key"}, of=name)
    arguments = {key: value for key, value in config.metadata.items() if key != "api_key"}
    for setting, value in given.items():
        if value is None:
            continue
        if setting not in plugin.parameters:
            raise ConfigurationError(f"{name} takes no {setting}: leave {setting} out", key=setting)
        arguments[plugin.parameters[setting]] = value
    if config.key is not None:
        arguments[plugin.parameters["api_key"]] = config.key
    if isinstance(config, STTConfig) and config.language is None and "language" not in arguments:
        arguments = {**plugin.without_language, **arguments}
    return arguments


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
