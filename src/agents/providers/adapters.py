"""The public adapter classes: LiveKit's interfaces for any vendor, ready for AgentSession and for subclasses."""

from __future__ import annotations

from .llm.http import CustomHTTPLLMAdapter
from .stt.adapter import STTAdapter
from .stt.http import CustomHTTPSTTAdapter
from .stt.streaming import CustomWebSocketSTTAdapter
from .stt.websocket import WebSocketSpeechStream
from .tts.adapter import TTSAdapter
from .tts.http import CustomHTTPTTSAdapter
from .tts.websocket import CustomWebSocketTTSAdapter
from .wrappers.cached import CachedSTTAdapter, MemoryCache, RedisCache
from .wrappers.failover import FailoverSTTAdapter
from .wrappers.metered import MeteredSTTAdapter
from .wrappers.retryable import RetryableSTTAdapter

__all__ = [
    "CachedSTTAdapter",
    "CustomHTTPLLMAdapter",
    "CustomHTTPSTTAdapter",
    "CustomHTTPTTSAdapter",
    "CustomWebSocketSTTAdapter",
    "CustomWebSocketTTSAdapter",
    "FailoverSTTAdapter",
    "MemoryCache",
    "MeteredSTTAdapter",
    "RedisCache",
    "RetryableSTTAdapter",
    "STTAdapter",
    "TTSAdapter",
    "WebSocketSpeechStream",
]
