"""The HTTP adapter, against a real server on loopback."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import traceback
import wave
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import numpy as np
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from livekit import rtc
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError, inference, stt
from livekit.agents.types import NOT_GIVEN, APIConnectOptions

from agents.providers.base import ConfigurationError
from agents.providers.protocol import (
    BatchProtocol,
    ConnectRequest,
    Conversation,
    HttpRequest,
    HttpResponse,
    Pcm,
    Recognition,
    Settings,
    StreamingProtocol,
    Traits,
    Usage,
    Verdict,
    Word,
)
from agents.providers.stt.http import CustomHTTPSTTAdapter

KEY = "key-4711-very-secret"
QUICK = APIConnectOptions(max_retry=2, retry_interval=0.01)


class Service:
    """A speech service that keeps what it was asked, and answers from a list; the last answer is repeated.

    An answer is a text, a response, or seconds to wait before saying nothing.
    """

    def __init__(self) -> None:
        self.answers: list[Any] = ["hello"]
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.url = ""
        self.arrived = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        self.arrived.set()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, (int, float)):
            await asyncio.sleep(answer)
            return web.Response(status=504)
        if callable(answer):
            made = answer()
            assert isinstance(made, web.StreamResponse)
            return made
        return web.json_response({"text": answer})


@pytest.fixture(scope="module")
def livekit_runtime() -> None:
    """LiveKit's native runtime starts with its first resampler, and keeps two sockets as long as the process."""
    rtc.AudioResampler(24000, 16000)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", made.handle)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.05)
    made.url = str(server.make_url("/stt"))
    yield made
    await server.close()


def frame(seconds: float = 0.1, sample_rate: int = 16000, channels: int = 1, value: int = 7) -> rtc.AudioFrame:
    samples = int(seconds * sample_rate)
    data = np.full(samples * channels, value, dtype=np.int16).tobytes()
    return rtc.AudioFrame(data, sample_rate, channels, samples)


def status(code: int, **headers: str) -> Any:
    return lambda: web.json_response({"error": f"no {KEY}"}, status=code, headers=headers)


def collect_errors(adapter: stt.STT[Any]) -> list[stt.STTError]:
    errors: list[stt.STTError] = []
    adapter.on("error", errors.append)
    return errors


def opened_wav(data: bytes) -> tuple[int, int, int, bytes]:
    """Rate, channels, bytes a sample and samples of a WAV file."""
    with wave.open(io.BytesIO(data)) as file:
        shape = file.getframerate(), file.getnchannels(), file.getsampwidth()
        return *shape, file.readframes(file.getnframes())


class TestGenericProtocol:
    async def test_a_wav_file_arrives_with_key_language_and_model(self, service: Service) -> None:
        async with CustomHTTPSTTAdapter(service.url, KEY, "de-DE", {"X-Room": "7"}, model="big") as adapter:
            event = await adapter.recognize(frame(0.5, 24000))
        request = service.requests[0]
        assert request.method == "POST"
        assert request.headers["Content-Type"] == "audio/wav"
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert request.headers["X-Room"] == "7"
        assert dict(request.query) == {"language": "de-DE", "model": "big"}
        assert opened_wav(service.bodies[0]) == (24000, 1, 2, frame(0.5, 24000).data.tobytes())
        assert event.type is stt.SpeechEventType.FINAL_TRANSCRIPT
        assert (event.alternatives[0].text, event.alternatives[0].language) == ("hello", "de-DE")

    async def test_raw_pcm_names_its_rate(self, service: Service) -> None:
        async with CustomHTTPSTTAdapter(service.url, body="pcm") as adapter:
            await adapter.recognize(frame(0.1, 8000))
        assert service.requests[0].headers["Content-Type"] == "audio/l16;rate=8000;channels=1"
        assert service.bodies[0] == frame(0.1, 8000).data.tobytes()
        assert "Authorization" not in service.requests[0].headers

    async def test_a_form_holds_the_wav_file_and_the_settings(self, service: Service) -> None:
        async with CustomHTTPSTTAdapter(service.url, body="multipart", model="big") as adapter:
            await adapter.recognize(frame())
        request, body = service.requests[0], service.bodies[0]
        assert request.content_type == "multipart/form-data"
        assert b'name="file"; filename="audio.wav"' in body
        assert b'name="model"\r\n\r\nbig' in body.replace(b"Content-Type: text/plain; charset=utf-8\r\n", b"")
        start = body.index(b"RIFF")
        assert opened_wav(body[start : body.rindex(b"\r\n--")])[0] == 16000

    async def test_json_holds_the_wav_file_in_base64(self, service: Service) -> None:
        async with CustomHTTPSTTAdapter(service.url, body="json") as adapter:
            await adapter.recognize(frame())
        content = orjson.loads(service.bodies[0])
        assert service.requests[0].content_type == "application/json"
        assert (content["format"], content["language"], content["sample_rate"]) == ("wav", "en-US", 16000)
        assert opened_wav(base64.b64decode(content["audio"]))[0] == 16000

    @pytest.mark.parametrize(
        "body",
        [
            {"text": "hello"},
            {"transcript": "hello"},
            {"transcription": "hello"},
            {"result": {"text": "hello"}},
            {"results": [{"transcript": "hello"}]},
        ],
    )
    async def test_the_text_is_found_where_services_put_it(self, service: Service, body: Any) -> None:
        service.answers = [lambda: web.json_response(body)]
        async with CustomHTTPSTTAdapter(service.url) as adapter:
            assert (await adapter.recognize(frame())).alternatives[0].text == "hello"

    async def test_plain_text_is_a_transcript_too(self, service: Service) -> None:
        service.answers = [lambda: web.Response(text="hello\n")]
        async with CustomHTTPSTTAdapter(service.url) as adapter:
            assert (await adapter.recognize(frame())).alternatives[0].text == "hello"

    @pytest.mark.parametrize(
        ("charset", "declared"),
        [("latin-1", "iso-8859-1"), ("utf-16", "utf-16"), ("utf-8", "iso-8859-1"), ("cp1252", "windows-1252")],
    )
    async def test_the_character_set_of_the_answer_is_heeded(
        self, service: Service, charset: str, declared: str
    ) -> None:
        plain, written = "drei Stück\n".encode(charset), '{"text": "drei Stück"}'.encode(charset)
        service.answers = [
            lambda: web.Response(body=plain, headers={"Content-Type": f"text/plain; charset={declared}"}),
            lambda: web.Response(body=written, headers={"Content-Type": f"application/json; charset={declared}"}),
        ]
        async with CustomHTTPSTTAdapter(service.url) as adapter:
            for _ in range(2):
                assert (await adapter.recognize(frame())).alternatives[0].text == "drei Stück"

    async def test_words_confidence_and_language_of_the_answer_come_along(self, service: Service) -> None:
        words = [
            {"word": "ten", "start": 0.1, "end": 0.4, "confidence": 0.9},
            {"text": "of", "start": 0.4, "end": 0.5},
        ]
        answer = {"text": "ten of", "language": "en-GB", "confidence": 0.8, "duration": 0.5, "words": words}
        service.answers = [lambda: web.json_response(answer)]
        async with CustomHTTPSTTAdapter(service.url) as adapter:
            data = (await adapter.recognize(frame(0.5))).alternatives[0]
        assert (data.language, data.confidence, data.end_time) == ("en-GB", 0.8, 0.5)
        assert data.words is not None
        assert [(str(w), w.start_time, w.end_time) for w in data.words] == [("ten", 0.1, 0.4), ("of", 0.4, 0.5)]
        assert data.words[0].confidence == 0.9

    async def test_silence_is_an_empty_final_and_no_failure(self, service: Service) -> None:
        service.answers = [""]
        async with CustomHTTPSTTAdapter(service.url) as adapter:
            errors = collect_errors(adapter)
            assert (await adapter.recognize(frame())).alternatives[0].text == ""
            assert (errors, adapter.stats.empty_results) == ([], 0)


class TestAudio:
    async def test_frames_are_joined_and_stereo_is_averaged(self, service: Service) -> None:
        left_right = np.tile(np.array([100, 300], dtype=np.int16), 160).tobytes()
        stereo = rtc.AudioFrame(left_right, 16000, 2, 160)
        async with CustomHTTPSTTAdapter(service.url, body="pcm") as adapter:
            await adapter.recognize([stereo, frame(0.01)])
        samples = np.frombuffer(service.bodies[0], dtype=np.int16)
        assert samples.tolist() == [200] * 160 + [7] * 160

    async def test_frames_of_different_rates_are_refused(self, service: Service) -> None:
        async with CustomHTTPSTTAdapter(service.url) as adapter:
            with pytest.raises(ValueError, match=r"different sample rates \(16000, 24000 Hz\)"):
                await adapter.recognize([frame(), frame(sample_rate=24000)])
        assert not service.requests

    @pytest.mark.parametrize("empty", [[], [frame(0.0)]])
    async def test_an_empty_buffer_is_an_empty_final_without_a_request(
        self, service: Service, empty: list[rtc.AudioFrame]
    ) -> None:
        async with CustomHTTPSTTAdapter(service.url) as adapter:
            event = await adapter.recognize(empty)
        assert (event.type, event.alternatives[0].text) == (stt.SpeechEventType.FINAL_TRANSCRIPT, "")
        assert not service.requests

    async def test_the_buffer_of_the_specification_is_understood(self, service: Service) -> None:
        buffer = SimpleNamespace(data=b"\x00" * 1600, sample_rate=16000)
        async with CustomHTTPSTTAdapter(service.url, api_key="test-key") as adapter:
            event = await adapter._recognize_impl(buffer, language="en-US", conn_options=None)
        assert event.type is stt.SpeechEventType.FINAL_TRANSCRIPT
        assert opened_wav(service.bodies[0]) == (16000, 1, 2, b"\x00" * 1600)

    async def test_what_is_no_audio_is_refused_with_its_type(self, service: Service) -> None:
        async with CustomHTTPSTTAdapter(service.url) as adapter:
            with pytest.raises(TypeError, match="not str"):
                await adapter._recognize_impl("audio.wav")

    async def test_audio_is_resampled_for_a_vendor_that_takes_one_rate(self, service: Service) -> None:
        async with CustomHTTPSTTAdapter(service.url, vendor=OneRate(), sample_rate=16000) as adapter:
            await adapter.recognize(frame(0.5, 48000))
            await adapter.recognize(frame(0.5, 8000))
        assert len(service.bodies[0]) == pytest.approx(16000, abs=40)
        assert service.bodies[1] == frame(0.5, 8000).data.tobytes()


class Whole(BatchProtocol):
    """A vendor that says all there is to say."""

    name = "whole"
    aligned_words = True
    diarization = True
    verdict: Verdict | None = None

    def request(self, audio: Pcm, settings: Settings) -> HttpRequest:
        return HttpRequest("POST", settings.url, {"Authorization": f"Token {settings.key}"}, audio.data)

    def parse(self, response: HttpResponse, settings: Settings) -> Recognition:
        return Recognition(
            text="ten",
            start=0.25,
            speaker="S1",
            request_id="r-1",
            words=[Word("ten", 0.25, None, speaker="S1")],
            usage=Usage(2.0, 3, 4),
            metadata={"channel": 1},
        )

    def judge_result(self, recognition: Recognition) -> Verdict | None:
        return self.verdict

    def check(self, settings: Settings) -> None:
        if settings.language == "tlh":
            raise ConfigurationError("whole does not know Klingon")


class OneRate(Whole):
    sample_rates = frozenset({8000, 16000})


class StreamingOnly(StreamingProtocol):
    name = "streaming-only"

    def traits(self, settings: Settings) -> Traits:
        return Traits()

    def connect(self, settings: Settings) -> ConnectRequest:
        raise NotImplementedError

    def converse(self, settings: Settings) -> Conversation:
        raise NotImplementedError


class TestVendors:
    async def test_a_protocol_object_says_what_the_adapter_can_do(self, service: Service) -> None:
        async with CustomHTTPSTTAdapter(service.url, KEY, vendor=Whole()) as adapter:
            assert adapter.capabilities == stt.STTCapabilities(
                streaming=False, interim_results=False, diarization=True, aligned_transcript="word"
            )
            assert (adapter.provider, adapter.model) == ("whole", "unknown")
            event = await adapter.recognize(frame())
        assert service.requests[0].headers["Authorization"] == f"Token {KEY}", "the protocol names the key its way"
        data = event.alternatives[0]
        assert (event.request_id, data.speaker_id, data.start_time, data.end_time) == ("r-1", "S1", 0.25, 0.0)
        assert data.words is not None and data.words[0].end_time is NOT_GIVEN
        assert (data.words[0].speaker_id, data.metadata) == ("S1", {"channel": 1})
        assert event.recognition_usage == stt.RecognitionUsage(2.0, 3, 4)

    @pytest.mark.parametrize(
        ("verdict", "requests"), [(Verdict.PERMANENT, 1), (Verdict.TRANSIENT, 3), (Verdict.IGNORE, 1)]
    )
    async def test_an_error_inside_a_good_answer_is_judged_by_the_vendor(
        self, service: Service, verdict: Verdict, requests: int
    ) -> None:
        vendor = Whole()
        vendor.verdict = verdict
        async with CustomHTTPSTTAdapter(service.url, vendor=vendor) as adapter:
            try:
                text = (await adapter.recognize(frame(), conn_options=QUICK)).alternatives[0].text
            except APIError as error:
                text = error.message
        assert len(service.requests) == requests
        assert {"permanent": "reports an error" in text, "transient": text == "", "ignore": text == "ten"}[verdict]

    async def test_deepgram_is_recognised_by_its_host(self) -> None:
        async with CustomHTTPSTTAdapter("https://api.deepgram.com/v1/listen", KEY) as adapter:
            assert adapter.provider == "deepgram"

    def test_the_key_is_taken_from_the_environment_variable_of_the_vendor(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DEEPGRAM_API_KEY", KEY)
        adapter = CustomHTTPSTTAdapter("https://api.deepgram.com/v1/listen")
        assert adapter._settings(language=None, sample_rate=16000).key == KEY

    def test_a_vendor_that_only_streams_is_refused_with_the_other_adapter(self) -> None:
        with pytest.raises(ConfigurationError, match="use CustomWebSocketSTTAdapter"):
            CustomHTTPSTTAdapter("https://host/", vendor=StreamingOnly())


class TestConfiguration:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"endpoint_url": ""}, "endpoint_url is missing"),
            ({"endpoint_url": None}, "endpoint_url is missing"),
            ({"endpoint_url": "wss://host/"}, 'did you mean "https://'),
            ({"endpoint_url": "host/path"}, "must start with"),
            ({"endpoint_url": "https:///path"}, "has no host"),
            ({"endpoint_url": "https://me:pw@host/"}, "user name or password"),
            ({"endpoint_url": "http://host/", "api_key": KEY}, "clear text to host"),
            ({"endpoint_url": f"http://host/?api_key={KEY}"}, "clear text to host"),
            ({"endpoint_url": "http://host/", "headers": {"Authorization": KEY}}, "clear text to host"),
            ({"api_key": "${env:NOT_SET_ANYWHERE}"}, "NOT_SET_ANYWHERE, which is not set"),
            ({"headers": {"X": 3}}, "header 'X' must be a string"),
            ({"options": "punctuate"}, "options must be a mapping"),
            ({"vendor": "deepgarm"}, "deepgram"),
            ({"on_failure": "degrde"}, "did you mean 'degrade'"),
            ({"body": "mp3"}, "body must be one of"),
            ({"body": "json", "vendor": Whole()}, "body is for the generic protocol only"),
            ({"request_timeout": 0}, "request_timeout must be a positive number of seconds"),
            ({"connect_timeout": "3"}, "connect_timeout must be"),
            ({"read_timeout": float("inf")}, "read_timeout must be"),
            ({"max_response_bytes": 0}, "max_response_bytes must be positive"),
            ({"max_response_bytes": "1k"}, "max_response_bytes must be positive, and a whole number, not '1k'"),
            ({"sample_rate": 100}, "sample_rate must be between"),
            ({"vendor": Whole(), "language": "tlh"}, "does not know Klingon"),
        ],
    )
    def test_what_cannot_work_fails_when_it_is_built_and_says_what_to_change(
        self, arguments: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=message) as caught:
            CustomHTTPSTTAdapter(**{"endpoint_url": "https://host/", **arguments})
        assert KEY not in str(caught.value)

    def test_clear_text_is_fine_without_a_key_and_on_this_machine(self) -> None:
        assert CustomHTTPSTTAdapter("http://host/").endpoint_url == "http://host/"
        for host in ("localhost", "127.0.0.1", "[::1]"):
            assert CustomHTTPSTTAdapter(f"http://{host}:1/", KEY).endpoint_url == f"http://{host}:1/"

    def test_the_positional_order_is_the_one_of_the_specification(self) -> None:
        adapter = CustomHTTPSTTAdapter("https://host/", KEY, "fr", {"X-A": "bcde"}, 12, 8000)
        assert (adapter.language, adapter.sample_rate, adapter._request_timeout) == ("fr", 8000, 12)
        assert dict(adapter.headers) == {"X-A": "bcde", "Authorization": f"Bearer {KEY}"}

    def test_headers_do_not_print_what_they_hold(self) -> None:
        adapter = CustomHTTPSTTAdapter("https://host/", KEY, headers={"X-Tenant": "tenant-secret"})
        shown = repr(adapter.headers) + str(adapter.headers) + f"{adapter.headers}" + repr(adapter)
        assert "X-Tenant" in shown
        assert KEY not in shown and "tenant-secret" not in shown

    async def test_an_authorization_of_the_user_is_kept(self, service: Service) -> None:
        async with CustomHTTPSTTAdapter(service.url, KEY, headers={"Authorization": "Basic abcd"}) as adapter:
            await adapter.recognize(frame())
        assert service.requests[0].headers["Authorization"] == "Basic abcd"

    async def test_headers_set_later_are_sent(self, service: Service) -> None:
        async with CustomHTTPSTTAdapter(service.url, KEY) as adapter:
            adapter.headers["X-Later"] = "yes"
            await adapter.recognize(frame())
        assert service.requests[0].headers["X-Later"] == "yes"
        assert service.requests[0].headers["Authorization"] == f"Bearer {KEY}"

    async def test_updated_options_hold_from_the_next_call_on(self, service: Service) -> None:
        async with CustomHTTPSTTAdapter(service.url, options={"a": "1"}) as adapter:
            adapter.update_options(language="de", model="big", options={"b": "2"})
            await adapter.recognize(frame())
            await adapter.recognize(frame(), language="fr")
            assert adapter.model == "big"
        assert dict(service.requests[0].query) == {"language": "de", "model": "big", "a": "1", "b": "2"}
        assert service.requests[1].query["language"] == "fr"

    def test_an_update_that_is_refused_changes_nothing(self) -> None:
        adapter = CustomHTTPSTTAdapter("https://host/", vendor=Whole(), model="m")
        with pytest.raises(ConfigurationError):
            adapter.update_options(language="tlh", model="n", options={"x": 1})
        assert (adapter.language, adapter.model, adapter._options) == ("en-US", "m", {})
        adapter.update_options(language=None, model=None)
        assert (adapter.language, adapter.model) == (None, "unknown")


PERMANENT: list[tuple[str, Any, str]] = [
    ("401", status(401), "check the API key"),
    ("403", status(403), "may use this service"),
    ("404", status(404), "check the URL"),
    ("413", status(413), "send less at once"),
    ("HTML", lambda: web.Response(text="<html>", content_type="text/html"), "expected JSON, got an HTML page"),
    ("no text", lambda: web.json_response({"ok": True}), "no text"),
    ("a list", lambda: web.json_response([]), "no text"),
    ("not UTF-8", lambda: web.Response(body=b'{"text": "\xff"}', content_type="application/json"), "not UTF-8"),
    ("an empty body", lambda: web.Response(), "an empty body"),
    ("10 MB", lambda: web.Response(body=bytes(10 * 2**20)), "longer than 4194304 bytes"),
    ("redirect", lambda: web.Response(status=307, headers={"Location": "http://x.invalid/"}), "redirects to"),
]
TRANSIENT = [status(408), status(425), status(429), status(500), status(502), status(503)]


class TestPermanentFailures:
    @pytest.mark.parametrize("on_failure", ["degrade", "raise"])
    @pytest.mark.parametrize(("what", "answer", "message"), PERMANENT, ids=[name for name, _, _ in PERMANENT])
    async def test_it_raises_at_once_in_both_modes_and_shows_no_secret(
        self, service: Service, on_failure: Any, what: str, answer: Any, message: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        caplog.set_level(logging.DEBUG)
        service.answers = [answer]
        async with CustomHTTPSTTAdapter(service.url, KEY, on_failure=on_failure) as adapter:
            errors = collect_errors(adapter)
            with pytest.raises(APIError, match=message) as caught:
                await adapter.recognize(frame(), conn_options=QUICK)
        assert not caught.value.retryable
        assert caught.value.message.startswith(f"generic at {service.url}: ")
        assert len(service.requests) == 1
        assert [error.recoverable for error in errors] == [False]
        assert (adapter.stats.permanent_failures, adapter.stats.transient_failures) == (1, 0)
        printed = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
        assert KEY not in printed

    async def test_a_status_is_typed_as_one(self, service: Service) -> None:
        service.answers = [status(403)]
        async with CustomHTTPSTTAdapter(service.url) as adapter:
            with pytest.raises(APIStatusError) as caught:
                await adapter.recognize(frame())
        assert caught.value.status_code == 403


class TestDegrade:
    @pytest.mark.parametrize("answer", TRANSIENT)
    async def test_a_passing_failure_is_retried_and_reported(self, service: Service, answer: Any) -> None:
        service.answers = [answer, answer, "hello"]
        async with CustomHTTPSTTAdapter(service.url, KEY) as adapter:
            errors = collect_errors(adapter)
            event = await adapter.recognize(frame(), conn_options=QUICK)
        assert event.alternatives[0].text == "hello"
        assert len(service.requests) == 3
        assert service.bodies[0] == service.bodies[2]
        assert [error.recoverable for error in errors] == [True, True]
        assert all(isinstance(error.error, APIError) and error.error.retryable for error in errors)
        assert (adapter.stats.transient_failures, adapter.stats.empty_results) == (2, 0)

    async def test_spent_retries_give_an_empty_final_and_a_warning(
        self, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        service.answers = [status(503)]
        async with CustomHTTPSTTAdapter(service.url, KEY) as adapter:
            errors = collect_errors(adapter)
            metrics: list[Any] = []
            adapter.on("metrics_collected", metrics.append)
            event = await adapter.recognize(frame(), conn_options=QUICK)
        assert (event.type, event.alternatives[0].text) == (stt.SpeechEventType.FINAL_TRANSCRIPT, "")
        assert len(service.requests) == 3
        assert [error.recoverable for error in errors] == [True] * 3
        assert (adapter.stats.transient_failures, adapter.stats.empty_results) == (3, 1)
        assert len(metrics) == 1
        assert "giving up: 0.1 s of speech have no transcript" in caplog.text
        assert KEY not in caplog.text

    async def test_without_retries_there_is_one_request(self, service: Service) -> None:
        service.answers = [status(500)]
        async with CustomHTTPSTTAdapter(service.url) as adapter:
            await adapter.recognize(frame(), conn_options=APIConnectOptions(max_retry=0))
        assert len(service.requests) == 1

    async def test_an_unreachable_service_gives_an_empty_final_within_seconds(self) -> None:
        adapter = CustomHTTPSTTAdapter(f"http://127.0.0.1:{unused_port()}/stt", api_key="test-key")
        errors = collect_errors(adapter)
        event = await asyncio.wait_for(
            adapter._recognize_impl(frame(), language="en-US", conn_options=None), timeout=8
        )
        await adapter.aclose()
        assert (event.type, event.alternatives[0].text) == (stt.SpeechEventType.FINAL_TRANSCRIPT, "")
        assert [error.recoverable for error in errors] == [True] * 4
        assert all(isinstance(error.error, APIConnectionError) for error in errors)

    async def test_the_wait_the_service_asks_for_is_kept(self, service: Service) -> None:
        service.answers = [status(429, **{"Retry-After": "0.3"}), "hello"]
        loop = asyncio.get_running_loop()
        async with CustomHTTPSTTAdapter(service.url) as adapter:
            began = loop.time()
            assert (await adapter.recognize(frame(), conn_options=QUICK)).alternatives[0].text == "hello"
        assert loop.time() - began >= 0.3

    async def test_a_wait_longer_than_the_time_for_a_request_is_not_waited(self, service: Service) -> None:
        service.answers = [status(503, **{"Retry-After": "200"})]
        async with CustomHTTPSTTAdapter(service.url, request_timeout=2) as adapter:
            event = await asyncio.wait_for(adapter.recognize(frame()), timeout=2)
        assert event.alternatives[0].text == ""
        assert len(service.requests) == 1

    async def test_a_service_that_never_answers_is_asked_again_and_then_given_up(self, service: Service) -> None:
        service.answers = [60]
        async with CustomHTTPSTTAdapter(service.url, request_timeout=0.05) as adapter:
            errors = collect_errors(adapter)
            event = await adapter.recognize(frame(), conn_options=QUICK)
        assert event.alternatives[0].text == ""
        assert [type(error.error) for error in errors] == [APITimeoutError] * 3


class TestRaise:
    async def test_one_attempt_is_one_request_and_livekit_retries(self, service: Service) -> None:
        service.answers = [status(503)]
        async with CustomHTTPSTTAdapter(service.url, KEY, on_failure="raise") as adapter:
            errors = collect_errors(adapter)
            with pytest.raises(APIStatusError) as caught:
                await adapter._recognize_impl(frame())
            assert (caught.value.status_code, caught.value.retryable) == (503, True)
            assert (len(service.requests), errors) == (1, [])
            with pytest.raises(APIConnectionError, match="after 3 attempts"):
                await adapter.recognize(frame(), conn_options=QUICK)
        assert len(service.requests) == 4
        assert [error.recoverable for error in errors] == [True, True, False]
        assert adapter.stats.transient_failures == 4

    async def test_a_retry_of_livekit_succeeds(self, service: Service) -> None:
        service.answers = [status(425), "hello"]
        async with CustomHTTPSTTAdapter(service.url, on_failure="raise") as adapter:
            assert (await adapter.recognize(frame(), conn_options=QUICK)).alternatives[0].text == "hello"

    async def test_a_service_that_never_answers_is_a_timeout(self, service: Service) -> None:
        service.answers = [60]
        for timeouts in ({"request_timeout": 0.05}, {"read_timeout": 0.05}):
            async with CustomHTTPSTTAdapter(service.url, on_failure="raise", **timeouts) as adapter:  # type: ignore[arg-type]
                with pytest.raises(APITimeoutError) as caught:
                    await adapter._recognize_impl(frame())
            assert caught.value.retryable

    async def test_nobody_listens(self) -> None:
        url = f"http://127.0.0.1:{unused_port()}/"
        async with CustomHTTPSTTAdapter(url, KEY, on_failure="raise") as adapter:
            with pytest.raises(APIConnectionError, match="refused") as caught:
                await adapter._recognize_impl(frame())
        # aiohttp's exception would hold the request; what the system said holds nothing
        assert not isinstance(caught.value.__context__, aiohttp.ClientError)


class MyCompanySTTAdapter(CustomHTTPSTTAdapter):
    """Example 3 of the specification, as it stands there."""

    async def _send_audio_chunk(self, audio_data: bytes) -> str:
        # Custom request format
        async with aiohttp.ClientSession() as session:
            response = await session.post(
                self.endpoint_url,
                json={
                    "audio_base64": base64.b64encode(audio_data).decode(),
                    "format": "wav",
                    "language": self.language,
                },
                headers=self.headers,
            )
            result = await response.json()
            return result["transcript"]  # type: ignore[no-any-return]


class TestSubclass:
    async def test_the_example_of_the_specification_works(self, service: Service) -> None:
        service.answers = [lambda: web.json_response({"transcript": "ten of clubs"})]
        adapter = MyCompanySTTAdapter(endpoint_url=service.url, api_key="internal-key")
        event = await adapter.recognize(frame(0.1))
        await adapter.aclose()
        assert event.alternatives[0].text == "ten of clubs"
        assert event.alternatives[0].language == "en-US"
        assert service.requests[0].headers["Authorization"] == "Bearer internal-key"
        content = orjson.loads(service.bodies[0])
        assert (content["format"], content["language"]) == ("wav", "en-US")
        assert base64.b64decode(content["audio_base64"]) == frame(0.1).data.tobytes()

    async def test_it_gets_pcm_at_the_rate_of_the_adapter_and_can_make_a_file_of_it(self) -> None:
        seen: list[bytes] = []

        class Adapter(CustomHTTPSTTAdapter):
            async def _send_audio_chunk(self, audio_data: bytes) -> str:
                seen.append(self.wav(audio_data))
                return "heard"

        async with Adapter("https://host/", sample_rate=16000) as adapter:
            await adapter.recognize(frame(0.5, 48000, channels=2))
        rate, channels, width, samples = opened_wav(seen[0])
        assert (rate, channels, width) == (16000, 1, 2)
        assert len(samples) == pytest.approx(16000, abs=40)

    async def test_its_broken_connection_degrades_like_the_adapters_own(self) -> None:
        adapter = MyCompanySTTAdapter(f"http://127.0.0.1:{unused_port()}/", KEY)
        errors = collect_errors(adapter)
        event = await adapter.recognize(frame(), conn_options=QUICK)
        assert event.alternatives[0].text == ""
        assert [type(error.error) for error in errors] == [APIConnectionError] * 3

    async def test_its_html_answer_is_permanent_and_shows_no_secret(self, service: Service) -> None:
        service.answers = [lambda: web.Response(text="<html>", content_type="text/html")]
        async with MyCompanySTTAdapter(f"{service.url}?api_key=in-the-query", KEY) as adapter:
            with pytest.raises(APIError, match="expected JSON, got text/html") as caught:
                await adapter.recognize(frame())
        printed = "".join(traceback.format_exception(caught.value))
        assert KEY not in printed and "in-the-query" not in printed
        assert caught.value.__context__ is None, "aiohttp's exception holds the request with its headers"

    @pytest.mark.parametrize(("code", "retryable"), [(401, False), (503, True)])
    async def test_a_status_it_raises_for_is_judged(self, service: Service, code: int, retryable: bool) -> None:
        class Adapter(CustomHTTPSTTAdapter):
            async def _send_audio_chunk(self, audio_data: bytes) -> str:
                async with aiohttp.ClientSession(raise_for_status=True) as session:
                    await session.post(self.endpoint_url, headers=self.headers)
                raise AssertionError

        service.answers = [status(code)]
        async with Adapter(service.url, KEY, on_failure="raise") as adapter:
            with pytest.raises(APIStatusError) as caught:
                await adapter._recognize_impl(frame())
        assert (caught.value.status_code, caught.value.retryable) == (code, retryable)

    async def test_it_is_stopped_after_the_time_for_a_request(self) -> None:
        class Adapter(CustomHTTPSTTAdapter):
            async def _send_audio_chunk(self, audio_data: bytes) -> str:
                await asyncio.sleep(60)
                return ""

        async with Adapter("https://host/", request_timeout=0.05, on_failure="raise") as adapter:
            with pytest.raises(APITimeoutError):
                await adapter._recognize_impl(frame())

    async def test_its_bugs_are_errors_that_livekit_knows(self) -> None:
        """LiveKit's loop ends with any other exception, and the session would be deaf for good."""

        class Adapter(CustomHTTPSTTAdapter):
            async def _send_audio_chunk(self, audio_data: bytes) -> str:
                return dict[str, str]()[f"transcript for {KEY}"]

        async with Adapter("https://host/", KEY) as adapter:
            errors = collect_errors(adapter)
            with pytest.raises(APIError, match=r"_send_audio_chunk failed with KeyError: .*, line \d+") as caught:
                await adapter.recognize(frame())
        assert not caught.value.retryable
        assert KEY not in "".join(traceback.format_exception(caught.value))
        assert [error.recoverable for error in errors] == [False]

    async def test_it_may_raise_livekits_errors_itself(self) -> None:
        class Adapter(CustomHTTPSTTAdapter):
            calls = 0

            async def _send_audio_chunk(self, audio_data: bytes) -> str:
                self.calls += 1
                raise APIConnectionError("busy", retryable=self.calls < 2)

        async with Adapter("https://host/") as adapter:
            with pytest.raises(APIConnectionError, match="busy"):
                await adapter.recognize(frame(), conn_options=QUICK)
            assert (adapter.calls, adapter.stats.transient_failures, adapter.stats.permanent_failures) == (2, 1, 1)

    async def test_it_may_call_the_adapters_own_request(self, service: Service) -> None:
        class Loud(CustomHTTPSTTAdapter):
            async def _send_audio_chunk(self, audio_data: bytes) -> str:
                return (await super()._send_audio_chunk(audio_data)).upper()

        service.answers = [status(500), "hello"]
        async with Loud(service.url, KEY) as adapter:
            assert (await adapter.recognize(frame(), conn_options=QUICK)).alternatives[0].text == "HELLO"

    async def test_the_request_can_be_called_on_a_plain_adapter(self, service: Service) -> None:
        async with CustomHTTPSTTAdapter(service.url, KEY) as adapter:
            assert await adapter._send_audio_chunk(b"\x01\x00" * 160) == "hello"
            service.answers = [status(401)]
            with pytest.raises(APIStatusError, match="check the API key"):
                await adapter._send_audio_chunk(b"\x01\x00" * 160)
        assert opened_wav(service.bodies[0]) == (16000, 1, 2, b"\x01\x00" * 160)

    async def test_a_test_may_replace_it_on_the_object(self) -> None:
        async def said(audio_data: bytes) -> str:
            return "replaced"

        async with CustomHTTPSTTAdapter("https://host/") as adapter:
            adapter._send_audio_chunk = said  # type: ignore[method-assign]
            assert (await adapter.recognize(frame())).alternatives[0].text == "replaced"

    async def test_one_that_never_returns_anything_is_told_of_once(self, caplog: pytest.LogCaptureFixture) -> None:
        class Forgetful(CustomHTTPSTTAdapter):
            async def _send_audio_chunk(self, audio_data: bytes) -> str:  # type: ignore[empty-body]
                pass

        async with Forgetful("https://host/") as adapter:
            for _ in range(4):
                await adapter.recognize(frame(value=2000))
            for _ in range(4):
                await adapter.recognize(frame(value=7))  # nobody expects words there
            assert not caplog.records
            for _ in range(10):
                assert (await adapter.recognize(frame(value=2000))).alternatives[0].text == ""
        (told,) = caplog.messages
        assert told.startswith("Forgetful._send_audio_chunk returned None") and "is 'return' missing?" in told

    @pytest.mark.parametrize("said", ["hello", ""])
    async def test_one_that_may_return_nothing_is_not_suspected(
        self, said: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        answers: list[Any] = [None, None, None, None, said, *[None] * 6]

        class Own(CustomHTTPSTTAdapter):
            async def _send_audio_chunk(self, audio_data: bytes) -> str:
                return answers.pop(0)  # type: ignore[no-any-return]

        async with Own("https://host/") as adapter:
            while answers:
                await adapter.recognize(frame(value=2000))
        assert not caplog.records

    async def test_a_cancellation_that_meets_its_result_is_not_lost(self) -> None:
        class Own(CustomHTTPSTTAdapter):
            async def _send_audio_chunk(self, audio_data: bytes) -> str:
                asyncio.get_running_loop().call_soon(call.cancel)
                return "nobody takes it"

        async with Own("http://127.0.0.1:9/stt") as adapter:
            call = asyncio.ensure_future(adapter.recognize(frame()))
            with pytest.raises(asyncio.CancelledError):
                await call


class TestLifetime:
    async def test_calls_at_the_same_time_share_one_pool(self, service: Service) -> None:
        async with CustomHTTPSTTAdapter(service.url) as adapter:
            events = await asyncio.gather(*(adapter.recognize(frame()) for _ in range(20)))
            await adapter.recognize(frame())
            session = adapter._sessions.get()
        assert {event.alternatives[0].text for event in events} == {"hello"}
        assert session.closed
        assert adapter.stats.connects == 21
        assert adapter.stats.audio_seconds == pytest.approx(2.1)

    async def test_a_session_that_was_given_stays_open(self, service: Service) -> None:
        async with aiohttp.ClientSession() as session:
            async with CustomHTTPSTTAdapter(service.url, http_session=session) as adapter:
                await adapter.recognize(frame())
            assert not session.closed

    @pytest.mark.parametrize("on_failure", ["degrade", "raise"])
    async def test_cancellation_is_passed_on(self, service: Service, on_failure: Any) -> None:
        service.answers = [60]
        async with CustomHTTPSTTAdapter(service.url, on_failure=on_failure) as adapter:
            task = asyncio.create_task(adapter.recognize(frame()))
            await service.arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert len(service.requests) == 1

    @pytest.mark.usefixtures("livekit_runtime")
    async def test_it_hears_in_a_session_behind_a_vad(self, service: Service) -> None:
        """LiveKit cuts the speech out with the VAD and sends one WAV file of it."""
        service.answers = [status(503), "ten of clubs"]
        async with CustomHTTPSTTAdapter(service.url, KEY) as adapter:
            wrapped = stt.StreamAdapter(stt=adapter, vad=inference.VAD())
            async with wrapped.stream() as stream:
                for chunk in vowels_and_silence():
                    stream.push_frame(chunk)
                stream.end_input()
                events = [event async for event in stream]
            await wrapped.aclose()
        kinds = [event.type for event in events]
        finals = [e.alternatives[0].text for e in events if e.type is stt.SpeechEventType.FINAL_TRANSCRIPT]
        assert finals == ["ten of clubs"]
        assert (
            kinds.count(stt.SpeechEventType.START_OF_SPEECH) == kinds.count(stt.SpeechEventType.END_OF_SPEECH) == 1
        )
        assert opened_wav(service.bodies[-1])[0] == 24000


def vowels_and_silence() -> list[rtc.AudioFrame]:
    """A second of a sung vowel between two of silence, in a room's frames: 24 kHz, 50 ms."""
    rate = 24000
    time = np.arange(rate) / rate
    pitch = 120 + 20 * np.sin(2 * np.pi * 4 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    formants = ((700, 130), (1220, 70), (2600, 160))
    voice = sum(
        np.sin(n * phase) * sum(1 / (1 + ((n * 120 - f) / w) ** 2) for f, w in formants) for n in range(1, 25)
    )
    voice = np.asarray(voice) * (0.6 + 0.4 * np.sin(2 * np.pi * 5 * time)) * 9000
    samples = np.concatenate([np.zeros(rate), voice, np.zeros(2 * rate)]).astype(np.int16)
    return [rtc.AudioFrame(part.tobytes(), rate, 1, 1200) for part in samples.reshape(-1, 1200)]
