"""
Killed with SIGKILL among small files and in the middle of a large one's ranges, and started again on the
same volume: the tree is whole in the end, and what was noted is not fetched again.
"""

import contextlib
import random
import signal
import sqlite3
from typing import NamedTuple
from urllib.parse import unquote

import places
import pytest
import trees
from kills import allocated_bytes, make_sparse, written_bytes
from outputs_place import eventually
from servers.faults import Slow

from initializer.large import RANGE_BYTES

MIB = 1024 * 1024
FILES = 300
MOST_SMALL_BYTES = 64 * 1024
LARGE = "d2/model.bin"
"""Some of the small files come before it, some after."""
LARGE_BYTES = 20 * RANGE_BYTES + 5
LARGE_BYTES_OF_A_VOLUME = 1024 * MIB
WORKERS = 4
MOST_UNNOTED = 60
"""Small files in flight, and those that came since the notes were last written, some 25 ms before."""
QUICK_RANGES = 5
RANGE_BYTES_PER_SECOND = 10 * MIB
CRAWL_BYTES_PER_SECOND = MIB // 8
BOOKKEEPING_BYTES = 8 * MIB
"""What all processes may write beside their copies: notes and logs."""
STARTS = "init", "--connection", "bucket", "--dir", "out:.", "--workers", str(WORKERS)


@pytest.fixture
def proxy(bucket, proxy_to):
    """Counts what comes from the bucket."""
    return proxy_to("/".join(bucket.endpoint.split("/")[:3]))


def tree_at(tree, large_bytes):
    """Small files, and a large one."""
    small = random.Random(7)
    for number in range(FILES):
        path = tree / f"d{number * 5 // FILES}" / f"{number:04}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(small.randbytes(small.randrange(MOST_SMALL_BYTES)))
    make_sparse(tree / LARGE, large_bytes)
    return tree


def size_of(tree):
    return sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())


class Destination:
    """What init fills, and what of it is noted there for the next start."""

    def __init__(self, path, tree):
        self.path = path
        self._tree = tree

    def placed(self):
        """The files that are in their places; none of them may be torn."""
        found = {
            str(path.relative_to(self.path)) for path in self.path.rglob("*") if path.is_file()
        }
        found = {name for name in found if ".lighterman" not in name}
        for name in found - {LARGE}:
            assert (self.path / name).read_bytes() == (self._tree / name).read_bytes()
        if LARGE in found:
            assert (self.path / LARGE).stat().st_size == (self._tree / LARGE).stat().st_size
        return found

    def noted(self):
        """The small files that the notes name, each with what tells another writing of it."""
        notes = self._notes()
        names = [f"{path.parent.name}/{path.name}" for path in self._tree.glob("*/*.txt")]
        return {name: self._writing(name) for name in names if name.encode() in notes}

    def noted_starts(self):
        """Where the ranges of the large file begin that the notes tell of; none while they are being written."""
        query = "select done from ranges where path = ?"
        notes = f"file:{self.path}/.lighterman/init.sqlite3?mode=ro&vfs=unix-none"
        try:
            with contextlib.closing(sqlite3.connect(notes, uri=True)) as database:
                row = database.execute(query, (LARGE.encode(),)).fetchone()
        except sqlite3.Error:
            return set()
        return {at * RANGE_BYTES for at, is_done in enumerate(row[0]) if is_done} if row else set()

    def temporaries(self):
        return list(self.path.rglob(".lighterman-*.tmp"))

    def torn_bytes(self):
        """How much is there of files that aren't in their places."""
        return allocated_bytes(self.temporaries())

    def lost_bytes(self):
        """How much is there that another start may bring again: torn, or not noted."""
        unnoted = self.placed() - self.noted().keys()
        return self.torn_bytes() + sum((self.path / name).stat().st_size for name in unnoted)

    def _notes(self):
        return b"".join(path.read_bytes() for path in self.path.glob(".lighterman/*.sqlite3"))

    def _writing(self, name):
        status = (self.path / name).stat()
        return status.st_ino, status.st_ctime_ns


# Buckets: a proxy sees each request for bytes.


def key_of(request):
    """The file below the prefix that a request asks the bytes of; empty when it asks something else."""
    is_of_bytes = request.method == "GET" and "prefix" not in request.query
    return unquote(request.path).partition("/out/")[2] if is_of_bytes else ""


def is_of_small(request):
    return key_of(request).endswith(".txt")


def is_of_large(request):
    return key_of(request) == LARGE


def start_of(request):
    """Where a range of the large file begins."""
    asked = request.headers.get("range") or request.headers["x-ms-range"]
    return int(asked.removeprefix("bytes=").partition("-")[0])


class Fetched(NamedTuple):
    """The requests that one process made for bytes."""

    small: list
    large: list

    @property
    def names(self):
        return {key_of(request) for request in self.small}

    @property
    def starts(self):
        return {start_of(request) for request in self.large}

    @property
    def whole_starts(self):
        return {start_of(request) for request in self.large if request.is_answered}

    @property
    def size_bytes(self):
        return sum(one.answer_bytes for one in (*self.small, *self.large))

    def bytes_but_of(self, names, starts=frozenset()):
        """How much came of all other files, and of all other ranges."""
        others = [one for one in self.small if key_of(one) not in names]
        others += [one for one in self.large if start_of(one) not in starts]
        return sum(one.answer_bytes for one in others)


class Lives:
    """Processes that are started on one destination one after another, and what each fetched."""

    def __init__(self, program, proxy, destination):
        self._program = program
        self._proxy = proxy
        self.destination = destination

    def start(self):
        return self._program.start(*STARTS, "--to", self.destination.path)

    def kill(self, running):
        assert running.kill().code == -signal.SIGKILL
        self.destination.placed()
        return self.fetched()

    def fetched(self):
        """By the process that just ended."""
        self._proxy.wait_until_left()
        fetched = Fetched(self._proxy.seen(is_of_small), self._proxy.seen(is_of_large))
        self._proxy.forget()
        return fetched

    def killed_among_small_files(self, number):
        running = self.start()
        self._proxy.wait_for(is_of_small, number)
        return self.kill(running)

    def killed_in_a_range(self, number, passed_bytes):
        self._proxy.on(is_of_large, Slow(RANGE_BYTES_PER_SECOND), times=None)
        running = self.start()
        asked = self._proxy.wait_for(is_of_large, number)[number - 1]
        eventually(lambda: asked.answer_bytes >= passed_bytes)
        return self.kill(running)

    def killed_once_ranges_are_noted(self):
        """The first ranges come at once, the others crawl until the notes tell of the first."""
        self._proxy.on(is_of_large, Slow(CRAWL_BYTES_PER_SECOND), times=None, skip=QUICK_RANGES)
        running = self.start()

        def came():
            return {start_of(one) for one in self._proxy.seen(is_of_large) if one.is_answered}

        eventually(lambda: len(came()) == QUICK_RANGES)
        eventually(lambda: came() <= self.destination.noted_starts())
        return self.kill(running)


def test_killed_again_and_again_from_a_bucket(bucket, proxy, program_over, tmp_path, chance):
    """No small file that was noted is fetched again, and no range of a large one that was."""
    tree = tree_at(tmp_path / "tree", LARGE_BYTES)
    program = program_over(places.through(bucket, proxy.url))
    assert program.run("sync", "--connection", "bucket", "--path", tree, "--to", "out").code == 0
    proxy.forget()
    destination = Destination(tmp_path / "dest", tree)
    lives = Lives(program, proxy, destination)

    first = lives.killed_among_small_files(chance.randint(20, FILES // 2))
    noted = destination.noted()
    assert len(first.names - noted.keys()) <= MOST_UNNOTED
    fetched_bytes, lost_bytes = first.size_bytes, first.bytes_but_of(noted)

    for number in chance.randint(1, 3), chance.randint(WORKERS + 1, 2 * WORKERS):
        passed_bytes = chance.randint(RANGE_BYTES // 2, RANGE_BYTES - MIB)
        fetched = lives.killed_in_a_range(number, passed_bytes)
        assert fetched.names & noted.keys() == set()
        noted |= destination.noted()
        assert len(fetched.names - noted.keys()) <= MOST_UNNOTED
        fetched_bytes += fetched.size_bytes
        lost_bytes += fetched.bytes_but_of(noted)

    fetched = lives.killed_once_ranges_are_noted()
    kept = fetched.whole_starts
    assert len(kept) == QUICK_RANGES
    assert fetched.names & noted.keys() == set()
    fetched_bytes += fetched.size_bytes
    lost_bytes += fetched.bytes_but_of(noted, kept)

    finished = lives.start().finish()
    fetched = lives.fetched()
    fetched_bytes += fetched.size_bytes

    assert finished.code == 0
    assert finished.event("init.file_resumed")["size_bytes"] >= QUICK_RANGES * RANGE_BYTES
    assert fetched.names & noted.keys() == set()
    assert fetched.starts & kept == set()
    print(  # noqa: T201 - pytest shows it when the test fails
        f"{(fetched_bytes - size_of(tree)) / MIB:.1f} MiB were fetched again,"
        f" {lost_bytes / MIB:.1f} MiB weren't noted"
    )
    assert fetched_bytes - size_of(tree) <= lost_bytes
    assert {name: destination.noted()[name] for name in noted} == noted
    assert destination.temporaries() == []
    assert trees.differences(tree, destination.path) == []


# A volume: the kernel counts what each process writes.


def test_killed_again_and_again_from_a_volume(volume, program_over, tmp_path, chance):
    """What is written again is the large file as far as it came, and small files that weren't noted."""
    tree = tree_at(volume.root / "out", LARGE_BYTES_OF_A_VOLUME)
    program = program_over(volume)
    destination = Destination(tmp_path / "dest", tree)
    written = lost_bytes = killed_in_large = 0

    def start():
        return program.start(*STARTS, "--to", destination.path)

    def kill(running):
        running.signal(signal.SIGKILL)
        its_bytes = written_bytes(running)
        assert running.finish().code == -signal.SIGKILL
        return its_bytes

    def is_among_small_files(number):
        return len(list(destination.path.glob("*/*.txt"))) >= number

    def is_in_large_file(size_bytes):
        is_placed = (destination.path / LARGE).exists()
        return is_placed or destination.torn_bytes() >= size_bytes

    running, number = start(), chance.randint(20, FILES // 2)
    eventually(lambda: is_among_small_files(number))
    written += kill(running)
    noted = destination.noted()
    lost_bytes += destination.lost_bytes()

    for share in sorted(chance.uniform(0, 0.5) for _ in range(3)):
        running = start()
        eventually(lambda share=share: is_in_large_file(share * LARGE_BYTES_OF_A_VOLUME))
        written += kill(running)
        noted |= destination.noted()
        lost_bytes += destination.lost_bytes()
        killed_in_large += LARGE not in destination.placed()
    assert killed_in_large > 0

    running = start()
    written += written_bytes(running)

    assert running.finish().code == 0
    print(  # noqa: T201 - pytest shows it when the test fails
        f"{(written - size_of(tree)) / MIB:.1f} MiB were written again,"
        f" {lost_bytes / MIB:.1f} MiB weren't noted"
    )
    assert written - size_of(tree) <= lost_bytes + BOOKKEEPING_BYTES
    assert {name: destination.noted()[name] for name in noted} == noted
    assert destination.temporaries() == []
    assert trees.differences(tree, destination.path) == []
