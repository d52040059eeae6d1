"""The vendor's own parameters: checked against the profile, and brought to the wire."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Literal

import orjson

from ..base import ConfigurationError
from .parts import Option, OptionType
from .schema import Profile

__all__ = [
    "SPEAKING_SERVICES",
    "Service",
    "check_options",
    "declared_options",
    "option_problem",
    "options_of",
    "put_into_body",
    "query_pairs",
    "resolve_options",
    "unknown_option",
]

Service = Literal["streaming", "batch", "synthesis", "streaming_synthesis"]
SPEAKING_SERVICES = frozenset({"synthesis", "streaming_synthesis"})

_ARGUMENTS = {"api_key": True, "language": True, "model": True, "headers": False, "sample_rate": False}
"""What every adapter takes beside ``options``, and whether that is a field of a configuration, too."""

_IS: Mapping[OptionType, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, (list, tuple)),
    "mapping": lambda value: isinstance(value, Mapping),
}


def option_problem(option: Option, value: Any) -> str:
    """What is wrong with *value*, or an empty text. The text does not repeat the value, which may be private."""
    if not any(_IS[kind](value) for kind in option.types):
        return f"must be {' or '.join(option.types)}, not {type(value).__name__}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if option.minimum is not None and value < option.minimum:
            return f"must be at least {option.minimum:g}"
        if option.maximum is not None and value > option.maximum:
            return f"must be at most {option.maximum:g}"
    if option.choices is not None and not all(v in option.choices for v in _items(value)):
        return f"must be one of {', '.join(map(str, option.choices))}"
    return ""


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def declared_options(profile: Profile, service: Service) -> Mapping[str, Option]:
    """The options of recognition or those of speech, whether *service* knows them or only its sibling does."""
    return profile.speech.options if service in SPEAKING_SERVICES else profile.options


def options_of(profile: Profile, service: Service) -> dict[str, Option]:
    """The options *service* knows."""
    declared = declared_options(profile, service)
    return {name: option for name, option in declared.items() if option.used_by in ("both", service)}


def check_options(profile: Profile, service: Service, given: Mapping[str, Any]) -> None:
    """Refuse options the vendor does not know or would not take.

    Raises:
        ConfigurationError: naming the option, the known ones, and what it must be.
    """
    declared = declared_options(profile, service)
    for name, value in given.items():
        option = declared.get(name)
        if option is None:
            if not profile.open_options:
                raise ConfigurationError(unknown_option(profile, service, name), key=f"options.{name}")
        elif option.used_by not in ("both", service):
            raise ConfigurationError(
                f"{profile.title}: option {name!r} is for {option.used_by}, not for {service}: leave it out",
                key=f"options.{name}",
            )
        elif value is not None and (problem := option_problem(option, value)):
            raise ConfigurationError(f"{profile.title}: option {name!r} {problem}", key=f"options.{name}")


def unknown_option(profile: Profile, service: Service, name: str) -> str:
    """What to say about an option *service* does not know: where it belongs or what is near, and what there is."""
    known = list(options_of(profile, service))
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    speaks = service in SPEAKING_SERVICES
    if name in _ARGUMENTS or (speaks and name == "voice"):
        config = "TTSConfig" if speaks else "STTConfig"
        field = f", and a field of {config}" if _ARGUMENTS.get(name, True) else ""
        hint = f"it is an argument of its own, {name}=…{field}; "
    elif (
        name == "keyterms"
        and service == "streaming"
        and profile.streaming
        and profile.streaming.capabilities.keyterms
    ):
        hint = f"update_options(keyterms=…) sets them{', or ' + hint if near else ': '}"
    names = ", ".join(sorted(known)) or "none"
    return f"{profile.title} has no option {name!r} for {service}: {hint}it knows {names}"


def resolve_options(
    profile: Profile, service: Service, given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The declared options with their defaults (``None`` ones left out), and the undeclared ones."""
    resolved = {
        name: value
        for name, option in options_of(profile, service).items()
        if (value := given.get(name, option.default)) is not None
    }
    known = declared_options(profile, service)
    return resolved, {name: value for name, value in given.items() if name not in known}


def query_pairs(name: str, value: Any, encode: str = "repeat") -> list[tuple[str, str]]:
    """*value* as parameters of a query; nothing for ``None``."""
    if value is None:
        return []
    if encode == "json" and not isinstance(value, str):
        return [(name, orjson.dumps(value).decode())]
    if isinstance(value, Mapping):
        if encode == "pairs":
            return [(name, f"{key}:{item}") for key, item in value.items()]
        return [(name, orjson.dumps(dict(value)).decode())]
    if isinstance(value, (list, tuple)):
        texts = [_text(item) for item in value]
        return [(name, ",".join(texts))] if encode == "comma" else [(name, text) for text in texts]
    return [(name, _text(value))]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):  # a pair such as ("word", 2.0), which LiveKit's keywords are
        return ":".join(map(str, value))
    return str(value)


def put_into_body(body: dict[str, Any], name: str, value: Any) -> None:
    """Set *value* at the dotted *name*, making the mappings on the way."""
    *path, last = name.split(".")
    for part in path:
        inner = body.get(part)
        body[part] = dict(inner) if isinstance(inner, dict) else {}
        body = body[part]
    body[last] = value
