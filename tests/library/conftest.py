"""A place of each kind, named in a catalog, and a look at it that the library has no part in."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from catalogs import NAME, write_catalog

import lighterman
from lighterman.connections.model import Connection, HostPath

KINDS = ["volume", "moto", "gcs", "azurite", pytest.param("rgw", marks=pytest.mark.ceph)]
BUCKETS = {
    "moto": "s3_bucket",
    "rgw": "rgw_bucket",
    "gcs": "gcs_bucket",
    "azurite": "azure_container",
}


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    """Which store: a local volume, moto's S3, a GCS server, Azurite, or a real Ceph RGW."""
    return request.param


@pytest.fixture
def connection(kind: str, request, tmp_path: Path) -> Connection:
    """A connection to an empty place of that kind, with a prefix of its own where there can be one."""
    if kind in BUCKETS:
        return request.getfixturevalue(BUCKETS[kind]).connection(NAME, "team/a")
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
