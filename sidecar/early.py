"""
The last check, made while the last walk is under way: most drains have little left to send, and with nothing at all
the listing of that time says as much as one after it.
"""

from lighterman.errors import LightermanError
from lighterman.stores.contract import Store
from lighterman.transfer.retry import Attempts
from sidecar.journal import Journal
from sidecar.rebuild import is_all_listed


class EarlyCheck:
    """One listing, held against a journal in which nothing changes; it is of no use once something does."""

    def __init__(self, store: Store, prefix: str, journal: Journal, attempts: Attempts) -> None:
        self._store = store
        self._prefix = prefix
        self._journal = journal
        self._attempts = attempts
        self._changes = journal.changes
        self._is_all_listed: bool | None = None

    def look(self) -> bool:
        """In the background: whether all is listed. It gives up when the journal changes, and at an error."""
        try:
            return self._attempts.call(
                f"list {self._prefix}",
                lambda: is_all_listed(
                    self._store, self._prefix, self._journal, may_go_on=self._is_unchanged
                ),
            )
        except LightermanError:  # the check that follows says what it is
            return False

    def ended(self, is_all_listed: bool) -> None:
        """What came of it, in the main thread."""
        self._is_all_listed = is_all_listed

    @property
    def is_awaited(self) -> bool:
        """Whether it is under way and may still tell something."""
        return self._is_all_listed is None and self._is_unchanged()

    @property
    def holds(self) -> bool:
        """Whether all that the journal has now is in the bucket as it says."""
        return bool(self._is_all_listed) and self._is_unchanged()

    def _is_unchanged(self) -> bool:
        return self._journal.changes == self._changes
