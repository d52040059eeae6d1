"""What the members of a failover adapter must be, and what they are together."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from livekit.agents import stt, vad

from ..base import ConfigurationError
from .failover_segments import SegmentedSTT

__all__ = ["accepted_options", "as_streaming", "check_members", "combined"]


def check_members(members: Sequence[stt.STT[Any]]) -> None:
    if isinstance(members, stt.STT) or not members:
        raise ConfigurationError("FailoverSTTAdapter needs a list of STTs, the preferred one first")
    for member in members:
        if not isinstance(member, stt.STT):
            raise ConfigurationError(f"a member must be a livekit.agents.stt.STT, not {type(member).__name__}")
    if len({id(member) for member in members}) < len(members):
        raise ConfigurationError("a member is there twice: it would fail twice too")


def as_streaming(member: stt.STT[Any], vad: vad.VAD | None) -> stt.STT[Any]:
    """*member* with a stream, where there is a VAD to cut its audio."""
    if type(member) is stt.StreamAdapter:  # which does not say which audio its finals cover
        return SegmentedSTT(stt=member.wrapped_stt, vad=member._vad)
    if not member.capabilities.streaming and vad is not None:
        return SegmentedSTT(stt=member, vad=vad)
    return member


def combined(members: Sequence[stt.STT[Any]]) -> stt.STTCapabilities:
    """What all have, where the framework relies on it; what some have, where it only offers something."""
    found = [member.capabilities for member in members]
    streaming = [each.streaming for each in found]
    if any(streaming) and not all(streaming):
        names = ", ".join(m.label for m, s in zip(members, streaming, strict=True) if not s)
        raise ConfigurationError(f"{names} recognises recordings only: give a VAD as vad=…, and it streams too")
    return stt.STTCapabilities(
        streaming=all(streaming),
        interim_results=all(each.interim_results for each in found),
        diarization=all(each.diarization for each in found),
        aligned_transcript=(
            found[0].aligned_transcript if all(each.aligned_transcript for each in found) else False
        ),
        offline_recognize=any(each.offline_recognize for each in found),
        keyterms=any(each.keyterms for each in found),
        chat_context=any(each.chat_context for each in found),
        manual_flush=all(each.manual_flush for each in found),
    )


def accepted_options(member: stt.STT[Any], options: dict[str, Any]) -> dict[str, Any]:
    """Those of *options* the member's ``update_options`` takes."""
    update = getattr(member, "update_options", None)
    if update is None:
        return {}
    parameters = inspect.signature(update).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        inside = getattr(member, "members", ())  # a failover of its own takes what one of its members has
        taken = [accepted_options(each, options) for each in inside if isinstance(each, stt.STT)]
        return {name: value for each in taken for name, value in each.items()} if taken else dict(options)
    return {name: value for name, value in options.items() if name in parameters}
