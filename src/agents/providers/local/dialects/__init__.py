"""The vendors' ways of speaking that the embedded server answers in; one module each."""

from __future__ import annotations

from .assemblyai_batch import AssemblyAIBatch
from .assemblyai_streaming import AssemblyAIStreaming
from .assemblyai_sync import AssemblyAISync
from .aws_jobs import AmazonJobs
from .aws_transcribe import AmazonTranscribe
from .azure import Azure
from .base import Dialect, RequestFailed, Services
from .cartesia import Cartesia
from .deepgram import Deepgram
from .elevenlabs import ElevenLabs
from .funasr import FunASR
from .generic_http import GenericHttp
from .generic_speech import GenericSpeech
from .generic_ws import GenericWebSocket
from .google_base import GoogleTokens
from .google_long import GoogleLong
from .google_speech import GoogleSpeechV1, GoogleSpeechV2
from .jambonz import Jambonz
from .jambonz_speech import JambonzSpeech
from .ollama import Ollama
from .openai_chat import OpenAIChat
from .openai_realtime import OpenAIRealtime
from .openai_speech import OpenAISpeech
from .openai_transcriptions import OpenAITranscriptions
from .sherpa_onnx import SherpaOnnx, SherpaOnnxPython
from .vosk import Vosk
from .whisperlive import WhisperLive

__all__ = ["DIALECTS", "Dialect", "RequestFailed", "Services"]

DIALECTS: tuple[type[Dialect], ...] = (
    AssemblyAIBatch,
    AssemblyAIStreaming,
    AssemblyAISync,
    AmazonJobs,
    AmazonTranscribe,
    Azure,
    Cartesia,
    Deepgram,
    ElevenLabs,
    FunASR,
    GenericHttp,
    GenericSpeech,
    GenericWebSocket,
    GoogleLong,
    GoogleSpeechV1,
    GoogleSpeechV2,
    GoogleTokens,
    OpenAIRealtime,
    Jambonz,
    Ollama,
    JambonzSpeech,
    OpenAITranscriptions,
    OpenAISpeech,
    OpenAIChat,
    SherpaOnnx,
    SherpaOnnxPython,
    Vosk,
    WhisperLive,
)
"""What a server answers in unless it is told otherwise."""
