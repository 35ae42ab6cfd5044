"""A slow-down answer lowers the concurrency."""

import contextlib
import threading

import pytest

from lighterman.errors import SlowDownError, TransientError
from lighterman.transfer.pace import Pace


def slowed(pace):
    with pytest.raises(SlowDownError), pace.slot():
        raise SlowDownError("503")


def test_a_slow_down_answer_halves_the_concurrency():
    """Multiplicative decrease on 503 and 429."""
    pace = Pace(16)
    slowed(pace)
    assert pace.width == 8
    for _ in range(20):
        slowed(pace)
    assert pace.width == 1


def test_requests_that_go_well_win_it_back():
    """Additive increase: about one place for each round of requests, up to the most."""
    pace = Pace(4)
    slowed(pace)
    for _ in range(40):
        with pace.slot():
            pass
    assert pace.width == 4


def test_other_errors_leave_it_alone():
    """A reset says nothing about the store's capacity."""
    pace = Pace(8)
    with pytest.raises(TransientError), pace.slot():
        raise TransientError("reset")
    assert pace.width == 8


def test_one_burst_of_refusals_is_one_answer():
    """Eight requests refused together narrow the gate once, not eight times."""
    pace = Pace(8)
    together = threading.Barrier(8)

    def refused():
        with contextlib.suppress(SlowDownError), pace.slot():
            together.wait(10)
            raise SlowDownError("503")

    threads = [threading.Thread(target=refused) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pace.width == 4


def test_no_more_than_the_width_run_at_once():
    """The gate holds back whoever comes when all places are taken."""
    pace = Pace(1)
    entered, leave = threading.Event(), threading.Event()

    def second():
        with pace.slot():
            entered.set()

    with pace.slot():
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.05)
        leave.set()
    assert entered.wait(10)
    thread.join()


def test_a_gate_without_places_is_refused():
    """A width of nothing would never end."""
    with pytest.raises(ValueError, match="less than one"):
        Pace(0)


def test_who_does_not_wait_lets_those_pass_who_do():
    """A loop that takes places without waiting doesn't starve threads."""
    pace = Pace(1)
    entered = pace.enter_now()
    assert pace.enter_now() is None
    waits, got = threading.Event(), threading.Event()
    has_room = pace._has_room

    def looked():
        waits.set()
        return has_room()

    pace._has_room = looked

    def wait_for_it():
        with pace.slot():
            got.set()

    thread = threading.Thread(target=wait_for_it)
    thread.start()
    assert waits.wait(30)
    with pace._changed:  # the thread waits by now: it let go of the lock
        pace._running -= 1
        assert pace._waiting == 1
    assert pace.enter_now() is None
    with pace._changed:
        pace._running += 1
    pace.leave(entered)
    assert got.wait(30)
    thread.join()
    assert pace.enter_now() is not None
