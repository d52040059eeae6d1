"""One Realtime session of OpenAI's, for transcription: commits, items, and transcripts in their order.

Audio that is committed, by the server at the end of speech or by the client, becomes an item. Transcripts come
item by item, in deltas and then whole, and not always in the order of the items. Source: openai 3.54.0
(``types/realtime``).
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ..profiles.units import number
from ..protocol import (
    Conversation,
    Event,
    Failure,
    Final,
    Finished,
    Flushed,
    Partial,
    ProtocolError,
    Ready,
    Settings,
    SpeechEnded,
    SpeechStarted,
    Usage,
    Verdict,
    WireMessage,
    decode_json,
)

__all__ = ["RealtimeConversation"]

_MIN_COMMIT_SECONDS = 0.1
_EMPTY = "input_audio_buffer_commit_empty"

_VERDICTS: Mapping[str, Verdict] = {
    "session_expired": Verdict.RECYCLE,
    "rate_limit_exceeded": Verdict.TRANSIENT,
    "server_error": Verdict.TRANSIENT,
    "invalid_request_error": Verdict.PERMANENT,
    "authentication_error": Verdict.PERMANENT,
    "insufficient_quota": Verdict.PERMANENT,
    "invalid_api_key": Verdict.PERMANENT,
    "model_not_found": Verdict.PERMANENT,
}
"""By the error's code, else by its type; what is in neither may pass."""


@dataclass
class _Item:
    """A stretch of audio and its text. Times are seconds on the connection."""

    text: str = ""
    done: bool = False
    start: float | None = None
    end: float | None = None
    stopped: bool = False  # by the server, at the end of speech
    committed: bool = False
    language: str | None = None
    answers: int = 0  # how many flushes are answered by it
    finishes: bool = False  # and whether the closing one is


@dataclass
class _Commit:
    """One of our own commits that has not been answered."""

    event_id: str
    begin: float | None  # of its audio, seconds on the connection; None where the server may have taken some
    end: float
    closes: bool
    answers: int = 1


class RealtimeConversation(Conversation):
    """A connection's talk. *write* says what settings are as the vendor's session; it is a pure function."""

    def __init__(self, settings: Settings, write: Callable[[Settings], dict[str, Any]]) -> None:
        self._settings = settings
        self._write = write
        self._session = write(settings)
        self._sent = 0.0
        self._uncommitted = 0.0
        self._count = 0
        self._committed_until = 0.0
        self._commits: deque[_Commit] = deque()
        self._items: dict[str, _Item] = {}  # in order

    # ------------------------------------------------------------------ out

    @property
    def _vad(self) -> bool:
        """Whether the server finds the ends of speech, and commits there."""
        return bool(self._session["audio"]["input"].get("turn_detection"))

    def opening(self) -> Sequence[WireMessage]:
        return [_message("session.update", session=self._session)]

    def update(self, settings: Settings) -> Sequence[WireMessage] | None:
        """In band, unless something is taken back: what a session is not told stays as it was."""
        session = self._write(settings)
        kept = _holds_all_of(session, self._session)
        same_place = (settings.url, settings.headers, settings.sample_rate, settings.model) == (
            self._settings.url,
            self._settings.headers,
            self._settings.sample_rate,
            self._settings.model,
        )
        if not kept or not same_place:
            return None
        changed, self._session, self._settings = session != self._session, session, settings
        return self.opening() if changed else []

    def audio(self, chunk: bytes | bytearray | memoryview) -> Sequence[WireMessage]:
        seconds = len(chunk) * 0.5 / self._settings.sample_rate
        self._sent += seconds
        self._uncommitted += seconds
        return [_message("input_audio_buffer.append", audio=base64.b64encode(chunk).decode())]

    def flush(self) -> Sequence[WireMessage]:
        return self._commit(closes=False)

    def close(self) -> Sequence[WireMessage]:
        return self._commit(closes=True)

    def _commit(self, *, closes: bool) -> Sequence[WireMessage]:
        self._count += 1
        event_id = f"commit_{self._count}"
        begin = None if self._vad else self._sent - self._uncommitted
        self._commits.append(_Commit(event_id, begin, self._sent, closes))
        messages = []
        missing = _MIN_COMMIT_SECONDS - self._uncommitted
        if not self._vad and self._uncommitted > 0 and missing > 0:
            # no times come back from models without turn detection, so the silence shifts none
            silence = bytes(2 * (round(missing * self._settings.sample_rate) + 1))
            messages.append(_message("input_audio_buffer.append", audio=base64.b64encode(silence).decode()))
        self._uncommitted = 0.0
        return [*messages, _message("input_audio_buffer.commit", event_id=event_id)]

    # ------------------------------------------------------------------ in

    def receive(self, message: str | bytes) -> Sequence[Event]:
        try:
            event = decode_json(message)
        except ValueError as error:
            raise ProtocolError("not JSON") from error
        kind = event.get("type") if isinstance(event, dict) else None
        if not isinstance(kind, str):
            raise ProtocolError("no 'type' that says what kind of event it is")
        if kind == "error":
            return self._error(_mapping(event.get("error")))
        if kind == "session.created":
            return [Ready(_text(_mapping(event.get("session")).get("id")))]
        read = _READERS.get(kind)
        if read is None:
            return []
        item_id = event.get("item_id")
        if not isinstance(item_id, str):
            raise ProtocolError(f"{kind} without item_id")
        result: Sequence[Event] = read(self, item_id, event)
        return result

    def _speech_started(self, item_id: str, event: Mapping[str, Any]) -> Sequence[Event]:
        at = _seconds(event.get("audio_start_ms"))
        self._item(item_id).start = at
        return [SpeechStarted(at)]

    def _speech_stopped(self, item_id: str, event: Mapping[str, Any]) -> Sequence[Event]:
        item = self._item(item_id)
        item.stopped = True
        item.end = _seconds(event.get("audio_end_ms"))
        return [SpeechEnded(item.end)]

    def _committed(self, item_id: str, event: Mapping[str, Any]) -> Sequence[Event]:
        item = self._item(item_id)
        self._put_after(item_id, event.get("previous_item_id"))
        item.committed = True
        if not item.stopped and self._commits:
            commit = self._commits.popleft()
            if item.start is None:  # the commit overtook the server's discovery of speech
                item.start = self._committed_until if commit.begin is None else commit.begin
            item.end = commit.end
            item.answers += commit.answers
            item.finishes = item.finishes or commit.closes
        self._committed_until = max(self._committed_until, item.end or 0.0)
        return self._release()

    def _delta(self, item_id: str, event: Mapping[str, Any]) -> Sequence[Event]:
        delta = event.get("delta")
        if not isinstance(delta, str):
            raise ProtocolError("a delta without text")
        item = self._item(item_id)
        item.text += delta
        text = " ".join(i.text.strip() for i in self._items.values() if i.text.strip())
        first = next(iter(self._items.values()))
        return [Partial(text, first.start)] if text else []

    def _completed(self, item_id: str, event: Mapping[str, Any]) -> Sequence[Event]:
        text = event.get("transcript")
        if not isinstance(text, str):
            raise ProtocolError("a completed transcript without text")
        item = self._item(item_id)
        item.text, item.done = text, True
        languages = event.get("languages")
        if isinstance(languages, list) and languages:
            item.language = _text(_mapping(languages[0]).get("code")) or None
        return [*self._release(), *_usage(_mapping(event.get("usage")))]

    def _failed(self, item_id: str, event: Mapping[str, Any]) -> Sequence[Event]:
        """The audio is sent again over a new connection."""
        error = _mapping(event.get("error"))
        return [
            Failure(_text(error.get("message")) or "a transcription failed", _verdict(error, Verdict.TRANSIENT))
        ]

    def _error(self, error: Mapping[str, Any]) -> Sequence[Event]:
        if error.get("code") == _EMPTY:
            return self._nothing_to_commit(error.get("event_id"))
        detail = {"code": error["code"]} if isinstance(error.get("code"), str) else {}
        return [Failure(_text(error.get("message")), _verdict(error, Verdict.TRANSIENT), detail=detail)]

    def _nothing_to_commit(self, event_id: Any) -> Sequence[Event]:
        """The server had committed already: what answers that, answers this."""
        found = [commit for commit in self._commits if commit.event_id == event_id] or list(self._commits)[:1]
        if not found:
            return []
        commit = found[0]
        index = self._commits.index(commit)
        del self._commits[index]
        if index:
            before = self._commits[index - 1]
            before.answers += commit.answers
            before.closes = before.closes or commit.closes
            return []
        pending = [item for item in self._items.values() if item.committed or item.stopped]
        if pending:
            pending[-1].answers += commit.answers
            pending[-1].finishes = pending[-1].finishes or commit.closes
            return []
        return [*[Flushed() for _ in range(commit.answers)], *([Finished()] if commit.closes else [])]

    # ------------------------------------------------------------------ items

    def _item(self, item_id: str) -> _Item:
        return self._items.setdefault(item_id, _Item())

    def _put_after(self, item_id: str, previous: Any) -> None:
        """Order is that of the items before each other; the one before may be gone already."""
        order = [name for name in self._items if name != item_id]
        if previous in order:
            order.insert(order.index(previous) + 1, item_id)
        else:  # committed ones come before those that are still spoken
            committed = [name for name in order if self._items[name].committed]
            order.insert(len(committed), item_id)
        self._items = {name: self._items[name] for name in order}

    def _release(self) -> list[Event]:
        """Finals of all items that are done and have nothing undone before them."""
        events: list[Event] = []
        for item_id, item in list(self._items.items()):
            if not (item.done and item.committed):
                break
            del self._items[item_id]
            text = item.text.strip()
            events.append(
                Final(
                    text,
                    item.start,
                    item.end,
                    item.language,
                    request_id=item_id,
                    segment_id=item_id,
                    ends_utterance=bool(text),
                )
            )
            if not text:
                events.append(SpeechEnded(item.end))
            events += [Flushed() for _ in range(item.answers)]
            if item.finishes:
                events.append(Finished())
        return events


_READERS = {
    "input_audio_buffer.speech_started": RealtimeConversation._speech_started,
    "input_audio_buffer.speech_stopped": RealtimeConversation._speech_stopped,
    "input_audio_buffer.committed": RealtimeConversation._committed,
    "conversation.item.input_audio_transcription.delta": RealtimeConversation._delta,
    "conversation.item.input_audio_transcription.completed": RealtimeConversation._completed,
    "conversation.item.input_audio_transcription.failed": RealtimeConversation._failed,
}


def _message(kind: str, **fields: Any) -> str:
    return orjson.dumps({"type": kind, **fields}).decode()


def _holds_all_of(after: Any, before: Any) -> bool:
    """Whether *after* says something wherever *before* did."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return True
    return all(name in after and _holds_all_of(after[name], value) for name, value in before.items())


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _seconds(milliseconds: Any) -> float | None:
    value = number(milliseconds)
    return None if value is None else value / 1000


def _verdict(error: Mapping[str, Any], default: Verdict) -> Verdict:
    code, kind = error.get("code"), error.get("type")
    for name in (code, kind):
        if isinstance(name, str) and name in _VERDICTS:
            return _VERDICTS[name]
    return default


def _usage(usage: Mapping[str, Any]) -> list[Event]:
    """Tokens, or seconds for models that are billed by them."""
    seconds = max(number(usage.get("seconds")) or 0.0, 0.0)
    tokens_in = int(max(number(usage.get("input_tokens")) or 0, 0))
    tokens_out = int(max(number(usage.get("output_tokens")) or 0, 0))
    return [Usage(seconds, tokens_in, tokens_out)] if seconds or tokens_in or tokens_out else []
