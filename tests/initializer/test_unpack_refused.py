"""Archives that nobody may unpack as they are: refused by name, and nothing of them comes to any place."""

import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile

import pytest
import zstandard
from archives import (
    COMPRESS,
    FORMS,
    MIB,
    TARS,
    Volume,
    archive_of,
    directory,
    hard_link,
    lying_zip,
    member,
    overlapping_zip,
    symlink,
    tar_of,
    zip_of,
    zipped,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from initializer.archives import inspect, members, streams
from initializer.entries import Pair
from lighterman.errors import LightermanError, UntrustedDataError

FIFO = tarfile.FIFOTYPE
DEVICE = tarfile.CHRTYPE
LONG = "n" * 256


@pytest.fixture
def volume(tmp_path):
    (tmp_path / "outside").mkdir()
    return Volume(tmp_path)


def refusal(volume, unpack="auto"):
    """What is said; nothing was placed, the archive is gone, and nothing is outside."""
    before = volume.tree() if volume.dest.exists() else {}
    with pytest.raises(UntrustedDataError) as caught:
        volume.bring(unpack)
    assert volume.tree() == before
    assert [name for name in volume.left() if name != "archives"] == []
    assert list((volume.dest.parent / "outside").iterdir()) == []
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/etc/passwd", "it is absolute"),
        ("../escape", "it has a '..' component"),
        ("a/../../escape", "it has a '..' component"),
        ("./../escape", "it has a '..' component"),
        ("a//b", "it has an empty or '.' component"),
        ("a/./b", "it has an empty or '.' component"),
        (f"d/{LONG}", "it has a component of more than 255 bytes"),
        ("d/" * 2100 + "x", "its path is longer than"),
        (".lighterman/init.sqlite3", "the name .lighterman is reserved"),
        ("z/.lighterman-0123456789abcdef.tmp", "its name is reserved for files under way"),
        ("first/below", "another member goes to the same place, or needs a directory there"),
        ("first", "another member goes to the same place, or needs a directory there"),
        ("./first", "another member goes to the same place, or needs a directory there"),
        ("d", "another member goes to the same place, or needs a directory there"),
    ],
)
def test_members_are_checked_like_keys(volume, form, name, said):
    """65 names the archive and the member; not even the good ones before it are placed."""
    good = {"first": b"1", "d/second": b"2"}
    if form == "zip":
        packed = zip_of(*(zipped(*item) for item in good.items()), zipped("evil", b"evil"))
        packed = _renamed(packed, name.encode())
    else:
        packed = tar_of(*(member(*item) for item in good.items()), member(name, b"evil"), form=form)
    volume.put(f"all.{form}", packed)
    said_in_full = refusal(volume)
    assert said_in_full.startswith(f"'all.{form}' can't be unpacked: {repr(name)[:300]}")
    assert said in said_in_full


def _renamed(packed, name):
    """The zip with its last member ``evil`` under another name, which ``zipfile`` may not want to write."""
    entry = packed.rindex(b"PK\1\2")
    end = packed.rindex(b"PK\5\6")
    start, size_bytes = struct.unpack_from("<2L", packed, end + 12)[::-1]
    renamed = packed[entry : entry + 28] + struct.pack("<H", len(name)) + packed[entry + 30 : end]
    renamed = renamed.replace(b"evil", name, 1)
    tail = bytearray(packed[end:])
    tail[12:16] = struct.pack("<L", size_bytes + len(name) - 4)
    assert start <= entry
    return packed[:entry] + renamed + bytes(tail)


def test_a_name_with_a_nul(volume):
    """Where the format can hold one: refused, not cut off there."""
    volume.put("all.zip", _renamed(zip_of(zipped("evil", b"1")), b"a\0b"))
    assert "it holds a NUL" in refusal(volume)
    nul = member("x", b"1", pax_headers={"path": "a\0b"})
    (volume.source / "all.zip").unlink()
    volume.put("all.tar", tar_of(nul))
    assert "it holds a NUL" in refusal(volume)


@pytest.mark.parametrize(
    ("evil", "said"),
    [
        (symlink("l", "/etc/passwd"), "which is absolute"),
        (symlink("l", "../outside"), "which leaves the destination"),
        (symlink("d/e/l", "../../../outside/x"), "which leaves the destination"),
        (symlink("l", "d/../../outside"), "which has '..' after a name"),
        (symlink("l", ".lighterman/init.lock"), "which leads into .lighterman"),
        (symlink("l", ""), "it is a symlink to no path"),
        (symlink("l", "planted/x"), "which leaves the destination"),
        (symlink("l", "x" * 4096), "which is longer than 4095 bytes"),
        (hard_link("h", "/etc/passwd"), "which is no file before it"),
        (hard_link("h", "../outside/x"), "which is no file before it"),
        (hard_link("h", "later"), "which is no file before it"),
        (hard_link("h", "d"), "which is no file before it"),
        (hard_link("h", "ok-link"), "which is no file before it"),
        (hard_link("h", "mine"), "which is no file before it"),
        (member("pipe", type=FIFO), "it is a fifo"),
        (member("zero", type=DEVICE, devmajor=1, devminor=5), "it is a character device"),
        (member("odd", type=b"V"), "it is of the type b'V'"),
        (member("planted/x", b"1"), "is a symlink that leaves the destination"),
        (directory("planted"), "is a symlink that leaves the destination"),
        (member("ok-link/x", b"1"), "another member goes to the same place"),
    ],
)
def test_what_leads_out_or_is_no_file_is_refused(volume, evil, said):
    """Links out, planted links, devices: by name, before the first member is written."""
    volume.dest.mkdir()
    os.symlink(volume.dest.parent / "outside", volume.dest / "planted")
    (volume.dest / "mine").write_bytes(b"mine")
    good = [member("first", b"1"), directory("d"), symlink("ok-link", "d")]
    volume.put("all.tar", tar_of(*good, evil, member("later", b"1")))
    assert said in refusal(volume)


def test_links_that_lead_out_together_are_refused(volume):
    """Each alone stays inside: `d/..` isn't where it seems when `d` is a link."""
    volume.put("all.tar", tar_of(symlink("d", "."), symlink("e", "d/../outside")))
    assert "which has '..' after a name" in refusal(volume)


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (stat.S_IFLNK | 0o777, "it is a symlink to '../outside', which leaves"),
        (stat.S_IFIFO | 0o644, "it is neither a file, a directory nor a symlink"),
        (stat.S_IFDIR | 0o755, "it is a directory with content"),
    ],
)
def test_a_zips_members_are_what_their_modes_say(volume, mode, said):
    """Symlinks and specials are hidden in a zip's attributes."""
    volume.put("all.zip", zip_of(zipped("first"), zipped("evil", b"../outside", mode=mode)))
    assert said in refusal(volume)


def test_a_sparse_file_is_refused(volume, tmp_path):
    """By name: its holes would be told from its data nowhere else."""
    import subprocess

    with (tmp_path / "holes").open("wb") as file:
        file.truncate(50 * MIB)
        file.write(b"x")
    for kind in ("gnu", "posix"):
        tar = ["tar", f"--format={kind}", "-S", "-C", tmp_path, "-c", "holes"]
        volume.put("all.tar", subprocess.run(tar, check=True, capture_output=True).stdout)
        assert "it is sparse" in refusal(volume)


def test_planted_state_leads_nowhere(volume):
    """Links where archives are fetched to, or noted: taken away, not followed."""
    outside = volume.dest.parent / "outside"
    (outside / "mine").write_bytes(b"mine")
    state = volume.dest / ".lighterman"
    state.mkdir(parents=True)
    os.symlink(outside, state / "archives")
    os.symlink(outside / "notes", state / "archives.sqlite3")
    os.symlink(outside / "claims", state / "claims.tmp")
    volume.bring(exclude=("*",), optional=True)
    volume.put("all.tar", archive_of("tar", {"a": b"1"}))
    volume.bring()
    assert volume.tree() == {"a": b"1"}
    assert [path.name for path in outside.iterdir()] == ["mine"]


def test_a_refusal_before_any_byte_leaves_nothing_at_all(volume):
    """What is kept while the plan is made goes with it."""
    volume.put("all.tar", archive_of("tar", {"a": b"1"}))
    with pytest.raises(LightermanError):
        volume.bring(files=(Pair("all.tar", "all.tar"), Pair("nowhere", "nowhere")))
    assert not volume.dest.exists()


# Members against what else comes.


def test_members_and_objects_never_share_a_place(volume):
    """An object that goes where a member does, or that is in the way of one."""
    volume.put("d/x", b"object")
    for name, kind in (("x", member), ("x/below", member), ("x", directory)):
        volume.put("d/all.tar", tar_of(member("first", b"1"), kind(name)))
        with pytest.raises(UntrustedDataError, match=r"'d/all.tar' .*: an object goes to the same"):
            volume.bring()
        assert volume.tree() == {"d": None, "d/x": b"object"}
        assert volume.left() == ["archives"]


def test_members_of_two_archives_never_share_a_place(volume):
    """Of the same directory, or of one inside of the other; what was unpacked before stays."""
    volume.put("a.tar", archive_of("tar", {"same": b"1", "d/x": b"1"}))
    volume.put("b.zip", archive_of("zip", {"other": b"2", "same": b"2"}))
    with pytest.raises(UntrustedDataError, match=r"'b.zip' .*'same': a member of another archive"):
        volume.bring()
    assert volume.tree() == {"d": None, "d/x": b"1", "same": b"1"}
    (volume.source / "b.zip").unlink()
    volume.put("d/c.tgz", archive_of("tar.gz", {"x/y": b"2"}))
    with pytest.raises(UntrustedDataError, match=r"'d/c.tgz' .*a member of another archive"):
        volume.bring()
    assert volume.tree() == {"d": None, "d/x": b"1", "same": b"1"}


def test_nothing_is_written_through_a_link_of_another_archive(volume):
    """A link stays inside, and all the same nothing of another archive goes through it."""
    volume.put("a.tar", tar_of(directory("real"), symlink("link", "real")))
    volume.put("b.tar", tar_of(member("link/x", b"2")))
    with pytest.raises(UntrustedDataError, match="a member of another archive"):
        volume.bring()
    assert volume.tree() == {"link": "-> real", "real": None}


# Bombs.


def test_a_zip_of_overlapping_members(volume):
    """What each of many entries points at is packed once: https://www.bamsoftware.com/hacks/zipbomb/."""
    packed = overlapping_zip(2000, 40_000)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert sum(info.file_size for info in archive.infolist()) == 2000 * 40_000
    volume.put("bomb.zip", packed)
    assert "its members overlap" in refusal(volume)


def test_a_zip_that_unpacks_to_more_than_any_honest_one(volume):
    """By its directory, before anything of it is read."""
    volume.put("bomb.zip", zip_of(*(zipped(str(n), bytes(20 * MIB)) for n in range(4))))
    assert "it is a bomb" in refusal(volume)


@pytest.mark.parametrize("form", ["tar.gz", "tar.zst"])
@pytest.mark.parametrize("where", ["member", "tail"])
def test_a_tar_that_unpacks_to_more_than_any_honest_one(volume, form, where):
    """Seen while it is read, whether the zeros are a file's or stand after the end."""
    zeros = bytes(80 * MIB)
    tar = tar_of(member("zeros", zeros)) if where == "member" else tar_of() + zeros
    packed = COMPRESS[form](tar)
    if form == "tar.gz":  # beyond what one layer of deflate can do
        packed = gzip.compress(tar, 9)
        assert len(tar) > 1000 * len(packed)
    volume.put(f"bomb.{form}", packed)
    assert "it is a bomb" in refusal(volume)


def test_many_zeros_are_no_bomb_below_the_floor(volume):
    """Up to 64 MiB any ratio is taken."""
    volume.put("zeros.tar.zst", archive_of("tar.zst", {"zeros": bytes(60 * MIB)}))
    volume.bring()
    assert (volume.dest / "zeros").stat().st_size == 60 * MIB


@pytest.mark.parametrize("told_bytes", [10, 1000, 100_000, 5 * MIB])
def test_a_zip_whose_sizes_lie(volume, told_bytes):
    """Never more than was told, nor less, even where its CRC is that of what was told."""
    volume.put("lie.zip", lying_zip("x", b"x" * 200_000, told_bytes))
    assert "than its header tells" in refusal(volume)


def test_a_zip_member_larger_than_the_archive(volume):
    """A packed size that leads into the directory, or out of the file."""
    packed = bytearray(zip_of(zipped("x", os.urandom(1000), method=zipfile.ZIP_STORED)))
    at = packed.rindex(b"PK\1\2")
    for size_bytes in (900, 1040):
        packed[at + 20 : at + 24] = packed[at + 24 : at + 28] = struct.pack("<L", size_bytes)
        volume.put("all.zip", bytes(packed))
        assert "can't be unpacked" in refusal(volume)


@pytest.mark.parametrize("form", FORMS)
def test_more_members_than_any_volume_takes(volume, monkeypatch, form):
    """The limit is 10,000,000; here it is 50."""
    assert members.MOST_MEMBERS == 10_000_000
    monkeypatch.setattr(inspect, "MOST_MEMBERS", 50)
    volume.put(f"all.{form}", archive_of(form, {str(number): b"" for number in range(51)}))
    assert "it has more than 50 members" in refusal(volume)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_headers_that_would_fill_the_memory(volume, kind):
    """A long name, or pax records, of megabytes: never held."""
    header = tarfile.TarInfo("h")
    header.type, header.size = kind, 50 * MIB
    packed = header.tobuf() + bytes(50 * MIB) + tar_of(member("x", b"1"))
    volume.put("all.tgz", gzip.compress(packed, 1))
    assert f"a header of more than {streams.MOST_HEADER_BYTES} bytes" in refusal(volume)


def test_global_records_without_end(volume):
    """Each adds to what holds for all later members."""
    packed = b""
    for number in range(300):
        records = {f"comment{number}": "x"}
        header = tarfile.TarInfo.create_pax_global_header(records)
        packed += header + tar_of(member(str(number)))[:512]
    volume.put("all.tar", packed + bytes(1024))
    assert "it has a header that can't be" in refusal(volume)


def test_headers_nested_without_end(volume):
    """Records about records: the reader's own depth ends it, not the process."""
    header = tarfile.TarInfo.create_pax_global_header({"comment": "x"})
    volume.put("all.tar", header * 5000 + bytes(1024))
    assert "it is damaged or no tar" in refusal(volume)


def test_a_negative_size(volume):
    """Base-256 numbers have signs: nothing is read backwards."""
    info = tarfile.TarInfo("x")
    header = bytearray(info.tobuf())
    header[124:136] = b"\xff" * 11 + b"\x00"
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    volume.put("all.tar", bytes(header) + tar_of(member("y", b"1")))
    assert "can't be unpacked" in refusal(volume)


def test_a_window_larger_than_the_memory(volume):
    """zstd may ask for 2 GiB: more than `--memory` is refused."""
    packer = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    )
    stream = packer.compressobj()
    tar = archive_of("tar", {"x": os.urandom(10 * MIB)})
    volume.put("all.tar.zst", stream.compress(tar) + stream.flush())
    with pytest.raises(UntrustedDataError, match="larger than the 16777216 bytes that --memory"):
        volume.bring(memory_bytes=20 * MIB)
    volume.bring(memory_bytes=200 * MIB)
    assert (volume.dest / "x").stat().st_size == 10 * MIB


# What is damaged.

TREE = {"first": os.urandom(3000), "d/second": b"2" * 5000, "third": os.urandom(20_000)}


@pytest.mark.parametrize("form", FORMS)
def test_no_archive_at_all(volume, form):
    """A zero-byte object, and one that is something else."""
    for content in (b"", b"just text\n" * 300, os.urandom(5000)):
        volume.put(f"all.{form}", content)
        assert f"'all.{form}' can't be unpacked: it is" in refusal(volume)


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None, max_examples=40)
@given(share=st.floats(0, 0.99))
def test_an_archive_that_is_cut_short(tmp_path_factory, form, share):
    """Wherever it ends: refused, and nothing of it is placed."""
    volume = Volume(tmp_path_factory.mktemp("cut"))
    whole = archive_of(form, TREE)
    if form == "tar":
        whole = whole[: sum(512 + -(-len(content) // 512) * 512 for content in TREE.values()) + 512]
    volume.put(f"all.{form}", whole[: int(share * len(whole))])
    with pytest.raises(UntrustedDataError, match="can't be unpacked"):
        volume.bring()
    assert volume.tree() == {}


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None, max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_an_archive_of_which_a_byte_is_another(tmp_path_factory, form, share, bits):
    """Refused, or what is placed lies below the destination; where checksums cover it, it is what was packed."""
    volume = Volume(tmp_path_factory.mktemp("damaged"))
    packed = bytearray(archive_of(form, TREE))
    packed[int(share * len(packed))] ^= bits
    volume.put(f"all.{form}", bytes(packed))
    said = None
    try:
        volume.bring()
    except UntrustedDataError as error:
        said = error.message
    contents = {content for content in volume.tree().values() if content is not None}
    if said:
        assert ("can't be unpacked" in said, contents) == (True, set())
    assert said or form == "tar" or contents == set(TREE.values())
    assert {path.name for path in volume.dest.parent.iterdir()} == {"source", "dest"}


@settings(deadline=None, max_examples=80)
@given(st.sampled_from(FORMS), st.binary(max_size=3000))
def test_any_bytes_are_an_archive_or_refused(tmp_path_factory, form, content):
    """No content ends as anything but an archive, or as 65."""
    volume = Volume(tmp_path_factory.mktemp("any"))
    volume.put("all", content)
    with pytest.raises(UntrustedDataError, match="can't be unpacked"):
        volume.bring(form)


def test_encrypted_and_unknown(volume):
    """By name: an encrypted member, one packed by a method that isn't known here."""
    packed = bytearray(zip_of(zipped("first", b"1"), zipped("x", b"1")))
    at = packed.rindex(b"PK\1\2")
    packed[at + 8] |= 1
    volume.put("all.zip", bytes(packed))
    assert "'x': it is encrypted" in refusal(volume)
    for method, said in ((9, "deflate64 (9)"), (12, "bzip2 (12)"), (77, "an unknown method (77)")):
        packed[at + 8] = 0
        packed[at + 10] = method
        volume.put("all.zip", bytes(packed))
        assert f"'x': it is compressed by {said}" in refusal(volume)


@pytest.mark.parametrize("form", TARS)
def test_a_tar_that_has_no_end(volume, form):
    """It can't be told from one that is cut short."""
    tar = tar_of(member("x", b"1"))
    volume.put(f"all.{form}", COMPRESS[form](tar[:1024]))
    assert "the end of the tar isn't there" in refusal(volume)


@pytest.mark.parametrize("cut", [1, 4, 8])
def test_a_gzip_whose_checksum_is_gone_or_wrong(volume, cut):
    """The stream is read to its end, behind the tar's."""
    packed = archive_of("tar.gz", TREE)
    volume.put("all.tgz", packed[:-cut])
    assert "it is cut short" in refusal(volume)
    volume.put(
        "all.tgz", packed[:-cut] + bytes([packed[-cut] ^ 1]) + packed[len(packed) - cut + 1 :]
    )
    assert "it is damaged" in refusal(volume)
