"""Azure's Speech WebSocket protocol (USP) from the service's side: messages with headers, and turns of audio.

A client opens a turn with ``speech.context`` and sends ``audio`` under the turn's ``X-RequestId``; every answer
echoes it. Offsets are ticks of 100 ns from the first sample *of the turn*. The service ends a turn after a long
silence, after the last audio, and in interactive mode after one phrase; the client then opens the next one and
sends again what no ``speech.phrase`` has covered (``RequestSession.ts`` and ``ReplayableAudioNode.ts`` of the
public JavaScript SDK). How long the silences are: https://github.com/Azure-Samples/cognitive-services-speech-sdk/issues/502
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web

from ..recogniser import (
    Busy,
    Final,
    Flushed,
    Partial,
    RecogniserSession,
    SpeechEnded,
    SpeechStarted,
)
from .azure_messages import BadMessage, Form, Message, json_object, part, read_riff
from .base import RequestFailed, Services, failure_of

__all__ = ["Conversation"]

logger = logging.getLogger(__name__)

_LOUD_PEAK = 1000  # of 32767; quieter audio is the room
_TICKS = 10_000_000
_INITIAL_SILENCE_SECONDS = {"interactive": 5.0}
_END_SILENCE_SECONDS = {"interactive": 5.0}
_DEFAULT_INITIAL_SILENCE = 15.0
_DEFAULT_END_SILENCE = 20.0


class _Turn:
    """The audio under one request id, and what has been heard in it."""

    def __init__(self, request_id: str, session: RecogniserSession, form: Form, language: str) -> None:
        self.request_id = request_id
        self.session = session
        self.form = form
        self.language = language
        self.results: asyncio.Task[None] | None = None
        self.rate = 0  # Hz; 0 until the RIFF header came
        self.frame_bytes = 2
        self.heard = 0  # samples given to the recogniser
        self.last_loud: int | None = None
        self.speech = False  # between startDetected and endDetected
        self.closing = False  # no more audio is taken

    @property
    def seconds(self) -> float:
        return self.heard / self.rate if self.rate else 0.0

    def take(self, pcm: bytes) -> None:
        """Note how much came and whether anybody may have spoken in it."""
        self.heard += len(pcm) // self.frame_bytes
        samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2")
        if samples.size and max(int(samples.max()), -int(samples.min())) > _LOUD_PEAK:
            self.last_loud = self.heard


class Conversation:
    """One connected client. *session* is the recogniser of the first turn."""

    def __init__(
        self, services: Services, socket: web.WebSocketResponse, session: RecogniserSession, request: web.Request
    ) -> None:
        self._services = services
        self._socket = socket
        self._transport = request.transport
        self._query = request.query
        self._spare: RecogniserSession | None = session
        parts = request.path.split("/")
        mode = parts[3] if parts[1:3] == ["speech", "recognition"] else "conversation"
        self._single = mode == "interactive"
        self._initial_silence = self._milliseconds(
            "initialSilenceTimeoutMs", _INITIAL_SILENCE_SECONDS.get(mode, _DEFAULT_INITIAL_SILENCE)
        )
        self._end_silence = self._milliseconds(
            "endSilenceTimeoutMs", _END_SILENCE_SECONDS.get(mode, _DEFAULT_END_SILENCE)
        )
        self._context: dict[str, Any] = {}
        self._turn: _Turn | None = None
        self._over: set[str] = set()  # requests whose turn has ended
        self._failed: Exception | None = None

    def _milliseconds(self, name: str, default: float) -> float:
        text = self._query.get(name)
        if text is None:
            return default
        if not text.isdigit():
            raise RequestFailed(400, f"{name}={text!r} is not a number of milliseconds")
        return int(text) / 1000

    async def run(self) -> None:
        """Talk until the client leaves."""
        try:
            while (message := await self._receive()) is not None:
                await self._obey(message)
                if self._failed is not None:
                    raise self._failed
        except (ConnectionError, asyncio.TimeoutError) as error:
            logger.info("a client is gone: %s", error or "it takes no results")
            self._drop()
        except Exception as error:
            await self._fail(error)

    async def aclose(self) -> None:
        """Give every decoder back."""
        turn, self._turn = self._turn, None
        if turn is not None:
            if turn.results is not None:
                turn.results.cancel()
                await asyncio.gather(turn.results, return_exceptions=True)
            await turn.session.aclose()
        if self._spare is not None:
            await self._spare.aclose()

    # ------------------------------------------------------------------ in

    async def _receive(self) -> Message | None:
        idle = self._services.options.idle_seconds
        try:
            raw = await asyncio.wait_for(self._socket.receive(), idle)
        except asyncio.TimeoutError:
            raise RequestFailed(408, f"nothing was sent for {idle:g} s") from None
        if raw.type == WSMsgType.TEXT:
            return Message.from_text(raw.data)
        if raw.type == WSMsgType.BINARY:
            return Message.from_bytes(raw.data)
        return None

    async def _obey(self, message: Message) -> None:
        if message.path == "speech.config":
            json_object(message.body, "speech.config")
        elif message.path == "speech.context":
            self._context = json_object(message.body, "speech.context")
            if message.request_id and self._turn is None:
                await self._open_turn(message.request_id)
        elif message.path == "audio":
            await self._audio(message)
        elif message.path not in ("telemetry", "speech.agent", "agent.config"):
            raise BadMessage(f"unknown path {message.path!r}")

    async def _open_turn(self, request_id: str) -> _Turn:
        session, self._spare = self._spare, None
        if session is None:
            session = await self._services.recogniser.open(wait_seconds=1.0)
        form = Form.of(self._query, self._context)
        turn = self._turn = _Turn(request_id, session, form, self._language())
        await self._send(turn, "turn.start", {"context": {"serviceTag": secrets.token_hex(16)}})
        return turn

    def _language(self) -> str:
        """What the client says is spoken: the first candidate the recogniser knows, or the one language."""
        known = self._services.recogniser.languages
        for candidate in part(self._context, "languageId").get("languages") or []:
            if known is None or str(candidate).partition("-")[0].lower() in known:
                return str(candidate)
        return self._query.get("language", "en-US")

    async def _audio(self, message: Message) -> None:
        if not message.request_id:
            raise BadMessage("audio without X-RequestId")
        if message.request_id in self._over:
            return  # was under way when the turn ended
        turn = self._turn
        if turn is None:
            turn = await self._open_turn(message.request_id)
        if message.request_id != turn.request_id:
            raise BadMessage("audio for another request before turn.end")
        if turn.closing:
            return
        if not message.body:
            turn.closing = True
            await self._end_audio(turn)
        elif not turn.rate:
            await self._begin_audio(turn, message.body)
        else:
            await self._feed(turn, message.body)

    async def _begin_audio(self, turn: _Turn, data: bytes) -> None:
        rate, channels, rest = read_riff(data)
        turn.rate, turn.frame_bytes = rate, 2 * channels
        turn.session.configure(sample_rate=rate, channels=channels, interim=turn.form.interim)
        turn.results = asyncio.ensure_future(self._send_results(turn))
        if rest:
            await self._feed(turn, rest)

    async def _feed(self, turn: _Turn, pcm: bytes) -> None:
        turn.take(pcm)
        await turn.session.accept(pcm)
        silent_since, patience = 0, self._initial_silence
        if turn.last_loud is not None:
            silent_since, patience = turn.last_loud, self._end_silence
        if turn.heard - silent_since >= patience * turn.rate and not turn.closing:
            turn.closing = True
            await turn.session.flush()  # what it answers tells that all was heard up to here

    async def _end_audio(self, turn: _Turn) -> None:
        if turn.results is None:  # no audio at all
            await self._finish(turn)
        else:
            await turn.session.end()

    # ------------------------------------------------------------------ out

    async def _send_results(self, turn: _Turn) -> None:
        try:
            async for result in turn.session.results():
                if isinstance(result, SpeechStarted):
                    if not turn.speech:
                        turn.speech = True
                        await self._send(turn, "speech.startDetected", {"Offset": _ticks(result.at)})
                elif isinstance(result, Partial):
                    await self._send(turn, "speech.hypothesis", _hypothesis(turn, result))
                elif isinstance(result, Final):
                    await self._send(turn, "speech.phrase", _phrase(turn, result))
                    if self._single:
                        return await self._finish(turn, ended=True)
                elif isinstance(result, Flushed):
                    return await self._finish(turn)
                else:
                    assert isinstance(result, SpeechEnded)  # said after a longer silence
            await self._finish(turn)
        except (ConnectionError, asyncio.TimeoutError) as error:
            logger.info("a client is gone: %s", error or "it takes no results")
            self._drop()
        except Exception as error:
            self._failed = error
            with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
                await self._send(turn, "speech.phrase", {"RecognitionStatus": "Error", "Offset": 0, "Duration": 0})
            await self._fail(error)

    async def _finish(self, turn: _Turn, *, ended: bool = False) -> None:
        """End the turn; *ended* when its phrase has said so already."""
        turn.closing = True
        offset = _ticks(turn.seconds)
        if turn.speech:
            await self._send(turn, "speech.endDetected", {"Offset": offset})
        if not ended:
            silence = turn.last_loud is None and turn.seconds >= self._initial_silence
            status = "InitialSilenceTimeout" if silence else "NoMatch" if self._single else "EndOfDictation"
            await self._send(turn, "speech.phrase", {"RecognitionStatus": status, "Offset": offset, "Duration": 0})
        self._over.add(turn.request_id)
        self._turn = None
        await turn.session.aclose()
        await self._send(turn, "turn.end", {})

    async def _send(self, turn: _Turn, path: str, body: dict[str, Any]) -> None:
        head = (
            f"X-RequestId:{turn.request_id}\r\nContent-Type:application/json; charset=utf-8\r\nPath:{path}\r\n\r\n"
        )
        send = self._socket.send_str(head + json.dumps(body))
        await asyncio.wait_for(send, self._services.options.send_seconds)

    async def _fail(self, error: Exception) -> None:
        failure = failure_of(error)
        if isinstance(error, BadMessage) or (failure is not None and failure.status in (400, 413)):
            code, reason = 1007, str(error)
        elif isinstance(error, Busy):
            code, reason = 4429, "too many requests"
        elif failure is not None and failure.status == 408:
            code, reason = 1000, str(error)
        else:
            logger.error("a stream failed", exc_info=error)
            code, reason = 1011, "the server failed on this stream; its log says why"
        try:
            await self._socket.close(code=code, message=reason.encode()[:120])
        except (ConnectionError, asyncio.TimeoutError):
            self._drop()

    def _drop(self) -> None:
        """Cut the connection: a close frame would wait behind what the client does not read."""
        if self._transport is not None:
            self._transport.abort()


def _ticks(seconds: float) -> int:
    return round(seconds * _TICKS)


def _span(start: float, end: float) -> dict[str, int]:
    return {"Offset": _ticks(start), "Duration": _ticks(end) - _ticks(start)}


def _whose(turn: _Turn) -> dict[str, Any]:
    """Language and speaker, where the client asked for them. There is one speaker: nobody is told apart."""
    whose: dict[str, Any] = {"Channel": 0}
    if turn.form.detects_language:
        whose["PrimaryLanguage"] = {"Language": turn.language, "Confidence": "Unknown"}
    if turn.form.diarizes:
        whose["SpeakerId"] = "Guest-1"
    return whose


def _hypothesis(turn: _Turn, partial: Partial) -> dict[str, Any]:
    return {"Id": secrets.token_hex(16), "Text": partial.text, **_span(partial.start, partial.end), **_whose(turn)}


def _phrase(turn: _Turn, final: Final) -> dict[str, Any]:
    phrase: dict[str, Any] = {
        "Id": secrets.token_hex(16),
        "RecognitionStatus": "Success",
        "DisplayText": final.text,
        **_span(final.start, final.end),
        **_whose(turn),
    }
    if turn.form.detailed:
        best: dict[str, Any] = {"Confidence": final.confidence}
        best |= dict.fromkeys(("Lexical", "ITN", "MaskedITN", "Display"), final.text)
        if turn.form.word_times:
            best["Words"] = [{"Word": word.text, **_span(word.start, word.end)} for word in final.words]
        if turn.form.word_times and turn.form.word_confidence:
            best["Words"] = [
                {**written, "Confidence": word.confidence}
                for written, word in zip(best["Words"], final.words, strict=True)
            ]
        phrase["NBest"] = [best]
    return phrase
