"""What the sidecar's tests share."""

import io
from collections.abc import Iterator

import pytest
from sending import Outputs

from lighterman import log
from lighterman.connections.model import Connection, HostPath
from lighterman.stores import open_store
from lighterman.stores.contract import Store
from lighterman.transfer.settings import TransferSettings


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """What was logged, as JSON lines."""
    stream = io.StringIO()
    log.configure("debug", "json", stream)
    yield stream
    log.configure()


@pytest.fixture
def volume_store(tmp_path) -> Iterator[Store]:
    """A store on a fresh directory."""
    (tmp_path / "bucket").mkdir()
    connection = Connection(
        name="volume",
        kind="host_path",
        schema=HostPath(host_path=str(tmp_path), mount_path=str(tmp_path / "bucket")),
    )
    store = open_store(connection, {}, TransferSettings(), concurrency=8)
    yield store
    store.close()


@pytest.fixture
def s3_store(s3_connection) -> Iterator[Store]:
    """A store on a fresh bucket of moto."""
    store = open_store(s3_connection, {}, TransferSettings(), concurrency=8)
    yield store
    store.close()


@pytest.fixture(
    params=["volume", "s3", "gcs", "azure", pytest.param("rgw", marks=pytest.mark.ceph)]
)
def store(request) -> Store:
    """Each kind of store in turn."""
    found: Store = request.getfixturevalue(f"{request.param}_store")
    return found


@pytest.fixture
def outputs(tmp_path, store) -> Iterator[Outputs]:
    """Outputs on their way to each kind of store."""
    outputs = Outputs(tmp_path, store)
    yield outputs
    outputs.close()


@pytest.fixture
def s3_outputs(tmp_path, s3_store) -> Iterator[Outputs]:
    """Outputs on their way to moto."""
    outputs = Outputs(tmp_path, s3_store)
    yield outputs
    outputs.close()


@pytest.fixture
def rgw_store(rgw_bucket) -> Iterator[Store]:
    """A store on a fresh bucket of Ceph RGW."""
    store = open_store(rgw_bucket.connection(), {}, TransferSettings(), concurrency=8)
    yield store
    store.close()


@pytest.fixture
def gcs_store(gcs_bucket) -> Iterator[Store]:
    """A store on a fresh bucket of GCS's server."""
    store = open_store(gcs_bucket.connection(), {}, TransferSettings(), concurrency=8)
    yield store
    store.close()


@pytest.fixture
def azure_store(azure_container) -> Iterator[Store]:
    """A store on a fresh container of Azurite."""
    store = open_store(azure_container.connection(), {}, TransferSettings(), concurrency=8)
    yield store
    store.close()


@pytest.fixture(params=["volume", pytest.param("rgw", marks=pytest.mark.ceph)])
def dated_outputs(request, tmp_path) -> Iterator[Outputs]:
    """Outputs on their way to stores that tell when an upload was begun (moto says 2010 of all)."""
    outputs = Outputs(tmp_path, request.getfixturevalue(f"{request.param}_store"))
    yield outputs
    outputs.close()
