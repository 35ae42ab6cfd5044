"""The journal beside a plain dictionary: whatever is done to both, they tell the same."""

import tempfile

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lighterman.stores.contract import ETag, Key, Part
from sidecar.journal import Journal
from sidecar.states import FileState, RelPath, Synced, split

names = st.sampled_from(["a", "b", "a-x", "0", "é", " ", "%_'"])
paths = st.lists(names, min_size=1, max_size=3).map(lambda parts: RelPath("/".join(parts)))
numbers = st.integers(-(2**63), 2**63 - 1)
files = st.builds(
    Synced,
    st.builds(FileState, numbers, numbers, numbers, numbers, numbers, st.integers(0, 0o7777)),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1).map(Key),
    st.text(st.characters(exclude_categories=["Cs"])).map(ETag),
    st.booleans(),
)


class JournalModel(RuleBasedStateMachine):
    """Files, absences and uploads, with restarts between."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.journal = Journal.open(self.directory.name, "here")
        self.files: dict[RelPath, Synced] = {}
        self.uploads: dict[RelPath, dict[int, Part]] = {}

    def teardown(self) -> None:
        self.journal.close()
        self.directory.cleanup()

    @rule(noted=st.dictionaries(paths, files, max_size=4))
    def mark_synced(self, noted):
        self.journal.mark_synced(list(noted.items()))
        self.files |= noted

    @rule(path=paths)
    def forget(self, path):
        self.journal.forget(path)
        self.files.pop(path, None)

    @rule(path=paths)
    def begin(self, path):
        if path not in self.uploads:
            self.journal.intend(path, Key(path), FileState(1, 2, 3, 4, 5, 6), 8, 1.5)
            self.journal.begun(path, f"id of {path}")
            self.uploads[path] = {}

    @rule(path=paths, number=st.integers(1, 3), etag=st.sampled_from("xy"))
    def part_sent(self, path, number, etag):
        if path in self.uploads:
            part = Part(number, ETag(etag), 8)
            self.journal.part_sent(path, part)
            self.uploads[path][number] = part

    @rule(path=paths)
    def drop(self, path):
        self.journal.dropped(path)
        self.uploads.pop(path, None)

    @rule(path=paths, synced=files)
    def finish(self, path, synced):
        self.journal.finished(path, synced)
        self.uploads.pop(path, None)
        self.files[path] = synced

    @rule()
    def restart(self):
        self.journal.close()
        self.journal = Journal.open(self.directory.name, "here")
        assert self.journal.fresh == (not self.files and not self.uploads)

    @invariant()
    def tells_the_same(self):
        assert self.files == dict(self.journal.rows())
        assert len(self.files) == self.journal.count()
        directories = {split(path)[0] for path in self.files}
        assert sorted(directories) == list(self.journal.directories())
        for directory in directories:
            expected = {
                split(path)[1]: synced
                for path, synced in self.files.items()
                if split(path)[0] == directory
            }
            assert expected == self.journal.synced_in(directory)
            below = {path for path in self.files if path.startswith(f"{directory}/")}
            if directory:
                assert below == {path for path, _ in self.journal.rows(directory)}
        open_uploads = {
            upload.path: self.journal.parts(upload.path) for upload in self.journal.open_uploads()
        }
        expected_parts = {
            path: [parts[number] for number in sorted(parts)]
            for path, parts in self.uploads.items()
        }
        assert expected_parts == open_uploads


JournalModel.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestJournalModel = JournalModel.TestCase
