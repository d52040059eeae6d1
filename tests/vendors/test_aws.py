"""Amazon Transcribe: signatures and credentials, frames, and what its messages mean."""

from __future__ import annotations

import datetime as clock
import struct
import threading
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest
from amazon_transcribe.eventstream import EventStreamMessageSerializer, Int8HeaderValue, Int16HeaderValue
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agents.providers.base import ConfigurationError, STTConfig
from agents.providers.factory import ProviderFactory
from agents.providers.protocol import (
    Conversation,
    Event,
    Failure,
    Final,
    HttpResponse,
    JobFailed,
    Partial,
    Pcm,
    ProtocolError,
    Settings,
    StreamingProtocol,
    Verdict,
    Wait,
)
from agents.providers.redaction import Secret
from agents.providers.vendors import _aws_signing, find_vendor
from agents.providers.vendors._aws_eventstream import EventMessage, decode_messages, encode_message
from agents.providers.vendors._aws_jobs import AmazonBatch

KEY = "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
URL = "wss://transcribestreaming.eu-west-1.amazonaws.com:8443/stream-transcription-websocket"


@pytest.fixture(autouse=True)
def no_credentials_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """botocore finds nothing but what a test puts there."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "DEFAULT_REGION", "REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    _aws_signing.SIGNERS.clear()  # or it would know those of the test before
    return tmp_path


def settings(**fields: Any) -> Settings:
    return Settings(**{"url": URL, "api_key": Secret(KEY), "language": "en-US", **fields})


def streaming() -> StreamingProtocol:
    protocol = find_vendor("aws").streaming
    assert protocol is not None
    return protocol


def query(**fields: Any) -> dict[str, str]:
    """What a connection's URL asks for."""
    return dict(parse_qsl(urlsplit(streaming().connect(settings(**fields)).url).query))


def talk(**fields: Any) -> Conversation:
    return streaming().converse(settings(**fields))


def event(*results: dict[str, Any]) -> bytes:
    headers = {":message-type": "event", ":event-type": "TranscriptEvent", ":content-type": "application/json"}
    return encode_message(EventMessage(headers, orjson.dumps({"Transcript": {"Results": list(results)}})))


def exception(kind: str, message: str = "It went wrong") -> bytes:
    headers = {":message-type": "exception", ":exception-type": kind}
    return encode_message(EventMessage(headers, orjson.dumps({"Message": message})))


def result(text: str, items: list[dict[str, Any]] | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "ResultId": "r1",
        "StartTime": 1.0,
        "EndTime": 2.5,
        "IsPartial": True,
        "Alternatives": [{"Transcript": text, "Items": items or []}],
        **fields,
    }


def item(content: str, start: float = 1.0, kind: str = "pronunciation", **fields: Any) -> dict[str, Any]:
    return {"Content": content, "StartTime": start, "EndTime": start + 0.2, "Type": kind, **fields}


# --- the way to the service ---


def test_the_url_is_presigned_for_five_minutes() -> None:
    sent = query(sample_rate=24000, model="my-model")
    stamp = sent.pop("X-Amz-Date")
    assert len(sent.pop("X-Amz-Signature")) == 64
    assert sent == {
        "language-code": "en-US",
        "media-encoding": "pcm",
        "sample-rate": "24000",
        "language-model-name": "my-model",
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"AKIDEXAMPLE/{stamp[:8]}/eu-west-1/transcribe/aws4_request",
        "X-Amz-Expires": "300",
        "X-Amz-SignedHeaders": "host",
    }
    request = streaming().connect(settings())
    assert request.url.startswith(URL + "?") and not request.headers
    assert "wJalr" not in request.url + repr(request)


def test_a_request_is_signed_as_amazons_example() -> None:
    """get-vanilla of Amazon's Signature Version 4 test suite."""
    signer = _aws_signing.Signer(settings())
    moment = clock.datetime(2015, 8, 30, 12, 36, tzinfo=clock.timezone.utc)
    with mock.patch.object(_aws_signing, "datetime", mock.Mock(now=lambda zone: moment)):
        headers = signer.signed_headers("GET", "https://example.amazonaws.com/", {}, b"", "us-east-1", "service")
    assert headers["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date, "
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    )


def test_a_session_token_is_part_of_the_signature_and_of_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    sent = query(api_key=Secret(KEY + ":to/ken+=="))
    assert sent["X-Amz-Security-Token"] == "to/ken+=="
    assert "ken" not in caplog.text and "wJalr" not in caplog.text


@pytest.mark.parametrize(
    ("where", "region"),
    [
        ({"url": URL}, "eu-west-1"),
        ({"url": "wss://transcribestreaming-fips.us-gov-west-1.amazonaws.com:8443/p"}, "us-gov-west-1"),
        ({"url": "wss://transcribestreaming.cn-north-1.amazonaws.com.cn:8443/p"}, "cn-north-1"),
        ({"url": "wss://transcribestreaming.eusc-de-east-1.amazonaws.eu:8443/p"}, "eusc-de-east-1"),
        ({"url": "wss://transcribestreaming-fips.us-east-1.api.aws:8443/p"}, "us-east-1"),
        ({"url": "wss://transcribestreaming.cn-north-1.api.amazonwebservices.com.cn:8443/p"}, "cn-north-1"),
        ({"url": "ws://127.0.0.1:1/p", "options": {"region": "ap-south-1"}}, "ap-south-1"),
        ({"url": "wss://vpce-1.example/p"}, "eu-north-1"),
    ],
)
def test_the_region_is_the_options_the_urls_or_the_environments(
    monkeypatch: pytest.MonkeyPatch, where: dict[str, Any], region: str
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    assert query(**where)["X-Amz-Credential"].split("/")[2] == region


def test_the_default_url_is_in_the_configured_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    default = find_vendor("aws").streaming_url
    url = streaming().connect(settings(url=default)).url
    assert url.startswith(
        "wss://transcribestreaming.eu-central-1.amazonaws.com:8443/stream-transcription-websocket?"
    )


@pytest.mark.parametrize(
    ("region", "streams", "jobs", "bucket"),
    [
        ("us-gov-west-1", "amazonaws.com", "transcribe.us-gov-west-1.amazonaws.com", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn", "cn.transcribe.cn-north-1.amazonaws.com.cn", "amazonaws.com.cn"),
        ("eusc-de-east-1", "amazonaws.eu", "transcribe.eusc-de-east-1.amazonaws.eu", "amazonaws.eu"),
    ],
)
def test_regions_of_their_own_have_hosts_of_their_own(region: str, streams: str, jobs: str, bucket: str) -> None:
    vendor = find_vendor("aws")
    options = {"region": region, "bucket": "b"}
    url = streaming().connect(settings(url=vendor.streaming_url, options={"region": region})).url
    assert url.startswith(f"wss://transcribestreaming.{region}.{streams}:8443/stream-transcription-websocket?")
    assert vendor.batch is not None
    asked = settings(url=vendor.batch_url, options=options)
    assert vendor.batch.place(asked) == f"https://{jobs}/"
    flow = vendor.batch.recognise(Pcm(bytes(320), 16000), asked)
    upload: Any = next(flow)
    assert upload.url.startswith(f"https://s3.{region}.{bucket}/b/voxport-")
    started: Any = flow.send(HttpResponse(200, {}, b""))
    assert started.url == f"https://{jobs}/" and f"/{region}/transcribe/" in started.headers["Authorization"]


@pytest.mark.parametrize(
    "host",
    ["fips.transcribe.us-gov-west-1.amazonaws.com", "cn.transcribe.us-gov-west-1.amazonaws.com.cn"],
)
def test_the_region_is_in_the_hosts_of_jobs_too(host: str) -> None:
    assert _aws_signing.region_of(f"https://{host}/") == "us-gov-west-1"


def test_it_is_recognised_by_its_hosts() -> None:
    assert find_vendor("auto", url=URL).name == "aws"
    assert find_vendor("auto", url="wss://elb.eu-west-1.amazonaws.com/stt").name == "generic"


# --- credentials ---


def test_credentials_come_from_the_options() -> None:
    options = {"access_key_id": "AKOPT", "secret_access_key": "s", "session_token": "t"}
    sent = query(api_key=None, options=options)
    assert sent["X-Amz-Credential"].startswith("AKOPT/") and sent["X-Amz-Security-Token"] == "t"


def test_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert query(api_key=None, options={"session_token": None})["X-Amz-Credential"].startswith("AKENV/")


def test_credentials_and_region_come_from_a_profile(no_credentials_around: Path) -> None:
    (no_credentials_around / "credentials").write_text(
        "[phone]\naws_access_key_id = AKPROFILE\naws_secret_access_key = s\n"
    )
    (no_credentials_around / "config").write_text("[profile phone]\nregion = sa-east-1\n")
    sent = query(api_key=None, url="ws://127.0.0.1:1/p", options={"profile": "phone"})
    assert sent["X-Amz-Credential"].startswith("AKPROFILE/")
    assert sent["X-Amz-Credential"].split("/")[2] == "sa-east-1"


def test_looking_for_credentials_does_not_hold_up_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The instance's metadata may take its time: the flow waits in small steps meanwhile."""
    found = threading.Event()

    def load(signer: Any) -> Any:
        found.wait(10)
        return _aws_signing._given_credentials(settings())

    monkeypatch.setattr(_aws_signing.Signer, "_load", load)
    flow = streaming().prepare(settings(api_key=None, options={"profile": None, "session_token": "fresh"}))
    assert isinstance(next(flow), Wait) and isinstance(next(flow), Wait)
    found.set()
    request: Any = None
    while request is None:
        try:
            next(flow)
            threading.Event().wait(0.01)
        except StopIteration as done:
            request = done.value
    assert "X-Amz-Signature=" in request.url


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"api_key": None}, "no credentials: pass api_key"),
        ({"api_key": Secret("only-one-part-of-it")}, "api_key for AWS must be ACCESS_KEY_ID:SECRET"),
        ({"api_key": Secret("a::b")}, "api_key for AWS must be"),
        ({"api_key": None, "options": {"access_key_id": "a"}}, "both access_key_id and secret_access_key"),
        ({"api_key": None, "options": {"profile": "missing"}}, r"profile .*missing.* could not be found"),
        ({"url": "ws://127.0.0.1/p"}, "the region is missing: give the option region"),
        ({"language": None}, "name the language, or let it be found"),
        ({"options": {"identify_language": True, "language_options": ["a"]}}, "set language to None"),
        ({"language": None, "options": {"identify_language": True}}, "needs language_options"),
        (
            {"language": None, "options": {"identify_language": True, "identify_multiple_languages": True}},
            "not both",
        ),
        ({"options": {"keyterms": []}}, "no option 'keyterms'"),
        ({"options": {"partial_results_stability": "huge"}}, "one of low, medium, high"),
    ],
)
def test_what_cannot_work_is_refused_when_the_adapter_is_built(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        streaming().check(settings(**fields))
    assert "only-one-part-of-it" not in str(caught.value)


def test_botocore_is_asked_for_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name, name="botocore")

    monkeypatch.setattr(_aws_signing.importlib, "import_module", missing)
    with pytest.raises(ConfigurationError, match=r'pip install "voxport\[aws\]"'):
        _aws_signing.Signer(settings())


# --- jobs ---

JOBS = "https://transcribe.eu-west-1.amazonaws.com/"


def batch() -> AmazonBatch:
    found = find_vendor("aws").batch
    assert isinstance(found, AmazonBatch)
    return found


def job_settings(**fields: Any) -> Settings:
    options = {"bucket": "my calls", **fields.pop("options", {})}
    return settings(**{"url": JOBS, "options": options, **fields})


def answer(body: Any, status: int = 200) -> HttpResponse:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return HttpResponse(status, {"content-type": "application/x-amz-json-1.1"}, data)


def begun(**fields: Any) -> tuple[Any, Any, Any]:
    """A flow up to its second request; answers it, the upload and what begins the job."""
    flow: Any = batch().recognise(Pcm(b"\1\2" * 800, 8000), job_settings(**fields))
    upload = next(flow)
    return flow, upload, flow.send(answer(b""))


def polled(flow: Any, **status: Any) -> Any:
    """The step after the job's first status."""
    assert isinstance(flow.send(answer({"TranscriptionJob": {"TranscriptionJobStatus": "IN_PROGRESS"}})), Wait)
    poll = flow.send(None)
    assert poll.headers["X-Amz-Target"] == "Transcribe.GetTranscriptionJob"
    return flow.send(answer({"TranscriptionJob": status}))


def test_a_job_is_begun_for_a_recording_in_the_bucket() -> None:
    options = {"show_speaker_label": True, "max_speaker_labels": 2, "vocabulary_name": "v"}
    _, upload, start = begun(model="mine", options=options)
    assert upload.method == "PUT" and upload.body == Pcm(b"\1\2" * 800, 8000).wav()
    assert upload.url.startswith("https://s3.eu-west-1.amazonaws.com/my%20calls/voxport-")
    assert "/eu-west-1/s3/aws4_request" in upload.headers["Authorization"]
    assert (start.method, start.url) == ("POST", JOBS)
    assert start.headers["X-Amz-Target"] == "Transcribe.StartTranscriptionJob"
    assert start.headers["Content-Type"] == "application/x-amz-json-1.1"
    assert "/eu-west-1/transcribe/aws4_request" in start.headers["Authorization"]
    sent = orjson.loads(start.body)
    name = sent.pop("TranscriptionJobName")
    assert sent == {
        "LanguageCode": "en-US",
        "MediaFormat": "wav",
        "MediaSampleRateHertz": 8000,
        "Media": {"MediaFileUri": f"s3://my calls/{name}.wav"},
        "Settings": {"VocabularyName": "v", "ShowSpeakerLabels": True, "MaxSpeakerLabels": 2},
        "ModelSettings": {"LanguageModelName": "mine"},
    }


def test_the_transcript_is_fetched_unsigned_and_the_recording_deleted() -> None:
    flow, upload, _ = begun()
    uri = "https://s3.eu-west-1.amazonaws.com/aws-transcribe/t.json?X-Amz-Signature=1"
    done = {"TranscriptionJobStatus": "COMPLETED", "Transcript": {"TranscriptFileUri": uri}}
    delete = polled(flow, **done)
    assert (delete.method, delete.url) == ("DELETE", upload.url)
    fetch = flow.send(answer(b"", 204))
    assert (fetch.method, fetch.url, dict(fetch.headers)) == ("GET", uri, {})
    items = [
        {
            "type": "pronunciation",
            "alternatives": [{"confidence": "0.9", "content": "Hello"}],
            "start_time": "0.5",
            "end_time": "0.9",
            "speaker_label": "spk_1",
        },
        {"type": "punctuation", "alternatives": [{"confidence": "0.0", "content": "."}], "speaker_label": "spk_1"},
    ]
    results = {"transcripts": [{"transcript": "Hello."}], "items": items, "language_code": "en-GB"}
    with pytest.raises(StopIteration) as end:
        flow.send(answer({"jobName": "j", "results": results}))
    found = end.value.value
    assert (found.text, found.language, found.end, found.speaker) == ("Hello.", "en-GB", 0.9, "spk_1")
    assert found.confidence == 0.9 and found.request_id == "j"
    (word,) = found.words
    assert (word.text, word.start, word.end, word.confidence, word.speaker) == ("Hello.", 0.5, 0.9, 0.9, "spk_1")


@pytest.mark.parametrize(
    ("reason", "verdict"),
    [
        ("The media format provided does not match the detected media format", Verdict.PERMANENT),
        (
            "The input media file length is too small. Check the length of the file and try your request again.",
            Verdict.PERMANENT,
        ),
        (None, Verdict.PERMANENT),
        ("Internal failure. Please try your request again.", Verdict.TRANSIENT),
        ("The service is temporarily unavailable", Verdict.TRANSIENT),
    ],
)
def test_a_job_that_fails_says_why_after_the_recording_is_deleted(reason: str | None, verdict: Verdict) -> None:
    flow, _, _ = begun()
    delete = polled(flow, TranscriptionJobStatus="FAILED", FailureReason=reason)
    assert delete.method == "DELETE"
    with pytest.raises(JobFailed, match=f"the job failed: {reason}") as raised:
        flow.send(answer(b"", 204))
    assert raised.value.failure.verdict is verdict


@pytest.mark.parametrize("reply", [[], {}, {"TranscriptionJob": 5}, {"TranscriptionJob": {}}])
def test_what_is_no_job_is_refused(reply: Any) -> None:
    flow, _, _ = begun()
    flow.send(answer({}))
    flow.send(None)
    with pytest.raises(ValueError, match="no TranscriptionJob"):
        flow.send(answer(reply))


@pytest.mark.parametrize(
    ("transcript", "said"),
    [
        (None, "no Transcript.TranscriptFileUri"),
        ({"TranscriptFileUri": 5}, "no Transcript.TranscriptFileUri"),
        ({"TranscriptFileUri": "http://elsewhere.example/t"}, "does not start with https"),
    ],
)
def test_a_transcript_is_not_fetched_from_anywhere(transcript: Any, said: str) -> None:
    flow, _, _ = begun()
    polled(flow, TranscriptionJobStatus="COMPLETED", Transcript=transcript)
    with pytest.raises(ValueError, match=said):
        flow.send(answer(b"", 204))


@pytest.mark.parametrize(
    ("status", "body", "message", "verdict"),
    [
        (
            400,
            {"__type": "com.amazonaws.transcribe#LimitExceededException", "Message": "Too many"},
            "LimitExceededException: Too many",
            Verdict.TRANSIENT,
        ),
        (400, {"__type": "BadRequestException", "Message": "No"}, "BadRequestException: No", Verdict.PERMANENT),
        (400, {"__type": "ExpiredTokenException", "message": "x"}, "ExpiredTokenException: x", Verdict.PERMANENT),
        (
            403,
            b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>No way</Message></Error>",
            "AccessDenied: No way",
            Verdict.PERMANENT,
        ),
        (503, b"<Error><Code>SlowDown</Code></Error>", "SlowDown", Verdict.TRANSIENT),
        (500, b"\xff", "", Verdict.TRANSIENT),
        (404, b"[]", "", Verdict.PERMANENT),
    ],
)
def test_errors_of_both_services_are_told_apart(status: int, body: Any, message: str, verdict: Verdict) -> None:
    failure = batch().failure(answer(body, status))
    assert (failure.message, failure.verdict, failure.status) == (message, verdict, status)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"options": {"bucket": ""}}, "in the option bucket"),
        ({"language": None}, "name the language"),
        ({"options": {"identify_language": True}}, "set language to None"),
        ({"options": {"show_speaker_label": True}}, "needs max_speaker_labels"),
        ({"options": {"session_id": "x"}}, "no option 'session_id'"),
        ({"api_key": None}, "no credentials"),
    ],
)
def test_jobs_that_cannot_work_are_refused_when_the_adapter_is_built(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        batch().check(job_settings(**fields))


# --- the factory ---


def test_the_factory_builds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = {"options": {"region": "eu-west-3", "secret_access_key": "sss-private", "access_key_id": "AKI"}}
    config = STTConfig(provider="aws", language="en-GB", metadata=metadata)
    adapter = ProviderFactory.create_stt(config)
    assert adapter.provider == "aws"
    assert "sss-private" not in repr(config) + repr(adapter)


# --- frames ---

VECTORS = {
    "empty": (b"\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2\x48\xeb\x7d\x98\xc8\xff", {}, b""),
    "payload": (
        b"\x00\x00\x00\x1d\x00\x00\x00\x00\xfd\x52\x8c\x5a{'foo':'bar'}\xc3\x65\x39\x36",
        {},
        b"{'foo':'bar'}",
    ),
    "byte": (
        b"\x00\x00\x00\x17\x00\x00\x00\x07\x29\x86\x01\x58\x04byte\x02\xff\xc2\xf8\x69\xdc",
        {"byte": -1},
        b"",
    ),
    "string": (
        b"\x00\x00\x00\x3d\x00\x00\x00\x20\x07\xfd\x83\x96\x0ccontent-type\x07\x00\x10application/json"
        b"{'foo':'bar'}\x8d\x9c\x08\xb1",
        {"content-type": "application/json"},
        b"{'foo':'bar'}",
    ),
}
"""Of Amazon's own tests of the encoding (aws-c-event-stream, botocore)."""


@pytest.mark.parametrize("name", VECTORS)
def test_amazons_own_examples_are_read(name: str) -> None:
    data, headers, payload = VECTORS[name]
    assert decode_messages(data) == [EventMessage(headers, payload)]


def test_amazons_own_examples_are_written() -> None:
    data, headers, payload = VECTORS["string"]
    assert encode_message(EventMessage(headers, payload)) == data


def test_headers_of_every_type_are_read() -> None:
    moment = clock.datetime(2026, 1, 1, tzinfo=clock.timezone.utc)
    headers = {
        "yes": True,
        "no": False,
        "tiny": Int8HeaderValue(-5),
        "small": Int16HeaderValue(-300),
        "int": 70000,
        "bytes": b"\0\1",
        "text": "grüß",
        "when": moment,
        "id": uuid.UUID(int=7),
    }
    (message,) = decode_messages(EventStreamMessageSerializer().serialize(headers, b"p"))
    assert dict(message.headers) == {
        "yes": True,
        "no": False,
        "tiny": -5,
        "small": -300,
        "int": 70000,
        "bytes": b"\0\1",
        "text": "grüß",
        "when": round(moment.timestamp() * 1000),
        "id": (7).to_bytes(16, "big"),
    }


def test_audio_is_framed_as_amazons_client_frames_it() -> None:
    conversation = talk()
    headers = {
        ":content-type": "application/octet-stream",
        ":event-type": "AudioEvent",
        ":message-type": "event",
    }
    for chunk in (b"\1\2" * 800, bytearray(b"\3\4"), memoryview(b"\5\6\7\0"), b""):
        (message,) = conversation.audio(chunk) if chunk else conversation.close()
        assert message == EventStreamMessageSerializer().serialize(headers, bytes(chunk))
        buffer = EventStreamBuffer()
        buffer.add_data(message)
        assert [(e.headers, e.payload) for e in buffer] == [(headers, bytes(chunk))]


def test_a_sixteen_bit_view_is_framed_by_its_bytes() -> None:
    samples = memoryview(b"\1\2\3\4").cast("h")
    assert talk().audio(samples) == talk().audio(b"\1\2\3\4")


# --- what messages mean ---


def test_a_partial_and_its_final() -> None:
    conversation = talk()
    (partial,) = conversation.receive(event(result("Hello wor")))
    assert isinstance(partial, Partial)
    assert (partial.text, partial.start, partial.end, partial.stable) == ("Hello wor", 1.0, 2.5, False)
    items = [item("Hello", 1.0, Confidence=0.9), item("world", 1.4, Confidence=0.7), item(".", 1.6, "punctuation")]
    (final,) = conversation.receive(event(result("Hello world.", items, IsPartial=False)))
    assert isinstance(final, Final)
    assert (final.text, final.start, final.end, final.segment_id) == ("Hello world.", 1.0, 2.5, "r1")
    assert final.confidence == pytest.approx(0.8)
    assert [(word.text, word.start, word.end, word.confidence) for word in final.words or ()] == [
        ("Hello", 1.0, 1.2, 0.9),
        ("world.", 1.4, pytest.approx(1.6), 0.7),
    ]
    assert final.speaker is None and final.language is None


def test_the_speaker_who_says_most_and_the_language_are_reported() -> None:
    items = [item("a", Speaker="1"), item(",", kind="punctuation"), item("b", Speaker="0"), item("c", Speaker="0")]
    (final,) = talk().receive(event(result("a, b c", items, IsPartial=False, LanguageCode="es-US")))
    assert isinstance(final, Final)
    assert (final.speaker, final.language) == ("S0", "es-US")
    assert [word.speaker for word in final.words or ()] == ["S1", "S0", "S0"]


def test_several_results_and_several_frames_in_a_message() -> None:
    both = event(result("a", IsPartial=False), result("b", ResultId="r2")) + event(result("c", ResultId="r2"))
    got: list[Any] = list(talk().receive(both))
    assert [(type(one), one.text) for one in got] == [(Final, "a"), (Partial, "b"), (Partial, "c")]


@pytest.mark.parametrize("results", [[], [result("", IsPartial=True, Alternatives=[])]])
def test_events_without_text_say_nothing(results: list[dict[str, Any]]) -> None:
    assert not [one for one in talk().receive(event(*results)) if getattr(one, "text", "")]


@pytest.mark.parametrize(
    ("kind", "verdict", "status"),
    [
        ("BadRequestException", Verdict.PERMANENT, 400),
        ("ConflictException", Verdict.PERMANENT, 409),
        ("UnrecognizedClientException", Verdict.PERMANENT, 403),
        ("LimitExceededException", Verdict.TRANSIENT, 429),
        ("InternalFailureException", Verdict.TRANSIENT, 500),
        ("ServiceUnavailableException", Verdict.TRANSIENT, 503),
        ("SomethingNewException", Verdict.TRANSIENT, None),
    ],
)
def test_exceptions_are_told_apart(kind: str, verdict: Verdict, status: int | None) -> None:
    (failure,) = talk().receive(exception(kind))
    assert failure == Failure(f"{kind}: It went wrong", verdict, status=status)


def test_a_stream_without_audio_is_idle_and_did_not_fail() -> None:
    said = "Your request timed out because no new audio was received for 15 seconds."
    (failure,) = talk().receive(exception("BadRequestException", said))
    assert isinstance(failure, Failure) and failure.verdict is Verdict.IGNORE
    traits = streaming().traits(settings())
    assert traits.idle_seconds < 15


def test_an_error_of_the_transport_is_a_failure_that_may_pass() -> None:
    headers = {":message-type": "error", ":error-code": "InternalError", ":error-message": "broken"}
    (failure,) = talk().receive(encode_message(EventMessage(headers, b"not JSON")))
    assert failure == Failure("InternalError: broken", Verdict.TRANSIENT)


def test_unknown_events_are_passed_over() -> None:
    headers = {":message-type": "event", ":event-type": "NewEvent"}
    assert talk().receive(encode_message(EventMessage(headers, b"{}"))) == []


def _broken() -> list[bytes | str]:
    good = event(result("a"))
    headers = {":message-type": "event", ":event-type": "TranscriptEvent"}
    bodies = [b"{", b"[1]", b'{"Transcript":null}', b'{"Transcript":{"Results":[1]}}']
    return [
        "text",
        b"\0",
        good[:-1],
        good[:20],
        good[:8] + b"\0\0\0\0" + good[12:],
        good[:-1] + bytes([good[-1] ^ 1]),
        good[:40] + bytes([good[40] ^ 1]) + good[41:],
        *(encode_message(EventMessage(headers, body)) for body in bodies),
    ]


@pytest.mark.parametrize("message", _broken())
def test_what_is_no_message_of_amazons_is_a_protocol_error(message: bytes | str) -> None:
    with pytest.raises(ProtocolError):
        talk().receive(message)


_FIELDS = [*result(""), "LanguageCode"]
_ABSURD: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def _only_protocol_errors(receive: Callable[[], Any]) -> None:
    try:
        events: list[Event] = list(receive())
    except ProtocolError:
        return
    assert all(isinstance(one, (Partial, Final, Failure)) for one in events)


@hypothesis_settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(_FIELDS), _ABSURD), _ABSURD, _ABSURD)
def test_absurd_results_do_no_harm(fields: dict[str, Any], alternative: Any, items: Any) -> None:
    shape = {**result("a"), "Alternatives": [{"Transcript": alternative, "Items": items}], **fields}
    _only_protocol_errors(lambda: talk().receive(event(shape)))
    word = dict.fromkeys(("Content", "StartTime", "EndTime", "Confidence", "Speaker", "Type"), alternative)
    _only_protocol_errors(lambda: talk().receive(event(result("a", [{**item("a"), **word}, item("b")]))))


@hypothesis_settings(max_examples=150, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 200))
def test_bytes_of_any_kind_do_no_harm(noise: bytes, at: int) -> None:
    good = event(result("a"))
    _only_protocol_errors(lambda: talk().receive(noise))
    _only_protocol_errors(lambda: talk().receive(good[:at] + noise + good[at:]))


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_headers_of_any_kind_do_no_harm(block: bytes) -> None:
    """With checksums that fit, so that the headers are looked at."""
    head = struct.pack(">II", 16 + len(block), len(block))
    body = head + struct.pack(">I", zlib.crc32(head)) + block
    _only_protocol_errors(lambda: talk().receive(body + struct.pack(">I", zlib.crc32(body))))


@hypothesis_settings(max_examples=150, deadline=None)
@given(_ABSURD, _ABSURD)
def test_absurd_transcript_files_do_no_harm(items: Any, alternative: Any) -> None:
    word = {"type": "pronunciation", "alternatives": [alternative], "start_time": alternative}
    for value in (items, [word, items]):
        body = {"results": {"transcripts": [{"transcript": "a"}], "items": value}}
        try:
            assert batch().parse(answer(body), job_settings()).text == "a"
        except ValueError:
            pass
