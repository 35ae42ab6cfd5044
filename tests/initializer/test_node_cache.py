"""A node's cache: what is whole comes out of it as it went in; whatever else lies there is dropped, or left alone."""

import io
import json
import os
import stat
import subprocess
import sys

import pytest
from cache_desk import ATTRIBUTES, MIB, Desk
from program import REPOSITORY

from initializer.cache import node
from initializer.cache.locks import lease_of
from initializer.cache.record import name_of
from lighterman import log
from lighterman.errors import CannotWriteError

SIZES = [0, 1, node.SMALL_BYTES, node.SMALL_BYTES + 1, 3 * MIB + 7]


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.fixture
def said():
    """What is written to the log."""
    stream = io.StringIO()
    log.configure("info", "json", stream)
    yield stream
    log.configure()


def lines(said, event):
    found = [json.loads(line) for line in said.getvalue().splitlines()]
    return [line for line in found if line["event"] == event]


def reasons(said, event):
    return [line["reason"] for line in lines(said, event)]


@pytest.mark.parametrize("size", SIZES)
def test_what_went_in_comes_out(desk, size):
    """Content, and what came with it, from another process's view on the directory too."""
    content = os.urandom(size)
    assert desk.take(content) is None
    desk.keep(content, checksum="md5:abc")
    assert desk.take(content) == content
    assert desk.take(content, cache=desk.open()) == content
    entry = desk.cache.find(desk.name(content), size)
    assert entry.record.attributes == ATTRIBUTES
    assert entry.record.checksum == "md5:abc"
    os.close(entry.descriptor)


def test_entries_are_for_reading(desk):
    """Nobody writes to an entry by its name; the directory is every user's, a tree its user's alone."""
    desk.keep(b"x")
    assert stat.S_IMODE(desk.entry(b"x").stat().st_mode) & 0o222 == 0
    assert stat.S_IMODE(desk.path.stat().st_mode) == 0o1777
    tree = desk.path / f"uid-{os.geteuid()}"
    assert stat.S_IMODE(tree.stat().st_mode) & 0o022 == 0


@pytest.mark.parametrize("size", SIZES)
def test_writing_in_place_to_what_came_out_leaves_the_entry_alone(desk, size):
    """Never a hard link: a job that writes to its file would spoil it for all others."""
    content = os.urandom(size)
    desk.keep(content)
    assert desk.take(content) == content
    with (desk.directory / "out").open("r+b") as file:
        file.write(b"the job's own")
    with (desk.directory / f"in-{size}").open("r+b") as file:
        file.write(b"the first job's own")
    assert desk.take(content) == content
    assert desk.entry(content).stat().st_nlink == 1


def spoil_first(path):
    _overwrite(path, 0)


def spoil_middle(path):
    _overwrite(path, path.stat().st_size // 3)


def spoil_record(path):
    _overwrite(path, path.stat().st_size - 30)


def cut(path):
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size - 5)


def cut_to_nothing(path):
    path.chmod(0o644)
    os.truncate(path, 0)


def lengthen(path):
    path.chmod(0o644)
    with path.open("ab") as file:
        file.write(b"more")


def _overwrite(path, at):
    told = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(at)
        old = file.read(1)
        file.seek(at)
        file.write(bytes([old[0] ^ 1]))
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))


@pytest.mark.parametrize("size", [100, 3 * MIB + 7])
@pytest.mark.parametrize(
    "spoil", [spoil_first, spoil_middle, spoil_record, cut, cut_to_nothing, lengthen]
)
def test_a_poisoned_entry_is_dropped_and_said(desk, said, size, spoil):
    """One bit, one byte less, one more, at the same size and time: it isn't used, and makes room for another."""
    content = os.urandom(size)
    desk.keep(content)
    spoil(desk.entry(content))
    assert desk.take(content) is None
    assert not desk.entry(content).exists()
    assert len(reasons(said, "init.cache_entry_dropped")) == 1
    desk.keep(content)
    assert desk.take(content) == content


def plant_symlink(path):
    target = path.parent / "target"
    path.rename(target)
    path.symlink_to(target)


def plant_fifo(path):
    path.unlink()
    os.mkfifo(path)


def plant_another(path):
    """The whole entry of another key."""
    path.unlink()
    other = next(one for one in path.parent.parent.glob("*/*") if one != path)
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("plant", [plant_symlink, plant_fifo, plant_another])
def test_what_was_planted_is_not_followed(desk, said, plant):
    """A symlink, a fifo, another entry under this one's name: dropped, never read from, never waited for."""
    desk.keep(b"content")
    desk.keep(b"CONTENT", key="other")
    plant(desk.entry(b"content"))
    assert desk.take(b"content") is None
    assert not desk.entry(b"content").exists()
    assert len(reasons(said, "init.cache_entry_dropped")) == 1


def test_what_cannot_be_dropped_is_not_looked_at_again(desk, said):
    """A directory in an entry's place: the file comes from its store, and nobody waits for the entry."""
    desk.entry(b"x").mkdir(parents=True)
    assert desk.cache.has(desk.name(b"x"))
    assert desk.take(b"x") is None
    assert not desk.cache.has(desk.name(b"x"))
    desk.keep(b"x")
    assert reasons(said, "init.cache_not_filled") == ["Is a directory"]


def test_a_half_written_entry_is_never_one(desk, said):
    """A copy that ended half-way has no name, and leaves nothing."""
    content = os.urandom(3 * MIB)
    descriptor = desk.file(content)
    os.truncate(descriptor, MIB)  # the disk died half-way
    name = desk.name(content)
    desk.cache.keep(name, desk.item(content), descriptor, ATTRIBUTES, None, reserved_bytes=0)
    os.close(descriptor)
    assert not desk.cache.has(name)
    assert desk.take(content) is None
    assert [path.name for path in desk.path.rglob("*") if path.is_file()] == ["lock"]
    assert reasons(said, "init.cache_not_filled") == ["the file can't be read again"]


def test_a_destination_that_takes_no_more_fails_the_file_and_keeps_the_entry(desk):
    """No space where the file goes is the job's trouble, not the cache's."""
    content = os.urandom(MIB)
    desk.keep(content)
    entry = desk.cache.find(desk.name(content), MIB)
    full = os.open("/dev/full", os.O_RDWR)
    with pytest.raises(CannotWriteError, match="no space left"):
        desk.cache.copy_out(entry, desk.item(content), full)
    os.close(full)
    os.close(entry.descriptor)
    assert desk.take(content) == content


def test_a_cache_that_takes_no_more_is_said_once(desk, said):
    """What is still to come to the same filesystem has the right of way."""
    desk.keep(b"x" * 1000, reserved_bytes=1 << 60)
    desk.keep(b"y" * 1001, reserved_bytes=1 << 60)
    assert reasons(said, "init.cache_not_filled") == ["its filesystem has no space to spare"]
    desk.keep(b"y" * 1001)
    assert desk.take(b"y" * 1001) == b"y" * 1001


def test_files_larger_than_the_limit_are_not_kept(tmp_path, said):
    """Nothing is thrown out for them, and it's no trouble."""
    desk = Desk(tmp_path, size_bytes=10_000)
    desk.keep(bytes(5000))
    desk.keep(bytes(20_000))
    assert not desk.cache.takes(20_000)
    assert desk.take(bytes(5000)) == bytes(5000)
    assert desk.take(bytes(20_000)) is None
    assert reasons(said, "init.cache_not_filled") == []
    desk.close()


def test_a_use_makes_an_entry_the_last_to_go(tmp_path):
    """The least recently used goes, whatever was written when."""
    desk = Desk(tmp_path, size_bytes=10_000)
    for number in range(3):
        desk.keep(bytes([number]) * (2500 + number))
        os.utime(desk.entry(bytes([number]) * (2500 + number)), (1000 + number, 1000 + number))
    assert desk.take(bytes(2500)) is not None
    desk.keep(bytes([3]) * 2503)
    assert desk.take(bytes(2500)) is not None
    assert desk.take(bytes([1]) * 2501) is None
    desk.close()


def test_without_a_size_half_of_the_filesystem_is_its_limit(tmp_path):
    """A node whose disk is full evicts its pods."""
    desk = Desk(tmp_path, size_bytes=None)
    told = os.statvfs(tmp_path)
    assert desk.cache.limit_bytes == told.f_blocks * told.f_frsize // 2
    desk.close()


def test_a_directory_that_is_a_file_is_no_cache(tmp_path, said):
    """A warning with the mend; the job goes on without."""
    (tmp_path / "cache").write_text("x")
    desk = Desk(tmp_path)
    assert desk.cache is None
    assert reasons(said, "init.cache_not_used") == ["it is no directory"]
    assert "uid" in lines(said, "init.cache_not_used")[0]["hint"]


@pytest.mark.parametrize(
    ("mode", "why"),
    [(0o777, "other users may write to it"), (0o775, "other users may write to it")],
)
def test_a_tree_that_others_may_write_to_is_not_trusted(tmp_path, said, mode, why):
    """Whoever can write an entry can feed every pod that takes it."""
    tree = tmp_path / "cache" / f"uid-{os.geteuid()}"
    tree.mkdir(parents=True)
    tree.chmod(mode)
    assert Desk(tmp_path).cache is None
    assert reasons(said, "init.cache_not_used") == [why]


def test_a_tree_that_is_a_symlink_is_not_followed(tmp_path, said):
    """Planted beside other users' trees, it would lead anywhere."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f"uid-{os.geteuid()}").symlink_to(tmp_path / "elsewhere")
    assert Desk(tmp_path).cache is None
    assert reasons(said, "init.cache_not_used") == ["Not a directory"]


def test_a_lease_is_of_one_process(desk):
    """One brings an entry, the others look again; it ends with its process."""
    other = desk.open()
    name = desk.name(b"x")
    assert desk.cache.lease(name)
    assert not other.lease(name)
    desk.cache.release(name)
    assert other.lease(name)
    other.release(name)
    holding = (
        "import sys\n"
        "from initializer.cache.node import open_cache\n"
        "from initializer.entries import CacheSetting\n"
        "from lighterman.clock import SystemClock\n"
        f"cache = open_cache(CacheSetting({str(desk.path)!r}, 1 << 20), SystemClock())\n"
        f"print(cache.lease({name!r}), flush=True)\n"
        "sys.stdin.read()"
    )
    held = subprocess.Popen(
        [sys.executable, "-c", holding],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert held.stdout.readline() == "True\n"
    assert not desk.cache.lease(name)
    held.kill()
    held.communicate()
    assert desk.cache.lease(name)


def test_leases_of_two_entries_are_two():
    """By sixty bits of the name, none of which the counter uses."""
    names = [name_of("s", str(number), "e", 1) for number in range(1000)]
    places = {lease_of(name) for name in names}
    assert len(places) == 1000
    assert min(places) >= 4096


# Other users: their trees are theirs; root's may be read.

if os.geteuid() == 0:
    OTHER = 1234

    def as_other(desk, *arguments):
        """Open the cache as another user, in a process of its own; what it finds of the one entry."""
        code = (
            "import os\n"
            "import structlog\n"
            "from initializer.cache.node import open_cache\n"
            "from initializer.entries import CacheSetting\n"
            "from lighterman.clock import SystemClock\n"
            "os.setgroups([]); os.setgid(1234); os.setuid(1234)\n"
            f"cache = open_cache(CacheSetting({str(desk.path)!r}, 1 << 20), SystemClock())\n"
            f"entry = cache and cache.find({arguments[0]!r}, {arguments[1]!r})\n"
            "print(bool(cache), cache and cache.takes(1), entry and entry.content)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()[-1]

    @pytest.fixture
    def open_way(tmp_path):
        """Every directory above is searchable by others."""
        for parent in (tmp_path, *tmp_path.parents):
            if stat.S_IMODE(parent.stat().st_mode) & 0o001 == 0:
                parent.chmod(parent.stat().st_mode | 0o001)

    @pytest.mark.usefixtures("open_way")
    def test_every_user_reads_what_root_fetched_and_writes_a_tree_of_its_own(desk):
        """A node's agent may fill the cache for all."""
        desk.keep(b"content")
        assert as_other(desk, desk.name(b"content"), 7) == "True True b'content'"
        assert (desk.path / "uid-1234").stat().st_uid == OTHER

    @pytest.mark.usefixtures("open_way")
    def test_a_directory_that_others_may_not_write_to_is_read_only_to_them(desk):
        """A hostPath that the kubelet made is root's: its entries are used, none is written."""
        desk.keep(b"content")
        desk.path.chmod(0o755)
        assert as_other(desk, desk.name(b"content"), 7) == "True False b'content'"

    @pytest.mark.usefixtures("open_way")
    def test_what_another_user_wrote_is_not_taken(desk, said):
        """Not even by root: its content is whatever that user wanted it to be."""
        tree = desk.path / f"uid-{os.geteuid()}"
        desk.keep(b"content")
        os.chown(tree, OTHER, OTHER)
        desk.close()
        assert desk.open() is None
        assert reasons(said, "init.cache_not_used") == [f"uid {OTHER} owns it"]
