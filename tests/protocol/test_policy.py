"""When to try again."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

import pytest

from agents.providers.protocol import Backoff, Verdict, judge_close, judge_status, retry_after_seconds
from agents.providers.protocol.policy import remedy_for

NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize("status", [408, 425, 429, 499, 500, 502, 503, 504, 529, 599])
def test_a_status_that_passes_is_transient(status: int) -> None:
    assert judge_status(status) is Verdict.TRANSIENT


@pytest.mark.parametrize("status", [300, 301, 302, 307, 400, 401, 402, 403, 404, 405, 409, 410, 413, 415, 422])
def test_a_status_that_stays_is_permanent(status: int) -> None:
    assert judge_status(status) is Verdict.PERMANENT


class TestClose:
    @pytest.mark.parametrize("code", [None, 1000, 1001, 1002, 1005, 1006, 1007, 1011, 1012, 1013, 1014, 1015])
    def test_a_close_while_input_is_open_is_something_to_recover_from(self, code: int | None) -> None:
        assert judge_close(code) is Verdict.TRANSIENT

    @pytest.mark.parametrize("code", [1003, 1008, 1009, 1010, 4001, 4003])
    def test_a_refusal_is_permanent(self, code: int) -> None:
        assert judge_close(code) is Verdict.PERMANENT

    @pytest.mark.parametrize(
        ("code", "verdict"),
        [
            (4400, Verdict.PERMANENT),
            (4401, Verdict.PERMANENT),
            (4408, Verdict.TRANSIENT),
            (4429, Verdict.TRANSIENT),
            (4500, Verdict.TRANSIENT),
            (4599, Verdict.TRANSIENT),
            (4399, Verdict.TRANSIENT),
            (4600, Verdict.TRANSIENT),
            (4000, Verdict.TRANSIENT),
            (4999, Verdict.TRANSIENT),
        ],
    )
    def test_private_codes_that_repeat_an_http_status_mean_it(self, code: int, verdict: Verdict) -> None:
        assert judge_close(code) is verdict

    def test_the_vendors_table_comes_first_and_only_for_its_codes(self) -> None:
        table = {1008: Verdict.RECYCLE, 1000: Verdict.IGNORE}
        assert judge_close(1008, table) is Verdict.RECYCLE
        assert judge_close(1000, table) is Verdict.IGNORE
        assert judge_close(4001, table) is Verdict.PERMANENT
        assert judge_close(None, table) is Verdict.TRANSIENT


@pytest.mark.parametrize(
    ("statuses", "remedy"),
    [
        ((401, 4401, 4001), "check the API key"),
        ((402, 4402), "balance"),
        ((403, 4403, 4003), "may use this service and model"),
        ((404, 4404), "check the URL and the model"),
        ((400, 422, 4400, 4422), "options and the form of what is sent"),
        ((413,), "less at once"),
        ((429, 4429), "slow down"),
        ((300, 301, 308, 399), "redirects are not followed"),
    ],
)
def test_a_remedy_says_what_to_do(statuses: tuple[int, ...], remedy: str) -> None:
    for status in statuses:
        assert remedy in remedy_for(status)


@pytest.mark.parametrize("status", [None, 200, 500, 503, 1006, 4999])
def test_where_nothing_can_be_done_there_is_no_remedy(status: int | None) -> None:
    assert remedy_for(status) == ""


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            (None, None),
            ("", None),
            ("soon", None),
            ("nan", None),
            ("7", 7.0),
            (" 1.5 ", 1.5),
            ("-3", 0.0),
            ("1000", 300.0),
            ("inf", 300.0),
            ("Fri, 02 Jan 2026 12:00:30 GMT", 30.0),
            ("Fri, 02 Jan 2026 12:00:30 -0000", 30.0),  # no zone: taken as UTC
            ("Fri, 02 Jan 2026 11:00:00 GMT", 0.0),
            ("Fri, 02 Jan 2027 12:00:00 GMT", 300.0),
            ("Fri, 31 Dec 99999999999999999999 23:59:59 GMT", None),
            ("Fri, 31 Dec 2026 23:59:59 +999999999999999999999999999999", None),
        ],
    )
    def test_seconds_and_dates_are_read_and_bounded(self, value: str | None, seconds: float | None) -> None:
        assert retry_after_seconds(value, now=NOW) == seconds

    def test_the_limit_is_the_callers(self) -> None:
        assert retry_after_seconds("1000", limit=10) == 10

    def test_without_a_present_the_clock_is_used(self) -> None:
        later = datetime.now(timezone.utc) + timedelta(seconds=60)
        seconds = retry_after_seconds(later.strftime("%a, %d %b %Y %H:%M:%S GMT"))
        assert seconds == pytest.approx(60, abs=3)


class TestBackoff:
    def test_the_first_retry_is_at_once(self) -> None:
        assert Backoff().next_delay() == 0.0

    def test_later_ones_grow_up_to_the_cap(self) -> None:
        for seed in range(50):
            backoff = Backoff(base=0.25, cap=4.0, random=random.Random(seed))
            delays = [backoff.next_delay() for _ in range(60)]
            for attempt, delay in enumerate(delays[1:], start=1):
                assert 0.125 <= delay <= min(4.0, 0.25 * 2.0**attempt)

    def test_they_are_spread(self) -> None:
        first_waits = set()
        for seed in range(20):
            backoff = Backoff(random=random.Random(seed), attempt=3)
            first_waits.add(round(backoff.next_delay(), 6))
        assert len(first_waits) == 20

    def test_the_wait_asked_for_is_kept_and_a_little_spread(self) -> None:
        backoff = Backoff(base=0.25)
        for _ in range(20):
            assert 30.0 <= backoff.next_delay(retry_after=30.0) <= 30.25

    def test_a_shorter_wait_asked_for_shortens_nothing(self) -> None:
        backoff = Backoff(base=8.0, cap=8.0, attempt=1)
        assert backoff.next_delay(retry_after=0.0) >= 4.0

    def test_after_a_success_it_starts_over(self) -> None:
        backoff = Backoff(attempt=9)
        backoff.reset()
        assert backoff.next_delay() == 0.0
