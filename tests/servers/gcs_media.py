"""How the GCS server of the tests takes and gives an object's bytes, the same in both of its APIs."""

import re
import zlib
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from typing import Any

from servers.gcs_objects import ApiError, Content, GcsObject, Hashes, invalid
from servers.http_server import PIECE_BYTES, Body, Reply


def received(body: Body) -> Content:
    """A request's whole body."""
    content = Content()
    for piece in body.pieces():
        content.append(piece)
    return content


def hashes_of(headers: Any) -> Hashes:
    """``x-goog-hash`` (one header or several, docs/xml-api/reference-headers#xgooghash) and ``Content-MD5``."""
    given = ",".join(headers.get_all("X-Goog-Hash") or [])
    named = dict(each.strip().split("=", 1) for each in given.split(",") if "=" in each)
    unknown = set(named) - {"md5", "crc32c"}
    if unknown:
        raise invalid(f"Invalid X-Goog-Hash header: {', '.join(sorted(unknown))}")
    return Hashes(named.get("md5") or headers.get("Content-MD5"), named.get("crc32c"))


def download(found: GcsObject, headers: Any, *, etag: str) -> Reply:
    """
    The content, or a range of it (docs/xml-api/reference-headers#range: one range, else all). An object
    with ``Content-Encoding: gzip`` goes out as stored to those who accept gzip, else decompressed and whole,
    whatever range was asked for (docs/transcoding#decompressive_transcoding).
    """
    shown = _described(found, etag)
    stored = found.fields.get("contentEncoding")
    no_transform = "no-transform" in found.fields.get("cacheControl", "")
    accepts = "gzip" in (headers.get("Accept-Encoding") or "").lower()
    if stored == "gzip" and not accepts and not no_transform:
        shown += [("Warning", "214 UploadServer gunzipped"), ("Vary", "Accept-Encoding")]
        return Reply(200, shown, _gunzipped(found.content))
    if stored:
        shown.append(("Content-Encoding", stored))
    size = found.content.size_bytes
    window = _window(headers.get("Range"), size)
    if window is None:
        return Reply(200, [*shown, ("Accept-Ranges", "bytes")], _read(found.content, 0, size), size)
    first, last = window
    shown.append(("Content-Range", f"bytes {first}-{last}/{size}"))
    length = last - first + 1
    return Reply(206, shown, _read(found.content, first, length), length)


def _described(found: GcsObject, etag: str) -> list[tuple[str, str]]:
    """docs/xml-api/get-object-download: the headers of an object."""
    fields = found.fields
    hashes = [f"crc32c={found.content.crc32c}", *([f"md5={found.md5}"] if found.md5 else [])]
    headers = {
        "Content-Type": fields.get("contentType") or "application/octet-stream",
        "ETag": etag,
        "Last-Modified": formatdate(found.updated_seconds or found.created_seconds, usegmt=True),
        "x-goog-generation": str(found.generation),
        "x-goog-metageneration": str(found.metageneration),
        "x-goog-storage-class": fields.get("storageClass") or "STANDARD",
        "x-goog-stored-content-encoding": fields.get("contentEncoding") or "identity",
        "x-goog-stored-content-length": str(found.content.size_bytes),
        "Cache-Control": fields.get("cacheControl"),
        "Content-Disposition": fields.get("contentDisposition"),
        "Content-Language": fields.get("contentLanguage"),
        "x-goog-custom-time": fields.get("customTime"),
        "x-goog-component-count": str(found.components) if found.components else None,
    }
    metadata: Mapping[str, str] = fields.get("metadata") or {}
    return [
        *((name, value) for name, value in headers.items() if value),
        *(("x-goog-hash", value) for value in hashes),
        *(
            (f"x-goog-meta-{name}", value.encode().decode("latin-1"))
            for name, value in metadata.items()
            if re.fullmatch(
                r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII
            )  # no other name fits in a header
        ),
    ]


def _window(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte; ``None`` for the whole. What isn't one range is passed over (RFC 9110, 14.2)."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if not match or match[1] == match[2] == "":
        return None
    if match[1] == "":
        first, last = max(size - int(match[2]), 0), size - 1
    else:
        first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
        if match[2] and int(match[2]) < int(match[1]):
            return None
    if first >= size or match.groups() == ("", "0"):
        raise ApiError(
            416,
            "requestedRangeNotSatisfiable",
            "InvalidRange",
            "The requested range cannot be satisfied.",
            Content_Range=f"bytes */{size}",
        )
    return first, last


def _read(content: Content, first: int, length: int) -> Iterator[bytes]:
    for at in range(first, first + length, PIECE_BYTES):
        yield content.read(at, min(PIECE_BYTES, first + length - at))


def _gunzipped(content: Content) -> Iterator[bytes]:
    inflate = zlib.decompressobj(wbits=31)
    for piece in _read(content, 0, content.size_bytes):
        if data := inflate.decompress(piece):
            yield data
