"""Voxport: any speech vendor behind LiveKit's AgentSession.

    from agents.providers import ProviderFactory, STTConfig

    stt = ProviderFactory.create_stt(STTConfig("deepgram", api_key="${env:DEEPGRAM_API_KEY}"))
    session = AgentSession(stt=stt, ...)

Importing this package loads the configurations only. What needs LiveKit is loaded when it is asked for, so that
the protocols, the embedded server's processes and the command line's help do not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import ConfigurationError, LLMConfig, ProviderType, STTConfig, TTSConfig

if TYPE_CHECKING:
    from .custom_provider import CustomProviderFactory
    from .factory import ProviderFactory

    __version__: str

__all__ = [
    "ConfigurationError",
    "CustomProviderFactory",
    "LLMConfig",
    "ProviderFactory",
    "ProviderType",
    "STTConfig",
    "TTSConfig",
    "__version__",
]


def __getattr__(name: str) -> Any:
    value: Any
    if name == "ProviderFactory":
        from .factory import ProviderFactory as value
    elif name == "CustomProviderFactory":
        from .custom_provider import CustomProviderFactory as value
    elif name == "__version__":
        from importlib.metadata import version

        value = version("voxport")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
