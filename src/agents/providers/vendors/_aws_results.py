"""What streams and jobs of Amazon Transcribe have in common: the names of errors, and items that are no words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..protocol import Verdict

__all__ = ["EXCEPTIONS", "joined"]

# https://docs.aws.amazon.com/transcribe/latest/APIReference/API_streaming_TranscriptResultStream.html and
# …/CommonErrors.html. Anything else is taken as it may pass.
EXCEPTIONS: Mapping[str, tuple[int, Verdict]] = {
    "BadRequestException": (400, Verdict.PERMANENT),
    "ValidationException": (400, Verdict.PERMANENT),
    "ConflictException": (409, Verdict.PERMANENT),  # another stream took the session_id
    "AccessDeniedException": (403, Verdict.PERMANENT),
    "ExpiredTokenException": (403, Verdict.PERMANENT),
    "IncompleteSignatureException": (403, Verdict.PERMANENT),
    "InvalidSignatureException": (403, Verdict.PERMANENT),
    "MissingAuthenticationTokenException": (403, Verdict.PERMANENT),
    "NotAuthorizedException": (403, Verdict.PERMANENT),
    "OptInRequiredException": (403, Verdict.PERMANENT),
    "UnrecognizedClientException": (403, Verdict.PERMANENT),
    "LimitExceededException": (429, Verdict.TRANSIENT),  # too many streams, or this one is too old
    "ThrottlingException": (429, Verdict.TRANSIENT),
    "InternalFailureException": (500, Verdict.TRANSIENT),
    "ServiceUnavailableException": (503, Verdict.TRANSIENT),
}


def joined(items: Sequence[Any], kind: str, content: str) -> list[dict[str, Any]]:
    """The words among *items*, each with the punctuation after it, for that is no word of its own.

    Args:
        items: of a result, as they came.
        kind, content: the names of an item's fields.
    """
    words: list[dict[str, Any]] = []
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get(content), str):
            continue
        if item.get(kind) != "punctuation":
            words.append(item)
        elif words:
            words[-1] = {**words[-1], content: words[-1][content] + item[content]}
    return words
