"""`docs/add-your-vendor.md`, typed as a new user would: every command, and what the page says it prints."""

from __future__ import annotations

import base64
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from livekit import rtc
from livekit.agents import APIConnectOptions, APIError, APIStatusError

from agents.providers.adapters import CustomHTTPSTTAdapter, CustomWebSocketSTTAdapter
from agents.providers.local.caller import speak_line
from agents.providers.local.synthesiser import SAMPLE_RATE
from agents.providers.profiles import find_problems

from .conftest import Voxport

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "acme_vendor"
PAGE = (ROOT / "docs" / "add-your-vendor.md").read_text(encoding="utf-8")
KEY = "s3cret"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def _typed() -> list[tuple[str, str]]:
    """What is typed and what is printed, in order."""
    session = "".join(_blocks("console"))
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in session.split("$ ")[1:]]


@pytest.fixture(scope="module")
def port() -> Iterator[str]:
    """Of the example's server, which runs."""
    command = [sys.executable, str(EXAMPLE / "server.py"), "--key", KEY, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().rpartition(":")[2].partition("/")[0]
        finally:
            process.terminate()
            process.communicate(timeout=15)


@pytest.fixture
def acme(port: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's file in it, pointed at the server, to work in."""
    (tmp_path / "acme.yaml").write_text(_blocks("yaml")[0].replace("9000", port))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_files_shown_are_the_files_there_are() -> None:
    assert _blocks("yaml")[0] == (EXAMPLE / "acme.yaml").read_text()
    assert _blocks("python")[0] == (EXAMPLE / "agent.py").read_text()


def test_every_command_prints_what_the_page_says(
    voxport: Voxport, port: str, acme: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (acme / "acme.yaml").rename(acme / "finished.yaml")
    typed = [(command, printed) for command, printed in _typed() if not command.endswith("--wire")]
    assert len(typed) == 11
    for command, printed in typed:
        words = shlex.split(command)
        expected = printed.strip().replace("9000", port)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            monkeypatch.setenv(name, value)
        elif words[1].endswith("server.py"):
            assert expected == f"Acme Ears listens at ws://127.0.0.1:{port}/ears"
            assert words[2:] == ["--key", KEY]
        elif words[0] == "python":
            path = ROOT / words[1]
            told = subprocess.run([sys.executable, path, *words[2:]], capture_output=True, text=True, check=True)
            assert told.stdout.strip() == expected
        else:
            result = voxport(*words[1:])
            told_text = result.stderr if result.exit_code else result.stdout
            assert told_text.strip() == expected, command
            assert bool(result.exit_code) == expected.startswith("error:"), command
        if words[1:3] == ["vendors", "new"]:
            (acme / "finished.yaml").replace(acme / "acme.yaml")


def test_the_wire_shows_what_the_page_says(
    voxport: Voxport, port: str, acme: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_API_KEY", KEY)
    (command,) = [command for command, _ in _typed() if command.endswith("--wire")]
    (shown,) = [block for block in _blocks("text") if block.startswith("→ connect")]
    told = subprocess.run(
        [sys.executable, ROOT / "examples" / "acme_vendor" / "say.py", "speech.wav"],
        check=True,
        capture_output=True,
    )
    assert b"speech.wav says" in told.stdout
    profile = acme / "acme.yaml"
    profile.write_text(profile.read_text().replace("text: txt", "text: text"))
    result = voxport(*shlex.split(command)[1:])
    assert result.stdout == ""
    assert KEY not in result.output
    printed = iter(re.sub(r"\d+", "N", result.stderr).splitlines())
    for line in re.sub(r"\d+", "N", shown).splitlines():
        assert line in printed, f"{line!r} was not printed, or too late:\n{result.stderr}"


@pytest.mark.parametrize(
    ("right", "wrong"), [("final: fixed", "finl: fixed"), ("lang: ${language", 'lang: "${languge')]
)
def test_mistakes_are_told_as_the_page_says(right: str, wrong: str) -> None:
    text = _blocks("yaml")[0].replace(right.replace("lang: $", 'lang: "$'), wrong, 1)
    told = [str(problem) for problem in find_problems(text, source="acme.yaml")]
    assert len(told) == 1
    assert f"{told[0]}\n" in _blocks("text")


def test_the_test_on_the_page_passes(acme: Path) -> None:
    names: dict[str, Any] = {}
    exec(_blocks("python")[1], names)
    names["test_a_fixed_hypothesis_is_final"]()


async def test_the_agent_on_the_page_hears(port: str, acme: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its adapter, on a recording; the session around it wants a room."""
    monkeypatch.setenv("ACME_API_KEY", KEY)
    code = re.search(r"ears = (CustomWebSocketSTTAdapter\(.*?\n    \))", _blocks("python")[0], re.DOTALL)
    assert code is not None
    adapter = eval(code[1].replace("9000", port), {"CustomWebSocketSTTAdapter": CustomWebSocketSTTAdapter})
    stream = adapter.stream(conn_options=APIConnectOptions(max_retry=0, timeout=10.0))
    pcm = speak_line("are you open on sunday")
    stream.push_frame(rtc.AudioFrame(pcm, SAMPLE_RATE, 1, len(pcm) // 2))
    stream.end_input()
    finals = [event.alternatives[0] async for event in stream if event.type.value == "final_transcript"]
    await stream.aclose()
    await adapter.aclose()
    assert " ".join(final.text for final in finals) == "are you open on ******"
    assert next(word for final in finals for word in final.words or ()).start_time > 0.1


@pytest.fixture
async def slow_corp() -> AsyncIterator[str]:
    """The service with jobs: it takes a while, and hears how much was sent."""
    polls = iter([{"state": "queued"}, {"state": "running"}, {"state": "done"}])
    size = 0

    async def upload(request: web.Request) -> web.Response:
        nonlocal size
        size = len(await request.read())
        return web.json_response({"upload": {"id": "u1"}}, status=201)

    async def submit(request: web.Request) -> web.Response:
        if (asked := await request.json()) != {"upload": "u1", "locale": "en-US"}:
            return web.json_response({"fault": {"id": "LOCALE", "text": f"no {asked['locale']} here"}}, status=422)
        return web.json_response({"job": {"id": "j1"}}, status=202)

    async def poll(request: web.Request) -> web.Response:
        return web.json_response({"job": next(polls)})

    async def fetch(request: web.Request) -> web.Response:
        return web.json_response({"segments": [{"text": f"{size} bytes", "from": 250, "to": 1500}]})

    app = web.Application()
    app.add_routes([web.post("/v2/uploads", upload), web.post("/v2/jobs", submit)])
    app.add_routes([web.get("/v2/jobs/j1", poll), web.get("/v2/jobs/j1/transcript", fetch)])
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}/v2"


async def test_the_service_with_jobs_is_heard(slow_corp: str, tmp_path: Path) -> None:
    path = tmp_path / "slowcorp.yaml"
    path.write_text(_blocks("yaml")[1].replace("500ms", "1ms"))
    second = rtc.AudioFrame(bytes(32000), 16000, 1, 16000)
    async with CustomHTTPSTTAdapter(slow_corp, api_key="any", vendor=path) as adapter:
        heard = (await adapter.recognize(second)).alternatives[0]
        assert (heard.text, heard.start_time, heard.end_time) == ("32044 bytes", 0.25, 1.5)
        with pytest.raises(APIStatusError, match=r"422 \(no fr-FR here\)"):
            await adapter.recognize(second, language="fr-FR")


async def test_an_error_with_status_200_is_told(tmp_path: Path) -> None:
    async def recognise(request: web.Request) -> web.Response:
        asked = await request.json()
        if asked.pop("token") != KEY:
            return web.json_response({"ok": False, "fault": {"text": "who are you?", "no": 401}})
        return web.json_response({"ok": True, "text": f"{len(base64.b64decode(asked['sound']))} bytes"})

    path = tmp_path / "okcorp.yaml"
    path.write_text(_blocks("yaml")[2])
    app = web.Application()
    app.router.add_post("/recognise", recognise)
    second = rtc.AudioFrame(bytes(32000), 16000, 1, 16000)
    async with TestServer(app) as server:
        url = f"http://127.0.0.1:{server.port}/recognise"
        async with CustomHTTPSTTAdapter(url, api_key=KEY, vendor=path) as adapter:
            assert (await adapter.recognize(second)).alternatives[0].text == "32044 bytes"
        async with CustomHTTPSTTAdapter(url, api_key="another", vendor=path) as adapter:
            with pytest.raises(APIError, match=r"who are you\?"):
                await adapter.recognize(second)


@pytest.mark.skipif(os.name == "nt", reason="the example's server is stopped by a signal")
def test_the_example_asks_for_a_key() -> None:
    result = subprocess.run(
        [sys.executable, str(EXAMPLE / "server.py")], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "--key" in result.stderr
