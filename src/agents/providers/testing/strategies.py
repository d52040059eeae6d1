"""Schedules by the hundred, for property-based tests. Needs ``hypothesis``.

@given(fault_schedules())
def test_no_word_is_lost(schedule): ...
"""

from __future__ import annotations

from hypothesis import strategies as st

from .faults import Fault, FaultKind
from .numbered_words import WORD_SECONDS
from .schedules import Schedule
from .transcriber import Behaviour

__all__ = ["behaviours", "fault_schedules", "faults"]

_CLOSE_CODES = (1000, 1001, 1011, 1012, 1013)
_STATUS_CODES = (429, 503)


def behaviours(*, dialect: str | None = None) -> st.SearchStrategy[Behaviour]:
    """Vendors that keep their promises, in all their variety.

    A vendor that gives no times repeats no final (nobody could tell it from a word said twice) and answers every
    flush (nothing else says which audio is done).
    """
    return st.builds(_behaviour, st.sampled_from([dialect] if dialect else ["generic", "deepgram"]), _variety())


def _variety() -> st.SearchStrategy[dict[str, object]]:
    return st.fixed_dictionaries(
        {
            "times": st.sampled_from([True, True, False]),
            "words": st.booleans(),
            "speech_events": st.sampled_from([True, False, "beginnings"]),
            "flushed": st.sampled_from([True, True, False]),
            "ready": st.booleans(),
            "finals_every": st.sampled_from([0, 0, 3, 7]),
            "empty_finals": st.booleans(),
            "duplicate_finals": st.booleans(),
            "late_finals": st.sampled_from(["no", "no", "after_partials"]),
            "latency": st.sampled_from([0.0, 0.0, 0.02, 0.1]),
            "wire": st.sampled_from(["whole", "whole", "fragmented", "merged"]),
        }
    )


def _behaviour(dialect: str, variety: dict[str, object]) -> Behaviour:
    chosen = dict(variety, dialect=dialect)
    if dialect == "deepgram":
        chosen.update(times=True, words=True)
    if not chosen["times"]:
        chosen.update(duplicate_finals=False, flushed=True)
    return Behaviour(**chosen)  # type: ignore[arg-type]


def faults(audio_seconds: float, outage_seconds: float) -> st.SearchStrategy[Fault]:
    """One fault at any moment of *audio_seconds*; outages take up to *outage_seconds*."""
    at = st.floats(0.02, audio_seconds).map(lambda seconds: round(seconds, 3))
    outage = st.floats(0.2, outage_seconds).map(lambda seconds: round(seconds, 2))

    def simple(*kinds: FaultKind) -> st.SearchStrategy[Fault]:
        return st.builds(Fault, at, st.sampled_from(kinds))

    lasting = st.sampled_from(["refuse", "hang", "slow"])
    return st.one_of(
        simple("abort", "cut"),
        simple("nonsense", "unknown", "stammer"),
        simple("half_open"),
        st.builds(Fault, at, st.just("close"), st.just(0.0), st.sampled_from(_CLOSE_CODES)),
        st.builds(Fault, at, lasting, outage),
        st.builds(
            Fault, at, st.just("status"), outage, st.sampled_from(_STATUS_CODES), st.sampled_from([None, "1"])
        ),
    )


@st.composite
def fault_schedules(
    draw: st.DrawFn,
    *,
    dialect: str | None = None,
    outage_seconds: float = 1.0,
    pace: float = 20.0,
    max_words: int = 60,
) -> Schedule:
    """Schedules of 10 to *max_words* words with up to four faults.

    Args:
        dialect: ``"generic"`` or ``"deepgram"``; both by default.
        outage_seconds: the longest outage.
        pace: seconds of audio pushed per second.
    """
    utterances = [draw(st.integers(1, 12))]
    while sum(utterances) < 10 or (sum(utterances) < max_words and draw(st.booleans())):
        utterances.append(draw(st.integers(1, 12)))
    words = min(sum(utterances), max_words)
    utterances[-1] -= sum(utterances) - words
    if utterances[-1] <= 0:
        utterances.pop()
    audio = sum(utterances) * (WORD_SECONDS + 0.1) + len(utterances) * 0.5
    return Schedule(
        utterances=tuple(utterances),
        faults=tuple(draw(st.lists(faults(audio, outage_seconds), max_size=4))),
        behaviour=draw(behaviours(dialect=dialect)),
        sample_rate=draw(st.sampled_from([16000, 16000, 24000, 8000, 48000])),
        chunk_ms=draw(st.sampled_from([10, 20, 50, 100])),
        flush_after=tuple(sorted(draw(st.sets(st.integers(0, words - 1), max_size=3)))),
        gap_ms=draw(st.sampled_from([40, 100, 150])),
        pause_ms=draw(st.sampled_from([400, 600, 1500])),
        tail_ms=draw(st.sampled_from([0, 0, 100, 1000])),
        pace=pace,
    )
