"""
How much waits to be sent, and how long that takes at the rate that was measured. Arithmetic alone: who
counts and who looks at a clock is the board.
"""

import math
import os
import stat
from typing import Final, NamedTuple

from sidecar.journal import Journal
from sidecar.states import RelPath

FILE_COST_BYTES: Final = 512 << 10
"""
What one file costs beside its bytes, counted in bytes: a store that takes 1,300 to 1,800 files of 8 KiB or
1 GB of large ones in a second (Ceph RGW) spends on each as long as on 600 KB, an ideal one as on 150 KB. A rate
that was measured over small files says something about large ones by it, and the reverse.
"""
HALVED_AFTER_SECONDS: Final = 60.0
"""After so much time of sending, what was measured before counts half."""
_MOMENT: Final = 1e-9
LARGE_SHARE: Final = 0.5
SMALL_SHARE: Final = 0.25
MOST_LOOKED_AT: Final = 1000
"""Sizes are looked up of so many files at most; the others are taken to be as large on average."""


class Backlog(NamedTuple):
    """What isn't in the bucket yet."""

    files: int = 0
    size_bytes: int = 0
    is_estimate: bool = False
    """Whether ``size_bytes`` is drawn from a sample."""

    @property
    def cost_bytes(self) -> int:
        """Its bytes, and what its files cost beside them."""
        return self.size_bytes + self.files * FILE_COST_BYTES


class Rate(NamedTuple):
    """What was sent in how much time of sending, the latest counting most."""

    seconds: float = 0.0
    files: float = 0.0
    size_bytes: float = 0.0

    def after(self, seconds: float, files: int, size_bytes: int) -> "Rate":
        """With ``seconds`` more, in which so much arrived. Time in which nothing was to be sent is no part of it."""
        seconds = max(0.0, seconds)
        halvings = seconds / HALVED_AFTER_SECONDS
        kept = 0.5**halvings
        # The beginning of a long time is itself old: what came in it counts as if it had been told bit by bit.
        share = (1.0 - kept) / (math.log(2) * halvings) if halvings > _MOMENT else 1.0
        return Rate(
            self.seconds * kept + share * seconds,
            self.files * kept + share * max(0, files),
            self.size_bytes * kept + share * max(0, size_bytes),
        )

    @property
    def bytes_per_second(self) -> float:
        """0 before anything was measured."""
        return self.size_bytes / self.seconds if self.seconds else 0.0

    @property
    def files_per_second(self) -> float:
        """0 before anything was measured."""
        return self.files / self.seconds if self.seconds else 0.0

    def seconds_for(self, backlog: Backlog, most_per_second: int = 0) -> float | None:
        """
        How long the backlog takes at this rate; ``None`` while nothing has arrived yet. Never less than by
        ``most_per_second`` bytes a second, if that isn't 0: a limit that is kept to may not have been felt yet.
        """
        if not backlog.files:
            return 0.0
        cost_per_second = self.bytes_per_second + self.files_per_second * FILE_COST_BYTES
        if not cost_per_second:
            return None
        least_seconds = backlog.size_bytes / most_per_second if most_per_second else 0.0
        return max(least_seconds, backlog.cost_bytes / cost_per_second)


def estimate(files: int, sizes: list[int]) -> Backlog:
    """``files`` files, of which some have these sizes."""
    if len(sizes) >= files:
        return Backlog(len(sizes), sum(sizes))
    return Backlog(files, round(sum(sizes) / len(sizes) * files) if sizes else 0, is_estimate=True)


def is_large(needed_seconds: float | None, grace_seconds: float, *, was_large: bool) -> bool:
    """
    Whether the backlog has passed half of the grace; it is over when it fell below a quarter, so that one that
    swings around the half is told once. What isn't known isn't large.
    """
    if needed_seconds is None:
        return was_large
    share = SMALL_SHARE if was_large else LARGE_SHARE
    return needed_seconds > share * grace_seconds


class Survey(NamedTuple):
    """What waits, by name: some of it, where it is much."""

    files: int
    sample: list[RelPath]
    """At most ``MOST_LOOKED_AT``, drawn at random."""


def measure(survey: Survey, root: str, journal: Journal) -> Backlog:
    """Looks the sizes up, without what has arrived of uploads by parts. Not for the thread that decides."""
    return estimate(survey.files, [_left_bytes(path, root, journal) for path in survey.sample])


def _left_bytes(path: RelPath, root: str, journal: Journal) -> int:
    try:
        status = os.stat(os.path.join(root, path))
    except OSError:  # gone or unreadable: nothing that would take its time
        return 0
    if not stat.S_ISREG(status.st_mode):
        return 0
    arrived_bytes = 0
    if journal.open_upload(path):
        arrived_bytes = sum(part.size_bytes for part in journal.parts(path))
    return max(0, status.st_size - arrived_bytes)
