"""The Google dialects, spoken to by google-cloud-speech over REST."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from conformance import API_KEY
from cryptography.hazmat.primitives.asymmetric import rsa
from google_logins import REFRESH_TOKEN, account
from spoken_lines import LINES, RATE, plain, silence, spoken

from agents.providers.local import ServerProcess

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # that some day they will do without Python 3.10
    from google.api_core.exceptions import BadRequest, GoogleAPICallError, NotFound, Unauthorized
    from google.auth.exceptions import RefreshError
    from google.cloud import speech_v1, speech_v2, storage
    from google.oauth2 import service_account
    from google.oauth2.credentials import Credentials

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

_T = TypeVar("_T")
TWICE = spoken(LINES[0]) + silence(0.9) + spoken(LINES[2])


async def in_thread(work: Callable[[], _T]) -> _T:
    """The client is synchronous; a test that hangs must still end."""
    return await asyncio.wait_for(asyncio.to_thread(work), 40)


def with_key(version: Any, server: ServerProcess, key: str = API_KEY) -> Any:
    options = {"api_endpoint": server.url, "api_key": key}
    return version.SpeechClient(transport="rest", client_options=options)


def credentials(server: ServerProcess, **changes: Any) -> service_account.Credentials:
    return service_account.Credentials.from_service_account_info(
        account(server, **changes),
        scopes=["https://www.googleapis.com/auth/cloud-platform"],
        subject="voice@voxport.example",  # else it signs its own tokens and asks nobody for one
    )


def with_account(version: Any, server: ServerProcess, **changes: Any) -> Any:
    given = credentials(server, **changes)
    options = {"api_endpoint": server.url}
    return version.SpeechClient(transport="rest", client_options=options, credentials=given)


async def recognise(client: Any, request: dict[str, Any]) -> Any:
    """The client's answer; it is closed then, for it keeps connections."""

    def call() -> Any:
        with client:
            return client.recognize(**request)

    return await in_thread(call)


def text(reply: Any) -> str:
    """What was said: the texts join without a separator."""
    return plain("".join(result.alternatives[0].transcript for result in reply.results))


def v1_request(pcm: bytes = TWICE, **config: Any) -> dict[str, Any]:
    linear = speech_v1.RecognitionConfig.AudioEncoding.LINEAR16
    given = {"encoding": linear, "sample_rate_hertz": RATE, "language_code": "en-US", **config}
    return {"config": speech_v1.RecognitionConfig(**given), "audio": speech_v1.RecognitionAudio(content=pcm)}


def v2_request(pcm: bytes = TWICE, **features: Any) -> dict[str, Any]:
    decoding = speech_v2.ExplicitDecodingConfig(
        encoding=speech_v2.ExplicitDecodingConfig.AudioEncoding.LINEAR16,
        sample_rate_hertz=RATE,
        audio_channel_count=1,
    )
    config = speech_v2.RecognitionConfig(
        explicit_decoding_config=decoding,
        model="long",
        language_codes=["en-US"],
        features=speech_v2.RecognitionFeatures(**features),
    )
    recognizer = "projects/voxport/locations/global/recognizers/_"
    return {"request": speech_v2.RecognizeRequest(recognizer=recognizer, config=config, content=pcm)}


async def test_v1_hears_two_stretches_of_speech(server: ServerProcess) -> None:
    """Texts that join without a separator, words with times and confidence, what is billed."""
    request = v1_request(enable_word_time_offsets=True, enable_word_confidence=True)
    reply = await recognise(with_key(speech_v1, server), request)
    assert (
        plain("".join(result.alternatives[0].transcript for result in reply.results)) == f"{LINES[0]} {LINES[2]}"
    )
    first, second = reply.results
    assert [word.word for word in first.alternatives[0].words] == LINES[0].split()
    times = [word.start_time.total_seconds() for result in reply.results for word in result.alternatives[0].words]
    assert times == sorted(times) and 0 < times[0] < 1
    assert all(0 < word.confidence <= 1 for word in second.alternatives[0].words)
    assert first.language_code == "en-us" and first.result_end_time < second.result_end_time
    assert reply.total_billed_time.total_seconds() >= len(TWICE) / 2 / RATE
    assert reply.request_id > 0


async def test_v1_tells_speakers_in_a_last_result_with_all_words(server: ServerProcess) -> None:
    diarization = speech_v1.SpeakerDiarizationConfig(enable_speaker_diarization=True)
    request = v1_request(diarization_config=diarization)
    reply = await recognise(with_key(speech_v1, server), request)
    assert len(reply.results) == 3
    assert not any(word.speaker_tag for word in reply.results[0].alternatives[0].words)
    words = reply.results[2].alternatives[0].words
    assert [word.word for word in words] == f"{LINES[0]} {LINES[2]}".split()
    assert {word.speaker_tag for word in words} == {1} and not reply.results[2].alternatives[0].transcript


async def test_v2_hears_with_times_and_speakers(server: ServerProcess) -> None:
    diarization = speech_v2.SpeakerDiarizationConfig(min_speaker_count=1, max_speaker_count=2)
    request = v2_request(enable_word_time_offsets=True, diarization_config=diarization)
    reply = await recognise(with_key(speech_v2, server), request)
    assert (
        plain("".join(result.alternatives[0].transcript for result in reply.results)) == f"{LINES[0]} {LINES[2]}"
    )
    words = [word for result in reply.results for word in result.alternatives[0].words]
    assert {word.speaker_label for word in words} == {"1"}
    assert 0 < words[0].start_offset.total_seconds() < words[-1].end_offset.total_seconds()
    assert reply.metadata.total_billed_duration.total_seconds() >= 5 and reply.metadata.request_id


@pytest.mark.parametrize("version", [speech_v1, speech_v2])
async def test_silence_has_no_results(server: ServerProcess, version: Any) -> None:
    quiet = silence(0.5)
    request = v1_request(quiet) if version is speech_v1 else v2_request(quiet)
    reply = await recognise(with_key(version, server), request)
    assert not reply.results


@pytest.mark.parametrize("version", [speech_v1, speech_v2])
async def test_a_service_account_gets_a_token_for_itself(server: ServerProcess, version: Any) -> None:
    request = v1_request(silence(0.2)) if version is speech_v1 else v2_request(silence(0.2))
    await recognise(with_account(version, server), request)


@pytest.mark.parametrize("refresh_token", [REFRESH_TOKEN, "1//revoked"])
async def test_a_login_gets_a_token_by_its_refresh_token(server: ServerProcess, refresh_token: str) -> None:
    login = Credentials(
        None,
        refresh_token=refresh_token,
        token_uri=f"{server.url}/token",
        client_id="764086051850-x.apps.googleusercontent.com",
        client_secret="secret of gcloud",
        quota_project_id="billed",
    )
    client = speech_v1.SpeechClient(
        transport="rest", client_options={"api_endpoint": server.url}, credentials=login
    )
    if refresh_token == REFRESH_TOKEN:
        await recognise(client, v1_request(silence(0.2)))
        assert login.token.startswith("ya29.") and not login.expired
    else:
        with pytest.raises(RefreshError, match="invalid_grant: Token has been expired or revoked"):
            await recognise(client, v1_request(silence(0.2)))


async def test_the_token_endpoint_refuses_what_others_signed(server: ServerProcess) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with pytest.raises(RefreshError, match="invalid_grant"):
        await recognise(with_account(speech_v1, server, key=other), v1_request(silence(0.2)))


async def test_errors_are_those_of_the_api(server: ServerProcess) -> None:
    """A wrong key, a wrong token, no language, an unknown model, and audio that is too long."""

    async def error(client: Any, request: dict[str, Any], kind: type[GoogleAPICallError], said: str) -> None:
        with pytest.raises(kind, match=said):
            await recognise(client, request)

    await error(with_key(speech_v1, server, "wrong"), v1_request(), BadRequest, "API key not valid")
    await error(with_key(speech_v1, server), v1_request(language_code=""), BadRequest, "bad language code")
    await error(with_key(speech_v1, server), v1_request(model="nova"), NotFound, "no model 'nova'")
    await error(with_key(speech_v1, server), v1_request(sample_rate_hertz=1), BadRequest, "sample rate")
    await error(with_key(speech_v1, server), v1_request(bytes(2 * RATE * 61)), BadRequest, "Sync input too long")
    await error(with_key(speech_v2, server), v2_request(bytes(2 * RATE * 61)), BadRequest, "Sync input too long")
    missing = v2_request()
    missing["request"].recognizer = "projects/p/locations/l/recognizers/mine"
    await error(with_key(speech_v2, server), missing, NotFound, "Unable to find Recognizer")
    stale = service_account.Credentials.from_service_account_info(account(server), scopes=["x"])
    stale.refresh = lambda request: None
    stale.token = "ya29.stale"
    client = speech_v1.SpeechClient(
        transport="rest", client_options={"api_endpoint": server.url}, credentials=stale
    )
    await error(client, v1_request(), Unauthorized, "invalid authentication credentials")


async def test_a_recording_in_a_bucket_is_recognised_by_an_operation(server: ServerProcess) -> None:
    """Put there by google-cloud-storage, recognised by both versions, and deleted."""

    def run() -> tuple[Any, Any, int]:
        options = {"api_endpoint": server.url}
        with_storage = storage.Client("voxport", credentials=credentials(server), client_options=options)
        try:
            blob = with_storage.bucket("calls").blob("a/b c.raw")
            blob.upload_from_string(TWICE, content_type="application/octet-stream")
            uri = "gs://calls/a/b c.raw"
            with with_account(speech_v1, server) as v1, with_account(speech_v2, server) as v2:
                request = v1_request(enable_word_time_offsets=True)
                request["audio"] = speech_v1.RecognitionAudio(uri=uri)
                first = v1.long_running_recognize(**request).result(timeout=30)
                config = v2_request(enable_word_time_offsets=True)["request"].config
                batch = speech_v2.BatchRecognizeRequest(
                    recognizer="projects/voxport/locations/global/recognizers/_",
                    config=config,
                    files=[speech_v2.BatchRecognizeFileMetadata(uri=uri)],
                    recognition_output_config=speech_v2.RecognitionOutputConfig(
                        inline_response_config=speech_v2.InlineOutputConfig()
                    ),
                )
                second = v2.batch_recognize(request=batch).result(timeout=30).results[uri]
            blob.delete()
            return first, second, len(list(with_storage.bucket("calls").list_blobs()))
        finally:
            with_storage.close()

    first, second, left = await in_thread(run)
    assert text(first) == text(second.inline_result.transcript) == f"{LINES[0]} {LINES[2]}"
    assert (
        first.total_billed_time.total_seconds() >= 5 and second.metadata.total_billed_duration.total_seconds() >= 5
    )
    assert left == 0


async def test_an_operation_that_fails_says_why(server: ServerProcess) -> None:
    def run() -> None:
        with with_account(speech_v1, server) as client:
            request = {**v1_request(), "audio": speech_v1.RecognitionAudio(uri="gs://calls/none.raw")}
            client.long_running_recognize(**request).result(timeout=30)

    with pytest.raises(NotFound, match="Requested entity was not found"):
        await in_thread(run)


async def test_a_long_recording_is_not_taken_inline(server: ServerProcess) -> None:
    def run() -> None:
        with with_key(speech_v1, server) as client:
            client.long_running_recognize(**v1_request())

    with pytest.raises(BadRequest, match="Please use a GCS URI"):
        await in_thread(run)
