"""One large file, in ranges that come in any order into one temporary file."""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Final

from initializer import place
from initializer.state import Half
from initializer.verify import Ranges, Sums, sums_of, untrusted
from lighterman.checksums import Sum, algorithm_of
from lighterman.errors import SourceChangedError
from lighterman.log import get_logger
from lighterman.stores.contract import Attributes, Window

if TYPE_CHECKING:
    from initializer.crew import Crew, Work
    from initializer.fetch import Fetcher
    from initializer.plan import Fetch

RANGE_BYTES: Final = 8 * 1024 * 1024
"""Files up to this size come in one request, larger ones in ranges of it."""
NOTED_RANGES: Final = 4
"""So many that came are noted at once, whatever the time: a tenth of a second may bring a tenth of all."""
MOST_BEGINNINGS: Final = 5
"""How often an object that changes while it is read, or comes with other bytes, is begun anew."""


class LargeFile:
    """
    From ``begin`` to the file in its place, or to ``give_up``. Many threads bring ranges; whoever brings
    the last one puts the file into its place.
    """

    def __init__(self, item: Fetch, fetcher: Fetcher) -> None:
        self._item = item
        self._fetcher = fetcher
        self._temporary = place.temporary_of(item.path)
        self._lock = threading.Lock()
        self._noting = threading.Lock()
        """Held while the notes are changed: an older word mustn't follow the last one."""
        self._descriptor = -1
        self._crew: Crew | None = None
        self._beginnings = 1
        self._mismatches = 0
        self._noted = self._synced = b""
        """What the notes have of it, and what of that is on the disk."""
        self._reset(b"")

    @property
    def path(self) -> str:
        """Where it goes."""
        return self._item.path

    def begin(self, crew: Crew) -> None:
        """Open the temporary file, the one of a run before if that got somewhere, and offer the ranges."""
        self._crew = crew
        item = self._item
        half = self._fetcher.state(item).half(item.path)
        try:
            if half is not None and self._is_of(half):
                self._descriptor = place.reopen(self._temporary, item.size_bytes)
            if self._descriptor >= 0:
                self._fetcher.require_inside(item, self._descriptor)
            if half is not None and self._descriptor >= 0:
                # One range is always brought: with it come the mode and the time.
                with self._lock:
                    self._reset(half.done[:-1] + b"\0")
                    self._synced = half.synced[:-1] + b"\0"
            else:
                if half is not None:  # of a file that is gone: no other's holes are its bytes
                    self._fetcher.state(item).forget_half(item.path)
                self._descriptor = place.create(self._temporary)
                self._fetcher.require_inside(item, self._descriptor)
                # Its size without its blocks: the space was checked, and reserving costs as much
                # as writing does on some filesystems.
                os.ftruncate(self._descriptor, item.size_bytes)
        except OSError as error:
            raise place.cannot_write(item.path, error, item.size_bytes) from error
        there_bytes = self._there_bytes()
        if there_bytes:
            self._fetcher.tally.planned(0, -there_bytes)
            get_logger().info("init.file_resumed", key=item.key, size_bytes=there_bytes)
        crew.supply(self)

    def next(self) -> Work | None:
        """The next range that is to be brought."""
        with self._lock:
            if self._changed:
                return None
            while self._next < len(self._done) and self._done[self._next]:
                self._next += 1
            if self._next == len(self._done):
                return None
            index = self._next
            self._next += 1
            self._under_way += 1
            return partial(self._bring, index)

    def save(self, *, sync: bool = True) -> bool:
        """
        Note how far it came; with ``sync``, once that is on the disk, so that it also outlives the machine.
        False when there is nothing worth a note, or no room for one.
        """
        with self._noting:
            with self._lock:
                item, done = self._item, bytes(self._done)
                if self._descriptor < 0 or not any(done):
                    return False
                if done == (self._synced if sync else self._noted):
                    return True
                descriptor = os.dup(self._descriptor)
            synced = self._synced
            try:
                if sync:
                    os.fdatasync(descriptor)
                    synced = done
            finally:
                os.close(descriptor)
            half = Half(item.size_bytes, item.etag, RANGE_BYTES, done, synced or bytes(len(done)))
            if not self._fetcher.state(item).note_half(item.path, half):
                return False
            self._noted, self._synced = done, synced
            return True

    def give_up(self, *, keep: bool) -> None:
        """Leave it for another start to go on with, or take it away. No range is under way any more."""
        is_kept = keep and self.save()
        with self._lock:
            self._changed = True
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0 and not self._under_way:
            os.close(descriptor)
        if not is_kept:
            self._fetcher.state(self._item).forget_half(self._item.path)
            place.discard(self._temporary)

    def _is_of(self, half: Half) -> bool:
        item = self._item
        return half[:3] == (item.size_bytes, item.etag, RANGE_BYTES) and len(
            half.done
        ) == self._count(item.size_bytes)

    def _count(self, size_bytes: int) -> int:
        return max(1, -(-size_bytes // RANGE_BYTES))

    def _reset(self, done: bytes) -> None:
        self._noted = self._synced = b""
        self._done = bytearray(done or bytes(self._count(self._item.size_bytes)))
        self._next = 0
        self._under_way = 0
        self._changed = False
        self._attributes = Attributes()
        self._sums: Sums | None = None

    def _window(self, index: int) -> Window:
        at = index * RANGE_BYTES
        return Window(self._descriptor, at, max(0, min(RANGE_BYTES, self._item.size_bytes - at)))

    def _there_bytes(self) -> int:
        return sum(self._window(index).size_bytes for index, done in enumerate(self._done) if done)

    def _bring(self, index: int) -> None:
        window, item = self._window(index), self._item
        changed = False
        with self._lock:
            sums = self._sums = self._sums or self._new_sums(item)
        try:
            attributes, total = self._fetcher.attempts.call(
                f"get {item.key} from {window.start}",
                lambda: self._read(item, window, sums),
            )
        except SourceChangedError:
            if self._beginnings == MOST_BEGINNINGS:
                self._end_range()
                raise
            changed = True
        except BaseException:
            self._end_range()
            raise
        else:
            self._attributes = attributes
            self._fetcher.tally.carried(window.size_bytes)
            if self._crew is not None:
                self._crew.brought(window.size_bytes)
        with self._lock:
            self._changed = self._changed or changed
            self._done[index] = not changed
        if sums is not None and not self._changed:
            try:
                sums.keep(index, total)
            except OSError as error:
                self._end_range()
                raise place.cannot_write(self.path, error, item.size_bytes) from error
        if self._end_range():
            self._conclude()
        elif self._is_worth_a_note() and not self._noting.locked():  # a sync takes its time
            self.save(sync=False)

    def _is_worth_a_note(self) -> bool:
        with self._lock:
            came = sum(map(bool, self._done)) - sum(map(bool, self._noted))
            return came >= NOTED_RANGES

    def _read(
        self, item: Fetch, window: Window, sums: Sums | None
    ) -> tuple[Attributes, Sum | None]:
        total = sums.of_range() if sums is not None else None
        return self._fetcher.read(item, window, window.start, total), total

    def _new_sums(self, item: Fetch) -> Sums | None:
        expected = self._fetcher.expected(item)
        if expected is None:
            return None
        ranges = Ranges(self._descriptor, item.size_bytes, RANGE_BYTES, self._done)
        return sums_of(algorithm_of(expected), ranges)

    def _end_range(self) -> bool:
        """Whether that was the last one, and nothing more will come."""
        with self._lock:
            self._under_way -= 1
            return not self._under_way and (self._changed or all(self._done))

    def _conclude(self) -> None:
        try:
            if self._changed:
                self._begin_anew(self._fetcher.anew(self._item))
            else:
                self._put_into_place()
        except OSError as error:
            raise place.cannot_write(self.path, error, self._item.size_bytes) from error

    def _begin_anew(self, item: Fetch) -> None:
        get_logger().info("init.source_changed", key=item.key)
        never_came_bytes = self._item.size_bytes - self._there_bytes()
        self._fetcher.tally.planned(0, item.size_bytes - never_came_bytes)
        self._beginnings += 1
        with self._noting:
            self._fetcher.state(item).forget_half(item.path)
            os.ftruncate(self._descriptor, 0)
            os.ftruncate(self._descriptor, item.size_bytes)
            with self._lock:
                self._item = item
                self._reset(b"")
        if self._crew is not None:
            self._crew.supply(self)

    def _put_into_place(self) -> None:
        item = self._item
        verified = False
        if self._sums is not None:
            verified = self._sums.checksum() == self._fetcher.expected(item)
            if not verified and self._fetcher.must_match(item):
                self._mismatches += 1
                if self._mismatches == 2:
                    raise untrusted(item.key)
                self._begin_anew(item)
                return
        self._fetcher.publish(
            item, self._temporary, self._descriptor, self._attributes, verified=verified
        )
        with self._noting:
            with self._lock:
                descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
            self._fetcher.state(item).forget_half(item.path)
        self._fetcher.finished(self)
