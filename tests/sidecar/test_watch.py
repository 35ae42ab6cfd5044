"""An outputs path under the kernel's inotify: what is done to files, and what is told of it."""

import errno
import os
import shutil
import time

import pytest
from inotify_simple import Event, flags

from sidecar.globs import Names
from sidecar.states import RelPath
from sidecar.walk import directories
from sidecar.watch import Change, Kind, Watcher, events_arrive


class Watched:
    """A watched tree, and what was told of it so far."""

    def __init__(self, root, names=None):
        self.root = root
        self.watcher = Watcher(str(root), names or Names())

    def begin(self):
        for directory in directories(str(self.root), Names()):
            self.watcher.watch(directory)

    def told(self):
        """Everything that is told; the kernel queues events before the system call returns."""
        changes = list(self.watcher.read())
        return changes + list(self.watcher.read())

    def of(self, path):
        return [change.kind for change in self.told() if change.path == path]


@pytest.fixture
def watched(tmp_path):
    watched = Watched(tmp_path)
    watched.begin()
    yield watched
    watched.watcher.close()


def test_a_file_that_is_written_and_closed_is_told_so(watched, tmp_path):
    """CREATE of an empty file and MODIFY say that it is written, CLOSE_WRITE that it is complete."""
    with (tmp_path / "a").open("w") as file:
        assert watched.of("a") == [Kind.WRITING]
        file.write("x")
        file.flush()
        assert watched.of("a") == [Kind.WRITING]
    assert watched.of("a") == [Kind.CLOSED]


def test_many_writes_are_told_once(watched, tmp_path):
    """A writer of many small pieces costs no more than one of few."""
    with (tmp_path / "a").open("wb", buffering=0) as file:
        watched.told()
        for _ in range(100):
            file.write(b"x")
        assert watched.of("a") == [Kind.WRITING]


@pytest.mark.parametrize(
    "make",
    [
        lambda root: os.rename(root / "d" / "was", root / "new"),
        lambda root: os.link(root / "d" / "was", root / "new"),
        lambda root: os.symlink("d/was", root / "new"),
    ],
    ids=["renamed", "linked", "symlinked"],
)
def test_a_name_that_appears_complete_has_arrived(tmp_path, make):
    """Renames and links give no CLOSE_WRITE."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "was").write_text("x")
    watched = Watched(tmp_path)
    watched.begin()
    make(tmp_path)
    assert watched.of("new") == [Kind.ARRIVED]
    watched.watcher.close()


def test_a_rename_tells_where_the_file_came_from(watched, tmp_path):
    """Its open writer, if it has one, is known under the old name."""
    (tmp_path / "a").write_text("x")
    watched.told()
    (tmp_path / "a").rename(tmp_path / "b")
    assert [Change(Kind.GONE, "a"), Change(Kind.ARRIVED, "b", "a")] == watched.told()


def test_a_chmod_is_told(watched, tmp_path):
    """The mode goes to the bucket too."""
    (tmp_path / "a").write_text("x")
    watched.told()
    (tmp_path / "a").chmod(0o600)
    assert watched.of("a") == [Kind.TOUCHED]


def test_a_delete_is_told(watched, tmp_path):
    """Nothing is sent under a name that is gone."""
    (tmp_path / "a").write_text("x")
    watched.told()
    (tmp_path / "a").unlink()
    assert Kind.GONE in watched.of("a")


def test_a_fifo_is_not_told(watched, tmp_path):
    """Nobody shall try to open it."""
    os.mkfifo(tmp_path / "pipe")
    assert watched.told() == []


def test_a_writer_of_a_replaced_file_is_not_taken_for_one_of_its_successor(watched, tmp_path):
    """The old inode's writes come under the same name, and are kept out."""
    with (tmp_path / "a").open("wb", buffering=0) as old:
        (tmp_path / "new").write_text("complete")
        (tmp_path / "new").rename(tmp_path / "a")
        watched.told()
        old.write(b"late")
        assert watched.told() == []


def test_deep_directories_made_at_once_are_all_found(watched, tmp_path):
    """Files that were there before their directory's watch are found by the look that follows it."""
    deep = tmp_path / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    (deep / "early").write_text("x")
    assert Kind.ARRIVED in watched.of("a/b/c/d/early")
    (deep / "late").write_text("x")
    assert Kind.CLOSED in watched.of("a/b/c/d/late")


def test_a_directory_moved_in_is_watched_with_what_it_has(watched, tmp_path_factory, tmp_path):
    """``mv`` of a finished directory into the outputs is one event for all of its files."""
    outside = tmp_path_factory.mktemp("outside") / "ckpt"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "f").write_text("x")
    outside.rename(tmp_path / "ckpt")
    assert watched.of("ckpt/deep/f") == [Kind.ARRIVED]
    (tmp_path / "ckpt" / "deep" / "g").write_text("x")
    assert Kind.CLOSED in watched.of("ckpt/deep/g")


def test_a_directory_moved_inside_has_its_new_path(watched, tmp_path):
    """The kernel's watches follow the inode; the paths must follow the rename."""
    (tmp_path / "one" / "deep").mkdir(parents=True)
    (tmp_path / "one" / "deep" / "f").write_text("x")
    (tmp_path / "other").mkdir()
    watched.told()
    (tmp_path / "one").rename(tmp_path / "other" / "two")
    told = watched.told()
    assert {Change(Kind.DIRECTORY_GONE, "one"), Change(Kind.DIRECTORY_GONE, "one/deep")} <= set(
        told
    )
    assert Change(Kind.ARRIVED, "other/two/deep/f", "one/deep/f") in told
    # Before what it holds.
    arrivals = [change.path for change in told if change.kind is Kind.DIRECTORY_ARRIVED]
    assert arrivals == ["other/two"]
    assert told.index(Change(Kind.DIRECTORY_ARRIVED, "other/two")) < told.index(
        Change(Kind.ARRIVED, "other/two/deep/f", "one/deep/f")
    )
    (tmp_path / "other" / "two" / "deep" / "g").write_text("x")
    assert Kind.CLOSED in watched.of("other/two/deep/g")


def test_a_directory_moved_out_is_no_longer_told_of(watched, tmp_path, tmp_path_factory):
    """What happens outside of the outputs is nobody's business."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("x")
    watched.told()
    outside = tmp_path_factory.mktemp("outside") / "d"
    (tmp_path / "d").rename(outside)
    assert [Change(Kind.DIRECTORY_GONE, "d")] == watched.told()
    (outside / "g").write_text("x")
    assert watched.told() == []
    (tmp_path / "d").mkdir()
    watched.told()
    (tmp_path / "d" / "h").write_text("x")
    assert Kind.CLOSED in watched.of("d/h")


def test_a_directory_made_again_under_its_name_is_watched_anew(watched, tmp_path):
    """``rm -r`` and ``mkdir`` in one go."""
    (tmp_path / "d" / "e").mkdir(parents=True)
    watched.told()
    shutil.rmtree(tmp_path / "d")
    (tmp_path / "d" / "e").mkdir(parents=True)
    watched.told()
    (tmp_path / "d" / "e" / "f").write_text("x")
    assert Kind.CLOSED in watched.of("d/e/f")


def test_a_directory_renamed_over_an_empty_one_takes_its_place(watched, tmp_path):
    """rename(2) replaces an empty directory."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "f").write_text("x")
    (tmp_path / "old").mkdir()
    watched.told()
    (tmp_path / "new").rename(tmp_path / "old")
    assert Change(Kind.ARRIVED, "old/f", "new/f") in watched.told()
    (tmp_path / "old" / "g").write_text("x")
    assert Kind.CLOSED in watched.of("old/g")


def test_what_is_left_out_is_not_told(tmp_path):
    """Neither the state directory nor what ``--exclude`` names is watched."""
    watched = Watched(tmp_path, Names(exclude=["cache/", "*.bak"]))
    watched.begin()
    for directory in (".lighterman", "cache"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "f").write_text("x")
    (tmp_path / "a.bak").write_text("x")
    (tmp_path / ".lighterman-0123456789abcdef.tmp").write_text("x")
    (tmp_path / "a").write_text("x")
    assert {"a"} == {change.path for change in watched.told()}
    (tmp_path / "cache" / "sub").mkdir()
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "b.bak").write_text("x")
    assert watched.told() == []
    watched.watcher.close()


def test_names_that_are_not_utf8_are_told(watched, tmp_path):
    """Their upload is refused by name; the watch must not stumble."""
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff\n", os.O_CREAT | os.O_WRONLY))
    assert Kind.CLOSED in watched.of(os.fsdecode(b"\xff\n"))


def test_an_overflow_of_the_queue_is_told(watched):
    """Events were lost: only a reconcile knows."""
    inotify = watched.watcher._inotify
    inotify.read = lambda timeout: [Event(-1, flags.Q_OVERFLOW, 0, "")]
    assert [Change(Kind.OVERFLOW)] == list(watched.watcher.read())


def test_a_root_that_goes_away_is_told_and_watched_again(watched, tmp_path):
    """Its successor under the same path can be watched."""
    shutil.rmtree(tmp_path)
    assert Change(Kind.ROOT_GONE) in watched.told()
    assert not watched.watcher.watch(RelPath(""))
    tmp_path.mkdir()
    assert watched.watcher.watch(RelPath(""))
    (tmp_path / "f").write_text("x")
    assert Kind.CLOSED in watched.of("f")


def test_a_root_that_someone_has_open_tells_its_end_too(watched, tmp_path):
    """The directory of a process that holds it open lives on, without a name."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    tmp_path.rmdir()
    assert watched.told() == [Change(Kind.ROOT_GONE)]
    os.close(descriptor)
    assert watched.told() == []


def test_a_root_that_is_renamed_is_told(watched, tmp_path):
    """What happens there from now on isn't the outputs."""
    moved = tmp_path.with_name("moved")
    tmp_path.rename(moved)
    assert Change(Kind.ROOT_GONE) in watched.told()
    (moved / "f").write_text("x")
    assert watched.told() == []


def test_a_walk_mends_the_watch_of_a_directory_that_was_missed(watched, tmp_path):
    """``watch`` is told the path as it is now, whatever the tree of watches thought."""
    (tmp_path / "d" / "e").mkdir(parents=True)
    watched.told()
    (tmp_path / "d").rename(tmp_path / "x")
    for directory in ("", "x", "x/e"):  # the reconcile comes before the events are read
        assert watched.watcher.watch(RelPath(directory))
    watched.told()
    (tmp_path / "x" / "e" / "f").write_text("x")
    assert Kind.CLOSED in watched.of("x/e/f")


def test_a_directory_whose_parent_is_not_watched_is_not_either(watched, tmp_path):
    """Its path could not be told."""
    assert not watched.watcher.watch(RelPath("no/where"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOMEM])
def test_a_part_without_a_watch_is_named(watched, tmp_path, number, monkeypatch):
    """The kernel's limit of watches is met: the part is known, and gets its watch when there is one."""
    (tmp_path / "d").mkdir()
    inotify = watched.watcher._inotify
    real = inotify.add_watch

    def refuse(path, mask):
        raise OSError(number, os.strerror(number))

    inotify.add_watch = refuse
    watched.told()
    assert {"d"} == watched.watcher.unwatched
    inotify.add_watch = real
    assert watched.watcher.watch(RelPath("d"))
    assert set() == watched.watcher.unwatched


def test_without_an_inotify_instance_all_is_unwatched(tmp_path, monkeypatch):
    """128 instances for each uid: the whole tree is left to the reconcile."""

    def refuse(*_args, **_kwargs):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("sidecar.watch.INotify", refuse)
    watcher = Watcher(str(tmp_path), Names())
    assert (None, {""}, [], False, False) == (
        watcher.fileno(),
        watcher.unwatched,
        list(watcher.read()),
        watcher.watch(RelPath("")),
        watcher.watch_elsewhere(str(tmp_path)),
    )
    watcher.close()


def test_another_error_of_inotify_is_not_swallowed(tmp_path, monkeypatch):
    """Only limits are expected."""

    def refuse(*_args, **_kwargs):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr("sidecar.watch.INotify", refuse)
    with pytest.raises(OSError, match="Invalid argument"):
        Watcher(str(tmp_path), Names())


def test_a_directory_elsewhere_wakes_whoever_waits_for_a_file_there(
    watched, tmp_path, tmp_path_factory
):
    """The done-file may live outside of the outputs."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert watched.watcher.watch_elsewhere(str(elsewhere))
    assert not watched.watcher.watch_elsewhere(str(elsewhere / "missing"))
    (elsewhere / "done").touch()
    assert {Change(Kind.ELSEWHERE)} == set(watched.told())


def test_events_arrive_on_an_ordinary_filesystem(tmp_path):
    """The self-test makes a file and hears of it; nothing of it stays."""
    assert events_arrive(str(tmp_path)) is True
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_may_be_written_events_cannot_be_tried(tmp_path):
    """The self-test neither fails nor claims anything."""
    assert events_arrive(str(tmp_path / "missing")) is None


def test_a_filesystem_that_tells_nothing_is_noticed(monkeypatch):
    """procfs is one: files there change without an event."""
    began = time.monotonic()
    monkeypatch.setattr("sidecar.watch.SELF_TEST_SECONDS", 0.05)
    monkeypatch.setattr("sidecar.watch.Path.touch", lambda _path: None)
    monkeypatch.setattr("sidecar.watch.Path.unlink", lambda _path: None)
    assert events_arrive("/proc/self") is False
    assert time.monotonic() - began < 5
