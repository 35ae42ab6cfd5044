"""
One opened file to its key: a small one at once, from a copy in memory; a large one by parts, straight
from the descriptor. Either way the object is one state that the file had.
"""

import os
from collections.abc import Callable
from typing import Final

from lighterman.checksums import CRC32C, of_window
from lighterman.clock import Clock
from lighterman.stores.contract import ETag, Key, Store, Window
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from lighterman.transfer.settings import TransferSettings
from lighterman.transfer.tally import Tally
from sidecar.attributes import attributes_of
from sidecar.journal import Journal
from sidecar.multipart import Multipart
from sidecar.output import Output
from sidecar.shipment import Shipment
from sidecar.states import FileState, RelPath, Synced

WHOLE_BYTES: Final = 8 << 20
"""Larger ones go by parts, whatever the store would take at once: they are copied into memory first."""


class Carrier:
    """
    Carries files to one store and notes them in the journal. Usable from many threads, each with its own
    path. The tally counts what is planned, carried and done.
    """

    def __init__(
        self,
        store: Store,
        journal: Journal,
        *,
        settings: TransferSettings,
        clock: Clock,
        attempts: Attempts,
        pace: Pace,
        budget: Budget,
        tally: Tally,
        part_threads: int = 4,
        wants_crc32c: Callable[[RelPath], bool] = lambda _path: False,
    ) -> None:
        """``wants_crc32c`` says of which files the journal is to have the sum of what was sent."""
        self._store = store
        self._journal = journal
        self._wants_crc32c = wants_crc32c
        self._attempts = attempts
        self._pace = pace
        self._budget = budget
        self._tally = tally
        # A file's copy and the request's own buffers may take half of the budget at most.
        self._whole_bytes = min(store.small_write_bytes, WHOLE_BYTES, settings.memory_bytes // 4)
        self._multipart = Multipart(
            store,
            journal,
            clock=clock,
            attempts=attempts,
            pace=pace,
            budget=budget,
            threads=part_threads,
            wants_crc32c=wants_crc32c,
        )

    def carry(self, output: Output, key: Key, *, live: bool) -> ETag | None:
        """
        The object's ETag once it has the output's state and the journal says so; ``None`` if the file
        changed meanwhile. After the store's errors, when retries didn't help, an upload by parts stays
        open for another call.
        """
        with Shipment(self._tally) as shipment:
            if output.state.size_bytes > self._whole_bytes:
                etag = self._multipart.send(output, key, shipment, live=live)
            else:
                self._multipart.abandon(output.path)
                etag = self._carry_whole(output, key, shipment, live=live)
            if etag is not None:
                shipment.done()
        return etag

    def carry_marker(self, marker: RelPath, key: Key, state: FileState) -> None:
        """The zero-byte object that stands for a directory in that state."""
        nothing = os.memfd_create("marker", os.MFD_CLOEXEC)
        try:
            with Shipment(self._tally) as shipment:
                shipment.plan(0)
                etag = self._write(marker, key, state, Window(nothing, 0, 0))
                self._journal.mark_synced([(marker, Synced(state, key, etag))])
                shipment.done()
        finally:
            os.close(nothing)

    def abandon(self, path: RelPath) -> None:
        """Drop the path's open upload, if it has one (see :meth:`Multipart.abandon`)."""
        self._multipart.abandon(path)

    def _carry_whole(
        self, output: Output, key: Key, shipment: Shipment, *, live: bool
    ) -> ETag | None:
        size_bytes = output.state.size_bytes
        shipment.plan(size_bytes)
        memory_bytes = size_bytes + min(size_bytes, self._store.call_memory_bytes)
        with self._budget.take(memory_bytes), output.copied() as window:
            if window.size_bytes != size_bytes or not output.holds(live=live):
                return None
            wants_sum = self._wants_crc32c(output.path)
            crc32c = of_window(CRC32C, window) if wants_sum else None
            etag = self._write(output.path, key, output.state, window)
        shipment.carried(size_bytes)
        synced = Synced(output.state, key, etag, crc32c=crc32c)
        self._journal.mark_synced([(output.path, synced)])
        return etag

    def _write(self, path: RelPath, key: Key, state: FileState, window: Window) -> ETag:
        def write() -> ETag:
            with self._pace.slot():
                return self._store.write(key, window, attributes_of(path, state))

        return self._attempts.call(f"put {key}", write)
