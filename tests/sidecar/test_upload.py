"""From a file into the bucket: which files, when, and how they are there afterwards."""

import contextlib
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from sending import MIB, Outputs, noise

from lighterman.clock import SystemClock
from lighterman.errors import CannotWriteError, CredentialsError, TransientError
from lighterman.stores.contract import Key
from lighterman.transfer.tally import Totals
from sidecar.output import REST_SECONDS, opened
from sidecar.states import RelPath
from sidecar.upload import BUSY_SECONDS, Outcome, Result

LARGE_BYTES = 20 * MIB


class ClockAt(SystemClock):
    """The real clock, its wall set off."""

    def __init__(self, wall_seconds: float) -> None:
        self.wall_seconds = wall_seconds
        self.waited: list[float] = []

    def wall(self) -> float:
        return self.wall_seconds

    def wait(self, seconds: float, until: threading.Event | None = None) -> bool:
        self.waited.append(seconds)
        return super().wait(seconds, until)


@pytest.mark.parametrize("size_bytes", [0, 1, 70_000, 8 * MIB, 8 * MIB + 1, LARGE_BYTES])
def test_a_file_is_in_the_bucket_as_it_was(outputs, size_bytes):
    """Content, mode and mtime of the file are those of its object, and the journal knows the state."""
    content = noise(size_bytes)
    path = outputs.write("a dir/ü+%#.bin", content)
    os.chmod(outputs.root / path, 0o640)
    os.utime(outputs.root / path, ns=(1, 1_600_000_000_123_000_000))
    outputs.rest(path)

    assert outputs.send(path) is Result.SENT

    assert content == outputs.stored(path)
    stat = outputs.store.stat(outputs.key(path))
    assert (stat.attributes.mode, stat.attributes.mtime_ns) == (0o640, 1_600_000_000_123_000_000)
    synced = outputs.synced(path)
    assert (stat.key, stat.etag) == (synced.key, synced.etag)
    assert synced.state.size_bytes == size_bytes
    assert outputs.open_uploads() == []


def test_what_the_journal_has_costs_no_request(outputs):
    """A second look at the same state is answered by the journal alone, also after a restart."""
    path = outputs.write("a")
    outputs.send(path)
    outputs.restart()

    assert outputs.send(path) is Result.UNCHANGED
    assert outputs.store.calls == []


@pytest.mark.parametrize(
    "change",
    [
        lambda place: place.write_bytes(b"another"),
        lambda place: place.chmod(0o600),
        lambda place: os.utime(place, ns=(5, 5)),
        lambda place: (
            place.with_name("new").write_bytes(b"content"),
            place.with_name("new").rename(place),
        ),
    ],
    ids=["content", "mode", "mtime", "replaced by its equal"],
)
def test_any_other_state_is_sent(outputs, change):
    """Content or metadata: what changed goes to the bucket again."""
    path = outputs.write("a")
    outputs.send(path)
    change(outputs.root / path)
    outputs.rest(path)

    assert outputs.send(path) is Result.SENT
    assert (outputs.root / path).read_bytes() == outputs.stored(path)


def test_without_a_prefix_the_key_is_the_path(tmp_path, volume_store):
    """The whole bucket may be the destination."""
    outputs = Outputs(tmp_path, volume_store, prefix="")
    path = outputs.write("a/b")

    outputs.send(path)

    assert outputs.listed_keys() == ["a/b"]
    outputs.close()


def make_socket(place: Path) -> None:
    directory = os.open(place.parent, os.O_RDONLY)  # a socket's address has 107 bytes at most
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{directory}/{place.name}")
    os.close(directory)


@pytest.mark.parametrize(
    "make",
    [
        lambda place: None,
        lambda place: place.mkdir(),
        os.mkfifo,
        make_socket,
        lambda place: place.symlink_to("nowhere"),
        lambda place: place.symlink_to(place.name),
        lambda place: place.symlink_to("/etc/passwd"),
        lambda place: place.symlink_to(place.parent.parent / "outside"),
    ],
    ids=["nothing", "directory", "fifo", "socket", "dangling", "loop", "absolute", "outside"],
)
def test_what_is_no_file_of_the_outputs_is_gone(outputs, make):
    """Symlinks out of it, and sockets, fifos, devices: skipped, never waited for."""
    (outputs.root.parent / "outside").write_text("secret")
    make(outputs.root / "odd")
    for entry in os.listdir(outputs.root.parent):
        if (outputs.root.parent / entry).is_file():
            outputs.rest(f"../{entry}")

    assert outputs.send("odd") is Result.GONE
    assert outputs.listed_keys() == []


def test_a_directory_turned_into_a_link_leads_nowhere(outputs):
    """No component of the path may lead out either."""
    (outputs.root.parent / "secrets").mkdir()
    outputs.write("../secrets/key")
    (outputs.root / "dir").symlink_to("../secrets")

    assert outputs.send("dir/key") is Result.GONE


def test_a_file_below_a_file_is_gone(outputs):
    """A directory that was replaced by a file took its files with it."""
    outputs.write("a")

    assert outputs.send("a/b") is Result.GONE


def test_a_link_to_inside_is_sent_as_what_it_points_to(outputs):
    """Symlinks to inside the path are uploaded as what they point to."""
    outputs.write("real/file", b"pointed at")
    (outputs.root / "link").symlink_to("real/file")

    assert outputs.send("link") is Result.SENT
    assert outputs.stored("link") == b"pointed at"


@pytest.mark.parametrize("size_bytes", [10, LARGE_BYTES])
def test_a_file_that_is_open_for_writing_waits_for_its_close(outputs, size_bytes):
    """A large file being written slowly never replaces the good object in the bucket before its close."""
    path = outputs.write("a", b"the good one")
    outputs.send(path)
    with (outputs.root / path).open("wb") as file:
        file.write(noise(size_bytes))
        file.flush()
        outputs.rest(path)
        assert outputs.uploader.send(path) == Outcome(Result.OPEN, None)
        assert outputs.stored(path) == b"the good one"

    outputs.rest(path)
    assert outputs.send(path) is Result.SENT
    assert noise(size_bytes) == outputs.stored(path)


@pytest.mark.parametrize("option", ["live", "final"])
def test_a_live_file_and_the_drain_do_not_wait_for_a_close(outputs, option):
    """What grows for hours is sent as it is now, and at the end everything is."""
    path = outputs.write("a.log", b"line\n")
    with (outputs.root / path).open("ab"):
        assert outputs.send(path, **{option: True}) is Result.SENT

    assert outputs.stored(path) == b"line\n"


def test_whoever_opens_a_file_during_the_check_disturbs_nobody(tmp_path):
    """The lease's signal would end the process by its default (SIGIO): another one is chosen."""
    program = (
        "import sys\n"
        "from sidecar.output import opened\n"
        "print('ready', flush=True)\n"
        "for _ in range(5_000):\n"
        "    with opened(sys.argv[1], 'file') as output:\n"
        "        output.is_being_written()\n"
    )
    (tmp_path / "file").write_text("x")
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as checker:
        assert checker.stdout.readline() == b"ready\n"
        while checker.poll() is None:
            for _ in range(100):
                os.close(os.open(tmp_path / "file", os.O_WRONLY))

    assert checker.returncode == 0
    with opened(str(tmp_path), RelPath("file")) as output:
        assert not output.is_being_written()


def test_a_state_younger_than_the_kernels_clock_is_not_trusted(outputs):
    """A change within one clock tick is invisible: look again when the ctime is old enough."""
    path = outputs.write("a")
    ctime = os.stat(outputs.root / path).st_ctime_ns / 1e9
    outputs.restart(ClockAt(ctime + 0.005))

    result, retry_after_seconds = outputs.uploader.send(path)

    assert result is Result.CHANGED
    assert retry_after_seconds == pytest.approx(REST_SECONDS - 0.005, abs=1e-4)
    assert outputs.store.calls == []
    outputs.restart(ClockAt(ctime + REST_SECONDS + 0.001))
    assert outputs.send(path) is Result.SENT


def test_a_file_server_whose_clock_is_ahead_is_served_too(outputs):
    """Two equal looks some ticks apart are as good as an old ctime."""
    path = outputs.write("a")
    clock = ClockAt(os.stat(outputs.root / path).st_ctime - 3600)
    outputs.restart(clock)

    assert outputs.send(path) is Result.SENT
    assert clock.waited == [REST_SECONDS]


def test_a_file_that_changes_between_two_looks_is_looked_at_again(outputs):
    """An ahead clock is no reason to trust a file that is being rewritten."""
    path = outputs.write("a")

    class ChangingClock(ClockAt):
        def wait(self, seconds, until=None):
            (outputs.root / path).write_bytes(b"changed meanwhile")
            return False

    outputs.restart(ChangingClock(0.0))

    assert outputs.uploader.send(path) == Outcome(Result.CHANGED, REST_SECONDS)


@pytest.fixture
def other_user():
    """Become another user for the test's length, where the user is root, who may read everything."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        yield


@pytest.mark.parametrize("closed", ["file", "directory"])
def test_an_unreadable_file_is_named(volume_store, closed, request):
    """An unreadable file fails the drain (73) and is named."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        outputs = Outputs(Path(directory), volume_store)
        path = outputs.write("dir/private.txt")
        closed_place = outputs.root / (path if closed == "file" else "dir")
        closed_place.chmod(0)
        outputs.rest("dir")
        request.getfixturevalue("other_user")

        with pytest.raises(CannotWriteError, match=r"can't read output dir/private.txt") as caught:
            outputs.send(path)

        if os.getuid() == 0:
            os.seteuid(0)
        closed_place.chmod(0o700)
        assert caught.value.key == path
        assert "uid" in caught.value.hint
        outputs.close()


def test_a_name_that_is_no_utf8_is_refused_by_name(outputs):
    """Keys are UTF-8: such a file fails the drain (73), it is never renamed or dropped silently."""
    place = os.fsencode(outputs.root) + b"/bad\xff.txt"
    with open(place, "wb"):
        pass
    os.mkdir(os.fsencode(outputs.root) + b"/dir\xff")

    with pytest.raises(CannotWriteError, match=r"can't name output bad\\xff.txt"):
        outputs.send(os.fsdecode(b"bad\xff.txt"))
    with pytest.raises(CannotWriteError, match=r"can't name output dir\\xff"):
        outputs.uploader.mark_directory(RelPath("dir\udcff"))


def test_a_file_whose_name_a_bucket_cannot_have_and_that_is_gone_is_no_failure(outputs):
    """It was renamed, as the message says, while its last attempt was under way."""
    assert outputs.send(os.fsdecode(b"bad\xff.txt")) is Result.GONE
    marked = outputs.uploader.mark_directory(RelPath(os.fsdecode(b"dir\xff")))
    assert marked.result is Result.GONE


def test_too_many_open_files_may_pass(outputs):
    """Running out of descriptors is said, and is no fault of the file."""
    path = outputs.write("a")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))), hard))
    held = []
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        with pytest.raises(TransientError, match="Too many open files"):
            outputs.send(path)
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_one_path_is_sent_by_one_thread(outputs):
    """A second send of a path under way is told to come again."""
    path = outputs.write("a")
    second: list[Outcome] = []
    outputs.store.before("write", lambda: second.append(outputs.uploader.send(path)))

    assert outputs.send(path) is Result.SENT
    assert second == [Outcome(Result.CHANGED, BUSY_SECONDS)]
    assert outputs.send(path) is Result.UNCHANGED


@pytest.mark.parametrize("size_bytes", [10, LARGE_BYTES])
def test_transient_trouble_is_tried_again(outputs, size_bytes):
    """Each request has attempts of its own: nothing that arrived is sent again."""
    path = outputs.write("a", noise(size_bytes))

    def fail() -> None:
        raise TransientError("the network is away")

    for method in ("write", "begin", "send_part", "finish"):
        outputs.store.before(method, fail)

    assert outputs.send(path) is Result.SENT
    assert noise(size_bytes) == outputs.stored(path)
    parts = 4 if size_bytes == LARGE_BYTES else 0
    assert outputs.store.calls.count("send_part") == parts
    assert outputs.tally.totals().retries == (1 if size_bytes == 10 else 3)


@pytest.mark.parametrize("size_bytes", [10, LARGE_BYTES])
def test_the_tally_counts_what_arrived(outputs, size_bytes):
    """Planned as it begins, carried as it goes, done at its end; nothing stays planned after a failure."""
    path = outputs.write("a", noise(size_bytes))

    def refuse() -> None:
        raise CredentialsError("no")

    outputs.store.before("write", refuse)
    outputs.store.before("finish", refuse)

    with pytest.raises(CredentialsError):
        outputs.send(path)
    left_bytes = 10 if size_bytes == 10 else 0  # the parts are there already
    moved_bytes = size_bytes - left_bytes
    assert outputs.tally.totals() == Totals(0, 0, 0, 0, 0, 0, 0, 0, moved=moved_bytes)
    outputs.send(path)
    expected = Totals(1, left_bytes, 1, left_bytes, 0, 0, 0, 0, moved=size_bytes)
    assert expected == outputs.tally.totals()


def open_files() -> list[str]:
    """What is open, but for the sockets that a store keeps."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return sorted(name for name in found if name.startswith("/"))


def test_nothing_is_left_open(outputs):
    """Thousands of files must not cost descriptors."""
    paths = [
        outputs.write(f"{number}", noise(9 * MIB if number == 0 else 5)) for number in range(4)
    ]
    outputs.send(paths[0])
    before = open_files()

    for path in paths[1:]:
        outputs.send(path)
    outputs.send("nowhere")

    assert open_files() == before


def test_an_empty_directory_has_a_marker(outputs):
    """Empty directories become ``dir/`` markers, once for each state of theirs."""
    (outputs.root / "a/empty").mkdir(parents=True)

    assert outputs.uploader.mark_directory(RelPath("a/empty")).result is Result.SENT
    assert outputs.listed_keys() == [outputs.key("a/empty/")]
    assert outputs.uploader.mark_directory(RelPath("a/empty")).result is Result.UNCHANGED
    assert outputs.synced("a/empty/").key == outputs.key("a/empty/")
    (outputs.root / "a/empty").chmod(0o700)
    assert outputs.uploader.mark_directory(RelPath("a/empty")).result is Result.SENT


def test_what_is_no_directory_has_no_marker(outputs):
    """A directory may vanish, or become a file, before its marker is written."""
    outputs.write("file")

    for path in ("nowhere", "file", "file/below"):
        assert outputs.uploader.mark_directory(RelPath(path)).result is Result.GONE
    assert outputs.listed_keys() == []


def test_a_synced_file_that_is_gone_can_be_deleted(outputs):
    """``mirror`` deletes keys that this journal uploaded, unchanged since."""
    path = outputs.write("a")
    outputs.send(path)
    (outputs.root / path).unlink()

    assert outputs.uploader.delete(path)

    assert outputs.key(path) not in outputs.listed_keys()
    assert outputs.synced(path) is None
    assert not outputs.uploader.delete(path)


def test_what_is_there_again_is_not_deleted(outputs):
    """Whoever decided that it is gone may have looked a while ago."""
    path = outputs.write("a")
    outputs.send(path)

    assert not outputs.uploader.delete(path)

    assert outputs.key(path) in outputs.listed_keys()
    assert outputs.synced(path) is not None


@pytest.mark.parametrize("when", ["stat", "delete"])
@pytest.mark.parametrize("what", ["a file", "an empty directory"])
def test_what_comes_back_while_it_is_deleted_is_sent_after_that(outputs, when, what):
    """Else the delete would be of the object that was just made, and the journal would say that it is there."""
    path = RelPath("a" if what == "a file" else "a/")

    def make():
        if what == "a file":
            outputs.write("a", b"another")
            return outputs.uploader.send(path).result
        (outputs.root / "a").mkdir()
        return outputs.uploader.mark_directory(RelPath("a")).result

    make()
    if what == "a file":
        (outputs.root / path).unlink()
    else:
        (outputs.root / path).rmdir()
    results = []
    outputs.store.before(when, lambda: results.append(make()))

    assert outputs.uploader.delete(path)

    assert results == [Result.CHANGED]
    assert outputs.synced(path) is None
    assert outputs.key(path) not in outputs.listed_keys()


@pytest.mark.parametrize("by", ["someone else wrote it", "it is gone already"])
def test_what_someone_else_did_stays(outputs, by):
    """A key that is another object by now isn't ours to delete."""
    path = outputs.write("a")
    outputs.send(path)
    if by == "someone else wrote it":
        other = outputs.write("../other", b"by someone else")
        with opened(str(outputs.root.parent), RelPath("other")) as output:
            stat = outputs.store.stat(outputs.key(path))
            outputs.store.write(Key(stat.key), output.window, stat.attributes)
        assert other
    else:
        outputs.store.delete(outputs.key(path))
    (outputs.root / path).unlink()

    assert not outputs.uploader.delete(path)
    assert outputs.synced(path) is None
    if by == "someone else wrote it":
        assert outputs.stored(path) == b"by someone else"
