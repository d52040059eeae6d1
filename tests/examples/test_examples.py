"""Every file in `examples/` is run against an embedded server, and says what it is there to show."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import importlib
import logging
import re
import runpy
import sys
from collections.abc import Callable

import pytest
from livekit.agents import AgentSession

from .conftest import EXAMPLES

Say = Callable[[str], str]

PRINTS = {
    "all_custom": [
        "user: thank you that is all i wanted to know",
        r"assistant: You are welcome\. Goodbye!",
        "heard by generic, thought by gpt-4o, said by generic as en-us",
    ],
    "config_file": [
        "hears: deepgram, thinks: gpt-4o, speaks: espeak-ng",
        "user: What are your opening hours on sunday.",
        "assistant: On Sundays we are open from ten in the morning until nine in the evening.",
    ],
    "direct_adapter": [
        r"  … is there.*",
        r"heard: Is there any parking near the restaurant\. \(0\.\d to [12]\.\d s\)",
        r"assemblyai: 2\.\d s of audio, 1 connection",
    ],
    "failover": [
        r"deepgram has heard '\w+( \w+){4,}\.?', and is cut off",
        "assemblyai has heard 'i would like to book a table for two people on friday'",
        r"sent again: \d+\.\d s; lost: nothing",
    ],
    "in_house_http": [
        r"user: .*all i wanted to know",  # on a busy machine the VAD may cut into the first words
        r"assistant: (You are welcome\. Goodbye!|I heard: .*)",
    ],
    "in_house_llm": [
        r"assistant: Yes, there is a car park behind the restaurant, and it is free for our guests\. ?"
    ],
    "in_house_profile": [r"acme: what are your opening hours on \*{6}"],
    "in_house_tts": [r"[12]\.\d s of audio at 24000 Hz in \d+ frames"],
    "mix_native_and_custom": [
        r"user: Thank you that is all i wanted to know\.",
        r"assistant: You are welcome\. Goodbye!",
    ],
    "wrapped": [
        "failed, tried again: True",
        "heard: is there any parking near the restaurant",
        "heard: is there any parking near the restaurant",
        r"cache: CacheStats\(hits=1, misses=1, shared=0, bypassed=0, errors=0\)",
        "requests, ok: 1",
        "requests, error: 1",
    ],
}
"""What each prints, as regular expressions that lines match in this order; there may be lines between them."""

IN_REAL_TIME = ["all_custom", "failover", "in_house_http", "mix_native_and_custom"]
"""They take as long as the caller speaks."""

AS_PROGRAMS = ["direct_adapter"]
"""They are run with a server of their own, as from the command line."""

AS_FAST_AS_THEY_CAN = [name for name in PRINTS if name not in (*IN_REAL_TIME, *AS_PROGRAMS)]


def files() -> list[str]:
    return sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "offline")


def test_every_example_is_run_here() -> None:
    assert sorted(PRINTS) == files()


@pytest.mark.parametrize("names", [IN_REAL_TIME, AS_FAST_AS_THEY_CAN], ids=["in real time", "the others"])
async def test_examples_show_what_they_are_for(
    names: list[str], server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Side by side: they wait more than they work."""
    for variable in ("SPEECH_HTTP", "SPEECH_WS", "DEEPGRAM_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(variable, "")  # what an example sets is taken away again
    # LiveKit waits for a last transcript when a session is closed; nobody speaks any more
    at_once = functools.partialmethod(AgentSession.__init__, session_close_transcript_timeout=0.1)
    monkeypatch.setattr(AgentSession, "__init__", at_once)
    printed: dict[str, list[str]] = {name: [] for name in names}
    running: contextvars.ContextVar[str] = contextvars.ContextVar("running")
    monkeypatch.setattr("builtins.print", lambda *words: printed[running.get()].append(" ".join(words)))

    async def run(name: str) -> None:
        running.set(name)  # and so for every task the example starts
        await importlib.import_module(name).main(server)

    results = await asyncio.gather(*map(run, names), return_exceptions=True)
    monkeypatch.undo()
    failures = {name: result for name, result in zip(names, results, strict=True) if result is not None}
    assert not failures, printed
    for name, lines in printed.items():
        assert_printed("\n".join(lines), PRINTS[name])


@pytest.mark.parametrize("name", AS_PROGRAMS)
def test_an_example_is_a_program_that_finds_its_own_server(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    livekit = logging.getLogger("livekit.agents")  # examples make it quieter
    level = livekit.level
    try:
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    finally:
        livekit.setLevel(level)
    assert_printed(capsys.readouterr().out, PRINTS[name])


@pytest.mark.parametrize("name", files())
def test_an_example_is_short(name: str) -> None:
    assert len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 60


def assert_printed(text: str, expected: list[str]) -> None:
    lines = iter(text.splitlines())
    for pattern in expected:
        assert any(re.fullmatch(pattern, line) for line in lines), (
            f"{pattern!r} was not printed, or too late:\n{text}"
        )
