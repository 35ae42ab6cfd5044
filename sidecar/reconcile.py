"""
Runs walks in a thread of their own, a bounded piece at a time, and decides what of their finds may go:
a file that somebody may still be writing needs to be seen equal twice.
"""

import queue
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from lighterman.clock import Clock
from lighterman.log import get_logger
from lighterman.transfer.tally import Tally
from sidecar.dispatch import Dispatch
from sidecar.globs import Names
from sidecar.journal import Journal
from sidecar.leases import Leases
from sidecar.loop import Done, Failed, Loop
from sidecar.states import FileState, RelPath, printable
from sidecar.walk import Dirty, Look, vanished, walk

WALK_SHARE: Final = 100
"""A walk is at most a hundredth of the time: the contract's "never oftener than" rule."""
SECOND_LOOK_SECONDS: Final = 10.0
"""How soon a second walk follows one that held files back: two looks so far apart tell a slow writer."""
MOST_HELD: Final = 20_000
MOST_SAID: Final = 1000


@dataclass
class Walked:
    """What one walk amounted to."""

    seconds: float = 0.0
    """Time spent looking, without the waiting for room."""
    files: int = 0
    dirty: int = 0
    unreadable: set[RelPath] = field(default_factory=set)
    absent: set[RelPath] = field(default_factory=set)
    """Paths that the journal has and the outputs lack; looked for where deletes are mirrored."""


class Reconciler:
    """One walk at a time. Lives in the main thread."""

    def __init__(
        self,
        loop: Loop,
        dispatch: Dispatch,
        *,
        root: str,
        names: Names,
        journal: Journal,
        clock: Clock,
        tally: Tally,
        interval_seconds: float,
        seeks_absent: bool,
        watch: Callable[[RelPath], object],
        leases: Leases,
        unheard: Callable[[Dirty], object] | None = None,
    ) -> None:
        """
        ``watch`` is called with each directory before it is read, in the walk's thread. ``unheard`` is
        called with each file that a walk found which began while events had told of everything.
        """
        self._loop = loop
        self._dispatch = dispatch
        self._root = root
        self._names = names
        self._journal = journal
        self._clock = clock
        self._tally = tally
        self._interval_seconds = interval_seconds
        self._seeks_absent = seeks_absent
        self._watch = watch
        self._leases = leases
        self._unheard = unheard
        self._is_excused = True
        self._may_accuse = False
        self._looks: queue.Queue[Look] = queue.Queue(maxsize=2)
        self._abandoned = threading.Event()
        self._walk: Walked | None = None
        self._ended: Done[None] | Failed | None = None
        self._final = False
        self._held: dict[RelPath, FileState] = {}
        self._holding: dict[RelPath, FileState] = {}
        self._said: set[RelPath] = set()
        self.due: float | None = None
        """When the next one is due; ``None`` while one is under way."""
        self.last: Walked | None = None
        self.asks_for: Callable[[RelPath], bool] = lambda _directory: False
        """Whether ``on_look`` has to hear of a directory in which nothing is new; asked in the walk's thread."""
        self.on_look: Callable[[RelPath], object] = lambda _directory: None
        """Told of each directory in which a walk met something, and of those that are asked for."""
        self.begun = 0
        """How many walks were begun, the one under way included."""
        self.finished = 0
        """The number of the last one that ended, counted as they were begun."""
        self.count = 0
        """How many ended."""
        self.ended_at: float | None = None

    @property
    def held(self) -> Collection[RelPath]:
        """Files that the last walk saw for the first time, whose writers it can't know of."""
        return self._held.keys()

    @property
    def is_walking(self) -> bool:
        """Whether a walk is under way."""
        return self._walk is not None

    def hasten(self, within_seconds: float = 0.0) -> None:
        """Walk soon: events were lost."""
        self._is_excused = True
        when = self._clock.monotonic() + within_seconds
        self.due = when if self.due is None else min(self.due, when)

    def start(self, *, final: bool) -> None:
        """Begin a walk. A ``final`` one takes files as they are, open or not."""
        self.abandon()
        self._may_accuse = not (final or self._is_excused or self._dispatch.has_found)
        self._is_excused = False
        self._walk = Walked()
        self._ended = None
        self._final = final
        self._holding = {}
        self.begun += 1
        self.due = None
        self._abandoned = threading.Event()
        self._looks = queue.Queue(maxsize=2)
        walked, looks, abandoned = self._walk, self._looks, self._abandoned

        def note_end(end: Done[None] | Failed) -> None:
            if self._walk is walked:
                self._ended = end

        self._loop.in_background(
            "walk", lambda: self._look_around(walked, looks, abandoned), note_end
        )

    def abandon(self) -> None:
        """Let go of a walk that is under way: another is to begin."""
        self._abandoned.set()
        self._walk = None

    def pump(self) -> bool:
        """Hand on what the walk found, as there is room. True when it ended with this."""
        if self._walk is None:
            return False
        if isinstance(self._ended, Failed):
            raise self._ended.error
        while self._dispatch.wants_more:
            try:
                look = self._looks.get_nowait()
            except queue.Empty:
                break
            self._take(look, self._walk)
        if self._ended is None or not self._looks.empty():
            return False
        self._finish(self._walk)
        return True

    # In the walk's thread

    def _look_around(
        self, walked: Walked, looks: "queue.Queue[Look]", abandoned: threading.Event
    ) -> None:
        began = self._clock.monotonic()
        waited_seconds = 0.0
        directories: set[RelPath] = set()
        clean = 0
        for look in walk(self._root, self._names, self._journal, self._watch):
            if self._seeks_absent:
                directories.add(look.directory)
                walked.absent.update(look.absent)
            if abandoned.is_set():
                return
            clean += look.clean
            # A handover costs more than the look.
            if look.is_quiet and not self.asks_for(look.directory):
                continue
            waited_seconds += self._hand_on(look._replace(clean=clean), looks, abandoned)
            clean = 0
        if clean:
            waited_seconds += self._hand_on(Look(RelPath(""), [], clean), looks, abandoned)
        if self._seeks_absent:
            walked.absent.update(vanished(self._names, self._journal, directories))
        walked.seconds = self._clock.monotonic() - began - waited_seconds

    def _hand_on(self, look: Look, looks: "queue.Queue[Look]", abandoned: threading.Event) -> float:
        """For how many seconds there was no room for it."""
        full_at = self._clock.monotonic()
        while not abandoned.is_set():
            try:
                looks.put(look, timeout=1.0)
                break
            except queue.Full:
                continue
        self._loop.post(_nothing)
        return self._clock.monotonic() - full_at

    # In the main thread

    def _take(self, look: Look, walked: Walked) -> None:
        walked.files += look.clean + len(look.dirty)
        walked.dirty += len(look.dirty)
        self.on_look(look.directory)
        if self.last is None and not self._journal.fresh:  # what was there before this start
            self._tally.skip(look.clean)
        if look.unreadable:
            walked.unreadable.add(look.directory)
            self._dispatch.unreadable(look.directory, look.unreadable)
        for skipped in look.skipped:
            if skipped.path not in self._said and len(self._said) < MOST_SAID:
                self._said.add(skipped.path)
                get_logger().warning(
                    "sidecar.skipped", path=printable(skipped.path), why=skipped.why
                )
        if look.is_empty:
            self._dispatch.mark(look.directory)
        if self._may_accuse and self._unheard:
            for dirty in look.dirty:
                self._unheard(dirty)
        self._dispatch.found(
            (dirty.path, dirty.state.size_bytes if dirty.state else 0)
            for dirty in look.dirty
            if self._may_go(dirty)
        )

    def _may_go(self, dirty: Dirty) -> bool:
        """Whoever may ask the kernel about open writers asks it at the upload; else two walks agree."""
        if self._final or self._leases.may_ask_of(dirty.owner):
            return True
        if dirty.state is None:
            return True
        if self._names.is_live(dirty.path) or self._held.get(dirty.path) == dirty.state:
            return True
        if len(self._holding) < MOST_HELD:
            self._holding[dirty.path] = dirty.state
        return False

    def _finish(self, walked: Walked) -> None:
        self._walk = None
        self.last = walked
        self.finished = self.begun
        self.count += 1
        self.ended_at = self._clock.monotonic()
        self._held = self._holding
        self._dispatch.readable_but(walked.unreadable)
        wait_seconds = self._interval_seconds
        if self._held:
            wait_seconds = min(SECOND_LOOK_SECONDS, wait_seconds)
        self.due = self._clock.monotonic() + max(wait_seconds, WALK_SHARE * walked.seconds)
        get_logger().info(
            "sidecar.reconciled",
            files=walked.files,
            dirty=walked.dirty,
            seconds=round(walked.seconds, 3),
        )


def _nothing() -> None:
    """Wakes the loop."""
