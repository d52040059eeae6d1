"""LiveKit's plugins that are installed: which there are, and what is built by their names.

``livekit:NAME`` is ``livekit.plugins.NAME.STT``, ``LLM`` or ``TTS``, by the configuration it stands in. Where a
plugin has several, a path says which: ``livekit:deepgram.STTv2``, ``livekit:openai.responses`` (a module, and in
it what the configuration asks for), ``livekit:openai.LLM.with_deepseek``.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from livekit import agents
from livekit.agents import llm, stt, tts, vad

from ..base import ConfigurationError, suggest

__all__ = ["PREFIX", "find_constructor", "has_constructor", "installed_plugins", "is_plugin_name"]

PREFIX = "livekit:"

_PACKAGE = "livekit.plugins"
_BASES: Mapping[str, type[Any]] = {"STT": stt.STT, "LLM": llm.LLM, "TTS": tts.TTS}
_OTHER_BASES = (vad.VAD, llm.RealtimeModel)
_EXTRAS = ("openai", "azure")
"""Plugins that an extra of Voxport's own installs."""
_PATH = re.compile(r"[A-Za-z][\w-]*(\.[A-Za-z]\w*)*")


def is_plugin_name(provider: str) -> bool:
    """Whether *provider* asks for an installed plugin."""
    return provider.strip().lower().startswith(PREFIX)


def installed_plugins() -> list[str]:
    """The plugins that are installed, sorted, as in ``livekit.plugins.NAME``. Nothing is imported."""
    try:
        package = find_spec(_PACKAGE)
    except ModuleNotFoundError:
        return []
    folders = package.submodule_search_locations if package is not None else None
    return sorted({module.name for module in pkgutil.iter_modules(folders)}) if folders else []


def find_constructor(path: str, kind: str) -> tuple[str, Callable[..., Any]]:
    """What *path* names: its whole name, and what to call.

    Args:
        path: what stands behind ``livekit:``.
        kind: ``"STT"``, ``"LLM"`` or ``"TTS"``: what it must build.

    Raises:
        ConfigurationError: the plugin is not installed, cannot be imported here, or has no such constructor; the
            message says what to install, or what there is instead.
    """
    if not _PATH.fullmatch(path):
        raise ConfigurationError(
            f"{PREFIX + path!r} names no plugin: write {PREFIX + 'NAME'!r} for livekit.plugins.NAME.{kind}, or "
            f"{PREFIX + 'NAME.CONSTRUCTOR'!r} for another {kind} in it",
            key="provider",
        )
    plugin, *names = path.split(".")
    module = _import_plugin(plugin.lower().replace("-", "_"))
    owner: Any = None
    target: Any = module
    place, name = module.__name__, ""
    for name in names:
        owner, target, place = target, _public(target, name), f"{place}.{name}"
    if isinstance(target, ModuleType):
        owner, target, place = target, _public(target, kind), f"{place}.{kind}"
    if _builds(target, kind) or (_builds(owner, kind) and _is_alternative(owner, name)):
        return place, target
    raise _not_found(module, path, kind)


def has_constructor(plugin: str, kind: str) -> bool:
    """Whether ``livekit:PLUGIN`` builds a *kind* here. Imports the plugin if it is installed."""
    try:
        find_constructor(plugin, kind)
    except ConfigurationError:
        return False
    return True


def _import_plugin(plugin: str) -> ModuleType:
    name = f"{_PACKAGE}.{plugin}"
    loaded = sys.modules.get(name)
    if loaded is not None:
        return loaded
    if plugin not in installed_plugins():
        raise _not_installed(plugin)
    if threading.current_thread() is not threading.main_thread():
        raise ConfigurationError(
            "LiveKit plugins register themselves on the main thread: build this provider there, "
            f'or write "import {name}" at the top of your program',
            key="provider",
        )
    try:
        return importlib.import_module(name)
    except Exception as error:
        why = f"{error.name} is missing" if isinstance(error, ModuleNotFoundError) else str(error)
        raise ConfigurationError(
            f"{name} cannot be imported ({why or type(error).__name__}): {_install(plugin)}", key="provider"
        ) from error


def _install(plugin: str) -> str:
    """The command that installs *plugin* in the version that fits the LiveKit there is."""
    if plugin in _EXTRAS:
        return f'pip install "voxport[{plugin}]"'
    return f'pip install "livekit-plugins-{plugin.replace("_", "-")}~={agents.__version__}"'


def _not_installed(plugin: str) -> ConfigurationError:
    known = installed_plugins()
    near = difflib.get_close_matches(plugin, known, n=2)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return ConfigurationError(
        f"{_PACKAGE}.{plugin} is not installed: {hint}{_install(plugin)}. "
        f"Installed: {', '.join(known) or 'no plugin'}",
        key="provider",
    )


def _not_found(module: ModuleType, path: str, kind: str) -> ConfigurationError:
    """The error for a *path* that names nothing in *module* that builds a *kind*."""
    plugin = module.__name__.rpartition(".")[2]
    known = [f"{PREFIX}{plugin}.{name}" for name in _constructors(module, kind)]
    if known:
        return ConfigurationError(
            f"{PREFIX + path!r} names no {kind}: {suggest(PREFIX + path, known)}", key="provider"
        )
    others = [other for other in _BASES if any(_constructors(module, other))]
    others += [name for name in _names(module) if _is_a(_public(module, name), *_OTHER_BASES)]
    only = f", only {', '.join(others)}" if others else ""
    return ConfigurationError(f"{module.__name__} has no {kind}{only}: use another provider", key="provider")


def _constructors(module: ModuleType, kind: str) -> Iterator[str]:
    """All that build a *kind* in *module* and the modules it shows, as paths."""
    for name in _names(module):
        target = _public(module, name)
        if _builds(target, kind):
            yield name
            yield from (f"{name}.{other}" for other in vars(target) if _is_alternative(target, other))
        elif isinstance(target, ModuleType) and name in getattr(module, "__all__", ()):
            yield from (f"{name}.{inner}" for inner in _names(target) if _builds(_public(target, inner), kind))


def _names(module: ModuleType) -> list[str]:
    return sorted(name for name in getattr(module, "__all__", dir(module)) if not name.startswith("_"))


def _public(owner: Any, name: str) -> Any:
    """What is called *name* in *owner*; ``None`` where there is nothing, or it needs what is not installed."""
    try:
        return getattr(owner, name, None)
    except ImportError:
        return None  # plugins load what is optional when it is asked for


def _builds(target: Any, kind: str) -> bool:
    return _is_a(target, _BASES[kind])


def _is_a(target: Any, *bases: type[Any]) -> bool:
    return inspect.isclass(target) and issubclass(target, bases) and target.__module__.startswith(_PACKAGE)


def _is_alternative(owner: type[Any], name: str) -> bool:
    """Whether *name* is another way to build an *owner*, such as ``with_azure``."""
    method = inspect.getattr_static(owner, name, None)
    return isinstance(method, (staticmethod, classmethod)) and not name.startswith("_")
