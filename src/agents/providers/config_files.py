"""Configurations from a YAML or TOML file, with errors that say where in the file.

    stt:
      provider: custom_ws
      language: en-US
      metadata:
        ws_url: wss://speech.example/v1
        api_key: ${env:SPEECH_KEY}
    llm:
      provider: openai
      model: gpt-4.1
    tts:
      provider: openai
      voice: alloy

In TOML the same is ``[stt]``, ``[stt.metadata]``, ``[llm]``, ``[tts]``.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import yaml

from .base import ConfigurationError, LLMConfig, ProviderConfig, STTConfig, TTSConfig, suggest
from .profiles.yaml_lines import Located, parse_yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

__all__ = ["ConfigFile", "Configs", "load_config"]

_Config = TypeVar("_Config", bound=ProviderConfig)

_SECTIONS = ("stt", "llm", "tts")


@dataclass(frozen=True)
class Configs:
    """What a file configures; ``None`` for a section it does not have."""

    stt: STTConfig | None = None
    llm: LLMConfig | None = None
    tts: TTSConfig | None = None


def load_config(path: str | PathLike[str], *, require: Collection[str] = ()) -> Configs:
    """Read *path*, a ``.yaml``, ``.yml`` or ``.toml`` file.

    ``${env:NAME}`` stays as it is until a provider is built. A relative path to a vendor's profile
    (``metadata: {vendor: ./acme.yaml}``) is meant relative to the file, when there is such a file.

    Args:
        require: sections the file must have, of ``"stt"``, ``"llm"`` and ``"tts"``.

    Raises:
        ConfigurationError: the file cannot be read, lacks a section, or holds an unknown key or a value of the
            wrong type. The message begins with the file and, for YAML, the line.
    """
    return ConfigFile.read(path).configs(require=require)


@dataclass(frozen=True)
class ConfigFile:
    """The content of a file, and where it stands. Hidden from ``repr``: it may hold credentials."""

    path: Path
    data: Mapping[str, Any] = field(repr=False)
    lines: Located | None = field(default=None, repr=False)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> ConfigFile:
        """The file at *path*, checked to be a mapping of known sections.

        Raises:
            ConfigurationError: it is not.
        """
        path = Path(path)
        parse = _PARSERS.get(path.suffix.lower())
        if parse is None:
            raise ConfigurationError(f"{path}: the name must end with one of {', '.join(_PARSERS)}")
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from None
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{path}: is not UTF-8 text (byte {error.start})") from None
        data, lines = parse(path, text)
        file = cls(path, data if isinstance(data, Mapping) else {}, lines)
        if data is not None and not isinstance(data, Mapping):
            raise file.error((), f"must hold sections {', '.join(_SECTIONS)}, not {_kind(data)}")
        for name in file.data:
            if name not in _SECTIONS:
                raise file.error((name,), f"unknown section {name!r}: {suggest(str(name), _SECTIONS)}")
        if not file.data:
            raise file.error((), "is empty: it needs a section stt, llm or tts with a provider in it")
        return file

    def configs(self, *, require: Collection[str] = ()) -> Configs:
        """The configurations in it.

        Raises:
            ConfigurationError: a section is missing, a key unknown, or a value of the wrong type.
        """
        for name in require:
            if name not in self.data:
                raise self.error((), f"has no section {name!r}; it has {', '.join(map(repr, self.data))}")
        return Configs(
            self._config("stt", STTConfig), self._config("llm", LLMConfig), self._config("tts", TTSConfig)
        )

    def error(self, location: Sequence[str], message: str) -> ConfigurationError:
        """*message* with the place in the file before it."""
        return ConfigurationError(f"{self._place(location)}: {message}", key=".".join(map(str, location)) or None)

    @contextmanager
    def pointing_at(self, section: str) -> Iterator[None]:
        """Inside, a ConfigurationError gets the place in the file that *section* and its ``key`` name."""
        try:
            yield
        except ConfigurationError as error:
            location = (section, *(error.key.split(".") if error.key else ()))
            error.args = (f"{self._place(location)}: in {section}: {error}",)
            raise

    def _place(self, location: Sequence[str]) -> str:
        return f"{self.path}:{self.lines.line(location)}" if self.lines and location else str(self.path)

    def _config(self, section: str, kind: type[_Config]) -> _Config | None:
        if section not in self.data:
            return None
        values = self.data[section]
        if not isinstance(values, Mapping):
            raise self.error((section,), f"{section} must hold settings such as provider, not {_kind(values)}")
        known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
        for name in values:
            if name not in known:
                raise self.error(
                    (section, name),
                    f"in {section}: unknown setting {name!r}: {suggest(str(name), known)}; "
                    "what is the provider's own goes under metadata",
                )
        if "provider" not in values:
            raise self.error((section,), f"in {section}: provider is missing, such as provider: openai")
        arguments = {name: value for name, value in values.items() if value is not None or name == "language"}
        if "metadata" in arguments:
            arguments["metadata"] = self._beside(arguments["metadata"])
        with self.pointing_at(section):
            return kind(**arguments)

    def _beside(self, metadata: Any) -> Any:
        """*metadata* with the path of a vendor's profile that lies beside this file made independent of it."""
        vendor = metadata.get("vendor") if isinstance(metadata, Mapping) else None
        if isinstance(vendor, str) and Path(vendor).suffix in (".yaml", ".yml"):
            path = self.path.parent / vendor
            if path.is_file():
                return {**metadata, "vendor": str(path.resolve())}
        return metadata


def _yaml(path: Path, text: str) -> tuple[Any, Located]:
    try:
        located = parse_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # not str(error): that quotes the line, which may hold a credential
        problem = getattr(error, "problem", None) or "a character that YAML does not allow"
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigurationError(f"{place}: is not valid YAML: {problem}") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: is nested too deeply, or refers to itself") from None
    except ValueError:  # PyYAML's own, for a date with a month 13: its text quotes the value
        raise ConfigurationError(
            f"{path}: is not valid YAML: a value only looks like a number or a date; put it in quotes"
        ) from None
    return located.data, located


def _toml(path: Path, text: str) -> tuple[Any, None]:
    try:
        return tomllib.loads(text), None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: is not valid TOML: {error}") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: is nested too deeply") from None


def _kind(value: object) -> str:
    names = {type(None): "nothing", str: "a text", list: "a list"}
    return names.get(type(value), f"a {type(value).__name__}")


_PARSERS = {".yaml": _yaml, ".yml": _yaml, ".toml": _toml}
