"""What a vendor can do, read off its protocols and its profile: for listings, and for ``docs/vendors.md``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..protocol import Settings

if TYPE_CHECKING:
    from . import Vendor

__all__ = ["Features", "features_of", "option_form"]


@dataclass(frozen=True)
class Features:
    """What a vendor can do.

    Attributes:
        streaming, batch: whether it has the way.
        interims: texts that may still change.
        word_times: whether streams, and whether recordings, come with the times of words.
        speakers: of streams and of recordings: ``"yes"``, the option that turns them on, or an empty text.
        keyterms: words to listen for, which LiveKit passes on.
        flush: it finalises when asked to.
        changes: what it can change without a new connection.
        speaks: the ways it speaks: ``"WebSocket"``, ``"HTTP"``.
        spoken_words: when it speaks over a WebSocket, it says when which word is spoken.
    """

    streaming: bool = False
    batch: bool = False
    interims: bool = False
    word_times: tuple[bool, bool] = (False, False)
    speakers: tuple[str, str] = ("", "")
    keyterms: bool = False
    flush: bool = False
    changes: tuple[str, ...] = ()
    speaks: tuple[str, ...] = ()
    spoken_words: bool = False


def features_of(vendor: Vendor) -> Features:
    """The features of *vendor* with default options."""
    streaming, batch, spoken = vendor.streaming, vendor.batch, vendor.streaming_synthesis
    traits = None
    if streaming is not None:
        traits = streaming.traits(Settings(vendor.streaming_url or "wss://localhost", language="en-US"))
    service = vendor.profile.streaming if vendor.profile is not None else None
    stream_speakers = "yes" if traits is not None and traits.diarization else ""
    if service is not None and service.capabilities.diarization:
        stream_speakers = _switch(service.capabilities.diarization)
    return Features(
        streaming=streaming is not None,
        batch=batch is not None,
        interims=traits is not None and traits.interim_results,
        word_times=(
            traits is not None and traits.aligned_transcript == "word",
            batch is not None and batch.aligned_words,
        ),
        speakers=(stream_speakers, "yes" if batch is not None and batch.diarization else ""),
        keyterms=traits is not None and traits.keyterms,
        flush=traits is not None and traits.flush,
        changes=tuple(service.update.changes) if service is not None and service.update is not None else (),
        speaks=tuple(way for way, protocol in (("WebSocket", spoken), ("HTTP", vendor.synthesis)) if protocol),
        spoken_words=spoken is not None
        and spoken.traits(Settings(vendor.streaming_synthesis_url or "wss://localhost")).timed_words,
    )


def _switch(diarization: Any) -> str:
    """``"yes"``, or the option a template such as ``${options.diarize}`` names."""
    if not isinstance(diarization, str):
        return "yes"
    return diarization.removeprefix("${").removesuffix("}").removeprefix("options.").partition("|")[0]


def option_form(option: Any) -> str:
    """Type, range, choices and default of a profile's option, in a line: ``integer, 10 to 500; default 25``."""
    text = " or ".join(option.types)
    if option.minimum is not None and option.maximum is not None:
        text += f", {option.minimum:g} to {option.maximum:g}"
    elif option.minimum is not None:
        text += f", at least {option.minimum:g}"
    elif option.maximum is not None:
        text += f", at most {option.maximum:g}"
    if option.choices is not None:
        text += f": {', '.join(map(str, option.choices))}"
    if option.default is not None:
        default = str(option.default).lower() if isinstance(option.default, bool) else str(option.default)
        text += f"; default {default}"
    if option.used_by != "both":
        text += f" ({option.used_by} only)"
    return text
