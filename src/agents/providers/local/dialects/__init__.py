"""The vendors' ways of speaking that the embedded server answers in; one module each."""

from __future__ import annotations

from .assemblyai_batch import AssemblyAIBatch
from .assemblyai_streaming import AssemblyAIStreaming
from .assemblyai_sync import AssemblyAISync
from .aws_transcribe import AmazonTranscribe
from .azure import Azure
from .base import Dialect, RequestFailed, Services
from .deepgram import Deepgram
from .generic_http import GenericHttp
from .generic_ws import GenericWebSocket
from .google_base import GoogleTokens
from .google_speech import GoogleSpeechV1, GoogleSpeechV2
from .openai_chat import OpenAIChat
from .openai_realtime import OpenAIRealtime
from .openai_speech import OpenAISpeech
from .openai_transcriptions import OpenAITranscriptions

__all__ = ["DIALECTS", "Dialect", "RequestFailed", "Services"]

DIALECTS: tuple[type[Dialect], ...] = (
    AssemblyAIBatch,
    AssemblyAIStreaming,
    AssemblyAISync,
    AmazonTranscribe,
    Azure,
    Deepgram,
    GenericHttp,
    GenericWebSocket,
    GoogleSpeechV1,
    GoogleSpeechV2,
    GoogleTokens,
    OpenAIRealtime,
    OpenAITranscriptions,
    OpenAISpeech,
    OpenAIChat,
)
"""What a server answers in unless it is told otherwise."""
