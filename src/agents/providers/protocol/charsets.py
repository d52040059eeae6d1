"""The text of a body in the character set it is in, which is not always the one that is declared."""

from __future__ import annotations

import codecs
import re

__all__ = ["charset_of", "decode_text"]

_DECLARED = re.compile(r';\s*charset\s*=\s*"?([\w.:-]+)', re.IGNORECASE)

_KNOWN = re.compile(
    r"utf-?16|iso-?8859|latin|(us-)?ascii|windows-|cp\d|gb|big5|euc-|shift|sjis|koi8", re.IGNORECASE
)
"""How names of character sets begin. Python has others that are none: ``idna``, ``unicode_escape``, ``zlib``."""

_HABITUAL = ("iso8859-1", "ascii", "cp1252")
"""What servers declare unasked, whatever they send. Each is read as Windows-1252, as the Encoding Standard of the
WHATWG has it."""

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def charset_of(body: bytes, content_type: str = "") -> str | None:
    """Python's name of the character set of *body*: as its byte order mark says, else as *content_type* declares.

    ``None`` is UTF-8: where nothing else is known, and where a set is declared that servers declare out of habit.
    """
    for mark, marked in _MARKS.items():
        if body.startswith(mark):
            return marked
    declared = _DECLARED.search(content_type)
    if declared is None or not _KNOWN.match(declared[1]):
        return None
    try:
        charset = codecs.lookup(declared[1]).name
    except LookupError:
        return None
    if charset not in _HABITUAL:
        return charset
    try:
        body.decode()
    except UnicodeDecodeError:
        return "cp1252"
    return None


def decode_text(body: bytes, content_type: str = "") -> str:
    """*body* as text. Bytes that mean nothing become U+FFFD."""
    return body.decode(charset_of(body, content_type) or "utf-8", errors="replace")
