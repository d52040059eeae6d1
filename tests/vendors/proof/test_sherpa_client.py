"""The embedded server speaks as sherpa-onnx' does: the client of sherpa-onnx-bin is content with it."""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from pathlib import Path

import pytest
from at_root import at_root
from conformance import Server
from spoken_lines import LINES, RATE, silence, spoken

CLIENT = Path(sys.executable).parent / "sherpa-onnx-online-websocket-client"

pytestmark = pytest.mark.skipif(not CLIENT.exists(), reason="pip install sherpa-onnx-bin")


async def test_the_client_of_sherpa_onnx_prints_every_segment(server: Server, tmp_path: Path) -> None:
    """It connects to the root, prints each result, and leaves at ``Done!``."""
    recording = tmp_path / "speech.wav"
    with wave.open(str(recording), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
        file.writeframes(spoken(LINES[0]) + silence(0.9) + spoken(LINES[1]))
    async with at_root(server, "/sherpa-onnx") as root:
        client = await asyncio.create_subprocess_exec(
            CLIENT,
            f"--server-port={root.port}",
            "--seconds-per-message=0",
            recording,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await asyncio.wait_for(client.communicate(), 30)
    assert client.returncode == 0
    lines = printed.decode().splitlines()
    assert "Sent Done Signal" in printed.decode()
    assert lines[-1].endswith("Done!")
    results = [json.loads(line[line.index("{") :]) for line in lines if '"segment"' in line]
    assert [r["text"] for r in results if r["is_final"] and r["text"]] == [LINES[0], LINES[1]]
    assert [r["segment"] for r in results] == sorted(r["segment"] for r in results)
    assert results[-1]["is_eof"]
