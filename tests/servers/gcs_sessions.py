"""
Resumable uploads of the GCS server of the tests (docs/resumable-uploads, docs/performing-resumable-uploads).
What two requests at once do to one session isn't documented; here bytes count that come first.
"""

import re
from typing import Any, NamedTuple

from servers.gcs_media import hashes_of
from servers.gcs_objects import (
    QUANTUM_BYTES,
    ApiError,
    Catalog,
    Conditions,
    Hashes,
    Session,
    invalid,
)
from servers.http_server import PIECE_BYTES, Call, Reply, json_reply

assert PIECE_BYTES == QUANTUM_BYTES


class _Range(NamedTuple):
    """``Content-Range`` of a request: where its body begins and ends, and the whole size, if told."""

    first: int | None
    size_bytes: int
    total: int | None


class Sessions:
    """Begins sessions, and answers the requests to their URIs."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def begin(
        self,
        call: Call,
        bucket: str,
        name: str,
        fields: dict[str, Any],
        conditions: Conditions,
        hashes: Hashes,
    ) -> Reply:
        told = call.headers.get("X-Upload-Content-Length")
        size_bytes = int(told) if told else None
        session = self._catalog.begin(bucket, name, fields, conditions, hashes, size_bytes)
        there = f"{call.base_url}/upload/storage/v1/b/{bucket}/o"
        uri = f"{there}?uploadType=resumable&upload_id={session.upload_id}"
        return Reply(200, [("Location", uri), ("X-GUploader-UploadID", session.upload_id)])

    def answer(self, call: Call) -> Reply:
        """A PUT of bytes or of a question, or the DELETE that cancels it (499, and 4xx ever after)."""
        session = self._catalog.session(call.query["upload_id"])
        if call.method == "DELETE":
            with session.lock:
                session.cancelled = session.made is None
            return Reply(499)
        if call.method not in {"PUT", "POST"}:
            raise ApiError(405, "invalid", "MethodNotAllowed", "The method is not allowed.")
        if session.made:
            return json_reply(session.made.resource(call.base_url))
        told = _range(call)
        if session.size_bytes is not None and told.total not in {None, session.size_bytes}:
            raise invalid(f"Invalid request. {session.size_bytes} bytes were announced.")
        if told.first is not None:
            self._take(call, session, told)
        if told.total is None:
            return _incomplete(session)
        if told.total < session.content.size_bytes:
            raise invalid(f"Invalid request. {session.content.size_bytes} bytes are there already.")
        if session.content.size_bytes < told.total:
            return _incomplete(session)
        made = self._catalog.finish(session, hashes_of(call.headers))
        return json_reply(made.resource(call.base_url))

    @staticmethod
    def _take(call: Call, session: Session, told: _Range) -> None:
        """
        Bytes that are there already are passed over, a gap is refused (503, as GCS answers it). Of a request
        that isn't the last one, and of one that breaks off, whole multiples of 256 KiB stay.
        """
        first = told.first or 0
        has = session.content.size_bytes
        if first > has:
            raise ApiError(
                503,
                "backendError",
                "ServiceUnavailable",
                f"Invalid request.  According to the Content-Range header, the upload offset is {first}"
                f" byte(s), which exceeds already uploaded size of {has} byte(s).",
            )
        ends = first + told.size_bytes
        last = told.total is not None and ends == told.total
        if not last and told.size_bytes < QUANTUM_BYTES:
            raise invalid(
                "Invalid request.  The number of bytes uploaded is required to be equal or greater than"
                f" {QUANTUM_BYTES}, except for the final request (it's recommended to be the exact multiple"
                f" of {QUANTUM_BYTES}).  The received request contained {told.size_bytes} bytes, which does"
                " not meet this requirement."
            )
        at = first
        for piece in call.body.pieces():
            whole = len(piece) == QUANTUM_BYTES or (last and at + len(piece) == ends)
            if whole:
                session.take(at, piece)
            at += len(piece)
        if at != ends:
            raise invalid(f"Invalid request. Content-Range tells {told.size_bytes} bytes.")


def _incomplete(session: Session) -> Reply:
    """308 with what is there; without a range while that is nothing."""
    has = session.content.size_bytes
    headers = [("X-GUploader-UploadID", session.upload_id)]
    if has:
        headers.append(("Range", f"bytes=0-{has - 1}"))
    return Reply(308, headers)


def _range(call: Call) -> _Range:
    header = call.headers.get("Content-Range")
    if header is None:
        size = int(call.headers.get("Content-Length") or 0)
        return _Range(0, size, size)
    if match := re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", header):
        first, last = int(match[1]), int(match[2])
        total = None if match[3] == "*" else int(match[3])
        if last >= first and (total is None or last < total):
            return _Range(first, last - first + 1, total)
    elif match := re.fullmatch(r"bytes \*/(\d+|\*)", header):
        return _Range(None, 0, None if match[1] == "*" else int(match[1]))
    raise invalid(f"Failed to parse Content-Range header: {header}")
