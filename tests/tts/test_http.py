"""Speech over HTTP, against a real server on loopback."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
import time
import traceback
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from livekit import rtc
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError, tts
from livekit.agents.metrics import TTSMetrics
from livekit.agents.types import APIConnectOptions

from agents.providers.base import ConfigurationError
from agents.providers.tts.http import CustomHTTPTTSAdapter
from agents.providers.vendors import find_vendor

KEY = "key-4711-very-secret"
TEXT = "The quick brown fox says nothing about the account number 8812."
QUICK = APIConnectOptions(max_retry=2, retry_interval=0.01)
ONCE = APIConnectOptions(max_retry=0)
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Voice:
    """A speech service that keeps what it was asked, and answers from a list; the last answer is repeated."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [sends(tone())]
        self.requests: list[web.Request] = []
        self.bodies: list[Any] = []
        self.url = ""
        self.arrived, self.left, self.go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return web.Response()
        self.requests.append(request)
        self.bodies.append(orjson.loads(await request.read()))
        self.arrived.set()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        try:
            return await answer(request)
        except asyncio.CancelledError:
            self.left.set()
            raise

    def adapter(self, **settings: Any) -> CustomHTTPTTSAdapter:
        return CustomHTTPTTSAdapter(self.url, **settings)


@pytest.fixture
async def voice() -> AsyncIterator[Voice]:
    service = Voice()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.handle)
    runner = web.AppRunner(app, handler_cancellation=True)  # a handler learns that its client has gone
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    service.url = f"http://{host}:{port}/speak"
    yield service
    service.go_on.set()
    await runner.cleanup()


def tone(seconds: float = 0.5, rate: int = 24000, hertz: float = 440.0, channels: int = 1) -> bytes:
    samples = (np.sin(np.arange(int(seconds * rate)) * 2 * np.pi * hertz / rate) * 8000).astype("<i2")
    return np.repeat(samples, channels).tobytes()


def wav(pcm: bytes, rate: int = 24000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm)
    return file.getvalue()


def encoded(pcm: bytes, container: str, codec: str, rate: int = 24000) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=48000 if codec == "libopus" else rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, "<i2")[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = rate
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(stream.codec_context.format.name, "mono", stream.rate, frame_size=size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return file.getvalue()


def sends(audio: bytes, content_type: str = "audio/pcm", *, piece: int = 4999, status: int = 200) -> Answer:
    """An answer in pieces that cut samples in two."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"Content-Type": content_type})
        await response.prepare(request)
        for start in range(0, len(audio), piece):
            await response.write(audio[start : start + piece])
        await response.write_eof()
        return response

    return answer


def fails(status: int, body: Any = None, **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(body or {"error": {"message": "no"}}, status=status, headers=headers)

    return answer


def breaks_off(audio: bytes, content_type: str = "audio/pcm") -> Answer:
    """An answer that promises more than it sends."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type, "Content-Length": "9999999"})
        await response.prepare(request)
        await response.write(audio)
        assert request.transport is not None
        request.transport.close()
        return response

    return answer


def pitch(frame: rtc.AudioFrame) -> float:
    """The strongest frequency, in Hz."""
    samples = np.frombuffer(frame.data, "<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * frame.sample_rate / len(samples))


async def spoken(adapter: CustomHTTPTTSAdapter, text: str = TEXT, options: APIConnectOptions = ONCE) -> Any:
    async with adapter, adapter.synthesize(text, conn_options=options) as stream:
        return await stream.collect()


async def refused(adapter: CustomHTTPTTSAdapter, options: APIConnectOptions = ONCE) -> APIError:
    with pytest.raises(APIError) as caught:
        await spoken(adapter, options=options)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert KEY not in shown
    assert "brown fox says" not in shown
    return caught.value


# --- what is asked, and what comes out ---


async def test_the_generic_protocol_is_asked_as_its_page_says(voice: Voice) -> None:
    adapter = voice.adapter(
        api_key=KEY, voice="anna", model="large", language="en-US", options={"speed": 1.1}, headers={"X-Team": "a"}
    )
    frame = await spoken(adapter)
    assert voice.bodies == [
        {
            "text": TEXT,
            "voice": "anna",
            "model": "large",
            "language": "en-US",
            "sample_rate": 24000,
            "format": "pcm",
            "options": {"speed": 1.1},
        }
    ]
    headers = voice.requests[0].headers
    assert (headers["Authorization"], headers["X-Team"]) == (f"Bearer {KEY}", "a")
    assert frame.data.tobytes() == tone()  # to the sample: nothing is resampled, cut or joined wrongly
    assert adapter.stats.as_dict() | {"characters": len(TEXT), "audio_seconds": 0.5} == adapter.stats.as_dict()


_SOUNDS = {
    "pcm": (tone(), "audio/pcm", {}),
    "pcm at another rate": (tone(rate=16000), "audio/pcm;rate=16000", {}),
    "l16 of the telephone": (tone(rate=8000), "audio/l16;rate=8000;channels=1", {}),
    "stereo": (tone(channels=2), "audio/pcm;channels=2", {}),
    "wav": (wav(tone()), "audio/wav", {}),
    "wav at another rate": (wav(tone(rate=44100), 44100), "audio/x-wav", {}),
    "stereo wav": (wav(tone(rate=48000, channels=2), 48000, 2), "audio/wav", {}),
    "mp3": (encoded(tone(), "mp3", "libmp3lame"), "audio/mpeg", {}),
    "mp3 at another rate": (encoded(tone(rate=44100), "mp3", "libmp3lame", 44100), "audio/mp3", {}),
    "opus": (encoded(tone(), "ogg", "libopus"), "audio/ogg; codecs=opus", {}),
    "aac": (encoded(tone(), "adts", "aac"), "audio/aac", {}),
    "flac": (encoded(tone(), "flac", "flac"), "audio/flac", {}),
    "wav said to be pcm": (wav(tone(rate=16000), 16000), "audio/pcm", {"media_type": "audio/wav"}),
    "pcm said to be a text": (tone(rate=16000), "text/plain", {"media_type": "audio/pcm;rate=16000"}),
    "no type at all": (tone(), "application/octet-stream", {}),
    "wav without a type": (wav(tone(rate=16000), 16000), "application/octet-stream", {}),
    "wav that is called pcm": (wav(tone(rate=16000), 16000), "audio/pcm;rate=8000", {}),
    "wav that is called mp3": (wav(tone()), "audio/mpeg", {}),
    "mp3 that is called wav": (encoded(tone(), "mp3", "libmp3lame"), "audio/wav", {}),
    "mp3 without a type": (encoded(tone(), "mp3", "libmp3lame"), "", {}),
    "opus without a type": (encoded(tone(), "ogg", "libopus"), "binary/octet-stream", {}),
}


@pytest.mark.parametrize(("audio", "content_type", "settings"), _SOUNDS.values(), ids=_SOUNDS)
async def test_audio_comes_out_at_its_length_and_pitch(
    voice: Voice, audio: bytes, content_type: str, settings: dict[str, Any]
) -> None:
    voice.answers = [sends(audio, content_type)]
    frame = await spoken(voice.adapter(**settings))
    assert (frame.sample_rate, frame.num_channels) == (24000, 1)
    slack = 0.07 if audio[:3] == b"ID3" or content_type == "audio/aac" else 0.01  # an encoder pads
    assert 0.5 - 0.002 <= frame.duration <= 0.5 + slack
    assert abs(pitch(frame) - 440) < 5


async def test_an_adapter_of_another_rate_gets_that_rate(voice: Voice) -> None:
    voice.answers = [sends(tone(rate=8000), "audio/l16;rate=8000")]
    frame = await spoken(voice.adapter(sample_rate=48000))
    assert (frame.sample_rate, voice.bodies[0]["sample_rate"]) == (48000, 48000)
    assert abs(frame.duration - 0.5) < 0.01 and abs(pitch(frame) - 440) < 5


@pytest.mark.parametrize(
    ("content_type", "sound"),
    [
        ("audio/pcm", tone(3.0)),
        ("audio/wav", wav(tone(3.0))),
        ("audio/mpeg", encoded(tone(3.0), "mp3", "libmp3lame")),
        ("audio/ogg", encoded(tone(3.0), "ogg", "libopus")),  # in pages of a second
    ],
    ids=["pcm", "wav", "mp3", "opus"],
)
async def test_the_first_bytes_are_heard_while_the_rest_is_made(
    voice: Voice, content_type: str, sound: bytes
) -> None:
    first_bytes = len(sound) // (2 if content_type == "audio/ogg" else 8)

    async def slowly(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        await response.write(sound[:first_bytes])
        await voice.go_on.wait()
        await response.write(sound[first_bytes:])
        await response.write_eof()
        return response

    voice.answers = [slowly]
    async with voice.adapter() as adapter, adapter.synthesize(TEXT, conn_options=ONCE) as stream:
        first = await stream.__anext__()
        assert first.frame.duration <= 0.06
        voice.go_on.set()
        rest = [event async for event in stream]
    assert abs(first.frame.duration + sum(event.frame.duration for event in rest) - 3.0) < 0.02
    assert rest[-1].is_final


async def test_half_a_sample_at_the_end_is_no_noise(voice: Voice) -> None:
    voice.answers = [sends(tone() + b"\x7f")]
    assert (await spoken(voice.adapter())).data.tobytes() == tone()


async def test_nothing_to_say_asks_nobody(voice: Voice) -> None:
    async with voice.adapter() as adapter, adapter.synthesize(" \n", conn_options=ONCE) as stream:
        assert [event async for event in stream] == []
    assert voice.requests == []


async def test_signs_that_are_not_spoken_are_no_error(voice: Voice) -> None:
    """A language model's lone dash or emoji must not end a call; LiveKit takes no audio at all for an error."""
    voice.answers = [sends(b"")]
    adapter = voice.adapter()
    assert (await spoken(adapter, "… 👍")).duration < 0.05
    assert adapter.stats.transient_failures == 0


async def test_metrics_tell_the_time_to_the_first_audio_and_the_characters(voice: Voice) -> None:
    async with voice.adapter(model="large") as adapter:
        metrics: list[TTSMetrics] = []
        adapter.on("metrics_collected", metrics.append)
        async with adapter.synthesize(TEXT, conn_options=ONCE) as stream:
            await stream.collect()
    (told,) = metrics
    assert 0 < told.ttfb <= told.duration and told.characters_count == len(TEXT)
    assert told.metadata is not None
    assert (told.metadata.model_name, told.metadata.model_provider) == ("large", "generic")
    assert abs(told.audio_duration - 0.5) < 1e-6 and not told.cancelled


# --- what goes wrong ---


@pytest.mark.parametrize(
    ("status", "retryable"), [(400, False), (401, False), (404, False), (429, True), (500, True), (503, True)]
)
async def test_statuses_become_typed_errors(voice: Voice, status: int, retryable: bool) -> None:
    voice.answers = [fails(status, {"error": {"message": f"no: {TEXT}"}})]
    error = await refused(voice.adapter(api_key=KEY))
    assert isinstance(error, APIStatusError)
    assert (error.status_code, error.retryable) == (status, retryable)
    assert "generic at http://127.0.0.1" in error.message and "(no: …)" in error.message


async def test_what_is_quoted_of_the_text_is_not_told(voice: Voice) -> None:
    voice.answers = [fails(400, {"error": {"message": "no 'fox says nothing about the account number 8812'"}})]
    assert "(no '…')" in (await refused(voice.adapter(api_key=KEY))).message


async def test_a_client_closed_request_is_not_taken_for_our_own_leaving(voice: Voice) -> None:
    voice.answers = [fails(499)]
    assert "HTTP 499" in (await refused(voice.adapter())).message


async def test_a_failure_before_the_first_audio_is_tried_again(voice: Voice) -> None:
    voice.answers = [fails(503), breaks_off(b""), sends(tone())]
    adapter = voice.adapter()
    errors: list[tts.TTSError] = []
    adapter.on("error", errors.append)
    frame = await spoken(adapter, options=QUICK)
    assert frame.data.tobytes() == tone()
    assert [error.recoverable for error in errors] == [True, True]
    assert (adapter.stats.segments, adapter.stats.transient_failures, adapter.stats.broken_off) == (3, 2, 0)


async def test_a_vendor_that_asks_for_patience_gets_it(voice: Voice) -> None:
    voice.answers = [fails(429, **{"Retry-After": "0.4"}), sends(tone())]
    before = time.monotonic()
    await spoken(voice.adapter(), options=QUICK)
    assert time.monotonic() - before >= 0.4


async def test_but_not_more_of_it_than_an_attempt_may_take(voice: Voice) -> None:
    voice.answers = [fails(503, **{"Retry-After": "31"}), sends(tone())]
    assert not (await refused(voice.adapter(), options=QUICK)).retryable
    assert len(voice.requests) == 1


async def test_nothing_is_said_twice_when_the_connection_breaks_in_mid_speech(voice: Voice) -> None:
    voice.answers = [breaks_off(tone(0.3)), sends(tone())]
    async with voice.adapter() as adapter:
        heard = 0.0
        async with adapter.synthesize(TEXT, conn_options=QUICK) as stream:
            with pytest.raises(APIConnectionError) as caught:
                async for event in stream:
                    heard += event.frame.duration
    assert not caught.value.retryable and len(voice.requests) == 1
    assert 0.2 < heard <= 0.3  # what came was heard
    assert (adapter.stats.broken_off, adapter.stats.transient_failures) == (1, 1)


async def test_a_wav_file_that_breaks_off_is_a_failure(voice: Voice) -> None:
    voice.answers = [sends(wav(tone())[:-6000], "audio/wav")]
    assert "breaks off" in (await refused(voice.adapter())).message


@pytest.mark.parametrize(
    ("audio", "content_type", "told", "retryable"),
    [
        (
            orjson.dumps({"error": {"message": "busy"}}),
            "application/json",
            "expected audio, got JSON (busy)",
            True,
        ),
        (orjson.dumps({"error": "no such voice", "code": 404}), "application/json", "(no such voice)", False),
        (orjson.dumps({"status": 503, "detail": TEXT}), "application/problem+json", "got JSON (…)", True),
        (b"<html>Welcome</html>", "text/html", "an HTML page", False),
        (b"hello", "text/plain", "got text/plain: check the URL", False),
        (b"", "audio/pcm", "the answer holds no audio", True),
        (b"\x01", "audio/pcm", "the answer holds no audio", True),
        (b"", "audio/mpeg", "the answer holds no audio", True),
        (b"", "audio/wav", "the answer holds no audio", True),
        (
            b'{"error": "no such voice"}',
            "application/octet-stream",
            'got a text ({"error": "no such voice"})',
            False,
        ),
        (orjson.dumps({"error": f"{KEY}: {TEXT}"}), "audio/pcm", 'got a text ({"error":"***: …"})', False),
        (b"RIFF\0\0\0\0AVI LIST", "audio/wav", "expected a WAV file", False),
        (wav(b"")[:20], "audio/wav", "breaks off", False),
    ],
)
async def test_an_answer_that_is_no_audio_is_an_error_that_says_so(
    voice: Voice, audio: bytes, content_type: str, told: str, retryable: bool
) -> None:
    voice.answers = [sends(audio, content_type)]
    error = await refused(voice.adapter(api_key=KEY))
    assert told in error.message
    assert error.retryable is retryable


async def test_a_page_that_drips_is_refused_in_time(voice: Voice) -> None:
    """Each byte of it would buy another ``read_timeout``."""

    async def drips(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        while True:
            await answer.write(b" ")
            await asyncio.sleep(0.01)

    voice.answers = [drips]
    refusal = refused(voice.adapter(read_timeout=0.2, request_timeout=0.2))
    assert isinstance(await asyncio.wait_for(refusal, 5), APITimeoutError)


@pytest.mark.parametrize("content_type", ["audio/mpeg", "audio/ogg", "audio/flac", "audio/mp4", "audio/webm"])
async def test_rubbish_is_no_audio_whatever_it_is_called(voice: Voice, content_type: str) -> None:
    voice.answers = [sends(b"\x00rubbish" * 900, content_type)]
    error = await refused(voice.adapter())
    assert "cannot be decoded" in error.message or "no audio" in error.message


@pytest.mark.parametrize("rate", [24000, 44100])
async def test_one_mp3_file_after_another_is_heard(voice: Voice, rate: int) -> None:
    """As servers send them that have a text made sentence by sentence: with a tag in the middle."""
    files = encoded(tone(), "mp3", "libmp3lame") + encoded(tone(rate=rate), "mp3", "libmp3lame", rate)
    voice.answers = [sends(files, "audio/mpeg", piece=777)]
    frame = await spoken(voice.adapter())
    assert frame.duration == pytest.approx(1.0, abs=0.1)
    assert pitch(frame) == pytest.approx(440, abs=5)


async def test_the_thread_of_the_decoder_ends_with_the_speech(voice: Voice) -> None:
    voice.answers = [sends(encoded(tone(), "mp3", "libmp3lame"), "audio/mpeg")]
    await spoken(voice.adapter())
    for thread in threading.enumerate():
        if thread.name.startswith("voxport.decoder"):
            thread.join(2.0)
            assert not thread.is_alive()


async def test_nobody_there_is_an_error_that_passes() -> None:
    adapter = CustomHTTPTTSAdapter(f"http://127.0.0.1:{unused_port()}/speak", api_key=KEY)
    error = await refused(adapter)
    assert isinstance(error, APIConnectionError) and error.retryable


async def test_redirects_are_not_followed(voice: Voice) -> None:
    async def elsewhere(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": "http://example.com/?token=abc123"})

    voice.answers = [elsewhere]
    error = await refused(voice.adapter(api_key=KEY))
    assert not error.retryable and "redirects" in error.message and "abc123" not in error.message


@pytest.mark.parametrize("head_first", [False, True])
async def test_silence_has_an_end(voice: Voice, head_first: bool) -> None:
    async def silence(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        if head_first:
            await response.prepare(request)
        await voice.go_on.wait()
        return response

    voice.answers = [silence]
    error = await refused(voice.adapter(request_timeout=0.15, read_timeout=0.05))
    assert isinstance(error, APITimeoutError) and error.retryable


async def test_a_pause_in_mid_speech_has_an_end(voice: Voice) -> None:
    async def stalls(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        await response.prepare(request)
        await response.write(tone(0.2))
        await voice.go_on.wait()
        return response

    voice.answers = [stalls]
    error = await refused(voice.adapter(read_timeout=0.1), options=QUICK)
    assert isinstance(error, APITimeoutError)
    assert not error.retryable  # it was heard
    assert len(voice.requests) == 1


@pytest.mark.parametrize("content_type", ["audio/pcm", "audio/mpeg"])
async def test_leaving_in_mid_speech_closes_the_request_at_once(voice: Voice, content_type: str) -> None:
    sound = tone(0.5) if content_type == "audio/pcm" else encoded(tone(2.0), "mp3", "libmp3lame")

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        await response.write(sound)
        await voice.go_on.wait()
        return response

    voice.answers = [endless]
    async with voice.adapter() as adapter:
        stream = adapter.synthesize(TEXT, conn_options=ONCE)
        await stream.__anext__()
        began = time.monotonic()
        await stream.aclose()
        await asyncio.wait_for(voice.left.wait(), 2.0)
        assert time.monotonic() - began < 0.2
        assert adapter.stats.cancelled == 1


async def test_closing_the_adapter_breaks_off_what_is_being_said(voice: Voice) -> None:
    async def waits(request: web.Request) -> web.StreamResponse:
        await voice.go_on.wait()
        return web.Response()

    voice.answers = [waits]
    adapter = voice.adapter()
    stream = adapter.synthesize(TEXT, conn_options=ONCE)
    await voice.arrived.wait()
    await adapter.aclose()
    await asyncio.wait_for(voice.left.wait(), 2.0)
    assert stream.done


# --- the adapter itself ---


async def test_changes_are_for_the_next_text(voice: Voice) -> None:
    async with voice.adapter(voice="anna", options={"speed": 1}) as adapter:
        for _ in range(2):
            async with adapter.synthesize(TEXT, conn_options=ONCE) as stream:
                adapter.update_options(voice="bob", model="small", language="de", options={"pitch": 2})
                await stream.collect()
        with pytest.raises(ConfigurationError, match="format"):
            adapter.update_options(voice="eve", options={"format": 3})
        assert (adapter.voice, adapter.model, adapter.provider) == ("bob", "small", "generic")
    assert [body["voice"] for body in voice.bodies] == ["anna", "bob"]
    assert voice.bodies[1]["options"] == {"speed": 1, "pitch": 2}


async def test_prewarming_opens_the_connection_that_is_used(voice: Voice) -> None:
    async with voice.adapter() as adapter:
        adapter.prewarm()
        (prewarming,) = adapter._prewarming.here()
        await prewarming
        pool = adapter._sessions.get().connector
        assert pool is not None
        free = [protocol for held in pool._conns.values() for protocol, _ in held]
        async with adapter.synthesize(TEXT, conn_options=ONCE) as stream:
            await stream.collect()
        assert voice.requests[0].transport is not None
        assert len(free) == 1
        assert free[0].transport is not None
        assert free[0].transport.get_extra_info("sockname") == voice.requests[0].transport.get_extra_info(
            "peername"
        )


async def test_prewarming_nobody_is_no_error() -> None:
    async with CustomHTTPTTSAdapter(f"http://127.0.0.1:{unused_port()}/speak") as adapter:
        adapter.prewarm()
        (prewarming,) = adapter._prewarming.here()
        await prewarming


async def test_a_session_that_was_given_stays_open(voice: Voice) -> None:
    async with aiohttp.ClientSession() as session:
        await spoken(voice.adapter(http_session=session))
        assert not session.closed


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"endpoint_url": ""}, "endpoint_url is missing"),
        ({"endpoint_url": "wss://host/speak"}, "did you mean"),
        ({"endpoint_url": "http://host.example/speak", "api_key": KEY}, "clear text"),
        ({"sample_rate": 100}, "sample_rate must be between"),
        ({"request_timeout": 0}, "request_timeout must be a positive number"),
        ({"read_timeout": -1}, "read_timeout"),
        ({"media_type": "mp3"}, "media_type must name audio"),
        ({"media_type": "audio/pcm;rate=16k"}, "media_type has a rate that is no number of Hz"),
        ({"options": "pace=2"}, "options must be a mapping"),
        ({"headers": ["X-Team: a"]}, "headers must be a mapping"),
        ({"voice": 5}, "voice must be a text"),
        ({"vendor": "deepgramm"}, "did you mean 'deepgram'"),
        ({"vendor": "deepgram_flux"}, "only hears: use it with CustomWebSocketSTTAdapter"),
        ({"vendor": "openai", "options": {"sped": 2}}, "did you mean 'speed'"),
        ({"endpoint_url": "https://api.openai.com/v1"}, "OPENAI_API_KEY"),
    ],
)
def test_what_cannot_work_is_refused_at_once(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        CustomHTTPTTSAdapter(**({"endpoint_url": "http://127.0.0.1/speak"} | settings))
    assert KEY not in str(caught.value)


# --- a request of one's own ---


class Hooked(CustomHTTPTTSAdapter):
    """Asks by itself, in upper case."""

    async def _synthesize(self, text: str) -> AsyncIterator[bytes]:
        body = {"say": text.upper()}
        async with self.session.post(self.endpoint_url, json=body, headers=self.headers) as response:
            response.raise_for_status()
            async for piece in response.content.iter_any():
                yield piece


class HookedMp3(Hooked):
    media_type = "audio/mpeg"


class Prefixed(CustomHTTPTTSAdapter):
    async def _synthesize(self, text: str) -> AsyncIterator[bytes]:
        async for pcm in super()._synthesize(f"Well, {text}"):
            yield pcm


async def test_a_subclass_may_ask_by_itself(voice: Voice) -> None:
    adapter = Hooked(voice.url, api_key=KEY, headers={"X-Team": "a"})
    assert KEY not in repr(adapter.headers)
    assert (await spoken(adapter)).data.tobytes() == tone()
    assert voice.bodies == [{"say": TEXT.upper()}]
    headers = voice.requests[0].headers
    assert (headers["Authorization"], headers["X-Team"]) == (f"Bearer {KEY}", "a")


async def test_a_subclass_says_what_it_yields(voice: Voice) -> None:
    voice.answers = [sends(encoded(tone(), "mp3", "libmp3lame"), "whatever/it-says")]
    frame = await spoken(HookedMp3(voice.url))
    assert abs(pitch(frame) - 440) < 5


async def test_a_subclass_may_change_the_text_only(voice: Voice) -> None:
    voice.answers = [sends(wav(tone(rate=16000), 16000), "audio/wav")]
    frame = await spoken(Prefixed(voice.url))
    assert voice.bodies[0]["text"] == f"Well, {TEXT}" and abs(pitch(frame) - 440) < 5


async def test_what_aiohttp_raises_in_a_subclass_is_typed(voice: Voice) -> None:
    voice.answers = [fails(503), sends(tone())]
    assert (await spoken(Hooked(voice.url), options=QUICK)).duration > 0
    voice.answers = [fails(403)]
    error = await refused(Hooked(voice.url))
    assert isinstance(error, APIStatusError) and error.status_code == 403


async def test_a_mistake_in_a_subclass_shows_as_what_it_is(voice: Voice) -> None:
    class Mistaken(CustomHTTPTTSAdapter):
        async def _synthesize(self, text: str) -> AsyncIterator[bytes]:
            yield bytes(int(text))

    with pytest.raises(ValueError, match="invalid literal"):
        await spoken(Mistaken(voice.url), options=QUICK)


async def test_a_subclass_may_return_all_at_once(voice: Voice) -> None:
    class Whole(CustomHTTPTTSAdapter):
        async def _synthesize(self, text: str) -> bytes:  # type: ignore[override]
            return tone()

    class Mistaken(CustomHTTPTTSAdapter):
        async def _synthesize(self, text: str) -> None:  # type: ignore[override]
            pass

    assert (await spoken(Whole(voice.url))).data.tobytes() == tone()
    with pytest.raises(TypeError, match="must yield bytes, and returned NoneType"):
        await spoken(Mistaken(voice.url))


async def test_a_subclass_is_asked_in_one_task_from_beginning_to_end(voice: Voice) -> None:
    """Libraries mind when parts of a request run in different ones."""
    tasks = []

    class Watched(CustomHTTPTTSAdapter):
        async def _synthesize(self, text: str) -> AsyncIterator[bytes]:
            try:
                for _ in range(40):
                    tasks.append(asyncio.current_task())
                    yield tone(0.01)
            finally:
                tasks.append(asyncio.current_task())

    await spoken(Watched(voice.url))
    async with Watched(voice.url) as adapter, adapter.synthesize(TEXT, conn_options=ONCE) as stream:
        await anext(stream)  # and leaves
    assert len(set(tasks)) == 2


@pytest.mark.parametrize("method", ["request", "form", "reader"])
async def test_a_protocol_that_fails_is_an_error_without_the_text(voice: Voice, method: str) -> None:
    class Broken(type(find_vendor("generic").synthesis)):  # type: ignore[misc]
        pass

    def fail(*_: Any) -> None:
        raise KeyError(TEXT)

    setattr(Broken, method, fail)
    protocol = find_vendor("generic").synthesis
    assert protocol is not None
    error = await refused(voice.adapter(vendor=Broken(protocol.profile)), options=QUICK)  # type: ignore[attr-defined]
    assert "failed with KeyError (test_http.py, line" in error.message and not error.retryable


async def test_half_a_sign_is_no_obstacle(voice: Voice) -> None:
    """Language models whose server cuts text by UTF-16 units send such."""
    await spoken(voice.adapter(), "Hi \ud83c\udf89 there \ud83c.")
    assert voice.bodies[0]["text"] == "Hi \U0001f389 there \ufffd."


async def test_audio_without_end_is_broken_off(voice: Voice) -> None:
    """A text of three letters is not spoken for more than a minute and 6 seconds."""

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm;rate=8000"})
        await response.prepare(request)
        while True:
            await response.write(tone(5, 8000))

    voice.answers = [endless]
    adapter = voice.adapter(sample_rate=8000)
    async with adapter, adapter.synthesize("Yes", conn_options=ONCE) as stream:
        with pytest.raises(APIError, match="without end"):
            async for _ in stream:
                pass
        assert 66 < adapter.stats.audio_seconds < 72


async def test_leaving_closes_the_request_of_a_subclass(voice: Voice) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        await response.prepare(request)
        await response.write(tone())
        await voice.go_on.wait()
        return response

    voice.answers = [endless]
    async with Hooked(voice.url) as adapter:
        stream = adapter.synthesize(TEXT, conn_options=ONCE)
        await stream.__anext__()
        await stream.aclose()
        await asyncio.wait_for(voice.left.wait(), 2.0)


# --- audio in JSON ---

PROFILE = """
name: wraps
title: Wraps
synthesis:
  body: {json: {say: "${text}"}}
  answer: {each: line, audio: sound, failed: oops, message: oops}
  audio: {type: audio/pcm, rates: [16000]}
"""


def lines(*values: Any) -> bytes:
    return b"".join(orjson.dumps(value) + b"\n" for value in values)


async def test_audio_in_lines_of_json_is_heard_at_its_rate(voice: Voice, tmp_path: Path) -> None:
    path = tmp_path / "wraps.yaml"
    path.write_text(PROFILE)
    sound = tone(rate=16000)
    parts = [{"sound": base64.b64encode(sound[i : i + 4001]).decode()} for i in range(0, len(sound), 4001)]
    voice.answers = [sends(lines({"id": 7}, *parts), "application/json")]
    frame = await spoken(voice.adapter(vendor=path))
    assert abs(frame.duration - 0.5) < 0.001 and abs(pitch(frame) - 440) < 5
    voice.answers = [sends(lines({"oops": f"busy with {TEXT}"}), "application/json")]
    error = await refused(voice.adapter(vendor=path))
    assert error.message.endswith("busy with …") and error.retryable
    voice.answers = [sends(b"Traceback", "text/plain")]
    assert not (await refused(voice.adapter(vendor=path))).retryable


# --- in a session ---


async def test_sentences_flow_through_livekits_stream_adapter(voice: Voice) -> None:
    voice.answers = [sends(wav(tone(0.25, rate=16000), 16000), "audio/wav")]
    async with voice.adapter() as adapter:
        streaming = tts.StreamAdapter(tts=adapter)
        async with streaming.stream() as stream:
            for piece in (
                "We open at nine in the morning. ",
                "We close at ",
                "five, every day of the week. ",
                "Goodbye then, sir.",
            ):
                stream.push_text(piece)
            stream.end_input()
            frames = [event.frame async for event in stream]
        await streaming.aclose()
    assert [body["text"] for body in voice.bodies] == [
        "We open at nine in the morning.",
        "We close at five, every day of the week.",
        "Goodbye then, sir.",
    ]
    assert abs(sum(frame.duration for frame in frames) - 0.75) < 0.02  # LiveKit adds 10 ms at the end
