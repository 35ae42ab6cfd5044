"""One listing: whole in spite of transient trouble, and sorted where the store doesn't sort."""

import marshal
import os
from collections.abc import Iterator

from lighterman.errors import LightermanError
from lighterman.stores.contract import Checksum, ETag, Key, Listed, Store
from lighterman.transfer.retry import Attempts


class UnsortedError(Exception):
    """A listing isn't in the order of the keys, or isn't the same when it is asked for in parts: it must be sorted."""


def pages_again(
    store: Store, prefix: str, attempts: Attempts
) -> Iterator[tuple[list[Listed], bool]]:
    """
    Each page, and whether it is the first of a listing: of the first one, or of one that was begun again
    after transient trouble and gives everything once more.
    """
    listing: Iterator[list[Listed]] | None = None

    def advance() -> tuple[list[Listed] | None, bool]:
        nonlocal listing
        begins = listing is None
        if listing is None:
            listing = store.pages(prefix)
        try:
            return next(listing, None), begins
        except LightermanError:
            listing = None
            raise

    while True:
        page, begins = attempts.call(f"list {prefix or '/'}", advance)
        if page is None:
            return
        yield page, begins


def put_in_order(
    store: Store, prefix: str, attempts: Attempts, directory: str
) -> Iterator[list[Listed]]:
    """The whole listing in order, of a store that has another (S3's directory buckets): sorted on disk first."""
    import sqlite3

    path = _free_name(directory)
    database = sqlite3.connect(path, isolation_level=None)
    try:
        database.execute("pragma synchronous = off")
        database.execute("pragma journal_mode = off")
        database.execute("create table listing (key blob primary key, listed blob) without rowid")
        database.execute("begin")
        for page, _ in pages_again(store, prefix, attempts):
            database.executemany("insert or replace into listing values (?, ?)", map(_row, page))
        database.execute("commit")
        cursor = database.execute("select listed from listing order by key")
        while rows := cursor.fetchmany(1000):
            yield [_listed(row[0]) for row in rows]
    finally:
        database.close()
        os.unlink(path)


def _free_name(directory: str) -> str:
    """Several listings may be sorted at once, and a killed run may have left some."""
    number = 0
    while os.path.lexists(path := f"{directory}/listing-{number}.tmp"):
        number += 1
    return path


def _row(listed: Listed) -> tuple[bytes, bytes]:
    # Python compares strings by code points, which this encoding keeps the order of.
    fields = (
        listed.key,
        listed.size_bytes,
        listed.etag,
        listed.modified_seconds,
        listed.archived,
        listed.checksum,
    )
    return listed.key.encode("utf-8", "surrogatepass"), marshal.dumps(fields)


def _listed(row: bytes) -> Listed:
    fields: tuple[Key, int, ETag, float, bool, Checksum | None] = marshal.loads(row)  # noqa: S302 - our own bytes
    return Listed(*fields)
