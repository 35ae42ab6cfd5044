"""A file that is written at a steady pace is sent all the same."""

import pytest

from sidecar.globs import Names
from sidecar.settle import Rules, Settle
from sidecar.states import RelPath

A = RelPath("metrics.json")
REST_SECONDS = 0.02


def _sent_at(period_seconds, rules, until):
    """When a file that is closed every ``period_seconds`` is sent, in steps of a hundredth of a second."""
    settle = Settle(rules, Names())
    sent = []
    closed_at = 0.0
    for step in range(int(until * 100)):
        now = step / 100
        if step % round(period_seconds * 100) == 0:
            closed_at = now
            settle.closed(A, now)
        for path in settle.take_ready(now, 1):
            age_seconds = now - closed_at
            if age_seconds < REST_SECONDS:
                settle.changed(path, now, REST_SECONDS - age_seconds)
            else:
                settle.sent(path, now, 0.0)
                sent.append(now)
    return sent


@pytest.mark.parametrize("period_seconds", [0.1, 0.25, 0.5, 1.0])
def test_a_pace_that_divides_the_longest_wait_starves_nobody(period_seconds):
    """Each further event pushes a file up to ``max_delay_seconds`` after the first one, and no further."""
    sent = _sent_at(period_seconds, Rules(1.0, 5.0), 60.0)
    gaps = [after - before for before, after in zip([0.0, *sent], sent, strict=False)]
    assert max(gaps) <= 5.0 + period_seconds + 2 * REST_SECONDS
    assert len(sent) >= 10


def test_what_was_sent_in_vain_waits_for_its_settling(settle_of_a_file_under_way):
    """A large file that changes all the time isn't read again and again."""
    settle = settle_of_a_file_under_way
    settle.closed(A, 5.5)
    settle.changed(A, 6.0)
    settle.closed(A, 6.5)
    assert settle.take_ready(7.0, 1) == []
    assert settle.take_ready(7.5, 1) == [A]


def test_what_was_only_too_fresh_is_looked_at_as_soon_as_it_is_not(settle_of_a_file_under_way):
    """Nothing was sent, so nothing is lost by looking again."""
    settle = settle_of_a_file_under_way
    settle.changed(A, 6.0, REST_SECONDS)
    assert settle.take_ready(6.01, 1) == []
    assert settle.take_ready(6.03, 1) == [A]


@pytest.fixture
def settle_of_a_file_under_way():
    settle = Settle(Rules(1.0, 5.0), Names())
    settle.closed(A, 0.0)
    assert settle.take_ready(5.0, 1) == [A]
    return settle
