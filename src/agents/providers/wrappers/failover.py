"""Several recognisers as one: when one fails or falls silent, the next goes on, and no word is lost."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, cast

from livekit.agents import APIConnectionError, APIConnectOptions, APIError, stt, utils, vad
from livekit.agents.language import LanguageCode
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr

from ..base import ConfigurationError
from ..stt.adapter import OnFailure, given
from ..transport.bounded import bounded
from ..transport.checks import check_choice
from ..transport.event_loops import PerLoop
from .failover_breaker import Breaker, BreakerOptions
from .failover_callers import caller_of_this
from .failover_members import accepted_options, as_streaming, check_members, combined
from .failover_segments import SegmentedSTT, recognise_or_raise
from .failover_stream import FailoverStream

if TYPE_CHECKING:
    from livekit.agents.llm.chat_context import MetricsMetadata
    from livekit.agents.voice.events import ConversationItemAddedEvent

__all__ = ["FailoverSTTAdapter", "FailoverStats"]

logger = logging.getLogger("agents.providers.wrappers")


@dataclass(frozen=True, slots=True)
class _Options:
    silence_limit: float
    replay_seconds: float
    attempt_timeout: float
    on_failure: OnFailure
    probe: Literal["background", "next_utterance"]
    speech_by: Literal["energy", "vad"]


@dataclass(slots=True)
class FailoverStats:
    """What an adapter has been through, counted since it was made. Durations are seconds of audio."""

    switches: int = 0
    silences: int = 0
    replayed_seconds: float = 0.0
    dropped_seconds: float = 0.0
    empty_results: int = 0

    @property
    def reconnects(self) -> int:
        """As Voxport's other adapters count them: streams that were opened to go on with a caller."""
        return self.switches

    def as_dict(self) -> dict[str, float]:
        """The counters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class FailoverSTTAdapter(stt.STT[Literal["stt_availability_changed"]]):
    """An ordered list of recognisers that works as long as one of them does.

    A stream goes on with the next member when the active one raises, ends its stream, reports one error after the
    other, or says nothing although somebody speaks. The next one is given all audio no FINAL has covered.

    Emits what LiveKit's ``FallbackAdapter`` emits: ``metrics_collected`` and ``error`` of the members, each once
    (an ``error`` is ``recoverable`` as long as this adapter goes on), and ``stt_availability_changed``.

    Args:
        members: any STTs, the preferred one first: Voxport's, LiveKit's plugins, wrapped ones. They may differ in
            vendor, sample rate and kind. They are not closed by :meth:`aclose`.
        vad: finds the utterances for members that only recognise recordings, and with ``speech_by="vad"`` tells
            whether somebody speaks. It is not closed either.
        silence_limit: seconds a member may say nothing about speech. It must be longer than the silence by which
            the vendors tell the end of an utterance.
        replay_seconds: how much audio that is not final is kept for the next member.
        on_failure: when all members are down, ``"degrade"`` keeps trying with growing waits and keeps the audio;
            a recording gets an empty FINAL. ``"raise"`` raises after ``conn_options.max_retry`` more rounds.
            Failures no member can recover from (wrong keys) raise in both.
        attempt_timeout: seconds one member may take for a recording.
        breaker_failures: so many failures in a row take a member out of use.
        breaker_seconds: for how long; it doubles with each failed trial.
        breaker_max_seconds: and for how long at most.
        probe: how a member comes back into use: ``"background"`` lets it hear the next speech beside the active
            one (which the vendor bills); ``"next_utterance"`` hands it the next utterance.
        speech_by: ``"energy"`` costs next to nothing and takes any loud sound for speech; ``"vad"`` runs *vad* on
            all audio.

    Raises:
        ConfigurationError: with what to change.
    """

    def __init__(
        self,
        members: Sequence[stt.STT[Any]],
        *,
        vad: vad.VAD | None = None,
        silence_limit: float = 5.0,
        replay_seconds: float = 60.0,
        on_failure: OnFailure = "degrade",
        attempt_timeout: float = 10.0,
        breaker_failures: int = 1,
        breaker_seconds: float = 5.0,
        breaker_max_seconds: float = 60.0,
        probe: Literal["background", "next_utterance"] = "background",
        speech_by: Literal["energy", "vad"] = "energy",
    ) -> None:
        check_members(members)
        check_choice(on_failure, ("degrade", "raise"), setting="on_failure")
        check_choice(probe, ("background", "next_utterance"), setting="probe")
        check_choice(speech_by, ("energy", "vad"), setting="speech_by")
        if speech_by == "vad" and vad is None:
            raise ConfigurationError('speech_by="vad" needs a VAD: give one as vad=…')
        for name, value in {
            "silence_limit": silence_limit,
            "replay_seconds": replay_seconds,
            "attempt_timeout": attempt_timeout,
        }.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise ConfigurationError(f"{name} must be more than 0 seconds, not {value!r}")
        breaker = BreakerOptions(
            failures=breaker_failures, seconds=breaker_seconds, max_seconds=breaker_max_seconds
        )
        self.members = tuple(members)
        """As they were given."""
        self._members = [as_streaming(member, vad) for member in members]
        super().__init__(capabilities=combined(self._members))
        self.stats = FailoverStats()
        self._options = _Options(silence_limit, replay_seconds, attempt_timeout, on_failure, probe, speech_by)
        self._vad = vad
        self._breakers = [Breaker(breaker) for _ in members]
        self._active = 0
        self._streams: PerLoop[weakref.WeakSet[FailoverStream]] = PerLoop(weakref.WeakSet)
        self._trials: PerLoop[set[asyncio.Task[None]]] = PerLoop(set)
        self._recognize_metrics_needed = False  # the members report theirs
        self._handlers: list[tuple[stt.STT[Any], str, Callable[..., None]]] = []
        self._sources = [m.wrapped_stt if isinstance(m, SegmentedSTT) else m for m in self._members]
        for place, source in enumerate(self._sources):
            self._listen(source, "metrics_collected", self._on_metrics)
            self._listen(source, "error", self._error_handler(place))

    def _listen(self, source: stt.STT[Any], event: Any, handler: Callable[..., None]) -> None:
        source.on(event, handler)
        self._handlers.append((source, event, handler))

    # ------------------------------------------------------------------ what it is

    @property
    def active(self) -> stt.STT[Any]:
        """The member that serves, or did so last."""
        return self.members[self._active]

    @property
    def available(self) -> tuple[bool, ...]:
        """Which members are in use, in order."""
        return tuple(breaker.closed for breaker in self._breakers)

    @property
    def model(self) -> str:
        return self.active.model

    @property
    def provider(self) -> str:
        return self.active.provider

    @property
    def metrics_metadata(self) -> MetricsMetadata:
        return self.active.metrics_metadata

    @property
    def capabilities(self) -> stt.STTCapabilities:
        """What holds whoever serves. Computed anew, since members may change theirs."""
        self._capabilities = combined(self._members)
        return self._capabilities

    # ------------------------------------------------------------------ streams

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions | None = DEFAULT_API_CONNECT_OPTIONS,
    ) -> FailoverStream:
        """A stream for one caller's audio."""
        if not self._capabilities.streaming:
            raise ConfigurationError("no member streams: give a VAD as vad=…, and recordings are cut by it")
        return FailoverStream(
            stt=self, language=language, conn_options=conn_options or DEFAULT_API_CONNECT_OPTIONS
        )

    # ------------------------------------------------------------------ recordings

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions | None = None,
    ) -> stt.SpeechEvent:
        """Ask one member after the other, each once. LiveKit's ``recognize`` repeats the round.

        Raises:
            APIConnectionError: all have failed, and ``on_failure`` says so or none can ever work.
        """
        options = dataclasses.replace(conn_options or DEFAULT_API_CONNECT_OPTIONS, max_retry=0)
        now = asyncio.get_running_loop().time
        able = [place for place, member in enumerate(self._sources) if member.capabilities.offline_recognize]
        error: Exception = APIConnectionError("no member recognises recordings")
        permanent = True
        # the caller does not wait for a member that may be down while there is one that is not
        for place in sorted(able, key=lambda place: (not self._breakers[place].closed, place)):
            breaker = self._breakers[place]
            try:
                result = await self._ask(place, buffer, language, options)
            except Exception as failure:
                error = failure
                permanent = permanent and _is_permanent(failure)
                self.stats.switches += 1
                if breaker.failed(now(), permanent=_is_permanent(failure)):
                    self._changed(place, available=False)
                logger.warning("%s failed: %s", self._name(place), failure, extra={"stt": self.label})
                continue
            self._active = place
            if breaker.succeeded():
                self._changed(place, available=True)
            for other in able[: able.index(place)]:
                if self._breakers[other].half_open(now()):
                    self._try_out(other, buffer, language, options)
            return result
        if self._options.on_failure == "degrade" and not permanent:
            self._emit_error(error, recoverable=True)
            self.stats.empty_results += 1
            language_code = LanguageCode(given(language) or "")
            return stt.SpeechEvent(
                type=stt.SpeechEventType.FINAL_TRANSCRIPT,
                alternatives=[stt.SpeechData(language=language_code, text="")],
            )
        raise APIConnectionError(
            f"all members failed ({self._names}); the last one: {error}", retryable=not permanent
        ) from error

    async def _ask(
        self, place: int, buffer: utils.AudioBuffer, language: NotGivenOr[str], options: APIConnectOptions
    ) -> stt.SpeechEvent:
        asked = recognise_or_raise(self._sources[place], buffer, language=language, conn_options=options)
        try:
            return await bounded(asked, self._options.attempt_timeout)
        except asyncio.TimeoutError:
            raise APIConnectionError(f"no result within {self._options.attempt_timeout:g} s") from None

    def _try_out(
        self, place: int, buffer: utils.AudioBuffer, language: NotGivenOr[str], options: APIConnectOptions
    ) -> None:
        """Have a member that is half open recognise the recording too, for nobody but its breaker."""
        breaker = self._breakers[place]
        breaker.on_trial = True

        async def trial() -> None:
            try:
                await self._ask(place, buffer, language, options)
            except Exception as failure:
                breaker.failed(asyncio.get_running_loop().time(), permanent=_is_permanent(failure))
            else:
                if breaker.succeeded():
                    self._changed(place, available=True)
            finally:
                breaker.on_trial = False

        task = asyncio.get_running_loop().create_task(trial(), name="voxport.failover.trial")
        trials = self._trials.here()
        trials.add(task)
        task.add_done_callback(trials.discard)

    # ------------------------------------------------------------------ events

    def _on_metrics(self, *args: Any) -> None:
        self.emit("metrics_collected", *args)

    def _error_handler(self, place: int) -> Callable[..., None]:
        def on_error(error: Any) -> None:
            told = isinstance(error, stt.STTError)
            # what ends a member does not end what it is a member of
            self.emit("error", error.model_copy(update={"recoverable": True}) if told else error)
            if told and error.recoverable:
                streams = list(self._streams.here())  # a member tells of it on the loop it happened on
                caller = caller_of_this(streams)
                for stream in streams if caller is None else [caller]:
                    stream._lookout.on_error(place)

        return on_error

    def _report(self, place: int, error: Exception) -> None:
        """Tell of a failure the member has not told of itself."""
        label = self.members[place].label
        self.emit("error", stt.STTError(timestamp=time.time(), label=label, error=error, recoverable=True))

    def _changed(self, place: int, *, available: bool) -> None:
        member = self.members[place]
        logger.info("%s is %s", self._name(place), "in use again" if available else "out of use")
        self.emit("stt_availability_changed", stt.AvailabilityChangedEvent(stt=member, available=available))

    def _name(self, place: int) -> str:
        """A member, for messages: two of one kind have the same label."""
        member = self.members[place]
        return f"member {place + 1} ({member.provider}, {member.label.rpartition('.')[2]})"

    @property
    def _names(self) -> str:
        return ", ".join(self._name(place) for place in range(len(self.members)))

    def _serving(self, place: int) -> None:
        self._active = place

    # ------------------------------------------------------------------ passed through

    def update_options(self, **options: Any) -> None:
        """Change options of every member that has them, live streams included.

        Raises:
            TypeError: no member has such an option.
            Exception: what the first member raises that refuses a value; the others are changed nevertheless.
        """
        plans = [(member, accepted_options(member, options)) for member in self.members]
        unknown = sorted(set(options) - {name for _, accepted in plans for name in accepted})
        if unknown:
            raise TypeError(f"no member has the option {', '.join(unknown)}")
        refused: list[Exception] = []
        for member, accepted in plans:
            try:
                if accepted:
                    cast(Any, member).update_options(**accepted)
            except Exception as error:
                refused.append(error)
        if refused:
            raise refused[0]

    def _update_session_keyterms(self, keyterms: list[str]) -> None:
        for member in self.members:
            if member.capabilities.keyterms:
                member._update_session_keyterms(keyterms)

    def _push_conversation_item(self, ev: ConversationItemAddedEvent) -> None:
        for member in self.members:
            if member.capabilities.chat_context:
                member._push_conversation_item(ev)

    def prewarm(self) -> None:
        """Pre-warm the preferred member, as LiveKit does: the others serve only when it fails."""
        self.members[0].prewarm()

    async def aclose(self) -> None:
        """Close the streams of this event loop. The members belong to whoever made them, and stay open."""
        for stream in list(self._streams.take() or ()):
            await stream.aclose()
        for task in list(self._trials.take() or ()):
            await utils.aio.cancel_and_wait(task)
        handlers, self._handlers = self._handlers, []
        for source, event, handler in handlers:
            source.off(event, handler)


def _is_permanent(error: Exception) -> bool:
    return isinstance(error, APIError) and not error.retryable
