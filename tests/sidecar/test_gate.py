"""
Manifests, changes and kills in any order, step by step: a manifest in the bucket never lists anything else than
what the bucket has.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lighterman.stores.contract import ETag, Key
from sidecar.gate import Gate, directories_above, directory_of, known

NAME = ".lighterman-manifest.json"
FILES = [Key("g/b"), Key("g/h/c"), Key("e")]
MANIFESTS = [Key(f"g/h/{NAME}"), Key(f"g/{NAME}"), Key("g/_END")]


def test_a_manifest_covers_its_directory():
    """And every directory above a key may have one, down from the nearest."""
    assert directory_of("a/b/c") == "a/b/"
    assert directory_of("c") == ""
    assert list(directories_above("a/b/c")) == ["a/b/", "a/", ""]
    assert list(directories_above("c")) == [""]


def test_a_change_waits_for_a_manifest_that_is_being_made():
    """Which learns of it, and may be given up; other directories go on."""
    gate = Gate()
    assert gate.begin(MANIFESTS[1])
    assert not gate.is_disturbed(MANIFESTS[1])
    assert not gate.waits(Key("e"))
    assert gate.waits(Key("g/h/c"))
    assert gate.is_disturbed(MANIFESTS[1])
    gate.end(MANIFESTS[1])
    assert not gate.waits(Key("g/h/c"))


def test_no_manifest_is_made_while_something_changes_below_it():
    """Of what lies elsewhere it may be."""
    gate = Gate()
    gate.changes(Key("g/b"))
    assert not gate.begin(MANIFESTS[1])
    assert gate.begin(MANIFESTS[0])
    gate.changed(Key("g/b"))
    assert gate.begin(MANIFESTS[1])
    assert not gate.begin(MANIFESTS[1])


class Bucket(RuleBasedStateMachine):
    """
    The shell around the gate, cut into steps: what a thread does between two of them others may do too, and a
    kill may come. The journal and the bucket outlive it.
    """

    def __init__(self):
        super().__init__()
        self.objects: dict[Key, int] = dict.fromkeys(FILES[:2], 0)
        self.manifests: dict[Key, dict[Key, int]] = {}
        self.journal: dict[Key, ETag | None] = {}
        self.version = 0
        self.start()

    @initialize(standing=st.sets(st.sampled_from(MANIFESTS)))
    def begin(self, standing):
        for manifest in standing:
            self.manifests[manifest] = self.told_by(manifest)
            self.journal[manifest] = ETag("e")
        self.start()

    def told_by(self, manifest):
        below = directory_of(manifest)
        return {key: version for key, version in self.objects.items() if key.startswith(below)}

    def start(self):
        self.gate = Gate()
        known(self.gate, self.journal.items())
        self.changing: list[Key] = []
        """Changes that went in: all that they had to withdraw is, or will be before they go on."""
        self.making: dict[Key, dict[Key, int] | None] = {}
        """Manifests that are made; with what they tell once that was gathered."""
        self.intended: set[Key] = set()

    @rule(key=st.sampled_from(FILES))
    def begin_a_change(self, key):
        if not self.gate.waits(key):
            self.gate.changes(key)
            self.changing.append(key)

    @precondition(lambda self: self.changing)
    @rule(data=st.data())
    def withdraw_one(self, data):
        key = data.draw(st.sampled_from(self.changing))
        for manifest in self.gate.to_withdraw(key)[:1]:
            self.manifests.pop(manifest, None)
            if data.draw(
                st.booleans()
            ):  # else the kill comes between, or another thread does it again
                del self.journal[manifest]
                self.gate.withdrawn(manifest)

    @precondition(lambda self: self.changing)
    @rule(data=st.data(), deleted=st.booleans(), ends=st.booleans())
    def change(self, data, deleted, ends):
        key = data.draw(st.sampled_from(self.changing))
        if self.gate.to_withdraw(key):
            return
        self.version += 1
        if deleted:
            self.objects.pop(key, None)
        else:
            self.objects[key] = self.version
        if ends:
            self.changing.remove(key)
            self.gate.changed(key)

    @rule(manifest=st.sampled_from(MANIFESTS))
    def begin_a_manifest(self, manifest):
        if self.gate.etag_of(manifest) is None and self.gate.begin(manifest):
            self.making[manifest] = None

    @precondition(lambda self: None in self.making.values())
    @rule(data=st.data())
    def gather(self, data):
        manifest = data.draw(
            st.sampled_from([m for m, told in self.making.items() if told is None])
        )
        self.making[manifest] = self.told_by(manifest)

    @precondition(lambda self: self.gathered())
    @rule(data=st.data())
    def intend(self, data):
        manifest = data.draw(st.sampled_from(self.gathered()))
        if not self.gate.is_disturbed(manifest):
            self.journal[manifest] = None
            self.gate.stands(manifest, None)
            self.intended.add(manifest)

    @precondition(lambda self: self.intended)
    @rule(data=st.data(), is_noted=st.booleans())
    def write(self, data, is_noted):
        manifest = data.draw(st.sampled_from(sorted(self.intended)))
        told = self.making[manifest]
        assert told is not None
        self.manifests[manifest] = told
        if is_noted:
            self.journal[manifest] = ETag("e")
            self.gate.stands(manifest, ETag("e"))
            self.end(manifest)

    @precondition(lambda self: self.making)
    @rule(data=st.data(), luck=st.integers(0, 4))
    def give_up(self, data, luck):
        if not luck:
            self.end(data.draw(st.sampled_from(sorted(self.making))))

    @rule(luck=st.integers(0, 9))
    def kill(self, luck):
        if not luck:
            self.start()

    def gathered(self):
        return [m for m, told in self.making.items() if told is not None]

    def end(self, manifest):
        del self.making[manifest]
        self.intended.discard(manifest)
        self.gate.end(manifest)

    @invariant()
    def no_manifest_lies(self):
        for manifest, told in self.manifests.items():
            assert {key: self.objects.get(key) for key in told} == told, manifest

    @invariant()
    def whatever_stands_is_in_the_journal(self):
        assert set(self.manifests) <= set(self.journal)

    def teardown(self):
        """After quiet a manifest can be made of everything."""
        while self.changing:
            key = self.changing.pop()
            for manifest in self.gate.to_withdraw(key):
                self.manifests.pop(manifest, None)
                self.gate.withdrawn(manifest)
            self.gate.changed(key)
        for manifest in list(self.making):
            self.end(manifest)
        for manifest in MANIFESTS:
            assert self.gate.begin(manifest)
            assert not self.gate.is_disturbed(manifest)
            self.gate.end(manifest)


Bucket.TestCase.settings = settings(max_examples=400, stateful_step_count=50, deadline=None)
test_no_manifest_ever_lies = Bucket.TestCase
