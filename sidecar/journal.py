"""
What the sidecar must remember across a crash: which state of which file is synced, which uploads are
open, which of their parts arrived. A SQLite database in the state directory, bound to one destination.

Each method is one transaction: when it returns, a killed process will find it. (``synchronous=NORMAL``:
a power cut may lose the last of them, which is then sent again, but never tears the database.)
"""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from lighterman.stores.contract import ETag, Key, Part
from sidecar import journal_file
from sidecar.states import FileState, RelPath, Synced, join, split

PAGE_ROWS = 1000
"""Rows of one page of ``rows``: the lock is free between pages, memory is for one."""
ASKED_AT_ONCE = 250
"""Names in one question: SQLite takes 999 variables, or 32,766 in its newer versions."""

MOST_TWINS = 4
"""Hard links of one file are as good as each other."""

Row = tuple[str, str, int, int, int, int, int, int, str, str, int, str | None]

_SYNCED = "device, inode, size_bytes, mtime_ns, ctime_ns, mode, key, etag, uploaded, crc32c"
_UPLOAD = (
    "path, key, upload_id, device, inode, size_bytes, mtime_ns, ctime_ns, mode, part_bytes,"
    " intended_seconds"
)


class PendingUpload(NamedTuple):
    """An upload by parts that was intended, and neither finished nor dropped."""

    path: RelPath
    key: Key
    upload_id: str | None
    """``None``: the store was about to be asked for it."""
    state: FileState
    part_bytes: int
    intended_seconds: float
    """Wall clock at the intention, before the store was asked."""


class Journal:
    """
    Open it with :meth:`open`. Usable from all threads; one process at a time.

    Paths that aren't UTF-8 are never in it: asked for, they are unknown.
    """

    fresh: bool
    """True when it held nothing for this destination as it was opened."""

    def __init__(
        self,
        directory: str,
        destination: str,
        file: journal_file.JournalFile | journal_file.NoFile,
        *,
        after: Callable[[str], None] | None = None,
    ) -> None:
        self.directory = directory
        self.destination = destination
        self._after = after
        self._guard = threading.Lock()
        self._waiting: list[list[Row]] = []
        self._waiting_guard = threading.Lock()
        self._file = file
        self._database = file.database
        self._pending = {path for (path,) in self._read("SELECT path FROM uploads")}
        self.fresh = not self._pending and not self._read("SELECT 1 FROM synced LIMIT 1")

    @classmethod
    def open(
        cls, directory: str, destination: str, *, after: Callable[[str], None] | None = None
    ) -> "Journal":
        """
        The journal in ``directory`` (made, if it isn't there) for ``destination``. One that belongs to
        another destination, is of another version or damaged is replaced by an empty one, and the log
        says so. ``after`` is called with a transition's name after its commit (kill tests use it).

        ``CannotWriteError`` if the directory can't be written, ``ConfigurationError`` if another
        process has this journal open.
        """
        return cls(
            directory, destination, journal_file.JournalFile(directory, destination), after=after
        )

    @classmethod
    def in_memory(cls, destination: str) -> "Journal":
        """A journal that ends with this process: for a file or two that nobody would go on with."""
        return cls("", destination, journal_file.NoFile())

    def close(self) -> None:
        """Let the next process have it."""
        with self._guard:
            self._file.close()

    # Files

    def synced(self, path: RelPath) -> Synced | None:
        """What is synced of this path; ``None`` if nothing is."""
        if not _is_utf8(path):
            return None
        rows = self._read(
            f"SELECT {_SYNCED} FROM synced WHERE directory = ? AND name = ?",  # noqa: S608  # constants
            split(path),
        )
        return _synced(rows[0]) if rows else None

    def synced_in(self, directory: RelPath) -> dict[str, Synced]:
        """Everything synced right in a directory (``""``: the root), by name; markers end with ``/``."""
        if not _is_utf8(directory):
            return {}
        rows = self._read(
            f"SELECT name, {_SYNCED} FROM synced WHERE directory = ?",  # noqa: S608  # constants
            (directory,),
        )
        return {row[0]: _synced(row[1:]) for row in rows}

    def synced_as(self, state: FileState) -> list[Synced]:
        """
        Under whatever paths, files with the content state (device, inode, size, mtime) of this one: it was
        renamed, or is another name of the same file. ``MOST_TWINS`` of them at most.
        """
        rows = self._read(
            f"SELECT {_SYNCED} FROM synced WHERE inode = ? AND device = ?"  # noqa: S608  # constants
            " AND size_bytes = ? AND mtime_ns = ? AND name NOT LIKE '%/' LIMIT ?",
            (state.inode, state.device, state.size_bytes, state.mtime_ns, MOST_TWINS),
        )
        return [_synced(row) for row in rows]

    def states_in(self, directory: RelPath) -> dict[str, tuple[int, ...]]:
        """The synced state of everything right in a directory, by name; each equal to a ``FileState``."""
        if not _is_utf8(directory):
            return {}
        rows = self._read(
            "SELECT name, device, inode, size_bytes, mtime_ns, ctime_ns, mode FROM synced"
            " WHERE directory = ?",
            (directory,),
        )
        return {row[0]: row[1:] for row in rows}

    def synced_of(self, paths: list[RelPath]) -> dict[RelPath, Synced]:
        """What is synced of these paths, as far as anything is; a query for each directory of them."""
        names: dict[RelPath, list[str]] = {}
        for path in paths:
            if _is_utf8(path):
                directory, name = split(path)
                names.setdefault(directory, []).append(name)
        found = {}
        for directory, its in names.items():
            for at in range(0, len(its), ASKED_AT_ONCE):
                asked = its[at : at + ASKED_AT_ONCE]
                rows = self._read(
                    f"SELECT name, {_SYNCED} FROM synced WHERE directory = ?"  # noqa: S608  # constants
                    f" AND name IN ({','.join('?' * len(asked))})",
                    (directory, *asked),
                )
                found.update({join(directory, row[0]): _synced(row[1:]) for row in rows})
        return found

    def mark_synced(self, files: list[tuple[RelPath, Synced]]) -> None:
        """
        Note files as synced, in one transaction.
        Callers from many threads share transactions: whoever comes first writes for those who wait.
        """
        rows = [_row(path, synced) for path, synced in files]
        if not rows:
            return
        with self._waiting_guard:
            self._waiting.append(rows)
        with self._guard:
            with self._waiting_guard:
                batches, self._waiting = self._waiting, []
            if not batches:  # another thread wrote them
                return
            try:
                self._change_unguarded(
                    "mark_synced", lambda: self._insert([row for each in batches for row in each])
                )
            except BaseException:
                with self._waiting_guard:  # the others, who wait, shall try by themselves
                    self._waiting += [batch for batch in batches if batch is not rows]
                raise

    def forget(self, path: RelPath) -> None:
        """Nothing is known to be synced of this path any more."""
        self._change("forget", "DELETE FROM synced WHERE directory = ? AND name = ?", split(path))

    def count(self) -> int:
        """How many files and markers are synced."""
        return int(self._read("SELECT count(*) FROM synced")[0][0])

    def rows(self, below: RelPath | str = "") -> Iterator[tuple[RelPath, Synced]]:
        """
        Everything synced (below a directory), in constant memory. Rows may change meanwhile: what is
        noted behind the iteration's place isn't seen.
        """
        for directory in self.directories(below):
            name = ""
            while page := self._read(
                f"SELECT name, {_SYNCED} FROM synced WHERE directory = ? AND name > ?"  # noqa: S608
                f" ORDER BY name LIMIT {PAGE_ROWS}",  # constants only
                (directory, name),
            ):
                for row in page:
                    yield join(directory, row[0]), _synced(row[1:])
                name = page[-1][0]

    def directories(self, below: RelPath | str = "") -> Iterator[RelPath]:
        """Each directory (``""``: the root) that has something synced right in it."""
        if below:
            if not _is_utf8(below):
                return
            if self._read("SELECT 1 FROM synced WHERE directory = ? LIMIT 1", (below,)):
                yield RelPath(below)
            last, end = f"{below}/", f"{below}0"  # "0" follows "/"
        else:
            if self._read("SELECT 1 FROM synced WHERE directory = '' LIMIT 1"):
                yield RelPath("")
            last, end = "", "\U0010ffff"
        while found := self._read(
            "SELECT min(directory) FROM synced WHERE directory > ? AND directory < ?", (last, end)
        )[0][0]:
            yield RelPath(found)
            last = found

    def rebase(self, device: int) -> None:
        """
        The outputs root is on ``device`` now. The same volume, mounted again or on another node, may
        have another number: states of the former one are taken over, so that nothing is sent again
        for that alone (inode and ctime still tell another file).
        """
        former = self._read("SELECT value FROM meta WHERE name = 'device'")
        if former and int(former[0][0]) == device:
            return

        def renumber() -> None:
            self._database.execute(
                "INSERT OR REPLACE INTO meta (name, value) VALUES ('device', ?)", (str(device),)
            )
            if former:
                change = (device, int(former[0][0]))
                self._database.execute("UPDATE synced SET device = ? WHERE device = ?", change)
                self._database.execute("UPDATE uploads SET device = ? WHERE device = ?", change)

        with self._guard:
            self._change_unguarded("rebase", renumber)

    # Uploads by parts

    def intend(
        self, path: RelPath, key: Key, state: FileState, part_bytes: int, at_seconds: float
    ) -> None:
        """The store is about to be asked to begin an upload. The path must have none that is open."""
        self._change(
            "intend",
            f"INSERT INTO uploads ({_UPLOAD}) VALUES (?,?,NULL,?,?,?,?,?,?,?,?)",  # noqa: S608  # constants
            (path, key, *state, part_bytes, at_seconds),
        )
        self._pending.add(path)

    def begun(self, path: RelPath, upload_id: str) -> None:
        """The store began it under this id."""
        self._change("begun", "UPDATE uploads SET upload_id = ? WHERE path = ?", (upload_id, path))

    def part_sent(self, path: RelPath, part: Part) -> None:
        """The store has this part."""
        self._change(
            "part_sent",
            "INSERT OR REPLACE INTO parts (path, number, etag, size_bytes) VALUES (?,?,?,?)",
            (path, *part),
        )

    def parts(self, path: RelPath) -> list[Part]:
        """The parts that the store was seen to have, by number."""
        return [
            Part(number, ETag(etag), size_bytes)
            for number, etag, size_bytes in self._read(
                "SELECT number, etag, size_bytes FROM parts WHERE path = ? ORDER BY number", (path,)
            )
        ]

    def open_upload(self, path: RelPath) -> PendingUpload | None:
        """The path's upload that waits for its end. Costs nothing where there is none."""
        if path not in self._pending:
            return None
        rows = self._read(f"SELECT {_UPLOAD} FROM uploads WHERE path = ?", (path,))  # noqa: S608  # constants
        return _pending(rows[0]) if rows else None

    def open_uploads(self) -> list[PendingUpload]:
        """All uploads that wait for their end."""
        return [_pending(row) for row in self._read(f"SELECT {_UPLOAD} FROM uploads")]  # noqa: S608  # constants

    def dropped(self, path: RelPath) -> None:
        """The path's upload is no more, and neither are its parts."""
        with self._guard:
            self._change_unguarded("dropped", lambda: self._drop(path))
        self._pending.discard(path)

    def finished(self, path: RelPath, synced: Synced) -> None:
        """The path's upload is an object now: its row goes, the file's comes, at once."""

        def move() -> None:
            self._drop(path)
            self._insert([_row(path, synced)])

        with self._guard:
            self._change_unguarded("finished", move)
        self._pending.discard(path)

    # Groups

    def note_crc32c(self, path: RelPath, etag: ETag, crc32c: str) -> None:
        """What the path's object adds up to, if it still is the one with this ETag."""
        self._change(
            "note_crc32c",
            "UPDATE synced SET crc32c = ? WHERE directory = ? AND name = ? AND etag = ?",
            (crc32c, *split(path), etag),
        )

    def manifests(self) -> dict[Key, ETag | None]:
        """Every manifest that the bucket may have; without an ETag where its writing isn't known to have ended."""
        return {Key(key): etag for key, etag in self._read("SELECT key, etag FROM manifests")}

    def note_manifests(self, manifests: list[tuple[Key, ETag | None]]) -> None:
        """
        The bucket has these, or (``None``) will have them any moment. This holds after a power cut too: a
        manifest that nobody knows of could not be withdrawn.
        """
        if not manifests:
            return
        is_written = any(etag for _, etag in manifests)
        with self._guard:
            self._database.execute("PRAGMA synchronous = FULL")
            try:
                self._change_unguarded(
                    "manifest_written" if is_written else "manifest_intended",
                    lambda: self._database.executemany(
                        "INSERT OR REPLACE INTO manifests VALUES (?, ?)", manifests
                    ),
                )
            finally:
                self._database.execute("PRAGMA synchronous = NORMAL")

    def manifest_withdrawn(self, key: Key) -> None:
        """The bucket has it no more."""
        self._change("manifest_withdrawn", "DELETE FROM manifests WHERE key = ?", (key,))

    def completed(self) -> dict[RelPath, int]:
        """The groups that were renamed into place, and when: nanoseconds by their file system's clock."""
        return dict(self._read("SELECT directory, at_ns FROM completed"))

    def complete(self, directory: RelPath, at_ns: int | None) -> None:
        """A group was renamed into place then; ``None``: it is gone."""
        if at_ns is None:
            self._change("gone", "DELETE FROM completed WHERE directory = ?", (directory,))
        else:
            sql = "INSERT OR REPLACE INTO completed VALUES (?, ?)"
            self._change("complete", sql, (directory, at_ns))

    # Against a listing

    def listed_as(
        self, directory: RelPath, first: str, last: str, most: int
    ) -> list[tuple[str, Key, int, ETag]]:
        """Name, key, size and ETag of what is synced right in a directory, from a name to another; at most so many."""
        return self._read(
            "SELECT name, key, size_bytes, etag FROM synced WHERE directory = ?"
            " AND name BETWEEN ? AND ? ORDER BY name LIMIT ?",
            (directory, first, last, most),
        )

    def forget_unlisted(self, listing_file: str) -> list[RelPath]:
        """
        Forget, and return, every path whose key the listing (a database by ``sidecar.listing``) doesn't
        have with the journal's size and ETag. A directory's marker only has to be there, or anything
        below it: a store of real directories lists one as such only while it is empty.
        """
        different = (
            "SELECT directory, name FROM synced LEFT JOIN other.listed USING (key) WHERE"
            " CASE WHEN name LIKE '%/' THEN NOT EXISTS (SELECT 1 FROM other.listed AS below"
            " WHERE below.key >= synced.key"
            " AND below.key < substr(synced.key, 1, length(synced.key) - 1) || '0')"
            " ELSE listed.key IS NULL OR listed.size_bytes != synced.size_bytes"
            " OR listed.etag != synced.etag END"
        )
        with self._guard, self._file.mapped_errors():
            self._database.execute("ATTACH ? AS other", (listing_file,))
            try:
                found = self._database.execute(different).fetchall()
            finally:
                self._database.execute("DETACH other")
            if found:
                self._change_unguarded(
                    "forget_unlisted",
                    lambda: self._database.executemany(
                        "DELETE FROM synced WHERE directory = ? AND name = ?", found
                    ),
                )
        return [join(directory, name) for directory, name in found]

    # Inside

    def _read(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with self._guard, self._file.mapped_errors():
            return self._database.execute(sql, values).fetchall()

    def _change(self, name: str, sql: str, values: tuple[object, ...]) -> None:
        with self._guard:
            self._change_unguarded(name, lambda: self._database.execute(sql, values))

    def _change_unguarded(self, name: str, change: Callable[[], object]) -> None:
        with self._file.mapped_errors():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                change()
                self._database.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # a full disk may have rolled it back
                    self._database.execute("ROLLBACK")
                raise
        if self._after is not None:
            self._after(name)

    def _insert(self, rows: list[Row]) -> None:
        self._database.executemany(
            f"INSERT OR REPLACE INTO synced (directory, name, {_SYNCED})"  # noqa: S608  # constants
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            rows,
        )

    def _drop(self, path: RelPath) -> None:
        self._database.execute("DELETE FROM parts WHERE path = ?", (path,))
        self._database.execute("DELETE FROM uploads WHERE path = ?", (path,))


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _row(path: RelPath, synced: Synced) -> Row:
    identity = (synced.key, synced.etag, int(synced.uploaded), synced.crc32c)
    return (*split(path), *synced.state, *identity)


def _synced(row: tuple[Any, ...]) -> Synced:
    *state, key, etag, uploaded, crc32c = row
    return Synced(FileState(*state), Key(key), ETag(etag), bool(uploaded), crc32c)


def _pending(row: tuple[Any, ...]) -> PendingUpload:
    path, key, upload_id, *state, part_bytes, intended_seconds = row
    return PendingUpload(path, key, upload_id, FileState(*state), part_bytes, intended_seconds)
