"""
Which paths something goes to: what the plan places, and the members of each archive so far. So that no member
takes the place of another thing in silence. On disk, since there may be ten million.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from initializer.archives.members import Kind
from lighterman.errors import CannotWriteError

if TYPE_CHECKING:
    import sqlite3

PLAN: Final = 0
"""The owner of what the plan itself places. Archives are numbered from 1."""
_BATCH: Final = 1000
_SCHEMA: Final = """
pragma journal_mode = memory;
pragma synchronous = off;
pragma temp_store = memory;
create table claims (path blob primary key, owner integer, kind text) without rowid;
create table symlinks (owner integer, path blob, target blob, primary key (owner, path)) without rowid;
"""


class Claims:
    """
    In a file that has the name ``path`` for a moment only, made with the first claim and gone with ``close``, or
    with the process. ``CannotWriteError`` when it can't be kept there. For one thread at a time.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._pending: list[tuple[bytes, int, str]] = []

    def plan(self, path: str) -> None:
        """The plan places this; a directory's path ends with a slash."""
        kind = Kind.DIRECTORY if path.endswith("/") else Kind.FILE
        self._pending.append((os.fsencode(path.rstrip("/")), PLAN, kind.value))
        if len(self._pending) >= _BATCH:
            self._flush()

    def begin(self) -> None:
        """What is claimed from now on can be taken back."""
        self._flush()
        self._do("begin")

    def keep(self) -> None:
        """What was claimed since ``begin`` stays so."""
        self._do("commit")

    def take_back(self) -> None:
        """What was claimed since ``begin`` isn't any more."""
        self._do("rollback")

    def add(self, path: str, owner: int, kind: Kind, target: str = "") -> int | None:
        """
        Claim a path. Then ``None``; else the owner of what it can't be beside: of the same path, unless both are
        directories, or of a path below what is no directory.
        """
        self._flush()
        encoded = os.fsencode(path)
        row = (encoded, owner, kind.value)
        if self._do("insert or ignore into claims values (?, ?, ?)", row).rowcount:
            if kind is Kind.SYMLINK:
                link = (owner, encoded, os.fsencode(target))
                self._do("insert into symlinks values (?, ?, ?)", link)
            if kind is Kind.DIRECTORY:
                return None
            below = self._do(
                "select owner from claims where path > ? and path < ? limit 1",
                (encoded + b"/", encoded + b"0"),
            ).fetchone()
            return below[0] if below else None
        found, its_kind = self._found(encoded)
        return None if kind.value == its_kind == Kind.DIRECTORY.value else found

    def has_file(self, path: str, owner: int) -> bool:
        """Whether this owner has a file at ``path``."""
        found, kind = self._found(os.fsencode(path))
        return found == owner and kind in (Kind.FILE.value, Kind.HARD_LINK.value)

    def symlinks(self, owner: int) -> Iterator[tuple[str, str]]:
        """The symlinks of an owner, each with its target."""
        query = "select path, target from symlinks where owner = ? order by path"
        for path, target in self._do(query, (owner,)):
            yield os.fsdecode(path), os.fsdecode(target)

    def clear(self) -> None:
        """Nothing is claimed."""
        self._pending.clear()
        self.close()

    def close(self) -> None:
        """Let go of the file, and so of what is in it."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _found(self, path: bytes) -> tuple[int, str]:
        row = self._do("select owner, kind from claims where path = ?", (path,)).fetchone()
        return (row[0], row[1]) if row else (PLAN, "")

    def _flush(self) -> None:
        rows, self._pending = self._pending, []
        if rows:
            self._do("begin")
            self._do("insert or replace into claims values (?, ?, ?)", rows)
            self._do("commit")

    def _do(self, statement: str, values: Any = ()) -> "sqlite3.Cursor":
        import sqlite3

        try:
            database = self._database or self._open()
            many = isinstance(values, list)
            return (database.executemany if many else database.execute)(statement, values)
        except sqlite3.Error as error:
            raise CannotWriteError(
                f"can't keep the names of archives' members in {self._path}: {error}",
                hint="give the volume a larger size limit",
            ) from error

    def _open(self) -> "sqlite3.Connection":
        import sqlite3
        from urllib.parse import quote

        with suppress(FileNotFoundError):  # a killed run's, or planted
            os.unlink(self._path)
        # No locks of SQLite's own: they fail on some network filesystems.
        self._database = sqlite3.connect(
            f"file:{quote(self._path)}?vfs=unix-none",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        self._database.executescript(_SCHEMA)
        os.unlink(self._path)
        return self._database


def why_taken(owner: int, own: int | None = None) -> str:
    """Why a member can't go where something of ``owner`` goes; its own archive is ``own``."""
    whose = "a member of another archive"
    if owner == own:
        whose = "another member"
    elif owner == PLAN:
        whose = "an object"
    return f"{whose} goes to the same place, or needs a directory there"
