"""
Small outputs into memory, one state of each: opened once, read, and looked at again, so that what is sent can't be
made of two (decision 5). For one thread.
"""

import errno
import os
import stat
from collections.abc import Callable
from typing import Final, NamedTuple

from lighterman.checksums import CRC32C, new_sum
from lighterman.clock import Clock
from lighterman.stores.contract import Key
from lighterman.stores.straight import Straight
from lighterman.transfer.budget import Budget
from sidecar.journal import Journal
from sidecar.leases import Leases
from sidecar.outgoing import Ended, Handed, Loaded
from sidecar.output import REST_SECONDS, Output
from sidecar.states import FileState, RelPath, Synced, key_of, split
from sidecar.upload import Outcome, Result

FILE_BYTES: Final = 1024 * 1024
"""Larger files go to the threads: copying and sending them is worth another core."""

_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW
_GONE: Final = {errno.ENOENT, errno.ENOTDIR}


class Ground(NamedTuple):
    """What the lane works on."""

    root: str
    """The real path of the outputs."""
    prefix: str
    journal: Journal
    straight: Straight
    is_adopted: Callable[[Key], bool]
    """Whether an object of that key may be the file's already, which reading the file would tell."""
    leases: Leases


class Glance:
    """One file, open, and its state. Used as a context: it is closed at the end."""

    __slots__ = ("descriptor", "path", "state", "status")

    def __init__(self, path: RelPath, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.status = os.fstat(descriptor)
        self.state = FileState.of(self.status)

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(self.status.st_mode)

    def rest_seconds(self, clock: Clock) -> float | None:
        """How long until the state can be trusted; ``None`` where another clock than ours stamped it."""
        age_seconds = clock.wall() - self.state.ctime_ns / 1e9
        return None if age_seconds < 0 else max(0.0, REST_SECONDS - age_seconds)

    def is_being_written(self) -> bool:
        """As :meth:`Output.is_being_written`."""
        return Output(self.path, self.descriptor, self.state).is_being_written()

    def read(self) -> bytes | None:
        """All of it; ``None`` if it changed meanwhile."""
        size_bytes = self.status.st_size
        body = os.pread(self.descriptor, size_bytes, 0) if size_bytes else b""
        before, now = self.status, os.fstat(self.descriptor)
        is_same = (
            len(body) == size_bytes == now.st_size
            and before.st_mtime_ns == now.st_mtime_ns
            and before.st_ctime_ns == now.st_ctime_ns
            and before.st_mode == now.st_mode
        )
        return body if is_same else None

    def close(self) -> None:
        os.close(self.descriptor)


class Directories:
    """Opens files by their directory's descriptor, so that what is inside is looked up once for many."""

    def __init__(self, real_root: str) -> None:
        self._root = real_root.rstrip("/")
        self._path: str | None = None
        self._descriptor = -1

    def glance(self, path: RelPath) -> Glance | None:
        """
        The file, open; ``None`` if it is gone. ``OSError`` for whatever else: a link (``ELOOP``), a directory that
        lies outside (``EXDEV``), no permission.
        """
        directory, name = split(path)
        try:
            if directory != self._path:
                self._open(directory)
            descriptor = os.open(name, _FLAGS, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise
        try:
            return Glance(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def close(self) -> None:
        """Look anew from here on: a directory that is held may be moved meanwhile."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._path, self._descriptor = None, -1

    def _open(self, directory: RelPath) -> None:
        self.close()
        descriptor = os.open(
            os.path.join(self._root or "/", directory), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        )
        real_path = os.readlink(f"/proc/self/fd/{descriptor}")
        if real_path != (self._root or "/") and not real_path.startswith(self._root + "/"):
            os.close(descriptor)
            raise OSError(errno.EXDEV, "outside of the outputs")
        self._path, self._descriptor = directory, descriptor


class Loader:
    """Brings paths into memory, or to the end that they have without being sent."""

    def __init__(self, ground: Ground, clock: Clock, budget: Budget) -> None:
        self._ground = ground
        self._clock = clock
        self._budget = budget
        self._directories = Directories(ground.root)

    def load(self, handed: Handed, known: Synced | None, room_bytes: int) -> Loaded | Ended | None:
        """
        The file, whose bytes are taken from the budget; what became of it; or ``None`` where there is no room for it
        now. ``known`` is what the journal has of it.
        """
        try:
            glance = self._directories.glance(handed.path)
        except OSError:  # the threads name it, or follow the link
            return Ended(handed, None)
        if glance is None:
            # An upload by parts is the threads' to abandon.
            is_for_threads = self._is_for_threads(handed.path)
            return Ended(handed, None if is_for_threads else Outcome(Result.GONE))
        try:
            key = key_of(self._ground.prefix, handed.path)
            if known is not None and known.state == glance.state and known.key == key:
                return Ended(handed, Outcome(Result.UNCHANGED))
            # At the end the threads wait for a file to rest: whoever comes back later has lost its turn.
            is_restless = handed.final and glance.rest_seconds(self._clock)
            if is_restless or not self._may_go(glance, key, known):
                return Ended(handed, None)
            as_it_is = handed.final and not (handed.keeps_whole and known is not None)
            not_yet = self._why_not_yet(glance, as_it_is=as_it_is)
            if not_yet is not None:
                return Ended(handed, not_yet)
            return self._read(glance, handed, key, room_bytes)
        finally:
            glance.close()

    def close(self) -> None:
        """Look anew from here on."""
        self._directories.close()

    def _may_go(self, glance: Glance, key: Key, known: Synced | None) -> bool:
        if not glance.is_regular or glance.state.size_bytes > FILE_BYTES:
            return False
        if self._is_for_threads(glance.path) or glance.rest_seconds(self._clock) is None:
            return False
        if known is not None:
            # What is as long as it was may be the same: the threads find out without sending it.
            return known.crc32c is None or known.state.size_bytes != glance.state.size_bytes
        journal = self._ground.journal
        if not journal.fresh and journal.synced_as(glance.state):  # renamed: it may be copied
            return False
        return not self._ground.is_adopted(key)

    def _is_for_threads(self, path: RelPath) -> bool:
        try:
            path.encode()
        except UnicodeEncodeError:
            return True
        return self._ground.journal.open_upload(path) is not None

    def _why_not_yet(self, glance: Glance, *, as_it_is: bool) -> Outcome | None:
        wait_seconds = glance.rest_seconds(self._clock) or 0.0
        if wait_seconds > 0:
            return Outcome(Result.CHANGED, wait_seconds)
        is_asked = not as_it_is and self._ground.leases.are_believed
        if is_asked and glance.is_being_written():
            return Outcome(Result.OPEN)
        return None

    def _read(
        self, glance: Glance, handed: Handed, key: Key, room_bytes: int
    ) -> Loaded | Ended | None:
        size_bytes = glance.state.size_bytes
        if size_bytes > room_bytes or not self._budget.take_now(size_bytes):
            return None
        body = None
        try:
            body = glance.read()
        except OSError:  # the threads name it
            return Ended(handed, None)
        finally:
            if body is None:
                self._budget.give_back(size_bytes)
        if body is None:
            return Ended(handed, Outcome(Result.CHANGED))
        total = new_sum(CRC32C)
        total.update(body)
        return Loaded(handed, key, glance.state, body, total.hexdigest())
