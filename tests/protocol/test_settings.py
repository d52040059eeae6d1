"""What a protocol gets to know, and what of it may be printed."""

from __future__ import annotations

import copy
import dataclasses

import pytest

from agents.providers.protocol import Settings
from agents.providers.redaction import Secret

KEY = "key-4711"
SETTINGS = Settings(
    f"wss://user:pass-word@host/v1?token={KEY}&model=m",
    api_key=Secret(KEY),
    language="en",
    model="big",
    options={"password": "in-the-options"},
    headers={"Authorization": "Bearer header-key", "X-Tenant": "tenant-secret"},
)


def test_settings_print_no_credential() -> None:
    for shown in (repr(SETTINGS), str(SETTINGS), SETTINGS.shown_url):
        assert "wss://host/v1?token=***&model=m" in shown
        for secret in (KEY, "pass-word", "in-the-options", "header-key", "tenant-secret"):
            assert secret not in shown
    assert "language='en'" in repr(SETTINGS)
    assert "'password'" in repr(SETTINGS), "which options are set may be seen"


def test_the_key_for_the_wire_is_plain() -> None:
    assert SETTINGS.key == KEY
    assert Settings("wss://host/").key == ""


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"wrong key {KEY}", "wrong key ***"),
        ("no such Bearer header-key", "no such ***"),
        ("no such header-key", "no such ***"),
        ("tenant-secret is over quota", "*** is over quota"),
        ("two\n  lines", "two lines"),
    ],
)
def test_texts_of_the_vendor_lose_every_credential(text: str, clean: str) -> None:
    assert SETTINGS.redact(text) == clean


def test_a_credential_of_the_url_is_removed_decoded_and_encoded() -> None:
    settings = Settings("https://host/?api_key=a%20b%2Fc%3D%3D")
    assert settings.redact("a b/c== a%20b%2Fc%3D%3D a+b%2Fc%3D%3D") == "*** *** ***"


def test_a_long_text_is_cut() -> None:
    assert SETTINGS.redact("x" * 1000, limit=10) == "x" * 9 + "…"


def test_settings_are_immutable_and_can_be_copied() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SETTINGS.language = "de"  # type: ignore[misc]
    assert dataclasses.replace(SETTINGS, language="de").key == KEY
    assert copy.deepcopy(SETTINGS) == SETTINGS
