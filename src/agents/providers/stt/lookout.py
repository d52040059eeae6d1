"""What is wrong with a stream's connection, as far as only time tells. The stream's timer asks. No I/O."""

from __future__ import annotations

from ..protocol import Failure, Traits
from ..protocol.assembler import TranscriptAssembler
from .link import Link, late
from .outbox import Outbox
from .remainder import Remainder

__all__ = ["GIVE_UP_SECONDS", "Lookout", "tick_seconds"]

GIVE_UP_SECONDS = 60.0
"""After end_input, a vendor that cannot be reached for so long will not give the rest any more."""


def tick_seconds(traits: Traits) -> float:
    """How often the timer must look."""
    shortest = min(
        traits.stall_seconds,
        traits.drain_seconds,
        traits.ready_seconds,
        traits.keepalive_seconds or 4.0,
        traits.heartbeat_seconds or 4.0,
        traits.session_seconds or 4.0,
    )
    return float(min(max(shortest / 4, 0.02), 1.0))


class Lookout:
    """Looks after what the task that listens does not see: that nothing comes."""

    def __init__(self, assembler: TranscriptAssembler, outbox: Outbox, remainder: Remainder) -> None:
        self._assembler = assembler
        self._outbox = outbox
        self._remainder = remainder

    def failure(self, link: Link, now: float, *, input_ended_at: float) -> Failure | None:
        """Why *link* is to be given up; ``None`` where nothing is wrong.

        Args:
            now: the present, as ``monotonic`` has it, like all times here.
            input_ended_at: when the caller's input ended, if it has.
        """
        found = link.trouble(now) or self._unanswered(link, now)
        return found or (self._undrained(link, now, input_ended_at) if link.closing else None)

    def _unanswered(self, link: Link, now: float) -> Failure | None:
        """The failure of a vendor that does not answer speech, unless there is nothing to say about it."""
        speaking = self._assembler.owes_text
        failure = link.unanswered(now, speaking=speaking, last_audio_at=self._outbox.last_audio_at)
        if failure is not None and self._remainder.is_silence() and not link.sends_speech:
            link.excuse(now)
            return None
        return failure

    def _undrained(self, link: Link, now: float, input_ended_at: float) -> Failure | None:
        """The failure of a drain in which nothing more can come, however much the vendor still says."""
        limit = link.traits.drain_seconds
        # once all is final, messages are no reason to stay: some servers send heartbeats for ever
        heard = link.last_sent if self._remainder.settled else max(link.last_received, link.last_sent)
        if now - heard > limit:
            return late(f"it neither finished nor closed within {limit:g} s")
        if now - input_ended_at > GIVE_UP_SECONDS:
            return late(f"it has not finished within {GIVE_UP_SECONDS:g} s")
        return None
