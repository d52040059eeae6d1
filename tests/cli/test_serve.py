"""`voxport serve`: the lines it prints are true."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.request
from typing import Any

import pytest
from livekit.agents import llm

from agents.providers.cli.serve import uses

from .conftest import LINE, VOXPORT, Recording, Voxport


def test_the_lines_to_paste_name_every_way_and_hide_no_key() -> None:
    lines = dict(uses("http://127.0.0.1:1", "ws://127.0.0.1:1", has_key=True))
    assert len(lines) == 7
    assert all("YOUR-KEY" in line for line in lines.values())
    assert all("127.0.0.1:1" in line for line in lines.values())


def test_python_lines_can_be_pasted() -> None:
    lines = uses("http://127.0.0.1:1", "ws://127.0.0.1:1", has_key=False)
    python = [(purpose, line) for purpose, line in lines if not line.startswith(("curl", "voxport"))]
    assert len(python) >= 3
    for purpose, line in python:
        compile(line, purpose, "exec")


async def test_the_lines_for_language_model_and_voice_work(serve: tuple[str, str]) -> None:
    made: dict[str, Any] = {}
    exec(dict(uses(*serve, has_key=False))["Voxport's language model and voice beside it"], made)
    chat = llm.ChatContext.empty()
    chat.add_message(role="user", content="thank you")
    answer = await made["llm"].chat(chat_ctx=chat).collect()
    assert answer.text == "You are welcome. Goodbye!"
    assert (await made["tts"].synthesize(answer.text).collect()).duration > 1
    for part in (made["llm"], made["tts"]):
        await part.aclose()


def test_the_curl_line_works(serve: tuple[str, str], recording: Recording) -> None:
    """What curl would send, sent by Python: curl may not be there."""
    line = dict(uses(*serve, has_key=False))["curl, the generic protocol"]
    url = line.split()[-1]
    request = urllib.request.Request(
        url, recording("speech.wav").read_bytes(), {"Content-Type": "audio/wav"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert json.load(answer)["text"] == LINE


def test_a_taken_port_is_said(voxport: Voxport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = subprocess.run(
            [*VOXPORT, "serve", "--port", str(port)], capture_output=True, text=True, timeout=60, check=False
        )
    assert result.returncode == 1
    assert result.stderr == (
        f"error: port {port} is taken: choose another with --port, or let --port 0 find one\n"
    )


@pytest.mark.parametrize("command", [[], ["demo"], ["transcribe"], ["serve"], ["vendors"], ["vendors", "show"]])
def test_every_command_has_help(voxport: Voxport, command: list[str]) -> None:
    result = voxport(*command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_the_version_is_printed(voxport: Voxport) -> None:
    assert voxport("--version").stdout.startswith("voxport ")


def test_vendors_are_listed_and_shown(voxport: Voxport) -> None:
    assert "DEEPGRAM_API_KEY" in voxport("vendors").stdout
    assert "api.deepgram.com" in voxport("vendors", "show", "deepgram").stdout
    assert voxport("vendors", "show", "depgram").exit_code == 2
