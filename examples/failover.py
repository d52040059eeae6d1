"""Two vendors in one adapter: the first dies in mid-sentence, the second says the whole of it.

python examples/failover.py
"""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urlsplit

from livekit import rtc
from livekit.agents.stt import RecognizeStream, SpeechEventType
from offline import run, spoken, websocket

from agents.providers.adapters import CustomWebSocketSTTAdapter, FailoverSTTAdapter
from agents.providers.testing import FaultProxy

LINE = "i would like to book a table for two people on friday"


async def main(server: str) -> None:
    async with FaultProxy("127.0.0.1", urlsplit(server).port or 80) as network:
        # the vendors themselves: "wss://api.deepgram.com/v1/listen", "wss://streaming.assemblyai.com/v3/ws"
        near, far = f"ws://127.0.0.1:{network.port}/v1/listen", f"{websocket(server)}/v3/ws"
        first = CustomWebSocketSTTAdapter(near, "key", vendor="deepgram", on_failure="raise")
        second = CustomWebSocketSTTAdapter(far, "key", vendor="assemblyai", on_failure="raise")
        stt = FailoverSTTAdapter([first, second])
        heard: list[str] = []
        async with stt.stream() as stream:
            caller = asyncio.create_task(speak(stream))
            async for event in stream:
                text = event.alternatives[0].text if event.alternatives else ""
                if event.type is SpeechEventType.FINAL_TRANSCRIPT:
                    heard += re.findall("[a-z]+", text.lower())
                elif network.connections and len(text.split()) > 4:
                    print(f"{first.provider} has heard {text!r}, and is cut off")
                    network.refuse()
                    network.drop()
            await caller
        lost = [word for word in LINE.split() if word not in heard]
        print(f"{stt.active.provider} has heard {' '.join(heard)!r}")
        print(f"sent again: {stt.stats.replayed_seconds:.1f} s; lost: {', '.join(lost) or 'nothing'}")
        for adapter in (stt, first, second):  # members are closed by those who made them
            await adapter.aclose()


async def speak(stream: RecognizeStream) -> None:
    """The caller, in real time."""
    line = spoken(LINE)
    step = line.sample_rate // 20
    for begin in range(0, line.samples_per_channel, step):
        piece = line.data[begin : begin + step]
        stream.push_frame(rtc.AudioFrame(piece.tobytes(), line.sample_rate, 1, len(piece)))
        await asyncio.sleep(len(piece) / line.sample_rate)
    stream.end_input()


if __name__ == "__main__":
    run(main)
