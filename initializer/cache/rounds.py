"""
A plan carried out by caches and the fetcher together, in rounds: what is cached is copied; of the rest, what no
other process is bringing is fetched; what another brings is looked for again in the next round.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from initializer import place
from initializer.cache.copiers import in_threads
from initializer.cache.node import NodeCache
from initializer.cache.record import Standing, name_of, standing_of
from initializer.cache.tree import Entry
from initializer.fetch import Fetcher
from initializer.plan import Fetch, MakeDirectory
from initializer.spool import Spool
from lighterman.clock import Clock
from lighterman.errors import DeadlineError, LightermanError
from lighterman.stores.contract import Attributes, Checksum
from lighterman.transfer.tally import Tally

COPIERS: Final = 4
"""Threads that copy out of a cache: more only compete for the interpreter and the disk."""
LEAST_PATIENCE_SECONDS: Final = 30.0
PATIENCE_BYTES_PER_SECOND: Final = 10_000_000
"""Whoever is slower than that brings a file for itself alone."""
FIRST_LOOK_SECONDS: Final = 0.05
LONGEST_LOOK_SECONDS: Final = 1.0
_STOPPED: Final = "start it again on the same volume: it goes on from here"


class Cached(NamedTuple):
    """The cache of a store's objects, and how the store calls itself."""

    cache: NodeCache
    destination: str

    def name(self, item: Fetch) -> str:
        """The entry of that object's version."""
        return name_of(self.destination, item.key, item.etag, item.size_bytes)


def patience_seconds(size_bytes: int) -> float:
    """How long nothing may come of what others bring before a file of that size is fetched here too."""
    return LEAST_PATIENCE_SECONDS + size_bytes / PATIENCE_BYTES_PER_SECOND


class Keeping:
    """
    What is fetched goes into its store's cache, and its lease is over. ``caches`` has one for each store, or
    ``None``; ``devices`` are the filesystems that are being filled, where what is still to come must fit.
    """

    def __init__(
        self, caches: Sequence[Cached | None], devices: frozenset[int], tally: Tally
    ) -> None:
        self.caches = caches
        self._devices = devices
        self._tally = tally
        self._leased: dict[str, str] = {}

    def lease(self, cached: Cached, item: Fetch) -> bool:
        """Whether this process brings it; ``keep`` ends that."""
        name = cached.name(item)
        if not cached.cache.lease(name):
            return False
        self._leased[item.path] = name
        return True

    def release(self, cached: Cached, item: Fetch) -> None:
        """It isn't brought here after all."""
        name = self._leased.pop(item.path, None)
        if name is not None:
            cached.cache.release(name)

    def keep(
        self, item: Fetch, descriptor: int, attributes: Attributes, checksum: Checksum | None
    ) -> None:
        """A whole file was fetched, and compared with ``checksum``. Nobody else knows its name yet."""
        cached = self.caches[item.store]
        if cached is None:
            return
        try:
            cached.cache.keep(
                cached.name(item),
                item,
                descriptor,
                attributes,
                checksum,
                reserved_bytes=self._to_come_bytes(cached.cache),
            )
        finally:
            self.release(cached, item)

    def _to_come_bytes(self, cache: NodeCache) -> int:
        if cache.device not in self._devices:
            return 0
        totals = self._tally.totals()
        return max(0, totals.planned_bytes - totals.bytes)


class _Pending:
    """Actions for later, from any thread."""

    def __init__(self, directory: str) -> None:
        self._spool = Spool(directory)
        self._turn = threading.Lock()
        self.count = 0

    def add(self, action: Fetch | MakeDirectory) -> None:
        with self._turn:
            self._spool.add(action)
            self.count += 1

    def drain(self) -> Iterator[Fetch | MakeDirectory]:
        return self._spool.drain()

    def close(self) -> None:
        self._spool.close()


class Rounds:
    """Carries out one plan. ``directory`` is where it may note what is left for later."""

    def __init__(
        self,
        fetcher: Fetcher,
        keeping: Keeping,
        *,
        directory: str,
        tally: Tally,
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self._fetcher = fetcher
        self._keeping = keeping
        self._caches = keeping.caches
        self._directory = directory
        self._tally = tally
        self._clock = clock
        self._stop = stop

    def run(self, actions: Iterator[Fetch | MakeDirectory], files: int, workers: int) -> None:
        """As the fetcher's ``run``."""
        waits = _Waits(self._clock)
        deferred = _Pending(self._directory)
        try:
            while True:
                misses, before = _Pending(self._directory), deferred
                try:
                    self._copy(actions, misses, min(COPIERS, workers))
                    deferred = _Pending(self._directory)
                    wanted = self._to_fetch(misses.drain(), deferred, waits.waited_seconds())
                    self._fetcher.run(wanted, files, workers)
                finally:
                    misses.close()
                    before.close()
                if not deferred.count:
                    return
                if self._clock.wait(waits.next(deferred.count), self._stop):
                    raise _told_to_stop()
                actions = deferred.drain()
        finally:
            deferred.close()

    def _copy(
        self, actions: Iterable[Fetch | MakeDirectory], misses: _Pending, copiers: int
    ) -> None:
        def copy_or_miss(item: Fetch) -> None:
            cached = self._caches[item.store]
            if cached is None or not self._copied(cached, item):
                misses.add(item)

        try:
            is_through = in_threads(
                copy_or_miss,
                self._files(actions, misses),
                copiers,
                tick=self._fetcher.note,
                clock=self._clock,
                stop=self._stop,
            )
        except LightermanError as error:
            if error.key:
                self._tally.failed(error.key, error.kind, error.message)
            raise
        if not is_through:
            raise _told_to_stop()

    def _files(self, actions: Iterable[Fetch | MakeDirectory], misses: _Pending) -> Iterator[Fetch]:
        """Those that a cache may have; the directories before each are made."""
        for action in actions:
            if isinstance(action, MakeDirectory):
                self._fetcher.make_directory(action.path)
            elif self._caches[action.store] is None:
                misses.add(action)
            else:
                yield action

    def _copied(self, cached: Cached, item: Fetch) -> bool:
        entry = cached.cache.find(cached.name(item), item.size_bytes)
        if entry is None:
            return False
        try:
            standing = standing_of(entry.record, self._fetcher.expected(item))
            if standing is Standing.WRONG:
                cached.cache.refuse(entry, "its content had another checksum than the object")
                return False
            verified = standing is Standing.VERIFIED
            if not self._placed(cached.cache, entry, item, verified=verified):
                return False
        finally:
            os.close(entry.descriptor)
        self._tally.carried(item.size_bytes)
        self._tally.cached_file()
        return True

    def _placed(self, cache: NodeCache, entry: Entry, item: Fetch, *, verified: bool) -> bool:
        temporary = place.temporary_of(item.path)
        try:
            descriptor = place.create(temporary)
            try:
                self._fetcher.require_inside(item, descriptor)
                if not cache.copy_out(entry, item, descriptor):
                    place.discard(temporary)
                    return False
                self._fetcher.state(item).forget_half(item.path)
                attributes = entry.record.attributes
                self._fetcher.install(item, temporary, descriptor, attributes, verified=verified)
            finally:
                os.close(descriptor)
        except OSError as error:
            place.discard(temporary)
            raise place.cannot_write(item.path, error, item.size_bytes) from error
        except BaseException:
            place.discard(temporary)
            raise
        return True

    def _to_fetch(
        self,
        misses: Iterable[Fetch | MakeDirectory],
        deferred: _Pending,
        waited_seconds: float,
    ) -> Iterator[Fetch | MakeDirectory]:
        """Never waits: whoever asks for the next one may hold up all who are at work."""
        for item in misses:
            cached = None if isinstance(item, MakeDirectory) else self._caches[item.store]
            if (
                isinstance(item, MakeDirectory)
                or cached is None
                or not cached.cache.takes(item.size_bytes)
            ):
                yield item
            elif not self._keeping.lease(cached, item):
                if waited_seconds < patience_seconds(item.size_bytes):
                    deferred.add(item)
                else:
                    yield item
            elif cached.cache.has(cached.name(item)):  # another brought it since
                self._keeping.release(cached, item)
                deferred.add(item)
            else:
                yield item


class _Waits:
    """How long to wait for what others bring, and since when nothing of it came."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: float | None = None
        self._count: int | None = None
        self._next_seconds = FIRST_LOOK_SECONDS

    def waited_seconds(self) -> float:
        return 0.0 if self._since is None else self._clock.monotonic() - self._since

    def next(self, count: int) -> float:
        """The seconds until another look is worthwhile, with so many that didn't come yet."""
        if self._count is None or count < self._count:
            self._since = self._clock.monotonic()
            self._next_seconds = FIRST_LOOK_SECONDS
        self._count = count
        wait_seconds = self._next_seconds
        self._next_seconds = min(LONGEST_LOOK_SECONDS, 2 * wait_seconds)
        return wait_seconds


def _told_to_stop() -> DeadlineError:
    return DeadlineError("told to stop before everything was fetched", hint=_STOPPED)
