"""What a profile's paths find, and the two ways of reading words, whatever a vendor sends."""

from __future__ import annotations

from typing import Any

import jmespath
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.providers.profiles.fields import compile_words
from agents.providers.profiles.paths import compile_path, plain_steps
from agents.providers.profiles.results import Words
from agents.providers.protocol import LazyWords

NAMES = st.sampled_from(["a", "b", "w"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(0, 3) | st.sampled_from(["", "x", "abc"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)
STEPS = st.builds(
    lambda name, indexes: name + "".join(f"[{index}]" for index in indexes),
    NAMES,
    st.lists(st.integers(-2, 2), max_size=2),
)


@pytest.mark.parametrize("languages", ["en", {"0": "en"}, 3, None, []])
def test_only_a_list_has_items(languages: Any) -> None:
    """In Python a text has some too: a vendor that sends ``"en"`` for ``["en"]`` would speak the language e."""
    assert compile_path("languages[0]")({"languages": languages}) is None
    assert compile_path("best.languages[-1]")({"best": {"languages": languages}}) is None
    assert compile_path("languages[0]")({"languages": ["en"]}) == "en"


@settings(max_examples=150)
@given(st.lists(STEPS, min_size=1, max_size=4).map(".".join), VALUES)
def test_a_plain_path_finds_what_jmespath_finds(path: str, message: Any) -> None:
    assert plain_steps(path) is not None
    assert compile_path(path)(message) == jmespath.search(path, message)


NUMBERS = st.one_of(st.none(), st.floats(0, 9), st.integers(0, 9), st.sampled_from(["1.5", "2s", "x", True, -1.0]))
ITEMS = st.one_of(
    st.fixed_dictionaries(
        {"w": st.sampled_from(["hi", "yo"]), "s": st.floats(0, 9), "e": st.floats(0, 9), "c": st.floats(0, 1)},
        optional={"p": st.sampled_from([0, 1])},
    ),
    st.fixed_dictionaries(
        {"w": st.sampled_from(["hi", ""])},
        optional={
            "s": NUMBERS,
            "e": NUMBERS,
            "d": NUMBERS,
            "c": NUMBERS,
            "p": st.sampled_from([0, "A", "", None, 2.5]),
            "t": st.sampled_from(["Hi", None, 3]),
        },
    ),
    VALUES,
)
SPECS = st.sampled_from(
    [
        Words(items="a", text="w", start="s", end="e", confidence="c", speaker="p"),
        Words(items="a", text=["t", "w"], start="s", end="e", confidence="c"),
        Words(items="a", text="w", start="s", end="e"),
        Words(items="a", text="w", start="s", duration="d", confidence="c"),
        Words(items="a", text="w", start="s", end="e", confidence="c", only={"p": 0}),
        Words(items=["b", "a"], text="w", start=["s", "d"], end="e"),
    ]
)


@settings(max_examples=150)
@given(SPECS, st.sampled_from(["s", "ms"]), st.lists(ITEMS, max_size=8))
def test_words_read_later_are_those_read_at_once(spec: Words, unit: str, items: list[Any]) -> None:
    """An interim keeps the text of its message, and says where its words begin and end without reading them."""
    read = compile_words(spec, unit)
    raw = orjson.dumps({"a": items})
    at_once = read(orjson.loads(raw))
    later = read(orjson.loads(raw), raw)
    assert at_once is not None and later is not None
    if isinstance(later, LazyWords):
        assert (later.start, later.end) == (at_once[0].start, at_once[-1].end)
    assert list(later) == list(at_once)
