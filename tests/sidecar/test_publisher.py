"""One look at a group on real files: whether it is whole, and what its manifest tells then."""

import os
import shutil

import google_crc32c
import pytest
from sending import MIB, HastyClock, Outputs, noise

from lighterman import manifest
from lighterman.clock import SystemClock
from lighterman.errors import SourceMissingError
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from lighterman.transfer.tally import Tally
from sidecar import publisher as publishing
from sidecar.globs import Names
from sidecar.groups import GroupNames, Verdict
from sidecar.guarded import Guarded
from sidecar.publisher import Publisher
from sidecar.states import RelPath
from sidecar.upload import Uploader

G = RelPath("g")
NAME = manifest.NAME


class Groups(Outputs):
    """Outputs whose uploads and manifests go through one guarded store."""

    def restart(self, clock=None, part_threads=1):
        super().restart(clock, part_threads)
        self.uploader.close()
        self.guarded = Guarded(self.store, self.journal)
        shared = {
            "clock": SystemClock(),
            "attempts": Attempts(5.0, HastyClock(), Tally()),
            "pace": Pace(8),
        }
        self.uploader = Uploader(
            self.guarded.store,
            self.prefix,
            str(self.root),
            self.journal,
            settings=self.settings,
            budget=Budget(self.settings.memory_bytes),
            tally=Tally(),
            part_threads=part_threads,
            **shared,
        )
        self.publisher = Publisher(
            self.guarded,
            self.journal,
            GroupNames(["g*"], "done"),
            root=str(self.root),
            prefix=self.prefix,
            names=Names(exclude=["*.lock"]),
            mark=self.uploader.mark_directory,
            **shared,
        )
        self.publisher.recall()

    def sent(self, path, content=b"content"):
        self.write(path, content)
        self.send(path)
        if path.endswith(".unsummed"):  # as in the journal of an earlier version
            self.journal._database.execute(
                "UPDATE synced SET crc32c = NULL WHERE name = ?", [path.rpartition("/")[2]]
            )

    def look(self, *, ended=False):
        return self.publisher.look(G, ended=ended)

    def told(self):
        try:
            text = self.stored(f"g/{NAME}")
        except SourceMissingError:
            return None
        return {path: file.crc32c for path, file in manifest.parsed(text).files.items()}

    def on_disk(self, *but):
        place = self.root / "g"
        return {
            str(path.relative_to(place)): f"{google_crc32c.value(path.read_bytes()):08x}"
            for path in place.rglob("*")
            if path.is_file() and path.name not in but
        }


@pytest.fixture
def groups(tmp_path, volume_store):
    outputs = Groups(tmp_path, volume_store)
    yield outputs
    outputs.close()


def test_nothing_says_that_it_is_complete(groups):
    """So not even its files are looked at."""
    groups.sent("g/a")
    assert groups.look() == Verdict.INCOMPLETE
    assert groups.look(ended=True) == Verdict.PUBLISHED
    assert groups.told() == groups.on_disk()
    assert groups.look() == Verdict.STANDS


def test_it_is_complete_when_its_done_file_is_there(groups):
    """All of it, whatever the depth, with the done file."""
    groups.sent("g/a")
    groups.sent("g/deep/b")
    groups.sent("g/done", b"")
    assert groups.look() == Verdict.PUBLISHED
    assert groups.told() == groups.on_disk()


def test_a_done_file_deeper_says_nothing(groups):
    """It has to be right in the group."""
    groups.sent("g/a")
    groups.sent("g/deep/done", b"")
    assert groups.look() == Verdict.INCOMPLETE


AFTER_DONE = {
    "written": lambda place: (place / "a").write_bytes(b"again"),
    "new": lambda place: (place / "deep" / "new").write_bytes(b"new"),
    "deleted": lambda place: (place / "deep" / "b").unlink(),
    "renamed": lambda place: (place / "deep" / "b").rename(place / "deep" / "c"),
}


@pytest.mark.parametrize("what", AFTER_DONE)
def test_what_happens_after_the_done_file_makes_it_incomplete(groups, what):
    """Until that appears anew: an old one never vouches for a group that is being rewritten."""
    groups.sent("g/a")
    groups.sent("g/deep/b")
    groups.sent("g/done", b"")
    AFTER_DONE[what](groups.root / "g")
    for path in ("a", "deep/new", "deep/c"):
        if (groups.root / "g" / path).exists():
            groups.rest(f"g/{path}")
            groups.send(f"g/{path}")
    assert groups.look() == Verdict.INCOMPLETE
    groups.sent("g/done", b"")
    assert groups.look() == Verdict.PUBLISHED
    assert groups.told() == groups.on_disk()


def test_a_copy_that_keeps_times_is_complete_in_any_order(groups):
    """``cp -a`` may bring the done file first."""
    source = groups.root.parent / "source"
    source.mkdir()
    for name in ("a", "b", "done"):
        (source / name).write_bytes(name.encode())
    (groups.root / "g").mkdir()
    for name in ("done", "b", "a"):
        shutil.copy2(source / name, groups.root / "g" / name)
    shutil.copystat(source, groups.root / "g")
    for name in ("a", "b", "done"):
        groups.rest(f"g/{name}")
        groups.send(f"g/{name}")
    assert groups.look() == Verdict.PUBLISHED


def test_times_from_the_future_keep_nothing_from_being_complete(groups):
    """As ``tar x`` may give them."""
    groups.write("g/a")
    os.utime(groups.root / "g" / "a", (4e9, 4e9))
    groups.rest("g/a")
    groups.send("g/a")
    groups.sent("g/done", b"")
    assert groups.look() == Verdict.PUBLISHED


def test_renamed_into_place_and_written_to_after(groups):
    """The journal remembers when; what was written since isn't whole."""
    groups.sent("g/a")
    at_ns = os.stat(groups.root / "g").st_ctime_ns
    groups.publisher.renamed(G, at_ns + 1_000_000_000)
    groups.restart()
    assert groups.look() == Verdict.PUBLISHED
    groups.publisher.renamed(G, at_ns - 1_000_000_000)
    groups.sent("g/a", b"again")
    assert groups.look() == Verdict.INCOMPLETE


def test_what_is_not_in_the_bucket_yet(groups):
    """A file that is missing there, or another by now."""
    groups.sent("g/a")
    groups.write("g/b")
    assert groups.look(ended=True) == Verdict.UNSENT
    groups.send("g/b")
    groups.write("g/a", b"again")
    assert groups.look(ended=True) == Verdict.UNSENT
    assert groups.told() is None


def test_temporary_names_are_waited_for_at_the_end_alone(groups):
    """Sent or not: before, the manifest has none of them that isn't there as it is."""
    groups.sent("g/a")
    groups.write("g/x.tmp")
    groups.sent("g/done", b"")
    assert groups.look() == Verdict.PUBLISHED
    assert groups.told() == groups.on_disk("x.tmp")
    groups.send("g/x.tmp", final=True)
    assert groups.look(ended=True) == Verdict.PUBLISHED
    assert groups.told() == groups.on_disk()


def test_temporary_names_are_waited_for_once_the_drain_sends_them(groups):
    """Between its arrival and its note in the journal, a manifest without one would stand to the end."""
    groups.sent("g/a")
    groups.write("g/x.tmp")
    groups.sent("g/done", b"")
    groups.publisher.drains = True
    assert groups.look() == Verdict.UNSENT
    groups.send("g/x.tmp", final=True)
    assert groups.look() == Verdict.PUBLISHED
    assert groups.told() == groups.on_disk()


def test_what_is_excluded_is_no_part_of_it(groups):
    """Nor a manifest that lies there, as init brings it."""
    groups.sent("g/a")
    groups.write("g/x.lock")
    groups.write(f"g/{NAME}")
    assert groups.look(ended=True) == Verdict.PUBLISHED
    assert groups.told() == groups.on_disk("x.lock", NAME)


def test_empty_directories_get_their_marker_with_it(groups):
    """Without waiting for a walk."""
    groups.sent("g/a")
    (groups.root / "g" / "empty").mkdir()
    assert groups.look(ended=True) == Verdict.PUBLISHED
    assert groups.key("g/empty/") in groups.listed_keys()


def test_an_empty_group_has_nothing_to_vouch_for(groups):
    """Nor one that is gone, or a link to another."""
    (groups.root / "g").mkdir()
    assert groups.look(ended=True) == Verdict.EMPTY
    (groups.root / "g").rmdir()
    assert groups.look(ended=True) == Verdict.EMPTY
    groups.sent("other/a")
    (groups.root / "g").symlink_to("other")
    groups.send("g/a")
    assert groups.look(ended=True) == Verdict.EMPTY
    assert groups.told() is None


def test_that_a_group_is_gone_is_noted(groups):
    """Another of its name isn't taken for the one that was renamed into place."""
    groups.sent("g/a")
    groups.publisher.renamed(G, 1)
    shutil.rmtree(groups.root / "g")
    assert groups.look() == Verdict.EMPTY
    assert groups.journal.completed() == {}


# Sums


@pytest.mark.parametrize("size_bytes", [0, 1, 9 * MIB, 17 * MIB + 1])
@pytest.mark.parametrize("threads", [1, 3])
def test_sums_are_taken_of_the_bytes_that_are_sent(groups, size_bytes, threads):
    """Of files that go at once, and of parts in parallel."""
    groups.restart(part_threads=threads)
    content = noise(size_bytes)
    groups.sent("g/a", content)
    assert groups.synced("g/a").crc32c == f"{google_crc32c.value(content):08x}"


def test_a_sum_that_the_journal_lacks_is_read_once(groups, monkeypatch):
    """In pieces; and kept."""
    monkeypatch.setattr(publishing, "SUM_BYTES", 1000)
    groups.sent("g/a.unsummed", noise(4500))
    assert groups.synced("g/a.unsummed").crc32c is None
    assert groups.look(ended=True) == Verdict.PUBLISHED
    assert groups.told() == groups.on_disk()
    assert groups.synced("g/a.unsummed").crc32c == groups.told()["a.unsummed"]


def test_a_sum_of_an_upload_that_was_resumed_is_read(groups):
    """Also of what an earlier process sent."""
    content = noise(17 * MIB)
    groups.write("g/a", content)

    def fail():
        raise KeyboardInterrupt

    groups.store.before("send_part", lambda: None, fail)
    with pytest.raises(KeyboardInterrupt):
        groups.send("g/a")
    groups.restart()
    groups.send("g/a")
    assert groups.look(ended=True) == Verdict.PUBLISHED
    assert groups.told() == groups.on_disk()


def test_a_file_that_changes_while_it_is_summed(groups, monkeypatch):
    """It isn't what the bucket has any more."""
    groups.sent("g/a.unsummed", noise(100))
    monkeypatch.setattr(
        publishing,
        "of_window",
        lambda _kind, _window: (groups.root / "g" / "a.unsummed").write_bytes(b"x") and "00000000",
    )
    assert groups.look(ended=True) == Verdict.UNSENT
    assert groups.told() is None


# In the bucket


def test_a_change_under_way_is_waited_for(groups):
    """Its landing brings the next look."""
    groups.sent("g/a")
    seen = []
    groups.store.before("write", lambda: seen.append(groups.look(ended=True)))
    groups.write("g/b")
    groups.send("g/b")
    assert seen == [Verdict.DISTURBED]
    assert groups.look(ended=True) == Verdict.PUBLISHED


def test_one_that_is_too_large_is_not_written(groups, monkeypatch, said):
    """It is said, with what to do."""
    monkeypatch.setattr(manifest, "MOST_BYTES", 20)
    groups.sent("g/a")
    assert groups.look(ended=True) == Verdict.TOO_LARGE
    assert groups.told() is None
    assert "sidecar.manifest_too_large" in said.getvalue()


def test_one_that_is_larger_than_a_request_goes_by_parts(groups):
    """What a killed process left open of it is dropped."""
    groups.store.small_write_bytes = 10
    key = groups.key(f"g/{NAME}")
    groups.sent("g/a")
    groups.store.begin(key, publishing.Attributes(), part_bytes=8 * MIB)
    assert groups.open_uploads() == [key]
    assert groups.look(ended=True) == Verdict.PUBLISHED
    assert groups.told() == groups.on_disk()
    assert groups.open_uploads() == []


def test_the_marker_tells_of_all_that_the_journal_has(groups):
    """What was deleted here and kept in the bucket too, where its sum is known."""
    groups.sent("a")
    groups.sent("g/b")
    groups.sent("gone")
    groups.sent("gone.unsummed")
    for name in ("gone", "gone.unsummed"):
        (groups.root / name).unlink()
    assert groups.publisher.write_marker("END") == Verdict.PUBLISHED
    found = manifest.parsed(groups.stored("END"))
    assert set(found.files) == {"a", "g/b", "gone"}
    assert (found.run.files, found.run.bytes) == (3, 21)
    assert groups.publisher.write_marker("END") == Verdict.STANDS
    groups.sent("new")
    assert groups.key("END") not in groups.listed_keys()


def test_a_marker_that_is_too_large_only_counts(groups, monkeypatch):
    """But one that init would read as a manifest isn't written."""
    monkeypatch.setattr(manifest, "MOST_BYTES", 20)
    groups.sent("a")
    assert groups.publisher.write_marker("END") == Verdict.PUBLISHED
    assert b'"files":1,' in groups.stored("END")
    assert b'"crc32c"' not in groups.stored("END")
    assert groups.publisher.write_marker(NAME) == Verdict.TOO_LARGE
