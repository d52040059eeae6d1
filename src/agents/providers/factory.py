"""From a configuration to what AgentSession takes, for every provider there is.

A provider is any object (a class, a module, an instance) with ``create_stt(config)``, ``create_llm(config)`` or
``create_tts(config)``. A name is looked for, in this order, in what was registered here, the built-in providers,
packages with an entry point in the group ``voxport.providers``, the vendors Voxport knows, and LiveKit's installed
plugins, which are called ``livekit:NAME``.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from os import PathLike
from types import SimpleNamespace
from typing import Any

from livekit.agents import llm, stt, tts

from . import custom_provider
from .base import ConfigurationError, LLMConfig, ProviderConfig, ProviderType, STTConfig, TTSConfig, suggest
from .config_files import ConfigFile
from .custom_provider import CustomProviderFactory, create_vendor_stt, create_vendor_tts
from .native import PREFIX, build_native, has_constructor, installed_plugins, is_plugin_name
from .vendors import built_in_names, find_vendor, vendor_names

__all__ = ["ENTRY_POINT_GROUP", "ProviderFactory", "Providers"]

ENTRY_POINT_GROUP = "voxport.providers"

_PARTS: Mapping[str, tuple[type[ProviderConfig], type[Any]]] = {
    "stt": (STTConfig, stt.STT),
    "llm": (LLMConfig, llm.LLM),
    "tts": (TTSConfig, tts.TTS),
}

_BUILT_IN: Mapping[str, Any] = {
    ProviderType.OPENAI.value: custom_provider.OpenAIProviderFactory,
    ProviderType.AZURE.value: custom_provider.AzureProviderFactory,
    ProviderType.CUSTOM_HTTP.value: SimpleNamespace(
        create_stt=CustomProviderFactory.create_http_stt,
        create_llm=CustomProviderFactory.create_http_llm,
        create_tts=CustomProviderFactory.create_http_tts,
    ),
    ProviderType.CUSTOM_WS.value: SimpleNamespace(
        create_stt=CustomProviderFactory.create_websocket_stt,
        create_llm=CustomProviderFactory.create_websocket_llm,
        create_tts=CustomProviderFactory.create_websocket_tts,
    ),
    ProviderType.DEEPGRAM.value: custom_provider.DeepgramProviderFactory,
    ProviderType.ASSEMBLYAI.value: custom_provider.AssemblyAIProviderFactory,
    ProviderType.GOOGLE.value: custom_provider.GoogleCloudProviderFactory,
    ProviderType.AWS.value: custom_provider.AWSProviderFactory,
}

# They answer for these parts, but only to say what to use until there is an adapter.
_NOT_BUILT_YET = {("custom_ws", "llm")}

_registered: dict[str, Any] = {}


@dataclass(frozen=True)
class Providers:
    """What a configuration file gives; ``None`` for a section it does not have."""

    stt: stt.STT[Any] | None = None
    llm: llm.LLM[Any] | None = None
    tts: tts.TTS[Any] | None = None

    async def aclose(self) -> None:
        """Close what there is."""
        for provider in (self.stt, self.llm, self.tts):
            if provider is not None:
                await provider.aclose()


class ProviderFactory:
    """Builds providers from configurations.

    ``config.provider`` is a :class:`ProviderType` or its name, a registered name, the name of a vendor, or
    ``livekit:NAME`` for LiveKit's own plugin of that name. Case does not matter, nor whether words are joined by
    ``-`` or ``_``.
    """

    @staticmethod
    def create_stt(config: STTConfig) -> stt.STT[Any]:
        """The speech recognition that *config* describes.

        Raises:
            ConfigurationError: it cannot be built; the message says what to change.
        """
        built: stt.STT[Any] = _create(config, "stt")
        return built

    @staticmethod
    def create_llm(config: LLMConfig) -> llm.LLM[Any]:
        """The language model that *config* describes.

        Raises:
            ConfigurationError: it cannot be built; the message says what to change.
        """
        built: llm.LLM[Any] = _create(config, "llm")
        return built

    @staticmethod
    def create_tts(config: TTSConfig) -> tts.TTS[Any]:
        """The voice that *config* describes.

        Raises:
            ConfigurationError: it cannot be built; the message says what to change.
        """
        built: tts.TTS[Any] = _create(config, "tts")
        return built

    @staticmethod
    def from_file(path: str | PathLike[str], *, require: Collection[str] = ()) -> Providers:
        """What a YAML or TOML file configures (see :mod:`agents.providers.config_files`), built.

        Args:
            require: sections the file must have, of ``"stt"``, ``"llm"`` and ``"tts"``.

        Raises:
            ConfigurationError: something in the file cannot work. The message begins with the file and, for YAML,
                the line.
        """
        file = ConfigFile.read(path)
        configs = file.configs(require=require)
        built: dict[str, Any] = {}
        for section, create in (
            ("stt", ProviderFactory.create_stt),
            ("llm", ProviderFactory.create_llm),
            ("tts", ProviderFactory.create_tts),
        ):
            config = getattr(configs, section)
            if config is not None:
                with file.pointing_at(section):
                    built[section] = create(config)
        return Providers(**built)

    @staticmethod
    def register(name: str, provider: Any, *, replace: bool = False) -> None:
        """Make *provider* known as *name*.

        A package does the same without code of its users by an entry point in the group ``voxport.providers``,
        named as the provider and pointing at it.

        Args:
            provider: a class, module or other object with ``create_stt``, ``create_llm`` or ``create_tts``; each
                takes a configuration, in which every ``${env:NAME}`` is resolved, and returns LiveKit's object.
            replace: whether *name* may be taken already, by an earlier call or a built-in provider or vendor.

        Raises:
            ConfigurationError: the name is empty or taken, or *provider* creates nothing.
        """
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError("a provider is registered under a name: give a text that is not empty")
        if not _offers(provider):
            raise ConfigurationError(
                f"the provider {name!r} has neither create_stt, create_llm nor create_tts: give it one"
            )
        folded = _folded(name)
        if not replace and (folded in _registered or folded in _BUILT_IN or _among(name, vendor_names())):
            raise ConfigurationError(f"there is a provider {name!r} already: choose another name, or replace=True")
        _registered[folded] = provider

    @staticmethod
    def unregister(name: str) -> None:
        """Undo :meth:`register`.

        Raises:
            ConfigurationError: no such provider is registered.
        """
        if _registered.pop(_folded(name), None) is None:
            raise ConfigurationError(f"no provider {name!r} is registered: {suggest(name, _registered)}")

    @staticmethod
    def names() -> list[str]:
        """Every name a configuration may hold as ``provider``, sorted. Nothing is loaded.

        Of LiveKit's plugins those that are installed; what each of them builds is known when it is loaded.
        """
        plugins = (PREFIX + name for name in installed_plugins())
        return sorted({*_registered, *_BUILT_IN, *(p.name for p in _entry_points()), *vendor_names(), *plugins})


def _create(config: Any, part: str) -> Any:
    kind, wanted = _PARTS[part]
    if not isinstance(config, kind):
        raise ConfigurationError(f"create_{part} takes {kind.__name__}, not {type(config).__name__}")
    config = config.resolved()
    name = str(config.provider)
    provider = _find(name)
    create = getattr(provider, f"create_{part}", None)
    if create is None:
        known = {**_BUILT_IN, **_registered}
        others = {n for n, p in known.items() if part in _offers(p) and (n, part) not in _NOT_BUILT_YET}
        if part == "tts":  # few vendors speak; those that hear are too many to name
            others |= {n for n in built_in_names() if "tts" in _offers(_vendor_provider(n))}
        raise ConfigurationError(
            f"provider {name!r} has no {part.upper()}, only {', '.join(_offers(provider)).upper()}. "
            f"{_own_plugin(name, part)}With {part.upper()}: {', '.join(sorted(others))}; "
            f"and every LiveKit plugin that has one, as in '{PREFIX}NAME'",
            key="provider",
        )
    built = create(config)
    if not isinstance(built, wanted):
        if inspect.iscoroutine(built):
            built.close()  # it would warn that nobody awaited it
        raise ConfigurationError(
            f"provider {name!r} is broken: its create_{part} must return a livekit.agents {part.upper()}, "
            f"and returned {type(built).__name__}",
            key="provider",
        )
    return built


def _find(name: str) -> Any:
    folded = _folded(name)
    for table in (_registered, _BUILT_IN):
        if folded in table:
            return table[folded]
    points = [p for p in _entry_points() if _folded(p.name) == folded]
    if points:
        return _load(points)
    vendor = _among(name, vendor_names())
    if vendor is not None:
        return _vendor_provider(vendor)
    if is_plugin_name(name):
        return SimpleNamespace(**{f"create_{part}": partial(build_native, name) for part in _PARTS})
    known = ProviderFactory.names()
    if PREFIX + folded in known:
        raise ConfigurationError(
            f"unknown provider {name!r}: LiveKit's own plugin is {PREFIX + folded!r}", key="provider"
        )
    raise ConfigurationError(
        f"unknown provider {name!r}: {suggest(name, known)}. "
        f"A LiveKit plugin is '{PREFIX}NAME' once it is installed",
        key="provider",
    )


def _own_plugin(name: str, part: str) -> str:
    """A hint that LiveKit's plugin of the same *name* builds what the provider does not; empty if it does not."""
    plugin = _folded(name)
    if is_plugin_name(name) or plugin not in installed_plugins() or not has_constructor(plugin, part.upper()):
        return ""
    return f"LiveKit's own plugin has: provider={PREFIX + plugin!r}. "


def _vendor_provider(name: str) -> Any:
    """What the vendor of that name offers."""
    vendor, offers = find_vendor(name), SimpleNamespace()
    if vendor.streaming is not None or vendor.batch is not None:
        offers.create_stt = partial(create_vendor_stt, name)
    if vendor.streaming_synthesis is not None or vendor.synthesis is not None:
        offers.create_tts = partial(create_vendor_tts, name)
    return offers


def _load(points: list[EntryPoint]) -> Any:
    """The provider behind entry points of one name; more than one object is ambiguous."""
    point = points[0]
    if len({p.value for p in points}) > 1:
        packages = " and ".join(sorted(map(_package, points)))
        raise ConfigurationError(
            f"provider {point.name!r} is offered by {packages}: uninstall one, or register one with "
            "ProviderFactory.register",
            key="provider",
        )
    try:
        provider = point.load()
    except Exception as error:
        raise ConfigurationError(
            f"provider {point.name!r} of the package {_package(point)} cannot be loaded "
            f"({type(error).__name__}: {error}): repair or uninstall the package",
            key="provider",
        ) from error
    if not _offers(provider):
        raise ConfigurationError(
            f"provider {point.name!r} of the package {_package(point)} has neither create_stt, create_llm nor "
            f"create_tts: its entry point {point.value!r} must name an object with one",
            key="provider",
        )
    return provider


def _entry_points() -> list[EntryPoint]:
    return list(entry_points(group=ENTRY_POINT_GROUP))


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def _offers(provider: Any) -> list[str]:
    return [part for part in _PARTS if callable(getattr(provider, f"create_{part}", None))]


def _folded(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def _among(name: str, names: Collection[str]) -> str | None:
    return next((n for n in names if _folded(n) == _folded(name)), None)
