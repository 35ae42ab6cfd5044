"""`unpack` by the real program: from a bucket, killed in between, on a disk that is too small."""

import os
import signal
import subprocess

import pytest
from archives import (
    FORMS,
    Volume,
    archive_of,
    member,
    overlapping_zip,
    symlink,
    tar_of,
    tree_at,
)
from outputs_place import eventually
from pulls import MIB, Pull, gets

from lighterman.errors import CannotWriteError


@pytest.fixture
def proxy(proxy_to, moto_endpoint):
    """Counts what passes."""
    return proxy_to(moto_endpoint)


@pytest.fixture
def pull(s3_bucket, tmp_path, proxy):
    """Init of a fresh bucket, through the proxy."""
    return Pull(s3_bucket, tmp_path, proxy.url)


@pytest.fixture
def mounted(tmp_path):
    """Mounts a tmpfs of that size (as root, which CI is)."""
    places = []

    def mount(size):
        places.append(tmp_path / f"mount-{len(places)}")
        places[-1].mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", places[-1]], check=True
        )
        return places[-1]

    yield mount
    for place in places:
        subprocess.run(["umount", place], check=True)


def test_archives_of_a_bucket_are_unpacked(pull, proxy):
    """Fetched in ranges where they are large, verified, unpacked, taken away; a second run asks for nothing."""
    trees = {form: {f"{form}.bin": os.urandom(100_000), "d/x": b"x"} for form in FORMS}
    trees["tar"]["tar.bin"] = os.urandom(20 * MIB)
    for form, tree in trees.items():
        pull.bucket.put(f"{form}/all.{form}", archive_of(form, tree))
    pull.bucket.put("labels.csv", b"a,b")
    finished = pull.run("--unpack", "auto")
    assert finished.code == 0, finished.stderr
    expected = {
        f"{form}/{name}": body for form, tree in trees.items() for name, body in tree.items()
    }
    assert pull.files() == expected | {"labels.csv": b"a,b"}
    assert (finished.report["files"], finished.report.get("unverified", 0)) == (5 + 8, 0)
    assert finished.event("init.unpacked")["members"] == 2
    assert sorted(os.listdir(pull.dest / ".lighterman")) == [
        "archives.sqlite3", "archives.sqlite3-journal", "init.lock", "init.sqlite3",
        "init.sqlite3-journal",
    ]  # fmt: skip
    proxy.forget()
    again = pull.run("--unpack", "auto")
    assert (again.code, again.report["files"], again.report["skipped"]) == (0, 0, 13)
    assert gets(proxy) == []


def test_a_job_spec_says_it_of_its_entry(pull, tmp_path):
    """`unpack: auto`; an entry that doesn't say it gets the archive as it is."""
    packed = archive_of("tar.gz", {"a": b"1"})
    pull.bucket.put("all.tgz", packed)
    (tmp_path / "job.yaml").write_text(
        f"""
        init:
          - {{connection: "{pull.uri}", path: {tmp_path}/one, unpack: auto}}
          - {{connection: "{pull.uri}", path: {tmp_path}/two}}
          - {{connection: "{pull.uri}", path: {tmp_path}/three, unpack: tar.gz}}
        """
    )
    finished = pull.program.run("init", "--spec", tmp_path / "job.yaml")
    assert finished.code == 0, finished.stderr
    assert [tree_at(tmp_path / name) for name in ("one", "two", "three")] == [
        {"a": b"1"}, {"all.tgz": packed}, {"a": b"1"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "packed", "said"),
    [
        ("a.tar", tar_of(member("../evil", b"1")), "'../evil': it has a '..' component"),
        ("a.tgz", tar_of(symlink("l", "/etc"), form="tar.gz"), "'l': it is a symlink to '/etc'"),
        ("a.zip", overlapping_zip(500, 40_000), "its members overlap"),
        ("a.tar.zst", b"", "can't be unpacked"),
    ],
)
def test_a_hostile_archive_is_refused_by_name(pull, key, packed, said):
    """65; the rest of the bucket is in its place, and nothing of the archive is anywhere."""
    pull.bucket.put(key, packed)
    pull.bucket.put("plain", b"1")
    finished = pull.run("--unpack", "auto")
    assert finished.code == 65
    assert finished.report["error"]["message"].startswith(f"{key!r} can't be unpacked: ")
    assert said in finished.report["error"]["message"]
    assert finished.report["failed"]["count"] == 1
    assert (pull.files(), pull.temporaries()) == ({"plain": b"1"}, [])
    assert os.listdir(pull.dest / ".lighterman" / "archives") == []


@pytest.mark.parametrize("form", ["tar.gz", "zip"])
def test_killed_while_it_unpacks(pull, proxy, form):
    """Nothing partial has a name; started again it fetches nothing, and writes only what is left."""
    tree = {f"d{number % 10}/{number:04}": os.urandom(5000) for number in range(3000)}
    pull.bucket.put(f"all.{form}", archive_of(form, tree))
    kills = 0
    for least in (100, 700, 1500):
        running = pull.start("--unpack", "auto")
        eventually(lambda least=least: _count(pull.dest) >= least)
        kills += running.kill().code == -signal.SIGKILL
        found = _named(pull.dest)
        assert found == {name: tree[name] for name in found}
    assert kills == 3
    before = {name: (pull.dest / name).stat().st_ino for name in found}
    proxy.forget()
    finished = pull.run("--unpack", "auto")
    assert finished.code == 0, finished.stderr
    assert (_named(pull.dest), pull.temporaries(), gets(proxy)) == (tree, [], [])
    kept = [name for name in before if (pull.dest / name).stat().st_ino == before[name]]
    assert len(kept) >= len(before) - 256
    assert finished.report["skipped"] == len(kept)
    assert pull.run("--unpack", "auto").report["skipped"] == len(tree) + 1


def _named(dest):
    """The files that have a name of their own."""
    return {
        path: content
        for path, content in tree_at(dest).items()
        if content is not None and not path.rpartition("/")[2].startswith(".lighterman-")
    }


def _count(dest):
    return sum(len(files) for path, _, files in os.walk(dest) if ".lighterman" not in path)


def test_a_disk_that_takes_the_archive_but_not_what_it_holds(pull, proxy, mounted):
    """73 before the first member, with how much is needed and how much is free."""
    tree = {"first": b"1", "large": b"x" * 9 * MIB}
    pull.bucket.put("all.tar.gz", archive_of("tar.gz", tree))
    pull.bucket.put("plain", b"1")
    place = mounted("4m")
    finished = pull.program.run("init", pull.uri, place, "--unpack", "auto")
    assert finished.code == 73, finished.stderr
    said = finished.report["error"]["message"]
    assert said.startswith(f"no space in {place}:")
    assert f"{9 * MIB + 4096} bytes are needed and " in said
    assert tree_at(place) == {"plain": b"1"}
    subprocess.run(["mount", "-o", "remount,size=20m", place], check=True)
    proxy.forget()
    assert pull.program.run("init", pull.uri, place, "--unpack", "auto").code == 0
    assert tree_at(place) == tree | {"plain": b"1"}
    assert gets(proxy) == []


def test_a_disk_that_fills_up_while_it_unpacks(tmp_path, mounted, monkeypatch):
    """73: what came whole stays, no partial file does, and the next start goes on."""
    volume = Volume(tmp_path)
    volume.dest = mounted("20m") / "dest"
    tree = {f"{number}": os.urandom(MIB) for number in range(6)}
    volume.put("all.tar", archive_of("tar", tree))
    rename = os.rename

    def rename_and_fill(source, target):
        rename(source, target)
        if target.endswith("/2"):
            free = os.statvfs(volume.dest)
            with open(volume.dest.parent / "other", "wb") as other:
                other.write(bytes(free.f_bavail * free.f_frsize - MIB // 2))

    monkeypatch.setattr(os, "rename", rename_and_fill)
    with pytest.raises(
        CannotWriteError, match=rf"no space left for .*/3 of {MIB} bytes; \d+ bytes"
    ):
        volume.bring()
    assert sorted(volume.tree()) == ["0", "1", "2"]
    assert list(volume.dest.rglob("*.tmp")) == []
    (volume.dest.parent / "other").unlink()
    monkeypatch.undo()
    totals = volume.bring()
    assert (volume.tree(), totals.files, totals.skipped) == (tree, 3, 3)


def test_memory_is_bounded_whatever_is_in_it(pull):
    """Members and archives are streamed; a directory of many entries isn't held."""
    pull.bucket.put("a.tar.zst", archive_of("tar.zst", {"a": bytes(60 * MIB)}))
    pull.bucket.put("b.zip", archive_of("zip", {f"b{number:05}": b"" for number in range(5000)}))
    finished = pull.run("--unpack", "auto")
    assert finished.code == 0, finished.stderr
    assert (pull.dest / "a").stat().st_size == 60 * MIB
    assert finished.peak_rss_bytes < 110 * MIB


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--connection", "c", "--unpack", "rar"), "'rar' is none of auto, tar, tar.gz"),
        (("--spec", "j.yaml", "--unpack", "zip"), "--unpack can't stand beside --spec"),
    ],
)
def test_wrong_flags(program, arguments, said):
    """64, and the line says what to give instead."""
    finished = program.run("init", *arguments)
    assert (finished.code, said in finished.report["error"]["message"]) == (64, True)
