"""Straight reads of a bucket: the request's bytes, and what an answer's head tells."""

import time
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from lighterman.errors import LightermanError
from lighterman.stores.contract import Attributes, ETag, Key
from lighterman.stores.failures import is_same
from lighterman.stores.heads import Head
from lighterman.stores.keys import quoted
from lighterman.stores.s3 import attributes as metadata
from lighterman.stores.s3 import failures
from lighterman.stores.s3.configuration import S3Settings
from lighterman.stores.s3.login import Keys, Login
from lighterman.stores.s3.signing import Signer
from lighterman.stores.straight import Range, Way, way_to

_LOOK_SECONDS: Final = 1.0
"""How long a login is used before it is looked at again: a mounted secret may have changed."""


class Access(NamedTuple):
    """A bucket's settings and the login to it, as they are for now."""

    settings: S3Settings
    login: Login


class S3Straight:
    """Straight reads of one bucket. ``current`` tells how it is logged in now."""

    def __init__(self, way: Way, settings: S3Settings, current: Callable[[], Access]) -> None:
        self.way = way
        self._current = current
        self._place = settings.place
        url = urlsplit(settings.base_url)
        self._base_url = settings.base_url
        self._host = url.netloc.rpartition("@")[2]
        self._root = url.path
        self._end = (
            f"accept-encoding: identity\r\nuser-agent: {settings.network.user_agent}\r\n\r\n"
        )
        self._more = {"x-amz-request-payer": "requester"} if settings.requester_pays else {}
        self._region = settings.region
        self._keys: Keys | None = None
        self._signer: Signer | None = None
        self._look_at = 0.0
        self._is_elsewhere = False

    def request(self, key: Key, etag: ETag, part: Range | None = None) -> bytes | None:
        now = time.time()
        if not 0 <= self._look_at - now <= _LOOK_SECONDS:
            self._look(now)
        if self._is_elsewhere or not etag.isprintable():  # a line break in it would end the header
            return None
        path = f"{self._root}/{quoted(key)}"
        if self._signer is not None:
            signed = self._signer.fields(path, now)
        else:
            signed = "".join(f"{name}: {value}\r\n" for name, value in self._more.items())
        if part is not None:
            signed += f"range: bytes={part.start}-{part.start + part.size_bytes - 1}\r\n"
        return (
            f'GET {path} HTTP/1.1\r\nhost: {self._host}\r\nif-match: "{etag}"\r\n{signed}{self._end}'
        ).encode()

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

    def _look(self, now: float) -> None:
        access = self._current()
        # A login that was replaced may bring another endpoint or region.
        now_at = (access.settings.base_url, access.settings.region)
        self._is_elsewhere = now_at != (self._base_url, self._region)
        keys = access.login.keys()
        if keys is None:
            self._signer = None
        elif self._signer is None or keys != self._keys:
            self._signer = Signer(self._host, self._region, keys, self._more)
        self._keys = keys
        self._look_at = now + _LOOK_SECONDS


def straight(settings: S3Settings, current: Callable[[], Access]) -> S3Straight | None:
    """``None`` where only another engine knows how to ask, or how to get there."""
    if settings.customer_key_headers or settings.client_kwargs or settings.config_kwargs:
        return None
    way = way_to(settings.base_url, settings.network)
    return S3Straight(way, settings, current) if way is not None else None
