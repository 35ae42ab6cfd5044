"""How much a cache holds, and what goes when it is full: the least recently used."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initializer.cache.locks import LONGEST_WAIT_SECONDS, Locks
from initializer.cache.record import name_of
from initializer.cache.room import KEPT_SHARE, Cut, Room, cut_for
from initializer.cache.tree import Tree
from lighterman.clock import SystemClock

LIMIT = 1000


@pytest.fixture
def tree(tmp_path):
    (tmp_path / f"uid-{os.geteuid()}").mkdir(mode=0o755)
    tree = Tree.opened(str(tmp_path), os.geteuid())
    yield tree
    tree.close()


@pytest.fixture
def rooms(tree):
    """Several processes' views on one tree: each has an open file of its own."""
    opened = []

    def make(limit_bytes=LIMIT):
        descriptor = os.open(f"{tree.path}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        opened.append(Locks(descriptor, SystemClock()))
        return Room(tree, descriptor, opened[-1], limit_bytes)

    yield make
    for locks in opened:
        locks.close()


def fill(tree, room, name, size_bytes, used_seconds):
    """An entry of that name, counted as the cache counts it."""
    name = name_of("s", name, "e", size_bytes)
    temporary = room.begin(name, size_bytes)
    if temporary is None:
        return False
    os.write(temporary.descriptor, bytes(size_bytes))
    os.utime(temporary.descriptor, (used_seconds, used_seconds))
    tree.publish(temporary)
    os.close(temporary.descriptor)
    return True


def held(tree):
    return sorted(one.stat().st_size for _, one in tree.files())


@given(st.dictionaries(st.integers(0, 50), st.integers(1, 100), max_size=20), st.integers(0, 500))
def test_the_least_recently_used_go_and_no_more_than_that(used, most):
    """What stays fits, is the latest used, and a second more of what went wouldn't have fitted."""
    cut = cut_for(used, most)
    total = sum(used.values())
    if cut is None:
        assert total <= most
        return
    older = sum(size for second, size in used.items() if second < cut.second)
    assert total - older - cut.size_bytes <= most
    assert 0 < cut.size_bytes <= used[cut.second]
    assert total - older > most


def test_nothing_goes_while_all_fits():
    """No eviction before the limit."""
    assert cut_for({1: 10, 2: 20}, 30) is None
    assert cut_for({}, 0) is None
    assert cut_for({1: 10, 2: 20}, 25) == Cut(1, 5)


def test_what_was_used_last_stays(tree, rooms):
    """An entry that was used meanwhile outlives a younger one."""
    room = rooms()
    for number in range(9):
        assert fill(tree, room, f"{number}", 100 + number, 1000 + number)
    first = name_of("s", "0", "e", 100)
    os.utime(f"{tree.path}/{first[:2]}/{first[2:]}", (2000, 2000))
    assert fill(tree, room, "new", 99, 3000)
    assert held(tree)[:2] == [99, 100]
    assert sum(held(tree)) <= LIMIT * KEPT_SHARE
    assert 101 not in held(tree)


def test_the_limit_holds_for_all_who_fill_it_together(tree, rooms):
    """Two processes count in one place: each makes room for the other's."""
    one, other = rooms(), rooms()
    for number in range(40):
        assert fill(tree, (one, other)[number % 2], f"{number}", 90, 1000 + number)
        assert sum(held(tree)) <= LIMIT
    assert sum(held(tree)) > LIMIT / 2


def test_what_is_larger_than_the_limit_is_not_taken(tree, rooms):
    """And nothing is thrown out for it."""
    room = rooms()
    fill(tree, room, "a", 500, 1)
    assert not fill(tree, room, "b", LIMIT + 1, 2)
    assert held(tree) == [500]


def test_a_count_that_a_killed_process_left_too_high_is_put_right(tree, rooms):
    """What was counted and never came is found out when there must be room, at no entry's cost."""
    room = rooms()
    killed = room.begin(name_of("s", "k", "e", 900), 900)
    tree.discard(killed)
    os.close(killed.descriptor)
    assert fill(tree, room, "a", 300, 1)
    assert fill(tree, room, "b", 400, 2)
    assert held(tree) == [300, 400]


def test_files_that_a_killed_process_left_are_swept(tree, rooms):
    """A temporary file whose process is gone takes no room; one that is being written does, in full."""
    room = rooms()
    dead = tree.create(name_of("s", "dead", "e", 1), 700)
    os.write(dead.descriptor, bytes(100))
    os.close(dead.descriptor)
    alive = room.begin(name_of("s", "alive", "e", 1), 600)
    assert fill(tree, room, "a", 150, 1)
    assert fill(tree, room, "b", 160, 2)
    assert fill(tree, room, "c", 100, 3)
    assert [one.name for _, one in tree.files() if one.name.endswith(".tmp")] == [
        os.path.basename(alive.path)
    ]
    assert not fill(tree, room, "d", 450, 4)
    assert {100, 160} <= set(held(tree))
    os.close(alive.descriptor)


def test_what_was_evicted_while_it_is_open_stays_readable(tree, rooms):
    """Eviction takes names away, not open files."""
    room = rooms()
    fill(tree, room, "a", 600, 1)
    name = name_of("s", "a", "e", 600)
    with open(f"{tree.path}/{name[:2]}/{name[2:]}", "rb") as kept:
        fill(tree, room, "b", 700, 2)
        assert held(tree) == [700]
        assert kept.read() == bytes(600)


def test_a_lease_is_held_by_one(rooms, tmp_path):
    """Within a process and among several; let go by release, and by the end of its process."""

    def opened():
        descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return Locks(descriptor, SystemClock())

    one, other = opened(), opened()
    assert one.try_hold(5000)
    assert not one.try_hold(5000)
    assert not other.try_hold(5000)
    assert other.try_hold(5001)
    one.release(5000)
    assert other.try_hold(5000)
    other.close()
    assert one.try_hold(5000)
    assert one.try_hold(5001)
    one.close()


class HandClock(SystemClock):
    """Waits take no time."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def wait(self, seconds, until=None):
        self.now += seconds
        return until is not None and until.is_set()


def test_a_frozen_process_is_not_waited_for_for_ever(tmp_path):
    """A paused pod that holds a lock costs the others some seconds, not their end."""

    def opened(clock):
        descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return Locks(descriptor, clock)

    clock = HandClock()
    frozen, other = opened(clock), opened(clock)
    with frozen.waiting(0):
        with pytest.raises(TimeoutError), other.waiting(0):
            pass
        assert LONGEST_WAIT_SECONDS <= clock.now < LONGEST_WAIT_SECONDS + 1
        with other.waiting(1):
            pass
    with other.waiting(0):
        assert not frozen.try_hold(0)
    frozen.close()
    other.close()
