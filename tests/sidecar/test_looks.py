"""Looks at parts of a real tree of which no event tells."""

import pytest

from lighterman.clock import SystemClock
from lighterman.errors import CannotWriteError
from lighterman.stores.contract import ETag
from sidecar.globs import Names
from sidecar.journal import Journal
from sidecar.leases import Leases
from sidecar.looks import Looks
from sidecar.loop import Loop
from sidecar.polling import LEAST_SECONDS
from sidecar.settle import Rules, Settle
from sidecar.states import FileState, RelPath, Synced, key_of


class Hands(SystemClock):
    """A clock that is turned by hand."""

    now = 100.0

    def monotonic(self):
        return self.now


class Place:
    """An outputs path whose directory ``part`` has no watch."""

    def __init__(self, root, state, loop):
        self.root = root
        self.clock = Hands()
        self.loop = loop
        self.settle = Settle(Rules(1.0, 30.0), Names())
        self.journal = Journal.open(str(state), "somewhere")
        self.parts = {RelPath("part")}
        self.looks = Looks(
            loop,
            self.settle,
            root=str(root),
            names=Names(),
            journal=self.journal,
            clock=self.clock,
            leases=Leases(str(root)),
            parts=lambda: self.parts,
        )

    def look(self):
        """One look from its beginning to its end, when it is due."""
        self.clock.now = max(self.clock.now, self.looks.due)
        self.looks.pump(may_begin=True)
        assert self.looks.due is None
        for _ in range(200):
            self.loop.turn(0.1)
            self.looks.pump(may_begin=False)
            if self.looks.due is not None:
                return
        raise AssertionError("the look never ended")


@pytest.fixture
def place(tmp_path):
    root = tmp_path / "outputs"
    (root / "part" / "deep").mkdir(parents=True)
    with Loop() as loop:
        place = Place(root, tmp_path / "state", loop)
        place.looks.begin()
        yield place
        place.looks.stop()
        place.journal.close()


def test_only_the_unwatched_part_is_looked_at(place):
    """What events tell of isn't read again and again."""
    (place.root / "part" / "deep" / "a").write_text("x")
    (place.root / "b").write_text("x")
    place.look()
    assert list(place.settle.waiting()) == ["part/deep/a"]


def test_a_file_there_is_ready_within_settle_and_interval(place):
    """It is as good as closed when a look saw it, and settles like any other."""
    place.look()
    assert place.looks.due <= place.clock.now + LEAST_SECONDS
    (place.root / "part" / "a").write_text("x")
    place.look()
    assert place.settle.next_due() == place.clock.now + 1.0


def test_a_file_whose_close_nobody_saw_is_tried_again_at_each_look(place):
    """The upload found it open; no event will tell of its close."""
    (place.root / "part" / "a").write_text("x")
    place.look()
    (path,) = place.settle.take_ready(place.clock.now + 1.0, 9)
    place.settle.still_open(path, place.clock.now + 1.0)
    assert place.settle.next_due() is None
    place.look()
    assert place.settle.take_ready(place.clock.now, 9) == [path]


def test_what_the_journal_has_is_not_told(place):
    """A look at what didn't change comes to nothing."""
    path = place.root / "part" / "a"
    path.write_text("x")
    synced = Synced(FileState.of(path.stat()), key_of("", RelPath("part/a")), ETag("e"))
    place.journal.mark_synced([(RelPath("part/a"), synced)])
    place.look()
    assert len(place.settle) == 0


def test_without_a_part_nothing_is_looked_at(place):
    """The watches came after all: polling ends, until there is a part again."""
    place.parts = set()
    place.clock.now = place.looks.due
    place.looks.pump(may_begin=True)
    assert place.looks.due is None
    place.looks.begin()
    assert place.looks.due == place.clock.now + LEAST_SECONDS


def test_a_look_waits_while_a_walk_is_under_way(place):
    """The walk finds what a look would."""
    place.clock.now = place.looks.due + 5
    place.looks.pump(may_begin=False)
    assert place.looks.due < place.clock.now


def test_a_part_that_is_gone_is_no_trouble(place):
    """Directories come and go."""
    (place.root / "part" / "deep").rmdir()
    (place.root / "part").rmdir()
    place.look()
    assert len(place.settle) == 0


def test_what_ends_a_look_is_raised_in_the_main_thread(place, monkeypatch):
    """A journal that can't be read is no reason to go on as if nothing were."""

    def refuse(*_arguments, **_options):
        raise CannotWriteError("the disk is gone", hint="")

    monkeypatch.setattr("sidecar.looks.walk", refuse)
    with pytest.raises(CannotWriteError, match="gone"):
        place.look()
