"""Whether the bytes that came are those that the store took: by the checksum that it tells of them."""

import errno
import os
import threading
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from initializer.manifests import Manifests
from lighterman.checksums import CRC32C, Sum, checksum, joined_crc32c, new_sum
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
        self.manifests = Manifests(store, attempts)
        """What manifests say comes before what the listing says: their sums can be joined."""

    def expected(self, key: Key, listed: Checksum | None) -> Checksum | None:
        """What the content must add up to, where a manifest or the listing says it."""
        return self.manifests.checksum_of(key) or (listed if self._are_told else None)

    def are_meant(self, key: Key) -> bool:
        """Whether the checksum of ``key`` is one to stand by. One request, where no manifest says it."""
        if self.manifests.checksum_of(key) is not None:
            return True
        told = self._attempts.call(f"stat {key}", lambda: self._store.stat(key)).checksum
        if told is None:
            self._are_told = False
        return told is not None


class Sums(Protocol):
    """What a file adds up to whose ranges come in any order."""

    def of_range(self) -> Sum | None:
        """Takes a range's bytes as they come; ``None`` where they are added up later."""
        ...

    def keep(self, index: int, total: Sum | None) -> None:
        """A range is there, and so is what ``of_range`` gave for it."""
        ...

    def checksum(self) -> Checksum:
        """Of the whole file; every range is there. ``OSError``."""
        ...


class Ranges(NamedTuple):
    """A file in ranges; ``done`` has a byte for each, which isn't zero once it is there."""

    descriptor: int
    size_bytes: int
    range_bytes: int
    done: bytearray

    def pieces(self, index: int) -> Iterator[memoryview]:
        """What the file has of a range, a piece at a time, each valid until the next. ``OSError``."""
        view = memoryview(bytearray(_CHUNK_BYTES))
        at = index * self.range_bytes
        end = min(self.size_bytes, at + self.range_bytes)
        while at < end:
            count = os.preadv(self.descriptor, [view[: end - at]], at)
            if not count:
                raise OSError(errno.EIO, "the file is shorter than what was written to it")
            yield view[:count]
            at += count


def sums_of(algorithm: str, ranges: Ranges) -> Sums:
    """By ``crc32c``, whose sums of ranges can be joined, or ``md5``, which has to see all bytes in order."""
    return _Joined(ranges) if algorithm == CRC32C else _InOrder(algorithm, ranges)


class _Joined:
    """Each range is added up while it comes; one that an earlier run brought is read again, at the end."""

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges
        self._sums: dict[int, int] = {}

    def of_range(self) -> Sum:
        return new_sum(CRC32C)

    def keep(self, index: int, total: Sum | None) -> None:
        if total is not None:
            self._sums[index] = int(total.hexdigest(), 16)

    def checksum(self) -> Checksum:
        ranges, joined = self._ranges, 0
        for index in range(len(ranges.done)):
            value = self._sums.get(index)
            if value is None:
                total = new_sum(CRC32C)
                for piece in ranges.pieces(index):
                    total.update(piece)
                value = int(total.hexdigest(), 16)
            left_bytes = ranges.size_bytes - index * ranges.range_bytes
            joined = joined_crc32c(joined, value, min(ranges.range_bytes, left_bytes))
        return checksum(CRC32C, f"{joined:08x}")


class _InOrder:
    """Added up from the file as far as it is there without a gap."""

    def __init__(self, algorithm: str, ranges: Ranges) -> None:
        self._ranges = ranges
        self._next = 0
        self._algorithm = algorithm
        self._sum = new_sum(algorithm)
        self._turn = threading.Lock()

    def of_range(self) -> None:
        """What comes is read from the file again, when it is its turn."""

    def keep(self, index: int, total: Sum | None) -> None:  # noqa: ARG002  # as in Sums
        if self._turn.acquire(blocking=False):  # else another thread is at it
            try:
                self._add_on()
            finally:
                self._turn.release()

    def checksum(self) -> Checksum:
        with self._turn:
            self._add_on()
            return checksum(self._algorithm, self._sum.hexdigest())

    def _add_on(self) -> None:
        done = self._ranges.done
        while self._next < len(done) and done[self._next]:
            for piece in self._ranges.pieces(self._next):
                self._sum.update(piece)
            self._next += 1


def untrusted(key: Key) -> UntrustedDataError:
    """The bytes weren't those that the store's checksum stands for, twice."""
    return UntrustedDataError(
        f"{key!r} came twice with other bytes than its checksum tells",
        hint="something between the store and here changes content, or the object is damaged",
        key=key,
    )
