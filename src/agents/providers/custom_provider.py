"""From a configuration to an adapter: for your own endpoint, and for the vendors Voxport speaks to itself.

``metadata`` holds the parameters of the adapter that is built, under their own names: ``endpoint_url`` or
``ws_url``, ``headers``, ``sample_rate``, ``vendor``, ``options``, ``on_failure``, ``request_timeout`` …
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

from .adapters import (
    CustomHTTPLLMAdapter,
    CustomHTTPSTTAdapter,
    CustomHTTPTTSAdapter,
    CustomWebSocketSTTAdapter,
    CustomWebSocketTTSAdapter,
    STTAdapter,
    TTSAdapter,
)
from .base import (
    ConfigurationError,
    LLMConfig,
    NotBuiltYetError,
    ProviderConfig,
    STTConfig,
    TTSConfig,
)
from .configured import build_adapter, build_llm, create_vendor_stt, create_vendor_tts
from .native import build_native, parameter_names

if TYPE_CHECKING:
    from livekit.agents import llm, stt, tts

__all__ = [
    "AWSProviderFactory",
    "AssemblyAIProviderFactory",
    "AzureProviderFactory",
    "CustomProviderFactory",
    "DeepgramProviderFactory",
    "GoogleCloudProviderFactory",
    "OpenAIProviderFactory",
    "VendorProviderFactory",
    "create_vendor_stt",
    "create_vendor_tts",
]

_Config = TypeVar("_Config", STTConfig, TTSConfig)

_OWN_SETTINGS = frozenset(
    name
    for adapter in (
        CustomHTTPSTTAdapter,
        CustomWebSocketSTTAdapter,
        CustomHTTPTTSAdapter,
        CustomWebSocketTTSAdapter,
    )
    for name in parameter_names(adapter)
    if name != "vendor"
)
"""What ``metadata`` may hold for a protocol of Voxport's own."""


class CustomProviderFactory:
    """Builds what ``provider=CUSTOM_HTTP`` and ``CUSTOM_WS`` stand for."""

    @staticmethod
    def create_http_stt(config: STTConfig) -> CustomHTTPSTTAdapter:
        """Speech recognition over HTTP; ``metadata["endpoint_url"]`` says where.

        Raises:
            ConfigurationError: a setting is missing, unknown or cannot work; the message says which.
        """
        return build_adapter(CustomHTTPSTTAdapter, "batch", config)

    @staticmethod
    def create_websocket_stt(config: STTConfig) -> CustomWebSocketSTTAdapter:
        """Streaming speech recognition; ``metadata["ws_url"]`` says where.

        Raises:
            ConfigurationError: a setting is missing, unknown or cannot work; the message says which.
        """
        return build_adapter(CustomWebSocketSTTAdapter, "streaming", config)

    @staticmethod
    def create_http_llm(config: LLMConfig) -> CustomHTTPLLMAdapter:
        """A language model over HTTP; ``metadata["endpoint_url"]`` says where.

        Raises:
            ConfigurationError: a setting is missing, unknown or cannot work; the message says which.
        """
        return build_llm(config)

    @staticmethod
    def create_websocket_llm(config: LLMConfig) -> NoReturn:
        """Raises NotBuiltYetError, which names the alternative: no protocol is common to language models."""
        raise NotBuiltYetError(
            "there is no common WebSocket protocol for language models: use provider='custom_http' with "
            "metadata={'endpoint_url': …}, or a subclass of CustomHTTPLLMAdapter whose _send_messages talks "
            "over the WebSocket",
            key="provider",
        )

    @staticmethod
    def create_http_tts(config: TTSConfig) -> CustomHTTPTTSAdapter:
        """A voice over HTTP; ``metadata["endpoint_url"]`` says where.

        Raises:
            ConfigurationError: a setting is missing, unknown or cannot work; the message says which.
        """
        return build_adapter(CustomHTTPTTSAdapter, "synthesis", config)

    @staticmethod
    def create_websocket_tts(config: TTSConfig) -> CustomWebSocketTTSAdapter:
        """A voice over a WebSocket; ``metadata["ws_url"]`` says where.

        Raises:
            ConfigurationError: a setting is missing, unknown or cannot work; the message says which.
        """
        return build_adapter(CustomWebSocketTTSAdapter, "streaming_synthesis", config)


class VendorProviderFactory:
    """Speech recognition by a vendor Voxport speaks to itself; a subclass says which.

    Attributes:
        vendor: its name in :mod:`agents.providers.vendors`.
    """

    vendor: ClassVar[str]

    @classmethod
    def create_stt(cls, config: STTConfig) -> STTAdapter:
        """The vendor's streaming recognition, or with ``metadata={"mode": "batch"}`` its batch recognition.

        Raises:
            ConfigurationError: a setting cannot work.
        """
        return create_vendor_stt(cls.vendor, config)


class DeepgramProviderFactory(VendorProviderFactory):
    """Deepgram, streaming and batch, hearing and speaking."""

    vendor = "deepgram"

    @classmethod
    def create_tts(cls, config: TTSConfig) -> TTSAdapter:
        """The vendor's voice over a WebSocket, or with ``metadata={"mode": "batch"}`` over HTTP.

        Raises:
            ConfigurationError: a setting cannot work.
        """
        return create_vendor_tts(cls.vendor, config)


class AssemblyAIProviderFactory(VendorProviderFactory):
    """AssemblyAI, streaming and batch."""

    vendor = "assemblyai"


class GoogleCloudProviderFactory(VendorProviderFactory):
    """Google Cloud Speech-to-Text, batch. It streams by gRPC only: ``provider="livekit:google"`` does."""

    vendor = "google"


class AWSProviderFactory(VendorProviderFactory):
    """Amazon Transcribe, streaming and batch."""

    vendor = "aws"


class NativeProviderFactory:
    """A provider that is there twice: as LiveKit's own plugin, and as a protocol of Voxport's.

    **The rule: it is LiveKit's plugin, unless** ``metadata`` **has a** ``mode``. Without one, ``metadata`` holds
    parameters of the plugin's constructor. With ``"stream"`` or ``"batch"`` it holds what
    :func:`create_vendor_stt` or :func:`create_vendor_tts` takes.
    """

    provider: ClassVar[str]

    @classmethod
    def create_stt(cls, config: STTConfig) -> stt.STT[Any]:
        """LiveKit's plugin, or with ``metadata={"mode": "stream"}`` or ``"batch"`` Voxport's own protocol.

        Raises:
            ConfigurationError: the plugin is not installed, or a setting cannot work.
        """
        built: stt.STT[Any] = cls._either(config, create_vendor_stt)
        return built

    @classmethod
    def create_llm(cls, config: LLMConfig) -> llm.LLM[Any]:
        """LiveKit's plugin.

        Raises:
            ConfigurationError: the plugin is not installed, or a setting cannot work.
        """
        if config.metadata.get("mode") is not None:
            raise ConfigurationError(
                f"metadata['mode'] is for speech: leave it out, this is LiveKit's {cls.provider} plugin",
                key="metadata.mode",
            )
        native: llm.LLM[Any] = cls._plugin(config)
        return native

    @classmethod
    def create_tts(cls, config: TTSConfig) -> tts.TTS[Any]:
        """LiveKit's plugin, or with a ``mode`` Voxport's own protocol, where it has one for speech.

        Raises:
            ConfigurationError: the plugin is not installed, or a setting cannot work.
        """
        built: tts.TTS[Any] = cls._either(config, create_vendor_tts)
        return built

    @classmethod
    def _either(cls, config: _Config, own: Callable[[str, _Config], Any]) -> Any:
        """What the rule says; a setting of the other one is answered with the rule.

        Args:
            own: builds Voxport's own protocol for the provider of a name.
        """
        has_mode = config.metadata.get("mode") is not None
        try:
            return own(cls.provider, config) if has_mode else cls._plugin(config)
        except ConfigurationError as error:
            unknown = "is not a setting of" in str(error)
            if has_mode and (unknown or error.key in ("provider", "metadata.mode")):
                rule = "With a mode it is Voxport's own protocol; LiveKit's plugin is what it is without one"
            elif not has_mode and unknown and (error.key or "").removeprefix("metadata.") in _OWN_SETTINGS:
                rule = "It is one of Voxport's own protocol, which metadata['mode'] = 'stream' or 'batch' asks for"
            else:
                raise
            error.args = (f"{error}. {rule}",)
            raise

    @classmethod
    def _plugin(cls, config: ProviderConfig) -> Any:
        metadata = {name: value for name, value in config.metadata.items() if name != "mode"}
        return build_native(cls.provider, replace(config, metadata=metadata))  # type: ignore[type-var]


class OpenAIProviderFactory(NativeProviderFactory):
    """OpenAI, and with ``metadata={"base_url": …}`` whatever speaks its API.

    LiveKit's plugin, unless ``metadata`` has a ``mode``: see :class:`NativeProviderFactory`.
    """

    provider = "openai"


class AzureProviderFactory(NativeProviderFactory):
    """Azure AI Speech, and Azure OpenAI for language models.

    LiveKit's plugin, unless ``metadata`` has a ``mode``: see :class:`NativeProviderFactory`. Both take the region
    as ``metadata={"speech_region": "westeurope"}`` or from ``AZURE_SPEECH_REGION``.
    """

    provider = "azure"
