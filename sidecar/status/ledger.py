"""What became of attempts, as the status tells it: the latest files, failures by kind, for how long all fails."""

import threading
from collections import Counter, deque
from typing import Final, NamedTuple, Protocol

from lighterman.clock import Clock
from lighterman.errors import LightermanError
from lighterman.transfer.tally import Tally
from sidecar.states import RelPath

MOST_RECENT: Final = 20


class Recent(NamedTuple):
    """A file that was sent, and when (monotonic)."""

    path: RelPath
    at: float


class Follower(Protocol):
    """Who wants to be told how each attempt ended."""

    def landed(self, path: RelPath) -> object:
        """The path's state is in the bucket, or there is nothing to send."""
        ...

    def failed(self, path: RelPath, error: LightermanError) -> object:
        """It could not be sent."""
        ...


class Ledger:
    """The main thread's, but for ``retried``, which any thread may call."""

    def __init__(self, tally: Tally, clock: Clock) -> None:
        self._tally = tally
        self._clock = clock
        self._guard = threading.Lock()
        self._failing_since: float | None = None
        self._progress_then = (0, 0)
        self.recent: deque[Recent] = deque(maxlen=MOST_RECENT)
        self.failures: Counter[str] = Counter()
        """How often an attempt at a file failed, by the kind of the error."""
        self.sent_wall_seconds: float | None = None
        """When a file was last sent, by the wall clock."""
        self.follower: Follower | None = None

    def sent(self, path: RelPath) -> None:
        """A file's bytes are in the bucket."""
        self.recent.append(Recent(path, self._clock.monotonic()))
        self.sent_wall_seconds = self._clock.wall()

    def landed(self, path: RelPath) -> None:
        """As ``Follower.landed``."""
        if self.follower:
            self.follower.landed(path)

    def failed(self, path: RelPath, error: LightermanError) -> None:
        """As ``Follower.failed``."""
        self.failures[error.kind] += 1
        self._note_trouble()
        if self.follower:
            self.follower.failed(path, error)

    def retried(self) -> None:
        """One attempt is made again."""
        self._tally.retried()
        self._note_trouble()

    def failing_seconds(self, now: float) -> float:
        """For how long nothing arrived in the store while attempts failed; 0 if the last word is good."""
        with self._guard:
            if self._failing_since is None or self._progress() != self._progress_then:
                return 0.0
            return now - self._failing_since

    def _note_trouble(self) -> None:
        now = self._clock.monotonic()
        with self._guard:
            progress = self._progress()
            if self._failing_since is None or progress != self._progress_then:
                self._failing_since, self._progress_then = now, progress

    def _progress(self) -> tuple[int, int]:
        totals = self._tally.totals()
        return totals.files, totals.moved
