"""Who hears: the embedded server, a vendor, an address of the user's own, or what a configuration file says."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from ..base import ConfigurationError, STTConfig

if TYPE_CHECKING:
    from livekit.agents import stt

    from ..config_files import ConfigFile
    from ..local import ServerProcess
    from ..vendors import Vendor

__all__ = ["EMBEDDED_MODEL", "Mode", "Service", "embedded_server", "parse_options"]

Mode = Literal["ws", "http"]

HTTP_PATH = "/v1/stt"
WS_PATH = "/v1/stt/stream"
VOICE_PATH = "/v1/tts"
VOICE_WS_PATH = "/v1/tts/stream"
"""Where the embedded server answers in the generic protocol."""

EMBEDDED_MODEL = "voxport-rules"
"""What it thinks with: rules."""


@dataclass(frozen=True)
class Service:
    """What the command line says about who is to hear. Nothing at all means the embedded server."""

    vendor: str | None = None
    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    language: str | None = "en-US"
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    config: Path | None = None
    mode: Mode | None = None

    def __post_init__(self) -> None:
        if self.config is not None and (self.vendor or self.url or self.api_key or self.model or self.options):
            raise ConfigurationError(
                "--config says who hears: leave out --vendor, --url, --api-key, --model and --option"
            )

    @property
    def is_embedded(self) -> bool:
        """Whether the embedded server is to hear."""
        return self.config is None and self.vendor is None and self.url is None

    @property
    def chosen_mode(self) -> Mode:
        """How it is spoken to: as asked for, as the URL says, else by WebSocket where there is one."""
        if self.mode is not None:
            return self.mode
        if self.url is not None:
            return "http" if urlsplit(self.url).scheme in ("http", "https") else "ws"
        if self.vendor is not None:
            from ..vendors import find_vendor

            return "ws" if find_vendor(self.vendor).streaming is not None else "http"
        return "ws"

    def build(
        self,
        server: ServerProcess | None,
        *,
        on_failure: Literal["degrade", "raise"],
        request_timeout: float = 30.0,
        tap: Callable[[Vendor], Vendor] | None = None,
    ) -> stt.STT[Any]:
        """The adapter.

        Args:
            server: the embedded server, which must run when it is to hear.
            request_timeout: seconds for one recording over HTTP.
            tap: is given the vendor, and answers the one that is used.

        Raises:
            ConfigurationError: something that was given cannot work; the message says what to change.
        """
        if self.config is not None:
            if tap is not None:
                raise ConfigurationError("--wire does not go with --config: give --vendor and --url instead")
            return _from_config(self.config, on_failure)
        from ..stt.http import CustomHTTPSTTAdapter  # not from `adapters`, which loads models and voices, too
        from ..stt.streaming import CustomWebSocketSTTAdapter

        common: dict[str, Any] = {
            "api_key": self.api_key,
            "language": self.language,
            "vendor": self.vendor or "auto",
            "model": self.model,
            "options": dict(self.options),
            "on_failure": on_failure,
        }
        if self.is_embedded:
            assert server is not None
            common["vendor"] = "generic"
        if self.chosen_mode == "ws":
            url = server.ws_url + WS_PATH if self.is_embedded and server else self._url("streaming")
            common["vendor"] = _tapped(common["vendor"], url, tap)
            return CustomWebSocketSTTAdapter(ws_url=url, **common)
        url = server.url + HTTP_PATH if self.is_embedded and server else self._url("batch")
        common["vendor"] = _tapped(common["vendor"], url, tap)
        return CustomHTTPSTTAdapter(endpoint_url=url, request_timeout=request_timeout, **common)

    def _url(self, way: Literal["streaming", "batch"]) -> str:
        if self.url is not None:
            return self.url
        from ..vendors import find_vendor

        vendor = find_vendor(self.vendor or "auto")
        url = vendor.address(way, self.options)
        if not url:
            if getattr(vendor, way) is None:
                other = "--http" if way == "streaming" else "--ws"
                raise ConfigurationError(f"{vendor.name} cannot be spoken to this way: use {other}")
            raise ConfigurationError(f"{vendor.name} has no address of its own: give --url")
        return str(url)


def _tapped(vendor: str, url: str, tap: Callable[[Vendor], Vendor] | None) -> str | Vendor:
    """*vendor*, as *tap* has it."""
    if tap is None:
        return vendor
    from ..vendors import find_vendor

    return tap(find_vendor(vendor, url=url))


def parse_options(pairs: list[str]) -> dict[str, Any]:
    """``["punctuate=true", "keyterm=a"]`` as options; a value that is YAML (a number, a list) is taken as that.

    Raises:
        ConfigurationError: a pair has no ``=``.
    """
    import yaml

    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise ConfigurationError(f"--option takes name=value, not {pair!r}")
        try:
            options[name.strip()] = yaml.safe_load(value) if value else ""
        except yaml.YAMLError:
            options[name.strip()] = value
    return options


@contextlib.asynccontextmanager
async def embedded_server(**options: Any) -> AsyncIterator[ServerProcess]:
    """The embedded speech server in a process of its own, on a free port of this machine.

    Raises:
        MissingExtraError: the ``local`` extra is not installed; the message holds the command that installs it.
    """
    from ..local import ServerOptions, ServerProcess
    from ..local.extras import require

    for package in ("pocketsphinx", "espeakng_loader"):
        require(package)
    async with ServerProcess(ServerOptions(**options)) as server:
        yield server


def _from_config(path: Path, on_failure: str) -> stt.STT[Any]:
    from ..config_files import ConfigFile

    file = ConfigFile.read(path)
    config = file.configs(require=("stt",)).stt
    assert config is not None
    with file.pointing_at("stt"):
        return _create(file, config, on_failure)


def _create(file: ConfigFile, config: STTConfig, on_failure: str) -> stt.STT[Any]:
    """The provider; *on_failure* is set where it is a setting of that provider, and the file does not say."""
    from ..factory import ProviderFactory

    if "on_failure" not in config.metadata:
        try:
            metadata = {**config.metadata, "on_failure": on_failure}
            return ProviderFactory.create_stt(dataclasses.replace(config, metadata=metadata))
        except ConfigurationError as error:
            if error.key != "metadata.on_failure":
                raise
    return ProviderFactory.create_stt(config)
