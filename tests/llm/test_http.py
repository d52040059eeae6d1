"""The adapter against servers on loopback: what it sends, what it makes of what they answer, what it leaves."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from livekit.agents import (
    APIConnectionError,
    APIConnectOptions,
    APIError,
    APIStatusError,
    APITimeoutError,
    llm,
    metrics,
)
from llm_endpoint import FAST, Handler, Serve, context, delta, says, status, streams
from other_loop import other_loop
from pydantic import BaseModel

from agents.providers.adapters import CustomHTTPLLMAdapter
from agents.providers.base import ConfigurationError
from agents.providers.protocol import (
    Chat,
    ChatEvent,
    ChatProtocol,
    ChatReader,
    HttpRequest,
    HttpResponse,
    Settings,
    Stopped,
    TextDelta,
    ToolCall,
)

KEY = "sk-4711-very-secret"
DONE = "data: [DONE]\n\n"


async def ask(
    adapter: CustomHTTPLLMAdapter, *said: str, options: APIConnectOptions = FAST, **more: Any
) -> llm.CollectedResponse:
    async with adapter:
        return await adapter.chat(chat_ctx=context(*said), conn_options=options, **more).collect()


async def refusal(adapter: CustomHTTPLLMAdapter, **more: Any) -> tuple[APIError, str]:
    """The error of a question, and the text that came before it. No way of printing it may show the key."""
    text = ""
    async with adapter, adapter.chat(chat_ctx=context(), conn_options=more.pop("options", FAST), **more) as stream:
        with pytest.raises(APIError) as caught:
            async for chunk in stream:
                text += (chunk.delta and chunk.delta.content) or ""
    error = caught.value
    printed = repr(error) + str(error) + "".join(traceback.format_exception(error))
    assert KEY not in printed
    behind = error.__context__
    while behind is not None:
        assert not isinstance(behind, aiohttp.ClientError), "it holds the request with its headers"
        behind = behind.__context__
    return error, text


@llm.function_tool
async def look_up(day: str) -> str:
    """Look up the opening hours."""
    return day


class Order(BaseModel):
    """What somebody wants."""

    dish: str
    count: int = 1


class TestRequest:
    async def test_what_is_asked_is_in_the_form_of_chat_completions(self, serve: Serve) -> None:
        server = await serve(says("Yes."))
        adapter = CustomHTTPLLMAdapter(
            server.url,
            KEY,
            "gpt-x",
            {"X-Tenant": "t1"},
            options={"temperature": 0.2, "stop": None},
        )
        asked = {
            "tools": [look_up],
            "tool_choice": {"type": "function", "function": {"name": "look_up"}},
            "parallel_tool_calls": False,
            "response_format": Order,
            "extra_kwargs": {"seed": 7, "extra_headers": {"X-Trace": "t2"}, "extra_body": {"top_k": 3}},
        }
        assert (await ask(adapter, "Größe \ud83c?", **asked)).text == "Yes."
        (body,), (headers,) = server.bodies, server.headers
        assert headers["authorization"] == f"Bearer {KEY}"
        assert (headers["x-tenant"], headers["x-trace"]) == ("t1", "t2")
        (tool,) = body.pop("tools")
        assert tool["function"]["name"] == "look_up" and "strict" not in tool["function"]
        schema = body.pop("response_format")
        assert schema["json_schema"]["schema"]["required"] == ["dish", "count"]
        assert body == {
            "model": "gpt-x",
            "messages": [{"role": "user", "content": "Größe ??"}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "tool_choice": asked["tool_choice"],
            "parallel_tool_calls": False,
            "temperature": 0.2,
            "seed": 7,
            "top_k": 3,
        }

    async def test_what_is_not_given_is_not_sent(self, serve: Serve) -> None:
        server = await serve(says("Yes."))
        adapter = CustomHTTPLLMAdapter(server.url, options={"stream_options": None})
        await ask(adapter, tool_choice="auto", parallel_tool_calls=True)  # OpenAI refuses both without tools
        assert server.bodies == [{"messages": [{"role": "user", "content": "Hello?"}], "stream": True}]
        assert "authorization" not in server.headers[0]

    async def test_what_is_asked_of_one_answer_is_stronger_than_the_options(self, serve: Serve) -> None:
        """LiveKit forbids tools after the last round of them: an option that forces them would never end."""
        forces = {"tool_choice": "required", "parallel_tool_calls": False, "response_format": {"type": "text"}}
        server = await serve(says("Yes."))
        async with CustomHTTPLLMAdapter(server.url, options=forces) as adapter:
            for asked in (
                {},
                {"tools": [look_up]},
                {"tools": [look_up], "tool_choice": "none", "response_format": Order},
            ):
                await adapter.chat(chat_ctx=context(), conn_options=FAST, **asked).collect()
        without, default, asked_for = server.bodies
        assert not {"tool_choice", "parallel_tool_calls"} & without.keys()  # OpenAI refuses both without tools
        assert (default["tool_choice"], default["parallel_tool_calls"]) == ("required", False)
        assert default["response_format"] == without["response_format"] == {"type": "text"}
        assert asked_for["tool_choice"] == "none" and asked_for["response_format"]["type"] == "json_schema"

    async def test_arguments_that_are_no_json_do_not_go_out_again(self, serve: Serve) -> None:
        """Servers that parse the history would refuse it, and every question after it."""
        chat = context("Look.")
        for call_id, arguments in (
            ("c1", '{"day": Fri'),
            ("c2", ""),
            ("c3", "[1]"),
            ("c4", '{"a": NaN}'),
            ("c5", '{"a": 1}'),
        ):
            chat.items.append(llm.FunctionCall(call_id=call_id, name="look_up", arguments=arguments))
            chat.items.append(llm.FunctionCallOutput(call_id=call_id, name="look_up", output="?", is_error=False))
        server = await serve(says("Yes."))
        async with CustomHTTPLLMAdapter(server.url) as adapter:
            await adapter.chat(chat_ctx=chat, conn_options=FAST).collect()
        sent = [c["function"]["arguments"] for m in server.bodies[0]["messages"] for c in m.get("tool_calls", ())]
        assert sent == ["{}", "{}", "{}", "{}", '{"a": 1}']

    @pytest.mark.parametrize("strict", [None, True])
    async def test_strict_schemas_are_for_openai_and_who_wants_them(
        self, serve: Serve, strict: bool | None
    ) -> None:
        server = await serve(says("Yes."))
        await ask(CustomHTTPLLMAdapter(server.url, strict_tools=strict), tools=[look_up])
        assert server.bodies[0]["tools"][0]["function"].get("strict") is strict
        assert CustomHTTPLLMAdapter("https://api.openai.com/v1", KEY)._strict_tools

    async def test_ollama_is_asked_in_its_own_form(self, serve: Serve) -> None:
        chat = context("Look.")
        chat.items.append(llm.FunctionCall(call_id="c1", name="look_up", arguments='{"day": "Friday"}'))
        chat.items.append(llm.FunctionCallOutput(call_id="c1", name="look_up", output="Open.", is_error=False))
        chat.add_message(role="developer", content="Be short.")
        picture = llm.ImageContent(image="data:image/png;base64,iVBORw0KGgo=")
        chat.add_message(role="user", content=["And this?", picture])
        line = '{"message": {"content": "Yes."}, "done": true, "done_reason": "stop"}\n'
        server = await serve(streams(line, kind="application/x-ndjson"))
        url = server.url.replace("/v1", "/api/chat")
        for protocol, choice, tools in (
            ("auto", "none", None),
            ("json-lines", "required", 1),
            ("json", "auto", 1),
        ):
            async with CustomHTTPLLMAdapter(url, model="q", protocol=protocol) as adapter:
                stream = adapter.chat(chat_ctx=chat, tools=[look_up], tool_choice=choice, response_format=Order)  # type: ignore[arg-type]
                assert (await stream.collect()).text == "Yes."
            body = server.bodies[-1]
            assert len(body.pop("tools", ())) == (tools or 0)
            assert body.pop("format")["required"] == ["dish", "count"]
            assert body.pop("stream") is (protocol != "json")
            assert body == {
                "model": "q",
                "messages": [
                    {"role": "user", "content": "Look."},
                    {
                        "role": "assistant",
                        "content": "",
                        "tool_calls": [{"function": {"name": "look_up", "arguments": {"day": "Friday"}}}],
                    },
                    {"role": "tool", "content": "Open.", "tool_name": "look_up"},
                    {"role": "system", "content": "Be short."},
                    {"role": "user", "content": "And this?", "images": ["iVBORw0KGgo="]},
                ],
            }

    async def test_options_change_from_the_next_answer_on(self, serve: Serve) -> None:
        server = await serve(says("Yes."))
        async with CustomHTTPLLMAdapter(server.url, model="a", options={"seed": 1}) as adapter:
            stream = adapter.chat(chat_ctx=context(), conn_options=FAST)
            adapter.update_options(model="b", options={"top_p": 0.5})
            assert (adapter.model, adapter.provider) == ("b", "127.0.0.1")
            await stream.collect()
            await adapter.chat(chat_ctx=context(), conn_options=FAST).collect()
            with pytest.raises(ConfigurationError, match="messages"):
                adapter.update_options(model="c", options={"messages": []})
            assert adapter.model == "b"
        assert [(body["model"], body["seed"], body.get("top_p")) for body in server.bodies] == [
            ("a", 1, None),
            ("b", 1, 0.5),
        ]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"endpoint_url": ""}, "endpoint_url is missing"),
            ({"endpoint_url": "ws://llm.example/v1"}, 'must start with "http://" or "https://"'),
            ({"endpoint_url": "http://llm.example/v1", "api_key": KEY}, "clear text"),
            ({"endpoint_url": "http://llm.example/v1", "headers": {"Authorization": KEY}}, "clear text"),
            ({"endpoint_url": "http://llm.example/v1?api_key=sk-secret"}, "clear text"),
            ({"api_key": "${env:NOT_SET_ANYWHERE}"}, "NOT_SET_ANYWHERE, which is not set"),
            ({"protocol": "jsonlines"}, "did you mean 'json-lines'"),
            ({"protocol": ChatProtocol}, "protocol is the class ChatProtocol: give an object of it"),
            ({"text_path": "a["}, "text_path is no JMESPath"),
            ({"text_path": " "}, "text_path must be a JMESPath"),
            ({"options": {"stream": False}}, "'stream', which the adapter sets itself: give protocol"),
            ({"options": {"stop": {1, 2}}}, "options cannot be sent as JSON"),
            ({"options": ["temperature"]}, "options must be a mapping"),
            ({"model": 5}, "model must be a text"),
            ({"thinking_tags": "<think>"}, "thinking_tags must be"),
            ({"request_timeout": 0}, "request_timeout must be a positive number"),
            ({"max_response_bytes": 0}, "max_response_bytes must be positive"),
            ({"max_response_bytes": "1k"}, "max_response_bytes must be positive"),
        ],
    )
    def test_what_cannot_work_is_refused_when_it_is_built(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigurationError, match=message.replace("(", r"\(")) as raised:
            CustomHTTPLLMAdapter(**{"endpoint_url": "https://llm.example/v1", **arguments})
        assert KEY not in str(raised.value)

    @pytest.mark.parametrize(
        ("given", "used"),
        [
            ("https://llm.example/v1", "https://llm.example/v1/chat/completions"),
            ("https://llm.example/base/v1/?v=2", "https://llm.example/base/v1/chat/completions?v=2"),
            ("https://llm.example/v1/messages", "https://llm.example/v1/messages"),
            ("https://llm.example/", "https://llm.example/"),
        ],
    )
    def test_a_url_that_ends_in_v1_is_that_of_the_api(self, given: str, used: str) -> None:
        assert CustomHTTPLLMAdapter(given).endpoint_url == used

    def test_the_key_in_the_environment_is_for_openai_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        assert CustomHTTPLLMAdapter("https://api.openai.com/v1")._settings().key == KEY
        assert CustomHTTPLLMAdapter("https://llm.example/v1")._settings().key == ""
        assert CustomHTTPLLMAdapter("https://llm.example/v1", "${env:OPENAI_API_KEY}")._settings().key == KEY

    async def test_a_request_that_cannot_be_written_is_refused_without_what_people_said(
        self, serve: Serve
    ) -> None:
        server = await serve(says("Yes."))
        error, _ = await refusal(CustomHTTPLLMAdapter(server.url), extra_kwargs={"stop": {"secret words"}})
        assert "the request cannot be written" in str(error) and not error.retryable
        assert "secret words" not in str(error) and server.bodies == []
        with pytest.raises(ConfigurationError, match="extra_query"):
            async with CustomHTTPLLMAdapter(server.url) as adapter:
                adapter.chat(chat_ctx=context(), extra_kwargs={"extra_query": {"a": "b"}})


class TestAnswer:
    async def test_text_and_usage_and_time_to_the_first_token(self, serve: Serve) -> None:
        usage = (
            '{"id": "u", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}'
        )
        server = await serve(
            streams(
                delta("", role="assistant"),
                0.15,
                delta("Two "),
                delta("words.", finish="stop"),
                f"data: {usage}\n\n",
                DONE,
            )
        )
        reported: list[metrics.LLMMetrics] = []
        async with CustomHTTPLLMAdapter(server.url, model="m") as adapter:
            adapter.on("metrics_collected", reported.append)
            stream = adapter.chat(chat_ctx=context(), conn_options=FAST)
            chunks = [chunk async for chunk in stream]
            await stream.aclose()
        assert [chunk.delta.content for chunk in chunks if chunk.delta] == ["Two ", "words."]
        assert {chunk.id for chunk in chunks} == {"chatcmpl-7"}
        (measured,) = reported
        assert (measured.total_tokens, measured.request_id) == (5, "chatcmpl-7")
        assert 0.15 <= measured.ttft < 1.0
        assert adapter.stats.time_to_first_token == pytest.approx(measured.ttft, abs=0.1)
        assert (adapter.stats.answers, adapter.stats.prompt_tokens, adapter.stats.completion_tokens) == (1, 3, 2)

    async def test_thoughts_are_not_said(self, serve: Serve) -> None:
        server = await serve(says("<thi", "nk>She wants", " food.</th", "ink>Hel", "lo <", "b>."))
        assert (await ask(CustomHTTPLLMAdapter(server.url))).text == "Hello <b>."
        server = await serve(says("Well. [hm", "m]"))
        adapter = CustomHTTPLLMAdapter(server.url, thinking_tags=("[", "]"))
        assert (await ask(adapter)).text == "Well."
        server = await serve(
            streams(delta(reasoning_content="hm"), delta(reasoning="hm"), delta("Yes.", finish="stop"), DONE)
        )
        assert (await ask(CustomHTTPLLMAdapter(server.url))).text == "Yes."

    async def test_an_answer_cut_short_says_why(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        server = await serve(says("And then", finish="length"))
        answer = await ask(CustomHTTPLLMAdapter(server.url))
        assert (answer.text, answer.extra) == ("And then", {"finish_reason": "length"})
        assert [r.message for r in caplog.records if "limit of tokens" in r.message]
        assert (await ask(CustomHTTPLLMAdapter((await serve(says("Fine."))).url))).extra == {}

    async def test_an_answer_without_an_end_is_complete_and_counted(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        server = await serve(streams(delta("All there is.")))
        async with CustomHTTPLLMAdapter(server.url) as adapter:
            for _ in range(2):
                answer = await adapter.chat(chat_ctx=context(), conn_options=FAST).collect()
                assert answer.text == "All there is."
        assert adapter.stats.unfinished_answers == 2
        assert len([r for r in caplog.records if "counts as complete" in r.message]) == 1

    async def test_an_empty_answer_is_one_and_is_told(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        adapter = CustomHTTPLLMAdapter((await serve(says())).url)
        assert (await ask(adapter)).text == ""
        assert (adapter.stats.empty_answers, adapter.stats.requests) == (1, 1)
        assert "empty answer" in caplog.text

    async def test_after_the_finish_reason_nobody_waits_long(self, serve: Serve) -> None:
        """A server that forgets to end its answer, and one that breaks off after it."""
        for handler in (
            streams(delta("Yes.", finish="stop"), 30),
            streams(delta("Yes.", finish="stop"), cut=True),
        ):
            server = await serve(handler)
            before = time.monotonic()
            assert (await ask(CustomHTTPLLMAdapter(server.url))).text == "Yes."
            assert time.monotonic() - before < 3
            assert len(server.bodies) == 1

    async def test_one_connection_serves_one_answer_after_another(self, serve: Serve) -> None:
        server = await serve(says("Yes."))
        async with CustomHTTPLLMAdapter(server.url) as adapter:
            for _ in range(4):
                await adapter.chat(chat_ctx=context(), conn_options=FAST).collect()
        assert len(server.bodies) == 4 and len(server.peers) == 1

    async def test_a_connection_opened_beforehand_is_used(self, serve: Serve) -> None:
        server = await serve(says("Yes."))
        async with CustomHTTPLLMAdapter(server.url, KEY) as adapter:
            adapter.prewarm()
            assert adapter._prewarm_task is not None
            await adapter._prewarm_task
            await adapter.chat(chat_ctx=context(), conn_options=FAST).collect()
        assert server.methods == ["GET", "POST"] and len(server.peers) == 1

    async def test_a_session_of_ones_own_stays_open(self, serve: Serve) -> None:
        server = await serve(says("Yes."))
        async with aiohttp.ClientSession() as session:
            await ask(CustomHTTPLLMAdapter(server.url, http_session=session))
            assert not session.closed

    async def test_closing_on_one_event_loop_breaks_nothing_off_on_another(self, serve: Serve) -> None:
        server = await serve(streams(delta("Well"), 3600.0))
        adapter = CustomHTTPLLMAdapter(server.url)
        answers: list[llm.LLMStream] = []

        async def begin() -> None:
            adapter.prewarm()
            answers.append(adapter.chat(chat_ctx=context(), conn_options=FAST))
            await anext(answers[0])

        async def still_there() -> bool:
            return not answers[0]._task.done()

        async with other_loop() as elsewhere:
            await elsewhere(begin())
            await adapter.aclose()
            assert await elsewhere(still_there())
            await elsewhere(adapter.aclose())
            assert not await elsewhere(still_there())
        await adapter.aclose()  # that loop is over, and what was opened ahead on it


class TestFailure:
    @pytest.mark.parametrize(
        "broken",
        [
            status(503, {"error": {"message": "overloaded"}}),
            status(408),
            streams(),
            streams(cut=True),
            streams(delta("", role="assistant"), 'data: {"cho', cut=True),
            streams(delta("<think>hm"), cut=True),
            streams("data: nonsense\n\n"),
            streams('data: {"error": {"message": "the engine died", "code": 500}}\n\n'),
            status(200, {"error": {"message": "try later", "type": "server_error"}}),
            streams(
                delta(tool_calls=[{"index": 0, "id": "c", "function": {"name": "look_up", "arguments": "{"}}])
            ),
        ],
        ids=[
            "503",
            "408",
            "empty",
            "cut",
            "cut-in-an-event",
            "cut-in-a-thought",
            "no-json",
            "error-event",
            "error-body",
            "half-call",
        ],
    )
    async def test_what_fails_before_the_first_output_is_tried_again(self, serve: Serve, broken: Handler) -> None:
        server = await serve(broken, says("Said ", "once."))
        adapter = CustomHTTPLLMAdapter(server.url)
        errors: list[llm.LLMError] = []
        adapter.on("error", errors.append)
        assert (await ask(adapter)).text == "Said once."
        assert [error.recoverable for error in errors] == [True]
        stats = adapter.stats
        assert (stats.requests, stats.retries, stats.transient_failures, stats.answers) == (2, 1, 1, 1)

    @pytest.mark.parametrize(
        ("broken", "kind"),
        [
            (streams(delta("Half a sen"), cut=True), APIConnectionError),
            (streams(delta("Half a sen"), 'data: {"choices": [{"del'), APIError),
            (streams(delta("Half a sen"), "data: {]\n\n"), APIError),
            (streams(delta("Half a sen"), 'data: {"error": {"message": "died"}}\n\n'), APIError),
            (streams(delta("Half a sen"), 30), APITimeoutError),
        ],
        ids=["cut", "cut-in-an-event", "no-json", "error-event", "silence"],
    )
    async def test_what_fails_after_it_is_not(self, serve: Serve, broken: Handler, kind: type[APIError]) -> None:
        server = await serve(broken, says("Never said."))
        adapter = CustomHTTPLLMAdapter(server.url, KEY, read_timeout=0.2)
        error, text = await refusal(adapter)
        assert type(error) is kind and not error.retryable
        assert text == "Half a sen" and len(server.bodies) == 1

    async def test_tool_calls_come_out_when_nothing_can_fail_any_more(self, serve: Serve) -> None:
        """So none runs twice."""
        call = {"index": 0, "id": "c", "function": {"name": "look_up", "arguments": "{}"}}
        failing = delta(tool_calls=[call]), 'data: {"error": "died"}\n\n'
        late = delta(tool_calls=[call], finish="tool_calls"), *failing[1:], "data: {]\n\n"
        server = await serve(streams(*failing), streams(*late), says("Never."))
        answer = await ask(CustomHTTPLLMAdapter(server.url))
        assert [(call.name, call.call_id) for call in answer.tool_calls] == [("look_up", "c")]
        assert len(server.bodies) == 2

    @pytest.mark.parametrize(
        ("code", "remedy"),
        [(400, ""), (401, "check the API key"), (403, "may use"), (404, "the URL and the model")],
    )
    async def test_a_refused_request_is_not_tried_again(self, serve: Serve, code: int, remedy: str) -> None:
        server = await serve(status(code, {"error": {"message": f"no {KEY}"}}))
        error, _ = await refusal(CustomHTTPLLMAdapter(server.url, KEY))
        assert isinstance(error, APIStatusError) and error.status_code == code and not error.retryable
        assert f"chat completions at {server.url}/chat/completions: HTTP {code} (no ***)" in str(error)
        assert remedy in str(error) and len(server.bodies) == 1

    async def test_a_server_that_does_not_know_stream_options_says_what_helps(self, serve: Serve) -> None:
        server = await serve(status(422, {"detail": "extra fields not permitted: stream_options"}))
        error, _ = await refusal(CustomHTTPLLMAdapter(server.url, KEY))
        assert "options={'stream_options': None} leaves it out" in str(error)

    async def test_livekits_fallback_adapter_goes_to_the_next_model(self, serve: Serve) -> None:
        broken, good = await serve(status(401)), await serve(says("Yes."))
        first, second = CustomHTTPLLMAdapter(broken.url), CustomHTTPLLMAdapter(good.url)
        fallback = llm.FallbackAdapter([first, second], max_retry_per_llm=0)
        assert (await fallback.chat(chat_ctx=context()).collect()).text == "Yes."
        for closing in (fallback, first, second):
            await closing.aclose()

    async def test_an_account_without_money_is_not_tried_again(self, serve: Serve) -> None:
        server = await serve(status(429, {"error": {"message": "no quota", "code": "insufficient_quota"}}))
        error, _ = await refusal(CustomHTTPLLMAdapter(server.url, KEY))
        assert not error.retryable and len(server.bodies) == 1

    @pytest.mark.parametrize("code", [200, 400], ids=str)
    async def test_what_a_server_quotes_of_the_conversation_is_not_told(
        self, serve: Serve, code: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Servers that check their input often give it back with what is wrong about it."""
        said = "My passport number is 88121, and I call from Riga."
        server = await serve(
            status(code, {"error": {"message": f"invalid: '…passport number is 88121, and I c {KEY}'"}})
        )
        async with CustomHTTPLLMAdapter(server.url, KEY) as adapter:
            with pytest.raises(APIError, match="invalid: ") as caught:
                await adapter.chat(chat_ctx=context(said), conn_options=FAST).collect()
        shown = "".join(traceback.format_exception(caught.value)) + caplog.text
        assert "88121" not in shown and "passport" not in shown and KEY not in shown

    async def test_instructions_are_not_told_and_hide_nothing_of_the_error(self, serve: Serve) -> None:
        """They are long: three words of them are soon words of an error, too."""
        rules = "Never stop in the middle of a word. The owner's private number is for the staff only."
        server = await serve(streams('{"a', kind="application/json"), status(400, {"error": f"no: {rules[36:]}"}))
        chat = context("Hello.")
        chat.add_message(role="system", content=rules)
        seen = []
        async with CustomHTTPLLMAdapter(server.url) as adapter:
            for _ in range(2):
                with pytest.raises(APIError) as caught:
                    await adapter.chat(chat_ctx=chat, conn_options=APIConnectOptions(max_retry=0)).collect()
                seen.append(str(caught.value))
        assert "breaks off in the middle of it" in seen[0]
        assert "(no: ….)" in seen[1] and "staff" not in seen[1]

    async def test_retries_end(self, serve: Serve) -> None:
        server = await serve(status(503))
        error, _ = await refusal(CustomHTTPLLMAdapter(server.url, KEY))
        assert isinstance(error, APIConnectionError) and "after 4 attempts" in str(error)
        assert len(server.bodies) == 4

    async def test_a_vendor_that_asks_for_patience_gets_it(self, serve: Serve) -> None:
        server = await serve(status(429, **{"Retry-After": "0.4"}), says("Yes."))
        before = time.monotonic()
        assert (await ask(CustomHTTPLLMAdapter(server.url))).text == "Yes."
        assert time.monotonic() - before >= 0.4

    async def test_but_not_more_of_it_than_an_answer_may_take(self, serve: Serve) -> None:
        server = await serve(status(429, **{"Retry-After": "90"}), says("Yes."))
        error, _ = await refusal(CustomHTTPLLMAdapter(server.url))
        assert isinstance(error, APIStatusError) and not error.retryable and error.retry_after == 90  # type: ignore[attr-defined]
        assert len(server.bodies) == 1

    async def test_a_status_of_499_is_an_error_like_others(self, serve: Serve) -> None:
        """LiveKit takes an APIStatusError of it for its own cancellation, and ends the answer without a word."""
        server = await serve(status(499))
        error, _ = await refusal(CustomHTTPLLMAdapter(server.url), options=APIConnectOptions(max_retry=0))
        assert isinstance(error, APIConnectionError) and "499" in str(error)

    @pytest.mark.parametrize(
        ("handler", "message"),
        [
            (streams("<!doctype html><p>Log in", kind="text/html"), "web page"),
            (streams("<!doctype html><p>Log in"), "web page"),
            (streams("Hello there.", kind="text/plain"), "got text/plain"),
            (streams('{"answer": "Hello there."}', kind="application/json"), "say where it is with text_path"),
            (streams(delta("x" * 3000), delta("y" * 3000)), "longer than 5000 bytes: raise max_response_bytes"),
            (streams("data: " + "[" * 6000), "longer than 5000 bytes"),
        ],
        ids=["html", "html-as-events", "plain-text", "other-json", "huge", "huge-event"],
    )
    async def test_what_is_no_answer_is_told_as_what_it_is(
        self, serve: Serve, handler: Handler, message: str
    ) -> None:
        server = await serve(handler)
        error, _ = await refusal(CustomHTTPLLMAdapter(server.url, KEY, max_response_bytes=5000))
        assert message in str(error) and not error.retryable and len(server.bodies) == 1

    async def test_nobody_listens_and_nobody_answers(self, serve: Serve) -> None:
        once = APIConnectOptions(max_retry=0)
        url = f"http://127.0.0.1:{unused_port()}/v1"
        error, _ = await refusal(CustomHTTPLLMAdapter(url, KEY), options=once)
        assert type(error) is APIConnectionError and "refused" in str(error)
        server = await serve(streams(30))
        error, _ = await refusal(CustomHTTPLLMAdapter(server.url, KEY, request_timeout=0.1), options=once)
        assert type(error) is APITimeoutError

    async def test_closing_the_adapter_breaks_off_what_is_being_answered(self, serve: Serve) -> None:
        """Also one that has not begun: it would be waited for until it times out."""
        server = await serve(streams(delta("Half"), 30.0), streams(30.0))
        async with CustomHTTPLLMAdapter(server.url) as adapter:
            begun = adapter.chat(chat_ctx=context(), conn_options=FAST)
            assert (await anext(begun)).delta is not None
            waiting = adapter.chat(chat_ctx=context(), conn_options=FAST)
            while len(server.bodies) < 2:
                await asyncio.sleep(0.001)
        for stream in (begun, waiting):
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
        assert len(server.bodies) == 2

    @pytest.mark.parametrize("said", [(), ("Half a sen",)], ids=["before-output", "after-output"])
    async def test_closing_the_stream_closes_the_request(self, serve: Serve, said: tuple[str, ...]) -> None:
        began, gone = asyncio.Event(), asyncio.Event()

        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            for piece in said:
                await response.write(delta(piece).encode())
            began.set()
            try:
                await asyncio.sleep(30)
            finally:
                gone.set()
            return response

        server = await serve(endless)
        reported: list[metrics.LLMMetrics] = []
        async with CustomHTTPLLMAdapter(server.url) as adapter:
            adapter.on("metrics_collected", reported.append)
            stream = adapter.chat(chat_ctx=context(), conn_options=FAST)
            if said:
                await stream.__anext__()
            await began.wait()
            before = time.monotonic()
            await stream.aclose()
            await asyncio.wait_for(gone.wait(), 2)
            assert time.monotonic() - before < 1.0
            assert [measured.cancelled for measured in reported] == [True] * len(said)
            assert adapter.stats.answers == 0


class PlainReader(ChatReader):
    def feed(self, data: bytes) -> list[ChatEvent]:
        if data == b"broken":
            raise KeyError("what was said")
        return [TextDelta(data.decode())]

    def finish(self) -> list[ChatEvent]:
        self.settled = True
        return [ToolCall("look_up", '{"day": "Friday"}', "c1"), Stopped("stop")]


class Plain(ChatProtocol):
    """A protocol of one's own: the last message goes out as text, and text comes back."""

    name = "plain"

    def request(self, chat: Chat, settings: Settings) -> HttpRequest:
        asked = {"say": chat.messages[-1]["content"], "tools": len(chat.tools), **settings.options}
        return HttpRequest("POST", settings.url, {"X-Key": settings.key}, json.dumps(asked).encode())

    def reader(self, response: HttpResponse, settings: Settings) -> PlainReader:
        return PlainReader()


async def test_a_protocol_of_ones_own_has_tools_too(serve: Serve) -> None:
    server = await serve(streams("Well ", "then.", kind="text/plain"))
    adapter = CustomHTTPLLMAdapter(server.url, KEY, protocol=Plain(), options={"mood": "good"})
    answer = await ask(adapter, tools=[look_up])
    assert (answer.text, [call.name for call in answer.tool_calls]) == ("Well then.", ["look_up"])
    assert server.bodies == [{"say": "Hello?", "tools": 1, "mood": "good"}]
    assert server.headers[0]["x-key"] == KEY and "authorization" not in server.headers[0]
    error, _ = await refusal(CustomHTTPLLMAdapter((await serve(status(401))).url, KEY, protocol=Plain()))
    assert error.message.startswith("plain at ")
    error, _ = await refusal(CustomHTTPLLMAdapter((await serve(streams("broken"))).url, KEY, protocol=Plain()))
    assert "the answer cannot be understood: KeyError" in str(error) and not error.retryable
    with pytest.raises(ConfigurationError, match="text_path is for the built-in protocols"):
        CustomHTTPLLMAdapter(server.url, protocol=Plain(), text_path="a")


class TestOverride:
    """A subclass with a request of its own."""

    async def test_it_yields_what_is_said(self) -> None:
        class Own(CustomHTTPLLMAdapter):
            async def _send_messages(self, messages: list[dict[str, Any]]) -> AsyncIterator[str]:
                yield f"{messages[-1]['content']}"
                yield "<think>hm</think> Yes."

        assert (await ask(Own("https://llm.example/v1"), "Really?")).text == "Really? Yes."

    async def test_it_may_return_a_text_too(self) -> None:
        class Own(CustomHTTPLLMAdapter):
            async def _send_messages(self, messages: list[dict[str, Any]]) -> str:  # type: ignore[override]
                return "Yes."

        assert (await ask(Own("https://llm.example/v1"))).text == "Yes."

    async def test_it_may_change_the_messages_and_leave_the_rest_to_the_adapter(self, serve: Serve) -> None:
        class Own(CustomHTTPLLMAdapter):
            async def _send_messages(self, messages: list[dict[str, Any]]) -> AsyncIterator[str]:
                async for piece in super()._send_messages(messages[-1:]):
                    yield piece.upper()

        server = await serve(says("Yes", "."))
        assert (await ask(Own(server.url), "One.", "Two.")).text == "YES."
        assert server.bodies[0]["messages"] == [{"role": "user", "content": "Two."}]
        server = await serve(status(401, {"error": f"no {KEY}"}))
        error, _ = await refusal(Own(server.url, KEY))
        assert isinstance(error, APIStatusError) and not error.retryable

    async def test_one_that_takes_the_whole_question_has_the_tools(self, serve: Serve) -> None:
        """And leaves them to the adapter with all that belongs to them, or calls one by itself."""
        asked: list[Chat] = []

        class Own(CustomHTTPLLMAdapter):
            async def _send_messages(
                self, messages: list[dict[str, Any]], chat: Chat | None = None
            ) -> AsyncIterator[Any]:
                assert chat is not None
                asked.append(chat)
                if messages[-1]["content"] == "Call.":
                    yield ToolCall("look_up", '{"day": "Friday"}', "c1")
                    yield Stopped("length")
                    return
                async for event in self.ask(replace(chat, messages=messages[-1:])):
                    yield event

        call = {"index": 0, "id": "c7", "function": {"name": "look_up", "arguments": '{"day": "Monday"}'}}
        usage = '{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}'
        server = await serve(
            streams(
                delta("Wait."), delta(tool_calls=[call]), delta(finish="tool_calls"), f"data: {usage}\n\n", DONE
            )
        )
        more: dict[str, Any] = {"tools": [look_up], "tool_choice": "required", "extra_kwargs": {"seed": 7}}
        answer = await ask(Own(server.url), "One.", "Two.", **more)
        assert (answer.text, [c.call_id for c in answer.tool_calls]) == ("Wait.", ["c7"])
        assert answer.usage is not None and answer.usage.completion_tokens == 4
        (body,) = server.bodies
        assert (len(body["messages"]), len(body["tools"]), body["tool_choice"], body["seed"]) == (
            1,
            1,
            "required",
            7,
        )
        assert asked[0].tools[0]["function"]["name"] == "look_up"
        answer = await ask(Own(server.url), "Call.", **more)
        assert [(c.name, c.arguments) for c in answer.tool_calls] == [("look_up", '{"day": "Friday"}')]
        assert answer.extra == {"finish_reason": "length"}

    async def test_one_that_does_not_take_them_is_told_of_once(self, caplog: pytest.LogCaptureFixture) -> None:
        class Own(CustomHTTPLLMAdapter):
            async def _send_messages(self, messages: list[dict[str, Any]]) -> AsyncIterator[str]:
                yield "Yes."

        async with Own("https://llm.example/v1") as adapter:
            for tools in ([], [look_up], [look_up]):
                await adapter.chat(chat_ctx=context(), tools=tools).collect()
        assert caplog.text.count("give it an argument named chat") == 1

    async def test_what_aiohttp_raises_is_tried_again_before_output_and_not_after(self, serve: Serve) -> None:
        class Own(CustomHTTPLLMAdapter):
            async def _send_messages(self, messages: list[dict[str, Any]]) -> AsyncIterator[str]:
                async with self.session.post(self.endpoint_url, json=messages[-1], headers=self.headers) as reply:
                    reply.raise_for_status()
                    async for line in reply.content:
                        yield line.decode()

        server = await serve(status(503), streams("Said once."))
        adapter = Own(server.url, KEY)
        assert (await ask(adapter)).text == "Said once."
        assert adapter.stats.retries == 1
        assert server.headers[1]["authorization"] == f"Bearer {KEY}" and KEY not in repr(adapter.headers)
        error, text = await refusal(Own((await serve(streams("Half\n", cut=True), says("Never."))).url))
        assert (type(error), text) == (APIConnectionError, "Half\n")
        error, _ = await refusal(Own((await serve(status(401))).url, KEY))
        assert isinstance(error, APIStatusError) and error.message.startswith("Own at ")

    async def test_what_is_no_text_is_a_mistake_of_the_override(self) -> None:
        class Number(CustomHTTPLLMAdapter):
            async def _send_messages(self, messages: list[dict[str, Any]]) -> AsyncIterator[str]:
                yield 7  # type: ignore[misc]

        class Nothing(CustomHTTPLLMAdapter):
            async def _send_messages(self, messages: list[dict[str, Any]]) -> None:  # type: ignore[override]
                pass

        for own, message in ((Number, "and gave int"), (Nothing, "and returned NoneType")):
            async with own("https://llm.example/v1") as adapter, adapter.chat(chat_ctx=context()) as stream:
                with pytest.raises(TypeError, match=f"must yield str, {message}"):
                    await stream.__anext__()

    @pytest.mark.parametrize("limit", [{"request_timeout": 0.1}, {"read_timeout": 0.1}], ids=["whole", "pause"])
    async def test_it_has_an_end_when_it_sets_none_itself(self, limit: dict[str, Any]) -> None:
        closed = []

        class Own(CustomHTTPLLMAdapter):
            async def _send_messages(self, messages: list[dict[str, Any]]) -> AsyncIterator[str]:
                try:
                    yield "Half"
                    await asyncio.sleep(30)
                finally:
                    closed.append(asyncio.current_task())

        error, text = await refusal(Own("https://llm.example/v1", **limit))
        assert (type(error), text, len(closed)) == (APITimeoutError, "Half", 1)

    async def test_closing_the_stream_ends_it(self) -> None:
        ended = []

        class Own(CustomHTTPLLMAdapter):
            async def _send_messages(self, messages: list[dict[str, Any]]) -> AsyncIterator[str]:
                try:
                    yield "Half"
                    await asyncio.sleep(30)
                finally:
                    ended.append(messages)

        async with Own("https://llm.example/v1") as adapter:
            stream = adapter.chat(chat_ctx=context())
            await stream.__anext__()
            await stream.aclose()
            assert len(ended) == 1

    async def test_it_opens_no_connection_beforehand(self, serve: Serve) -> None:
        class Own(CustomHTTPLLMAdapter):
            async def _send_messages(self, messages: list[dict[str, Any]]) -> AsyncIterator[str]:
                yield "Yes."

        server = await serve(says("Yes."))
        async with Own(server.url) as adapter:
            adapter.prewarm()
            assert adapter._prewarm_task is not None
            await adapter._prewarm_task
        assert server.methods == []

    def test_a_chat_of_another_shape_is_refused_where_it_is_written(self) -> None:
        with pytest.raises(TypeError, match="override _send_messages"):

            class Own(CustomHTTPLLMAdapter):
                async def chat(self, messages: list[dict[str, Any]]) -> str:  # type: ignore[override]
                    return "Yes."
