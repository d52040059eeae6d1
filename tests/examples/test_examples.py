"""Every file in `examples/` is run against an embedded server, and says what it is there to show."""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import logging
import re
import runpy
import sys
from collections.abc import Callable

import pytest

from .conftest import EXAMPLES

Say = Callable[[str], str]

PRINTS = {
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
        "lost: nothing; switches: 1",
    ],
    "in_house_http": [
        r"user: (thank )?you that is all i wanted to know",
        r"assistant: You are welcome\. Goodbye!",
    ],
    "in_house_llm": [
        r"assistant: Yes, there is a car park behind the restaurant, and it is free for our guests\. ?"
    ],
    "in_house_profile": [r"acme: what are your opening hours on \*{6}"],
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

IN_REAL_TIME = ("failover", "in_house_http", "mix_native_and_custom")
"""They take as long as the caller speaks, so they are run side by side."""


def files() -> list[str]:
    return sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "offline")


def test_every_example_is_run_here() -> None:
    assert sorted(PRINTS) == files()


@pytest.mark.parametrize("name", [name for name in PRINTS if name not in (*IN_REAL_TIME, "direct_adapter")])
async def test_an_example_shows_what_it_is_for(
    name: str, server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("SPEECH_HTTP", "SPEECH_WS", "DEEPGRAM_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(variable, "")  # what an example sets is taken away again
    await importlib.import_module(name).main(server)
    assert_printed(capsys.readouterr().out, PRINTS[name])


async def test_the_examples_in_real_time_show_what_they_are_for(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: dict[str, list[str]] = {name: [] for name in IN_REAL_TIME}
    running: contextvars.ContextVar[str] = contextvars.ContextVar("running")

    async def run(name: str) -> None:
        running.set(name)  # and so for every task the example starts
        await importlib.import_module(name).main(server)

    monkeypatch.setattr("builtins.print", lambda *words: printed[running.get()].append(" ".join(words)))
    await asyncio.gather(*map(run, IN_REAL_TIME))
    monkeypatch.undo()
    for name, lines in printed.items():
        assert_printed("\n".join(lines), PRINTS[name])


def test_an_example_is_a_program_that_finds_its_own_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["direct_adapter.py"])
    livekit = logging.getLogger("livekit.agents")  # examples make it quieter
    level = livekit.level
    try:
        runpy.run_path(str(EXAMPLES / "direct_adapter.py"), run_name="__main__")
    finally:
        livekit.setLevel(level)
    assert_printed(capsys.readouterr().out, PRINTS["direct_adapter"])


@pytest.mark.parametrize("name", files())
def test_an_example_is_short(name: str) -> None:
    assert len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 60


def assert_printed(text: str, expected: list[str]) -> None:
    lines = iter(text.splitlines())
    for pattern in expected:
        assert any(re.fullmatch(pattern, line) for line in lines), (
            f"{pattern!r} was not printed, or too late:\n{text}"
        )
