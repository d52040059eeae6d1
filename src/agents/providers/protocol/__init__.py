"""The vendor-neutral language between wire formats and the engine. Nothing in this room does I/O.

A vendor that hears is a :class:`StreamingProtocol` or a :class:`BatchProtocol`, one that speaks is a
:class:`StreamingSynthesisProtocol` or a :class:`SynthesisProtocol`, one that thinks is a :class:`ChatProtocol`.
All are plain objects: a test drives them with bytes and no event loop.
"""

from .audio import AudioForm, Pcm
from .batch import BatchProtocol, FormField, HttpRequest, HttpResponse, JobFailed, Recognition, Wait
from .chat import (
    Chat,
    ChatEvent,
    ChatProtocol,
    ChatReader,
    Stopped,
    TextDelta,
    TokenUsage,
    ToolCall,
)
from .decoding import decode_json
from .events import (
    Event,
    Failure,
    Final,
    Finished,
    Flushed,
    LazyWords,
    Partial,
    Ready,
    Segment,
    SpeechEnded,
    SpeechStarted,
    Usage,
    Word,
)
from .media import form_of, is_audio, is_page
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
from .synthesis import (
    AnswerReader,
    Audio,
    SegmentDone,
    SpokenWords,
    StreamingSynthesisProtocol,
    SynthesisConversation,
    SynthesisEvent,
    SynthesisForm,
    SynthesisProtocol,
    SynthesisTraits,
)

__all__ = [
    "AnswerReader",
    "Audio",
    "AudioForm",
    "Backoff",
    "BatchProtocol",
    "Chat",
    "ChatEvent",
    "ChatProtocol",
    "ChatReader",
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
    "JobFailed",
    "LazyWords",
    "Partial",
    "Pcm",
    "ProtocolError",
    "Ready",
    "Recognition",
    "Segment",
    "SegmentDone",
    "Settings",
    "SpeechEnded",
    "SpeechStarted",
    "SpokenWords",
    "Stopped",
    "StreamingProtocol",
    "StreamingSynthesisProtocol",
    "SynthesisConversation",
    "SynthesisEvent",
    "SynthesisForm",
    "SynthesisProtocol",
    "SynthesisTraits",
    "TextDelta",
    "TokenUsage",
    "ToolCall",
    "Traits",
    "Usage",
    "Verdict",
    "Wait",
    "WireMessage",
    "Word",
    "decode_json",
    "form_of",
    "is_audio",
    "is_page",
    "judge_close",
    "judge_status",
    "retry_after_seconds",
]
