"""Writers that nobody here wrote, under a sidecar: at the end the bucket equals the tree, in paths, bytes and modes."""

import os
import sqlite3
import subprocess
import sys
import textwrap
import zipfile

import pytest
import trees
from writing import EVENTS_OF_A_FILE, QUEUE, Written, burst

IDENTITY = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    **{
        f"GIT_{who}_{what}": "someone"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    },
}


@pytest.fixture
def written(s3_outputs, tmp_path):
    """Outputs that go to a bucket of moto's."""
    return Written(s3_outputs, tmp_path / "back")


@pytest.fixture
def tree(tmp_path):
    """Files as a job may bring them, with old mtimes."""
    root = trees.make_tree(tmp_path / "tree", 120, most_bytes=40_000)
    (root / "empty" / "below").mkdir(parents=True)
    return root


def git(*arguments, where=None):
    subprocess.run(
        ["git", *map(str, arguments)],
        cwd=where,
        check=True,
        env={**os.environ, **IDENTITY},
        capture_output=True,
    )


@pytest.fixture
def repository(tmp_path):
    """A repository with a few commits, branches and a tag."""
    root = tmp_path / "repository"
    git("init", "-q", "-b", "main", root)
    for commit in range(5):
        for number in range(8):
            path = root / f"d{number}" / f"f{number}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{commit} {number}\n" * 50)
        git("add", "-A", where=root)
        git("commit", "-q", "-m", f"commit {commit}", where=root)
        git("branch", f"b{commit}", where=root)
    git("tag", "-a", "v1", "-m", "one", where=root)
    return root


def test_git_clone_and_gc(written, repository):
    """Locks renamed over refs, loose objects that become packs, empty directories of refs."""
    clone = written.path / "clone"
    git("clone", "-q", "--no-local", repository, clone)
    written.wait_until_some_is_there()
    for commit in range(3):
        (clone / f"new{commit}").write_text(str(commit))
        git("add", "-A", where=clone)
        git("commit", "-q", "-m", "more", where=clone)
    git("gc", "-q", "--aggressive", "--prune=now", where=clone)
    assert written.differences() == []


def test_tar_x(written, tree, tmp_path):
    """Old mtimes, set after each file's close; directories' modes at the end."""
    written.do("tar", "-C", tree, "-cf", tmp_path / "tree.tar", ".")
    written.do("tar", "-C", written.path, "-xpf", tmp_path / "tree.tar")
    assert written.differences() == []


def test_rsync_with_its_temporary_names(written, tree):
    """``.name.XXXXXX``, renamed; then again over changed files, with deletes, and in place."""
    written.do("rsync", "-a", f"{tree}/", f"{written.path}/copy/")
    written.wait_until_some_is_there()
    changed = sorted(path for path in tree.rglob("*") if path.is_file())
    for path in changed[::3]:
        path.write_bytes(path.read_bytes() + b"more")
    changed[1].unlink()
    written.do("rsync", "-a", "--delete", f"{tree}/", f"{written.path}/copy/")
    for path in changed[2::5]:
        path.write_bytes(b"in place " + path.read_bytes())
    written.do("rsync", "-a", "--inplace", "--no-whole-file", f"{tree}/", f"{written.path}/copy/")
    assert written.differences() == []


def test_cp_a_with_old_mtimes(written, tree):
    """A sidecar that compares mtimes with its last look misses these."""
    written.do("cp", "-a", tree, written.path / "copy")
    assert written.differences() == []


def test_pip_install_target(written, tmp_path):
    """Unpacked aside, compiled, and moved into place directory by directory."""
    wheel = tmp_path / "cargo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for number in range(40):
            archive.writestr(f"cargo/part{number % 4}/module{number}.py", f"NUMBER = {number}\n")
        archive.writestr("cargo/__init__.py", "")
        archive.writestr("cargo/run.py", "def main():\n    print('aye')\n")
        below = "cargo-1.0.dist-info"
        archive.writestr(f"{below}/METADATA", "Metadata-Version: 2.1\nName: cargo\nVersion: 1.0\n")
        archive.writestr(
            f"{below}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{below}/entry_points.txt", "[console_scripts]\ncargo = cargo.run:main\n")
        archive.writestr(f"{below}/RECORD", "")
    written.do(
        *(sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--target"),
        *(written.path / "packages", wheel),
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    assert (written.path / "packages" / "bin" / "cargo").stat().st_mode & 0o111
    assert written.differences() == []


def test_sqlite_in_wal_mode_under_load(written, tmp_path):
    """Written for a while by several connections; whole once they closed it."""
    path = written.path / "runs.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE steps (writer INTEGER, step INTEGER, loss REAL)")
    database.close()
    script = textwrap.dedent(
        """
        import sqlite3, sys
        database = sqlite3.connect(sys.argv[1], timeout=60)
        for step in range(400):
            with database:
                database.execute("INSERT INTO steps VALUES (?, ?, ?)", (sys.argv[2], step, step / 7))
        database.close()
        """
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, path, str(number)]) for number in range(3)
    ]
    assert [0, 0, 0] == [writer.wait(120) for writer in writers]
    assert written.differences() == []
    with sqlite3.connect(tmp_path / "back" / "runs.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("SELECT count(*) FROM steps").fetchall() == [(1200,)]
    database.close()


LOGGING = """
import logging, logging.handlers, sys
handler = logging.handlers.RotatingFileHandler(sys.argv[1], maxBytes=2000, backupCount=5)
log = logging.getLogger("job")
log.addHandler(handler)
for line in range(1000):
    log.warning("line %d of the log", line)
"""


def test_logs_rotated_by_rename(s3_outputs, tmp_path):
    """``train.log`` becomes ``train.log.1``, and a new one is opened, again and again."""
    written = Written(s3_outputs, tmp_path / "back", "--max-delay", "0.3")
    written.do(sys.executable, "-c", LOGGING, written.path / "train.log")
    assert max(path.name for path in written.path.glob("train.log*")) == "train.log.5"
    assert written.differences() == []


def test_logs_rotated_by_copytruncate(s3_outputs, tmp_path):
    """The writer keeps its descriptor: the log is copied aside and cut under it."""
    written = Written(s3_outputs, tmp_path / "back", "--max-delay", "0.3")
    with (written.path / "train.log").open("a") as log:
        for turn in range(5):
            for line in range(300):
                log.write(f"line {line} of turn {turn}\n")
                log.flush()
            written.do("cp", written.path / "train.log", written.path / f"train.log.{turn}")
            written.do("truncate", "-s", "0", written.path / "train.log")
        log.write("last\n")
    assert (written.path / "train.log").read_text() == "last\n"
    assert written.differences() == []


def test_directories_moved_during_their_upload(written, tree):
    """Each file ends under its last name, and nothing stays under an earlier one."""
    written.do("cp", "-a", tree, written.path / "one")
    written.wait_until_some_is_there()
    (written.path / "below").mkdir()
    for old, new in (("one", "two"), ("two", "below/three"), ("below/three", "four")):
        written.do("mv", written.path / old, written.path / new)
        some = next(path for path in (written.path / new).rglob("*") if path.is_file())
        some.write_text(f"written in {new}")
    assert written.differences() == []


def test_a_burst_that_overflows_the_queue(outputs, tmp_path):
    """Made at full speed, more than the queue holds: all there."""
    written = Written(outputs, tmp_path / "back")
    burst(written, int(QUEUE.read_text()) // EVENTS_OF_A_FILE + 3000)
    assert written.differences() == []
