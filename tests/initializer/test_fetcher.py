"""Files from a store to their places, where only a store that is told to can provoke it."""

import hashlib
import os
import threading
from typing import ClassVar

import pytest

from initializer.crew import Crew
from initializer.disk import DestinationsDisk
from initializer.entries import Entry
from initializer.fetch import Fetcher, most_ranges
from initializer.large import NOTED_RANGES, RANGE_BYTES, LargeFile
from initializer.plan import Fetch
from initializer.source import Source
from initializer.state import Half, State
from initializer.survey import Declared, Survey
from initializer.verify import Checksums
from lighterman.clock import SystemClock
from lighterman.errors import CannotWriteError, TransientError, UntrustedDataError
from lighterman.stores.volume import VolumeStore
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from lighterman.transfer.tally import Tally

DEADLINE_SECONDS = 30


class Tagged(VolumeStore):
    """A volume whose ETags look like MD5s, and that says what they are worth, as S3 with KMS keys does."""

    def __init__(self, path, *, is_md5):
        super().__init__(str(path), "tagged")
        self.path = path
        self.is_md5 = is_md5
        self.looks = 0

    def tag(self, key):
        content = (self.path / key).read_bytes()
        return hashlib.md5(content if self.is_md5 else b"key" + content).hexdigest()

    def read_into(self, key, window, *, at, etag, digest=None):
        real = super().stat(key)
        return super().read_into(key, window, at=at, etag=real.etag, digest=digest)

    def stat(self, key):
        self.looks += 1
        told = super().stat(key)
        checksum = f"md5:{self.tag(key)}" if self.is_md5 else None
        return type(told)(
            key, told.size_bytes, self.tag(key), 1.0, told.attributes, checksum=checksum
        )


class Backwards(VolumeStore):
    """A volume that lists in another order than that of the keys, as S3's directory buckets do."""

    def pages(self, prefix):
        for page in super().pages(prefix):
            yield page[::-1]


class NoWorks:
    """A line of nothing."""

    is_over = True

    def next(self):
        return None


class Hasty(SystemClock):
    """A clock on which ten seconds pass between two looks."""

    def __init__(self):
        self._seconds = 0.0

    def monotonic(self):
        self._seconds += 10.0
        return self._seconds


class Still(SystemClock):
    """A clock on which no time passes."""

    def monotonic(self):
        return 0.0


class Desk:
    """A destination and what is needed to fill it; closed at the test's end."""

    opened: ClassVar = []

    def __init__(self, tmp_path, store, clock=None):
        self.root = str(tmp_path / "dest")
        os.makedirs(f"{self.root}/.lighterman", exist_ok=True)
        self.state = State(self.root, f"{self.root}/.lighterman")
        self.tally = Tally()
        self.stop = threading.Event()
        self.clock = clock or SystemClock()
        self.attempts = Attempts(0, SystemClock(), self.tally)
        self.source = Source(store, Pace(4), Checksums(store, self.attempts))
        self.opened.append(self)

    def fetch(self, *items):
        self.fetcher().run(iter(items), len(items), 4)

    def fetcher(self):
        return Fetcher(
            [self.source],
            [self.state],
            budget=Budget(64 * 1024 * 1024),
            attempts=self.attempts,
            tally=self.tally,
            clock=self.clock,
            stop=self.stop,
        )

    def item(self, key, etag=None):
        told = self.source.store.stat(key)
        etag = etag or told.etag
        return Fetch(f"{self.root}/{key}", 0, 0, key, told.size_bytes, etag, 1.0, f"md5:{etag}")

    def survey(self):
        entry = Entry(connection="c", destination=self.root, workers=4)
        return Survey(
            [Declared(entry, 0, 0)],
            [self.source],
            [self.root],
            DestinationsDisk([self.root], [self.state], [f"{self.root}/.lighterman"]),
            state_directory=f"{self.root}/.lighterman",
            attempts=self.attempts,
            tally=self.tally,
            stop=self.stop,
        )


@pytest.fixture(autouse=True)
def closed_desks():
    yield
    while Desk.opened:
        Desk.opened.pop().state.close()


@pytest.fixture
def source(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "small").write_bytes(b"small")
    (tmp_path / "source" / "other").write_bytes(b"other")
    (tmp_path / "source" / "large").write_bytes(os.urandom(3 * RANGE_BYTES + 1))
    return tmp_path / "source"


@pytest.mark.parametrize("is_md5", [True, False])
def test_etags_that_are_no_md5_are_not_compared(tmp_path, source, is_md5):
    """The store says so once; the files come, and are counted as unverified."""
    store = Tagged(source, is_md5=is_md5)
    desk = Desk(tmp_path, store)
    items = [desk.item(name) for name in ("small", "large", "other")]
    store.looks = 0
    for item in items:
        desk.fetch(item)
    for name in ("small", "large", "other"):
        assert (tmp_path / "dest" / name).read_bytes() == (source / name).read_bytes()
    assert desk.tally.totals().unverified == (0 if is_md5 else 3)
    assert store.looks == (0 if is_md5 else 1)


@pytest.mark.parametrize("name", ["small", "large"])
def test_other_bytes_than_the_checksum_tells_are_never_placed(tmp_path, source, name):
    """Tried twice; then nothing is left, not even under a temporary name."""
    desk = Desk(tmp_path, Tagged(source, is_md5=True))
    with pytest.raises(UntrustedDataError) as caught:
        desk.fetch(desk.item(name, etag="0" * 32))
    assert caught.value.key == name
    assert [path.name for path in (tmp_path / "dest").iterdir()] == [".lighterman"]
    assert desk.tally.failures()[0].key == name


def test_the_progress_of_large_files_is_noted_while_they_come(tmp_path, source):
    """So a kill costs some seconds of it, not all."""
    noted = threading.Event()

    class Slow(VolumeStore):
        def read_into(self, key, window, *, at, etag, digest=None):
            if at == RANGE_BYTES:
                noted.wait(DEADLINE_SECONDS)
                raise TransientError("the process could have been killed here")
            return super().read_into(key, window, at=at, etag=etag, digest=digest)

    desk = Desk(tmp_path, Slow(str(source), "slow"), Hasty())
    path = f"{desk.root}/large"
    seen = []
    note = desk.state.note_half

    def note_and_tell(path, half):
        is_noted = note(path, half)
        seen.append(half.done)
        if half.done == b"\1\0\1\1":
            noted.set()
        return is_noted

    desk.state.note_half = note_and_tell
    with pytest.raises(TransientError):
        desk.fetch(desk.item("large"))
    assert noted.is_set()
    assert desk.state.half(path).done == b"\1\0\1\1"
    desk.source.store.__class__.read_into = VolumeStore.read_into
    before = desk.tally.totals().bytes
    desk.fetch(desk.item("large"))
    assert (tmp_path / "dest" / "large").read_bytes() == (source / "large").read_bytes()
    assert desk.tally.totals().bytes - before == RANGE_BYTES + 1
    assert desk.state.halves() == []


def test_ranges_that_come_fast_are_noted_before_the_time_for_it(tmp_path, source):
    """A tenth of a second may bring a tenth of all: so many ranges are noted at once."""
    (source / "larger").write_bytes(bytes(NOTED_RANGES * 2 * RANGE_BYTES))
    desk = Desk(tmp_path, VolumeStore(str(source), "quick"), Still())
    seen = []
    note = desk.state.note_half

    def note_and_tell(path, half):
        seen.append(sum(half.done))
        return note(path, half)

    desk.state.note_half = note_and_tell
    desk.fetch(desk.item("larger"))
    assert seen
    assert seen[0] >= NOTED_RANGES


@pytest.mark.parametrize("name", ["small", "large"])
def test_what_comes_twice_is_planned_twice(tmp_path, source, name):
    """Progress ends at all that was planned, also where an object changed, or was damaged on the way."""

    class Damaged(Tagged):
        def read_into(self, key, window, *, at, etag, digest=None):
            attributes = super().read_into(key, window, at=at, etag=etag, digest=digest)
            if not self.has_failed:
                self.has_failed = True
                os.pwrite(window.descriptor, b"?", window.start)
                if digest is not None:
                    digest.update(b"?")
            return attributes

    store = Damaged(source, is_md5=True)
    store.has_failed = False
    desk = Desk(tmp_path, store)
    item = desk.item(name)
    desk.tally.planned(1, item.size_bytes)
    desk.fetch(item)
    assert (tmp_path / "dest" / name).read_bytes() == (source / name).read_bytes()
    totals = desk.tally.totals()
    assert totals.planned_bytes == totals.bytes == 2 * item.size_bytes


@pytest.mark.parametrize("name", ["small", "large"])
def test_an_object_that_changed_is_planned_as_it_is_now(tmp_path, source, name):
    """What of the old one never came isn't waited for."""
    store = VolumeStore(str(source), "volume")
    desk = Desk(tmp_path, store)
    item = desk.item(name)
    (source / name).write_bytes(b"another, and longer than it was" * (1 << 20))
    desk.tally.planned(1, item.size_bytes)
    desk.fetch(item)
    assert (tmp_path / "dest" / name).read_bytes() == (source / name).read_bytes()
    totals = desk.tally.totals()
    assert totals.planned_bytes == totals.bytes


def test_a_note_of_a_file_that_is_gone_is_gone_with_it(tmp_path, source):
    """A run that is killed before its own first note must leave none that vouches for its holes."""
    desk = Desk(tmp_path, VolumeStore(str(source), "volume"))
    item = desk.item("large")
    desk.state.note_half(
        item.path, Half(item.size_bytes, item.etag, RANGE_BYTES, b"\1\1\1\1", b"\1\1\1\1")
    )
    large = LargeFile(item, desk.fetcher())
    large.begin(Crew(NoWorks(), 1, desk.clock, desk.stop))
    assert desk.state.half(item.path) is None
    large.give_up(keep=False)


def test_a_half_whose_file_is_gone_is_begun_anew(tmp_path, source):
    """A note without its file vouches for nothing."""
    desk = Desk(tmp_path, VolumeStore(str(source), "volume"))
    item = desk.item("large")
    desk.state.note_half(
        item.path, Half(item.size_bytes, item.etag, RANGE_BYTES, b"\1\1\1\1", b"\1\1\1\1")
    )
    desk.fetch(item)
    assert (tmp_path / "dest" / "large").read_bytes() == (source / "large").read_bytes()


def test_a_store_that_doesnt_list_in_order_is_planned_all_the_same(tmp_path, source):
    """Its listing is sorted on disk first."""
    (source / "d").mkdir()
    (source / "d" / "x").write_bytes(b"x")
    desk = Desk(tmp_path, Backwards(str(source), "backwards"))
    surveyed = desk.survey().make()
    assert surveyed.files == 4
    desk.fetch(*[action for action in surveyed.spool.drain() if isinstance(action, Fetch)][1:2])
    assert (tmp_path / "dest" / "large").exists()
    surveyed.spool.close()


def test_a_place_that_cant_be_looked_at_is_told(tmp_path, source):
    """73, with its path."""
    desk = Desk(tmp_path, VolumeStore(str(source), "volume"))
    disk = DestinationsDisk([desk.root], [desk.state], [])
    with pytest.raises(CannotWriteError, match="can't look at"):
        disk.file("/dev/null/x")


def test_a_directory_that_cant_be_made_is_told(tmp_path, source):
    """73: something came between the plan and its execution."""
    from initializer.plan import MakeDirectory

    desk = Desk(tmp_path, VolumeStore(str(source), "volume"))
    (tmp_path / "dest" / "file").write_text("x")
    with pytest.raises(CannotWriteError, match="dest/file"):
        desk.fetch(MakeDirectory(f"{desk.root}/file/"))
    with pytest.raises(CannotWriteError, match="dest/none/d"):
        desk.fetch(MakeDirectory(f"{desk.root}/none/d/"))
    (tmp_path / "dest" / "there").mkdir()
    desk.fetch(MakeDirectory(f"{desk.root}/there/"))


@pytest.mark.parametrize(
    ("planned_bytes", "ranges"),
    [(0, 4), (1 << 30, 6), (2 << 30, 12), (20 << 30, 64), (1 << 50, 64)],
)
def test_a_kill_loses_a_twentieth_at_most(planned_bytes, ranges):
    """The bytes fetched again are under 10% of the total: what is on its way is bounded by it."""
    assert most_ranges(planned_bytes) == ranges
