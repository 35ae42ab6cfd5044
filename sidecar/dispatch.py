"""
Hands ready files to the threads that upload, and says what became of each: the settling goes on from
there, failures are named in the tally until they are mended.

Lives in the main thread; only ``Uploader`` calls happen in others.
"""

from collections import Counter, deque
from collections.abc import Iterable
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
from sidecar.drain import by_size
from sidecar.globs import Names
from sidecar.lane import Lane
from sidecar.loop import Done, Failed, Pool
from sidecar.outgoing import Ended, Handed
from sidecar.output import peek
from sidecar.settle import Settle
from sidecar.states import RelPath, key_of, marker_path, printable
from sidecar.upload import Outcome, Result, Uploader

MOST_FOUND: Final = 1000
"""A walk waits while so many of its files wait to be sent."""
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
        self._give_up_seconds = give_up_seconds
        self._lane = lane
        if lane is not None:
            lane.start(self._lane_landed)
        self._left: deque[RelPath] = deque()
        """What the lane left to the pool; in flight all the same."""
        self._known: deque[RelPath] = deque()
        self._found: deque[RelPath] = deque()
        self._found_flying: set[RelPath] = set()
        """What a walk found while it was in flight: looked at once more when that ended."""
        self._temporary: deque[RelPath] = deque()
        self._markers: deque[RelPath] = deque()
        self._said: Counter[str] = Counter()
        self._refused = 0
        self._is_walked = False
        self._told: set[RelPath] = set()
        """What was known before the last walk, which may find it once more before it is sent."""
        self._told_and_sent: set[RelPath] = set()
        self._unreadable: set[RelPath] = set()
        self._final_since: float | None = None
        self._succeeded_at = 0.0
        self.failed: dict[RelPath, LightermanError] = {}
        """Files whose latest attempt failed, in the order in which they first did."""
        self.bug: BaseException | None = None
        """What no error of ours explains; the caller raises it."""

    # What comes in

    def found(self, files: Iterable[RelPath]) -> None:
        """A walk saw that the bucket lacks these, and that nobody writes them as far as it can tell."""
        if self._is_walked:  # another walk, after all of that: what it finds is missing indeed
            self._told.clear()
            self._told_and_sent.clear()
        self._found.extend(files)

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

    def drain(self) -> None:
        """From now on everything is sent as it is: what is known now by size, temporary names last."""
        now = self._clock.monotonic()
        self._final_since = self._succeeded_at = now
        known = by_size(((path, self._size(path)) for path in self._settle.drain()), self._names)
        self._told.update(known, self._settle.flying())
        self._known.extend(path for path in known if not self._names.is_temporary(path))
        self._temporary.extend(path for path in known if self._names.is_temporary(path))

    def end_of_walk(self) -> None:
        """The final walk is over: temporary names may go, last."""
        self._is_walked = True

    # What is there

    @property
    def wants_more(self) -> bool:
        """Whether a walk may bring more."""
        return len(self._found) < MOST_FOUND

    @property
    def idle(self) -> bool:
        """Nothing under way, nothing waiting that isn't waiting for its time."""
        if self._left or (self._lane is not None and self._lane.busy):
            return False
        return not (
            self._pool.busy or self._known or self._found or self._markers or self._temporary
        )

    def missing(self) -> list[RelPath]:
        """What is known not to be in the bucket yet."""
        found = [
            path for path in (*self._found, *self._found_flying) if path not in self._told_and_sent
        ]
        waiting = [*self._settle.waiting(), *self._settle.flying(), *found, *self._temporary]
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
        room, final = self._room, self._final_since is not None
        while room > 0:
            path = self._next(now)
            if path is None:
                break
            room -= 1
            if self._lane is None or self._names.is_live(path):
                self._send(path)
            else:
                handed.append(Handed(path, final, now))
        if handed and self._lane is not None:
            self._lane.hand(handed)

    @property
    def _room(self) -> int:
        """How many paths may be taken now."""
        if self._lane is None:
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
        while self._known:
            path = self._known.popleft()
            if self._settle.take(path):
                return path
            self._settle.found(path, now, at_rest=True)
        while not (ready := self._settle.take_ready(now, 1)) and self._found:
            path = self._found.popleft()
            if self._settle.is_flying(path):
                self._found_flying.add(path)
            elif self._final_since is not None and self._names.is_temporary(path):
                self._temporary.append(path)
            else:
                self._settle.found(path, now, at_rest=True)
        while not ready and self._is_walked and self._temporary:
            path = self._temporary.popleft()
            if self._settle.take(path):
                return path
        return ready[0] if ready else None

    def _send(self, path: RelPath) -> None:
        live, final = self._names.is_live(path), self._final_since is not None
        began = self._clock.monotonic()
        self._pool.submit(
            lambda: self._uploader.send(path, live=live, final=final),
            lambda end: self._landed(path, end, began),
        )

    def _send_marker(self, directory: RelPath) -> None:
        def ended(end: Done[Outcome] | Failed) -> None:
            if isinstance(end, Failed):
                self._note_failure(marker_path(directory), end.error)
            else:
                self._note_success(marker_path(directory))

        self._pool.submit(lambda: self._uploader.mark_directory(directory), ended)

    def _landed(self, path: RelPath, end: Done[Outcome] | Failed, began: float) -> None:
        now = self._clock.monotonic()
        if path in self._found_flying:
            self._found_flying.discard(path)
            self._found.append(path)
        if isinstance(end, Failed):
            self._landed_badly(path, end.error, now)
            return
        result, retry_after_seconds = end.value
        match result:
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
                if path in self._told:
                    self._told_and_sent.add(path)
                if result is Result.SENT:
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
        if self.failed.pop(path, None):
            self._tally.mended(self._name(path))

    def _note_failure(self, path: RelPath, error: BaseException) -> None:
        if not isinstance(error, LightermanError):
            self.bug = self.bug or error
            return
        self._refused += isinstance(error, _REFUSALS)
        self.failed[path] = error
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
