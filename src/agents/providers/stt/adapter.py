"""What both speech-to-text adapters share: LiveKit's contract, the configuration checks, the counters."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from livekit.agents import stt
from livekit.agents.types import NOT_GIVEN, NotGivenOr
from livekit.agents.utils import is_given

from ..base import ConfigurationError
from ..transport.checks import check_name

__all__ = ["OnFailure", "STTAdapter", "Stats", "given"]

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


def given(language: NotGivenOr[str] | None) -> str | None:
    """LiveKit's "not given" as ``None``. Raises `ConfigurationError` for what is no text."""
    return check_name(language, setting="language") if is_given(language) else None
