"""Whether the bytes that came are those that the store took: by the MD5 that an ETag may be."""

import errno
import hashlib
import os
import re
import threading
from typing import Final

from lighterman.errors import UntrustedDataError
from lighterman.stores.contract import Key, Store
from lighterman.transfer.retry import Attempts

_MD5_ETAG: Final = re.compile("[0-9a-f]{32}")
"""https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html: an object that was put whole."""
_CHUNK_BYTES: Final = 256 * 1024


def md5() -> "hashlib._Hash":
    """A digest that compares, and protects nothing."""
    return hashlib.md5(usedforsecurity=False)


class Checksums:
    """What one store's ETags are worth. A store that says that they are no MD5 isn't asked again."""

    def __init__(self, store: Store, attempts: Attempts) -> None:
        self._store = store
        self._attempts = attempts
        self._are_told = True

    def expected(self, etag: str) -> str | None:
        """The MD5 that the content must have; ``None`` where the ETag doesn't tell."""
        return etag if self._are_told and _MD5_ETAG.fullmatch(etag) else None

    def is_md5(self, key: Key) -> bool:
        """Whether the store stands by it that the ETag of ``key`` is the MD5. One request."""
        told = self._attempts.call(f"stat {key}", lambda: self._store.stat(key)).md5_etag
        if not told:
            self._are_told = False
        return told


class RangesDigest:
    """The MD5 of a file whose ranges come in any order: hashed as far as it is there without a gap."""

    def __init__(self, descriptor: int, size_bytes: int, range_bytes: int, done: bytearray) -> None:
        self._descriptor = descriptor
        self._size_bytes = size_bytes
        self._range_bytes = range_bytes
        self._done = done
        self._next = 0
        self._digest = md5()
        self._turn = threading.Lock()

    def advance(self) -> None:
        """Hash what became reachable, unless another thread is at it."""
        if self._turn.acquire(blocking=False):
            try:
                self._hash_on()
            finally:
                self._turn.release()

    def hexdigest(self) -> str:
        """The digest of the whole file; every range is there."""
        with self._turn:
            self._hash_on()
            return self._digest.hexdigest()

    def _hash_on(self) -> None:
        buffer = bytearray(_CHUNK_BYTES)
        view = memoryview(buffer)
        while self._next < len(self._done) and self._done[self._next]:
            at = self._next * self._range_bytes
            end = min(self._size_bytes, at + self._range_bytes)
            while at < end:
                count = os.preadv(self._descriptor, [view[: end - at]], at)
                if not count:
                    raise OSError(errno.EIO, "the file is shorter than what was written to it")
                self._digest.update(view[:count])
                at += count
            self._next += 1


def untrusted(key: Key) -> UntrustedDataError:
    """The bytes weren't those that the store's checksum stands for, twice."""
    return UntrustedDataError(
        f"{key!r} came twice with other bytes than its checksum tells",
        hint="something between the store and here changes content, or the object is damaged",
        key=key,
    )
