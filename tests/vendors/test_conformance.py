"""Every vendor, both ways, against the embedded server in the vendor's dialect: what all of them must hold to.

`tests/support/conformance.py` says what a vendor contributes. A vendor that lacks a feature declares so, and the
declaration is checked.
"""

from __future__ import annotations

from typing import Any

import pytest
from conformance import Address, OptionCheck, Server, VendorCase, all_cases
from livekit.agents import APIError, APIStatusError, stt
from spoken_lines import LINES, plain, silence
from stand_in_recognisers import BusyRecogniser, DyingRecogniser
from talks import Kind, Talk, Talks, interrupted_talk, read, say_nothing, text_of

from agents.providers.local import ServerOptions, SpeechServer
from agents.providers.protocol import Failure, Final, Partial, SpeechEnded, SpeechStarted, Usage
from agents.providers.testing import FaultProxy
from agents.providers.testing.tape import Tape


def _cases(way: str) -> pytest.MarkDecorator:
    chosen = [case for case in all_cases() if way in case.ways]
    return pytest.mark.parametrize("case", chosen, ids=str, scope="session")


def _checks() -> list[Any]:
    return [
        pytest.param(case, check, id=f"{case}-{check.way}-{number}")
        for case in all_cases()
        for number, check in enumerate(case.option_checks)
    ]


streaming, batch = _cases("streaming"), _cases("batch")
both = pytest.mark.parametrize(
    ("case", "way"), [pytest.param(case, way, id=f"{case}-{way}") for case in all_cases() for way in case.ways]
)


# --- streaming: what is heard ---


@streaming
async def test_every_line_is_heard_word_for_word(case: VendorCase, server: Server, talks: Talks) -> None:
    """The first line without being asked for, the second on a flush, the third after the end of the input."""
    talk = await talks.streaming(case, server)
    assert [text_of(phase) for phase in talk.phases] == list(LINES)


@streaming
async def test_events_come_in_livekits_order(case: VendorCase, server: Server, talks: Talks) -> None:
    talk = await talks.streaming(case, server)
    _check_order(talk.events)
    kinds = [event.type for event in talk.events]
    assert kinds.count(Kind.START_OF_SPEECH) == kinds.count(Kind.END_OF_SPEECH) == len(LINES)


@streaming
async def test_interims_come_before_their_final(case: VendorCase, server: Server, talks: Talks) -> None:
    talk = await talks.streaming(case, server)
    if not case.has("interims", "streaming"):
        assert not talk.tape.events(Partial)
        return
    for phase in talk.phases:
        assert Kind.INTERIM_TRANSCRIPT in [event.type for event in phase]


@streaming
async def test_words_have_times_on_the_clock_of_the_audio(case: VendorCase, server: Server, talks: Talks) -> None:
    talk = await talks.streaming(case, server)
    words = [word for final in talk.finals for word in final.words or ()]
    if not case.has("words", "streaming"):
        assert not words
        return
    assert plain(" ".join(words)) == " ".join(LINES)
    begin = 0.0
    for phase, end in zip(talk.phases, talk.seconds, strict=True):
        said = [e.alternatives[0] for e in phase if e.type is Kind.FINAL_TRANSCRIPT]
        in_phase = [word for final in said for word in final.words or ()]
        _check_times([(word.start_time, word.end_time) for word in in_phase], begin - 0.1, end + 0.1)
        assert in_phase[-1].end_time - in_phase[0].start_time > 1.0  # type: ignore[operator]  # seconds
        begin = end


@streaming
async def test_finals_have_times_on_the_clock_of_the_audio(case: VendorCase, server: Server, talks: Talks) -> None:
    talk = await talks.streaming(case, server)
    heard = [final for final in talk.tape.events(Final) if final.text]
    if not case.has("times", "streaming"):
        assert all(final.end is None for final in heard)
        return
    _check_finals_lie_in_their_phases(talk)


@streaming
async def test_confidence_is_between_0_and_1(case: VendorCase, server: Server, talks: Talks) -> None:
    confidences = [final.confidence for final in (await talks.streaming(case, server)).finals]
    if case.has("confidence", "streaming"):
        assert all(0.0 < confidence <= 1.0 for confidence in confidences)
    else:
        assert set(confidences) == {0.0}


@streaming
async def test_the_language_is_reported(case: VendorCase, server: Server, talks: Talks) -> None:
    talk = await talks.streaming(case, server)
    assert all(final.language.split("-")[0].lower() == "en" for final in talk.finals)
    told = [final.language for final in talk.tape.events(Final) if final.text]
    assert all(told) if case.has("language", "streaming") else not any(told)


@streaming
async def test_the_speaker_is_reported(case: VendorCase, server: Server, talks: Talks) -> None:
    speakers = {final.speaker_id for final in (await talks.streaming(case, server)).finals}
    assert None not in speakers if case.has("speaker", "streaming") else speakers == {None}


@streaming
async def test_speech_is_announced(case: VendorCase, server: Server, talks: Talks) -> None:
    tape = (await talks.streaming(case, server)).tape
    said = [*tape.events(SpeechStarted), *tape.events(SpeechEnded)]
    ends = [final for final in tape.events(Final) if final.ends_utterance]
    if case.has("speech_events", "streaming"):
        assert len(said) + len(ends) >= len(LINES)
    else:
        assert not said


@streaming
async def test_usage_is_the_audio_or_what_the_vendor_bills(case: VendorCase, server: Server, talks: Talks) -> None:
    talk = await talks.streaming(case, server)
    reports = [e.recognition_usage for e in talk.events if e.type is Kind.RECOGNITION_USAGE]
    told = talk.tape.events(Usage)
    assert bool(told) == case.has("usage", "streaming")
    seconds = sum(report.audio_duration for report in reports if report is not None)
    tokens = sum(report.input_tokens for report in reports if report is not None)
    if seconds or not told:
        assert seconds == pytest.approx(talk.seconds[-1], rel=0.1, abs=0.2)
    else:
        assert tokens > 0


@streaming
async def test_keyterms_are_sent(case: VendorCase, server: Server, talks: Talks) -> None:
    talk = await talks.streaming(case, server)
    assert case.streaming(server).capabilities.keyterms == case.has("keyterms", "streaming")
    if case.has("keyterms", "streaming"):
        assert case.keyterm_sent in talk.tape.wire


@streaming
async def test_flush_is_declared_as_it_is(case: VendorCase, server: Server) -> None:
    assert case.streaming(server).capabilities.manual_flush == case.has("flush", "streaming")


@streaming
async def test_a_drop_in_mid_utterance_loses_nothing(case: VendorCase, server: Server) -> None:
    """What was final stays said once, what was not is said whole, and the clock goes on."""
    upstream = server.url.rpartition(":")[2]
    async with FaultProxy("127.0.0.1", int(upstream)) as proxy:
        talk = await interrupted_talk(case, Address(proxy.port), proxy.drop)
    assert talk.reconnects >= 1
    _check_order(talk.events)
    assert [text_of(phase) for phase in talk.phases] == list(LINES[:2])
    if case.has("times", "streaming"):
        _check_finals_lie_in_their_phases(talk)


# --- batch ---


@batch
async def test_a_recording_is_heard_word_for_word(case: VendorCase, server: Server, talks: Talks) -> None:
    reading = await talks.batch(case, server)
    assert plain(reading.data.text) == LINES[0]
    assert reading.event.type is Kind.FINAL_TRANSCRIPT


@batch
async def test_a_recordings_words_have_times(case: VendorCase, server: Server, talks: Talks) -> None:
    reading = await talks.batch(case, server)
    words = list(reading.data.words or ())
    if not case.has("words", "batch"):
        assert not words
        return
    assert plain(" ".join(words)) == LINES[0]
    _check_times([(word.start_time, word.end_time) for word in words], 0.0, reading.seconds + 0.1)
    assert words[-1].end_time - words[0].start_time > 1.0  # type: ignore[operator]  # seconds


@batch
async def test_a_recording_as_a_whole_is_described(case: VendorCase, server: Server, talks: Talks) -> None:
    reading = await talks.batch(case, server)
    data, told = reading.data, reading.tape.result
    assert data.language.split("-")[0].lower() == "en"
    assert (told.language is not None) == case.has("language", "batch")
    assert (data.speaker_id is not None) == case.has("speaker", "batch")
    assert (told.usage is not None) == case.has("usage", "batch")
    assert (data.confidence > 0.0) == case.has("confidence", "batch")
    assert data.confidence <= 1.0
    assert (told.end is not None) == case.has("times", "batch")
    if told.end is not None:
        assert 1.0 < told.end <= reading.seconds + 0.1


# --- both ways: options and failures ---


@pytest.mark.parametrize(("case", "check"), _checks())
async def test_options_are_sent_as_documented(case: VendorCase, check: OptionCheck, server: Server) -> None:
    options = {**case.options, **check.options}
    if check.way == "streaming":
        wire = (await say_nothing(case, server, options=options)).wire
    else:
        wire = (await read(case, server, silence(0.3), options=options)).tape.wire
    missing = [text for text in check.sent if text not in wire]
    assert not missing, f"not on the wire: {missing}"


async def _try(case: VendorCase, way: str, server: Server, **given: Any) -> APIError:
    """The error a way of *case* raises."""
    with pytest.raises(APIError) as caught:
        if way == "streaming":
            # with the input open: a failure after its end, with nothing left to say, is none
            await say_nothing(case, server, end=False, **given)
        else:
            await read(case, server, silence(0.3), **{k: v for k, v in given.items() if k != "tape"})
    return caught.value


@both
async def test_a_wrong_key_is_a_permanent_failure(case: VendorCase, way: Any, server: Server) -> None:
    if not case.has("auth", way):
        pytest.skip("knows no keys")
    error = await _try(case, way, server, api_key=case.wrong_key)
    assert error.retryable is False
    assert isinstance(error, APIStatusError)
    assert case.vendor in str(error)


def _server_with(recogniser: Any) -> SpeechServer:
    return SpeechServer(ServerOptions(queue_seconds=0.0), recogniser=recogniser)


@both
async def test_a_full_server_is_a_transient_failure(case: VendorCase, way: Any) -> None:
    if not case.has("quota", way):
        pytest.skip("never refuses")
    async with _server_with(BusyRecogniser()) as full:
        error = await _try(case, way, full)
    assert error.retryable is True


@both
async def test_a_server_that_fails_is_a_transient_failure(case: VendorCase, way: Any) -> None:
    """It says so in a message or by its status, and both are understood."""
    tape = Tape()
    async with _server_with(DyingRecogniser()) as dying:
        error = await _try(case, way, dying, tape=tape)
    assert error.retryable is True
    if way == "streaming":
        assert bool(tape.events(Failure)) == case.has("error", way)


# --- what is checked ---


def _check_order(events: list[stt.SpeechEvent]) -> None:
    """START, then interims, then finals, then END; finals hold text, and nothing is said outside an utterance."""
    speaking, finals = False, 0
    for event in events:
        if event.type is Kind.RECOGNITION_USAGE:
            continue
        if event.type is Kind.START_OF_SPEECH:
            assert not speaking
            speaking, finals = True, 0
            continue
        assert speaking, f"{event.type} outside an utterance"
        if event.type is Kind.END_OF_SPEECH:
            assert finals, "END without a final"
            speaking = False
            continue
        assert event.alternatives[0].text.strip()
        finals += event.type is Kind.FINAL_TRANSCRIPT
    assert not speaking


def _check_times(spans: list[tuple[Any, Any]], begin: float, end: float) -> None:
    """Spans follow each other and lie between *begin* and *end*, in seconds."""
    at = begin
    for start, stop in spans:
        assert at - 0.05 <= start <= stop <= end
        at = start


def _check_finals_lie_in_their_phases(talk: Talk) -> None:
    # A flush can overtake a vendor's notice that somebody speaks: then the final has no beginning, or begins where
    # the one before ended.
    begins_unknown = any(final.text and final.start is None for final in talk.tape.events(Final))
    begin = before = 0.0
    for phase, end in zip(talk.phases, talk.seconds, strict=True):
        said = [e.alternatives[0] for e in phase if e.type is Kind.FINAL_TRANSCRIPT]
        spans = [(final.start_time, final.end_time) for final in said]
        if begins_unknown:
            spans = [(start or max(begin, 0.0), end) for start, end in spans]
        if spans and spans[0][0] == pytest.approx(before, abs=0.01):
            spans[0] = (max(before, begin), spans[0][1])
        _check_times(spans, begin - 0.1, end + 0.1)
        begin, before = end, spans[-1][1] if spans else before
