"""
The journal's database as a file: made, opened, moved aside when it is damaged, and SQLite's errors as
ours.
"""

import contextlib
import errno
import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from lighterman.errors import CannotWriteError, ConfigurationError
from lighterman.log import get_logger
from sidecar.where import LOCK_NAME

NAME = "journal.db"
VERSION = 2
CHECKED_BYTES = 64 << 20
"""Up to this size the whole database is checked as it is opened (some 0.2 s at most)."""
_STATE_HINT = "give a writable directory of its own with --state DIR"

NETWORK_FILESYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "gfs2", "gpfs", "lustre", "ncpfs", "nfs", "nfs4"}
    | {"ocfs2", "smb3", "smbfs", "virtiofs", "wekafs"}
)
"""Where SQLite's WAL can't be used, since it needs memory shared by all who have the file open."""

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE synced (
    directory TEXT NOT NULL, name TEXT NOT NULL,
    device INTEGER NOT NULL, inode INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, mode INTEGER NOT NULL,
    key TEXT NOT NULL, etag TEXT NOT NULL, uploaded INTEGER NOT NULL, crc32c TEXT,
    PRIMARY KEY (directory, name)
) WITHOUT ROWID;
CREATE INDEX synced_by_inode ON synced (inode);
CREATE TABLE uploads (
    path TEXT PRIMARY KEY, key TEXT NOT NULL, upload_id TEXT,
    device INTEGER NOT NULL, inode INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, mode INTEGER NOT NULL,
    part_bytes INTEGER NOT NULL, intended_seconds REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE parts (
    path TEXT NOT NULL, number INTEGER NOT NULL, etag TEXT NOT NULL, size_bytes INTEGER NOT NULL,
    PRIMARY KEY (path, number)
) WITHOUT ROWID;
"""
_SCHEMA_OF_GROUPS = """
CREATE TABLE manifests (key TEXT PRIMARY KEY, etag TEXT) WITHOUT ROWID;
CREATE TABLE completed (directory TEXT PRIMARY KEY, at_ns INTEGER NOT NULL) WITHOUT ROWID;
"""
_SCHEMA += _SCHEMA_OF_GROUPS


_MIGRATIONS = {
    1: "ALTER TABLE synced ADD COLUMN crc32c TEXT; CREATE INDEX synced_by_inode ON synced (inode);"
    + _SCHEMA_OF_GROUPS,
}
"""What makes a journal of the next version of each earlier one: what is synced must not be sent again for that."""


class JournalFile:
    """The open database of one destination, and the lock that keeps a second process out."""

    def __init__(self, directory: str, destination: str) -> None:
        self.path = Path(directory) / NAME
        try:
            Path(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock: int | None = _lock(Path(directory) / LOCK_NAME)
        except OSError as error:
            raise self._cannot_write(error.strerror or str(error)) from error
        try:
            with self.mapped_errors():
                self.database = self._opened(destination)
        except BaseException:
            if self._lock is not None:
                os.close(self._lock)
            raise

    def close(self) -> None:
        """Close the database and let go of the lock."""
        self.database.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @contextlib.contextmanager
    def mapped_errors(self) -> Iterator[None]:
        """
        SQLite's errors as ``CannotWriteError``. A database that turns out to be damaged is moved
        aside at once, so that the next start doesn't meet it again.
        """
        try:
            yield
        except sqlite3.Error as error:
            if _is_damage(error):
                self._move_aside()
                raise CannotWriteError(
                    f"the journal {self.path} is damaged: {error}",
                    hint="start again: it was moved aside, and what is in the bucket is compared",
                ) from error
            if not isinstance(error, sqlite3.OperationalError):
                raise  # a bug, not the disk
            raise self._cannot_write(str(error)) from error

    def _cannot_write(self, why: str) -> CannotWriteError:
        return CannotWriteError(
            f"can't write the journal in {self.path.parent}: {why}", hint=_STATE_HINT
        )

    def _opened(self, destination: str) -> sqlite3.Connection:
        try:
            database = self._connected()
            _migrate(database)
            why_not = _unusable(database, destination)
            if why_not is not None:
                database.close()
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            self._move_aside()
            get_logger().warning(
                "journal.damaged", path=str(self.path), error=str(error), moved_to=f"{NAME}.damaged"
            )
            return self._created(destination)
        if why_not is None:
            return database
        if why_not:
            get_logger().warning(
                "journal.replaced", path=str(self.path), reason=why_not, destination=destination
            )
        self._remove()
        return self._created(destination)

    def _connected(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
        try:
            mode = "DELETE" if on_network(str(self.path.parent)) else "WAL"
            database.execute(f"PRAGMA journal_mode = {mode}")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(f"PRAGMA journal_size_limit = {16 << 20}")
            # The read-only root of a container has no directory for temporary files.
            database.execute("PRAGMA temp_store = MEMORY")
            if self.path.stat().st_size <= CHECKED_BYTES:
                _check(database)
        except BaseException:
            database.close()
            raise
        return database

    def _created(self, destination: str) -> sqlite3.Connection:
        database = self._connected()
        database.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {VERSION};COMMIT;")
        database.execute("INSERT INTO meta VALUES ('destination', ?)", (destination,))
        return database

    def _move_aside(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.path.replace(self.path.with_name(f"{NAME}.damaged"))
        self._remove()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm", "-journal"):
            self.path.with_name(NAME + suffix).unlink(missing_ok=True)


class NoFile:
    """A database in memory, for a journal that nothing is to be found in later."""

    def __init__(self) -> None:
        self.database = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self.database.executescript(_SCHEMA)

    def close(self) -> None:
        """Let it go."""
        self.database.close()

    @contextlib.contextmanager
    def mapped_errors(self) -> Iterator[None]:
        """There is no disk to have trouble with."""
        yield


class DamagedError(sqlite3.DatabaseError):
    """SQLite's own check found the database inconsistent."""


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, DamagedError) or code in {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }


def _check(database: sqlite3.Connection) -> None:
    [verdict] = database.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise DamagedError(verdict)


def _migrate(database: sqlite3.Connection) -> None:
    """Bring an earlier version up to this one, a version a transaction."""
    [version] = database.execute("PRAGMA user_version").fetchone()
    while version in _MIGRATIONS:
        change = (
            f"BEGIN IMMEDIATE;{_MIGRATIONS[version]}PRAGMA user_version = {version + 1};COMMIT;"
        )
        try:
            database.executescript(change)
        except sqlite3.Error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        version += 1


def _unusable(database: sqlite3.Connection, destination: str) -> str | None:
    """Why what is there can't be used: ``""`` if it is empty, ``None`` if it can."""
    [version] = database.execute("PRAGMA user_version").fetchone()
    if not database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        return ""
    if version != VERSION:
        return f"it has version {version}, this program writes {VERSION}"
    row = database.execute("SELECT value FROM meta WHERE name = 'destination'").fetchone()
    if row is None:
        return ""
    if row[0] != destination:
        [uploads] = database.execute("SELECT count(*) FROM uploads").fetchone()
        left = f", where it leaves {uploads} uploads open" if uploads else ""
        return f"it belongs to {row[0]}{left}"
    return None


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            os.close(descriptor)
            raise ConfigurationError(
                f"another process has the journal in {path.parent} open",
                hint="one sidecar for one outputs path; a second one needs its own --state DIR",
            ) from error
        # A file system without locks can't keep a second process out; that alone is no reason to fail.
        get_logger().warning("journal.not_locked", path=str(path), error=error.strerror)
    return descriptor


def on_network(directory: str, mountinfo: str = "/proc/self/mountinfo") -> bool:
    """Whether a directory is on a network file system (or on FUSE, which may be one)."""
    kind = filesystem_kind(os.path.realpath(directory), mountinfo)
    return kind in NETWORK_FILESYSTEMS or kind == "fuse" or kind.startswith("fuse.")


def filesystem_kind(real_path: str, mountinfo: str) -> str:
    """The file system's type of the mount that holds a path, as proc(5) tells it; ``""`` if unknown."""
    best, kind = -1, ""
    try:
        lines = Path(mountinfo).read_bytes().splitlines()
    except OSError:
        return kind
    for line in lines:
        fields, _, rest = line.partition(b" - ")
        # Blanks, tabs, newlines and backslashes in names are written as three octal digits.
        name = re.sub(
            rb"\\([0-7]{3})", lambda digits: bytes([int(digits[1], 8)]), fields.split()[4]
        )
        mount = os.fsdecode(name)
        inside = real_path == mount or real_path.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= best:  # a later mount on the same place covers the earlier
            best, kind = len(mount), rest.split()[0].decode()
    return kind
