"""The end, as arithmetic: in which order what is left is sent, and by when. Pure."""

import heapq
from collections.abc import Iterator
from typing import Final, NamedTuple

from sidecar.globs import Names
from sidecar.states import RelPath

MOST_MARGIN_SECONDS: Final = 2.0
MARGIN_SHARE: Final = 0.1
LEAST_MARGIN_SECONDS: Final = 0.5
"""
Of the 2 s that a kubelet leaves when main used up the grace, 0.2 s weren't enough on a busy node to write the report
and to end: the container was killed instead. A shorter grace gives a quarter of itself.
"""
FINAL_SHARE: Final = 0.2
WALKS_OF_ROOM: Final = 5
LAST_SHARE: Final = 0.05
LAST_WALKS_OF_ROOM: Final = 3


class BySize:
    """
    What waits for its turn at the end, in the order that saves most files: by size ascending, temporary
    names last; of equals, whoever came first.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._heap: list[tuple[bool, int, int, RelPath, bool]] = []
        self._sequence = 0
        self.found = 0
        """How many of them are walks' finds, which nothing else remembers."""

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, path: RelPath, size_bytes: int, *, is_find: bool) -> None:
        """One more; the settling knows of it already, unless it is a walk's find."""
        self._sequence += 1
        self.found += is_find
        is_temporary = self._names.is_temporary(path)
        heapq.heappush(self._heap, (is_temporary, size_bytes, self._sequence, path, is_find))

    def pop(self, *, temporary_too: bool) -> tuple[RelPath, bool] | None:
        """Whose turn it is, and whether it is a walk's find; temporary names may have to wait longer."""
        if not self._heap or (self._heap[0][0] and not temporary_too):
            return None
        _, _, _, path, is_find = heapq.heappop(self._heap)
        self.found -= is_find
        return path, is_find

    def finds(self) -> Iterator[RelPath]:
        """Those of walks."""
        return (path for _, _, _, path, is_find in self._heap if is_find)


class Ending(NamedTuple):
    """
    When the end began, and what it has: ``grace_seconds`` after that the container is killed. The time
    is monotonic.
    """

    began: float
    grace_seconds: float

    @property
    def deadline(self) -> float:
        """When to stop by oneself: before the grace is over, so that the report is still written."""
        least = min(LEAST_MARGIN_SECONDS, self.grace_seconds / 4)
        margin = min(MOST_MARGIN_SECONDS, max(least, MARGIN_SHARE * self.grace_seconds))
        return self.began + self.grace_seconds - margin

    def final_walk_at(self, walk_seconds: float) -> float:
        """
        When a sidecar that isn't told of main's end begins to send everything as it is, open files and
        temporary names too: as late as leaves a fifth of the grace, or five times what a walk takes.
        It goes on watching, since main may write until it is killed itself.
        """
        return self._before_deadline(FINAL_SHARE, WALKS_OF_ROOM * walk_seconds)

    def last_walk_at(self, walk_seconds: float) -> float:
        """
        When it stops watching, walks once more and compares with a listing: a twentieth of the grace
        before the deadline, or three walks.
        """
        return self._before_deadline(LAST_SHARE, LAST_WALKS_OF_ROOM * walk_seconds)

    def _before_deadline(self, share: float, room_seconds: float) -> float:
        room_seconds = max(share * self.grace_seconds, room_seconds)
        return max(self.began, self.deadline - room_seconds)
