"""The end, as arithmetic: in which order what is left is sent, and by when. Pure."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from sidecar.globs import Names
from sidecar.states import RelPath

MOST_MARGIN_SECONDS: Final = 2.0
MARGIN_SHARE: Final = 0.1
FINAL_SHARE: Final = 0.2
WALKS_OF_ROOM: Final = 5


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
        When a sidecar that isn't told of main's end begins its last walk: as late as leaves a fifth of
        the grace, or five times what a walk takes, since main may write until it is killed itself.
        """
        room = max(FINAL_SHARE * self.grace_seconds, WALKS_OF_ROOM * walk_seconds)
        return max(self.began, self.deadline - room)
