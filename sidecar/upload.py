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
from lighterman.errors import (
    CannotWriteError,
    ConditionFailedError,
    SourceMissingError,
    TransientError,
)
from lighterman.log import get_logger
from lighterman.stores.contract import ETag, Key, Store
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from lighterman.transfer.settings import TransferSettings
from lighterman.transfer.tally import Tally
from sidecar.carry import Carrier
from sidecar.conflicts import Conflicts, Expected
from sidecar.extend import Extender
from sidecar.journal import Journal
from sidecar.leases import Leases
from sidecar.output import Output, is_there, opened, peek, unreadable
from sidecar.rebuild import Adoption
from sidecar.reuse import Reuse
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
        fails_on_conflict: bool = False,
        leases: Leases | None = None,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._root = os.path.realpath(root)
        self._leases = leases or Leases(self._root)
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
        extender = Extender(
            store,
            journal,
            self._carrier.multipart,
            clock=clock,
            attempts=attempts,
            pace=pace,
            budget=budget,
        )
        self._reuse = Reuse(
            store,
            journal,
            extender,
            attempts=attempts,
            pace=pace,
            budget=budget,
            tally=tally,
            whole_bytes=self._carrier.whole_bytes,
        )
        self._conflicts = Conflicts(
            store, journal, attempts=attempts, pace=pace, fails=fails_on_conflict
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

    def adopt(self, marker: str = "") -> int:
        """
        For a fresh journal (``journal.fresh``): list the destination and note as synced what init brought
        from it, so that ``send`` finds that, and other files whose object is already there with equal
        content (UNCHANGED), instead of sending. The manifests that are there, ``marker`` among them, are
        noted first: they go before anything below them changes. Returns how many objects are there. Costs one listing;
        reads those other files as they are met.
        """
        adoption = self._attempts.call(
            f"list {self._prefix}",
            lambda: Adoption(self._store, self._prefix, self._journal.directory),
        )
        if adoption.count:
            self._adoption = adoption
            self._journal.note_manifests(adoption.manifests(marker))
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

    def send(
        self,
        path: RelPath,
        *,
        live: bool = False,
        final: bool = False,
        origin: RelPath | None = None,
        keeps_whole: bool = False,
    ) -> Outcome:
        """
        Bring the file's present state into the bucket. ``live``: a file that grows is sent as the
        prefix it has now. ``final``: at the drain, one that is still open for writing is sent as it is;
        with ``keeps_whole`` only if the bucket has no former state of it, which may be a whole one.
        ``origin``: it was renamed from there, where nothing had happened to it since it was synced.

        Raises ``CannotWriteError`` for a file that can't be read or named in a bucket, and the
        store's errors when retries didn't help; an open upload then waits for the next send.
        """
        if not self._has_name(path):
            return Outcome(Result.GONE)
        with self._alone(path) as is_alone:
            if not is_alone:
                return Outcome(Result.CHANGED, BUSY_SECONDS)
            outcome = self._look(path, origin, live=live, final=final, keeps_whole=keeps_whole)
            if outcome.result is Result.GONE:
                self._carrier.abandon(path)
            return outcome

    def mark_directory(self, path: RelPath) -> Outcome:
        """Write the zero-byte ``dir/`` marker of a directory, journaled as ``marker_path(path)``."""
        if not self._has_name(path):
            return Outcome(Result.GONE)
        try:
            status = os.stat(os.path.join(self._root, path))
        except (FileNotFoundError, NotADirectoryError):
            return Outcome(Result.GONE)
        except OSError as error:
            raise unreadable(path, error) from error
        if not stat.S_ISDIR(status.st_mode):
            return Outcome(Result.GONE)
        marker, state = marker_path(path), FileState.of(status)
        with self._alone(marker) as is_alone:  # else it is being deleted, and found lacking later
            return self._mark(marker, state) if is_alone else Outcome(Result.CHANGED)

    def _mark(self, marker: RelPath, state: FileState) -> Outcome:
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
        try:
            expected = self._conflicts.expected(known, key)
            self._carrier.carry_marker(marker, key, state, expected)
        except ConditionFailedError:
            self._conflicts.settled_marker(marker, key, state)
        return Outcome(Result.SENT)

    def delete(self, path: RelPath) -> bool:
        """
        Delete the object of a path that is gone (``marker_path`` for a directory's marker), if this
        journal uploaded it and it is unchanged since; the row is forgotten. False if it was left alone, as it
        is where the path is there again, or is being sent.
        """
        with self._alone(path) as is_alone:
            return is_alone and not is_there(self._root, path) and self._delete(path)

    def _delete(self, path: RelPath) -> bool:
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

    def _has_name(self, path: RelPath) -> bool:
        """False where nobody asks any more; ``CannotWriteError`` if something is there that has none in a bucket."""
        try:
            path.encode()
        except UnicodeEncodeError as error:
            if not os.path.lexists(os.path.join(self._root, path)):
                return False
            raise CannotWriteError(
                f"can't name output {printable(path)} in a bucket: keys are UTF-8",
                hint="rename the file, or leave it out (--exclude)",
                key=printable(path),
            ) from error
        return True

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

    def _look(
        self, path: RelPath, origin: RelPath | None, *, live: bool, final: bool, keeps_whole: bool
    ) -> Outcome:
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
            as_it_is = final and not (keeps_whole and known)
            not_yet = None if live else self._why_not_yet(output, final=final, as_it_is=as_it_is)
            if not_yet is not None:
                return not_yet
            if known is None and self._is_adopted(output, key, live=live):
                return Outcome(Result.UNCHANGED)
            etag = self._bring(output, key, known, origin, live=live)
            return Outcome(Result.CHANGED if etag is None else Result.SENT)

    def _bring(
        self,
        output: Output,
        key: Key,
        known: Synced | None,
        origin: RelPath | None,
        *,
        live: bool,
    ) -> ETag | None:
        """By what the bucket has, or sent; what is in the way is looked at."""
        expected = self._conflicts.expected(known, key)

        def carry(expected: Expected) -> ETag | None:
            return self._carrier.carry(output, key, live=live, expected=expected)

        try:
            made = self._reuse.bring(output, key, known, origin, expected, live=live)
            return made or carry(expected)
        except ConditionFailedError:
            self._carrier.abandon(output.path)
            return self._conflicts.settled(output, key, carry, live=live)

    def _why_not_yet(self, output: Output, *, final: bool, as_it_is: bool) -> Outcome | None:
        wait_seconds = output.rested(self._clock)
        if final and wait_seconds > 0:  # whoever comes back later has lost its turn to larger ones
            self._clock.wait(wait_seconds)
            wait_seconds = 0.0 if output.holds(live=False) else wait_seconds
        if wait_seconds > 0:
            return Outcome(Result.CHANGED, wait_seconds)
        if not as_it_is and self._leases.are_believed and output.is_being_written():
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
