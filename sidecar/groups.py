"""
Directories that are published whole: which they are, when one is complete, and when to look at one. Pure,
driven by what happens and a clock that the caller reads.

A group is looked at when something of it has landed in the bucket, when it was renamed into place, and
after each walk; never while anything below it waits to be sent, since its landing brings the next look.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from lighterman.errors import UsageError
from lighterman.globs import Globs
from sidecar.states import RelPath

GATHER_SECONDS: Final = 0.2
"""How long a look waits for further files of its group: each look reads all of their states."""
LOOK_SHARE: Final = 10
"""A group that isn't whole yet is looked at for at most a tenth of the time."""
FIRST_BACKOFF_SECONDS: Final = 1.0
LONGEST_BACKOFF_SECONDS: Final = 300.0


class Verdict(StrEnum):
    """How one look at a group ended."""

    PUBLISHED = "published"
    """Its manifest was written."""
    STANDS = "stands"
    """The bucket has its manifest already, and nothing changed since."""
    INCOMPLETE = "incomplete"
    """Nothing says that its writer is done with it, or it was written to since."""
    UNSENT = "unsent"
    """Something of it isn't in the bucket as it is now, or can't be read."""
    DISTURBED = "disturbed"
    """Something of it was being changed in the bucket meanwhile."""
    EMPTY = "empty"
    """It holds no file, or is gone: there is nothing to vouch for."""
    TOO_LARGE = "too large"
    """Its manifest would be larger than anyone reads."""


class Touched(NamedTuple):
    """When something was last written, by the clock of its file system."""

    mtime_ns: int
    ctime_ns: int

    @property
    def written_ns(self) -> int:
        """At the latest: a time of modification that lies in the future was set by hand."""
        return min(self.mtime_ns, self.ctime_ns)


def is_complete(
    newest_ns: int, *, renamed_ns: int | None, done: Touched | None, ended: bool
) -> bool:
    """
    Whether a group is whole on disk: it was renamed into place, or holds the file that says so, and nothing in
    it was written, made, renamed or deleted after that (``newest_ns``: the latest ``written_ns`` of its
    files and directories); or main has ``ended``.
    """
    if ended:
        return True
    said_ns = max(renamed_ns or 0, done.ctime_ns if done else 0)
    return newest_ns <= said_ns


class GroupNames:
    """Which directories are groups, and which file says that one is complete."""

    def __init__(self, globs: Iterable[str] = (), done_name: str = "") -> None:
        self._globs = Globs(globs, "--group")
        if done_name and ("/" in done_name or done_name in (".", "..")):
            raise UsageError(
                f"--group-done: {done_name!r} is no name of a file",
                hint="name a file right in the group, without a slash",
            )
        self.done_name = done_name

    def __bool__(self) -> bool:
        return bool(self._globs)

    def is_group(self, directory: str) -> bool:
        """Whether this very directory is one. The outputs path itself never is."""
        return bool(directory) and self._globs.matches(directory, directory=True)

    def of(self, path: str) -> list[RelPath]:
        """The groups that a file is in, the outermost first."""
        if not self._globs:
            return []
        found = []
        slash = path.find("/")
        while slash != -1:
            if self.is_group(path[:slash]):
                found.append(RelPath(path[:slash]))
            slash = path.find("/", slash + 1)
        return found


def check_groups(globs: Sequence[str], done_name: str, marker: str) -> None:
    """``UsageError`` for flags that can't be meant."""
    GroupNames(globs, done_name)
    if done_name and not globs:
        raise UsageError(
            "--group-done says when a group is complete, and there is no group",
            hint="name the directories that are published whole with --group GLOB",
        )
    if "/" in marker or marker in (".", ".."):
        raise UsageError(
            f"--marker: {marker!r} is no name right below the prefix",
            hint="give a name without a slash, like _SUCCESS",
        )


@dataclass(slots=True)
class _Group:
    due: float | None = None
    """When to look; ``None``: when something happens."""
    is_looked_at: bool = False
    not_before: float = 0.0
    failures: int = 0


class Groups:
    """When to look at which group."""

    def __init__(self) -> None:
        self._groups: dict[RelPath, _Group] = {}

    def stirred(self, group: RelPath, now: float) -> None:
        """Something of it is in the bucket by now, or it was renamed into place, or a walk met it."""
        found = self._groups.setdefault(group, _Group())
        if found.due is None:
            found.due = max(now + GATHER_SECONDS, found.not_before)

    def next_due(self) -> float | None:
        """When ``take`` may have something."""
        dues = (
            group.due
            for group in self._groups.values()
            if group.due is not None and not group.is_looked_at
        )
        return min(dues, default=None)

    def is_due(self, now: float) -> bool:
        """Whether ``take`` is worth its price."""
        due = self.next_due()
        return due is not None and due <= now

    def take(self, now: float, busy: AbstractSet[str]) -> list[RelPath]:
        """
        Those whose time has come; they are looked at now. ``busy`` holds every directory that has something
        below it which waits or is being sent: what lands there comes as ``stirred``.
        """
        taken = []
        for name, group in list(self._groups.items()):
            if group.is_looked_at or group.due is None or group.due > now:
                continue
            group.due = None
            if name in busy:
                self._rest(name, group, now)
                continue
            group.is_looked_at = True
            taken.append(name)
        return taken

    def ended(self, name: RelPath, verdict: Verdict, now: float, took_seconds: float) -> None:
        """A look ended. What happened to the group meanwhile is looked at anew."""
        group = self._groups[name]
        group.is_looked_at = False
        group.failures = 0
        if verdict in (Verdict.UNSENT, Verdict.INCOMPLETE, Verdict.DISTURBED):
            group.not_before = now + LOOK_SHARE * took_seconds
        self._rest(name, group, now)

    def failed(self, name: RelPath, now: float) -> None:
        """The store didn't take its manifest: again later, each time later."""
        group = self._groups[name]
        group.is_looked_at = False
        backoff = min(
            LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(group.failures, 16)
        )
        group.failures += 1
        group.due = group.not_before = now + backoff

    def _rest(self, name: RelPath, group: _Group, now: float) -> None:
        if group.due is not None:
            group.due = max(group.due, group.not_before)
        elif group.not_before <= now:
            del self._groups[name]
