"""A listing on disk: what is at the destination, looked up and compared without holding it in memory."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from lighterman.errors import CannotWriteError
from lighterman.stores.contract import ETag, Key, Listed, Store


class Listing:
    """
    Every object below ``prefix`` (all of the bucket where it is empty), in a database of its own beside
    the journal: a read-only container has no other place. It is removed on ``close``.
    """

    def __init__(self, store: Store, prefix: str, directory: str, name: str = "listing.db") -> None:
        self.path = str(Path(directory) / name)
        self._guard = threading.Lock()
        self.count = 0
        try:
            # A job may clear its outputs, and with them the default state directory.
            Path(directory).mkdir(exist_ok=True)
            self._remove()
            self._database = sqlite3.connect(
                self.path, check_same_thread=False, isolation_level=None
            )
            # Nothing here outlives a crash, or has to.
            self._database.execute("PRAGMA journal_mode = OFF")
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.execute(
                "CREATE TABLE listed (key TEXT PRIMARY KEY, size_bytes INTEGER, etag TEXT, checksum TEXT)"
                " WITHOUT ROWID"
            )
            for page in store.pages(f"{prefix}/" if prefix else ""):
                self._database.execute("BEGIN")
                self._database.executemany(
                    "INSERT OR REPLACE INTO listed VALUES (?, ?, ?, ?)",
                    ((one.key, one.size_bytes, one.etag, one.checksum) for one in page),
                )
                self._database.execute("COMMIT")
                self.count += len(page)
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise CannotWriteError(
                f"can't keep the destination's listing in {directory}: {error}",
                hint="give a writable directory with space with --state DIR",
            ) from error
        except BaseException:
            self.close()
            raise

    def has(self, key: Key) -> bool:
        """Whether a key is listed and wasn't taken."""
        with self._guard:
            return bool(
                self._database.execute("SELECT 1 FROM listed WHERE key = ?", (key,)).fetchone()
            )

    def take(self, key: Key) -> Listed | None:
        """
        What is listed under a key, told once: whoever asked may overwrite the object, and the listing
        would vouch for what is no more.
        """
        with self._guard:
            row = self._database.execute(
                "DELETE FROM listed WHERE key = ? RETURNING size_bytes, etag, checksum", (key,)
            ).fetchone()
        if not row:
            return None
        size_bytes, etag, checksum = row
        return Listed(key, size_bytes, etag, 0.0, checksum=checksum)

    def take_exact(self, key: Key, etag: ETag, size_bytes: int) -> bool:
        """Whether this very object is listed under a key; then it is told once, as by ``take``."""
        with self._guard:
            found = self._database.execute(
                "DELETE FROM listed WHERE key = ? AND etag = ? AND size_bytes = ? RETURNING 1",
                (key, etag, size_bytes),
            ).fetchall()
        return bool(found)

    def take_named(self, name: str, *, also: Key) -> list[tuple[Key, ETag | None]]:
        """Every key with this last component, and one more, with their ETags; told once, as by ``take``."""
        with self._guard:
            rows = self._database.execute(
                "DELETE FROM listed WHERE key = ? OR key GLOB ? OR key = ? RETURNING key, etag",
                (name, f"*/{name}", also),
            ).fetchall()
        return [(Key(key), ETag(etag)) for key, etag in rows]

    def left(self) -> Iterator[Key]:
        """The keys that nobody took, in order."""
        last = ""
        while True:
            with self._guard:
                rows = self._database.execute(
                    "SELECT key FROM listed WHERE key > ? ORDER BY key LIMIT 1000", (last,)
                ).fetchall()
            if not rows:
                return
            for (last,) in rows:
                yield Key(last)

    def close(self) -> None:
        """Remove it."""
        with contextlib.suppress(AttributeError):  # it failed before there was one
            self._database.close()
        self._remove()

    def _remove(self) -> None:
        for suffix in ("", "-journal"):
            Path(self.path + suffix).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
