"""Retries: transient trouble only, exponential with jitter, up to a deadline."""

import threading

import pytest

from lighterman.errors import CredentialsError, SourceChangedError, TransientError
from lighterman.transfer.retry import LONGEST_WAIT_SECONDS, Attempts
from lighterman.transfer.tally import Tally


class FakeClock:
    """Waiting passes at once and is remembered."""

    def __init__(self):
        self.now = 0.0
        self.waits = []

    def monotonic(self):
        return self.now

    def wall(self):
        return self.now

    def wait(self, seconds, until=None):
        self.waits.append(seconds)
        self.now += seconds
        return until is not None and until.is_set()


def failing(times, error):
    """An operation that fails so often, then returns how often it was called."""
    calls = []

    def operation():
        calls.append(1)
        if len(calls) <= times:
            raise error
        return len(calls)

    return operation, calls


def test_transient_trouble_is_tried_again():
    """The operation's result comes back as if nothing had happened, and the retries are counted."""
    tally, clock = Tally(), FakeClock()
    operation, _ = failing(3, TransientError("reset"))
    assert Attempts(60, clock, tally).call("get a", operation) == 4
    assert tally.totals().retries == 3
    assert len(clock.waits) == 3


def test_a_first_success_needs_no_waiting():
    """Nothing is loaded, counted or waited for."""
    tally, clock = Tally(), FakeClock()
    assert Attempts(60, clock, tally).call("get a", lambda: 7) == 7
    assert (tally.totals().retries, clock.waits) == (0, [])


@pytest.mark.parametrize("error", [CredentialsError("403"), SourceChangedError("412")])
def test_other_errors_are_raised_at_once(error):
    """Permanent errors are never retried; a changed source is the caller's to begin anew."""
    operation, calls = failing(9, error)
    with pytest.raises(type(error)):
        Attempts(60, FakeClock(), Tally()).call("get a", operation)
    assert len(calls) == 1


def test_a_permanent_error_after_a_transient_one_ends_it():
    """What a later attempt finds out counts."""
    errors = [TransientError("reset"), CredentialsError("403")]

    def operation():
        raise errors.pop(0)

    with pytest.raises(CredentialsError):
        Attempts(60, FakeClock(), Tally()).call("get a", operation)


def test_it_gives_up_at_the_deadline_with_the_last_error():
    """Trouble that outlasts the deadline is raised as it was, and no wait goes past the deadline."""
    clock = FakeClock()
    operation, calls = failing(10_000, TransientError("503 from the store"))
    with pytest.raises(TransientError, match="503 from the store"):
        Attempts(120, clock, Tally()).call("get a", operation)
    assert clock.now <= 120
    assert len(calls) > 5
    assert max(clock.waits) <= LONGEST_WAIT_SECONDS
    assert min(clock.waits) > 0


def test_a_stop_ends_the_waiting():
    """A process that is told to end doesn't sit out its retries."""
    stop = threading.Event()
    operation, calls = failing(10_000, TransientError("reset"))

    def once_then_stop():
        if len(calls) == 2:
            stop.set()
        return operation()

    with pytest.raises(TransientError):
        Attempts(1e9, FakeClock(), Tally(), stop).call("get a", once_then_stop)
    assert len(calls) == 3
    with pytest.raises(TransientError):
        Attempts(1e9, FakeClock(), Tally(), stop).call("get a", operation)
    assert len(calls) == 4
