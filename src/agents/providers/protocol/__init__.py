"""The vendor-neutral language between wire formats and the engine. Nothing in this room does I/O.

A streaming vendor is a :class:`StreamingProtocol`; a batch vendor is a :class:`BatchProtocol`. Both are plain
objects: a test drives them with bytes and no event loop.
"""

from .audio import AudioForm, Pcm
from .batch import BatchProtocol, FormField, HttpRequest, HttpResponse, Recognition, Wait
from .events import (
    Event,
    Failure,
    Final,
    Finished,
    Flushed,
    Partial,
    Ready,
    Segment,
    SpeechEnded,
    SpeechStarted,
    Usage,
    Word,
)
from .policy import Backoff, Verdict, judge_close, judge_status, retry_after_seconds
from .settings import Settings
from .streaming import (
    ConnectRequest,
    Conversation,
    ProtocolError,
    StreamingProtocol,
    Traits,
    WireMessage,
)

__all__ = [
    "AudioForm",
    "Backoff",
    "BatchProtocol",
    "ConnectRequest",
    "Conversation",
    "Event",
    "Failure",
    "Final",
    "Finished",
    "Flushed",
    "FormField",
    "HttpRequest",
    "HttpResponse",
    "Partial",
    "Pcm",
    "ProtocolError",
    "Ready",
    "Recognition",
    "Segment",
    "Settings",
    "SpeechEnded",
    "SpeechStarted",
    "StreamingProtocol",
    "Traits",
    "Usage",
    "Verdict",
    "Wait",
    "WireMessage",
    "Word",
    "judge_close",
    "judge_status",
    "retry_after_seconds",
]
