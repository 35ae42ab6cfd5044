"""What the GCS store decides without asking anyone."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman.checksums import CRC32C, of_window
from lighterman.errors import (
    CannotWriteError,
    CredentialsError,
    SourceMissingError,
    TransientError,
)
from lighterman.stores.contract import ETag, Part, Window
from lighterman.stores.failures import Place
from lighterman.stores.gcs import failures, keys, resources
from lighterman.stores.gcs.parts import PartBytes
from lighterman.stores.gcs.uploads import combined

PLACE = Place("mine", "bucket", "https://storage.googleapis.com", "", "process environment")


@pytest.mark.parametrize(
    "key", [".", "..", "a\nb", "a\rb", ".well-known/acme-challenge/x", "n" * 1025]
)
def test_a_name_that_gcs_cannot_keep_is_refused(key):
    """https://cloud.google.com/storage/docs/objects#naming"""
    with pytest.raises(CannotWriteError) as caught:
        keys.check_name(key, "mine")

    assert (key, "mine") == (caught.value.key, caught.value.connection)


@pytest.mark.parametrize("key", ["...", "a/..", "./.", "é" * 512, "a\tb", ".well-known/x"])
def test_a_name_that_is_only_odd_is_taken(key):
    """A *key* is never normalised."""
    keys.check_name(key, "mine")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"error": {"message": "m", "errors": [{"reason": "notFound"}]}}', "notFound"),
        (b'{"error": {"message": "m"}}', ""),
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "NoSuchKey"),
        (b"Not Found", ""),
        (b'{"error": "invalid_grant"}', ""),
        (b"", ""),
        (b"\xff\xfe", ""),
    ],
)
def test_every_form_of_an_error_is_read(body, reason):
    """Errors come in the forms of two APIs, and of whatever is on the way."""
    found = failures.from_answer(404, body)

    assert (404, reason) == (found.status, found.reason)
    assert SourceMissingError is type(failures.explained(PLACE, found, "key"))


def test_a_404_tells_what_is_missing_or_does_not():
    """Bucket and object are told apart."""
    told = [
        ("notFound", "No such object: bucket/key"),
        ("NoSuchKey", ""),
        ("NoSuchBucket", ""),
        ("notFound", "The specified bucket does not exist."),
        ("notFound", "Not Found"),
    ]

    assert [True, True, True, True, False] == [
        failures.tells_object(failures.Failure(404, *each)) for each in told
    ]


def test_a_declared_login_that_is_missing_is_named_with_the_refusal():
    """The hint of a refused login says where the one that was meant may be missing."""
    place = PLACE._replace(empty_mounts=("/etc/secrets/gcs",))

    error = failures.explained(place, failures.Failure(403, "forbidden"), "key")

    assert isinstance(error, CredentialsError)
    assert "/etc/secrets/gcs" in error.hint


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"items": [{}]}', b"\xff"])
def test_what_is_no_answer_is_transient(body):
    """A body cut short isn't taken for a listing."""
    with pytest.raises(TransientError):
        resources.page_of(body)


@pytest.mark.parametrize(
    ("told", "checksum"),
    [
        ('"crc32c": "mnG7TA==", "md5Hash": "XUFAKrxLKna5cZ2REBfFkg=="', "crc32c:9a71bb4c"),
        ('"md5Hash": "XUFAKrxLKna5cZ2REBfFkg=="', "md5:5d41402abc4b2a76b9719d911017c592"),
        ('"crc32c": "?"', None),
        ('"size": "5"', None),
    ],
)
def test_a_checksum_is_what_the_listing_tells(told, checksum):
    """CRC32C, which every object has, else MD5; an object with the customer's own key tells none."""
    body = f'{{"name": "k", "generation": "1", "updated": "2026-11-21T04:05:06.789Z", {told}}}'

    found = resources.resource_of(body.encode()).listed()

    assert checksum == found.checksum
    assert 1_795_233_906.789 == found.modified_seconds


@given(st.binary(max_size=3000), st.integers(1, 1000))
def test_parts_add_up_to_their_object(content, part_bytes):
    """The combined CRC32C of the parts is that of the whole."""
    file = os.memfd_create("content")
    try:
        os.write(file, content)
        parts = []
        for number, start in enumerate(range(0, len(content), part_bytes), start=1):
            size = min(part_bytes, len(content) - start)
            digits = of_window(CRC32C, Window(file, start, size))
            parts.append(Part(number, ETag(digits), size))
        whole = of_window(CRC32C, Window(file, 0, len(content)))
        assert f"crc32c:{whole}" == combined(parts[::-1])
    finally:
        os.close(file)


@pytest.mark.parametrize("etag", ["", "0" * 32, "ABCDEF01"])
def test_a_part_of_which_only_the_size_is_known_adds_up_to_nothing(etag):
    """``None`` where that can't be told."""
    assert combined([Part(1, ETag("00000000"), 0), Part(2, ETag(etag), 5)]) is None


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=5))
def test_a_part_sums_each_byte_once(ranges):
    """The CRC32C is that of the part, whatever was sent of it, twice or not at all."""
    content = bytes(range(100))
    file = os.memfd_create("content")
    try:
        os.write(file, b"before" + content)
        window = Window(file, 6, 100)
        part = PartBytes(window, 1000)
        for one, other in ranges:
            begin, end = sorted((one, other))
            assert content[begin:end] == b"".join(part.pieces(1000 + begin, 1000 + end))
        assert of_window(CRC32C, window) == part.crc32c()
    finally:
        os.close(file)
