"""When a group is looked at, and whether it is complete."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman.errors import UsageError
from sidecar.groups import (
    GATHER_SECONDS,
    LOOK_SHARE,
    GroupNames,
    Groups,
    Touched,
    Verdict,
    check_groups,
    is_complete,
)
from sidecar.states import RelPath

A, B = RelPath("a"), RelPath("b")


@pytest.mark.parametrize(
    ("newest", "renamed", "done", "ended", "expected"),
    [
        (5, None, None, False, False),
        (5, 5, None, False, True),
        (5, 9, None, False, True),
        (6, 5, None, False, False),
        (5, None, 5, False, True),
        (6, None, 5, False, False),
        (6, 5, 6, False, True),
        (6, 6, 5, False, True),
        (7, 5, 6, False, False),
        (7, 5, 6, True, True),
        (7, None, None, True, True),
        (0, None, None, False, True),
    ],
    ids=[
        "nothing-says-so",
        "renamed",
        "renamed-later",
        "written-after-the-rename",
        "done",
        "written-after-done",
        "done-after-the-rename",
        "renamed-after-done",
        "written-after-both",
        "main-ended",
        "main-ended-and-nothing-says-so",
        "nothing-in-it",
    ],
)
def test_a_group_is_complete_when_nothing_was_written_since_it_was_said(
    newest, renamed, done, ended, expected
):
    """Renamed into place, NAME appears in it, or main has ended."""
    told = None if done is None else Touched(mtime_ns=0, ctime_ns=done)
    assert expected == is_complete(newest, renamed_ns=renamed, done=told, ended=ended)


def test_a_time_that_was_set_by_hand_is_not_in_the_future():
    """``touch -d tomorrow`` keeps no group from being complete."""
    assert Touched(mtime_ns=900, ctime_ns=5).written_ns == 5
    assert Touched(mtime_ns=3, ctime_ns=5).written_ns == 3


@pytest.mark.parametrize(
    ("globs", "path", "expected"),
    [
        (["ckpt-*"], "ckpt-1/a", ["ckpt-1"]),
        (["ckpt-*"], "runs/ckpt-1/deep/a", ["runs/ckpt-1"]),
        (["ckpt-*"], "ckpt-1/ckpt-2/a", ["ckpt-1", "ckpt-1/ckpt-2"]),
        (["runs/*"], "runs/1/a/b", ["runs/1"]),
        (["runs/*"], "runs/a", []),
        (["runs/*"], "deep/runs/1/a", []),
        (["*", "!keep"], "keep/a/b", ["keep/a"]),
        (["ckpt-*"], "ckpt-1", []),
        ([], "a/b", []),
        (["**"], "a/b/c", ["a", "a/b"]),
    ],
)
def test_the_groups_of_a_file_are_the_directories_above_it_that_match(globs, path, expected):
    """The outermost first; a file of that name is none, and neither is the outputs path."""
    assert expected == GroupNames(globs).of(path)


@pytest.mark.parametrize(
    ("globs", "done", "marker"),
    [
        (["/"], "", ""),
        (["a"], "b/c", ""),
        (["a"], "..", ""),
        ([], "done", ""),
        ([], "", "a/b"),
        ([], "", "."),
    ],
)
def test_flags_that_cannot_be_meant(globs, done, marker):
    """They are refused by name."""
    with pytest.raises(UsageError):
        check_groups(globs, done, marker)


def test_a_look_waits_for_further_files_of_its_group():
    """Each look reads all of their states."""
    groups = Groups()
    groups.stirred(A, 10.0)
    groups.stirred(A, 10.0 + GATHER_SECONDS / 2)
    assert groups.next_due() == 10.0 + GATHER_SECONDS
    assert groups.take(10.0, set()) == []
    assert groups.take(10.0 + GATHER_SECONDS, set()) == [A]
    assert groups.next_due() is None


def test_a_group_with_something_that_waits_is_not_looked_at():
    """Its landing brings the next look."""
    groups = Groups()
    groups.stirred(A, 0.0)
    groups.stirred(B, 0.0)
    assert groups.take(1.0, {"", "a"}) == [B]
    assert groups.take(2.0, set()) == []
    groups.stirred(A, 3.0)
    assert groups.take(4.0, set()) == [A]


def test_what_happens_during_a_look_is_looked_at_after_it():
    """And one group is never looked at twice at once."""
    groups = Groups()
    groups.stirred(A, 0.0)
    assert groups.take(1.0, set()) == [A]
    groups.stirred(A, 1.5)
    assert groups.take(9.0, set()) == []
    groups.ended(A, Verdict.PUBLISHED, 9.0, 8.0)
    assert groups.take(9.0, set()) == [A]


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_group_that_is_not_whole_yet_is_looked_at_a_tenth_of_the_time(verdict):
    """However often something of it lands."""
    groups = Groups()
    groups.stirred(A, 0.0)
    assert groups.take(1.0, set()) == [A]
    groups.ended(A, verdict, 3.0, 2.0)
    groups.stirred(A, 3.0)
    is_patient = verdict in (Verdict.UNSENT, Verdict.INCOMPLETE, Verdict.DISTURBED)
    assert groups.next_due() == 3.0 + (LOOK_SHARE * 2.0 if is_patient else GATHER_SECONDS)


def test_a_manifest_that_could_not_be_written_is_tried_again_each_time_later():
    """Up to five minutes."""
    groups, now, waits = Groups(), 0.0, []
    groups.stirred(A, now)
    for _ in range(11):
        now = groups.next_due()
        assert groups.take(now, set()) == [A]
        groups.failed(A, now)
        waits.append(groups.next_due() - now)
    expected = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0]
    assert pytest.approx(expected) == waits
    groups.take(groups.next_due(), set())
    groups.ended(A, Verdict.PUBLISHED, now, 0.1)
    groups.stirred(A, now)
    groups.take(now + 1, set())
    groups.failed(A, now + 1)
    assert groups.next_due() == now + 2


class Course:
    """Groups through whatever happens, and which of them are owed a look."""

    def __init__(self, verdict):
        self.groups, self.now, self.verdict = Groups(), 0.0, verdict
        self.busy: set[str] = set()
        self.flying: set[str] = set()
        self.owed: set[str] = set()

    def look(self):
        for group in self.groups.take(self.now, self.busy):
            assert group not in self.flying | self.busy
            self.flying.add(group)
            self.owed.discard(group)

    def land(self, group):
        self.busy.discard(group)
        self.groups.stirred(RelPath(group), self.now)
        self.owed.add(group)

    def wait(self, seconds):
        self.now += seconds

    def end(self, group):
        if group in self.flying:
            self.flying.discard(group)
            self.groups.ended(RelPath(group), self.verdict, self.now, 0.1)

    def fail(self, group):
        if group in self.flying:
            self.flying.discard(group)
            self.groups.failed(RelPath(group), self.now)
            self.owed.add(group)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["land", "busy", "end", "fail"]), st.sampled_from("ab")),
            st.tuples(st.just("wait"), st.floats(0, 5)),
        ),
        max_size=60,
    ),
    st.sampled_from(list(Verdict)),
)
def test_whatever_happens_each_group_is_looked_at_after_its_last_stir(steps, verdict):
    """A look follows the last landing, begun after it; never two at once, none while something waits."""
    course = Course(verdict)
    for what, which in steps:
        if what == "busy":
            course.busy.add(which)
        else:
            getattr(course, what)(which)
        course.look()
    for group in list(course.busy):
        course.land(group)
    for group in list(course.flying):
        course.end(group)
    while (due := course.groups.next_due()) is not None:
        course.now = max(course.now, due)
        course.look()
        for group in list(course.flying):
            course.end(group)
    assert course.owed == set()
