"""
What init brought into an outputs path, for the sidecar that starts after it: which object each file is,
and the state in which the file was left. Neither of the two knows the other's notes; this file is between.

A row vouches for a file only while the file has exactly the noted state. The file may be lost, or hold
nothing: then contents are compared, which takes longer. SQLite is imported with the first row.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from lighterman.log import get_logger

if TYPE_CHECKING:
    import sqlite3

NAME: Final = "brought.sqlite3"
PAGE_ROWS: Final = 1000

_SCHEMA: Final = """
create table if not exists brought (
  path blob primary key, place text not null, etag text not null, inode integer not null,
  size_bytes integer not null, mtime_ns integer not null, ctime_ns integer not null
) without rowid;
"""


class Brought(NamedTuple):
    """One file below the outputs path as init left it."""

    path: str
    """Below the outputs path."""
    place: str
    """Endpoint, bucket and prefix: what ``path`` must be added to, after a slash, to name the object."""
    etag: str
    inode: int
    """Signed, as are all integers of SQLite."""
    size_bytes: int
    mtime_ns: int
    ctime_ns: int

    def is_of(self, told: os.stat_result) -> bool:
        """Whether a file, not followed if it is a symlink, still is as it was left."""
        return stat.S_ISREG(told.st_mode) and self[3:] == _state(told)


class Handover:
    """Init's side, in the state directory of one destination. ``add`` may be called by any thread."""

    def __init__(self, root: str, state_directory: str) -> None:
        self._base_length = len(root) + 1
        self._device = os.stat(root or "/").st_dev
        self._path = f"{state_directory}/{NAME}"
        self._pending: deque[Brought] = deque()
        self._database: sqlite3.Connection | None = None
        self._is_lost = False

    def add(self, destination: str, key: str, etag: str, path: str, descriptor: int) -> None:
        """
        The object ``key`` at ``destination`` (endpoint and bucket) is the file open as ``descriptor``,
        which has its final name ``path`` already: a rename moves the time of its last change.
        """
        relative = path[self._base_length :]
        prefix = key[: len(key) - len(relative)]
        if not key.endswith(relative) or not (prefix == "" or prefix.endswith("/")):
            return  # it has another name here than there: no outputs path would send it to this key
        told = os.fstat(descriptor)
        if told.st_dev == self._device:
            place = f"{destination}/{prefix.rstrip('/')}"
            self._pending.append(Brought(relative, place, etag, *_state(told)))

    def flush(self) -> None:
        """Write what was added. Called by one thread at a time."""
        rows = [self._pending.popleft() for _ in range(len(self._pending))]
        if not rows or self._is_lost:
            return
        import sqlite3

        try:
            database = self._database or self._open()
            with database:
                database.executemany(
                    "insert or replace into brought values (?, ?, ?, ?, ?, ?, ?)",
                    [(os.fsencode(row.path), *row[1:]) for row in rows],
                )
        except (sqlite3.Error, OSError) as error:
            self._is_lost = True
            get_logger().warning("init.handover_lost", path=self._path, error=str(error))
            self.close()
            for suffix in ("", "-journal"):
                with contextlib.suppress(OSError):
                    os.unlink(self._path + suffix)

    def close(self) -> None:
        """Nothing is added after."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self) -> sqlite3.Connection:
        if os.path.islink(self._path):  # not ours: it could lead anywhere
            os.unlink(self._path)
        # The destination is locked; a row that a power failure loses costs a comparison.
        database = _connected(self._path, "rwc")
        self._database = database
        database.execute("pragma synchronous = off")
        database.execute("pragma journal_mode = truncate")
        database.executescript(_SCHEMA)
        return database


def brought(state_directory: str, place: str) -> Iterator[list[Brought]]:
    """
    The sidecar's side: pages of what init brought from ``place`` (endpoint, bucket and prefix), by path. Nothing is
    changed, and nothing that is wrong with the file is an error: then there is none, or no more.
    """
    path = f"{state_directory}/{NAME}"
    if not os.path.isfile(path):
        return
    import sqlite3

    try:
        with contextlib.closing(_connected(path, "ro")) as database:
            last = b""
            while rows := database.execute(
                "select * from brought where path > ? and typeof(path) = 'blob' and place = ?"
                " order by path limit ?",
                (last, place, PAGE_ROWS),
            ).fetchall():
                last = rows[-1][0]
                yield [Brought(os.fsdecode(row[0]), *row[1:]) for row in rows]
    except (sqlite3.Error, TypeError) as error:
        get_logger().warning("sidecar.handover_unreadable", path=path, error=str(error))


def _connected(path: str, mode: str) -> sqlite3.Connection:
    import sqlite3
    from urllib.parse import quote

    return sqlite3.connect(
        f"file:{quote(path)}?vfs=unix-none&mode={mode}", uri=True, check_same_thread=False
    )


def _state(told: os.stat_result) -> tuple[int, int, int, int]:
    inode = told.st_ino if told.st_ino < 1 << 63 else told.st_ino - (1 << 64)
    return inode, told.st_size, told.st_mtime_ns, told.st_ctime_ns
