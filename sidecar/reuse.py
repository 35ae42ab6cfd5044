"""
What the bucket has isn't sent again: a renamed file is copied inside the store, a rewritten one that has the
content that it had gets its new mode and mtime by a copy onto itself, and of a growing log only the tail is sent.

Whatever doesn't work out (another object by now, a store or a login that refuses copies) is sent instead.
"""

from collections import Counter
from typing import Final

from lighterman.errors import (
    ConfigurationError,
    CredentialsError,
    LightermanError,
    SourceChangedError,
    SourceMissingError,
    UploadMissingError,
)
from lighterman.log import get_logger
from lighterman.stores.contract import ETag, Key, Store
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from lighterman.transfer.tally import Tally
from sidecar.attributes import attributes_of
from sidecar.conflicts import Expected, look_first
from sidecar.extend import Extender
from sidecar.journal import Journal
from sidecar.output import Output
from sidecar.parts import part_bytes_for
from sidecar.shipment import Shipment
from sidecar.states import RelPath, Synced
from sidecar.sums import crc32c_of
from sidecar.ways import Abilities, Copy, Extend, Known, Proof, ways

REFUSALS: Final = (CredentialsError, ConfigurationError)
"""Of a copy: the login may write and not read, or the store knows no copies."""
_NOT_SO: Final = (SourceChangedError, SourceMissingError, UploadMissingError)
MOST_MISSES: Final = 2
"""
A large file that was rewritten with other content of the same size so often in a row, as checkpoints are, isn't
read before it is sent any more.
"""
MOST_REMEMBERED: Final = 10_000


class Reuse:
    """Usable from many threads, each with its own path."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        extender: Extender,
        *,
        attempts: Attempts,
        pace: Pace,
        budget: Budget,
        tally: Tally,
        whole_bytes: int,
    ) -> None:
        self._store = store
        self._journal = journal
        self._extender = extender
        self._attempts = attempts
        self._pace = pace
        self._budget = budget
        self._tally = tally
        self._abilities = Abilities(store.copies_parts, store.limits.least_part_bytes, whole_bytes)
        self._is_refused = False
        self._misses: Counter[RelPath] = Counter()

    def bring(
        self,
        output: Output,
        key: Key,
        own: Synced | None,
        origin: RelPath | None,
        expected: Expected,
        *,
        live: bool,
    ) -> ETag | None:
        """
        The object's ETag once it has the output's state without having been sent, and the journal says so; ``None``
        where it has to be sent. ``own`` is what the journal has of the path, ``origin`` the path it was renamed from.
        Raises the store's transient errors when retries didn't help, and ``ConditionFailedError`` where something
        else than expected is in its place.
        """
        if self._is_refused or self._is_begun(output):
            return None
        found = ways(
            output.state, key, self._known(output, own, origin), self._abilities, live=live
        )
        if not found:
            return None
        crc32c: str | None = None
        for way in found:
            if isinstance(way, Extend):
                return self._extended(output, key, way.source, expected)
            if way.proof is not Proof.RENAME:
                if crc32c is None:
                    if self._is_hopeless(output, way):
                        return None
                    crc32c = self._sum(output)
                if crc32c != way.source.crc32c or not self._is_proven(output, way):
                    continue
            etag = self._copied(output, key, way.source, expected)
            if etag is not None:
                self._misses.pop(output.path, None)
                return etag
        self._note_miss(output)
        return None

    def _known(self, output: Output, own: Synced | None, origin: RelPath | None) -> Known:
        came_from = self._journal.synced(origin) if origin is not None else None
        # Of a journal that was empty at the start, all files that are met are new, or their rename was told.
        twins = () if self._journal.fresh else tuple(self._journal.synced_as(output.state))
        return Known(own, came_from, twins)

    def _is_begun(self, output: Output) -> bool:
        """An upload of this very state, which a killed process left, is gone on with."""
        upload = self._journal.open_upload(output.path)
        return upload is not None and upload.upload_id is not None and upload.state == output.state

    # Proofs

    def _sum(self, output: Output) -> str | None:
        with self._budget.take(self._store.call_memory_bytes):
            try:
                return crc32c_of(output.window)
            except SourceChangedError:  # cut meanwhile: whoever sends it finds out
                return None

    def _is_proven(self, output: Output, way: Copy) -> bool:
        if way.proof is Proof.CONTENT:
            source, window = way.source, output.window
            part_bytes = part_bytes_for(window.size_bytes, self._store.limits)

            def compare() -> bool:
                with self._pace.slot():
                    return self._store.same_content(source.key, source.etag, window, part_bytes)

            try:
                if not self._attempts.call(f"compare {source.key}", compare):
                    return False
            except (*_NOT_SO, *REFUSALS):
                return False
        return output.holds(live=False)

    def _is_hopeless(self, output: Output, way: Copy) -> bool:
        is_large = output.state.size_bytes > self._abilities.whole_bytes
        is_rewritten = way.proof is Proof.CONTENT
        return is_large and is_rewritten and self._misses[output.path] >= MOST_MISSES

    def _note_miss(self, output: Output) -> None:
        if output.state.size_bytes > self._abilities.whole_bytes:
            if len(self._misses) >= MOST_REMEMBERED:
                self._misses.clear()
            self._misses[output.path] += 1

    # Copies

    def _copied(self, output: Output, key: Key, source: Synced, expected: Expected) -> ETag | None:
        path, state = output.path, output.state

        def copy() -> ETag:
            with self._pace.slot():
                look_first(self._store, key, expected)
                return self._store.copy(
                    source.key, source.etag, key, attributes_of(path, state), **expected.conditions
                )

        with Shipment(self._tally) as shipment:
            shipment.plan(0)
            try:
                etag = self._attempts.call(f"copy {source.key} to {key}", copy)
            except _NOT_SO:
                return None
            except REFUSALS as error:
                self._note_refusal(error)
                return None
            self._journal.mark_synced([(path, Synced(state, key, etag, crc32c=source.crc32c))])
            self._extender.abandon(path)  # what was begun of an earlier state
            shipment.done()
        get_logger().debug("sidecar.file_copied", key=key, source=source.key)
        return etag

    def _extended(
        self, output: Output, key: Key, source: Synced, expected: Expected
    ) -> ETag | None:
        try:
            with Shipment(self._tally) as shipment:
                etag = self._extender.send(output, key, source, expected, shipment)
                if etag is not None:
                    shipment.done()
                return etag
        except (*_NOT_SO, *REFUSALS) as error:
            self._extender.abandon(output.path)
            if isinstance(error, REFUSALS):
                self._note_refusal(error)
            return None

    def _note_refusal(self, error: LightermanError) -> None:
        if not self._is_refused:
            self._is_refused = True
            get_logger().warning(
                "sidecar.copies_refused",
                error=error.message,
                hint="what is renamed is sent again instead: let the login read what it wrote, and its tags",
            )
