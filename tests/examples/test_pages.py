"""README and the pages beside the guide: what they build is built, answers, and passes its own tests."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from livekit.agents import llm, stt, tts

from agents.providers.adapters import CustomHTTPLLMAdapter

from .notebook import Notebook, run

KEYS = (
    "ASSEMBLYAI_API_KEY DEEPGRAM_API_KEY DEEPSEEK_API_KEY OPENAI_API_KEY",
    "LLM_KEY MY_LLM_KEY SPEECH_KEY STT_KEY TTS_KEY",
)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pages expect in the environment."""
    for name in " ".join(KEYS).split():
        monkeypatch.setenv(name, "key-4711")


async def close(names: dict[str, Any]) -> None:
    for value in list(names.values()):
        if isinstance(value, (stt.STT, llm.LLM, tts.TTS)):
            await value.aclose()


@pytest.mark.parametrize(
    ("page", "made"),
    [
        ("README.md", ["stt", "llm", "tts", "session", "MyCompanySTTAdapter"]),
        ("docs/generic-protocol.md", ["streaming", "recordings"]),
        ("docs/native.md", ["stt", "llm"]),
        ("docs/wrappers.md", ["stt"]),
        ("docs/failover.md", ["recogniser"]),
    ],
)
async def test_what_a_page_builds_can_be_built(page: str, made: list[str], keys: None) -> None:
    names: dict[str, Any] = {}
    try:
        for place, code, _ in Notebook(page).steps():
            await run(code, place, names)
        if "recogniser" in names:
            names["built"] = names["recogniser"]()
        assert [name for name in made if name not in names] == []
    finally:
        await close(names)


# ------------------------------------------------------------------ docs/llm.md


@pytest.fixture
async def in_house() -> AsyncIterator[str]:
    """The company of the page: plain JSON with the text under `choices`, and lines for a prompt."""

    async def generate(request: web.Request) -> web.Response:
        asked = await request.json()
        if asked.keys() == {"prompt", "tenant"}:
            return web.Response(text=f"You said:\n{asked['prompt']}")
        return web.json_response({"choices": [{"text": f"You said {asked['messages'][-1]['content']}"}]})

    app = web.Application()
    app.router.add_post("/generate", generate)
    async with TestServer(app) as company:
        yield f"http://127.0.0.1:{company.port}/generate"


async def ask(model: llm.LLM[Any], question: str) -> str:
    chat = llm.ChatContext.empty()
    chat.add_message(role="user", content=question)
    async with model.chat(chat_ctx=chat) as stream:
        return str((await stream.collect()).text)


async def test_every_language_model_of_its_page_answers(server: str, in_house: str, keys: None) -> None:
    places = {
        "https://llm.example.com/v1": f"{server}/v1",
        "http://localhost:11434": server,
        "https://llm.example.com/generate": in_house,
        '"qwen3-32b"': '"voxport-rules"',
        '"qwen3"': '"voxport-rules"',
    }
    names: dict[str, Any] = {}
    answers: list[str] = []
    models: list[Any] = []
    try:
        for place, code, _ in Notebook("docs/llm.md").steps():
            for there, here in places.items():
                code = code.replace(there, here)
            await run(code, place, names)
            if "CompanyLLM" in names:
                names["llm"] = names["CompanyLLM"](in_house)
            if names["llm"] not in models:
                models.append(names["llm"])
                answers.append(await ask(models[-1], "what are your opening hours on sunday"))
    finally:
        for model in models:
            await model.aclose()
    hours = "On Sundays we are open from ten in the morning until nine in the evening."
    said = "what are your opening hours on sunday"
    assert answers == [hours, hours, f"You said {said}", f"You said:\n{said}"]


def test_the_arguments_of_a_language_model_are_those_on_the_page() -> None:
    table = Notebook("docs/llm.md").text.partition("## Arguments")[2]
    named = [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(named) == sorted(set(inspect.signature(CustomHTTPLLMAdapter).parameters))


# ------------------------------------------------------------------ docs/tts.md


async def test_the_voices_of_their_page_speak(server: str, tmp_path: Path, keys: None) -> None:
    """What a page of `tests/tts` builds, here with a server behind it."""
    socket = server.replace("http", "ws", 1)
    places = {
        "https://speech.corp.example/speak": f"{server}/v1/tts",
        '"anna"': '"en-us"',
        "http://localhost:8880/v1": f"{server}/v1",
        '"kokoro"': '"espeak-ng"',
        '"af_heart"': '"alloy"',
        "ws://localhost:8000": socket,
        '"wss://api.deepgram.com"': f'"{socket}/v1/speak", vendor="deepgram"',
        "./corp.yaml": str(tmp_path / "corp.yaml"),
    }
    page = Notebook("docs/tts.md")
    for name in page.save_files(tmp_path):
        assert name == "corp.yaml"
    names: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    try:
        for place, code, _ in page.steps():
            for there, here in places.items():
                code = code.replace(there, here)
            await run(code, place, names)
        for name in ("in_house", "kokoro", "deepgram", "voice"):
            async with names[name].synthesize("We open at nine.") as speech:
                seconds[name] = (await speech.collect()).duration
    finally:
        await close(names)
    assert all(0.6 < length < 3 for length in seconds.values()), seconds


# ------------------------------------------------------------------ docs/testing.md

TESTING = Notebook("docs/testing.md")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder of somebody who pasted the page's files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    files = TESTING.save_files(tmp_path)
    yield tmp_path
    for name in files:
        sys.modules.pop(name.partition(".")[0], None)


def pasted() -> list[Any]:
    found = []
    for place, code, _ in TESTING.steps():
        file = code.partition("\n")[0][2:].partition(".")[0]
        names = [
            line.split("(")[0][len("async def ") :]
            for line in code.splitlines()
            if line.startswith("async def test")
        ]
        assert names, f"{place} has no tests"
        found += [pytest.param(file, name, id=name) for name in names]
    return found


@pytest.mark.parametrize(("file", "name"), pasted())
async def test_the_pasted_tests_pass(file: str, name: str, folder: Path, server: str) -> None:
    test = getattr(importlib.import_module(file), name)
    given = {"url": server} if "url" in inspect.signature(test).parameters else {}
    await test(**given)


async def test_a_changed_profile_shows_in_the_talk_that_was_kept(folder: Path) -> None:
    module = importlib.import_module("test_corp")
    await module.test_a_talk_means_what_it_meant()
    profile = folder / "corp.yaml"
    profile.write_text(profile.read_text().replace("unit: ms", "unit: s"))
    with pytest.raises(AssertionError):
        await module.test_a_talk_means_what_it_meant()
