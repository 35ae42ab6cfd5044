"""A Ceph RGW of one's own for a benchmark, in memory, with one bucket."""

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from programs import REPOSITORY

_SCRIPT: Final = REPOSITORY / "tests" / "servers" / "ceph-rgw"
_NEEDED: Final = ("ceph-mon", "ceph-osd", "radosgw", "ceph")
_MEMORY_BYTES: Final = 12 << 30


class Bucket(NamedTuple):
    """Where it is, and who may use it."""

    endpoint: str
    login: tuple[str, str]
    name: str
    client: Any

    def check_and_empty(self, program: str, sizes: Mapping[str, int]) -> None:
        """Every file must be there with its size; ends the benchmark where one isn't. Nothing is left."""
        found: dict[str, int] = {}
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        for page in pages:
            listed = page.get("Contents", [])
            found.update({each["Key"]: each["Size"] for each in listed})
            if listed:
                keys = [{"Key": each["Key"]} for each in listed]
                self.client.delete_objects(Bucket=self.name, Delete={"Objects": keys})
        if found != dict(sizes):
            raise SystemExit(f"{program} sent {len(found)} of {len(sizes)} files, or other sizes")


@contextmanager
def ceph_bucket(directory: Path, name: str) -> Iterator[Bucket | None]:
    """One for the length of the block; ``None`` where Ceph isn't installed."""
    if not all(shutil.which(program) for program in _NEEDED):
        yield None
        return
    import botocore.session

    port = str(random.randrange(20_000, 30_000))
    command = [str(_SCRIPT), "up", str(directory), "--port", port, "--memory", str(_MEMORY_BYTES)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    try:
        endpoint, login = f"http://127.0.0.1:{port}", ("testkey", "testsecret")
        client = botocore.session.get_session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=endpoint,
            aws_access_key_id=login[0],
            aws_secret_access_key=login[1],
        )
        client.create_bucket(Bucket=name)
        yield Bucket(endpoint, login, name, client)
    finally:
        subprocess.run([str(_SCRIPT), "down", str(directory)], check=True, stdout=sys.stderr)
