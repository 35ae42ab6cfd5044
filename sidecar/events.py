"""What the watch tells, brought to the settling, in batches that the kernel had time to fold."""

from collections.abc import Callable
from typing import Final

from lighterman.clock import Clock
from lighterman.log import get_logger
from sidecar.globs import Names
from sidecar.loop import Loop
from sidecar.settle import Settle
from sidecar.states import RelPath, printable
from sidecar.watch import Change, Kind, Watcher, events_arrive

BATCH_SECONDS: Final = 0.02
"""
Between two reads the kernel folds equal events (a writer's MODIFYs) into one. The fastest maker of files
fills a third of the queue of 16,384 in that time.
"""


class Events:
    """Reads the watch when it is readable, at most every ``BATCH_SECONDS``."""

    def __init__(self, loop: Loop, settle: Settle, root: str, names: Names, clock: Clock) -> None:
        self._loop = loop
        self._settle = settle
        self._root = root
        self._clock = clock
        self._watcher = Watcher(root, names)
        self._descriptor = self._watcher.fileno()
        self._said_unwatched = False
        self.on_arrival: Callable[[RelPath], object] = lambda _directory: None
        """Told of each directory that is renamed into place, before the files in it."""
        self.overflows = 0
        """How often the kernel's queue was too short."""
        self.read_at: float | None = None
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

    def watch(self, directory: RelPath) -> bool:
        """Watch this directory; from any thread."""
        return self._watcher.watch(directory)

    def watch_elsewhere(self, directory: str) -> bool:
        """Wake up when something happens in this directory too."""
        return self._watcher.watch_elsewhere(directory)

    def test(self, directory: str) -> None:
        """Say it, if the kernel doesn't tell of what happens in ``directory``."""
        if events_arrive(directory) is False:
            get_logger().warning(
                "sidecar.no_events",
                path=self._root,
                hint="this filesystem tells of no changes: they are found by the reconcile alone",
            )

    def say_unwatched(self, interval_seconds: float) -> None:
        """Say once, if the kernel gave no watch for a part."""
        if self._watcher.unwatched and not self._said_unwatched:
            self._said_unwatched = True
            some = sorted(printable(part) or "." for part in list(self._watcher.unwatched))
            get_logger().warning(
                "sidecar.unwatched",
                directories=len(some),
                first=some[:3],
                reconcile_seconds=interval_seconds,
                hint="raise fs.inotify.max_user_watches and max_user_instances; until then changes "
                "there are found by the reconcile alone",
            )

    def pump(self, readable: set[int]) -> None:
        """Read what there is, or put it off to the next batch."""
        now = self._clock.monotonic()
        if self._descriptor in readable and self.read_at is None:
            # The first event waits a little for those that follow it.
            self.read_at = now + BATCH_SECONDS
            self._loop.ignore(self._descriptor)
        if self.read_at is not None and now >= self.read_at and self._descriptor is not None:
            self.read_at = None
            self._loop.listen(self._descriptor)
            self.read()

    def read(self) -> None:
        """Read what there is now."""
        now = self._clock.monotonic()
        for change in self._watcher.read():
            self._tell(change, now)

    def _tell(self, change: Change, now: float) -> None:
        match change:
            case (Kind.CLOSED, path, _):
                self._settle.closed(path, now)
            case (Kind.ARRIVED, path, origin):
                self._settle.arrived(path, now, origin)
            case (Kind.WRITING, path, _):
                self._settle.writing(path, now)
            case (Kind.TOUCHED, path, _):
                self._settle.touched(path, now)
            case (Kind.GONE, path, _):
                self._settle.gone(path)
            case (Kind.DIRECTORY_GONE, path, _):
                self._settle.directory_gone(path)
            case (Kind.DIRECTORY_ARRIVED, path, _):
                self.on_arrival(path)
            case (Kind.OVERFLOW, _, _):
                get_logger().warning("sidecar.overflow", path=self._root)
                self.overflows += 1
                self.lost = True
            case (Kind.ROOT_GONE, _, _):
                get_logger().error("sidecar.outputs_gone", path=self._root)
                self.lost = self.root_gone = True

    def stop(self) -> None:
        """What happens from now on isn't told any more."""
        if self._descriptor is not None:
            self._loop.ignore(self._descriptor)
        self._descriptor = self.read_at = None

    def close(self) -> None:
        """Give the watches back."""
        self.stop()
        self._watcher.close()
