"""What answers mean, read from bytes: cut anywhere, in every framing, orderly and not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.providers.llm.endpoint import chat_protocol
from agents.providers.llm.tool_calls import ToolCalls
from agents.providers.protocol import (
    ChatEvent,
    Failure,
    HttpResponse,
    Settings,
    Stopped,
    TextDelta,
    TokenUsage,
    ToolCall,
    Verdict,
)

URL = "https://llm.example/v1/chat/completions"


FIELDS = [
    *("choices", "delta", "message", "content", "tool_calls", "function", "name", "arguments", "id", "index"),
    *(
        "finish_reason",
        "usage",
        "prompt_tokens",
        "prompt_tokens_details",
        "cached_tokens",
        "error",
        "code",
        "type",
    ),
    *("done", "eval_count", "text", "refusal", "extra_content"),
]
"""What answers are made of."""


def read(
    body: bytes | str,
    *,
    step: int | None = None,
    protocol: Any = "auto",
    kind: str = "text/event-stream",
    text_path: str | None = None,
) -> list[ChatEvent]:
    """The events of *body*, fed *step* bytes at a time."""
    data = body.encode() if isinstance(body, str) else body
    head = HttpResponse(200, {"content-type": kind}, b"")
    reader = chat_protocol(protocol, URL, text_path=text_path).reader(head, Settings(URL))
    events: list[ChatEvent] = []
    for at in range(0, len(data), step or max(len(data), 1)):
        events += reader.feed(data[at : at + (step or len(data))])
        if reader.ended:
            break
    return [*events, *reader.finish()]


def text(events: list[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def calls(events: list[ChatEvent]) -> list[tuple[str, str]]:
    return [(event.name, event.arguments) for event in events if isinstance(event, ToolCall)]


def failure(events: list[ChatEvent]) -> Failure:
    assert isinstance(events[-1], Failure), events
    assert not any(isinstance(event, Stopped) for event in events)
    return events[-1]


def chunk(content: Any = None, *, finish: str | None = None, tools: Any = None, **fields: Any) -> str:
    delta = {name: value for name, value in (("content", content), ("tool_calls", tools)) if value is not None}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps({"id": "chatcmpl-1", "choices": [choice], **fields}, ensure_ascii=False)


def sse(*data: str, done: bool = True, end: str = "\n\n") -> str:
    return "".join(f"data: {item}{end}" for item in (*data, *(["[DONE]"] if done else [])))


USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 16},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
WHOLE = sse(
    chunk(""),
    chunk("Grüße "),
    chunk("aus 東京 🍣."),
    chunk(finish="stop"),
    json.dumps({"id": "chatcmpl-1", "choices": [], "usage": USAGE, "service_tier": "default"}),
)
EXPECTED = [
    TextDelta("Grüße aus 東京 🍣."),
    TokenUsage(20, 9, cached=16, reasoning=4, total=29, service_tier="default"),
    Stopped("stop"),
]


def joined(events: list[ChatEvent]) -> list[ChatEvent]:
    return [TextDelta(text(events)), *(event for event in events if not isinstance(event, TextDelta))]


class TestEvents:
    @pytest.mark.parametrize("step", [1, 2, 3, 7, 64, None])
    @pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\r\r", "\n"], ids=["lf", "crlf", "cr", "no-blank-lines"])
    def test_a_stream_reads_the_same_wherever_it_is_cut(self, step: int | None, end: str) -> None:
        assert joined(read(WHOLE.replace("\n\n", end), step=step)) == EXPECTED

    def test_every_single_cut_reads_the_same(self) -> None:
        data = WHOLE.replace("\n\n", "\r\n\r\n").encode()
        for at in range(len(data)):
            head = HttpResponse(200, {}, b"")
            reader = chat_protocol("auto", URL).reader(head, Settings(URL))
            events = [*reader.feed(data[:at]), *reader.feed(data[at:]), *reader.finish()]
            assert joined(events) == EXPECTED, at

    def test_what_is_no_data_is_passed_over(self) -> None:
        body = (
            "\ufeff: OPENROUTER PROCESSING\n\nid: 7\nretry: 10\nfunny: yes\n\n"
            + sse(chunk("Yes."), "", done=False)
            + "event: ping\ndata: {}\n\n:\n\n"
            + sse(chunk(finish="stop"))
            + "data: what comes after the end\n\n"
        )
        assert joined(read(body)) == [TextDelta("Yes."), Stopped("stop")]

    def test_data_over_several_lines_is_one_value(self) -> None:
        lines = json.dumps(json.loads(chunk("Two lines.", finish="stop")), indent=1).splitlines()
        assert text(read("".join(f"data: {line}\n" for line in lines) + "\ndata: [DONE]\n\n")) == "Two lines."

    def test_a_line_without_data_before_it_is_read_when_it_is_an_object(self) -> None:
        assert text(read(f"{chunk('Bare.')}\n\n" + sse(chunk(finish="stop")), protocol="openai")) == "Bare."

    def test_bad_json_fails_and_keeps_what_came_before(self) -> None:
        events = read(sse(chunk("Good. "), '{"choices": [', chunk("Never read.")))
        assert text(events) == "Good. "
        assert failure(events).verdict is Verdict.TRANSIENT
        assert failure(events).message == "the data of an event is no JSON"

    @pytest.mark.parametrize(
        "data", [b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n', b"data: nonsense\n\n"]
    )
    def test_bytes_that_are_no_text_and_text_that_is_no_json_fail(self, data: bytes) -> None:
        assert "no JSON" in failure(read(data)).message

    def test_an_emoji_in_two_halves_is_put_together(self) -> None:
        halves = [chunk("x").replace('"x"', rf'"{half}"') for half in ("A \\ud83c", "\\udf63.", "\\udf63")]
        assert text(read(sse(*halves, chunk(finish="stop")))) == "A 🍣.\ufffd"

    def test_deeply_nested_json_fails(self) -> None:
        assert "no JSON" in failure(read("data: " + '{"a":' * 5000 + "1" + "}" * 5000 + "\n\n")).message
        assert "no JSON" in failure(read('{"a":' * 100_000, kind="application/json")).message


class TestEnds:
    def test_without_done_and_finish_reason_it_is_complete(self) -> None:
        """As for OpenAI's own client."""
        assert joined(read(sse(chunk("All there is."), done=False))) == [TextDelta("All there is."), Stopped()]

    def test_an_event_cut_in_two_is_a_failure(self) -> None:
        events = read(sse(chunk("Half a"), done=False) + 'data: {"choices": [{"delta": {"cont')
        assert (text(events), failure(events).message) == (
            "Half a",
            "the answer breaks off in the middle of an event",
        )

    def test_an_event_without_its_blank_line_counts(self) -> None:
        assert text(read("data: " + chunk("No blank line."))) == "No blank line."

    def test_what_breaks_off_behind_the_finish_reason_is_no_loss(self) -> None:
        events = read(sse(chunk("Done.", finish="stop"), done=False) + 'data: {"choices": [], "usa')
        assert joined(events) == [TextDelta("Done."), Stopped("stop")]

    @pytest.mark.parametrize("body", ["", "\n\n", ": nothing\n\n", "event: ping\n\n"])
    def test_nothing_at_all_is_a_failure(self, body: str) -> None:
        assert failure(read(body)).message == "the answer is empty"

    def test_an_empty_answer_that_says_it_is_complete_is_one(self) -> None:
        assert read(sse(chunk("", finish="stop"))) == [Stopped("stop")]
        assert read("data: [DONE]\n\n") == [Stopped()]

    @pytest.mark.parametrize("reason", ["length", "CONTENT_FILTER", "abort"])
    def test_the_reason_is_told(self, reason: str) -> None:
        assert read(sse(chunk("Cut", finish=reason)))[-1] == Stopped(reason.lower())

    def test_the_last_usage_counts(self) -> None:
        """Some servers repeat it in every chunk."""
        events = read(
            sse(chunk("A", usage={**USAGE, "completion_tokens": 1}), chunk("B", finish="stop", usage=USAGE))
        )
        assert [event.completion for event in events if isinstance(event, TokenUsage)] == [9]


class TestOtherThings:
    @pytest.mark.parametrize("body", ["<!doctype html><p>Log in", "<html>"])
    @pytest.mark.parametrize("kind", ["text/event-stream", "application/json", ""])
    def test_a_web_page_is_told_as_such(self, body: str, kind: str) -> None:
        told = failure(read(body, kind=kind))
        assert "web page" in told.message and told.verdict is Verdict.PERMANENT

    def test_a_content_type_of_html_is_refused_unread(self) -> None:
        with pytest.raises(ValueError, match="web page"):
            read("data: x", kind="text/html")

    def test_plain_text_is_told_as_such(self) -> None:
        told = failure(read("Hello, how may I help you?", kind="text/plain"))
        assert told.message.startswith("expected server-sent events or JSON, got text/plain")
        assert told.verdict is Verdict.PERMANENT

    @pytest.mark.parametrize(
        "body", ['{"answer": "Hello."}', '["a"]', '"a"', 'data: {"answer": 1}\n\ndata: 7\n\n']
    )
    def test_json_without_an_answer_names_text_path(self, body: str) -> None:
        told = failure(read(body))
        assert "text_path" in told.message and told.verdict is Verdict.PERMANENT

    @pytest.mark.parametrize(
        ("error", "verdict"),
        [
            ({"error": {"message": "no such model", "type": "invalid_request_error"}}, Verdict.PERMANENT),
            ({"error": {"message": "overloaded", "code": 502}}, Verdict.TRANSIENT),
            ({"error": {"message": "slow down", "code": "429"}}, Verdict.TRANSIENT),
            ({"error": {"message": "no money", "code": "insufficient_quota"}}, Verdict.PERMANENT),
            ({"error": {"message": "no", "code": 401}}, Verdict.PERMANENT),
            ({"error": "model runner has unexpectedly stopped"}, Verdict.TRANSIENT),
            (
                {"object": "error", "message": "too long", "type": "BadRequestError", "code": 400},
                Verdict.PERMANENT,
            ),
            ({"error": {"metadata": 1}}, Verdict.TRANSIENT),
        ],
    )
    def test_an_error_in_the_place_of_the_answer(self, error: dict[str, Any], verdict: Verdict) -> None:
        for body in (
            json.dumps(error),
            json.dumps(error, indent=2),
            json.dumps([error], indent=2),
            sse(chunk("Half"), json.dumps(error)),
        ):
            told = failure(read(body))
            assert told.message.startswith("the answer reports an error")
            assert told.verdict is verdict

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
    def test_numbers_that_are_none_spoil_nothing(self, number: str) -> None:
        """Servers in Python write them, into logprobs for one, and OpenAI's client reads them."""
        choice = f'{{"delta": {{"content": "Yes."}}, "logprobs": [{number}]}}'
        answer = f'{{"choices": [{choice}], "usage": {{"x": {number}}}}}'
        assert text(read(sse(answer))) == "Yes."
        assert text(read(answer, protocol="json", kind="application/json")) == "Yes."

    def test_an_event_called_error_is_one_whatever_its_data(self) -> None:
        for data in ('{"message": "gone"}', "gone", '"gone"'):
            assert failure(read(f"event: error\ndata: {data}\n\n")).message.endswith("an error (gone)")

    def test_a_finish_reason_of_error_is_one(self) -> None:
        assert "failed in the middle" in failure(read(sse(chunk("Half", finish="error")))).message

    @pytest.mark.parametrize(
        "value",
        [
            {"choices": [None, 7, {"index": 1, "delta": {"content": "another"}}, {"delta": None}, {"delta": "x"}]},
            {"choices": [{"delta": {"content": {"text": 1}, "tool_calls": {"x": 1}}, "finish_reason": 3}]},
            {"choices": [{"delta": {"content": 7, "tool_calls": [None, 1, {"function": 3}]}}], "usage": "many"},
            {"choices": [], "usage": {"prompt_tokens": "many", "completion_tokens": -1, "total_tokens": 1e99}},
            {"choices": [], "usage": {"prompt_tokens_details": [], "completion_tokens_details": 1}, "id": 5},
            {"message": {"content": None, "tool_calls": 1}, "done": "yes"},
        ],
    )
    def test_absurd_types_are_nothing(self, value: dict[str, Any]) -> None:
        body = f"data: {json.dumps(value)}\n\n{sse(chunk('Fine.', finish='stop'))}"
        events = read(body)
        assert (text(events), events[-1]) == ("Fine.", Stopped("stop"))

    def test_content_in_parts_is_joined_and_thoughts_among_them_are_not(self) -> None:
        """Mistral's."""
        parts = [{"type": "thinking", "thinking": [{"text": "hm"}]}, {"type": "text", "text": "So"}, " be it."]
        assert text(read(sse(chunk(parts, finish="stop")))) == "So be it."

    def test_a_refusal_is_what_there_is_to_say(self) -> None:
        body = json.dumps({"choices": [{"delta": {"refusal": "I cannot."}, "finish_reason": "stop"}]})
        assert text(read(sse(body))) == "I cannot."

    @given(st.binary(max_size=200), st.sampled_from(["auto", "openai", "json-lines", "json"]))
    @settings(max_examples=100, deadline=None, database=None)
    def test_garbage_is_a_failure_or_an_empty_end_and_never_an_exception(self, data: bytes, protocol: str) -> None:
        for body in (data, b"data: " + data, b'{"choices": [' + data):
            assert isinstance(read(body, step=17, protocol=protocol)[-1], (Failure, Stopped))

    @given(st.data())
    @settings(max_examples=25, deadline=None, database=None)
    def test_no_json_is_absurd_enough_for_an_exception(self, data: st.DataObject) -> None:
        leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
        names = st.sampled_from(FIELDS)
        value = st.recursive(leaf, lambda v: st.lists(v, max_size=3) | st.dictionaries(names, v, max_size=4))
        chunks = [json.dumps(v) for v in data.draw(st.lists(value, max_size=4))]
        tool = {"choices": [{"delta": {"tool_calls": [data.draw(value)]}, "finish_reason": data.draw(value)}]}
        for body in (sse(*chunks), "\n".join(chunks), sse(json.dumps(tool))):
            events = read(body, text_path=data.draw(st.sampled_from([None, "content", "choices[0].delta"])))
            assert isinstance(events[-1], (Failure, Stopped))
            assert all(isinstance(event.arguments, str) for event in events if isinstance(event, ToolCall))


LINES = [
    {"model": "m", "message": {"role": "assistant", "content": "", "thinking": "hm"}, "done": False},
    {"model": "m", "message": {"role": "assistant", "content": "Grüße "}, "done": False},
    {"model": "m", "message": {"role": "assistant", "content": "🍣."}, "done": False},
    {
        "model": "m",
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 26,
        "eval_count": 7,
    },
]


def lines(*values: Any) -> str:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


class TestJson:
    @pytest.mark.parametrize("protocol", ["auto", "json-lines"])
    @pytest.mark.parametrize("step", [1, 5, None])
    def test_lines_of_json(self, protocol: str, step: int | None) -> None:
        events = read(lines(*LINES), protocol=protocol, kind="application/x-ndjson", step=step)
        assert joined(events) == [TextDelta("Grüße 🍣."), TokenUsage(26, 7, total=33), Stopped("stop")]

    def test_blank_lines_and_crlf_between_them(self) -> None:
        assert text(read("\r\n" + lines(*LINES).replace("\n", "\r\n\r\n"))) == "Grüße 🍣."

    def test_a_line_that_is_no_json(self) -> None:
        events = read(lines(LINES[1]) + "nonsense\n" + lines(LINES[3]))
        assert (text(events), failure(events).message) == ("Grüße ", "a line is no JSON")

    def test_a_line_cut_in_two(self) -> None:
        events = read(lines(*LINES[:2]) + '{"message": {"cont')
        assert (text(events), "breaks off" in failure(events).message) == ("Grüße ", True)

    def test_tool_calls_come_whole_with_arguments_as_objects(self) -> None:
        called = [{"function": {"name": n, "arguments": {"n": i}}} for i, n in enumerate("abb")]
        message = {"message": {"content": "", "tool_calls": called}, "done": False}
        events = read(lines(message, LINES[3]))
        assert calls(events) == [("a", '{"n":0}'), ("b", '{"n":1}'), ("b", '{"n":2}')]
        assert len({event.call_id for event in events if isinstance(event, ToolCall)}) == 3

    def test_an_error_among_the_lines(self) -> None:
        assert "(out of memory)" in failure(read(lines(LINES[1], {"error": "out of memory"}))).message

    @pytest.mark.parametrize("indent", [None, 2])
    @pytest.mark.parametrize("protocol", ["auto", "json"])
    @pytest.mark.parametrize("step", [1, None])
    def test_one_body(self, protocol: str, indent: int | None, step: int | None) -> None:
        call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        message = {"role": "assistant", "content": "Wait.", "tool_calls": [call]}
        body = {"id": "x", "choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": USAGE}
        events = read(json.dumps(body, indent=indent), protocol=protocol, kind="application/json", step=step)
        assert (text(events), calls(events), events[-1]) == ("Wait.", [("look", "{}")], Stopped("tool_calls"))

    def test_a_body_broken_off(self) -> None:
        for protocol in ("auto", "json"):
            told = failure(read('{\n "choices": [\n {"mess', protocol=protocol, kind="application/json"))
            assert "breaks off" in told.message and told.verdict is Verdict.TRANSIENT

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ('{"choices": [{"text": "Mine."}]}', "choices[0].text"),
            ('{"output": {"parts": ["Mi", "ne."]}}', "join('', output.parts)"),
            ('"Mine."', "@"),
            ('{"t": "Mi"}\n{"t": "ne."}\n{"end": true}\n', "t"),
            ('data: {"t": "Mi"}\n\ndata: {"t": "ne."}\n\n', "t"),
        ],
    )
    def test_the_text_at_a_path_of_ones_own(self, body: str, path: str) -> None:
        assert joined(read(body, text_path=path)) == [TextDelta("Mine."), Stopped()]

    @pytest.mark.parametrize("body", ['{"t": 7}', '{"t": {"a": 1}}', "{}"])
    def test_no_text_at_that_path(self, body: str) -> None:
        assert "text_path" in failure(read(body, text_path="t")).message


def piece(index: Any = None, call_id: str | None = None, name: str | None = None, arguments: Any = None) -> Any:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    fields = {"index": index, "id": call_id, "function": function}
    return {key: value for key, value in fields.items() if value is not None}


TWO_CALLS = {
    "as OpenAI sends them": [
        piece(0, "c1", "look", ""),
        piece(0, None, None, '{"day": '),
        piece(0, None, None, '"Friday"}'),
        piece(1, "c2", "book", ""),
        piece(1, None, None, "{}"),
    ],
    "mixed, by index": [
        piece(0, "c1", "look", '{"day": '),
        piece(1, "c2", "book", "{"),
        piece(0, None, None, '"Friday"}'),
        piece(1, None, None, "}"),
    ],
    "whole, with one index for all": [
        piece(0, "c1", "look", '{"day": "Friday"}'),
        piece(0, "c2", "book", "{}"),
    ],
    "whole, with one index and no ids": [piece(0, "", "look", '{"day": "Friday"}'), piece(0, "", "book", "{}")],
    "whole, without index": [piece(None, "c1", "look", '{"day": "Friday"}'), piece(None, "c2", "book", "{}")],
    "without index and id": [
        piece(None, None, "look", '{"day": '),
        piece(None, None, None, '"Friday"}'),
        piece(None, None, "book", "{}"),
    ],
    "another id with every piece": [
        piece(None, "c1", "look", ""),
        piece(None, "x1", None, '{"day": "Fri'),
        piece(None, "x2", None, 'day"}'),
        piece(None, "c2", "book", "{}"),
    ],
    "the name with every piece": [
        piece(0, "c1", "look", '{"day": '),
        piece(0, "c1", "look", '"Friday"}'),
        piece(1, None, "book", "{"),
        piece(1, None, "book", "}"),
    ],
    "a name in parts": [
        piece(0, "c1", "lo", None),
        piece(0, None, "ok", None),
        piece(0, None, None, '{"day": "Friday"}'),
        piece(1, "c2", "book", None),
    ],
    "arguments as objects": [piece(0, "c1", "look", {"day": "Friday"}), piece(1, "c2", "book", {})],
}


class TestToolCalls:
    @pytest.mark.parametrize("pieces", TWO_CALLS.values(), ids=TWO_CALLS)
    @pytest.mark.parametrize("together", [False, True], ids=["one-by-one", "in-one-chunk"])
    def test_two_calls_in_any_order_and_shape(self, pieces: list[Any], together: bool) -> None:
        chunks = [chunk(tools=pieces)] if together else [chunk(tools=[one]) for one in pieces]
        events = read(sse(*chunks, chunk(finish="tool_calls")))
        assert [(name, json.loads(arguments)) for name, arguments in calls(events)] == [
            ("look", {"day": "Friday"}),
            ("book", {}),
        ]
        ids = [event.call_id for event in events if isinstance(event, ToolCall)]
        assert all(ids) and len(set(ids)) == 2
        assert events[-1] == Stopped("tool_calls")

    def test_two_calls_of_one_tool_are_two(self) -> None:
        pieces = [piece(0, None, "look", '{"n": 1}'), piece(0, None, "look", '{"n": 2}')]
        assert [a for _, a in calls(read(sse(chunk(tools=pieces, finish="stop"))))] == ['{"n": 1}', '{"n": 2}']

    def test_calls_are_out_at_the_finish_reason(self) -> None:
        reader = chat_protocol("auto", URL).reader(HttpResponse(200, {}, b""), Settings(URL))
        assert reader.feed(sse(chunk(tools=[piece(0, "c", "look", "{}")]), done=False).encode()) == []
        (call,) = reader.feed(sse(chunk(finish="tool_calls"), done=False).encode())
        assert isinstance(call, ToolCall) and reader.settled and not reader.ended

    def test_thought_signatures_come_along(self) -> None:
        """Google wants them back with the call."""
        extra = {"google": {"thought_signature": "abc"}}
        events = read(sse(chunk(tools=[{**piece(0, "c", "look", "{}"), "extra_content": extra}], finish="stop")))
        assert isinstance(events[0], ToolCall) and events[0].extra == extra

    def test_broken_arguments_of_a_complete_answer_are_passed_on(self) -> None:
        """LiveKit repairs them, or tells the model."""
        events = read(sse(chunk(tools=[piece(0, "c", "look", '{"day": Friday')], finish="tool_calls")))
        assert calls(events) == [("look", '{"day": Friday')]

    def test_a_call_cut_in_two_by_the_limit_of_tokens_never_runs(self) -> None:
        pieces = [piece(0, "c1", "look", "{}"), piece(1, "c2", "book", '{"party": 1')]
        told = failure(read(sse(chunk(tools=pieces), chunk(finish="length"))))
        assert "limit of tokens" in told.message and told.verdict is Verdict.PERMANENT

    @pytest.mark.parametrize("reason", ["content_filter", "model_length", "abort"])
    def test_a_call_cut_in_two_for_any_other_reason_never_runs(self, reason: str) -> None:
        """LiveKit would repair the arguments, and run it."""
        pieces = [piece(0, "c1", "look", "{}"), piece(1, "c2", "book", '{"party": 1')]
        events = read(sse(chunk(tools=pieces), chunk(finish=reason)))
        assert f"({reason})" in failure(events).message and not calls(events)
        whole = read(sse(chunk(tools=pieces[:1]), chunk(finish=reason)))
        assert calls(whole) == [("look", "{}")]

    @pytest.mark.parametrize("reason", ["tool_calls", "stop", "tool_use", "eos_token"])
    def test_broken_arguments_are_the_models_own_where_it_ended_by_itself(self, reason: str) -> None:
        events = read(sse(chunk(tools=[piece(0, "c", "look", "{day")]), chunk(finish=reason)))
        assert calls(events) == [("look", "{day")]

    @pytest.mark.parametrize("arguments", ["", '{"party": 1'])
    def test_a_call_cut_in_two_by_the_end_never_runs(self, arguments: str) -> None:
        events = read(sse(chunk(tools=[piece(0, "c1", "book", arguments)]), done=False))
        assert "in the middle of a tool call" in failure(events).message and not calls(events)

    def test_a_whole_call_without_a_finish_reason_runs(self) -> None:
        assert calls(read(sse(chunk(tools=[piece(0, "c1", "book", "{}")]), done=False))) == [("book", "{}")]

    def test_a_call_of_nothing_is_a_failure(self) -> None:
        assert "which tool" in failure(read(sse(chunk(tools=[piece(0, "c", None, "{}")], finish="stop")))).message

    @pytest.mark.parametrize("depth", [65, 900, 100_000])
    @pytest.mark.parametrize("closed", [True, False])
    def test_arguments_nested_beyond_reason_are_replaced(self, depth: int, closed: bool) -> None:
        """LiveKit's parser raises RecursionError on them, which the session does not survive."""
        found = ToolCalls()
        found.add(piece(0, "c", "look", '{"a":' * depth + ("1" + "}" * depth if closed else "")))
        (call,) = found.take()
        assert json.loads(call.arguments) == "the arguments are nested too deeply"

    def test_long_arguments_in_small_pieces_take_no_time(self) -> None:
        found = ToolCalls()
        for _ in range(50_000):
            found.add(piece(0, None, "look", "1}"[:1]))
        assert len(found.take()[0].arguments) == 50_000

    def test_many_arguments_are_not_deep_ones(self) -> None:
        arguments = json.dumps({"rows": [{"text": '{"[' * 3} for _ in range(200)]})
        found = ToolCalls()
        found.add(piece(0, "c", "look", arguments))
        assert found.take()[0].arguments == arguments
