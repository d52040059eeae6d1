"""Recogniser, language model and voice from one configuration file: agent.yaml.

python examples/config_file.py
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from livekit.agents import Agent, AgentSession
from livekit.agents.voice.run_result import RunResult
from offline import run, spoken, transcribe, websocket

from agents.providers import ProviderFactory


async def main(server: str) -> None:
    # where the file says ${env:NAME}; your keys are there already
    os.environ.update(
        SPEECH_HTTP=server, SPEECH_WS=websocket(server), DEEPGRAM_API_KEY="key", OPENAI_API_KEY="key"
    )
    providers = ProviderFactory.from_file(Path(__file__).parent / "agent.yaml", require=("stt", "llm", "tts"))
    assert providers.stt and providers.llm and providers.tts
    print(f"hears: {providers.stt.provider}, thinks: {providers.llm.model}, speaks: {providers.tts.model}")

    heard = await transcribe(providers.stt, spoken("what are your opening hours on sunday"))
    print(f"user: {' '.join(heard)}")
    session: AgentSession[Any] = AgentSession(stt=providers.stt, llm=providers.llm, tts=providers.tts)
    await session.start(Agent(instructions="You answer the telephone of a restaurant."))
    answer: RunResult[Any] = await session.run(user_input=" ".join(heard))
    print(f"assistant: {answer.expect.next_event().is_message(role='assistant').event().item.text_content}")
    await session.aclose()
    await providers.aclose()


if __name__ == "__main__":
    run(main)
