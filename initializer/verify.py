"""Whether the bytes that came are those that the store took: by the checksum that it tells of them."""

import errno
import os
import threading
from typing import Final

from lighterman.checksums import checksum, new_sum
from lighterman.errors import UntrustedDataError
from lighterman.stores.contract import Checksum, Key, Store
from lighterman.transfer.retry import Attempts

_CHUNK_BYTES: Final = 256 * 1024


class Checksums:
    """What the checksums of one store's listings are worth. One that doesn't stand by them isn't asked again."""

    def __init__(self, store: Store, attempts: Attempts) -> None:
        self._store = store
        self._attempts = attempts
        self._are_told = True

    def expected(self, listed: Checksum | None) -> Checksum | None:
        """What the content must add up to, by what the listing said; ``None`` where that isn't known."""
        return listed if self._are_told else None

    def are_meant(self, key: Key) -> bool:
        """Whether the store stands by the checksum of ``key``. One request."""
        told = self._attempts.call(f"stat {key}", lambda: self._store.stat(key)).checksum
        if told is None:
            self._are_told = False
        return told is not None


class RangesDigest:
    """The sum of a file whose ranges come in any order: added up as far as it is there without a gap."""

    def __init__(
        self, algorithm: str, descriptor: int, size_bytes: int, range_bytes: int, done: bytearray
    ) -> None:
        self._descriptor = descriptor
        self._size_bytes = size_bytes
        self._range_bytes = range_bytes
        self._done = done
        self._next = 0
        self._algorithm = algorithm
        self._sum = new_sum(algorithm)
        self._turn = threading.Lock()

    def advance(self) -> None:
        """Add what became reachable, unless another thread is at it."""
        if self._turn.acquire(blocking=False):
            try:
                self._add_on()
            finally:
                self._turn.release()

    def checksum(self) -> Checksum:
        """Of the whole file; every range is there."""
        with self._turn:
            self._add_on()
            return checksum(self._algorithm, self._sum.hexdigest())

    def _add_on(self) -> None:
        buffer = bytearray(_CHUNK_BYTES)
        view = memoryview(buffer)
        while self._next < len(self._done) and self._done[self._next]:
            at = self._next * self._range_bytes
            end = min(self._size_bytes, at + self._range_bytes)
            while at < end:
                count = os.preadv(self._descriptor, [view[: end - at]], at)
                if not count:
                    raise OSError(errno.EIO, "the file is shorter than what was written to it")
                self._sum.update(view[:count])
                at += count
            self._next += 1


def untrusted(key: Key) -> UntrustedDataError:
    """The bytes weren't those that the store's checksum stands for, twice."""
    return UntrustedDataError(
        f"{key!r} came twice with other bytes than its checksum tells",
        hint="something between the store and here changes content, or the object is damaged",
        key=key,
    )
