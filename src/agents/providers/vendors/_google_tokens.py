"""Access tokens for Google: asked for, kept, renewed in time. No I/O."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from urllib.parse import urlencode

from ..protocol import HttpRequest, HttpResponse, Wait
from ..redaction import redact
from ._google_accounts import STATEMENT_SECONDS, Account

__all__ = ["Tokens"]

_RENEW_SECONDS = 225.0
"""Before it expires, as google-auth does (its REFRESH_THRESHOLD)."""
_LOOK_AGAIN_SECONDS = 0.02
_SUSPECT_SECONDS = 60.0
_MOST_KEPT = 64


@dataclass(frozen=True)
class _Token:
    value: str = field(repr=False)
    since: float
    until: float


class Tokens:
    """The tokens of all accounts of a protocol. Thread-safe; for each account one flow asks, and others wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Account, _Token] = {}
        self._asking: set[Account] = set()

    def __repr__(self) -> str:
        return f"Tokens({len(self._kept)} kept)"

    def token(self, account: Account) -> Generator[HttpRequest | Wait, HttpResponse | None, str]:
        """A token of *account* that is good for minutes, asked for when none is kept.

        Raises:
            ValueError: the answer holds no token.
        """
        while True:
            with self._lock:
                kept = self._kept.get(account)
                if kept is not None and time.monotonic() < kept.until:
                    return kept.value
                mine = account not in self._asking
                if mine:
                    self._asking.add(account)
            if mine:
                try:
                    return (yield from self._ask(account))
                finally:  # also when this flow is given up
                    with self._lock:
                        self._asking.discard(account)
            yield Wait(_LOOK_AGAIN_SECONDS)

    def _ask(self, account: Account) -> Generator[HttpRequest | Wait, HttpResponse | None, str]:
        form = urlencode(account.form(time.time()))
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        asked = time.monotonic()
        response = yield HttpRequest("POST", account.token_uri, headers, form.encode())
        assert response is not None, "a request is answered by a response"
        answer = response.json()
        value = answer.get("access_token") if isinstance(answer, dict) else None
        seconds = answer.get("expires_in") if isinstance(answer, dict) else None
        if not isinstance(value, str) or not value or isinstance(seconds, bool):
            raise ValueError("the token endpoint answered without an access_token")
        if not isinstance(seconds, (int, float)):
            seconds = STATEMENT_SECONDS
        early = min(_RENEW_SECONDS, seconds / 2)
        with self._lock:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[account] = _Token(value, asked, asked + seconds - early)
        return value

    def refused(self) -> bool:
        """The service refused a token: none is kept any more. Returns whether another attempt may fare better."""
        with self._lock:
            oldest = min((token.since for token in self._kept.values()), default=None)
            self._kept.clear()
        return oldest is not None and time.monotonic() - oldest > _SUSPECT_SECONDS

    def redact(self, text: str) -> str:
        """*text* without any token that is kept, and without what was sent for one."""
        with self._lock:
            values = [token.value for token in self._kept.values()]
            values += [secret for account in (*self._kept, *self._asking) for secret in account.secrets()]
        return redact(text, values)
