"""The embedded server's Azure dialect, held to the clients there are.

The WebSocket to Microsoft's own client and to LiveKit's plugin, which wraps it; fast transcription to Microsoft's
azure-ai-transcription; tokens and short audio to SpeechRecognition, for Microsoft has no client for these.
"""

from __future__ import annotations

import asyncio
import json
import threading
import warnings
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import azure.cognitiveservices.speech as speechsdk
import pytest
from azure.ai.transcription import TranscriptionClient
from azure.ai.transcription.models import (
    PhraseListProperties,
    TranscriptionContent,
    TranscriptionDiarizationOptions,
    TranscriptionOptions,
    TranscriptionResult,
)
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError
from conformance import API_KEY, Server
from livekit.plugins import azure
from spoken_lines import LINES, RATE, plain, push, silence, spoken
from talks import ONCE, Kind

from agents.providers.protocol import Pcm

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports modules of the standard library that will go
    import speech_recognition

Configure = Callable[[speechsdk.SpeechConfig], None]
TICKS = 10_000_000
SECONDS = 20


def _nothing(config: speechsdk.SpeechConfig) -> None: ...


def _talk(
    server: Server,
    pcm: bytes,
    *,
    configure: Configure = _nothing,
    make: Callable[..., Any] = speechsdk.SpeechRecognizer,
    key: str = API_KEY,
    keyterms: tuple[str, ...] = (),
    **options: Any,
) -> dict[str, list[Any]]:
    """Send *pcm* at once and answer the events until the session stops, by name."""
    config = speechsdk.SpeechConfig(host=server.ws_url, subscription=key)
    configure(config)
    audio = speechsdk.audio.PushAudioInputStream(speechsdk.audio.AudioStreamFormat(RATE, 16, 1))
    recogniser = make(config, audio_config=speechsdk.audio.AudioConfig(stream=audio), **options)
    if keyterms:
        phrases = speechsdk.PhraseListGrammar.from_recognizer(recogniser)
        for term in keyterms:
            phrases.addPhrase(term)
    events: dict[str, list[Any]] = {}
    stopped = threading.Event()
    speech = make is speechsdk.SpeechRecognizer
    said = ("recognizing", "recognized") if speech else ("transcribing", "transcribed")
    for name in (*said, "speech_start_detected", "speech_end_detected", "canceled", "session_stopped"):
        getattr(recogniser, name).connect(events.setdefault(name, []).append)
    recogniser.session_stopped.connect(lambda event: stopped.set())
    recogniser.canceled.connect(lambda event: stopped.set())
    start, stop = (
        (recogniser.start_continuous_recognition_async, recogniser.stop_continuous_recognition_async)
        if speech
        else (recogniser.start_transcribing_async, recogniser.stop_transcribing_async)
    )
    start().get()
    audio.write(pcm)
    audio.close()
    assert stopped.wait(SECONDS), f"no end; heard {events}"
    if any(
        event.cancellation_details.reason is speechsdk.CancellationReason.EndOfStream
        for event in events["canceled"]
    ):
        stop().get()  # of a session that failed, it waits ten seconds for nothing
    return events


def _texts(events: list[Any]) -> list[str]:
    return [
        event.result.text for event in events if event.result.reason == speechsdk.ResultReason.RecognizedSpeech
    ]


async def test_a_line_is_recognised_with_words_and_times(server: Server) -> None:
    def detailed(config: speechsdk.SpeechConfig) -> None:
        config.output_format = speechsdk.OutputFormat.Detailed
        config.request_word_level_timestamps()

    pcm = spoken(LINES[0])
    events = await asyncio.to_thread(
        _talk, server, pcm, configure=detailed, keyterms=("opening hours",), language="en-US"
    )
    assert _texts(events["recognized"]) == [LINES[0]]
    assert events["recognizing"]
    assert len(events["speech_start_detected"]) == len(events["speech_end_detected"]) == 1
    assert events["canceled"][0].cancellation_details.reason is speechsdk.CancellationReason.EndOfStream
    best = json.loads(events["recognized"][0].result.json)["NBest"][0]
    assert " ".join(word["Word"] for word in best["Words"]) == LINES[0]
    assert best["Words"][0]["Offset"] == events["recognized"][0].result.offset
    last = best["Words"][-1]
    assert TICKS < last["Offset"] + last["Duration"] <= len(pcm) // 2 * TICKS // RATE
    assert all(0 < word["Confidence"] <= 1 for word in best["Words"])


async def test_after_a_silence_the_client_goes_on_in_a_new_turn(server: Server) -> None:
    """Offsets of the second turn begin at 0 on the wire, and at the end of the first one for who reads them."""

    def impatient(config: speechsdk.SpeechConfig) -> None:
        config.set_property(speechsdk.PropertyId.SpeechServiceConnection_EndSilenceTimeoutMs, "1200")

    first = spoken(LINES[0]) + silence(2.0)
    events = await asyncio.to_thread(_talk, server, first + spoken(LINES[2]) + silence(0.3), configure=impatient)
    assert _texts(events["recognized"]) == [LINES[0], LINES[2]]
    assert len(events["speech_end_detected"]) == 2
    begin = len(first) / 2 / RATE
    assert begin < events["recognized"][1].offset / TICKS < begin + 0.6


async def test_the_language_is_found_among_several(server: Server) -> None:
    def continuous(config: speechsdk.SpeechConfig) -> None:
        config.set_property(speechsdk.PropertyId.SpeechServiceConnection_LanguageIdMode, "Continuous")

    languages = speechsdk.languageconfig.AutoDetectSourceLanguageConfig(languages=["de-DE", "en-US"])
    events = await asyncio.to_thread(
        _talk, server, spoken(LINES[0]), configure=continuous, auto_detect_source_language_config=languages
    )
    [heard] = [event.result for event in events["recognized"] if event.result.text]
    assert speechsdk.AutoDetectSourceLanguageResult(heard).language == "en-US"


async def test_the_transcriber_is_told_who_speaks(server: Server) -> None:
    events = await asyncio.to_thread(
        _talk, server, spoken(LINES[0]), make=speechsdk.transcription.ConversationTranscriber
    )
    said = [(event.result.text, event.result.speaker_id) for event in events["transcribed"] if event.result.text]
    assert said == [(LINES[0], "Guest-1")]


async def test_a_wrong_key_is_an_authentication_failure(server: Server) -> None:
    events = await asyncio.to_thread(_talk, server, silence(0.2), key="not-the-key")
    details = events["canceled"][0].cancellation_details
    assert details.code is speechsdk.CancellationErrorCode.AuthenticationFailure


async def test_livekits_plugin_hears_the_line(server: Server) -> None:
    plugin = azure.STT(speech_host=server.ws_url, speech_key=API_KEY, language="en-US")
    stream = plugin.stream(conn_options=ONCE)
    push(stream, spoken(LINES[0]) + silence(0.3))
    stream.end_input()
    try:
        events = [event async for event in stream]
    finally:
        await stream.aclose()
    kinds = [event.type for event in events]
    assert kinds.index(Kind.START_OF_SPEECH) < kinds.index(Kind.INTERIM_TRANSCRIPT)
    finals = [event.alternatives[0].text for event in events if event.type is Kind.FINAL_TRANSCRIPT]
    assert plain(" ".join(finals)) == LINES[0]
    assert Kind.END_OF_SPEECH in kinds


def _transcribe(server: Server, pcm: bytes, key: str = API_KEY) -> TranscriptionResult:
    """Microsoft's client for fast transcription."""
    wanted = TranscriptionOptions(
        locales=["en-US"],
        diarization_options=TranscriptionDiarizationOptions(max_speakers=2),
        phrase_list=PhraseListProperties(phrases=["opening hours"], biasing_weight=1.5),
    )
    recording = ("line.wav", Pcm(pcm, RATE).wav(), "audio/wav")
    with TranscriptionClient(server.url, AzureKeyCredential(key)) as client:
        return client.transcribe(TranscriptionContent(definition=wanted, audio=recording))


async def test_fast_transcription_has_phrases_words_and_speakers(server: Server) -> None:
    pcm = spoken(LINES[0])
    result = await asyncio.to_thread(_transcribe, server, pcm)
    assert result.combined_phrases[0].text == LINES[0]
    assert abs(result.duration_milliseconds - len(pcm) / 2 / RATE * 1000) < 2
    [phrase] = result.phrases
    assert (phrase.speaker, phrase.locale) == (1, "en-US")
    assert phrase.words is not None
    assert " ".join(word.text for word in phrase.words) == LINES[0]
    last = phrase.words[-1]
    end = last.offset_milliseconds + last.duration_milliseconds
    assert 1000 < end == phrase.offset_milliseconds + phrase.duration_milliseconds


async def test_fast_transcription_knows_its_key(server: Server) -> None:
    with pytest.raises(ClientAuthenticationError, match="wrong API key"):
        await asyncio.to_thread(_transcribe, server, silence(0.2), "not-the-key")


@pytest.fixture
def recogniser(server: Server, monkeypatch: pytest.MonkeyPatch) -> speech_recognition.Recognizer:
    """SpeechRecognition, which knows only the cloud, with its requests going to the server."""
    hosts: list[str] = []

    def redirected(request: Request, timeout: float | None = None) -> Any:
        parts = urlsplit(request.full_url)
        hosts.append(parts.netloc)
        request.full_url = f"{server.url}{parts.path}?{parts.query}"
        try:
            return urlopen(request, timeout=timeout)
        except HTTPError as refusal:
            refusal.close()  # the client leaves that to the garbage collector
            raise

    monkeypatch.setattr(speech_recognition, "urlopen", redirected)
    client = speech_recognition.Recognizer()
    client.hosts_asked = hosts
    return client


async def test_short_audio_is_recognised_with_an_issued_token(recogniser: Any) -> None:
    audio = speech_recognition.AudioData(spoken(LINES[0]), RATE, 2)
    text, confidence = await asyncio.to_thread(
        recogniser.recognize_azure, audio, API_KEY, language="en-US", location="westeurope"
    )
    assert text == LINES[0]
    assert 0 < confidence <= 1
    assert recogniser.hosts_asked == [
        "westeurope.api.cognitive.microsoft.com",
        "westeurope.stt.speech.microsoft.com",
    ]


async def test_short_audio_without_speech_is_no_match(recogniser: Any) -> None:
    audio = speech_recognition.AudioData(silence(0.5), RATE, 2)
    reply = await asyncio.to_thread(recogniser.recognize_azure, audio, API_KEY, show_all=True)
    assert reply["RecognitionStatus"] == "NoMatch"


async def test_no_token_is_issued_for_a_wrong_key(recogniser: Any) -> None:
    audio = speech_recognition.AudioData(silence(0.2), RATE, 2)
    with pytest.raises(speech_recognition.RequestError, match="credential request failed"):
        await asyncio.to_thread(recogniser.recognize_azure, audio, "not-the-key")
