"""
What init knows of the archives that it unpacked into a destination, from one run to the next: which were
unpacked whole, and each of their members. Losing it costs a fetch: a row vouches for a member only while what
is on disk has the same kind, size and modification time.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from initializer.archives.members import Kind
from lighterman.log import get_logger

if TYPE_CHECKING:
    import sqlite3

_SCHEMA: Final = """
pragma synchronous = off;
pragma journal_mode = truncate;
create table if not exists archives (
  path blob primary key, size_bytes integer not null, etag text not null, is_whole integer not null
) without rowid;
create table if not exists members (
  archive blob, path blob, kind text not null, size_bytes integer not null, mtime_ns integer not null,
  primary key (archive, path)
) without rowid;
"""
_ROWS: Final = 1000


class Left(NamedTuple):
    """A member as init left it."""

    kind: str
    size_bytes: int
    mtime_ns: int


def look(path: str) -> Left | None:
    """What is at ``path``, as a note would have it; ``None`` for nothing, and what no member becomes."""
    try:
        told = os.lstat(path)
    except OSError:
        return None
    if stat.S_ISREG(told.st_mode):
        return Left(Kind.FILE.value, told.st_size, told.st_mtime_ns)
    if stat.S_ISLNK(told.st_mode):
        return Left(Kind.SYMLINK.value, told.st_size, told.st_mtime_ns)
    # A directory's time changes with what it holds.
    return Left(Kind.DIRECTORY.value, 0, 0) if stat.S_ISDIR(told.st_mode) else None


class ArchiveNotes:
    """The notes of one destination, in ``<root>/.lighterman/archives.sqlite3``. For one thread at a time."""

    def __init__(self, root: str, state_directory: str) -> None:
        self._root = root
        self._path = f"{state_directory}/archives.sqlite3"
        self._database: sqlite3.Connection | None = None
        self._is_lost = False
        if os.path.islink(self._path):  # not ours: it could lead anywhere
            os.unlink(self._path)

    def members_there(self, path: str, size_bytes: int, etag: str) -> int | None:
        """
        How many members of the archive at ``path``, directories aside, are there as they were unpacked; ``None``
        unless all of them are, of an archive of this size and ETag. Looks at each.
        """
        if not os.path.exists(self._path):
            return None
        query = "select size_bytes, etag, is_whole from archives where path = ?"
        if self._do(query, (self._relative(path),)) != [(size_bytes, etag, 1)]:
            return None
        count = 0
        for member, left in self.members(path):
            if look(member) != left:
                return None
            count += left.kind != Kind.DIRECTORY.value
        return count

    def members(self, path: str) -> Iterator[tuple[str, Left]]:
        """The paths of all that was unpacked of the archive at ``path``, each with how it was left."""
        after = b""
        while True:
            rows = self._do(
                "select path, kind, size_bytes, mtime_ns from members "
                "where archive = ? and path > ? order by path limit ?",
                (self._relative(path), after, _ROWS),
            )
            for member, *left in rows:
                yield f"{self._root}/{os.fsdecode(member)}", Left(*left)
            if len(rows) < _ROWS:
                return
            after = rows[-1][0]

    def begin(self, path: str, size_bytes: int, etag: str) -> bool:
        """
        The archive at ``path`` is to be unpacked; what is noted of another version of it is forgotten. Whether
        an earlier start noted members of this one.
        """
        archive = self._relative(path)
        query = "select size_bytes, etag from archives where path = ?"
        if self._do(query, (archive,)) != [(size_bytes, etag)]:
            self._do("delete from members where archive = ?", (archive,))
        self._do("insert or replace into archives values (?, ?, ?, 0)", (archive, size_bytes, etag))
        return bool(self._do("select 1 from members where archive = ? limit 1", (archive,)))

    def is_left(self, archive: str, path: str) -> bool:
        """Whether the member that goes to ``path`` is there as it was unpacked."""
        rows = self._do(
            "select kind, size_bytes, mtime_ns from members where archive = ? and path = ?",
            (self._relative(archive), self._relative(path)),
        )
        return bool(rows) and look(path) == rows[0]

    def note(self, archive: str, members: Iterable[tuple[str, Left]]) -> None:
        """Members that are in their places."""
        name = self._relative(archive)
        rows = [(name, self._relative(path), *left) for path, left in members]
        if rows:
            self._do("insert or replace into members values (?, ?, ?, ?, ?)", rows)

    def finish(self, path: str) -> None:
        """Every member of the archive at ``path`` is noted."""
        self._do("update archives set is_whole = 1 where path = ?", (self._relative(path),))

    def close(self) -> None:
        """Nothing is asked or noted after."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _relative(self, path: str) -> bytes:
        return os.fsencode(path[len(self._root) + 1 :])

    def _do(self, statement: str, values: Any) -> list[tuple[Any, ...]]:
        if self._is_lost:
            return []
        import sqlite3

        try:
            database = self._database or self._open()
            with database:
                if isinstance(values, list):
                    database.executemany(statement, values)
                    return []
                return database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            # A full disk, a file that isn't a database: go on without notes.
            get_logger().warning("init.state_lost", path=self._path, error=str(error))
            self._is_lost = True
            with suppress(Exception):  # closing a broken database may fail in any way
                self.close()
            self._database = None
            for suffix in ("", "-journal"):
                with suppress(OSError):
                    os.unlink(self._path + suffix)
            return []

    def _open(self) -> "sqlite3.Connection":
        import sqlite3
        from urllib.parse import quote

        # No locks of SQLite's own: the destination is locked, and they fail on some network filesystems.
        self._database = sqlite3.connect(
            f"file:{quote(self._path)}?vfs=unix-none", uri=True, check_same_thread=False
        )
        self._database.executescript(_SCHEMA)
        return self._database
