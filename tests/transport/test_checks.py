"""What users configure is checked, and a refusal says what to change."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from agents.providers.base import ConfigurationError
from agents.providers.protocol import Settings
from agents.providers.redaction import Secret
from agents.providers.transport.checks import (
    MaskedHeaders,
    check_choice,
    check_headers,
    check_mapping,
    check_name,
    check_url,
    environment_key,
    is_loopback,
    located,
    secret_key,
)
from agents.providers.vendors import find_vendor

WS = ("ws", "wss")
HTTP = ("http", "https")


class TestKey:
    def test_a_key_becomes_a_secret_without_the_space_around_it(self) -> None:
        assert secret_key(" key-4711\n ") == Secret("key-4711")

    @pytest.mark.parametrize("nothing", [None, "", "  ", Secret("")])
    def test_an_empty_key_is_none(self, nothing: Any) -> None:
        assert secret_key(nothing) is None

    def test_a_secret_is_taken_as_it_is(self) -> None:
        secret = Secret("key-4711")
        assert secret_key(secret) is secret

    def test_the_environment_is_looked_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_KEY", "key-4711")
        assert secret_key("${env:MY_KEY}") == Secret("key-4711")

    def test_a_missing_variable_is_named(self) -> None:
        with pytest.raises(
            ConfigurationError, match=r"token names the environment variable NOT_SET, which is not"
        ):
            secret_key("${env:NOT_SET}", setting="token")

    @pytest.mark.parametrize("value", ["key\n4711", "key\r4711"])
    def test_a_line_break_inside_is_refused_without_showing_the_key(self, value: str) -> None:
        with pytest.raises(ConfigurationError, match="line break") as caught:
            secret_key(value)
        assert "4711" not in str(caught.value)

    @pytest.mark.parametrize("value", ["${SPEECH_KEY}", "Bearer ${SPEECH_KEY}"])
    def test_a_reference_in_the_way_of_a_shell_is_refused(self, value: str) -> None:
        with pytest.raises(ConfigurationError, match=r"^token .* write \$\{env:SPEECH_KEY\}$"):
            secret_key(value, setting="token")

    def test_a_variable_that_holds_a_reference_is_refused_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_KEY", "${OTHER_KEY}")
        with pytest.raises(ConfigurationError, match="OTHER_KEY"):
            secret_key("${env:MY_KEY}")

    def test_a_dollar_sign_in_a_key_is_no_reference(self) -> None:
        assert secret_key("pa$$WORD") == Secret("pa$$WORD")

    def test_another_type_is_refused_without_its_value(self) -> None:
        with pytest.raises(ConfigurationError, match="must be a string, not bytes"):
            secret_key(b"key-4711")  # type: ignore[arg-type]


class TestUrl:
    def check(self, url: object, *, schemes: tuple[str, str] = HTTP, has_key: bool = True) -> str:
        return check_url(url, setting="endpoint_url", schemes=schemes, has_key=has_key)

    @pytest.mark.parametrize(
        "url",
        [
            "https://host/path?x=1",
            "http://localhost/",
            "http://[::1]:8/",
            "http://127.0.0.9",
            "http://a.localhost",
        ],
    )
    def test_a_good_url_comes_back(self, url: str) -> None:
        assert self.check(f" {url} ") == url

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            (None, 'endpoint_url is missing: give the URL of the service, like "https://host/path"'),
            ("", "is missing"),
            (7, "is missing"),
            ("http://host:99999/", "is not a URL"),
            ("http://[::1/", "is not a URL"),
            ("wss://host/", 'did you mean "https://…"'),
            ("ws://host/", 'did you mean "http://…"'),
            ("ftp://host/", "must start with"),
            ("host", "must start with"),
            ("https://", "has no host"),
            ("https://user@host/", "holds a user name or password"),
            ("https://:password@host/", "holds a user name or password"),
            ("http://host/", "in clear text to host"),
            ("http://10.0.0.1/", "in clear text to 10.0.0.1"),
            (
                "https://{region}.h/{x}",
                "has a placeholder in its host, 'https://{region}.h/{x}': write what belongs",
            ),
        ],
    )
    def test_a_bad_url_is_refused_with_what_to_change(self, url: object, message: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            self.check(url)
        assert message in str(caught.value)
        assert "password@" not in str(caught.value)

    def test_a_host_may_be_open_for_a_protocol_that_fills_it(self) -> None:
        url = check_url("wss://{region}.h/{x}", setting="ws_url", schemes=WS, has_key=True, placeholders=True)
        azure, generic = find_vendor("azure").streaming, find_vendor("generic").streaming
        assert azure is not None and generic is not None
        given = Settings(url=url, options={"region": "westeurope"})
        assert located(azure, given, setting="ws_url").url == "wss://westeurope.h/{x}"
        with pytest.raises(ConfigurationError, match="ws_url has a placeholder in its host"):
            located(generic, given, setting="ws_url")

    def test_the_other_adapters_scheme_is_suggested(self) -> None:
        with pytest.raises(ConfigurationError, match='did you mean "wss://…"'):
            self.check("https://host/", schemes=WS)

    def test_clear_text_is_fine_without_a_key(self) -> None:
        assert self.check("ws://host/", schemes=WS, has_key=False) == "ws://host/"

    @pytest.mark.parametrize(
        ("host", "is_local"),
        [("localhost", True), ("127.0.0.1", True), ("::1", True), ("10.0.0.1", False), ("localhost.evil", False)],
    )
    def test_loopback_is_this_machine_only(self, host: str, is_local: bool) -> None:
        assert is_loopback(host) is is_local


class TestKeyOfTheEnvironment:
    @pytest.mark.parametrize(
        ("names", "found"),
        [
            (None, None),
            ("A_KEY", None),
            ("B_KEY", "k-b"),
            (("A_KEY", "EMPTY_KEY", "B_KEY", "C_KEY"), "k-b"),
            (["C_KEY", "B_KEY"], "k-c"),
            ((), None),
        ],
    )
    def test_the_first_variable_that_holds_one_counts(
        self, monkeypatch: pytest.MonkeyPatch, names: Any, found: str | None
    ) -> None:
        for name, value in (("EMPTY_KEY", " "), ("B_KEY", " k-b\n"), ("C_KEY", "k-c")):
            monkeypatch.setenv(name, value)
        key = environment_key(names)
        assert (key and key.reveal()) == found


class TestChoice:
    def test_a_known_value_passes(self) -> None:
        check_choice("raise", ("degrade", "raise"), setting="on_failure")

    def test_the_nearest_value_is_suggested(self) -> None:
        with pytest.raises(
            ConfigurationError, match="on_failure must be one of 'degrade', 'raise', not 'degrad'; did"
        ):
            check_choice("degrad", ("degrade", "raise"), setting="on_failure")

    def test_nothing_near_suggests_nothing(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            check_choice("zzz", ("degrade", "raise"), setting="on_failure")
        assert "did you mean" not in str(caught.value)


class TestHeaders:
    def test_they_are_copied_and_resolved(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TENANT", "blue")
        given_headers = {"X-Tenant": "${env:TENANT}", "X-Empty": ""}
        checked = check_headers(given_headers)
        assert checked == {"X-Tenant": "blue", "X-Empty": ""}
        assert checked is not given_headers
        assert check_headers(None) == {}

    @pytest.mark.parametrize("headers", [{"X": 1}, {1: "x"}, {"X": None}])
    def test_anything_but_text_is_refused(self, headers: Any) -> None:
        with pytest.raises(ConfigurationError, match="must be a string"):
            check_headers(headers)

    def test_a_line_break_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="header 'X' holds a line break"):
            check_headers({"X": "a\r\nB: c"})

    def test_a_reference_in_the_way_of_a_shell_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match=r"^header 'X-Key' .* write \$\{env:SPEECH_KEY\}$"):
            check_headers({"X-Key": "${SPEECH_KEY}"})

    @pytest.mark.parametrize("headers", ["X: y", ["X: y"], {"X"}])
    def test_what_is_no_mapping_is_refused_without_its_value(self, headers: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"headers must be a mapping, like .* not (str|list|set)$"):
            check_headers(headers)


class TestMappingsAndNames:
    def test_a_mapping_is_copied(self) -> None:
        options = {"a": 1}
        assert check_mapping(options, setting="options") == options
        assert check_mapping(options, setting="options") is not options
        assert check_mapping(None, setting="options") == {}

    @pytest.mark.parametrize("options", ["temperature", ["temperature"], 5, ""])
    def test_anything_but_a_mapping_is_refused(self, options: Any) -> None:
        with pytest.raises(ConfigurationError, match="options must be a mapping"):
            check_mapping(options, setting="options")

    def test_an_empty_name_is_none(self) -> None:
        assert check_name("", setting="voice") is check_name(None, setting="voice") is None
        assert check_name("anna", setting="voice") == "anna"

    def test_a_name_is_a_text(self) -> None:
        with pytest.raises(ConfigurationError, match="voice must be a text, not int"):
            check_name(5, setting="voice")  # type: ignore[arg-type]


class TestHeadersThatDoNotPrint:
    @pytest.mark.parametrize(
        "made",
        [
            lambda headers: headers,
            lambda headers: headers.copy(),
            copy.copy,
            copy.deepcopy,
            lambda headers: headers | {"X-More": "more-secret"},
            lambda headers: {"X-More": "more-secret"} | headers,
        ],
        ids=["themselves", "copy()", "copy", "deepcopy", "and more", "more and they"],
    )
    def test_neither_do_their_copies(self, made: Callable[[Any], Any]) -> None:
        headers = made(MaskedHeaders({"X-Tenant": "tenant-secret"}))
        assert headers["X-Tenant"] == "tenant-secret"
        assert "secret" not in f"{headers} {headers!r} {[headers]}" and "X-Tenant" in repr(headers)

    def test_they_are_not_pickled(self) -> None:
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(MaskedHeaders({"X-Tenant": "tenant-secret"}))
