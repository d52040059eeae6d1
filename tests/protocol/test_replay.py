"""The memory of the stream, against a plain model that keeps every sample in a list."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.providers.protocol import AudioForm
from agents.providers.protocol.replay import FLUSH, Chunk, ReplayBuffer, is_loud

RATE = 1000  # one sample a millisecond


def numbered(first: int, count: int) -> bytes:
    """Samples whose values say where in the stream they stand."""
    return array("h", [(first + i) % 30000 for i in range(count)]).tobytes()


def values(samples: bytes | bytearray | memoryview) -> list[int]:
    return array("h", bytes(samples)).tolist()


def chunk(buffer: ReplayBuffer) -> Chunk:
    item = buffer.take()
    assert isinstance(item, tuple)
    return item


def drain(buffer: ReplayBuffer) -> list[int]:
    """Every sample that waits to be sent; flushes are passed over."""
    out: list[int] = []
    while (item := buffer.take()) is not None:
        if isinstance(item, tuple):
            out.extend(values(item[1]))
    return out


def buffer_of(*lengths: int, keep_seconds: float = math.inf, form: AudioForm | None = None) -> ReplayBuffer:
    """A buffer with chunks of these lengths, none of them sent; the clock stands still."""
    buffer = ReplayBuffer(RATE, keep_seconds=keep_seconds, form=form)
    for count in lengths:
        buffer.append(numbered(buffer.end, count), 0.0)
    return buffer


class TestTake:
    def test_gives_what_was_appended_in_order_and_then_nothing(self) -> None:
        buffer = buffer_of(20, 30)
        assert [chunk(buffer), chunk(buffer)] == [(0, numbered(0, 20)), (20, numbered(20, 30))]
        assert buffer.take() is None
        assert (buffer.sent, buffer.end, buffer.unsent) == (50, 50, 0)

    def test_hands_out_the_very_object_that_was_appended(self) -> None:
        buffer = ReplayBuffer(RATE, keep_seconds=1)
        samples = memoryview(bytearray(numbered(0, 10)))
        buffer.append(samples, 0.0)
        assert chunk(buffer)[1] is samples

    def test_a_flush_stands_where_it_was_called(self) -> None:
        buffer = buffer_of(20)
        buffer.flush()
        buffer.append(numbered(20, 20), 0.0)
        buffer.flush()
        buffer.flush()
        items = [buffer.take() for _ in range(6)]
        assert [item if item in (FLUSH, None) else item[0] for item in items] == [0, FLUSH, 20, FLUSH, FLUSH, None]
        assert repr(FLUSH) == "FLUSH"

    def test_a_flush_goes_out_even_when_there_is_no_audio(self) -> None:
        buffer = buffer_of()
        buffer.flush()
        assert buffer.take() is FLUSH
        assert buffer.take() is None


class TestAcknowledge:
    def test_audio_that_is_final_is_not_sent_again(self) -> None:
        buffer = buffer_of(20, 20, 20)
        drain(buffer)
        buffer.acknowledge(40)
        assert buffer.rewind() == 40
        assert drain(buffer) == list(range(40, 60))

    def test_never_reaches_beyond_what_was_sent(self) -> None:
        buffer = buffer_of(20, 20)
        buffer.take()
        buffer.acknowledge(1000)
        assert buffer.acknowledged == 20
        assert not buffer.all_final
        buffer.take()
        buffer.acknowledge(1000)
        assert buffer.all_final

    def test_never_goes_back(self) -> None:
        buffer = buffer_of(20)
        drain(buffer)
        buffer.acknowledge(10)
        buffer.acknowledge(5)
        buffer.acknowledge(-5)
        assert buffer.acknowledged == 10

    def test_the_answer_to_a_flush_makes_everything_before_it_final(self) -> None:
        buffer = buffer_of(20)
        buffer.flush()
        buffer.append(numbered(20, 20), 0.0)
        drain(buffer)
        assert buffer.flush_answered() == 20
        assert buffer.acknowledged == 20

    def test_an_answer_nobody_waited_for_means_nothing(self) -> None:
        buffer = buffer_of(20)
        assert buffer.flush_answered() is None
        buffer.flush()
        assert buffer.flush_answered() is None, "the flush was not sent yet"
        drain(buffer)
        assert buffer.flush_answered() == 20
        assert buffer.flush_answered() is None

    def test_answers_belong_to_the_oldest_flush_first(self) -> None:
        buffer = buffer_of()
        for _ in range(3):
            buffer.append(numbered(buffer.end, 10), 0.0)
            buffer.flush()
        drain(buffer)
        assert [buffer.flush_answered() for _ in range(4)] == [10, 20, 30, None]


class TestRewind:
    def test_an_empty_stream_begins_at_zero(self) -> None:
        buffer = buffer_of()
        assert buffer.rewind() == 0
        assert buffer.take() is None
        assert buffer.all_final

    def test_a_chunk_that_is_final_in_part_is_cut(self) -> None:
        buffer = buffer_of(100, 100)
        drain(buffer)
        buffer.acknowledge(30)
        assert buffer.rewind() == 30
        assert chunk(buffer) == (30, numbered(30, 70))
        assert chunk(buffer) == (100, numbered(100, 100))

    def test_a_rest_that_is_too_short_is_joined_to_what_follows(self) -> None:
        """Vendors refuse messages shorter than their minimum."""
        buffer = buffer_of(100, 100, form=AudioForm(min_chunk_ms=50, max_chunk_ms=1000))
        drain(buffer)
        buffer.acknowledge(90)
        buffer.rewind()
        assert chunk(buffer) == (90, numbered(90, 110))

    def test_a_rest_that_is_too_short_goes_alone_when_nothing_follows(self) -> None:
        buffer = buffer_of(100, form=AudioForm(min_chunk_ms=50))
        drain(buffer)
        buffer.acknowledge(90)
        buffer.rewind()
        assert chunk(buffer) == (90, numbered(90, 10))

    @pytest.mark.parametrize("following", [60, 91, 100, 120])
    def test_no_message_is_too_long_or_too_short_after_a_cut(self, following: int) -> None:
        """Also when the rest and what follows are too long to be one message."""
        buffer = buffer_of(100, following, form=AudioForm(min_chunk_ms=50, max_chunk_ms=120))
        drain(buffer)
        buffer.acknowledge(70)
        buffer.rewind()
        lengths = []
        while (item := buffer.take()) is not None:
            assert isinstance(item, tuple)
            lengths.append(len(item[1]) // 2)
        assert sum(lengths) == 30 + following
        assert all(50 <= length <= 120 for length in lengths), lengths

    def test_a_flush_after_a_short_rest_stays_before_the_audio_that_follows_it(self) -> None:
        """Or the vendor finalises, and acknowledges, another utterance than the caller meant."""
        buffer = buffer_of(100, form=AudioForm(min_chunk_ms=50))
        buffer.flush()
        buffer.append(numbered(100, 100), 0.0)
        drain(buffer)
        buffer.acknowledge(90)
        buffer.rewind()
        assert [chunk(buffer)[0], buffer.take(), chunk(buffer)[0]] == [90, FLUSH, 100]

    def test_a_flush_is_sent_again_unless_its_audio_is_final(self) -> None:
        buffer = buffer_of(20)
        buffer.flush()
        buffer.append(numbered(20, 20), 0.0)
        buffer.flush()
        drain(buffer)
        buffer.acknowledge(20)
        buffer.rewind()
        assert chunk(buffer)[0] == 20
        assert buffer.take() is FLUSH
        assert buffer.take() is None

    def test_a_flush_that_never_went_out_is_sent_even_if_all_audio_is_final(self) -> None:
        buffer = buffer_of(20)
        drain(buffer)
        buffer.acknowledge(20)
        buffer.flush()
        buffer.rewind()
        assert buffer.take() is FLUSH

    def test_a_flush_on_which_two_connections_broke_is_not_sent_again(self) -> None:
        """Some servers close at a message they do not know: the caller would be deaf for ever."""
        buffer = buffer_of(20)
        buffer.flush()
        buffer.flush()
        for _ in range(2):
            assert [chunk(buffer)[0], buffer.take()] == [0, FLUSH]
            buffer.rewind()
        assert [chunk(buffer)[0], buffer.take()] == [0, None]
        buffer.flush()
        assert buffer.take() is FLUSH, "the next one is another"

    def test_the_count_of_tries_is_that_of_one_flush(self) -> None:
        buffer = buffer_of(20)
        buffer.flush()
        drain(buffer)
        buffer.rewind()
        for _ in range(64):  # so many that the first, tried once, is forgotten
            buffer.append(numbered(buffer.end, 1), 0.0)
            buffer.flush()
        drain(buffer)
        buffer.rewind()
        assert [chunk(buffer)[0], chunk(buffer)[0], buffer.take()] == [0, 20, FLUSH]

    def test_an_answer_from_before_the_drop_is_not_owed_any_more(self) -> None:
        buffer = buffer_of(20)
        buffer.flush()
        drain(buffer)
        buffer.rewind()
        assert buffer.flush_answered() is None

    def test_twice_in_a_row_changes_nothing(self) -> None:
        buffer = buffer_of(20, 20)
        drain(buffer)
        buffer.acknowledge(25)
        assert buffer.rewind() == buffer.rewind() == 25
        assert drain(buffer) == list(range(25, 40))

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_any_kind_of_buffer_is_cut_and_joined(self, kind: type) -> None:
        buffer = ReplayBuffer(RATE, keep_seconds=60)
        for first in (0, 30):
            buffer.append(kind(numbered(first, 30)), 0.0)
        drain(buffer)
        buffer.acknowledge(25)
        buffer.rewind()
        assert drain(buffer) == list(range(25, 60))


class TestLettingGo:
    def test_sent_audio_counts_as_dropped_at_the_rewind_that_needs_it(self) -> None:
        buffer = ReplayBuffer(RATE, keep_seconds=0.1)
        for i in range(10):
            buffer.append(numbered(i * 20, 20), i * 0.02)
            buffer.take()
        assert buffer.dropped == 0, "the vendor has it all and may still answer"
        first = buffer.rewind()
        assert buffer.dropped == first > 0
        assert drain(buffer) == list(range(first, 200))

    def test_sent_audio_that_became_final_in_time_never_counts(self) -> None:
        buffer = ReplayBuffer(RATE, keep_seconds=0.1)
        for i in range(10):
            buffer.append(numbered(i * 20, 20), i * 0.02)
            buffer.take()
        buffer.acknowledge(200)
        assert buffer.rewind() == 200
        assert buffer.dropped == 0

    def test_audio_that_was_never_sent_counts_at_once(self) -> None:
        buffer = ReplayBuffer(RATE, keep_seconds=0.1)
        for i in range(20):
            buffer.append(numbered(i * 20, 20), i * 0.02)
        dropped = buffer.dropped
        assert dropped > 0
        assert buffer.rewind() == dropped
        assert buffer.dropped == dropped, "and not twice"
        assert drain(buffer) == list(range(dropped, 400))

    def test_sent_audio_still_counts_when_unsent_audio_behind_it_went_too(self) -> None:
        """What the dead connection had is as lost as what none ever got."""
        buffer = ReplayBuffer(RATE, keep_seconds=0.1)
        for i in range(5):
            buffer.append(numbered(i * 20, 20), i * 0.02)
            buffer.take()
        for i in range(5, 50):
            buffer.append(numbered(i * 20, 20), i * 0.02)
        first = buffer.rewind()
        assert first > 100
        assert buffer.dropped == first
        assert drain(buffer) == list(range(first, 1000))

    def test_audio_pushed_faster_than_real_time_is_not_old(self) -> None:
        buffer = ReplayBuffer(RATE, keep_seconds=0.1)
        for i in range(100):
            buffer.append(numbered(i * 20, 20), 0.0)
        assert buffer.dropped == 0
        assert drain(buffer) == list(range(2000))

    def test_a_pause_does_not_make_audio_too_much(self) -> None:
        buffer = ReplayBuffer(RATE, keep_seconds=0.1)
        buffer.append(numbered(0, 50), 0.0)
        buffer.append(numbered(50, 50), 3600.0)
        assert buffer.dropped == 0

    def test_an_endless_memory_lets_nothing_go(self) -> None:
        buffer = ReplayBuffer(RATE, keep_seconds=math.inf)
        for i in range(100):
            buffer.append(numbered(i * 20, 20), i * 3600.0)
        assert buffer.dropped == 0
        assert drain(buffer) == list(range(2000))

    def test_flushes_nobody_answers_do_not_pile_up(self) -> None:
        buffer = buffer_of()
        for _ in range(1000):
            buffer.append(numbered(buffer.end, 1), 0.0)
            buffer.flush()
            drain(buffer)
        waiting = 0
        while (position := buffer.flush_answered()) is not None:
            waiting += 1
        assert 1 <= waiting <= 64
        assert position is None
        assert buffer.acknowledged == 1000, "the newest are the ones that are kept"

    def test_flushes_during_an_outage_do_not_pile_up(self) -> None:
        buffer = buffer_of(10)
        for _ in range(1000):
            buffer.flush()
        assert chunk(buffer)[0] == 0
        sent = 0
        while buffer.take() is FLUSH:
            sent += 1
        assert 1 <= sent <= 64


class TestLoudness:
    def test_silence_and_soft_noise_are_not_loud(self) -> None:
        assert not is_loud(b"", 500)
        assert not is_loud(array("h", [500, -500] * 100).tobytes(), 500)

    @pytest.mark.parametrize("value", [501, -501, 32767, -32768])
    def test_either_direction_is_loud(self, value: int) -> None:
        assert is_loud(array("h", [value] * 17).tobytes(), 500)
        assert is_loud(memoryview(array("h", [value])).cast("B"), 500)

    def test_seconds_of_silence_after_what_is_final(self) -> None:
        buffer = ReplayBuffer(RATE, keep_seconds=60)
        assert buffer.quiet_seconds(500) == 0
        buffer.append(array("h", [3000] * 100).tobytes(), 0.0)
        buffer.append(bytes(2 * 300), 0.0)
        assert buffer.quiet_seconds(500) == 0, "speech that is not final comes first"
        drain(buffer)
        buffer.acknowledge(120)
        assert buffer.quiet_seconds(500) == pytest.approx(0.28)
        buffer.append(array("h", [-3000] * 100).tobytes(), 0.0)
        assert buffer.quiet_seconds(500) == pytest.approx(0.28)
        buffer.acknowledge(50)
        assert buffer.quiet_seconds(5000) == pytest.approx(0.38)

    def test_seconds_of_loud_audio_that_is_not_final(self) -> None:
        buffer = ReplayBuffer(RATE, keep_seconds=60)
        buffer.append(array("h", [3000] * 100).tobytes(), 0.0)
        buffer.append(bytes(2 * 100), 0.0)
        buffer.append(array("h", [-3000] * 100).tobytes(), 0.0)
        assert buffer.loud_seconds(500) == pytest.approx(0.2)
        assert buffer.loud_seconds(5000) == 0
        drain(buffer)
        buffer.acknowledge(60)
        assert buffer.loud_seconds(500) == pytest.approx(0.14), "what is final has been heard"
        buffer.acknowledge(300)
        assert buffer.loud_seconds(500) == 0


# ------------------------------------------------------------------ against the model


@dataclass
class Model:
    """What must hold, written down without any cleverness."""

    end: int = 0
    final: int = 0
    sent: int = 0
    flushes: list[tuple[int, bool]] = field(default_factory=list)
    """Positions, and whether each was sent on this connection."""
    tries: int = 0
    """On how many connections the oldest flush was sent."""

    def next_flush(self) -> int | None:
        return next((position for position, sent in self.flushes if not sent), None)


OPERATIONS = st.one_of(
    st.tuples(
        st.sampled_from(["append", "pass_on"]),
        st.sampled_from([1, 50, 99, 100, 200, 300]),
        st.sampled_from([0.0, 0.02, 0.5, 5.0]),
    ),
    st.tuples(st.just("take"), st.integers(1, 5)),
    st.tuples(st.just("flush")),
    st.tuples(st.just("acknowledge"), st.sampled_from([-50, 1, 30, 50, 170, 250, 400])),
    st.tuples(st.just("answer")),
    st.tuples(st.just("rewind")),
)
FORMS = st.sampled_from([AudioForm(), AudioForm(min_chunk_ms=0), AudioForm(min_chunk_ms=100, max_chunk_ms=400)])


@settings(max_examples=400, deadline=None)
@given(operations=st.lists(OPERATIONS, max_size=60), form=FORMS)
def test_every_sample_goes_out_in_order_and_again_until_it_is_final(
    operations: list[tuple], form: AudioForm
) -> None:
    buffer = ReplayBuffer(RATE, keep_seconds=math.inf, form=form)
    model = Model()
    now = 0.0

    def take() -> bool:
        due = model.next_flush()
        item = buffer.take()
        if item is None:
            assert model.sent == model.end
            assert due is None
            return False
        if item is FLUSH:
            assert due == model.sent, "a flush belongs after all audio before it, and before all after it"
            model.flushes[model.flushes.index((due, False))] = (due, True)
            return True
        assert isinstance(item, tuple)
        position, samples = item
        assert due is None or due >= position + len(samples) // 2, "audio from after a flush went out before it"
        assert position == model.sent
        assert values(samples) == values(numbered(position, len(samples) // 2))
        assert len(samples) > 0
        model.sent += len(samples) // 2
        return True

    def rewind() -> None:
        assert buffer.rewind() == model.final
        model.sent = model.final
        oldest = model.flushes[:1]
        left = [flush for flush in model.flushes if not flush[1] or flush[0] > model.final]
        if left[:1] != oldest:
            model.tries = 0
        if left and left[0][1]:
            model.tries += 1
            if model.tries == 2:
                left = [flush for flush in left if flush[0] != left[0][0]]
                model.tries = 0
        model.flushes = [(position, False) for position, _ in left]

    for name, *arguments in operations:
        if name == "append":
            count, passed = arguments
            now += passed
            buffer.append(numbered(model.end, count), now)
            model.end += count
        elif name == "pass_on":
            count, passed = arguments
            now += passed
            position = buffer.pass_on(numbered(model.end, count), now)
            if model.sent < model.end or model.next_flush() is not None:
                assert position is None, "something else was to be sent first"
            else:
                assert position == model.end
                model.end += count
                model.sent = model.end
        elif name == "take":
            for _ in range(arguments[0]):
                take()
        elif name == "flush":
            buffer.flush()
            model.flushes.append((model.end, False))
        elif name == "acknowledge":
            position = model.final + arguments[0]
            buffer.acknowledge(position)
            model.final = max(model.final, min(position, model.sent))
        elif name == "answer":
            expected = model.flushes.pop(0)[0] if model.flushes and model.flushes[0][1] else None
            model.tries = model.tries if expected is None else 0
            assert buffer.flush_answered() == expected
            model.final = max(model.final, expected or 0)
        else:
            rewind()
        assert (buffer.acknowledged, buffer.sent, buffer.end) == (model.final, model.sent, model.end)
        assert buffer.acknowledged <= buffer.sent <= buffer.end
        assert buffer.unsent == model.end - model.sent
        assert buffer.all_final is (model.final == model.end)
        assert buffer.dropped == 0

    rewind()
    while take():
        pass


@settings(max_examples=400, deadline=None)
@given(operations=st.lists(OPERATIONS, max_size=60), keep_seconds=st.sampled_from([0.05, 0.3, 1.0]))
def test_with_a_bounded_memory_every_sample_is_sent_final_or_counted_as_dropped(
    operations: list[tuple], keep_seconds: float
) -> None:
    """What a rewind passes over was final, or it counts as dropped, and nothing else does."""
    buffer = ReplayBuffer(RATE, keep_seconds=keep_seconds)
    now = 0.0
    ever_sent: set[int] = set()
    final: set[int] = set()
    arrivals: list[float] = []

    def take() -> bool:
        before = buffer.sent
        item = buffer.take()
        if isinstance(item, tuple):
            position, samples = item
            assert position >= before
            assert values(samples) == values(numbered(position, len(samples) // 2))
            ever_sent.update(range(position, position + len(samples) // 2))
        return item is not None

    def rewind() -> None:
        first = buffer.rewind()
        assert first == buffer.sent == buffer.acknowledged
        assert buffer.dropped == first - len(final), "what is neither kept nor final is dropped, and counted once"
        kept = buffer.end - first
        assert kept <= keep_seconds * RATE + 300 or arrivals[first] >= now - keep_seconds

    for name, *arguments in operations:
        if name == "append":
            count, passed = arguments
            now += passed
            buffer.append(numbered(buffer.end, count), now)
            arrivals.extend([now] * count)
        elif name == "pass_on":
            count, passed = arguments
            now += passed
            before = buffer.end
            if buffer.pass_on(numbered(before, count), now) is not None:
                ever_sent.update(range(before, before + count))
            else:
                buffer.append(numbered(before, count), now)
            arrivals.extend([now] * count)
        elif name == "take":
            for _ in range(arguments[0]):
                take()
        elif name == "flush":
            buffer.flush()
        elif name in ("acknowledge", "answer"):
            before = buffer.acknowledged
            if name == "answer":
                buffer.flush_answered()
            else:
                buffer.acknowledge(buffer.acknowledged + arguments[0])
            final.update(set(range(before, buffer.acknowledged)) & ever_sent)
        else:
            rewind()
        assert buffer.acknowledged <= buffer.sent <= buffer.end

    rewind()
    rest = buffer.acknowledged
    sent_now: list[int] = []
    while (item := buffer.take()) is not None:
        if isinstance(item, tuple):
            sent_now.extend(range(item[0], item[0] + len(item[1]) // 2))
    assert sent_now == list(range(rest, buffer.end))


def test_audio_answered_without_times_is_kept_as_long_as_possible_and_not_counted_as_lost() -> None:
    buffer = ReplayBuffer(RATE, keep_seconds=0.1)
    for i in range(10):
        buffer.append(numbered(i * 20, 20), i * 0.02)
        buffer.take()
        if i == 7:
            buffer.answered(buffer.sent)
    first = buffer.rewind()
    assert 0 < first <= 160
    assert buffer.dropped == 0
    assert drain(buffer) == list(range(first, 200))
