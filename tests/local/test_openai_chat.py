"""Tools and structured output of the embedded server, as the clients of OpenAI, LiveKit and Ollama see them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from enum import Enum
from typing import Any, Literal

import ollama
import openai
import pytest
from livekit.agents import llm as agents_llm
from livekit.plugins import openai as plugin
from openai import AsyncOpenAI
from pydantic import BaseModel, Field

from agents.providers.local import ServerProcess
from agents.providers.local.filling import Heard, filled
from agents.providers.local.responder import Call, Tool, reply

BOOKING = "could you book a table for four on friday at seven please"
BOTH = "until when are you open on sunday and can i book a table for two then"


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


BOOK = {
    "name": "book_table",
    "description": "Reserve a table for guests.",
    "parameters": schema(
        day={"type": "string", "description": "Day of the week"},
        party={"type": "integer", "description": "Number of guests"},
    ),
}
HOURS = {
    "name": "getOpeningHours",
    "description": "When the restaurant is open.",
    "parameters": schema(day={"type": "string", "enum": ["Monday", "Friday", "Sunday"]}),
}
TOOLS: Any = [{"type": "function", "function": BOOK}, {"type": "function", "function": HOURS}]


@pytest.fixture
async def api(server: ServerProcess) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
        yield client


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


class TestOpenAI:
    async def test_a_tool_is_called_and_its_result_is_spoken(self, api: AsyncOpenAI) -> None:
        messages = said(BOOKING)
        reply = await api.chat.completions.create(model="gpt-4o", messages=messages, tools=TOOLS)
        (choice,) = reply.choices
        (call,) = choice.message.tool_calls or []
        assert (choice.finish_reason, choice.message.content, call.type) == ("tool_calls", None, "function")
        assert call.function.name == "book_table"
        assert json.loads(call.function.arguments) == {"day": "Friday", "party": 4}
        result = {"role": "tool", "tool_call_id": call.id, "content": "Booked for Friday at seven."}
        messages += [choice.message.model_dump(exclude_none=True), result]
        reply = await api.chat.completions.create(model="gpt-4o", messages=messages, tools=TOOLS)
        assert reply.choices[0].message.content == "Booked for Friday at seven."
        assert reply.choices[0].finish_reason == "stop"

    async def test_two_tools_are_called_at_once_and_come_as_deltas(self, api: AsyncOpenAI) -> None:
        async with api.chat.completions.stream(
            model="gpt-4o", messages=said(BOTH), tools=TOOLS, stream_options={"include_usage": True}
        ) as stream:
            deltas = [event.type async for event in stream]
            final = await stream.get_final_completion()
        called = {
            c.function.name: json.loads(c.function.arguments) for c in final.choices[0].message.tool_calls or []
        }
        assert called == {"book_table": {"day": "Sunday", "party": 2}, "getOpeningHours": {"day": "Sunday"}}
        assert deltas.count("tool_calls.function.arguments.delta") > 4
        assert deltas.count("tool_calls.function.arguments.done") == 2
        assert final.usage and final.usage.completion_tokens > 0
        one = await api.chat.completions.create(
            model="gpt-4o", messages=said(BOTH), tools=TOOLS, parallel_tool_calls=False
        )
        assert len(one.choices[0].message.tool_calls or []) == 1

    async def test_no_tool_is_called_without_what_it_needs(self, api: AsyncOpenAI) -> None:
        for text in ("a table please", "please cancel my table for two on friday", "is there any parking"):
            reply = await api.chat.completions.create(model="gpt-4o", messages=said(text), tools=TOOLS)
            assert reply.choices[0].message.tool_calls is None and reply.choices[0].message.content

    async def test_the_choice_of_the_caller_counts(self, api: AsyncOpenAI) -> None:
        async def called(text: str, choice: Any) -> dict[str, Any]:
            reply = await api.chat.completions.create(
                model="gpt-4o", messages=said(text), tools=TOOLS, tool_choice=choice
            )
            calls = reply.choices[0].message.tool_calls or []
            return {call.function.name: json.loads(call.function.arguments) for call in calls}  # type: ignore[union-attr]

        assert await called(BOOKING, "none") == {}
        assert await called("hello", "auto") == {}
        assert await called("hello", "required") == {"book_table": {"day": "", "party": 0}}
        named = {"type": "function", "function": {"name": "getOpeningHours"}}
        assert await called(BOOKING, named) == {"getOpeningHours": {"day": "Friday"}}

    async def test_structured_output_fits(self, api: AsyncOpenAI) -> None:
        class Kind(str, Enum):
            booking = "book"
            question = "ask"

        class Guest(BaseModel):
            name: str | None
            party: int = Field(ge=1)

        class Wish(BaseModel):
            kind: Kind
            day: Literal["Friday", "Sunday"]
            time: str
            guest: Guest
            tags: list[str]
            urgent: bool
            answer: str

        text = f"my name is ada, {BOOKING}"
        done = await api.chat.completions.parse(model="gpt-4o", messages=said(text), response_format=Wish)
        wish = done.choices[0].message.parsed
        assert wish and (wish.kind, wish.day, wish.time) == (Kind.booking, "Friday", "seven")
        assert wish.guest == Guest(name="Ada", party=4)
        assert (wish.tags, wish.urgent) == ([], False) and wish.answer.startswith("A table for four")
        free = await api.chat.completions.create(
            model="gpt-4o", messages=said("hello"), response_format={"type": "json_object"}
        )
        assert json.loads(free.choices[0].message.content or "")["answer"].startswith("Hello")

    @pytest.mark.parametrize(
        ("more", "reason"),
        [
            ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "'tools' must be a list"),
            ({"tool_choice": "auto"}, "only allowed when 'tools'"),
            ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}}, "names 'x'"),
            ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "name and schema"),
            (
                {"messages": [*said("hi"), {"role": "tool", "tool_call_id": "c", "content": "?"}]},
                "must be a response to a preceding message",
            ),
            (
                {
                    "messages": [
                        *said("hi"),
                        {
                            "role": "assistant",
                            "tool_calls": [
                                {"id": "c", "type": "function", "function": {"name": "x", "arguments": "{}"}}
                            ],
                        },
                        *said("hello?"),
                    ]
                },
                "have no response: c",
            ),
        ],
    )
    async def test_what_openai_refuses_is_refused(self, api: AsyncOpenAI, more: Any, reason: str) -> None:
        with pytest.raises(openai.BadRequestError, match=reason):
            await api.chat.completions.create(**{"model": "gpt-4o", "messages": said("hi"), **more})


async def test_livekits_plugin_calls_both_tools_and_gets_their_results_spoken(api: AsyncOpenAI) -> None:
    @agents_llm.function_tool
    async def book_table(day: str, party: int) -> str:
        """Reserve a table.

        Args:
            day: Day of the week
            party: Number of guests
        """
        return f"{party} on {day}"

    @agents_llm.function_tool
    async def opening_hours(day: str | None = None) -> str:
        """When the restaurant is open."""
        return f"Open on {day}."

    llm = plugin.LLM(client=api, model="gpt-4o-mini")
    tools: list[Any] = [book_table, opening_hours]
    chat = agents_llm.ChatContext.empty()
    chat.add_message(role="user", content=BOTH)
    calls = (await llm.chat(chat_ctx=chat, tools=tools).collect()).tool_calls
    assert [call.name for call in calls] == ["book_table", "opening_hours"]
    for call in calls:
        done = await agents_llm.execute_function_call(call, agents_llm.ToolContext(tools))
        chat.insert([done.fnc_call, done.fnc_call_out])  # type: ignore[list-item]
    assert (await llm.chat(chat_ctx=chat, tools=tools).collect()).text == "2 on Sunday Open on Sunday."
    await llm.aclose()


class TestOllama:
    """As Ollama's own client sees it."""

    @pytest.fixture
    async def client(self, server: ServerProcess) -> AsyncIterator[ollama.AsyncClient]:
        client = ollama.AsyncClient(host=server.url)
        yield client
        await client._client.aclose()

    async def test_an_answer_in_lines_and_in_one(self, client: ollama.AsyncClient) -> None:
        parts = [
            part async for part in await client.chat("voxport-rules", said("is there any parking"), stream=True)
        ]
        text = "".join(part.message.content or "" for part in parts)
        assert len(parts) > 5 and "car park" in text
        assert (parts[-1].done, parts[-1].done_reason, parts[-1].prompt_eval_count) == (True, "stop", 4)
        whole = await client.chat("voxport-rules", said("is there any parking"))
        assert (whole.message.content, whole.eval_count) == (text, parts[-1].eval_count)

    async def test_tools_are_called_and_their_results_spoken(self, client: ollama.AsyncClient) -> None:
        messages = said(BOTH)
        parts = [part async for part in await client.chat("voxport-rules", messages, tools=TOOLS, stream=True)]
        calls = [call for part in parts for call in part.message.tool_calls or ()]
        assert [(call.function.name, dict(call.function.arguments)) for call in calls] == [
            ("book_table", {"day": "Sunday", "party": 2}),
            ("getOpeningHours", {"day": "Sunday"}),
        ]
        whole = await client.chat("voxport-rules", messages, tools=TOOLS)
        assert whole.message.tool_calls == calls
        messages += [whole.message, {"role": "tool", "tool_name": "book_table", "content": '{"booked": "Sunday"}'}]
        assert (await client.chat("voxport-rules", messages, tools=TOOLS)).message.content == "booked Sunday."

    async def test_a_format_is_kept_to(self, client: ollama.AsyncClient) -> None:
        whole = await client.chat("voxport-rules", said(BOOKING), format=BOOK["parameters"])  # type: ignore[arg-type]
        assert json.loads(whole.message.content or "") == {"day": "Friday", "party": 4}
        whole = await client.chat("voxport-rules", said("hello"), format="json")
        assert json.loads(whole.message.content or "")["answer"].startswith("Hello")

    async def test_errors(self, client: ollama.AsyncClient) -> None:
        with pytest.raises(ollama.ResponseError, match="not found") as caught:
            await client.chat("llama9", said("hi"))
        assert caught.value.status_code == 404
        assert (await client.chat("voxport-rules")).done_reason == "load"


class TestResponder:
    """What rules can find."""

    @pytest.mark.parametrize(
        ("text", "properties", "made"),
        [
            ("a table for a couple", {"guests": {"type": "integer"}}, {"guests": 2}),
            ("one table for 12 people at 19:30", {"people": {"type": "number"}}, {"people": 12}),
            ("at seven", {"hour": {"type": "integer"}}, {"hour": 7}),
            ("at seven", {"guests": {"type": "integer"}}, None),
            ("this is grace", {"customer_name": {"type": "string"}}, {"customer_name": "Grace"}),
            ("the weather in paris", {"city": {"type": "string"}}, {"city": "Paris"}),
            ("what is new", {"query": {"type": "string"}}, {"query": "what is new"}),
            ("a vegan menu", {"vegan": {"type": "boolean"}}, {"vegan": True}),
            ("friday", {"x": {"type": "string", "description": "Day of the visit"}}, {"x": "Friday"}),
            ("friday", {"x": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}, {"x": None}),
            (
                "friday",
                {"x": {"type": ["string", "null"]}, "days": {"type": "array", "items": {"enum": ["Friday"]}}},
                {"x": None, "days": ["Friday"]},
            ),
            (
                "friday",
                {"x": {"const": 7}, "visit": schema(day={"type": "string"})},
                {"x": 7, "visit": {"day": "Friday"}},
            ),
        ],
    )
    def test_what_was_heard_goes_where_it_belongs(self, text: str, properties: Any, made: Any) -> None:
        assert filled(schema(**properties), Heard.of(text)) == made

    def test_a_schema_that_refers_to_itself_has_an_end(self) -> None:
        node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next"]}
        made = filled({"$ref": "#/$defs/node", "$defs": {"node": node}}, Heard.of("hi"), anyhow=True)
        assert isinstance(made, dict)

    def test_a_tool_whose_name_says_nothing_is_known_by_its_description(self) -> None:
        tool = Tool("lookup", "Weather forecast of the town")
        assert reply("what is the weather forecast", tools=[tool]).calls == (Call("lookup", {}),)
        assert reply("what is the time", tools=[tool]).calls == ()
