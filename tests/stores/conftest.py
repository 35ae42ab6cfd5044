"""One store of each kind, and files to move in and out of it."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from servers.windows import content_of

from lighterman.connections.model import Bucket, Connection, HostPath
from lighterman.stores import open_store
from lighterman.stores.contract import Attributes, ETag, Key, Store, Window
from lighterman.transfer.settings import TransferSettings

CONCURRENCY = 8


@pytest.fixture(
    params=["volume", "moto", "azurite", "gcs", pytest.param("rgw", marks=pytest.mark.ceph)]
)
def kind(request) -> str:
    """Which store: a local volume, moto's S3, Azurite, a GCS server, or a real Ceph RGW."""
    return request.param


@pytest.fixture
def connection(kind: str, request, tmp_path: Path) -> Connection:
    """A connection to an empty place of that kind."""
    if kind == "moto":
        return request.getfixturevalue("s3_bucket").connection()
    if kind == "rgw":
        return request.getfixturevalue("rgw_bucket").connection()
    if kind == "gcs":
        return request.getfixturevalue("gcs_bucket").connection()
    if kind == "azurite":
        return request.getfixturevalue("azure_container").connection()
    root = tmp_path / "volume"
    root.mkdir()
    return Connection(
        name="volume",
        kind="host_path",
        schema=HostPath(host_path=str(root), mount_path=str(root)),
    )


@pytest.fixture
def opened() -> Iterator[Callable[..., Store]]:
    """Opens connections as a command does; closes them at the test's end."""
    stores: list[Store] = []

    def open_one(connection: Connection, environ=None, **settings) -> Store:
        store = open_store(
            connection,
            environ or {},
            TransferSettings(**{"stall_seconds": 10.0} | settings),
            concurrency=CONCURRENCY,
        )
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def store(connection: Connection, opened) -> Store:
    """The store under test, empty."""
    return opened(connection)


class Files:
    """Open files as windows."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._descriptors: list[int] = []

    def of(self, content: bytes) -> Window:
        """A window on a whole new file with this content."""
        path = self._directory / f"file-{len(self._descriptors)}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        self._descriptors.append(descriptor)
        os.write(descriptor, content)
        return Window(descriptor, 0, len(content))

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    """Makes open files, closed at the test's end."""
    directory = tmp_path / "files"
    directory.mkdir()
    made = Files(directory)
    yield made
    made.close()


@pytest.fixture
def put(store: Store, files: Files) -> Callable[..., ETag]:
    """Writes one object through the store under test."""

    def write(key: str, content: bytes = b"", **attributes) -> ETag:
        return store.write(Key(key), files.of(content), Attributes(**attributes))

    return write


@pytest.fixture
def put_all(store: Store, files: Files) -> Callable[[list[str]], None]:
    """Writes many objects of the content ``x``, several at a time."""

    def write(keys: list[str]) -> None:
        window = files.of(b"x")
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            list(pool.map(lambda key: store.write(Key(key), window, Attributes()), keys))

    return write


@pytest.fixture
def get(store: Store, files: Files) -> Callable[[str], bytes]:
    """Reads one object whole through the store under test."""

    def read(key: str) -> bytes:
        found = store.stat(Key(key))
        window = files.of(b"\0" * found.size_bytes)
        store.read_into(Key(key), window, at=0, etag=found.etag)
        return content_of(window)

    return read


@pytest.fixture
def listed(store: Store) -> Callable[..., list[str]]:
    """The keys that a listing gives, in its order."""

    def keys(prefix: str = "") -> list[str]:
        return [item.key for page in store.pages(prefix) for item in page]

    return keys


@pytest.fixture
def missing_store(kind: str, connection: Connection, opened) -> Store:
    """A store whose bucket or directory isn't there."""
    schema = (
        HostPath(host_path="/not-there", mount_path="/not-there")
        if kind == "volume"
        else Bucket(f"{connection.schema.bucket.partition(':')[0]}://not-there-at-all")
    )
    return opened(msgspec.structs.replace(connection, schema=schema))
