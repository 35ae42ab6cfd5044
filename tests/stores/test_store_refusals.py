"""What every store that is reached by a wire promises when it is refused, slowed down, or cut off."""

import os
from urllib.parse import urlsplit

import pytest
from servers.buckets import S3Bucket
from servers.containers import AzureContainer
from servers.faults import azure_error, gcs_error, slow_down

from lighterman.connections.model import Connection
from lighterman.errors import (
    CredentialsError,
    LightermanError,
    Retry,
    SlowDownError,
    TransientError,
)
from lighterman.stores.contract import Attributes, ETag, Key, Part, Window

PART_BYTES = 5 * 1024 * 1024
ANOTHER_AZURE_KEY = "bm90IHRoZSBrZXkgb2YgdGhpcyBhY2NvdW50LCBidXQgb25lIG9mIHRoZSBzYW1lIGZvcm0="


@pytest.fixture(params=["moto", "gcs", "azurite", pytest.param("rgw", marks=pytest.mark.ceph)])
def place(request):
    """An empty bucket of each kind, whose server looks at who asks."""
    if request.param == "moto":
        return request.getfixturevalue("account").bucket()
    names = {"gcs": "gcs_bucket", "azurite": "azure_container", "rgw": "rgw_bucket"}
    return request.getfixturevalue(names[request.param])


@pytest.fixture
def proxy(place, proxy_to):
    return proxy_to("/".join(place.endpoint.split("/")[:3]))


@pytest.fixture
def through(place, proxy) -> Connection:
    """The connection, by way of the proxy."""
    return place.connection(endpoint=proxy.url + urlsplit(place.endpoint).path)


@pytest.fixture
def calls(files):
    """Every call that asks the store something, each with all that it needs."""

    def calls_of(store):
        window, etag = files.of(b"x"), ETag("1")
        part = files.of(b"x" * PART_BYTES)
        upload = store.begin(Key("begun"), Attributes(), part_bytes=PART_BYTES)
        return {
            "pages": lambda store: list(store.pages("")),
            "stat": lambda store: store.stat(Key("k")),
            "read_into": lambda store: store.read_into(Key("k"), window, at=0, etag=etag),
            "write": lambda store: store.write(Key("k"), window, Attributes()),
            "copy": lambda store: store.copy(Key("k"), etag, Key("l"), Attributes()),
            "delete": lambda store: store.delete(Key("k")),
            "begin": lambda store: store.begin(Key("k"), Attributes(), part_bytes=PART_BYTES),
            "send_part": lambda store: store.send_part(Key("begun"), upload, 1, part),
            "sent_parts": lambda store: store.sent_parts(Key("begun"), upload),
            "finish": lambda store: store.finish(
                Key("begun"), upload, [Part(1, ETag("0" * 32), 1)]
            ),
        }

    return calls_of


OF_SESSIONS = {"send_part", "sent_parts", "finish"}
"""A session of GCS's asks for no login: who has its URI may go on."""


def wrong_login(place, request) -> Connection:
    """A login of the right form that the server doesn't know."""
    if isinstance(place, S3Bucket):
        return place._replace(secret_access_key="another-secret-of-someone-else").connection()
    if isinstance(place, AzureContainer):
        server = place.server._replace(key=ANOTHER_AZURE_KEY)
        return place._replace(server=server).connection()
    stranger = f"{request.node.name[:20]}@elsewhere.iam.gserviceaccount.com"
    connection = place.connection()
    key = connection.env["GOOGLE_KEYFILE_DICT"].reveal()
    connection.env["GOOGLE_KEYFILE_DICT"] = type(connection.env["GOOGLE_KEYFILE_DICT"])(
        key.replace("lighterman@tests.iam.gserviceaccount.com", stranger)
    )
    return connection


def test_a_wrong_login_is_refused_by_every_call(place, opened, calls, request):
    """``CredentialsError``, permanent, with the way to mend it."""
    of_all = calls(opened(place.connection()))
    stranger = opened(wrong_login(place, request))

    for name, call in of_all.items():
        if type(place).__name__ == "GcsBucket" and name in OF_SESSIONS:
            continue
        with pytest.raises(CredentialsError) as caught:
            call(stranger)
        assert caught.value.retry is Retry.NEVER, name
        assert caught.value.hint, name
    assert [] == place.keys()


@pytest.mark.parametrize("status", [429, 503])
def test_a_store_that_asks_for_less_is_heard_by_every_call(
    through, place, proxy, opened, calls, status
):
    """``SlowDownError``: worth another try by the caller, later and with less at once."""
    answer = {
        "S3Bucket": slow_down(status),
        "GcsBucket": gcs_error(status, "rateLimitExceeded"),
        "AzureContainer": azure_error(status, "ServerBusy"),
    }[type(place).__name__]
    store = opened(through)
    list(store.pages(""))  # logged in
    of_all = calls(store)
    proxy.on(lambda _: True, answer, times=None)

    for name, call in of_all.items():
        with pytest.raises(SlowDownError) as caught:
            call(store)
        assert caught.value.retry is Retry.LATER, name


def test_a_server_that_hangs_up_is_transient_to_every_call(through, proxy, opened, calls):
    """``TransientError``: worth another try by the caller."""
    store = opened(through)
    list(store.pages(""))
    of_all = calls(store)
    proxy.close()

    for name, call in of_all.items():
        with pytest.raises(LightermanError) as caught:
            call(store)
        assert isinstance(caught.value, TransientError), name


def test_an_object_above_the_limit_of_one_copy_is_copied_by_parts(place, opened_with_limits, files):
    """Copy inside the store, pinned to the source's ETag, whatever its size."""
    content = os.urandom(2 * PART_BYTES + 17)
    store = opened_with_limits(place.connection())
    upload = store.begin(Key("from"), Attributes(mode=0o600), part_bytes=PART_BYTES)
    whole = files.of(content)
    sizes = [PART_BYTES, PART_BYTES, 17]
    parts = [
        store.send_part(
            Key("from"), upload, n, Window(whole.descriptor, (n - 1) * PART_BYTES, size)
        )
        for n, size in enumerate(sizes, start=1)
    ]
    etag = store.finish(Key("from"), upload, parts)

    copied = store.copy(Key("from"), etag, Key("to"), Attributes(mode=0o640))

    found = store.stat(Key("to"))
    assert (copied, len(content), 0o640) == (
        found.etag,
        found.size_bytes,
        found.attributes.mode,
    )
    assert content == place.get("to")


@pytest.fixture
def opened_with_limits(opened):
    """Opens a store whose copies go by parts above 6 MiB; GCS copies any size by itself."""
    from lighterman.stores.azure import open_azure
    from lighterman.stores.s3 import open_s3
    from lighterman.transfer.settings import TransferSettings

    limited = []

    def open_one(connection):
        openers = {"s3": open_s3, "wasb": open_azure}
        if connection.kind not in openers:
            return opened(connection)
        limits = {"copy_limit_bytes": PART_BYTES + 1, "copy_part_bytes": PART_BYTES}
        store = openers[connection.kind](
            connection, {}, TransferSettings(), concurrency=4, **limits
        )
        limited.append(store)
        return store

    yield open_one
    for store in limited:
        store.close()
