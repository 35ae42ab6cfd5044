"""
Hands ready files to the threads that upload, and says what became of each: the settling goes on from
there, failures are named in the tally until they are mended.

Lives in the main thread; only ``Uploader`` calls happen in others.
"""

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from typing import Final

from lighterman.clock import Clock
from lighterman.errors import (
    BucketMissingError,
    CannotWriteError,
    ConfigurationError,
    CredentialsError,
    LightermanError,
    Retry,
    SourceChangedError,
)
from lighterman.log import get_logger
from lighterman.transfer.tally import Tally
from sidecar.drain import BySize
from sidecar.globs import Names
from sidecar.lane import Lane
from sidecar.loop import Done, Failed, Pool
from sidecar.outgoing import Ended, Handed
from sidecar.output import peek
from sidecar.settle import Settle
from sidecar.states import RelPath, key_of, marker_path, printable
from sidecar.status.ledger import Ledger
from sidecar.upload import Outcome, Result, Uploader

MOST_FOUND: Final = 1000
"""A walk waits while so many of its files wait to be sent."""
MOST_FOUND_LAST: Final = 50_000
"""The same of the last walk, whose finds go by size: some 10 MiB for a good order."""
MOST_SAID: Final = 10
"""Failures of one kind that are logged one by one before something succeeds again."""
_REFUSALS: Final = (CredentialsError, ConfigurationError, BucketMissingError)


class Dispatch:
    """What is to be sent, what is under way, and what failed."""

    def __init__(
        self,
        settle: Settle,
        uploader: Uploader,
        pool: Pool,
        *,
        names: Names,
        root: str,
        prefix: str,
        clock: Clock,
        tally: Tally,
        ledger: Ledger,
        give_up_seconds: float,
        lane: Lane | None = None,
    ) -> None:
        """Small files go down the ``lane``, where there is one; what it leaves, and all others, to the pool."""
        self._settle = settle
        self._uploader = uploader
        self._pool = pool
        self._names = names
        self._root = root
        self._prefix = prefix
        self._clock = clock
        self._tally = tally
        self._ledger = ledger
        self._give_up_seconds = give_up_seconds
        self._found: deque[tuple[RelPath, int]] = deque()
        self._last = BySize(names)
        """At the end: everything that waits."""
        self._lane = lane
        if lane is not None:
            lane.start(self._lane_landed)
        self._left: deque[RelPath] = deque()
        """What the lane left to the pool; in flight all the same."""
        self._markers: deque[RelPath] = deque()
        self._marking: set[RelPath] = set()
        self._said: Counter[str] = Counter()
        self._refused = 0
        self._is_walked = False
        self._told: set[RelPath] = set()
        """What was known before the last walk, which may find it once more before it is sent."""
        self._told_and_sent: set[RelPath] = set()
        self._again: dict[RelPath, None] = {}
        """Finds of the last walk that were known or under way: looked at once more, after all others."""
        self._unreadable: set[RelPath] = set()
        self._final_since: float | None = None
        self._keeps_whole = False
        self._succeeded_at = 0.0
        self.failed: dict[RelPath, LightermanError] = {}
        """Files whose latest attempt failed, in the order in which they first did."""
        self.bug: BaseException | None = None
        """What no error of ours explains; the caller raises it."""
        self.being_deleted: Collection[RelPath] = ()
        """Paths whose objects are being deleted, which the lane wouldn't wait for."""
        self.on_landed: Callable[[RelPath], object] = lambda _path: None
        """Told of each file that is in the bucket as it is, or gone."""

        self.on_sent: Callable[[RelPath], object] = lambda _path: None
        """Told of each file that was sent."""

    # What comes in

    def found(self, files: Iterable[tuple[RelPath, int]]) -> None:
        """
        A walk saw that the bucket lacks these, with their sizes, and that nobody writes them as far as it
        can tell.
        """
        if self._is_walked:  # another walk, after all of that: what it finds is missing indeed
            self._told.clear()
            self._told_and_sent.clear()
        self._found.extend(files)
        if self._final_since is not None:
            self._order_found()

    def mark(self, directory: RelPath) -> None:
        """An empty directory wants its marker."""
        self._markers.append(directory)

    def unreadable(self, directory: RelPath, why: str) -> None:
        """A walk couldn't read this directory."""
        error = CannotWriteError(
            f"can't read output directory {printable(directory) or self._root}: {why}",
            hint="run as the uid that writes it, or leave it out with --exclude",
            key=self._name(directory),
        )
        self._unreadable.add(directory)
        self._note_failure(marker_path(directory), error)

    def readable_but(self, unreadable: set[RelPath]) -> None:
        """A walk ended: of the directories that failed before, only these still do."""
        for directory in self._unreadable - unreadable:
            self.failed.pop(marker_path(directory), None)
            self._tally.mended(self._name(marker_path(directory)))
        self._unreadable &= unreadable
        self.forget_gone()

    def forget_gone(self) -> None:
        """What failed and is no more, is no failure: nothing of it is missing."""
        for path in list(self.failed):
            if path.endswith("/") or self._settle.knows(path):
                continue
            with contextlib.suppress(LightermanError):  # it is there, and can't be looked at
                if peek(self._root, path) is None:
                    del self.failed[path]
                    self._tally.mended(self._name(path))

    def drain(self, *, keeps_whole: bool) -> None:
        """
        From now on everything is sent as it is, by size, temporary names last. ``keeps_whole``: main may
        still write, so no half of a file takes the place of what the bucket has of it.
        """
        self._keeps_whole = keeps_whole
        now = self._clock.monotonic()
        self._final_since = self._succeeded_at = now
        for path in self._settle.drain():
            self._told.add(path)
            if self._settle.take(path):
                self._last.add(path, self._size(path), is_find=False)
        self._told.update(self._settle.flying())
        self._order_found()

    def end_of_walk(self) -> None:
        """The final walk is over: temporary names may go, last."""
        self._is_walked = True

    # What is there

    @property
    def wants_more(self) -> bool:
        """Whether a walk may bring more."""
        return len(self._found) < MOST_FOUND and self._last.found < MOST_FOUND_LAST

    @property
    def has_found(self) -> bool:
        """Whether something that a walk found still waits for its turn."""
        return bool(self._found)

    @property
    def idle(self) -> bool:
        """Nothing under way, nothing waiting that isn't waiting for its time."""
        waiting = self._found or self._again or self._markers or len(self._last)
        return not (self.busy or waiting)

    @property
    def under_way(self) -> int:
        """How many of them are being sent, as far as that is known: the others wait for a thread."""
        lane = self._lane.busy if self._lane else 0
        return min(self._pool.busy, self._pool.threads) + lane

    @property
    def busy(self) -> int:
        """How many files and markers are under way."""
        return self._pool.busy + len(self._left) + (self._lane.busy if self._lane else 0)

    def queued(self) -> list[RelPath]:
        """What waits that the settling doesn't know: finds of a walk, and markers (as ``marker_path``)."""
        finds = (*(path for path, _ in self._found), *self._last.finds(), *self._again)
        markers = map(marker_path, self._markers)
        return list(dict.fromkeys([*finds, *markers, *self._marking]))

    def missing(self) -> list[RelPath]:
        """What is known not to be in the bucket yet."""
        found = (*(path for path, _ in self._found), *self._last.finds(), *self._again)
        # What was sent since the walk found it is only looked at once more.
        looked_at = (*self._settle.flying(), *found)
        waiting = list(self._settle.waiting())
        waiting += [path for path in looked_at if path not in self._told_and_sent]
        return list(dict.fromkeys([*waiting, *self._markers, *self.failed]))

    def next_due(self) -> float | None:
        """When ``pump`` has something to do of its own accord."""
        return self._settle.next_due() if self._room > 0 else None

    # What goes out

    def pump(self) -> None:
        """Keep the threads, and the lane, at work."""
        now = self._clock.monotonic()
        while self._left and self._pool.free > 0:
            self._send(self._left.popleft())
        while self._markers and self._pool.free > 0:
            self._send_marker(self._markers.popleft())
        handed: list[Handed] = []
        room, final, may_hand = self._room, self._final_since is not None, self._may_hand
        while room > 0:
            path = self._next(now)
            if path is None:
                break
            room -= 1
            if may_hand and self._is_usual(path):
                handed.append(Handed(path, final, self._keeps_whole, now))
            else:
                self._send(path)
        if handed and self._lane is not None:
            self._lane.hand(handed)

    def _is_usual(self, path: RelPath) -> bool:
        """Whether nothing but the file's own state decides what becomes of it."""
        is_other = self._names.is_live(path) or self._settle.origin(path)
        return not is_other and path not in self.being_deleted

    @property
    def _may_hand(self) -> bool:
        return self._lane is not None and self._lane.may_send()

    @property
    def _room(self) -> int:
        """How many paths may be taken now."""
        if self._lane is None or not self._may_hand:
            return self._pool.free
        # What the lane leaves waits for the pool: no more of it than the pool takes at once.
        return self._lane.free if len(self._left) <= self._pool.free else 0

    def _lane_landed(self, ended: list[Ended]) -> None:
        for handed, outcome in ended:
            if outcome is None:
                self._left.append(handed.path)
            else:
                self._landed(handed.path, Done(outcome), handed.since)

    def _next(self, now: float) -> RelPath | None:
        if self._final_since is not None:
            return self._next_by_size(now)
        while not (ready := self._settle.take_ready(now, 1)) and self._found:
            path, _ = self._found.popleft()
            self._settle.found(path, now, at_rest=True)
        return ready[0] if ready else None

    def _next_by_size(self, now: float) -> RelPath | None:
        for path in self._settle.take_ready(now, MOST_FOUND):
            self._told_and_sent.discard(path)  # something happened to it since
            self._last.add(path, self._size(path), is_find=False)
        while first := self._last.pop(temporary_too=self._is_walked):
            path, is_find = first
            if not is_find or self._settle.take(path):
                return path
            self._again[path] = None
        for path in self._again:
            if self._settle.take(path):
                del self._again[path]
                return path
        return None

    def _order_found(self) -> None:
        for path, size_bytes in self._found:
            if path in self._told:
                self._again[path] = None
            else:
                self._last.add(path, size_bytes, is_find=True)
        self._found.clear()

    def _send(self, path: RelPath) -> None:
        live, final = self._names.is_live(path), self._final_since is not None
        began, origin = self._clock.monotonic(), self._settle.origin(path)
        keeps_whole = self._keeps_whole
        self._pool.submit(
            lambda: self._uploader.send(
                path, live=live, final=final, origin=origin, keeps_whole=keeps_whole
            ),
            lambda end: self._landed(path, end, began),
        )

    def _send_marker(self, directory: RelPath) -> None:
        self._marking.add(marker_path(directory))

        def ended(end: Done[Outcome] | Failed) -> None:
            self._marking.discard(marker_path(directory))
            if isinstance(end, Failed):
                self._note_failure(marker_path(directory), end.error)
            else:
                self._note_success(marker_path(directory))

        self._pool.submit(lambda: self._uploader.mark_directory(directory), ended)

    def _landed(self, path: RelPath, end: Done[Outcome] | Failed, began: float) -> None:
        now = self._clock.monotonic()
        if isinstance(end, Failed):
            self._landed_badly(path, end.error, now)
            return
        result, retry_after_seconds = end.value
        if result in {Result.OPEN, Result.CHANGED}:
            self._told_and_sent.discard(path)
        match result:
            case Result.OPEN if self._final_since is not None:
                self._landed_badly(path, self._half_written(path), now)
            case Result.OPEN:
                self._settle.still_open(path, now)
            case Result.CHANGED if self._is_hopeless(now):
                changing = SourceChangedError(
                    f"output {printable(path)} changes faster than it is sent",
                    hint="stop its writer, name it with --live, or leave it out with --exclude",
                    key=key_of(self._prefix, RelPath(printable(path))),
                )
                self._landed_badly(path, changing, now)
            case Result.CHANGED:
                self._settle.changed(path, now, retry_after_seconds)
            case _:
                self._settle.sent(path, now, now - began)
                self._note_success(path)
                self.on_landed(path)
                if path in self._told or path in self._again:
                    self._told_and_sent.add(path)
                if result is Result.SENT:
                    self._ledger.sent(path)
                    self.on_sent(path)
                    get_logger().debug(
                        "sidecar.file_synced",
                        key=key_of(self._prefix, path),
                        seconds=round(now - began, 3),
                    )

    def _landed_badly(self, path: RelPath, error: BaseException, now: float) -> None:
        self._note_failure(path, error)
        try_again = isinstance(error, LightermanError) and error.retry is Retry.LATER
        if self._final_since is None or (try_again and not self._is_hopeless(now)):
            self._settle.failed(path, now)
        else:
            self._settle.gave_up(path)

    def _half_written(self, path: RelPath) -> SourceChangedError:
        return SourceChangedError(
            f"output {printable(path)} is open for writing: the bucket keeps what it has of it",
            hint="its last save isn't whole; --done-file or --watch-process would tell of main's end",
            key=key_of(self._prefix, RelPath(printable(path))),
        )

    def _is_hopeless(self, now: float) -> bool:
        """Whether, at the end, nothing succeeded for as long as transient trouble is retried."""
        return (
            self._final_since is not None
            and now - max(self._final_since, self._succeeded_at) > self._give_up_seconds
        )

    # What is told

    def _note_success(self, path: RelPath) -> None:
        self._succeeded_at = self._clock.monotonic()
        self._refused = 0
        self._said.clear()
        self._ledger.landed(path)
        if self.failed.pop(path, None):
            self._tally.mended(self._name(path))

    def _note_failure(self, path: RelPath, error: BaseException) -> None:
        if not isinstance(error, LightermanError):
            self.bug = self.bug or error
            return
        self._refused += isinstance(error, _REFUSALS)
        self.failed[path] = error
        self._ledger.failed(path, error)
        self._tally.failed(self._name(path), error.kind, error.message)
        self._said[error.kind] += 1
        if self._said[error.kind] <= MOST_SAID:
            get_logger().warning(
                "sidecar.file_failed",
                key=self._name(path),
                kind=error.kind,
                error=error.message,
                hint=error.hint,
            )

    @property
    def is_refused(self) -> bool:
        """Whether the store refuses everything, so that going on at the end is of no use."""
        return self._refused > 2 * (self._pool.busy + 8)

    def _name(self, path: RelPath) -> str:
        return key_of(self._prefix, RelPath(printable(path)))

    def _size(self, path: RelPath) -> int:
        try:
            state = peek(self._root, path)
        except LightermanError:  # unreadable: its upload says so
            return 0
        return state.size_bytes if state else 0
