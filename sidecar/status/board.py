"""
What is known of one outputs path at this moment: the numbers behind ``/status`` and ``/metrics``, how large the
backlog is, and the lines that say so when it will not fit into the grace.

Lives in the main thread, but for ``facts``. It costs a comparison a turn; while something waits its sizes are
looked up every ``LOOK_SECONDS``, in another thread; while nothing does, nothing ticks.
"""

import heapq
import random
import threading
from typing import Final, NamedTuple

from lighterman.clock import Clock
from lighterman.log import get_logger
from lighterman.secret import scrub
from lighterman.transfer.tally import Tally
from sidecar.dispatch import Dispatch
from sidecar.ending import MainsEnd
from sidecar.events import Events
from sidecar.journal import Journal
from sidecar.loop import Done, Failed, Loop, Pool
from sidecar.options import Options
from sidecar.reconcile import Reconciler
from sidecar.settle import Settle, Waits, Why
from sidecar.states import RelPath, printable
from sidecar.status.asking import PATIENCE_SECONDS, Answer, NoAnswerError, ask
from sidecar.status.backlog import (
    MOST_LOOKED_AT,
    Backlog,
    Rate,
    Survey,
    is_large,
    measure,
)
from sidecar.status.facts import (
    BacklogFacts,
    FailedFact,
    FlushFacts,
    OutputsFacts,
    Reasons,
    ReconcileFacts,
    Sample,
    SentFact,
    WaitingFact,
)
from sidecar.status.flush import Flushes
from sidecar.status.history import History, Moment
from sidecar.status.ledger import Ledger

LOOK_SECONDS: Final = 10.0
LAST_LOOK_SECONDS: Final = 1.0
"""At the end there is no time to lose."""
LOOK_SHARE: Final = 100
"""Looking takes a hundredth of the time at most, as walks do."""
FRESH_SECONDS: Final = 1.0
"""Who asks oftener is told the same again."""
PATIENCE_WITH_FAILURES_SECONDS: Final = 30.0
"""For so long everything may fail before it isn't ready: twice the longest wait between two attempts."""
MOST_WAITING: Final = 50
MOST_FAILED: Final = 50
QUIET_PHASES: Final = frozenset({"starting", "watching"})


class Parts(NamedTuple):
    """What a sidecar is made of, as far as the board looks at it."""

    options: Options
    connection: str
    settle: Settle
    dispatch: Dispatch
    pool: Pool
    reconciler: Reconciler
    events: Events | None
    end: MainsEnd
    journal: Journal
    ledger: Ledger
    tally: Tally
    loop: Loop
    clock: Clock
    most_bytes_per_second: int
    """``--bwlimit``; 0: none."""


class Board:
    """One outputs path's."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._clock = parts.clock
        now = parts.clock.monotonic()
        self._began = self._observed_at = now
        self._observed = parts.tally.totals()
        self._phase = "starting"
        self._is_sending = self._is_looking = self._is_waiting = False
        self._backlog = Backlog()
        self._rate = Rate()
        self._history = History(now)
        self._is_large = self._said_too_long = self._was_ending = False
        self._look_at: float | None = None
        self._flushes = Flushes(
            settle=parts.settle,
            dispatch=parts.dispatch,
            reconciler=parts.reconciler,
            events=parts.events,
            ledger=parts.ledger,
            clock=parts.clock,
        )
        self._asking = threading.Lock()
        self._last_facts: tuple[float, OutputsFacts] | None = None
        self._synced: tuple[float, int] | None = None

    @property
    def due(self) -> float | None:
        """When ``pump`` has something to do of its own accord."""
        times = [when for when in (self._look_at, self._flushes.due) if when is not None]
        return min(times, default=None)

    def pump(self, phase: str) -> None:
        """Once in each turn, after all else. ``phase`` is the service's, in lower case."""
        now = self._clock.monotonic()
        self._flushes.pump(
            now, is_starting=phase == "starting", is_ending=phase not in QUIET_PHASES
        )
        is_sending = self._parts.pool.busy > 0
        if is_sending != self._is_sending:
            self._observe(now)
            self._is_sending = is_sending
        is_ending = self._parts.end.ending is not None
        begins_to_end = is_ending and not self._was_ending
        begins_to_drain = phase == "walking" and phase != self._phase
        self._phase, self._was_ending = phase, is_ending
        self._schedule(now, at_once=begins_to_end or begins_to_drain)
        if self._look_at is not None and now >= self._look_at:
            self._look()

    # The backlog

    def _schedule(self, now: float, *, at_once: bool) -> None:
        is_waiting = bool(len(self._parts.settle)) or not self._parts.dispatch.idle
        if is_waiting != self._is_waiting:
            self._is_waiting = is_waiting
            if not is_waiting:
                self._look_at = None
                self._measured(Backlog())
        if not is_waiting or self._is_looking:
            return
        if at_once:
            self._look_at = now
        elif self._look_at is None:
            self._look_at = now + LOOK_SECONDS

    def _survey(self) -> Survey:
        settle = self._parts.settle
        waiting = [path for path, _ in settle.waits()]
        if queued := self._parts.dispatch.queued():
            known = set(waiting)
            waiting.extend(path for path in queued if path not in known)
        files = len(waiting)
        return Survey(files, random.sample(waiting, min(files, MOST_LOOKED_AT)))

    def _look(self) -> None:
        self._look_at, self._is_looking = None, True
        began = self._clock.monotonic()
        survey, root, journal = self._survey(), self._parts.options.root, self._parts.journal

        def looked(end: Done[Backlog] | Failed) -> None:
            now = self._clock.monotonic()
            self._is_looking = False
            if isinstance(end, Failed):
                get_logger().warning("sidecar.backlog_unknown", error=str(end.error))
            elif self._is_waiting:
                self._measured(end.value)
            if self._is_waiting:
                wait_seconds = LAST_LOOK_SECONDS if self._was_ending else LOOK_SECONDS
                self._look_at = now + max(wait_seconds, LOOK_SHARE * (now - began))

        self._parts.loop.in_background("backlog", lambda: measure(survey, root, journal), looked)

    def _measured(self, backlog: Backlog) -> None:
        now = self._clock.monotonic()
        self._backlog = backlog
        self._observe(now)
        needed_seconds = self._needed_seconds()
        ending = self._parts.end.ending
        if ending is not None:
            self._warn_of_the_end(needed_seconds, ending.deadline - now)
        elif not self._parts.options.once:
            self._warn_early(needed_seconds)

    def _needed_seconds(self) -> float | None:
        return self._rate.seconds_for(self._backlog, self._parts.most_bytes_per_second)

    def _warn_early(self, needed_seconds: float | None) -> None:
        grace_seconds = self._parts.options.grace_seconds
        was_large = self._is_large
        self._is_large = is_large(needed_seconds, grace_seconds, was_large=was_large)
        if self._is_large and not was_large:
            get_logger().warning(
                "sidecar.backlog_large",
                **self._told(needed_seconds),
                grace_seconds=grace_seconds,
                hint="if main ended now, much of the grace would go: give a longer --grace (and "
                "terminationGracePeriodSeconds), write less often, or give it more bandwidth",
            )

    def _warn_of_the_end(self, needed_seconds: float | None, left_seconds: float) -> None:
        if self._said_too_long or needed_seconds is None or needed_seconds <= left_seconds:
            return
        self._said_too_long = True
        get_logger().warning(
            "sidecar.grace_too_short",
            **self._told(needed_seconds),
            left_seconds=round(left_seconds, 1),
            hint="what isn't sent in time is left to another start with the same --state, or to "
            "lighterman sync; a longer --grace (and terminationGracePeriodSeconds) gives more time",
        )

    def _told(self, needed_seconds: float | None) -> dict[str, object]:
        return {
            "path": self._parts.options.root,
            "backlog_files": self._backlog.files,
            "backlog_bytes": self._backlog.size_bytes,
            "rate_bytes_per_second": round(self._rate.bytes_per_second),
            "needed_seconds": round(needed_seconds or 0.0, 1),
        }

    def _observe(self, now: float) -> None:
        """Note what was sent since the last time, and how long that took."""
        totals = self._parts.tally.totals()
        if self._is_sending:
            self._rate = self._rate.after(
                now - self._observed_at,
                totals.files - self._observed.files,
                totals.moved - self._observed.moved,
            )
        self._observed, self._observed_at = totals, now
        backlog = self._backlog
        self._history.add(
            Moment(now, totals.moved, totals.files, backlog.size_bytes, backlog.files)
        )

    # What is asked for, from other threads

    def is_alive(self) -> bool:
        """Whether the loop turns."""
        try:
            return ask(self._parts.loop, lambda: True)
        except NoAnswerError:
            return False

    def flush(self, seconds: float) -> FlushFacts:
        """
        Bring all that is there into the bucket (see ``sidecar.status.flush``), within ``seconds``.
        ``NoAnswerError`` if the loop doesn't turn.
        """
        answer: Answer[FlushFacts] = Answer()
        give_up = ask(self._parts.loop, lambda: self._flushes.begin(answer))
        try:
            return answer.wait(seconds)
        except NoAnswerError:
            ask(self._parts.loop, give_up)
            return answer.wait(PATIENCE_SECONDS)

    def facts(self) -> OutputsFacts:
        """All there is to know, at most a second old. ``NoAnswerError`` if the loop doesn't turn."""
        if not self._asking.acquire(timeout=PATIENCE_SECONDS):
            raise NoAnswerError("others wait for an answer too")
        try:
            now = self._clock.monotonic()
            if self._last_facts is None or now - self._last_facts[0] >= FRESH_SECONDS:
                self._last_facts = now, self._gather()
            return self._last_facts[1]
        finally:
            self._asking.release()

    def _gather(self) -> OutputsFacts:
        parts = self._parts
        survey = ask(parts.loop, self._survey)
        backlog = measure(survey, parts.options.root, parts.journal)
        synced_files = self._count_synced()
        return ask(parts.loop, lambda: self._describe(backlog, synced_files))

    def _count_synced(self) -> int:
        """Counting reads all of the journal: a hundredth of the time at most."""
        began = self._clock.monotonic()
        if self._synced is None or began >= self._synced[0]:
            count = self._parts.journal.count()
            now = self._clock.monotonic()
            self._synced = now + LOOK_SHARE * (now - began), count
        return self._synced[1]

    # In the main thread, for them

    def _describe(self, backlog: Backlog, synced_files: int) -> OutputsFacts:
        parts = self._parts
        now = self._clock.monotonic()
        self._measured(backlog)
        totals = parts.tally.totals()
        why_not_ready = self._why_not_ready(now)
        waits = list(parts.settle.waits())
        queued = parts.dispatch.queued()
        parts.dispatch.forget_gone()
        failed = parts.dispatch.failed
        return OutputsFacts(
            path=_shown(parts.options.root),
            connection=_shown(parts.connection),
            prefix=_shown(parts.options.prefix),
            phase=self._phase,
            is_ready=not why_not_ready,
            why_not_ready=why_not_ready,
            uptime_seconds=_round(now - self._began),
            sent_files=totals.files,
            sent_bytes=totals.moved,
            skipped_files=totals.skipped,
            synced_files=synced_files,
            retries=totals.retries,
            uploads_in_flight=min(parts.pool.busy, parts.options.workers),
            bytes_per_second=_round(self._rate.bytes_per_second),
            files_per_second=_round(self._rate.files_per_second),
            grace_seconds=parts.options.grace_seconds,
            backlog=self._describe_backlog(waits, queued, now),
            waiting=_longest(waits, queued, now),
            failed_files=len(failed),
            failed=[
                FailedFact(_shown(path or "."), error.kind, scrub(error.message), scrub(error.hint))
                for path, error in list(failed.items())[:MOST_FAILED]
            ],
            failures=dict(parts.ledger.failures),
            last_sent_timestamp_seconds=parts.ledger.sent_wall_seconds,
            recent=[
                SentFact(_shown(each.path), _round(now - each.at))
                for each in reversed(parts.ledger.recent)
            ],
            reconciles=self._describe_walks(now),
            watch_overflows=parts.events.overflows if parts.events else 0,
            unwatched_directories=parts.events.unwatched if parts.events else 0,
            history=[
                Sample(_round(now - moment.at), *moment[1:]) for moment in self._history.moments()
            ],
        )

    def _why_not_ready(self, now: float) -> str:
        parts = self._parts
        if parts.reconciler.last is None:
            return "the first reconcile isn't done"
        is_trying = parts.dispatch.failed or parts.pool.busy or self._phase not in QUIET_PHASES
        failing_seconds = parts.ledger.failing_seconds(now) if is_trying else 0.0
        if failing_seconds > PATIENCE_WITH_FAILURES_SECONDS:
            return f"nothing arrived for {failing_seconds:.0f} s, and attempts fail"
        return ""

    def _describe_backlog(
        self, waits: list[tuple[RelPath, Waits]], queued: list[RelPath], now: float
    ) -> BacklogFacts:
        reasons = dict.fromkeys(Reasons.__struct_fields__, 0)
        reasons["queued"] = len(queued)
        oldest = now
        for _, each in waits:
            reason = _reason(each, now)
            reasons[reason] += 1
            if each.since is not None and each.since < oldest and reason in _IN_TURN:
                oldest = each.since
        walks = self._parts.reconciler
        return BacklogFacts(
            files=self._backlog.files,
            bytes=self._backlog.size_bytes,
            is_estimate=self._backlog.is_estimate,
            is_least=walks.is_walking or self._parts.settle.overflowed,
            behind_seconds=_round(now - oldest),
            needed_seconds=self._needed_seconds(),
            reasons=Reasons(**reasons),
        )

    def _describe_walks(self, now: float) -> ReconcileFacts:
        walks = self._parts.reconciler
        last, ended_at = walks.last, walks.ended_at
        return ReconcileFacts(
            count=walks.count,
            is_walking=walks.is_walking,
            last_duration_seconds=_round(last.seconds) if last else None,
            last_seconds_ago=_round(now - ended_at) if ended_at is not None else None,
            last_files=last.files if last else None,
            next_seconds=_round(max(0.0, walks.due - now)) if walks.due is not None else None,
        )


_IN_TURN: Final = frozenset({"sending", "queued", "retrying"})
"""What waits for nothing that the contract makes it wait for."""


def _reason(waits: Waits, now: float) -> str:
    if waits.why is Why.SCHEDULED:
        return "resting" if waits.due is not None and waits.due > now else "queued"
    return str(waits.why)


def _longest(
    waits: list[tuple[RelPath, Waits]], queued: list[RelPath], now: float
) -> list[WaitingFact]:
    """Those that wait longest first; what a walk found isn't known since when."""
    first = heapq.nsmallest(
        MOST_WAITING, waits, key=lambda each: now if each[1].since is None else each[1].since
    )
    facts = [
        WaitingFact(
            _shown(path),
            _reason(each, now),
            None if each.since is None else _round(now - each.since),
            None if each.due is None else _round(max(0.0, each.due - now)),
        )
        for path, each in first
    ]
    known = {path for path, _ in first}
    rest = [path for path in queued[:MOST_WAITING] if path not in known]
    facts.extend(WaitingFact(_shown(path), "queued", None, None) for path in rest)
    return facts[:MOST_WAITING]


def _shown(text: str) -> str:
    return scrub(printable(text))


def _round(seconds: float) -> float:
    return round(seconds, 3)
