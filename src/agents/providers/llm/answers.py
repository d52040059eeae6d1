"""What the JSON of an answer means, in OpenAI's shape, in Ollama's, or with the text at a path of one's own.

OpenAI: https://platform.openai.com/docs/api-reference/chat/streaming (a whole body has ``message`` for ``delta``).
Ollama: https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-chat-completion
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..profiles.paths import Getter
from ..protocol import (
    ChatEvent,
    ChatReader,
    Failure,
    ProtocolError,
    Stopped,
    TextDelta,
    TokenUsage,
    Verdict,
    judge_status,
)
from .framing import Frames, Malformed
from .tool_calls import ToolCalls

__all__ = ["AnswerReader", "reported_failure"]

_BLANK = b"\xef\xbb\xbf \t\r\n"  # a byte order mark, and space before the first value

# What the words of an error's type or code have in common when asking again cannot help.
_HOPELESS = (
    "invalid",
    "bad_request",
    "badrequest",
    "authentication",
    "permission",
    "forbidden",
    "not_found",
    "notfound",
    "unsupported",
    "insufficient_quota",
    "billing",
    "context_length",
    "content_policy",
    "content_filter",
)


_ENDED_BY_ITSELF = frozenset(
    {"stop", "tool_calls", "function_call", "tool_use", "end_turn", "stop_sequence", "eos", "eos_token"}
)
"""Finish reasons of OpenAI, Anthropic and TGI for an answer that is all the model had to say."""


class AnswerReader(ChatReader):
    """Reads the body of one answer.

    An end without ``[DONE]`` and without a finish reason counts as complete, as in OpenAI's own client, since
    many servers send neither; ``settled`` stays false then. It does not where the end cuts a JSON value, an
    event or a tool call in two, and where nothing came at all.

    Args:
        frames: makes the framing, from the first bytes of the body.
        text: finds the text in a value; ``None``: where OpenAI and Ollama have it.
        kind: the content type, for messages.
        whole: the answer is not streamed, so its first value is all of it.
    """

    def __init__(
        self, frames: Callable[[bytes], Frames], *, text: Getter | None, kind: str, whole: bool = False
    ) -> None:
        self._make_frames = frames
        self._frames: Frames | None = None
        self._text_at = text
        self._kind = kind or "no content type"
        self._whole = whole
        self._calls = ToolCalls()
        self._usage: TokenUsage | None = None
        self._reason = ""
        self._understood = False
        self._values = 0
        self._over = False
        self._half = ""  # the first half of a surrogate pair

    def feed(self, data: bytes) -> list[ChatEvent]:
        if self._over:
            return []
        events: list[ChatEvent] = []
        try:
            if self._frames is None:
                data = data.lstrip(_BLANK)
                if not data:
                    return events
                self._frames = self._make_frames(data)
            for value in self._frames.feed(data):
                events += self._take(value)
                if self._over:
                    return events
            self.ended = self.ended or self._frames.ended
        except Malformed as error:
            if not self.settled:
                return [*events, self._broken(error)]
            self.ended = True  # what is broken behind the answer is of no use to anybody, and no loss
        if self.ended or self.settled:
            events += self._finished_calls()
        return events

    def finish(self) -> list[ChatEvent]:
        if self._over:
            return []
        events: list[ChatEvent] = []
        try:
            for value in self._frames.finish() if self._frames is not None else ():
                events += self._take(value)
                if self._over:
                    return events
        except Malformed as error:
            if not self.settled:
                return [*events, self._broken(error)]
        self._over = True
        events += self._conclusion()
        if self._text_at is not None:
            self.settled = True  # where only the place of the text is known, nothing can be missed at the end
        return events

    def _conclusion(self) -> Iterator[ChatEvent]:
        if not self._understood and not self.ended:
            yield self._nothing_understood()
            return
        if self._is_cut and not self._calls.whole():
            yield self._cut_call()
            return
        if not self._calls.named():
            yield _failure("a tool call does not say which tool")
            return
        yield from self._calls.take()
        if self._usage is not None:
            yield self._usage
        yield Stopped(self._reason)

    def _finished_calls(self) -> list[ChatEvent]:
        """The tool calls, as soon as no more of them can come and nothing is wrong with them."""
        if self._over or not self._calls or not self._calls.named():
            return []
        if self._is_cut and not self._calls.whole():
            return []
        return list(self._calls.take())

    @property
    def _is_cut(self) -> bool:
        """Whether something else than the model may have ended the answer."""
        return self._reason not in _ENDED_BY_ITSELF if self._reason else not (self.settled or self.ended)

    def _cut_call(self) -> Failure:
        if self._reason == "length":
            return _failure("the limit of tokens cuts a tool call in two: raise it", Verdict.PERMANENT)
        if not self._reason:
            return _failure("the answer breaks off in the middle of a tool call")
        verdict = Verdict.PERMANENT if self._reason == "content_filter" else Verdict.TRANSIENT
        return _failure(f"the answer ends ({self._reason[:40]}) in the middle of a tool call", verdict)

    def _nothing_understood(self) -> Failure:
        if self._frames is None or (not self._values and self._frames.plausible):
            return _failure("the answer is empty")
        if not self._values:
            return _failure(
                f"expected server-sent events or JSON, got {self._kind}; check the URL, or override "
                "_send_messages for a format of your own",
                Verdict.PERMANENT,
            )
        where = "at text_path" if self._text_at else "where OpenAI and Ollama have it"
        return _failure(
            f"the answer is JSON without a text {where}: check the URL, or say where it is with text_path",
            Verdict.PERMANENT,
        )

    def _take(self, value: Any) -> Iterator[ChatEvent]:
        self._values += 1
        message = value if isinstance(value, dict) else {}
        failure = reported_failure(_only(value))
        if failure is not None and self.settled:
            self.ended = True
            return
        if failure is not None:
            self._over = True
            yield failure
            return
        if self._text_at is not None:
            yield from self._text_of(value)
        if isinstance(message.get("id"), str):
            self.answer_id = self.answer_id or message["id"]
        if isinstance(message.get("choices"), list):
            yield from self._completion(message)
        elif isinstance(message.get("message"), dict):
            yield from self._chat_line(message)
        if self._reason == "error":
            self._over = True
            yield _failure("the model failed in the middle of the answer")
        elif self._whole and self._understood:
            self.settled = self.ended = True

    def _text_of(self, value: Any) -> Iterator[ChatEvent]:
        assert self._text_at is not None
        try:
            text = self._text_at(value)
        except ProtocolError as error:
            raise Malformed(f"text_path does not fit the answer: {error}", permanent=True) from None
        if text is None:
            return
        if not isinstance(text, str):
            raise Malformed(f"a text was expected at text_path, not {type(text).__name__}", permanent=True)
        self._understood = True
        yield from self._said(text)

    def _completion(self, message: dict[str, Any]) -> Iterator[ChatEvent]:
        """A chunk of OpenAI's stream, or its whole answer. Of several alternatives the first counts."""
        self._understood = True
        usage = message.get("usage")
        if isinstance(usage, dict):
            self._usage = _openai_usage(usage, message.get("service_tier"))
        for choice in message["choices"]:
            if isinstance(choice, dict) and not choice.get("index"):
                yield from self._choice(choice)

    def _choice(self, choice: dict[str, Any]) -> Iterator[ChatEvent]:
        part = choice.get("delta") or choice.get("message")
        if isinstance(part, dict):
            extra = part.get("extra_content")
            if self._text_at is None:
                # a refusal stands instead of the content, and is all there is to say
                text = _flat(part.get("content")) or _flat(part.get("refusal"))
                yield from self._said(text, extra if isinstance(extra, dict) else None)
            self._add_calls(part)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._reason = reason.lower()
            self.settled = True

    def _chat_line(self, line: dict[str, Any]) -> Iterator[ChatEvent]:
        """A line of Ollama's stream, or its whole answer."""
        self._understood = True
        part = line["message"]
        if self._text_at is None:
            yield from self._said(_flat(part.get("content")))
        self._add_calls(part)
        if line.get("done") is True:
            reason = line.get("done_reason")
            self._reason = reason.lower() if isinstance(reason, str) else ""
            self._usage = _ollama_usage(line)
            self.settled = self.ended = True

    def _add_calls(self, part: dict[str, Any]) -> None:
        calls = part.get("tool_calls")
        for piece in calls if isinstance(calls, list) else ():
            self._calls.add(piece)

    def _said(self, text: str, extra: dict[str, Any] | None = None) -> Iterator[ChatEvent]:
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        if not text.isascii():
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        if text or extra:
            yield TextDelta(text, extra)

    def _broken(self, error: Malformed) -> Failure:
        self._over = True
        return _failure(str(error), Verdict.PERMANENT if error.permanent else Verdict.TRANSIENT)


def _only(value: Any) -> dict[str, Any]:
    """The object that *value* is, or that is alone in it, as Google's errors are in the answer to a stream."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, dict) else {}


def reported_failure(message: dict[str, Any]) -> Failure | None:
    """The failure that *message* reports, in the place of an answer or in the middle of one."""
    error = message.get("error") or (message if message.get("object") == "error" else None)  # vLLM has the latter
    if not error:
        return None
    fields = error if isinstance(error, dict) else {}
    text = error if isinstance(error, str) else fields.get("message") or fields.get("detail") or ""
    reason = f" ({text[:300]})" if isinstance(text, str) and text else ""
    code = fields.get("code") or fields.get("status") or fields.get("status_code") or message.get("code")
    status = int(str(code)) if len(str(code)) == 3 and str(code).isdecimal() else 0
    words = f"{fields.get('type')} {code}".lower()
    verdict = Verdict.TRANSIENT
    if any(word in words for word in _HOPELESS) or (400 <= status < 600 and judge_status(status) != verdict):
        verdict = Verdict.PERMANENT
    return _failure(f"the answer reports an error{reason}", verdict)


def _failure(message: str, verdict: Verdict = Verdict.TRANSIENT) -> Failure:
    return Failure(message, verdict, detail={"malformed": True})


def _flat(content: Any) -> str:
    """The text of a ``content``: a text, or a list of parts, of which Mistral has some that are no text."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    texts = (part.get("text") if isinstance(part, dict) else part for part in parts)
    return "".join(text for text in texts if isinstance(text, str))


def _openai_usage(usage: dict[str, Any], service_tier: Any) -> TokenUsage:
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    before, after = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return TokenUsage(
        prompt=prompt,
        completion=completion,
        cached=_count(before, "cached_tokens") or _count(usage, "prompt_cache_hit_tokens"),  # the latter: DeepSeek
        cache_creation=_count(before, "cache_write_tokens"),
        reasoning=_count(after, "reasoning_tokens"),
        total=_count(usage, "total_tokens") or prompt + completion,
        service_tier=service_tier if isinstance(service_tier, str) else None,
    )


def _ollama_usage(line: dict[str, Any]) -> TokenUsage | None:
    prompt, completion = _count(line, "prompt_eval_count"), _count(line, "eval_count")
    return TokenUsage(prompt, completion, total=prompt + completion) if prompt or completion else None


def _count(fields: Any, name: str) -> int:
    value = fields.get(name) if isinstance(fields, dict) else None
    return int(value) if isinstance(value, (int, float)) and 0 <= value < 1e12 else 0
