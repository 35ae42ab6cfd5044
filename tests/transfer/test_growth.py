"""How many transfers run at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman.transfer.growth import LOOK_AGAIN_SECONDS, Growth


def run(growth, rate_of, seconds, *, waited=1.0, step=0.01):
    """Let it work for so long at ``rate_of(width)`` transfers a second, waiting for that share of the time."""
    now, owed = 0.0, 0.0
    while now < seconds:
        now += step
        owed += rate_of(growth.width) * step
        while owed >= 1:
            owed -= 1
            growth.ended()
        growth.look(now, now * waited)
    return growth.width


@pytest.mark.parametrize(
    ("rate_of", "waited", "expected"),
    [
        (lambda width: 50 * width, 1.0, 256),  # a store that answers after 20 ms
        (lambda width: min(50 * width, 3400), 1.0, 128),  # the same, with room for 68 at once
        (lambda width: 2000, 1.0, 32),  # a busy store: one doubling finds out
        (lambda width: 50 * width, 0.2, 16),  # whoever works all the time has enough
    ],
    ids=["late", "late and bounded", "busy store", "busy here"],
)
def test_it_doubles_while_that_pays(rate_of, waited, expected):
    """Concurrency grows while throughput grows."""
    assert run(Growth(16, 256), rate_of, LOOK_AGAIN_SECONDS * 0.9, waited=waited) == expected


def test_what_was_enough_is_looked_at_again():
    """A store that was busy is idle again later."""
    growth = Growth(16, 64)
    now = 0.0

    def work(seconds, rate):
        nonlocal now
        end = now + seconds
        while now < end:
            now += 0.01
            for _ in range(max(1, int(rate(growth.width) * 0.01))):
                growth.ended()
            growth.look(now, now)

    work(1, lambda width: 3000)
    assert growth.width == 32
    work(LOOK_AGAIN_SECONDS * 2, lambda width: 200 * width)
    assert growth.width == 64


@given(
    first=st.integers(1, 64),
    most=st.integers(1, 512),
    steps=st.lists(st.tuples(st.integers(0, 200), st.floats(0, 2), st.floats(0, 1))),
)
def test_it_stays_between_one_and_the_most(first, most, steps):
    """Whatever is measured; and it never shrinks."""
    growth = Growth(first, most)
    now = waited = 0.0
    before = growth.width
    for ended, seconds, share in steps:
        for _ in range(ended):
            growth.ended()
        now += seconds
        waited += seconds * share
        growth.look(now, waited)
        assert 1 <= before <= growth.width <= most
        before = growth.width
