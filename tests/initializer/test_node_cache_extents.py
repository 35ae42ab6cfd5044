"""Shared extents: on a real filesystem that has them, where one can be made; and what follows from the answer."""

import errno
import os
import subprocess
import sys

import pytest
from cache_desk import MIB, Desk
from program import REPOSITORY

from initializer.cache import copying

XFS = 'mkfs.xfs -q "$0" && mount -o loop "$0" "$1" && cd "$2" && exec "${@:3}"'


def _may_make_xfs(directory):
    image, mount = directory / "image", directory / "mount"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(400 * MIB)
    command = ["unshare", "--mount", "bash", "-c", XFS, image, mount, REPOSITORY, "true"]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode == 0


ON_XFS = """
import os, sys
from pathlib import Path
sys.path.insert(0, "tests")
from cache_desk import Desk, MIB
from initializer.cache import node

def must_not(*_):
    raise AssertionError("it was copied byte by byte")

node.copied = must_not
desk = Desk(sys.argv[1])
content = os.urandom(20 * MIB + 5)
free = lambda: os.statvfs(sys.argv[1]).f_bavail * os.statvfs(sys.argv[1]).f_frsize
desk.file(content); os.sync()
before = free()
desk.keep(content)
assert desk.take(content) == content
os.sync()
taken = before - free()
with open(Path(sys.argv[1]) / "out", "r+b") as file:
    file.write(b"the job's own")
assert desk.take(content) == content
assert (Path(sys.argv[1]) / "out").stat().st_size == len(content)
print(taken)
"""


def test_extents_are_shared_where_the_filesystem_has_that(tmp_path):
    """On XFS nothing is copied, either way; writing in place to the file leaves the entry as it was."""
    if os.geteuid() != 0 or not _may_make_xfs(tmp_path):
        pytest.skip("no XFS can be made and mounted here")
    image, mount = tmp_path / "image2", tmp_path / "mount"
    with image.open("wb") as file:
        file.truncate(400 * MIB)
    command = ["unshare", "--mount", "bash", "-c", XFS, image, mount, REPOSITORY]
    done = subprocess.run(
        [*command, sys.executable, "-c", ON_XFS, mount], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 4 * MIB  # of 40 that copies would take


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def test_filesystems_that_cannot_share_are_asked_once(desk, monkeypatch):
    """Then it is copied, from and to the same pair without another try."""
    asked = []

    def refuse(*_):
        asked.append(1)
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(copying.fcntl, "ioctl", refuse)
    for number in range(3):
        content = os.urandom(MIB + number)
        desk.keep(content)
        assert desk.take(content) == content
    assert asked == [1]
