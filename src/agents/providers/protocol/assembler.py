"""From what a vendor says to what LiveKit expects to hear.

Per utterance: START, then INTERIM and PREFLIGHT as the text is revised, then FINAL, then END; then the next. The
vendor may leave out, repeat or delay any of it, and the connection may break in between: the order out is the
same. Times go in on the clock of the connection and come out on the audio clock of the stream.
"""

from __future__ import annotations

from collections.abc import Sequence

from livekit.agents.language import LanguageCode
from livekit.agents.stt import RecognitionUsage, SpeechData, SpeechEvent, SpeechEventType

from .events import Event, Final, LazyWords, Partial, Segment, SpeechEnded, SpeechStarted, Usage, Word
from .repetition import tokens
from .timing import WithWords, placed, placed_span
from .unplaced import UnplacedWords

__all__ = ["TranscriptAssembler"]

_SAME_MOMENT = 0.001
"""Seconds: times closer than this are the same."""

_CLOCK_FAULTS = 2
"""After so many finals with new words at times that were before, the vendor's times are not believed any more."""

_LEFT_OPEN = 2
"""A vendor that began so many utterances anew without the end of the one before says no ends."""

_Said = tuple[float, float, str, str | None]
"""Start, end, text and speaker of a final."""


class TranscriptAssembler:
    """The transcript of one stream, across all its connections.

    Args:
        language: what to report where the vendor names none.
        announces_end: as in :class:`~.streaming.Traits`.

    Attributes:
        offset: seconds added to every time that goes out (LiveKit's ``start_time_offset``).
        started_at: wall-clock time of the stream's first sample, for ``speech_start_time``; 0 when unknown.
        acknowledged: seconds of audio that finals cover.
        speaking: between START and END.
        end_held: the vendor announced the end, and the final that belongs before it has not come yet.
        gives_times: whether the last final with text said which audio it covers; ``None`` before the first.
        final_through: the end of the last final, in seconds of the stream; ``None`` where it gave none.
    """

    def __init__(self, *, language: str | None = None, announces_end: bool | None = None) -> None:
        self.offset = 0.0
        self.started_at = 0.0
        self.acknowledged = 0.0
        self.speaking = False
        self.end_held = False
        self._language = LanguageCode(language or "")
        self._languages: dict[str, LanguageCode] = {}
        self._announces_end = announces_end
        self._end_heard = False
        self._left_open = 0  # utterances whose end was not said when the next began
        self.gives_times: bool | None = None
        self.final_through: float | None = None
        self._said_through = 0.0
        self._said: list[_Said] = []
        self._said_earlier: list[_Said] = []  # on other connections
        self._clock_faults = 0
        self._said_again_through = 0.0  # audio before this is sent again though a final covers it
        self._interim: WithWords | None = None
        self._interim_end: float | None = None
        self._final_missing = False  # the open utterance has no final yet
        self._final_is_late = False  # END had to be said without it
        self._end_is_stale = False  # the next end belongs to what was said before the drop
        self._request_id = ""
        self._segment_ids: list[str] = []
        # where the clock of the connection stands on that of the stream: (connection, stream) seconds
        self._anchors: list[tuple[float, float]] = [(0.0, 0.0)]
        self._unplaced = UnplacedWords()

    @property
    def owes_text(self) -> bool:
        """Whether the open utterance has no final yet, or text after it that is not final."""
        return self._interim is not None or (self.speaking and self._final_missing)

    # ------------------------------------------------------------------ the connection

    def assume(self, language: str | None) -> None:
        """What to report from now on where the vendor names no language."""
        self._language = LanguageCode(language or "")

    def connected(self, origin: float, *, request_id: str = "") -> None:
        """A new connection begins; its audio clock starts at *origin* seconds of the stream."""
        self._anchors = [(0.0, origin)]
        self._segment_ids.clear()
        self._said_earlier = self._said
        self._request_id = request_id
        self._said_again_through = self._said_through if origin < self._said_through - _SAME_MOMENT else 0.0
        self._unplaced.reconnected(origin, let_go=origin > self.acknowledged + _SAME_MOMENT)
        self.acknowledged = max(self.acknowledged, origin)

    def skipped(self, connection: float, stream: float) -> None:
        """From *connection* seconds on, the connection carries audio from *stream* seconds: audio was lost."""
        self._anchors = [*self._anchors, (connection, stream)]  # a new list: words may still refer to the old one

    def identified(self, request_id: str) -> None:
        """The vendor named this connection."""
        self._request_id = request_id

    # ------------------------------------------------------------------ what the vendor says

    def accept(self, event: Event, sent: float) -> list[SpeechEvent]:
        """What LiveKit should hear of *event*, in order.

        Args:
            event: transcript, speech and usage events; others mean nothing here and give nothing.
            sent: seconds of the stream's audio that were sent so far; no time can lie beyond.
        """
        if isinstance(event, Partial):
            return self.partial(event, sent)
        if isinstance(event, Final):
            return self._final(event, sent)
        if isinstance(event, SpeechStarted):
            return self._started(event, sent)
        if isinstance(event, SpeechEnded):
            return self._stopped()
        if isinstance(event, Usage):
            return [self.usage(event)]
        return []

    def flushed(self, position: float) -> list[SpeechEvent]:
        """The vendor answered a flush that was sent at *position* seconds: all audio before is final."""
        if position > self.acknowledged:  # one that makes no audio final makes no words certain
            self.acknowledged = position
            self._unplaced.certain()
            self._unplaced.again = []
        return self.release_end() if self._interim is None else []

    def release_end(self) -> list[SpeechEvent]:
        """END, if it waits for a final that will not come any more."""
        if not self.end_held:
            return []
        self._final_is_late = True  # if it comes at all, it gets an utterance of its own
        return [self._end()]

    def finish(self) -> list[SpeechEvent]:
        """The stream is over. Text the vendor never made final counts as final: it is the last that was heard."""
        out: list[SpeechEvent] = []
        if self._interim is not None:
            last, self._interim = self._interim, None
            out.extend(self._speak(None))
            out.append(self._transcript(SpeechEventType.FINAL_TRANSCRIPT, last))
        if self.speaking:
            out.append(self._end())
        return out

    def usage(self, usage: Usage) -> SpeechEvent:
        """LiveKit's event for an increment of usage."""
        return SpeechEvent(
            type=SpeechEventType.RECOGNITION_USAGE,
            request_id=self._request_id,
            recognition_usage=RecognitionUsage(
                audio_duration=usage.audio_seconds,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
            ),
        )

    # ------------------------------------------------------------------ one kind of event each

    def partial(self, partial: Partial, sent: float) -> list[SpeechEvent]:
        """:meth:`accept` for a partial, which is what most messages bring."""
        start, end = placed_span(partial.start, partial.end, self._anchors, sent)
        if start is None or end is None or start > end or self._clock_faults:
            start, end = self._span(partial, sent)
        if end is not None and end <= self._said_through + _SAME_MOMENT:
            if not self._clock_faults:
                return []  # about audio that is final already
            start = end = None  # said of such a vendor, that tells nothing
        text, words = partial.text.strip(), partial.words
        if text and self._unplaced.again:
            fresh = self._unplaced.new_in_interim(text)
            if not fresh:
                return []
            text, words = fresh, _words_of(fresh, text, words)
        if not text:
            return self._retract()
        out = [] if self.speaking else self._speak(start)
        self._interim_end = end
        if type(words) is LazyWords and not self._clock_faults:
            first, last = placed_span(words.start, words.end, self._anchors, sent)
            if first is None or last is None or last <= self._said_through + _SAME_MOMENT:
                pass  # of audio that is final already
            elif (start or 0.0) <= first <= last and (end is None or last <= end):  # as _spoken has it
                start, end = first, last
        elif partial.words is not None:
            first, last = self._spoken(partial, start, end, sent)
            if last is None or last > self._said_through + _SAME_MOMENT:
                start, end = first, last
        self._interim = interim = self._data(partial, text, start, end)
        if words is not None:
            interim.words_later(words, self._anchors, sent, self.offset)
        kind = SpeechEventType.PREFLIGHT_TRANSCRIPT if partial.stable else SpeechEventType.INTERIM_TRANSCRIPT
        request_id = partial.request_id or self._request_id
        out.append(SpeechEvent(type=kind, request_id=request_id, alternatives=[interim]))
        return out

    def _final(self, final: Final, sent: float) -> list[SpeechEvent]:
        start, end = self._span(final, sent)
        text, words = final.text.strip(), final.words
        if final.ends_utterance:
            self._announces_end = self._end_heard = True
        if text and self._repeats(final, start, end):
            self.final_through = end
            return self._ended() if final.ends_utterance else []
        if text and end is not None and self._was_before(final, start, end):
            start = end = None
        self.final_through = end
        if text and self._unplaced.again:
            fresh = self._unplaced.new_in_final(text)
            text, words = fresh, _words_of(fresh, text, words)
        self._place(text, final.speaker, start, end, sent)
        late = self._final_is_late and not self.speaking
        if text:
            self._end_is_stale = False
            out = self._speak(start)
            self._interim = None
            data = self._data(final, text, *self._spoken(final, start, end, sent))
            if words is not None:
                data.words_later(words, self._anchors, sent, self.offset)
            out.append(self._transcript(SpeechEventType.FINAL_TRANSCRIPT, data, final.request_id))
        elif not final.text.strip() and self._covers_interim(end):
            out = self._retract()
        else:  # said before the drop: an interim may be about what comes after it
            self._end_is_stale = bool(final.text.strip())
            out = []
            if self._end_is_stale and (self._interim is not None or self._final_missing):
                return out  # its end was said too, and is not that of the utterance that is open
        self._final_missing = False
        self._final_is_late = False
        if final.ends_utterance or self.end_held or late or (text and not self._announces_end):
            out.extend(self._ended())
        return out

    def _place(self, text: str, speaker: str | None, start: float | None, end: float | None, sent: float) -> None:
        """Note which audio a final covers."""
        if end is not None:
            if end > self.acknowledged and not self._clock_faults:
                self._unplaced.certain()  # words come in the order of the audio, so those before are final too
            self.acknowledged = max(self.acknowledged, end)
            self._unplaced.again = []  # this vendor's times tell what is new
            if text:
                self.gives_times = True
                self._said_through = max(self._said_through, end)
                said = (start if start is not None else end, end, text, speaker)
                self._said = [*self._said[-31:], said]
        elif text:
            self.gives_times = False
            self._unplaced.add(text, sent)

    def _started(self, event: SpeechStarted, sent: float) -> list[SpeechEvent]:
        self._end_is_stale = False
        if self._unplaced.again:
            return []  # the beginning of something that was said; what is new begins with its text
        out = self.release_end()
        if self.speaking and not self.owes_text and not self._end_heard:
            self._left_open += 1
        if self._left_open < _LEFT_OPEN:
            self._announces_end = True
        else:  # it says when speech begins and never when it ends: its finals do
            self._announces_end = False
            if self.speaking and not self.owes_text:
                out.append(self._end())
        out.extend(self._speak(placed(event.at, self._anchors, sent)))
        return out

    def _stopped(self) -> list[SpeechEvent]:
        self._announces_end = self._end_heard = True
        self._left_open = 0
        stale, self._end_is_stale = self._end_is_stale, False
        if stale or self._unplaced.again:
            return []  # the end of something that was said, and so was its end
        return self._ended()

    def _ended(self) -> list[SpeechEvent]:
        if not self.speaking:
            return []
        if self._interim is not None or self._final_missing:  # some vendors announce the end before the text
            self.end_held = True
            return []
        return [self._end()]

    # ------------------------------------------------------------------ parts

    def _speak(self, at: float | None) -> list[SpeechEvent]:
        if self.speaking:
            return []
        self.speaking = True
        self._final_missing = True
        onset = self.started_at + at if at is not None and self.started_at else None
        return [
            SpeechEvent(type=SpeechEventType.START_OF_SPEECH, request_id=self._request_id, speech_start_time=onset)
        ]

    def _end(self) -> SpeechEvent:
        self.speaking = False
        self.end_held = False
        return SpeechEvent(type=SpeechEventType.END_OF_SPEECH, request_id=self._request_id)

    def _retract(self) -> list[SpeechEvent]:
        """Replace a partial the vendor took back, or LiveKit would keep it and commit it later."""
        last, self._interim = self._interim, None
        if last is None:
            return []
        empty = SpeechData(language=last.language, text="")
        return [self._transcript(SpeechEventType.INTERIM_TRANSCRIPT, empty)]

    def _covers_interim(self, end: float | None) -> bool:
        return end is None or self._interim_end is None or self._interim_end <= end + _SAME_MOMENT

    def _repeats(self, final: Final, start: float | None, end: float | None) -> bool:
        """Whether the vendor says the same segment again."""
        said = self._said
        if final.segment_id is not None:
            if final.segment_id in self._segment_ids:
                return True
            self._segment_ids = [*self._segment_ids[-63:], final.segment_id]
            said = self._said_earlier  # a name tells nothing about other connections
        if end is None or end > self._said_through + _SAME_MOMENT:
            return False
        there = _said_at(said, start, end)
        if end <= self._said_again_through + _SAME_MOMENT and there:
            return True  # however it is spelled this time
        again = _plain(final.text)
        return any(again in _plain(text) for text, _ in there)

    def _was_before(self, final: Final, start: float | None, end: float) -> bool:
        """Whether *final* has new words and times that were before, so that they tell nothing.

        A final that comes late lies between the others, and one of another speaker may lie on them. The rest comes
        from servers whose times begin anew with each utterance, are whole seconds, or zero by default.
        """
        if end > self._said_through + _SAME_MOMENT:
            return False
        there = _said_at(self._said, start, end)
        if end > _SAME_MOMENT and all(speaker != final.speaker for _, speaker in there):
            return False
        self._clock_faults += 1
        return True

    def _data(self, segment: Segment, text: str, start: float | None, end: float | None) -> WithWords:
        language = self._language
        if segment.language:
            known = self._languages.get(segment.language)
            if known is None:
                known = LanguageCode(segment.language)
                if len(self._languages) < 64:
                    self._languages[segment.language] = known
            language = known
        return WithWords(
            language,
            text,
            start + self.offset if start is not None else 0.0,
            end + self.offset if end is not None else 0.0,
            segment.confidence,
            segment.speaker,
            metadata=segment.metadata,
        )

    def _transcript(self, kind: SpeechEventType, data: SpeechData, request_id: str = "") -> SpeechEvent:
        return SpeechEvent(type=kind, request_id=request_id or self._request_id, alternatives=[data])

    # ------------------------------------------------------------------ time

    def _span(self, segment: Segment, sent: float) -> tuple[float | None, float | None]:
        if self._clock_faults >= _CLOCK_FAULTS:
            return None, None
        start, end = placed_span(segment.start, segment.end, self._anchors, sent)
        if start is not None and end is not None and start <= end:
            return start, end
        first, last = self._words_span(segment, sent)
        if start is None or end is None:
            start = first if start is None else start
            end = last if end is None else end
            if start is None or end is None or start <= end:
                return start, end
        # a segment that ends before it begins: its words may tell
        return (first, last) if first is not None and last is not None and first <= last else (None, None)

    def _spoken(
        self, segment: Segment, start: float | None, end: float | None, sent: float
    ) -> tuple[float | None, float | None]:
        """From the first word to the last, where the vendor times words; a segment may reach into the silence.

        Words outside of their segment are not believed: no more audio is final than the segment's, and some
        vendors count the times of words from its beginning.
        """
        if self._clock_faults:
            return start, end
        first, last = self._words_span(segment, sent)
        if first is None or last is None or not (start or 0.0) <= first <= last:
            return start, end
        return (first, last) if end is None or last <= end else (start, end)

    def _words_span(self, segment: Segment, sent: float) -> tuple[float | None, float | None]:
        words = segment.words
        if type(words) is LazyWords:
            return placed_span(words.start, words.end, self._anchors, sent)
        return placed_span(words[0].start, words[-1].end, self._anchors, sent) if words else (None, None)


def _said_at(said: list[_Said], start: float | None, end: float) -> list[tuple[str, str | None]]:
    """Texts and speakers of the finals that cover half of what lies between *start* and *end*, or more."""
    start = end if start is None else start
    half = (end - start) / 2
    return [(text, who) for s, e, text, who in said if min(end, e) - max(start, s) >= half]


def _plain(text: str) -> str:
    """The words of *text* as they are compared, each between blanks."""
    return f" {' '.join(tokens(text))} "


def _words_of(fresh: str, text: str, words: Sequence[Word] | None) -> Sequence[Word] | None:
    """The *words* of *text* that belong to *fresh*, its end; ``None`` where they cannot be told."""
    if fresh == text or not words:
        return words
    kept = len(fresh.split())
    return words[-kept:] if kept and len(words) == len(text.split()) else None
