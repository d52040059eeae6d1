"""What a vendor contributes to the suite that all vendors must pass.

A vendor's file ``tests/vendors/cases/NAME.py`` holds ``CASES: list[VendorCase]``. ``tests/support/talks.py`` holds
the talks by which they are tried.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from agents.providers.adapters import CustomHTTPSTTAdapter, CustomWebSocketSTTAdapter
from agents.providers.testing.tape import Tape
from agents.providers.vendors import find_vendor

API_KEY = "voxport-test-key-7f3a"
"""What the server of the vendor tests asks for."""

Way = Literal["streaming", "batch"]

FEATURES = frozenset(
    {
        "interims",  # texts that may still change
        "words",  # words with their times
        "times",  # of the text as a whole
        "confidence",
        "speech_events",  # the vendor says when speech begins or ends
        "endpoints",  # it finalises by itself after a silence
        "flush",  # it finalises when asked to
        "keyterms",
        "speaker",
        "usage",  # the vendor says what it bills
        "language",  # it says which language it heard
        "auth",  # it knows keys
        "quota",  # it refuses when it has no room
        "error",  # it says in a message that it failed
    }
)

_CASES = Path(__file__).parent.parent / "vendors" / "cases"


class Server(Protocol):
    """Where a speech server is: ``http://host:port`` and ``ws://host:port``, without a path."""

    @property
    def url(self) -> str: ...

    @property
    def ws_url(self) -> str: ...


@dataclass(frozen=True)
class Address:
    """A server known by its port on this machine."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class OptionCheck:
    """Options, and texts that must be on the wire when they are set: in the URL (decoded), in a message, in a form
    field (``name=value``), in a JSON body."""

    options: Mapping[str, Any]
    sent: Sequence[str]
    way: Way = "streaming"


@dataclass(frozen=True)
class VendorCase:
    """One vendor on the embedded server.

    Attributes:
        name: of the case; its trace is named after it.
        vendor: as :func:`find_vendor` takes it.
        streaming_url, batch_url: where it is on a :class:`Server`; ``None`` where it has no such way.
        api_key: that the server takes, in the vendor's form.
        wrong_key: one it does not take.
        secrets: parts of the keys that must show nowhere; by default the keys themselves.
        language, model, options: for the talks all tests look at.
        option_checks: more options, each with what must be on the wire.
        lacks: what the vendor does not have, of :data:`FEATURES`; ``"batch:words"`` for one way only.
        keyterm_sent: what must be on the wire for the keyterm ``opening hours``.
        batch_options: instead of *options* for the batch way.
    """

    name: str
    vendor: str
    streaming_url: Callable[[Server], str] | None = None
    batch_url: Callable[[Server], str] | None = None
    api_key: str = API_KEY
    wrong_key: str = "not-the-key-99aa"
    secrets: Sequence[str] = ()
    language: str | None = "en-US"
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    batch_options: Mapping[str, Any] | None = None
    option_checks: Sequence[OptionCheck] = ()
    lacks: frozenset[str] = frozenset()
    keyterm_sent: str = "opening hours"

    def __post_init__(self) -> None:
        known = {*FEATURES, *(f"{way}:{name}" for way in ("streaming", "batch") for name in FEATURES)}
        assert set(self.lacks) <= known, f"{self.name} lacks what is no feature: {set(self.lacks) - known}"

    def __str__(self) -> str:
        return self.name

    def has(self, feature: str, way: Way) -> bool:
        """Whether the vendor has *feature* in this *way*."""
        assert feature in FEATURES
        return feature not in self.lacks and f"{way}:{feature}" not in self.lacks

    @property
    def ways(self) -> list[Way]:
        """The ways it has."""
        urls: list[tuple[Way, Any]] = [("streaming", self.streaming_url), ("batch", self.batch_url)]
        return [way for way, url in urls if url is not None]

    def streaming(self, server: Server, tape: Tape | None = None, **given: Any) -> CustomWebSocketSTTAdapter:
        """The streaming adapter for this case; a single failure raises."""
        assert self.streaming_url is not None
        vendor = find_vendor(self.vendor)
        options = {
            "api_key": self.api_key,
            "language": self.language,
            "model": self.model,
            "options": self.options,
            "on_failure": "raise",
        }
        return CustomWebSocketSTTAdapter(
            self.streaming_url(server), vendor=tape.on(vendor) if tape else vendor, **{**options, **given}
        )

    def batch(self, server: Server, tape: Tape | None = None, **given: Any) -> CustomHTTPSTTAdapter:
        """The batch adapter for this case; a single failure raises."""
        assert self.batch_url is not None
        vendor = find_vendor(self.vendor)
        options = {
            "api_key": self.api_key,
            "language": self.language,
            "model": self.model,
            "options": self.options if self.batch_options is None else self.batch_options,
            "on_failure": "raise",
        }
        return CustomHTTPSTTAdapter(
            self.batch_url(server),
            vendor=tape.on(vendor) if tape else vendor,  # type: ignore[arg-type]
            **{**options, **given},
        )


@functools.cache
def all_cases() -> tuple[VendorCase, ...]:
    """The cases of every file in ``tests/vendors/cases``, in order of file names."""
    found: list[VendorCase] = []
    for path in sorted(_CASES.glob("[a-z]*.py")):
        spec = importlib.util.spec_from_file_location(f"vendor_cases_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += module.CASES
    return tuple(found)
