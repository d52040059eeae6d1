"""One AgentSession with a custom recogniser and LiveKit's own OpenAI plugin as language model and voice.

python examples/mix_native_and_custom.py
"""

from __future__ import annotations

from typing import Any

from livekit.agents import AgentSession
from offline import run, talk, websocket

from agents.providers import ProviderFactory, ProviderType
from agents.providers.base import LLMConfig, STTConfig, TTSConfig


async def main(server: str) -> None:
    stt = ProviderFactory.create_stt(
        STTConfig(
            ProviderType.CUSTOM_WS,
            language="en-US",
            api_key="deepgram-key",  # of your own: "${env:DEEPGRAM_API_KEY}"
            metadata={
                # Deepgram itself: "wss://api.deepgram.com/v1/listen"; the vendor is then known by its host
                "ws_url": f"{websocket(server)}/v1/listen",
                "vendor": "deepgram",
            },
        )
    )
    # OpenAI itself: leave out base_url, and name a model and a voice of theirs
    native = {"base_url": f"{server}/v1"}
    llm = ProviderFactory.create_llm(
        LLMConfig(ProviderType.OPENAI, model="gpt-4o", api_key="openai-key", metadata=native)
    )
    tts = ProviderFactory.create_tts(
        TTSConfig(
            ProviderType.OPENAI,
            model="espeak-ng",
            voice="alloy",
            api_key="openai-key",
            metadata={**native, "response_format": "pcm"},
        )
    )
    # Deepgram says when an utterance is over, so the session needs no VAD
    session: AgentSession[Any] = AgentSession(
        stt=stt, llm=llm, tts=tts, vad=None, turn_handling={"turn_detection": "stt"}
    )
    await talk(session, "thank you that is all i wanted to know")  # in your agent: session.start(…, room=…)
    for part in (stt, llm, tts):
        await part.aclose()


if __name__ == "__main__":
    run(main)
