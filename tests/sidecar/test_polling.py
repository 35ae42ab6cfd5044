"""Parts of which no event tells: which are looked at, how often, and what of what a look saw may go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.polling import Cost, Sightings, Verdict, interval_seconds, outermost
from sidecar.states import FileState, RelPath

A = RelPath("d/a")
ONE = FileState(1, 2, 3, 4, 5, 0o644)
OTHER = ONE._replace(ctime_ns=6)


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (Cost(0.0, 0.0), 1.0),
        (Cost(0.004, 0.005), 1.0),
        (Cost(0.4, 0.4), 40.0),
        (Cost(0.05, 2.0), 20.0),
        (Cost(10.0, 10.0), 1000.0),
    ],
)
def test_the_dearer_a_look_the_rarer_it_is(cost, expected):
    """Never more than a hundredth of a core, nor a tenth of the time, nor oftener than each second."""
    assert interval_seconds(cost) == pytest.approx(expected)


@given(st.floats(0, 1e4), st.floats(0, 1e4))
def test_looks_never_take_more_than_a_hundredth_of_a_core(cpu_seconds, waiting_seconds):
    """Whatever one costs."""
    interval = interval_seconds(Cost(cpu_seconds, cpu_seconds + waiting_seconds))
    assert cpu_seconds <= interval * 0.01 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], []),
        (["a"], ["a"]),
        (["a", "a/b", "a-b", "a-b/c/d", "b/c"], ["a", "a-b", "b/c"]),
        (["a", "", "b"], [""]),
        (["a/b", "ab"], ["a/b", "ab"]),
    ],
)
def test_a_part_below_another_is_looked_at_once(parts, expected):
    """What is below an unwatched directory has no watch either, and may be noted too."""
    assert expected == sorted(outermost([RelPath(part) for part in parts]))


@given(st.sets(st.lists(st.sampled_from(["a", "b", "a-"]), max_size=4).map("/".join)))
def test_the_outermost_parts_cover_all_and_not_each_other(parts):
    """Whatever is noted."""

    def is_below(path, top):
        return top in ("", path) or path.startswith(top + "/")

    tops = outermost([RelPath(part) for part in parts])
    assert all(any(is_below(part, top) for top in tops) for part in parts)
    assert not any(is_below(one, two) for one in tops for two in tops if one != two)


def test_a_file_that_changed_since_the_last_look_is_as_good_as_closed():
    """Its upload asks the kernel who has it open; at the next look it is at rest."""
    sightings = Sightings()
    verdicts = []
    for now, state in ((0.0, ONE), (1.0, ONE), (2.0, OTHER), (3.0, OTHER)):
        verdicts.append(sightings.see(A, state, now, may_ask=True))
        sightings.end_of_look()
    assert verdicts == [Verdict.CHANGED, Verdict.AT_REST, Verdict.CHANGED, Verdict.AT_REST]


def test_whose_writers_nobody_can_ask_of_is_sent_after_equal_looks_ten_seconds_apart():
    """Another's file, or one on a network filesystem: a slow writer must not be taken for none."""
    sightings = Sightings()
    verdicts = []
    for now, state in ((0.0, ONE), (5.0, OTHER), (10.0, OTHER), (14.9, OTHER), (15.0, OTHER)):
        verdicts.append(sightings.see(A, state, now, may_ask=False))
        sightings.end_of_look()
    assert verdicts == [
        Verdict.WRITTEN,
        Verdict.WRITTEN,
        Verdict.WAITING,
        Verdict.WAITING,
        Verdict.AT_REST,
    ]


def test_what_a_look_did_not_see_is_forgotten():
    """It is in the bucket or gone; under its name comes something new."""
    sightings = Sightings()
    sightings.see(A, ONE, 0.0, may_ask=True)
    for _ in range(2):
        sightings.end_of_look()
    assert sightings.see(A, ONE, 2.0, may_ask=True) is Verdict.CHANGED


def test_beyond_its_room_files_are_left_to_the_reconcile():
    """Memory is bounded; those that are remembered keep their place."""
    sightings = Sightings(most=1)
    assert sightings.see(A, ONE, 0.0, may_ask=True) is Verdict.CHANGED
    assert sightings.see(RelPath("b"), ONE, 0.0, may_ask=True) is Verdict.NO_ROOM
    sightings.end_of_look()
    assert sightings.see(A, ONE, 1.0, may_ask=True) is Verdict.AT_REST
