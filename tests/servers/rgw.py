"""A real Ceph RGW: the one that ``LIGHTERMAN_TEST_CEPH_*`` names, else one of our own in memory."""

import os
import random
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

SCRIPT = Path(__file__).with_name("ceph-rgw")
PORTS_TAKEN = 30
"""The gateway's port, the monitor's and the twenty that the osd may take (see ceph-rgw)."""


class Rgw(NamedTuple):
    """Where it is and who may use it."""

    endpoint: str
    access_key_id: str
    secret_access_key: str
    directory: Path | None = None
    """Its configuration; ``None`` where it isn't our own."""

    def make_user(self, uid: str) -> tuple[str, str]:
        """A user who owns nothing; gives access key and secret."""
        assert self.directory is not None
        keys = (f"key-of-{uid}", secrets.token_hex(20))
        command = ["radosgw-admin", "-c", self.directory / "ceph.conf", "-n", "client.rgw"]
        named = ["--uid", uid, "--display-name", uid, "--access-key", keys[0]]
        subprocess.run(
            [*command, "user", "create", *named, "--secret-key", keys[1]],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return keys


@contextmanager
def ceph_rgw(directory: Path) -> Iterator[Rgw]:
    """A gateway for the length of the block. ``directory`` must be absent or empty."""
    if endpoint := os.environ.get("LIGHTERMAN_TEST_CEPH_ENDPOINT"):
        yield Rgw(
            endpoint,
            os.environ.get("LIGHTERMAN_TEST_CEPH_ACCESS_KEY", "testkey"),
            os.environ.get("LIGHTERMAN_TEST_CEPH_SECRET_KEY", "testsecret"),
        )
        return
    port = _free_ports(PORTS_TAKEN)
    subprocess.run([SCRIPT, "up", directory, "--port", str(port)], check=True)
    try:
        yield Rgw(f"http://127.0.0.1:{port}", "testkey", "testsecret", directory)
    finally:
        subprocess.run([SCRIPT, "down", directory], check=True)


def _free_ports(count: int) -> int:
    """The first of ``count`` neighbouring ports that nobody listens on."""
    for _ in range(100):
        first = random.randrange(20_000, 30_000)
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise RuntimeError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
