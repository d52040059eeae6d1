"""A stream that is looked into: LiveKit's contract, handed to the stream inside call by call."""

from __future__ import annotations

from typing import Any

from livekit import rtc
from livekit.agents import stt
from pydantic import BaseModel

__all__ = ["StreamWrapper"]


class StreamWrapper(stt.RecognizeStream):
    """Is *inner* to everybody else. It owns no task, no queue and no clock: LiveKit's constructor, which starts
    them, is not called, and whatever it would have set is found on *inner*.

    Args:
        inner: a running stream. :meth:`aclose` closes it.
    """

    def __init__(self, inner: stt.RecognizeStream) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "_inner":  # asked for before there is one
            raise AttributeError(name)
        return getattr(self._inner, name)

    @property
    def wrapped_stream(self) -> stt.RecognizeStream:
        """The stream inside."""
        return self._inner

    # ------------------------------------------------------------------ audio in, events out

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        self._inner.push_frame(frame)

    def flush(self) -> None:
        self._inner.flush()

    def end_input(self) -> None:
        self._inner.end_input()

    async def __anext__(self) -> stt.SpeechEvent:
        return await self._inner.__anext__()

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _run(self) -> None:
        raise RuntimeError("the stream inside runs by itself")

    # ------------------------------------------------------------------ what the framework sets

    @property
    def context(self) -> BaseModel | None:
        return self._inner.context

    @context.setter
    def context(self, value: BaseModel | None) -> None:
        self._inner.context = value

    @property
    def start_time_offset(self) -> float:
        return self._inner.start_time_offset

    @start_time_offset.setter
    def start_time_offset(self, value: float) -> None:
        self._inner.start_time_offset = value

    @property
    def start_time(self) -> float:
        return self._inner.start_time

    @start_time.setter
    def start_time(self, value: float) -> None:
        self._inner.start_time = value

    def _report_connection_acquired(self, acquire_time: float, connection_reused: bool) -> None:
        self._inner._report_connection_acquired(acquire_time, connection_reused)
