"""`docs/tts.md` is true: its Python builds what it says, its file is sound, its hook speaks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from agents.providers.adapters import CustomHTTPTTSAdapter, CustomWebSocketTTSAdapter
from agents.providers.local.encoding import Encoder
from agents.providers.profiles import find_problems

PAGE = (Path(__file__).parents[2] / "docs" / "tts.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the page's file is, and its keys."""
    monkeypatch.chdir(tmp_path)
    (profile,) = blocks("yaml")
    (tmp_path / "corp.yaml").write_text(profile, encoding="utf-8")
    for name in ("SPEECH_KEY", "DEEPGRAM_API_KEY"):
        monkeypatch.setenv(name, "key-4711")


@pytest.fixture
async def names(place: None) -> dict[str, Any]:
    """What the Python on the page makes, run from top to bottom."""
    made: dict[str, Any] = {}
    for block in blocks("python"):
        exec(block, made)
    return made


def test_the_file_on_the_page_is_sound() -> None:
    assert [find_problems(text) for text in blocks("yaml")] == [[]]


async def test_what_the_page_builds_is_what_it_says(names: dict[str, Any]) -> None:
    kinds = {
        name: (type(names[name]), names[name].provider) for name in ("in_house", "deepgram", "kokoro", "eleven")
    }
    assert kinds == {
        "in_house": (CustomHTTPTTSAdapter, "generic"),
        "deepgram": (CustomWebSocketTTSAdapter, "deepgram"),
        "kokoro": (CustomHTTPTTSAdapter, "openai"),
        "eleven": (CustomWebSocketTTSAdapter, "elevenlabs"),
    }
    assert (type(names["cartesia"]), names["cartesia"].provider) == (CustomHTTPTTSAdapter, "cartesia")
    corp = names["corp"]
    request = corp._synthesis.request("Hi", corp._settings)
    assert json.loads(request.body) == {"say": "Hi", "who": "anna", "rate": 24000, "pace": 1.2}
    assert request.headers["X-Corp-Key"] == "any"
    for name in ("in_house", "kokoro", "corp", "deepgram", "eleven", "voice"):
        await names[name].aclose()


async def test_the_hook_on_the_page_speaks(names: dict[str, Any]) -> None:
    encoder = Encoder("mp3", 24000)
    sound = encoder.feed(bytes(24000)) + encoder.finish()
    said = []

    async def say(request: web.Request) -> web.Response:
        said.append(await request.json())
        return web.Response(body=sound)

    app = web.Application()
    app.router.add_post("/say", say)
    async with TestServer(app) as server, names["CompanyVoice"](str(server.make_url("/say"))) as voice:
        async with voice.synthesize("Good morning.") as speech:
            frame = await speech.collect()
    assert said == [{"say": "Good morning.", "tenant": "acme"}]
    assert 0.5 <= frame.duration < 0.6
