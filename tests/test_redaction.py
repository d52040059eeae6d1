"""Secrets that do not print themselves, and texts that carry none."""

from __future__ import annotations

import copy
import pickle

import pytest

from agents.providers.redaction import (
    Secret,
    is_secret_name,
    misspelt_reference,
    redact,
    resolve_environment,
    safe_url,
    secret_values,
    secrets_in_headers,
    secrets_in_url,
)

KEY = "key-4711"


class TestSecret:
    def test_it_prints_as_stars_however_it_is_printed(self) -> None:
        secret = Secret(KEY)
        shown = [str(secret), repr(secret), f"{secret}", f"{secret!r}", "%s %r" % (secret, secret), repr([secret])]  # noqa: UP031
        assert all("***" in text and KEY not in text for text in shown)
        assert secret.reveal() == KEY

    def test_it_compares_and_hashes_like_its_value_among_secrets_only(self) -> None:
        assert Secret(KEY) == Secret(KEY)
        assert Secret(KEY) != Secret("other")
        assert Secret(KEY) != KEY
        assert len({Secret(KEY), Secret(KEY)}) == 1
        assert hash(Secret(KEY)) != hash(KEY)

    def test_it_is_false_when_empty(self) -> None:
        assert Secret(KEY)
        assert not Secret("")

    def test_it_can_be_copied_but_not_pickled(self) -> None:
        secret = Secret(KEY)
        assert copy.copy(secret) is secret
        assert copy.deepcopy({"key": secret})["key"] is secret
        with pytest.raises(TypeError, match="pass the configuration that names it"):
            pickle.dumps(secret)

    def test_it_holds_nothing_else(self) -> None:
        assert not hasattr(Secret(KEY), "__dict__")


class TestEnvironment:
    def test_every_reference_is_replaced(self) -> None:
        assert resolve_environment("${env:A}-${env:B_2}-$A", {"A": "1", "B_2": "2"}) == "1-2-$A"

    def test_a_missing_variable_is_named(self) -> None:
        with pytest.raises(KeyError) as caught:
            resolve_environment("${env:MISSING}", {})
        assert caught.value.args == ("MISSING",)

    def test_the_environment_of_the_process_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VOXPORT_TEST", "x")
        assert resolve_environment("${env:VOXPORT_TEST}") == "x"

    def test_a_value_is_not_looked_up_again(self) -> None:
        assert resolve_environment("${env:A}", {"A": "${env:B}"}) == "${env:B}"

    @pytest.mark.parametrize("text", ["", "plain", "${env:}", "${env:1A}", "${A}", "$env:A"])
    def test_anything_else_stays(self, text: str) -> None:
        assert resolve_environment(text, {}) == text


@pytest.mark.parametrize(
    "name",
    [
        "key",
        "keys",
        "api_key",
        "api-key",
        "apikey",
        "apiKey",
        "x-api-key",
        "xi-api-key",
        "token",
        "access_token",
        "accessToken",
        "auth_token",
        "jwt",
        "sig",
        "Authorization",
        "proxy-authorization",
        "Ocp-Apim-Subscription-Key",
        "X-Amz-Signature",
        "X-Amz-Security-Token",
        "X-Amz-Credential",
        "cookie",
        "secret",
        "client_secret",
        "clientSecret",
        "password",
        "passwd",
        "pwd",
        "credentials",
        "auth",
    ],
)
def test_a_name_that_usually_carries_a_credential(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "keyterm",
        "keyterms",
        "keywords",
        "language",
        "model",
        "tokenizer",
        "monkey",
        "turkey",
        "author",
        "accept",
        "content-type",
        "keepalive",
    ],
)
def test_a_name_that_does_not(name: str) -> None:
    assert not is_secret_name(name)


class TestUrl:
    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("https://host/a/b?x=1&y=a,b", "https://host/a/b?x=1&y=a,b"),
            ("wss://user:pw@host:8443/a", "wss://host:8443/a"),
            ("https://host/?api_key=abc&token=&x=1", "https://host/?api_key=***&token=***&x=1"),
            ("http://[::1]:8080/?key=a", "http://[::1]:8080/?key=***"),
            ("https://host/#token=abc", "https://host/"),
            ("http://host:99999/", "(malformed URL)"),
            ("http://[::1/", "(malformed URL)"),
            ("", ""),
        ],
    )
    def test_a_url_is_shown_without_credentials(self, url: str, shown: str) -> None:
        assert safe_url(url) == shown

    def test_the_credentials_in_a_url_are_found_in_every_spelling(self) -> None:
        found = secrets_in_url("https://host/?token=a%20b%2Fc&model=m&key=plain")
        assert {"a b/c", "a%20b%2Fc", "a+b%2Fc", "plain"} <= set(found)
        assert "m" not in found

    def test_a_malformed_url_holds_none(self) -> None:
        assert secrets_in_url("http://[::1/?key=abc") == ()


class TestMisspeltReference:
    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            ("${SPEECH_KEY}", "${env:SPEECH_KEY}"),
            (" ${speech_key} ", "${env:speech_key}"),
            ("Bearer ${SPEECH_KEY}", "${env:SPEECH_KEY}"),
            ("$SPEECH_KEY", "${env:SPEECH_KEY}"),
            ("Token $SPEECH_KEY", "${env:SPEECH_KEY}"),
            ("$env:SPEECH_KEY", "${env:SPEECH_KEY}"),
            ("${ENV:SPEECH_KEY}", "${env:SPEECH_KEY}"),
            ("${env: SPEECH_KEY }", "${env:SPEECH_KEY}"),
            ("${env:speech-key}", "${env:NAME}"),
            ("$HUNTER2", "${env:NAME}"),  # not set: it may be the key itself, which nobody may see
        ],
    )
    def test_what_is_meant_is_told(self, text: str, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SPEECH_KEY", "x")
        assert misspelt_reference(text) == meant

    @pytest.mark.parametrize(
        "text", ["", "$", "$4711", "a$KEY", "$2b$12$abc", "${KEY}x", "$key", "pa$$WORD", "${}"]
    )
    def test_a_dollar_sign_elsewhere_is_none(self, text: str) -> None:
        assert misspelt_reference(text) == ""


def test_a_credential_is_found_behind_its_scheme() -> None:
    found = secrets_in_headers({"Authorization": "Bearer abcdef", "X-Note": "two words"})
    assert found == ("Bearer abcdef", "two words", "abcdef")


class TestRedact:
    def test_longer_secrets_go_first_so_that_no_end_of_one_is_left(self) -> None:
        assert redact("abcd abcdefgh", ["abcd", "abcdefgh"]) == "*** ***"

    def test_what_is_too_short_to_be_told_from_words_is_left(self) -> None:
        assert secret_values(["the", None, "", Secret(""), Secret("long"), "longer"]) == ("longer", "long")
        assert redact("the cat", ["the"]) == "the cat"

    def test_secrets_are_taken_in_either_form(self) -> None:
        assert redact(f"{KEY} {KEY}", [Secret(KEY), KEY]) == "*** ***"

    def test_the_result_is_one_line_of_bounded_length(self) -> None:
        assert redact("a\r\nb\t c\x0b", []) == "a b c"
        assert redact("\x1b[2J no \x07\udcff\u202e way", []) == "\ufffd[2J no \ufffd\ufffd\ufffd way"
        assert redact("x" * 20, [], limit=10) == "x" * 9 + "…"
        assert redact("x" * 10, [], limit=10) == "x" * 10

    def test_a_secret_cut_by_the_limit_does_not_show_its_beginning(self) -> None:
        assert "key-4" not in redact("x" * 5 + KEY, [KEY], limit=10)
