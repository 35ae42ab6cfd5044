"""What a store does when its login changes, ends or is refused while it works."""

import time
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from azure.storage.blob import generate_container_sas
from mounted_secret import MountedSecret
from servers.entra import CLIENT, CLIENT_SECRET, TENANT, Answer, TokenServer, refusal

from lighterman.connections.model import Bucket, Connection, Mount, Options
from lighterman.connections.uri import connection_of
from lighterman.errors import CredentialsError, TransientError
from lighterman.stores.contract import Attributes, Key, Store

LEAST_PART_BYTES = 1024


@pytest.fixture
def entra(authority):
    """Microsoft Entra's token endpoint, by the test's CA."""
    with TokenServer(authority.server) as server:
        yield server


@pytest.fixture
def principal(azure_tls_container, entra) -> Connection:
    """A connection as a service principal to a container that takes bearer tokens."""
    env = {
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_CLIENT_SECRET": CLIENT_SECRET,
        "AZURE_AUTHORITY_HOST": entra.url,
    }
    options = Options(
        endpoint=azure_tls_container.endpoint, ca_bundle=azure_tls_container.ca_bundle
    )
    schema = Bucket(f"az://{azure_tls_container.name}")
    return Connection(name="c", kind="wasb", schema=schema, env=env, options=options)


def work(store: Store, files, number: int) -> None:
    """Write, list, look, read and upload by parts: every engine is used."""
    key = Key(f"small-{number}")
    etag = store.write(key, files.of(b"hello"), Attributes())
    assert key in {item.key for page in store.pages("") for item in page}
    assert etag == store.stat(key).etag
    store.read_into(key, files.of(bytes(5)), at=0, etag=etag)
    large = Key(f"large-{number}")
    upload = store.begin(large, Attributes(), part_bytes=LEAST_PART_BYTES)
    part = store.send_part(large, upload, 1, files.of(b"x" * LEAST_PART_BYTES))
    store.finish(large, upload, [part])


def sas_until(container, seconds: float) -> str:
    token: str = generate_container_sas(
        container.server.account,
        container.name,
        container.server.key,
        permission="racwdl",
        expiry=datetime.now(UTC) + timedelta(seconds=seconds),
    )
    return token


def test_a_rotated_sas_is_taken_up_without_a_failed_call(azure_container, opened, files, tmp_path):
    """A mounted secret changed on disk (Kubernetes swaps ``..data``) is picked up before the old one ends."""
    secret = MountedSecret(tmp_path / "az")
    secret.put({"AZURE_STORAGE_SAS_TOKEN": sas_until(azure_container, 3)})
    connection = Connection(
        name="c",
        kind="wasb",
        schema=Bucket(f"az://{azure_container.name}"),
        secret=Mount(name="s", mount_path=str(secret.root)),
        options=Options(endpoint=azure_container.endpoint),
    )
    store = opened(connection)
    ends = time.monotonic() + 5
    for number in count():
        work(store, files, number)
        if number == 0:
            secret.put({"AZURE_STORAGE_SAS_TOKEN": sas_until(azure_container, 600)})
        if time.monotonic() > ends:
            break


def test_a_refused_login_is_looked_after_at_once(azure_container, opened, files, tmp_path):
    """A login that is refused is read again, without waiting for the next look, and the call goes on with it."""
    secret = MountedSecret(tmp_path / "az")
    secret.put({"AZURE_STORAGE_KEY": "d3Jvbmc="})
    connection = Connection(
        name="c",
        kind="wasb",
        schema=Bucket(f"az://{azure_container.name}"),
        secret=Mount(name="s", mount_path=str(secret.root)),
        options=Options(endpoint=azure_container.endpoint),
    )
    store = opened(connection)
    secret.put({"AZURE_STORAGE_KEY": azure_container.server.key})
    work(store, files, 0)


def test_a_token_that_ends_while_a_store_works_is_renewed(principal, opened, files, entra):
    """A session token that expires in mid-transfer is picked up without a failed file."""
    entra.lasts_seconds = 5
    store = opened(principal)
    ends = time.monotonic() + 7
    for number in count():
        work(store, files, number)
        if time.monotonic() > ends:
            break
    assert len(entra.given) > 2


def test_a_token_that_is_refused_before_its_end_is_asked_for_anew(principal, opened, files, entra):
    """It may have been revoked, or the clocks may differ: once more with another one, then go on."""
    entra.revoked = 1
    work(opened(principal), files, 0)
    assert 2 == len(entra.given)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(refusal(7000215), CredentialsError), (Answer(503, "<html>"), TransientError)],
)
def test_who_gives_no_token_is_named_by_every_engine(principal, opened, files, entra, reply, kind):
    """The login's own error, whichever engine asked for the token."""
    store = opened(principal)
    window = files.of(b"hello")
    calls = [
        lambda: list(store.pages("")),
        lambda: store.stat(Key("k")),
        lambda: store.write(Key("k"), window, Attributes()),
        lambda: store.read_into(Key("k"), window, at=0, etag="e"),
        lambda: (
            store.begin(Key("k"), Attributes(), part_bytes=LEAST_PART_BYTES)
            and store.send_part(Key("k"), "0" * 32, 1, window)
        ),
    ]
    for call in calls:
        entra.replies = [reply] * 8
        with pytest.raises(kind) as caught:
            call()
        assert entra.url in caught.value.message
        assert CLIENT_SECRET not in f"{caught.value.message} {caught.value.hint}"


def test_a_uri_with_its_sas_is_a_whole_connection(azure_container, opened, files, monkeypatch):
    """Wherever a connection's name is taken, a URI is taken too: with its signature."""
    connection = connection_of(f"az://{azure_container.name}?{sas_until(azure_container, 600)}")
    account = {"AZURE_STORAGE_CONNECTION_STRING": azure_container.server.connection_string}
    with_endpoint = Connection(
        name=connection.name,
        kind="wasb",
        schema=connection.schema,
        env=connection.env,
        options=Options(endpoint=azure_container.endpoint),
    )
    work(opened(with_endpoint, account), files, 0)
    assert "sig=" not in connection.name
