"""From a configuration to the arguments of a plugin's constructor, by the constructor's own signature."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from livekit.agents.types import NotGiven, NotGivenOr

from ..base import ConfigurationError, ProviderConfig, check_metadata, suggest
from .languages import language_for

__all__ = ["NAMES", "arguments_for", "parameter_names"]

NAMES: Mapping[str, tuple[str, ...]] = {
    "language": ("language", "languages", "language_codes", "language_code", "language_hints", "language_hint"),
    "model": ("model", "model_id", "model_name"),
    "voice": ("voice", "voice_id", "voice_name", "speaker"),
    "api_key": ("api_key", "speech_key", "api_token", "access_token"),
}
"""What plugins call the parameters that take a field of the configuration; the first that is there is used."""


def parameter_names(constructor: Callable[..., Any]) -> list[str]:
    """The parameters that *constructor* takes by name, without private ones."""
    return [
        name
        for name, parameter in inspect.signature(constructor).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and not name.startswith("_")
    ]


def arguments_for(config: ProviderConfig, constructor: Callable[..., Any], *, name: str) -> dict[str, Any]:
    """The arguments *constructor* is to be called with.

    A field goes to the parameter that plugins have for it, or into the options object that has it. Everything in
    ``metadata`` goes to the parameter of that name; a mapping becomes the options object the parameter wants, a
    text the number or the member of an enumeration.

    Args:
        config: with every ``${env:NAME}`` resolved.
        name: of the constructor, for errors.

    Raises:
        ConfigurationError: a field or a setting that the constructor does not take, or one that is given twice.
    """
    takes = _parameters(constructor)
    check_metadata(config, set(takes) - {"api_key"}, of=name)
    settings = {key: value for key, value in config.metadata.items() if key != "api_key"}
    for field, value in _fields(config):
        place = _place_of(field, takes)
        if place is None:
            remedy = "say language=None" if field == "language" else f"leave {field} out"
            raise ConfigurationError(
                f"{name} takes no {field}: {remedy}. It takes {', '.join(sorted(takes))}", key=field
            )
        _check_free(settings, place, field)
        if field == "language":
            value = _language_at(place, value, name, _model_of(config, takes))
        if value is not None:
            _put(settings, place, value)
    return {key: _fitted(value, takes[key].hint, f"metadata.{key}") for key, value in settings.items()}


@dataclass(frozen=True)
class _Parameter:
    """What a constructor or an options object takes under a name."""

    hint: Any
    default: Any


@dataclass(frozen=True)
class _Place:
    """Where a field of the configuration goes: a parameter, or a field of the options object it takes."""

    parameter: str
    inner: str | None
    takes: _Parameter


def _fields(config: ProviderConfig) -> Iterable[tuple[str, Any]]:
    """The fields that are given, with their values; the key in plain."""
    for field in NAMES:
        value = config.key if field == "api_key" else getattr(config, field, None)
        if value is not None:
            yield field, value


def _parameters(constructor: Callable[..., Any]) -> dict[str, _Parameter]:
    signature = inspect.signature(constructor).parameters
    hints = _hints(constructor.__init__ if inspect.isclass(constructor) else constructor)
    return {
        name: _Parameter(hints.get(name, Any), signature[name].default) for name in parameter_names(constructor)
    }


def _hints(target: Any) -> dict[str, Any]:
    """The types of what *target* takes, without those that cannot be told: plugins import some for type checkers
    only. Values for those go as they are."""
    hints: dict[str, Any] = {}
    for owner in reversed(target.__mro__) if inspect.isclass(target) else [target]:
        names = getattr(owner, "__globals__", None) or vars(sys.modules[owner.__module__])
        for name, annotation in inspect.get_annotations(owner).items():
            with contextlib.suppress(Exception):
                alone = SimpleNamespace(__annotations__={name: annotation})
                hints.update(get_type_hints(alone, names, {"NotGivenOr": NotGivenOr}))
    return hints


def _place_of(field: str, takes: Mapping[str, _Parameter]) -> _Place | None:
    for name in NAMES[field]:
        if name in takes:
            return _Place(name, None, takes[name])
    for parameter, inside in takes.items():
        for kind in _members(inside.hint):
            if dataclasses.is_dataclass(kind):
                for name in NAMES[field]:
                    if name in (known := _options(kind)):
                        return _Place(parameter, name, known[name])
    return None


def _put(settings: dict[str, Any], place: _Place, value: Any) -> None:
    """Put *value* into its *place* among *settings*."""
    if _wants_list(place.takes.hint):
        value = [value]
    if place.inner is None:
        settings[place.parameter] = value
    else:
        settings[place.parameter] = {**(settings.get(place.parameter) or {}), place.inner: value}


def _check_free(settings: Mapping[str, Any], place: _Place, field: str) -> None:
    """See that nothing is in the *place* of *field* yet.

    Raises:
        ConfigurationError: there is.
    """
    given = settings.get(place.parameter)
    name = place.inner or place.parameter
    if place.inner is None:
        if field == "language":  # whichever of its names the user chose
            name = next((other for other in NAMES[field] if other in settings), name)
        where, taken = f"metadata[{name!r}]", name in settings
    elif given is None or isinstance(given, Mapping):
        where, taken = f"metadata[{place.parameter!r}][{place.inner!r}]", place.inner in (given or {})
    else:
        raise ConfigurationError(
            f"metadata[{place.parameter!r}] is a {type(given).__name__} already: put {field} into it as "
            f"{place.inner}, and say {field}=None",
            key=field,
        )
    if taken:
        raise ConfigurationError(
            f"{name} is given twice: leave {where} out, or say {field}=None", key=f"metadata.{place.parameter}"
        )


def _language_at(place: _Place, language: str, constructor: str, model: str | None) -> str | None:
    name, takes = place.inner or place.parameter, place.takes
    return language_for(
        language, constructor, model, parameter=name, choices=_members(takes.hint), default=takes.default
    )


def _model_of(config: ProviderConfig, takes: Mapping[str, _Parameter]) -> str | None:
    """The model that *config* names, or the constructor's default."""
    named = getattr(config, "model", None)
    place = _place_of("model", takes) if named is None else None
    return place.takes.default if place is not None and isinstance(place.takes.default, str) else named


def _wants_list(hint: Any) -> bool:
    members = _members(hint)
    return str not in members and any(get_origin(member) is list for member in members)


def _members(hint: Any) -> list[Any]:
    """The types *hint* allows, without those that stand for "not given"."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, UnionType):
        return [member for part in get_args(hint) for member in _members(part)]
    return [] if hint in (None, NoneType, NotGiven) else [hint]


def _options(kind: Any) -> dict[str, _Parameter]:
    """The fields of a dataclass that its constructor takes."""
    hints = _hints(kind)
    return {
        field.name: _Parameter(hints.get(field.name, Any), field.default)
        for field in dataclasses.fields(kind)
        if field.init
    }


def _fitted(value: Any, hint: Any, key: str) -> Any:
    """*value* as a parameter of the type *hint* wants it.

    Raises:
        ConfigurationError: it cannot be made so; *key* says which setting.
    """
    members = _members(hint)
    if isinstance(value, Mapping) and not any((get_origin(m) or m) in (dict, Mapping, Any) for m in members):
        kind = next((m for m in members if dataclasses.is_dataclass(m) and isinstance(m, type)), None)
        return value if kind is None else _object(kind, value, key)
    if isinstance(value, (list, tuple)):
        inner = next((get_args(m)[0] for m in members if get_origin(m) is list), Any)
        return type(value)(_fitted(item, inner, f"{key}.{index}") for index, item in enumerate(value))
    if isinstance(value, str) and not isinstance(value, Enum) and str not in members:
        return _from_text(value, members, key)
    return value


def _object(kind: type[Any], given: Mapping[str, Any], key: str) -> Any:
    known = _options(kind)
    for name in given:
        if name not in known:
            raise ConfigurationError(
                f"{key}.{name} is not a setting of {kind.__name__}: {suggest(str(name), known)}", key=key
            )
    values = {name: _fitted(value, known[name].hint, f"{key}.{name}") for name, value in given.items()}
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        # what is chained might print the values
        raise ConfigurationError(f"{key} makes no {kind.__name__}: {error}", key=key) from None


def _from_text(value: str, members: list[Any], key: str) -> Any:
    """*value* as a number, a truth value or the member of an enumeration, where only such a thing is wanted."""
    for member in members:
        if get_origin(member) is None and isinstance(member, type) and issubclass(member, Enum):
            found = [m for m in member if value.lower() in (str(m.value).lower(), m.name.lower())]
            if not found:
                raise ConfigurationError(
                    f"{key} must be one of {', '.join(str(m.name).lower() for m in member)}", key=key
                )
            return found[0]
    try:
        if bool in members:
            return {"true": True, "false": False}[value.strip().lower()]
        if int in members and float not in members:
            return int(value)
        if float in members:
            return float(value)
    except (KeyError, ValueError):
        pass  # the plugin may know what to do with it, and says so if not
    return value
