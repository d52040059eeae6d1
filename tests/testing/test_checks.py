"""A report names everything that must not be, and nothing else."""

from __future__ import annotations

import pytest
from livekit.agents.stt import RecognitionUsage, SpeechData, SpeechEvent, SpeechEventType

from agents.providers.testing import StreamReport, speak

SPEECH = speak((2, 1), 16000)
KINDS = {
    "start": SpeechEventType.START_OF_SPEECH,
    "end": SpeechEventType.END_OF_SPEECH,
    "interim": SpeechEventType.INTERIM_TRANSCRIPT,
    "preflight": SpeechEventType.PREFLIGHT_TRANSCRIPT,
    "final": SpeechEventType.FINAL_TRANSCRIPT,
}
TIMES = {"w0 w1": (0.1, 0.6), "w2": (1.2, 1.4), "w1": (0.4, 0.6), "w0": (0.1, 0.3)}


def _event(line: str) -> SpeechEvent:
    kind, _, text = line.partition(" ")
    if kind in ("start", "end"):
        return SpeechEvent(type=KINDS[kind])
    start, end = TIMES.get(text, (0.0, 0.0))
    return SpeechEvent(
        type=KINDS[kind], alternatives=[SpeechData(language="en", text=text, start_time=start, end_time=end)]
    )


def _problems(*lines: str) -> list[str]:
    return StreamReport(SPEECH.words, SPEECH.duration, [_event(line) for line in lines]).problems()


GOOD = ("start", "interim w0", "preflight w0 w1", "final w0 w1", "end", "start", "interim w2", "final w2", "end")


def test_a_good_stream_has_no_problems() -> None:
    assert _problems(*GOOD) == []


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (GOOD[:5], "words lost: [2]"),
        ((*GOOD[:-1], "final w2", "end"), "words doubled: [2]"),
        (("start", "final w2", "final w0 w1", "end"), "words out of order: [2, 0, 1]"),
        (GOOD[1:], "interim_transcript 'w0' before START (event 0)"),
        (("start", *GOOD), "START while START is open (event 1)"),
        (GOOD[:-1], "START without END at the end of the stream"),
        ((*GOOD, "end"), "END without START (event 9)"),
        ((*GOOD[:4], "interim w1", *GOOD[4:]), "interim_transcript of words already final [1] (event 4)"),
        ((*GOOD[:4], "interim w2", *GOOD[4:]), "END before the FINAL of 'w2' (event 5)"),
        ((*GOOD[:4], "final ", *GOOD[4:]), "final_transcript without text (event 4)"),
        ((*GOOD, "final w0"), "final_transcript 'w0' before START (event 9)"),
    ],
)
def test_each_fault_is_named(lines: tuple[str, ...], problem: str) -> None:
    assert problem in _problems(*lines)


def test_an_interim_may_be_taken_back() -> None:
    assert _problems("start", "interim w2", "interim ", *GOOD[1:]) == []


def test_times_are_held_to_50_ms() -> None:
    report = StreamReport(SPEECH.words, SPEECH.duration, [_event(line) for line in GOOD])
    data = report.events[3].alternatives[0]
    data.start_time, data.end_time = 0.149, 0.551
    assert report.problems() == []
    data.start_time, data.end_time = 0.16, 0.54
    assert report.problems() == [
        "the start of FINAL 'w0 w1' is given as 0.160 s, and is 0.100 s",
        "the end of FINAL 'w0 w1' is given as 0.540 s, and is 0.600 s",
    ]


def test_times_the_vendor_never_gave_are_a_problem() -> None:
    report = StreamReport(SPEECH.words, SPEECH.duration, [_event(line) for line in GOOD], times_known=False)
    assert len(report.problems()) == 2
    for event in report.events:
        for data in event.alternatives:
            data.start_time = data.end_time = 0.0
    assert report.problems() == []


def test_a_final_without_alternatives_and_usage_without_payload_are_problems() -> None:
    events = [SpeechEvent(type=KINDS["final"]), SpeechEvent(type=SpeechEventType.RECOGNITION_USAGE)]
    problems = StreamReport([], 1.0, events).problems()
    assert problems == ["final_transcript without alternatives (event 0)", "USAGE without a payload (event 1)"]


def test_usage_beyond_the_audio_is_a_problem() -> None:
    usage = SpeechEvent(
        type=SpeechEventType.RECOGNITION_USAGE, recognition_usage=RecognitionUsage(audio_duration=0.8)
    )
    assert StreamReport([], 2.0, [usage, usage]).problems() == []
    assert StreamReport([], 1.0, [usage, usage]).problems() == ["usage of 1.60 s for 1.00 s of audio"]


def test_what_ended_the_stream_and_what_is_left_of_it_are_problems() -> None:
    report = StreamReport([], 1.0, error=ValueError("no"), timed_out=True, leaks=["a socket"])
    assert report.problems() == [
        "the stream did not end in time",
        "the stream failed: ValueError: no",
        "left behind: a socket",
    ]
