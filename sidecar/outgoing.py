"""What is on its way through one connection of the lane, and what is in the lane before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lighterman.stores.channel import Channel
    from lighterman.stores.contract import Key
    from sidecar.states import FileState, RelPath, Synced
    from sidecar.upload import Outcome


class Handed(NamedTuple):
    """A path that the lane was handed."""

    path: RelPath
    final: bool
    """At the drain: one that is still open for writing is sent as it is."""
    keeps_whole: bool
    """With ``final``: only if the bucket has no former state of it."""
    since: float
    """When it was handed over, in monotonic seconds."""


class Ended(NamedTuple):
    """What became of it; no outcome: it is left to the threads."""

    handed: Handed
    outcome: Outcome | None


class Loaded(NamedTuple):
    """One state of a file, in memory."""

    handed: Handed
    key: Key
    state: FileState
    body: bytes
    crc32c: str


class Arrived(NamedTuple):
    """One that the store has, and the journal has not yet."""

    handed: Handed
    synced: Synced


class Outgoing:
    """One connection, and the file that goes through it, if one does."""

    __slots__ = (
        "channel",
        "is_used",
        "loaded",
        "received",
        "since",
        "slowdowns_seen",
        "unsent",
        "wants_write",
    )

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.is_used = False
        """Whether an answer came through it before: then it may have been let go since."""
        self.since = 0.0
        self.slowdowns_seen = 0
        self.loaded: Loaded | None = None
        self.unsent = memoryview(b"")
        self.received = b""
        self.wants_write = True
        """Whether it is watched for room to write."""
