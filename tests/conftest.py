"""What all tests share: real servers on loopback, fresh buckets, and the proxy between."""

import os
import socket
from collections.abc import Callable, Iterator

import pytest
from servers.accounts import Account, locked_moto
from servers.azurite import Azurite, azurite_server
from servers.buckets import S3Bucket, new_bucket_name
from servers.certificates import Authority, make_authority
from servers.containers import AzureContainer
from servers.gcs import GcsBucket, GcsServer, gcs_server
from servers.processes import moto_server
from servers.proxy import Proxy
from servers.rgw import Rgw, ceph_rgw

from lighterman.connections.model import Connection

AMBIENT = (
    *("AWS_", "S3_", "STORAGE_CONFIG", "LIGHTERMAN_", "POLYAXON_"),
    *("GOOGLE_", "GC_", "GCE_METADATA_", "GCLOUD_", "CLOUDSDK_", "STORAGE_EMULATOR_HOST"),
    *("AZURE_", "IDENTITY_", "MSI_", "IMDS_"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)
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
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(nowhere))
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(nowhere))


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


@pytest.fixture(scope="session")
def gcs(tmp_path_factory) -> Iterator[GcsServer]:
    """A GCS server: one process for each worker."""
    with gcs_server(tmp_path_factory.mktemp("gcs") / "log") as server:
        yield server


@pytest.fixture
def gcs_bucket(gcs: GcsServer) -> GcsBucket:
    """A fresh bucket on the GCS server."""
    return GcsBucket(gcs, new_bucket_name()).create()


@pytest.fixture(scope="session")
def azurite(tmp_path_factory) -> Iterator[Azurite]:
    """Azurite: one process for each worker."""
    with azurite_server(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture
def azure_container(azurite: Azurite) -> AzureContainer:
    """A fresh container on Azurite."""
    return AzureContainer(azurite, new_bucket_name()).create()


@pytest.fixture(scope="session")
def azurite_tls(tmp_path_factory, authority: Authority) -> Iterator[Azurite]:
    """Azurite that speaks TLS by the authority's certificate, and takes bearer tokens."""
    with azurite_server(tmp_path_factory.mktemp("azurite-tls"), authority) as server:
        yield server


@pytest.fixture
def azure_tls_container(azurite_tls: Azurite, authority: Authority) -> AzureContainer:
    """A fresh container on the Azurite that speaks TLS."""
    return AzureContainer(azurite_tls, new_bucket_name(), str(authority.ca_bundle)).create()


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
