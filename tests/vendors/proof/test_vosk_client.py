"""The embedded server speaks as Vosk's does: its own command-line client is content with it."""

from __future__ import annotations

import asyncio
import types
from typing import Any

import pytest
from at_root import at_root
from conformance import Server
from spoken_lines import LINES, silence, spoken

transcriber = pytest.importorskip("vosk.transcriber.transcriber", reason="pip install vosk")


class _Decoded:
    """What the client reads from ffmpeg: PCM at 16 kHz."""

    def __init__(self, pcm: bytes) -> None:
        self.stdout = asyncio.StreamReader()
        self.stdout.feed_data(pcm)
        self.stdout.feed_eof()


async def test_the_client_of_vosk_reads_every_answer(server: Server) -> None:
    """It sends a piece and waits for one answer, many times; a final is an answer without ``partial``."""
    client: Any = object.__new__(transcriber.Transcriber)  # its constructor loads a model, which the server has
    pcm = spoken(LINES[0]) + silence(0.9) + spoken(LINES[1])
    async with at_root(server, "/vosk") as root:
        client.args = types.SimpleNamespace(server=f"{root.ws_url}/")
        results, samples = await client.recognize_stream_server(_Decoded(pcm))
    assert samples == len(pcm)
    said = [result["text"] for result in results if result["text"]]
    assert said == [LINES[0], LINES[1]]
    words = [word for result in results for word in result.get("result", [])]
    assert [word["word"] for word in words] == " ".join(said).split()
    assert all(0.0 <= word["conf"] <= 1.0 and word["start"] < word["end"] for word in words)
