"""The settling over a filesystem in memory: whatever is done to it, and whenever it is told."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from model_filesystem import Filesystem

from sidecar.events import tell
from sidecar.globs import Names
from sidecar.settle import Rules, Settle
from sidecar.watch import Kind

SETTLE_SECONDS = 1.0
MAX_DELAY_SECONDS = 30.0
PATHS = st.sampled_from(["a", "b", "run.log", "d/a", "d/x.tmp", "e/a"])
CHOSEN = st.integers(0, 5)
"""One of the files that are there."""
LONG_SECONDS = 400.0
"""Longer than any backoff."""


class Machine(RuleBasedStateMachine):
    """Files with states; uploads that take time and look before and after; walks that find the rest."""

    @initialize(
        most_entries=st.sampled_from([2, 50]), is_told_at_once=st.booleans(), is_calm=st.booleans()
    )
    def begin(self, most_entries, is_told_at_once, is_calm):
        self.is_told_at_once = is_told_at_once
        self.is_calm = is_calm
        self.now = 0.0
        self.names = Names()
        self.files = Filesystem(["", "d", "e"])
        self.settle = Settle(
            Rules(SETTLE_SECONDS, MAX_DELAY_SECONDS), self.names, most_entries=most_entries
        )
        self.bucket = {}
        self.flying = {}
        self.told_at = {}
        self.first_told = {}
        self.told_writing = {}
        self.may_go_at_once = set()
        self.is_lost = False

    # What main does

    @rule(path=PATHS, cut=st.booleans(), writes=st.booleans())
    def open(self, path, cut, writes):
        before = len(self.files.writers)
        self.files.open(path, cut=cut)
        if writes and len(self.files.writers) > before:
            self.files.write(self.files.writers[-1])

    @precondition(lambda self: self.files.writers)
    @rule(chosen=CHOSEN, does_close=st.booleans())
    def write_or_close(self, chosen, does_close):
        writer = self.files.writers[chosen % len(self.files.writers)]
        (self.files.close if does_close else self.files.write)(writer)

    @rule(path=PATHS)
    def write_whole(self, path):
        before = list(self.files.writers)
        self.files.open(path, cut=True)
        for writer in [each for each in self.files.writers if each not in before]:
            self.files.write(writer)
            self.files.close(writer)

    @rule(chosen=CHOSEN)
    def touch(self, chosen):
        if path := self._chosen(chosen):
            self.files.touch(path)

    @rule(chosen=CHOSEN, new=PATHS)
    def link(self, chosen, new):
        if path := self._chosen(chosen):
            self.files.link(path, new)

    @rule(chosen=CHOSEN, new=PATHS)
    def rename(self, chosen, new):
        if path := self._chosen(chosen):
            self.files.rename(path, new)

    @rule(chosen=CHOSEN)
    def unlink(self, chosen):
        if path := self._chosen(chosen):
            self.files.unlink(path)

    @rule(number=st.integers(1, 2), new=st.sampled_from(["d", "e", "f"]))
    def rename_directory(self, number, new):
        self.files.rename_directory(number, new)

    # What the sidecar does

    @rule(most=st.sampled_from([1, 3, 100]))
    def read(self, most):
        for change in self.files.read(most):
            self._note(change)
            tell(self.settle, change, self.now)
            if not self.settle.knows(change.path):  # for want of room
                self.told_writing[change.path] = False

    @precondition(lambda self: not self.is_calm)
    @rule()
    def overflow(self):
        self.files.overflow()
        self.is_lost = True

    @precondition(lambda self: not self.is_calm)
    @rule()
    def find(self):
        self.walk()

    def walk(self):
        """A walk reads what was told first, as the one that decides does between two pieces of it."""
        self.read(1000)
        for path, inode in self.files.tree().items():
            if self.bucket.get(path) != inode.state:
                at_rest = not inode.writers
                self.settle.found(path, self.now, at_rest=at_rest)
                self.may_go_at_once.add(path)
                if at_rest:
                    self.told_writing[path] = False
        self.is_lost = self.settle.overflowed
        self.settle.overflowed = False
        self.files.untold.clear()

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 5.0, 40.0]), most=st.integers(1, 4))
    def pass_time(self, seconds, most):
        self.now += seconds
        for path in self.settle.take_ready(self.now, most):
            self._check_may_go(path)
            self._take(path)

    @rule(path=PATHS, outcome=st.sampled_from(["as it is", "failed", "fresh"]))
    def land(self, path, outcome):
        if path in self.flying:
            self._land(path, outcome)

    def _chosen(self, number):
        paths = sorted(self.files.tree())
        return paths[number % len(paths)] if paths else None

    def _note(self, change):
        kind, path, origin = change
        if kind is Kind.DIRECTORY_GONE:
            for each in list(self.told_writing):
                if each.rpartition("/")[0] == path:
                    self._note(change._replace(kind=Kind.GONE, path=each))
            return
        was_writing = self.told_writing.get(path, False)
        if kind is Kind.GONE:
            self.moved_writing = {**getattr(self, "moved_writing", {}), path: was_writing}
            self.told_writing[path] = False
            self.first_told.pop(path, None)
            return
        if kind is Kind.WRITING:
            self.told_writing[path] = True
        elif kind is Kind.CLOSED:
            self.told_writing[path] = False
        elif kind is Kind.ARRIVED:
            self.told_writing[path] = getattr(self, "moved_writing", {}).get(origin, False)
        self.told_at[path] = self.now
        self.first_told.setdefault(path, self.now)

    def _check_may_go(self, path):
        assert path not in self.flying, "handed out twice at once"
        assert not self.names.is_temporary(path), "a temporary name before the drain"
        if self.names.is_live(path):
            return
        assert not self.told_writing.get(path), "handed out while somebody writes it, as was told"
        has_rested = self.now - self.told_at.get(path, 0.0) >= SETTLE_SECONDS - 1e-9
        has_waited = self.now - self.first_told.get(path, 0.0) >= MAX_DELAY_SECONDS - 1e-9
        assert has_rested or has_waited or path in self.may_go_at_once, "handed out unsettled"

    def _take(self, path):
        entry = self.files.entry(path)
        self.first_told.pop(path, None)
        self.flying[path] = (entry.inode, entry.inode.state) if entry else None

    def _land(self, path, outcome, *, final=False):
        opened = self.flying.pop(path)
        if outcome == "failed":
            self.may_go_at_once.add(path)
            self.settle.failed(path, self.now)
            return
        if opened is None or self.bucket.get(path) == opened[1]:
            self._rest(path)
            return
        inode, state = opened
        is_live = self.names.is_live(path)
        if inode.writers and not is_live and not final:
            self.told_writing[path] = True
            self.settle.still_open(path, self.now)
            if not self.settle.knows(path):
                raise AssertionError("an open file is forgotten")
            self._follow(path)
        elif outcome == "fresh" or (inode.state != state and not is_live):
            self.may_go_at_once.add(path)
            self.settle.changed(path, self.now, 0.02 if outcome == "fresh" else None)
        else:
            self.bucket[path] = state
            self._rest(path)

    def _follow(self, path):
        """A close that was told while it was looked at counts: the look was older."""
        entry = self.settle._find(path)
        self.told_writing[path] = entry.being_written

    def _rest(self, path):
        self.settle.sent(path, self.now, 0.5)
        self.may_go_at_once.discard(path)

    @invariant()
    def what_is_under_way_is_known(self):
        if hasattr(self, "settle"):
            if self.is_told_at_once:
                self.read(100)
            assert set(self.flying) == set(self.settle.flying())

    def teardown(self):
        """After quiet every file's final state has been handed out; after a drain, temporary ones too."""
        if not hasattr(self, "settle"):
            return
        for writer in list(self.files.writers):
            self.files.close(writer)
        self.read(10_000)
        self._quiet()
        for _ in range(30):
            if self.is_lost or self.settle.overflowed or self.files.untold:
                self.walk()
                self._quiet()
        for path, inode in self.files.tree().items():
            if not self.names.is_temporary(path):
                assert self.bucket.get(path) == inode.state, f"{path} was not sent after quiet"
        self._drain()

    def _drain(self):
        for path in self.settle.drain():
            assert self.settle.take(path)
            self._take(path)
        for path in list(self.flying):
            self._land(path, "as it is", final=True)
        for path, inode in self.files.tree().items():  # the final walk
            if self.bucket.get(path) != inode.state:
                assert self.settle.take(path)
                self._take(path)
                self._land(path, "as it is", final=True)
        assert self.bucket.items() >= {p: i.state for p, i in self.files.tree().items()}.items()
        assert len(self.settle) == 0

    def _quiet(self):
        for _ in range(60):
            for path in list(self.flying):
                self._land(path, "as it is")
            if self.settle.next_due() is None:
                return
            self.now += LONG_SECONDS
            for path in self.settle.take_ready(self.now, 20):
                self._check_may_go(path)
                self._take(path)


Machine.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestMachine = Machine.TestCase
