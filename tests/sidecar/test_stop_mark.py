"""What a mark that ``mark-stop`` left means for the grace of the sidecar that finds it."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar import stop_mark
from sidecar.stop_mark import Mark, Run, grace_left, seconds_left

RUN = Run("boot", 100.0)


@pytest.mark.parametrize(
    ("why", "marks", "left"),
    [
        ("no mark", [], 30.0),
        ("made as it is told", [("boot", 200.0)], 30.0),
        ("main took 12 s of the grace", [("boot", 188.0)], 18.0),
        ("main took nearly all", [("boot", 170.5)], 2.0),
        ("main took all, and a sidecar its turn before", [("boot", 168.0)], 2.0),
        ("made by hand, an hour ago", [("boot", 139.0)], 30.0),
        ("of a run before this one", [("boot", 99.0)], 30.0),
        ("of another boot, whose clock went further", [("former", 190.0)], 30.0),
        ("from the future: another machine's clock", [("boot", 201.0)], 30.0),
        ("the hook ran twice: the first counts", [("boot", 180.0), ("boot", 190.0)], 10.0),
        ("one by hand, and the hook's", [("boot", 120.0), ("boot", 190.0)], 20.0),
    ],
)
def test_the_grace_counts_from_the_mark_of_this_run(why, marks, left):
    """Told at 200, begun at 100, with a grace of 30 s."""
    assert seconds_left(30.0, [Mark(*mark) for mark in marks], RUN, 200.0) == left


def test_a_grace_shorter_than_the_kubelets_least_stays_as_short():
    """What the user says is never made longer."""
    assert seconds_left(1.0, [Mark("boot", 199.5)], RUN, 200.0) == 1.0


@given(
    st.floats(0, 1e4),
    st.lists(st.tuples(st.sampled_from(["boot", "former"]), st.floats(0, 1e4)), max_size=4),
    st.floats(100, 1e4),
)
def test_a_mark_only_ever_shortens_the_grace(grace, marks, now):
    """Whatever is found in the state directory: no longer than the grace, no shorter than the least."""
    left = seconds_left(grace, [Mark(*mark) for mark in marks], RUN, now)
    assert min(grace, stop_mark.LEAST_SECONDS) <= left <= grace


def test_a_mark_that_is_left_is_found_by_the_run_that_it_is_for(tmp_path):
    """By a clock and a boot that all processes share; this process began before."""
    stop_mark.leave(str(tmp_path / "state"))
    [mark] = stop_mark.found(str(tmp_path / "state"))
    assert mark.boot_id == stop_mark.this_run().boot_id
    assert stop_mark.this_run().began <= mark.seconds <= stop_mark.now()
    assert 2.0 <= grace_left(str(tmp_path / "state"), 30.0) <= 30.0


@pytest.mark.parametrize("content", [b"", b"[{]", b'{"seconds": 1}', b"\xff\x00"])
def test_a_mark_that_cannot_be_read_is_none(tmp_path, content):
    """A full disk may have left half of one: the grace is whole."""
    (tmp_path / stop_mark.NAME).write_bytes(content)
    assert (stop_mark.found(str(tmp_path)), grace_left(str(tmp_path), 7.0)) == ([], 7.0)


def test_marks_that_pile_up_are_few(tmp_path):
    """Whoever runs the hook every minute fills no disk, and nothing is left beside it."""
    for _ in range(2 * stop_mark.MOST_MARKS):
        stop_mark.leave(str(tmp_path))
    assert len(stop_mark.found(str(tmp_path))) == stop_mark.MOST_MARKS
    assert os.listdir(tmp_path) == [stop_mark.NAME]
