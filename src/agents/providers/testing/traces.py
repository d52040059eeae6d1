"""Traces: a :class:`~.tape.Tape` as a readable file without credentials, and its replay.

One JSON object a line, in the order things happened:

    {"settings": {…}}                              what the protocol was given
    {"ask": {"method": …, "url": …}}               an HTTP request, and
    {"answer": {"status": …, "body": …}}           its answer
    {"connect": {"url": …, "headers": {…}}}
    {"send": "opening", "messages": […]}           what the protocol wrote, and on which occasion
    {"audio": 24000, "chunks": 15, …}              bytes of PCM in so many pieces, and the form of their messages
    {"receive": …, "events": […]}                  a message of the vendor and what it meant
    {"result": {…}}                                what a batch exchange came to

A replay drives a protocol with the same settings, the same occasions and the vendor's recorded messages, and
writes down what it does now. Both are lists of lines, so a change of behaviour is a difference between two texts.
Audio is kept as its length and hash; a replay sends silence instead.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..protocol import HttpRequest, HttpResponse, Pcm, Settings, Wait, WireMessage
from ..redaction import Secret
from ..vendors import Vendor
from .tape import Asked, Connected, Heard, Recognised, Sent, Tape

__all__ = ["Line", "Scrub", "load_trace", "replay", "save_trace", "scrubber", "trace_of", "without_hashes"]

Line = dict[str, Any]
Scrub = Callable[[str], str]

_SHOWN_ANSWER_HEADERS = frozenset({"content-type", "location", "retry-after"})
# Base64 of audio is long and looks like nothing; what is shorter may be an id.
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{96,}={0,2}")
# Values that differ from run to run although the behaviour is the same.
_VOLATILE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+"), "<jwt>"),
    (re.compile(r"\b[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\b", re.I), "<id>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<hash>"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?"), "<time>"),
    (re.compile(r"\b20\d{6}T\d{6}Z\b"), "<time>"),
    (re.compile(r"(?<!\d)20\d{6}(?=(/|%2F)[a-z0-9-]+(/|%2F)[a-z0-9]+(/|%2F)aws4_request)"), "<date>"),
)


def scrubber(replacements: Mapping[str, str]) -> Scrub:
    """A function that takes what must not be in a file out of a text: credentials, addresses of this run."""
    longest_first = sorted(replacements.items(), key=lambda item: -len(item[0]))

    def scrub(text: str) -> str:
        for secret, shown in longest_first:
            text = text.replace(secret, shown)
        return text

    return scrub


# --- from a tape to lines ---


def trace_of(tape: Tape, scrub: Scrub) -> list[Line]:
    """The lines of *tape*. The first holds the settings."""
    lines: list[Line] = []
    begun = next((e for e in tape.entries if isinstance(e, Connected | Recognised)), None)
    if begun is not None:
        lines.append({"settings": _shown_settings(begun.settings, scrub)})
    if isinstance(begun, Recognised):
        lines[0]["audio"] = len(begun.audio.data)
    for entry in tape.entries:
        if isinstance(entry, Sent) and entry.what == "audio":
            _add_audio(lines, entry, scrub)
        else:
            lines += _lines_of(entry, scrub)
    for line in lines:
        _close_audio(line)
    return lines


def _shown_settings(settings: Settings, scrub: Scrub) -> Line:
    fields = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    del fields["api_key"]
    shown: Line = json.loads(scrub(json.dumps(fields, default=list)))
    return {name: value for name, value in shown.items() if value not in (None, {}, [])}


def _lines_of(entry: Any, scrub: Scrub) -> Iterator[Line]:
    if isinstance(entry, Asked):
        yield {"ask": _shown_request(entry.request, scrub)}
        if entry.response is not None:
            yield {"answer": _shown_response(entry.response, scrub)}
    elif isinstance(entry, Connected):
        request = entry.request
        shown: Line = {"url": _steady(request.url, scrub), "headers": _steady_headers(request.headers, scrub)}
        if request.subprotocols:
            shown["subprotocols"] = [_steady(name, scrub) for name in request.subprotocols]
        yield {"connect": shown}
    elif isinstance(entry, Sent):
        yield {"send": entry.what, "messages": [_shown_message(m, scrub) for m in entry.messages]}
    elif isinstance(entry, Heard):
        yield {"receive": _received(entry.message, scrub), "events": [_shown(e, scrub) for e in entry.events]}
    elif isinstance(entry, Recognised):
        yield {"result": _shown(entry.result, scrub)}


def _add_audio(lines: list[Line], sent: Sent, scrub: Scrub) -> None:
    """Pieces of audio with nothing between them are one line."""
    form = [_shown_message(message, scrub) for message in sent.messages]
    last = lines[-1] if lines else {}
    if "hash" not in last or last["bytes"] != len(sent.pcm) or last["messages"] != form:
        lines.append({"audio": 0, "chunks": 0, "bytes": len(sent.pcm), "messages": form, "hash": hashlib.sha256()})
        last = lines[-1]
    last["audio"] += len(sent.pcm)
    last["chunks"] += 1
    last["hash"].update(sent.pcm)


def _close_audio(line: Line) -> None:
    if "hash" in line:
        line["sha256"] = line.pop("hash").hexdigest()[:16]


def _steady(text: str, scrub: Scrub) -> str:
    """*text* without secrets and without what is different in every run."""
    text = _BASE64.sub(lambda match: f"<base64 of {len(match.group())}>", scrub(text))
    for pattern, shown in _VOLATILE:
        text = pattern.sub(shown, text)
    return text


def _steady_headers(headers: Mapping[str, str], scrub: Scrub) -> dict[str, str]:
    return {name: _steady(value, scrub) for name, value in headers.items()}


def _shown_message(message: WireMessage, scrub: Scrub) -> Any:
    """A text message as it is, JSON laid open; a binary one by its length."""
    if not isinstance(message, str):
        return {"binary": len(bytes(message))}
    text = _steady(message, scrub)
    try:
        return {"json": json.loads(text)} if text.startswith(("{", "[")) else {"text": text}
    except ValueError:
        return {"text": text}


def _received(message: str | bytes, scrub: Scrub) -> Line | str | list[str]:
    """What a replay gives the protocol again: a JSON object laid open, other text as it is, bytes in a list."""
    if isinstance(message, bytes):
        return [base64.b64encode(message).decode()]
    try:
        value = json.loads(message)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        return scrub(message)
    laid_open: Line = json.loads(scrub(json.dumps(value)))
    return laid_open


def _unreceived(shown: Line | str | list[str]) -> str | bytes:
    if isinstance(shown, list):
        return base64.b64decode(shown[0])
    return shown if isinstance(shown, str) else json.dumps(shown)


def _shown_request(request: HttpRequest, scrub: Scrub) -> Line:
    shown: Line = {"method": request.method, "url": _steady(request.url, scrub)}
    shown["headers"] = _steady_headers(request.headers, scrub)
    if isinstance(request.body, bytes):
        shown["body"] = _shown_body(request.body, scrub)
    elif request.body is not None:
        shown["form"] = [[part.name, _shown_body(_encoded(part.value), scrub)] for part in request.body]
    return shown


def _encoded(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _shown_body(body: bytes, scrub: Scrub) -> Any:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {"binary": len(body)}
    return {"binary": len(body)} if "\0" in text else _shown_message(text, scrub)


def _shown_response(response: HttpResponse, scrub: Scrub) -> Line:
    headers = {k: scrub(v) for k, v in response.headers.items() if k.lower() in _SHOWN_ANSWER_HEADERS}
    return {"status": response.status, "headers": headers, "body": _received_body(response.body, scrub)}


def _received_body(body: bytes, scrub: Scrub) -> Any:
    try:
        return _received(body.decode(), scrub)
    except UnicodeDecodeError:
        return _received(body, scrub)


def _shown(value: Any, scrub: Scrub) -> Any:
    """An event or a result by its name and what it says; what it does not say is left out."""
    fields = {
        f.name: found
        for f in dataclasses.fields(value)
        if (found := _plain(getattr(value, f.name), scrub)) not in (None, "", {}, [], False, 0, 0.0)
    }
    return {type(value).__name__: fields}


def _plain(value: Any, scrub: Scrub) -> Any:
    if dataclasses.is_dataclass(value):
        return next(iter(_shown(value, scrub).values()))
    if isinstance(value, Mapping):
        return {str(key): _plain(item, scrub) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item, scrub) for item in value]
    if isinstance(value, float):
        return round(value, 4)
    return scrub(value.value if hasattr(value, "value") else value) if isinstance(value, str) else value


# --- files ---


def save_trace(path: Path, lines: Iterable[Line]) -> None:
    """Write *lines*, one object each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def load_trace(path: Path) -> list[Line]:
    """The lines of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# --- replay ---


def replay(lines: Sequence[Line], vendor: Vendor, api_key: str | None, scrub: Scrub) -> list[Line]:
    """What *vendor*'s protocols do now when all happens as in the recorded *lines*.

    Equal to *lines* where nothing has changed, but for hashes of audio: both sides are without them.

    Args:
        api_key: the credential it was recorded with; it is not in the file.
        scrub: what the recording was scrubbed with.
    """
    fields = dict(lines[0]["settings"])
    fields["keyterms"] = tuple(fields.get("keyterms", ()))
    settings = Settings(api_key=Secret(api_key) if api_key else None, **fields)
    tape = Tape()
    taped = tape.on(vendor)
    if any("connect" in line for line in lines):
        _replay_stream(lines, taped, settings)
    else:
        _replay_batch(lines, taped, settings)
    return without_hashes(trace_of(tape, scrub))


def without_hashes(lines: Sequence[Line]) -> list[Line]:
    """*lines* as :func:`replay` gives them."""
    return [{name: value for name, value in line.items() if name != "sha256"} for line in lines]


def _replay_stream(lines: Sequence[Line], vendor: Vendor, settings: Settings) -> None:
    assert vendor.streaming is not None
    conversation: Any = None
    answers: list[Line] = []
    for line in lines:
        if "answer" in line:
            answers.append(line["answer"])
        elif "connect" in line:
            _run(vendor.streaming.prepare(settings), answers)
            conversation, answers = vendor.streaming.converse(settings), []
        elif "send" in line:
            _send(conversation, line["send"])
        elif "chunks" in line:
            for _ in range(line["chunks"]):
                conversation.audio(bytes(line["bytes"]))
        elif "receive" in line:
            conversation.receive(_unreceived(line["receive"]))


def _send(conversation: Any, what: str) -> None:
    if what == "update":
        raise ValueError("a trace with an update cannot be replayed: it does not hold the new settings")
    getattr(conversation, what)()


def _replay_batch(lines: Sequence[Line], vendor: Vendor, settings: Settings) -> None:
    assert vendor.batch is not None
    audio = Pcm(bytes(lines[0]["audio"]), settings.sample_rate)
    _run(vendor.batch.recognise(audio, settings), [line["answer"] for line in lines if "answer" in line])


def _run(flow: Any, answers: Sequence[Line]) -> None:
    """Carry out *flow* with recorded answers; waits pass at once."""
    left = iter(answers)
    given: HttpResponse | None = None
    while True:
        try:
            step = flow.send(given)
        except StopIteration:
            return
        if isinstance(step, Wait):
            given = None
            continue
        answer = next(left)
        body = _encoded(_unreceived(answer["body"]))
        given = HttpResponse(answer["status"], answer["headers"], body)
