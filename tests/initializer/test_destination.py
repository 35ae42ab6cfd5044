"""A destination is made, proven to take files, and held by one process at a time."""

import errno
import os

import pytest

from initializer.destination import Destination
from lighterman.errors import CannotWriteError, ExitCode, TransientError


def test_it_is_made_with_its_parents_and_left_as_it_was(tmp_path):
    """A run that ends before it begins to write leaves nothing behind."""
    with Destination(str(tmp_path / "a" / "b")):
        assert (tmp_path / "a" / "b" / ".lighterman").is_dir()
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays(tmp_path):
    """Only what opening made is taken away."""
    (tmp_path / "file").write_text("mine")
    with Destination(str(tmp_path)):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_run_that_was_killed_is_noticed(tmp_path):
    """The next run knows that there may be something to sweep; after a tidy one there isn't."""
    with Destination(str(tmp_path)) as first:
        assert not first.was_killed
        first.begin()
    with Destination(str(tmp_path)) as second:
        assert second.was_killed
        second.begin()
        second.is_tidy = True
    with Destination(str(tmp_path)) as third:
        assert not third.was_killed


def test_a_look_keeps_the_note_of_a_killed_run(tmp_path):
    """A run that ends before it begins hasn't swept."""
    with Destination(str(tmp_path)) as first:
        first.begin()
    with Destination(str(tmp_path)):
        pass
    with Destination(str(tmp_path)) as third:
        assert third.was_killed


def test_temporary_files_are_swept(tmp_path):
    """Those of init, at any depth, and nothing else; not through symlinks."""
    left = [".lighterman-0123456789abcdef.tmp", "d/.lighterman-fedcba9876543210.tmp"]
    mine = [".lighterman-tmp", "d/x.tmp", "d/.lighterman-0123.tmp"]
    (tmp_path / "dest" / "d").mkdir(parents=True)
    for name in left + mine:
        (tmp_path / "dest" / name).write_text("x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / left[0]).write_text("x")
    os.symlink(tmp_path / "outside", tmp_path / "dest" / "link")
    with Destination(str(tmp_path / "dest")) as destination:
        assert destination.sweep(frozenset([f"{tmp_path}/dest/{left[1]}"])) == 1
    assert not (tmp_path / "dest" / left[0]).exists()
    assert all((tmp_path / "dest" / name).exists() for name in [*mine, left[1]])
    assert (tmp_path / "outside" / left[0]).exists()


def test_a_sweep_passes_by_what_it_may_not_look_into(tmp_path, monkeypatch):
    """As an ext4 volume's ``lost+found``, which belongs to root alone."""
    (tmp_path / "dest").mkdir()
    monkeypatch.chdir(tmp_path / "dest")  # whose parents another user may not enter
    os.chmod(".", 0o777)
    os.mkdir("lost+found", 0)
    (tmp_path / "dest" / ".lighterman-0123456789abcdef.tmp").write_text("x")
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        with Destination(".") as destination:
            assert destination.sweep() == 1
    finally:
        os.seteuid(user)
    assert os.listdir(".") == ["lost+found"]


def test_one_that_is_nested_beyond_what_a_path_may_be_is_refused(tmp_path):
    """73, as for any other that can't be made; what was made of it is gone."""
    with pytest.raises(CannotWriteError, match="File name too long"):
        Destination(f"{tmp_path}{'/n' * 2100}")
    assert list(tmp_path.iterdir()) == []


def test_two_processes_never_fill_one_destination(tmp_path):
    """The second one ends with 75, and the first one's destination is untouched by it."""
    with Destination(str(tmp_path)) as first:
        first.begin()
        with pytest.raises(TransientError, match="another init is at work") as caught:
            Destination(str(tmp_path))
        assert caught.value.exit_code == ExitCode.TRY_AGAIN
        assert (tmp_path / ".lighterman" / "init.lock").exists()


def test_a_holder_that_took_the_lock_file_away_holds_nothing(tmp_path):
    """The file that is locked must be the one that the next process would lock."""
    first = Destination(str(tmp_path))
    (tmp_path / ".lighterman" / "init.lock").unlink()
    with Destination(str(tmp_path)) as second, first:
        assert second.shown == str(tmp_path)


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda path: path.write_text("x"), "it is no directory"),
        (lambda path: os.symlink(path.parent / "nowhere", path), "it is no directory"),
        (
            lambda path: (path.mkdir(), (path / ".lighterman").write_text("x")),
            "it is no directory",
        ),
        (
            lambda path: (path.mkdir(), os.symlink(path.parent, path / ".lighterman")),
            "a symlink",
        ),
    ],
)
def test_a_destination_that_cant_be_one(tmp_path, prepare, said):
    """A file, a dangling symlink, or a state directory that leads elsewhere: 73, said in one line."""
    prepare(tmp_path / "dest")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CannotWriteError) as caught:
        Destination(str(tmp_path / "dest"))
    assert caught.value.message.startswith(f"can't write to {tmp_path}/dest: ")
    assert caught.value.message.endswith(said)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_used_without(tmp_path, monkeypatch, number):
    """Some network file systems have none; the files come all the same."""

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    with Destination(str(tmp_path)) as destination:
        assert destination.shown == str(tmp_path)
