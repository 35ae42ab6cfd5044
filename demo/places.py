"""The two kinds of place that the demo's connections can be: directories, or buckets of a local S3 server."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

ACCESS_KEY_ID, SECRET_ACCESS_KEY = "demo-key", "demo-secret-that-is-never-printed"


class Place(Protocol):
    """Where the connections of ``catalog`` lead to. Contents are by bucket, then by key."""

    catalog: str

    def fill(self, bucket: str, objects: dict[str, bytes]) -> None: ...

    def contents(self, bucket: str) -> dict[str, bytes]: ...


class Directories:
    """``bucket/NAME`` in the demo's directory."""

    catalog = "connections.yaml"

    def __init__(self, directory: Path) -> None:
        self._root = directory / "bucket"

    def fill(self, bucket: str, objects: dict[str, bytes]) -> None:
        (self._root / bucket).mkdir(parents=True)
        for key, body in objects.items():
            path = self._root / bucket / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)

    def contents(self, bucket: str) -> dict[str, bytes]:
        root = self._root / bucket
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


class Buckets:
    """Buckets of an S3 server, as any S3 client sees them."""

    catalog = "connections-s3.yaml"

    def __init__(self, endpoint: str) -> None:
        import boto3

        self._client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
        )

    def fill(self, bucket: str, objects: dict[str, bytes]) -> None:
        self._client.create_bucket(Bucket=bucket)
        for key, body in objects.items():
            self._client.put_object(Bucket=bucket, Key=key, Body=body)

    def contents(self, bucket: str) -> dict[str, bytes]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return {key: self._client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


@contextmanager
def directories(directory: Path) -> Iterator[Place]:
    yield Directories(directory)


@contextmanager
def buckets(directory: Path) -> Iterator[Place]:
    """Starts moto's S3 server, and mounts what a pod would have: a secret and a config map."""
    log = directory / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        endpoint = _endpoint(server, log)
        _mount(
            directory / "secrets" / "s3",
            AWS_ACCESS_KEY_ID=ACCESS_KEY_ID,
            AWS_SECRET_ACCESS_KEY=SECRET_ACCESS_KEY,
        )
        _mount(directory / "config" / "s3", AWS_ENDPOINT_URL=endpoint, AWS_REGION="us-east-1")
        yield Buckets(endpoint)
    finally:
        server.terminate()
        server.wait()


def _mount(directory: Path, **keys: str) -> None:
    directory.mkdir(parents=True)
    for name, value in keys.items():
        (directory / name).write_text(value)


def _endpoint(server: subprocess.Popen[bytes], log: Path) -> str:
    """The URL that the server says it listens on, once it does; it has 60 s to start."""
    for _ in range(600):
        if found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", log.read_text()):
            return found[1]
        try:
            server.wait(0.1)
            break
        except subprocess.TimeoutExpired:
            continue
    raise SystemExit(f"the S3 server doesn't start:\n{log.read_text()}")
