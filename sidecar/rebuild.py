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
    has its size and the ETag that its bytes would give isn't sent again.

    Where a store's ETags can't be computed, nothing is found equal, and everything is sent.
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
        # As this program writes it, or as most others do; a second look at the bytes costs less than
        # sending them.
        try:
            for part_bytes in (None, rule) if self._whole(window) else (rule, None):
                if self._store.content_etag(window, part_bytes) == listed.etag:
                    return listed.etag
        except SourceChangedError:  # it was cut meanwhile
            return None
        return None

    def _whole(self, window: Window) -> bool:
        return window.size_bytes <= self._store.small_write_bytes

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
