"""
The groups and the marker of one outputs path, in the sidecar's life: what happened is told here, and what is
to be looked at goes to the threads. Lives in the main thread.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from lighterman.clock import Clock
from lighterman.errors import LightermanError
from lighterman.log import get_logger
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from sidecar.dispatch import Dispatch
from sidecar.events import Events
from sidecar.globs import Names
from sidecar.groups import GroupNames, Groups, Verdict
from sidecar.guarded import Guarded
from sidecar.journal import Journal
from sidecar.loop import Done, Failed, Pool
from sidecar.options import Options
from sidecar.publisher import Publisher
from sidecar.reconcile import Reconciler
from sidecar.settle import Settle
from sidecar.states import RelPath, join, printable
from sidecar.walk import directories

_NOT_AT_THE_END: Final = (Verdict.UNSENT, Verdict.DISTURBED)


class Publishing:
    """Tells a group's manifest and the marker when to be written."""

    def __init__(
        self,
        options: Options,
        settle: Settle,
        pool: Pool,
        *,
        guarded: Guarded,
        journal: Journal,
        names: Names,
        clock: Clock,
        attempts: Attempts,
        pace: Pace,
        mark: Callable[[RelPath], object],
    ) -> None:
        """``mark`` writes the marker of an empty directory."""
        self._names_of_groups = GroupNames(options.groups, options.group_done)
        self._publisher = Publisher(
            guarded,
            journal,
            self._names_of_groups,
            root=options.root,
            prefix=options.prefix,
            names=names,
            clock=clock,
            attempts=attempts,
            pace=pace,
            mark=mark,
        )
        self._settle = settle
        self._pool = pool
        self._options = options
        self._names = names
        self._clock = clock
        self._groups = Groups()
        self._seen: set[RelPath] = set()
        self._left: deque[RelPath] = deque()
        self._under_way = 0
        self._early = 0
        """Looks of before the end that are under way: each would be in the way of its group's last one."""
        self._marker_is_due = False
        self._has_ended = False
        self.failed: dict[RelPath, LightermanError] = {}
        """Manifests whose latest attempt failed."""

    def listen(self, dispatch: Dispatch, reconciler: Reconciler, events: Events | None) -> None:
        """From now on hear of what happens."""
        if self._names_of_groups:
            dispatch.on_landed = self.landed
            reconciler.asks_for = self._names_of_groups.is_group
            reconciler.on_look = self.seen
            if events:
                events.on_arrival = self.arrived

    def recall(self) -> None:
        """At the start, before anything is sent, from any thread."""
        self._seen.update(self._publisher.recall())

    # What happens

    def landed(self, path: RelPath) -> None:
        """The file is in the bucket as it is."""
        for group in self._names_of_groups.of(path):
            self._stir(group)

    def arrived(self, directory: RelPath) -> None:
        """A directory was renamed into place: with it the groups in it."""
        try:
            at_ns = os.stat(os.path.join(self._options.root, directory)).st_ctime_ns
        except OSError:  # gone again
            return
        for below in self._directories(directory):
            if self._names_of_groups.is_group(below):
                self._publisher.renamed(below, at_ns)
                self._stir(below)

    def seen(self, directory: RelPath) -> None:
        """A walk met this directory."""
        if self._names_of_groups.is_group(directory):
            self._seen.add(directory)

    def walked(self) -> None:
        """A walk ended."""
        if not self._has_ended:
            for group in self._seen:
                self._stir(group)

    # What follows

    def pump(self) -> None:
        """Give the threads what is due."""
        now = self._clock.monotonic()
        while self._left and not self._early and self._pool.free > 0:
            self._look(self._left.popleft(), ended=True)
        if self._has_ended or not self._groups.is_due(now):
            return
        for group in self._groups.take(now, self._settle.busy_directories()):
            self._look(group, ended=False)

    def next_due(self) -> float | None:
        """When ``pump`` has something to do of its own accord."""
        return None if self._has_ended else self._groups.next_due()

    def drain(self) -> None:
        """From now on everything is sent, temporary names too."""
        self._publisher.drains = True

    def finish(self, *, is_whole: bool) -> None:
        """
        Main has ended, and all that could be sent is: every group that is whole has its manifest then, and the
        marker is written last, where nothing failed at all (``is_whole``).
        """
        self._has_ended = True
        self._left.extend(sorted(self._seen))
        self._marker_is_due = bool(self._options.marker) and is_whole
        self.pump()

    def is_over(self) -> bool:
        """After ``finish``: whether all is written."""
        if self._left or self._under_way:
            return False
        if self._marker_is_due and not self.failed:
            self._marker_is_due = False
            self._write_marker()
            return False
        return True

    def _directories(self, above: RelPath) -> Iterator[RelPath]:
        place = os.path.join(self._options.root, above)
        for below in directories(place, Names()):
            path = join(above, below) if below else above
            if not self._names.is_covered(path, directory=True):
                yield path

    def _stir(self, group: RelPath) -> None:
        self._seen.add(group)
        self._groups.stirred(group, self._clock.monotonic())

    def _look(self, group: RelPath, *, ended: bool) -> None:
        began = self._clock.monotonic()
        self._under_way += 1
        self._early += not ended

        def landed(end: Done[Verdict] | Failed) -> None:
            self._under_way -= 1
            self._early -= not ended
            now = self._clock.monotonic()
            if isinstance(end, Failed):
                self._note_failure(group, end.error)
                if not ended:
                    self._groups.failed(group, now)
                return
            self.failed.pop(group, None)
            if not ended:
                self._groups.ended(group, end.value, now, now - began)
            elif end.value in _NOT_AT_THE_END:
                get_logger().warning(
                    "sidecar.group_not_published", path=printable(group), why=str(end.value)
                )

        self._pool.submit(lambda: self._publisher.look(group, ended=ended), landed)

    def _write_marker(self) -> None:
        name = RelPath(self._options.marker)
        self._under_way += 1

        def landed(end: Done[Verdict] | Failed) -> None:
            self._under_way -= 1
            if isinstance(end, Failed):
                self._note_failure(name, end.error)
            elif end.value in _NOT_AT_THE_END:
                get_logger().warning("sidecar.marker_not_written", key=name, why=str(end.value))

        self._pool.submit(lambda: self._publisher.write_marker(name), landed)

    def _note_failure(self, path: RelPath, error: BaseException) -> None:
        if not isinstance(error, LightermanError):
            raise error
        self.failed[path] = error
        get_logger().warning(
            "sidecar.manifest_failed",
            path=printable(path),
            kind=error.kind,
            error=error.message,
            hint=error.hint,
        )
