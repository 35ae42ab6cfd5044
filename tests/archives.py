"""Archives as tests need them: honest ones in every form, and ones that nobody packs by mistake."""

import gzip
import io
import os
import stat
import struct
import tarfile
import time
import zipfile
import zlib

import zstandard

from initializer.entries import Entry
from initializer.job import carry_out
from lighterman.command import Context
from lighterman.connections.uri import connection_of
from lighterman.transfer.settings import TransferSettings

MIB = 1024 * 1024
MTIME = 1_700_000_000
COMPRESS = {
    "tar": lambda data: data,
    "tar.gz": lambda data: gzip.compress(data, mtime=0),
    "tar.zst": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
}
TARS = list(COMPRESS)
FORMS = [*TARS, "zip"]


def member(name, content=b"", **fields):
    """A tar's member, for ``tar_of``."""
    info = tarfile.TarInfo()
    fields = {"name": name, "size": len(content), "mode": 0o640, "mtime": MTIME} | fields
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def directory(name, **fields):
    return member(name, type=tarfile.DIRTYPE, mode=0o755, **fields)


def symlink(name, target):
    return member(name, type=tarfile.SYMTYPE, linkname=target)


def hard_link(name, target):
    return member(name, type=tarfile.LNKTYPE, linkname=target)


def tar_of(*members, form="tar", kind=tarfile.PAX_FORMAT):
    """The bytes of a tar of these members."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=kind) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return COMPRESS[form](packed.getvalue())


def zipped(name, content=b"", mode=stat.S_IFREG | 0o640, method=zipfile.ZIP_DEFLATED):
    """A zip's member, for ``zip_of``."""
    info = zipfile.ZipInfo(name, time.gmtime(MTIME)[:6])
    info.external_attr = mode << 16
    info.compress_type = method
    return info, content


def zip_of(*members):
    """The bytes of a zip of these members."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for info, content in members:
            archive.writestr(info, content)
    return packed.getvalue()


def archive_of(form, tree):
    """A mapping of paths to contents in that form."""
    if form == "zip":
        return zip_of(*(zipped(name, content) for name, content in tree.items()))
    return tar_of(*(member(name, content) for name, content in tree.items()), form=form)


def overlapping_zip(count, size_bytes):
    """A bomb: many entries of a directory that all point at one local file of zeros."""
    one = zip_of(zipped("0", bytes(size_bytes)))
    end = one.rindex(b"PK\5\6")
    start = int.from_bytes(one[end + 16 : end + 20], "little")
    entry = one[start:end]
    entries = b"".join(
        entry[:28] + struct.pack("<H", len(str(number))) + entry[30:46] + str(number).encode()
        + entry[47:]
        for number in range(count)
    )  # fmt: skip
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(entries), start, 0)
    return one[:start] + entries + tail


def lying_zip(name, content, told_bytes, *, told_crc=None):
    """A zip whose directory and local header tell another size than that of what is packed."""
    honest = zip_of(zipped(name, content))
    crc = zlib.crc32(content[:told_bytes]) if told_crc is None else told_crc
    lie = struct.pack("<L", told_bytes)
    end = honest.rindex(b"PK\5\6")
    at = int.from_bytes(honest[end + 16 : end + 20], "little")
    packed = bytearray(honest)
    packed[14:18] = packed[at + 16 : at + 20] = struct.pack("<L", crc)
    packed[22:26] = packed[at + 24 : at + 28] = lie
    return bytes(packed)


class Volume:
    """A directory that is the place, and the destination that init fills from it."""

    def __init__(self, directory):
        self.source = directory / "source"
        self.dest = directory / "dest"
        self.source.mkdir()

    def put(self, key, content):
        path = self.source / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def bring(self, unpack="auto", *, stop=None, memory_bytes=128 * MIB, **declared):
        """Init in this process; gives what it counted."""
        entry = Entry(
            connection=f"file://{self.source}",
            destination=str(self.dest),
            unpack=unpack,
            workers=4,
            **declared,
        )
        context = Context(
            environ={},
            find_connection=connection_of,
            settings=TransferSettings(memory_bytes=memory_bytes),
            **({"stop": stop} if stop else {}),
        )
        carry_out([entry], context)
        return context.tally.totals()

    def tree(self):
        """Path below the destination to content, a link's target or ``None`` of a directory."""
        return tree_at(self.dest)

    def left(self):
        """What is below the state directory, its notes aside."""
        known = {"init.lock", "init.sqlite3", "archives.sqlite3"}
        state = self.dest / ".lighterman"
        return [
            str(path.relative_to(state))
            for path in state.rglob("*")
            if path.name.removesuffix("-journal") not in known
        ]


def tree_at(root):
    return {
        str(path.relative_to(root)): (
            f"-> {os.readlink(path)}"
            if path.is_symlink()
            else None if path.is_dir() else path.read_bytes()
        )
        for path in sorted(root.rglob("*"))
        if ".lighterman" not in path.relative_to(root).parts
    }  # fmt: skip
