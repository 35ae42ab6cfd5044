"""Who waits for whom, and for how long, where several processes bring the same files."""

import os
import threading
from pathlib import Path

import pytest

from initializer.cache.node import open_cache
from initializer.cache.rounds import Cached, Keeping, Rounds, patience_seconds
from initializer.entries import CacheSetting
from initializer.fetch import Fetcher
from initializer.plan import Fetch, MakeDirectory
from initializer.source import Source
from initializer.state import State
from initializer.verify import Checksums
from lighterman.clock import SystemClock
from lighterman.errors import CannotWriteError, DeadlineError
from lighterman.stores.volume import VolumeStore
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from lighterman.transfer.tally import Tally

FILES = 20


class Counted(VolumeStore):
    """A volume that counts what is asked of it, and may do something first."""

    def __init__(self, path):
        super().__init__(path, "counted")
        self.asked = []
        self.before = lambda _key: None

    def read_into(self, key, window, *, at, etag, digest=None):
        self.asked.append(key)
        self.before(key)
        return super().read_into(key, window, at=at, etag=etag, digest=digest)


class LeapingClock(SystemClock):
    """A clock on which a wait takes no time and is over; ``hook`` sees each between two looks."""

    def __init__(self):
        self.passed = 0.0
        self.hook = lambda: None
        self.stop = None

    def monotonic(self):
        return super().monotonic() + self.passed

    def wait(self, seconds, until=None):
        if until is not None and until is self.stop:
            self.passed += seconds
            self.hook()
            return until.is_set()
        return super().wait(seconds, until)


class Pod:
    """One init: a destination of its own, the bucket and the cache of all."""

    def __init__(self, tmp_path, name, clock=None):
        self.root = str(tmp_path / name)
        state_directory = f"{self.root}/.lighterman"
        os.makedirs(state_directory)
        self.clock = clock or SystemClock()
        self.state = State(self.root, state_directory)
        self.tally = Tally()
        self.stop = threading.Event()
        self.store = Counted(str(tmp_path / "source"))
        attempts = Attempts(0, self.clock, self.tally)
        self.cache = open_cache(CacheSetting(str(tmp_path / "cache"), 1 << 30), self.clock)
        self.cached = Cached(self.cache, self.store.destination)
        keeping = Keeping([self.cached], frozenset(), self.tally)
        self.fetcher = Fetcher(
            [Source(self.store, Pace(4), Checksums(self.store, attempts))],
            [self.state],
            budget=Budget(64 << 20),
            attempts=attempts,
            tally=self.tally,
            clock=self.clock,
            stop=self.stop,
            keeper=keeping,
        )
        self.rounds = Rounds(
            self.fetcher,
            keeping,
            directory=state_directory,
            tally=self.tally,
            clock=self.clock,
            stop=self.stop,
        )

    def items(self):
        yield MakeDirectory(f"{self.root}/d/")
        for page in self.store.pages("d/"):
            for one in page:
                path = f"{self.root}/{one.key}"
                yield Fetch(path, 0, 0, one.key, one.size_bytes, one.etag, 1.0, one.checksum)

    def run(self):
        items = list(self.items())
        self.tally.planned(len(items) - 1, sum(item.size_bytes for item in items[1:]))
        self.rounds.run(iter(items), len(items), 4)
        return self.tally.totals()

    def run_aside(self):
        """In a thread whose waits take no time; what it ended with."""
        ended = []
        self.clock.stop = self.stop

        def work():
            try:
                ended.append(self.run())
            except DeadlineError as error:
                ended.append(error)

        looker = threading.Thread(target=work, daemon=True)
        looker.start()
        looker.join(60)
        return ended[0]

    def files(self):
        return {path.name: path.read_bytes() for path in Path(f"{self.root}/d").iterdir()}

    def close(self):
        self.state.close()
        self.cache.close()


@pytest.fixture
def content(tmp_path):
    (tmp_path / "source" / "d").mkdir(parents=True)
    content = {f"{number:02}": os.urandom(number * 20_000) for number in range(FILES)}
    for name, data in content.items():
        (tmp_path / "source" / "d" / name).write_bytes(data)
    return content


@pytest.fixture
def pod(tmp_path):
    pods = []

    def make(name, clock=None):
        pods.append(Pod(tmp_path, name, clock))
        return pods[-1]

    yield make
    for one in pods:
        one.close()


def test_what_one_fetched_the_next_copies(pod, content):
    """The second asks nothing of the store, and counts its files as cached."""
    first, second = pod("first"), pod("second")
    totals = first.run()
    assert (totals.files, totals.cached, len(first.store.asked)) == (FILES, 0, FILES)
    totals = second.run()
    assert (totals.files, totals.cached, second.store.asked) == (FILES, FILES, [])
    assert totals.bytes == sum(map(len, content.values()))
    assert first.files() == second.files() == content
    assert second.state.placed(f"{second.root}/d/05").size_bytes == 100_000


def test_what_changed_in_the_store_is_fetched(pod, content, tmp_path):
    """Another ETag is another entry."""
    pod("first").run()
    (tmp_path / "source" / "d" / "07").write_bytes(b"new")
    second = pod("second")
    assert second.run().cached == FILES - 1
    assert second.files() == content | {"07": b"new"}


def test_a_poisoned_entry_is_fetched_and_mended(pod, content, tmp_path):
    """The file comes from its store, and the next one finds a good entry."""
    pod("first").run()
    spoiled = max((tmp_path / "cache").glob("uid-*/*/*"), key=lambda path: path.stat().st_size)
    spoiled.chmod(0o644)
    with spoiled.open("r+b") as file:
        file.write(b"poison")
    second, third = pod("second"), pod("third")
    assert second.run().cached == FILES - 1
    assert third.run().cached == FILES
    assert second.files() == third.files() == content


def test_what_another_brings_is_waited_for(pod, content):
    """One fetches, the other copies what it brought: no byte comes twice."""
    first, second = pod("first"), pod("second", LeapingClock())
    leased = [item for item in first.items() if isinstance(item, Fetch)][3:8]
    for item in leased:
        assert first.rounds._keeping.lease(first.cached, item)

    def bring():
        if leased:
            item = leased.pop()
            first.rounds._keeping.release(first.cached, item)
            first.rounds._fetcher.run(iter([item._replace(path=f"{first.root}/x")]), 1, 1)

    second.clock.hook = bring
    totals = second.run_aside()
    assert (totals.files, totals.cached) == (FILES, 5)
    assert sorted(first.store.asked + second.store.asked) == sorted(f"d/{name}" for name in content)
    assert second.files() == content


def test_who_waits_for_nothing_fetches_on_its_own(pod, content):
    """After a while in which nothing came, whatever the other is about."""
    first, second = pod("first"), pod("second", LeapingClock())
    items = [item for item in first.items() if isinstance(item, Fetch)]
    for item in items[3:8]:
        assert first.rounds._keeping.lease(first.cached, item)
    begun = second.clock.monotonic()
    totals = second.run_aside()
    assert (totals.files, totals.cached) == (FILES, 0)
    assert second.files() == content
    assert patience_seconds(0) <= second.clock.monotonic() - begun
    assert second.clock.passed < 2 * patience_seconds(400_000)


def test_a_lease_that_is_let_go_without_an_entry_is_taken_over(pod, content):
    """Whoever brought it was killed: the next one brings it, at once."""
    first, second = pod("first"), pod("second", LeapingClock())
    items = [item for item in first.items() if isinstance(item, Fetch)]
    for item in items[3:8]:
        assert first.rounds._keeping.lease(first.cached, item)

    def die():
        for item in items[3:8]:
            first.rounds._keeping.release(first.cached, item)

    second.clock.hook = die
    assert second.run_aside().files == FILES
    assert second.files() == content
    assert second.clock.passed < patience_seconds(0)


def test_a_stop_ends_the_wait_with_75(pod, content):
    """Told to stop while it waits for another: what is there stays, and another start goes on."""
    first, second = pod("first"), pod("second", LeapingClock())
    item = next(item for item in first.items() if isinstance(item, Fetch))
    assert first.rounds._keeping.lease(first.cached, item)
    second.clock.hook = second.stop.set
    ended = second.run_aside()
    assert isinstance(ended, DeadlineError)
    assert len(second.files()) == FILES - 1


def test_patience_grows_with_the_file():
    """What is large may take its time: at 10 MB/s it is worth waiting for."""
    assert patience_seconds(0) == 30
    assert patience_seconds(10**10) == 1030


def test_one_object_declared_twice_is_fetched_once(pod, content):
    """Two places of one job: the second is a copy of the first's entry."""
    one = pod("one")
    items = list(one.items())
    twice = [item._replace(path=f"{item.path}-again") for item in items if isinstance(item, Fetch)]
    one.rounds.run(iter([*items, *twice]), 2 * FILES, 4)
    assert len(one.store.asked) == FILES
    assert one.tally.totals().cached == FILES
    assert one.files() == content | {f"{name}-again": data for name, data in content.items()}


def test_a_place_that_cant_be_written_fails_the_job(pod, content):
    """A hit that can't be placed is the destination's trouble: 73, and no temporary file is left."""
    pod("first").run()
    second = pod("second")
    os.makedirs(f"{second.root}/d/05")
    with pytest.raises(CannotWriteError, match="05"):
        second.run()
    assert [name for name in os.listdir(f"{second.root}/d") if name.endswith(".tmp")] == []
