"""An agent that hears through Acme Ears."""

from __future__ import annotations

from livekit.agents import Agent, AgentSession, JobContext

from agents.providers.adapters import CustomWebSocketSTTAdapter


async def entrypoint(context: JobContext) -> None:
    ears = CustomWebSocketSTTAdapter(
        "ws://127.0.0.1:9000/ears",
        api_key="${env:ACME_API_KEY}",
        vendor="./acme.yaml",
        options={"mask": ["sunday"]},
    )
    session: AgentSession[None] = AgentSession(stt=ears)  # and your llm, and your tts
    await session.start(Agent(instructions="You are a helpful waiter."), room=context.room)
