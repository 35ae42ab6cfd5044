"""A few threads work through what a cache may have, until all is done, one fails, or they are told to stop."""

import threading

import pytest

from initializer.cache.copiers import in_threads
from lighterman.clock import SystemClock


def run(work, items, stop=None):
    ticks = []
    done = in_threads(
        work,
        iter(items),
        4,
        tick=lambda: ticks.append(1),
        clock=SystemClock(),
        stop=stop or threading.Event(),
    )
    return done, ticks


def test_each_item_once():
    """Whoever takes it; the last tick comes after the last item."""
    seen = []
    done, ticks = run(seen.append, range(500))
    assert (done, sorted(seen)) == (True, list(range(500)))
    assert ticks
    assert run(seen.append, []) == (True, [1])


def test_the_first_error_ends_it():
    """It is raised, and what comes after it isn't begun by everybody."""
    seen = []

    def work(item):
        seen.append(item)
        raise KeyError(item)

    with pytest.raises(KeyError):
        run(work, range(500))
    assert len(seen) <= 4


def test_an_error_of_the_items_ends_it_too():
    """A plan that can't be read on isn't a short one."""

    def items():
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        run(lambda _: None, items())


def test_a_stop_ends_it_early():
    """What was begun is ended, nothing new begun; the caller is told."""
    stop, seen = threading.Event(), []

    def work(item):
        seen.append(item)
        stop.set()

    done, _ = run(work, range(500), stop)
    assert not done
    assert len(seen) <= 4
