"""Speech, its encodings, and what is said when something is wrong with the request."""

from __future__ import annotations

import asyncio

import pytest

from agents.providers.local.caller import CALLER_LINES
from agents.providers.local.responder import pieces, respond
from agents.providers.local.synthesiser import (
    SAMPLE_RATE,
    SynthesisError,
    Voice,
    synthesise,
    synthesise_stream,
    voice_names,
)


async def test_two_at_a_time_do_not_mix() -> None:
    """The library is global to the process; each caller gets the length of its own text."""

    async def length(text: str) -> int:
        return sum([len(block) async for block in synthesise_stream(text)])

    short, long = "yes", "this is a much longer sentence than the other one is"
    alone = [len(synthesise(short)), len(synthesise(long))]
    together = await asyncio.gather(*(length(text) for text in [short, long] * 3))
    for index, got in enumerate(together):
        assert got == pytest.approx(alone[index % 2], rel=0.05)


async def test_closing_the_stream_stops_the_synthesis() -> None:
    """The thread is free for the next one at once."""
    stream = synthesise_stream("one two three four five " * 150)
    assert await anext(stream)
    await stream.aclose()
    assert synthesise("yes")


def test_rate_changes_the_length() -> None:
    """Words per minute."""
    slow, fast = (len(synthesise("what are your opening hours", Voice(rate=rate))) for rate in (120, 240))
    assert slow > 1.5 * fast > 1.5 * SAMPLE_RATE // 2


def test_wrong_voices_and_settings_are_named() -> None:
    """Before and in the library."""
    with pytest.raises(SynthesisError, match="no voice 'martian'"):
        synthesise("hello", Voice("martian"))
    with pytest.raises(SynthesisError, match="rate=1000 is out of range"):
        Voice(rate=1000)
    assert "en-us" in voice_names()


@pytest.mark.parametrize("text", CALLER_LINES)
def test_the_responder_has_an_answer_to_each_line_of_the_caller(text: str) -> None:
    """None of them falls through to the repetition; streamed pieces add up."""
    answer = respond(text)
    assert not answer.startswith("I heard")
    assert "".join(pieces(answer)) == answer


def test_the_responder_repeats_what_it_does_not_know() -> None:
    """With the words it heard, and says what it can do; it speaks first when nothing was said."""
    assert respond("the moon  is green").startswith("I heard: the moon is green.")
    assert respond("") == "Hello, what can I do for you?"
    assert "for two on Friday" in respond(CALLER_LINES[1])
