"""What both speech-to-text adapters share: LiveKit's contract, the configuration checks, the counters."""

from __future__ import annotations

import difflib
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal
from urllib.parse import urlsplit

from livekit.agents import stt
from livekit.agents.types import NOT_GIVEN, NotGivenOr
from livekit.agents.utils import is_given

from ..base import ConfigurationError
from ..redaction import Secret, resolve_environment, safe_url

__all__ = ["OnFailure", "STTAdapter", "Stats", "check_url", "secret_key"]

OnFailure = Literal["degrade", "raise"]
"""``"degrade"``: a transient failure never ends the session. ``"raise"``: it raises when the retries are spent."""


@dataclass(slots=True)
class Stats:
    """What an adapter has been through, counted since it was made. Durations are seconds of audio."""

    connects: int = 0
    reconnects: int = 0
    transient_failures: int = 0
    permanent_failures: int = 0
    empty_results: int = 0
    messages_ignored: int = 0
    audio_seconds: float = 0.0
    replayed_seconds: float = 0.0
    dropped_seconds: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """The counters by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


class STTAdapter(stt.STT[Any]):
    """Base of every Voxport speech-to-text adapter, and of your own.

    A subclass implements ``_recognize_impl`` (batch), ``stream`` (streaming) or both. AgentSession takes it as it
    takes any plugin; one that does not stream is wrapped by AgentSession with the session's VAD.

    Args:
        sample_rate: Hz at which audio is sent when the vendor does not take the rate it comes in.
        streaming, interim_results, diarization, aligned_transcript, keyterms, manual_flush, offline_recognize:
            LiveKit's capabilities. They must be true: the framework acts on them.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        streaming: bool = True,
        interim_results: bool = True,
        diarization: bool = False,
        aligned_transcript: Literal["word", "chunk", False] = False,
        keyterms: bool = False,
        manual_flush: bool = False,
        offline_recognize: bool = True,
    ) -> None:
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=streaming,
                interim_results=interim_results,
                diarization=diarization,
                aligned_transcript=aligned_transcript,
                keyterms=keyterms,
                manual_flush=manual_flush,
                offline_recognize=offline_recognize,
            )
        )
        if not isinstance(sample_rate, int) or not 4000 <= sample_rate <= 192000:
            raise ConfigurationError(f"sample_rate must be between 4000 and 192000 Hz, not {sample_rate!r}")
        self._sample_rate = sample_rate
        self.stats = Stats()

    @property
    def sample_rate(self) -> int:
        """Hz at which audio is sent when the vendor does not take the rate it comes in."""
        return self._sample_rate

    async def _recognize_impl(
        self, buffer: Any, *, language: NotGivenOr[str] | None = NOT_GIVEN, conn_options: Any = None
    ) -> stt.SpeechEvent:
        raise TypeError(
            f"{type(self).__name__} recognises no whole recordings: use stream(), or implement _recognize_impl"
        )


def given(value: NotGivenOr[str] | None) -> str | None:
    """LiveKit's "not given" as ``None``."""
    return value if value is not None and is_given(value) and value else None


def secret_key(api_key: str | Secret | None, *, setting: str = "api_key") -> Secret | None:
    """The credential as it will be used, with ``${env:NAME}`` resolved.

    Raises:
        ConfigurationError: the environment variable is not set.
    """
    if api_key is None or isinstance(api_key, Secret):
        return api_key or None
    if not isinstance(api_key, str):
        raise ConfigurationError(f"{setting} must be a string, not {type(api_key).__name__}")
    try:
        value = resolve_environment(api_key).strip()
    except KeyError as missing:
        raise ConfigurationError(
            f"{setting} names the environment variable {missing.args[0]}, which is not set"
        ) from None
    if "\n" in value or "\r" in value:
        raise ConfigurationError(f"{setting} holds a line break: it was probably copied with one")
    return Secret(value) if value else None


def environment_key(name: str | None) -> Secret | None:
    """The credential in the environment variable a vendor's users keep it in, if it is set."""
    value = os.environ.get(name, "").strip() if name else ""
    return Secret(value) if value else None


def check_url(url: object, *, setting: str, schemes: tuple[str, str], has_key: bool) -> str:
    """*url* if audio and credentials may go there.

    Args:
        url: what the user gave.
        setting: its name in messages.
        schemes: the clear and the encrypted scheme, for example ``("ws", "wss")``.
        has_key: whether a credential will be sent.

    Raises:
        ConfigurationError: it is missing, has another scheme or no host, or a credential would go over it in
            clear text to another machine.
    """
    if not url or not isinstance(url, str):
        raise ConfigurationError(
            f'{setting} is missing: give the URL of the service, like "{schemes[1]}://host/path"'
        )
    url = url.strip()
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ConfigurationError(f"{setting} is not a URL: {error}") from None
    clear, encrypted = schemes
    if parts.scheme not in schemes:
        swap = {"http": "ws", "https": "wss", "ws": "http", "wss": "https"}.get(parts.scheme)
        hint = f'; did you mean "{swap}://…"?' if swap in schemes else ""
        raise ConfigurationError(
            f'{setting} must start with "{clear}://" or "{encrypted}://", not {safe_url(url)!r}{hint}'
        )
    if not parts.hostname:
        raise ConfigurationError(f"{setting} has no host: {safe_url(url)!r}")
    if parts.username or parts.password:
        raise ConfigurationError(
            f"{setting} holds a user name or password: give credentials as api_key or headers"
        )
    if parts.scheme == clear and has_key and not is_loopback(parts.hostname):
        raise ConfigurationError(
            f'{setting} would send the API key in clear text to {parts.hostname}: use "{encrypted}://", '
            "or give no api_key when the service needs none"
        )
    return url


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_choice(value: str, choices: tuple[str, ...], *, setting: str) -> None:
    """Raise a ConfigurationError that names the nearest of *choices* unless *value* is one of them."""
    if value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError(f"{setting} must be one of {', '.join(map(repr, choices))}, not {value!r}{hint}")


def check_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """A copy of the user's *headers*, with ``${env:NAME}`` resolved."""
    resolved = {}
    for name, value in (headers or {}).items():
        if not isinstance(value, str) or not isinstance(name, str):
            raise ConfigurationError(f"header {name!r} must be a string")
        secret = secret_key(value, setting=f"header {name!r}")
        resolved[name] = secret.reveal() if secret else ""
    return resolved
