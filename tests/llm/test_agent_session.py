"""In an AgentSession: tools are called and their results spoken, and nothing a model sends ends the session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from livekit.agents import Agent, AgentSession, APIError, function_tool, llm
from livekit.agents.voice.run_result import RunResult
from llm_endpoint import Serve, delta, says, streams
from pydantic import BaseModel

from agents.providers import LLMConfig, ProviderFactory
from agents.providers.adapters import CustomHTTPLLMAdapter
from agents.providers.local import ServerOptions, SpeechServer
from agents.providers.local.dialects.ollama import Ollama
from agents.providers.local.dialects.openai_chat import OpenAIChat

DONE = "data: [DONE]\n\n"


class Waiter(Agent):
    """Takes bookings and tells the opening hours."""

    def __init__(self) -> None:
        super().__init__(instructions="You are a waiter.")
        self.booked: list[tuple[str, int]] = []

    @function_tool
    async def book_table(self, day: str, party: int) -> str:
        """Reserve a table.

        Args:
            day: Day of the week
            party: Number of guests
        """
        self.booked.append((day, party))
        return f"A table for {party} on {day} is reserved."

    @function_tool
    async def opening_hours(self, day: str) -> str:
        """When the restaurant is open.

        Args:
            day: Day of the week
        """
        return f"On {day} we are open until nine."


@asynccontextmanager
async def talking(adapter: CustomHTTPLLMAdapter, agent: Agent) -> AsyncIterator[AgentSession[None]]:
    session: AgentSession[None] = AgentSession(llm=adapter)
    await session.start(agent)
    try:
        yield session
    finally:
        await session.aclose()
        await adapter.aclose()


def happened(result: RunResult[Any]) -> list[Any]:
    """What a turn brought: messages as texts, calls and results of tools as pairs."""
    shown: list[Any] = []
    for event in result.events:
        if event.type == "message":
            shown.append(event.item.text_content)
        elif event.type == "function_call":
            shown.append((event.item.name, event.item.arguments))
        elif event.type == "function_call_output":
            shown.append((event.item.name, event.item.output))
    return shown


class Booking(BaseModel):
    """What structured output is asked for."""

    day: str
    party: int


class NoRecogniser:
    """The dialects of language models need none."""

    name, languages, capacity, active, decoders = "none", None, 1, 0, 0

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...


@pytest.mark.parametrize("path", ["/v1", "/api/chat"])
async def test_the_model_calls_tools_and_their_results_are_spoken(path: str) -> None:
    agent = Waiter()
    async with SpeechServer(ServerOptions(), recogniser=NoRecogniser(), dialects=[OpenAIChat, Ollama]) as server:  # type: ignore[arg-type]
        config = LLMConfig("custom_http", model="voxport-rules", metadata={"endpoint_url": server.url + path})
        adapter = ProviderFactory.create_llm(config)
        assert isinstance(adapter, CustomHTTPLLMAdapter)
        async with talking(adapter, agent) as session:
            one = await session.run(user_input="could you book a table for four on friday please")
            two = await session.run(user_input="are you open on sunday and can i book a table for two then")
            three = await session.run(user_input="is there any parking")
            chat = llm.ChatContext.empty()
            chat.add_message(role="user", content="a table for four on friday")
            shaped = await adapter.chat(chat_ctx=chat, response_format=Booking).collect()
    name, arguments = happened(one)[0]
    assert (name, agent.booked) == ("book_table", [("Friday", 4), ("Sunday", 2)])
    assert happened(one)[1:] == [
        ("book_table", "A table for 4 on Friday is reserved."),
        "A table for 4 on Friday is reserved.",
    ]
    assert happened(two)[-1] == "A table for 2 on Sunday is reserved. On Sunday we are open until nine."
    assert "car park" in happened(three)[-1]
    assert json.loads(shaped.text) == {"day": "Friday", "party": 4}
    stats = adapter.stats
    assert (stats.requests, stats.answers, stats.tool_calls) == (6, 6, 3)


def calls(arguments: str) -> Any:
    """A server's call of ``book_table`` with *arguments*, in pieces."""
    halves = arguments[: len(arguments) // 2], arguments[len(arguments) // 2 :]
    head = {"index": 0, "id": "c1", "type": "function", "function": {"name": "book_table", "arguments": ""}}
    pieces = [head, *({"index": 0, "function": {"arguments": half}} for half in halves)]
    return streams(*(delta(tool_calls=[piece]) for piece in pieces), delta(finish="tool_calls"), DONE)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("friday, four people", "could not parse function arguments as JSON"),
        ('["Friday", 4]', "expected dict from function arguments, got list"),
        ('{"day": "Friday"}', "Field required"),
        ('{"day": ' * 5000, "nested too deeply"),
        ('{"day": ' * 900 + "1" + "}" * 900, "nested too deeply"),
    ],
    ids=["no-json", "no-object", "incomplete", "endless", "deep"],
)
async def test_the_model_hears_what_is_wrong_with_its_arguments(serve: Serve, arguments: str, told: str) -> None:
    """The session goes on, and what it sends is JSON that any server can read."""
    server = await serve(calls(arguments), calls('{"day": "Friday", "party": 4}'), says("It is reserved."))
    agent = Waiter()
    async with talking(CustomHTTPLLMAdapter(server.url, model="m"), agent) as session:
        result = await session.run(user_input="a table for four on friday")
    assert happened(result)[-1] == "It is reserved." and agent.booked == [("Friday", 4)]
    sent = server.bodies[1]["messages"]
    (output,) = [message["content"] for message in sent if message["role"] == "tool"]
    assert told in output
    (call,) = [call for message in sent for call in message.get("tool_calls", ())]
    assert call["function"]["arguments"] in ("{}", '{"day": "Friday"}')


async def test_arguments_that_can_be_repaired_are(serve: Serve) -> None:
    server = await serve(calls('{"day": "Friday", "party": 4'), says("It is reserved."))
    agent = Waiter()
    async with talking(CustomHTTPLLMAdapter(server.url), agent) as session:
        await session.run(user_input="a table for four on friday")
    assert agent.booked == [("Friday", 4)]


async def test_an_answer_that_breaks_off_is_said_once_and_the_session_goes_on(serve: Serve) -> None:
    server = await serve(streams(delta("It is "), cut=True), says("Yes."))
    async with talking(CustomHTTPLLMAdapter(server.url), Agent(instructions="")) as session:
        errors: list[Any] = []
        session.on("error", errors.append)
        with pytest.raises(APIError, match="receiving the answer"):
            await session.run(user_input="one")
        assert happened(await session.run(user_input="two")) == ["Yes."]
        said = [item.text_content for item in session.history.items if item.type == "message"]
    assert said[-2:] == ["two", "Yes."] and said.count("It is ") <= 1
    assert len(errors) == 1 and len(server.bodies) == 2


async def test_an_interruption_closes_the_request(serve: Serve) -> None:
    began, gone = asyncio.Event(), asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(delta("Well, ").encode())
        began.set()
        try:
            await asyncio.sleep(30)
        finally:
            gone.set()
        return response

    server = await serve(endless)
    loop = asyncio.get_running_loop()
    async with talking(CustomHTTPLLMAdapter(server.url), Agent(instructions="")) as session:
        speech = session.generate_reply(user_input="tell me everything")
        await began.wait()
        before = loop.time()
        speech.interrupt()
        await asyncio.wait_for(gone.wait(), 2)
        assert loop.time() - before < 1.0
        await speech


async def test_a_hundred_turns_leave_nothing_behind(serve: Serve) -> None:
    """Tasks and sockets are looked for after every test; here they may not pile up between the turns either."""
    server = await serve(says("Yes."))
    async with talking(CustomHTTPLLMAdapter(server.url), Agent(instructions="")) as session:
        await session.run(user_input="0")
        tasks = len(asyncio.all_tasks())
        for turn in range(99):
            await session.run(user_input=str(turn))
        assert len(asyncio.all_tasks()) <= tasks + 3  # one that is just ending does not count
    assert len(server.bodies) == 100
    assert len(server.peers) <= 2  # the second was opened beforehand, while the first turn had begun
