"""The embedded server's AssemblyAI dialects, spoken to by AssemblyAI's own client and by LiveKit's plugin."""

from __future__ import annotations

import asyncio
import functools
import itertools
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import aiohttp
import assemblyai as aai
import pytest
from assemblyai.streaming.v3 import (
    BeginEvent,
    RealTimeError,
    SpeechStartedEvent,
    StreamingClient,
    StreamingClientOptions,
    StreamingEvents,
    StreamingParameters,
    StreamingSessionParameters,
    TerminationEvent,
    TurnEvent,
)
from conformance import API_KEY
from livekit.agents import stt
from livekit.plugins import assemblyai as plugin
from spoken_lines import LINES, RATE, plain, push, silence, spoken

from agents.providers.local import ServerProcess
from agents.providers.protocol import Pcm

# the client's own use of pydantic and httpx
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

_T = TypeVar("_T")
CHUNK = RATE * 50 // 1000 * 2


async def in_thread(work: Callable[[], _T]) -> _T:
    """The client is synchronous; a test that hangs must still end."""
    return await asyncio.wait_for(asyncio.to_thread(work), 40)


class Heard:
    """A streaming session of the client, and what its handlers were called with."""

    def __init__(self, server: ServerProcess, *, key: str | None = API_KEY, token: str | None = None) -> None:
        options = StreamingClientOptions(api_key=key, token=token, api_host=server.ws_url, terminate_timeout=20)
        self.client = StreamingClient(options)
        self.events: list[Any] = []
        self._changed = threading.Condition()
        for kind in StreamingEvents:
            self.client.on(kind, self._hear)

    def _hear(self, client: Any, event: Any) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def of(self, kind: type[_T]) -> list[_T]:
        return [event for event in self.events if isinstance(event, kind)]

    def wait_for(self, kind: type[Any], test: Callable[[Any], bool] = lambda event: True) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: any(test(e) for e in self.of(kind)), 20), self.events

    def say(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), CHUNK):
            piece = pcm[at : at + CHUNK]
            self.client.stream(piece + bytes(CHUNK - len(piece)))


def hold(server: ServerProcess, talk: Callable[[Heard], None], **given: Any) -> Heard:
    """Connect, talk, and end the session in order."""
    heard = Heard(server)
    heard.client.connect(StreamingParameters(sample_rate=RATE, **given))
    try:
        talk(heard)
    finally:
        heard.client.disconnect(terminate=True)
    return heard


async def test_the_newest_models_send_formatted_turns_and_announce_speech(server: ServerProcess) -> None:
    def talk(heard: Heard) -> None:
        heard.say(spoken(LINES[0]) + silence(0.9))
        heard.wait_for(TurnEvent, lambda turn: turn.end_of_turn)
        heard.client.keep_alive()  # type: ignore[no-untyped-call, unused-ignore]
        heard.client.set_params(StreamingSessionParameters(keyterms_prompt=["parking"], max_turn_silence=900))
        heard.say(spoken(LINES[1]))
        heard.client.force_endpoint()  # type: ignore[no-untyped-call, unused-ignore]
        heard.wait_for(TurnEvent, lambda turn: turn.end_of_turn and turn.turn_order == 1)
        heard.say(spoken(LINES[2]))

    heard = await in_thread(
        functools.partial(
            hold, server, talk, speaker_labels=True, language_detection=True, keyterms_prompt=["a b"]
        )
    )
    assert not heard.of(RealTimeError)
    finals = [turn for turn in heard.of(TurnEvent) if turn.end_of_turn]
    assert [plain(turn.transcript) for turn in finals] == list(LINES)
    assert [turn.turn_order for turn in finals] == [0, 1, 2]
    assert all(turn.turn_is_formatted and turn.transcript.endswith(".") for turn in finals)
    assert {turn.speaker_label for turn in finals} == {"A"}
    assert {turn.language_code for turn in finals} == {"en"}
    words = [word for turn in finals for word in turn.words]
    assert all(a.end <= b.start + 60 for a, b in itertools.pairwise(words))
    assert len(heard.of(SpeechStartedEvent)) == 3
    assert heard.of(BeginEvent)[0].id
    spoken_ms = sum(len(spoken(line)) for line in LINES) / 32 + 900
    assert heard.of(TerminationEvent)[0].audio_duration_seconds == pytest.approx(spoken_ms / 1000, abs=1)


async def test_the_older_models_send_a_turn_twice_when_it_is_to_be_formatted(server: ServerProcess) -> None:
    """First as it was heard, then formatted; the transcript of an interim leaves out what may change."""
    heard = await in_thread(
        functools.partial(
            hold,
            server,
            lambda heard: heard.say(spoken(LINES[2])),
            speech_model="universal-streaming-english",
            format_turns=True,
        )
    )
    turns = heard.of(TurnEvent)
    ends = [turn for turn in turns if turn.end_of_turn]
    assert [turn.turn_is_formatted for turn in ends] == [False, True]
    assert ends[0].transcript == LINES[2]
    assert ends[1].transcript != LINES[2] == plain(ends[1].transcript)
    interims = [turn for turn in turns if not all(word.word_is_final for word in turn.words)]
    assert interims
    assert {turn.transcript for turn in interims} == {""}
    assert not heard.of(SpeechStartedEvent)


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ({"keyterms_prompt": [str(number) for number in range(101)]}, 3006, "keyterms_prompt"),
        ({"agent_context": "x" * 1751}, 3006, "1750"),
        ({"language_codes": ["fr"]}, 3006, "fr"),
        ({"encoding": "opus"}, 3006, "opus"),
    ],
)
async def test_what_it_does_not_take_is_said_in_band(
    server: ServerProcess, given: dict[str, Any], code: int, said: str
) -> None:
    def talk(heard: Heard) -> None:
        heard.wait_for(RealTimeError)

    error = (await in_thread(functools.partial(hold, server, talk, **given))).of(RealTimeError)[0]
    assert error.code == code
    assert said in str(error)


async def test_audio_that_is_too_short_is_refused(server: ServerProcess) -> None:
    def talk(heard: Heard) -> None:
        heard.client.stream(bytes(640))
        heard.wait_for(RealTimeError)

    error = (await in_thread(functools.partial(hold, server, talk))).of(RealTimeError)[0]
    assert error.code == 3007
    assert "20.0 ms. Expected between 50 and 1000 ms" in str(error)


async def test_credentials_are_checked_after_the_upgrade(server: ServerProcess) -> None:
    """A token opens one session; a key is the bare header."""

    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": API_KEY}
        async with session.get(f"{server.url}/v3/token?expires_in_seconds=60", headers=headers) as reply:
            token = (await reply.json())["token"]
        async with session.get(f"{server.url}/v3/token?expires_in_seconds=0", headers=headers) as reply:
            assert reply.status == 422

    def connect(key: str | None, token: str | None) -> list[Any]:
        heard = Heard(server, key=key, token=token)
        given: dict[str, Any] = {"sample_rate": RATE}
        heard.client.connect(StreamingParameters(**given))
        heard.wait_for(object)
        heard.client.disconnect(terminate=True)
        return heard.events

    assert isinstance((await in_thread(lambda: connect(None, token)))[0], BeginEvent)
    again = (await in_thread(lambda: connect(None, token)))[0]
    assert isinstance(again, RealTimeError)
    assert again.code == 1008
    wrong = (await in_thread(lambda: connect("wrong", None)))[0]
    assert wrong.code == 1008
    assert "Invalid API key" in str(wrong)


async def test_a_recording_is_transcribed_as_a_job(server: ServerProcess) -> None:
    client = aai.Client(settings=aai.Settings(base_url=server.url, api_key=API_KEY, polling_interval=0.05))
    wav = _wav(spoken(LINES[0]))

    def work() -> aai.Transcript:
        config = aai.TranscriptionConfig(language_code="en", speaker_labels=True)
        return aai.Transcriber(client=client, config=config).transcribe(wav)

    transcript = await in_thread(work)
    assert transcript.status is aai.TranscriptStatus.completed
    assert transcript.text == LINES[0]
    assert [word.text for word in transcript.words or ()] == LINES[0].split()
    assert (transcript.words or [])[-1].end <= len(wav) / 32
    assert [u.speaker for u in transcript.utterances or ()] == ["A"]
    broken = await in_thread(lambda: aai.Transcriber(client=client).transcribe(b"no audio at all"))
    assert broken.status is aai.TranscriptStatus.error
    assert broken.error
    wrong = aai.Client(settings=aai.Settings(base_url=server.url, api_key="wrong"))
    with pytest.raises(aai.TranscriptError) as caught:
        await in_thread(lambda: aai.Transcriber(client=wrong).transcribe(wav))
    assert caught.value.status_code == 401
    for each in (client, wrong):
        each.http_client.close()


async def test_a_recording_is_transcribed_at_once(server: ServerProcess) -> None:
    client = aai.Client(settings=aai.Settings(sync_base_url=server.url, api_key=API_KEY))
    transcriber = aai.SyncTranscriber(client=client)
    pcm = spoken(LINES[0])
    try:
        config = aai.SyncTranscriptionConfig(timestamps=True, sample_rate=RATE, channels=1, language_codes=["en"])
        timed = await in_thread(lambda: transcriber.transcribe(pcm, config))
        assert timed.text == LINES[0]
        assert [word.text for word in timed.words] == LINES[0].split()
        assert timed.words[0].start is not None
        assert timed.audio_duration_ms == pytest.approx(len(pcm) / 32, abs=1)
        plain_wav = await in_thread(lambda: transcriber.transcribe(_wav(pcm)))
        assert plain_wav.words[0].start is None
        with pytest.raises(aai.SyncTranscriptError) as caught:
            await in_thread(lambda: transcriber.transcribe(b"no audio at all"))
        assert (caught.value.status_code, caught.value.error_code) == (400, "bad_audio")
    finally:
        client.http_client.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


async def test_livekits_plugin_understands_it(server: ServerProcess, session: aiohttp.ClientSession) -> None:
    native = plugin.STT(api_key=API_KEY, base_url=server.ws_url, http_session=session, language_codes=["en"])
    stream = native.stream()
    # whole chunks: the plugin sends what is left at the end as a message that is too short
    pcm = spoken(LINES[0]) + silence(0.9)
    push(stream, pcm[: len(pcm) // CHUNK * CHUNK])
    stream.end_input()
    events = [event async for event in stream]
    await stream.aclose()
    await native.aclose()
    kinds = [event.type for event in events]
    assert kinds[0] is stt.SpeechEventType.START_OF_SPEECH
    finals = [e.alternatives[0] for e in events if e.type is stt.SpeechEventType.FINAL_TRANSCRIPT]
    assert [plain(final.text) for final in finals] == [LINES[0]]
    assert 0 < finals[0].start_time < finals[0].end_time < len(pcm) / 2 / RATE


def _wav(pcm: bytes) -> bytes:
    return Pcm(pcm, RATE).wav()
