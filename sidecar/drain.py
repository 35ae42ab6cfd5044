"""The end, as arithmetic: in which order what is left is sent, and by when. Pure."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from sidecar.globs import Names
from sidecar.states import RelPath

MOST_MARGIN_SECONDS: Final = 2.0
MARGIN_SHARE: Final = 0.1
FINAL_SHARE: Final = 0.2
WALKS_OF_ROOM: Final = 5
LAST_SHARE: Final = 0.05
LAST_WALKS_OF_ROOM: Final = 3


def by_size(files: Iterable[tuple[RelPath, int]], names: Names) -> list[RelPath]:
    """Paths in the order of a drain: by size ascending, temporary names last."""
    return [
        path
        for _, _, path in sorted((names.is_temporary(path), size, path) for path, size in files)
    ]


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
        margin = min(MOST_MARGIN_SECONDS, MARGIN_SHARE * self.grace_seconds)
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
