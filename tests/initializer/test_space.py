"""Space is checked before the first byte; for tmpfs the memory limit too."""

import os

import pytest

from initializer.space import Need, Needs, Room, filesystem_of, room_at, rounded, why_too_little
from lighterman.errors import CannotWriteError

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("need", "room", "reason"),
    [
        (Need(100, 1), Room(100, 1, None, None), None),
        (Need(0, 0), Room(0, 1, 0, 0), None),
        (Need(101, 1), Room(100, 1, None, None), "101 bytes are needed and 100 are free"),
        (Need(100, 1), Room(1000, 1, None, 100), None),
        (
            Need(101, 1),
            Room(1000, 1, None, 100),
            "it is kept in memory, 101 bytes are needed and the container may use 100 more",
        ),
        (Need(1, 5), Room(1000, 1, 5, None), None),
        (Need(1, 6), Room(1000, 1, 5, None), "6 files are needed and it can take 5 more"),
    ],
)
def test_what_is_needed_against_what_is_free(need, room, reason):
    """The reason says how much is needed and how much is free."""
    assert why_too_little(need, room) == reason


@pytest.mark.parametrize(
    ("size", "block", "taken"), [(0, 4096, 0), (1, 4096, 4096), (4096, 4096, 4096), (5, 1, 5)]
)
def test_files_take_whole_blocks(size, block, taken):
    """A million small files need more than their bytes."""
    assert rounded(size, block) == taken


def test_the_room_of_a_real_directory(tmp_path):
    """As statvfs tells it."""
    room = room_at(str(tmp_path))
    assert room.block_bytes == os.statvfs(tmp_path).f_frsize
    assert room.free_bytes > 0


@pytest.fixture
def container(tmp_path):
    """A container whose files in this directory are kept in memory, by what proc and sys say."""
    number = os.stat(tmp_path).st_dev
    files = {
        "proc/self/mountinfo": "22 1 0:99999 / /proc rw - proc proc rw\n"
        f"36 35 {os.major(number)}:{os.minor(number)} / /mnt rw,noatime shared:1 - tmpfs tmpfs rw\n",
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": f"{128 * MIB}\n",
        "sys/fs/cgroup/memory.current": f"{100 * MIB}\n",
        "sys/fs/cgroup/memory.stat": f"anon {1 * MIB}\nfile {90 * MIB}\nshmem {30 * MIB}\n",
    }
    root = tmp_path / "container"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_files_in_memory_are_bounded_by_the_memory_limit(tmp_path, container):
    """What is used counts, except the page cache that would make room."""
    assert room_at(str(tmp_path), container).memory_bytes == (128 - 100 + 60) * MIB


def test_the_first_version_of_cgroups_tells_it_too(tmp_path, container):
    """Its page cache holds the files of tmpfs as well: they don't make room."""
    (container / "proc/self/cgroup").write_text("4:memory:/pod\n")
    place = container / "sys/fs/cgroup/memory/pod"
    place.mkdir(parents=True)
    (place / "memory.limit_in_bytes").write_text(f"{128 * MIB}\n")
    (place / "memory.usage_in_bytes").write_text(f"{100 * MIB}\n")
    (place / "memory.stat").write_text(f"total_cache {50 * MIB}\ntotal_shmem {40 * MIB}\n")
    assert room_at(str(tmp_path), container).memory_bytes == (128 - 100 + 10) * MIB
    (place / "memory.stat").unlink()
    assert room_at(str(tmp_path), container).memory_bytes == 28 * MIB


def test_without_a_limit_files_in_memory_are_not_bounded(tmp_path, container):
    """Then only the file system's own size counts."""
    (container / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert room_at(str(tmp_path), container).memory_bytes is None


def test_files_on_a_disk_are_not_bounded_by_memory(tmp_path, container):
    """A mountinfo of another device, or none that can be read, says nothing of memory."""
    (container / "proc/self/mountinfo").write_text("1 1 0:99999 / / rw - tmpfs tmpfs rw\n")
    assert room_at(str(tmp_path), container).memory_bytes is None
    (container / "proc/self/mountinfo").unlink()
    assert room_at(str(tmp_path), container).memory_bytes is None


@pytest.mark.parametrize(
    ("device", "kind"),
    [((8, 1), "ext4"), ((0, 45), "tmpfs"), ((0, 4), None), ((0, 46), "overlay")],
)
def test_the_file_system_of_a_device(device, kind):
    """Optional fields before the dash may be none or many."""
    lines = [
        "21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n",
        "22 1 0:45 / /dev/shm rw shared:1 master:2 - tmpfs shm rw\n",
        "23 1 0:46 / /x rw shared:3 - overlay overlay rw,lowerdir=/a\n",
    ]
    assert filesystem_of(os.makedev(*device), lines) == kind


def test_destinations_on_one_file_system_share_its_room(tmp_path):
    """Two that would fit alone don't fit together."""
    roots = [str(tmp_path / name) for name in ("one", "two")]
    for root in roots:
        os.mkdir(root)
    free = room_at(str(tmp_path)).free_bytes
    alone = Needs(roots)
    alone.add(0, free * 6 // 10)
    alone.require()
    together = Needs(roots)
    together.add(0, free * 6 // 10)
    together.add(1, free * 6 // 10)
    with pytest.raises(CannotWriteError, match=r"^no space in .*/one: \d+ bytes are needed"):
        together.require()
