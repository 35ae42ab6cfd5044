"""What is at the destination, compared with what the journal says or has lost."""

from typing import Final

from lighterman.errors import SourceChangedError
from lighterman.manifest import NAME as MANIFEST
from lighterman.stores.contract import ETag, Key, Listed, Store, Window
from sidecar.journal import Journal
from sidecar.listing import Listing
from sidecar.parts import part_bytes_for
from sidecar.states import RelPath, key_of, split

MOST_UNLISTED: Final = 1000
"""Rows between two listed ones that may be read before they are known to be missing."""


class Adoption:
    """
    For a journal that lost its memory: which files are at the destination already. A file whose object
    has its content, as far as the store's ETags and checksums can tell, isn't sent again.
    """

    def __init__(self, store: Store, prefix: str, directory: str) -> None:
        self._store = store
        self._prefix = prefix
        self._listing = Listing(store, prefix, directory, "adoption.db")

    @property
    def count(self) -> int:
        """Objects at the destination."""
        return self._listing.count

    def manifests(self, marker: str) -> list[tuple[Key, ETag | None]]:
        """The manifests that are listed, the marker of the whole prefix among them; told once."""
        return self._listing.take_named(
            MANIFEST, also=key_of(self._prefix, RelPath(marker or MANIFEST))
        )

    def equal(self, key: Key, window: Window) -> ETag | None:
        """
        The object's ETag, if its content is the window's. Reads the window where the sizes agree.
        A key is answered once: afterwards its object may be another.
        """
        listed = self._listing.take(key)
        if listed is None or listed.size_bytes != window.size_bytes:
            return None
        rule = part_bytes_for(window.size_bytes, self._store.limits)
        try:
            is_equal = self._store.has_content(listed, window, rule)
        except SourceChangedError:  # it was cut meanwhile
            return None
        return listed.etag if is_equal else None

    def lists(self, key: Key) -> bool:
        """Whether an object of that key is listed that wasn't told of yet."""
        return self._listing.has(key)

    def has(self, key: Key, etag: ETag, size_bytes: int) -> bool:
        """Whether the object is listed with this ETag and size. A yes is told once, as by ``equal``."""
        return self._listing.take_exact(key, etag, size_bytes)

    def marker(self, key: Key) -> ETag | None:
        """The ETag of a directory's marker that is listed and holds nothing. A key is answered once."""
        listed = self._listing.take(key)
        return listed.etag if listed is not None and not listed.size_bytes else None

    def close(self) -> None:
        """Let go of the listing."""
        self._listing.close()


def is_all_listed(store: Store, prefix: str, journal: Journal) -> bool:
    """
    Whether everything in the journal was met in one listing, page by page, with its size and ETag. Where it says no,
    it may only have been unable to tell so: a directory's marker, or another order than that of the keys.
    """
    start = f"{prefix}/" if prefix else ""
    left, last = journal.count(), ""
    for page in store.pages(start):
        names: dict[str, dict[str, Listed]] = {}
        for one in page:
            if one.key <= last:
                return False
            last = one.key
            directory, _, name = one.key[len(start) :].rpartition("/")
            if not name:  # a marker is noted under the directory above it
                directory, name = split(RelPath(one.key[len(start) :]))
            names.setdefault(directory, {})[name] = one
        for directory, its in names.items():
            most = len(its) + MOST_UNLISTED
            rows = journal.listed_as(RelPath(directory), min(its), max(its), most)
            for name, key, size_bytes, etag in rows:
                listed = its.get(name)
                if listed is None or listed.key != key:
                    return False
                is_same = listed.size_bytes == size_bytes and listed.etag == etag
                if not (is_same or name.endswith("/")):
                    return False
            left -= len(rows)
    return left == 0


def verify_listing(store: Store, prefix: str, journal: Journal) -> list[RelPath]:
    """
    The drain's last check: every journaled key is listed with the journal's size and ETag. Paths of
    those that aren't are returned, and forgotten by the journal, so that they are sent again.

    Costs one listing, and where that differs another, on disk beside the journal; memory for one page and the
    differing paths. A file that is sent while the listing runs may be returned without need.
    """
    if is_all_listed(store, prefix, journal):
        return []
    with Listing(store, prefix, journal.directory) as listing:
        return journal.forget_unlisted(listing.path)
