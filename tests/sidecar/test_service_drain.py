"""The end, as arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.drain import BySize, Ending
from sidecar.globs import Names


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["a", "b.tmp", "c.part", "d/e", ".~f"]), st.integers(0, 9)),
            st.sampled_from(["pop", "walked"]),
        )
    )
)
def test_a_drain_goes_by_size_with_temporary_names_last(steps):
    """Whenever one goes, none that waits is smaller; temporary names wait for the walk and for all others."""
    order, waiting, walked = BySize(Names()), [], False
    for step in [*steps, "walked", *["pop"] * len(steps)]:
        if step == "walked":
            walked = True
        elif step != "pop":
            order.add(*step, is_find=step[1] % 2 == 0)
            waiting.append((Names().is_temporary(step[0]), step[1], step[0]))
        elif (gone := order.pop(temporary_too=walked)) is None:
            assert all(temporary for temporary, _, _ in waiting)
            assert not waiting or not walked
        else:
            smallest = min((temporary, size) for temporary, size, _ in waiting)
            assert (*smallest, gone[0]) in waiting
            waiting.remove((*smallest, gone[0]))
            assert gone[1] == (smallest[1] % 2 == 0)
            assert walked or not smallest[0]
        assert (len(order), order.found) == (
            len(waiting),
            sum(size % 2 == 0 for _, size, _ in waiting),
        )
    assert waiting == []


@pytest.mark.parametrize(
    ("grace", "deadline"),
    [(30.0, 128.0), (600.0, 698.0), (10.0, 109.0), (2.0, 101.5), (1.0, 100.75), (0.0, 100.0)],
)
def test_the_deadline_leaves_a_margin_of_the_grace(grace, deadline):
    """A tenth of it, half a second to two seconds, for the report and the end of the process."""
    assert deadline == pytest.approx(Ending(100.0, grace).deadline)


@pytest.mark.parametrize(
    ("grace", "walk", "expected"), [(30.0, 0.1, 122.0), (30.0, 3.0, 113.0), (30.0, 60.0, 100.0)]
)
def test_the_last_walk_begins_as_late_as_it_can(grace, walk, expected):
    """A fifth of the grace before the deadline, or five walks; never before the end began."""
    assert expected == pytest.approx(Ending(100.0, grace).final_walk_at(walk))


@given(st.floats(0, 1e5), st.floats(0, 1e5), st.floats(0, 1e5))
def test_the_last_walk_lies_between_the_signal_and_the_deadline(began, grace, walk):
    """Whatever the numbers."""
    ending = Ending(began, grace)
    times = [began, ending.final_walk_at(walk), ending.last_walk_at(walk)]
    assert [*times, max(began, ending.deadline)] == sorted([*times, max(began, ending.deadline)])


@pytest.mark.parametrize(
    ("grace", "walk", "expected"), [(30.0, 0.1, 126.5), (30.0, 3.0, 119.0), (30.0, 60.0, 100.0)]
)
def test_watching_goes_on_until_there_is_room_for_one_walk_and_a_listing(grace, walk, expected):
    """A twentieth of the grace before the deadline, or three walks."""
    assert Ending(100.0, grace).last_walk_at(walk) == pytest.approx(expected)
