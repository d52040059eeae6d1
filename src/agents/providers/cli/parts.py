"""What the agent of a demo hears, thinks and speaks with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..base import ConfigurationError, LLMConfig, ProviderType, STTConfig, TTSConfig
from ..factory import ProviderFactory
from ..redaction import safe_url
from .service import EMBEDDED_MODEL, HTTP_PATH, VOICE_PATH, VOICE_WS_PATH, WS_PATH, Service

if TYPE_CHECKING:
    from livekit.agents import llm, stt, tts, vad

    from ..local import ServerProcess

__all__ = ["Parts", "all_custom_parts", "usual_parts"]


@dataclass(frozen=True)
class Parts:
    """What AgentSession takes. The *vad* is there where the recogniser does not stream."""

    stt: stt.STT[Any]
    llm: llm.LLM[Any]
    tts: tts.TTS[Any]
    vad: vad.VAD | None

    def described(self) -> Iterator[tuple[str, str, str]]:
        """For each what it does, its class, and what it is at, without credentials."""
        for does, part in (("hears", self.stt), ("thinks", self.llm), ("speaks", self.tts)):
            url = getattr(part, "ws_url", None) or getattr(part, "endpoint_url", None)
            what = part.model if does == "thinks" else part.provider
            yield does, type(part).__name__, f"{what} at {safe_url(url)}" if url else what

    async def aclose(self) -> None:
        """Close them all."""
        for part in (self.stt, self.llm, self.tts):
            await part.aclose()


def usual_parts(service: Service, server: ServerProcess) -> Parts:
    """What the command line names for hearing; LiveKit's OpenAI plugin for the rest, at the embedded server.

    Raises:
        ConfigurationError: something that was given cannot work; the message says what to change.
    """
    hearing = service.build(server, on_failure="degrade")
    thinking, speaking = _from_config(service)
    at_server = {"base_url": f"{server.url}/v1"}
    if thinking is None:
        thinking = ProviderFactory.create_llm(
            LLMConfig("openai", model=EMBEDDED_MODEL, api_key="none", metadata=at_server)
        )
    if speaking is None:
        speaking = ProviderFactory.create_tts(
            TTSConfig(
                "openai",
                model="espeak-ng",
                voice="alloy",
                api_key="none",
                metadata={**at_server, "response_format": "pcm"},
            )
        )
    return _together(hearing, thinking, speaking)


def all_custom_parts(service: Service, server: ServerProcess) -> Parts:
    """Custom adapters for everything: what the command line names, and the embedded server for the rest.

    The voice takes the way the recogniser takes: both by WebSocket, or both by HTTP.

    Raises:
        ConfigurationError: something that was given cannot work, or is LiveKit's own plugin.
    """
    http = service.chosen_mode == "http"
    hearing = (
        _embedded_hearing(service, server) if service.is_embedded else service.build(server, on_failure="degrade")
    )
    thinking, speaking = _from_config(service)
    if thinking is None:
        thinking = ProviderFactory.create_llm(
            LLMConfig(
                ProviderType.CUSTOM_HTTP, model=EMBEDDED_MODEL, metadata={"endpoint_url": f"{server.url}/v1"}
            )
        )
    if speaking is None:
        speaking = ProviderFactory.create_tts(
            TTSConfig(ProviderType.CUSTOM_HTTP, metadata={"endpoint_url": server.url + VOICE_PATH})
            if http
            else TTSConfig(ProviderType.CUSTOM_WS, metadata={"ws_url": server.ws_url + VOICE_WS_PATH})
        )
    for section, part in (("stt", hearing), ("llm", thinking), ("tts", speaking)):
        if type(part).__module__.startswith("livekit."):
            raise ConfigurationError(
                f"--all-custom leaves no room for LiveKit's own {part.label}: give section {section} of "
                f"{service.config} a custom provider, or leave it out"
            )
    return _together(hearing, thinking, speaking)


def _embedded_hearing(service: Service, server: ServerProcess) -> stt.STT[Any]:
    if service.chosen_mode == "ws":
        kind, place = ProviderType.CUSTOM_WS, {"ws_url": server.ws_url + WS_PATH}
    else:
        kind, place = ProviderType.CUSTOM_HTTP, {"endpoint_url": server.url + HTTP_PATH}
    return ProviderFactory.create_stt(
        STTConfig(
            kind,
            api_key=service.api_key,
            language=service.language,
            model=service.model,
            metadata={**place, "vendor": "generic", "options": dict(service.options)},
        )
    )


def _together(hearing: stt.STT[Any], thinking: llm.LLM[Any], speaking: tts.TTS[Any]) -> Parts:
    from livekit.agents import inference

    return Parts(hearing, thinking, speaking, None if hearing.capabilities.streaming else inference.VAD())


def _from_config(service: Service) -> tuple[llm.LLM[Any] | None, tts.TTS[Any] | None]:
    """LLM and TTS of the configuration file, where it has any."""
    if service.config is None:
        return None, None
    from ..config_files import ConfigFile

    file = ConfigFile.read(service.config)
    configs = file.configs()
    thinking = speaking = None
    if configs.llm is not None:
        with file.pointing_at("llm"):
            thinking = ProviderFactory.create_llm(configs.llm)
    if configs.tts is not None:
        with file.pointing_at("tts"):
            speaking = ProviderFactory.create_tts(configs.tts)
    return thinking, speaking
