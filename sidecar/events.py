"""
What happens in the outputs, brought to the settling: what the watch tells, in batches that the kernel had
time to fold; and, of parts where it tells nothing, what looks see.
"""

import os
import stat
from collections.abc import Callable
from typing import Final, NamedTuple

from lighterman.clock import Clock
from lighterman.errors import LightermanError
from lighterman.log import get_logger
from sidecar.globs import Names
from sidecar.journal import Journal
from sidecar.leases import Leases
from sidecar.looks import Looks
from sidecar.loop import Loop
from sidecar.options import Options
from sidecar.output import opened
from sidecar.polling import outermost
from sidecar.settle import Settle
from sidecar.states import RelPath, printable, split
from sidecar.unheard import part_of, should_have_been_told
from sidecar.walk import Dirty, directories
from sidecar.watch import Change, Kind, Watcher, events_arrive

BATCH_SECONDS: Final = 0.02
"""
Between two reads the kernel folds equal events (a writer's MODIFYs) into one. The fastest maker of files
fills a third of the queue of 16,384 in that time.
"""


class Events:
    """
    Reads the watch when it is readable, at most every ``BATCH_SECONDS``, and looks by itself at what is
    unwatched: directories for which the kernel has no watch, filesystems whose events don't come.
    """

    def __init__(
        self,
        loop: Loop,
        settle: Settle,
        options: Options,
        names: Names,
        journal: Journal,
        *,
        clock: Clock,
        leases: Leases,
    ) -> None:
        self._loop = loop
        self._settle = settle
        self._root = options.root
        self._names = names
        self._journal = journal
        self._clock = clock
        self._is_off = options.watch == "poll"
        self._watcher = Watcher(options.root, names, is_off=self._is_off)
        self._descriptor = self._watcher.fileno()
        self._said_unwatched = False
        self.on_arrival: Callable[[RelPath], object] = lambda _directory: None
        """Told of each directory that is renamed into place, before the files in it."""
        self.overflows = 0
        """How often the kernel's queue was too short."""
        self._deaf: set[RelPath] = set()
        """Parts where events were seen not to come."""
        self._fresh: set[RelPath] = set()
        """Directories that this walk was the first to watch."""
        self._looks = Looks(
            loop,
            settle,
            root=options.root,
            names=names,
            journal=journal,
            clock=clock,
            leases=leases,
            parts=lambda: self._deaf.union(list(self._watcher.unwatched)),
        )
        self._read_at: float | None = None
        """When the next batch is to be read; ``None``: when there is one."""
        self.lost = False
        """Set when events were lost, so that only a walk knows; the caller resets it."""
        self.root_gone = False
        """Set when the outputs path itself went away; the caller resets it."""
        if self._descriptor is not None:
            loop.listen(self._descriptor)

    @property
    def unwatched(self) -> int:
        """How many directories the kernel gave no watch for."""
        return len(self._watcher.unwatched)

    def begin(self, probe_directory: str) -> None:
        """
        In the background: watch what is there. Whether events come is tried in ``probe_directory``,
        which is on the outputs' filesystem.
        """
        if self._is_off:
            return
        if events_arrive(probe_directory) is False:
            self._deaf.add(RelPath(""))
        for directory in directories(self._root, self._names):
            self.watch(directory)

    def watch(self, directory: RelPath) -> bool:
        """Watch this directory; from any thread."""
        if not self._watcher.is_watched(directory):
            self._fresh.add(directory)
        return self._watcher.watch(directory)

    def watch_elsewhere(self, directory: str) -> bool:
        """Wake up when something happens in this directory too."""
        return self._watcher.watch_elsewhere(directory)

    def walked(self) -> None:
        """A walk ended: what it watched first is watched like the rest. Says what is unwatched, once."""
        self._fresh.clear()
        if self._deaf or self._watcher.unwatched:
            self._looks.begin()
        if self._said_unwatched:
            return
        if RelPath("") in self._deaf:
            get_logger().warning(
                "sidecar.no_events",
                path=self._root,
                hint="this filesystem tells of no changes: it is looked at again and again",
            )
        elif self._is_off:
            get_logger().info("sidecar.polling", path=self._root, why="--watch poll")
        elif self._watcher.unwatched:
            some = [printable(part) or "." for part in outermost(list(self._watcher.unwatched))]
            get_logger().warning(
                "sidecar.unwatched",
                directories=len(some),
                first=some[:3],
                hint="raise fs.inotify.max_user_watches and max_user_instances; until then these "
                "are looked at again and again",
            )
        else:
            return
        self._said_unwatched = True

    def unheard(self, dirty: Dirty) -> None:
        """A walk found this file; where events should have told of it, its part is looked at from now on."""
        directory, name = split(dirty.path)
        if self._descriptor is None or dirty.state is None or self.lost or self._settle.overflowed:
            return
        if self._settle.knows(dirty.path) or self._names.is_live(dirty.path):
            return
        if directory in self._fresh or self._is_deaf(directory):
            return
        self.read()  # what the kernel has told by now
        found = _looked_up(self._root, directory, name)
        synced = self._journal.synced(dirty.path)
        if found is None or self._settle.knows(dirty.path) or self.lost:
            return
        is_told_of = should_have_been_told(
            dirty.state,
            synced.state if synced else None,
            links=found.links,
            is_link=found.is_link,
            wall_seconds=self._clock.wall(),
        )
        if is_told_of and not _is_open(self._root, dirty.path):
            self._deaf.add(found.part)
            self._looks.begin()
            get_logger().warning(
                "sidecar.unheard",
                path=printable(dirty.path),
                part=printable(found.part) or ".",
                hint="a change came without an event, as on filesystems that others write to: "
                "this part is looked at again and again",
            )

    def _is_deaf(self, directory: RelPath) -> bool:
        """Whether it is looked at already: no event is expected there."""
        if not self._watcher.is_watched(directory):
            return True
        below = f"{directory}/"
        return any(below.startswith(f"{part}/" if part else "") for part in self._deaf)

    def next_at(self, *, may_look: bool) -> float | None:
        """When ``pump`` has something to do of its own accord."""
        times = (self._read_at, self._looks.due if may_look else None)
        return min((time for time in times if time is not None), default=None)

    def pump(self, readable: set[int], *, may_look: bool) -> None:
        """Read what there is, or put it off to the next batch; look, if it is time and ``may_look``."""
        now = self._clock.monotonic()
        if self._descriptor in readable and self._read_at is None:
            # The first event waits a little for those that follow it.
            self._read_at = now + BATCH_SECONDS
            self._loop.ignore(self._descriptor)
        if self._read_at is not None and now >= self._read_at and self._descriptor is not None:
            self._read_at = None
            self._loop.listen(self._descriptor)
            self.read()
        self._looks.pump(may_begin=may_look)

    def read(self) -> None:
        """Read what there is now."""
        now = self._clock.monotonic()
        for change in self._watcher.read():
            self._tell(change, now)
        if self._watcher.unwatched:
            self._looks.begin()

    def _tell(self, change: Change, now: float) -> None:
        tell(self._settle, change, now)
        if change.kind is Kind.DIRECTORY_ARRIVED:
            self.on_arrival(change.path)
        elif change.kind is Kind.OVERFLOW:
            get_logger().warning("sidecar.overflow", path=self._root)
            self.overflows += 1
            self.lost = True
        elif change.kind is Kind.ROOT_GONE:
            get_logger().error("sidecar.outputs_gone", path=self._root)
            self.lost = self.root_gone = True

    def stop(self) -> None:
        """What happens from now on isn't told any more."""
        if self._descriptor is not None:
            self._loop.ignore(self._descriptor)
        self._descriptor = self._read_at = None
        self._looks.stop()

    def close(self) -> None:
        """Give the watches back."""
        self.stop()
        self._watcher.close()


def tell(settle: Settle, change: Change, now: float) -> None:
    """What a change of one file or directory means to the settling."""
    match change:
        case (Kind.CLOSED, path, _):
            settle.closed(path, now)
        case (Kind.ARRIVED, path, origin):
            settle.arrived(path, now, origin)
        case (Kind.WRITING, path, _):
            settle.writing(path, now)
        case (Kind.TOUCHED, path, _):
            settle.touched(path, now)
        case (Kind.GONE, path, _):
            settle.gone(path)
        case (Kind.DIRECTORY_GONE, path, _):
            settle.directory_gone(path)


def _is_open(root: str, path: RelPath) -> bool:
    """Whether it may yet be closed, as what is written through a mapping is: that is what will be told."""
    try:
        with opened(root, path) as output:
            return output is None or output.is_being_written()
    except LightermanError:  # it can't be read: the upload says so
        return True


class _LookedUp(NamedTuple):
    part: RelPath
    links: int
    is_link: bool


def _looked_up(root: str, directory: RelPath, name: str) -> _LookedUp | None:
    """What tells of a file beside its state; ``None`` if it is gone, of which an event told."""
    above = [root]
    for step in directory.split("/") if directory else []:
        above.append(f"{above[-1]}/{step}")
    try:
        devices = [os.lstat(path).st_dev for path in above]
        status = os.lstat(os.path.join(above[-1], name))
    except OSError:
        return None
    return _LookedUp(part_of(directory, devices), status.st_nlink, stat.S_ISLNK(status.st_mode))
