"""
Locks of the processes that share a cache: each is one byte of one file, so that none has to be made or taken
away, and a process that dies holds none.
"""

import contextlib
import errno
import fcntl
import os
import struct
import threading
from collections.abc import Iterator
from typing import Final

from lighterman.clock import Clock

_FLOCK: Final = struct.Struct("@hhqqi4x")
"""``struct flock`` of 64-bit Linux: type, whence, start, length, and no pid (fcntl(2), open file descriptions)."""
_IS_HELD: Final = (errno.EAGAIN, errno.EACCES)
_FIRST_LEASE: Final = 4096
LONGEST_WAIT_SECONDS: Final = 10.0
"""What is done under a lock that is waited for takes less; a process that is frozen holds it for ever."""
_LOOK_SECONDS: Final = 0.002


class Locks:
    """
    On an open file; the locks of its open file description, which all threads of a process share. So a second
    ``try_hold`` in the same process is refused here.
    """

    def __init__(self, descriptor: int, clock: Clock) -> None:
        self._descriptor = descriptor
        self._clock = clock
        self._turn = threading.Lock()
        self._held: set[int] = set()

    def try_hold(self, place: int) -> bool:
        """Hold a place, unless somebody does, here or elsewhere. ``OSError`` where there are no locks."""
        with self._turn:
            if place in self._held:
                return False
            if not self._taken(place):
                return False
            self._held.add(place)
            return True

    def release(self, place: int) -> None:
        """Let go of a place that is held."""
        with self._turn:
            self._held.discard(place)
            with contextlib.suppress(OSError):
                self._set(fcntl.F_UNLCK, place)

    @contextlib.contextmanager
    def waiting(self, place: int) -> Iterator[None]:
        """
        Hold a place for the length of the block, once whoever in another process holds it lets go:
        ``TimeoutError`` if that takes too long. Threads of this one need a lock of their own around it.
        """
        until: float | None = None
        while not self._taken(place):
            now = self._clock.monotonic()
            until = now + LONGEST_WAIT_SECONDS if until is None else until
            if now >= until:
                raise TimeoutError(errno.ETIMEDOUT, "another process holds its lock")
            self._clock.wait(_LOOK_SECONDS)
        try:
            yield
        finally:
            self._set(fcntl.F_UNLCK, place)

    def close(self) -> None:
        """All that is held is let go."""
        os.close(self._descriptor)

    def _taken(self, place: int) -> bool:
        try:
            self._set(fcntl.F_WRLCK, place)
        except OSError as error:
            if error.errno in _IS_HELD:
                return False
            raise
        return True

    def _set(self, kind: int, place: int) -> None:
        asked = _FLOCK.pack(kind, os.SEEK_SET, place, 1, 0)
        fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, asked)


def lease_of(name: str) -> int:
    """The place of an entry's lease. Two entries with one place are brought one after the other."""
    return _FIRST_LEASE + int(name[:15], 16)
