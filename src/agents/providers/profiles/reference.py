"""``docs/profile-language.md``, made from the data model of the language.

``python -m agents.providers.profiles.reference > docs/profile-language.md`` writes it; a test fails when that page
is not current.
"""

from __future__ import annotations

import re
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ..protocol import Verdict
from . import paths, results, schema
from .templates import FILTERS, NAMES
from .units import SCALES

__all__ = ["reference_page"]

_HEAD = """\
# The profile language

<!-- Made by `python -m agents.providers.profiles.reference > docs/profile-language.md`: change that. -->

A profile is a YAML file that says how one vendor's service speaks. [Add your vendor in ten
minutes](add-your-vendor.md) shows one being written; `src/agents/providers/vendors` holds those that come with
Voxport. `voxport vendors new NAME` begins one, `voxport vendors lint FILE` checks it: unknown keys, references
to what is not declared, rules that are never reached, times without a unit, each with line and remedy. Editors
with a YAML language server complete and check it as you type, when its first line is `# yaml-language-server:
$schema=…/profile.schema.json`.

The language says what names, units, places and literals are. Behaviour (signatures over messages, binary
framing, turns with rules of their own) is not for it: such a vendor is a Python object, a `StreamingProtocol`, a
`BatchProtocol`, a `StreamingSynthesisProtocol` or a `SynthesisProtocol`. All are used alike.

A vendor that hears has `streaming` (a WebSocket), `batch` (HTTP), or both, with its `options`, `models` and
`defaults` at the top. A vendor that speaks has `streaming_synthesis` (a WebSocket), `synthesis` (HTTP), or both,
with what they share under `speech`.
"""

_TEMPLATES = """\
## Templates

In URLs, queries, headers, messages and bodies, `${name}` stands for a value of the moment. A string that is one
reference keeps the value's type (`sample_rate: "${sample_rate}"` is a number in JSON); inside a longer string it
is text. Where a value is missing, what refers to it is left out: the key of a mapping, the item of a list, the
parameter of a query, the header. `${name|filter|filter}` changes the value on its way.
"""

_NAME_MEANINGS = {
    "url": "where the user, or the profile, says the service is",
    "key": "the user's key",
    "language": "what the user says is spoken, or defaults.language",
    "model": "the user's model, or defaults.model",
    "voice": "speech: the user's voice, or speech.defaults.voice",
    "voice_or_model": "speech: the voice, else the model, for vendors whose models are voices",
    "text": "speech: what is to be spoken, or the next piece of it",
    "segment": "speech: a new name for what is said in one go",
    "sample_rate": "of the audio, in Hz",
    "channels": "of the audio; always 1 in streams",
    "interim_results": "whether texts that may still change are wanted",
    "keyterms": "words to listen for, a list; missing when there are none",
    "all_keyterms": "the same, an empty list when there are none",
    "options": "with open_options: what the user set beside the declared options, a mapping",
    "audio": "the chunk or the recording, in base64",
    "uuid": "a new random UUID each time",
    "sent.messages": "audio messages so far on this connection",
    "sent.bytes": "bytes of 16-bit PCM so far",
    "sent.ms": "milliseconds of audio so far",
}
_FILTER_MEANINGS = {
    "base": "`en-US` becomes `en`",
    "lower": "lower case",
    "json": "as JSON, in a string",
    "comma": "a list, joined by commas",
    "not": "false for true",
    "text": "a number or truth value as text",
    "spaced": "with a space at the end",
}
_FUNCTION_MEANINGS = {
    "from_json": "JSON inside a string, read",
    "exp": "a log probability as a probability",
    "percent": "a percentage as a fraction: 71 is 0.71",
}

_PATHS = """\
## Paths and conditions

Where something is in a message is [JMESPath](https://jmespath.org): `text`,
`channel.alternatives[0].transcript`, `words[-1].end`, `join(' ', hyps[].txt)`. Paths that are only names and
indexes are compiled to plain subscripts. Where several paths are allowed, `[path, path]`, the first with
something there is taken. Beside JMESPath's own functions there are:
"""

_CONDITIONS = """\
A condition is a path to something true (`is_final`), or a mapping of paths to the value, one of the values, or
the presence each must have, all of them: `{event: EndOfTurn}`, `{status: [done, failed]}`, `{partial: {present:
true}}`.
"""

_UNITS = """\
## Durations and units

Durations in a profile carry their unit: `50ms`, `5s`, `10min`, `4h`. Times in the vendor's messages are of one
`unit`: {units} (a tick is 100 ns); numbers may come as text, `"1.3"` or `"1.3s"`, as well.
"""

_EVENTS = """\
### Events of rules

| event | what it means | needs |
|---|---|---|
| `ignore` | nothing | |
| `ready` | audio may be sent | |
| `speech_started`, `speech_ended` | somebody began to speak, or stopped, `at` | |
| `partial` | a text that may still change | `text` |
| `final` | a text that stays | `text` |
| `transcript` | either, as `final` says | `text`, `final` |
| `tokens` | pieces of words, each final or not; `markers` are tokens that are signs (Soniox) | `words`, `final` |
| `segments` | a window of segments, sent again and again, each final once (WhisperLive) | `words`, `final` |
| `flushed` | all audio before a flush is final | |
| `finished` | nothing more will come | |
| `usage` | what is billed: `audio`, `input_tokens`, `output_tokens` | |
| `error` | something went wrong: `message`, `code` | |
"""

_SPEECH_EVENTS = """\
### Events of rules about speech

Binary messages are audio. What is of another segment than the one under way is left out, where messages name it.

| speech event | what it means | needs |
|---|---|---|
| `ignore` | nothing | |
| `ready` | text may be sent | |
| `form` | what `rate` the audio after it has | `rate` |
| `audio` | audio in base64 | `audio` |
| `words` | when words are spoken: `words` for a list of objects, `aligned` for lists side by side | |
| `flushed` | the answer to a `flush`, or to the `end`, which ends the segment | |
| `done` | the segment is over: all its audio has come, or it was cancelled | |
| `error` | something went wrong: `message`, `code` | |
"""

_VERDICTS = """\
### Verdicts

What an error or a close code means: `permanent` (asking again is no use: the stream ends with an error),
`transient` (come back on a new connection, nothing is lost), `recycle` (a new connection, without counting it as
a failure), `ignore`.
"""


def reference_page() -> str:
    """The page."""
    functions = [name.removeprefix("_func_") for name in vars(paths._Functions) if name.startswith("_func_")]
    parts = [
        _HEAD,
        _TEMPLATES,
        _table(("reference", "is"), [(f"`${{{name}}}`", _NAME_MEANINGS[name]) for name in NAMES]),
        "`${options.NAME}` is an option, or its default; `${saved.NAME}` what an earlier request's `save` kept.\n",
        _table(("filter", "does"), [(f"`{name}`", _FILTER_MEANINGS[name]) for name in FILTERS]),
        _PATHS,
        _table(("function", "is"), [(f"`{name}(…)`", _FUNCTION_MEANINGS[name]) for name in functions]),
        _CONDITIONS,
        _UNITS.replace("{units}", ", ".join(f"`{unit}`" for unit in SCALES)),
        "## Keys\n",
        *(_section(path, model) for path, model in _models(schema.Profile, "")),
        _EVENTS,
        _SPEECH_EVENTS,
        _VERDICTS,
    ]
    return "\n".join(parts)


def _models(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Every model of the language with the place it is first used at, the outer ones first."""
    queue, seen = [(path, model)], {model, results.Present}
    while queue:
        where, current = queue.pop(0)
        yield where, current
        inner = []
        for name, field in current.model_fields.items():
            for found in _inner_models(field.annotation):
                if found not in seen:
                    seen.add(found)
                    inner.append((f"{where}.{_key(name, field)}".lstrip(".") + _suffix(field.annotation), found))
        queue = inner + queue


def _inner_models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for inner in typing.get_args(annotation):
        yield from _inner_models(inner)


def _suffix(annotation: Any) -> str:
    """How an item of the key is written, for keys that hold many."""
    for part in (annotation, *typing.get_args(annotation)):
        if typing.get_origin(part) is list and any(True for _ in _inner_models(part)):
            return "[]"
        if typing.get_origin(part) is dict and any(True for _ in _inner_models(part)):
            return ".NAME"
    return ""


def _section(path: str, model: type[BaseModel]) -> str:
    title = f"### `{path}`" if path else "### At the top"
    about = " ".join((model.__doc__ or "").split())
    rows = [
        (
            f"`{_key(name, field)}`",
            "any value" if name == "default" else _takes(field),
            _default(field),
            field.description or "",
        )
        for name, field in model.model_fields.items()
    ]
    return f"{title}\n\n{about}\n\n" + _table(("key", "takes", "default", "is"), rows)


def _key(name: str, field: FieldInfo) -> str:
    return field.alias or name


def _takes(field: FieldInfo) -> str:
    extra = [item for item in field.metadata if type(item).__name__ == "BeforeValidator"]
    if extra:
        return "a duration"
    return _type(field.annotation)


def _type(annotation: Any) -> str:
    """A type in the words of YAML."""
    if annotation is type(None):
        return ""
    if annotation is Any:
        return "a template"
    if annotation in _CONDITION_TYPES:
        return "a condition"
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _annotated(inner)
    if origin is typing.Literal:
        return _or([f"`{_yaml(value)}`" for value in inner])
    if origin in (typing.Union, types.UnionType):
        return _alternatives([part for part in inner if part is not type(None)])
    if origin is list:
        return f"a list of {_plural(_type(inner[0]))}"
    if origin is dict:
        return "a mapping" if _type(inner[1]) == "" else f"a mapping to {_plural(_type(inner[1]))}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a mapping of keys, below" if annotation is not results.Present else "`{present: true}`"
    if annotation is Verdict:
        return "a verdict"
    return {bool: "true or false", str: "text", int: "a whole number", float: "a number"}.get(annotation, "")


def _alternatives(parts: list[Any]) -> str:
    """Any of *parts*; a list of what else is one of them is said shortly."""
    told: list[str] = []
    for part in parts:
        others = [other for other in parts if other is not part]
        is_list = typing.get_origin(part) is list
        told.append("a list of them" if is_list and typing.get_args(part)[0] in others else _type(part))
    return _or(list(dict.fromkeys(told)))


def _or(parts: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _annotated(inner: tuple[Any, ...]) -> str:
    for item in inner[1:]:
        if type(item).__name__ == "BeforeValidator":
            return "a duration"
        if type(item).__name__ == "AfterValidator":
            return "a path"
    return _type(inner[0])


def _plural(text: str) -> str:
    if text == "text":
        return "texts"
    return re.sub(r"\ba (whole )?(\w+)", r"\1\2s", text).replace("mappings of keys", "mappings")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**needed**"
    value = field.default
    if value is None or field.default_factory is not None or isinstance(value, BaseModel) or value == "":
        return ""
    if any(type(item).__name__ == "BeforeValidator" for item in field.metadata):
        return f"`{value}ms`" if isinstance(value, int) else f"`{value:g}s`"
    if isinstance(value, float) and "duration" in _takes(field):
        return f"`{value:g}s`"
    return f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(getattr(value, "value", value))


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join('---' for _ in heads)}|"]
    lines += [f"| {' | '.join(cell.replace('|', _ESCAPED) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


_ESCAPED = r"\|"
_CONDITION_TYPES = (results.Condition, typing.Union[results.Condition, None])


if __name__ == "__main__":
    sys.stdout.write(reference_page())
