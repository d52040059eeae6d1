"""The test kit: an oracle for speech adapters, and a proxy that breaks their connections.

The oracle's audio carries numbered words as sample values and the oracle transcribes exactly what it received, so
words that an adapter loses or says twice are counted. Any ``livekit.agents.stt.STT`` that can be pointed at a URL
and speaks the generic protocol or Deepgram's can be tested; :class:`FaultProxy` stands in front of any server.
:mod:`agents.providers.testing.strategies` makes random schedules and needs ``hypothesis``.
"""

from .checks import StreamReport
from .faults import Fault, FaultInjector, FaultKind
from .hurried import Hurried
from .numbered_words import Ear, Speech, SpokenWord, numbers_in, speak
from .oracle import ConnectionRecord, OracleServer, Refusal
from .proxy import FaultProxy
from .schedules import Schedule, frames_of, run_schedule, run_schedules
from .transcriber import Behaviour, Transcriber

__all__ = [
    "Behaviour",
    "ConnectionRecord",
    "Ear",
    "Fault",
    "FaultInjector",
    "FaultKind",
    "FaultProxy",
    "Hurried",
    "OracleServer",
    "Refusal",
    "Schedule",
    "Speech",
    "SpokenWord",
    "StreamReport",
    "Transcriber",
    "frames_of",
    "numbers_in",
    "run_schedule",
    "run_schedules",
    "speak",
]
