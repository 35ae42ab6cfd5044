"""
``--on-conflict fail``: an object that someone else wrote is never replaced. The store compares, as far as it
keeps conditions (see ``sidecar.promises``); what is here decides what to expect, and what a refusal means.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from lighterman.errors import ConditionFailedError, ConflictError, SourceMissingError
from lighterman.log import get_logger
from lighterman.stores.contract import ETag, Key, Stat, Store
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from sidecar.journal import Journal
from sidecar.output import Output
from sidecar.parts import part_bytes_for
from sidecar.states import FileState, RelPath, Synced

T = TypeVar("T")


class Expected(NamedTuple):
    """What is to be found in an object's place when it is written; nothing said: whatever it is."""

    only_if_absent: bool = False
    replacing: ETag | None = None

    @property
    def conditions(self) -> dict[str, Any]:
        """As the store's methods take it: nothing where nothing is expected."""
        said = {"only_if_absent": self.only_if_absent, "replacing": self.replacing}
        return {name: value for name, value in said.items() if value}

    def holds(self, found: ETag | None) -> bool:
        """Whether an object of this ETag, or none, is what is expected."""
        if self.replacing is not None:
            return found == self.replacing
        return found is None or not self.only_if_absent


ANYTHING = Expected()


def expected(known: Synced | None, key: Key) -> Expected:
    """The object that this journal made, or found equal; without one, none."""
    if known is None or known.key != key:
        return Expected(only_if_absent=True)
    return Expected(replacing=known.etag)


def look_first(store: Store, key: Key, expectation: Expected) -> None:
    """
    ``ConditionFailedError`` where the store has another object than expected: before bytes are sent in vain, and
    before the end of an upload, whose condition some stores forget. One request, none where nothing is expected.
    """
    if expectation == ANYTHING:
        return
    try:
        found = store.stat(key).etag
    except SourceMissingError:
        found = None
    if not expectation.holds(found):
        raise ConditionFailedError(
            f"{key!r} is another object than the one this journal knows",
            connection=store.connection,
            key=key,
        )


class Conflicts:
    """What a write that didn't find what it expected comes to. Usable from many threads."""

    def __init__(
        self, store: Store, journal: Journal, *, attempts: Attempts, pace: Pace, fails: bool
    ) -> None:
        """``fails`` is ``--on-conflict fail``; else nothing is ever expected."""
        self._store = store
        self._journal = journal
        self._attempts = attempts
        self._pace = pace
        self._fails = fails

    def expected(self, known: Synced | None, key: Key) -> Expected:
        """What a write of this key is to find."""
        return expected(known, key) if self._fails else ANYTHING

    def settled(
        self, output: Output, key: Key, again: Callable[[Expected], ETag | None], *, live: bool
    ) -> ETag | None:
        """
        A condition failed. What is there may be our own: an answer was lost, or this process's predecessor was
        killed before it could note it; so the content is compared first. Where nothing is there (somebody deleted
        it), nothing is clobbered by writing ``again``. Else ``ConflictError``.
        """
        found = self._found(key)
        if found is None:
            try:
                return again(Expected(only_if_absent=True))
            except ConditionFailedError:
                found = self._found(key)
        if found is not None and self._is_equal(output, found, live=live):
            get_logger().info("sidecar.found_equal", key=key)
            # Whose it is can't be told: it counts as found, so that its object is never deleted.
            synced = Synced(output.state, key, found.etag, uploaded=False)
            self._journal.mark_synced([(output.path, synced)])
            return found.etag
        raise self._conflict(key)

    def settled_marker(self, marker: RelPath, key: Key, state: FileState) -> None:
        """As ``settled``, for a directory's marker: an empty object is one, whoever made it."""
        found = self._found(key)
        if found is None or found.size_bytes:
            raise self._conflict(key)
        self._journal.mark_synced([(marker, Synced(state, key, found.etag, uploaded=False))])

    def _is_equal(self, output: Output, found: Stat, *, live: bool) -> bool:
        window = output.window
        if found.size_bytes != window.size_bytes:
            return False
        part_bytes = part_bytes_for(window.size_bytes, self._store.limits)
        is_equal = self._request(
            f"compare {found.key}",
            lambda: self._store.same_content(found.key, found.etag, window, part_bytes),
        )
        return is_equal and output.holds(live=live)

    def _found(self, key: Key) -> Stat | None:
        try:
            return self._request(f"stat {key}", lambda: self._store.stat(key))
        except SourceMissingError:
            return None

    def _request(self, what: str, operation: Callable[[], T]) -> T:
        def attempt() -> T:
            with self._pace.slot():
                return operation()

        return self._attempts.call(what, attempt)

    def _conflict(self, key: Key) -> ConflictError:
        return ConflictError(
            f"{key!r} was written by someone else: this output is kept out of the bucket",
            hint="give each writer its own --to, delete that object, or say --on-conflict overwrite",
            connection=self._store.connection,
            key=key,
        )
