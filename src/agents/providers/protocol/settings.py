"""What a protocol needs to know to talk to its vendor: one stream's own copy of the adapter's options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..redaction import Secret, redact, safe_url, secrets_in_headers, secrets_in_url

__all__ = ["Settings"]


@dataclass(frozen=True, repr=False, slots=True)
class Settings:
    """Immutable, and safe to print: credentials mask themselves.

    Attributes:
        url: where the vendor is, as the user gave it or as the vendor's own default.
        api_key: the credential, if any.
        language: BCP-47 tag, or ``None`` for the vendor's default or detection.
        model: the vendor's model name, or ``None`` for its default.
        voice: the vendor's name of a voice, or ``None`` for its default; for services that speak.
        sample_rate: of the audio that goes over the wire, in Hz.
        channels: of the audio that goes over the wire.
        interim_results: whether to ask for partial results.
        keyterms: words and phrases to listen for.
        options: the vendor's own parameters.
        headers: additional HTTP headers of the user.
        key_variables: the environment variables a key is looked for in when none is given.
    """

    url: str
    api_key: Secret | None = None
    language: str | None = None
    model: str | None = None
    voice: str | None = None
    sample_rate: int = 16000
    channels: int = 1
    interim_results: bool = True
    keyterms: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    key_variables: tuple[str, ...] = ()

    def __repr__(self) -> str:
        shown: dict[str, object] = {
            "url": self.shown_url,
            "api_key": self.api_key,
            "language": self.language,
            "model": self.model,
        }
        shown |= {
            "sample_rate": self.sample_rate,
            "options": sorted(self.options),
            "headers": sorted(self.headers),
        }
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def key(self) -> str:
        """The plain credential for the wire; empty when there is none."""
        return self.api_key.reveal() if self.api_key else ""

    def redact(self, text: str, *, limit: int = 500) -> str:
        """*text* without any credential these settings hold."""
        secrets = [self.api_key, *secrets_in_headers(self.headers), *secrets_in_url(self.url)]
        return redact(text, secrets, limit=limit)

    @property
    def shown_url(self) -> str:
        """The URL for people: without credentials."""
        return self.redact(safe_url(self.url))
