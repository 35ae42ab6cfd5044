"""What is on its way through one connection of the lane."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from initializer.plan import Fetch
    from lighterman.checksums import Sum
    from lighterman.stores.channel import Channel
    from lighterman.stores.contract import Checksum
    from lighterman.stores.heads import Head


class Incoming:
    """One connection, and the file that comes through it, if one does."""

    __slots__ = (
        "channel",
        "done_bytes",
        "expected",
        "file",
        "head",
        "is_used",
        "item",
        "received",
        "request",
        "since",
        "slowdowns_seen",
        "store",
        "sum",
        "temporary",
    )

    def __init__(self, store: int, channel: Channel) -> None:
        self.store = store
        self.channel = channel
        self.is_used = False
        """Whether an answer came through it before: then it may have been let go since."""
        self.since = 0.0
        self.slowdowns_seen = 0
        self.request = b""
        self.expected: Checksum | None = None
        self.item: Fetch | None = None
        self.head: Head | None = None
        self.received = b""
        self.file = -1
        self.temporary = ""
        self.done_bytes = 0
        self.sum: Sum | None = None
