"""
Killed with SIGKILL in the middle of parts and at random moments, and started again on the same volume:
nothing is lost, nothing is torn, and only what was under way is sent again.
"""

import contextlib
import os
import shutil
import signal
import sqlite3
import threading
from base64 import b64decode
from pathlib import Path
from typing import NamedTuple

import places
import pytest
import trees
from kills import kills, make_sparse, written_bytes
from outputs_place import eventually
from servers.faults import Slow, has_arrived, is_part

from lighterman.stores.azure import blocks

MIB = 1024 * 1024
FILES = 750
MOST_SMALL_BYTES = 64 * 1024
KILLS = kills(10)
"""Every second one comes while a part is under way, the others at random moments."""
PART_BYTES = 8 * MIB
PARTS_IN_FLIGHT = 4
LARGE_BYTES = KILLS * 32 * MIB
PART_BYTES_PER_SECOND = 40 * MIB
LARGE_BYTES_OF_A_VOLUME = KILLS * 116 * MIB
"""A volume takes less in one piece."""
MOST_MORE_PARTS = 3
"""One more than those in flight is under way once one of them has arrived."""
LONGEST_LIFE_SECONDS = 0.4
LONGEST_LIFE_OVER_A_VOLUME_SECONDS = 0.1
WORKERS = 16
IN_FLIGHT_BYTES = PARTS_IN_FLIGHT * PART_BYTES + WORKERS * MOST_SMALL_BYTES
BOOKKEEPING_BYTES = 32 * MIB
"""What all processes may write beside their copies: journals, logs, small files in memory first."""


@pytest.fixture
def proxy(bucket, proxy_to):
    """Counts what goes to the bucket, and lets parts take their time."""
    proxy = proxy_to("/".join(bucket.endpoint.split("/")[:3]))
    proxy.on(is_part, Slow(PART_BYTES_PER_SECOND), times=None)
    return proxy


def tree_for(place, directory, large_bytes):
    """Many odd files, and a large one."""
    names = places.names_for(place)
    tree = trees.make_tree(directory / "outputs", FILES, most_bytes=MOST_SMALL_BYTES, names=names)
    make_sparse(tree / "model.safetensors", large_bytes)
    return tree


def flags_for(tree):
    return ("sidecar", "--connection", "bucket", "--path", tree, "--to", "out", "--native")


def assert_nothing_is_torn(place, tree):
    for key, size_bytes in place.contents("out/").items():
        if not key.endswith("/"):  # a volume's are made before the files in them
            path = tree / key.removeprefix("out/")
            assert path.stat().st_size == size_bytes, f"{key} is torn"


def assert_all_came(program, tree, directory):
    back = program.run("init", "--connection", "bucket", "--dir", "out:.", "--to", directory)
    assert back.code == 0
    assert trees.differences(tree, directory) == []


# Buckets: a proxy sees each part.


class Parts:
    """The parts of the one large file that each process sent, as the proxy saw them."""

    def __init__(self, proxy):
        self._proxy = proxy
        self._before = 0
        self.there = []
        """What of the file the store was seen to have taken, as beginnings and ends."""
        self.sent_bytes = 0
        self.broken_bytes = 0
        """How much was sent of parts that the store didn't take, since their process was killed."""

    def under_way(self):
        return [part for part in self._of_this_life() if part.status is None]

    def wait_for_one_under_way(self, number, passed_bytes):
        """Wait until so many bytes passed of this process's part of that number, counted from 1."""
        part = self._proxy.wait_for(is_part, self._before + number)[self._before + number - 1]
        eventually(lambda: part.body_bytes >= passed_bytes)

    def left(self):
        """How many are still to be sent."""
        return (LARGE_BYTES - sum(end - start for start, end in self.there)) // PART_BYTES

    def end_life(self):
        """The process ended: nothing may have been sent of what had arrived before."""
        self._proxy.wait_until_left()
        parts = self._of_this_life()
        self._before += len(parts)
        for start, end in map(span_of, parts):
            again = [one for one in self.there if one[0] < end and start < one[1]]
            assert again == [], f"{start} to {end} was sent again"
        broken = [part for part in parts if not has_arrived(part)]
        assert len(broken) <= PARTS_IN_FLIGHT
        self.there += [span_of(part) for part in parts if has_arrived(part)]
        self.sent_bytes += sum(part.body_bytes for part in parts)
        self.broken_bytes += sum(part.body_bytes for part in broken)

    def _of_this_life(self):
        return self._proxy.seen(is_part)[self._before :]


def span_of(part):
    """Where in the file a part begins and ends, whichever upload it is of."""
    query = part.query
    if "upload_id" in query:  # of GCS's: bytes FIRST-LAST/TOTAL
        first, _, last = part.headers["content-range"].removeprefix("bytes ").partition("-")
        return int(first), int(last.partition("/")[0]) + 1
    if "blockid" in query:  # of Azure's: the SDK encodes the name that it was given
        number = blocks.parsed(b64decode(query["blockid"]).decode()).number
    else:
        number = int(query["partNumber"])
    start = (number - 1) * PART_BYTES
    return start, start + int(part.headers["content-length"])


def test_killed_again_and_again_over_a_bucket(bucket, proxy, program_over, tmp_path, chance):
    """No part that arrived is sent again, and of the others at most those in flight."""
    tree = tree_for(bucket, tmp_path, LARGE_BYTES)
    program, parts = program_over(places.through(bucket, proxy.url)), Parts(proxy)
    killed_at_parts = resumed = 0
    for kill in range(KILLS):
        sidecar = program.start(*flags_for(tree))
        sidecar.wait_for_event("sidecar.started")
        if kill % 2 and parts.left():
            number = min(PARTS_IN_FLIGHT + chance.randint(1, MOST_MORE_PARTS), parts.left())
            parts.wait_for_one_under_way(number, chance.randint(1, PART_BYTES // 2))
        else:
            threading.Event().wait(chance.uniform(0, LONGEST_LIFE_SECONDS))
        sidecar.signal(signal.SIGKILL)
        killed_at_parts += bool(parts.under_way())
        assert sidecar.finish().code == -signal.SIGKILL
        resumed += bool(parts.there) and parts.left() > 0
        parts.end_life()
        assert_nothing_is_torn(bucket, tree)
    assert killed_at_parts >= KILLS // 4
    assert resumed >= KILLS // 4
    assert parts.broken_bytes > 0

    sidecar = program.start(*flags_for(tree), "--grace", "600")
    sidecar.wait_for_event("sidecar.started")
    sidecar.signal(signal.SIGTERM)
    finished = sidecar.finish(seconds=300)
    parts.end_life()

    assert finished.code == 0
    again_bytes = parts.sent_bytes - LARGE_BYTES
    print(  # noqa: T201 - pytest shows it when the test fails
        f"{killed_at_parts} of {KILLS} kills came during parts; {again_bytes / MIB:.1f} MiB were sent"
        f" again, {parts.broken_bytes / MIB:.1f} MiB were under way"
    )
    assert again_bytes <= parts.broken_bytes
    assert again_bytes <= killed_at_parts * PARTS_IN_FLIGHT * PART_BYTES
    assert_all_came(program, tree, tmp_path / "back")


# A volume: its parts are files, and the kernel counts what each process wrote.


class Writing(NamedTuple):
    """What tells one writing of a file from another."""

    inode: int
    changed_ns: int
    size_bytes: int


class Pieces:
    """The files of a volume: objects, parts, and what was being written when its process was killed."""

    def __init__(self, root):
        self._root = Path(root)

    def parts(self):
        return set(self._root.glob(".lighterman-uploads/*/part-*"))

    def whole(self):
        """Each part and object."""
        return {
            path: Writing(status.st_ino, status.st_ctime_ns, status.st_size)
            for path in self._root.rglob("*")
            if not path.name.startswith(".lighterman-tmp-")
            for status in [path.stat()]
            if path.is_file()
        }

    def is_being_joined(self, pid):
        """Whether the process is at copying the parts into the object, or that is there."""
        return (self._root / "out" / "model.safetensors").exists() or any(
            size_bytes > LARGE_BYTES_OF_A_VOLUME // 4 for size_bytes in nameless_bytes(pid)
        )


def nameless_bytes(pid):
    """How far the files without a name are that a process has open for writing."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(descriptor).endswith(" (deleted)"):
                yield descriptor.stat().st_blocks * 512


def noted_parts(tree, directory):
    """The numbers of the parts that the journal of a killed process has."""
    copies = directory / "journal"
    shutil.copytree(tree / ".lighterman", copies, dirs_exist_ok=True)
    with contextlib.closing(sqlite3.connect(copies / "journal.db")) as journal:
        found = {number for (number,) in journal.execute("SELECT number FROM parts")}
    shutil.rmtree(copies)
    return found


def test_killed_again_and_again_over_a_volume(volume, program_over, tmp_path, chance):
    """No part is written again that was noted, and of all others at most what was in flight."""
    tree = tree_for(volume, tmp_path, LARGE_BYTES_OF_A_VOLUME)
    tree_bytes = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
    program, pieces = program_over(volume), Pieces(volume.root)
    flags = (*flags_for(tree), "--workers", str(WORKERS))
    all_parts = LARGE_BYTES_OF_A_VOLUME // PART_BYTES
    killed_at_parts = written = again_bytes = 0
    noted = set()
    for kill in range(KILLS + 1):
        before, parts = pieces.whole(), pieces.parts()
        sidecar = program.start(*flags)
        sidecar.wait_for_event("sidecar.started")
        if kill == KILLS:
            eventually(lambda pid=sidecar.pid: pieces.is_being_joined(pid))
        elif kill % 2:
            wanted = len(parts) + chance.randint(1, all_parts // KILLS)
            eventually(lambda wanted=wanted: len(pieces.parts()) >= min(wanted, all_parts))
        else:
            threading.Event().wait(chance.uniform(0, LONGEST_LIFE_OVER_A_VOLUME_SECONDS))
        sidecar.signal(signal.SIGKILL)
        written += written_bytes(sidecar)
        assert sidecar.finish().code == -signal.SIGKILL
        assert_nothing_is_torn(volume, tree)

        # Between its name of the moment and its own, a small one may be caught.
        left = list(volume.root.rglob(".lighterman-tmp-*"))
        assert len(left) <= kill + 1
        assert all(path.stat().st_size <= PART_BYTES for path in left)
        after = pieces.whole()
        again = {path for path, writing in before.items() if after.get(path) != writing}
        again_bytes += sum(before[path].size_bytes for path in again)
        assert {part.name for part in again & parts} & noted == set()
        assert len(again & parts) <= PARTS_IN_FLIGHT
        assert len(again - parts) <= WORKERS
        noted = {f"part-{number}" for number in noted_parts(tree, tmp_path)}
        killed_at_parts += 0 < len(noted) < all_parts
    assert killed_at_parts >= KILLS // 4

    sidecar = program.start(*flags, "--grace", "600")
    sidecar.wait_for_event("sidecar.started")
    sidecar.signal(signal.SIGTERM)
    written += written_bytes(sidecar)
    finished = sidecar.finish()

    assert finished.code == 0
    once_bytes = tree_bytes + LARGE_BYTES_OF_A_VOLUME  # parts are joined by a second copy
    print(  # noqa: T201 - pytest shows it when the test fails
        f"{killed_at_parts} of {KILLS} kills came during parts; {(written - once_bytes) / MIB:.1f} MiB"
        f" were written again, {again_bytes / MIB:.1f} MiB in what was whole"
    )
    # At each kill what was in flight, at the last one what was joined by then.
    torn_bytes = KILLS * IN_FLIGHT_BYTES + LARGE_BYTES_OF_A_VOLUME
    assert written - once_bytes <= torn_bytes + again_bytes + BOOKKEEPING_BYTES
    assert_all_came(program, tree, tmp_path / "back")
