"""``docs/vendors.md``, made from the vendors' files: ``voxport vendors --markdown > docs/vendors.md``.

A test fails when the page is not what this module makes.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import Vendor, built_in_names, find_vendor
from ._features import Features, features_of

__all__ = ["vendors_page"]

_ESCAPED = r"\|"

_HEAD = """\
# Vendors

<!-- Made by `voxport vendors --markdown > docs/vendors.md`: change the files in src/agents/providers/vendors. -->

Every name here goes wherever a vendor is named: `CustomWebSocketSTTAdapter(…, vendor="deepgram")`,
`CustomHTTPSTTAdapter(…, vendor="deepgram")`, `CustomWebSocketTTSAdapter(…, vendor="deepgram")`,
`voxport transcribe call.wav --vendor deepgram`.
`voxport vendors show NAME` prints a vendor's URLs, models, and options with their types, ranges and defaults.
As a `provider` in a configuration, a name is Voxport's protocol; only `openai` and `azure` are LiveKit's own
plugins there, unless `metadata` has a `mode`: see [LiveKit's own plugins](native.md), `livekit:NAME`.
Where its configuration names no URL, a provider is at the vendor's usual place, or where the environment has the
vendor's own SDK look: `OPENAI_BASE_URL`, `ASSEMBLYAI_BASE_URL` and `ASSEMBLYAI_SYNC_BASE_URL` (recordings),
`CARTESIA_BASE_URL`, `AZURE_SPEECH_HOST` (streams).
Yours is not here? [Add your vendor in ten minutes](add-your-vendor.md).

## What each can do

An option in `code style` turns the feature on. *Words* are words with their times; *flush* means that the vendor
finalises when LiveKit asks it to; *changes* are settings that reach a running stream without a new connection.
*Speaks* are the ways it turns text into speech; *with words* means that it says when which word is spoken.
"""

_PROOF = """
## What each was proven with

No vendor can be reached from this project's tests, so each is proven in two steps. The embedded speech server
answers in the vendor's dialect, written from the vendor's own documentation and source independently of the file
that Voxport speaks from, and backed by a real recogniser. The clients named here are published by the vendors, by
LiveKit or by others; they talk to that server in `tests/vendors/proof`. Then Voxport talks to it in
`tests/vendors/test_conformance.py`, the same tests for every vendor. What the real services do beyond their
documentation is not proven by that.
"""


def vendors_page() -> str:
    """The page, with a line for each built-in vendor."""
    vendors = [find_vendor(name) for name in sorted(built_in_names())]
    features = [features_of(vendor) for vendor in vendors]
    heads = ("vendor", "name", "streaming", "recordings", "interims", "words", "speakers", "keyterms", "flush")
    table = _table(
        (*heads, "changes", "speaks", "key in"),
        [_row(vendor, feature) for vendor, feature in zip(vendors, features, strict=True)],
    )
    proof = _table(("vendor", "clients the embedded server was tried with", "facts from"), map(_proof, vendors))
    return "\n".join([_HEAD, table, _PROOF, proof, ""])


def _row(vendor: Vendor, features: Features) -> list[str]:
    return [
        _linked(vendor),
        f"`{vendor.name}`",
        _tick(features.streaming),
        _tick(features.batch),
        _tick(features.interims),
        _by_way([_tick(has) for has in features.word_times], features),
        _by_way([_option(speaker) for speaker in features.speakers], features),
        _tick(features.keyterms),
        _tick(features.flush),
        ", ".join(f"`{name.removeprefix('options.')}`" for name in features.changes),
        ", ".join(_spoken(way, features) for way in features.speaks),
        ", ".join(f"`{name}`" for name in vendor.key_variables),
    ]


def _proof(vendor: Vendor) -> list[str]:
    profile = vendor.profile
    proven = ", ".join(profile.proven_with) if profile is not None else ""
    sources = "; ".join(profile.sources) if profile is not None else ""
    return [_linked(vendor), proven, sources]


def _linked(vendor: Vendor) -> str:
    link = vendor.profile.links.get("documentation") if vendor.profile is not None else None
    return f"[{vendor.title}]({link})" if link else vendor.title


def _tick(has: bool) -> str:
    return "✓" if has else ""


def _spoken(way: str, features: Features) -> str:
    return f"{way} with words" if way == "WebSocket" and features.spoken_words else way


def _option(name: str) -> str:
    return _tick(True) if name == "yes" else f"`{name}`" if name else ""


def _by_way(cells: list[str], features: Features) -> str:
    """One cell for both ways, saying which where they differ."""
    stream, recording = cells
    if not features.batch or stream == recording:
        return stream
    if not features.streaming:
        return recording
    told = [f"{text} {way}" for text, way in ((stream, "(streaming)"), (recording, "(recordings)")) if text]
    return ", ".join(told)


def _table(heads: tuple[str, ...], rows: Iterable[list[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join('---' for _ in heads)}|"]
    lines += [f"| {' | '.join(cell.replace('|', _ESCAPED) for cell in row)} |" for row in rows]
    return "\n".join(lines)
