"""Notes that are asked for in the order of the paths."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from initializer.noted import Noted
from initializer.plan import Placed
from initializer.state import State

paths = st.text(st.sampled_from("ab/é\udc80-\U0010ffff"), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def new_state(tmp_path_factory):
    """Makes the notes of a new destination."""
    made = []

    def make():
        root = tmp_path_factory.mktemp("dest")
        directory = root / ".lighterman"
        directory.mkdir()
        made.append(State(str(root), str(directory)))
        return str(root), made[-1]

    yield make
    for state in made:
        state.close()


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(paths, st.integers(0, 9), max_size=40),
    st.lists(paths, max_size=40),
    st.booleans(),
)
def test_notes_are_found_in_any_order(new_state, noted, asked, is_in_order):
    """As each alone is; the order only makes it cheap."""
    root, state = new_state()
    rows = {path: Placed(size_bytes, "e", 7) for path, size_bytes in noted.items()}
    state.note_placed((f"{root}/{path}", placed) for path, placed in rows.items())
    asked = [*asked, *noted]
    if is_in_order:
        asked.sort(key=os.fsencode)
    found = Noted(state)
    for path in asked:
        assert rows.get(path) == found.placed(f"{root}/{path}") == state.placed(f"{root}/{path}")


def queries(state, root, asked):
    """How many it takes."""
    count = 0
    ask = state.placed_from

    def counted(path, most):
        nonlocal count
        count += 1
        return ask(path, most)

    state.placed_from = counted
    noted = Noted(state)
    for number in asked:
        noted.placed(f"{root}/{number:05}")
    return count


def test_many_rows_come_with_one_query(new_state):
    """Where all are wanted; where few are, few rows are read for each."""
    root, state = new_state()
    state.note_placed((f"{root}/{number:05}", Placed(1, "e", 7)) for number in range(5000))
    assert queries(state, root, range(5000)) < 30
    assert queries(state, root, range(0, 5000, 100)) <= 50


def test_a_destination_without_notes_asks_nothing_again(new_state):
    """A first run."""
    root, state = new_state()
    assert queries(state, root, range(100)) <= 1
