"""An AgentSession in which nothing is LiveKit's: recogniser, language model and voice are all custom.

python examples/all_custom.py
"""

from __future__ import annotations

from typing import Any

from livekit.agents import AgentSession
from offline import run, talk, websocket

from agents.providers.adapters import CustomHTTPLLMAdapter, CustomWebSocketSTTAdapter, CustomWebSocketTTSAdapter


async def main(server: str) -> None:
    # yours: "wss://ears.example.com/stream", and vendor="./ears.yaml" unless it speaks the generic protocol
    stt = CustomWebSocketSTTAdapter(f"{websocket(server)}/v1/stt/stream")
    # yours: "https://llm.example.com/v1", api_key="${env:LLM_KEY}"; vLLM, Ollama and most others answer this
    llm = CustomHTTPLLMAdapter(f"{server}/v1", model="gpt-4o")
    # Deepgram's: "wss://api.deepgram.com/v1/speak"; for a service that takes HTTP, CustomHTTPTTSAdapter
    tts = CustomWebSocketTTSAdapter(f"{websocket(server)}/v1/tts/stream", voice="en-us")
    session: AgentSession[Any] = AgentSession(
        stt=stt, llm=llm, tts=tts, vad=None, turn_handling={"turn_detection": "stt"}
    )
    await talk(session, "thank you that is all i wanted to know")  # in your agent: session.start(…, room=…)
    print(f"heard by {stt.provider}, thought by {llm.model}, said by {tts.provider} as {tts.voice}")
    for part in (stt, llm, tts):
        await part.aclose()


if __name__ == "__main__":
    run(main)
