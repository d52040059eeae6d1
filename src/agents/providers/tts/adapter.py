"""What both text-to-speech adapters share: LiveKit's contract, the configuration checks, the counters."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import aiohttp
from livekit.agents import APIError, tts
from livekit.agents.types import NOT_GIVEN, NotGivenOr
from livekit.agents.utils import is_given

from ..base import ConfigurationError
from ..protocol import Failure, Settings, StreamingSynthesisProtocol, SynthesisProtocol, Verdict
from ..redaction import Secret, is_secret_name, secrets_in_url
from ..transport.checks import (
    check_headers,
    check_mapping,
    check_name,
    check_url,
    environment_key,
    secret_key,
)
from ..transport.failures import api_error
from ..transport.patience import Patience
from ..transport.sessions import SessionSource
from ..vendors import Vendor, find_vendor

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Stats", "TTSAdapter", "failure_of_protocol", "find_voice", "is_endless"]

_MOST_SECONDS = 60.0
_MOST_SECONDS_A_CHARACTER = 2.0

Way = Literal["synthesis", "streaming_synthesis"]
AnyProtocol = SynthesisProtocol | StreamingSynthesisProtocol


@dataclass(slots=True)
class Stats:
    """What an adapter has been through, counted since it was made. Durations are seconds of audio.

    Attributes:
        segments: texts begun: each retry of LiveKit's counts again.
        connects: requests sent, or WebSockets opened.
        cancelled: segments broken off from this side, as an interruption does.
        transient_failures, permanent_failures: segments that failed, by whether another try could help.
        broken_off: of the failures, those after audio had come: nothing of them is said again.
        messages_ignored: messages of the vendor that could not be understood.
        characters: of the texts sent.
        audio_seconds: received, at whatever rate it came.
    """

    segments: int = 0
    connects: int = 0
    cancelled: int = 0
    transient_failures: int = 0
    permanent_failures: int = 0
    broken_off: int = 0
    messages_ignored: int = 0
    characters: int = 0
    audio_seconds: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """The counters by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def count_failure(self, *, retryable: bool, after_audio: bool) -> None:
        """Count a segment that failed."""
        if retryable:
            self.transient_failures += 1
        else:
            self.permanent_failures += 1
        if after_audio:
            self.broken_off += 1


def find_voice(vendor: Any, way: Way, *, url: Any) -> tuple[Vendor, Any]:
    """The vendor meant, and its protocol for the *way* of speaking.

    Args:
        vendor: a name, a path, an object or ``"auto"``, as :func:`~..vendors.find_vendor` takes them.
        url: the user's URL, which ``"auto"`` goes by.

    Raises:
        ConfigurationError: there is no such vendor, or it does not speak that way; with what to use instead.
    """
    found = find_vendor(vendor, url=url if isinstance(url, str) else "")
    protocol = getattr(found, way)
    if protocol is None:
        raise ConfigurationError(found.instead_of(way))
    return found, protocol


def failure_of_protocol(error: Exception) -> Failure:
    """What a bug of a protocol means, by its kind and place: its message may hold the user's text."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}, line {place.lineno}"
    message = f"its protocol failed with {type(error).__name__} ({where})"
    return Failure(message, Verdict.PERMANENT, detail={"malformed": True})


def is_endless(audio_seconds: float, characters: int) -> bool:
    """Whether nobody speaks so long over a text of so many *characters*, however slowly."""
    return audio_seconds > _MOST_SECONDS + _MOST_SECONDS_A_CHARACTER * characters


class TTSAdapter(tts.TTS[Any]):
    """Base of both Voxport voices: what they are configured with, and how that changes.

    Args:
        url, setting, schemes: where the service is, what that parameter is called, and which schemes it may have.
        vendor: the vendor found, and *protocol*: its protocol for this way of speaking.
        api_key, voice, model, language, headers, sample_rate, options, http_session: of the adapter.
        streaming: LiveKit's capability. It must be true: the framework acts on it.
        patience: seconds of a pause the vendor may ask for.

    Attributes:
        stats: the counters.
        patience: the pause the vendor asked for.

    Raises:
        ConfigurationError: something above cannot work; the message says what to change.
    """

    def __init__(
        self,
        url: Any,
        *,
        setting: str,
        schemes: tuple[str, str],
        vendor: Vendor,
        protocol: AnyProtocol,
        api_key: str | Secret | None = None,
        voice: str | None = None,
        model: str | None = None,
        language: str | None = None,
        headers: Mapping[str, str] | None = None,
        sample_rate: int = 24000,
        options: Mapping[str, Any] | None = None,
        http_session: aiohttp.ClientSession | None = None,
        streaming: bool = False,
        patience: float,
    ) -> None:
        if isinstance(sample_rate, bool) or not isinstance(sample_rate, int) or not 8000 <= sample_rate <= 192000:
            raise ConfigurationError(f"sample_rate must be between 8000 and 192000 Hz, not {sample_rate!r}")
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=streaming),
            sample_rate=sample_rate,
            num_channels=1,
        )
        key = secret_key(api_key) or environment_key(vendor.key_environment)
        checked = check_headers(headers)
        carries = bool(key or any(map(is_secret_name, checked)) or (isinstance(url, str) and secrets_in_url(url)))
        settings = Settings(
            url=check_url(url, setting=setting, schemes=schemes, has_key=carries),
            api_key=key,
            language=check_name(language, setting="language"),
            model=check_name(model, setting="model"),
            voice=check_name(voice, setting="voice"),
            sample_rate=sample_rate,
            options=check_mapping(options, setting="options"),
            headers=checked,
            key_variables=vendor.key_variables,
        )
        self._vendor = vendor
        self._protocol = protocol
        self._sessions = SessionSource(http_session)
        self.stats = Stats()
        self.patience = Patience(patience)
        self._adopt(settings)

    @property
    def model(self) -> str:
        """The vendor's name of the model; "unknown" when that is the vendor's choice."""
        return self._settings.model or self._vendor.default_speech_model or "unknown"

    @property
    def provider(self) -> str:
        """The vendor's name."""
        return self._protocol.name

    @property
    def voice(self) -> str | None:
        """The vendor's name of the voice; ``None`` when that is the vendor's choice."""
        return self._settings.voice or self._vendor.default_voice

    def update_options(
        self,
        *,
        voice: NotGivenOr[str | None] = NOT_GIVEN,
        model: NotGivenOr[str | None] = NOT_GIVEN,
        language: NotGivenOr[str | None] = NOT_GIVEN,
        options: NotGivenOr[Mapping[str, Any]] = NOT_GIVEN,
    ) -> None:
        """Change what is given, from the next segment on; what is being said goes on as it began.

        Args:
            options: the vendor's own parameters to set, on top of those set already.

        Raises:
            ConfigurationError: the vendor does not take it. Nothing has changed then.
        """
        changes: dict[str, Any] = {
            name: check_name(value, setting=name)
            for name, value in (("voice", voice), ("model", model), ("language", language))
            if is_given(value)
        }
        if is_given(options):
            changes["options"] = {**self._settings.options, **check_mapping(options, setting="options")}
        self._adopt(replace(self._settings, **changes))

    def _adopt(self, settings: Settings) -> None:
        """Speak with *settings* from now on. Raises `ConfigurationError` if the vendor does not take them."""
        self._protocol.check(settings)
        self._settings = settings

    def _api_error(self, failure: Failure, settings: Settings) -> APIError:
        """LiveKit's typed error for *failure*, without credentials and texts. Raise it ``from None``."""
        asked = replace(settings, url=self._protocol.place(settings))
        return api_error(failure, vendor=self.provider, settings=asked)

    async def __aenter__(self) -> Self:
        return self

    async def aclose(self) -> None:
        """Close the connections, unless the session was given."""
        await self._sessions.aclose()
