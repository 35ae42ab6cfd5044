"""What the page draws: bounded, and no byte lost."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sidecar.status.history import (
    LEAST_APART_SECONDS,
    MOST_MOMENTS,
    SPAN_SECONDS,
    History,
    Moment,
)

steps = st.tuples(st.floats(0.01, 400.0), st.integers(0, 10**9), st.integers(0, 5))


@given(st.lists(steps, max_size=1500))
def test_it_is_bounded_and_ends_with_the_latest(steps):
    """In number and in time; moments are in order, and the last is what was added last."""
    history, at, sent, last = History(0.0), 0.0, 0, Moment(0.0, 0, 0, 0, 0)
    for seconds, size_bytes, backlog in steps:
        at, sent = at + seconds, sent + size_bytes
        last = Moment(at, sent, 0, backlog, backlog)
        history.add(last)
    moments = history.moments()
    assert moments[-1] == last
    assert len(moments) <= MOST_MOMENTS + 1
    assert moments == sorted(moments)
    assert all(moment.at >= at - SPAN_SECONDS for moment in moments[2:])


def test_idle_time_is_two_moments():
    """However long nothing happens and however often somebody looks: its beginning and its end."""
    history = History(0.0)
    history.add(Moment(10.0, 100, 1, 0, 0))
    for at in range(20, 2000, 10):
        history.add(Moment(float(at), 100, 1, 0, 0))
    assert [moment.at for moment in history.moments()] == [0.0, 10.0, 1990.0]


def test_the_beginning_of_idle_time_stays_however_closely_it_follows():
    """Else what was sent in a moment would be drawn as sent slowly, all the time until the next."""
    history = History(0.0)
    for at, sent in ((100.0, 0), (100.1, 50), (100.2, 100), (400.0, 100)):
        history.add(Moment(at, sent, 0, 0, 0))
    assert [(moment.at, moment.sent_bytes) for moment in history.moments()] == [
        (0.0, 0),
        (100.0, 0),
        (100.2, 100),
        (400.0, 100),
    ]


def test_what_was_long_ago_is_kept_coarser():
    """Busy for an hour, looked at each second: the last minutes to the second, the first ones not."""
    history = History(0.0)
    for at in range(1, 3601):
        history.add(Moment(float(at), at * 100, at, at, 1))
    gaps = [b.at - a.at for a, b in itertools.pairwise(history.moments())]
    assert gaps[-1] == LEAST_APART_SECONDS
    assert max(gaps) > 10
