"""Writes over connections of one's own say what the store's own writes say."""

import base64
import os
import zlib

import msgspec
import pytest
from servers.faults import Answer, is_part
from servers.windows import content_of

from lighterman.errors import ConditionFailedError, SourceChangedError, TransientError
from lighterman.stores.contract import Attributes, Key
from lighterman.stores.kept import head_of, said

MIB = 1 << 20
PART_BYTES = 5 * MIB
GIVEN = Attributes(content_type="text/plain", mode=0o640, mtime_ns=1_700_000_000_123_000_000)
KEYS = ["plain", "dir/file.txt", "a//b", "with blank+plus", "ümlaut", "q?x=1&y"]


@pytest.fixture
def proxy(proxy_to, moto_endpoint):
    return proxy_to(moto_endpoint)


@pytest.fixture
def through(s3_bucket, proxy):
    """A connection over the proxy, with options."""
    return lambda **options: s3_bucket.connection(endpoint=proxy.url, **options)


def put_straight(store, key, body, attributes=GIVEN):
    straight = store.straight()
    head = straight.put(Key(key), len(body), attributes)
    with straight.way.connected() as connection:
        connection.sendall(head + body)
        answer, first = head_of(connection)
        text = said(connection, answer, first)
    assert answer.status == 200, text
    return straight.etag(answer)


@pytest.mark.parametrize("key", KEYS)
def test_a_straight_put_makes_what_write_makes(s3_bucket, opened, files, key):
    """The same object: bytes, ETag, Content-Type, mode and mtime."""
    store = opened(s3_bucket.connection())
    written = store.write(Key(f"{key}-2"), files.of(b"content"), GIVEN)
    made = put_straight(store, key, b"content")
    there = store.stat(Key(key))
    assert (made, GIVEN) == (there.etag, there.attributes)
    assert made == written


@pytest.mark.ceph
@pytest.mark.parametrize("key", KEYS)
def test_a_real_store_takes_the_signature_of_a_straight_put(rgw_bucket, opened, key):
    """Moto checks none."""
    store = opened(rgw_bucket.connection())
    made = put_straight(store, key, b"content")
    assert (made, GIVEN) == (store.stat(Key(key)).etag, store.stat(Key(key)).attributes)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"s3_additional_kwargs": {"ServerSideEncryption": "AES256"}},
        {"kms_key": "alias/k"},
        {"acl": "bucket-owner-full-control"},
        {"tags": {"team": "a b", "cost": "1"}},
        {"storage_class": "STANDARD_IA"},
        {"storage_class": "STANDARD_IA", "s3_additional_kwargs": {"StorageClass": "ONEZONE_IA"}},
        {"requester_pays": True},
    ],
)
def test_a_straight_put_says_what_the_connection_says(through, proxy, opened, files, options):
    """``storage_class``, ``kms_key``, ``acl``, ``tags``, ``s3_additional_kwargs``, ``requester_pays``."""
    store = opened(through(**options))
    store.write(Key("written"), files.of(b"x"), GIVEN)
    put_straight(store, "straight", b"x")
    [written, straight] = proxy.seen(lambda request: request.method == "PUT")
    its_own = {
        "authorization",
        "x-amz-date",
        "x-amz-content-sha256",
        "x-amz-sdk-checksum-algorithm",
    }
    told = [
        {
            name: value
            for name, value in request.headers.items()
            if name not in its_own and (name == "content-type" or name.startswith("x-amz-"))
        }
        for request in (written, straight)
    ]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "options",
    [
        {"s3_additional_kwargs": {"Metadata": {"team": "vision"}}},
        {"s3_additional_kwargs": {"CacheControl": "no-store"}},
        {"tags": {"team": "ü"}, "s3_additional_kwargs": {"Tagging": "team=ü"}},
        {"config_kwargs": {"connect_timeout": 3}},
    ],
)
def test_what_has_no_form_of_ours_goes_the_other_way(through, opened, options):
    """botocore knows it."""
    straight = opened(through(**options)).straight()
    assert straight is None or straight.put(Key("a"), 1, GIVEN) is None


@pytest.mark.parametrize("lacking", ["content_type", "mode", "mtime_ns"])
def test_an_object_without_all_attributes_goes_the_other_way(through, opened, lacking):
    """What is signed is what is there."""
    straight = opened(through()).straight()
    assert straight.put(Key("a"), 1, msgspec.structs.replace(GIVEN, **{lacking: None})) is None


# Parts


@pytest.fixture
def upload(through, opened):
    """A store, and an upload that was begun."""
    store = opened(through())
    return store, store.begin(Key("large"), GIVEN, part_bytes=PART_BYTES)


def test_parts_are_taken_from_their_windows(through, opened, files, upload):
    """The object has their bytes, in the order of their numbers, and its attributes."""
    store, upload_id = upload
    body = os.urandom(PART_BYTES + 1000)
    window = files.of(body)
    parts = [
        store.send_part(
            Key("large"), upload_id, 2, window._replace(start=PART_BYTES, size_bytes=1000)
        ),
        store.send_part(Key("large"), upload_id, 1, window._replace(size_bytes=PART_BYTES)),
    ]
    etag = store.finish(Key("large"), upload_id, parts)
    there = store.stat(Key("large"))
    assert (etag, len(body), GIVEN) == (there.etag, there.size_bytes, there.attributes)
    target = files.of(bytes(len(body)))
    store.read_into(Key("large"), target, at=0, etag=etag)
    assert body == content_of(target)


def test_a_part_tells_its_checksum_when_supported(through, proxy, opened, files):
    """``checksums: when_supported``: the store compares."""
    store = opened(through(checksums="when_supported"))
    upload_id = store.begin(Key("large"), GIVEN, part_bytes=PART_BYTES)
    body = os.urandom(3 * MIB)
    store.send_part(Key("large"), upload_id, 1, files.of(body))
    [sent] = proxy.seen(is_part)
    expected = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    assert (expected, "CRC32") == (
        sent.headers["x-amz-checksum-crc32"],
        sent.headers["x-amz-sdk-checksum-algorithm"],
    )


def test_a_file_that_became_shorter_is_no_part(files, upload):
    """``SourceChangedError``: what was announced isn't there any more."""
    store, upload_id = upload
    window = files.of(bytes(MIB))
    with pytest.raises(SourceChangedError):
        store.send_part(Key("large"), upload_id, 1, window._replace(size_bytes=2 * MIB))
    assert not store.sent_parts(Key("large"), upload_id)


def test_parts_are_sent_over_tls(s3_bucket, proxy_to, authority, opened, files):
    """Read, and written into the encrypted connection."""
    front = proxy_to(s3_bucket.endpoint, tls=authority.server)
    store = opened(s3_bucket.connection(endpoint=front.url, ca_bundle=str(authority.ca_bundle)))
    upload_id = store.begin(Key("large"), GIVEN, part_bytes=PART_BYTES)
    body = os.urandom(3 * MIB)
    part = store.send_part(Key("large"), upload_id, 1, files.of(body))
    etag = store.finish(Key("large"), upload_id, [part])
    target = files.of(bytes(len(body)))
    store.read_into(Key("large"), target, at=0, etag=etag)
    assert body == content_of(target)


# Around them


def is_post(request):
    return request.method == "POST"


def test_an_upload_that_told_no_id_is_transient(through, proxy, opened):
    """Nothing can be sent to it."""
    proxy.on(is_post, Answer(200, b"<InitiateMultipartUploadResult/>"), times=1)
    with pytest.raises(TransientError, match="told no id"):
        opened(through()).begin(Key("a"), GIVEN, part_bytes=PART_BYTES)


def test_an_error_under_a_good_status_is_an_error(proxy, files, upload):
    """S3 may find out after it began to answer."""
    store, upload_id = upload
    part = store.send_part(Key("large"), upload_id, 1, files.of(bytes(MIB)))
    body = b'<?xml version="1.0"?>\n<Error><Code>InternalError</Code></Error>'
    proxy.on(is_post, Answer(200, body), times=1)
    with pytest.raises(TransientError):
        store.finish(Key("large"), upload_id, [part])
    assert store.finish(Key("large"), upload_id, [part])


def test_an_upload_is_finished_only_if_the_key_is_free(s3_bucket, files, upload):
    """``only_if_absent``."""
    store, upload_id = upload
    part = store.send_part(Key("large"), upload_id, 1, files.of(bytes(MIB)))
    s3_bucket.put("large", b"another's")
    with pytest.raises(ConditionFailedError):
        store.finish(Key("large"), upload_id, [part], only_if_absent=True)
