"""From a configuration to an adapter: for your own endpoint, and for the vendors Voxport speaks to itself.

``metadata`` holds the parameters of the adapter that is built, under their own names: ``endpoint_url`` or
``ws_url``, ``headers``, ``sample_rate``, ``vendor``, ``options``, ``on_failure``, ``request_timeout`` …
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

from .adapters import CustomHTTPLLMAdapter, CustomHTTPSTTAdapter, CustomWebSocketSTTAdapter, STTAdapter
from .base import (
    ConfigurationError,
    LLMConfig,
    NotBuiltYetError,
    ProviderConfig,
    STTConfig,
    TTSConfig,
    check_metadata,
)
from .native import build_native, parameter_names
from .vendors import Vendor, find_vendor

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
]

_Adapter = TypeVar("_Adapter", bound=STTAdapter)

_NUMBERS: Mapping[str, type[int] | type[float]] = {
    "sample_rate": int,
    "max_response_bytes": int,
    "request_timeout": float,
    "connect_timeout": float,
    "read_timeout": float,
    "replay_seconds": float,
}
"""Settings that are numbers, which ``${env:NAME}`` can only give as text."""


_REGIONS = ("region", "speech_region")
"""What vendors call the place of their service, which is part of its URL."""

_OWN_SETTINGS = ({*parameter_names(CustomHTTPSTTAdapter), *parameter_names(CustomWebSocketSTTAdapter)}) - {
    "vendor"
}


class CustomProviderFactory:
    """Builds what ``provider=CUSTOM_HTTP`` and ``CUSTOM_WS`` stand for."""

    @staticmethod
    def create_http_stt(config: STTConfig) -> CustomHTTPSTTAdapter:
        """Speech recognition over HTTP; ``metadata["endpoint_url"]`` says where.

        Raises:
            ConfigurationError: a setting is missing, unknown or cannot work; the message says which.
        """
        return _build(CustomHTTPSTTAdapter, "endpoint_url", config)

    @staticmethod
    def create_websocket_stt(config: STTConfig) -> CustomWebSocketSTTAdapter:
        """Streaming speech recognition; ``metadata["ws_url"]`` says where.

        Raises:
            ConfigurationError: a setting is missing, unknown or cannot work; the message says which.
        """
        return _build(CustomWebSocketSTTAdapter, "ws_url", config)

    @staticmethod
    def create_http_llm(config: LLMConfig) -> CustomHTTPLLMAdapter:
        """A language model over HTTP; ``metadata["endpoint_url"]`` says where.

        Raises:
            ConfigurationError: a setting is missing, unknown or cannot work; the message says which.
        """
        return _build_llm(config)

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
    def create_http_tts(config: TTSConfig) -> NoReturn:
        """Raises NotBuiltYetError, which names the alternative."""
        raise _not_built_yet("HTTP voice")

    @staticmethod
    def create_websocket_tts(config: TTSConfig) -> NoReturn:
        """Raises NotBuiltYetError, which names the alternative."""
        raise _not_built_yet("WebSocket voice")


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
    """Deepgram, streaming and batch."""

    vendor = "deepgram"


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
    :func:`create_vendor_stt` takes; that is for speech recognition.
    """

    provider: ClassVar[str]

    @classmethod
    def create_stt(cls, config: STTConfig) -> stt.STT[Any]:
        """LiveKit's plugin, or with ``metadata={"mode": "stream"}`` or ``"batch"`` Voxport's own protocol.

        Raises:
            ConfigurationError: the plugin is not installed, or a setting cannot work.
        """
        own = config.metadata.get("mode") is not None
        try:
            return create_vendor_stt(cls.provider, config) if own else cls._native(config)
        except ConfigurationError as error:
            setting = (error.key or "").removeprefix("metadata.")
            if "is not a setting of" not in str(error):
                raise
            if own:
                rule = "With a mode it is Voxport's own protocol; LiveKit's plugin is what it is without one"
            elif setting in _OWN_SETTINGS:
                rule = "It is one of Voxport's own protocol, which metadata['mode'] = 'stream' or 'batch' asks for"
            else:
                raise
            error.args = (f"{error}. {rule}",)
            raise

    @classmethod
    def create_llm(cls, config: LLMConfig) -> llm.LLM[Any]:
        """LiveKit's plugin.

        Raises:
            ConfigurationError: the plugin is not installed, or a setting cannot work.
        """
        native: llm.LLM[Any] = cls._native(config)
        return native

    @classmethod
    def create_tts(cls, config: TTSConfig) -> tts.TTS[Any]:
        """LiveKit's plugin.

        Raises:
            ConfigurationError: the plugin is not installed, or a setting cannot work.
        """
        native: tts.TTS[Any] = cls._native(config)
        return native

    @classmethod
    def _native(cls, config: ProviderConfig) -> Any:
        metadata = dict(config.metadata)
        if metadata.pop("mode", None) is not None:
            raise ConfigurationError(
                "metadata['mode'] is for speech recognition: leave it out, "
                f"this is LiveKit's {cls.provider} plugin",
                key="metadata.mode",
            )
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


def create_vendor_stt(vendor: str, config: STTConfig) -> STTAdapter:
    """Speech recognition by a vendor that Voxport knows.

    Args:
        vendor: its name.
        config: ``metadata["mode"]`` may be ``"stream"`` or ``"batch"``; without it the vendor streams if it can.
            ``ws_url`` or ``endpoint_url`` say where, unless it is the vendor's usual place.

    Raises:
        ConfigurationError: there is no such vendor, it lacks that mode, or a setting cannot work.
    """
    config = config.resolved()
    found = find_vendor(vendor)
    if _mode(found, config) == "stream":
        return _build(CustomWebSocketSTTAdapter, "ws_url", config, found, found.streaming_url)
    return _build(CustomHTTPSTTAdapter, "endpoint_url", config, found, found.batch_url)


def _mode(vendor: Vendor, config: STTConfig) -> str:
    protocols = {"stream": vendor.streaming, "batch": vendor.batch}
    offered = [mode for mode, protocol in protocols.items() if protocol is not None]
    if not offered:
        raise ConfigurationError(
            f"{vendor.title} offers no speech recognition: use another provider", key="provider"
        )
    mode = config.metadata.get("mode")
    wrong = "mode" if mode == "stream" else "ws_url" if mode is None and "ws_url" in config.metadata else None
    if wrong and "stream" not in offered:
        raise ConfigurationError(
            f"{vendor.title} has no streaming recognition here: {vendor.instead_of_streaming}. "
            f"Without metadata[{wrong!r}] it recognises whole utterances",
            key=f"metadata.{wrong}",
        )
    if mode is None:
        wanted = "batch" if "endpoint_url" in config.metadata else "stream"
        return wanted if wanted in offered else offered[0]
    if mode not in offered:
        raise ConfigurationError(
            f"metadata['mode'] must be one of {', '.join(map(repr, offered))} for {vendor.title}, not {mode!r}",
            key="metadata.mode",
        )
    return str(mode)


def _build(
    adapter: type[_Adapter], url_name: str, config: STTConfig, vendor: Vendor | None = None, url: str | None = None
) -> _Adapter:
    """The *adapter* that *config* describes.

    Args:
        url_name: the adapter's first parameter, which is the place of the service.
        vendor: whose service it is; otherwise ``metadata`` or the URL says so.
        url: where *vendor* is, unless ``metadata`` says otherwise.
    """
    config = _with_region(config.resolved(), vendor, config.metadata.get(url_name))
    known = {*parameter_names(adapter)} - {"language", "model"}
    if vendor is not None:
        _check_no_option_is_a_setting(config, vendor, known)
    check_metadata(
        config,
        (known - {"vendor"}) | {"mode"} if vendor else known,
        of=vendor.title if vendor else adapter.__name__,
    )
    settings = {name: _typed(name, value) for name, value in config.metadata.items() if value is not None}
    settings.pop("api_key", None)
    settings.pop("mode", None)
    if vendor is not None:
        settings["vendor"] = vendor
    elif url_name not in settings and settings.get("vendor", "auto") != "auto":
        named = find_vendor(settings["vendor"])
        url = named.streaming_url if url_name == "ws_url" else named.batch_url
    url = settings.pop(url_name, url)
    if not url:
        raise ConfigurationError(
            f"metadata[{url_name!r}] is missing: give the URL of the service, "
            f'like "{"wss" if url_name == "ws_url" else "https"}://host/path"',
            key="metadata",
        )
    construct: Callable[..., _Adapter] = adapter
    try:
        return construct(url, api_key=config.key, language=config.language, model=config.model, **settings)
    except ConfigurationError as error:
        name = str(error).partition(" ")[0]  # adapters begin with the setting they complain about
        if error.key is None and name in config.metadata:
            error.key = f"metadata.{name}"
        raise


def _build_llm(config: LLMConfig) -> CustomHTTPLLMAdapter:
    """The language model that *config* describes."""
    config = config.resolved()
    check_metadata(config, {*parameter_names(CustomHTTPLLMAdapter)} - {"model"}, of=CustomHTTPLLMAdapter.__name__)
    settings = {name: _typed(name, value) for name, value in config.metadata.items() if value is not None}
    settings.pop("api_key", None)
    url = settings.pop("endpoint_url", None)
    if not url:
        raise ConfigurationError(
            "metadata['endpoint_url'] is missing: give the URL of the service, like \"https://host/v1\"",
            key="metadata",
        )
    try:
        return CustomHTTPLLMAdapter(url, api_key=config.key, model=config.model, **settings)
    except ConfigurationError as error:
        name = str(error).partition(" ")[0]  # adapters begin with the setting they complain about
        if error.key is None and name in config.metadata:
            error.key = f"metadata.{name}"
        raise


def _with_region(config: STTConfig, vendor: Vendor | None, url: Any) -> STTConfig:
    """*config* with a region that stands in ``metadata`` among the options, if the vendor has such an option."""
    given = {name: config.metadata[name] for name in _REGIONS if config.metadata.get(name) is not None}
    if not given:
        return config
    if vendor is None:
        vendor = find_vendor(config.metadata.get("vendor", "auto"), url=url if isinstance(url, str) else "")
    options = config.metadata.get("options") or {}
    if (
        vendor.profile is None
        or not isinstance(options, Mapping)
        or not given.keys() <= vendor.profile.options.keys()
    ):
        return config  # which is then refused for it
    rest = {name: value for name, value in config.metadata.items() if name not in given}
    return replace(config, metadata={**rest, "options": {**given, **options}})


def _check_no_option_is_a_setting(config: STTConfig, vendor: Vendor, known: Collection[str]) -> None:
    for name in config.metadata:
        if name not in {*known, "mode"} and vendor.profile is not None and name in vendor.profile.options:
            raise ConfigurationError(
                f"metadata[{name!r}] is an option of {vendor.title}: put it under metadata['options']",
                key=f"metadata.{name}",
            )


def _typed(name: str, value: Any) -> Any:
    """*value* as the adapter wants it.

    Raises:
        ConfigurationError: it is of another type.
    """
    key = f"metadata.{name}"
    if name in ("headers", "options") and not isinstance(value, Mapping):
        raise ConfigurationError(f"metadata[{name!r}] must be a mapping, not {type(value).__name__}", key=key)
    number = _NUMBERS.get(name)
    if number is None:
        return value
    if isinstance(value, str):
        try:
            return number(value)
        except ValueError:
            pass
    if isinstance(value, bool) or not isinstance(value, (int, number)):
        kind = "a whole number" if number is int else "a number"
        raise ConfigurationError(f"metadata[{name!r}] must be {kind}, not {value!r}", key=key)
    return value


def _not_built_yet(what: str) -> NotBuiltYetError:
    return NotBuiltYetError(
        f"Voxport has no adapter for a custom {what} yet. If the service speaks OpenAI's API, use "
        "provider='openai' with metadata={'base_url': 'https://host/v1'}; otherwise give AgentSession any LiveKit "
        "plugin as it is",
        key="provider",
    )
