"""What init knows from one run to the next. Losing it costs a fetch, never a wrong file."""

import os

import pytest

from initializer.plan import Placed
from initializer.state import Half, State


@pytest.fixture
def opened(tmp_path):
    """Opens the notes of one destination as one run after the other would."""
    directory = tmp_path / "dest" / ".lighterman"
    directory.mkdir(parents=True)
    states = []

    def open_state():
        for state in states:
            state.close()
        states.append(State(str(tmp_path / "dest"), str(directory)))
        return states[-1]

    open_state.root = str(tmp_path / "dest")
    open_state.file = directory / "init.sqlite3"
    yield open_state
    for state in states:
        state.close()


def test_notes_outlive_the_run(opened):
    """What one run placed, the next one knows; odd names too."""
    paths = [f"{opened.root}/{name}" for name in ("a", "d/ü\n'", "d/\udc80")]
    opened().note_placed((path, Placed(3, "etag", 12345678901234567)) for path in paths)
    again = opened()
    assert [again.placed(path) for path in paths] == [Placed(3, "etag", 12345678901234567)] * 3
    assert again.placed(f"{opened.root}/b") is None


def test_the_newest_note_counts(opened):
    """A file that came anew has one note."""
    state = opened()
    for etag in ("old", "new"):
        state.note_placed([(f"{opened.root}/a", Placed(3, etag, 1))])
    assert state.placed(f"{opened.root}/a") == Placed(3, "new", 1)


def test_how_far_large_files_came(opened):
    """Noted, found again, listed and forgotten."""
    half = Half(20, "e", 8, b"\1\0\1", b"\1\0\0")
    opened().note_half(f"{opened.root}/d/big", half)
    state = opened()
    assert (state.half(f"{opened.root}/d/big"), state.halves()) == (half, ["d/big"])
    state.forget_half(f"{opened.root}/d/big")
    assert (state.half(f"{opened.root}/d/big"), state.halves()) == (None, [])


@pytest.mark.parametrize("boot", ["another", ""], ids=["restarted", "not told"])
def test_after_the_machine_failed_only_what_was_synced_counts(opened, monkeypatch, boot):
    """What was only written outlives the process, as long as the kernel that has it."""
    half = Half(20, "e", 8, b"\1\0\1", b"\1\0\0")
    opened().note_half(f"{opened.root}/big", half)
    monkeypatch.setattr("initializer.state._boot", lambda: boot)
    assert opened().half(f"{opened.root}/big") == half._replace(done=half.synced)


def test_a_first_run_that_notes_nothing_makes_no_database(opened):
    """Asking and forgetting need none."""
    state = opened()
    assert state.placed(f"{opened.root}/a") is None
    assert state.half(f"{opened.root}/a") is None
    assert state.halves() == []
    state.forget_half(f"{opened.root}/a")
    state.note_placed([])
    assert not opened.file.exists()


@pytest.mark.parametrize("content", [b"not a database at all", b"SQLite format 3\0" + b"x" * 5000])
def test_a_damaged_database_is_begun_anew(opened, content):
    """Nothing is known then, and the run after the next knows again."""
    opened.file.write_bytes(content)
    state = opened()
    assert state.placed(f"{opened.root}/a") is None
    state.note_placed([(f"{opened.root}/a", Placed(3, "e", 1))])
    assert opened().placed(f"{opened.root}/a") is None
    opened().note_placed([(f"{opened.root}/a", Placed(3, "e", 1))])
    assert opened().placed(f"{opened.root}/a") == Placed(3, "e", 1)


def test_a_planted_symlink_is_not_written_through(opened, tmp_path):
    """The database is a file of the destination, or none."""
    outside = tmp_path / "outside"
    os.symlink(outside, opened.file)
    opened().note_placed([(f"{opened.root}/a", Placed(3, "e", 1))])
    assert not outside.exists()
    assert opened().placed(f"{opened.root}/a") == Placed(3, "e", 1)


def test_a_full_disk_loses_no_notes(opened):
    """What was noted before stays, and what couldn't be is said again."""
    state = opened()
    assert state.note_placed([(f"{opened.root}/a", Placed(3, "e", 1))])
    state._do("pragma max_page_count = 1", ())
    more = [(f"{opened.root}/{number}", Placed(3, "e" * 50, 1)) for number in range(1000)]
    assert not state.note_placed(more)
    assert state.placed(f"{opened.root}/a") == Placed(3, "e", 1)
    state._do("pragma max_page_count = 1000000", ())
    assert state.note_placed(more)
    assert opened().placed(f"{opened.root}/999") == Placed(3, "e" * 50, 1)
