"""What is known of one outputs path, put into the facts that are told. For the main thread: it reads all its state."""

import heapq
from typing import Final, NamedTuple

from lighterman.clock import Clock
from lighterman.secret import scrub
from lighterman.transfer.tally import Tally
from sidecar.dispatch import Dispatch
from sidecar.ending import MainsEnd
from sidecar.events import Events
from sidecar.journal import Journal
from sidecar.loop import Loop, Pool
from sidecar.options import Options
from sidecar.reconcile import Reconciler
from sidecar.settle import Settle, Waits, Why
from sidecar.states import RelPath, printable
from sidecar.status.backlog import Backlog, Rate
from sidecar.status.facts import (
    BacklogFacts,
    FailedFact,
    OutputsFacts,
    Reasons,
    ReconcileFacts,
    Sample,
    SentFact,
    WaitingFact,
)
from sidecar.status.history import Moment
from sidecar.status.ledger import Ledger

PATIENCE_SECONDS: Final = 30.0
"""For so long everything may fail before it isn't ready: twice the longest wait between two attempts."""
MOST_WAITING: Final = 50
MOST_FAILED: Final = 50
QUIET_PHASES: Final = frozenset({"starting", "watching"})
_IN_TURN: Final = frozenset({"sending", "queued", "retrying"})
"""What waits for nothing that the contract makes it wait for."""


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


class Seen(NamedTuple):
    """What the board has measured."""

    phase: str
    uptime_seconds: float
    synced_files: int
    rate: Rate
    backlog: Backlog
    needed_seconds: float | None
    moments: list[Moment]


def describe(parts: Parts, seen: Seen, now: float) -> OutputsFacts:
    """All that ``/status`` tells of it."""
    totals = parts.tally.totals()
    not_ready = why_not_ready(parts, seen.phase, now)
    waits = list(parts.settle.waits())
    queued = parts.dispatch.queued()
    parts.dispatch.forget_gone()
    failed = parts.dispatch.failed
    return OutputsFacts(
        path=shown(parts.options.root),
        connection=shown(parts.connection),
        prefix=shown(parts.options.prefix),
        phase=seen.phase,
        is_ready=not not_ready,
        why_not_ready=not_ready,
        uptime_seconds=_round(seen.uptime_seconds),
        sent_files=totals.files,
        sent_bytes=totals.moved,
        skipped_files=totals.skipped,
        synced_files=seen.synced_files,
        retries=totals.retries,
        uploads_in_flight=parts.dispatch.under_way,
        bytes_per_second=_round(seen.rate.bytes_per_second),
        files_per_second=_round(seen.rate.files_per_second),
        grace_seconds=parts.options.grace_seconds,
        backlog=_backlog(parts, seen, waits, queued, now),
        waiting=_longest(waits, queued, now),
        failed_files=len(failed),
        failed=[
            FailedFact(shown(path or "."), error.kind, scrub(error.message), scrub(error.hint))
            for path, error in list(failed.items())[:MOST_FAILED]
        ],
        failures=dict(parts.ledger.failures),
        last_sent_timestamp_seconds=parts.ledger.sent_wall_seconds,
        recent=[
            SentFact(shown(each.path), _round(now - each.at))
            for each in reversed(parts.ledger.recent)
        ],
        reconciles=_walks(parts.reconciler, now),
        watch_overflows=parts.events.overflows if parts.events else 0,
        unwatched_directories=parts.events.unwatched if parts.events else 0,
        history=[Sample(_round(now - moment.at), *moment[1:]) for moment in seen.moments],
    )


def why_not_ready(parts: Parts, phase: str, now: float) -> str:
    """Empty if it is."""
    if parts.reconciler.last is None:
        return "the first reconcile isn't done"
    is_trying = parts.dispatch.failed or parts.dispatch.busy or phase not in QUIET_PHASES
    failing_seconds = parts.ledger.failing_seconds(now) if is_trying else 0.0
    if failing_seconds > PATIENCE_SECONDS:
        return f"nothing arrived for {failing_seconds:.0f} s, and attempts fail"
    return ""


def _backlog(
    parts: Parts,
    seen: Seen,
    waits: list[tuple[RelPath, Waits]],
    queued: list[RelPath],
    now: float,
) -> BacklogFacts:
    reasons = dict.fromkeys(Reasons.__struct_fields__, 0)
    reasons["queued"] = len(queued)
    oldest = now
    for _, each in waits:
        reason = _reason(each, now)
        reasons[reason] += 1
        if each.since is not None and each.since < oldest and reason in _IN_TURN:
            oldest = each.since
    return BacklogFacts(
        files=seen.backlog.files,
        bytes=seen.backlog.size_bytes,
        is_estimate=seen.backlog.is_estimate,
        is_least=parts.reconciler.is_walking or parts.settle.overflowed,
        behind_seconds=_round(now - oldest),
        needed_seconds=seen.needed_seconds,
        reasons=Reasons(**reasons),
    )


def _walks(walks: Reconciler, now: float) -> ReconcileFacts:
    last, ended_at = walks.last, walks.ended_at
    return ReconcileFacts(
        count=walks.count,
        is_walking=walks.is_walking,
        last_duration_seconds=_round(last.seconds) if last else None,
        last_seconds_ago=_round(now - ended_at) if ended_at is not None else None,
        last_files=last.files if last else None,
        next_seconds=_round(max(0.0, walks.due - now)) if walks.due is not None else None,
    )


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
            shown(path),
            _reason(each, now),
            None if each.since is None else _round(now - each.since),
            None if each.due is None else _round(max(0.0, each.due - now)),
        )
        for path, each in first
    ]
    known = {path for path, _ in first}
    rest = [path for path in queued[:MOST_WAITING] if path not in known]
    facts.extend(WaitingFact(shown(path), "queued", None, None) for path in rest)
    return facts[:MOST_WAITING]


def shown(text: str) -> str:
    """Fit to be shown: bytes that are no UTF-8 escaped, known secrets masked."""
    return scrub(printable(text))


def _round(seconds: float) -> float:
    return round(seconds, 3)
