"""What a vendor may still have to say, which tells a proper end of a connection from a break. No I/O."""

from __future__ import annotations

from ..protocol import Failure, Traits
from ..protocol.assembler import TranscriptAssembler
from ..transport.sockets import NO_STATUS
from .outbox import Outbox

__all__ = ["Remainder"]

_UNHEARD_SECONDS = 0.1
"""So much loud audio without a final at the end is not just the tail of the last word."""

_DRAINS_IN_VAIN = 3
"""So many connections in a row that closed without a final for audio that may hold speech: it holds none."""


class Remainder:
    """The audio of a stream that no final covers, and the text that is not final.

    Attributes:
        answers_flush: the vendor says when a flush is done, so that it is known which audio is final.
    """

    def __init__(
        self, assembler: TranscriptAssembler, outbox: Outbox, traits: Traits, *, answers_flush: bool
    ) -> None:
        self._assembler = assembler
        self._outbox = outbox
        self._traits = traits
        self._drained_in_vain = 0
        self._asked_again_after = 0.0
        self._asked_about: float | None = None
        self.answers_flush = answers_flush

    @property
    def settled(self) -> bool:
        """Whether nothing is left that a vendor could say about the audio so far."""
        return self._outbox.all_final and not self._assembler.owes_text

    def may_hold_speech(self) -> bool | None:
        """Whether speech was sent that the vendor has not answered; ``None`` where its answers do not tell."""
        assembler = self._assembler
        if assembler.owes_text:
            return True
        if assembler.gives_times is False and not self.answers_flush:
            # without times only an answer to a flush tells which audio is final
            return True if assembler.speaking else None
        return self._outbox.unheard_seconds > _UNHEARD_SECONDS

    def answered(self) -> None:
        """More audio is final."""
        self._drained_in_vain = 0

    def said(self) -> None:
        """The vendor gave a final."""
        self._asked_about = None

    def is_silence(self) -> bool:
        """Whether the vendor was asked about all it does not answer once before, over another connection.

        Some take a noise for the beginning of speech and never say more of it.
        """
        unheard, before = self._outbox.unheard_seconds, self._asked_about
        self._asked_about = unheard
        return before is not None and unheard <= before + _UNHEARD_SECONDS

    def is_drained(self, failure: Failure, *, hurried: bool = False) -> bool:
        """Whether a vendor that ended the connection after the closing message has given all there is.

        Some answer with a message of their own; the others just close or say no more, and then only what is
        missing tells a proper end from a break: an utterance without its final, or speech that no final covers.
        Such a stream is drained again over a new connection.

        Args:
            failure: how the connection ended.
            hurried: it got what an earlier one left over, and the end of the input with it. Some servers close in
                the middle of that; where nothing tells what is missing they are asked once more.
        """
        missing = self.may_hold_speech()
        orderly = failure.status in (1000, NO_STATUS)
        if self.settled or missing is False or (orderly and self._traits.promotes_last_partial):
            return True
        if orderly and missing is None:
            doubtful = hurried and not self._drained_in_vain
            self._drained_in_vain += 1
            return not doubtful
        if missing and not orderly:
            return False  # a break, plainly
        self._drained_in_vain += 1
        return self._drained_in_vain > _DRAINS_IN_VAIN

    def is_idle_close(self, failure: Failure, now: float) -> bool:
        """Whether the vendor closed because there was nothing to do, which is no failure.

        Args:
            failure: how the connection ended.
            now: the time, as ``monotonic`` has it.
        """
        outbox = self._outbox
        idle = now - outbox.last_audio_at >= self._traits.idle_seconds
        if failure.status is None or outbox.ended or outbox.waiting_seconds or not idle:
            return False
        if self.may_hold_speech() and self._asked_again_after != outbox.last_audio_at:
            self._asked_again_after = outbox.last_audio_at  # the caller stopped in mid-sentence: ask for the rest
            return False
        return True
