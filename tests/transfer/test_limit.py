"""`--bwlimit RATE` bounds both directions: one bucket of tokens for all transfers of the process."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman.transfer.limit import BURST_SECONDS, Limiter, limiter_of


class HandClock:
    """Time passes when somebody waits, or is told to."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def wall(self):
        return self.now

    def wait(self, seconds, until=None):
        if until is not None and until.is_set():
            return True
        self.now += seconds
        return False


takings = st.lists(st.tuples(st.floats(0, 20), st.integers(0, 10_000_000)), min_size=1, max_size=40)


@given(st.integers(1024, 100_000_000), takings)
def test_never_more_than_the_rate_and_one_burst(rate, takings):
    """Whatever is taken whenever: by each moment, no more went than rate x time + burst."""
    clock = HandClock()
    limiter = Limiter(rate, clock)
    went = 0
    for pause, size in takings:
        clock.now += pause
        assert limiter.wait_for(size)
        went += size
        assert went <= rate * (clock.now + BURST_SECONDS) * (1 + 1e-9) + 1


@given(st.integers(1024, 100_000_000), st.lists(st.integers(1, 100_000_000), min_size=1))
def test_the_rate_is_used(rate, sizes):
    """Who always has something to carry loses nothing of it."""
    clock = HandClock()
    limiter = Limiter(rate, clock)
    for size in sizes:
        assert limiter.wait_for(size)
    wanted = max(0.0, sum(sizes) / rate - BURST_SECONDS)
    assert clock.now == pytest.approx(wanted, rel=1e-6, abs=1e-6)


@given(st.integers(1024, 10_000_000), st.lists(st.integers(1, 10_000_000), min_size=2))
def test_first_come_first_served(rate, sizes):
    """Takers that come at one moment may go in the order in which they came."""
    limiter = Limiter(rate, HandClock())
    waits = [limiter.take(size) for size in sizes]
    assert waits == sorted(waits)


def test_what_was_left_unused_is_gone():
    """An hour of silence allows half a second's worth at once, not an hour's."""
    clock = HandClock()
    limiter = Limiter(1000, clock)
    clock.now = 3600.0
    assert limiter.take(500) == 0
    assert limiter.take(1000) == pytest.approx(1.0)


def test_who_is_told_to_stop_waits_no_longer():
    """A stop ends the wait at once, and says so."""
    stop = threading.Event()
    stop.set()
    clock = HandClock()
    limiter = Limiter(1000, clock)
    assert not limiter.wait_for(1_000_000, stop)
    assert clock.now == 0.0


def test_threads_share_one_rate():
    """Sixteen threads together keep to what one would."""
    limiter = Limiter(1000, HandClock())
    waits = []

    def work():
        waits.extend(limiter.take(10) for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(waits) == pytest.approx(16 * 50 * 10 / 1000 - BURST_SECONDS)


def test_no_limit():
    """0 is none; less than nothing is refused."""
    assert limiter_of(0, HandClock()) is None
    assert limiter_of(2048, HandClock()).bytes_per_second == 2048
    with pytest.raises(ValueError, match="nothing ever ends"):
        Limiter(0, HandClock())
