"""The journal: what it remembers, for whom, and what becomes of it when something goes wrong."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading

import msgspec
import pytest

from lighterman.errors import CannotWriteError, ConfigurationError
from lighterman.stores.contract import ETag, Key, Part
from sidecar import journal_file
from sidecar.journal import Journal
from sidecar.states import FileState, RelPath, Synced

HERE = "https://s3.example/bucket/run-1"
ELSEWHERE = "https://s3.example/bucket/run-2"


def state(size_bytes: int = 3, inode: int = 7, device: int = 1) -> FileState:
    return FileState(device, inode, size_bytes, 1_000_000_001, 1_000_000_002, 0o644)


def synced(path: str, etag: str = "e", **of_state: int) -> Synced:
    return Synced(state(**of_state), Key(f"run-1/{path}"), ETag(etag))


def rel(path: str) -> RelPath:
    return RelPath(path)


@pytest.fixture
def directory(tmp_path) -> str:
    return str(tmp_path / "state")


@pytest.fixture
def reopen(directory):
    """Opens the journal, closing the one that was open before."""
    opened: list[Journal] = []

    def reopen(destination: str = HERE, **options) -> Journal:
        while opened:
            opened.pop().close()
        opened.append(Journal.open(directory, destination, **options))
        return opened[-1]

    yield reopen
    while opened:
        opened.pop().close()


def test_what_was_synced_is_known_after_a_restart(reopen):
    """A journal goes on where it ended, with the same destination."""
    reopen().mark_synced([(rel("a/b.txt"), synced("a/b.txt")), (rel("c"), synced("c", "f"))])

    journal = reopen()

    assert synced("a/b.txt") == journal.synced(rel("a/b.txt"))
    assert synced("c", "f") == journal.synced(rel("c"))
    assert not journal.fresh
    assert journal.count() == 2


def test_an_empty_journal_is_fresh(reopen):
    """``fresh`` says that nothing is known of this destination."""
    assert reopen().fresh
    assert reopen().fresh


def test_an_open_upload_alone_makes_a_journal_not_fresh(reopen):
    """A first file's crash leaves something to go on with."""
    reopen().intend(rel("a"), Key("a"), state(), 8, 1.0)

    assert not reopen().fresh


def test_it_never_vouches_for_another_destination(reopen, said):
    """A journal belongs to one endpoint, bucket and prefix; another destination starts an empty one."""
    journal = reopen()
    journal.mark_synced([(rel("a"), synced("a"))])
    journal.intend(rel("b"), Key("b"), state(), 8, 1.0)

    other = reopen(ELSEWHERE)

    assert other.fresh
    assert other.synced(rel("a")) is None
    assert other.open_uploads() == []
    assert f"it belongs to {HERE}, where it leaves 1 uploads open" in said.getvalue()
    assert reopen(HERE).fresh


def test_another_version_is_replaced(reopen, directory, said):
    """A journal that this program can't read is no reason to stop."""
    journal = reopen()
    journal.mark_synced([(rel("a"), synced("a"))])
    journal._database.execute("PRAGMA user_version = 99")

    assert reopen().fresh
    assert "it has version 99, this program writes 2" in said.getvalue()


VERSION_1 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE synced (
    directory TEXT NOT NULL, name TEXT NOT NULL,
    device INTEGER NOT NULL, inode INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, mode INTEGER NOT NULL,
    key TEXT NOT NULL, etag TEXT NOT NULL, uploaded INTEGER NOT NULL,
    PRIMARY KEY (directory, name)
) WITHOUT ROWID;
CREATE TABLE uploads (
    path TEXT PRIMARY KEY, key TEXT NOT NULL, upload_id TEXT,
    device INTEGER NOT NULL, inode INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, mode INTEGER NOT NULL,
    part_bytes INTEGER NOT NULL, intended_seconds REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE parts (
    path TEXT NOT NULL, number INTEGER NOT NULL, etag TEXT NOT NULL, size_bytes INTEGER NOT NULL,
    PRIMARY KEY (path, number)
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


def test_a_journal_of_the_first_version_goes_on(reopen, directory):
    """What is synced isn't sent again for a new version of the program; sums of content aren't known of it."""
    os.makedirs(directory)
    with contextlib.closing(sqlite3.connect(f"{directory}/{journal_file.NAME}")) as database:
        database.executescript(VERSION_1)
        database.execute("INSERT INTO meta VALUES ('destination', ?)", (HERE,))
        row = ("a", "b.txt", *synced("a/b.txt").state, "run-1/a/b.txt", "e", 1)
        database.execute(f"INSERT INTO synced VALUES ({','.join('?' * len(row))})", row)
        database.commit()

    journal = reopen()

    assert not journal.fresh
    assert journal.synced(rel("a/b.txt")) == synced("a/b.txt")
    with_sum = msgspec.structs.replace(synced("c"), crc32c="00c0ffee")
    journal.mark_synced([(rel("c"), with_sum)])
    journal.note_manifests([(Key("d/m"), ETag("e"))])
    assert reopen().synced(rel("c")) == with_sum


def test_what_has_the_same_content_state_is_found_under_any_path(reopen):
    """Device, inode, size and mtime; a rename moves the ctime alone. Markers of directories have no content."""
    journal = reopen()
    journal.mark_synced(
        [
            (rel("a/b"), synced("a/b")),
            (rel("other"), synced("other", inode=8)),
            (rel("d/"), synced("d/")),
        ]
    )
    renamed = state()._replace(ctime_ns=99, mode=0o600)

    assert journal.synced_as(renamed) == [synced("a/b")]
    for change in ({"size_bytes": 4}, {"mtime_ns": 5}, {"device": 2}, {"inode": 9}):
        assert journal.synced_as(renamed._replace(**change)) == []


def test_a_file_in_a_large_journal_is_found_by_its_inode(reopen):
    """Cost per change must not grow with the tree: by an index."""
    plan = (
        reopen()
        ._database.execute("EXPLAIN QUERY PLAN SELECT 1 FROM synced WHERE inode = 1 AND device = 1")
        .fetchall()
    )

    assert "synced_by_inode" in plan[0][-1]


def test_a_sum_is_noted_of_the_object_that_it_was_read_for(reopen):
    """One that was sent meanwhile has another."""
    journal = reopen()
    journal.mark_synced([(rel("a"), synced("a"))])
    journal.note_crc32c(rel("a"), ETag("another"), "00000001")
    assert journal.synced(rel("a")).crc32c is None


def test_manifests_and_completions_come_and_go(reopen):
    """One whose writing isn't known to have ended has no ETag."""
    journal = reopen()
    journal.note_manifests([(Key("a/m"), None), (Key("b/m"), None)])
    journal.note_manifests([(Key("a/m"), ETag("e"))])
    journal.complete(rel("a"), 1)
    journal.complete(rel("a"), 2)
    journal.complete(rel("b"), 3)
    journal.complete(rel("b"), None)
    journal = reopen()
    assert journal.manifests() == {"a/m": "e", "b/m": None}
    assert journal.completed() == {"a": 2}
    journal.manifest_withdrawn(Key("a/m"))
    assert reopen().manifests() == {"b/m": None}


def test_a_journal_whose_making_was_cut_short_is_made_anew(reopen):
    """A crash between the tables and the destination leaves nothing that counts."""
    journal = reopen()
    journal._database.execute("DELETE FROM meta")

    assert reopen().fresh
    journal = reopen()
    journal.mark_synced([(rel("a"), synced("a"))])
    assert not reopen().fresh


@pytest.mark.parametrize("damage", ["garbage", "torn page", "truncated"])
def test_a_damaged_journal_is_moved_aside(reopen, directory, said, damage):
    """Damage costs the memory, never the run; what there was is kept beside."""
    journal = reopen()
    journal.mark_synced([(rel(f"d/{number}"), synced(f"d/{number}")) for number in range(2000)])
    journal.close()
    path = f"{directory}/{journal_file.NAME}"
    with open(path, "r+b") as file:
        if damage == "garbage":
            file.write(b"not a database at all")
        elif damage == "torn page":
            file.seek(8 * 4096)
            file.write(b"\xff" * 4096)
        else:
            file.truncate(5 * 4096)

    journal = Journal.open(directory, HERE)

    assert journal.fresh
    assert "journal.damaged" in said.getvalue()
    assert os.path.exists(f"{path}.damaged")
    journal.mark_synced([(rel("a"), synced("a"))])
    assert journal.count() == 1
    journal.close()


def test_damage_met_on_the_way_is_moved_aside_for_the_next_start(reopen, directory):
    """The process ends with a clear error, and the next one starts empty instead of failing again."""
    journal = reopen()
    journal.mark_synced([(rel(f"d/{number}"), synced(f"d/{number}")) for number in range(2000)])
    journal.close()
    with open(f"{directory}/{journal_file.NAME}", "r+b") as file:
        file.seek(os.fstat(file.fileno()).st_size // 8192 * 4096)
        file.write(b"\xff" * 4096 * 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_file, "CHECKED_BYTES", 0)  # as for one too large to be checked whole
        journal = Journal.open(directory, HERE)
        with pytest.raises(CannotWriteError, match="is damaged"):
            list(journal.rows())
        journal.close()

    with contextlib.closing(Journal.open(directory, HERE)) as journal:
        assert journal.fresh


def test_a_full_disk_is_said_as_such(reopen):
    """No space for the journal is an error with a hint, and what was there stays."""
    journal = reopen()
    journal.mark_synced([(rel("a"), synced("a"))])
    pages = journal._database.execute("PRAGMA page_count").fetchone()[0]
    journal._database.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(CannotWriteError, match="disk is full") as caught:
        journal.mark_synced([(rel(f"x/{number}"), synced("x")) for number in range(500)])

    assert "--state" in caught.value.hint
    assert journal.count() == 1


@pytest.mark.parametrize("obstacle", ["a file in its place", "no such parent can be made"])
def test_a_directory_that_cannot_be_made_is_an_error_with_a_hint(tmp_path, obstacle):
    """An unusable state directory stops the start, not the first upload."""
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" if obstacle == "a file in its place" else tmp_path / "file" / "state"

    with pytest.raises(CannotWriteError, match="can't write the journal") as caught:
        Journal.open(str(place), HERE)

    assert "--state" in caught.value.hint


def test_the_directory_is_for_its_owner_alone(reopen, directory):
    """File names may say much; the state directory isn't for others."""
    reopen()

    assert os.stat(directory).st_mode & 0o777 == 0o700


def test_a_second_process_is_kept_out(reopen, directory):
    """Two sidecars on one path would undo each other's work."""
    reopen()
    program = (
        "import sys; from sidecar.journal import Journal\n"
        "try: Journal.open(*sys.argv[1:])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )

    found = subprocess.run(
        [sys.executable, "-c", program, directory, HERE], capture_output=True, text=True, check=True
    )

    assert found.stdout.startswith("ConfigurationError another process has the journal")


def test_its_lock_goes_with_it(reopen, directory):
    """A closed journal, or one that failed to open, keeps nobody out."""
    reopen().close()
    journal = Journal.open(directory, HERE)
    with pytest.raises(ConfigurationError):
        Journal.open(directory, HERE)
    journal.close()
    Journal.open(directory, HERE).close()


def test_a_directory_is_read_at_once(reopen):
    """``synced_in`` gives what is right in a directory, markers with their slash."""
    journal = reopen()
    paths = ["top", "a/one", "a/two", "a/b/three", "a-b/four", "a/empty/"]
    journal.mark_synced([(rel(path), synced(path)) for path in paths])

    assert {"one", "two", "empty/"} == set(journal.synced_in(rel("a")))
    assert {"top": synced("top")} == journal.synced_in(rel(""))
    assert journal.synced_in(rel("nowhere")) == {}


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        ("", ["", "a", "a-b", "a/b", "é"]),
        ("a", ["a", "a/b"]),
        ("a/b", ["a/b"]),
        ("b", []),
        ("a\udcff", []),
    ],
)
def test_directories_are_those_with_something_in_them(reopen, below, expected):
    """Below a directory means inside it, not beside it with a longer name."""
    journal = reopen()
    paths = ["top", "a/one", "a/b/three", "a-b/four", "é/five"]
    journal.mark_synced([(rel(path), synced(path)) for path in paths])

    assert expected == list(journal.directories(rel(below)))


def test_rows_are_read_in_pages_while_they_change(reopen, monkeypatch):
    """Rows that are forgotten and added under the iteration don't disturb the others."""
    monkeypatch.setattr("sidecar.journal.PAGE_ROWS", 3)
    journal = reopen()
    paths = [f"d/{number:02}" for number in range(10)] + ["e/x"]
    journal.mark_synced([(rel(path), synced(path)) for path in paths])

    seen = []
    for path, _ in journal.rows():
        seen.append(path)
        journal.forget(path)

    assert paths == seen
    assert journal.count() == 0


def test_names_that_are_no_utf8_are_unknown(reopen):
    """Keys are UTF-8, so nothing else was ever uploaded; asking is no error."""
    journal = reopen()

    assert journal.synced(rel("a\udcff")) is None
    assert journal.synced_in(rel("a\udcff")) == {}
    assert journal.open_upload(rel("a\udcff")) is None


def test_an_upload_is_known_from_its_intention_to_its_end(reopen):
    """Each step is there after a restart; the end moves the file's row in at once."""
    journal = reopen()
    journal.intend(rel("big"), Key("run-1/big"), state(20), 8, 12.5)
    upload = reopen().open_upload(rel("big"))
    assert upload is not None
    assert (rel("big"), Key("run-1/big"), None, state(20), 8, 12.5) == upload

    journal = reopen()
    journal.begun(rel("big"), "id-1")
    journal.part_sent(rel("big"), Part(2, ETag("p2"), 8))
    journal.part_sent(rel("big"), Part(1, ETag("p1"), 8))
    journal.part_sent(rel("big"), Part(2, ETag("p2 again"), 8))
    journal = reopen()
    assert [each.upload_id for each in journal.open_uploads()] == ["id-1"]
    assert [Part(1, ETag("p1"), 8), Part(2, ETag("p2 again"), 8)] == journal.parts(rel("big"))

    journal.finished(rel("big"), synced("big", size_bytes=20))
    journal = reopen()
    assert journal.open_upload(rel("big")) is None
    assert journal.parts(rel("big")) == []
    assert synced("big", size_bytes=20) == journal.synced(rel("big"))


def test_a_dropped_upload_leaves_nothing(reopen):
    """Its parts would be taken for those of the next one."""
    journal = reopen()
    journal.intend(rel("big"), Key("big"), state(20), 8, 1.0)
    journal.begun(rel("big"), "id-1")
    journal.part_sent(rel("big"), Part(1, ETag("p1"), 8))

    journal.dropped(rel("big"))

    assert journal.open_upload(rel("big")) is None
    assert journal.parts(rel("big")) == []
    journal.intend(rel("big"), Key("big"), state(21), 8, 2.0)
    assert state(21) == reopen().open_upload(rel("big")).state


def test_every_transition_is_told_after_its_commit(directory):
    """What the hook is told of, another connection can already see."""
    told: list[tuple[str, int, int]] = []

    def after(name: str) -> None:
        with sqlite3.connect(f"{directory}/{journal_file.NAME}") as other:
            files = other.execute("SELECT count(*) FROM synced").fetchone()[0]
            uploads = other.execute("SELECT count(*) FROM uploads").fetchone()[0]
        other.close()
        told.append((name, files, uploads))

    journal = Journal.open(directory, HERE, after=after)
    journal.mark_synced([(rel("a"), synced("a"))])
    journal.mark_synced([])
    journal.intend(rel("b"), Key("b"), state(), 8, 1.0)
    journal.begun(rel("b"), "id")
    journal.part_sent(rel("b"), Part(1, ETag("p"), 3))
    journal.finished(rel("b"), synced("b"))
    journal.intend(rel("c"), Key("c"), state(), 8, 1.0)
    journal.dropped(rel("c"))
    journal.forget(rel("a"))
    journal.rebase(5)
    journal.rebase(5)
    journal.close()

    assert told == [
        ("mark_synced", 1, 0),
        ("intend", 1, 1),
        ("begun", 1, 1),
        ("part_sent", 1, 1),
        ("finished", 2, 0),
        ("intend", 2, 1),
        ("dropped", 2, 0),
        ("forget", 1, 0),
        ("rebase", 1, 0),
    ]


def test_a_volume_mounted_again_under_another_number_is_the_same(reopen):
    """A new device number alone makes nothing new; files of other mounts keep theirs."""
    journal = reopen()
    journal.rebase(1)
    journal.mark_synced(
        [(rel("a"), synced("a", device=1)), (rel("mounted/b"), synced("mounted/b", device=9))]
    )
    journal.intend(rel("c"), Key("c"), state(device=1), 8, 1.0)

    journal = reopen()
    journal.rebase(4)

    assert synced("a", device=4) == journal.synced(rel("a"))
    assert synced("mounted/b", device=9) == journal.synced(rel("mounted/b"))
    assert state(device=4) == journal.open_upload(rel("c")).state


def test_many_threads_note_files_at_once(reopen):
    """Whoever comes first writes for those who wait: all rows are there, in fewer transactions."""
    transactions: list[str] = []
    journal = reopen(after=transactions.append)
    started = threading.Barrier(8)

    def note(thread: int) -> None:
        started.wait()
        for number in range(100):
            path = rel(f"{thread}/{number}")
            journal.mark_synced([(path, synced(path))])
            assert journal.synced(path) is not None

    threads = [threading.Thread(target=note, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert journal.count() == 800
    assert len(transactions) <= 800


def test_rows_that_cannot_be_written_fail_their_own_caller_only(reopen):
    """What one thread can't note doesn't stand in the way of the next."""
    journal = reopen()

    with pytest.raises(UnicodeEncodeError):
        journal.mark_synced([(rel("a\udcff"), synced("a"))])
    journal.mark_synced([(rel("b"), synced("b"))])

    assert journal.count() == 1


def test_inodes_and_devices_of_64_bits_fit(reopen, tmp_path):
    """overlayfs with xino and some network file systems use the highest bit."""
    status = os.stat_result(
        (0o100644, 2**64 - 2, 2**63, 1, 0, 0, 5, 0, 0, 0), {"st_mtime_ns": 1, "st_ctime_ns": 2}
    )
    journal = reopen()
    seen = FileState.of(status)
    journal.mark_synced([(rel("a"), Synced(seen, Key("a"), ETag("e")))])

    assert seen == journal.synced(rel("a")).state
    assert seen[:2] == (-(2**63), -2)


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/", "overlay", False),
        ("/outputs", "nfs4", True),
        ("/outputs/run/.lighterman", "nfs4", True),
        ("/outputs-2", "overlay", False),
        ("/outputs/local", "ext4", False),
        ("/with blank/x", "cifs", True),
        ("/bucket", "fuse.s3fs", True),
        ("/covered", "tmpfs", False),
    ],
)
def test_network_file_systems_are_known_by_their_mounts(tmp_path, path, kind, network):
    """A rollback journal instead of WAL on network filesystems."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 0:1 / / rw - overlay overlay rw\n"
        "2 1 0:2 / /outputs rw shared:1 - nfs4 server:/x rw\n"
        "3 2 0:3 / /outputs/local rw - ext4 /dev/x rw\n"
        "4 1 0:4 / /with\\040blank rw - cifs //server/x rw\n"
        "5 1 0:5 / /bucket rw - fuse.s3fs s3fs rw\n"
        "6 1 0:6 / /covered rw - nfs server:/y rw\n"
        "7 1 0:7 / /covered rw - tmpfs tmpfs rw\n"
    )

    assert kind == journal_file.filesystem_kind(path, str(mounts))
    assert network == journal_file.on_network(path, str(mounts))


def test_without_a_mount_table_a_file_system_counts_as_local(tmp_path):
    """No /proc is no reason to fail."""
    assert not journal_file.on_network("/", str(tmp_path / "none"))


@pytest.mark.parametrize(("network", "mode"), [(False, "wal"), (True, "delete")])
def test_the_database_is_kept_as_its_file_system_allows(reopen, monkeypatch, network, mode):
    """The mode follows the file system at every start, also that of a journal which has the other."""
    reopen().mark_synced([(rel("a"), synced("a"))])
    monkeypatch.setattr(journal_file, "on_network", lambda _: network)

    journal = reopen()

    assert mode == journal._database.execute("PRAGMA journal_mode").fetchone()[0]
    assert journal.count() == 1
