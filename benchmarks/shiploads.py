"""The programs that send, and the rows in which they do: how each is called, what is sent, and what is wanted of it."""

import os
import random
import sys
from pathlib import Path
from typing import Final, NamedTuple

from buckets import MIB
from figures import OURS, Wanted
from ideal_store import LATENCY_MILLISECONDS
from programs import BEFORE, Program, s5cmd_binary

_BIN: Final = Path(sys.executable).parent

S5CMD_FLAGS: Final = ("--log", "error", "--numworkers", "256")
S5CMD_LARGE_FLAGS: Final = ("--part-size", "16", "--concurrency", "8")
RCLONE_FLAGS: Final = ("--transfers", "64", "--checkers", "64", "--fast-list")
RCLONE_COPY_FLAGS: Final = ("--no-check-dest", "--s3-no-head")
RCLONE_UNCHANGED_FLAGS: Final = ("--update", "--use-server-modtime")
"""Its advice for stores where each modification time is a request: https://rclone.org/s3/#avoiding-head-requests-to-read-the-modification-time"""
IDEAL: Final = "ideal store"
CEPH: Final = "Ceph RGW"
_MADE_AT_SECONDS: Final = 1_700_000_000
PEAK_MIB: Final = 120
"""What lighterman may take in any row."""


class Send(NamedTuple):
    """What a program is to send, and where to."""

    endpoint: str
    bucket: str
    tree: Path
    state: Path
    """Where lighterman keeps its journal."""
    is_unchanged: bool
    """All of it was sent before."""
    is_ceph: bool = False


class Sender(NamedTuple):
    """One program, by its name in ``programs.Program``."""

    name: str
    checkout: Path | None = None

    def command(self, send: Send) -> list[str]:
        """Its arguments, the program's full path first."""
        target = f"s3://{send.bucket}"
        if self.name in (OURS, BEFORE):
            return [
                *(str(_BIN / "lighterman"), "sync", "--connection", target),
                *("--path", str(send.tree), "--state", str(send.state)),
            ]
        if self.name == "s5cmd":
            flags: tuple[str, ...] = S5CMD_LARGE_FLAGS if send.bucket == "large" else ()
            verb = "sync" if send.is_unchanged else "cp"
            return [
                *(str(s5cmd_binary()), *S5CMD_FLAGS, "--endpoint-url", send.endpoint),
                *(verb, *flags, f"{send.tree}/", f"{target}/"),
            ]
        provider = "Ceph" if send.is_ceph else "Other"
        remote = (
            f":s3,provider={provider},env_auth=true,region=us-east-1,list_version=2,"
            f"no_check_bucket=true,endpoint='{send.endpoint}':{send.bucket}"
        )
        flags = RCLONE_UNCHANGED_FLAGS if send.is_unchanged else RCLONE_COPY_FLAGS
        return [
            *(str(_BIN / "rclone"), "copy", "--config", os.devnull),
            *(*RCLONE_FLAGS, *flags, str(send.tree), remote),
        ]

    def environment(self, send: Send, home: Path, login: tuple[str, str]) -> dict[str, str]:
        """Its variables, and which lighterman is imported."""
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "AWS_ACCESS_KEY_ID": login[0],
            "AWS_SECRET_ACCESS_KEY": login[1],
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": send.endpoint,
        }
        return environ | ({"PYTHONPATH": str(self.checkout)} if self.checkout else {})

    def shown(self, *, is_unchanged: bool) -> str:
        """Its command line, for who wants to run it by hand."""
        tree, state = Path("DIRECTORY"), Path("STATE")
        words = self.command(Send("ENDPOINT", "BUCKET", tree, state, is_unchanged))
        return " ".join([Path(words[0]).name, *words[1:]])

    def version(self) -> str:
        """As ``Program.version``."""
        return Program(self.name, checkout=self.checkout).version()


def senders(names: list[str], checkout: Path, before: Path | None) -> list[Sender]:
    """Those of these names, in the order in which they take turns."""
    there = [Sender(OURS, checkout), Sender("s5cmd"), Sender("rclone")]
    chosen = [sender for sender in there if sender.name in names]
    if before is not None:
        chosen.insert(1 if OURS in names else 0, Sender(BEFORE, before))
    return chosen


class Shipload(NamedTuple):
    """One row."""

    title: str
    tree: str
    """Its name, which is the bucket's too."""
    programs: tuple[str, ...]
    """Who can: rclone compares ETags with MD5s, which an ideal store doesn't compute."""
    wanted: tuple[Wanted, ...]
    place: str = IDEAL
    latency_milliseconds: int = 0
    is_unchanged: bool = False


_PAIR: Final = (OURS, BEFORE, "s5cmd")
_ALL: Final = (*_PAIR, "rclone")
SHIPLOADS: Final = {
    "small": Shipload(
        "10,000 files of 1 to 50 KB", "small", _PAIR, (Wanted("s5cmd", "wall", 0.6),)
    ),
    "small-late": Shipload(
        "10,000 files of 1 to 50 KB",
        "small",
        _PAIR,
        (Wanted("s5cmd", "wall", 0.7),),
        latency_milliseconds=LATENCY_MILLISECONDS,
    ),
    "large": Shipload(
        "one file of 2 GiB",
        "large",
        _PAIR,
        (Wanted("s5cmd", "wall", 0.85), Wanted("s5cmd", "cpu", 0.5)),
    ),
    "unchanged": Shipload(
        "100,000 files, nothing changed",
        "many",
        _ALL,
        (Wanted("s5cmd", "wall", 0.5), Wanted("rclone", "wall", 0.5)),
        is_unchanged=True,
    ),
    "small-ceph": Shipload(
        "10,000 files of 1 to 50 KB", "small", _ALL, (Wanted("rclone", "wall", 0.4),), CEPH
    ),
}


def tree_sizes(tree: str) -> dict[str, int]:
    """The bytes of each file of a tree, by its path; the same in every run."""
    draw = random.Random(1)
    match tree:
        case "small":
            return {_name(number, 100): draw.randint(1000, 50_000) for number in range(10_000)}
        case "large":
            return {"model.bin": 2048 * MIB}
        case "many":
            return {_name(number, 1000): 1024 for number in range(100_000)}
        case _:
            raise ValueError(f"no tree {tree}")


def make_tree(directory: Path, sizes: dict[str, int]) -> None:
    """Files of random bytes. They are old, since s5cmd sends what isn't older than its object, whose time is in seconds."""
    draw = random.Random(7)
    for name, size_bytes in sizes.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for start in range(0, size_bytes, 8 * MIB):
                file.write(draw.randbytes(min(8 * MIB, size_bytes - start)))
        os.utime(path, (_MADE_AT_SECONDS, _MADE_AT_SECONDS))


def _name(number: int, directories: int) -> str:
    return f"{number % directories:03}/{number:06}.bin"
