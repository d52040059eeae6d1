"""An adapter on its own: AssemblyAI's streaming recognition, with interims as they come.

python examples/direct_adapter.py
"""

from __future__ import annotations

from livekit.agents.stt import SpeechEventType
from offline import run, spoken, websocket

from agents.providers.adapters import CustomWebSocketSTTAdapter


async def main(server: str) -> None:
    # AssemblyAI itself: CustomWebSocketSTTAdapter("wss://streaming.assemblyai.com/v3/ws"), and the key in
    # ASSEMBLYAI_API_KEY
    stt = CustomWebSocketSTTAdapter(
        ws_url=f"{websocket(server)}/v3/ws", api_key="your-key", language="en-US", vendor="assemblyai"
    )
    async with stt, stt.stream() as stream:
        stream.push_frame(spoken("is there any parking near the restaurant"))
        stream.end_input()
        async for event in stream:
            if event.type is SpeechEventType.INTERIM_TRANSCRIPT:
                print(f"  … {event.alternatives[0].text}")
            elif event.type is SpeechEventType.FINAL_TRANSCRIPT:
                heard = event.alternatives[0]
                print(f"heard: {heard.text} ({heard.start_time:.1f} to {heard.end_time:.1f} s)")
    print(f"{stt.provider}: {stt.stats.audio_seconds:.1f} s of audio, {stt.stats.connects} connection")


if __name__ == "__main__":
    run(main)
