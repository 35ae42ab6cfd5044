"""What is at the destination, compared with what the journal says or has lost."""

from lighterman.errors import SourceChangedError
from lighterman.stores.contract import ETag, Key, Store, Window
from sidecar.journal import Journal
from sidecar.listing import Listing
from sidecar.parts import part_bytes_for
from sidecar.states import RelPath


class Adoption:
    """
    For a journal that lost its memory: which files are at the destination already. A file whose object
    has its content, as far as the store's ETags and checksums can tell, isn't sent again.
    """

    def __init__(self, store: Store, prefix: str, directory: str) -> None:
        self._store = store
        self._listing = Listing(store, prefix, directory, "adoption.db")

    @property
    def count(self) -> int:
        """Objects at the destination."""
        return self._listing.count

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


def verify_listing(store: Store, prefix: str, journal: Journal) -> list[RelPath]:
    """
    The drain's last check: every journaled key is listed with the journal's size and ETag. Paths of
    those that aren't are returned, and forgotten by the journal, so that they are sent again.

    Costs one listing, on disk beside the journal; memory for one page and the differing paths. A file
    that is sent while the listing runs may be returned without need.
    """
    with Listing(store, prefix, journal.directory) as listing:
        return journal.forget_unlisted(listing.path)
