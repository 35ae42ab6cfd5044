"""
A large file by parts, in parallel, from one descriptor. Each step is in the journal, so that a process
that is started after a crash goes on where the parts end that arrived.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from lighterman.clock import Clock
from lighterman.errors import (
    ConditionFailedError,
    DeadlineError,
    LightermanError,
    Retry,
    SourceChangedError,
    TransientError,
    UploadMissingError,
)
from lighterman.log import get_logger
from lighterman.stores.contract import ETag, Key, Part, Store, Window
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from sidecar.attributes import attributes_of
from sidecar.conflicts import ANYTHING, Expected, look_first
from sidecar.journal import Journal, PendingUpload
from sidecar.output import Output
from sidecar.parts import Span, part_bytes_for, spans
from sidecar.shipment import Shipment
from sidecar.states import RelPath, Synced
from sidecar.sums import crc32c_of, joined

T = TypeVar("T")

MOST_BEGINNINGS: Final = 3
"""A store that loses the same upload so often has another trouble."""
CLOCK_SKEW_SECONDS: Final = 900.0
"""S3 refuses requests whose clock is further off than that (RequestTimeTooSkewed)."""


class Multipart:
    """Sends outputs by parts. Usable from many threads, each with its own path."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        *,
        clock: Clock,
        attempts: Attempts,
        pace: Pace,
        budget: Budget,
        threads: int,
    ) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._attempts = attempts
        self._pace = pace
        self._budget = budget
        self._threads = threads

    def send(
        self,
        output: Output,
        key: Key,
        shipment: Shipment,
        expected: Expected = ANYTHING,
        *,
        live: bool,
    ) -> ETag | None:
        """
        The object's ETag once it is whole in the bucket and in the journal; ``None`` if the file changed
        meanwhile, which leaves no upload behind.
        """
        for _ in range(MOST_BEGINNINGS):
            try:
                upload = self._resumable(output, key)
                if upload is None:
                    upload, parts = self._begin(output, key, expected), {}
                else:
                    parts = self._arrived(upload, output)
                return self._complete(upload, parts, output, shipment, expected, live=live)
            except SourceChangedError:
                self.abandon(output.path)
                return None
            except UploadMissingError:
                etag = self._landed(output.path)
                if etag is not None:
                    return etag
                self._journal.dropped(output.path)
        raise TransientError(
            f"the store lost the upload of {key} {MOST_BEGINNINGS} times",
            hint="look for a lifecycle rule, or someone else, that aborts open uploads",
            connection=self._store.connection,
            key=key,
        )

    def abandon(self, path: RelPath) -> None:
        """
        Drop the path's open upload, if it has one, at the store and in the journal. What the store
        refuses to let go is said in the log: its bucket's rule for old uploads has to. Transient trouble
        is raised, and the journal keeps the upload for the next time.
        """
        upload = self._journal.open_upload(path)
        if upload is None:
            return
        try:
            upload_ids = [upload.upload_id] if upload.upload_id else self._orphans(upload)
            for upload_id in upload_ids:
                self._request(f"abandon {upload.key}", self._abandoned(upload.key, upload_id))
        except LightermanError as error:
            if error.retry is Retry.LATER:
                raise
            get_logger().warning(
                "sidecar.upload_not_abandoned",
                key=upload.key,
                error=str(error),
                kind=error.kind,
            )
        self._journal.dropped(path)

    def _resumable(self, output: Output, key: Key) -> PendingUpload | None:
        upload = self._journal.open_upload(output.path)
        if upload is None:
            return None
        if upload.upload_id and upload.state == output.state and upload.key == key:
            return upload
        self.abandon(output.path)
        return None

    def _begin(self, output: Output, key: Key, expected: Expected) -> PendingUpload:
        path, state = output.path, output.state
        self._request(f"stat {key}", lambda: look_first(self._store, key, expected))
        part_bytes = part_bytes_for(state.size_bytes, self._store.limits)
        intended_seconds = self._clock.wall()
        self._journal.intend(path, key, state, part_bytes, intended_seconds)
        calls = 0

        def begin() -> str:
            nonlocal calls
            calls += 1
            return self._store.begin(
                key, attributes_of(path, state), part_bytes=part_bytes, **expected.conditions
            )

        upload_id = self._request(f"begin {key}", begin)
        self._journal.begun(path, upload_id)
        upload = PendingUpload(path, key, upload_id, state, part_bytes, intended_seconds)
        if calls > 1:  # an answer was lost: that upload may be open too
            for orphan in self._orphans(upload):
                self._request(f"abandon {key}", self._abandoned(key, orphan))
        return upload

    def _complete(
        self,
        upload: PendingUpload,
        parts: dict[int, Part],
        output: Output,
        shipment: Shipment,
        expected: Expected,
        *,
        live: bool,
    ) -> ETag:
        key, upload_id = upload.key, upload.upload_id or ""
        missing = [
            span
            for span in spans(upload.state.size_bytes, upload.part_bytes)
            if span.number not in parts
        ]
        shipment.plan(sum(span.size_bytes for span in missing))
        sums: dict[int, tuple[str, int]] = {}

        def send(span: Span) -> None:
            if self._attempts.is_stopped:
                raise DeadlineError(f"told to stop before all of {key!r} was sent", key=key)
            window = Window(output.descriptor, span.start, span.size_bytes)

            def attempt() -> Part:
                _check(output, live=live)
                memory_bytes = min(span.size_bytes, self._store.call_memory_bytes)
                with self._budget.take(memory_bytes), self._pace.slot():
                    return self._store.send_part(key, upload_id, span.number, window)

            # What a live file loses and gains again while it is sent could be in the one and not in the other.
            before = crc32c_of(window) if live else ""
            part = self._attempts.call(f"part {span.number} of {key}", attempt)
            crc32c = crc32c_of(
                window
            )  # from the page cache, where the request has just had it from
            if live and crc32c != before:
                raise SourceChangedError(
                    f"{output.path} changed while it was sent", key=output.path
                )
            self._journal.part_sent(upload.path, part)
            parts[span.number] = part
            sums[span.number] = crc32c, span.size_bytes
            shipment.carried(span.size_bytes)

        in_threads(send, missing, 1 if self._store.limits.in_order else self._threads)
        for span in spans(upload.state.size_bytes, upload.part_bytes):
            if span.number not in sums and not live:  # it arrived before this process began
                window = Window(output.descriptor, span.start, span.size_bytes)
                sums[span.number] = crc32c_of(window), span.size_bytes
        _check(output, live=live)
        in_order = [parts[number] for number in sorted(parts)]

        def finish() -> ETag:
            look_first(self._store, key, expected)
            return self._store.finish(key, upload_id, in_order, **expected.conditions)

        try:
            etag = self._request(f"finish {key}", finish)
        except ConditionFailedError:
            landed = self._landed(upload.path)  # the answer to an attempt before may have been lost
            if landed is None:
                raise
            return landed
        crc32c = joined(sums) if len(sums) == len(parts) else None
        self._journal.finished(upload.path, Synced(upload.state, key, etag, crc32c=crc32c))
        return etag

    def _arrived(self, upload: PendingUpload, output: Output) -> dict[int, Part]:
        """
        Parts that needn't be sent again: the store has them as the journal noted them, or with the ETag
        that their bytes give (a crash came between the part's arrival and its note). Where the store only
        tells how far it came, the journal and the bytes say what arrived.
        """
        noted = {part.number: part for part in self._journal.parts(upload.path)}
        upload_id = upload.upload_id or ""
        stored = {
            part.number: part
            for part in self._request(
                f"parts of {upload.key}", lambda: self._store.sent_parts(upload.key, upload_id)
            )
        }
        arrived: dict[int, Part] = {}
        for span in spans(upload.state.size_bytes, upload.part_bytes):
            part = stored.get(span.number)
            if part is None or part.size_bytes != span.size_bytes:
                continue
            known = noted.get(span.number)
            if known is not None and part.etag in ("", known.etag):
                arrived[span.number] = known
            elif known is None:
                window = Window(output.descriptor, span.start, span.size_bytes)
                etag = self._store.part_etag(window)
                if etag is not None and part.etag in ("", etag):
                    arrived[span.number] = Part(span.number, etag, span.size_bytes)
                    self._journal.part_sent(upload.path, arrived[span.number])
        return arrived

    def _landed(self, path: RelPath) -> ETag | None:
        """
        The ETag, if the upload that the store doesn't know any more is an object by now: the answer to
        our own ``finish`` was lost, or this process's predecessor was killed right after it.
        """
        upload = self._journal.open_upload(path)
        if upload is None:
            return None
        parts = self._journal.parts(path)
        if not parts or sum(part.size_bytes for part in parts) != upload.state.size_bytes:
            return None
        etag = self._request(
            f"look for {upload.key}", lambda: self._store.made_of(upload.key, parts)
        )
        if etag is not None:
            self._journal.finished(path, Synced(upload.state, upload.key, etag))
        return etag

    def _orphans(self, upload: PendingUpload) -> list[str]:
        """Uploads of exactly this key that were begun since the intention, other than this one."""
        since_seconds = upload.intended_seconds - CLOCK_SKEW_SECONDS
        found = self._request(
            f"uploads of {upload.key}", lambda: self._store.open_uploads(upload.key)
        )
        return [
            other.upload_id
            for other in found
            if other.key == upload.key
            and other.upload_id != upload.upload_id
            and other.begun_seconds >= since_seconds
        ]

    def _abandoned(self, key: Key, upload_id: str) -> Callable[[], None]:
        return lambda: self._store.abandon(key, upload_id)

    def _request(self, what: str, operation: Callable[[], T]) -> T:
        def attempt() -> T:
            with self._pace.slot():
                return operation()

        return self._attempts.call(what, attempt)


def _check(output: Output, *, live: bool) -> None:
    if not output.holds(live=live):
        raise SourceChangedError(f"{output.path} changed while it was sent", key=output.path)


def in_threads(work: Callable[[T], None], items: Iterable[T], threads: int) -> None:
    """
    ``work`` on each item, in this thread and up to ``threads - 1`` more. After the first error no
    further item is taken; it is raised when the running ones ended.
    """
    waiting = list(items)
    waiting.reverse()
    errors: list[BaseException] = []

    def take_turns() -> None:
        while waiting and not errors:
            try:
                item = waiting.pop()
            except IndexError:  # another thread took the last one
                return
            try:
                work(item)
            except BaseException as error:  # noqa: BLE001  # raised again in the caller's thread
                errors.append(error)

    helpers = [
        threading.Thread(target=take_turns, name="part", daemon=True)
        for _ in range(min(threads, len(waiting)) - 1)
    ]
    for helper in helpers:
        helper.start()
    take_turns()
    for helper in helpers:
        helper.join()
    if errors:
        raise errors[0]
