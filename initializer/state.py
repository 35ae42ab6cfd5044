"""
What init knows of a destination from one run to the next: which files it placed, and how far large ones
came. Losing it costs a fetch, never a wrong file: a row vouches for a file only while the file's own
size and modification time say the same.

SQLite is imported with the first row. Threads take turns; the destination's lock keeps other processes out.
"""

import contextlib
import os
import threading
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from initializer.plan import Placed
from lighterman.handover import Handover
from lighterman.log import get_logger

if TYPE_CHECKING:
    import sqlite3

_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_SCHEMA = """
create table if not exists placed (
  path blob primary key, size_bytes integer not null, etag text not null, mtime_ns integer not null
) without rowid;
create table if not exists ranges (
  path blob primary key, size_bytes integer not null, etag text not null,
  range_bytes integer not null, done blob not null, synced blob not null, boot text not null
) without rowid;
"""


class Half(NamedTuple):
    """How far one large file came: for each of its ranges a byte, which isn't zero when it is there."""

    size_bytes: int
    etag: str
    range_bytes: int
    done: bytes
    """What was written: the kernel has it, whatever becomes of the process."""
    synced: bytes
    """What of that has reached the disk, and outlives the kernel too."""


class Notes(Protocol):
    """What the fetcher notes while it works, and asks for."""

    handover: Handover | None
    """Where a sidecar looks for what came, if one will."""

    def half(self, path: str) -> Half | None: ...
    def note_placed(self, rows: Iterable[tuple[str, Placed]]) -> bool: ...
    def note_half(self, path: str, half: Half) -> bool: ...
    def forget_half(self, path: str) -> None: ...


class NoNotes:
    """Of a destination that is to hold nothing but what was asked for: nothing is known, or noted."""

    handover: Handover | None = None

    def half(self, path: str) -> Half | None:  # noqa: ARG002  # as in Notes
        return None

    def note_placed(self, rows: Iterable[tuple[str, Placed]]) -> bool:  # noqa: ARG002  # as in Notes
        """It is in its place, and that is all."""
        return True

    def note_half(self, path: str, half: Half) -> bool:  # noqa: ARG002  # as in Notes
        """Nobody would go on with it."""
        return True

    def forget_half(self, path: str) -> None:
        """There is none."""


class State:
    """The notes of one destination, in ``<root>/.lighterman/init.sqlite3``."""

    def __init__(
        self, root: str, state_directory: str, *, handover: Handover | None = None
    ) -> None:
        self.handover = handover
        self._base_length = len(root) + 1
        self.directory = state_directory
        self._path = f"{state_directory}/init.sqlite3"
        self._database: sqlite3.Connection | None = None
        self._is_lost = self._is_full = False
        self._turn = threading.Lock()
        self._is_new = not os.path.exists(self._path)
        if os.path.islink(self._path):  # not ours: it could lead anywhere
            os.unlink(self._path)
            self._is_new = True

    def placed(self, path: str) -> Placed | None:
        """What is noted of the file at an absolute path below the root."""
        row = self._row("select size_bytes, etag, mtime_ns from placed where path = ?", path)
        return Placed(*row) if row else None

    def placed_from(self, path: str, most: int) -> list[tuple[bytes, Placed]]:
        """
        What is noted of the first files at and after ``path``, up to ``most``, in the byte order of the paths
        (``relative`` has them so).
        """
        if self._is_new:
            return []
        query = "select path, size_bytes, etag, mtime_ns from placed where path >= ? order by path limit ?"
        rows = self._do(query, (self.relative(path), most))
        return [(row[0], Placed(*row[1:])) for row in rows]

    def relative(self, path: str) -> bytes:
        """An absolute path below the root as the notes have it."""
        return os.fsencode(path[self._base_length :])

    def half(self, path: str) -> Half | None:
        """How far the large file at ``path`` came: after a restart of the machine, what it had synced."""
        row = self._row(
            "select size_bytes, etag, range_bytes, done, synced, boot from ranges where path = ?",
            path,
        )
        if row is None:
            return None
        half = Half(*row[:-1])
        return half if row[-1] and row[-1] == _boot() else half._replace(done=half.synced)

    def halves(self) -> list[str]:
        """The paths, below the root, of all large files that came a part of the way."""
        if self._is_new:
            return []
        return [os.fsdecode(row[0]) for row in self._do("select path from ranges", ())]

    def note_placed(self, rows: Iterable[tuple[str, Placed]]) -> bool:
        """Files that are whole and in their place. False when the disk is full: to be said again later."""
        if self.handover is not None:
            self.handover.flush()
        encoded = [(self.relative(path), *placed) for path, placed in rows]
        return not encoded or self._noted(
            "insert or replace into placed values (?, ?, ?, ?)", encoded
        )

    def note_half(self, path: str, half: Half) -> bool:
        """How far the large file at ``path`` came. False when the disk is full: to be said again later."""
        row = (self.relative(path), *half, _boot())
        return self._noted("insert or replace into ranges values (?, ?, ?, ?, ?, ?, ?)", [row])

    def forget_half(self, path: str) -> None:
        """The large file at ``path`` is whole, or begins anew."""
        if not self._is_new:
            self._do("delete from ranges where path = ?", (self.relative(path),))

    def close(self) -> None:
        """Nothing is asked or noted after."""
        if self.handover is not None:
            self.handover.close()
        if self._database is not None:
            self._database.close()
            self._database = None

    def _row(self, query: str, path: str) -> tuple[Any, ...] | None:
        if self._is_new:
            return None
        rows = self._do(query, (self.relative(path),))
        return rows[0] if rows else None

    def _noted(self, statement: str, rows: Sequence[Any]) -> bool:
        with self._turn:
            self._is_full = False
            if not self._is_lost:
                self._done(statement, rows, many=True)
            return not self._is_full

    def _do(
        self, statement: str, values: Sequence[Any], *, many: bool = False
    ) -> list[tuple[Any, ...]]:
        with self._turn:
            return self._done(statement, values, many=many) if not self._is_lost else []

    def _done(self, statement: str, values: Sequence[Any], *, many: bool) -> list[tuple[Any, ...]]:
        import sqlite3

        try:
            database = self._database or self._open()
            with database:
                if many:
                    database.executemany(statement, values)
                    return []
                return database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                self._is_full = True  # what was noted before is as it was
                return []
            # A file that isn't a database, a filesystem that lies: go on without notes.
            get_logger().warning("init.state_lost", path=self._path, error=str(error))
            self._lose()
            return []

    def _open(self) -> "sqlite3.Connection":
        import sqlite3
        from urllib.parse import quote

        # No locks of SQLite's own (the destination is locked; they fail on some network filesystems),
        # and no sync: a kill can't hurt what the kernel has, and after a power failure a row still has
        # to agree with the file.
        database = sqlite3.connect(
            f"file:{quote(self._path)}?vfs=unix-none", uri=True, check_same_thread=False
        )
        try:
            database.execute("pragma synchronous = off")
            database.execute("pragma journal_mode = truncate")
            database.executescript(_SCHEMA)
        except sqlite3.Error:
            database.close()
            raise
        self._database = database
        self._is_new = False
        return database

    def _lose(self) -> None:
        self._is_lost = True
        with contextlib.suppress(Exception):  # closing a broken database may fail in any way
            self.close()
        self._database = None
        for suffix in ("", "-journal"):
            with contextlib.suppress(OSError):
                os.unlink(self._path + suffix)


@cache
def _boot() -> str:
    """Which start of which machine: what one kernel has of a file, another hasn't. ``""`` where it isn't told."""
    with contextlib.suppress(OSError), open(_BOOT_ID, encoding="ascii") as file:
        return file.read().strip()
    return ""
