"""
From one open descriptor into the bucket: no object is ever made of two states of a file.

A file is opened once, and its state (device, inode, size, mtime, ctime) is taken before its bytes are
read and again before the object can become visible (see ``sidecar.carry``).
"""

import contextlib
import os
import stat
import threading
from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from lighterman.clock import Clock
from lighterman.errors import CannotWriteError, SourceMissingError, TransientError
from lighterman.log import get_logger
from lighterman.stores.contract import ETag, Key, Store
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from lighterman.transfer.settings import TransferSettings
from lighterman.transfer.tally import Tally
from sidecar.carry import Carrier
from sidecar.journal import Journal
from sidecar.output import Output, opened, peek, unreadable
from sidecar.rebuild import Adoption
from sidecar.seed import seed
from sidecar.states import FileState, RelPath, Synced, key_of, marker_path, printable

BUSY_SECONDS: Final = 1.0
"""When to look again at a path that another thread is sending."""


class Result(StrEnum):
    """How one look at a file ended."""

    SENT = "sent"
    """This state of the file is in the bucket and in the journal."""
    UNCHANGED = "unchanged"
    """The journal has exactly this state, or the object was found equal: nothing was sent."""
    GONE = "gone"
    """It vanished, is no regular file, or is a link to outside of the outputs."""
    OPEN = "open"
    """Someone has it open for writing: its close is to be waited for."""
    CHANGED = "changed"
    """It changed while it was sent, or just before: then nothing was, and it says when to go again."""


class Outcome(NamedTuple):
    """A result, and in how many seconds to look again where the file was only too fresh to be sent."""

    result: Result
    retry_after_seconds: float | None = None


class Uploader:
    """
    Sends files and directory markers below ``root`` to ``prefix`` in the store, and keeps the journal.

    Usable from many threads at once; two sends of one path at a time: the second is told CHANGED.
    In the tally it counts what it carries (planned, carried, done) and, as skipped, what ``adopt``
    found to be there; failures and other skips are the caller's.
    """

    def __init__(
        self,
        store: Store,
        prefix: str,
        root: str,
        journal: Journal,
        *,
        settings: TransferSettings,
        clock: Clock,
        attempts: Attempts,
        pace: Pace,
        budget: Budget,
        tally: Tally,
        part_threads: int = 4,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._root = os.path.realpath(root)
        self._journal = journal
        self._clock = clock
        self._attempts = attempts
        self._pace = pace
        self._budget = budget
        self._tally = tally
        self._carrier = Carrier(
            store,
            journal,
            settings=settings,
            clock=clock,
            attempts=attempts,
            pace=pace,
            budget=budget,
            tally=tally,
            part_threads=part_threads,
        )
        self._adoption: Adoption | None = None
        self._busy: set[RelPath] = set()
        self._busy_guard = threading.Lock()

    def recover(self) -> None:
        """
        Once, before the first send: uploads that a killed process left open, whose file vanished or
        changed, are abandoned, those that were begun but not noted too. The others wait for ``send``.
        """
        with contextlib.suppress(OSError):  # a root that isn't there yet is the caller's to make
            self._journal.rebase(FileState.of(os.stat(self._root)).device)
        for upload in self._journal.open_uploads():
            try:
                state = peek(self._root, upload.path)
            except CannotWriteError:  # unreadable: ``send`` says so
                continue
            if upload.upload_id is None or state != upload.state:
                try:
                    self._carrier.abandon(upload.path)
                except TransientError as error:  # the next send, or the next start, will
                    get_logger().warning(
                        "sidecar.upload_not_abandoned", key=upload.key, error=str(error)
                    )

    def adopt(self) -> int:
        """
        For a fresh journal (``journal.fresh``): list the destination and note as synced what init brought
        from it, so that ``send`` finds that, and other files whose object is already there with equal
        content (UNCHANGED), instead of sending. Returns how many objects are there. Costs one listing;
        reads those other files as they are met.
        """
        adoption = self._attempts.call(
            f"list {self._prefix}",
            lambda: Adoption(self._store, self._prefix, self._journal.directory),
        )
        if adoption.count:
            self._adoption = adoption
            seeded = seed(self._journal, adoption, self._root, self._prefix)
            if seeded:
                self._tally.skip(seeded)
                get_logger().info("sidecar.seeded", files=seeded, prefix=self._prefix)
        else:
            adoption.close()
        return adoption.count

    def may_be_there(self, key: Key) -> bool:
        """Whether ``adopt`` found an object of that key, with which the file is to be compared."""
        return self._adoption is not None and self._adoption.lists(key)

    def close(self) -> None:
        """Let go of what ``adopt`` listed. The store and the journal are the caller's."""
        if self._adoption is not None:
            self._adoption.close()
            self._adoption = None

    def send(self, path: RelPath, *, live: bool = False, final: bool = False) -> Outcome:
        """
        Bring the file's present state into the bucket. ``live``: a file that grows is sent as the
        prefix it has now. ``final``: at the drain, one that is still open for writing is sent as it is.

        Raises ``CannotWriteError`` for a file that can't be read or named in a bucket, and the
        store's errors when retries didn't help; an open upload then waits for the next send.
        """
        _check_name(path)
        with self._alone(path) as is_alone:
            if not is_alone:
                return Outcome(Result.CHANGED, BUSY_SECONDS)
            outcome = self._look(path, live=live, final=final)
            if outcome.result is Result.GONE:
                self._carrier.abandon(path)
            return outcome

    def mark_directory(self, path: RelPath) -> Outcome:
        """Write the zero-byte ``dir/`` marker of a directory, journaled as ``marker_path(path)``."""
        _check_name(path)
        try:
            status = os.stat(os.path.join(self._root, path))
        except (FileNotFoundError, NotADirectoryError):
            return Outcome(Result.GONE)
        except OSError as error:
            raise unreadable(path, error) from error
        if not stat.S_ISDIR(status.st_mode):
            return Outcome(Result.GONE)
        marker, state = marker_path(path), FileState.of(status)
        key = key_of(self._prefix, marker)
        known = self._journal.synced(marker)
        if known and known.state == state and known.key == key:
            return Outcome(Result.UNCHANGED)
        if known is None and self._adoption is not None:
            etag = self._adoption.marker(key)
            if etag is not None:
                self._journal.mark_synced([(marker, Synced(state, key, etag, uploaded=False))])
                self._tally.skip()
                return Outcome(Result.UNCHANGED)
        self._carrier.carry_marker(marker, key, state)
        return Outcome(Result.SENT)

    def delete(self, path: RelPath) -> bool:
        """
        Delete the object of a path that is gone (``marker_path`` for a directory's marker), if this
        journal uploaded it and it is unchanged since; the row is forgotten. False if it was left alone.
        """
        synced = self._journal.synced(path)
        if synced is None:
            return False
        is_ours = synced.uploaded and self._is_unchanged(synced)
        if is_ours:

            def delete() -> None:
                with self._pace.slot():
                    self._store.delete(synced.key)

            self._attempts.call(f"delete {synced.key}", delete)
        else:
            get_logger().info("sidecar.not_deleted", key=synced.key, uploaded=synced.uploaded)
        self._journal.forget(path)
        return is_ours

    def _is_unchanged(self, synced: Synced) -> bool:
        def stat_object() -> ETag | None:
            with self._pace.slot():
                return self._store.stat(synced.key).etag

        try:
            return self._attempts.call(f"stat {synced.key}", stat_object) == synced.etag
        except SourceMissingError:
            return False

    @contextlib.contextmanager
    def _alone(self, path: RelPath) -> Iterator[bool]:
        with self._busy_guard:
            is_alone = path not in self._busy
            self._busy.add(path)
        try:
            yield is_alone
        finally:
            if is_alone:
                with self._busy_guard:
                    self._busy.discard(path)

    def _look(self, path: RelPath, *, live: bool, final: bool) -> Outcome:
        state = peek(self._root, path)
        if state is None:
            return Outcome(Result.GONE)
        key = key_of(self._prefix, path)
        known = self._journal.synced(path)
        if known and known.state == state and known.key == key:
            return Outcome(Result.UNCHANGED)
        with opened(self._root, path) as output:
            if output is None:
                return Outcome(Result.GONE)
            not_yet = None if live else self._why_not_yet(output, final=final)
            if not_yet is not None:
                return not_yet
            if known is None and self._is_adopted(output, key, live=live):
                return Outcome(Result.UNCHANGED)
            etag = self._carrier.carry(output, key, live=live)
            return Outcome(Result.CHANGED if etag is None else Result.SENT)

    def _why_not_yet(self, output: Output, *, final: bool) -> Outcome | None:
        wait_seconds = output.rested(self._clock)
        if wait_seconds > 0:
            return Outcome(Result.CHANGED, wait_seconds)
        if not final and output.is_being_written():
            return Outcome(Result.OPEN)
        return None

    def _is_adopted(self, output: Output, key: Key, *, live: bool) -> bool:
        if self._adoption is None:
            return False
        with self._budget.take(self._store.call_memory_bytes):
            etag = self._adoption.equal(key, output.window)
        if etag is None or not output.holds(live=live):
            return False
        synced = Synced(output.state, key, etag, uploaded=False)
        self._journal.mark_synced([(output.path, synced)])
        self._tally.skip()
        return True


def _check_name(path: RelPath) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise CannotWriteError(
            f"can't name output {printable(path)} in a bucket: keys are UTF-8",
            hint="rename the file, or leave it out (--exclude)",
            key=printable(path),
        ) from error
