"""A place of each kind, named in a catalog, and a look at it that the library has no part in."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lighterman
from lighterman.connections.model import Bucket, Connection, HostPath
from lighterman.secret import Secret

KINDS = ["volume", "moto", pytest.param("rgw", marks=pytest.mark.ceph)]
NAME = "datasets"


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    """Which store: a local volume, moto's S3, or a real Ceph RGW."""
    return request.param


@pytest.fixture
def connection(kind: str, request, tmp_path: Path) -> Connection:
    """A connection to an empty place of that kind, with a prefix of its own where there can be one."""
    if kind == "moto":
        return request.getfixturevalue("s3_bucket").connection(NAME, "team/a")
    if kind == "rgw":
        return request.getfixturevalue("rgw_bucket").connection(NAME, "team/a")
    root = tmp_path / "volume"
    root.mkdir()
    schema = HostPath(host_path=str(root), mount_path=str(root))
    return Connection(name=NAME, kind="host_path", schema=schema)


@pytest.fixture
def catalog(connection: Connection, tmp_path: Path) -> str:
    """The path of a catalog that has the connection, as its user would write it."""
    return write_catalog(tmp_path / "connections.json", connection)


@pytest.fixture
def place(catalog: str) -> Iterator[lighterman.Place]:
    """The place under test, empty."""
    with lighterman.connect(NAME, catalog=catalog, environ={}, retry_seconds=5.0) as place:
        yield place


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Makes a directory with these files."""

    def make(files: dict[str, bytes], name: str = "tree") -> Path:
        root = tmp_path / name
        root.mkdir()
        for path, content in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        return root

    return make


def write_catalog(path: Path, *connections: Connection) -> str:
    """The document of these connections."""
    path.write_text(json.dumps([_document(connection) for connection in connections]))
    return str(path)


def _document(connection: Connection) -> dict[str, object]:
    schema: dict[str, object]
    if isinstance(connection.schema, Bucket):
        schema = {"bucket": connection.schema.bucket}
    else:
        path = connection.schema.mount_path
        schema = {"hostPath": path, "mountPath": path}
    options = connection.options
    said = {
        name: getattr(options, name)
        for name in ("endpoint", "region", "ca_bundle")
        if getattr(options, name) is not None
    }
    document: dict[str, object] = {
        "name": connection.name,
        "kind": connection.kind,
        "schema": schema,
        "env": {name: _plain(value) for name, value in connection.env.items()},
        "options": said,
    }
    if connection.secret:
        document["secret"] = {
            "name": connection.secret.name,
            "mountPath": connection.secret.mount_path,
        }
    return document


def _plain(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value
