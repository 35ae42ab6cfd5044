"""Where a file came from: kept only as long as its rename is all that happened to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.globs import Names
from sidecar.settle import Rules, Settle
from sidecar.states import RelPath

A, B, C = RelPath("a.bin"), RelPath("d/b.bin"), RelPath("c.bin")
NOW = 10.0


@pytest.fixture
def settle():
    return Settle(Rules(settle_seconds=1.0, max_delay_seconds=30.0), Names())


def move(settle, old, new):
    settle.gone(old)
    settle.arrived(new, NOW, old)


def send(settle, path, *, ends=True):
    assert settle.take(path)
    origin = settle.origin(path)
    if ends:
        settle.sent(path, NOW, 0.1)
    return origin


def test_a_rename_tells_where_a_file_came_from(settle):
    """A quiet file that is renamed has the content that it had under its old name."""
    move(settle, A, B)
    assert send(settle, B) == A


def test_renames_one_after_another_lead_to_the_first_name(settle):
    """Only the first of them was sent."""
    move(settle, A, B)
    move(settle, B, C)
    assert send(settle, C) == A


@pytest.mark.parametrize("event", ["closed", "writing", "found", "arrived"])
def test_what_was_not_sent_before_its_rename_came_from_nowhere(settle, event):
    """What the journal has under the old name may be another file's: an inode is used again."""
    {
        "closed": lambda: settle.closed(A, NOW),
        "writing": lambda: settle.writing(A, NOW),
        "found": lambda: settle.found(A, NOW, at_rest=True),
        "arrived": lambda: settle.arrived(A, NOW),
    }[event]()
    move(settle, A, B)
    assert send(settle, B) is None


def test_what_was_being_sent_at_its_rename_came_from_nowhere(settle):
    """What it is sent as isn't known yet."""
    settle.closed(A, NOW)
    assert settle.take(A)
    move(settle, A, B)
    assert send(settle, B) is None


@pytest.mark.parametrize("event", ["closed", "writing"])
def test_what_is_written_after_its_rename_came_from_nowhere(settle, event):
    """The rename isn't all that happened to it."""
    move(settle, A, B)
    getattr(settle, event)(B, NOW)
    assert send(settle, B) is None


def test_a_change_of_attributes_leaves_the_origin(settle):
    """``chmod`` after ``mv`` changes no content."""
    move(settle, A, B)
    settle.touched(B, NOW)
    assert send(settle, B) == A


def test_an_attempt_that_failed_leaves_the_origin(settle):
    """It is tried again."""
    move(settle, A, B)
    assert send(settle, B, ends=False) == A
    settle.failed(B, NOW)
    assert send(settle, B) == A


def test_what_was_sent_has_no_origin_any_more(settle):
    """What comes next is another matter."""
    move(settle, A, B)
    send(settle, B)
    settle.closed(B, NOW)
    assert send(settle, B) is None


def test_a_name_that_was_deleted_unsent_and_made_anew_is_judged_anew(settle):
    """What an earlier file of this name was is no word on the one that goes now."""
    settle.closed(A, NOW)
    settle.gone(A)
    settle.closed(A, NOW)
    send(settle, A)
    move(settle, A, B)
    assert send(settle, B) == A


def test_a_directorys_files_are_judged_one_by_one(settle):
    """Of a directory that is renamed, each file that was quiet has its origin."""
    settle.closed(RelPath("d/dirty"), NOW)
    settle.directory_gone(RelPath("d"))
    for name in ("dirty", "quiet"):
        settle.arrived(RelPath(f"e/{name}"), NOW, RelPath(f"d/{name}"))
    assert send(settle, RelPath("e/dirty")) is None
    assert send(settle, RelPath("e/quiet")) == "d/quiet"


paths = st.sampled_from([A, B, C])
steps = st.lists(
    st.tuples(st.just("write"), paths, paths)
    | st.tuples(st.just("move"), paths, paths)
    | st.tuples(st.just("delete"), paths, paths)
    | st.tuples(st.just("send"), paths, paths),
    max_size=30,
)


@given(steps)
def test_an_origin_has_the_content_that_was_sent_there(steps):
    """Whatever is written, moved, deleted and sent: an origin's journal row is of the very same content."""
    settle = Settle(Rules(1.0, 30.0), Names())
    content: dict[RelPath, int] = {}
    journal: dict[RelPath, int] = {}
    for number, (step, one, other) in enumerate(steps):
        match step:
            case "write":
                content[one] = number
                settle.closed(one, NOW)
            case "move" if one in content and one != other:
                content[other] = content.pop(one)
                move(settle, one, other)
            case "delete" if one in content:
                del content[one]
                settle.gone(one)
            case "send" if one in content and settle.take(one):
                origin = settle.origin(one)
                if origin in journal:
                    assert journal[origin] == content[one]
                journal[one] = content[one]
                settle.sent(one, NOW, 0.1)
