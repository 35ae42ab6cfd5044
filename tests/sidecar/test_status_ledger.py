"""For how long everything has failed."""

from lighterman.clock import SystemClock
from lighterman.errors import TransientError
from lighterman.transfer.tally import Tally
from sidecar.states import RelPath
from sidecar.status.ledger import Ledger


class HandClock(SystemClock):
    """Stands until it is moved."""

    now = 100.0

    def monotonic(self):
        return self.now


def made():
    clock, tally = HandClock(), Tally()
    return Ledger(tally, clock), tally, clock


def test_failing_counts_from_the_first_failure_after_which_nothing_arrived():
    """Retries inside an attempt count, so that a store that is gone is known long before an attempt ends."""
    ledger, _, clock = made()
    assert ledger.failing_seconds(clock.now) == 0
    ledger.retried()
    clock.now += 20
    ledger.failed(RelPath("a"), TransientError("gone"))
    clock.now += 15
    assert ledger.failing_seconds(clock.now) == 35
    assert ledger.failures == {"transient": 1}


def test_whatever_arrives_ends_it():
    """A part of a large file is progress too; the next failure begins anew."""
    ledger, tally, clock = made()
    ledger.retried()
    clock.now += 100
    tally.carried(1)
    assert ledger.failing_seconds(clock.now) == 0
    ledger.retried()
    clock.now += 1
    assert ledger.failing_seconds(clock.now) == 1
    tally.done()
    assert ledger.failing_seconds(clock.now) == 0


def test_what_is_taken_back_is_no_progress():
    """An upload that fails takes its bytes back: nothing has arrived by that."""
    ledger, tally, clock = made()
    tally.carried(100)
    ledger.retried()
    clock.now += 40
    tally.carried(-100)
    assert ledger.failing_seconds(clock.now) == 40


def test_a_retry_counts_for_the_report():
    """The tally hears of it."""
    ledger, tally, _ = made()
    ledger.retried()
    assert tally.totals().retries == 1


def test_the_last_files_are_remembered():
    """A few of them."""
    ledger, _, _ = made()
    for number in range(50):
        ledger.sent(RelPath(f"f{number}"))
    assert ledger.recent[-1].path == "f49"
    assert len(ledger.recent) == 20
