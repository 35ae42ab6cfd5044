"""What the watch and the looks bring to the settling, and which part of the outputs is looked at."""

import json
import os

import pytest

from lighterman.clock import SystemClock
from lighterman.stores.contract import ETag
from sidecar.events import Events
from sidecar.globs import Names
from sidecar.journal import Journal
from sidecar.leases import Leases
from sidecar.loop import Loop
from sidecar.options import Options
from sidecar.settle import Rules, Settle
from sidecar.states import FileState, RelPath, Synced, key_of
from sidecar.walk import Dirty

LATER_SECONDS = 3600.0


class Tomorrow(SystemClock):
    """Every change was made a while ago."""

    def wall(self):
        return super().wall() + LATER_SECONDS


class World:
    """Outputs with one file, ``d/a``, that is synced; whoever changes ``synced`` changed the file unheard."""

    def __init__(self, root, state, loop):
        self.root = root
        self.settle = Settle(Rules(), Names())
        self.journal = Journal.open(str(state), "somewhere")
        self.path = RelPath("d/a")
        (root / "d").mkdir(parents=True)
        self.events = Events(
            loop,
            self.settle,
            Options(root=str(root), prefix="", state=str(state)),
            Names(),
            self.journal,
            clock=Tomorrow(),
            leases=Leases(str(root)),
        )

    def begin(self):
        self.events.begin(str(self.root))
        self.events.walked()

    def change_unheard(self, name="d/a"):
        """As if it had been synced in another state, and none of its events had come."""
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
        state = FileState.of(path.stat())
        synced = Synced(state._replace(mtime_ns=1), key_of("", RelPath(name)), ETag("e"))
        self.journal.mark_synced([(RelPath(name), synced)])
        self.events.read()
        self.settle.gone(RelPath(name))
        return Dirty(RelPath(name), state, os.geteuid())

    @property
    def looks(self):
        """Whether something is going to be looked at."""
        return self.events.next_at(may_look=True) is not None


@pytest.fixture
def world(tmp_path):
    with Loop() as loop:
        world = World(tmp_path / "outputs", tmp_path / "state", loop)
        yield world
        world.events.close()
        world.journal.close()


def logged(said):
    return [json.loads(line)["event"] for line in said.getvalue().splitlines()]


def test_a_filesystem_that_tells_nothing_is_looked_at_and_said_once(world, said, monkeypatch):
    """The start-up self-test finds out."""
    monkeypatch.setattr("sidecar.events.events_arrive", lambda _directory: False)
    world.begin()
    world.events.walked()
    assert (world.looks, logged(said)) == (True, ["sidecar.no_events"])


def test_an_ordinary_filesystem_is_not_looked_at(world, said):
    """No polling."""
    world.begin()
    assert (world.looks, logged(said)) == (False, [])


def test_a_change_without_an_event_has_its_part_looked_at_and_is_said_once(world, said):
    """A reconcile that finds one: that part is polled from then on."""
    world.begin()
    world.events.unheard(world.change_unheard())
    world.events.unheard(world.change_unheard("d/other"))
    assert (world.looks, logged(said)) == (True, ["sidecar.unheard"])


def _told(world):
    dirty = world.change_unheard()
    world.settle.closed(dirty.path, 0.0)
    return dirty


def _told_but_not_read(world):
    dirty = world.change_unheard()
    (world.root / "d" / "a").chmod(0o600)
    return dirty


def _open(world):
    dirty = world.change_unheard()
    world.writer = (world.root / "d" / "a").open("a")
    return dirty


def _linked(world):
    dirty = world.change_unheard()
    os.link(world.root / "d" / "a", world.root.parent / "elsewhere")
    return dirty


def _lost(world):
    dirty = world.change_unheard()
    world.events.lost = True
    return dirty


def _just_watched(world):
    (world.root / "new").mkdir()
    world.events.watch(RelPath("new"))
    return world.change_unheard("new/a")


@pytest.mark.parametrize(
    "change",
    [
        _told,
        _told_but_not_read,
        _open,
        _linked,
        _lost,
        _just_watched,
        lambda world: world.change_unheard("d/train.log"),
        lambda world: world.change_unheard()._replace(path=RelPath("d/gone")),
        lambda world: world.change_unheard()._replace(state=None),
    ],
    ids=[
        "it was told",
        "its event is still to be read",
        "it is open for writing",
        "it has another name",
        "events were lost",
        "its directory is watched since this walk",
        "it is live",
        "it is gone",
        "it can't be read",
    ],
)
def test_what_has_another_reason_accuses_nobody(world, said, change):
    """Polling is for where events don't come, and costs where they do."""
    world.begin()
    world.events.unheard(change(world))
    assert (world.looks, logged(said)) == (False, [])
    if hasattr(world, "writer"):
        world.writer.close()
