"""Every vendor that speaks, both ways, against the embedded server in the vendor's dialect.

What is heard is compared with what espeak-ng makes of the same text here. `speech_cases.py` says what a vendor
contributes; what it lacks it declares, and the declaration is checked.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from conformance import API_KEY, Server
from livekit.agents import APIConnectOptions, APIError
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT
from said import assert_says, likeness
from speech_cases import CASES, SpeechCase, Way

from agents.providers.vendors import find_vendor, vendor_names

TEXT = "We open at nine, and close at eight."
RATE = 24000
ONCE = APIConnectOptions(max_retry=0, timeout=10)

both = pytest.mark.parametrize(
    ("case", "way"), [pytest.param(case, way, id=f"{case}-{way}") for case in CASES for way in case.ways]
)
websocket = pytest.mark.parametrize("case", [case for case in CASES if "websocket" in case.ways], ids=str)


async def said(adapter: Any, way: Way, text: str = TEXT) -> list[Any]:
    """The frames of *text*: in pieces over a WebSocket, in one over HTTP."""
    if way == "http":
        return [event.frame async for event in adapter.synthesize(text, conn_options=ONCE)]
    async with adapter.stream(conn_options=ONCE) as stream:
        for word in text.split(" "):
            stream.push_text(word + " ")
        stream.end_input()
        return [event.frame async for event in stream]


def pcm_of(frames: list[Any]) -> bytes:
    return b"".join(bytes(frame.data) for frame in frames)


def test_every_vendor_that_speaks_is_here() -> None:
    """Whoever adds one adds a case."""
    speaking = set()
    for name in vendor_names():
        found = find_vendor(name)
        ways = [("http", found.synthesis), ("websocket", found.streaming_synthesis)]
        speaking |= {(name, way) for way, protocol in ways if protocol is not None}
    assert speaking == {(case.vendor, way) for case in CASES for way in case.ways}


@both
@pytest.mark.parametrize("rate", [RATE, 8000])
async def test_the_text_is_said_at_the_rate_asked_for(
    case: SpeechCase, way: Way, rate: int, server: Server
) -> None:
    adapter, _ = case.adapter(way, server, sample_rate=rate)
    async with adapter:
        frames = await said(adapter, way)
        assert {(frame.sample_rate, frame.num_channels) for frame in frames} == {(rate, 1)}
        assert_says(pcm_of(frames), rate, TEXT, case.voice)
        assert adapter.stats.audio_seconds == pytest.approx(sum(frame.duration for frame in frames), abs=0.05)
        assert adapter.stats.segments == 1


@both
async def test_voice_model_and_options_are_sent_and_heard(case: SpeechCase, way: Way, server: Server) -> None:
    name, voice = case.other
    options, expected = case.options.get(way, ({}, []))
    adapter, wire = case.adapter(way, server, voice=name, model=case.model, language="en-US", options=options)
    async with adapter:
        faster = pcm_of(await said(adapter, way))
        assert [
            text for text in [name, *([case.model] if case.model else []), *expected] if text not in wire
        ] == []
        assert any(API_KEY in sent for sent in wire.sent)
        length, _ = likeness(faster, RATE, TEXT, voice)
        assert length < 0.96 if "speed" in options else length < 1.06
        adapter.update_options(options=dict.fromkeys(options))  # back to the defaults
        assert_says(pcm_of(await said(adapter, way)), RATE, TEXT, voice)


@both
async def test_a_wrong_key_is_refused_for_good(
    case: SpeechCase, way: Way, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """And shows nowhere, nor does the right one, nor the text."""
    wrong = "not-the-key-99aa"
    with caplog.at_level(logging.DEBUG, logger="agents.providers"):
        adapter, _ = case.adapter(way, server, wrong)
        async with adapter:
            with pytest.raises(APIError, match=case.vendor) as caught:
                await said(adapter, way)
            assert caught.value.retryable is False
            assert adapter.stats.permanent_failures == 1
    shown = f"{caught.value!s} {caught.value!r} {adapter!r} {vars(adapter)} {caplog.text}"
    assert wrong not in shown and TEXT not in shown


@both
async def test_a_voice_there_is_not_is_refused_for_good(case: SpeechCase, way: Way, server: Server) -> None:
    adapter, _ = case.adapter(way, server, voice=case.wrong)
    async with adapter:
        with pytest.raises(APIError) as caught:
            await said(adapter, way)
    assert caught.value.retryable is (way == "websocket" and "verdict" in case.lacks)
    assert API_KEY not in str(caught.value) and TEXT not in str(caught.value)


@websocket
async def test_words_have_the_times_of_their_audio(case: SpeechCase, server: Server) -> None:
    adapter, _ = case.adapter("websocket", server)
    async with adapter:
        frames = await said(adapter, "websocket")
        timed = adapter.capabilities.aligned_transcript
    words = [word for frame in frames for word in frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])]
    if "words" in case.lacks:
        assert not words and not timed
        return
    assert timed and "".join(words).split() == TEXT.split()
    assert len(words) == len(TEXT.split())
    samples = np.abs(np.frombuffer(pcm_of(frames), "<i2").astype(int))
    for before, word in zip([None, *words], words, strict=False):
        assert before is None or before.start_time < word.start_time
        assert 0 <= word.start_time < word.end_time <= len(samples) / RATE + 0.01
        assert samples[int(word.start_time * RATE) : int(word.end_time * RATE)].mean() > 200


@websocket
async def test_an_answer_is_heard_while_its_end_is_still_being_written(case: SpeechCase, server: Server) -> None:
    adapter, _ = case.adapter("websocket", server)
    async with adapter, adapter.stream(conn_options=ONCE) as stream:
        stream.push_text("We are open from nine in the morning, until eight in the evening. And on all ")
        if "early" not in case.lacks:
            await anext(stream)
        stream.push_text("of the Sundays, we are closed.")
        stream.end_input()
        frames = [event.frame async for event in stream]
        assert sum(frame.duration for frame in frames) > 1


@websocket
async def test_a_connection_carries_one_answer_after_another(case: SpeechCase, server: Server) -> None:
    adapter, wire = case.adapter("websocket", server)
    async with adapter:
        for text in (TEXT, "Would you like a table?", TEXT):
            assert_says(pcm_of(await said(adapter, "websocket", text)), RATE, text, case.voice)
        if "reuse" not in case.lacks:
            assert (wire.connections, adapter.stats.reuses) == (1, 2)
        else:
            assert wire.connections >= 3


@websocket
async def test_an_interrupted_answer_is_not_heard_in_the_next(case: SpeechCase, server: Server) -> None:
    """It is broken off in mid-speech, and in the middle of its text."""
    adapter, wire = case.adapter("websocket", server)
    async with adapter:
        for _ in range(2):
            stream = adapter.stream(conn_options=ONCE)
            stream.push_text("This is a long story, which nobody wants to hear to its end. " * 5)
            stream.flush()
            await anext(stream)
            await stream.aclose()
            assert_says(pcm_of(await said(adapter, "websocket")), RATE, TEXT, case.voice)
        assert adapter.stats.cancelled == 2
        cancels = [sent for sent in wire.sent if '"cancel"' in sent or '"Clear"' in sent]
        assert len(cancels) == (0 if "cancel" in case.lacks else 2)
