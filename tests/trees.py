"""Trees of files as jobs write them, and how two of them differ."""

import os
import random
import stat
from pathlib import Path

MIB = 1024 * 1024
ODD_NAMES = [
    "with space",
    "plus+plus",
    "per%cent%20",
    "hash#tag",
    "ünïcödé-文件-🚢",
    "e\u0301-combined",
    ".hidden",
    "..two-dots",
    "question?mark",
    "amper&sand=1",
    "semi;colon,comma",
    "quote'double\"",
    "back\\slash",
    "brackets[1]{2}(3)",
    "tilde~star*",
    "at@colon:pipe|",
    "x" * 200,
]
NAMES_FOR_AZURE = [name for name in ODD_NAMES if "\\" not in name]
"""Azure makes a slash of a backslash."""


def make_tree(root, files, seed=20261121, most_bytes=MIB, names=ODD_NAMES):
    """
    ``files`` files of 0 bytes to ``most_bytes`` with odd names, modes and mtimes, the same for the same
    seed. Most are small, as in real outputs; a few have the full size.
    """
    chance = random.Random(seed)
    block = chance.randbytes(most_bytes)
    root = Path(root)
    for number in range(files):
        odd = names[number % len(names)]
        folder = root / f"d{number % 40}" / (odd if number % 7 == 0 else "plain")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / (f"{number}-{odd}"[:200] if odd.isascii() else f"{number}-{odd}")
        share = chance.random() ** 8
        size = (
            0 if number % 50 == 0 else most_bytes if number % 400 == 1 else int(share * most_bytes)
        )
        start = chance.randrange(0, most_bytes - size + 1)
        path.write_bytes(block[start : start + size])
        path.chmod(chance.choice((0o644, 0o600, 0o755, 0o640)))
        os.utime(path, ns=(0, 1_600_000_000_000_000_000 + chance.randrange(10**17)))
    return root


def make_large(path, size_bytes, seed=7):
    """A file whose blocks all differ, written in constant memory."""
    block = bytearray(random.Random(seed).randbytes(MIB))
    with Path(path).open("wb") as file:
        for number in range(size_bytes // MIB):
            block[:8] = number.to_bytes(8, "big")
            file.write(block)
        file.write(block[: size_bytes % MIB])
    return path


def differences(ours, theirs):
    """What differs between two trees, in paths, bytes, modes and mtimes; empty when they are equal."""
    ours, theirs = _files(Path(ours)), _files(Path(theirs))
    found = [f"only in the first: {name}" for name in sorted(ours.keys() - theirs.keys())]
    found += [f"only in the second: {name}" for name in sorted(theirs.keys() - ours.keys())]
    for name in sorted(ours.keys() & theirs.keys()):
        one, two = ours[name].stat(), theirs[name].stat()
        if stat.S_IMODE(one.st_mode) != stat.S_IMODE(two.st_mode):
            found.append(f"mode of {name}: {one.st_mode:o} and {two.st_mode:o}")
        if one.st_mtime_ns != two.st_mtime_ns:
            found.append(f"mtime of {name}: {one.st_mtime_ns} and {two.st_mtime_ns}")
        if not _same_bytes(ours[name], theirs[name]):
            found.append(f"bytes of {name}")
    return found


def _files(root):
    return {
        str(path.relative_to(root)): path
        for path in root.rglob("*")
        if path.is_file() and ".lighterman" not in path.relative_to(root).parts
    }


def _same_bytes(one, two):
    if one.stat().st_size != two.stat().st_size:
        return False
    with one.open("rb") as first, two.open("rb") as second:
        while chunk := first.read(MIB):
            if chunk != second.read(MIB):
                return False
    return True
