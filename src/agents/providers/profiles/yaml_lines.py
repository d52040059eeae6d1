"""YAML with the line of everything in it, so that an error can say where."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

__all__ = ["Located", "parse_yaml"]

Location = tuple[Any, ...]


class _Loader(yaml.SafeLoader):
    """YAML 1.2's idea of a boolean: `on`, `off`, `yes` and `no` are words. A key given twice is an error."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the attribute PyYAML reads
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


@dataclass(frozen=True)
class Located:
    """Plain data, and the line (from 1) of every value by its path of keys and indexes."""

    data: Any
    lines: Mapping[Location, int]

    def line(self, location: Sequence[Any]) -> int:
        """The line of *location*, or of the nearest thing around it."""
        path: Location = ()
        line = self.lines.get((), 1)
        for part in location:
            if (*path, part) in self.lines:
                path = (*path, part)
                line = self.lines[path]
            # else: a name pydantic puts between two keys, such as that of a union's member
        return line


def parse_yaml(text: str) -> Located:
    """Read one YAML document.

    Raises:
        yaml.YAMLError: it is not YAML, or a key is given twice; with the place in ``problem_mark``.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Located(None, {(): 1})
        lines: dict[Location, int] = {}
        _walk(loader, node, (), lines)
        return Located(loader.construct_document(node), lines)
    finally:
        loader.dispose()


def _walk(loader: _Loader, node: yaml.Node, path: Location, lines: dict[Location, int]) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(loader, item, (*path, index), lines)
    elif isinstance(node, yaml.MappingNode):
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(None, None, "a key must be a word or a number", key_node.start_mark)
            key = loader.construct_object(key_node)
            if key in seen:
                raise yaml.MarkedYAMLError(None, None, f"{key!r} is given twice", key_node.start_mark)
            seen.add(key)
        loader.flatten_mapping(node)
        for key_node, value in node.value:
            key = loader.construct_object(key_node)
            # what a merge brings in comes first in the list and is overridden by the mapping's own keys
            inside = (*path, key)
            lines[inside] = key_node.start_mark.line + 1
            _walk(loader, value, inside, lines)
