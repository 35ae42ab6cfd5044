"""Copies inside a bucket of S3: as few requests as a store's word allows."""

import pytest
from servers.faults import Answer, Call, s3_error

from lighterman.errors import SourceChangedError, SourceMissingError, TransientError
from lighterman.stores.contract import Attributes, ETag, Key

PIN = "x-amz-copy-source-if-match"
NOBODYS = '"' + "0" * 32 + '"'


@pytest.fixture
def proxy(proxy_to, moto_endpoint):
    return proxy_to(moto_endpoint)


@pytest.fixture
def store(s3_bucket, proxy, opened):
    return opened(s3_bucket.connection(endpoint=proxy.url))


def is_copy(request) -> bool:
    return "x-amz-copy-source" in request.headers


def keep_pins(proxy) -> None:
    """From here on the server keeps the condition that moto ignores, as AWS does."""
    proxy.on(
        lambda request: request.headers.get(PIN) == NOBODYS,
        s3_error(412, "PreconditionFailed"),
        times=None,
    )


def copy(store, etag, target="to") -> ETag:
    return store.copy(Key("from"), etag, Key(target), Attributes("text/x", 0o600, 7))


def test_a_store_that_ignores_pins_is_looked_at_each_time(store, s3_bucket, proxy):
    """moto and Ceph ignore the condition of a copy: the source is looked at before."""
    etag = ETag(s3_bucket.put("from", b"content"))

    for target in ("a", "b", "c"):
        assert etag == copy(store, etag, target)

    assert ["HEAD", "PUT"] * 3 == [request.method for request in proxy.seen()]
    assert b"content" == s3_bucket.get("c")


def test_a_store_that_keeps_pins_is_asked_once_for_each(store, s3_bucket, proxy):
    """A copy costs one request where the store's word is known."""
    keep_pins(proxy)
    etag = ETag(s3_bucket.put("from", b"content"))

    for target in ("a", "b", "c"):
        assert etag == copy(store, etag, target)

    assert ["HEAD", "PUT", "PUT", "PUT", "PUT"] == [request.method for request in proxy.seen()]
    assert [NOBODYS] + [f'"{etag}"'] * 3 == [r.headers[PIN] for r in proxy.seen(is_copy)]
    assert b"content" == s3_bucket.get("c")


def test_a_store_that_keeps_pins_is_still_looked_at_for_a_size(store, s3_bucket, files, proxy):
    """What came by parts may be too large for a copy at once, which only its size tells."""
    keep_pins(proxy)
    copy(store, ETag(s3_bucket.put("from", b"content")))
    upload_id = store.begin(Key("from"), Attributes(), part_bytes=5 << 20)
    part = store.send_part(Key("from"), upload_id, 1, files.of(b"parts"))
    etag = store.finish(Key("from"), upload_id, [part])

    heads = len(proxy.seen(lambda request: request.method == "HEAD"))
    copy(store, etag, "again")

    assert len(proxy.seen(lambda request: request.method == "HEAD")) > heads
    assert b"parts" == s3_bucket.get("again")


def test_a_source_that_is_replaced_between_the_look_and_the_copy_is_found_out(
    store, s3_bucket, proxy
):
    """Equal sums show that the pinned object was copied."""
    etag = ETag(s3_bucket.put("from", b"content"))
    copy(store, etag, "first")
    proxy.on(is_copy, Call(lambda _: s3_bucket.put("from", b"another")))

    with pytest.raises(SourceChangedError):
        copy(store, etag)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"<Error><Code>SlowDown</Code></Error>", TransientError),
        (b"<Error><Code>NoSuchKey</Code></Error>", (TransientError, SourceMissingError)),
        (b"   ", TransientError),
    ],
)
def test_a_copy_that_fails_after_its_200_is_no_copy(store, s3_bucket, proxy, body, error):
    """AWS begins to answer before the copy is done: the body says how it ended."""
    etag = ETag(s3_bucket.put("from", b"content"))
    proxy.on(is_copy, Answer(200, body), times=None)

    with pytest.raises(error):
        copy(store, etag)


@pytest.mark.parametrize("key", ["a b+c%.txt", "ü/é", "q?x=1&y=#"])
def test_a_key_is_copied_by_its_exact_name(store, s3_bucket, key):
    """A key is never normalised."""
    etag = ETag(s3_bucket.put(key, b"content"))

    store.copy(Key(key), etag, Key(f"copy of {key}"), Attributes())

    assert b"content" == s3_bucket.get(f"copy of {key}")
