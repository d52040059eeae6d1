"""Whose a URL is."""

from __future__ import annotations

import pytest

from agents.providers.profiles.hosts import is_host_of


@pytest.mark.parametrize(
    ("host", "pattern", "fits"),
    [
        ("api.acme.test", "api.acme.test", True),
        ("API.acme.test", "api.acme.test", True),
        ("acme.test", "*.acme.test", False),
        ("a.b.acme.test", "*.acme.test", True),
        ("evilacme.test", "*.acme.test", False),
        ("speech.eu-west-1.acme.test", "speech.*.acme.test", True),
        ("speech.a.b.acme.test", "speech.*.acme.test", False),
        ("speech..acme.test", "speech.*.acme.test", False),
        ("eu-speech.acme.test", "*-speech.acme.test", True),
        ("x.eu-speech.acme.test", "*-speech.acme.test", False),
        ("speechXacme.test", "speech.acme.test", False),
        ("eu.speechXacme.test", "*.speech.acme.test", False),
    ],
)
def test_a_star_stands_for_hosts_under_a_name_or_for_a_part_without_dots(
    host: str, pattern: str, fits: bool
) -> None:
    assert is_host_of(f"wss://{host}:8443/path", [pattern]) is fits


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("wss://api.acme.test/v2/listen", True),
        ("wss://API.acme.test:8443/v2/listen?x=/v1/", True),
        ("wss://api.acme.test/v1/listen", False),
        ("wss://api.acme.test", False),
        ("wss://other.test/v2/listen", False),
    ],
)
def test_a_path_tells_services_of_one_host_apart(url: str, fits: bool) -> None:
    assert is_host_of(url, ["api.acme.test/v2/"]) is fits
