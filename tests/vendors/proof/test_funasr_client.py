"""The embedded server speaks as FunASR's does: funasr-client is content with it."""

from __future__ import annotations

from typing import Any

import pytest
from at_root import at_root
from conformance import Server
from spoken_lines import LINES, silence, spoken

funasr_client = pytest.importorskip("funasr_client", reason="pip install funasr-client")


async def test_the_client_of_funasr_gets_pieces_and_texts(server: Server) -> None:
    """It streams 60 ms at a time, and waits for the message that is final."""
    got: list[Any] = []
    async with at_root(server, "/funasr") as root:
        client = funasr_client.AsyncFunASRClient(
            f"{root.ws_url}/",
            mode="2pass",
            wav_name="call",
            wav_format="pcm",
            audio_fs=16000,
            callback=got.append,
        )
        await client.connect()
        pcm = spoken(LINES[0]) + silence(0.9) + spoken(LINES[1])
        for at in range(0, len(pcm), 1920):
            await client.send(pcm[at : at + 1920])
        await client.close(timeout=20)
    assert client.received_final
    online = [message["text"] for message in got if message["mode"] == "2pass-online"]
    offline = [message for message in got if message["mode"] == "2pass-offline"]
    assert len(online) > 2
    assert [message["text"] for message in offline] == [LINES[0], LINES[1]]
    assert [message["is_final"] for message in offline] == [False, True]
    for message in offline:  # the client has decoded the JSON in the text
        assert len(message["timestamp"]) == len(message["text"].split())
        assert all(begin < end for begin, end in message["timestamp"])
