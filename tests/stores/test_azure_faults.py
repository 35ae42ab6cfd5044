"""What happens between the store and an Azure that misbehaves: each trouble is the error that it is."""

import os

import pytest
from servers.azure_faults import (
    azure_error,
    is_block,
    is_block_list,
    is_commit,
    is_get,
    is_listing,
    is_put,
    server_busy,
)
from servers.faults import CallAfter, Cut, Request, Reset, Stall, StallBody
from servers.windows import content_of

from lighterman.errors import (
    BucketMissingError,
    CannotWriteError,
    ConfigurationError,
    CredentialsError,
    SlowDownError,
    SourceChangedError,
    SourceMissingError,
    TransientError,
    UploadMissingError,
)
from lighterman.stores.contract import Attributes, ETag, Key

MIB = 1024 * 1024
PART_BYTES = 5 * MIB
SHORT_STALL_SECONDS = 1.0


@pytest.fixture
def proxy(proxy_to, azurite):
    return proxy_to(azurite.url)


@pytest.fixture
def through(azure_container, proxy):
    """The connection to the container by the proxy."""
    return azure_container.connection(endpoint=f"{proxy.url}/{azure_container.server.account}")


@pytest.fixture
def store(through, opened, request):
    """A store behind the proxy; its patience is short where a test's fault is a stall."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    is_stall = isinstance(params.get("fault"), (Stall, StallBody))
    return opened(through, stall_seconds=SHORT_STALL_SECONDS if is_stall else 30.0)


@pytest.fixture
def etag(azure_container) -> ETag:
    return ETag(azure_container.put("file", os.urandom(3 * MIB)))


@pytest.fixture
def operations(store, files, etag):
    """One call by each engine and way, with the requests that it makes."""
    window = files.of(b"\0" * 3 * MIB)
    upload_id = store.begin(Key("parts"), Attributes(), part_bytes=PART_BYTES)
    part = store.send_part(Key("parts"), upload_id, 1, window)
    return {
        "list": (is_listing, lambda: list(store.pages(""))),
        "stat": (lambda r: r.method == "HEAD", lambda: store.stat(Key("file"))),
        "read": (is_get, lambda: store.read_into(Key("file"), window, at=0, etag=etag)),
        "read odd": (is_get, lambda: store.read_into(Key("a//b"), window, at=0, etag=etag)),
        "write": (is_put, lambda: store.write(Key("small"), files.of(b"x"), Attributes())),
        "write larger": (is_put, lambda: store.write(Key("larger"), window, Attributes())),
        "part": (is_block, lambda: store.send_part(Key("parts"), upload_id, 1, window)),
        "parts": (is_block_list, lambda: store.sent_parts(Key("parts"), upload_id)),
        "finish": (is_commit, lambda: store.finish(Key("parts"), upload_id, [part])),
        "delete": (lambda r: r.method == "DELETE", lambda: store.delete(Key("file"))),
    }


OPERATIONS = ["list", "stat", "read", "read odd", "write", "write larger", "part", "parts"]
OPERATIONS += ["finish", "delete"]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (server_busy(503), SlowDownError),
        (server_busy(429), SlowDownError),
        (azure_error(500, "OperationTimedOut"), SlowDownError),
        (azure_error(500, "InternalError"), TransientError),
        (azure_error(502, ""), TransientError),
        (Reset(), TransientError),
        (Stall(), TransientError),
    ],
    ids=["503", "429", "timed out", "500", "502", "reset", "stall"],
)
def test_trouble_that_may_pass_is_transient(proxy, operations, operation, fault, error):
    """5xx, 429, resets, timeouts, stalls: worth another try by the caller, after a few quick ones."""
    matches, call = operations[operation]
    proxy.forget()
    proxy.on(matches, fault, times=None)

    with pytest.raises(TransientError) as caught:
        call()

    assert error is type(caught.value)
    assert 1 <= len(proxy.seen(matches)) <= 3


@pytest.mark.parametrize("operation", ["list", "stat", "read", "write", "write larger", "part"])
def test_one_reset_is_not_even_told(proxy, operations, operation):
    """A method makes at most a few quick attempts of its own."""
    matches, call = operations[operation]
    proxy.forget()
    proxy.on(matches, Reset(), times=1)

    call()

    assert 2 == len(proxy.seen(matches))


def test_a_part_whose_sending_is_reset_goes_again_whole(store, azure_container, proxy, files):
    """A method makes at most a few quick attempts of its own: a part's bytes are sent again once, not oftener."""
    content = os.urandom(PART_BYTES)
    upload_id = store.begin(Key("big"), Attributes(), part_bytes=PART_BYTES)
    proxy.forget()
    proxy.on(is_block, Reset(after_bytes=2 * MIB), times=1)

    part = store.send_part(Key("big"), upload_id, 1, files.of(content))
    store.finish(Key("big"), upload_id, [part])

    assert content == azure_container.get("big")
    assert PART_BYTES + 2 * MIB == sum(request.body_bytes for request in proxy.seen(is_block))


@pytest.mark.parametrize("fault", [Cut(1000), StallBody(1000)], ids=["cut", "stalled"])
@pytest.mark.parametrize("key", ["file", "a//b"])
def test_a_body_that_never_comes_whole_is_transient(
    store, azure_container, proxy, files, fault, key
):
    """``TransientError`` when fewer bytes came."""
    etag = ETag(azure_container.put(key, os.urandom(3 * MIB)))
    proxy.on(is_get, fault, times=None)

    with pytest.raises(TransientError):
        store.read_into(Key(key), files.of(b"\0" * 3 * MIB), at=0, etag=etag)


def test_a_body_that_was_cut_goes_on(store, azure_container, proxy, files, etag):
    """A method makes at most a few quick attempts of its own; the bytes are right in the end."""
    target = files.of(b"\0" * 3 * MIB)
    proxy.on(is_get, Cut(MIB), times=1)

    store.read_into(Key("file"), target, at=0, etag=etag)

    assert azure_container.get("file") == content_of(target)
    assert 2 == len(proxy.seen(is_get))


def test_a_body_is_never_of_two_objects(store, azure_container, proxy, files, etag):
    """Pinned to ``etag``: an object that is replaced while its body is read gives no mix."""
    proxy.on(is_get, Cut(MIB), times=1)
    proxy.on(is_get, CallAfter(lambda _: azure_container.put("file", os.urandom(3 * MIB))), times=1)

    with pytest.raises((SourceChangedError, TransientError)):
        store.read_into(Key("file"), files.of(b"\0" * 3 * MIB), at=0, etag=etag)
    with pytest.raises(SourceChangedError):
        store.read_into(Key("file"), files.of(b"\0" * 3 * MIB), at=0, etag=etag)


def test_a_page_is_asked_for_when_it_is_needed(store, proxy, put_all):
    """With memory for one page."""
    put_all([f"{number:04d}" for number in range(1_001)])
    proxy.forget()

    pages = store.pages("")
    first = next(pages)

    assert 1_000 == len(first)
    assert 1 == len(proxy.seen(is_listing))
    assert ["1000"] == [item.key for page in pages for item in page]


def test_a_listing_that_is_cut_short_is_transient(store, proxy, etag):
    """``TransientError``: a body cut short."""
    proxy.on(is_listing, Cut(200), times=None)

    with pytest.raises(TransientError):
        list(store.pages(""))


CODES = [
    (403, "AuthenticationFailed", CredentialsError, "AZURE_STORAGE_KEY"),
    (403, "AuthorizationPermissionMismatch", CredentialsError, "Storage Blob Data Contributor"),
    (403, "AuthorizationFailure", CredentialsError, "firewall"),
    (403, "AccountIsDisabled", CredentialsError, "disabled"),
    (401, "InvalidAuthenticationInfo", CredentialsError, "AZURE_TENANT_ID"),
    (401, "NoAuthenticationInformation", CredentialsError, "login"),
    (409, "PublicAccessNotPermitted", CredentialsError, "login"),
    (403, "KeyBasedAuthenticationNotPermitted", CredentialsError, "Entra"),
    (404, "ContainerNotFound", BucketMissingError, "container"),
    (409, "ContainerBeingDeleted", BucketMissingError, "container"),
    (409, "BlobArchived", SourceMissingError, "rehydrate"),
    (409, "BlobImmutableDueToPolicy", CannotWriteError, "immutability"),
    (412, "LeaseIdMissing", CannotWriteError, "lease"),
    (409, "SnapshotsPresent", CannotWriteError, "snapshots"),
    (400, "InvalidHeaderValue", ConfigurationError, "endpoint"),
    (501, "NotImplemented", ConfigurationError, "endpoint"),
    (404, "EncryptionScopeNotFound", ConfigurationError, "options.kms_key"),
    (400, "Md5Mismatch", TransientError, ""),
    (503, "ServerBusy", SlowDownError, ""),
]


@pytest.mark.parametrize("operation", ["list", "stat", "read", "write", "write larger", "part"])
@pytest.mark.parametrize(("status", "code", "error", "hint"), CODES, ids=[c[1] for c in CODES])
def test_each_refusal_names_its_mend(proxy, operations, operation, status, code, error, hint):
    """Every error says what and where, and how to mend it, from whichever engine it came."""
    matches, call = operations[operation]
    proxy.on(matches, azure_error(status, code), times=None)

    with pytest.raises(error) as caught:
        call()

    assert error is type(caught.value)
    assert hint in caught.value.hint
    assert "container" == caught.value.connection


DETAILS = [
    ("Signed expiry time [Sat, 21 Nov 2026] must be after signed start time", "expired"),
    ("Signature not valid in the specified time frame: Start [x] - Expiry [y]", "expired"),
    ("Lifetime validation failed. The token is expired.", "expired"),
    ("Request date header too old: 'Sat, 21 Nov 2026 00:00:00 GMT'", "clock"),
    ("The Date header in the request is too old", "clock"),
    ("The MAC signature found in the HTTP request is not the same", "AZURE_STORAGE_KEY"),
]


@pytest.mark.parametrize("operation", ["list", "read", "write", "write larger", "part"])
@pytest.mark.parametrize(("detail", "hint"), DETAILS, ids=[d[0][:25] for d in DETAILS])
def test_a_refused_login_says_what_is_wrong_with_it(proxy, operations, operation, detail, hint):
    """An expired SAS, clock skew: said by name, without a word of what the service quotes."""
    matches, call = operations[operation]
    proxy.on(matches, azure_error(403, "AuthenticationFailed", detail), times=None)

    with pytest.raises(CredentialsError) as caught:
        call()

    assert hint in caught.value.hint
    assert detail not in str(caught.value)


def test_a_commit_that_names_a_lost_block_is_no_more(operations, proxy):
    """``UploadMissingError`` if the upload lacks one of the parts."""
    matches, call = operations["finish"]
    proxy.on(matches, azure_error(400, "InvalidBlockList"))

    with pytest.raises(UploadMissingError):
        call()


def test_an_answer_of_finish_that_was_lost_is_no_second_object(
    store, azure_container, files, proxy
):
    """The ETag of the object under ``key``, if it is what ``finish`` of these parts makes."""

    def lose(_: Request) -> None:
        raise ConnectionResetError

    upload_id = store.begin(Key("parts"), Attributes(), part_bytes=PART_BYTES)
    part = store.send_part(Key("parts"), upload_id, 1, files.of(b"part"))
    proxy.on(is_commit, CallAfter(lose))

    etag = store.finish(Key("parts"), upload_id, [part])

    assert 2 == len(proxy.seen(is_commit))
    assert etag == azure_container.head("parts")["etag"].strip('"')
    assert b"part" == azure_container.get("parts")
    with pytest.raises(UploadMissingError):
        store.finish(Key("parts"), upload_id, [part])
    assert etag == store.made_of(Key("parts"), [part])


def test_an_endpoint_that_refuses_is_named(azure_container, closed_port, opened, files):
    """An endpoint that refuses."""
    endpoint = f"http://127.0.0.1:{closed_port}/{azure_container.server.account}"
    store = opened(azure_container.connection(endpoint=endpoint))

    for call in (
        lambda: list(store.pages("")),
        lambda: store.write(Key("small"), files.of(b"x"), Attributes()),
        lambda: store.begin(Key("parts"), Attributes(), part_bytes=PART_BYTES),
    ):
        with pytest.raises(
            TransientError, match=f"127.0.0.1:{closed_port}/lightermantests: it refuses"
        ):
            call()


def test_an_account_that_is_misspelled_is_named(azure_container, opened, files):
    """An account's host that doesn't resolve says that the account may be misspelled."""
    store = opened(azure_container.connection(endpoint="https://lightermantests.blob.core.invalid"))

    for call in (
        lambda: list(store.pages("")),
        lambda: store.write(Key("small"), files.of(b"x"), Attributes()),
        lambda: store.begin(Key("parts"), Attributes(), part_bytes=PART_BYTES),
    ):
        with pytest.raises(
            TransientError, match=r"lightermantests\.blob\.core\.invalid: its name doesn't resolve"
        ) as caught:
            call()
        assert "no such storage account" in caught.value.hint
