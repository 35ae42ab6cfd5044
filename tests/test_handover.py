"""What init says to the sidecar: a row vouches for a file only while it is exactly as it was left."""

import os
import sqlite3

import pytest

from lighterman.handover import NAME, Handover, brought


@pytest.fixture
def root(tmp_path):
    """An outputs path."""
    (tmp_path / "outputs" / ".lighterman").mkdir(parents=True)
    return tmp_path / "outputs"


def hand_over(root, *files, destination="http://s3/bucket", prefix="run/"):
    handover = Handover(str(root), f"{root}/.lighterman")
    for name in files:
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"content")
        with path.open("rb") as file:
            handover.add(destination, f"{prefix}{name}", "etag", str(path), file.fileno())
    handover.flush()
    handover.close()


def rows(root, place="http://s3/bucket/run"):
    return [row for page in brought(f"{root}/.lighterman", place) for row in page]


def test_what_was_brought_is_told_by_path_and_by_place(root):
    """Odd names too; what came from another place isn't told."""
    hand_over(root, "b", "d/ü\n'", "d/\udc80")
    hand_over(root, "other", prefix="run-2/")
    hand_over(root, "elsewhere", destination="http://s3/other")
    hand_over(root, "whole", prefix="")
    assert [row.path for row in rows(root)] == ["b", "d/\udc80", "d/ü\n'"]
    assert all(row.is_of(os.lstat(root / row.path)) for row in rows(root))
    assert [row.path for row in rows(root, "http://s3/bucket/")] == ["whole"]


@pytest.mark.parametrize(
    ("key", "path"), [("run/a", "b"), ("run/data", "a"), ("runa", "a"), ("a/x", "y/x")]
)
def test_a_file_under_another_name_than_its_object_s(root, key, path):
    """It would be sent to another key: its place is that which makes its key, or there is none."""
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_bytes(b"1")
    handover = Handover(str(root), f"{root}/.lighterman")
    with (root / path).open("rb") as file:
        handover.add("http://s3/bucket", key, "etag", str(root / path), file.fileno())
    handover.flush()
    handover.close()
    assert rows(root) == []


def rewritten(path):
    """In place, with the size and the time that it had."""
    times = path.stat()
    path.write_bytes(b"CONTENT")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def replaced(path):
    other = path.with_name("other")
    other.write_bytes(b"content")
    times = path.stat()
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.rename(path)


def linked(path):
    path.rename(path.with_name("real"))
    path.symlink_to("real")


@pytest.mark.parametrize(
    "change",
    [rewritten, replaced, linked, lambda path: path.chmod(0o600), os.utime],
    ids=["rewritten", "replaced", "linked", "chmod", "touched"],
)
def test_a_file_that_was_touched_is_vouched_for_by_none(root, change):
    """The time of its last change tells, whatever else was put back."""
    hand_over(root, "a")
    [row] = rows(root)
    at = os.lstat(root / "a").st_ctime_ns
    while (root / "tick").write_bytes(b"") or os.lstat(root / "tick").st_ctime_ns == at:
        pass  # the kernel stamps times by its ticks
    change(root / "a")
    assert not row.is_of(os.lstat(root / "a"))


@pytest.mark.parametrize(
    "content", [b"", b"no database" * 500, None], ids=["empty", "damaged", "another's"]
)
def test_a_file_that_is_none_of_ours_tells_nothing(root, content):
    """Nothing that is wrong with it is an error."""
    file = root / ".lighterman" / NAME
    if content is None:
        with sqlite3.connect(file) as database:
            database.execute("create table brought (path, place, etag)")
            database.execute("insert into brought values (1, 'http://s3/bucket/run', 2)")
        database.close()
    else:
        file.write_bytes(content)
    assert rows(root) == []


def test_a_link_is_not_written_through(root, tmp_path):
    """Whoever planted it gains nothing."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    (root / ".lighterman" / NAME).symlink_to(victim)
    hand_over(root, "a")
    assert victim.read_bytes() == b""
    assert [row.path for row in rows(root)] == ["a"]


def test_a_disk_that_takes_no_notes_stops_nothing(root):
    """The sidecar compares contents, then."""
    (root / ".lighterman" / NAME).mkdir()
    hand_over(root, "a")
    assert rows(root) == []


def test_many_rows_come_in_pages(root):
    """Memory is for one page."""
    hand_over(root, *(f"f{number:04}" for number in range(2500)))
    pages = list(brought(f"{root}/.lighterman", "http://s3/bucket/run"))
    assert [len(page) for page in pages] == [1000, 1000, 500]
    assert [row.path for page in pages for row in page] == [f"f{n:04}" for n in range(2500)]
