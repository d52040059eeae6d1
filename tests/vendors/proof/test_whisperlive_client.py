"""The embedded server speaks as WhisperLive's does: its own client is content with it.

whisper-live wants torch and more for its server; the client alone needs
``pip install --no-deps whisper-live websocket-client``. It imports pyaudio and scipy, for a microphone and for
files, which this test does not use.
"""

from __future__ import annotations

import asyncio
import sys
import time
import types
from collections.abc import Iterator
from typing import Any

import pytest
from at_root import at_root
from conformance import Server
from spoken_lines import LINES, silence, spoken
from stand_in_recognisers import BusyRecogniser

from agents.providers.local import ServerOptions, SpeechServer
from agents.providers.local.dialects.whisperlive import WhisperLive

for needed in ("whisper_live", "websocket"):
    pytest.importorskip(needed, reason="pip install --no-deps whisper-live websocket-client")

# the client leaves its closed socket to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def client_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for unused in ("pyaudio", "scipy"):
        monkeypatch.setitem(sys.modules, unused, sys.modules.get(unused) or types.ModuleType(unused))
    import whisper_live.client

    yield whisper_live.client
    whisper_live.client.Client.INSTANCES.clear()


def _talk(module: Any, port: int, pcm: bytes, done: int) -> Any:
    """Send *pcm*, and wait until *done* segments are final; blocks."""
    client = module.StreamingTranscriptionClient("127.0.0.1", port, lang="en")
    with client:
        for at in range(0, len(pcm), 8000):
            client.send(pcm[at : at + 8000])
        until = time.monotonic() + 20
        while len(client.transcript) < done and time.monotonic() < until:
            time.sleep(0.01)
    return client


async def test_the_client_of_whisperlive_gets_segments(server: Server, client_module: Any) -> None:
    """The second is final because the audio stops, and its text with it."""
    pcm = spoken(LINES[0]) + silence(0.9) + spoken(LINES[1])
    async with at_root(server, "/whisperlive") as root:
        client = await asyncio.to_thread(_talk, client_module, root.port, pcm, 2)
    assert [segment["text"].strip() for segment in client.transcript] == [LINES[0], LINES[1]]
    begins = [float(segment["start"]) for segment in client.transcript]
    ends = [float(segment["end"]) for segment in client.transcript]
    assert begins[0] < ends[0] <= begins[1] < ends[1] <= len(pcm) / 32000


async def test_the_client_of_whisperlive_is_told_to_wait(
    client_module: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full server says so in a message, not in the handshake."""
    rooted = type("AtRoot", (WhisperLive,), {"path": "/"})
    async with SpeechServer(ServerOptions(), recogniser=BusyRecogniser(), dialects=[rooted]) as server:
        client = client_module.StreamingTranscriptionClient("127.0.0.1", server.port, lang="en")
        with pytest.raises(
            RuntimeError
        ):  # "Server is full.", unless it takes the close that follows for the reason
            await asyncio.to_thread(client.connect)
        await asyncio.to_thread(client._client.close_websocket)
    assert "Server is full. Estimated wait time 1 minutes." in capsys.readouterr().out
