"""What all tests share: real servers on loopback, fresh buckets, and the proxy between."""

import os
import socket
from collections.abc import Callable, Iterator

import pytest
from servers.accounts import Account, locked_moto
from servers.buckets import S3Bucket, new_bucket_name
from servers.certificates import Authority, make_authority
from servers.processes import moto_server
from servers.proxy import Proxy
from servers.rgw import Rgw, ceph_rgw

from lighterman.connections.model import Connection

AMBIENT = ("AWS_", "LIGHTERMAN_", "POLYAXON_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
KEPT = "LIGHTERMAN_TEST_"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory) -> None:
    """No test sees the credentials, proxies and settings of whoever runs it."""
    for name in list(os.environ):
        if name.upper().startswith(AMBIENT) and not name.startswith(KEPT):
            monkeypatch.delenv(name)
    nowhere = tmp_path_factory.getbasetemp() / "nowhere"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(nowhere))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nowhere))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(autouse=True)
def no_known_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test holds secret is an ordinary word of another's."""
    monkeypatch.setattr("lighterman.secret._known", set())


@pytest.fixture(scope="session")
def moto_endpoint(tmp_path_factory) -> Iterator[str]:
    """URL of a moto server: one process for each worker."""
    with moto_server(tmp_path_factory.mktemp("moto") / "log") as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def rgw(tmp_path_factory) -> Iterator[Rgw]:
    """A Ceph RGW. Only for tests marked ``ceph``."""
    with ceph_rgw(tmp_path_factory.mktemp("ceph") / "rgw") as gateway:
        yield gateway


@pytest.fixture(scope="session")
def account(tmp_path_factory) -> Iterator[Account]:
    """An AWS account whose server checks keys, signatures and roles."""
    with locked_moto(tmp_path_factory.mktemp("locked-moto") / "log") as found:
        yield found


@pytest.fixture
def s3_bucket(moto_endpoint: str) -> S3Bucket:
    """A fresh bucket on moto."""
    return S3Bucket(moto_endpoint, new_bucket_name()).create()


@pytest.fixture
def rgw_bucket(rgw: Rgw) -> S3Bucket:
    """A fresh bucket on Ceph RGW. Only for tests marked ``ceph``."""
    name = new_bucket_name()
    return S3Bucket(rgw.endpoint, name, rgw.access_key_id, rgw.secret_access_key).create()


@pytest.fixture
def s3_connection(s3_bucket: S3Bucket) -> Connection:
    """A connection with static keys to the fresh bucket on moto."""
    return s3_bucket.connection()


@pytest.fixture
def proxy_to() -> Iterator[Callable[..., Proxy]]:
    """Makes proxies to an endpoint (see ``servers.proxy``), closed at the test's end."""
    proxies: list[Proxy] = []

    def make(endpoint: str, **options) -> Proxy:
        proxies.append(Proxy(endpoint, **options))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory) -> Authority:
    """A private CA and the context of a TLS server that it vouches for."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def closed_port() -> int:
    """A loopback port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
