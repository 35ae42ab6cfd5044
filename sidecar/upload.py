"""
From one open descriptor into the bucket: no object is ever made of two states of a file.

(Signatures first; the bodies follow in the next commits.)
"""

from enum import StrEnum
from typing import NamedTuple

from lighterman.clock import Clock
from lighterman.stores.contract import Store
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from lighterman.transfer.settings import TransferSettings
from lighterman.transfer.tally import Tally
from sidecar.journal import Journal
from sidecar.states import RelPath


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
    """It changed while it was sent, or just before: go again after ``retry_after_seconds``."""


class Outcome(NamedTuple):
    """A result, and when to look again where that is known."""

    result: Result
    retry_after_seconds: float | None = None


class Uploader:
    """
    Sends files and directory markers below ``root`` to ``prefix`` in the store, and keeps the journal.

    Usable from many threads at once; two sends of one path at a time: the second is told CHANGED.
    In the tally it counts what it carries (planned, carried, done); skips and failures are the caller's.
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
    ) -> None: ...

    def recover(self) -> None:
        """
        Once, before the first send: uploads that a killed process left open, whose file vanished or
        changed, are abandoned, those that were begun but not noted too. The others wait for ``send``.
        """
        ...

    def adopt(self) -> int:
        """
        For a fresh journal (``journal.fresh``): list the destination, so that ``send`` finds files
        whose object is already there with equal content and notes them (UNCHANGED) instead of sending.
        Returns how many objects are there. Costs one listing; reads local files as they are met.
        """
        ...

    def send(self, path: RelPath, *, live: bool = False, final: bool = False) -> Outcome:
        """
        Bring the file's present state into the bucket. ``live``: a file that grows is sent as the
        prefix it has now. ``final``: at the drain, one that is still open for writing is sent as it is.

        Raises ``CannotWriteError`` for a file that can't be read or named in a bucket, and the
        store's errors when retries didn't help; an open upload then waits for the next send.
        """
        ...

    def mark_directory(self, path: RelPath) -> Outcome:
        """Write the zero-byte ``dir/`` marker of a directory, journaled as ``marker_path(path)``."""
        ...

    def delete(self, path: RelPath) -> bool:
        """
        Delete the object of a path that is gone (``marker_path`` for a directory's marker), if this
        journal uploaded it and it is unchanged since; the row is forgotten. False if it was left alone.
        """
        ...
