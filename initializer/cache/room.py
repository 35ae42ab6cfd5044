"""How much a cache holds, counted by all processes that fill it together, and what goes when it is full."""

import os
import struct
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

from initializer.cache.locks import Locks
from initializer.cache.tree import Temporary, Tree, announced_bytes, is_left_behind

KEPT_SHARE: Final = 0.9
"""An eviction frees more than the one file that is in need of room, so that not every file needs one."""
_COUNT: Final = struct.Struct("<Q")
_COUNTER_PLACE: Final = 0
_EVICTOR_PLACE: Final = 1


class Cut(NamedTuple):
    """What goes: all that was used last before ``second``, and of that second's so many bytes."""

    second: int
    size_bytes: int


def cut_for(used_bytes: Mapping[int, int], most_bytes: int) -> Cut | None:
    """
    What must go of entries, by the second of their last use, so that no more than ``most_bytes`` stay: the
    least recently used. ``None`` where all may stay.
    """
    excess = sum(used_bytes.values()) - most_bytes
    if excess <= 0:
        return None
    for second in sorted(used_bytes):
        if used_bytes[second] >= excess:
            return Cut(second, excess)
        excess -= used_bytes[second]
    return Cut(max(used_bytes, default=0) + 1, 0)


class Room:
    """
    The size of one tree, kept in its lock file. What is about to be written is counted first, and what is
    deleted is taken off last: a process that is killed between leaves the count too high, which the next
    eviction corrects.
    """

    def __init__(self, tree: Tree, descriptor: int, locks: Locks, limit_bytes: int) -> None:
        self._tree = tree
        self._descriptor = descriptor
        self._locks = locks
        self._limit_bytes = limit_bytes
        self._counting = threading.Lock()
        self._evicting = threading.Lock()

    def begin(self, name: str, size_bytes: int) -> Temporary | None:
        """
        The temporary file of an entry that will have so many bytes, after others went if there must be room;
        ``None`` where that didn't help.
        """
        if size_bytes > self._limit_bytes:
            return None
        temporary = self._begun(name, size_bytes)
        if temporary is not None:
            return temporary
        with self._evicting, self._locks.waiting(_EVICTOR_PLACE):
            temporary = self._begun(name, size_bytes)
            if temporary is not None:  # another made room meanwhile
                return temporary
            self._evict(size_bytes)
        return self._begun(name, size_bytes)

    def give_back(self, size_bytes: int) -> None:
        """So many bytes aren't there, or no longer."""
        if size_bytes:
            self._change(-size_bytes)

    def _begun(self, name: str, size_bytes: int) -> Temporary | None:
        # One step to whoever looks at the count and then at the files: what is counted is there.
        with self._counting, self._locks.waiting(_COUNTER_PLACE):
            held = self._read() + size_bytes
            if held > self._limit_bytes:
                return None
            temporary = self._tree.create(name, size_bytes)
            self._write(held)
            return temporary

    def _change(self, by_bytes: int) -> None:
        with self._counting, self._locks.waiting(_COUNTER_PLACE):
            self._write(max(0, self._read() + by_bytes))

    def _read(self) -> int:
        data = os.pread(self._descriptor, _COUNT.size, 0)
        return int(_COUNT.unpack(data)[0]) if len(data) == _COUNT.size else 0

    def _write(self, held: int) -> None:
        os.pwrite(self._descriptor, _COUNT.pack(held), 0)

    def _evict(self, wanted_bytes: int) -> None:
        with self._counting, self._locks.waiting(_COUNTER_PLACE):
            counted = self._read()
        used_bytes, arriving_bytes = self._looked_at()
        cut = None
        if wanted_bytes + arriving_bytes <= self._limit_bytes:  # else nothing is made better
            most_bytes = int(self._limit_bytes * KEPT_SHARE) - wanted_bytes - arriving_bytes
            cut = cut_for(used_bytes, max(0, most_bytes))
        gone_bytes = self._cut(cut) if cut else 0
        there_bytes = sum(used_bytes.values()) + arriving_bytes - gone_bytes
        # What others counted since the look may have been seen as well: too high rather than too low.
        self._change(there_bytes - counted)

    def _looked_at(self) -> tuple[Counter[int], int]:
        used_bytes: Counter[int] = Counter()
        arriving_bytes = 0
        for directory, one in self._tree.files():
            try:
                announced = announced_bytes(one.name)
                if announced is None:
                    told = one.stat(follow_symlinks=False)
                    used_bytes[int(told.st_mtime)] += told.st_size
                elif is_left_behind(directory, one.name):
                    os.unlink(one.name, dir_fd=directory)
                else:
                    arriving_bytes += announced
            except OSError:  # it went meanwhile
                continue
        return used_bytes, arriving_bytes

    def _cut(self, cut: Cut) -> int:
        gone_bytes, left_bytes = 0, cut.size_bytes
        for directory, one in self._tree.files():
            if announced_bytes(one.name) is not None:
                continue
            try:
                told = one.stat(follow_symlinks=False)
                second = int(told.st_mtime)
                if second > cut.second or (second == cut.second and left_bytes <= 0):
                    continue
                os.unlink(one.name, dir_fd=directory)
            except OSError:  # it went meanwhile, or is no file
                continue
            gone_bytes += told.st_size
            if second == cut.second:
                left_bytes -= told.st_size
        return gone_bytes
