"""One transcript from several recognisers, of which each heard a part of the audio. No I/O.

A recogniser that takes over gets all audio no FINAL has covered, so it says some of it again. What it says twice
is known in two ways. Where FINALs have times, audio up to the end of the last one is never given to anybody again.
Where they have none, it is, and the words are aligned with those that were said before
(:mod:`~agents.providers.protocol.repetition`).

What comes out holds LiveKit's order whoever speaks: START, INTERIM*, FINAL, END; START and END alternate; nothing
that is final is an interim again; no FINAL is empty.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from livekit.agents.language import LanguageCode
from livekit.agents.stt import SpeechData, SpeechEvent, SpeechEventType

from ..protocol.repetition import repeated_prefix, tokens
from .times import seconds

__all__ = ["JoinedTranscript"]

_BEYOND = 0.5
"""Seconds: a time so far after the last audio given is nonsense, one nearer is a rounding."""

_CLOCK_BACK = 5.0
"""Seconds: a recogniser whose times go back so far has started its clock again, and cannot be relied on."""

_MISSES = 2
"""So many finals that repeat nothing: the repetition is over, or was never said."""

_MAX_SAID = 1000


@dataclass(slots=True, eq=False)
class _Said:
    """A word of a final without times; it was spoken before *by* seconds of the audio."""

    word: str
    by: float
    covered: bool = False


class JoinedTranscript:
    """The transcript of one stream.

    Attributes:
        offset: what is added to all times that go out (LiveKit's ``start_time_offset``).
        acknowledged: seconds of the audio that finals cover.
        speaking: between START and END.
        end_held: END was announced, and the final that belongs before it has not come.
        timed: the recogniser's finals tell which audio they cover; ``None`` before the first.
    """

    def __init__(self) -> None:
        self.offset = 0.0
        self.acknowledged = 0.0
        self.speaking = False
        self.end_held = False
        self.timed: bool | None = None
        self._interim: SpeechEvent | None = None
        self._final_missing = False  # the open utterance has no final yet
        self._final_is_late = False  # END had to be said without it
        self._said: list[_Said] = []
        self._again: list[_Said] = []  # what the recogniser may still repeat
        self._let_go = False  # not all audio of what was said is kept
        self._may_begin_later = False  # so the repetition may begin anywhere in it
        self._misses = 0
        # of the recogniser that speaks now
        self._origin = 0.0
        self._last_end = 0.0
        self._trusted_clock = True
        self._announces = False
        self._has_spoken = False
        self._joined = False  # it has said something of the open utterance
        self._only_repeated = False  # its last transcript was final before

    def began(self, origin: float) -> None:
        """Another recogniser begins. Its audio starts at *origin* seconds."""
        self._origin = self._last_end = origin
        self._trusted_clock = True
        self._announces = self._has_spoken = self._joined = self._only_repeated = False
        self._misses = 0
        self.end_held = False  # its final comes from the new one, and then its end
        self.timed = None
        self._let_go = self._let_go or origin > self.acknowledged
        self.acknowledged = max(self.acknowledged, origin)
        self._said = [said for said in self._said if not said.covered and said.by > origin][-_MAX_SAID:]
        self._let_go = self._let_go and bool(self._said)
        self._may_begin_later = self._let_go
        self._again = list(self._said)

    def settled(self, position: float) -> None:
        """The recogniser was asked for all it had and has said it: audio before *position* needs nobody else."""
        self.acknowledged = max(self.acknowledged, position)

    @property
    def text_open(self) -> bool:
        """Whether words were said that no final has settled."""
        return self._interim is not None

    @property
    def carried(self) -> bool:
        """Whether the open utterance is one that another recogniser began, and this one has not gone on with."""
        return self.speaking and not self._has_spoken and self._interim is None

    @property
    def final_missing(self) -> bool:
        """Whether the open utterance has no final yet."""
        return self.speaking and self._final_missing

    def goes_on(self, interim: SpeechEvent) -> bool:
        """Whether *interim* goes out as it is, as nearly all do. It is noted then; else :meth:`accept` it."""
        said = interim.alternatives
        if not self.speaking or self._again or not said or not said[0].text.strip():
            return False
        self._has_spoken = self._joined = True
        self._only_repeated, self._interim = False, interim
        return True

    def accept(self, event: SpeechEvent, given: float) -> list[SpeechEvent]:
        """What LiveKit should hear of a recogniser's *event*, in order.

        Args:
            given: seconds of the stream's audio that the recogniser has been given.
        """
        kind = event.type
        if kind is SpeechEventType.INTERIM_TRANSCRIPT or kind is SpeechEventType.PREFLIGHT_TRANSCRIPT:
            self._has_spoken = True
            return self._partial(event)
        if kind is SpeechEventType.FINAL_TRANSCRIPT:
            self._has_spoken = True
            return self._final(event, given)
        if kind is SpeechEventType.START_OF_SPEECH:
            return self._started(event)
        if kind is SpeechEventType.END_OF_SPEECH:
            self._announces = self._has_spoken = True
            return self._ended(event)
        return [event]

    def end(self) -> list[SpeechEvent]:
        """END, if there is an utterance: what it waits for will not come any more."""
        if not self.speaking:
            return []
        self._final_is_late = self._final_missing  # if it comes at all, it gets an utterance of its own
        return [self._end(SpeechEvent(type=SpeechEventType.END_OF_SPEECH))]

    def finish(self) -> list[SpeechEvent]:
        """The stream is over. Words nobody made final count as final: they are the last that was heard."""
        out: list[SpeechEvent] = []
        if self._interim is not None:
            last, self._interim = self._interim, None
            out.extend(self._speak())
            out.append(dataclasses.replace(last, type=SpeechEventType.FINAL_TRANSCRIPT))
        if self.speaking:
            out.append(self._end(SpeechEvent(type=SpeechEventType.END_OF_SPEECH)))
        return out

    # ------------------------------------------------------------------ one kind of event each

    def _started(self, event: SpeechEvent) -> list[SpeechEvent]:
        self._announces = True
        if self._again:
            return []  # it may be about what is final already: the first new word tells
        out = self.end() if self.end_held else []
        self._has_spoken = self._joined = True
        return [*out, *self._speak(event)]

    def _partial(self, event: SpeechEvent) -> list[SpeechEvent]:
        data = event.alternatives[0] if event.alternatives else None
        text = data.text.strip() if data is not None else ""
        if not text:
            return self._retract()
        fresh = text
        if self._again:
            fresh, _ = repeated_prefix([said.word for said in self._again], text, cut=self._may_begin_later)
            if not fresh or (fresh == text and not self._is_new(data)):
                return []
        out = self._speak()
        self._joined, self._only_repeated = True, False
        self._interim = _trimmed(event, fresh)
        return [*out, self._interim]

    def _final(self, event: SpeechEvent, given: float) -> list[SpeechEvent]:
        data = event.alternatives[0] if event.alternatives else None
        text = data.text.strip() if data is not None else ""
        end = self._covered_until(data, given)
        fresh = self._without_said(text, end) if text and self._again else text
        self._only_repeated = bool(text) and not fresh
        late = self._final_is_late and not self.speaking
        if text:
            self._cover(fresh, end, given)
        elif end is not None:
            self._acknowledge(end)
        if fresh:
            out = self._speak()
            self._joined = True
            self._interim = None
            out.append(_trimmed(event, fresh))
        else:
            out = self._retract() if not text else []
        self._final_missing = self._final_missing and not fresh and bool(text)
        if fresh or not text:
            self._final_is_late = False
        if self.end_held or late or (fresh and not self._announces):
            out.extend(self._ended(SpeechEvent(type=SpeechEventType.END_OF_SPEECH)))
        return out

    def _ended(self, event: SpeechEvent) -> list[SpeechEvent]:
        if not self.speaking:
            return []
        if self._interim is not None or self._final_missing:
            # some announce the end before the text; others mean an older utterance
            self.end_held = self._joined and not self._only_repeated
            return []
        return [self._end(event)]

    # ------------------------------------------------------------------ which audio a final covers

    def _covered_until(self, data: SpeechData | None, given: float) -> float | None:
        """The end of a final on the stream's clock; ``None`` where it gives none, or one that cannot be."""
        if data is None or not self._trusted_clock:
            return None
        end = seconds(data.end_time) or seconds(data.words[-1].end_time if data.words else None)
        if end <= 0:
            return None
        end -= self.offset
        if end < self._last_end - _CLOCK_BACK or end <= self._origin:
            self._trusted_clock = False
            return None
        if end > given + _BEYOND:
            return None
        self._last_end = max(self._last_end, end)
        return min(end, given)

    def _cover(self, fresh: str, end: float | None, given: float) -> None:
        self.timed = end is not None
        if end is not None:
            self._acknowledge(end)
        elif fresh:
            self._said.extend(_Said(word, given) for word in tokens(fresh))

    def _acknowledge(self, end: float) -> None:
        self.acknowledged = max(self.acknowledged, end)
        for said in self._said:
            said.covered = said.covered or said.by <= end

    def _is_new(self, data: SpeechData | None) -> bool:
        """Whether *data* is about audio that came after all that was said without times."""
        start = seconds(data.start_time) - self.offset if data is not None and self._trusted_clock else 0.0
        return start > max((said.by for said in self._again), default=0.0)

    def _without_said(self, text: str, end: float | None) -> str:
        """Take off the beginning of *text* what was said before."""
        fresh, met = repeated_prefix([said.word for said in self._again], text, cut=self._may_begin_later)
        if met:
            if end is not None:
                for said in self._again[:met]:
                    said.covered = True
            self._again = self._again[met:]
            self._may_begin_later = False
        else:
            self._misses += 1
        if end is not None:  # the order of the audio is the order of the words
            self._again = [said for said in self._again if said.by > end]
        elif self._misses >= _MISSES:
            self._again = []
        return fresh

    # ------------------------------------------------------------------ parts

    def _speak(self, event: SpeechEvent | None = None) -> list[SpeechEvent]:
        if self.speaking:
            return []
        self.speaking = self._final_missing = True
        return [event or SpeechEvent(type=SpeechEventType.START_OF_SPEECH)]

    def _end(self, event: SpeechEvent) -> SpeechEvent:
        self.speaking = self.end_held = self._final_missing = self._joined = False
        return event

    def _retract(self) -> list[SpeechEvent]:
        """Take back an interim nobody stands by, or LiveKit would commit it later."""
        last, self._interim = self._interim, None
        if last is None:
            return []
        empty = SpeechData(language=last.alternatives[0].language or LanguageCode(""), text="")
        return [SpeechEvent(type=SpeechEventType.INTERIM_TRANSCRIPT, alternatives=[empty])]


def _trimmed(event: SpeechEvent, fresh: str) -> SpeechEvent:
    """*event* with only the end *fresh* of its text, and the words that belong to it."""
    data = event.alternatives[0]
    if fresh == data.text.strip():
        return event
    words, kept = data.words, len(fresh.split())
    words = words[-kept:] if words and kept and len(words) == len(data.text.split()) else None
    start = data.start_time
    if words and isinstance(words[0].start_time, (int, float)):
        start = words[0].start_time
    cut = dataclasses.replace(data, text=fresh, words=words, start_time=start)
    return dataclasses.replace(event, alternatives=[cut])
