"""What Azure alone has: copies by the service, access tiers, tags, directories that are no objects, snapshots."""

import os

import msgspec
import pytest
from servers.azure_faults import is_block, is_put
from servers.windows import content_of

from lighterman.connections.model import Connection
from lighterman.errors import (
    CannotWriteError,
    ConfigurationError,
    CredentialsError,
    SourceChangedError,
    SourceMissingError,
)
from lighterman.stores.azure import open_azure
from lighterman.stores.contract import Attributes, Checksum, ETag, Key
from lighterman.transfer.settings import TransferSettings

MIB = 1024 * 1024
GIVEN = Attributes("text/x-notes", 0o640, 1_700_000_000_123_456_789)
ODD_KEY = "ö/a b+c%20#?.txt"


@pytest.fixture
def store(azure_container, opened):
    return opened(azure_container.connection())


@pytest.fixture
def copying(azure_container, proxy_to, azurite):
    """A store of small limits behind a proxy, and the proxy."""
    stores = []

    def opened(connection: Connection, **limits):
        stores.append(
            open_azure(
                connection,
                {},
                TransferSettings(),
                concurrency=2,
                **{"copy_limit_bytes": MIB, "copy_part_bytes": MIB} | limits,
            )
        )
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


def with_sas(container, permission: str = "racwdl") -> Connection:
    env = {
        "AZURE_STORAGE_ACCOUNT": container.server.account,
        "AZURE_STORAGE_SAS_TOKEN": container.sas(permission),
    }
    return msgspec.structs.replace(container.connection(), env=env)


@pytest.mark.parametrize("login", ["key", "sas"])
@pytest.mark.parametrize("size", [0, 7, MIB, MIB + 1, 3 * MIB])
def test_a_copy_is_made_by_the_service(azure_container, copying, login, size):
    """Copy inside the store, pinned to the source's ETag, with ``attributes`` in place of its own."""
    content = os.urandom(size)
    etag = ETag(azure_container.put(ODD_KEY, content, metadata={"mtime": "x", "other": "y"}))
    connection = azure_container.connection() if login == "key" else with_sas(azure_container)
    store = copying(connection)

    made = store.copy(Key(ODD_KEY), etag, Key("dir/to"), GIVEN)

    found = store.stat(Key("dir/to"))
    assert (made, size, GIVEN) == (found.etag, found.size_bytes, found.attributes)
    assert store.stat(Key(ODD_KEY)).checksum == found.checksum
    assert "other" not in azure_container.head("dir/to")["metadata"]
    assert content == azure_container.get("dir/to")


def test_a_copy_that_keeps_its_type_is_one_request(azure_container, proxy_to, copying):
    """Up to 256 MiB: the copied object keeps the source's Content-Type, so a rename costs one request."""
    proxy = proxy_to(azure_container.server.url)
    account = azure_container.server.account
    source = azure_container.connection(endpoint=f"{proxy.url}/{account}")
    store = copying(source)
    etag = ETag(azure_container.put("from", b"hello"))
    same = msgspec.structs.replace(GIVEN, content_type=None)
    proxy.forget()

    store.copy(Key("from"), etag, Key("to"), same)

    assert [] == proxy.seen(is_block)
    assert [202] == [put.status for put in proxy.seen(is_put)]
    assert (0o640, GIVEN.mtime_ns) == (
        store.stat(Key("to")).attributes.mode,
        store.stat(Key("to")).attributes.mtime_ns,
    )


def test_a_large_copy_goes_by_parts(azure_container, copying):
    """Above the limit by Put Block From URL; the last part is smaller."""
    content = os.urandom(2 * MIB + 7)
    etag = ETag(azure_container.put("from", content))
    store = copying(azure_container.connection())

    store.copy(Key("from"), etag, Key("to"), GIVEN)

    with azure_container.client() as client:
        committed, waiting = client.get_blob_client("to").get_block_list("all")
    assert [MIB, MIB, 7] == [block.size for block in committed]
    assert [] == waiting
    assert content == azure_container.get("to")


@pytest.mark.parametrize("size", [10, 2 * MIB])
def test_a_copy_of_what_changed_is_refused(azure_container, copying, size):
    """Pinned to the source's ETag."""
    etag = ETag(azure_container.put("from", os.urandom(size)))
    azure_container.put("from", os.urandom(size))

    with pytest.raises(SourceChangedError):
        copying(azure_container.connection()).copy(Key("from"), etag, Key("to"), GIVEN)
    assert ["from"] == azure_container.keys()


def test_an_archived_object_is_told(azure_container, store):
    """True where its bytes can't be read before a restore (Glacier, archive tiers)."""
    azure_container.put("frozen", b"x")
    azure_container.put("cool", b"x")
    with azure_container.client() as client:
        client.set_standard_blob_tier_blobs("Cool", "cool")
        client.get_blob_client("frozen").set_standard_blob_tier("Archive")

    archived = {item.key: item.archived for page in store.pages("") for item in page}

    assert {"cool": False, "frozen": True} == archived
    assert (True, False) == (store.stat(Key("frozen")).archived, store.stat(Key("cool")).archived)


def test_a_listing_tells_the_checksum(azure_container, store):
    """What the content adds up to, as far as the listing tells: Content-MD5."""
    azure_container.put("whole", b"hello")
    with azure_container.client() as client:
        blob = client.get_blob_client("blocks")
        blob.stage_block("one", b"hello")
        blob.commit_block_list(["one"])

    found = {item.key: item.checksum for page in store.pages("") for item in page}

    md5 = Checksum("md5:5d41402abc4b2a76b9719d911017c592")
    assert {"blocks": None, "whole": md5} == found
    assert (None, md5) == (store.stat(Key("blocks")).checksum, store.stat(Key("whole")).checksum)


@pytest.mark.parametrize(("name", "value"), [("hdi_isfolder", "true"), ("Hdi_isfolder", "True")])
def test_stubs_of_directories_are_no_objects(azure_container, store, name, value):
    """Directories of a hierarchical namespace come as empty blobs of their name: they are left out."""
    azure_container.put("dir", b"", metadata={name: value})
    azure_container.put("dir/file", b"x")
    azure_container.put("marker/", b"")

    assert ["dir/file", "marker/"] == [item.key for page in store.pages("") for item in page]
    with pytest.raises(SourceMissingError, match="directory"):
        store.stat(Key("dir"))


def test_an_object_with_snapshots_is_not_deleted(azure_container, store):
    """Refused by name with a hint: its snapshots would go with it."""
    azure_container.put("file", b"x")
    with azure_container.client() as client:
        client.get_blob_client("file").create_snapshot()

    with pytest.raises(CannotWriteError) as caught:
        store.delete(Key("file"))

    assert "snapshots" in caught.value.hint
    assert ["file"] == [item.key for page in store.pages("") for item in page]


@pytest.mark.parametrize("size", [10, 2 * MIB])
def test_options_go_with_every_object(azure_container, opened, files, size):
    """``storage_class`` is the access tier, ``tags`` are blob tags."""
    tags = {"project": "a b/c", "x": "y=z"}
    store = opened(azure_container.connection(storage_class="cool", tags=tags))

    etag = store.write(Key("whole"), files.of(b"x" * size), GIVEN)
    upload_id = store.begin(Key("parts"), GIVEN, part_bytes=5 * MIB)
    part = store.send_part(Key("parts"), upload_id, 1, files.of(b"y"))
    store.finish(Key("parts"), upload_id, [part])
    store.copy(Key("whole"), etag, Key("copy"), GIVEN)

    for key in ("whole", "parts", "copy"):
        head = azure_container.head(key)
        assert ("Cool", 2) == (head["blob_tier"], head["tag_count"])
        with azure_container.client() as client:
            assert tags == client.get_blob_client(key).get_blob_tags()
        assert GIVEN == store.stat(Key(key)).attributes


def test_an_encryption_scope_goes_with_every_request_that_brings_bytes(
    azure_container, proxy_to, opened, files
):
    """``kms_key`` names an encryption scope of the account."""
    proxy = proxy_to(azure_container.server.url)
    account = azure_container.server.account
    endpoint = f"{proxy.url}/{account}"
    store = opened(azure_container.connection(endpoint=endpoint, kms_key="ours"))

    store.write(Key("whole"), files.of(b"x"), GIVEN)
    upload_id = store.begin(Key("parts"), GIVEN, part_bytes=5 * MIB)
    part = store.send_part(Key("parts"), upload_id, 1, files.of(b"y"))
    store.finish(Key("parts"), upload_id, [part])

    puts = proxy.seen(lambda request: request.method == "PUT")
    assert ["ours"] * len(puts) == [put.headers.get("x-ms-encryption-scope") for put in puts]
    assert len(puts) >= 4


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"acl": "private"}, "options.acl"),
        ({"region": "westeurope"}, "options.region"),
        ({"requester_pays": True}, "options.requester_pays"),
        ({"addressing_style": "path"}, "options.addressing_style"),
        ({"checksums": "when_required"}, "options.checksums"),
        ({"client_kwargs": {"verify": False}}, "options.client_kwargs"),
        ({"config_kwargs": {"retries": 1}}, "options.config_kwargs"),
        ({"s3_additional_kwargs": {"ACL": "private"}}, "options.s3_additional_kwargs"),
        ({"storage_class": "GLACIER"}, "Archive"),
        ({"tags": {str(number): "x" for number in range(11)}}, "options.tags"),
        ({"ca_bundle": "/not/there"}, "CA bundle"),
    ],
)
def test_what_azure_has_not_is_refused_by_name(azure_container, opened, options, word):
    """An option that means nothing here is an error: nothing is silently ignored."""
    with pytest.raises(ConfigurationError) as caught:
        opened(azure_container.connection(**options))

    assert word in caught.value.message + caught.value.hint


@pytest.mark.parametrize("name", ["Upper", "a", "a--b", "-a-", "under_score"])
def test_a_container_that_can_not_be_is_refused_at_once(azure_container, opened, name):
    """``ConfigurationError`` for what the connection says."""
    with pytest.raises(ConfigurationError, match=name):
        opened(azure_container._replace(name=name).connection())


def test_a_sas_that_may_not_is_told_so(azure_container, opened, files):
    """A permission that lacks is named."""
    azure_container.put("file", b"x")
    store = opened(with_sas(azure_container, "rl"))

    assert ["file"] == [item.key for page in store.pages("") for item in page]
    for call in (
        lambda: store.write(Key("small"), files.of(b"x"), Attributes()),
        lambda: store.write(Key("large"), files.of(b"x" * 2 * MIB), Attributes()),
        lambda: store.begin(Key("parts"), Attributes(), part_bytes=5 * MIB),
        lambda: store.delete(Key("file")),
    ):
        with pytest.raises(CredentialsError) as caught:
            call()
        assert "permissions r, l" in caught.value.hint


RCLONE = {
    "atime": "2024-01-02T03:04:05.123456789Z",
    "gid": "0",
    "mode": "100640",
    "mtime": "2024-01-02T03:04:05.123456789Z",
    "uid": "0",
}
"""What rclone 1.75.2 gave an object of its azureblob backend, with ``--metadata``."""


def test_attributes_are_rclones(azure_container, store, files):
    """Mode and mtime as metadata under the keys that rclone uses for that cloud."""
    azure_container.put("theirs", b"x", metadata=RCLONE)

    found = store.stat(Key("theirs")).attributes
    store.write(Key("ours"), files.of(b"x"), found)

    assert (0o640, 1_704_164_645_123_456_789) == (found.mode, found.mtime_ns)
    ours = azure_container.head("ours")["metadata"]
    assert {name: RCLONE[name] for name in ("mode", "mtime")} == ours


def test_every_engine_trusts_the_private_ca(azure_tls_container, opened, files):
    """``ca_bundle`` holds for our own calls, obstore's and the SDK's; without it each says so."""
    store = opened(azure_tls_container.connection())
    etag = store.write(Key("small"), files.of(b"hello"), GIVEN)
    store.write(Key("large"), files.of(b"x" * 2 * MIB), GIVEN)
    target = files.of(b"     ")
    store.read_into(Key("small"), target, at=0, etag=etag)
    upload_id = store.begin(Key("parts"), GIVEN, part_bytes=5 * MIB)
    part = store.send_part(Key("parts"), upload_id, 1, files.of(b"y"))
    store.finish(Key("parts"), upload_id, [part])

    assert ["large", "parts", "small"] == [i.key for page in store.pages("") for i in page]
    assert b"hello" == content_of(target)

    untrusting = opened(azure_tls_container._replace(ca_bundle=None).connection())
    for call in (
        lambda: list(untrusting.pages("")),
        lambda: untrusting.write(Key("small"), files.of(b"x"), GIVEN),
        lambda: untrusting.begin(Key("parts"), GIVEN, part_bytes=5 * MIB),
    ):
        with pytest.raises(ConfigurationError) as caught:
            call()
        assert "ca_bundle" in caught.value.hint


def test_ten_thousand_keys_are_listed(store, put_all):
    """Pages of every object whose key starts with ``prefix``: a listing of many pages is whole."""
    keys = [f"many/{number:05d}" for number in range(10_000)]
    put_all(keys)

    pages = [[item.key for item in page] for page in store.pages("many/")]

    assert keys == [key for page in pages for key in page]
    assert 10 == len([page for page in pages if page])
