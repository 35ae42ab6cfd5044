"""What a command did, counted by all threads: the source of its report, progress and metrics."""

import threading
from collections import Counter

import msgspec

FAILED_KEYS_KEPT = 10
"""A report names the first few failures and counts the rest."""


class Failure(msgspec.Struct, frozen=True):
    """One file that could not be brought to its place."""

    key: str
    kind: str
    message: str


class Sharded(msgspec.Struct, frozen=True):
    """One pod's part of an entry, and the listing that all pods must have seen alike."""

    connection: str
    index: int
    count: int
    listed_files: int
    """Of all shards together."""
    listed_bytes: int
    listing_digest: str
    """Of every key, size and ETag, in the order of their places: equal for pods that saw the same."""


class Totals(msgspec.Struct, frozen=True):
    """One consistent look at a tally."""

    planned_files: int
    planned_bytes: int
    files: int
    bytes: int
    skipped: int
    unverified: int
    retries: int
    failures: int
    arriving: int = 0
    """Bytes of ranges that are on their way: not carried yet."""
    cached: int = 0
    moved: int = 0
    """Bytes that arrived, those of attempts that came to nothing included: it never goes back."""


class Tally:
    """Thread-safe counters. ``bytes`` counts what was carried, ``skipped`` what was there already."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._counts: Counter[str] = Counter()
        self._failed: dict[str, Failure] = {}
        self._is_closed = False
        self._sharded: list[Sharded] = []

    def close(self) -> None:
        """What happens from now on is no part of it: threads may end a request after the command's end."""
        with self._lock:
            self._is_closed = True

    def _add(self, **amounts: int) -> None:
        with self._lock:
            if not self._is_closed:
                for name, amount in amounts.items():
                    self._counts[name] += amount

    def planned(self, files: int, size_bytes: int) -> None:
        """So much is to be done, beside what was planned before."""
        self._add(planned_files=files, planned_bytes=size_bytes)
        self.wake()

    def carried(self, size_bytes: int) -> None:
        """So many bytes of a file arrived; the file itself may not be done yet."""
        self._add(bytes=size_bytes, moved=max(0, size_bytes))

    def arriving(self, size_bytes: int) -> None:
        """So many bytes more (or less) are under way."""
        self._add(arriving=size_bytes)

    def done(self, files: int = 1) -> None:
        """Files are at their place."""
        self._add(files=files)

    def skip(self, files: int = 1) -> None:
        """Files that were there already."""
        self._add(skipped=files)

    def unverified_file(self) -> None:
        """One file came without a checksum of the store to compare with."""
        self._add(unverified=1)

    def cached_file(self) -> None:
        """One file came from a cache instead of its store."""
        self._add(cached=1)

    def retried(self) -> None:
        """One attempt is made again."""
        self._add(retries=1)

    def failed(self, key: str, kind: str, message: str) -> None:
        """A file failed; the latest word on it counts, once."""
        with self._lock:
            self._failed[key] = Failure(key, kind, message)

    def mended(self, key: str) -> None:
        """A file that had failed is done after all."""
        with self._lock:
            self._failed.pop(key, None)

    def shards(self, parts: list[Sharded]) -> None:
        """Only these parts of what is declared are this pod's."""
        with self._lock:
            self._sharded = list(parts)

    def sharded(self) -> list[Sharded]:
        """What ``shards`` said."""
        with self._lock:
            return list(self._sharded)

    def failures(self) -> list[Failure]:
        """The first failures, in the order in which they came."""
        with self._lock:
            return list(self._failed.values())[:FAILED_KEYS_KEPT]

    def wait_until_busy(self, over: threading.Event) -> bool:
        """Wait until something planned isn't done yet; false as soon as ``over`` is set (see ``wake``)."""
        with self._lock:
            self._lock.wait_for(lambda: over.is_set() or self._busy())
            return not over.is_set()

    def wake(self) -> None:
        """Have whoever waits look again."""
        with self._lock:
            self._lock.notify_all()

    def _busy(self) -> bool:
        return (
            self._counts["planned_files"] > self._counts["files"] + len(self._failed)
            or self._counts["planned_bytes"] > self._counts["bytes"]
        )

    def totals(self) -> Totals:
        """All counters at one moment."""
        with self._lock:
            names = (
                "planned_files",
                "planned_bytes",
                "files",
                "bytes",
                "skipped",
                "unverified",
                "retries",
                "arriving",
                "cached",
                "moved",
            )
            return Totals(
                **{name: self._counts[name] for name in names}, failures=len(self._failed)
            )
