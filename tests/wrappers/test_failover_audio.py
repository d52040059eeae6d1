"""What is kept for the next recogniser, in which order it is given, and how loud it was."""

from __future__ import annotations

import numpy as np
import pytest
from livekit import rtc

from agents.providers.wrappers.failover_audio import KeptAudio

RATE = 1000  # so that samples are milliseconds


def frame(number: int, *, samples: int = 100, peak: int = 0) -> rtc.AudioFrame:
    """The first sample tells whose it is."""
    data = np.full(samples, number, np.int16)
    data[1:] = peak or number
    return rtc.AudioFrame(data.tobytes(), RATE, 1, samples)


def kept(count: int, *, keep_seconds: float = 60.0, given: bool = True) -> KeptAudio:
    audio = KeptAudio(keep_seconds)
    audio.rate = RATE
    for number in range(count):
        audio.push(frame(number), 100)
    if given:
        audio.given = audio.end
    return audio


def again(audio: KeptAudio) -> list[tuple[int, int] | None]:
    """The numbers and the lengths of what is given; ``None`` for a flush."""
    return [one and (one.data[0], one.samples_per_channel) for one in audio.pending()]


class TestGiving:
    def test_what_no_final_covers_is_given_again_and_the_rest_is_not_kept(self) -> None:
        audio = kept(5)
        audio.acknowledge(0.25)
        assert audio.rewind() == audio.given_seconds == 0.25
        assert again(audio) == [(2, 50), (3, 100), (4, 100)]
        assert audio.given_seconds == audio.seconds == 0.5 and again(audio) == []

    def test_frames_are_the_callers_own(self) -> None:
        audio, mine = kept(0), frame(7)
        audio.push(mine, 100)
        assert next(audio.pending()) is mine

    def test_finals_cover_nothing_that_was_not_given(self) -> None:
        audio = kept(3, given=False)
        audio.acknowledge(0.2)
        assert audio.rewind() == 0.0 and len(again(audio)) == 3

    def test_frames_of_different_lengths_are_let_go_one_by_one(self) -> None:
        audio = kept(0)
        for number, samples in enumerate((100, 50, 100, 250)):
            audio.push(frame(number, samples=samples), samples)
        audio.given = audio.end
        audio.acknowledge(0.16)
        audio.rewind()
        assert again(audio) == [(2, 90), (3, 250)]

    def test_flushes_keep_their_place_until_what_they_are_about_is_final(self) -> None:
        audio = kept(2)
        audio.flush()
        audio.push(frame(2), 100)
        audio.flush()
        audio.given = audio.end
        audio.rewind()
        assert again(audio) == [(0, 100), (1, 100), None, (2, 100), None]
        audio.acknowledge(0.2)
        audio.rewind()
        assert again(audio) == [(2, 100), None]

    def test_flushes_that_nobody_answers_do_not_pile_up(self) -> None:
        audio = kept(1)
        for _ in range(1000):
            audio.flush()
        assert len(again(audio)) < 100

    def test_a_frame_in_a_larger_buffer_is_cut_at_its_own_end(self) -> None:
        audio = kept(0)
        audio.push(rtc.AudioFrame(np.arange(300, dtype=np.int16).tobytes(), RATE, 1, 100), 100)
        audio.given = audio.end
        audio.acknowledge(0.04)
        audio.rewind()
        assert again(audio) == [(40, 60)]

    def test_nothing_came_yet(self) -> None:
        audio = KeptAudio(1.0)
        audio.let_go(1.0)
        assert (audio.rewind(), again(audio), audio.take_dropped()) == (0.0, [], 0.0)
        assert audio.seconds == audio.given_seconds == audio.pause_seconds == audio.quiet_seconds == 0.0


class TestLettingGo:
    def age(self, audio: KeptAudio, seconds: float, *, pushed_in: float, given: bool) -> None:
        """Push so much audio in *pushed_in* seconds, as the timer sees it."""
        frames = round(seconds * 10)
        for number in range(frames):
            audio.push(frame(number), 100)
            if given:
                audio.given = audio.end
            audio.let_go(pushed_in * (number + 1) / frames)

    def test_audio_that_is_too_old_is_lost_when_somebody_would_need_it(self) -> None:
        audio = kept(0, keep_seconds=1.0)
        self.age(audio, 5.0, pushed_in=5.0, given=True)
        assert audio.take_dropped() == 0.0, "a final may still come"
        origin = audio.rewind()
        assert 3.8 <= origin <= 4.0 and audio.take_dropped() == pytest.approx(origin)
        assert audio.take_dropped() == 0.0, "told once"

    def test_audio_nobody_heard_is_lost_at_once(self) -> None:
        audio = kept(0, keep_seconds=1.0)
        self.age(audio, 5.0, pushed_in=5.0, given=False)
        assert 3.8 <= audio.take_dropped() <= 4.0 and 3.8 <= audio.given_seconds <= 4.0

    def test_audio_that_came_quickly_is_not_old(self) -> None:
        audio = kept(0, keep_seconds=1.0)
        self.age(audio, 5.0, pushed_in=0.9, given=False)
        assert audio.rewind() == 0.0 and len(again(audio)) == 50

    def test_what_was_answered_without_times_is_not_lost(self) -> None:
        audio = kept(0, keep_seconds=1.0)
        self.age(audio, 5.0, pushed_in=5.0, given=True)
        audio.answered()
        audio.rewind()
        assert audio.take_dropped() == 0.0


class TestLevel:
    def test_only_what_came_since_the_last_look_is_looked_at(self) -> None:
        audio = kept(0)
        for number in range(4):
            audio.push(frame(number, peak=9000), 100)
        assert audio.look(0, closely=False).seconds == pytest.approx(0.4)
        audio.push(frame(4, peak=9000), 100)
        heard = audio.look(0, closely=False)
        assert (heard.seconds, heard.unanswered, heard.ago) == pytest.approx((0.1, 0.1, 0.1))
        assert audio.loud and audio.quiet_seconds == 0.0

    def test_one_frame_tells_of_a_tenth_of_a_second(self) -> None:
        for loud, seconds in ((range(20), 0.2), ((5, 15), 0.0), ((9,), 0.1), ((19,), 0.1)):
            audio = kept(0)
            for number in range(20):
                audio.push(frame(number, samples=10, peak=9000 if number in loud else 0), 10)
            heard = audio.look(0, closely=False)
            assert heard.seconds == heard.unanswered == pytest.approx(seconds)
            assert heard.ago == pytest.approx(0.2 if len(loud) == 20 or 9 in loud else seconds)

    def test_what_was_answered_needs_no_second_answer(self) -> None:
        audio = kept(0)
        for number in range(4):
            audio.push(frame(number, peak=9000), 100)
        heard = audio.look(200, closely=False)
        assert (heard.unanswered, heard.ago) == pytest.approx((0.2, 0.2))
        audio.push(frame(4, peak=9000), 100)
        assert audio.look(audio.end, closely=False).unanswered == 0.0
        assert audio.loud, "that somebody speaks is known all the same"

    def test_closely_the_end_of_speech_is_known_though_it_was_answered(self) -> None:
        for closely, quiet in ((True, 0.1), (False, 0.3)):
            audio = kept(1)
            audio.look(0, closely=True)
            audio.push(frame(1, peak=9000), 100)
            audio.push(frame(2), 100)
            heard = audio.look(audio.end, closely=closely)
            assert audio.quiet_seconds == pytest.approx(quiet)
            assert heard.seconds == pytest.approx(0.1 if closely else 0.0) and heard.unanswered == 0.0

    def test_speech_that_no_final_covers(self) -> None:
        audio = kept(2)
        audio.push(frame(2, peak=9000), 100)
        audio.push(frame(3), 100)
        audio.given = audio.end
        assert audio.unheard_seconds == pytest.approx(0.1)
        assert audio.pause_seconds == pytest.approx(0.2)
        audio.acknowledge(0.25)
        assert audio.unheard_seconds == pytest.approx(0.05) and audio.pause_seconds == 0.0
        audio.acknowledge(0.3)
        assert audio.unheard_seconds == 0.0 and audio.pause_seconds == pytest.approx(0.1)
