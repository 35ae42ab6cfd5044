"""The reconcile's eyes: what a walk sees of a tree, compared with a journal."""

import os
import socket

import pytest

from lighterman.stores.contract import ETag
from sidecar.globs import Names
from sidecar.journal import Journal
from sidecar.states import FileState, RelPath, Synced, key_of
from sidecar.walk import LOOK_FILES, directories, vanished, walk


@pytest.fixture
def root(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def journal(tmp_path):
    journal = Journal.open(str(tmp_path / "state"), "somewhere")
    yield journal
    journal.close()


def seen(root, journal, names=None, watch=lambda _directory: None):
    return list(walk(os.path.realpath(root), names or Names(), journal, watch))


def dirty(looks):
    return sorted(file.path for look in looks for file in look.dirty)


def note(journal, root, *paths):
    """The journal has these as they are."""
    for path in paths:
        state = FileState.of((root / path).stat())
        noted = RelPath(path + "/" if (root / path).is_dir() else path)
        journal.mark_synced([(noted, Synced(state, key_of("p", noted), ETag("e")))])


def test_files_that_the_journal_lacks_are_dirty(root, journal):
    """At every depth, of every size, whatever their names."""
    names = ["a", "d/b", "d/e/c d", "d/ü#%+", ".hidden", "x.tmp"]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    assert sorted(names) == dirty(seen(root, journal))


def test_a_walk_may_begin_below(root, journal):
    """Of that directory and what is in it alone; a link out of it is followed from there."""
    for name in ("a", "d/b", "d/e/c", "f/g"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    (root / "d" / "link").symlink_to("../f")
    looks = list(walk(os.path.realpath(root), Names(), journal, top=RelPath("d")))
    assert dirty(looks) == ["d/b", "d/e/c", "d/link/g"]
    assert {look.directory for look in looks} == {"d", "d/e", "d/link"}


def test_files_that_the_journal_has_as_they_are_are_clean(root, journal):
    """Nothing is sent twice."""
    for name in ("a", "b"):
        (root / name).write_text(name)
    note(journal, root, "a", "b")
    looks = seen(root, journal)
    assert (dirty(looks), sum(look.clean for look in looks)) == ([], 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("other"),
        lambda path: os.truncate(path, 1),
        lambda path: path.chmod(0o600),
        lambda path: os.utime(path, ns=(1, 1)),
        lambda path: (path.with_name("new").write_text("text"), path.with_name("new").rename(path)),
    ],
    ids=["rewritten", "truncated", "chmod", "mtime set back", "replaced"],
)
def test_a_file_that_changed_in_any_way_is_dirty(root, journal, change):
    """``cp -p`` and ``tar x`` set old mtimes: any difference counts, not only a newer one."""
    (root / "a").write_text("text")
    note(journal, root, "a")
    change(root / "a")
    assert dirty(seen(root, journal)) == ["a"]


def test_large_directories_are_handed_on_in_pieces(root, journal):
    """A walk's memory doesn't grow with what it finds."""
    for number in range(2 * LOOK_FILES + 1):
        (root / f"{number}").touch()
    assert [len(look.dirty) for look in seen(root, journal)] == [LOOK_FILES, LOOK_FILES, 1]


def test_empty_directories_want_a_marker_once(root, journal):
    """Those in which nothing is uploaded; the root needs none."""
    for name in ("empty", "full", "full/inner", "bare"):
        (root / name).mkdir()
    (root / "full" / "f").touch()
    (root / "bare" / "skipped.bak").touch()
    names = Names(exclude=["*.bak"])
    looks = seen(root, journal, names)
    assert {"empty", "full/inner", "bare"} == {look.directory for look in looks if look.is_empty}
    note(journal, root, "empty", "full/inner", "bare")
    assert [look for look in seen(root, journal, names) if look.is_empty] == []


def test_what_is_left_out_is_not_even_looked_at(root, journal):
    """``--exclude`` and the state directory."""
    for name in (".lighterman", "cache", "keep"):
        (root / name).mkdir()
        (root / name / "f").touch()
    watched = []
    looks = seen(root, journal, Names(exclude=["cache/"]), watched.append)
    assert (["keep/f"], {"", "keep"}) == (dirty(looks), set(watched))


def test_each_directory_is_watched_before_it_is_read(root, journal):
    """What comes after the watch is told, what was there before is seen."""
    (root / "d").mkdir()
    looks = seen(root, journal, watch=lambda directory: (root / directory / "late").write_text("x"))
    assert dirty(looks) == ["d/late", "late"]


def test_links_to_inside_are_seen_as_what_they_point_to(root, journal):
    """A link to a file is a file, a link to a directory has its files below the link's name."""
    (root / "ckpt-5").mkdir()
    (root / "ckpt-5" / "w").write_text("x")
    (root / "latest").symlink_to("ckpt-5")
    (root / "w").symlink_to("ckpt-5/w")
    looks = seen(root, journal)
    assert dirty(looks) == ["ckpt-5/w", "latest/w", "w"]
    note(journal, root, "w")
    assert dirty(seen(root, journal)) == ["ckpt-5/w", "latest/w"]


def test_what_is_no_file_inside_is_skipped_and_said(root, journal, tmp_path):
    """Links out of the path, links to nothing, loops, sockets, fifos, devices."""
    (tmp_path / "outside").write_text("secret")
    (root / "d").mkdir()
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "beside").symlink_to(tmp_path / "out-beside")
    (tmp_path / "out-beside").mkdir()
    (root / "nothing").symlink_to("missing")
    (root / "loop").symlink_to("loop")
    (root / "d" / "up").symlink_to("..")
    (root / "fifo-link").symlink_to("fifo")
    os.mkfifo(root / "fifo")
    (root / "null").symlink_to("/dev/null")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(root / "socket"))
    listener.close()
    looks = seen(root, journal)
    assert {skipped.path: skipped.why for look in looks for skipped in look.skipped} == {
        "out": "a link to outside of the outputs",
        "beside": "a link to outside of the outputs",
        "null": "a link to outside of the outputs",
        "nothing": "a link to nothing",
        "loop": "a loop of links",
        "d/up": "a link to a directory above it",
        "fifo": "a fifo",
        "fifo-link": "a link to a fifo",
        "socket": "a socket",
    }
    assert dirty(looks) == []


def test_links_that_lead_in_circles_end(root, journal):
    """Two directories that link to each other are each seen through the other, once."""
    for one, other in (("a", "b"), ("b", "a")):
        (root / one).mkdir()
        (root / one / "f").write_text("x")
        (root / one / "x").symlink_to(f"../{other}")
    looks = seen(root, journal)
    assert dirty(looks) == ["a/f", "a/x/f", "b/f", "b/x/f"]


def test_links_below_links_end_at_a_depth(root, journal):
    """A web of links would multiply the same files without end."""
    for number in range(6):
        (root / f"{number}").mkdir()
        (root / f"{number}" / "next").symlink_to(f"../{number + 1}")
    (root / "6").mkdir()
    (root / "6" / "f").touch()
    looks = seen(root, journal)
    whys = {skipped.why for look in looks for skipped in look.skipped}
    assert {"a link to a directory, below other such links"} == whys
    assert "3/next/next/next/f" in dirty(looks)


def test_what_the_journal_has_and_the_path_lacks_is_absent(root, journal):
    """Files, markers, and whole directories; what is left out now was not deleted."""
    for name in ("a", "d/b", "e/f/c", "kept", "cache/x"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "hollow").mkdir()
    note(journal, root, "a", "d/b", "e/f/c", "kept", "cache/x", "hollow", "d")
    for name in ("a", "d/b", "e/f/c"):
        (root / name).unlink()
    for name in ("e/f", "e", "hollow"):
        (root / name).rmdir()
    names = Names(exclude=["cache/"])
    looks = seen(root, journal, names)
    absent = {path for look in looks for path in look.absent}
    absent |= set(vanished(names, journal, {look.directory for look in looks}))
    assert {"a", "d/b", "e/f/c", "hollow/"} == absent


def test_a_root_that_is_not_there_is_said(root, journal):
    """An unmounted volume isn't an empty one."""
    root.rmdir()
    assert [look.unreadable for look in seen(root, journal)] == ["it isn't there"]


def test_a_directory_that_vanishes_meanwhile_is_no_error(root, journal):
    """Main deletes while the walk walks."""
    (root / "d").mkdir()

    def vanish(directory):
        if directory == "d":
            (root / "d").rmdir()

    assert [look.directory for look in seen(root, journal, watch=vanish)] == [""]


def test_directories_come_parents_first(root):
    """A watch needs its parent's."""
    (root / "a" / "b" / "c").mkdir(parents=True)
    (root / ".lighterman").mkdir()
    (root / "link").symlink_to("a")
    assert list(directories(str(root), Names())) == ["", "a", "a/b", "a/b/c"]
