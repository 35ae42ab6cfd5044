"""Which files are ready, and when: events and a clock in, paths out."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sidecar.globs import Names
from sidecar.settle import Rules, Settle
from sidecar.states import RelPath

A = RelPath("d/a.bin")
B = RelPath("b.bin")
LOG = RelPath("train.log")
TEMPORARY = RelPath("d/model.tmp")


@pytest.fixture
def settle():
    return Settle(Rules(settle_seconds=1.0, max_delay_seconds=30.0), Names())


def test_a_closed_file_is_ready_after_it_settled(settle):
    """It is due ``settle_seconds`` after its close, and not before."""
    settle.closed(A, 10.0)
    assert (
        settle.next_due(),
        settle.take_ready(10.9, 9),
        settle.take_ready(11.0, 9),
    ) == (11.0, [], [A])


def test_each_event_pushes_the_time(settle):
    """A file that is closed again and again is sent when that rests."""
    settle.closed(A, 10.0)
    settle.touched(A, 10.8)
    assert (settle.take_ready(11.5, 9), settle.take_ready(11.8, 9)) == ([], [A])


def test_a_file_that_never_rests_is_sent_after_the_longest_delay(settle):
    """Events that come faster than the settling don't put it off for ever."""
    for tenth in range(400):
        settle.closed(A, tenth / 10)
    assert settle.take_ready(40.0, 9) == [A]
    settle = Settle(Rules(1.0, 30.0), Names())
    for tenth in range(310):
        settle.closed(A, tenth / 10)
        if settle.take_ready(tenth / 10, 9):
            assert tenth / 10 == pytest.approx(30.0)
            return
    raise AssertionError("it was put off for more than the longest delay")


def test_directories_are_busy_while_something_below_them_waits_or_flies(settle):
    """Those above it too; a name that waits for the drain keeps none busy."""
    assert settle.busy_directories() == set()
    settle.found(TEMPORARY, 10.0, at_rest=True)
    assert settle.busy_directories() == set()
    settle.writing(RelPath("d/e/f"), 10.0)
    settle.closed(A, 10.0)
    assert settle.busy_directories() == {"", "d", "d/e"}
    settle.take_ready(11.0, 1)
    assert settle.busy_directories() == {"", "d", "d/e"}
    settle.gone(RelPath("d/e/f"))
    assert settle.busy_directories() == {"", "d"}
    settle.sent(A, 12.0, 1.0)
    assert settle.busy_directories() == set()


def test_a_file_that_is_written_waits_for_its_close(settle):
    """No time makes it ready; its close does."""
    settle.writing(A, 10.0)
    assert (settle.take_ready(10_000.0, 9), settle.next_due()) == ([], None)
    settle.closed(A, 10_000.0)
    assert settle.take_ready(10_001.0, 9) == [A]


def test_a_change_of_attributes_does_not_end_the_wait_for_a_close(settle):
    """``chmod`` on a file that is being written says nothing about its writer."""
    settle.writing(A, 10.0)
    settle.touched(A, 11.0)
    assert settle.take_ready(100.0, 9) == []


def test_an_open_writer_comes_along_when_its_file_is_renamed(settle):
    """``mv`` of a file that is being written doesn't make it complete."""
    settle.writing(A, 10.0)
    settle.gone(A)
    settle.arrived(B, 10.0, A)
    assert settle.take_ready(100.0, 9) == []
    settle.closed(B, 100.0)
    assert settle.take_ready(101.0, 9) == [B]


def test_a_complete_file_that_is_renamed_is_ready_under_its_new_name(settle):
    """Only the writer's openness is carried along, and only once."""
    settle.closed(A, 10.0)
    settle.gone(A)
    settle.arrived(B, 10.0, A)
    assert settle.take_ready(11.0, 9) == [B]


def test_a_writer_of_an_earlier_file_of_the_name_does_not_come_along(settle):
    """Deleted while it was written, made anew, closed and renamed: the new one is complete."""
    settle.writing(A, 10.0)
    settle.gone(A)
    settle.writing(A, 11.0)
    settle.closed(A, 12.0)
    settle.gone(A)
    settle.arrived(B, 12.0, A)
    assert settle.take_ready(13.0, 9) == [B]


def test_a_live_file_is_sent_while_it_is_written(settle):
    """After its first change, then every ``max_delay_seconds``."""
    settle.writing(LOG, 0.0)
    assert settle.take_ready(1.0, 9) == [LOG]
    settle.sent(LOG, 1.1, took_seconds=0.1)
    settle.writing(LOG, 1.2)
    settle.writing(LOG, 20.0)
    assert (settle.take_ready(31.0, 9), settle.take_ready(31.1, 9)) == ([], [LOG])


def test_a_live_file_that_takes_long_is_sent_a_tenth_of_the_time(settle):
    """10 x its last upload, where that is longer than the delay."""
    settle.writing(LOG, 0.0)
    settle.take_ready(1.0, 9)
    settle.sent(LOG, 9.0, took_seconds=8.0)
    settle.writing(LOG, 10.0)
    assert (settle.take_ready(88.9, 9), settle.take_ready(89.0, 9)) == ([], [LOG])


def test_a_temporary_name_waits_for_the_drain(settle):
    """It is never ready before, and never dropped."""
    settle.closed(TEMPORARY, 0.0)
    settle.found(TEMPORARY, 1.0, at_rest=True)
    assert settle.take_ready(1000.0, 9) == []
    assert settle.drain() == [TEMPORARY]


def test_what_is_under_way_is_not_handed_out_again(settle):
    """A change meanwhile is sent after it, settled."""
    settle.closed(A, 0.0)
    settle.take_ready(1.0, 9)
    settle.closed(A, 2.0)
    assert settle.take_ready(100.0, 9) == []
    settle.sent(A, 100.0, took_seconds=99.0)
    assert settle.take_ready(100.0, 9) == [A]


def test_what_is_sent_is_forgotten(settle):
    """Memory is for what isn't in the bucket."""
    settle.closed(A, 0.0)
    settle.take_ready(1.0, 9)
    settle.sent(A, 2.0, took_seconds=1.0)
    assert (len(settle), settle.next_due()) == (0, None)


def test_a_file_found_open_waits_for_its_close(settle):
    """The upload saw a writer that no event had told of."""
    settle.closed(A, 0.0)
    settle.take_ready(1.0, 9)
    settle.still_open(A, 1.0)
    assert settle.take_ready(1000.0, 9) == []
    settle.closed(A, 1000.0)
    assert settle.take_ready(1001.0, 9) == [A]


def test_a_close_during_the_look_that_found_it_open_counts(settle):
    """The look was older than the close."""
    settle.closed(A, 0.0)
    settle.take_ready(1.0, 9)
    settle.closed(A, 1.0)
    settle.still_open(A, 1.5)
    assert settle.take_ready(2.0, 9) == [A]


def test_a_reconcile_ends_the_wait_for_a_close_that_nobody_saw(settle):
    """``truncate`` by path modifies and never closes; a walk that finds the file at rest sends it."""
    settle.writing(A, 0.0)
    settle.found(A, 300.0, at_rest=False)
    assert settle.take_ready(300.0, 9) == []
    settle.found(A, 600.0, at_rest=True)
    assert settle.take_ready(600.0, 9) == [A]


def test_a_find_while_it_is_under_way_is_looked_at_after(settle):
    """What a walk saw may be newer than what is being sent."""
    settle.closed(A, 0.0)
    settle.take_ready(1.0, 9)
    settle.found(A, 1.5, at_rest=True)
    settle.sent(A, 2.0, took_seconds=1.0)
    assert settle.take_ready(2.0, 9) == [A]


def test_a_file_that_changed_while_it_was_sent_goes_again_after_settling(settle):
    """Source changed costs no attempt and no backoff."""
    settle.closed(A, 0.0)
    settle.take_ready(1.0, 9)
    settle.changed(A, 5.0)
    assert (settle.take_ready(5.9, 9), settle.take_ready(6.0, 9)) == ([], [A])


def test_failures_back_off_and_events_do_not_hurry_them(settle):
    """Each failure doubles the wait; a success ends that."""
    settle.closed(A, 0.0)
    now, waits = 1.0, []
    for _ in range(4):
        assert settle.take_ready(now, 9) == [A]
        settle.failed(A, now)
        settle.closed(A, now)
        due = settle.next_due()
        waits.append(due - now)
        now = due
    assert waits == [1.0, 2.0, 4.0, 8.0]


def test_a_backoff_is_never_longer_than_a_reconcile_apart(settle):
    """Five minutes at most."""
    settle.closed(A, 0.0)
    now = 1.0
    for _ in range(20):
        settle.take_ready(now, 9)
        settle.failed(A, now)
        last, now = now, settle.next_due()
    assert now - last == 300.0


def test_a_deleted_file_is_forgotten(settle):
    """Nothing is to be sent under a name that is gone."""
    settle.closed(A, 0.0)
    settle.gone(A)
    assert (settle.take_ready(10.0, 9), len(settle)) == ([], 0)


def test_a_file_deleted_under_way_is_forgotten_when_that_ends(settle):
    """Its events before the delete don't count any more."""
    settle.closed(A, 0.0)
    settle.take_ready(1.0, 9)
    settle.writing(A, 1.5)
    settle.gone(A)
    settle.sent(A, 2.0, took_seconds=1.0)
    assert len(settle) == 0


def test_a_directory_that_is_gone_takes_its_files_along(settle):
    """Those right below it, and no others."""
    below = RelPath("d/e/c.bin")
    for path in (A, B, below):
        settle.closed(path, 0.0)
    settle.directory_gone(RelPath("d"))
    settle.directory_gone(RelPath("nowhere"))
    assert {B, below} == set(settle.take_ready(1.0, 9))


def test_the_longest_due_come_first_and_no_more_than_asked(settle):
    """A backlog is worked off in its order."""
    for second, name in enumerate("cab"):
        settle.closed(RelPath(name), float(second))
    assert [settle.take_ready(10.0, 2), settle.take_ready(10.0, 2)] == [["c", "a"], ["b"]]


def test_take_takes_whatever_its_time_but_never_twice(settle):
    """A drain doesn't wait."""
    settle.writing(A, 0.0)
    assert (settle.take(A), settle.take(A), settle.take(B)) == (True, False, True)
    assert sorted(settle.flying(), reverse=True) == [A, B]


def test_after_the_drain_began_nothing_waits(settle):
    """A close, a name, a settling: none of them counts any more."""
    settle.writing(A, 0.0)
    settle.closed(B, 0.0)
    assert {A, B} == set(settle.drain())
    settle.take(A)
    settle.still_open(A, 5.0)
    settle.writing(TEMPORARY, 5.0)
    assert {A, B, TEMPORARY} == set(settle.take_ready(5.0, 9))


def test_what_was_opened_under_way_goes_when_the_drain_began_meanwhile(settle):
    """A file in flight as the drain begins isn't left waiting for its close."""
    settle.closed(A, 0.0)
    settle.take_ready(1.0, 9)
    settle.writing(A, 1.5)
    assert settle.drain() == []
    settle.sent(A, 2.0, took_seconds=1.0)
    assert settle.take_ready(2.0, 9) == [A]


def test_what_is_given_up_is_forgotten_unless_something_happened_since(settle):
    """At the end a permanent failure is final for that state."""
    for path in (A, B):
        settle.closed(path, 0.0)
    settle.take_ready(1.0, 9)
    settle.closed(B, 1.5)
    settle.gave_up(A)
    settle.gave_up(B)
    assert settle.take_ready(10.0, 9) == [B]


def test_beyond_its_room_paths_are_left_to_the_reconcile():
    """Memory is bounded, whatever the number of files."""
    settle = Settle(Rules(), Names(), most_entries=2)
    for name in ("a", "b", "c", "d/e"):
        settle.closed(RelPath(name), 0.0)
    assert (len(settle), settle.overflowed, settle.take_ready(9.0, 9)) == (2, True, ["a", "b"])


def test_the_writer_of_a_live_file_goes_with_its_rename(settle):
    """A file that is open for writing waits for its close, under the name that it has by now."""
    live = RelPath("d/run.log")
    settle.writing(live, 0.0)
    assert settle.take_ready(1.0, 9) == [live]
    settle.sent(live, 1.0, took_seconds=0.1)
    settle.gone(live)
    settle.arrived(A, 1.5, live)
    assert settle.take_ready(100.0, 9) == []
    settle.closed(A, 100.0)
    assert settle.take_ready(101.0, 9) == [A]


def test_an_end_that_nobody_took_is_a_mistake(settle):
    """Only what is under way can land."""
    settle.closed(A, 0.0)
    with pytest.raises(KeyError):
        settle.sent(A, 1.0, took_seconds=0.0)


PATHS = st.sampled_from([RelPath(name) for name in ("a", "b", "d/a", "d/x.tmp", "d/run.log")])


class Model(RuleBasedStateMachine):
    """A world of files with versions; what the settling hands out is sent at its version of that moment."""

    @initialize()
    def begin(self):
        self.now = 0.0
        self.settle = Settle(Rules(1.0, 30.0), Names())
        self.names = Names()
        self.version = {}
        self.sent = {}
        self.open = set()
        self.flying = {}
        self.version_counter = 0

    def _bump(self, path):
        self.version_counter += 1
        self.version[path] = self.version_counter

    def _take(self, paths):
        for path in paths:
            assert path not in self.flying, "handed out twice"
            self.flying[path] = self.version.get(path)

    @rule(path=PATHS)
    def write(self, path):
        self._bump(path)
        self.open.add(path)
        self.settle.writing(path, self.now)

    @rule(path=PATHS)
    def close(self, path):
        if path in self.open:
            self.open.discard(path)
            self.settle.closed(path, self.now)

    @rule(path=PATHS)
    def touch(self, path):
        if path in self.version:
            self._bump(path)
            self.settle.touched(path, self.now)

    @rule(path=PATHS)
    def delete(self, path):
        if path in self.version:
            del self.version[path]
            self.open.discard(path)
            self.settle.gone(path)

    @rule(old=PATHS, new=PATHS)
    def rename(self, old, new):
        if old in self.version and old != new:
            self._bump(old)
            self.version[new] = self.version.pop(old)
            was_open = old in self.open
            self.open.discard(old)
            (self.open.add if was_open else self.open.discard)(new)
            self.settle.gone(old)
            self.settle.arrived(new, self.now, old)

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 5.0, 40.0]), most=st.integers(1, 3))
    def pass_time(self, seconds, most):
        self.now += seconds
        taken = self.settle.take_ready(self.now, most)
        for path in taken:
            assert path not in self.open or self.names.is_live(path), (
                "handed out while it is written"
            )
            assert not self.names.is_temporary(path), "a temporary name before the drain"
        self._take(taken)

    @rule(path=PATHS, outcome=st.sampled_from(["sent", "open", "changed", "fresh", "failed"]))
    def land(self, path, outcome):
        if path not in self.flying:
            return
        version = self.flying.pop(path)
        if outcome == "sent":
            self.sent[path] = version
            self.settle.sent(path, self.now, 0.5)
        elif outcome == "open" and path in self.open:
            self.settle.still_open(path, self.now)
        elif outcome == "failed":
            self.settle.failed(path, self.now)
        elif outcome == "fresh":
            self.settle.changed(path, self.now, 0.02)
        else:
            self.settle.changed(path, self.now)

    @invariant()
    def in_flight_is_counted(self):
        assert set(self.flying) == set(self.settle.flying())

    def teardown(self):
        """After quiet, then a drain: each file's last state was handed out."""
        for path, version in self.flying.items():
            self.sent[path] = version
            self.settle.sent(path, self.now, 0.5)
        self.flying = {}
        for _ in range(50):
            self.now += 400.0
            for path in self.settle.take_ready(self.now, 10):
                self.sent[path] = self.version.get(path)
                self.settle.sent(path, self.now, 0.5)
        for path, version in self.version.items():
            if path not in self.open and not self.names.is_temporary(path):
                assert version == self.sent.get(path), f"{path} was not sent after quiet"
        for path in self.settle.drain():
            assert self.settle.take(path)
            self.sent[path] = self.version.get(path)
            self.settle.sent(path, self.now, 0.5)
        assert {path: self.sent.get(path) for path in self.version} == self.version
        assert len(self.settle) == 0


Model.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestModel = Model.TestCase
