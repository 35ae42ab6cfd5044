"""Straight requests to a bucket: their bytes, and what an answer's head tells."""

import time
from collections.abc import Callable
from typing import Final

from lighterman.errors import LightermanError
from lighterman.stores.contract import Attributes, ETag, Key
from lighterman.stores.failures import is_same
from lighterman.stores.heads import Head
from lighterman.stores.keys import quoted
from lighterman.stores.s3 import attributes as metadata
from lighterman.stores.s3 import failures
from lighterman.stores.s3.configuration import S3Settings
from lighterman.stores.s3.kwargs import write_fields
from lighterman.stores.s3.signers import Access, Kind, Signers
from lighterman.stores.s3.signing import UNSIGNED
from lighterman.stores.straight import Range, Way, way_to

_MODE: Final = f"x-amz-meta-{metadata.MODE}"
_MTIME: Final = f"x-amz-meta-{metadata.MTIME}"
_CRC32: Final = "x-amz-checksum-crc32"


class S3Straight:
    """Straight requests to one bucket. ``current`` tells how it is logged in now."""

    def __init__(self, way: Way, settings: S3Settings, current: Callable[[], Access]) -> None:
        self.way = way
        self._place = settings.place
        self._signers = Signers(settings, current)
        self._root = self._signers.root
        self._start = f"HTTP/1.1\r\nhost: {self._signers.host}\r\n"
        self._end = f"user-agent: {settings.network.user_agent}\r\n\r\n"
        payer = (("x-amz-request-payer", "requester"),) if settings.requester_pays else ()
        self._get = Kind("GET", payer)
        of_writes = write_fields(settings.write_kwargs, settings.storage_class)
        self._put = None
        self._part = None
        if of_writes is not None:
            given = ("content-type", _MODE, _MTIME)
            self._put = Kind("PUT", (*payer, *of_writes.items()), given, UNSIGNED)
            self._part = Kind("PUT", payer, (), UNSIGNED)
        summed = (*payer, ("x-amz-sdk-checksum-algorithm", "CRC32"))
        self._summed_part = Kind("PUT", summed, (_CRC32,), UNSIGNED)
        self.sums_parts = settings.checksums == "when_supported"
        """Whether each part is to tell its CRC32."""

    def request(self, key: Key, etag: ETag, part: Range | None = None) -> bytes | None:
        now = time.time()
        if not self._signers.is_here(now):
            return None
        if not etag.isprintable():  # a line break in it would end the header
            return None
        path = f"{self._root}/{quoted(key)}"
        signed = self._signers.fields(self._get, path, now)
        if part is not None:
            signed += f"range: bytes={part.start}-{part.start + part.size_bytes - 1}\r\n"
        return (
            f'GET {path} {self._start}if-match: "{etag}"\r\n{signed}'
            f"accept-encoding: identity\r\n{self._end}"
        ).encode()

    def put(self, key: Key, size_bytes: int, attributes: Attributes) -> bytes | None:
        now = time.time()
        kind, content_type = self._put, attributes.content_type
        if kind is None or not self._signers.is_here(now):
            return None
        if content_type is None or attributes.mode is None or attributes.mtime_ns is None:
            return None
        path = f"{self._root}/{quoted(key)}"
        told = metadata.to_metadata(attributes, key)
        values = (content_type, told[metadata.MODE], told[metadata.MTIME])
        signed = self._signers.fields(kind, path, now, values=values)
        return (
            f"PUT {path} {self._start}content-length: {size_bytes}\r\n{signed}{self._end}"
        ).encode()

    def part(
        self, key: Key, upload_id: str, number: int, size_bytes: int, crc32: str | None
    ) -> bytes | None:
        """
        The head of a PUT of a part, logged in for now; ``None`` where it can't go this way. ``crc32`` is that of its bytes in base64,
        if ``sums_parts``.
        """
        now = time.time()
        if self._part is None or not self._signers.is_here(now):
            return None
        path = f"{self._root}/{quoted(key)}"
        query = f"partNumber={number}&uploadId={quoted(upload_id).replace('/', '%2F')}"
        if crc32 is None:
            signed = self._signers.fields(self._part, path, now, query=query)
        else:
            kind = self._summed_part
            signed = self._signers.fields(kind, path, now, query=query, values=(crc32,))
        return (
            f"PUT {path}?{query} {self._start}content-length: {size_bytes}\r\n{signed}{self._end}"
        ).encode()

    def etag(self, head: Head) -> ETag | None:
        return ETag(head.field(b"etag").strip('"')) or None

    def attributes(self, head: Head) -> Attributes:
        content_type = head.field(b"content-type") or None
        if b"\r\nx-amz-meta-m" not in head.fields:
            return Attributes(content_type)
        names = (metadata.MTIME, metadata.MODE)
        found = {name: head.field(f"x-amz-meta-{name}".encode()) for name in names}
        return metadata.from_metadata(found, content_type)

    def is_of(self, head: Head, etag: ETag) -> bool:
        return is_same(head.field(b"etag"), etag)

    def refusal(self, head: Head, body: bytes, key: Key) -> LightermanError:
        failure = failures.from_answer(head.status, head.mapping(), body)
        return failures.explained(self._place, failure, key)


def straight(settings: S3Settings, current: Callable[[], Access]) -> S3Straight | None:
    """``None`` where only another engine knows how to ask, or how to get there."""
    if settings.customer_key_headers or settings.client_kwargs or settings.config_kwargs:
        return None
    way = way_to(settings.base_url, settings.network)
    return S3Straight(way, settings, current) if way is not None else None
