"""Answers in other character sets than UTF-8: read as they declare, unless that is plainly not so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.providers.protocol import HttpResponse
from agents.providers.protocol.charsets import decode_text

SAID = "Größe: drei Stück"


def answer(body: bytes, content_type: str) -> HttpResponse:
    return HttpResponse(200, {"content-type": content_type}, body)


@pytest.mark.parametrize(
    ("said", "charset", "declared"),
    [
        (SAID, "utf-8", ""),
        (SAID, "utf-8", "; charset=utf-8"),
        (SAID, "latin-1", "; charset=iso-8859-1"),
        (SAID, "latin-1", '; profile=x; Charset="ISO-8859-1"'),
        ("it\u2019s 3 €", "cp1252", "; charset=iso-8859-1"),
        ("it\u2019s 3 €", "cp1252", "; charset=windows-1252"),
        (SAID, "utf-8", "; charset=iso-8859-1"),  # of a server that puts it there out of habit
        (SAID, "utf-8", "; charset=us-ascii"),
        (SAID, "utf-16", "; charset=utf-16"),
        (SAID, "utf-16", ""),  # with its mark
        (SAID, "utf-16-be", "; charset=utf-16be"),
        (SAID, "utf-8-sig", ""),
        ("три штуки", "cp1251", "; charset=windows-1251"),
        ("联通", "gbk", "; charset=gb2312"),  # which happens to be UTF-8, too
        ("三つ", "shift_jis", "; charset=Shift_JIS"),
    ],
)
def test_text_and_json_are_read_in_the_set_they_are_in(said: str, charset: str, declared: str) -> None:
    assert answer(said.encode(charset), f"text/plain{declared}").text() == said
    body = f'{{"text": "{said}"}}'.encode(charset)
    assert answer(body, f"application/json{declared}").json() == {"text": said}


@pytest.mark.parametrize("name", ["x-unknown", "idna", "punycode", "unicode_escape", "zlib", "rot13", "utf-7", ""])
def test_what_is_no_character_set_is_passed_over(name: str) -> None:
    assert answer(b"\\u0041 +AEE-", f"text/plain; charset={name}").text() == "\\u0041 +AEE-"


def test_bytes_that_mean_nothing_are_shown_as_such() -> None:
    assert decode_text(b"a\xff") == "a\ufffd"
    assert decode_text(b"a\x81", "text/plain; charset=iso-8859-1") == "a\ufffd"
    with pytest.raises(ValueError, match="broken off or not UTF-8"):
        answer(b'{"text": "a\xff"}', "application/json").json()


@given(st.binary(), st.text())
def test_any_body_under_any_name_is_some_text(body: bytes, charset: str) -> None:
    assert isinstance(decode_text(body, f"text/plain; charset={charset}"), str)
