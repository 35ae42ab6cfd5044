"""
``POST /flush``: what is in the outputs path at the call is brought into the bucket, and the caller is told
when it is there, or why some of it isn't.

A walk finds what no event told of; then each file that isn't in the bucket is waited for. Nothing is sent that
wouldn't be at another time: files that are open for writing, and temporary names, are named instead.
"""

from collections.abc import Callable
from typing import Final

from lighterman.clock import Clock
from lighterman.errors import LightermanError
from lighterman.secret import scrub
from sidecar.dispatch import Dispatch
from sidecar.events import Events
from sidecar.reconcile import Reconciler
from sidecar.settle import Settle, Why
from sidecar.states import RelPath, printable
from sidecar.status.asking import Answer
from sidecar.status.facts import FailedFact, FlushFacts
from sidecar.status.ledger import Ledger

MOST_NAMED: Final = 100
SWEEP_SECONDS: Final = 0.25
SWEEP_SHARE: Final = 20
MOST_LOOKS: Final = 2
"""A file whose writer can't be asked for is seen equal twice before it is sent."""
_TOO_MANY: Final = "more files wait than are remembered one by one: call again"
_HELD_BACK: Final = {
    Why.OPEN: ("open", "is open for writing", "close it, or name it with --live if it grows"),
    Why.TEMPORARY: (
        "temporary",
        "has a temporary name",
        "rename it when it is complete; at the drain it is sent as it is",
    ),
}


class _Flush:
    """One call."""

    def __init__(self, answer: Answer[FlushFacts], after_walk: int) -> None:
        self.answer = answer
        self.after_walk = after_walk
        """A walk that begins after this one is waited for."""
        self.looks = 0
        self.files = 0
        self.pending: dict[RelPath, int] | None = None
        """How many landings each path has to make yet; ``None`` while a walk is waited for."""
        self.failed: dict[RelPath, FailedFact] = {}

    def landed(self, path: RelPath) -> None:
        if self.pending and path in self.pending:
            self.pending[path] -= 1
            if not self.pending[path]:
                del self.pending[path]

    def give_up(self, path: RelPath, kind: str, message: str, hint: str) -> None:
        if self.pending:
            self.pending.pop(path, None)
        self.failed[path] = FailedFact(scrub(printable(path)), kind, scrub(message), scrub(hint))

    def end(self, error: str = "") -> None:
        left = list(self.failed.values())
        self.answer.give(
            FlushFacts(
                is_flushed=not left and not error,
                files=self.files,
                failed_files=len(left),
                failed=left[:MOST_NAMED],
                error=error,
            )
        )


class Flushes:
    """All calls that are under way. Lives in the main thread."""

    def __init__(
        self,
        *,
        settle: Settle,
        dispatch: Dispatch,
        reconciler: Reconciler,
        events: Events | None,
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        self._settle = settle
        self._dispatch = dispatch
        self._reconciler = reconciler
        self._events = events
        self._ledger = ledger
        self._clock = clock
        self._under_way: list[_Flush] = []
        self.due: float | None = None
        """When ``pump`` has something to do of its own accord."""

    def begin(self, answer: Answer[FlushFacts]) -> Callable[[], None]:
        """Bring what is there into the bucket, then answer. Returns how to give it up."""
        if self._events:
            self._events.read()
        flush = _Flush(answer, self._reconciler.begun)
        self._under_way.append(flush)
        self._ledger.follower = self
        return lambda: self._cut_short(flush)

    def landed(self, path: RelPath) -> None:
        """Told by the ledger."""
        for flush in self._under_way:
            flush.landed(path)

    def failed(self, path: RelPath, error: LightermanError) -> None:
        """Told by the ledger."""
        for flush in self._under_way:
            if flush.pending and path in flush.pending:
                flush.give_up(path, error.kind, error.message, error.hint)

    def pump(self, now: float, *, is_starting: bool, is_ending: bool) -> None:
        """Go on with what can go on."""
        if not self._under_way or is_starting:
            return
        if is_ending:
            for flush in list(self._under_way):
                self._end(flush, "the end has begun, at which everything is sent")
            return
        for flush in self._under_way:
            if flush.pending is None:
                self._await_walk(flush, now)
        if self.due is None or now >= self.due:
            self._sweep()
        for flush in list(self._under_way):
            if flush.pending is not None and not flush.pending:
                self._end(flush, _TOO_MANY if self._settle.overflowed else "")

    def _await_walk(self, flush: _Flush, now: float) -> None:
        walks = self._reconciler
        if walks.finished <= flush.after_walk:
            if not walks.is_walking and not flush.looks:
                walks.start(final=False)
            return
        flush.looks += 1
        if walks.held and flush.looks < MOST_LOOKS:
            flush.after_walk = walks.finished
            return
        if self._events:
            self._events.read()
        self._settle.hasten(now)
        flush.pending = dict.fromkeys(self._dispatch.queued(), 1)
        for path, waits in self._settle.waits():
            # What is being sent may be older than what its latest event told of: then it goes again.
            flush.pending[path] = 2 if waits.why is Why.SENDING and waits.due is not None else 1
        flush.files = len(flush.pending)
        for path, error in self._dispatch.failed.items():  # directories that can't be read
            if path not in flush.pending:
                flush.give_up(path, error.kind, error.message, error.hint)
        for path in walks.held:
            message = f"{printable(path)} may be open for writing: its writer can't be known"
            flush.give_up(path, "open", message, "run as the uid that writes it, or call again")
        self.due = now

    def _sweep(self) -> None:
        """What is gone isn't waited for; what turned out to be held back is named."""
        self.due = None
        sending = [flush for flush in self._under_way if flush.pending]
        if not sending:
            return
        began = self._clock.monotonic()
        known = {path: waits.why for path, waits in self._settle.waits()}
        queued = set(self._dispatch.queued())
        for flush in sending:
            for path in list(flush.pending or ()):
                why = known.get(path, Why.SCHEDULED if path in queued else None)
                if why is None and flush.pending:
                    del flush.pending[path]
                elif why in _HELD_BACK:
                    flush.give_up(path, *_told(why, path))
        took_seconds = self._clock.monotonic() - began
        self.due = self._clock.monotonic() + max(SWEEP_SECONDS, SWEEP_SHARE * took_seconds)

    def _cut_short(self, flush: _Flush) -> None:
        if flush not in self._under_way:
            return
        for path in list(flush.pending or ()):
            flush.give_up(path, "pending", "is not in the bucket yet", "give it more time")
        self._end(flush, "the time was over")

    def _end(self, flush: _Flush, error: str = "") -> None:
        self._under_way.remove(flush)
        flush.end(error)
        if not self._under_way:
            self._ledger.follower = None
            self.due = None


def _told(why: Why, path: RelPath) -> tuple[str, str, str]:
    kind, message, hint = _HELD_BACK[why]
    return kind, f"{printable(path)} {message}", hint
