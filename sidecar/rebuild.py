"""What is at the destination, compared with the journal (signatures first)."""

from lighterman.stores.contract import Store
from sidecar.journal import Journal
from sidecar.states import RelPath


def verify_listing(store: Store, prefix: str, journal: Journal) -> list[RelPath]:
    """
    The drain's last check: every journaled key is listed with the journal's size and ETag. Paths of
    those that aren't are returned, and forgotten by the journal, so that they are sent again.
    """
    ...
