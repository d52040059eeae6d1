"""A telephone call without a telephone: an AgentSession whose caller and listener are this process.

There is no room. The caller's speech goes in through a `Microphone`, in real time and in a room's format (24 kHz
mono, 50 ms frames); the agent's voice comes out of a `Speaker` that plays it in real time, into memory. Both are
on one time axis, seconds since the call began, and so is everything that happens meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from livekit.agents import (
    Agent,
    AgentSession,
    AgentStateChangedEvent,
    CloseEvent,
    ConversationItemAddedEvent,
    ErrorEvent,
    FunctionToolsExecutedEvent,
    UserInputTranscribedEvent,
)
from livekit.agents.llm import LLM, ChatMessage
from livekit.agents.metrics import LLMMetrics, TTSMetrics
from livekit.agents.stt import STT
from livekit.agents.tts import TTS
from livekit.agents.vad import VAD
from livekit.agents.voice.transcription import TranscriptSynchronizer

from .restaurant import INSTRUCTIONS
from .telephone import ROOM_RATE, Clock, Microphone, Samples, Speaker, Subtitles

__all__ = ["Call", "CallRecord", "Line", "Moment", "ToolUse", "Turn", "speech_bounds"]

_PATIENCE_SECONDS = 8.0
"""A caller who got no answer for so long after his last word speaks on."""

_REPLY_SECONDS = 60.0
"""No reply is longer."""

_BREATH_SECONDS = 0.4
"""Between the end of the agent's reply and the caller's next words."""

_LOUD = 0.06
"""Speech begins and ends where the level passes this part of the loudest moment."""


@dataclass(frozen=True)
class Line:
    """What the caller says in one go. ``text`` is what it should be understood as, where that is known."""

    samples: Samples = field(repr=False)
    text: str | None = None


@dataclass(frozen=True)
class ToolUse:
    """A function the language model called. ``arguments`` are JSON as it wrote it."""

    name: str
    arguments: str
    result: str


@dataclass
class Turn:
    """A line of the caller and all that came of it. Times are seconds since the call began."""

    line: Line
    speech_start: float
    speech_end: float
    interims: list[tuple[float, str]] = field(default_factory=list)
    finals: list[tuple[float, str]] = field(default_factory=list)
    heard: str = ""
    """The user turn as AgentSession committed it."""
    reply: str = ""
    reply_start: float | None = None
    reply_end: float | None = None
    tools: list[ToolUse] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    """Seconds from each question to the language model to the first of its answer, as LiveKit measures it."""
    first_sounds: list[float] = field(default_factory=list)
    """Seconds from each text for the voice to its first audio, as LiveKit measures it."""

    @property
    def final_latency(self) -> float | None:
        """Seconds from the end of speech to the last final."""
        return self.finals[-1][0] - self.speech_end if self.finals else None

    @property
    def reply_latency(self) -> float | None:
        """Seconds from the last final before it to the first audio of the reply."""
        before = [at for at, _ in self.finals if self.reply_start is not None and at <= self.reply_start]
        return self.reply_start - before[-1] if self.reply_start is not None and before else None


@dataclass
class CallRecord:
    """A call that is over. ``caller`` and ``agent`` are equally long, at `ROOM_RATE`."""

    turns: list[Turn]
    caller: Samples = field(repr=False)
    agent: Samples = field(repr=False)
    errors: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it was."""
        return len(self.caller) / ROOM_RATE


@dataclass(frozen=True)
class Moment:
    """Something that just happened, for those who watch a call. ``text`` is all of it so far, not what is new."""

    kind: Literal[
        "speaking", "silent", "interim", "final", "heard", "tool", "reply", "reply-audio", "reply-end", "error"
    ]
    at: float
    turn: Turn | None
    text: str = ""


class Call:
    """One call of a caller who says his lines and, after each, lets the agent finish.

    Args:
        stt, llm, tts: what the agent hears, thinks and speaks with. They are not closed.
        vad: finds speech for an *stt* that does not stream; with one, it also decides when a turn is over.
            Without, the STT's own START and END do.
        agent: who is called; one that only talks, unless it is given.
        room_noise: standard deviation of the noise between the caller's words, in steps of 16-bit PCM.
        on_moment: is told at once what happens.
        patience_seconds: how long the caller waits for an answer before he goes on.
    """

    def __init__(
        self,
        *,
        stt: STT[Any],
        llm: LLM[Any],
        tts: TTS[Any],
        vad: VAD | None = None,
        agent: Agent | None = None,
        room_noise: float = 0.0,
        on_moment: Callable[[Moment], None] = lambda moment: None,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        self._stt, self._llm, self._tts = stt, llm, tts
        self._vad = vad
        self._agent = agent or Agent(instructions=INSTRUCTIONS)
        self._room_noise = room_noise
        self._on_moment = on_moment
        self._patience = patience_seconds
        self._turns: list[Turn] = []
        self._errors: list[str] = []
        self._changed = asyncio.Event()
        self._speaking = False
        self._closed = False

    @property
    def now(self) -> float:
        """Seconds since the call began."""
        return self._clock.now()

    @property
    def levels(self) -> tuple[float, float]:
        """How loud caller and agent are at this moment, from 0 to 1."""
        return self._microphone.level, self._speaker.level(self.now)

    @property
    def turns(self) -> Sequence[Turn]:
        """The turns so far."""
        return self._turns

    async def run(self, lines: Sequence[Line]) -> None:
        """Hold the call; `record` is what is left of it, also when this is cancelled.

        A call in which nothing at all can be heard ends after its first line.
        """
        session = self._session()
        self._clock = Clock()
        self._microphone = Microphone(self._clock, self._room_noise)
        self._speaker = Speaker(self._clock)
        self._speaker.on_first_audio = self._on_first_audio
        synchronizer = TranscriptSynchronizer(
            next_in_chain_audio=self._speaker, next_in_chain_text=Subtitles(self._on_reply_text)
        )
        session.input.audio = self._microphone
        session.output.audio = synchronizer.audio_output
        session.output.transcription = synchronizer.text_output
        self._llm.on("metrics_collected", self._on_llm_metrics)
        self._tts.on("metrics_collected", self._on_tts_metrics)
        try:
            await session.start(self._agent)
            await self._pause(_BREATH_SECONDS)
            for line in lines:
                if self._closed or self._is_deaf():
                    break
                await self._speak(line)
        finally:
            self._microphone.hang_up()
            await session.aclose()
            await synchronizer.aclose()
            self._speaker.aclose()
            self._llm.off("metrics_collected", self._on_llm_metrics)
            self._tts.off("metrics_collected", self._on_tts_metrics)

    def record(self) -> CallRecord:
        """The call so far."""
        caller = np.concatenate([*self._microphone.recorded, np.empty(0, np.int16)])
        return CallRecord(self._turns, caller, self._speaker.track(len(caller)), self._errors)

    def _session(self) -> AgentSession[None]:
        session: AgentSession[None] = AgentSession(
            stt=self._stt,
            llm=self._llm,
            tts=self._tts,
            vad=self._vad,
            turn_handling={
                "turn_detection": "vad" if self._vad else "stt",
                # the STT has waited for its own pause when it says that speech is over
                "endpointing": {"min_delay": 0.3 if self._vad else 0.1, "max_delay": 2.0},
                "interruption": {"resume_false_interruption": False},
            },
            user_away_timeout=None,
            # it would mute the caller while the agent first speaks; there is no echo here
            aec_warmup_duration=None,
            # who hangs up has said all: what he said last was answered, or long enough waited for
            session_close_transcript_timeout=0.1,
        )
        session.on("user_input_transcribed", self._on_transcribed)
        session.on("conversation_item_added", self._on_item)
        session.on("agent_state_changed", self._on_agent_state)
        session.on("function_tools_executed", self._on_tools)
        session.on("error", self._on_error)
        session.on("close", self._on_close)
        return session

    async def _speak(self, line: Line) -> None:
        """Say one line and wait until it is answered, or long enough."""
        start = self._microphone.position
        first, last = speech_bounds(line.samples)
        turn = Turn(line, speech_start=start + first, speech_end=start + last)
        self._turns.append(turn)
        self._tell("speaking")
        await self._microphone.say(line.samples)
        self._tell("silent")
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._wait(lambda: turn.reply_start is not None), self._patience)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._wait(lambda: not self._speaking), _REPLY_SECONDS)
        await self._pause(_BREATH_SECONDS)

    async def _wait(self, is_so: Callable[[], bool]) -> None:
        while not is_so() and not self._closed:
            self._changed.clear()
            await self._changed.wait()

    async def _pause(self, seconds: float) -> None:
        if not self._closed:
            await self._microphone.say(np.empty(0, np.int16))
            await asyncio.sleep(seconds)

    def _tell(self, kind: Any, text: str = "", *, turn: Turn | None = None) -> None:
        turn = turn or (self._turns[-1] if self._turns else None)
        self._changed.set()
        self._on_moment(Moment(kind, self._clock.now(), turn, text))

    def _on_transcribed(self, event: UserInputTranscribedEvent) -> None:
        if not self._turns or not event.transcript.strip():
            return
        heard = self._turns[-1].finals if event.is_final else self._turns[-1].interims
        heard.append((self._clock.now(), event.transcript))
        self._tell("final" if event.is_final else "interim", event.transcript)

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        item = event.item
        if not isinstance(item, ChatMessage) or not self._turns:
            return
        turn = self._turns[-1]
        if item.role == "user":
            turn.heard = f"{turn.heard} {item.text_content or ''}".strip()
            self._tell("heard", turn.heard)

    def _on_tools(self, event: FunctionToolsExecutedEvent) -> None:
        for called, output in event.zipped() if self._turns else ():
            used = ToolUse(called.name, called.arguments, output.output)
            self._turns[-1].tools.append(used)
            self._tell("tool", f"{used.name} {used.arguments}: {used.result}")

    def _on_llm_metrics(self, metrics: LLMMetrics) -> None:
        if self._turns and metrics.ttft >= 0:  # it is -1 when no answer came
            self._turns[-1].first_tokens.append(metrics.ttft)

    def _on_tts_metrics(self, metrics: TTSMetrics) -> None:
        if self._turns and metrics.ttfb >= 0:
            self._turns[-1].first_sounds.append(metrics.ttfb)

    def _on_first_audio(self, at: float) -> None:
        if self._turns:
            self._speaking = True
            if self._turns[-1].reply_start is None:
                self._turns[-1].reply_start = at
            self._tell("reply-audio")

    def _on_reply_text(self, text: str) -> None:
        if self._turns:
            self._turns[-1].reply += text
            self._tell("reply", self._turns[-1].reply)

    def _on_agent_state(self, event: AgentStateChangedEvent) -> None:
        if event.old_state == "speaking" and self._turns:
            turn = self._turns[-1]
            self._speaking = False
            turn.reply = " ".join(turn.reply.split())
            turn.reply_end = self._clock.now()
            self._tell("reply-end", turn.reply)

    def _on_error(self, event: ErrorEvent) -> None:
        problem = getattr(event.error, "error", event.error)
        text = str(getattr(problem, "message", "") or problem)
        self._errors.append(text)
        self._tell("error", text)

    def _on_close(self, event: CloseEvent) -> None:
        self._closed = True
        self._changed.set()
        self._microphone.hang_up()

    def _is_deaf(self) -> bool:
        return bool(self._errors and self._turns and not any(turn.finals for turn in self._turns))


def speech_bounds(samples: Samples) -> tuple[float, float]:
    """Where speech begins and ends in *samples* (at `ROOM_RATE`), in seconds; all of it when it is silent."""
    step = ROOM_RATE // 100
    whole = len(samples) - len(samples) % step
    if not whole:
        return 0.0, len(samples) / ROOM_RATE
    levels = np.sqrt(np.mean(samples[:whole].reshape(-1, step).astype(np.float64) ** 2, axis=1))
    loud = np.flatnonzero(levels > _LOUD * levels.max())
    if not len(loud):
        return 0.0, len(samples) / ROOM_RATE
    return float(loud[0] * step / ROOM_RATE), float((loud[-1] + 1) * step / ROOM_RATE)
