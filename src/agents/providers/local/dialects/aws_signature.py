"""Whether a request was signed with one of the server's keys: Amazon's Signature Version 4, checked by botocore.

A key ``ID:SECRET`` of the server is both halves of a credential; any other key is a secret access key that goes
with every access key id.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl, quote, urlsplit

from aiohttp import web

from ..extras import require

__all__ = ["Unsigned", "WrongKey", "signed_by", "signed_in_headers_by"]

_SKEW = timedelta(minutes=5)


class Unsigned(ValueError):
    """The request carries no signature of ours. The message says what is wrong with it."""


class WrongKey(Unsigned):
    """The request is signed as it should be, with another key."""


def signed_by(request: web.Request, keys: Iterable[str], service: str, longest_seconds: int) -> str:
    """The one of *keys* that *request*, a presigned GET, is signed with. Raises `Unsigned` or `WrongKey`.

    Args:
        request: as it came over the wire.
        keys: of the server.
        service: that it must be signed for.
        longest_seconds: for which a signature may be good.
    """
    pairs = parse_qsl(urlsplit(request.raw_path).query, keep_blank_values=True)
    query = dict(pairs)
    if query.get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256" or len(query) != len(pairs):
        raise Unsigned("the URL is not presigned with AWS4-HMAC-SHA256")
    scope = query.get("X-Amz-Credential", "").split("/")
    stamp = query.get("X-Amz-Date", "")
    if len(scope) != 5 or scope[1] != stamp[:8] or scope[3:] != [service, "aws4_request"]:
        raise Unsigned(f"the credential is not scoped ID/{stamp[:8]}/REGION/{service}/aws4_request")
    if "host" not in query.get("X-Amz-SignedHeaders", "").split(";"):
        raise Unsigned("the header host is not signed")
    _check_age(stamp, query.get("X-Amz-Expires", ""), longest_seconds)
    signature = query.pop("X-Amz-Signature", "")
    for key in keys:
        wanted_id, colon, secret = key.partition(":")
        if colon and wanted_id != scope[0]:
            continue
        expected = _signature(request, query, scope, stamp, secret if colon else key)
        if hmac.compare_digest(expected, signature):
            return key
    raise WrongKey("the signature does not match: check the secret access key and the signing method")


def signed_in_headers_by(request: web.Request, body: bytes, keys: Iterable[str], service: str) -> str:
    """The one of *keys* that a request's Authorization header is signed with. Raises `Unsigned`."""
    algorithm, _, rest = request.headers.get("Authorization", "").partition(" ")
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    if algorithm != "AWS4-HMAC-SHA256":
        raise Unsigned("the request is not signed with AWS4-HMAC-SHA256")
    scope, stamp = parts.get("Credential", "").split("/"), request.headers.get("X-Amz-Date", "")
    if len(scope) != 5 or scope[1] != stamp[:8] or scope[3:] != [service, "aws4_request"]:
        raise Unsigned(f"the credential is not scoped ID/{stamp[:8]}/REGION/{service}/aws4_request")
    signed = parts.get("SignedHeaders", "").split(";")
    if not {"host", "x-amz-date"} <= set(signed) or not all(name in request.headers for name in signed):
        raise Unsigned("the headers host and x-amz-date must be signed, and all that are must be sent")
    _check_age(stamp, "300", 300)
    digest = request.headers.get("X-Amz-Content-SHA256", hashlib.sha256(body).hexdigest())
    if digest not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
        raise Unsigned("X-Amz-Content-SHA256 is not the hash of the body")
    for key in keys:
        wanted_id, colon, secret = key.partition(":")
        if colon and wanted_id != scope[0]:
            continue
        credentials = require("botocore.credentials", "aws").Credentials(scope[0], secret if colon else key)
        auth = require("botocore.auth", "aws")
        signer = (auth.S3SigV4Auth if service == "s3" else auth.SigV4Auth)(credentials, service, scope[2])
        arrived = require("botocore.awsrequest", "aws").AWSRequest(
            method=request.method,
            url=f"https://{request.host}{request.raw_path}",
            headers={name: request.headers[name] for name in signed},
            data=body,
        )
        arrived.context["timestamp"] = stamp
        expected = signer.signature(signer.string_to_sign(arrived, signer.canonical_request(arrived)), arrived)
        if hmac.compare_digest(expected, parts.get("Signature", "")):
            return key
    raise Unsigned("the signature does not match: check the secret access key and the signing method")


def _check_age(stamp: str, expires: str, longest_seconds: int) -> None:
    try:
        begin = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        seconds = int(expires)
    except ValueError:
        raise Unsigned("X-Amz-Date or X-Amz-Expires is missing or malformed") from None
    if not 1 <= seconds <= longest_seconds:
        raise Unsigned(f"X-Amz-Expires must be from 1 to {longest_seconds}")
    now = datetime.now(timezone.utc)
    if not begin - _SKEW <= now <= begin + timedelta(seconds=seconds):
        raise Unsigned("the signature has expired, or is not valid yet")


def _signature(request: web.Request, query: dict[str, str], scope: list[str], stamp: str, secret: str) -> str:
    """What botocore computes for what arrived, with *secret*."""
    credentials = require("botocore.credentials", "aws").Credentials(scope[0], secret)
    signer = require("botocore.auth", "aws").SigV4Auth(credentials, scope[3], scope[2])
    arrived = require("botocore.awsrequest", "aws").AWSRequest(
        method=request.method,
        url=f"https://{request.host}{urlsplit(request.raw_path).path}?"
        + "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query.items()),
        headers={name: request.headers[name] for name in query["X-Amz-SignedHeaders"].split(";")},
    )
    arrived.context["timestamp"] = stamp
    signature: str = signer.signature(signer.string_to_sign(arrived, signer.canonical_request(arrived)), arrived)
    return signature
