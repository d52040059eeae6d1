"""No word is lost and none is said twice, whatever vendor it is and whenever the connection drops. No I/O.

A vendor is imagined here that recognises exactly the words it got all audio of, and says so in one of many styles:
with times of many kinds or none, with beginnings and ends or none, in portions, with revisions, names of segments,
repetitions and answers to flushes. Between it and the caller stand the replay buffer and the assembler, put
together as a stream puts them together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, note, settings
from hypothesis import strategies as st
from livekit.agents.stt import SpeechEvent, SpeechEventType

from agents.providers.protocol import (
    Event,
    Final,
    Finished,
    Flushed,
    LazyWords,
    Partial,
    SpeechEnded,
    SpeechStarted,
    Word,
)
from agents.providers.protocol.assembler import TranscriptAssembler
from agents.providers.protocol.repetition import tokens
from agents.providers.protocol.replay import FLUSH, ReplayBuffer

START = SpeechEventType.START_OF_SPEECH
FINAL = SpeechEventType.FINAL_TRANSCRIPT
END = SpeechEventType.END_OF_SPEECH

RATE = 100
"""Samples per second; all positions are in samples."""


@dataclass(frozen=True)
class Spoken:
    text: str
    start: int
    end: int
    last: bool
    """Whether the utterance ends with it."""


def speech(utterances: Sequence[int]) -> tuple[list[Spoken], int]:
    """So many words in each utterance, none twice; and how long it all takes."""
    words: list[Spoken] = []
    at = 10
    for count in utterances:
        for i in range(count):
            words.append(Spoken(f"{chr(97 + len(words))}word", at, at + 20, i == count - 1))
            at += 30
        at += 60
    return words, at


TIMES: dict[str, Callable[[float, float, float], tuple[float | None, float | None]]] = {
    # from where the words begin and end, and where the audio ends so far, to what the vendor says
    "exact": lambda start, end, heard: (start, end),
    "ends": lambda start, end, heard: (None, end),
    "of words": lambda start, end, heard: (None, None),
    "wide": lambda start, end, heard: (max(start - 0.07, 0.0), max(end, min(end + 0.07, heard))),
    "none": lambda start, end, heard: (None, None),
    "anew": lambda start, end, heard: (0.0, end - start),
    "zero": lambda start, end, heard: (0.0, 0.0),
    "reversed": lambda start, end, heard: (end, start),
    "whole seconds": lambda start, end, heard: (float(int(start)), float(int(end))),
}
TRUE = ["exact", "ends", "of words", "wide"]
FALSE = ["anew", "zero", "reversed", "whole seconds"]


@dataclass(frozen=True)
class Style:
    """How a vendor says what it heard."""

    times: str
    frame: str = "none"
    """What it says of utterances: ``none``, ``both``, the ``start``, the end ``before`` the final or ``in`` it."""
    flushes: str = "none"
    """How it answers them: ``none``, ``alone``, or ``with final``."""
    names: bool = False
    partials: int = 0
    repeats: bool = False
    spells: bool = False
    """Every other connection writes the same words differently."""
    lazy: bool = False
    empties: bool = False
    """Silence is a final too."""
    overtakes: bool = False
    """What begins the next utterance comes before the final of the last."""
    announces_end: bool | None = None


class Connection:
    """The vendor's side of one connection. What it has to say waits in *out*, message by message."""

    def __init__(self, style: Style, words: list[Spoken], splits: list[bool], number: int, origin: int) -> None:
        self.style, self.words, self.splits, self.number = style, words, splits, number
        self.out: list[list[Event]] = []
        self.origin = origin  # of the stretch of audio that comes now, less what came before it
        self.got = 0
        self.stretches: list[list[int]] = []  # of the stream: start, end, where its start is on the connection
        self.next = 0
        self.names = 0
        self.begun = False

    def hear(self, position: int, count: int) -> None:
        if self.stretches and self.stretches[-1][1] == position:
            self.stretches[-1][1] += count
        else:
            self.stretches.append([position, position + count, self.got])
        self.got += count
        self.talk()

    def flush(self) -> None:
        self.talk(at_once=True)
        if self.style.flushes == "alone":
            self.out.append([Flushed()])
        elif self.style.flushes == "with final":
            end = self.stretches[-1][1] if self.stretches else self.origin
            self.out.append([Final("", *self.span(end, end)), Flushed()])

    def close(self) -> None:
        self.talk(at_once=True)
        self.out.append([Finished()])

    def talk(self, *, at_once: bool = False) -> None:
        """Say what is new; *at_once* also what could go on."""
        heard = self.stretches[-1][1] if self.stretches else 0
        while self.next < len(self.words) and self.words[self.next].end <= heard:
            portion, following, ends = self.portion(heard)
            complete = at_once or (ends and heard > self.words[following - 1].end)
            if portion:
                self.say(portion, complete=complete)
            if not complete:
                return
            self.next = following

    def portion(self, heard: int) -> tuple[list[Spoken], int, bool]:
        """The next words that were heard in full, the index after them, and whether a portion ends there."""
        portion: list[Spoken] = []
        for index in range(self.next, len(self.words)):
            word = self.words[index]
            if word.end > heard:
                return portion, index, False
            if any(start <= word.start and word.end <= end for start, end, _ in self.stretches):
                portion.append(word)
            if word.last or self.splits[(index + self.number) % len(self.splits)]:
                return portion, index + 1, True
        raise AssertionError("the last word of all is the last of its utterance")

    def say(self, words: list[Spoken], *, complete: bool) -> None:
        style, over = self.style, words[-1].last
        if style.frame in ("both", "start", "before") and not self.begun:
            at = None if style.times == "none" else self.clock(words[0].start) / RATE
            self.out.append([SpeechStarted(at)])
            self.begun = True
        for count in range(1, style.partials + 1):
            self.out.append([self.segment(Partial, words[:count], stable=count > 1)])
        if not complete:
            return
        if over and style.frame == "before":
            self.out.append([SpeechEnded()])
        self.names += 1
        for _ in range(2 if style.repeats else 1):
            name = str(self.names) if style.names else None
            ends = over and style.frame == "in"
            self.out.append([self.segment(Final, words, segment_id=name, ends_utterance=ends)])
        if over and style.frame == "both":
            self.out.append([SpeechEnded()])
        if over and style.empties:
            self.out.append([Final("", *self.span(words[-1].end, words[-1].end))])
        self.begun = self.begun and not over

    def segment(self, kind: type[Any], words: list[Spoken], **fields: Any) -> Any:
        text = " ".join(word.text for word in words)
        if self.style.spells and self.number % 2:
            text = f"{text.upper()}."
        timed: Any = None
        if self.style.times in ("exact", "of words"):
            timed = [
                Word(word.text, self.clock(word.start) / RATE, self.clock(word.end, ends=True) / RATE)
                for word in words
            ]
            if self.style.lazy:
                timed = LazyWords(lambda timed=timed: timed, timed[0].start, timed[-1].end)
        return kind(text, *self.span(words[0].start, words[-1].end), words=timed, **fields)

    def span(self, start: int, end: int) -> tuple[float | None, float | None]:
        heard = self.got / RATE
        return TIMES[self.style.times](self.clock(start) / RATE, self.clock(end, ends=True) / RATE, heard)

    def clock(self, position: int, *, ends: bool = False) -> int:
        """Where *position* of the stream is on this connection; where two stretches meet, at the *end* of one."""
        for start, end, at in self.stretches:
            if start <= position < end or (ends and position == end):
                return at + position - start
        return self.got


@dataclass
class Call:
    """The caller's side: what a stream does between the vendor and LiveKit."""

    style: Style
    words: list[Spoken]
    total: int
    splits: list[bool]
    keep_seconds: float
    events: list[SpeechEvent] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)
    """Stretches of audio the buffer let go before they were final."""
    delivered: set[str] = field(default_factory=set)
    connections: int = 0
    blocked: bool = False
    """The vendor does not read."""

    def __post_init__(self) -> None:
        self.assembler = TranscriptAssembler(announces_end=self.style.announces_end)
        self.buffer = ReplayBuffer(RATE, keep_seconds=self.keep_seconds)
        self.connect()

    def connect(self) -> None:
        before = self.buffer.acknowledged
        origin = self.buffer.rewind()
        self.note_lost(before, origin)
        self.assembler.connected(origin / RATE)
        self.vendor = Connection(self.style, self.words, self.splits, self.connections, origin)
        note(f"connection {self.connections} from {origin}")
        self.connections += 1
        self.blocked = False
        self.send()

    def note_lost(self, start: int, end: int) -> None:
        if end > start:
            self.lost.append((start, end))

    def push(self, count: int) -> None:
        """Audio comes in as it is spoken, 10 samples at once."""
        end = min(self.buffer.end + count, self.total)
        while self.buffer.end < end:
            before = self.buffer.acknowledged
            size = min(10, end - self.buffer.end)
            self.buffer.append(bytes(2 * size), self.buffer.end / RATE)
            self.note_lost(before, self.buffer.acknowledged)
            self.send()

    def send(self) -> None:
        vendor = self.vendor
        while not self.blocked and (item := self.buffer.take()) is not None:
            if not isinstance(item, tuple):
                assert item is FLUSH
                vendor.flush()
                continue
            position, samples = item
            if position != vendor.origin + vendor.got:
                self.note_lost(vendor.origin + vendor.got, position)
                self.assembler.skipped(vendor.got / RATE, position / RATE)
                vendor.origin = position - vendor.got
            vendor.hear(position, len(samples) // 2)

    def flush(self) -> None:
        """The caller flushes in a pause: whoever does it in a word has two halves recognised."""
        for word in self.words:
            if word.start < self.buffer.end < word.end:
                self.push(word.end + 1 - self.buffer.end)
        self.buffer.flush()
        self.send()

    def deliver(self, count: int) -> None:
        out = self.vendor.out
        for _ in range(min(count, len(out))):
            overtakes = (
                len(out) > 1 and isinstance(out[0][0], Final) and isinstance(out[1][0], (Partial, SpeechStarted))
            )
            self.receive(out.pop(1 if overtakes and self.style.overtakes else 0))

    def receive(self, message: list[Event]) -> None:
        """As ``WebSocketSpeechStream._on_message`` does it."""
        assembler, buffer = self.assembler, self.buffer
        through: float | None = None
        for event in message:
            heard: list[SpeechEvent] = []
            if isinstance(event, Flushed):
                position = buffer.flush_answered(None if through is None else round(through * RATE))
                if position is not None:
                    heard = assembler.flushed(position / RATE)
            else:
                heard = assembler.accept(event, buffer.sent / RATE)
            if isinstance(event, Final):
                self.delivered.update(tokens(event.text))
                through = assembler.final_through
                if assembler.gives_times is False:
                    buffer.answered(buffer.sent)
            self.events += heard
            note(f"{event} -> {[(e.type.name, *(a.text for a in e.alternatives)) for e in heard]}")
        buffer.acknowledge(round(assembler.acknowledged * RATE))

    def run(self, script: list[tuple[str, int]]) -> None:
        for name, amount in script:
            if name == "push":
                self.push(amount)
            elif name == "deliver":
                self.deliver(amount)
            elif name == "flush":
                self.flush()
            elif name == "block":
                self.blocked = not self.blocked
                self.send()
            elif self.connections < 6:
                self.blocked = True  # nobody is there
                self.push(amount)
                self.connect()
        self.blocked = False
        self.push(self.total)
        self.send()
        self.vendor.close()
        self.deliver(len(self.vendor.out))
        self.events += self.assembler.finish()


NO_DROPS = st.one_of(
    st.tuples(st.just("push"), st.sampled_from([5, 25, 60, 150])),
    st.tuples(st.just("deliver"), st.integers(1, 6)),
    st.tuples(st.just("flush"), st.just(0)),
)
DROPS = st.one_of(
    NO_DROPS,
    st.tuples(st.just("drop"), st.sampled_from([0, 0, 30, 200])),
    st.tuples(st.just("block"), st.just(0)),
)
UTTERANCES = st.lists(st.integers(1, 4), min_size=1, max_size=5)
SPLITS = st.lists(st.booleans(), min_size=1, max_size=5)


def scripts(steps: Any) -> Any:
    return st.lists(steps, max_size=30)


def styles(times: list[str]) -> Any:
    """Without times, or with false ones, only a name tells a repetition from the same words said again."""
    return st.builds(
        lambda repeats, names, **rest: Style(
            repeats=repeats, names=names or (repeats and rest["times"] not in TRUE), **rest
        ),
        st.booleans(),
        st.booleans(),
        times=st.sampled_from(times),
        frame=st.sampled_from(["none", "both", "start", "before", "in"]),
        flushes=st.sampled_from(["none", "alone", "with final"]),
        partials=st.integers(0, 2),
        spells=st.booleans(),
        lazy=st.booleans(),
        empties=st.booleans(),
        overtakes=st.booleans(),
        announces_end=st.sampled_from([None, True, False]),
    )


def made(
    style: Style, utterances: list[int], script: list[tuple[str, int]], splits: list[bool], keep: float = 1e9
) -> Call:
    call = Call(style, *speech(utterances), splits, keep)
    call.run(script)
    speaking = False
    for event in call.events:
        if event.type in (START, END):
            assert speaking is (event.type is END), "START and END alternate"
            speaking = event.type is START
    assert not speaking
    return call


def check_words_once(call: Call) -> None:
    """Each word is final once and in order, but those whose audio was let go, and no interim holds one again."""
    heard: list[str] = []
    for event in call.events:
        words = [word for data in event.alternatives for word in tokens(data.text)]
        assert not set(words) & set(heard), "said again"
        if event.type is FINAL:
            heard += words
    expected = [
        word.text
        for word in call.words
        if word.text in call.delivered
        or not any(start < word.end and word.start < end for start, end in call.lost)
    ]
    assert heard == expected


@settings(max_examples=200)
@given(styles(TRUE), UTTERANCES, scripts(DROPS), SPLITS, st.sampled_from([1e9, 2.0, 1.0]))
def test_a_vendor_whose_times_are_true(
    style: Style, utterances: list[int], script: list[tuple[str, int]], splits: list[bool], keep: float
) -> None:
    check_words_once(made(style, utterances, script, splits, keep))


@settings(max_examples=200)
@given(styles(["none"]), UTTERANCES, scripts(DROPS), SPLITS, st.sampled_from([1e9, 2.0, 1.0]))
def test_a_vendor_without_times(
    style: Style, utterances: list[int], script: list[tuple[str, int]], splits: list[bool], keep: float
) -> None:
    check_words_once(made(style, utterances, script, splits, keep))


@settings(max_examples=150)
@given(styles(FALSE), UTTERANCES, scripts(NO_DROPS), SPLITS)
def test_a_vendor_whose_times_are_false(
    style: Style, utterances: list[int], script: list[tuple[str, int]], splits: list[bool]
) -> None:
    call = made(style, utterances, script, splits)
    finals = [event.alternatives[0].text for event in call.events if event.type is FINAL]
    assert tokens(" ".join(finals)) == [word.text for word in call.words]


@settings(max_examples=150)
@given(styles(FALSE), UTTERANCES, scripts(DROPS), SPLITS)
def test_false_times_lose_nothing_when_the_connection_drops(
    style: Style, utterances: list[int], script: list[tuple[str, int]], splits: list[bool]
) -> None:
    """That a word is heard twice cannot be helped: times that begin anew may look true."""
    call = made(style, utterances, script, splits)
    heard = iter(tokens(" ".join(e.alternatives[0].text for e in call.events if e.type is FINAL)))
    assert all(word.text in heard for word in call.words), "a word is missing"
