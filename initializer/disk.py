"""What the plan asks of the destinations, answered by the file system and the notes of earlier runs."""

import os
import stat
from collections.abc import Sequence
from typing import Protocol

from initializer.plan import Found, OnDisk, Placed
from lighterman.errors import CannotWriteError


class Notes(Protocol):
    """What earlier runs noted of one destination."""

    def placed(self, path: str) -> Placed | None: ...


class DestinationsDisk:
    """Looks, and changes nothing. ``CannotWriteError`` where it may not even look."""

    def __init__(
        self, roots: Sequence[str], notes: Sequence[Notes], kept_out: Sequence[str]
    ) -> None:
        self._roots = roots
        self._real_roots = [os.path.realpath(root or "/") for root in roots]
        self._notes = notes
        self._kept_out = [os.path.realpath(path) for path in kept_out]

    def directory(self, root: int, path: str) -> Found:
        told = _look(path[:-1])
        if told is None:
            return Found.ABSENT
        if stat.S_ISDIR(told.st_mode):
            return Found.DIRECTORY
        if not stat.S_ISLNK(told.st_mode):
            return Found.OTHER
        real = os.path.realpath(path[:-1])
        if not _is_inside(real, self._real_roots[root]) or any(
            _is_inside(real, kept_out) for kept_out in self._kept_out
        ):
            return Found.LEAVES
        return Found.DIRECTORY if os.path.isdir(real) else Found.OTHER

    def file(self, path: str) -> OnDisk | None:
        told = _look(path)
        if told is None:
            return None
        return OnDisk(
            is_file=stat.S_ISREG(told.st_mode),
            is_directory=stat.S_ISDIR(told.st_mode),
            size_bytes=told.st_size,
            mtime_ns=told.st_mtime_ns,
        )

    def placed(self, root: int, path: str) -> Placed | None:
        return self._notes[root].placed(path)


def _look(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CannotWriteError(
            f"can't look at {path}: {error.strerror}",
            hint="give a directory that this container's user may read and write",
        ) from error


def _is_inside(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")
