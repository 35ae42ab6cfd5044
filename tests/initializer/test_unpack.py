"""`unpack`: what an archive holds comes into the directory where it would have been placed."""

import gzip
import os
import stat
import subprocess
import tarfile
import warnings
import zipfile

import pytest
import zstandard
from archives import (
    COMPRESS,
    FORMS,
    MIB,
    MTIME,
    TARS,
    Volume,
    archive_of,
    directory,
    hard_link,
    member,
    symlink,
    tar_of,
    zip_of,
    zipped,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from initializer.archives.forms import form_of
from lighterman.errors import CannotWriteError, DeadlineError, UntrustedDataError

ENDS = {"tar": "tar", "tar.gz": "tgz", "tar.zst": "tar.zst", "zip": "ZIP"}


@pytest.fixture
def volume(tmp_path):
    return Volume(tmp_path)


@pytest.mark.parametrize(
    ("key", "unpack", "expected"),
    [
        ("a.tar", "auto", "tar"),
        ("d/a.tar.gz", "auto", "tar.gz"),
        ("a.tgz", "auto", "tar.gz"),
        ("a.TAR.ZST", "auto", "tar.zst"),
        ("a.tzst", "auto", "tar.zst"),
        ("a.b.zip", "auto", "zip"),
        ("a.gz", "auto", None),
        ("a.zip.txt", "auto", None),
        (".zip", "auto", None),
        ("d/.tar.gz", "auto", None),
        ("tar", "auto", None),
        ("a.tar", None, None),
        ("model", "tar.gz", "tar.gz"),
        ("a.zip", "tar", "tar"),
        ("d.zip/", "auto", None),
        ("d/", "zip", None),
    ],
)
def test_archives_are_known_by_their_names_or_said_to_be(key, unpack, expected):
    """`auto` goes by the name; a form says that everything is an archive of it."""
    assert expected == form_of(key, unpack)


@pytest.mark.parametrize("form", FORMS)
def test_the_members_come_into_the_archives_directory_and_the_archive_goes(volume, form):
    """With their modes and times; other files come as they are."""
    tree = {"x.bin": os.urandom(600_000), "deep/down/y": b"y", "empty": b""}
    volume.put(f"d/all.{ENDS[form]}", archive_of(form, tree))
    volume.put("d/plain.txt", b"plain")
    totals = volume.bring()
    assert volume.tree() == {
        "d": None,
        "d/deep": None,
        "d/deep/down": None,
        "d/deep/down/y": b"y",
        "d/empty": b"",
        "d/plain.txt": b"plain",
        "d/x.bin": tree["x.bin"],
    }
    told = (volume.dest / "d/x.bin").stat()
    assert (stat.S_IMODE(told.st_mode), told.st_mtime) == (0o640, MTIME)
    assert (totals.files, volume.left()) == (2 + 3, [])


def test_a_form_that_is_said_holds_whatever_the_name_is(volume):
    """`unpack: tar.gz`: every object of the entry is one."""
    volume.put("model-v3", archive_of("tar.gz", {"a": b"1"}))
    volume.bring("tar.gz")
    assert volume.tree() == {"a": b"1"}


def test_a_declared_files_archive_is_unpacked_where_its_target_would_be(volume):
    """`files: [[a/data.tar, here/x]]`: into `here/`, by the name that the object has."""
    from initializer.entries import Pair

    volume.put("a/data.tar", archive_of("tar", {"a": b"1"}))
    volume.bring(files=(Pair("a/data.tar", "here/x"),))
    assert volume.tree() == {"here": None, "here/a": b"1"}


@pytest.mark.parametrize("form", TARS)
@pytest.mark.parametrize("kind", ["gnu", "pax", "ustar", "oldgnu"])
def test_what_tar_packs_comes_back(volume, tmp_path, form, kind):
    """Long names, links, times to the nanosecond (pax), modes but set-uid; as every tar in use writes it."""
    tree = tmp_path / "tree"
    long = "n" * (80 if kind == "ustar" else 200)
    (tree / "deep" / long).mkdir(parents=True)
    (tree / "deep" / long / long).write_bytes(b"long")
    (tree / "tool").write_bytes(b"#!/bin/sh\n")
    (tree / "tool").chmod(0o4755)
    os.utime(tree / "tool", ns=(0, 1_600_000_000_123_456_789))
    (tree / "ünïcödé 文件\n").write_bytes(b"odd")
    (tree / "empty").mkdir()
    os.symlink(f"deep/{long}", tree / "link")
    os.symlink("../tool", tree / "deep" / "up")
    os.symlink("nowhere", tree / "dangling")
    os.link(tree / "tool", tree / "same")
    packed = subprocess.run(
        ["tar", f"--format={kind}", "-C", tree, "-c", "."], check=True, capture_output=True
    ).stdout
    volume.put("all.tar", COMPRESS[form](packed))
    volume.bring(form)
    found = volume.tree()
    assert found["tool"] == found["same"] == b"#!/bin/sh\n"
    assert found["link"] == f"-> deep/{long}"
    assert (found["deep/up"], found["dangling"]) == ("-> ../tool", "-> nowhere")
    assert found[f"deep/{long}/{long}"] == b"long"
    assert found["ünïcödé 文件\n"] == b"odd"
    assert found["empty"] is None
    assert len(found) == 10
    told = (volume.dest / "tool").stat()
    assert stat.S_IMODE(told.st_mode) == 0o755
    nanoseconds = 123_456_789 if kind == "pax" else 0
    assert told.st_mtime_ns == 1_600_000_000_000_000_000 + nanoseconds
    assert told.st_ino == (volume.dest / "same").stat().st_ino


def test_what_zip_packs_comes_back(volume, tmp_path):
    """Info-ZIP's times in UTC, modes, symlinks, empty directories, names in UTF-8."""
    tree = tmp_path / "tree"
    (tree / "d" / "empty").mkdir(parents=True)
    (tree / "tool").write_bytes(b"x" * 100_000)
    (tree / "tool").chmod(0o4751)
    os.utime(tree / "tool", (0, 1_600_000_001))
    (tree / "d" / "ünïcödé").write_bytes(b"odd")
    os.symlink("../tool", tree / "d" / "link")
    subprocess.run(["zip", "-qry", tmp_path / "all.zip", "."], cwd=tree, check=True)
    volume.put("all.zip", (tmp_path / "all.zip").read_bytes())
    volume.bring()
    assert volume.tree() == {
        "d": None, "d/empty": None, "d/link": "-> ../tool", "d/ünïcödé": b"odd",
        "tool": b"x" * 100_000,
    }  # fmt: skip
    told = (volume.dest / "tool").stat()
    assert (stat.S_IMODE(told.st_mode), told.st_mtime) == (0o751, 1_600_000_001)


def test_a_zip_of_no_unix_has_plain_modes(volume):
    """Without a stored mode it is the umask's; a DOS time is taken as UTC."""
    info, content = zipped("a.txt", b"1")
    info.create_system = 0
    info.external_attr = 0x20
    volume.put("all.zip", zip_of((info, content)))
    volume.bring()
    told = (volume.dest / "a.txt").stat()
    umask = os.umask(0)
    os.umask(umask)
    assert (stat.S_IMODE(told.st_mode), told.st_mtime) == (0o666 & ~umask, MTIME)


def test_streams_of_several_pieces_are_one(volume):
    """Gzip members and zstd frames one after another, with what may stand between and after them."""
    tar = tar_of(member("a", os.urandom(300_000)), member("b", b"2"))
    cut = len(tar) // 3
    pieces = tar[:cut], tar[cut : 2 * cut], tar[2 * cut :]
    skippable = b"\x53\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    volume.put("one/a.tgz", b"".join(map(gzip.compress, pieces)) + bytes(1024))
    volume.put("two/a.tzst", skippable + b"".join(map(zstandard.compress, pieces)) + skippable)
    volume.bring()
    assert volume.tree()["one/b"] == volume.tree()["two/b"] == b"2"
    assert volume.tree()["one/a"] == volume.tree()["two/a"]


def test_zip64(volume, tmp_path):
    """Sizes, offsets and counts that stand in the ZIP64 records."""
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        with warnings.catch_warnings(action="ignore"):  # all of one name
            for _ in range(0x10001):
                archive.writestr(zipped("d/", mode=stat.S_IFDIR)[0], b"")
        with archive.open(zipped("large")[0], "w", force_zip64=True) as file:
            file.write(b"x" * 100)
    volume.put("all.zip", (tmp_path / "all.zip").read_bytes())
    assert volume.bring().files == 2
    assert volume.tree() == {"d": None, "large": b"x" * 100}


def test_a_zip_behind_other_bytes(volume):
    """A program that unpacks itself is one too: its offsets count from where the zip begins."""
    volume.put("all.zip", b"#!/bin/sh\nexit 1\n" * 1000 + archive_of("zip", {"a": b"1"}))
    volume.bring()
    assert volume.tree() == {"a": b"1"}


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_archive_holds_nothing(volume, form):
    """It is whole, and nothing comes of it."""
    volume.put(f"all.{form}", archive_of(form, {}))
    assert (volume.bring().files, volume.tree(), volume.left()) == (1, {}, [])


def test_include_and_exclude_choose_among_archives_not_members(volume):
    """What is left out isn't fetched; what comes is unpacked whole."""
    for name in ("a", "b"):
        volume.put(f"{name}.tar", archive_of("tar", {f"{name}.txt": b"1", f"{name}.csv": b"2"}))
    volume.bring(exclude=("b.*", "*.csv"))
    assert sorted(volume.tree()) == ["a.csv", "a.txt"]


def test_archives_come_some_at_a_time(volume, monkeypatch):
    """What is fetched and not unpacked yet is never more than a few of them."""
    from initializer.archives import unpacking

    assert (unpacking.BATCH_ARCHIVES, unpacking.BATCH_BYTES) == (256, 1024 * MIB)
    monkeypatch.setattr(unpacking, "BATCH_ARCHIVES", 3)
    monkeypatch.setattr(unpacking, "BATCH_BYTES", 31_000)
    tree = {f"{number}": os.urandom(1000 if number < 7 else 21_000) for number in range(11)}
    for name, content in tree.items():
        volume.put(f"shard-{name:0>2}.tar", archive_of("tar", {name: content}))
    fetched, rename, most = volume.dest / ".lighterman" / "archives", os.rename, []

    def rename_and_count(source, target):
        rename(source, target)
        most.append(len(list(fetched.iterdir())))

    monkeypatch.setattr(os, "rename", rename_and_count)
    volume.bring()
    assert (volume.tree(), volume.left(), max(most)) == (tree, [], 3)


# What is there already.


def test_a_second_run_fetches_and_unpacks_nothing(volume):
    """An archive that was unpacked whole is known by its size and ETag, and its members as files are."""
    for form in FORMS:
        volume.put(f"{form}/all.{form}", archive_of(form, {"a": b"1", "d/b": b"2"}))
    volume.put("plain", b"1")
    first = volume.bring()
    inodes = [path.stat().st_ino for path in sorted(volume.dest.rglob("*"))]
    again = volume.bring()
    assert (first.files, first.skipped, again.files, again.skipped) == (13, 0, 0, 13)
    assert again.bytes == 0
    assert inodes == [path.stat().st_ino for path in sorted(volume.dest.rglob("*"))]


@pytest.mark.parametrize("change", ["lost", "edited", "touched", "directory", "link"])
def test_a_member_that_isnt_what_it_was_is_unpacked_again(volume, change):
    """With 0 every declared byte is there: each member is looked at."""
    packed = tar_of(member("a", b"1"), member("b", b"2"), directory("d"), symlink("l", "a"))
    volume.put("all.tar", packed)
    volume.bring()
    match change:
        case "lost":
            (volume.dest / "a").unlink()
        case "edited":
            (volume.dest / "a").write_bytes(b"12")
        case "touched":
            os.utime(volume.dest / "a", (1, 1))
        case "directory":
            (volume.dest / "d").rmdir()
        case "link":
            (volume.dest / "l").unlink()
            os.symlink("b", volume.dest / "l")
    again = volume.bring()
    assert volume.tree() == {"a": b"1", "b": b"2", "d": None, "l": "-> a"}
    assert (again.files, again.skipped) == ((2, 2) if change != "directory" else (1, 3))


def test_a_new_version_is_unpacked_anew(volume):
    """Over the old one; what only the old one had stays, as files of objects that are gone do."""
    volume.put("all.tar", archive_of("tar", {"a": b"1", "b": b"2"}))
    volume.bring()
    volume.put("all.tar", archive_of("tar", {"a": b"3", "c": b"4"}))
    volume.bring()
    assert volume.tree() == {"a": b"3", "b": b"2", "c": b"4"}
    assert volume.bring().files == 0


def test_told_to_stop_it_goes_on_from_there(volume, monkeypatch):
    """75; neither what was fetched is fetched again, nor what was unpacked is written again."""
    import threading

    tree = {f"{number:03}": os.urandom(1000) for number in range(400)}
    volume.put("all.tar.gz", archive_of("tar.gz", tree))
    stop, rename = threading.Event(), os.rename
    renamed = []

    def rename_and_stop(source, target):
        rename(source, target)
        renamed.append(target)
        if target.endswith("/100"):
            stop.set()

    monkeypatch.setattr(os, "rename", rename_and_stop)
    with pytest.raises(DeadlineError, match="before everything was unpacked"):
        volume.bring(stop=stop)
    assert sorted(volume.tree()) == sorted(tree)[:101]
    assert len(volume.left()) == 2  # the directory, and the archive in it
    renamed.clear()
    again = volume.bring()
    assert volume.tree() == tree
    assert (again.files, again.skipped) == (299, 101)
    assert (len(renamed), volume.left()) == (299, [])


def test_lost_notes_cost_a_fetch(volume):
    """Never a wrong file, and no failure."""
    volume.put("all.tar", archive_of("tar", {"a": b"1"}))
    volume.bring()
    (volume.dest / ".lighterman" / "archives.sqlite3").write_bytes(b"no database at all" * 99)
    assert volume.bring().files == 2
    assert volume.tree() == {"a": b"1"}
    assert [volume.bring().files for _ in range(2)] == [2, 0]


def test_an_object_that_comes_to_the_place_of_a_kept_member_is_refused(volume):
    """65 as in a first run, and before any byte moved."""
    volume.put("all.tar", archive_of("tar", {"a": b"1"}))
    volume.bring()
    volume.put("a", b"2")
    with pytest.raises(UntrustedDataError, match=r"'all.tar' can't be unpacked: .*an object goes"):
        volume.bring()
    assert volume.tree() == {"a": b"1"}


# What can't be written.


def test_what_is_in_the_way_stays(volume):
    """73, by name, and nothing of the archive is placed."""
    volume.put("all.tar", tar_of(member("first", b"1"), member("dir/x", b"1")))
    volume.put("two.tar", tar_of(member("file", b"1")))
    (volume.dest / "file").mkdir(parents=True)
    (volume.dest / "dir").write_text("mine")
    with pytest.raises(CannotWriteError, match="dir is there and no directory"):
        volume.bring()
    (volume.dest / "dir").unlink()
    with pytest.raises(CannotWriteError, match="file is there and a directory"):
        volume.bring()
    assert volume.tree() == {"dir": None, "dir/x": b"1", "file": None, "first": b"1"}


def test_the_space_is_known_before_the_first_member(volume, monkeypatch):
    """73 with how much is needed and how much is free; the archive stays for the next start."""
    from initializer.archives import unpacking
    from initializer.space import Room

    packed = tar_of(*(member(str(number), b"x" * 5000) for number in range(100)), form="tar.gz")
    volume.put("all.tar.gz", packed)
    tight = Room(100 * 8192 - 1, 4096, 1000, None)
    monkeypatch.setattr(unpacking, "room_at", lambda _: tight)
    with pytest.raises(CannotWriteError) as caught:
        volume.bring()
    assert "819200 bytes are needed and 819199 are free" in caught.value.message
    assert volume.tree() == {}
    few = Room(100 * 8192, 4096, 99, None)
    monkeypatch.setattr(unpacking, "room_at", lambda _: few)
    with pytest.raises(CannotWriteError, match="100 files are needed and it can take 99 more"):
        volume.bring()
    assert volume.tree() == {}
    enough = Room(100 * 8192, 4096, 100, None)
    monkeypatch.setattr(unpacking, "room_at", lambda _: enough)
    totals = volume.bring()
    assert (totals.files, totals.bytes, len(volume.tree())) == (100, 500_000, 100)


def test_what_is_there_already_needs_no_space_again(volume, monkeypatch):
    """A start that goes on, and a new version of an archive, replace file by file."""
    from initializer.archives import unpacking
    from initializer.space import Room

    volume.put("all.tar", tar_of(*(member(str(number), b"x" * 5000) for number in range(100))))
    volume.bring()
    volume.put("all.tar", tar_of(*(member(str(number), b"y" * 5001) for number in range(100))))
    monkeypatch.setattr(unpacking, "room_at", lambda _: Room(8192, 4096, 0, None))
    assert volume.bring().files == 101


@pytest.mark.parametrize("fails", ["link", "EMLINK"])
def test_a_file_system_without_links_gets_copies(volume, monkeypatch, fails):
    """Hard links become files of their own there."""

    def link(*_, **__):
        raise OSError(1, "no links here")

    monkeypatch.setattr(os, "link", link)
    volume.put("all.tar", tar_of(member("a", b"1" * MIB, mode=0o755), hard_link("b", "a")))
    volume.bring()
    one, two = (volume.dest / "a").stat(), (volume.dest / "b").stat()
    assert volume.tree() == {"a": b"1" * MIB, "b": b"1" * MIB}
    assert (one.st_mode, one.st_mtime_ns) == (two.st_mode, two.st_mtime_ns)
    assert one.st_ino != two.st_ino


names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12)
names = names.filter(lambda name: name not in (".", "..") and not name.startswith(".lighterman"))
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(FORMS),
    st.dictionaries(paths, st.binary(max_size=300), max_size=8).filter(
        lambda tree: (
            not any(
                other.startswith(f"{path}/") for path in tree for other in tree if path != other
            )
        )
    ),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_any_tree_comes_back(tmp_path_factory, form, tree, kind):
    """Whatever its files are called and hold."""
    volume = Volume(tmp_path_factory.mktemp("any"))
    if form == "zip":
        packed = archive_of(form, tree)
    else:
        packed = tar_of(*(member(*item) for item in tree.items()), form=form, kind=kind)
    volume.put("all", packed)
    volume.bring(form)
    found = {path: content for path, content in volume.tree().items() if content is not None}
    assert found == tree
