"""Azure's messages and turns by bytes, its ways to authenticate, and a long silence on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import struct
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from conformance import API_KEY, Server
from hypothesis import example, given
from hypothesis import strategies as st
from spoken_lines import LINES, RATE, plain, push, silence, spoken
from talks import ONCE, Kind

from agents.providers.adapters import CustomHTTPSTTAdapter, CustomWebSocketSTTAdapter
from agents.providers.base import ConfigurationError
from agents.providers.protocol import (
    Conversation,
    Event,
    Failure,
    Final,
    Finished,
    HttpRequest,
    HttpResponse,
    JobFailed,
    Partial,
    Pcm,
    ProtocolError,
    Settings,
    SpeechEnded,
    SpeechStarted,
    Traits,
    Verdict,
    Word,
    judge_close,
)
from agents.providers.redaction import Secret
from agents.providers.vendors import Vendor, find_vendor
from agents.providers.vendors._azure_framing import audio_message, read_message, riff_header, text_message
from agents.providers.vendors._azure_turns import AzureConversation
from agents.providers.vendors.azure import AzureStreaming

WEST = "wss://westeurope.stt.speech.microsoft.com"
SECOND = b"\x01\x00" * 16000


def _settings(**changes: Any) -> Settings:
    return Settings(**{"url": WEST, "api_key": Secret("k3y"), "language": "en-US", **changes})


def _talk(**changes: Any) -> Conversation:
    vendor = find_vendor("azure")
    assert vendor.streaming is not None
    return vendor.streaming.converse(_settings(**changes))


def _headers(message: Any) -> dict[str, str]:
    if isinstance(message, str):
        head = message.partition("\r\n\r\n")[0]
    else:
        head = message[2 : 2 + struct.unpack(">H", message[:2])[0]].decode()
    return dict(line.split(":", 1) for line in head.split("\r\n") if line)


def _payload(message: Any) -> bytes:
    return bytes(message[2 + struct.unpack(">H", message[:2])[0] :])


def _body(message: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(message.partition("\r\n\r\n")[2])
    return body


class Service:
    """Answers a conversation as the service does, under the request id of its last turn."""

    def __init__(self, talk: Conversation) -> None:
        self.talk = talk
        self.request_id = ""

    def hear(self, messages: Any) -> list[Any]:
        for message in messages:
            self.request_id = _headers(message).get("X-RequestId", self.request_id)
        return list(messages)

    def say(self, path: str, request_id: str | None = None, **body: Any) -> list[Event]:
        head = f"X-RequestId:{request_id or self.request_id}\r\nContent-Type:application/json\r\nPath:{path}"
        return list(self.talk.receive(f"{head}\r\n\r\n{json.dumps(body)}"))

    def phrase(self, status: str, start: float, end: float, **body: Any) -> list[Event]:
        offset, duration = round(start * 1e7), round((end - start) * 1e7)
        return self.say("speech.phrase", RecognitionStatus=status, Offset=offset, Duration=duration, **body)


# --- connections ---


def test_a_connection_is_renewed_before_it_is_ten_minutes_old_unless_speakers_are_told_apart() -> None:
    """The next connection would count speakers from the first again; a turn's continuation does not."""
    vendor = find_vendor("azure")
    assert vendor.streaming is not None
    assert vendor.streaming.traits(_settings()).session_seconds == 540
    assert vendor.streaming.traits(_settings(options={"diarization": True})).session_seconds is None


# --- messages ---


def test_a_text_message_has_headers_an_empty_line_and_json() -> None:
    message = text_message("speech.context", {"a": 1}, request_id="f00d")
    assert _headers(message)["Path"] == "speech.context"
    assert _headers(message)["X-Timestamp"].endswith("Z")
    assert _body(message) == {"a": 1}
    assert read_message(message) == ("speech.context", "f00d", {"a": 1})


def test_audio_has_the_length_of_its_headers_first() -> None:
    message = audio_message("f00d", 2, memoryview(b"\x01\x02"), content_type="audio/x-wav")
    headers = _headers(message)
    assert headers.pop("X-Timestamp")
    assert headers == {"Path": "audio", "Content-Type": "audio/x-wav", "X-RequestId": "f00d", "X-StreamId": "2"}
    assert _payload(message) == b"\x01\x02"


def test_the_riff_header_is_of_unknown_length() -> None:
    header = riff_header(8000)
    assert len(header) == 44
    assert struct.unpack("<4sI8sIHHIIHH4sI", header) == (
        b"RIFF", 0, b"WAVEfmt ", 16, 1, 1, 8000, 16000, 2, 16, b"data", 0,
    )  # fmt: skip


@given(st.one_of(st.text(), st.binary(), st.text().map(lambda body: f"Path:speech.phrase\r\n\r\n{body}")))
@example("Path:turn.end\r\n\r\n[]")
@example("Path:turn.end\r\n\r\n\x00")
@example("Path:\r\n\r\n{}")
def test_garbage_is_a_protocol_error(message: str | bytes) -> None:
    talk = _talk()
    talk.opening()
    with contextlib.suppress(ProtocolError):
        talk.receive(message)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = ("RecognitionStatus", "Offset", "Duration", "DisplayText", "NBest", "Text", "context", "PrimaryLanguage")


@given(
    st.sampled_from(["turn.start", "speech.startDetected", "speech.hypothesis", "speech.phrase", "turn.end"]),
    st.dictionaries(st.sampled_from(_FIELDS), _JSON | st.just("Success")),
)
@example("speech.phrase", {"RecognitionStatus": "Success", "NBest": [{"Display": "a", "Words": [{"Word": 1}]}]})
@example("speech.phrase", {"RecognitionStatus": "NoMatch", "Offset": -5, "Duration": 10**400})
@example("turn.start", {"context": {"serviceTag": 7}})
def test_absurd_types_are_a_protocol_error_at_most(path: str, body: dict[str, Any]) -> None:
    service = Service(_talk())
    service.hear(service.talk.opening())
    service.hear(service.talk.audio(SECOND))
    with contextlib.suppress(ProtocolError):
        service.say(path, **body)
    service.hear(service.talk.audio(SECOND))  # and the talk goes on
    service.hear(service.talk.close())


# --- turns ---


def test_it_opens_with_config_context_and_riff_header() -> None:
    talk = _talk(keyterms=("opening hours",), options={"phrase_list_weight": 1.5})
    config, context, header = talk.opening()
    assert isinstance(config, str) and isinstance(context, str)
    assert _headers(config)["Path"] == "speech.config"
    assert "X-RequestId" not in _headers(config)
    assert _body(context) == {
        "phraseOutput": {"format": "Detailed", "detailed": {"options": ["WordTimings", "WordConfidence"]}},
        "audio": {"streams": {"1": None}},
        "dgi": {"Groups": [{"Type": "Generic", "Items": [{"Text": "opening hours"}]}], "bias": 1.5},
    }
    assert _payload(header) == riff_header(16000)
    assert _headers(header)["X-RequestId"] == _headers(context)["X-RequestId"]
    [audio] = talk.audio(b"\x01\x00")
    assert _headers(audio)["X-RequestId"] == _headers(context)["X-RequestId"]
    [end] = talk.close()
    assert _payload(end) == b""


def test_results_are_events_in_seconds() -> None:
    service = Service(_talk())
    service.hear(service.talk.opening())
    service.hear(service.talk.audio(SECOND * 3))
    assert service.say("turn.start", context={"serviceTag": "t"}) == []
    assert service.say("speech.startDetected", Offset=2_000_000) == [SpeechStarted(pytest.approx(0.2))]
    [partial] = service.say("speech.hypothesis", Text="good", Offset=2_000_000, Duration=5_000_000)
    assert partial == Partial("good", pytest.approx(0.2), pytest.approx(0.7))
    word = {"Word": "good", "Offset": 2_000_000, "Duration": 4_000_000, "Confidence": 0.9}
    best = {"Confidence": 0.8, "Lexical": "good", "Display": "Good.", "Words": [word]}
    language = {"Language": "en-GB", "Confidence": "High"}
    [final] = service.phrase("Success", 0.2, 1.0, NBest=[best], PrimaryLanguage=language, SpeakerId="Guest-1")
    words = [Word("good", pytest.approx(0.2), pytest.approx(0.6), 0.9)]
    assert final == Final(
        "Good.", pytest.approx(0.2), pytest.approx(1.0), "en-GB", 0.8, "Guest-1", words, ends_utterance=True
    )
    assert service.say("speech.endDetected", Offset=30_000_000) == []  # comes long after the phrases
    assert service.phrase("EndOfDictation", 3, 3) == [Final("", 3, 3), SpeechEnded(3)]


@pytest.mark.parametrize("chunk", [SECOND, SECOND[:3200], SECOND[:4802]])
def test_the_next_turn_begins_where_the_last_phrase_ended(chunk: bytes) -> None:
    service = Service(_talk())
    service.hear(service.talk.opening())
    count = len(SECOND) * 4 // len(chunk)
    for _ in range(count):
        service.hear(service.talk.audio(chunk))
    service.say("turn.start", context={"serviceTag": "t4g"})
    service.phrase("Success", 0.5, 1.55, DisplayText="hello")
    first = service.request_id
    assert service.say("turn.end") == []
    context, header, *audio = service.hear(service.talk.audio(b"\x02\x00"))
    assert service.request_id != first
    assert _body(context)["continuation"] == {
        "previousServiceTag": "t4g",
        "audio": {"streams": {"1": {"offset": "15500000"}}},
    }
    assert _payload(header) == riff_header(16000)
    sent = b"".join(map(_payload, audio))
    assert sent == (chunk * count)[round(1.55 * 32000) :] + b"\x02\x00"
    assert {_headers(message)["X-StreamId"] for message in audio} == {"2"}
    assert service.say("speech.hypothesis", first, Text="late", Offset=0, Duration=1) == []
    assert service.say("speech.startDetected", Offset=5_000_000) == [SpeechStarted(pytest.approx(2.05))]
    [final] = service.phrase("Success", 0.5, 1.0, DisplayText="again")
    assert isinstance(final, Final)
    assert (final.start, final.end) == (pytest.approx(2.05), pytest.approx(2.55))


def test_silence_is_done_and_not_sent_again() -> None:
    service = Service(_talk())
    service.hear(service.talk.opening())
    service.hear(service.talk.audio(SECOND * 2))
    [done, _] = service.phrase("InitialSilenceTimeout", 2, 2)
    assert done == Final("", 2, 2)
    service.say("turn.end")
    assert len(service.hear(service.talk.audio(SECOND))) == 3  # context, header, the new audio


def test_the_answer_to_the_end_of_the_audio_finishes() -> None:
    service = Service(_talk())
    service.hear(service.talk.opening())
    service.hear(service.talk.audio(SECOND))
    service.hear(service.talk.close())
    service.phrase("EndOfDictation", 1, 1)
    assert service.say("turn.end") == [Finished()]


def test_an_end_between_two_turns_has_a_turn_of_its_own() -> None:
    service = Service(_talk())
    service.hear(service.talk.opening())
    service.hear(service.talk.audio(SECOND))
    service.say("turn.end")
    paths = [_headers(message)["Path"] for message in service.hear(service.talk.close())]
    assert paths == ["speech.context", "audio", "audio", "audio"]
    service.phrase("EndOfDictation", 1, 1)
    assert service.say("turn.end") == [Finished()]


def test_a_turn_that_ended_before_the_audio_is_made_up_for() -> None:
    """A recording is sent at once: the service ends the turn at a silence in it, after the client has closed."""
    service = Service(_talk())
    service.hear(service.talk.opening())
    service.hear(service.talk.audio(SECOND * 9))
    service.hear(service.talk.close())
    service.phrase("EndOfDictation", 4, 4)
    [failure] = service.say("turn.end")
    assert isinstance(failure, Failure) and failure.verdict is Verdict.RECYCLE


def test_what_is_kept_for_the_next_turn_is_bounded() -> None:
    service = Service(_talk())
    service.hear(service.talk.opening())
    for _ in range(150):
        service.hear(service.talk.audio(SECOND))
    service.say("turn.end")
    messages = service.hear(service.talk.audio(SECOND))
    assert len(messages) == 2 + 120 + 1
    assert service.say("speech.startDetected", Offset=0) == [SpeechStarted(30.0)]


def test_speakers_stay_the_same_in_the_next_turn() -> None:
    service = Service(_talk(options={"diarization": True}))
    first = service.hear(service.talk.opening())[1]
    service.hear(service.talk.audio(SECOND * 2))
    service.phrase("NoMatch", 0, 2)
    service.say("turn.end")
    second = service.hear(service.talk.audio(SECOND))[0]
    before, after = (_body(message)["phraseDetection"]["speakerDiarization"] for message in (first, second))
    assert (before["mode"], before["audioOffsetMs"], after["audioOffsetMs"]) == ("Anonymous", 0, 2000)
    assert before["audioSessionId"] == after["audioSessionId"]


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("Error", Verdict.TRANSIENT),
        ("TooManyRequests", Verdict.TRANSIENT),
        ("BadRequest", Verdict.PERMANENT),
        ("Forbidden", Verdict.PERMANENT),
        ("SomethingNew", Verdict.TRANSIENT),
    ],
)
def test_a_status_that_is_an_error(status: str, verdict: Verdict) -> None:
    service = Service(_talk())
    service.hear(service.talk.opening())
    [failure] = service.say("speech.phrase", RecognitionStatus=status)
    assert isinstance(failure, Failure) and failure.verdict is verdict


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (1000, Verdict.TRANSIENT),
        (1007, Verdict.PERMANENT),
        (1011, Verdict.TRANSIENT),
        (4000, Verdict.PERMANENT),
        (4429, Verdict.TRANSIENT),
    ],
)
def test_close_codes(code: int, verdict: Verdict) -> None:
    vendor = find_vendor("azure")
    assert vendor.streaming is not None
    assert judge_close(code, vendor.streaming.traits(_settings()).close_codes) is verdict


# --- where, and with which credential ---


def _streaming(vendor: Vendor) -> Any:
    assert vendor.streaming is not None
    return vendor.streaming


def test_the_key_is_a_header_and_the_path_is_known() -> None:
    request = _streaming(find_vendor("azure")).connect(_settings(model="m0del"))
    assert request.url == (
        f"{WEST}/speech/recognition/conversation/cognitiveservices/v1"
        "?language=en-US&format=detailed&wordLevelTimestamps=true&cid=m0del"
    )
    assert request.headers == {"Ocp-Apim-Subscription-Key": "k3y"}
    assert request.subprotocols == ["USP"]


def test_a_region_completes_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    vendor = find_vendor("azure")
    assert vendor.streaming_url is not None
    monkeypatch.delenv("AZURE_SPEECH_REGION", raising=False)
    with pytest.raises(ConfigurationError, match="AZURE_SPEECH_REGION"):
        _streaming(vendor).check(_settings(url=vendor.streaming_url))
    with pytest.raises(ConfigurationError, match="must be the short name of a region, like 'westeurope'"):
        _streaming(vendor).check(_settings(url=vendor.streaming_url, options={"region": "evil.test/"}))
    request = _streaming(vendor).connect(_settings(url=vendor.streaming_url, options={"region": "westeurope"}))
    assert request.url.startswith(WEST + "/speech/")
    monkeypatch.setenv("AZURE_SPEECH_REGION", "eastus")
    assert "//eastus.stt." in _streaming(vendor).connect(_settings(url=vendor.streaming_url)).url


@pytest.mark.parametrize(
    ("region", "stream", "recordings"),
    [
        ("usgovvirginia", "usgovvirginia.stt.speech.azure.us", "usgovvirginia.api.cognitive.microsoft.us"),
        ("chinaeast2", "chinaeast2.stt.speech.azure.cn", "chinaeast2.api.cognitive.azure.cn"),
    ],
)
def test_regions_of_clouds_of_their_own_have_hosts_of_their_own(region: str, stream: str, recordings: str) -> None:
    vendor, short = find_vendor("azure"), find_vendor("azure_short_audio")
    options = {"region": region}
    assert vendor.streaming_url and vendor.batch_url and short.batch_url
    request = _streaming(vendor).connect(_settings(url=vendor.streaming_url, options=options))
    assert urlsplit(request.url).hostname == stream
    fast = _batch().request(Pcm(SECOND, 16000), _settings(url=vendor.batch_url, options=options))
    assert urlsplit(fast.url).hostname == recordings
    asked = _batch("azure_short_audio").request(
        Pcm(SECOND, 16000), _settings(url=short.batch_url, options=options)
    )
    assert urlsplit(asked.url).hostname == stream


def test_a_token_is_a_bearer() -> None:
    request = _streaming(find_vendor("azure")).connect(_settings(options={"authentication": "token"}))
    assert request.headers == {"Authorization": "Bearer k3y"}


@pytest.mark.parametrize(
    ("url", "options", "asked"),
    [
        (WEST, {}, "https://westeurope.api.cognitive.microsoft.com/sts/v1.0/issueToken"),
        (
            "wss://virginia.stt.speech.azure.us",
            {},
            "https://virginia.api.cognitive.microsoft.us/sts/v1.0/issueToken",
        ),
        (
            "wss://chinaeast2.stt.speech.azure.cn",
            {},
            "https://chinaeast2.api.cognitive.azure.cn/sts/v1.0/issueToken",
        ),
        ("ws://localhost:5000/x", {}, "http://localhost:5000/sts/v1.0/issueToken"),
        (WEST, {"token_url": "https://mine.test/token"}, "https://mine.test/token"),
    ],
)
def test_a_key_is_exchanged_for_a_token(url: str, options: dict[str, str], asked: str) -> None:
    settings = _settings(url=url, options={"authentication": "exchange", **options})
    flow = _streaming(find_vendor("azure")).prepare(settings)
    request = next(flow)
    assert (request.method, request.url) == ("POST", asked)
    assert request.headers == {"Ocp-Apim-Subscription-Key": "k3y"}
    with pytest.raises(StopIteration) as done:
        flow.send(HttpResponse(200, {"content-type": "text/plain"}, b"t0ken\n"))
    assert done.value.value.headers == {"Authorization": "Bearer t0ken"}


def test_a_page_is_no_token() -> None:
    flow = _streaming(find_vendor("azure")).prepare(_settings(options={"authentication": "exchange"}))
    next(flow)
    with pytest.raises(ValueError, match="no token"):
        flow.send(HttpResponse(200, {}, b"<html>log in</html>\n<p>"))


def test_languages_to_find_out() -> None:
    settings = _settings(options={"languages": ["en-US", "de-DE"], "language_id_mode": "AtStart"})
    request = _streaming(find_vendor("azure")).connect(settings)
    assert "lidEnabled=true" in request.url and "language=" not in request.url
    context = _streaming(find_vendor("azure")).converse(settings).opening()[1]
    assert _body(context)["languageId"]["languages"] == ["en-US", "de-DE"]
    assert _body(context)["languageId"]["mode"] == "DetectAtAudioStart"
    with pytest.raises(ConfigurationError, match="languages"):
        _streaming(find_vendor("azure")).check(_settings(language=None))


# --- over HTTP ---


def _reply(body: Any) -> HttpResponse:
    return HttpResponse(200, {"content-type": "application/json"}, json.dumps(body).encode())


def _batch(name: str = "azure") -> Any:
    return find_vendor(name).batch


SHORT = "https://westeurope.stt.speech.microsoft.com/speech/recognition/conversation/cognitiveservices/v1"
FAST = "https://westeurope.api.cognitive.microsoft.com/speechtotext/transcriptions:transcribe"


@pytest.mark.parametrize("name", ["azure", "azure_short_audio"])
def test_a_url_for_short_audio_is_spoken_to_as_such(name: str) -> None:
    request: HttpRequest = _batch(name).request(Pcm(SECOND, 16000), _settings(url=SHORT))
    assert request.url == f"{SHORT}?language=en-US&format=detailed&wordLevelTimestamps=true"
    assert request.headers["Content-Type"] == "audio/wav; codecs=audio/pcm; samplerate=16000"
    with pytest.raises(ConfigurationError, match="language"):
        _batch(name).check(_settings(url=SHORT, language=None))


@pytest.mark.parametrize("status", ["NoMatch", "InitialSilenceTimeout", "BabbleTimeout"])
def test_nothing_recognised_is_an_empty_text(status: str) -> None:
    reply = _reply({"RecognitionStatus": status, "Offset": 0, "Duration": 1000})
    recognition = _batch("azure_short_audio").parse(reply, _settings(url=SHORT))
    assert recognition.text == ""


def test_an_error_of_the_service_is_worth_another_try() -> None:
    with pytest.raises(JobFailed, match="RecognitionStatus Error") as raised:
        _batch().parse(_reply({"RecognitionStatus": "Error"}), _settings(url=SHORT))
    assert raised.value.failure.verdict is Verdict.TRANSIENT


def test_ticks_and_milliseconds() -> None:
    word = {"Word": "good", "Offset": 5_000_000, "Duration": 2_500_000}
    best = {"Confidence": 0.9, "Lexical": "good", "Display": "Good.", "Words": [word]}
    short = {"RecognitionStatus": "Success", "Offset": 5_000_000, "Duration": 10_000_000, "NBest": [best]}
    heard = _batch().parse(_reply(short), _settings(url=SHORT))
    assert (heard.text, heard.start, heard.end, heard.words) == ("Good.", 0.5, 1.5, [Word("good", 0.5, 0.75)])
    spoken_word = {"text": "Good", "offsetMilliseconds": 500, "durationMilliseconds": 250}
    fast = {
        "durationMilliseconds": 2000,
        "combinedPhrases": [{"text": "Good."}],
        "phrases": [{"speaker": 2, "locale": "en-GB", "confidence": 0.9, "words": [spoken_word]}],
    }
    heard = _batch().parse(_reply(fast), _settings(url=FAST))
    assert (heard.text, heard.language, heard.end, heard.speaker) == ("Good.", "en-GB", 2.0, "Guest-2")
    assert heard.words == [Word("Good", 0.5, 0.75, speaker="Guest-2")]


def test_silence_is_no_error_in_fast_transcription() -> None:
    reply = _reply({"durationMilliseconds": 9, "combinedPhrases": [], "phrases": []})
    heard = _batch().parse(reply, _settings(url=FAST))
    assert (heard.text, heard.confidence) == ("", 0.0)


@pytest.mark.parametrize("body", [b"[]", b"{}", b"7", b"<html>", b'{"phrases": 3}', b'{"combinedPhrases": [{}]}'])
def test_another_answer_is_not_understood(body: bytes) -> None:
    for url in (SHORT, FAST):
        with pytest.raises(ValueError, match=r"."):
            _batch().parse(HttpResponse(200, {}, body), _settings(url=url))


# --- real sockets ---


@pytest.mark.parametrize("at_once", [True, False], ids=["a recording", "a caller"])
async def test_nothing_is_lost_around_a_long_silence(
    server: Server, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service ends the turn in the silence. A caller goes on in the next turn, on the same connection; where a
    whole recording was sent and ended by then, the rest of it goes over a new one."""
    end_turn, ended = AzureConversation._end_turn, asyncio.Event()

    def noted(conversation: AzureConversation) -> Any:
        ended.set()
        return end_turn(conversation)

    monkeypatch.setattr(AzureConversation, "_end_turn", noted)
    paced = AzureStreaming.traits

    def hurried(protocol: AzureStreaming, settings: Settings) -> Traits:
        traits = paced(protocol, settings)
        return dataclasses.replace(traits, audio=dataclasses.replace(traits.audio, replay_pace=None))

    monkeypatch.setattr(AzureStreaming, "traits", hurried)
    adapter = CustomWebSocketSTTAdapter(
        server.ws_url, API_KEY, vendor="azure", options={"end_silence_timeout_ms": 1000}, on_failure="raise"
    )
    stream = adapter.stream(conn_options=ONCE)
    first, second = spoken(LINES[0]) + silence(2.0), spoken(LINES[2])
    try:
        push(stream, first)
        if not at_once:
            await asyncio.wait_for(ended.wait(), 20)
        push(stream, second)
        stream.end_input()
        events = [event async for event in stream]
    finally:
        await stream.aclose()
        await adapter.aclose()
    assert adapter.stats.connects == (2 if at_once else 1)
    finals = [event.alternatives[0] for event in events if event.type is Kind.FINAL_TRANSCRIPT]
    assert [plain(final.text) for final in finals] == [LINES[0], LINES[2]]
    begin = len(first) / 2 / RATE
    assert begin < finals[1].start_time < begin + 0.6


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff\xff",
        audio_message("f00d", 1, b"no RIFF header, but samples"),
        audio_message("", 1, riff_header(16000)),
        "no empty line",
        text_message("speech.unheard-of", {}),
        "Path:speech.context\r\nX-RequestId:f00d\r\n\r\n[1]",
    ],
    ids=["nothing", "noise", "no RIFF header", "no request", "no empty line", "unheard-of", "no object"],
)
async def test_the_server_refuses_what_is_not_the_protocol(server: Server, message: str | bytes) -> None:
    url = f"{server.ws_url}/speech/recognition/conversation/cognitiveservices/v1?language=en-US"
    headers = {"Ocp-Apim-Subscription-Key": API_KEY}
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.ws_connect(url, headers=headers, protocols=["USP"]) as socket:
            await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
            answers = [answer async for answer in socket]
    assert all("Path:turn.start" in answer.data for answer in answers)
    assert socket.close_code == 1007


@pytest.mark.parametrize("name", ["region", "speech_region"])
async def test_a_placeholder_is_filled_before_anybody_sees_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_SPEECH_REGION", raising=False)
    vendor = find_vendor("azure")
    assert vendor.streaming_url is not None and vendor.batch_url is not None
    streaming = CustomWebSocketSTTAdapter(vendor.streaming_url, "key-of-mine", options={name: "westeurope"})
    batch = CustomHTTPSTTAdapter(vendor.batch_url, "key-of-mine", vendor="azure", options={name: "westeurope"})
    assert (streaming.provider, batch.provider) == ("azure", "azure")
    assert streaming.ws_url.startswith("wss://westeurope.stt.speech.microsoft.com/")
    assert batch.endpoint_url.startswith("https://westeurope.api.cognitive.microsoft.com/")
    for adapter in (streaming, batch):
        with pytest.raises(ConfigurationError, match="must be the short name of a region"):
            adapter.update_options(options={name: "West Europe"})
        assert "westeurope" in (streaming.ws_url if adapter is streaming else batch.endpoint_url)
        adapter.update_options(options={name: "northeurope"})
        assert "northeurope" in (streaming.ws_url if adapter is streaming else batch.endpoint_url)
        await adapter.aclose()


@pytest.mark.parametrize("adapter", [CustomWebSocketSTTAdapter, CustomHTTPSTTAdapter])
def test_a_placeholder_that_nothing_fills_goes_nowhere(adapter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_SPEECH_REGION", raising=False)
    scheme = "wss" if adapter is CustomWebSocketSTTAdapter else "https"
    with pytest.raises(
        ConfigurationError, match=r"azure: the region is missing: set speech_region .*or AZURE_SPEECH_REGION"
    ):
        adapter(f"{scheme}://{{region}}.stt.speech.microsoft.com/speech/recognition/x", "key-of-mine")
    with pytest.raises(
        ConfigurationError, match=r"_url has a placeholder in its host, '.*://{host}/v1': write what"
    ):
        adapter(f"{scheme}://{{host}}/v1", "key-of-mine")
