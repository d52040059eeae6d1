"""The interface of a batch vendor: what comes without writing it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from agents.providers.protocol import (
    BatchProtocol,
    FormField,
    HttpRequest,
    HttpResponse,
    Pcm,
    Recognition,
    Settings,
    Verdict,
)
from agents.providers.protocol.batch import error_text

SETTINGS = Settings("https://host/")
AUDIO = Pcm(b"\x01\x00" * 4, 16000)


class Smallest(BatchProtocol):
    """All a vendor must write."""

    name = "smallest"

    def request(self, audio: Pcm, settings: Settings) -> HttpRequest:
        return HttpRequest("POST", settings.url, {"Content-Type": "audio/wav"}, audio.wav())

    def parse(self, response: HttpResponse, settings: Settings) -> Recognition:
        return Recognition(text=response.text())


def answer(body: Any, content_type: str = "application/json", status: int = 400) -> HttpResponse:
    encoded = body if isinstance(body, bytes) else orjson.dumps(body)
    return HttpResponse(status, {"content-type": content_type}, encoded)


class TestFlow:
    def test_one_request_is_yielded_and_its_answer_parsed(self) -> None:
        flow = Smallest().recognise(AUDIO, SETTINGS)
        request = next(flow)
        assert isinstance(request, HttpRequest)
        assert request.url == "https://host/"
        with pytest.raises(StopIteration) as done:
            flow.send(HttpResponse(200, {}, b"ten of clubs"))
        assert done.value.value.text == "ten of clubs"

    def test_the_defaults_ask_for_nothing_and_refuse_nothing(self) -> None:
        vendor = Smallest()
        assert (vendor.aligned_words, vendor.diarization, vendor.sample_rates) == (False, False, None)
        assert vendor.judge_result(Recognition("x")) is None
        assert vendor.describe() == {}
        vendor.check(SETTINGS)

    def test_a_failure_has_the_reason_and_the_verdict_of_its_status(self) -> None:
        failure = Smallest().failure(answer({"error": {"message": "too long"}}, status=413))
        assert (failure.message, failure.verdict, failure.status) == ("too long", Verdict.PERMANENT, 413)


class TestPrinting:
    def test_requests_and_answers_print_neither_credentials_nor_audio(self) -> None:
        request = HttpRequest("POST", "https://h/?key=k-4711", {"X": "k-4711"}, [FormField("f", b"samples")])
        shown = repr(request) + repr(FormField("f", b"samples")) + repr(HttpResponse(200, {}, b"samples"))
        assert "k-4711" not in shown and "samples" not in shown
        assert "POST" in shown


class TestResponse:
    @pytest.mark.parametrize(
        ("header", "kind"),
        [
            ("Application/JSON; charset=utf-8", "application/json"),
            ("text/plain", "text/plain"),
            (None, ""),
        ],
    )
    def test_the_content_type_has_no_parameters(self, header: str | None, kind: str) -> None:
        assert HttpResponse(200, {"content-type": header} if header else {}, b"").content_type == kind

    def test_text_is_text_whatever_its_bytes(self) -> None:
        assert HttpResponse(200, {}, b"gr\xfc\xdfe \xe2\x82\xac").text() == "gr��e €"

    def test_json_is_decoded(self) -> None:
        assert answer({"text": "ü"}).json() == {"text": "ü"}

    @pytest.mark.parametrize(
        ("body", "content_type", "kind"),
        [
            (b"", "application/json", "an empty body"),
            (b" \n", "application/json", "an empty body"),
            (b"<!DOCTYPE html><p>", "text/html", "an HTML page"),
            (b"\n <HTML>", "", "an HTML page"),
            (b'{"text": "half', "application/json", "JSON that is broken off or not UTF-8"),
            (b'{"text": "\xff"}', "text/plain", "JSON that is broken off or not UTF-8"),
            (b"RIFF", "audio/wav", "audio/wav"),
            (b"hello", "", "something else"),
        ],
    )
    def test_what_is_no_json_is_named_and_not_shown(self, body: bytes, content_type: str, kind: str) -> None:
        with pytest.raises(ValueError, match="expected JSON, got ") as caught:
            answer(body, content_type).json()
        assert kind in str(caught.value)
        assert "half" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"message": "no"}, "no"),
        ({"err_msg": "no"}, "no"),
        ({"error": "no"}, "no"),
        ({"error": {"message": "no"}}, "no"),
        ({"error": {"details": {"reason": "no"}}}, "no"),
        ({"detail": "no"}, "no"),
        ({"title": "no", "status": 400}, "no"),
        ({"error": "", "reason": "no"}, "no"),
        ([{"error": {"message": "no"}}], "no"),
        ({"detail": [{"msg": "no", "loc": ["body"]}]}, "no"),  # FastAPI
        ({"error": {"error": {"error": {"message": "no"}}}}, ""),  # deeper than any service was seen to go
        ([{"message": "no"}], "no"),
        ("no", "no"),
        ({"code": 7}, ""),
        ({"error": {"code": 7}}, ""),
        ({"error": 7}, ""),
        ([], ""),
        (7, ""),
        (None, ""),
    ],
)
def test_the_reason_is_found_where_services_put_it(body: Any, text: str) -> None:
    assert error_text(answer(body)) == text


def test_the_reason_may_be_plain_text_but_no_web_page() -> None:
    assert error_text(answer(b"too long", "text/plain")) == "too long"
    assert len(error_text(answer(b"x" * 1000, "text/plain"))) == 200
    assert error_text(answer(b"<html>", "text/html")) == ""
