"""Google Cloud Speech-to-Text: which version is asked and how, tokens, and what answers mean."""

from __future__ import annotations

import base64
import concurrent.futures
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.oauth2.credentials import Credentials
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agents.providers.adapters import CustomHTTPSTTAdapter
from agents.providers.base import ConfigurationError, STTConfig
from agents.providers.factory import ProviderFactory
from agents.providers.protocol import (
    HttpRequest,
    HttpResponse,
    JobFailed,
    Pcm,
    Recognition,
    Settings,
    Verdict,
    Wait,
)
from agents.providers.redaction import Secret
from agents.providers.stt.streaming import CustomWebSocketSTTAdapter
from agents.providers.vendors import _google_accounts, _google_tokens, find_vendor, google

V1 = "https://speech.googleapis.com/v1/speech:recognize"
V2 = "https://eu-speech.googleapis.com/v2/projects/p/locations/eu/recognizers/_:recognize"
AUDIO = Pcm(b"\1\2" * 1600, 16000)
LONG = Pcm(bytes(2 * 8000 * 61), 8000)
PRIVATE_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = PRIVATE_KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
ACCOUNT = {
    "type": "service_account",
    "project_id": "p",
    "private_key_id": "key-1",
    "private_key": PEM,
    "client_email": "voice@p.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}
LOGIN = {  # as gcloud auth application-default login writes it
    "account": "",
    "client_id": "764086051850-x.apps.googleusercontent.com",
    "client_secret": "d-secret-of-gcloud",
    "quota_project_id": "billed",
    "refresh_token": "1//03refresh-me",
    "type": "authorized_user",
    "universe_domain": "googleapis.com",
}


@pytest.fixture(autouse=True)
def no_credentials_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where gcloud would leave a login."""
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_QUOTA_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "gcloud"
    folder.mkdir()
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(folder))
    return folder / "application_default_credentials.json"


@pytest.fixture
def protocol() -> google.GoogleBatch:
    """One that keeps no token of another test."""
    found = find_vendor("google").batch
    assert isinstance(found, google.GoogleBatch)
    return google.GoogleBatch(found._v1, found._v2, found._hosts)


def settings(**fields: Any) -> Settings:
    return Settings(**{"url": V1, "api_key": Secret("g-secret"), "language": "en-US", **fields})


def with_account(**fields: Any) -> Settings:
    options = {"credentials": ACCOUNT, **fields.pop("options", {})}
    return settings(api_key=None, options=options, **fields)


def answer(body: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(status, {"content-type": "application/json"}, orjson.dumps(body))


def body(request: Any) -> Any:
    assert isinstance(request, HttpRequest) and isinstance(request.body, bytes)
    return orjson.loads(request.body)


def end_of(flow: Generator[Any, Any, Recognition], last: Any) -> Recognition:
    """What *flow* returns on the *last* answer."""
    with pytest.raises(StopIteration) as done:
        flow.send(answer(last))
    recognition: Recognition = done.value.value
    return recognition


# --- what is asked ---


def test_version_1_with_a_key(protocol: google.GoogleBatch) -> None:
    request: Any = next(protocol.recognise(AUDIO, settings(model="latest_short")))
    assert (request.method, request.url) == ("POST", V1)
    assert request.headers == {"x-goog-api-key": "g-secret", "Content-Type": "application/json"}
    assert body(request) == {
        "config": {
            "encoding": "LINEAR16",
            "sampleRateHertz": 16000,
            "audioChannelCount": 1,
            "languageCode": "en-US",
            "model": "latest_short",
            "enableAutomaticPunctuation": True,
            "enableWordTimeOffsets": True,
            "enableWordConfidence": True,
        },
        "audio": {"content": base64.b64encode(AUDIO.data).decode()},
    }


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"url": V2}, V2),
        (
            {"options": {"project": "p"}},
            "https://speech.googleapis.com/v2/projects/p/locations/global/recognizers/_:recognize",
        ),
        ({"options": {"project": "p", "location": "eu"}}, V2),
        (
            {
                "url": "https://proxy.example/v1/speech:recognize",
                "options": {"project": "a b", "recognizer": "mine"},
            },
            "https://proxy.example/v2/projects/a%20b/locations/global/recognizers/mine:recognize",
        ),
    ],
)
def test_version_2_is_asked_by_its_url_or_in_a_project(
    protocol: google.GoogleBatch, fields: dict[str, Any], url: str
) -> None:
    request: Any = next(protocol.recognise(AUDIO, settings(**fields)))
    assert request.url == url
    sent = body(request)
    assert sent["config"]["languageCodes"] == ["en-US"]
    assert sent["config"]["explicitDecodingConfig"]["encoding"] == "LINEAR16"
    assert sent["config"].get("model") == (None if "mine" in url else "long")
    assert sent["config"]["features"]["enableWordTimeOffsets"] is True
    assert sent["content"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"api_key": None}, "needs credentials: pass api_key or set GOOGLE_API_KEY, or name the key file"),
        ({"language": None}, "name the language"),
        ({"options": {"keyterms": []}}, "no option 'keyterms'"),
        ({"options": {"bucket": "b"}}, "bucket needs a service account or a login"),
        ({"options": {"credentials": "/nowhere/key.json"}}, r"cannot be read \(No such file.*/nowhere/key.json"),
        (
            {"options": {"credentials": {"type": "external_account"}}},
            "neither the key of a service account nor a login .its type is 'external_account'.: .* gcloud auth",
        ),
        (
            {"options": {"credentials": {**LOGIN, "refresh_token": ""}}},
            "lacks refresh_token: run gcloud auth application-default login",
        ),
        ({"options": {"credentials": {**LOGIN, "token_uri": "http://evil.example/t"}}}, "must start with https"),
        ({"options": {"credentials": {**ACCOUNT, "client_email": ""}}}, "lacks client_email"),
        (
            {"options": {"credentials": {**ACCOUNT, "private_key": "sk-private"}}},
            "private_key of voice@p.* cannot be",
        ),
        ({"options": {"credentials": {**ACCOUNT, "token_uri": "http://evil.example/t"}}}, "must start with https"),
        ({"options": {"credentials": "{broken"}}, "is not JSON"),
        ({"url": V2, "options": {"use_enhanced": True}}, "v2 has no option 'use_enhanced'"),
    ],
)
def test_what_cannot_work_is_refused_when_the_adapter_is_built(
    protocol: google.GoogleBatch, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        protocol.check(settings(**fields))
    assert "sk-private" not in str(caught.value)


def test_pyjwt_is_asked_for_when_it_is_missing(
    protocol: google.GoogleBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(_google_accounts.importlib, "import_module", missing)
    with pytest.raises(ConfigurationError, match=r'pip install "voxport\[google\]"'):
        protocol.check(settings(options={"credentials": {**ACCOUNT, "private_key_id": "another"}}))


def test_the_factory_builds_it_and_it_does_not_stream() -> None:
    config = STTConfig(provider="google", api_key="g-secret", metadata={"options": {"credentials": ACCOUNT}})
    adapter = ProviderFactory.create_stt(config)
    assert isinstance(adapter, CustomHTTPSTTAdapter) and adapter.endpoint_url == V1
    assert "PRIVATE" not in repr(adapter) and "g-secret" not in repr(config) + repr(adapter)
    assert find_vendor("auto", url=V2).name == "google"
    with pytest.raises(ConfigurationError, match="no streaming recognition here: it streams by gRPC only"):
        ProviderFactory.create_stt(STTConfig(provider="google", api_key="k", metadata={"mode": "stream"}))


# --- tokens ---


def test_a_token_is_asked_for_once_and_kept(protocol: google.GoogleBatch) -> None:
    given_settings = with_account()
    flow = protocol.recognise(AUDIO, given_settings)
    ask: Any = next(flow)
    assert (ask.method, ask.url) == ("POST", ACCOUNT["token_uri"])
    form = parse_qs(ask.body.decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    (assertion,) = form["assertion"]
    assert jwt.get_unverified_header(assertion) == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
    claims = jwt.decode(
        assertion, PRIVATE_KEY.public_key(), algorithms=["RS256"], audience="https://oauth2.googleapis.com/token"
    )
    assert (claims["iss"], claims["exp"] - claims["iat"]) == (ACCOUNT["client_email"], 3600)
    assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    request: Any = flow.send(answer({"access_token": "ya29.a", "expires_in": 3600}))
    assert request.url == V1 and request.headers["Authorization"] == "Bearer ya29.a"
    assert "x-goog-api-key" not in request.headers
    again: Any = next(protocol.recognise(AUDIO, given_settings))
    assert again.headers["Authorization"] == "Bearer ya29.a"
    assert "ya29" not in repr(protocol) + repr(request) + repr(protocol._tokens)


def test_a_token_is_renewed_before_it_expires(
    protocol: google.GoogleBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(_google_tokens.time, "monotonic", lambda: now)
    flow = protocol.recognise(AUDIO, with_account())
    next(flow)
    flow.send(answer({"access_token": "ya29.a", "expires_in": 3600}))
    for after, url in [(3370, V1), (3380, ACCOUNT["token_uri"])]:
        monkeypatch.setattr(_google_tokens.time, "monotonic", lambda after=after: now + after)
        request: Any = next(protocol.recognise(AUDIO, with_account()))
        assert request.url == url


def test_flows_at_the_same_time_ask_for_one_token(protocol: google.GoogleBatch) -> None:
    first, second = (protocol.recognise(AUDIO, with_account()) for _ in range(2))
    assert isinstance(next(first), HttpRequest)
    assert isinstance(next(second), Wait) and isinstance(next(second), Wait)
    first.send(answer({"access_token": "ya29.a", "expires_in": 3600}))
    request: Any = next(second)
    assert request.headers["Authorization"] == "Bearer ya29.a"


def test_a_flow_that_is_given_up_lets_the_next_one_ask(protocol: google.GoogleBatch) -> None:
    first, second = (protocol.recognise(AUDIO, with_account()) for _ in range(2))
    next(first)
    assert isinstance(next(second), Wait)
    first.close()
    assert isinstance(next(second), HttpRequest)


def test_threads_share_tokens(protocol: google.GoogleBatch) -> None:
    def run(number: int) -> int:
        asked = 0
        flow: Any = protocol.recognise(AUDIO, with_account())
        step: Any = next(flow)
        while step.__class__ is Wait or step.url != V1:
            if isinstance(step, Wait):
                time.sleep(0.001)
                step = flow.send(None)
            else:
                asked += 1
                step = flow.send(answer({"access_token": "ya29.a", "expires_in": 3600}))
        return asked

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(run, range(32))) == 1


@pytest.mark.parametrize("reply", [{}, [], {"access_token": 5}, {"access_token": "a", "expires_in": True}])
def test_an_answer_without_a_token_is_said_to_be_one(protocol: google.GoogleBatch, reply: Any) -> None:
    flow = protocol.recognise(AUDIO, with_account())
    next(flow)
    with pytest.raises(ValueError, match="without an access_token"):
        flow.send(answer(reply))


def test_credentials_come_from_a_file_and_from_the_environment(
    protocol: google.GoogleBatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key.json"
    path.write_bytes(orjson.dumps({**ACCOUNT, "token_uri": "https://tokens.example/t"}))
    by_path: Any = next(protocol.recognise(AUDIO, settings(api_key=None, options={"credentials": str(path)})))
    assert by_path.url == "https://tokens.example/t"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    protocol.check(settings(api_key=None))
    by_environment: Any = next(
        google.GoogleBatch(protocol._v1, protocol._v2, ()).recognise(AUDIO, settings(api_key=None))
    )
    assert by_environment.url == "https://tokens.example/t"
    with_key: Any = next(protocol.recognise(AUDIO, settings()))
    assert with_key.url == V1


# --- what is answered ---


def test_results_join_without_a_separator_and_durations_are_seconds(protocol: google.GoogleBatch) -> None:
    reply = {
        "results": [
            {
                "alternatives": [
                    {
                        "transcript": "Hello",
                        "confidence": 0.9,
                        "words": [{"word": "Hello", "startTime": "0s", "endTime": "1.300s", "confidence": 0.8}],
                    },
                    {"transcript": "Hallo", "confidence": 0.1},
                ],
                "languageCode": "en-us",
                "resultEndTime": "1.500s",
            },
            {"alternatives": [{"transcript": " there.", "confidence": 0.7}], "resultEndTime": "2.500s"},
        ],
        "totalBilledTime": "3s",
        "requestId": "123",
    }
    found = protocol.parse(answer(reply), settings())
    assert (found.text, found.language, found.end, found.request_id) == ("Hello there.", "en-us", 2.5, "123")
    assert found.confidence == pytest.approx(0.8)
    (word,) = found.words or ()
    assert (word.text, word.start, word.end, word.confidence, word.speaker) == ("Hello", 0.0, 1.3, 0.8, None)
    assert found.usage is not None and found.usage.audio_seconds == 3.0


def test_with_speakers_each_word_counts_once(protocol: google.GoogleBatch) -> None:
    """Version 1 repeats all words in the last result."""
    words = [{"word": "a", "startTime": "0s", "endTime": "1s"}, {"word": "b", "startTime": "1s", "endTime": "2s"}]
    tagged = [{**word, "speakerTag": tag} for word, tag in zip(words, (2, 1), strict=True)]
    reply = {
        "results": [
            {"alternatives": [{"transcript": "a", "words": words[:1]}]},
            {"alternatives": [{"transcript": " b", "words": words[1:]}]},
            {"alternatives": [{"words": [*tagged, {"word": "b", "speakerTag": 1}]}]},
        ]
    }
    found = protocol.parse(answer(reply), settings(options={"enable_speaker_diarization": True}))
    assert found.text == "a b" and found.speaker == "S1"
    assert [(word.text, word.speaker) for word in found.words or ()] == [("a", "S2"), ("b", "S1"), ("b", "S1")]


def test_version_2_names_things_otherwise(protocol: google.GoogleBatch) -> None:
    word = {"word": "hi", "startOffset": "0.100s", "endOffset": "0.400s", "speakerLabel": "2"}
    reply = {
        "results": [
            {
                "alternatives": [{"transcript": "hi", "words": [word]}],
                "languageCode": "en-US",
                "resultEndOffset": "0.500s",
            }
        ],
        "metadata": {"requestId": "abc", "totalBilledDuration": "1s"},
    }
    found = protocol.parse(answer(reply), settings(url=V2))
    (heard,) = found.words or ()
    assert (heard.start, heard.end, heard.speaker) == (0.1, 0.4, "S2")
    assert (found.end, found.request_id, found.language) == (0.5, "abc", "en-US")
    assert found.usage is not None and found.usage.audio_seconds == 1.0


@pytest.mark.parametrize("url", [V1, V2])
def test_silence_is_an_empty_text(protocol: google.GoogleBatch, url: str) -> None:
    assert protocol.parse(answer({"totalBilledTime": "1s"}), settings(url=url)).text == ""


@pytest.mark.parametrize("reply", [[], "x", {"results": 5}, {"results": {"a": 1}}])
def test_what_is_no_answer_of_googles_is_refused(protocol: google.GoogleBatch, reply: Any) -> None:
    with pytest.raises(ValueError, match=r"reply|unexpected types"):
        protocol.parse(answer(reply), settings())


_ABSURD: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["alternatives", "transcript", "words", "word", "startTime"]), inner)
    ),
    max_leaves=6,
)


@hypothesis_settings(max_examples=150, deadline=None)
@given(_ABSURD, st.sampled_from([V1, V2]))
def test_absurd_answers_do_no_harm(results: Any, url: str) -> None:
    found = find_vendor("google").batch
    assert found is not None
    options = {"enable_speaker_diarization": True} if url is V1 else {}
    try:
        recognition = found.parse(answer({"results": results}), settings(url=url, options=options))
    except ValueError:
        return
    assert isinstance(recognition.text, str)


@pytest.mark.parametrize(
    ("status", "name", "verdict"),
    [
        (400, "INVALID_ARGUMENT", Verdict.PERMANENT),
        (401, "UNAUTHENTICATED", Verdict.PERMANENT),
        (403, "PERMISSION_DENIED", Verdict.PERMANENT),
        (404, "NOT_FOUND", Verdict.PERMANENT),
        (409, "ABORTED", Verdict.TRANSIENT),
        (409, "ALREADY_EXISTS", Verdict.PERMANENT),
        (429, "RESOURCE_EXHAUSTED", Verdict.TRANSIENT),
        (500, "INTERNAL", Verdict.TRANSIENT),
        (503, "UNAVAILABLE", Verdict.TRANSIENT),
    ],
)
def test_errors_are_told_apart(protocol: google.GoogleBatch, status: int, name: str, verdict: Verdict) -> None:
    failure = protocol.failure(answer({"error": {"code": status, "message": "No.", "status": name}}, status))
    assert (failure.message, failure.verdict, failure.status) == ("No.", verdict, status)


@pytest.mark.parametrize("reply", [{"error": 5}, {"error": None}, [], 5, {"error": {"status": []}}])
def test_error_bodies_of_others_do_no_harm(protocol: google.GoogleBatch, reply: Any) -> None:
    assert protocol.failure(answer(reply, 503)).verdict is Verdict.TRANSIENT


def test_the_token_endpoints_reason_is_told(protocol: google.GoogleBatch) -> None:
    failure = protocol.failure(answer({"error": "invalid_grant", "error_description": "Invalid JWT"}, 400))
    assert failure.message == "the credentials are refused: invalid_grant: Invalid JWT"
    assert failure.verdict is Verdict.PERMANENT


# --- logins ---


class Recorded:
    """google-auth's transport: what was sent, and a token for an answer."""

    status = 200
    headers: ClassVar[dict[str, str]] = {}
    data = b'{"access_token": "ya29.b", "expires_in": 3599, "token_type": "Bearer"}'

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def __call__(self, **request: Any) -> Recorded:
        self.sent.append(request)
        return self


def test_a_login_asks_for_tokens_as_google_auth_does(protocol: google.GoogleBatch) -> None:
    flow = protocol.recognise(AUDIO, settings(api_key=None, options={"credentials": LOGIN}))
    ask: Any = next(flow)
    theirs = Credentials.from_authorized_user_info(LOGIN)
    wire = Recorded()
    theirs.refresh(wire)
    (sent,) = wire.sent
    assert (ask.method, ask.url) == (sent["method"], sent["url"])
    assert ask.headers["Content-Type"] == sent["headers"]["Content-Type"]
    assert parse_qs(ask.body.decode(), strict_parsing=True) == parse_qs(sent["body"].decode(), strict_parsing=True)
    request: Any = flow.send(answer({"access_token": "ya29.b", "expires_in": 3599}))
    headers: dict[str, str] = {}
    theirs.before_request(wire, "POST", V1, headers)
    for name in ("authorization", "x-goog-user-project"):
        assert {n.lower(): value for n, value in request.headers.items()}[name] == headers[name]
    shown = repr(ask) + repr(request) + repr(protocol._tokens._kept)
    assert not any(secret in shown for secret in ("ya29", "refresh-me", "d-secret"))


@pytest.mark.parametrize(
    ("environment", "headers", "project"),
    [
        ({}, {}, "billed"),
        ({"GOOGLE_CLOUD_QUOTA_PROJECT": "mine"}, {}, "mine"),
        ({}, {"x-goog-user-project": "u"}, "u"),
    ],
)
def test_a_project_is_billed(
    protocol: google.GoogleBatch,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    headers: dict[str, str],
    project: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    options = {"credentials": LOGIN, "bucket": "calls"}
    flow: Any = protocol.recognise(LONG, settings(api_key=None, options=options, headers=headers))
    next(flow)
    upload = flow.send(answer({"access_token": "ya29.b", "expires_in": 3599}))
    submit = flow.send(answer({}))
    assert upload.headers["x-goog-user-project"] == submit.headers["x-goog-user-project"] == project


def test_what_gcloud_left_is_used_at_google_and_nowhere_else(
    protocol: google.GoogleBatch, no_credentials_around: Path
) -> None:
    no_credentials_around.write_bytes(orjson.dumps(LOGIN))
    protocol.check(settings(api_key=None))
    ask: Any = next(protocol.recognise(AUDIO, settings(api_key=None)))
    assert b"grant_type=refresh_token" in ask.body
    with_key: Any = next(protocol.recognise(AUDIO, settings()))
    assert with_key.url == V1
    elsewhere = settings(api_key=None, url="https://speech.example/v1/speech:recognize")
    direct: Any = next(protocol.recognise(AUDIO, elsewhere))
    assert direct.url == elsewhere.url and "Authorization" not in direct.headers


def test_what_a_token_endpoint_repeats_is_not_told(protocol: google.GoogleBatch) -> None:
    flow = protocol.recognise(AUDIO, settings(api_key=None, options={"credentials": LOGIN}))
    next(flow)
    said = {"error": "invalid_grant", "error_description": "1//03refresh-me of d-secret-of-gcloud is revoked"}
    failure = protocol.failure(answer(said, 400))
    assert failure.message == "the credentials are refused: invalid_grant: *** of *** is revoked"
    assert failure.verdict is Verdict.PERMANENT
    flow.close()


def test_a_token_that_is_refused_later_is_asked_for_again(
    protocol: google.GoogleBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = answer({"error": {"message": "ya29.a is no good", "status": "UNAUTHENTICATED"}}, 401)
    verdicts = []
    now = time.monotonic()
    for age in (0, 600):
        monkeypatch.setattr(_google_tokens.time, "monotonic", lambda: now)
        flow = protocol.recognise(AUDIO, with_account())
        next(flow)
        flow.send(answer({"access_token": "ya29.a", "expires_in": 3600}))
        monkeypatch.setattr(_google_tokens.time, "monotonic", lambda age=age: now + age)
        failure = protocol.failure(refusal)
        assert "ya29" not in failure.message
        verdicts.append(failure.verdict)
    assert verdicts == [Verdict.PERMANENT, Verdict.TRANSIENT]
    asked: Any = next(protocol.recognise(AUDIO, with_account()))
    assert asked.url == ACCOUNT["token_uri"]


# --- recordings in a bucket ---


def long_flow(protocol: google.GoogleBatch, **fields: Any) -> Any:
    """A flow for a recording of more than a minute, up to the request that begins the operation."""
    flow: Any = protocol.recognise(LONG, with_account(**{"options": {"bucket": "my calls"}, **fields}))
    next(flow)
    upload = flow.send(answer({"access_token": "ya29.a", "expires_in": 3600}))
    assert upload.url.startswith(
        "https://storage.googleapis.com/upload/storage/v1/b/my%20calls/o?uploadType=media&name="
    )
    assert upload.body == LONG.data and upload.headers["Authorization"] == "Bearer ya29.a"
    return flow


def test_a_long_recording_is_uploaded_recognised_and_deleted(protocol: google.GoogleBatch) -> None:
    flow = long_flow(protocol)
    submit = flow.send(answer({}))
    assert submit.url == "https://speech.googleapis.com/v1/speech:longrunningrecognize"
    sent = body(submit)
    assert sent["audio"]["uri"].startswith("gs://my calls/voxport-") and "content" not in sent["audio"]
    assert sent["config"]["sampleRateHertz"] == 8000
    waits = []
    step = flow.send(answer({"name": "123"}))
    for _ in range(5):
        waits.append(step.seconds)
        poll = flow.send(None)
        assert (poll.method, poll.url) == ("GET", "https://speech.googleapis.com/v1/operations/123")
        step = flow.send(answer({"name": "123", "metadata": {}}))
    assert waits == [1.0, 2.0, 3.0, 5.0, 5.0]
    flow.send(None)
    results = [{"alternatives": [{"transcript": "hello"}]}]
    delete = flow.send(answer({"name": "123", "done": True, "response": {"results": results}}))
    assert delete.method == "DELETE"
    assert delete.url.startswith("https://storage.googleapis.com/storage/v1/b/my%20calls/o/voxport-")
    assert end_of(flow, {}).text == "hello"


@pytest.mark.parametrize("shape", ["inlineResult", "transcript"])
def test_version_2_recognises_a_long_recording_by_file(protocol: google.GoogleBatch, shape: str) -> None:
    flow = long_flow(protocol, url=V2)
    submit = flow.send(answer({}))
    assert submit.url == V2.replace(":recognize", ":batchRecognize")
    sent = body(submit)
    (file,) = sent["files"]
    assert sent["recognitionOutputConfig"] == {"inlineResponseConfig": {}} and sent["config"]["model"] == "long"
    flow.send(answer({"name": "projects/p/locations/eu/operations/9"}))
    poll = flow.send(None)
    assert poll.url == "https://eu-speech.googleapis.com/v2/projects/p/locations/eu/operations/9"
    transcript = {"results": [{"alternatives": [{"transcript": "hello"}]}]}
    found = {"inlineResult": {"transcript": transcript}} if shape == "inlineResult" else {"transcript": transcript}
    response = {"results": {file["uri"]: found}, "totalBilledDuration": "61s"}
    flow.send(answer({"name": "9", "done": True, "response": response}))
    recognition = end_of(flow, {})
    assert recognition.text == "hello"
    assert recognition.usage is not None and recognition.usage.audio_seconds == 61.0


@pytest.mark.parametrize(
    "outcome",
    [
        {"error": {"code": 14, "message": "busy"}},
        {"response": {"results": {"gs://f": {"error": {"code": 8, "message": "busy"}}}}},
    ],
)
def test_an_operation_that_fails_may_pass(protocol: google.GoogleBatch, outcome: dict[str, Any]) -> None:
    flow = long_flow(protocol)
    flow.send(answer({}))
    flow.send(answer({"name": "1", "done": True, **outcome}))
    with pytest.raises(JobFailed, match="the job failed: busy") as raised:
        flow.send(answer({}))
    assert raised.value.failure.verdict is Verdict.TRANSIENT


def test_an_operation_that_fails_for_good_says_why(protocol: google.GoogleBatch) -> None:
    flow = long_flow(protocol)
    flow.send(answer({}))
    flow.send(answer({"name": "1", "done": True, "error": {"code": 3, "message": "bad encoding of ya29.a"}}))
    with pytest.raises(JobFailed, match=r"the job failed: bad encoding of \*\*\*") as raised:
        flow.send(answer({}))
    assert raised.value.failure.verdict is Verdict.PERMANENT


@pytest.mark.parametrize(
    "job", [[], {}, {"done": True}, {"done": True, "response": []}, {"done": True, "error": "x"}]
)
def test_what_is_no_operation_is_refused(protocol: google.GoogleBatch, job: Any) -> None:
    flow = long_flow(protocol)
    flow.send(answer({}))
    with pytest.raises(ValueError, match="operation"):
        flow.send(answer(job))
        flow.send(answer({}))


def test_what_is_too_large_for_one_request_goes_through_the_bucket_too(protocol: google.GoogleBatch) -> None:
    large = Pcm(bytes(2 * 2 * 48000 * 40), 48000, 2)
    flow = protocol.recognise(large, settings())
    with pytest.raises(ValueError, match="option bucket"):
        next(flow)


def test_streaming_is_refused_with_what_to_use_instead() -> None:
    with pytest.raises(ConfigurationError, match="gRPC only, which LiveKit's plugin does"):
        CustomWebSocketSTTAdapter("wss://speech.googleapis.com/v1/speech", "some-google-key", vendor="google")
