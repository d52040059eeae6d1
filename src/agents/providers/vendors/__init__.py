"""The vendors Voxport knows, and those others add.

A vendor is a file in this folder: ``NAME.yaml`` (a profile) where data says it all, ``NAME.py`` with a ``VENDOR``
where there is behaviour. Where both are there, the profile is the data of the module, which makes its ``VENDOR``
from it with :func:`vendor_in_file`. A package adds its own through the entry-point group ``voxport.vendors``: an
entry point is a :class:`Vendor`, a profile or the path of one, a protocol, or a function without arguments that
returns one of these. Nothing is loaded before it is asked for.
"""

from __future__ import annotations

import difflib
import functools
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..base import ConfigurationError
from ..protocol import BatchProtocol, StreamingProtocol, StreamingSynthesisProtocol, SynthesisProtocol

if TYPE_CHECKING:
    from ..profiles import Profile

__all__ = [
    "ENTRY_POINT_GROUP",
    "GENERIC",
    "Service",
    "Vendor",
    "built_in_names",
    "find_vendor",
    "vendor_in_file",
    "vendor_names",
]

ENTRY_POINT_GROUP = "voxport.vendors"
GENERIC = "generic"
Service = Literal["streaming", "batch", "synthesis", "streaming_synthesis"]
"""What a vendor may offer: a field of :class:`Vendor` that holds its protocol."""

_FOLDER = Path(__file__).parent
_PROTOCOLS = (StreamingProtocol, BatchProtocol, StreamingSynthesisProtocol, SynthesisProtocol)

# By host, so that a URL is recognised without reading every file. A test compares it with the files. The first
# that fits is taken, so those with a path stand before those without.
_HOSTS: dict[str, str] = {
    "api.deepgram.com/v2/": "deepgram_flux",
    "api.*.deepgram.com/v2/": "deepgram_flux",
    "*.api.deepgram.com/v2/": "deepgram_flux",
    "api.assemblyai.com": "assemblyai",
    "api.*.assemblyai.com": "assemblyai",
    "streaming.assemblyai.com": "assemblyai",
    "streaming.*.assemblyai.com": "assemblyai",
    "sync.assemblyai.com": "assemblyai_sync",
    "sync.*.assemblyai.com": "assemblyai_sync",
    "*-speech.googleapis.com": "google",
    "speech.googleapis.com": "google",
    "cn.transcribe.*.amazonaws.com.cn": "aws",
    "fips.transcribe.*.amazonaws.com": "aws",
    "transcribe-fips.*.api.aws": "aws",
    "transcribe.*.amazonaws.com": "aws",
    "transcribe.*.amazonaws.eu": "aws",
    "transcribe.*.api.amazonwebservices.com.cn": "aws",
    "transcribe.*.api.aws": "aws",
    "transcribestreaming-fips.*.amazonaws.com": "aws",
    "transcribestreaming-fips.*.api.aws": "aws",
    "transcribestreaming.*.amazonaws.com": "aws",
    "transcribestreaming.*.amazonaws.com.cn": "aws",
    "transcribestreaming.*.amazonaws.eu": "aws",
    "transcribestreaming.*.api.amazonwebservices.com.cn": "aws",
    "transcribestreaming.*.api.aws": "aws",
    "*.api.cognitive.azure.cn": "azure",
    "*.api.cognitive.microsoft.com": "azure",
    "*.api.cognitive.microsoft.us": "azure",
    "*.cognitiveservices.azure.cn": "azure",
    "*.cognitiveservices.azure.com": "azure",
    "*.cognitiveservices.azure.us": "azure",
    "*.stt.speech.azure.cn": "azure",
    "*.stt.speech.azure.us": "azure",
    "*.stt.speech.microsoft.com": "azure",
    "api.deepgram.com": "deepgram",
    "api.*.deepgram.com": "deepgram",
    "*.api.deepgram.com": "deepgram",
    "api.openai.com": "openai",
    "*.api.openai.com": "openai",
    "api.cartesia.ai": "cartesia",
    "*.elevenlabs.io": "elevenlabs",
    "api.elevenlabs.io": "elevenlabs",
}


_FLUX_SPEECH = (
    "/v2/speak is Deepgram's Flux text-to-speech, which Voxport does not speak: use /v1/speak (Aura), or LiveKit's"
    " plugin, provider='livekit:deepgram.TTSv2'. Flux for recognition is /v2/listen"
)
# Services of known hosts for which there is no vendor here, and what to say of them.
_NOT_HERE: dict[str, str] = {
    "api.deepgram.com/v2/speak": _FLUX_SPEECH,
    "api.*.deepgram.com/v2/speak": _FLUX_SPEECH,
    "*.api.deepgram.com/v2/speak": _FLUX_SPEECH,
}


@dataclass(frozen=True)
class Vendor:
    """A vendor and what it offers.

    Attributes:
        name: as users write it.
        title: as people read it.
        streaming, batch: its protocols for recognition, or ``None`` where it has none.
        streaming_synthesis, synthesis: its protocols for speech, over a WebSocket and over HTTP.
        key_environment: the environment variable its key is customarily in; of several, the first that is set.
        streaming_url, batch_url, streaming_synthesis_url, synthesis_url: where it is, unless the user says
            otherwise.
        default_model: what is used for recognition when no model is named.
        default_voice, default_speech_model: what is used for speech when none is named.
        hosts: hosts by which a URL is recognised; ``*.example.com`` for all under it.
        instead_of_streaming: what to use where there is no streaming protocol.
        profile: the profile it was made from, if it was.
    """

    name: str
    title: str
    streaming: StreamingProtocol | None = None
    batch: BatchProtocol | None = None
    streaming_synthesis: StreamingSynthesisProtocol | None = None
    synthesis: SynthesisProtocol | None = None
    key_environment: str | Sequence[str] | None = None
    streaming_url: str | None = None
    batch_url: str | None = None
    streaming_synthesis_url: str | None = None
    synthesis_url: str | None = None
    default_model: str | None = None
    default_voice: str | None = None
    default_speech_model: str | None = None
    hosts: tuple[str, ...] = ()
    instead_of_streaming: str = "use CustomHTTPSTTAdapter"
    profile: Profile | None = field(default=None, repr=False)

    @property
    def key_variables(self) -> tuple[str, ...]:
        """The environment variables its key may be in, in the order they are tried."""
        names = self.key_environment or ()
        return (names,) if isinstance(names, str) else tuple(names)

    def address(self, service: Service, options: Mapping[str, Any] | None = None) -> str | None:
        """Where its *service* is when nobody says: the place its own SDK would take from the environment
        (``OPENAI_BASE_URL`` …), or the usual one. ``None`` where it has none.

        Args:
            service: one of its fields, such as ``"streaming"``.
            options: as they are set; a region among them counts more than the environment.

        Raises:
            ConfigurationError: what the environment holds is no URL.
        """
        from ._addresses import address_of

        return address_of(self, service, options or {})

    def instead_of(self, service: Service) -> str:
        """Why the vendor's *service*, which it does not have, cannot be used, and what can."""
        ways = {way: adapter for way, adapter in _ADAPTERS.items() if getattr(self, way) is not None}
        hears = [adapter for way, adapter in ways.items() if way in _HEARING]
        speaks = [adapter for way, adapter in ways.items() if way not in _HEARING]
        if service in _HEARING and not hears:
            return f"{self.name} only speaks: use it with {_either(speaks)}, and another vendor for recognition"
        if service not in _HEARING and not speaks:
            return f"{self.name} only hears: use it with {_either(hears)}, and another vendor for speech"
        if service == "streaming":
            return f"{self.name} has no streaming recognition: {self.instead_of_streaming}"
        if service == "batch":
            return f"{self.name} takes no whole recordings over HTTP: use {_either(hears)}"
        way = "HTTP" if service == "synthesis" else "a WebSocket"
        return f"{self.name} does not speak over {way}: use {_either(speaks)}"


_ADAPTERS = {
    "streaming": "CustomWebSocketSTTAdapter",
    "batch": "CustomHTTPSTTAdapter",
    "streaming_synthesis": "CustomWebSocketTTSAdapter",
    "synthesis": "CustomHTTPTTSAdapter",
}
_HEARING = ("streaming", "batch")


def _either(adapters: list[str]) -> str:
    return " or ".join(adapters) or "another vendor"


def find_vendor(
    vendor: str
    | Path
    | Vendor
    | Profile
    | StreamingProtocol
    | BatchProtocol
    | StreamingSynthesisProtocol
    | SynthesisProtocol,
    *,
    url: str = "",
) -> Vendor:
    """The vendor meant.

    Args:
        vendor: a name, a path to a profile file, an object, or ``"auto"``: the vendor whose host is in *url*,
            otherwise the generic protocol.
        url: the user's URL.

    Raises:
        ConfigurationError: there is no such vendor, its file or package is broken, or *url* is that of a service
            which no vendor here speaks to.
    """
    if isinstance(vendor, (str, Path)):
        if vendor == "auto":
            return _built_in(_recognise(url) or GENERIC)
        return _by_name_or_path(vendor)
    return _from_object(vendor, "the vendor given")


def vendor_names() -> list[str]:
    """All names :func:`find_vendor` knows, sorted; built-in ones and those of installed packages."""
    return sorted({*built_in_names(), *_entry_points()})


def _recognise(url: str) -> str | None:
    from ..profiles.hosts import is_host_of

    for place, instead in _NOT_HERE.items():
        if is_host_of(url, [place]):
            raise ConfigurationError(instead)
    return next((name for host, name in _HOSTS.items() if is_host_of(url, [host])), None)


def _by_name_or_path(vendor: str | Path) -> Vendor:
    text = str(vendor)
    if isinstance(vendor, Path) or "/" in text or "\\" in text or text.endswith((".yaml", ".yml")):
        path = Path(text).expanduser()
        if not path.is_file():
            raise ConfigurationError(f"there is no profile file {text!r}: check the path")
        return _from_file(path.resolve(), path.stat().st_mtime_ns)
    if text in built_in_names():
        return _built_in(text)
    if text in _entry_points():
        return _from_entry_point(text)
    near = difflib.get_close_matches(text, vendor_names(), n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise ConfigurationError(
        f"unknown vendor {text!r}: {hint}known are {', '.join(vendor_names())};"
        f" a profile file of your own is given by its path, as in './{text or 'my-vendor'}.yaml'"
    )


@functools.lru_cache(maxsize=1)
def built_in_names() -> frozenset[str]:
    """The names of the vendors in this folder."""
    return frozenset(
        path.stem
        for path in _FOLDER.iterdir()
        if path.suffix in (".yaml", ".py") and not path.name.startswith("_")
    )


@functools.cache
def _built_in(name: str) -> Vendor:
    if (_FOLDER / f"{name}.py").is_file():
        return _from_object(importlib.import_module(f".{name}", __package__).VENDOR, f"vendors/{name}.py")
    return vendor_in_file(_FOLDER / f"{name}.yaml")


def vendor_in_file(path: Path) -> Vendor:
    """The vendor a built-in profile describes, without the module that may stand beside it."""
    return _from_file(path, 0)


@functools.lru_cache(maxsize=64)
def _from_file(path: Path, changed_ns: int) -> Vendor:
    """The vendor in a profile file; *changed_ns* makes an edited file a new one."""
    from ..profiles import load_profile

    return _from_profile(load_profile(path))


def _from_profile(profile: Profile) -> Vendor:
    from ..profiles import ProfileBatch, ProfileStreaming, ProfileStreamingSynthesis, ProfileSynthesis

    synthesis, streaming_synthesis = profile.synthesis, profile.streaming_synthesis

    return Vendor(
        name=profile.name,
        title=profile.title,
        streaming=ProfileStreaming(profile) if profile.streaming is not None else None,
        batch=ProfileBatch(profile) if profile.batch is not None else None,
        synthesis=ProfileSynthesis(profile) if synthesis is not None else None,
        streaming_synthesis=ProfileStreamingSynthesis(profile) if streaming_synthesis is not None else None,
        key_environment=profile.key_environment,
        streaming_url=profile.streaming.url if profile.streaming is not None else None,
        batch_url=profile.batch.url if profile.batch is not None else None,
        synthesis_url=synthesis.url if synthesis is not None else None,
        streaming_synthesis_url=streaming_synthesis.url if streaming_synthesis is not None else None,
        default_model=profile.defaults.get("model"),
        default_voice=profile.speech.defaults.get("voice"),
        default_speech_model=profile.speech.defaults.get("model"),
        hosts=tuple(profile.hosts),
        profile=profile,
    )


def _from_object(value: Any, source: str) -> Vendor:
    from ..profiles import Profile

    if isinstance(value, Vendor):
        return value
    if isinstance(value, Profile):
        return _from_profile(value)
    if isinstance(value, StreamingProtocol):
        return Vendor(value.name, value.name, streaming=value)
    if isinstance(value, BatchProtocol):
        return Vendor(value.name, value.name, batch=value)
    if isinstance(value, StreamingSynthesisProtocol):
        return Vendor(value.name, value.name, streaming_synthesis=value)
    if isinstance(value, SynthesisProtocol):
        return Vendor(value.name, value.name, synthesis=value)
    if isinstance(value, (str, Path)) and Path(value).is_file():
        return _from_file(Path(value).resolve(), Path(value).stat().st_mtime_ns)
    if isinstance(value, type) and issubclass(value, (Vendor, Profile, *_PROTOCOLS)):
        raise ConfigurationError(
            f"{source} is the class {value.__name__}, not a vendor: give an object of it, {value.__name__}(…)"
        )
    kind = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
    raise ConfigurationError(
        f"{source} is {kind}, not a vendor: give a Vendor, a Profile, a protocol object,"
        " or the path of a profile file"
    )


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


@functools.cache
def _from_entry_point(name: str) -> Vendor:
    point = _entry_points()[name]
    package = point.dist.name if point.dist is not None else point.value
    try:
        value = point.load()
        if callable(value) and not isinstance(value, (Vendor, *_PROTOCOLS, type)):
            value = value()
    except Exception as error:
        raise ConfigurationError(
            f"the vendor {name!r} of the package {package} cannot be loaded"
            f" ({type(error).__name__}: {error}): repair or remove the package"
        ) from error
    return _from_object(value, f"the vendor {name!r} of the package {package}")
