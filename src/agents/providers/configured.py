"""What a configuration describes, built: the adapter for a service of one's own, or of a vendor Voxport knows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar, Union

from .adapters import (
    CustomHTTPLLMAdapter,
    CustomHTTPSTTAdapter,
    CustomHTTPTTSAdapter,
    CustomWebSocketSTTAdapter,
    CustomWebSocketTTSAdapter,
    STTAdapter,
    TTSAdapter,
)
from .base import ConfigurationError, LLMConfig, ProviderConfig, STTConfig, TTSConfig, check_metadata
from .native import parameter_names
from .vendors import Service, Vendor, find_vendor

__all__ = ["build_adapter", "build_llm", "create_vendor_stt", "create_vendor_tts"]

_Adapter = TypeVar("_Adapter", bound=Union[STTAdapter, TTSAdapter])

_NUMBERS: Mapping[str, type[int] | type[float]] = {
    "sample_rate": int,
    "max_response_bytes": int,
    "request_timeout": float,
    "connect_timeout": float,
    "read_timeout": float,
    "replay_seconds": float,
}
"""Settings that are numbers, which ``${env:NAME}`` can only give as text."""


_ADDRESSES = {
    "ws_url": "a ws_url it is provider='custom_ws'",
    "endpoint_url": "an endpoint_url it is provider='custom_http'",
}

_REGIONS = ("region", "speech_region")
"""What vendors call the place of their service, which is part of its URL."""


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
    if _mode(found, config, "streaming", "batch") == "stream":
        return build_adapter(CustomWebSocketSTTAdapter, "streaming", config, found)
    return build_adapter(CustomHTTPSTTAdapter, "batch", config, found)


def create_vendor_tts(vendor: str, config: TTSConfig) -> TTSAdapter:
    """The voice of a vendor that Voxport knows.

    Args:
        vendor: its name.
        config: ``metadata["mode"]`` may be ``"stream"`` (a WebSocket, text as it is written) or ``"batch"`` (HTTP,
            sentence by sentence); without it the vendor streams if it can. ``ws_url`` or ``endpoint_url`` say
            where, unless it is the vendor's usual place.

    Raises:
        ConfigurationError: there is no such vendor, it lacks that mode, or a setting cannot work.
    """
    config = config.resolved()
    found = find_vendor(vendor)
    if _mode(found, config, "streaming_synthesis", "synthesis") == "stream":
        return build_adapter(CustomWebSocketTTSAdapter, "streaming_synthesis", config, found)
    return build_adapter(CustomHTTPTTSAdapter, "synthesis", config, found)


def _mode(vendor: Vendor, config: STTConfig | TTSConfig, stream: Service, batch: Service) -> str:
    """``"stream"`` or ``"batch"``: which of two services of *vendor* is meant."""
    services: dict[str, Service] = {"stream": stream, "batch": batch}
    offered = [mode for mode, service in services.items() if getattr(vendor, service) is not None]
    if not offered:
        what = "recognition" if stream == "streaming" else "synthesis"
        raise ConfigurationError(f"{vendor.title} offers no speech {what}: use another provider", key="provider")
    mode = config.metadata.get("mode")
    wrong = "mode" if mode == "stream" else "ws_url" if mode is None and "ws_url" in config.metadata else None
    if wrong and "stream" not in offered:
        hears = stream == "streaming"
        does = "recognises whole utterances" if hears else "speaks sentence by sentence, over HTTP"
        lacks = (
            f"no streaming recognition here: {vendor.instead_of_streaming}" if hears else "no WebSocket for speech"
        )
        remedy = "With metadata['mode'] = 'batch'" if wrong == "mode" else "Without metadata['ws_url']"
        raise ConfigurationError(f"{vendor.title} has {lacks}. {remedy} it {does}", key=f"metadata.{wrong}")
    if mode is None:
        wanted = "batch" if "endpoint_url" in config.metadata else "stream"
        return wanted if wanted in offered else offered[0]
    if mode not in offered:
        raise ConfigurationError(
            f"metadata['mode'] must be one of {', '.join(map(repr, offered))} for {vendor.title}, not {mode!r}",
            key="metadata.mode",
        )
    return str(mode)


def build_adapter(
    adapter: type[_Adapter], service: Service, config: STTConfig | TTSConfig, vendor: Vendor | None = None
) -> _Adapter:
    """The *adapter* that *config* describes.

    Args:
        service: what the adapter uses of a vendor.
        vendor: whose service it is; otherwise ``metadata`` or the URL says so.
    """
    config = config.resolved()
    url_name = "ws_url" if service.startswith("streaming") else "endpoint_url"  # the adapter's first parameter
    if isinstance(config, STTConfig):
        config = _with_region(config, vendor, config.metadata.get(url_name))
    own = {name: getattr(config, name) for name in ("language", "model", "voice") if hasattr(config, name)}
    known = {*parameter_names(adapter)} - set(own)
    if vendor is not None:
        _check_no_option_is_a_setting(config, vendor, known)
    if vendor is not None:
        check_metadata(config, (known - {"vendor"}) | {"mode"}, of=vendor.title)
    else:
        _check_settings(config, known, of=adapter.__name__)
    settings = {name: _typed(name, value) for name, value in config.metadata.items() if value is not None}
    settings.pop("api_key", None)
    settings.pop("mode", None)
    named = vendor
    if vendor is not None:
        settings["vendor"] = vendor
    elif url_name not in settings and settings.get("vendor", "auto") != "auto":
        named = find_vendor(settings["vendor"])
    url = settings.pop(url_name, None)
    if not url and named is not None:
        url = named.address(service, settings.get("options"))
    if not url:
        raise ConfigurationError(
            f"metadata[{url_name!r}] is missing: give the URL of the service, "
            f'like "{"wss" if url_name == "ws_url" else "https"}://host/path"',
            key="metadata",
        )
    construct: Callable[..., _Adapter] = adapter
    with _naming_the_setting(config):
        return construct(url, api_key=config.key, **own, **settings)


def build_llm(config: LLMConfig) -> CustomHTTPLLMAdapter:
    """The language model that *config* describes."""
    config = config.resolved()
    _check_settings(config, {*parameter_names(CustomHTTPLLMAdapter)} - {"model"}, of=CustomHTTPLLMAdapter.__name__)
    settings = {name: _typed(name, value) for name, value in config.metadata.items() if value is not None}
    settings.pop("api_key", None)
    url = settings.pop("endpoint_url", None)
    if not url:
        raise ConfigurationError(
            "metadata['endpoint_url'] is missing: give the URL of the service, like \"https://host/v1\"",
            key="metadata",
        )
    with _naming_the_setting(config):
        return CustomHTTPLLMAdapter(url, api_key=config.key, model=config.model, **settings)


@contextmanager
def _naming_the_setting(config: ProviderConfig) -> Iterator[None]:
    """Inside, an adapter's error about a parameter of its own gets the ``key`` this has in *config*."""
    try:
        yield
    except ConfigurationError as error:
        place = error.key or str(error).partition(" ")[0]  # adapters begin with the setting they complain about
        if place == "header":  # they name the one that is wrong
            place = "headers"
        if place.partition(".")[0] in config.metadata:
            error.key = f"metadata.{place}"
        elif place in ("api_key", "language", "model", "voice"):
            error.key = place
        raise


def _check_settings(config: ProviderConfig, known: Collection[str], *, of: str) -> None:
    """Refuse settings an adapter does not have, with where they do belong."""
    try:
        check_metadata(config, known, of=of)
    except ConfigurationError as error:
        name = (error.key or "").removeprefix("metadata.")
        if name in _ADDRESSES and not isinstance(config, LLMConfig):
            error.args = (f"{error}. With {_ADDRESSES[name]}",)
        elif "did you mean" not in str(error) and "it is a field" not in str(error):
            error.args = (f"{error}. Parameters of the service itself go under metadata['options']",)
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


def _check_no_option_is_a_setting(config: STTConfig | TTSConfig, vendor: Vendor, known: Collection[str]) -> None:
    profile = vendor.profile
    if profile is None:
        return
    options = profile.options if isinstance(config, STTConfig) else profile.speech.options
    for name in config.metadata:
        if name not in {*known, "mode"} and name in options:
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
