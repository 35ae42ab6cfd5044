"""
Parts of the outputs of which no event tells, as decisions: which parts are looked at, how often, and
what of the files that a look saw may be sent. Pure; ``sidecar.looks`` looks.
"""

from collections.abc import Iterable
from enum import Enum, auto
from typing import Final, NamedTuple

from sidecar.reconcile import SECOND_LOOK_SECONDS
from sidecar.states import FileState, RelPath

LEAST_SECONDS: Final = 1.0
CPU_SHARE: Final = 100
"""Looks take at most a hundredth of a core."""
WALL_SHARE: Final = 10
"""And are under way a tenth of the time at most: a file server has others to serve."""
MOST_SIGHTED: Final = 10_000
"""About 5 MiB. A look ends early when it saw so many files that the journal lacks."""


class Cost(NamedTuple):
    """What one look took."""

    cpu_seconds: float
    wall_seconds: float


def interval_seconds(cost: Cost) -> float:
    """How long after a look of this cost the next one begins."""
    return max(LEAST_SECONDS, CPU_SHARE * cost.cpu_seconds, WALL_SHARE * cost.wall_seconds)


def outermost(parts: Iterable[RelPath]) -> list[RelPath]:
    """The parts without those that lie below another."""
    found: list[RelPath] = []
    last = None
    for path in sorted(f"{part}/" if part else "" for part in set(parts)):
        if last is None or not path.startswith(last):
            last = path
            found.append(RelPath(path.removesuffix("/")))
    return found


class Verdict(Enum):
    """What a look at a file that the journal lacks comes to."""

    CHANGED = auto()
    """It is as no look saw it before: as good as a close, and the upload asks who has it open."""
    WRITTEN = auto()
    """So it is, but nobody can be asked who has it open: it waits for equal looks."""
    AT_REST = auto()
    """It is as it was: nobody seems to write it."""
    WAITING = auto()
    """It is as it was, but not for long enough."""
    NO_ROOM = auto()
    """It can't be remembered; a reconcile, which needs no memory for it, finds it too."""


class _Sight(NamedTuple):
    state: FileState | None
    since: float


class Sightings:
    """What the last look saw, so that the next one can tell what changed. Times are monotonic."""

    def __init__(self, *, most: int = MOST_SIGHTED) -> None:
        self._most = most
        self._before: dict[RelPath, _Sight] = {}
        self._now: dict[RelPath, _Sight] = {}

    def see(self, path: RelPath, state: FileState | None, now: float, *, may_ask: bool) -> Verdict:
        """Take in a file that the journal lacks in this state; ``may_ask``: the kernel knows its writers."""
        before = self._before.get(path)
        if before is None and len(self._now) >= self._most:
            return Verdict.NO_ROOM
        if before is None or before.state != state:
            self._now[path] = _Sight(state, now)
            return Verdict.CHANGED if may_ask else Verdict.WRITTEN
        self._now[path] = before
        if may_ask or now - before.since >= SECOND_LOOK_SECONDS:
            return Verdict.AT_REST
        return Verdict.WAITING

    def end_of_look(self) -> None:
        """What this look didn't see is in the bucket by now, or gone."""
        self._before, self._now = self._now, {}
