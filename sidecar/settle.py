"""
Which files are ready to be sent, and when: pure, driven by events and a clock that the caller reads.

- A file that was closed, renamed into place, linked or touched is ready ``settle_seconds`` later; each
  further event pushes that, up to ``max_delay_seconds`` after the first one.
- A file that is being written waits for its close. A live one doesn't: it is ready every
  ``max_delay_seconds``, or ten times what its last upload took, whichever is longer.
- A file whose name looks temporary waits for the drain.
- A file that is being sent is never handed out a second time before that ended.

An event costs O(log n). Times are seconds of one monotonic clock.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from sidecar.globs import Names
from sidecar.states import RelPath, join

LIVE_PATIENCE: Final = 10
"""A live file is sent at most a tenth of the time: the contract's "10 x its last upload"."""
FIRST_BACKOFF_SECONDS: Final = 1.0
LONGEST_BACKOFF_SECONDS: Final = 300.0
"""A file that fails is tried again no later than a reconcile would find it, by its default."""
MOST_ENTRIES: Final = 50_000
"""About 20 MiB. Beyond it new paths are left to the next reconcile, which needs no memory for them."""
_MOVED_KEPT: Final = 1000


class Rules(NamedTuple):
    """The flags that decide."""

    settle_seconds: float = 1.0
    max_delay_seconds: float = 30.0


@dataclass(slots=True)
class _Entry:
    due: float | None = None
    """When it is ready; ``None``: it waits for something other than time."""
    queued: float | None = None
    """The time under which the heap has it, at most ``due``; ``None``: not in the heap."""
    first_event: float | None = None
    taken_since: float | None = None
    """The first event of what was last taken."""
    being_written: bool = False
    in_flight: bool = False
    failures: int = 0


class Settle:
    """What is known of the files that aren't in the bucket yet."""

    def __init__(self, rules: Rules, names: Names, *, most_entries: int = MOST_ENTRIES) -> None:
        self._rules = rules
        self._names = names
        self._most_entries = most_entries
        self._directories: dict[str, dict[str, _Entry]] = {}
        self._count = 0
        self._heap: list[tuple[float, int, RelPath]] = []
        self._sequence = 0
        self._live_not_before: dict[RelPath, float] = {}
        self._live_writing: set[RelPath] = set()
        """Live paths that were sent while somebody had them open: a rename takes the writer along."""
        self._moved_writing: dict[RelPath, None] = {}
        self._draining = False
        self.overflowed = False
        """Set when a path was left to the next reconcile for want of room; the caller resets it."""

    def __len__(self) -> int:
        return self._count

    # What the watch tells

    def closed(self, path: RelPath, now: float) -> None:
        """Closed after writing, touched, or linked: complete as far as its events say."""
        self._live_writing.discard(path)
        entry = self._entry(path)
        if entry:
            entry.being_written = False
            self._push(path, entry, now)

    def touched(self, path: RelPath, now: float) -> None:
        """Its attributes changed, which says nothing about who writes."""
        entry = self._entry(path)
        if entry:
            self._push(path, entry, now)

    def writing(self, path: RelPath, now: float) -> None:
        """Opened for writing or written to: it waits for its close, unless it is live."""
        entry = self._entry(path)
        if entry:
            entry.being_written = True
            self._push(path, entry, now)

    def arrived(self, path: RelPath, now: float, origin: RelPath | None = None) -> None:
        """Renamed into place, from ``origin`` where that was inside; an open writer comes with it."""
        self._live_writing.discard(path)
        entry = self._entry(path)
        if entry:
            entry.being_written = origin is not None and origin in self._moved_writing
            self._push(path, entry, now)
        if origin is not None:
            self._moved_writing.pop(origin, None)

    def gone(self, path: RelPath) -> None:
        """Deleted or renamed away: nothing is to be sent under this name."""
        self._live_not_before.pop(path, None)
        # What an earlier file of this name was is no word on the one that goes now.
        self._moved_writing.pop(path, None)
        directory, _, name = path.rpartition("/")
        entry = self._directories.get(directory, {}).get(name)
        if path in self._live_writing or (entry is not None and entry.being_written):
            self._live_writing.discard(path)
            self._moved_writing[path] = None
            if len(self._moved_writing) > _MOVED_KEPT:
                del self._moved_writing[next(iter(self._moved_writing))]
        if entry is None:
            return
        if entry.in_flight:
            self._reset(entry)
        else:
            self._drop(path)

    def directory_gone(self, directory: RelPath) -> None:
        """As ``gone`` for each file right below ``directory``."""
        for name in list(self._directories.get(directory, ())):
            self.gone(join(directory, name))

    # What a reconcile tells

    def found(self, path: RelPath, now: float, *, at_rest: bool) -> None:
        """
        A walk saw that the bucket lacks its present state. ``at_rest`` says that nobody has it open
        for writing, so a close that was awaited came unseen; otherwise an open writer is waited for.
        """
        entry = self._entry(path)
        if entry is None:
            return
        if at_rest:
            entry.being_written = False
            self._live_writing.discard(path)
        if entry.due is None:
            entry.first_event = now
            self._schedule(path, entry, max(now, self._earliest(path)))

    # What becomes of it

    def take_ready(self, now: float, most: int) -> list[RelPath]:
        """At most ``most`` paths whose time has come, the longest due first. They are in flight now."""
        taken: list[RelPath] = []
        while len(taken) < most and self._heap and self._heap[0][0] <= now:
            queued, _, path = heapq.heappop(self._heap)
            entry = self._find(path)
            if entry is None or entry.queued != queued:
                continue
            entry.queued = None
            if entry.due is None or entry.in_flight:
                continue
            if entry.due > now:
                self._queue(path, entry, entry.due)
            elif self._may_go(path, entry):
                self._take(entry)
                taken.append(path)
            else:
                entry.due = None
        return taken

    def take(self, path: RelPath) -> bool:
        """Take this path whatever its time, as a drain or a walk does; false while it is in flight."""
        entry = self._entry(path, room_for_one_more=True)
        if entry is None or entry.in_flight:
            return False
        self._take(entry)
        return True

    def waiting(self) -> Iterator[RelPath]:
        """Every path that isn't in flight, in no order."""
        for directory, entries in self._directories.items():
            for name, entry in entries.items():
                if not entry.in_flight:
                    yield join(directory, name)

    def is_flying(self, path: RelPath) -> bool:
        """Whether it is in flight."""
        entry = self._find(path)
        return entry is not None and entry.in_flight

    def flying(self) -> Iterator[RelPath]:
        """Every path that is in flight."""
        for directory, entries in self._directories.items():
            for name, entry in entries.items():
                if entry.in_flight:
                    yield join(directory, name)

    def sent(self, path: RelPath, now: float, took_seconds: float) -> None:
        """Its state is in the bucket, or there is nothing to send; what happened since counts anew."""
        entry = self._landed(path)
        if self._names.is_live(path):
            patience = max(self._rules.max_delay_seconds, LIVE_PATIENCE * took_seconds)
            self._live_not_before[path] = now + patience
            if entry.being_written:
                self._live_writing.add(path)
        entry.failures = 0
        self._rest(path, entry, now)

    def still_open(self, path: RelPath, now: float) -> None:
        """Somebody has it open for writing: it waits for the close, or for the next reconcile."""
        entry = self._landed(path)
        if entry.due is None:
            entry.being_written = True
            entry.first_event = now
        self._rest(path, entry, now)

    def changed(self, path: RelPath, now: float, retry_after_seconds: float | None = None) -> None:
        """
        It changed while it was sent: again, soon. With ``retry_after_seconds`` it was only too fresh, and
        nothing was sent: it goes on waiting since its first event, or a file that is written at a
        steady pace would be met too fresh each time.
        """
        entry = self._landed(path)
        if retry_after_seconds is None:
            wait_seconds = 0.0 if self._draining else self._rules.settle_seconds
            self._schedule(path, entry, max(now + wait_seconds, entry.due or 0.0))
            return
        if entry.taken_since is not None:
            entry.first_event = entry.taken_since
        due = now + retry_after_seconds
        if entry.first_event is not None and entry.due is not None:
            due = max(due, min(entry.due, entry.first_event + self._rules.max_delay_seconds))
        self._schedule(path, entry, due)

    def failed(self, path: RelPath, now: float) -> None:
        """It could not be sent: again later, each time later."""
        entry = self._landed(path)
        backoff = FIRST_BACKOFF_SECONDS * 2.0 ** min(entry.failures, 16)
        entry.failures += 1
        self._schedule(
            path, entry, max(now + min(LONGEST_BACKOFF_SECONDS, backoff), entry.due or 0.0)
        )

    def gave_up(self, path: RelPath) -> None:
        """It isn't tried again; what happened to it since it was taken counts anew."""
        entry = self._landed(path)
        entry.failures = 0
        self._rest(path, entry, entry.due or 0.0)

    def drain(self) -> list[RelPath]:
        """From now on nothing waits for its name, its close or its settling. Returns all that waits."""
        self._draining = True
        return list(self.waiting())

    def next_due(self) -> float | None:
        """When ``take_ready`` may have something; never later than it really has."""
        return self._heap[0][0] if self._heap else None

    # Inside

    def _find(self, path: RelPath) -> _Entry | None:
        directory, _, name = path.rpartition("/")
        entries = self._directories.get(directory)
        return entries.get(name) if entries else None

    def _entry(self, path: RelPath, *, room_for_one_more: bool = False) -> _Entry | None:
        directory, _, name = path.rpartition("/")
        entries = self._directories.setdefault(directory, {})
        entry = entries.get(name)
        if entry is None:
            if self._count >= self._most_entries and not room_for_one_more:
                self.overflowed = True
                if not entries:
                    del self._directories[directory]
                return None
            entry = entries[name] = _Entry()
            self._count += 1
        return entry

    def _drop(self, path: RelPath) -> None:
        directory, _, name = path.rpartition("/")
        entries = self._directories[directory]
        del entries[name]
        self._count -= 1
        if not entries:
            del self._directories[directory]
        if not self._count:  # what the heap still holds is stale
            self._heap.clear()

    def _reset(self, entry: _Entry) -> None:
        entry.due = entry.first_event = entry.taken_since = None
        entry.being_written = False
        entry.failures = 0

    def _push(self, path: RelPath, entry: _Entry, now: float) -> None:
        if entry.first_event is None:
            entry.first_event = now
        if self._draining:
            due = now
        elif self._names.is_live(path):
            due = max(entry.first_event + self._rules.settle_seconds, self._earliest(path))
        else:
            latest = entry.first_event + self._rules.max_delay_seconds
            due = max(now, min(now + self._rules.settle_seconds, latest))
        if entry.failures:  # an event is no reason to hammer: the backoff stands
            due = max(due, entry.due or due)
        self._schedule(path, entry, due)

    def _earliest(self, path: RelPath) -> float:
        return 0.0 if self._draining else self._live_not_before.get(path, 0.0)

    def _may_go(self, path: RelPath, entry: _Entry) -> bool:
        if self._draining:
            return True
        if self._names.is_temporary(path):
            return False
        return not entry.being_written or self._names.is_live(path)

    def _schedule(self, path: RelPath, entry: _Entry, due: float) -> None:
        if not self._may_go(path, entry):
            entry.due = None
            return
        entry.due = due
        if entry.in_flight:  # its landing puts it into the heap
            return
        if entry.queued is None or entry.queued > due:
            self._queue(path, entry, due)

    def _queue(self, path: RelPath, entry: _Entry, due: float) -> None:
        self._sequence += 1
        entry.queued = due
        heapq.heappush(self._heap, (due, self._sequence, path))

    def _take(self, entry: _Entry) -> None:
        entry.taken_since = entry.first_event
        entry.due = entry.queued = entry.first_event = None
        entry.in_flight = True

    def _landed(self, path: RelPath) -> _Entry:
        entry = self._find(path)
        if entry is None or not entry.in_flight:
            raise KeyError(path)
        entry.in_flight = False
        return entry

    def _rest(self, path: RelPath, entry: _Entry, now: float) -> None:
        """After its landing: what happened meanwhile is due, an awaited close is awaited, else done."""
        if entry.due is not None:
            self._schedule(path, entry, max(now, entry.due))
        elif entry.first_event is None:
            self._drop(path)
        else:  # it waits for its close or for the drain, which may have come meanwhile
            self._schedule(path, entry, now)
