"""What a stream of LiveKit speech events must hold, whatever happened to the connection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from livekit.agents.stt import SpeechData, SpeechEvent, SpeechEventType

from .numbered_words import SpokenWord, numbers_in
from .oracle import ConnectionRecord

__all__ = ["StreamReport"]

_TIME_TOLERANCE = 0.05
_USAGE_TOLERANCE = 0.1


@dataclass
class StreamReport:
    """A stream's events beside what was said, and whatever else was noticed.

    Attributes:
        spoken: the words that were in the audio.
        audio_seconds: audio pushed.
        events: all the stream's events, in order.
        times_known: the vendor gives times; without them ``end_time`` must stay 0.
        error: what ended the stream, when it did not end by itself.
        recoverable_errors: ``error`` events that ended nothing.
        timed_out: the stream did not end in the time it was given.
        leaks: tasks and sockets that were left behind.
        connections: the server's records.
        faults_fired: how many of the schedule's faults happened.
        wall_seconds: how long it took.
    """

    spoken: Sequence[SpokenWord]
    audio_seconds: float
    events: list[SpeechEvent] = field(default_factory=list)
    times_known: bool = True
    error: BaseException | None = None
    recoverable_errors: int = 0
    timed_out: bool = False
    leaks: list[str] = field(default_factory=list)
    connections: list[ConnectionRecord] = field(default_factory=list)
    faults_fired: int = 0
    wall_seconds: float = 0.0

    @property
    def finals(self) -> list[int]:
        """The numbers of the words in all FINALs, in order."""
        return [n for event in self._of(SpeechEventType.FINAL_TRANSCRIPT) for n in numbers_in(_text(event))]

    @property
    def lost(self) -> list[int]:
        """Words that were spoken and are in no FINAL."""
        finals = set(self.finals)
        return [word.number for word in self.spoken if word.number not in finals]

    @property
    def doubled(self) -> list[int]:
        """Words that are in FINALs more than once."""
        return sorted(number for number, times in Counter(self.finals).items() if times > 1)

    @property
    def usage_seconds(self) -> float:
        """The audio the stream says was billed."""
        usages = [event.recognition_usage for event in self._of(SpeechEventType.RECOGNITION_USAGE)]
        return sum(usage.audio_duration for usage in usages if usage is not None)

    def problems(self) -> list[str]:
        """Everything that must not be, in words; empty when all is well."""
        found: list[str] = []
        if self.timed_out:
            found.append("the stream did not end in time")
        if self.error is not None:
            found.append(f"the stream failed: {type(self.error).__name__}: {self.error}")
        if self.lost:
            found.append(f"words lost: {self.lost}")
        if self.doubled:
            found.append(f"words doubled: {self.doubled}")
        finals = self.finals
        if finals != sorted(finals):
            found.append(f"words out of order: {finals}")
        found += self._wrong_order() + self._wrong_times() + self._wrong_usage()
        found += [f"left behind: {leak}" for leak in self.leaks]
        return found

    def transcript(self) -> str:
        """The events as lines, for people who look for what went wrong."""
        return "\n".join(
            f"{event.type.value:22} {_times(event)} {_text(event)}"
            for event in self.events
            if event.type is not SpeechEventType.RECOGNITION_USAGE
        )

    def _of(self, kind: SpeechEventType) -> list[SpeechEvent]:
        return [event for event in self.events if event.type is kind]

    def _wrong_order(self) -> list[str]:
        found: list[str] = []
        speaking = False
        final: set[int] = set()
        open_interim = ""
        for position, event in enumerate(self.events):
            kind, where = event.type, f"(event {position})"
            if kind is SpeechEventType.START_OF_SPEECH:
                if speaking:
                    found.append(f"START while START is open {where}")
                speaking = True
            elif kind is SpeechEventType.END_OF_SPEECH:
                if not speaking:
                    found.append(f"END without START {where}")
                if open_interim:
                    found.append(f"END before the FINAL of {open_interim!r} {where}")
                speaking, open_interim = False, ""
            elif kind in _TRANSCRIPTS:
                found += self._wrong_transcript(event, speaking, final, where)
                if kind is SpeechEventType.FINAL_TRANSCRIPT:
                    final |= set(numbers_in(_text(event)))
                    open_interim = ""  # LiveKit forgets its interim with every FINAL, whichever words it had
                else:
                    open_interim = _text(event)
            elif kind is SpeechEventType.RECOGNITION_USAGE and event.recognition_usage is None:
                found.append(f"USAGE without a payload {where}")
        if speaking and self.error is None and not self.timed_out:
            found.append("START without END at the end of the stream")
        return found

    def _wrong_transcript(self, event: SpeechEvent, speaking: bool, final: set[int], where: str) -> list[str]:
        name = event.type.value
        if not event.alternatives:
            return [f"{name} without alternatives {where}"]
        found = []
        text = _text(event)
        if not text.strip() and event.type is not SpeechEventType.INTERIM_TRANSCRIPT:  # which takes one back
            found.append(f"{name} without text {where}")
        if not speaking:
            found.append(f"{name} {text!r} before START {where}")
        if event.type is not SpeechEventType.FINAL_TRANSCRIPT:
            again = sorted(final & set(numbers_in(text)))
            if again:
                found.append(f"{name} of words already final {again} {where}")
        return found

    def _wrong_times(self) -> list[str]:
        found: list[str] = []
        spoken = {word.number: word for word in self.spoken}
        for event in self._of(SpeechEventType.FINAL_TRANSCRIPT):
            numbers = [n for n in numbers_in(_text(event)) if n in spoken]
            if not numbers or not event.alternatives:
                continue
            data = event.alternatives[0]
            if not self.times_known:
                if data.end_time:
                    found.append(f"FINAL {data.text!r} ends at {data.end_time:.2f} s: the vendor never said so")
                continue
            first, last = spoken[numbers[0]], spoken[numbers[-1]]
            found += _off(f"the start of FINAL {data.text!r}", data.start_time, first.start)
            found += _off(f"the end of FINAL {data.text!r}", data.end_time, last.end)
            found += _wrong_words(data, spoken)
        return found

    def _wrong_usage(self) -> list[str]:
        if self.usage_seconds > self.audio_seconds + _USAGE_TOLERANCE:
            return [f"usage of {self.usage_seconds:.2f} s for {self.audio_seconds:.2f} s of audio"]
        return []


_TRANSCRIPTS = (
    SpeechEventType.INTERIM_TRANSCRIPT,
    SpeechEventType.PREFLIGHT_TRANSCRIPT,
    SpeechEventType.FINAL_TRANSCRIPT,
)


def _text(event: SpeechEvent) -> str:
    return event.alternatives[0].text if event.alternatives else ""


def _times(event: SpeechEvent) -> str:
    if not event.alternatives:
        return " " * 15
    data = event.alternatives[0]
    return f"{data.start_time:7.2f}–{data.end_time:7.2f}"


def _off(what: str, told: float, true: float) -> list[str]:
    if abs(told - true) <= _TIME_TOLERANCE:
        return []
    return [f"{what} is given as {told:.3f} s, and is {true:.3f} s"]


def _wrong_words(data: SpeechData, spoken: dict[int, SpokenWord]) -> list[str]:
    found: list[str] = []
    for word in data.words or ():
        numbers = numbers_in(str(word))
        if not numbers or numbers[0] not in spoken:
            continue
        truth = spoken[numbers[0]]
        if isinstance(word.start_time, (int, float)):
            found += _off(f"the start of word {str(word)!r}", word.start_time, truth.start)
        if isinstance(word.end_time, (int, float)):
            found += _off(f"the end of word {str(word)!r}", word.end_time, truth.end)
    return found
