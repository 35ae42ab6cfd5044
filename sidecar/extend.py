"""
A log that grew: the object that the bucket has becomes the first parts of the new one, inside the store, and only
what was added is sent.
"""

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from lighterman.clock import Clock
from lighterman.errors import ConditionFailedError, DeadlineError, SourceChangedError
from lighterman.stores.contract import ETag, Key, Part, Span, Store, Window
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from sidecar.attributes import attributes_of
from sidecar.conflicts import Expected, look_first
from sidecar.journal import Journal
from sidecar.multipart import Multipart
from sidecar.output import Output
from sidecar.parts import part_bytes_for
from sidecar.shipment import Shipment
from sidecar.states import RelPath, Synced
from sidecar.sums import crc32c_of_grown

T = TypeVar("T")

COPIED_BYTES: Final = 512 << 20
"""A part of 5 GiB takes a store minutes to copy, in one request; smaller ones show that it goes on."""


class Extender:
    """Usable from many threads, each with its own path."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        multipart: Multipart,
        *,
        clock: Clock,
        attempts: Attempts,
        pace: Pace,
        budget: Budget,
    ) -> None:
        self._store = store
        self._journal = journal
        self._multipart = multipart
        self._clock = clock
        self._attempts = attempts
        self._pace = pace
        self._budget = budget

    def send(
        self, output: Output, key: Key, head: Synced, expected: Expected, shipment: Shipment
    ) -> ETag | None:
        """
        The object's ETag once it is whole in the bucket and in the journal; ``None`` if the file doesn't begin with
        ``head``'s content, or changed otherwise than by growing. ``SourceChangedError`` and ``SourceMissingError``
        where that isn't the object any more, ``UploadMissingError``, refusals: an upload may be left open then.
        """
        path, state, had_bytes = output.path, output.state, head.state.size_bytes
        self._multipart.abandon(path)
        with self._budget.take(self._store.call_memory_bytes):
            crc32c = crc32c_of_grown(output.window, had_bytes, head.crc32c or "")
        if crc32c is None or not output.holds(live=True):
            return None
        self._request(f"stat {key}", lambda: look_first(self._store, key, expected))
        part_bytes = part_bytes_for(state.size_bytes, self._store.limits)
        self._journal.intend(path, key, state, part_bytes, self._clock.wall())
        upload_id = self._request(
            f"begin {key}",
            lambda: self._store.begin(
                key, attributes_of(path, state), part_bytes=part_bytes, **expected.conditions
            ),
        )
        self._journal.begun(path, upload_id)
        shipment.plan(state.size_bytes - had_bytes)
        parts = self._copied(head, key, upload_id)
        for window in tail(output, had_bytes, part_bytes):
            parts.append(self._sent(key, upload_id, len(parts) + 1, window))
            shipment.carried(window.size_bytes)
        if not output.holds(live=True):
            raise SourceChangedError(f"{path} was cut while it was sent", key=path)

        def finish() -> ETag:
            look_first(self._store, key, expected)
            return self._store.finish(key, upload_id, parts, **expected.conditions)

        try:
            etag = self._request(f"finish {key}", finish)
        except ConditionFailedError:  # the answer to an attempt before may have been lost
            landed = self._request(f"look for {key}", lambda: self._store.made_of(key, parts))
            if landed is None:
                raise
            etag = landed
        self._journal.finished(path, Synced(state, key, etag, crc32c=crc32c))
        return etag

    def abandon(self, path: RelPath) -> None:
        """Drop what a failed ``send`` left open."""
        self._multipart.abandon(path)

    def _copied(self, head: Synced, key: Key, upload_id: str) -> list[Part]:
        return [
            self._request(
                f"part {number} of {key}",
                lambda number=number, span=span: self._store.copy_part(  # type: ignore[misc]  # a loop's own
                    head.key, head.etag, key, upload_id, number, span
                ),
            )
            for number, span in enumerate(pieces(head.state.size_bytes), start=1)
        ]

    def _sent(self, key: Key, upload_id: str, number: int, window: Window) -> Part:
        if self._attempts.is_stopped:
            raise DeadlineError(f"told to stop before all of {key!r} was sent", key=key)
        with self._budget.take(min(window.size_bytes, self._store.call_memory_bytes)):
            return self._request(
                f"part {number} of {key}",
                lambda: self._store.send_part(key, upload_id, number, window),
            )

    def _request(self, what: str, operation: Callable[[], T]) -> T:
        def attempt() -> T:
            with self._pace.slot():
                return operation()

        return self._attempts.call(what, attempt)


def pieces(size_bytes: int, most_bytes: int = COPIED_BYTES) -> Iterator[Span]:
    """An object in spans of nearly the same size, so that none is less than half of the most."""
    count = -(-size_bytes // most_bytes)
    for number in range(count):
        start = size_bytes * number // count
        yield Span(start, size_bytes * (number + 1) // count - start)


def tail(output: Output, start: int, part_bytes: int) -> Iterator[Window]:
    """What follows ``start``, in parts of which only the last may be smaller."""
    end = output.state.size_bytes
    while start < end:
        yield Window(output.descriptor, start, min(part_bytes, end - start))
        start += part_bytes
