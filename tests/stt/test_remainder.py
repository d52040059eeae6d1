"""What a vendor may still have to say decides whether a connection ended or broke."""

from __future__ import annotations

import pytest
from vendor_server import RATE, frames, ramp

from agents.providers.protocol import AudioForm, Failure, Final, Partial, SpeechEnded, SpeechStarted, Traits
from agents.providers.protocol.assembler import TranscriptAssembler
from agents.providers.stt.outbox import Outbox
from agents.providers.stt.remainder import Remainder

ORDERLY, BREAK = Failure("closed", status=1000), Failure("closed", status=1011)


class Stream:
    """The parts of a stream that has sent *seconds* of loud audio."""

    def __init__(self, seconds: float = 1.0, *, answers_flush: bool = False, **traits: object) -> None:
        form = AudioForm(sample_rates=frozenset({RATE}))
        self.assembler = TranscriptAssembler()
        self.outbox = Outbox(form=form, own_rate=RATE, keep_seconds=60, on_gap=self.assembler.skipped)
        self.remainder = Remainder(
            self.assembler,
            self.outbox,
            Traits(audio=form, idle_seconds=5.0, **traits),  # type: ignore[arg-type]
            answers_flush=answers_flush,
        )
        for frame in frames(ramp(seconds)):
            self.outbox.push(frame)
        self.send()

    def send(self) -> None:
        while self.outbox._buffer is not None and self.outbox._buffer.take() is not None:
            pass

    def hear(self, *events: object) -> None:
        for event in events:
            self.assembler.accept(event, self.outbox.sent_seconds)  # type: ignore[arg-type]
        self.outbox.acknowledge(self.assembler.acknowledged)


class TestDrained:
    async def test_audio_that_is_final_needs_nothing_more(self) -> None:
        stream = Stream()
        stream.hear(Final("one", 0.0, 1.0))
        assert stream.remainder.settled
        assert stream.remainder.is_drained(BREAK)

    async def test_an_utterance_with_its_final_owes_no_text_though_nobody_ended_it(self) -> None:
        stream = Stream()
        stream.hear(SpeechStarted(0.0), Final("one", 0.0, 0.95))
        assert stream.assembler.speaking
        assert stream.remainder.may_hold_speech() is False
        assert stream.remainder.is_drained(ORDERLY)

    async def test_an_utterance_without_its_final_is_a_break_until_it_never_comes(self) -> None:
        stream = Stream()
        stream.hear(SpeechStarted(0.0), Partial("on", 0.0, 0.5))
        assert stream.remainder.may_hold_speech() is True
        assert not stream.remainder.is_drained(BREAK)
        assert [stream.remainder.is_drained(ORDERLY) for _ in range(4)] == [False, False, False, True]

    async def test_news_start_the_count_again(self) -> None:
        stream = Stream()
        stream.hear(Final("one", 0.0, 0.3))
        assert [stream.remainder.is_drained(ORDERLY) for _ in range(3)] == [False] * 3
        stream.remainder.answered()
        assert not stream.remainder.is_drained(ORDERLY)

    async def test_a_last_partial_that_counts_is_enough(self) -> None:
        stream = Stream(promotes_last_partial=True)
        stream.hear(Partial("one", 0.0, 0.9))
        assert stream.remainder.is_drained(ORDERLY)
        assert not stream.remainder.is_drained(BREAK)

    async def test_without_times_an_orderly_end_is_believed_unless_it_was_hurried(self) -> None:
        stream = Stream()
        stream.hear(Final("one"))
        assert stream.remainder.may_hold_speech() is None
        assert stream.remainder.is_drained(ORDERLY)
        other = Stream()
        other.hear(Final("one"))
        assert [other.remainder.is_drained(ORDERLY, hurried=True) for _ in range(2)] == [False, True]

    async def test_without_times_an_answer_to_a_flush_tells(self) -> None:
        stream = Stream(answers_flush=True)
        stream.hear(Final("one"))
        assert stream.remainder.may_hold_speech() is True

    async def test_without_times_an_utterance_may_go_on_after_its_final(self) -> None:
        stream = Stream()
        stream.hear(SpeechStarted(), Final("one"))
        assert stream.remainder.may_hold_speech() is True
        stream.hear(SpeechEnded())
        assert stream.remainder.may_hold_speech() is None


class TestIdle:
    async def test_a_vendor_that_had_nothing_to_do_did_nothing_wrong(self) -> None:
        stream = Stream()
        stream.hear(Final("one", 0.0, 1.0))
        later = stream.outbox.last_audio_at + 6
        assert stream.remainder.is_idle_close(BREAK, later)
        assert not stream.remainder.is_idle_close(BREAK, later - 3), "it was not idle for long enough"
        assert not stream.remainder.is_idle_close(Failure("lost"), later), "the connection broke"
        stream.outbox.ended = True
        assert not stream.remainder.is_idle_close(BREAK, later)

    async def test_a_caller_who_stopped_in_mid_sentence_is_asked_about_once_more(self) -> None:
        stream = Stream()
        stream.hear(SpeechStarted(0.0), Partial("on", 0.0, 0.5))
        later = stream.outbox.last_audio_at + 6
        assert [stream.remainder.is_idle_close(BREAK, later) for _ in range(3)] == [False, True, True]
        (frame,) = frames(ramp(0.05))
        stream.outbox.push(frame)
        stream.send()
        later = stream.outbox.last_audio_at + 6
        assert [stream.remainder.is_idle_close(BREAK, later) for _ in range(2)] == [False, True]


@pytest.mark.parametrize("seconds", [0.05, 0.1])
async def test_the_tail_of_a_word_is_no_speech(seconds: float) -> None:
    stream = Stream(1.0 + seconds)
    stream.hear(Final("one", 0.0, 1.0))
    assert stream.remainder.may_hold_speech() is False
