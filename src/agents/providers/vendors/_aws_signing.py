"""Amazon's credentials and signatures (Signature Version 4), by botocore, which is loaded when it is needed.

Whoever finds credentials may have to ask a service for them (an instance's metadata, a sign-on): that blocks, so
:meth:`Signer.ready` is asked first and a thread does the waiting.
"""

from __future__ import annotations

import importlib
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ..base import ConfigurationError
from ..protocol import Settings
from ..redaction import Secret

__all__ = ["PRESIGNED_SECONDS", "REGION", "SIGNERS", "Signer", "Signers", "domain_of", "in_region", "region_of"]

REGION = "{region}"
"""Stands in a default URL where the region belongs."""

PRESIGNED_SECONDS = 300
"""The longest Transcribe takes (docs.aws.amazon.com/transcribe/latest/dg/streaming-websocket.html)."""

_MOST_KEPT = 32
# Hosts are those of botocore (data/endpoints.json).
_SERVICE_HOST = re.compile(
    r"(?:fips\.|cn\.)?(?:transcribestreaming|transcribe)(?:-fips)?\.([a-z0-9-]+)"
    r"\.(?:amazonaws\.(?:com|com\.cn|eu)|api\.aws|api\.amazonwebservices\.com\.cn)"
)
_DOMAIN = "amazonaws.com"
_DOMAINS = {"cn-": "amazonaws.com.cn", "eusc-": "amazonaws.eu"}
"""By the beginnings of their regions, where it is another."""
_KEY_FORM = "ACCESS_KEY_ID:SECRET_ACCESS_KEY or ACCESS_KEY_ID:SECRET_ACCESS_KEY:SESSION_TOKEN"


class Signer:
    """Signs requests of one account. Thread-safe.

    Credentials are those of ``api_key`` or of the options, else what botocore finds: environment, profile, shared
    files, container, instance.
    """

    def __init__(self, settings: Settings) -> None:
        self._session = _botocore("botocore.session").Session(profile=settings.options.get("profile"))
        self._given = _given_credentials(settings)
        self._lock = threading.Lock()
        self._lookup: Future[Any] | None = None
        self._found: Any = None

    def __repr__(self) -> str:
        return "Signer()"

    @staticmethod
    def key(settings: Settings) -> object:
        """What two settings have in common that can share a signer."""
        options = settings.options
        names = ("profile", "access_key_id", "secret_access_key", "session_token")
        return settings.api_key, *(_plain(options.get(name)) for name in names)

    def region(self, settings: Settings) -> str:
        """The region to sign for: the option's, the URL's, or the one botocore is configured for.

        Raises:
            ConfigurationError: none of them says.
        """
        found = settings.options.get("region") or region_of(settings.url)
        # AWS_REGION is what Amazon's other tools read and its containers set; botocore reads the other name
        found = found or self._ask(lambda: self._session.get_config_variable("region")) or os.getenv("AWS_REGION")
        if not found:
            raise ConfigurationError(
                "AWS: the region is missing: give the option region, set AWS_REGION or AWS_DEFAULT_REGION,"
                " or use a URL with the region in its host"
            )
        return str(found)

    def find(self) -> None:
        """Find credentials now, however long it takes.

        Raises:
            ConfigurationError: there are none.
        """
        if self._found is None:
            self._credentials()

    def ready(self) -> bool:
        """Whether signing will not block: otherwise a thread has begun to see to that. Ask again shortly."""
        if self._given is not None:
            return True
        with self._lock:
            lookup = self._lookup
            if lookup is None:
                lookup = self._lookup = Future()
                threading.Thread(target=self._refresh, args=(lookup,), name="voxport.aws", daemon=True).start()
            if not lookup.done():
                return False
            self._lookup = None  # the next connection looks again: credentials of a role expire
            return True

    def _refresh(self, lookup: Future[Any]) -> None:
        try:
            lookup.set_result(self._credentials())
        except Exception as error:  # said again, and then to the caller, when signing
            lookup.set_exception(error)

    def presigned(self, url: str, region: str, service: str = "transcribe") -> str:
        """*url* of a WebSocket with its signature in the query. Holds credentials.

        Raises:
            ConfigurationError: there are no credentials.
        """
        auth, aws = _botocore("botocore.auth"), _botocore("botocore.awsrequest")
        scheme = {"wss": "https", "ws": "http"}[urlsplit(url).scheme]
        request = aws.AWSRequest(method="GET", url=urlunsplit((scheme, *urlsplit(url)[1:])))
        _sign(auth.SigV4QueryAuth(self._credentials(), service, region, expires=PRESIGNED_SECONDS), request)
        signed: str = request.url
        return "ws" + signed.removeprefix("http")

    def signed_headers(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, region: str, service: str
    ) -> dict[str, str]:
        """*headers* with those that sign the request.

        Raises:
            ConfigurationError: there are no credentials.
        """
        auth, aws = _botocore("botocore.auth"), _botocore("botocore.awsrequest")
        request = aws.AWSRequest(method=method, url=url, headers=dict(headers), data=body)
        kind = auth.S3SigV4Auth if service == "s3" else auth.SigV4Auth
        _sign(kind(self._credentials(), service, region), request)
        return {name: str(value) for name, value in request.headers.items()}

    def _credentials(self) -> Any:
        """Frozen credentials; may block.

        Raises:
            ConfigurationError: there are none.
        """
        if self._given is not None:
            return self._given
        found = self._ask(self._load)
        if found is None:
            raise ConfigurationError(
                f"AWS: no credentials: pass api_key ({_KEY_FORM}), set AWS_ACCESS_KEY_ID and"
                " AWS_SECRET_ACCESS_KEY, or name a profile in the options"
            )
        return found

    def _load(self) -> Any:
        if self._found is None:
            self._found = self._session.get_credentials()
        return None if self._found is None else self._found.get_frozen_credentials()

    @staticmethod
    def _ask(question: Any) -> Any:
        """botocore's answer, its complaints made into ours: they hold paths and names, no secrets."""
        try:
            return question()
        except _botocore("botocore.exceptions").BotoCoreError as error:
            raise ConfigurationError(f"AWS: {error}") from None


class Signers:
    """Signers by their credentials, kept between connections. Thread-safe."""

    def __init__(self) -> None:
        self._kept: OrderedDict[object, Signer] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, settings: Settings) -> Signer:
        """The signer for *settings*.

        Raises:
            ConfigurationError: their credentials are incomplete, or botocore is missing.
        """
        key = Signer.key(settings)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = Signer(settings)
                while len(self._kept) > _MOST_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._kept.clear()


def _sign(auth: Any, request: Any) -> None:
    """What botocore's ``add_auth`` does, except that it writes session tokens into the debug log."""
    request.context["timestamp"] = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    auth._modify_request_before_signing(request)
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    auth._inject_signature_to_request(request, signature)


def in_region(settings: Settings, signer: Signer) -> str:
    """The URL of *settings* with the region in it, if it wants one.

    Raises:
        ConfigurationError: no region is known, or it is none.
    """
    if REGION not in settings.url:
        return settings.url
    region = signer.region(settings)
    if not re.fullmatch(r"[a-z0-9-]+", region):
        raise ConfigurationError("AWS: region must be the name of a region, like 'eu-west-1'")
    url = settings.url.replace(f"{REGION}.{_DOMAIN}", f"{REGION}.{domain_of(region)}")
    if region.startswith("cn-"):
        url = url.replace(f"//transcribe.{REGION}.", f"//cn.transcribe.{REGION}.")
    return url.replace(REGION, region)


def domain_of(region: str) -> str:
    """The domain of Amazon's services in *region*."""
    return next((domain for start, domain in _DOMAINS.items() if region.startswith(start)), _DOMAIN)


def region_of(url: str) -> str | None:
    """The region in the host of *url*, or ``None``."""
    match = _SERVICE_HOST.fullmatch(urlsplit(url).hostname or "")
    return match.group(1) if match else None


def _given_credentials(settings: Settings) -> Any:
    """Credentials of the user's own configuration, or ``None``.

    Raises:
        ConfigurationError: they are incomplete.
    """
    options = settings.options
    access, secret = _plain(options.get("access_key_id")), _plain(options.get("secret_access_key"))
    token = _plain(options.get("session_token"))
    if settings.key:
        parts = _key_parts(settings.key)
        access, secret, token = parts[0], parts[1], (parts[2] if len(parts) > 2 else token)
    if not access and not secret:
        return None
    if not access or not secret:
        raise ConfigurationError("AWS: give both access_key_id and secret_access_key, or neither")
    return _botocore("botocore.credentials").Credentials(access, secret, token or None).get_frozen_credentials()


def _key_parts(key: str) -> list[str]:
    """The parts of an ``api_key``: Amazon's have no colon in them."""
    parts = [part.strip() for part in key.split(":", 2)]
    if len(parts) < 2 or not all(parts):
        raise ConfigurationError(f"api_key for AWS must be {_KEY_FORM}")
    return parts


def _plain(value: Any) -> str | None:
    if isinstance(value, Secret):
        return value.reveal()
    return value if isinstance(value, str) else None


def _botocore(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "botocore":
            raise  # installed, but something it needs itself is not
        raise ConfigurationError(
            'AWS needs the package botocore for its signatures: pip install "voxport[aws]"'
        ) from None


SIGNERS = Signers()
"""Of all streams and jobs."""
