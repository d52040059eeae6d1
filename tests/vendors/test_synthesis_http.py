"""How vendors speak over HTTP, by their documentation: what is asked, and what the answer is."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from agents.providers.base import ConfigurationError
from agents.providers.protocol import (
    HttpRequest,
    HttpResponse,
    Settings,
    SynthesisForm,
    SynthesisProtocol,
    Verdict,
)
from agents.providers.redaction import Secret
from agents.providers.vendors import find_vendor

KEY = "secret-4711"
TEXT = "Good morning."


def protocol(name: str) -> SynthesisProtocol:
    found = find_vendor(name).synthesis
    assert found is not None
    return found


def settings(name: str, **fields: Any) -> Settings:
    url = find_vendor(name).synthesis_url or "http://127.0.0.1:1/speak"
    made = Settings(**{"url": url, "api_key": Secret(KEY), "sample_rate": 24000, **fields})
    protocol(name).check(made)
    return made


def asked(name: str, **fields: Any) -> tuple[HttpRequest, Any, dict[str, list[str]]]:
    request = protocol(name).request(TEXT, settings(name, **fields))
    assert isinstance(request.body, bytes) and request.headers["Content-Type"] == "application/json"
    assert request.method == "POST"
    return request, orjson.loads(request.body), parse_qs(urlsplit(request.url).query)


def test_openai() -> None:
    request, body, query = asked("openai")
    assert request.url == "https://api.openai.com/v1/audio/speech"
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert body == {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": TEXT, "response_format": "pcm"}
    _, body, _ = asked(
        "openai",
        voice="echo",
        model="tts-1",
        options={"response_format": "mp3", "speed": 1.5, "instructions": "like a pirate"},
    )
    assert body == {
        "model": "tts-1",
        "voice": "echo",
        "input": TEXT,
        "response_format": "mp3",
        "speed": 1.5,
        "instructions": "like a pirate",
    }


def test_deepgram() -> None:
    request, body, query = asked("deepgram", options={"speed": 0.9, "tag": ["a", "b"]})
    assert request.url.startswith("https://api.deepgram.com/v1/speak?")
    assert request.headers["Authorization"] == f"Token {KEY}"
    assert body == {"text": TEXT}
    assert query == {
        "model": ["aura-2-thalia-en"],
        "encoding": ["linear16"],
        "container": ["none"],
        "sample_rate": ["24000"],
        "mip_opt_out": ["false"],
        "speed": ["0.9"],
        "tag": ["a", "b"],
    }


@pytest.mark.parametrize("given", [{"voice": "aura-asteria-en"}, {"model": "aura-asteria-en"}])
def test_models_of_deepgram_are_its_voices(given: dict[str, str]) -> None:
    assert asked("deepgram", **given)[2]["model"] == ["aura-asteria-en"]


def test_elevenlabs() -> None:
    request, body, query = asked(
        "elevenlabs",
        voice="Rachel 1",
        language="de-AT",
        sample_rate=16000,
        options={"stability": 0.3, "speed": 1.1, "seed": 5, "enable_logging": False},
    )
    assert request.url.startswith("https://api.elevenlabs.io/v1/text-to-speech/Rachel%201/stream?")
    assert request.headers["xi-api-key"] == KEY
    assert query == {"output_format": ["pcm_16000"], "enable_logging": ["false"]}
    assert body == {
        "text": TEXT,
        "model_id": "eleven_turbo_v2_5",
        "language_code": "de",
        "voice_settings": {"stability": 0.3, "speed": 1.1},
        "seed": 5,
    }


def test_cartesia() -> None:
    request, body, _ = asked("cartesia", voice="v1", model="sonic-3.5", language="fr-FR", options={"speed": 1.2})
    assert request.url == "https://api.cartesia.ai/tts/bytes"
    assert (request.headers["X-API-Key"], request.headers["Cartesia-Version"]) == (KEY, "2026-08-14")
    assert body == {
        "model_id": "sonic-3.5",
        "transcript": TEXT,
        "voice": {"mode": "id", "id": "v1"},
        "language": "fr",
        "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000},
        "generation_config": {"speed": 1.2},
    }
    assert "generation_config" not in asked("cartesia")[1]


def test_jambonz() -> None:
    request, body, _ = asked("jambonz", voice="anna", language="en-US")
    assert body == {"language": "en-US", "voice": "anna", "type": "text", "text": TEXT}
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert asked("jambonz", options={"type": "ssml"})[1]["type"] == "ssml"


# --- where it is ---


@pytest.mark.parametrize(
    ("name", "url", "asked_at"),
    [
        ("openai", "http://h:1", "http://h:1/v1/audio/speech"),
        ("openai", "http://h:1/v1", "http://h:1/v1/audio/speech"),
        ("openai", "http://h:1/proxy/v1/", "http://h:1/proxy/v1/audio/speech"),
        ("openai", "http://h:1/any/place", "http://h:1/any/place"),
        ("elevenlabs", "http://h:1/v1", "http://h:1/v1/text-to-speech/anna/stream"),
        ("elevenlabs", "http://h:1/v1/text-to-speech/x/stream", "http://h:1/v1/text-to-speech/x/stream"),
        ("deepgram", "https://h:1", "https://h:1/v1/speak"),
        ("cartesia", "https://h:1/", "https://h:1/tts/bytes"),
        ("generic", "https://h:1/", "https://h:1/"),
    ],
)
def test_a_url_may_be_the_hosts_the_base_or_the_whole(name: str, url: str, asked_at: str) -> None:
    assert asked(name, url=url, voice="anna")[0].url.partition("?")[0] == asked_at


def test_a_voice_in_the_path_cannot_leave_it() -> None:
    url = asked("elevenlabs", voice="a?b#c d")[0].url
    assert urlsplit(url).path == "/v1/text-to-speech/a%3Fb%23c%20d/stream"


# --- rates ---


@pytest.mark.parametrize(
    ("name", "wanted", "made"),
    [
        ("deepgram", 24000, 24000),
        ("deepgram", 22050, 24000),
        ("deepgram", 96000, 48000),
        ("elevenlabs", 12000, 16000),
        ("openai", 16000, 24000),
        ("cartesia", 32000, 44100),
        ("generic", 11025, 11025),
    ],
)
def test_a_vendor_is_asked_for_a_rate_it_makes(name: str, wanted: int, made: int) -> None:
    request, body, _ = asked(name, sample_rate=wanted)
    if name != "openai":  # which has one only
        assert str(made) in request.url or str(made) in orjson.dumps(body).decode()
    answer = HttpResponse(200, {"content-type": "audio/pcm"}, b"")
    assert protocol(name).form(answer, settings(name, sample_rate=wanted)) == SynthesisForm("audio/pcm", made)


@pytest.mark.parametrize("name", ["deepgram", "elevenlabs", "cartesia"])
def test_samples_that_were_asked_for_are_samples_whatever_they_are_called(name: str) -> None:
    answer = HttpResponse(200, {"content-type": "audio/mpeg"}, b"")
    assert protocol(name).form(answer, settings(name)) == SynthesisForm("audio/pcm", 24000)


def test_the_telephone_speaks_at_8_khz() -> None:
    answer = HttpResponse(200, {"content-type": "audio/l16"}, b"")
    assert protocol("jambonz").form(answer, settings("jambonz")).sample_rate == 8000


# --- answers that are no audio ---


@pytest.mark.parametrize("name", ["openai", "deepgram", "elevenlabs", "cartesia", "jambonz", "generic"])
def test_an_answer_that_is_no_audio_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected audio, got JSON"):
        protocol(name).form(HttpResponse(200, {"content-type": "application/json"}, b""), settings(name))


@pytest.mark.parametrize(
    ("name", "status", "body", "message", "verdict"),
    [
        ("elevenlabs", 401, {"detail": {"status": "x", "message": "wrong key"}}, "wrong key", Verdict.PERMANENT),
        ("deepgram", 400, {"err_code": "X", "err_msg": "no model"}, "no model", Verdict.PERMANENT),
        ("cartesia", 429, {"title": "Slow", "message": "too many"}, "too many", Verdict.TRANSIENT),
        ("openai", 500, {"error": {"message": "sorry"}}, "sorry", Verdict.TRANSIENT),
        ("jambonz", 503, {"error": "busy"}, "busy", Verdict.TRANSIENT),
    ],
)
def test_refusals_are_read(name: str, status: int, body: Any, message: str, verdict: Verdict) -> None:
    answer = HttpResponse(status, {"content-type": "application/json"}, orjson.dumps(body))
    failure = protocol(name).failure(answer)
    assert (failure.message, failure.verdict, failure.status) == (message, verdict, status)


# --- what is refused before anything is asked ---


@pytest.mark.parametrize(
    ("name", "fields", "told"),
    [
        ("elevenlabs", {"api_key": None}, "ELEVENLABS_API_KEY or ELEVEN_API_KEY"),
        ("cartesia", {"options": {"speed": 3}}, "'speed' must be at most 1.5"),
        ("cartesia", {"options": {"speeed": 1}}, "did you mean 'speed'"),
        ("cartesia", {"options": {"max_buffer_delay_ms": 1}}, "is for streaming_synthesis, not for synthesis"),
        ("jambonz", {"options": {"pitch": 2}}, "jambonz custom speech has no option 'pitch' for synthesis"),
    ],
)
def test_what_a_vendor_does_not_take_is_refused(name: str, fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        settings(name, **fields)


def test_options_nobody_declared_are_passed_on_by_the_generic_protocol() -> None:
    assert asked("generic", options={"mood": "glad", "format": "mp3"})[1] == {
        "text": TEXT,
        "sample_rate": 24000,
        "format": "mp3",
        "options": {"mood": "glad"},
    }
