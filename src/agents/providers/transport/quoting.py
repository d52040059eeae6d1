"""Errors without what people said: a vendor that refuses a text often quotes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from livekit.agents import APIConnectionError, APIError, APIStatusError

__all__ = ["told", "without_quotes"]

_CLIENT_CLOSED = 499
"""LiveKit takes an error of this status for its own cancellation, and tells nobody."""

_ELLIPSIS = "…"
_WORD = re.compile(r"\w+")

_RUN = 3
"""So many words of the text in a row are the text; fewer are words that anybody may use."""

_LONG_RUN = 6
"""The same for texts of which there is a lot, where three words are soon something one says in errors, too."""

_TELLING_LETTERS = 4
"""A text of fewer words counts as a whole, if it has so many letters. So does a number of so many digits, and a
piece of a script that has no spaces."""


def told(error: APIError, said: Iterable[str], instructed: Iterable[str] = ()) -> APIError:
    """*error* as it may be told: without the texts *said* and *instructed*, and not as one LiveKit passes over."""
    message = without_quotes(without_quotes(error.message, said), instructed, run=_LONG_RUN)
    if isinstance(error, APIStatusError) and error.status_code == _CLIENT_CLOSED:
        plain = APIConnectionError(message, retryable=error.retryable)
        plain.retry_after = getattr(error, "retry_after", None)  # type: ignore[attr-defined]
        return plain
    error.message, error.args, error.body = message, (message,), None
    return error


def without_quotes(message: str, said: Iterable[str], *, run: int = _RUN) -> str:
    """*message* without what it repeats of the texts *said*: *run* words in a row are enough.

    Case, signs and white space between words make no difference. The cost is that of searching the texts once for
    each word of the message, so it is for errors.
    """
    texts = [(text.strip(), _words(text)) for text in said]
    for text, words in texts:
        if len(words) >= run:
            message = message.replace(text, _ELLIPSIS)  # with the signs at its ends
    spoken = "\n".join(f" {' '.join(words)} " for _, words in texts)
    for start, end in reversed(list(_quoted(list(_WORD.finditer(message)), f"\n{spoken}\n", run))):
        message = message[:start] + _ELLIPSIS + message[end:]
    return message


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _quoted(words: list[re.Match[str]], spoken: str, run: int) -> Iterator[tuple[int, int]]:
    """Where in the message words of *spoken* stand, from the first to behind the last of each run."""
    plain = [word[0].lower() for word in words]
    marked = [_tells(word, spoken) for word in plain]
    for size in range(1, run + 1):
        for first in range(len(plain) - size + 1):
            some = " ".join(plain[first : first + size])
            if size < run:
                quotes = len(some) >= _TELLING_LETTERS and f"\n {some} \n" in spoken
            else:  # what a message ends with may be cut in the middle of a word
                quotes = f" {some}{' ' * (first + size < len(plain))}" in spoken
            if quotes:
                marked[first : first + size] = [True] * size
    begin: int | None = None
    for index, is_quoted in enumerate([*marked, False]):
        if is_quoted and begin is None:
            begin = index
        elif not is_quoted and begin is not None:
            yield words[begin].start(), words[index - 1].end()
            begin = None


def _tells(word: str, spoken: str) -> bool:
    """Whether *word* alone is more than anybody may use, and of the text."""
    if word.isdecimal():
        return len(word) >= _TELLING_LETTERS and f" {word} " in spoken
    return sum(not letter.isascii() for letter in word) >= _TELLING_LETTERS and word in spoken
