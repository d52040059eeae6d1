"""When silence of a recogniser is a failure. No clock runs here."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agents.providers.wrappers.failover_silence import EnergyGate, SilenceWatch


def watch(*, interims: bool = True) -> SilenceWatch:
    made = SilenceWatch(2.0, interims=interims)
    made.begin(0.0, 0.0, text_open=False)
    return made


def talk(to: SilenceWatch, since: float, until: float, *, loud: bool = True) -> None:
    """Audio in frames of 100 ms."""
    for tenth in range(round(since * 10), round(until * 10)):
        to.audio(tenth / 10)
        if loud:
            to.speech(tenth / 10, 0.1)


def test_speech_that_nobody_answers_is_noticed_after_the_limit() -> None:
    silent = watch()
    talk(silent, 0.0, 1.9)
    assert not silent.overdue(1.9)
    talk(silent, 1.9, 2.1)
    assert silent.overdue(2.1)
    assert not silent.overdue(2.1, patience=2.0)


def test_quiet_and_coughs_need_no_answer() -> None:
    quiet = watch()
    talk(quiet, 0.0, 0.2)
    talk(quiet, 0.2, 60.0, loud=False)
    assert not quiet.overdue(60.0)


def test_answers_start_it_over() -> None:
    heard = watch()
    for second in range(1, 30):
        talk(heard, second - 1, second)
        heard.answered(float(second), text_open=True)
        assert not heard.overdue(second + 0.05)
    talk(heard, 29, 31.1)
    assert heard.overdue(31.1)


def test_an_interim_that_never_becomes_final_is_noticed_once_it_is_quiet() -> None:
    stuck = watch()
    talk(stuck, 0.0, 1.0)
    stuck.answered(1.0, text_open=True)
    talk(stuck, 1.0, 3.1, loud=False)
    assert stuck.overdue(3.1)
    stuck.answered(3.1, text_open=False)
    assert not stuck.overdue(60.0)


def test_without_audio_nobody_can_find_the_end_of_an_utterance() -> None:
    muted = watch()
    talk(muted, 0.0, 1.0)
    muted.answered(1.0, text_open=True)
    assert not muted.overdue(60.0)


def test_a_recogniser_without_interims_is_given_until_after_the_speech() -> None:
    batch = watch(interims=False)
    talk(batch, 0.0, 10.0)
    assert not batch.overdue(10.0)
    talk(batch, 10.0, 12.1, loud=False)
    assert batch.overdue(12.1)


def test_but_not_for_ever() -> None:
    endless = watch(interims=False)
    talk(endless, 0.0, 33.0)
    assert endless.overdue(33.0)


def test_a_recogniser_in_trouble_is_given_less_until_it_answers() -> None:
    troubled = watch()
    troubled.hurry(0.5)
    talk(troubled, 0.0, 0.6)
    assert troubled.overdue(0.6)
    troubled.answered(0.6, text_open=False)
    talk(troubled, 0.6, 1.3)
    assert not troubled.overdue(1.3)


def test_speech_that_is_given_again_counts() -> None:
    again = watch()
    again.begin(10.0, 3.0, text_open=False)
    talk(again, 10.0, 12.1, loud=False)
    assert again.overdue(12.1)


def test_how_long_is_left_is_known_beforehand() -> None:
    owes = watch()
    assert owes.left(0.5) == math.inf
    talk(owes, 0.5, 1.0)
    assert owes.left(1.0) == pytest.approx(1.5)
    assert owes.left(1.0, patience=2.0) == pytest.approx(3.5)
    owes.answered(1.0, text_open=True)
    assert owes.left(1.5) == pytest.approx(1.5), "the words are not final yet"
    owes.answered(1.5, text_open=False)
    assert owes.left(1.5) == math.inf


@pytest.mark.parametrize(
    ("ago", "since"),
    [(0.4, 5.6), (30.0, 5.0)],
    ids=["in the audio looked at", "but not before the last look, though audio was pushed faster than real time"],
)
def test_speech_that_is_noticed_later_counts_from_when_it_came(ago: float, since: float) -> None:
    late = watch()
    late.audio(5.0)
    late.audio(6.0)
    late.speech(6.0, 0.4, ago=ago)
    assert late.left(6.0) == pytest.approx(since + 2.0 - 6.0)


def sound(peak: int, seconds: float = 0.05, rate: int = 16000) -> bytes:
    return (np.resize([1.0, -1.0], round(seconds * rate)) * peak).astype("<i2").tobytes()


def test_speech_is_loud_and_silence_is_not() -> None:
    gate = EnergyGate()
    assert gate.loud(sound(8000), 0.05)
    assert not gate.loud(sound(300), 0.05)
    assert not gate.loud(b"", 0.0)


@pytest.mark.parametrize("noise", [1500, 3000])
def test_noise_that_never_ends_is_no_speech_after_a_while_and_speech_in_it_is(noise: int) -> None:
    gate = EnergyGate()
    loud = [gate.loud(sound(noise), 0.05) for _ in range(600)]
    assert loud[0] and not loud[-1]
    assert gate.loud(sound(min(noise * 4, 30000)), 0.05)


def test_speech_with_pauses_stays_speech() -> None:
    gate = EnergyGate()
    for _ in range(60):
        assert all(gate.loud(sound(9000), 0.05) for _ in range(40))
        assert not gate.loud(sound(20), 0.05)
