"""What happens between the store and a server that misbehaves: each trouble is the error that it is."""

import os
import re

import msgspec
import pytest
from servers.faults import (
    Call,
    CallAfter,
    Cut,
    Reset,
    Stall,
    StallBody,
    is_get,
    is_listing,
    is_part,
    is_put,
    s3_error,
    slow_down,
)
from servers.windows import content_of

from lighterman.connections.model import Bucket
from lighterman.errors import (
    BucketMissingError,
    CannotWriteError,
    ConfigurationError,
    CredentialsError,
    SlowDownError,
    SourceChangedError,
    SourceMissingError,
    TransientError,
)
from lighterman.stores.contract import Attributes, ETag, Key

MIB = 1024 * 1024
SHORT_STALL_SECONDS = 1.0

PART_BYTES = 5 * 1024 * 1024


@pytest.fixture
def proxy(proxy_to, moto_endpoint):
    return proxy_to(moto_endpoint)


@pytest.fixture
def store(s3_bucket, proxy, opened, request):
    """A store behind the proxy; its patience is short where a test's fault is a stall."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    is_stall = isinstance(params.get("fault"), (Stall, StallBody))
    connection = s3_bucket.connection(endpoint=proxy.url)
    return opened(connection, stall_seconds=SHORT_STALL_SECONDS if is_stall else 30.0)


@pytest.fixture
def etag(s3_bucket) -> ETag:
    return ETag(s3_bucket.put("file", os.urandom(3 * MIB)))


@pytest.fixture
def operations(store, files, etag):
    """One call by each engine and way, with the requests that it makes."""
    window = files.of(b"\0" * 3 * MIB)
    upload_id = store.begin(Key("parts"), Attributes(), part_bytes=PART_BYTES)
    return {
        "list": (is_listing, lambda: list(store.pages(""))),
        "stat": (lambda r: r.method == "HEAD", lambda: store.stat(Key("file"))),
        "read": (is_get, lambda: store.read_into(Key("file"), window, at=0, etag=etag)),
        "read odd": (is_get, lambda: store.read_into(Key("a//b"), window, at=0, etag=etag)),
        "write": (is_put, lambda: store.write(Key("small"), files.of(b"x"), Attributes())),
        "write larger": (is_put, lambda: store.write(Key("larger"), window, Attributes())),
        "part": (is_part, lambda: store.send_part(Key("parts"), upload_id, 1, window)),
        "delete": (lambda r: r.method == "DELETE", lambda: store.delete(Key("file"))),
    }


OPERATIONS = ["list", "stat", "read", "read odd", "write", "write larger", "part", "delete"]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (slow_down(503), SlowDownError),
        (slow_down(429), SlowDownError),
        (s3_error(500, "InternalError"), TransientError),
        (s3_error(502, ""), TransientError),
        (Reset(), TransientError),
        (Stall(), TransientError),
    ],
    ids=["503", "429", "500", "502", "reset", "stall"],
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


@pytest.mark.parametrize("fault", [Cut(1000), StallBody(1000)], ids=["cut", "stalled"])
@pytest.mark.parametrize("key", ["file", "a//b"])
def test_a_body_that_never_comes_whole_is_transient(store, s3_bucket, proxy, files, fault, key):
    """``TransientError`` when fewer bytes came."""
    etag = ETag(s3_bucket.put(key, os.urandom(3 * MIB)))
    proxy.on(is_get, fault, times=None)

    with pytest.raises(TransientError):
        store.read_into(Key(key), files.of(b"\0" * 3 * MIB), at=0, etag=etag)


def test_a_body_that_was_cut_goes_on(store, s3_bucket, proxy, files, etag):
    """A method makes at most a few quick attempts of its own; the bytes are right in the end."""
    target = files.of(b"\0" * 3 * MIB)
    proxy.on(is_get, Cut(MIB), times=1)

    store.read_into(Key("file"), target, at=0, etag=etag)

    assert s3_bucket.get("file") == content_of(target)
    assert 2 == len(proxy.seen(is_get))


def test_a_body_is_never_of_two_objects(store, s3_bucket, proxy, files, etag):
    """Pinned to ``etag``: an object that is replaced while its body is read gives no mix."""
    proxy.on(is_get, Cut(MIB), times=1)
    proxy.on(is_get, CallAfter(lambda _: s3_bucket.put("file", os.urandom(3 * MIB))), times=1)

    with pytest.raises((SourceChangedError, TransientError)):
        store.read_into(Key("file"), files.of(b"\0" * 3 * MIB), at=0, etag=etag)
    with pytest.raises(SourceChangedError):
        store.read_into(Key("file"), files.of(b"\0" * 3 * MIB), at=0, etag=etag)


def test_a_page_is_asked_for_when_it_is_needed(store, s3_bucket, proxy, put_all):
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
    (403, "InvalidAccessKeyId", CredentialsError, "AWS_ACCESS_KEY_ID"),
    (403, "SignatureDoesNotMatch", CredentialsError, "AWS_SECRET_ACCESS_KEY"),
    (403, "AccessDenied", CredentialsError, "policy"),
    (400, "ExpiredToken", CredentialsError, "renew"),
    (403, "RequestTimeTooSkewed", CredentialsError, "clock"),
    (404, "NoSuchBucket", BucketMissingError, "bucket"),
    (403, "QuotaExceeded", CannotWriteError, ""),
    (400, "InvalidArgument", ConfigurationError, "checksums"),
    (501, "NotImplemented", ConfigurationError, "checksums"),
    (400, "RequestTimeout", TransientError, ""),
]


@pytest.mark.parametrize("operation", ["list", "read", "write", "write larger", "part"])
@pytest.mark.parametrize(("status", "code", "error", "hint"), CODES, ids=[c[1] for c in CODES])
def test_each_refusal_names_its_mend(proxy, operations, operation, status, code, error, hint):
    """Every error says what and where, and how to mend it, from whichever engine it came."""
    matches, call = operations[operation]
    proxy.on(matches, s3_error(status, code), times=None)

    with pytest.raises(error) as caught:
        call()

    assert error is type(caught.value)
    assert hint in caught.value.hint
    assert "127.0.0.1" in caught.value.message
    assert "bucket" == caught.value.connection


@pytest.mark.parametrize(
    ("code", "error"),
    [("NoSuchBucket", BucketMissingError), ("NoSuchKey", SourceMissingError)],
)
def test_a_stat_finds_out_what_is_missing(store, proxy, code, error):
    """The answer to a HEAD has no body to say what is missing: it is asked for."""
    proxy.on(lambda r: r.method == "HEAD", s3_error(404, code))
    if code == "NoSuchBucket":
        proxy.on(is_listing, s3_error(404, code))

    with pytest.raises(error):
        store.stat(Key("file"))


def test_a_stat_finds_out_why_it_is_refused(store, proxy):
    """The answer to a HEAD has no body to say why: it is asked for."""
    proxy.on(lambda r: r.method in {"HEAD", "GET"}, s3_error(403, "ExpiredToken"), times=None)

    with pytest.raises(CredentialsError) as caught:
        store.stat(Key("file"))

    assert "renew" in caught.value.hint


@pytest.mark.parametrize("operation", ["list", "read", "write", "write larger"])
@pytest.mark.parametrize(
    ("answer", "region"),
    [
        (s3_error(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1"), "eu-west-1"),
        (
            s3_error(
                400,
                "AuthorizationHeaderMalformed",
                "<x/></Message><Region>eu-west-1</Region><Message>",
            ),
            "eu-west-1",
        ),
    ],
    ids=["redirect", "malformed"],
)
def test_the_right_region_is_named(proxy, operations, operation, answer, region):
    """``ConfigurationError`` naming the right region."""
    matches, call = operations[operation]
    proxy.on(matches, answer, times=None)

    with pytest.raises(ConfigurationError) as caught:
        call()

    if operation not in {"read", "write"} or b"<Region>" in answer.body:  # obstore hides the header
        assert region in caught.value.hint
    assert "region" in caught.value.hint


def test_an_endpoint_that_refuses_is_named(s3_bucket, closed_port, opened, files):
    """An endpoint that refuses."""
    store = opened(s3_bucket.connection(endpoint=f"http://127.0.0.1:{closed_port}"))

    for call in (
        lambda: list(store.pages("")),
        lambda: store.write(Key("small"), files.of(b"x"), Attributes()),
        lambda: store.begin(Key("parts"), Attributes(), part_bytes=PART_BYTES),
    ):
        with pytest.raises(TransientError, match=f"127.0.0.1:{closed_port}: it refuses"):
            call()


def test_a_name_that_does_not_resolve_is_named(s3_bucket, opened, files):
    """A hostname that doesn't resolve."""
    store = opened(s3_bucket.connection(endpoint="http://no-such-host.invalid"))

    for call in (
        lambda: list(store.pages("")),
        lambda: store.write(Key("small"), files.of(b"x"), Attributes()),
        lambda: store.begin(Key("parts"), Attributes(), part_bytes=PART_BYTES),
    ):
        with pytest.raises(
            TransientError, match=r"no-such-host\.invalid: its name doesn't resolve"
        ):
            call()


def test_a_file_that_changed_is_told_through_the_client(store, files, proxy):
    """``SourceChangedError``: the file became shorter while its part was being sent."""
    window = files.of(b"x" * 3 * MIB)
    upload_id = store.begin(Key("parts"), Attributes(), part_bytes=PART_BYTES)
    proxy.on(is_part, Call(lambda _: os.ftruncate(window.descriptor, MIB)))
    os.ftruncate(window.descriptor, 2 * MIB)

    with pytest.raises(SourceChangedError):
        store.send_part(Key("parts"), upload_id, 1, window)


def test_an_answer_of_finish_that_was_lost_is_no_second_object(store, s3_bucket, files, proxy):
    """``UploadMissingError`` if the upload is no more: also when its own finish had made it so."""
    upload_id = store.begin(Key("parts"), Attributes(), part_bytes=PART_BYTES)
    part = store.send_part(Key("parts"), upload_id, 1, files.of(b"part"))
    proxy.on(
        lambda r: r.method == "POST" and "uploadId" in r.query,
        s3_error(500, "InternalError"),
        times=None,
    )

    with pytest.raises(TransientError):
        store.finish(Key("parts"), upload_id, [part])
    proxy.forget()
    assert store.finish(Key("parts"), upload_id, [part])


@pytest.mark.parametrize("size", [10 * MIB, 10 * MIB + 7])
def test_a_copy_above_the_limit_goes_by_parts(s3_bucket, proxy, files, size):
    """CopyObject ends at 5 GB; above it UploadPartCopy."""
    from lighterman.stores.s3 import open_s3
    from lighterman.transfer.settings import TransferSettings

    content = os.urandom(size)
    etag = ETag(s3_bucket.put("from", content))
    store = open_s3(
        s3_bucket.connection(endpoint=proxy.url),
        {},
        TransferSettings(),
        concurrency=1,
        copy_limit_bytes=10 * MIB - 1,
        copy_part_bytes=5 * MIB,
    )

    made = store.copy(Key("from"), etag, Key("to"), Attributes("text/x", 0o600, 7))

    assert content == s3_bucket.get("to")
    assert (made, Attributes("text/x", 0o600, 7)) == (
        store.stat(Key("to")).etag,
        store.stat(Key("to")).attributes,
    )
    ranges = [r.headers["x-amz-copy-source-range"] for r in proxy.seen(is_part)]
    assert -(-size // (5 * MIB)) == len(ranges)
    assert f"bytes={len(ranges) * 5 * MIB - 5 * MIB}-{size - 1}" == ranges[-1]

    proxy.on(is_part, s3_error(403, "AccessDenied"), times=None)
    with pytest.raises(CredentialsError):
        store.copy(Key("from"), etag, Key("other"), Attributes())
    assert [] == s3_bucket.open_uploads()
    store.close()


def test_an_archived_object_is_told_by_the_listing(store, s3_bucket):
    """True where its bytes can't be read before a restore (Glacier, archive tiers)."""
    s3_bucket.put("frozen", b"x", StorageClass="GLACIER")
    s3_bucket.put("instant", b"x", StorageClass="GLACIER_IR")

    archived = {item.key: item.archived for page in store.pages("") for item in page}

    assert {"frozen": True, "instant": False} == archived


@pytest.mark.ceph
@pytest.mark.parametrize(
    ("change", "error", "hint"),
    [
        ({"secret_access_key": "wrong-secret"}, CredentialsError, "AWS_SECRET_ACCESS_KEY"),
        ({"access_key_id": "wrong-key"}, CredentialsError, "AWS_ACCESS_KEY_ID"),
        ({"name": "no-such-bucket-here"}, BucketMissingError, "bucket"),
    ],
)
def test_a_real_server_refuses_a_wrong_login(rgw_bucket, opened, files, change, error, hint):
    """Wrong bucket, wrong key or secret: at a server that checks signatures."""
    rgw_bucket.put("file", b"hello")
    store = opened(rgw_bucket._replace(**change).connection())

    for call in (
        lambda: list(store.pages("")),
        lambda: store.stat(Key("file")),
        lambda: store.read_into(Key("file"), files.of(b"....."), at=0, etag=ETag("0" * 32)),
        lambda: store.write(Key("small"), files.of(b"x"), Attributes()),
        lambda: store.write(Key("larger"), files.of(b"x" * 2 * MIB), Attributes()),
        lambda: store.begin(Key("parts"), Attributes(), part_bytes=PART_BYTES),
    ):
        with pytest.raises(error) as caught:
            call()
        assert hint in caught.value.hint
        assert not re.search("wrong-secret|testsecret", str(caught.value))


def test_a_wrong_bucket_is_told_with_its_endpoint(store, proxy, s3_bucket, opened):
    """``BucketMissingError`` naming bucket and endpoint."""
    connection = msgspec.structs.replace(
        s3_bucket.connection(endpoint=proxy.url), schema=Bucket("s3://not-there-at-all")
    )

    with pytest.raises(BucketMissingError, match=f"'not-there-at-all' at {proxy.url}"):
        list(opened(connection).pages(""))
