"""The Amazon dialect, as Amazon's own code sees it.

Its Python client of streams speaks HTTP/2 over TLS only, so it cannot be pointed at the WebSocket. What it is made
of can: botocore signs, amazon-transcribe writes the audio frames, its parser and botocore's read the answers, and
its model classes take the results. Jobs are asked for by botocore's own clients of Transcribe and S3.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlencode

import aiohttp
import botocore.session
import pytest
from amazon_transcribe.deserialize import TranscribeStreamingEventParser
from amazon_transcribe.eventstream import EventStreamBuffer as ClientBuffer
from amazon_transcribe.eventstream import EventStreamMessageSerializer
from amazon_transcribe.exceptions import BadRequestException
from amazon_transcribe.model import AudioEvent, TranscriptEvent
from amazon_transcribe.serialize import AudioEventSerializer
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError
from conformance import API_KEY
from spoken_lines import LINES, RATE, plain, silence, spoken
from yarl import URL

from agents.providers.local import ServerProcess
from agents.providers.protocol import Pcm

GIVEN = {"language-code": "en-US", "media-encoding": "pcm", "sample-rate": str(RATE)}


def presigned(server: ServerProcess, secret: str = API_KEY, token: str | None = None, **given: Any) -> URL:
    """A URL as Amazon's documentation makes it."""
    query = {**GIVEN, **{name.replace("_", "-"): value for name, value in given.items()}}
    query = {name: value for name, value in query.items() if value is not None}
    url = f"{server.url}/stream-transcription-websocket?{urlencode(query)}"
    request = AWSRequest(method="GET", url=url)
    SigV4QueryAuth(Credentials("AKIDEXAMPLE", secret, token), "transcribe", "eu-west-1", expires=300).add_auth(
        request
    )
    return URL(request.url, encoded=True)


def frame(audio: bytes) -> bytes:
    """An AudioEvent, by amazon-transcribe."""
    headers, payload = AudioEventSerializer().serialize(AudioEvent(audio_chunk=audio))
    return EventStreamMessageSerializer().serialize(headers, payload)


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


async def hear(client: aiohttp.ClientSession, url: URL, *messages: bytes) -> list[Any]:
    """Send *messages*; answers the frames that came back, read by the client and alike by botocore."""
    got = []
    async with client.ws_connect(url) as socket:
        for message in messages:
            await socket.send_bytes(message)
        async for answer in socket:
            botocores, clients = EventStreamBuffer(), ClientBuffer()
            botocores.add_data(answer.data)
            clients.add_data(answer.data)
            (event,), (same,) = list(botocores), list(clients)
            assert (event.headers, event.payload) == (same.headers, same.payload)
            got.append(same)
        assert socket.close_code == 1000
    return got


def audio(pcm: bytes) -> list[bytes]:
    """*pcm* in AudioEvents, and the empty one that ends it."""
    return [*(frame(pcm[at : at + 3200]) for at in range(0, len(pcm), 3200)), frame(b"")]


def results(frames: list[Any]) -> list[Any]:
    """The results in *frames*, by the client's parser."""
    events = [TranscribeStreamingEventParser().parse(frame) for frame in frames]
    assert all(isinstance(event, TranscriptEvent) for event in events)
    return [result for event in events for result in event.transcript.results]


async def test_it_hears_what_the_clients_frames_hold(server: ServerProcess, client: aiohttp.ClientSession) -> None:
    """Partials of a result and then its final, twice; words with times, and the full stop an item of its own."""
    url = presigned(server, show_speaker_label="true")
    said = spoken(LINES[0]) + silence(0.9) + spoken(LINES[2])
    heard = results(await hear(client, url, *audio(said)))
    finals = [result for result in heard if not result.is_partial]
    assert [plain(final.alternatives[0].transcript) for final in finals] == [LINES[0], LINES[2]]
    assert {result.result_id for result in heard} == {final.result_id for final in finals}
    assert [result.result_id for result in heard[:2]] == [finals[0].result_id] * 2 and heard[0].is_partial
    items = finals[0].alternatives[0].items
    assert [item.content for item in items] == [*LINES[0].split(), "."]
    assert [item.item_type for item in items] == ["pronunciation"] * len(LINES[0].split()) + ["punctuation"]
    assert all(item.speaker == "0" and 0 < item.confidence <= 1 for item in items[:-1])
    assert finals[0].start_time <= items[0].start_time < items[-2].end_time <= finals[0].end_time < 4
    assert finals[1].start_time > finals[0].end_time


async def test_it_says_which_language_it_heard_when_asked(
    server: ServerProcess, client: aiohttp.ClientSession
) -> None:
    options = {"language_code": None, "identify_language": "true", "language_options": "de-DE,en-GB"}
    heard = results(await hear(client, presigned(server, **options), *audio(spoken(LINES[2]))))
    assert {result.language_code for result in heard} == {"en-GB"}


async def test_a_session_token_is_signed_too(server: ServerProcess, client: aiohttp.ClientSession) -> None:
    assert await hear(client, presigned(server, token="to/ken+=="), frame(b"")) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"secret": "not-the-key"}, "signature does not match"),
        ({"without": "X-Amz-Signature"}, "signature does not match"),
        ({"without": "X-Amz-Date"}, "not scoped"),
        ({"without": "X-Amz-Algorithm"}, "not presigned"),
        ({"replace": ("eu-west-1", "us-east-1")}, "signature does not match"),
        ({"replace": ("%2Ftranscribe%2F", "%2Fpolly%2F")}, "not scoped"),
        ({"replace": ("X-Amz-Expires=300", "X-Amz-Expires=301")}, "from 1 to 300"),
        ({"replace": ("sample-rate=16000", "sample-rate=8000")}, "signature does not match"),
    ],
)
async def test_a_url_that_is_not_signed_with_the_servers_key_is_forbidden(
    server: ServerProcess, client: aiohttp.ClientSession, wrong: dict[str, Any], said: str
) -> None:
    url = str(presigned(server, wrong.get("secret", API_KEY)))
    if name := wrong.get("without"):
        url = "&".join(part for part in url.split("&") if not part.startswith(f"{name}="))
    url = url.replace(*wrong.get("replace", ("", "")))
    async with client.get(URL(url, encoded=True)) as response:
        assert response.status == 403
        assert response.headers["x-amzn-ErrorType"].startswith("InvalidSignatureException")
        assert said in (await response.json())["message"]


async def test_a_socket_that_is_signed_with_another_key_is_told_so_in_a_frame(
    server: ServerProcess, client: aiohttp.ClientSession
) -> None:
    """The upgrade succeeds: github.com/awsdocs/amazon-transcribe-developer-guide, doc_source/websocket.md."""
    (last,) = await hear(client, presigned(server, "not-the-key"))
    kinds = (last.headers[":message-type"], last.headers[":exception-type"])
    assert kinds == ("exception", "UnrecognizedClientException")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:  # what is not signed at all gets no socket
        await hear(client, URL(f"{server.url}/stream-transcription-websocket?{urlencode(GIVEN)}"))
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("options", "message", "said"),
    [
        ({"language_code": "fr-FR"}, b"", "knows en"),
        ({"language_code": "en"}, b"", "with its region"),
        ({"language_code": None}, b"", "either language-code"),
        ({"identify_language": "true"}, b"", "either language-code"),
        ({"media_encoding": "flac"}, b"", "takes pcm"),
        ({"sample_rate": "96000"}, b"", "from 8000"),
        ({"keyterms": "x"}, b"", "keyterms"),
        ({}, b"\0" * 20, "checksum of the prelude"),
        ({}, frame(b"abcd")[:-1] + b"\0", "checksum of the frame"),
        ({}, frame(b"abcd")[:-2], "says it has"),
        ({}, b"", "0 bytes"),
    ],
)
async def test_a_bad_request_is_an_exception_of_the_client(
    server: ServerProcess, client: aiohttp.ClientSession, options: dict[str, Any], message: bytes, said: str
) -> None:
    (last,) = await hear(client, presigned(server, **options), message)
    with pytest.raises(BadRequestException, match=said):
        TranscribeStreamingEventParser().parse(last)


# --- jobs ---


def boto(server: ServerProcess, service: str, secret: str = API_KEY) -> Any:
    """botocore's client of *service*."""
    session = botocore.session.Session()
    session.set_credentials("AKIDEXAMPLE", secret)
    path = {"transcribe": "/aws-transcribe", "s3": "/aws-s3"}[service]
    config = Config(
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
    )
    return session.create_client(service, region_name="eu-west-1", endpoint_url=server.url + path, config=config)


async def in_thread(work: Callable[[], Any]) -> Any:
    """The clients are synchronous; a test that hangs must still end."""
    return await asyncio.wait_for(asyncio.to_thread(work), 40)


async def test_a_job_recognises_a_recording_in_a_bucket(
    server: ServerProcess, client: aiohttp.ClientSession
) -> None:
    """The transcript has times as texts, and the full stop an item of its own."""
    said = Pcm(spoken(LINES[0]), RATE).wav()
    job = {
        "TranscriptionJobName": "proof-1",
        "LanguageCode": "en-US",
        "MediaFormat": "wav",
        "Media": {"MediaFileUri": "s3://calls/a b/one.wav"},
        "Settings": {"ShowSpeakerLabels": True, "MaxSpeakerLabels": 2},
    }

    def run() -> dict[str, Any]:
        storage, transcribe = boto(server, "s3"), boto(server, "transcribe")
        try:
            storage.put_object(Bucket="calls", Key="a b/one.wav", Body=said, ContentType="audio/wav")
            storage.head_object(Bucket="calls", Key="a b/one.wav")
            started = transcribe.start_transcription_job(**job)["TranscriptionJob"]
            assert started["TranscriptionJobStatus"] == "IN_PROGRESS"
            with pytest.raises(transcribe.exceptions.ConflictException):
                transcribe.start_transcription_job(**job)
            done: dict[str, Any] = transcribe.get_transcription_job(TranscriptionJobName="proof-1")[
                "TranscriptionJob"
            ]
            storage.delete_object(Bucket="calls", Key="a b/one.wav")
            with pytest.raises(ClientError, match="404"):
                storage.head_object(Bucket="calls", Key="a b/one.wav")
            return done
        finally:
            storage.close()
            transcribe.close()

    done = await in_thread(run)
    assert done["TranscriptionJobStatus"] == "COMPLETED" and done["CreationTime"].year >= 2026
    async with client.get(done["Transcript"]["TranscriptFileUri"]) as response:
        file = await response.json()
    assert plain(file["results"]["transcripts"][0]["transcript"]) == LINES[0]
    items = file["results"]["items"]
    assert [item["alternatives"][0]["content"] for item in items] == [*LINES[0].split(), "."]
    assert all(float(item["start_time"]) < float(item["end_time"]) for item in items[:-1])
    assert items[-1]["type"] == "punctuation" and items[0]["speaker_label"] == "spk_0"


async def test_jobs_fail_as_those_of_the_service_do(server: ServerProcess) -> None:
    """Nothing there, no sound in it, a wrong key."""

    def run() -> None:
        storage, transcribe = boto(server, "s3"), boto(server, "transcribe")
        wrong = [boto(server, "s3", "wrong"), boto(server, "transcribe", "wrong")]
        job = {
            "TranscriptionJobName": "proof-2",
            "LanguageCode": "en-US",
            "Media": {"MediaFileUri": "s3://calls/x"},
        }
        try:
            with pytest.raises(transcribe.exceptions.NotFoundException):
                transcribe.get_transcription_job(TranscriptionJobName="none")
            with pytest.raises(transcribe.exceptions.BadRequestException, match="can't be accessed"):
                transcribe.start_transcription_job(**job)
            storage.put_object(Bucket="calls", Key="x", Body=b"no sound")
            transcribe.start_transcription_job(**job)
            failed = transcribe.get_transcription_job(TranscriptionJobName="proof-2")["TranscriptionJob"]
            assert failed["TranscriptionJobStatus"] == "FAILED" and "not an audio file" in failed["FailureReason"]
            with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
                wrong[0].put_object(Bucket="calls", Key="y", Body=b"")
            with pytest.raises(ClientError, match="InvalidSignatureException"):
                wrong[1].start_transcription_job(**job)
        finally:
            for each in (storage, transcribe, *wrong):
                each.close()

    await in_thread(run)
