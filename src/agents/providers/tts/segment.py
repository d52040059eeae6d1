"""One answer of an agent while it is spoken: what the vendor says becomes LiveKit's audio and timed words."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from livekit.agents import tts

from ..protocol import (
    Audio,
    Failure,
    ProtocolError,
    SegmentDone,
    Settings,
    SpokenWords,
    SynthesisEvent,
    SynthesisForm,
    SynthesisTraits,
    WireMessage,
)
from ..transport.failures import ConnectionFailed
from .adapter import is_endless
from .connection import Connection
from .listening import Listening
from .samples import BadAudio
from .text import WordAligner

__all__ = ["Segment", "Step"]

logger = logging.getLogger("agents.providers.tts")

_SILENCE_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be sent: a text, a request to speak what was sent, or the end."""

    kind: Literal["text", "flush", "end"]
    text: str = ""


class Segment:
    """What a :class:`~.connection.Connection` tells, on its way to LiveKit's emitter.

    Attributes:
        done: set when the vendor has said all of it; an exception is a `ConnectionFailed`.
        begun: something was sent for it on its present connection.
        audio_seconds: heard so far.
        messages_ignored: messages that were not understood.
    """

    def __init__(
        self, sample_rate: int, traits: SynthesisTraits, settings: Settings, emitter: tts.AudioEmitter
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._rate = sample_rate
        self._traits = traits
        self._settings = settings
        self._emitter = emitter
        self._id = uuid.uuid4().hex
        self._form = traits.form
        self._sound: Listening | None = None
        self._broken: Failure | None = None
        self._characters = 0
        self._words = WordAligner()
        self._output_begun = False
        self._expects_since: float | None = None
        self._has_ended = False
        self._answered = False
        self._last = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self.done: asyncio.Future[None] = self._loop.create_future()
        self.begun = False
        self.audio_seconds = 0.0
        self.messages_ignored = 0

    # --- what is sent ---

    def reset(self, connection: Connection) -> None:
        """It will be spoken on *connection*, from its beginning."""
        self.stop()
        self.done = self._loop.create_future()
        self.begun = False
        self._form = connection.form
        self._words = WordAligner()
        self._answered = self._has_ended = False
        self._expects_since = None

    def begin(self, connection: Connection) -> Sequence[WireMessage]:
        """It is spoken on *connection* from now on; answers what to send first."""
        self.begun = True
        return connection.begin(self, self._id)

    def sent(self, text: str) -> None:
        """*text* is being sent."""
        self._words.sent(text)
        self._characters += len(text)

    def flushed(self) -> None:
        """The vendor has to speak now."""
        self._expect()

    def ended(self) -> None:
        """All has been sent: from now on the vendor has something to say until it is done."""
        self._has_ended = True
        self._expect()

    def _expect(self) -> None:
        self._expects_since = self._last = self._loop.time()
        self._watch()

    # --- what is heard ---

    def heard(self, event: SynthesisEvent) -> None:
        """Take an event of the connection."""
        self._answered = True
        self._last = self._loop.time()
        if self.done.done():
            return
        try:
            if isinstance(event, Audio):
                self._on_audio(event.data)
            elif isinstance(event, SpokenWords):
                self.begin_output()
                self._emitter.push_timed_transcript(self._words.spoken(event.words))
            elif isinstance(event, SegmentDone):
                self.done.set_result(None)
            elif isinstance(event, SynthesisForm):
                self._form = event
                if self._sound is not None:
                    self._sound.expect(event)
        except (
            Exception
        ) as error:  # a decoder's, or a word that is none: the segment is at its end, not the reader
            reason = f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error)
            self._unreadable(reason)

    def _unreadable(self, reason: object) -> None:
        self._broken = Failure(f"what it sent cannot be read: {reason}", detail={"malformed": True})
        self._fail(self._broken)

    def lost(self, failure: Failure) -> None:
        """The connection is gone."""
        self._fail(failure)

    def ignored(self, error: Exception) -> None:
        """A message was not understood."""
        self._answered = True
        self.messages_ignored += 1
        if self.messages_ignored == 1:
            # of other errors than a protocol's own the text may be anything
            reason = self._settings.redact(
                str(error) if isinstance(error, ProtocolError) else type(error).__name__
            )
            logger.warning("a message of the vendor is not understood and is ignored: %s", reason)

    def _on_audio(self, data: bytes) -> None:
        if self._sound is None:
            self._sound = Listening(self._form, self._rate, self._push, self._unreadable)
        self.begin_output()
        self._sound.push(data)

    def _push(self, pcm: bytes) -> None:
        if not pcm or self._broken is not None:
            return
        self.audio_seconds += len(pcm) / 2 / self._rate
        self._emitter.push(pcm)
        if is_endless(self.audio_seconds, self._characters):
            self._unreadable("it is without end")

    def begin_output(self) -> None:
        """Open LiveKit's segment, once."""
        if self._output_begun:
            return
        self._output_begun = True
        self._emitter.initialize(
            request_id=self._id,
            sample_rate=self._rate,
            num_channels=1,
            mime_type="audio/pcm",
            stream=True,
        )
        self._emitter.start_segment(segment_id=self._id)

    # --- the end ---

    async def finish(self, text: str) -> None:
        """All of *text* was said. Raises `ConnectionFailed` when nothing was heard of it, or it was no audio."""
        self.stop()
        if self._sound is not None:
            try:
                await self._sound.finish()
            except BadAudio as wrong:
                self._unreadable(wrong)
        if self._broken is not None:
            raise ConnectionFailed(self._broken)
        if not self.audio_seconds:
            if any(character.isalnum() for character in text):
                raise ConnectionFailed(Failure("it sent no audio", detail={"malformed": True}))
            # nothing that can be spoken: LiveKit takes a segment without audio for an error
            self.begin_output()
            self._push(bytes(2 * round(_SILENCE_SECONDS * self._rate)))
        self._emitter.push_timed_transcript(self._words.finish())
        self._emitter.end_segment()

    async def aclose(self) -> None:
        """Nothing more of it is heard."""
        self.stop()
        if self._sound is not None:
            await self._sound.aclose()

    def check_end(self) -> None:
        """Raise `ConnectionFailed` when the vendor was done before everything was sent."""
        if not self._has_ended:
            raise ConnectionFailed(Failure("it ended the segment before all of the text was sent"))

    def is_stale(self, failure: Failure, *, reused: bool) -> bool:
        """Whether the connection had died before the segment began: the vendor never knew of it."""
        return (
            reused
            and self.begun
            and not self._answered
            and "said" not in failure.detail
            and not failure.detail.get("timeout")
        )

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fail(self, failure: Failure) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionFailed(failure))
            self.done.exception()  # whoever waits for it gets it; nobody may be left to

    def _watch(self) -> None:
        """Look after silence of the vendor, from when it has something to say."""
        self.stop()
        if self.done.done() or self._expects_since is None:
            return
        if not self._has_ended and self._last > self._expects_since:
            return  # it has answered the flush; more is only owed after the end
        silence = self._traits.silence_seconds
        ends_by_silence = silence is not None and self._has_ended and self.audio_seconds > 0
        limit = silence if ends_by_silence and silence is not None else self._traits.stall_seconds
        quiet = self._loop.time() - self._last
        if quiet < limit - 0.001:
            # audio may come any moment and make the limit the shorter one
            step = min(limit - quiet, silence or limit)
            self._timer = self._loop.call_later(step, self._watch)
        elif ends_by_silence:
            self.done.set_result(None)
        else:
            self._fail(Failure(f"it answers nothing since {limit:g} s", detail={"timeout": True}))
