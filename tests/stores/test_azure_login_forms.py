"""Every form of Azure's login really lets its requests in, in each engine: our own calls, obstore's, the SDK's."""

import time
from datetime import UTC, datetime, timedelta

import obstore
import pytest
from azure.storage.blob import (
    AccountSasPermissions,
    ContainerClient,
    ResourceTypes,
    generate_account_sas,
)
from obstore.store import AzureStore
from servers.entra import CLIENT, CLIENT_SECRET, TENANT, TokenServer

from lighterman.connections.azure_login import AzureLogins
from lighterman.connections.model import Bucket, Connection, Mount, Options
from lighterman.errors import CredentialsError
from lighterman.stores.azure.access import Access
from lighterman.stores.azure.configuration import AzureSettings, configured
from lighterman.stores.azure.login import access_of, obstore_config, obstore_provider
from lighterman.stores.azure.wire import Wire
from lighterman.stores.objects import RETRIES

LISTING = {"restype": "container", "comp": "list"}
PRINCIPAL = {
    "AZURE_TENANT_ID": TENANT,
    "AZURE_CLIENT_ID": CLIENT,
    "AZURE_CLIENT_SECRET": CLIENT_SECRET,
}


class Engines:
    """One connection, logged in as a store does it."""

    def __init__(self, connection: Connection, environ: dict[str, str]) -> None:
        login = AzureLogins(connection, environ).current()
        self.settings: AzureSettings = configured(
            connection, login, environ, stall_seconds=10.0, concurrency=2
        )
        settings = self.settings
        self.access: Access = access_of(
            connection, login, environ, settings.network, settings.place
        )
        self.wire = Wire(settings, self.access)

    def listed_by_wire(self) -> bytes:
        return self.wire.call("GET", query=LISTING).body

    def read_by_obstore(self, key: str) -> bytes:
        store = AzureStore(
            self.settings.container,
            **obstore_config(self.access, self.settings.endpoint),
            credential_provider=obstore_provider(self.access),
            client_options=self.settings.network.obstore_options(),
            retry_config={**RETRIES, "max_retries": 0},
        )
        return bytes(obstore.get(store, key).bytes())

    def listed_by_sdk(self) -> list[str]:
        with ContainerClient(
            self.settings.endpoint,
            self.settings.container,
            self.access.credential(),
            connection_verify=self.settings.network.verify,
            retry_total=0,
        ) as client:
            return [blob.name for blob in client.list_blobs()]

    def use(self) -> None:
        """Every engine lists or reads what is there."""
        assert b"<Name>there</Name>" in self.listed_by_wire()
        assert b"hello" == self.read_by_obstore("there")
        assert ["there"] == self.listed_by_sdk()

    def close(self) -> None:
        self.wire.close()


@pytest.fixture
def log_in():
    """Logs in with this env of a connection, to this container; the engines are closed at the test's end."""
    made: list[Engines] = []

    def make(container, env=None, environ=None, mount=None, **options) -> Engines:
        if container.ca_bundle:
            options["ca_bundle"] = container.ca_bundle
        connection = Connection(
            name="c",
            kind="wasb",
            schema=Bucket(f"az://{container.name}"),
            secret=mount,
            env=env or {},
            options=Options(**({"endpoint": container.endpoint} | options)),
        )
        made.append(Engines(connection, environ or {}))
        return made[-1]

    yield make
    for engines in made:
        engines.close()


@pytest.fixture
def container(azure_container):
    """A container with one blob."""
    azure_container.put("there", b"hello")
    return azure_container


@pytest.fixture
def tls_container(azure_tls_container):
    """The same, where bearer tokens are taken."""
    azure_tls_container.put("there", b"hello")
    return azure_tls_container


@pytest.fixture
def entra(authority):
    """Microsoft Entra's token endpoint, by the test's CA."""
    with TokenServer(authority.server) as server:
        yield server


def account_sas(container, permission: str = "rl", types: str = "sco", hours: float = 1.0) -> str:
    now = datetime.now(UTC)
    token: str = generate_account_sas(
        container.server.account,
        container.server.key,
        resource_types=ResourceTypes.from_string(types),
        permission=AccountSasPermissions.from_string(permission),
        expiry=now + timedelta(hours=hours),
        start=now - timedelta(hours=2),
    )
    return token


def test_a_connection_string(log_in, container):
    """``AZURE_STORAGE_CONNECTION_STRING``, with its own endpoint."""
    env = {"AZURE_STORAGE_CONNECTION_STRING": container.server.connection_string}
    log_in(container, env, endpoint=None).use()


def test_a_connection_string_with_a_signature(log_in, container):
    """``SharedAccessSignature`` in place of the key."""
    text = f"BlobEndpoint={container.endpoint};SharedAccessSignature={container.sas()}"
    log_in(container, {"AZURE_CONNECTION_STRING": text}, endpoint=None).use()


def test_an_account_key(log_in, container):
    """``AZURE_STORAGE_ACCOUNT`` with ``AZURE_STORAGE_KEY``, or with its account in the endpoint alone."""
    key = {"AZURE_STORAGE_KEY": container.server.key}
    log_in(container, {**key, "AZURE_STORAGE_ACCOUNT": container.server.account}).use()
    log_in(container, key).use()


def test_mounted_files(log_in, container, tmp_path):
    """A secret as Kubernetes mounts it, one file a key."""
    (tmp_path / "AZURE_ACCOUNT_NAME").write_text(f"{container.server.account}\n")
    (tmp_path / "AZURE_ACCOUNT_KEY").write_text(f"{container.server.key}\n")
    log_in(container, mount=Mount(name="s", mount_path=str(tmp_path))).use()


def test_a_sas_of_the_account(log_in, container):
    """``AZURE_STORAGE_SAS_TOKEN``, made for the account."""
    log_in(container, {"AZURE_STORAGE_SAS_TOKEN": account_sas(container)}).use()


@pytest.mark.parametrize("before", ["", "?", "{endpoint}/{name}?"])
def test_a_sas_of_the_container(log_in, container, before):
    """``AZURE_SAS_TOKEN``, made for the container: bare, with its question mark, as a whole URL."""
    start = before.format(endpoint=container.endpoint, name=container.name)
    log_in(container, {"AZURE_SAS_TOKEN": start + container.sas("rl")}).use()


def test_anonymous(log_in, container):
    """``options.anonymous``, for a public container."""
    container.make_public()
    log_in(container, anonymous=True).use()


@pytest.mark.parametrize("form", ["own", "environ"])
def test_a_service_principal(log_in, tls_container, entra, form):
    """``AZURE_TENANT_ID``, ``AZURE_CLIENT_ID``, ``AZURE_CLIENT_SECRET``."""
    login = {**PRINCIPAL, "AZURE_AUTHORITY_HOST": entra.url}
    given = {"env": login} if form == "own" else {"environ": login}
    log_in(tls_container, **given).use()
    assert 1 == len(entra.given)


def test_a_workload_identity(log_in, tls_container, entra, tmp_path):
    """``AZURE_FEDERATED_TOKEN_FILE``."""
    file = tmp_path / "token"
    file.write_text("header.payload.signature")
    environ = {
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_FEDERATED_TOKEN_FILE": str(file),
        "AZURE_AUTHORITY_HOST": entra.url,
    }
    log_in(tls_container, environ=environ).use()
    assert 1 == len(entra.given)


def test_a_managed_identity(log_in, tls_container, monkeypatch):
    """The machine's own, by a recorded exchange with its metadata service."""
    with TokenServer() as metadata:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.url)
        log_in(tls_container).use()
        assert 1 == len(metadata.given)


def test_a_token_that_ends_in_mid_use_is_renewed(log_in, tls_container, entra):
    """A token that expires in mid-use is picked up without a failed request."""
    entra.lasts_seconds = 5
    engines = log_in(tls_container, {**PRINCIPAL, "AZURE_AUTHORITY_HOST": entra.url})
    deadline = time.monotonic() + 60
    ends = time.monotonic() + 7
    while time.monotonic() < ends or len(entra.given) < 3:
        assert time.monotonic() < deadline
        engines.use()


def test_a_token_past_its_end_is_refused(log_in, tls_container, entra):
    """What the renewal is for: this server looks at a token's end."""
    entra.lasts_seconds = -10
    engines = log_in(tls_container, {**PRINCIPAL, "AZURE_AUTHORITY_HOST": entra.url})
    with pytest.raises(CredentialsError):
        engines.listed_by_wire()


def test_a_wrong_key_is_refused(log_in, container):
    """77, from a server that checks signatures."""
    engines = log_in(container, {"AZURE_STORAGE_KEY": "d3Jvbmcga2V5"})
    with pytest.raises(CredentialsError):
        engines.listed_by_wire()


@pytest.mark.parametrize(
    ("token", "action", "expected"),
    [
        (lambda c: c.sas("rl", hours=-0.02), "list", "sp=rl, sr=c, from 20"),
        (lambda c: c.sas("r"), "list", "sp=r, sr=c, from 20"),
        (lambda c: account_sas(c, "rl", "o"), "list", "sp=rl, ss=b, srt=o, from 20"),
        (lambda c: c.sas("l"), "read", "sp=l, sr=c, from 20"),
        (lambda c: account_sas(c, "rl", "c"), "read", "sp=rl, ss=b, srt=c, from 20"),
    ],
)
def test_a_refused_sas_tells_what_it_is_for(log_in, container, token, action, expected):
    """Expired within the clocks' tolerance, without the permission, without the kind of resource: 77, and what it is."""
    engines = log_in(container, {"AZURE_STORAGE_SAS_TOKEN": token(container)})
    do = {
        "list": lambda: engines.wire.call("GET", query=LISTING),
        "read": lambda: engines.wire.call("GET", "there"),
    }[action]
    with pytest.raises(CredentialsError) as caught:
        do()
    assert f"env of the connection (a SAS: {expected}" in caught.value.message
    assert " until 20" in caught.value.message


def test_the_environment_adds_nothing_to_a_login(log_in, container, monkeypatch, tmp_path):
    """A login is a set from one source: no engine takes anything more from AZURE_… variables."""
    ambient = {
        "AZURE_STORAGE_ACCOUNT": "another",
        "AZURE_STORAGE_ACCOUNT_NAME": "another",
        "AZURE_STORAGE_ACCOUNT_KEY": "YW5vdGhlcg==",
        "AZURE_STORAGE_ACCESS_KEY": "YW5vdGhlcg==",
        "AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true",
        "AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=YW5vdGhlcg%3D%3D",
        "AZURE_STORAGE_TOKEN": "another",
        "AZURE_STORAGE_USE_EMULATOR": "true",
        "AZURE_STORAGE_ENDPOINT": "http://127.0.0.1:9/another",
        "AZURE_ENDPOINT": "http://127.0.0.1:9/another",
        "AZURE_CONTAINER_NAME": "another",
        "AZURE_CREDENTIAL_TYPE": "azure_cli",
        "AZURE_SKIP_SIGNATURE": "true",
        "AZURE_USE_AZURE_CLI": "true",
        "AZURE_USE_FABRIC_ENDPOINT": "true",
        "AZURE_ENCRYPTION_KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        **PRINCIPAL,
        "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "not-there"),
    }
    for name, value in ambient.items():
        monkeypatch.setenv(name, value)
    log_in(container, {"AZURE_STORAGE_KEY": container.server.key}, ambient).use()
    log_in(container, {"AZURE_SAS_TOKEN": container.sas("rl")}, ambient).use()
    container.make_public()
    log_in(container, {}, ambient, anonymous=True).use()


def test_the_environment_adds_no_key_to_what_is_encrypted(
    log_in, container, monkeypatch, proxy_to, authority
):
    """Over TLS, where obstore could send one: no customer's key of the environment goes along."""
    monkeypatch.setenv("AZURE_ENCRYPTION_KEY", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
    proxy = proxy_to(container.server.url, tls=authority.server)
    engines = log_in(
        container,
        {"AZURE_STORAGE_KEY": container.server.key},
        endpoint=f"{proxy.url}/{container.server.account}",
        ca_bundle=str(authority.ca_bundle),
    )
    assert b"hello" == engines.read_by_obstore("there")
    (request,) = proxy.seen()
    assert not [name for name in request.headers if "encryption" in name]
