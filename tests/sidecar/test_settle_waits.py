"""Why a file waits, since when, and how it is hastened."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.globs import Names
from sidecar.settle import Rules, Settle, Why
from sidecar.states import RelPath

A, LOG, TEMPORARY = RelPath("d/a.bin"), RelPath("train.log"), RelPath("d/b.tmp")


@pytest.fixture
def settle():
    return Settle(Rules(settle_seconds=1.0, max_delay_seconds=30.0), Names())


def test_each_file_is_told_with_its_reason(settle):
    """Resting, open, temporary, on its way, failed."""
    settle.closed(A, 10.0)
    settle.writing(RelPath("open"), 11.0)
    settle.closed(TEMPORARY, 12.0)
    settle.closed(RelPath("fails"), 13.0)
    settle.closed(RelPath("flies"), 13.0)
    settle.take(RelPath("fails"))
    settle.failed(RelPath("fails"), 14.0)
    settle.take(RelPath("flies"))
    assert dict(settle.waits()) == {
        A: (Why.SCHEDULED, 10.0, 11.0),
        "open": (Why.OPEN, 11.0, None),
        TEMPORARY: (Why.TEMPORARY, 12.0, None),
        "fails": (Why.RETRYING, 13.0, 15.0),
        "flies": (Why.SENDING, 13.0, None),
    }
    assert settle.knows(A)
    assert not settle.knows(RelPath("other"))


def test_a_file_is_behind_since_its_first_event_through_all_attempts(settle):
    """A failure, a change while it was sent, another event: none begins the count anew; its arrival ends it."""
    settle.closed(A, 10.0)
    for now in (20.0, 40.0):
        assert settle.take(A)
        settle.failed(A, now)
    settle.closed(A, 50.0)
    settle.take(A)
    settle.changed(A, 60.0)
    assert dict(settle.waits())[A].since == 10.0
    settle.take(A)
    settle.closed(A, 70.0)
    settle.sent(A, 71.0, 1.0)
    assert dict(settle.waits())[A].since == 70.0


def test_a_file_made_anew_begins_anew(settle):
    """What was deleted is behind no longer."""
    settle.closed(A, 10.0)
    settle.take(A)
    settle.gone(A)
    settle.closed(A, 90.0)
    assert dict(settle.waits())[A].since == 90.0


def test_what_only_waits_for_its_time_is_hastened(settle):
    """Settling, a live file's turn, a failure's backoff; not a close, and not a temporary name."""
    settle.closed(A, 10.0)
    settle.closed(TEMPORARY, 10.0)
    settle.writing(RelPath("open"), 10.0)
    settle.writing(LOG, 10.0)
    settle.take_ready(12.0, 99)
    settle.failed(A, 12.0)
    settle.sent(LOG, 12.0, 1.0)
    settle.writing(LOG, 12.1)
    assert settle.take_ready(12.2, 99) == []
    settle.hasten(12.2)
    assert sorted(settle.take_ready(12.2, 99)) == [A, LOG]


names = st.sampled_from([A, LOG, TEMPORARY, RelPath("x"), RelPath("d/y")])
steps = st.tuples(
    st.sampled_from(["closed", "writing", "gone", "take", "sent", "failed", "hasten", "touched"]),
    names,
    st.floats(0.0, 5.0),
)


@given(st.lists(steps, max_size=60))
def test_all_that_waits_is_told_and_a_hastened_file_is_ready(steps):
    """Whatever happened: as many as are known, none without its reason, and after ``hasten`` nothing is due later."""
    settle, now = Settle(Rules(1.0, 30.0), Names()), 100.0
    flying = set()
    for step, path, seconds in steps:
        now += seconds
        match step:
            case "take":
                if settle.take(path):
                    flying.add(path)
            case "sent" | "failed":
                if path in flying:
                    flying.discard(path)
                    if step == "sent":
                        settle.sent(path, now, 1.0)
                    else:
                        settle.failed(path, now)
            case "gone":
                settle.gone(path)
            case "hasten":
                settle.hasten(now)
                due = [w.due for _, w in settle.waits() if w.due and w.why is not Why.SENDING]
                assert all(when <= now for when in due)
            case _:
                getattr(settle, step)(path, now)
        told = dict(settle.waits())
        assert len(told) == len(settle)
        assert {path for path, waits in told.items() if waits.why is Why.SENDING} == flying
        assert all(waits.since is None or waits.since <= now for waits in told.values())
