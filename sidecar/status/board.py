"""
What is known of one outputs path at this moment: the numbers behind ``/status`` and ``/metrics``, how large the
backlog is, and the lines that say so when it will not fit into the grace.

Lives in the main thread, but for ``facts``. It costs a comparison a turn; while something waits its sizes are
looked up every ``LOOK_SECONDS``, in another thread; while nothing does, nothing ticks.
"""

import random
import threading
from typing import Final

from lighterman.log import get_logger
from sidecar.loop import Done, Failed
from sidecar.status.asking import PATIENCE_SECONDS, Answer, NoAnswerError, ask
from sidecar.status.backlog import MOST_LOOKED_AT, Backlog, Rate, Survey, is_large, measure
from sidecar.status.described import QUIET_PHASES, Parts, Seen, describe, shown, why_not_ready
from sidecar.status.facts import FlushFacts, OutputsFacts
from sidecar.status.flush import Flushes
from sidecar.status.history import History, Moment

LOOK_SECONDS: Final = 10.0
LAST_LOOK_SECONDS: Final = 1.0
"""At the end there is no time to lose."""
LOOK_SHARE: Final = 100
"""Looking takes a hundredth of the time at most, as walks do."""
FRESH_SECONDS: Final = 1.0
FRESH_SHARE: Final = 20
"""Who asks oftener is told the same again: telling takes a twentieth of the time at most, however much waits."""


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
        is_sending = self._parts.dispatch.busy > 0
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
        waiting = [*settle.waiting(), *settle.flying()]
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

    def why_not_ready(self) -> str:
        """Empty if it is ready. ``NoAnswerError`` if the loop doesn't turn."""
        return ask(
            self._parts.loop,
            lambda: why_not_ready(self._parts, self._phase, self._clock.monotonic()),
        )

    @property
    def path(self) -> str:
        """The outputs path, fit to be shown."""
        return shown(self._parts.options.root)

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
        """All there is to know, a second old or, of a large backlog, a few. ``NoAnswerError`` if the loop doesn't turn."""
        if not self._asking.acquire(timeout=PATIENCE_SECONDS):
            raise NoAnswerError("others wait for an answer too")
        try:
            now = self._clock.monotonic()
            if self._last_facts is None or now >= self._last_facts[0]:
                facts = self._gather()
                ended = self._clock.monotonic()
                fresh_seconds = max(FRESH_SECONDS, FRESH_SHARE * (ended - now))
                self._last_facts = ended + fresh_seconds, facts
            return self._last_facts[1]
        finally:
            self._asking.release()

    def _gather(self) -> OutputsFacts:
        parts = self._parts
        survey = ask(parts.loop, self._survey)
        backlog = measure(survey, parts.options.root, parts.journal)
        synced_files = self._count_synced()
        return ask(parts.loop, lambda: self._tell(backlog, synced_files))

    def _count_synced(self) -> int:
        """Counting reads all of the journal: a hundredth of the time at most."""
        began = self._clock.monotonic()
        if self._synced is None or began >= self._synced[0]:
            count = self._parts.journal.count()
            now = self._clock.monotonic()
            self._synced = now + LOOK_SHARE * (now - began), count
        return self._synced[1]

    # In the main thread, for them

    def _tell(self, backlog: Backlog, synced_files: int) -> OutputsFacts:
        now = self._clock.monotonic()
        self._measured(backlog)
        seen = Seen(
            phase=self._phase,
            uptime_seconds=now - self._began,
            synced_files=synced_files,
            rate=self._rate,
            backlog=backlog,
            needed_seconds=self._needed_seconds(),
            moments=self._history.moments(),
        )
        return describe(self._parts, seen, now)
