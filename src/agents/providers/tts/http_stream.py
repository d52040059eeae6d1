"""One text spoken over HTTP, as LiveKit's ``ChunkedStream``."""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import aclosing
from typing import TYPE_CHECKING

import aiohttp
from livekit.agents import APIError, tts
from livekit.agents.types import APIConnectOptions
from livekit.agents.utils import shortuuid

from ..base import ConfigurationError
from ..protocol import Failure, Settings, Verdict
from ..transport.failures import ConnectionFailed, failure_of_exception
from ..transport.quoting import told
from .adapter import failure_of_protocol, is_endless
from .samples import BadAudio
from .text import well_formed

if TYPE_CHECKING:
    from .http import CustomHTTPTTSAdapter

__all__ = ["HTTPSpeechStream"]

logger = logging.getLogger("agents.providers.tts")

# What a subclass' own request can meet on the way, besides bugs.
_TRANSPORT_ERRORS = (aiohttp.ClientError, asyncio.TimeoutError, TimeoutError, ConnectionError, ssl.SSLError)

_SILENCE_SECONDS = 0.01


class HTTPSpeechStream(tts.ChunkedStream):
    """Made by :meth:`.CustomHTTPTTSAdapter.synthesize`. LiveKit calls :meth:`_run` once for every attempt.

    LiveKit also retries after a failure in mid-speech, and would say the beginning again. Here an attempt that
    failed after audio was heard is the last: its error is not retryable.
    """

    def __init__(
        self, adapter: CustomHTTPTTSAdapter, text: str, *, conn_options: APIConnectOptions, settings: Settings
    ) -> None:
        self._adapter = adapter
        self._settings = settings
        super().__init__(tts=adapter, input_text=text, conn_options=conn_options)

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        adapter, text = self._adapter, self._input_text
        output_emitter.initialize(
            request_id=shortuuid(),
            sample_rate=adapter.sample_rate,
            num_channels=1,
            mime_type="audio/pcm",
        )
        if not text.strip():
            return  # nothing to say, and LiveKit expects nothing
        await self._adapter.patience.wait()
        adapter.stats.segments += 1
        adapter.stats.characters += len(text)
        try:
            error = await self._speak(output_emitter)
        except asyncio.CancelledError:
            adapter.stats.cancelled += 1
            raise
        if error is None:
            return
        heard = output_emitter.pushed_duration() > 0
        self._adapter.patience.heed(error)
        adapter.stats.count_failure(retryable=error.retryable, after_audio=heard)
        if heard:
            error.retryable = False
        raise error from None

    async def _speak(self, output_emitter: tts.AudioEmitter) -> APIError | None:
        """Have the text spoken; return why it failed, so that what is raised has no cause to print."""
        adapter, settings, text = self._adapter, self._settings, well_formed(self._input_text)
        heard = 0.0  # seconds
        try:
            async with aclosing(adapter._speech(text, settings, self._conn_options)) as speech:
                async for pcm in speech:
                    output_emitter.push(pcm)
                    seconds = len(pcm) / (2 * adapter.sample_rate)
                    heard += seconds
                    adapter.stats.audio_seconds += seconds
                    if is_endless(heard, len(text)):
                        raise BadAudio("it sends audio without end")
            if not heard and not any(map(str.isalnum, text)):
                # nothing that can be spoken: LiveKit takes a text without audio for an error
                output_emitter.push(bytes(2 * round(_SILENCE_SECONDS * adapter.sample_rate)))
            output_emitter.end_input()
            await output_emitter.join()
            if output_emitter.pushed_duration() > 0:
                return None
            failure = Failure("the answer holds no audio", detail={"malformed": True})
        except APIError as typed:
            return told(typed, [self._input_text])
        except ConnectionFailed as failed:
            failure = failed.failure
        except (BadAudio, ConfigurationError) as wrong:
            failure = Failure(str(wrong), Verdict.PERMANENT, detail={"malformed": True})
        except _TRANSPORT_ERRORS as raw:
            failure = failure_of_exception(raw, settings, doing="receiving audio")
        except Exception as error:
            if adapter.overridden:  # whoever wrote it wants to see it
                raise
            failure = failure_of_protocol(error)
        return told(adapter._api_error(failure, settings), [self._input_text])
