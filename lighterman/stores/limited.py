"""A store whose bytes keep to a rate: what it reads comes in slices, what it writes waits for its turn."""

import threading
from collections.abc import Iterator

from lighterman.errors import DeadlineError
from lighterman.stores.contract import (
    Attributes,
    Digest,
    ETag,
    Key,
    Listed,
    OpenUpload,
    Part,
    Span,
    Stat,
    Store,
    Window,
)
from lighterman.transfer.limit import Limiter


def limited(store: Store, limiter: Limiter | None, stop: threading.Event | None = None) -> Store:
    """The store, kept to the limiter's rate where there is one."""
    return LimitedStore(store, limiter, stop) if limiter else store


class LimitedStore:
    """
    The store, with every byte of content taken from the limiter before it is asked for, or sent. A
    ranged read is made of requests of at most ``limiter.slice_bytes``, one after another and each pinned to the
    ETag; a write or a part goes in one piece, after the wait for its whole size. Listings and other small
    answers aren't counted. ``DeadlineError`` once ``stop`` is set while something waits.
    """

    def __init__(self, store: Store, limiter: Limiter, stop: threading.Event | None = None) -> None:
        self._store = store
        self._limiter = limiter
        self._stop = stop
        self.connection = store.connection
        self.prefix = store.prefix
        self.destination = store.destination
        self.limits = store.limits
        self.lists_after = store.lists_after
        self.copies_parts = store.copies_parts
        self.small_write_bytes = store.small_write_bytes
        self.call_memory_bytes = store.call_memory_bytes

    def pages(self, prefix: str, *, after: str = "") -> Iterator[list[Listed]]:
        return self._store.pages(prefix, after=after)

    def stat(self, key: Key) -> Stat:
        return self._store.stat(key)

    def read_into(
        self,
        key: Key,
        window: Window,
        *,
        at: int,
        etag: ETag,
        digest: Digest | None = None,
    ) -> Attributes:
        done, slice_bytes = 0, self._limiter.slice_bytes
        while True:
            size_bytes = min(slice_bytes, window.size_bytes - done)
            piece = Window(window.descriptor, window.start + done, size_bytes)
            self._wait(size_bytes)
            attributes = self._store.read_into(key, piece, at=at + done, etag=etag, digest=digest)
            done += size_bytes
            if done >= window.size_bytes:
                return attributes

    def straight(self) -> None:
        """Over nothing but ``read_into``: whoever read past it would read past the limit."""

    def write(
        self,
        key: Key,
        window: Window,
        attributes: Attributes,
        *,
        only_if_absent: bool = False,
        replacing: ETag | None = None,
    ) -> ETag:
        self._wait(window.size_bytes)
        return self._store.write(
            key, window, attributes, only_if_absent=only_if_absent, replacing=replacing
        )

    def copy(
        self,
        source: Key,
        etag: ETag,
        target: Key,
        attributes: Attributes,
        *,
        only_if_absent: bool = False,
        replacing: ETag | None = None,
    ) -> ETag:
        return self._store.copy(
            source, etag, target, attributes, only_if_absent=only_if_absent, replacing=replacing
        )

    def delete(self, key: Key) -> None:
        self._store.delete(key)

    def begin(
        self,
        key: Key,
        attributes: Attributes,
        *,
        part_bytes: int,
        only_if_absent: bool = False,
        replacing: ETag | None = None,
    ) -> str:
        return self._store.begin(
            key,
            attributes,
            part_bytes=part_bytes,
            only_if_absent=only_if_absent,
            replacing=replacing,
        )

    def send_part(self, key: Key, upload_id: str, number: int, window: Window) -> Part:
        self._wait(window.size_bytes)
        return self._store.send_part(key, upload_id, number, window)

    def sent_parts(self, key: Key, upload_id: str) -> list[Part]:
        return self._store.sent_parts(key, upload_id)

    def copy_part(
        self, source: Key, etag: ETag, key: Key, upload_id: str, number: int, span: Span
    ) -> Part:
        return self._store.copy_part(source, etag, key, upload_id, number, span)

    def finish(
        self,
        key: Key,
        upload_id: str,
        parts: list[Part],
        *,
        only_if_absent: bool = False,
        replacing: ETag | None = None,
    ) -> ETag:
        return self._store.finish(
            key, upload_id, parts, only_if_absent=only_if_absent, replacing=replacing
        )

    def abandon(self, key: Key, upload_id: str) -> None:
        self._store.abandon(key, upload_id)

    def open_uploads(self, prefix: str) -> list[OpenUpload]:
        return self._store.open_uploads(prefix)

    def made_of(self, key: Key, parts: list[Part]) -> ETag | None:
        return self._store.made_of(key, parts)

    def part_etag(self, window: Window) -> ETag | None:
        return self._store.part_etag(window)

    def has_content(self, listed: Listed, window: Window, part_bytes: int) -> bool:
        return self._store.has_content(listed, window, part_bytes)

    def same_content(self, key: Key, etag: ETag, window: Window, part_bytes: int) -> bool:
        return self._store.same_content(key, etag, window, part_bytes)

    def close(self) -> None:
        self._store.close()

    def _wait(self, size_bytes: int) -> None:
        if size_bytes and not self._limiter.wait_for(size_bytes, self._stop):
            raise DeadlineError("told to stop while a transfer waited for its share of --bwlimit")
