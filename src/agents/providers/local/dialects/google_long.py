"""Google's long recordings: objects in Cloud Storage, and operations that recognise them.

``POST /upload/storage/v1/b/BUCKET/o`` (media and multipart), ``DELETE``, ``longrunningrecognize`` of v1,
``batchRecognize`` of v2 and their operations. An operation is worked on when it is asked about for the second
time, so that nothing runs while nobody waits for it.
"""

from __future__ import annotations

import asyncio
import json
import math
import secrets
from collections.abc import Iterable
from email.parser import BytesParser
from typing import Any

from aiohttp import web

from .base import Handler, RequestFailed, Services
from .google_base import GoogleDialect, checked, duration, json_object
from .google_speech import GoogleSpeechV1, GoogleSpeechV2

__all__ = ["GoogleLong"]

_MOST_OPERATIONS = 64
_TYPE = "type.googleapis.com/google.cloud.speech.{}"

_Version = GoogleSpeechV1 | GoogleSpeechV2


class _Operation:
    """One long recognition: what to do, and what came of it."""

    def __init__(
        self, name: str, version: GoogleSpeechV1 | GoogleSpeechV2, config: dict[str, Any], uri: str
    ) -> None:
        self.name = name
        self.version = version
        self.config = config
        self.uri = uri
        self.asked = 0
        self.done: dict[str, Any] | None = None
        self.lock = asyncio.Lock()


class GoogleLong(GoogleDialect):
    """Buckets and operations, in memory."""

    name = "google-long"

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._v1, self._v2 = GoogleSpeechV1(services), GoogleSpeechV2(services)
        self._objects: dict[str, bytes] = {}
        self._operations: dict[str, _Operation] = {}

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        recognizer = r"/v2/projects/{project}/locations/{location}/recognizers/{recognizer:[a-z0-9_-]+}"
        return [
            ("POST", "/upload/storage/v1/b/{bucket}/o", self._upload),
            ("GET", "/storage/v1/b/{bucket}/o", self._list),
            ("DELETE", "/storage/v1/b/{bucket}/o/{object:.+}", self._delete),
            ("POST", "/v1/speech:longrunningrecognize", self._submit_v1),
            ("POST", f"{recognizer}:batchRecognize", self._submit_v2),
            ("GET", "/v1/operations/{name:.+}", self._poll),
            ("GET", "/v2/{name:projects/.+/operations/.+}", self._poll),
        ]

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        self._check_token(request)
        data, name = await request.read(), request.query.get("name", "")
        if request.query.get("uploadType") == "multipart":
            name, data = await asyncio.to_thread(_parts, request.headers.get("Content-Type", ""), data)
        elif request.query.get("uploadType") != "media":
            raise RequestFailed(400, "uploadType: this server takes media and multipart")
        if not name:
            raise RequestFailed(400, "Required parameter: name")
        held = sum(map(len, self._objects.values()))
        if held + len(data) > 4 * self.services.options.max_body_bytes:
            raise RequestFailed(429, "the bucket is full; delete some objects")
        bucket = request.match_info["bucket"]
        self._objects[f"gs://{bucket}/{name}"] = data
        return web.json_response(
            {"kind": "storage#object", "name": name, "bucket": bucket, "size": str(len(data))}
        )

    async def _list(self, request: web.Request) -> web.StreamResponse:
        self._check_token(request)
        prefix = f"gs://{request.match_info['bucket']}/"
        names = [uri[len(prefix) :] for uri in self._objects if uri.startswith(prefix)]
        return web.json_response({"kind": "storage#objects", "items": [{"name": name} for name in names]})

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        self._check_token(request)
        uri = f"gs://{request.match_info['bucket']}/{request.match_info['object']}"
        if self._objects.pop(uri, None) is None:
            raise RequestFailed(404, f"No such object: {uri[5:]}")
        return web.Response(status=204)

    @staticmethod
    def _check_token(request: web.Request) -> None:
        """Storage takes no API keys for what is not public."""
        if not request.headers.get("Authorization"):
            raise RequestFailed(401, "Anonymous caller does not have storage.objects access to the bucket.")

    async def _submit_v1(self, request: web.Request) -> web.StreamResponse:
        body = checked(
            await json_object(request), {"config": dict, "audio": dict, "outputConfig": dict}, "request"
        )
        audio = checked(body.get("audio", {}), {"content": str, "uri": str}, "audio")
        if "uri" not in audio:
            raise RequestFailed(400, "Inline audio exceeds duration limit. Please use a GCS URI.")
        return self._submit(str(secrets.randbits(63)), self._v1, body.get("config", {}), audio["uri"])

    async def _submit_v2(self, request: web.Request) -> web.StreamResponse:
        known = {
            "recognizer": str,
            "config": dict,
            "configMask": str,
            "files": list,
            "recognitionOutputConfig": {"inlineResponseConfig": {}},
            "processingStrategy": (str, int),
        }
        body = checked(await json_object(request), known, "request")
        files = [checked(file, {"uri": str}, "files") for file in body.get("files", [])]
        if len(files) != 1 or "recognitionOutputConfig" not in body:
            raise RequestFailed(400, "this server takes one file, and answers inline")
        project, location = request.match_info["project"], request.match_info["location"]
        name = f"projects/{project}/locations/{location}/operations/{secrets.token_hex(8)}"
        return self._submit(name, self._v2, body.get("config", {}), files[0].get("uri", ""))

    def _submit(self, name: str, version: _Version, config: dict[str, Any], uri: str) -> web.Response:
        while len(self._operations) >= _MOST_OPERATIONS:
            del self._operations[next(iter(self._operations))]
        self._operations[name] = _Operation(name, version, version.checked_config(config), uri)
        return web.json_response({"name": name})

    async def _poll(self, request: web.Request) -> web.StreamResponse:
        operation = self._operations.get(request.match_info["name"])
        if operation is None:
            raise RequestFailed(404, f"Operation not found: {request.match_info['name']}")
        operation.asked += 1
        if operation.asked < 2:
            kind = "v1.LongRunningRecognizeMetadata" if operation.version is self._v1 else "v2.OperationMetadata"
            metadata = {"@type": _TYPE.format(kind), "progressPercent": 1}
            return web.json_response({"name": operation.name, "metadata": metadata})
        async with operation.lock:
            if operation.done is None:
                operation.done = await self._work(operation)
        return web.json_response({"name": operation.name, "done": True, **operation.done})

    async def _work(self, operation: _Operation) -> dict[str, Any]:
        """The ``response`` or the ``error`` of an operation."""
        try:
            data = self._objects.get(operation.uri)
            if data is None:
                raise RequestFailed(404, f"Requested entity was not found: {operation.uri}")
            transcript = await operation.version.hear(operation.config, data)
        except RequestFailed as failure:
            error = {"code": 5 if failure.status == 404 else 3, "message": failure.message}
            if operation.version is self._v1:
                return {"error": error}
            return _batch_response(operation.uri, {"error": error})
        reply = operation.version.reply(operation.config, transcript)
        if operation.version is self._v1:
            return {"response": {"@type": _TYPE.format("v1.LongRunningRecognizeResponse"), **reply}}
        file = {
            "inlineResult": {"transcript": {"results": reply.get("results", [])}},
            "metadata": reply["metadata"],
        }
        return _batch_response(operation.uri, file, totalBilledDuration=duration(math.ceil(transcript.duration)))


def _batch_response(uri: str, file: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The outcome of version 2, where a file's error stands beside the results of others."""
    return {"response": {"@type": _TYPE.format("v2.BatchRecognizeResponse"), "results": {uri: file}, **fields}}


def _parts(content_type: str, body: bytes) -> tuple[str, bytes]:
    """Name and data of a multipart upload: JSON, then the object."""
    message = BytesParser().parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    parts: Any = message.get_payload()
    if not isinstance(parts, list) or len(parts) != 2:
        raise RequestFailed(400, "a multipart upload has two parts")
    described, data = (part.get_payload(decode=True) for part in parts)
    return str(json.loads(described).get("name", "")), data
