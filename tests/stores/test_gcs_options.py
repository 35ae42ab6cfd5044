"""What a connection's options mean at GCS: told to every call that they are for, or refused by name."""

import gzip
import json
import os

import msgspec
import pytest
from servers.gcs import ACCOUNT, PROJECT, GcsBucket
from servers.windows import content_of

from lighterman.connections.model import Bucket, Connection
from lighterman.errors import ConfigurationError, CredentialsError, TransientError
from lighterman.secret import Secret
from lighterman.stores.contract import Attributes, ETag, Key

MIB = 1024 * 1024
KMS_KEY = "projects/p/locations/eu/keyRings/r/cryptoKeys/k"
OTHER = "with-few-rights@tests.iam.gserviceaccount.com"


@pytest.fixture
def proxy(proxy_to, gcs):
    return proxy_to(gcs.endpoint)


@pytest.fixture
def write_each(files):
    """Makes an object in each way that there is."""

    def write(store):
        etag = store.write(Key("small"), files.of(b"x"), Attributes())
        store.write(Key("larger"), files.of(b"x" * (MIB + 1)), Attributes())
        store.write(Key("odd/"), files.of(b""), Attributes())
        upload_id = store.begin(Key("parts"), Attributes(), part_bytes=MIB)
        part = store.send_part(Key("parts"), upload_id, 1, files.of(b"x"))
        store.finish(Key("parts"), upload_id, [part])
        store.copy(Key("small"), etag, Key("copy"), Attributes())

    return write


EACH = ["copy", "larger", "odd/", "parts", "small"]


def test_a_storage_class_goes_with_every_write(gcs_bucket, opened, write_each):
    """``storage_class``, whichever engine writes."""
    write_each(opened(gcs_bucket.connection(storage_class="NEARLINE")))

    assert ["NEARLINE"] * 5 == [gcs_bucket.head(key)["storageClass"] for key in EACH]


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("kms_key", KMS_KEY, {"kmsKeyName", "destinationKmsKeyName"}),
        ("acl", "projectPrivate", {"predefinedAcl", "destinationPredefinedAcl"}),
    ],
)
def test_a_key_and_an_acl_go_with_every_write(
    gcs_bucket, proxy, opened, write_each, option, value, named
):
    """``kms_key`` and ``acl``: by calls that can say them."""
    write_each(opened(gcs_bucket.connection(endpoint=proxy.url, **{option: value})))

    makes = proxy.seen(lambda r: r.method == "POST" and r.path != "/token")
    assert len(EACH) == len(makes)
    assert all(value in {request.query.get(name) for name in named} for request in makes)
    assert [] == proxy.seen(lambda r: r.method == "PUT" and not r.path.startswith("/upload/"))


def account_connection(bucket: GcsBucket, email: str, **options) -> Connection:
    key = bucket.server.service_account(email, owner=False)
    connection = bucket.connection(**options)
    env = {"GOOGLE_KEYFILE_DICT": Secret(json.dumps(key))}
    return msgspec.structs.replace(connection, env=env)


def test_the_requester_pays_for_every_call(gcs_bucket, opened, write_each, get_from):
    """``requester_pays``: the project of the login is named in each request."""
    gcs_bucket.grant("roles/storage.objectUser", f"serviceAccount:{OTHER}")
    gcs_bucket.update(requester_pays=True)
    paying = opened(account_connection(gcs_bucket, OTHER, requester_pays=True))
    refused = opened(account_connection(gcs_bucket, OTHER))

    write_each(paying)

    assert EACH == [item.key for page in paying.pages("") for item in page]
    assert b"x" == get_from(paying, "small")
    paying.delete(Key("small"))
    with pytest.raises(ConfigurationError) as caught:
        list(refused.pages(""))
    assert "options.requester_pays: true" in caught.value.hint


@pytest.fixture
def get_from(files):
    def get(store, key: str) -> bytes:
        found = store.stat(Key(key))
        window = files.of(b"\0" * found.size_bytes)
        store.read_into(Key(key), window, at=0, etag=found.etag)
        return content_of(window)

    return get


def test_a_requester_that_has_no_project_cannot_pay(gcs_bucket, opened):
    """``requester_pays`` needs the project that pays."""
    with pytest.raises(ConfigurationError) as caught:
        opened(gcs_bucket.connection(requester_pays=True, anonymous=True))

    assert "GOOGLE_PROJECT" in caught.value.hint


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("tags", {"team": "a"}),
        ("region", "eu-west-1"),
        ("addressing_style", "path"),
        ("checksums", "when_required"),
        ("client_kwargs", {"verify": False}),
        ("config_kwargs", {"read_timeout": 3}),
        ("s3_additional_kwargs", {"ACL": "private"}),
    ],
)
def test_an_option_that_gcs_cannot_honour_is_refused_by_name(gcs_bucket, opened, option, value):
    """Nothing is silently ignored."""
    with pytest.raises(ConfigurationError, match=rf"options\.{option}") as caught:
        opened(gcs_bucket.connection(**{option: value}))

    assert ("bucket", True) == (caught.value.connection, bool(caught.value.hint))


def test_a_public_bucket_is_read_by_nobody(gcs_bucket, opened, get_from, files):
    """``anonymous``: nothing that tells who asks is sent, and what isn't public is refused."""
    gcs_bucket.grant("roles/storage.objectViewer", "allUsers")
    gcs_bucket.put("file", b"hello")
    gcs_bucket.put("a//b", b"odd")
    store = opened(gcs_bucket.connection(anonymous=True))

    assert ["a//b", "file"] == [item.key for page in store.pages("") for item in page]
    assert (b"hello", b"odd") == (get_from(store, "file"), get_from(store, "a//b"))
    for call in (
        lambda: store.write(Key("mine"), files.of(b"x"), Attributes()),
        lambda: store.begin(Key("mine"), Attributes(), part_bytes=MIB),
        lambda: store.delete(Key("file")),
    ):
        with pytest.raises(CredentialsError) as caught:
            call()
        assert "as nobody" in caught.value.hint


def test_a_lacking_permission_is_named(gcs_bucket, opened, files):
    """Each failure names the missing permission and its mend."""
    gcs_bucket.grant("roles/storage.objectViewer", f"serviceAccount:{OTHER}")
    etag = ETag(gcs_bucket.put("file", b"hello"))
    store = opened(account_connection(gcs_bucket, OTHER))
    window = files.of(b"x")

    assert 1 == len(list(store.pages("")))
    for permission, call in (
        ("create", lambda: store.write(Key("new"), window, Attributes())),
        ("create", lambda: store.write(Key("new/"), window, Attributes())),
        ("create", lambda: store.begin(Key("new"), Attributes(), part_bytes=MIB)),
        ("create", lambda: store.copy(Key("file"), etag, Key("new"), Attributes())),
        ("delete", lambda: store.delete(Key("file"))),
    ):
        with pytest.raises(CredentialsError, match=f"lack storage.objects.{permission}") as caught:
            call()
        assert f"grant storage.objects.{permission}" in caught.value.hint
        assert ACCOUNT not in str(caught.value)


@pytest.mark.parametrize("key", ["packed.gz", "odd//packed"])
def test_what_is_stored_packed_comes_packed(gcs_bucket, opened, files, key):
    """Content is taken as stored (``Accept-Encoding: gzip``): whole, and by ranges."""
    packed = gzip.compress(os.urandom(1000))
    etag = ETag(gcs_bucket.put(key, packed, content_encoding="gzip", content_type="text/plain"))
    store = opened(gcs_bucket.connection())
    target = files.of(b"\0" * 100)

    store.read_into(Key(key), target, at=50, etag=etag)

    assert len(packed) == store.stat(Key(key)).size_bytes
    assert packed[50:150] == content_of(target)


@pytest.mark.parametrize("storage_class", ["COLDLINE", "ARCHIVE"])
def test_a_cold_object_is_no_archived_one(gcs_bucket, opened, get_from, storage_class):
    """GCS reads each class at once: nothing needs a restore."""
    gcs_bucket.put("file", b"hello", storage_class=storage_class)
    store = opened(gcs_bucket.connection())

    [[listed]] = store.pages("")

    assert not listed.archived
    assert not store.stat(Key("file")).archived
    assert b"hello" == get_from(store, "file")


def test_a_large_copy_goes_on_by_its_token(gcs_bucket, proxy, opened, monkeypatch):
    """A rewrite takes as many calls as the store wants."""
    monkeypatch.setattr("lighterman.stores.gcs.writes.COPIED_BYTES", MIB)
    content = os.urandom(3 * MIB + 7)
    etag = ETag(gcs_bucket.put("from", content, content_type="text/x", metadata={"mode": "100600"}))
    store = opened(gcs_bucket.connection(endpoint=proxy.url))

    made = store.copy(Key("from"), etag, Key("to"), Attributes("text/y", 0o640, 7))

    found = store.stat(Key("to"))
    assert content == gcs_bucket.get("to")
    assert (made, Attributes("text/y", 0o640, 7)) == (found.etag, found.attributes)
    assert 4 == len(proxy.seen(lambda r: "/rewriteTo/" in r.path))


def test_a_listing_tells_checksums_at_no_further_request(gcs_bucket, proxy, opened, files):
    """A listing has CRC32C; a lost journal is rebuilt from it."""
    gcs_bucket.put("file", b"hello")
    store = opened(gcs_bucket.connection(endpoint=proxy.url))

    [[listed]] = store.pages("")

    assert "crc32c:9a71bb4c" == listed.checksum == store.stat(Key("file")).checksum
    assert store.has_content(listed, files.of(b"hello"), MIB)
    assert not store.has_content(listed, files.of(b"jello"), MIB)
    assert not store.has_content(listed, files.of(b"hell"), MIB)
    asked = proxy.seen(lambda r: r.path.endswith("/o"))
    assert ["delimiter" in request.query for request in asked] == [False]
    assert "name,size,generation" in asked[0].query["fields"]


def test_every_engine_goes_through_tls_with_a_ca_of_its_own(
    gcs_bucket, proxy_to, authority, opened, write_each, get_from
):
    """``ca_bundle``: a private CA is trusted by each engine, and by none that wasn't given it."""
    front = proxy_to(gcs_bucket.endpoint, tls=authority.server)
    store = opened(gcs_bucket.connection(endpoint=front.url, ca_bundle=str(authority.ca_bundle)))
    distrusting = opened(gcs_bucket.connection(endpoint=front.url))

    write_each(store)

    assert b"x" == get_from(store, "small")
    for call in (
        lambda: list(distrusting.pages("")),
        lambda: distrusting.begin(Key("k"), Attributes(), part_bytes=MIB),
        lambda: get_from(distrusting, "small"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            call()
        assert "options.ca_bundle" in caught.value.hint


def test_every_engine_goes_through_the_proxy(gcs_bucket, proxy, opened, write_each, get_from):
    """``proxy``: the endpoint is reached through it by each engine."""
    store = opened(gcs_bucket.connection(proxy=proxy.url))

    write_each(store)

    assert b"x" == get_from(store, "small")
    targets = [request.target for request in proxy.seen()]
    assert all(target.startswith(gcs_bucket.endpoint) for target in targets)
    assert len(targets) > len(EACH)


def test_an_endpoint_that_refuses_is_named(gcs_bucket, closed_port, opened, files):
    """An endpoint that refuses."""
    store = opened(gcs_bucket.connection(endpoint=f"http://127.0.0.1:{closed_port}"))

    for call in (
        lambda: list(store.pages("")),
        lambda: store.write(Key("small"), files.of(b"x"), Attributes()),
        lambda: store.begin(Key("parts"), Attributes(), part_bytes=MIB),
    ):
        with pytest.raises(TransientError, match=f"127.0.0.1:{closed_port}: it refuses"):
            call()


def test_a_connection_without_a_bucket_is_refused(gcs_bucket, opened):
    """``ConfigurationError``, before anything is asked."""
    connection = msgspec.structs.replace(gcs_bucket.connection(), schema=Bucket("gs://"))

    with pytest.raises(ConfigurationError):
        opened(connection)


def test_google_is_where_nothing_else_is_said(gcs_bucket, opened):
    """Without an endpoint, Google's own."""
    connection = gcs_bucket.connection(endpoint=None)

    assert f"https://storage.googleapis.com/{gcs_bucket.name}" == opened(connection).destination


def test_the_project_that_pays_is_the_keys(gcs_bucket, opened, proxy):
    """A service account's key names its project."""
    store = opened(gcs_bucket.connection(endpoint=proxy.url, requester_pays=True))
    gcs_bucket.put("file", b"x")

    store.read_into(Key("file"), _empty(), at=0, etag=store.stat(Key("file")).etag)

    asked = proxy.seen(lambda r: r.method == "GET")
    assert [PROJECT] * 2 == [
        request.query.get("userProject") or request.headers.get("x-goog-user-project")
        for request in asked
    ]


def _empty():
    from lighterman.stores.contract import Window

    return Window(-1, 0, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GOOGLE_SERVICE_ACCOUNT", "someone@example.iam.gserviceaccount.com"),
        ("GOOGLE_SERVICE_ACCOUNT_PATH", "/nowhere"),
        ("GOOGLE_SERVICE_ACCOUNT_KEY", "{}"),
        ("GOOGLE_BEARER_TOKEN", "another"),
        ("GOOGLE_BUCKET", "another"),
        ("GOOGLE_BASE_URL", "http://127.0.0.1:1"),
        ("GOOGLE_SKIP_SIGNATURE", "true"),
    ],
)
def test_variables_of_obstores_own_mean_nothing(
    gcs_bucket, opened, write_each, get_from, monkeypatch, name, value
):
    """The login is the connection's, whatever an engine would read by itself."""
    monkeypatch.setenv(name, value)
    store = opened(gcs_bucket.connection())

    write_each(store)

    assert b"x" == get_from(store, "small")
    assert value == os.environ[name]
