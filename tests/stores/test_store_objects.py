"""What every store promises of single objects: read, write, copy, delete."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from servers.windows import content_of

from lighterman.checksums import algorithm_of, checksum, of_window
from lighterman.errors import (
    BucketMissingError,
    ConditionFailedError,
    SourceChangedError,
    SourceMissingError,
    TransientError,
)
from lighterman.stores.contract import Attributes, ETag, Key, Window

MIB = 1024 * 1024
MODE, MTIME_NS = 0o640, 1_700_000_000_123_456_789

PART_BYTES = 5 * 1024 * 1024


def random_bytes(size: int) -> bytes:
    return os.urandom(size)


@pytest.fixture
def kept(kind):
    """What a store keeps of these attributes: a volume has no place for a content type."""
    content_type = None if kind == "volume" else "text/x-notes"
    return Attributes(content_type, MODE, MTIME_NS)


@pytest.fixture
def given():
    return {"content_type": "text/x-notes", "mode": MODE, "mtime_ns": MTIME_NS}


@pytest.mark.parametrize("size", [0, 1, 300_000, MIB, MIB + 1, 8 * MIB])
def test_what_was_written_is_read(store, put, get, given, kept, size):
    """Put one object at once; write its bytes into the window of an open file."""
    content = random_bytes(size)

    etag = put("dir/file", content, **given)

    found = store.stat(Key("dir/file"))
    assert (Key("dir/file"), size, etag, kept) == (
        found.key,
        found.size_bytes,
        found.etag,
        found.attributes,
    )
    assert content == get("dir/file")


def test_attributes_come_with_the_bytes(store, put, files, given, kept):
    """Returns the attributes that came with the bytes, at no further request."""
    etag = put("file", b"hello", **given)

    assert kept == store.read_into(Key("file"), files.of(b"....."), at=0, etag=etag)


def test_an_empty_object_has_attributes_too(store, put, files, given, kept):
    """Zero bytes are a request too, where the store needs one to know the attributes."""
    etag = put("empty", b"", **given)

    assert kept == store.read_into(Key("empty"), files.of(b""), at=0, etag=etag)


def test_attributes_that_were_not_given_are_not_made_up(store, kind, put):
    """``None`` means: not known, or not given."""
    put("file", b"x")

    attributes = store.stat(Key("file")).attributes

    if kind == "volume":  # every file has a mode and an mtime
        assert attributes.mode is not None
    else:
        assert (None, None) == (attributes.mode, attributes.mtime_ns)


def test_a_range_lands_in_its_window(store, put, files):
    """Write ``window.size_bytes`` bytes of the object, from its offset ``at``, into the window."""
    etag = put("file", b"0123456789")
    target = files.of(b"-" * 8)

    store.read_into(Key("file"), Window(target.descriptor, 2, 4), at=3, etag=etag)

    assert b"--3456--" == content_of(target)


def test_ranges_of_one_object_are_read_by_many_threads(store, put, files):
    """All methods may be called from many threads at once."""
    content = random_bytes(3 * MIB + 17)
    etag = put("file", content)
    target = files.of(b"\0" * len(content))
    step = 300_000

    def read(start: int) -> None:
        size = min(step, len(content) - start)
        store.read_into(Key("file"), Window(target.descriptor, start, size), at=start, etag=etag)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(0, len(content), step)))

    assert content == content_of(target)


def test_a_digest_sees_the_bytes_in_order(store, put, files):
    """``digest`` sees the bytes in order."""
    content = random_bytes(2 * MIB + 3)
    etag = put("file", content)
    digest = hashlib.sha256()

    target = files.of(b"\0" * (len(content) - 1))
    store.read_into(Key("file"), target, at=1, etag=etag, digest=digest)

    assert hashlib.sha256(content[1:]).hexdigest() == digest.hexdigest()
    assert content[1:] == content_of(target)


def test_a_read_is_pinned_to_its_etag(store, put, files):
    """``SourceChangedError`` when the object is another by now."""
    etag = put("file", b"before")
    put("file", b"after.")

    target = files.of(b"......")
    with pytest.raises(SourceChangedError) as caught:
        store.read_into(Key("file"), target, at=0, etag=etag)

    assert ("file", store.connection) == (caught.value.key, caught.value.connection)
    assert b"......" == content_of(target)


def test_fewer_bytes_than_asked_for_are_an_error(store, put, files):
    """``TransientError`` when fewer bytes came."""
    etag = put("file", b"0123456789")

    with pytest.raises(TransientError):
        store.read_into(Key("file"), files.of(b"\0" * 8), at=5, etag=etag)


@pytest.mark.parametrize("key", ["absent", "file/below", "absent/"])
def test_an_absent_object_is_said_to_be(store, put, files, key):
    """``SourceMissingError`` if there is none."""
    put("file", b"x")

    with pytest.raises(SourceMissingError) as caught:
        store.stat(Key(key))
    with pytest.raises(SourceMissingError):
        store.read_into(Key(key), files.of(b"."), at=0, etag=ETag("0" * 32))

    assert (key, store.connection) == (caught.value.key, caught.value.connection)


def test_an_absent_bucket_is_said_to_be(missing_store, files):
    """``BucketMissingError``, whichever method meets it first."""
    window = files.of(b"x")
    calls = [
        lambda: missing_store.stat(Key("k")),
        lambda: missing_store.read_into(Key("k"), window, at=0, etag=ETag("0" * 32)),
        lambda: missing_store.write(Key("k"), window, Attributes()),
        lambda: missing_store.delete(Key("k")),
        lambda: missing_store.begin(Key("k"), Attributes(), part_bytes=PART_BYTES),
    ]
    for call in calls:
        with pytest.raises(BucketMissingError):
            call()


def test_a_later_write_replaces_an_earlier_one(put, get):
    """A reader sees the old object or the new one."""
    first = put("file", b"a longer text")
    second = put("file", b"short")

    assert b"short" == get("file")
    assert first != second


def test_a_reader_never_sees_a_mix(store, files):
    """A reader sees the old object or the new one, never a mix."""
    size = 400_000
    contents = [letter * size for letter in (b"a", b"b")]
    windows = [files.of(content) for content in contents]
    store.write(Key("file"), windows[0], Attributes())
    over = threading.Event()
    seen: list[bytes] = []

    def read() -> None:
        target = files.of(b"\0" * size)
        while not over.is_set():
            try:
                etag = store.stat(Key("file")).etag
                store.read_into(Key("file"), target, at=0, etag=etag)
            except (SourceChangedError, TransientError):
                continue  # moto answers 500 now and then to who reads what is being replaced
            seen.append(content_of(target))

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        for turn in range(20):
            store.write(Key("file"), windows[turn % 2], Attributes())
        over.set()
        reader.result(30)

    assert set(seen) <= set(contents)


@pytest.mark.parametrize("size", [5, 2 * MIB])
def test_only_if_absent_never_replaces(store, files, get, size):
    """``only_if_absent`` raises ``ConditionFailedError`` if the key has an object."""
    first, second = files.of(b"1" * size), files.of(b"2" * size)

    store.write(Key("file"), first, Attributes(), only_if_absent=True)
    with pytest.raises(ConditionFailedError) as caught:
        store.write(Key("file"), second, Attributes(), only_if_absent=True)

    assert b"1" * size == get("file")
    assert "file" == caught.value.key


def test_a_window_of_a_file_is_written(store, files, get):
    """Put one object at once, from the window."""
    whole = files.of(b"0123456789")

    store.write(Key("file"), Window(whole.descriptor, 3, 4), Attributes())

    assert b"3456" == get("file")


@pytest.mark.parametrize("size", [100, 2 * MIB])
def test_a_file_that_became_shorter_is_not_written(store, files, size):
    """``SourceChangedError``: what is being read is no longer what it was when the reading began."""
    whole = files.of(b"x" * size)
    os.ftruncate(whole.descriptor, size // 2)

    with pytest.raises(SourceChangedError):
        store.write(Key("file"), whole, Attributes())
    with pytest.raises(SourceMissingError):
        store.stat(Key("file"))


@pytest.mark.parametrize("size", [0, 10, 2 * MIB])
def test_a_copy_has_the_bytes_and_its_own_attributes(store, put, get, given, kept, size):
    """Copy inside the store, with ``attributes`` in place of its own."""
    content = random_bytes(size)
    etag = put("from", content, mode=0o600, mtime_ns=1)

    copied = store.copy(Key("from"), etag, Key("dir/to"), Attributes(**given))

    found = store.stat(Key("dir/to"))
    assert (copied, kept) == (found.etag, found.attributes)
    assert content == get("dir/to")


def test_a_copy_is_pinned_to_its_source(store, put):
    """Pinned to the source's ETag."""
    etag = put("from", b"before")
    put("from", b"after")

    with pytest.raises(SourceChangedError):
        store.copy(Key("from"), etag, Key("to"), Attributes())
    with pytest.raises(SourceMissingError):
        store.copy(Key("absent"), etag, Key("to"), Attributes())
    with pytest.raises(SourceMissingError):
        store.stat(Key("to"))


def test_a_marker_is_copied(store, put, listed):
    """Directory markers are objects."""
    etag = put("from/")

    store.copy(Key("from/"), etag, Key("to/"), Attributes(mode=0o700))

    assert ["from/", "to/"] == listed()
    assert 0o700 == store.stat(Key("to/")).attributes.mode


def test_a_deleted_object_is_gone(store, put, listed):
    """Delete one object."""
    for key in ("a", "b", "marker/"):
        put(key)

    store.delete(Key("a"))
    store.delete(Key("marker/"))

    assert ["b"] == listed()


@pytest.mark.parametrize("key", ["absent", "absent/", "file/below"])
def test_deleting_an_absent_object_is_no_error(store, put, listed, key):
    """An absent one is no error."""
    put("file")

    store.delete(Key(key))

    assert ["file"] == listed()


def test_equal_etags_mean_equal_content(put):
    """Equal ETags mean equal content; no more is promised."""
    contents = [b"", b"a", b"b", b"ab"]

    etags = [put("file", content) for content in contents]

    assert len(contents) == len(set(etags))
    assert all('"' not in etag and etag for etag in etags)


@pytest.mark.parametrize("size", [0, 10, MIB + 1])
def test_equal_content_is_known_from_the_listing(store, kind, files, put, size):
    """Whether the object has the window's content; False where that can't be told."""
    content = random_bytes(size)
    put("file", content)

    [[listed]] = list(store.pages("file"))

    assert (kind != "volume") == store.has_content(listed, files.of(content), 5 * MIB)
    assert not store.has_content(listed, files.of(content + b"."), 5 * MIB)
    if size:
        other = files.of(bytes([content[0] ^ 1]) + content[1:])
        assert not store.has_content(listed, other, 5 * MIB)


@pytest.mark.parametrize("size", [0, 10, MIB + 1])
def test_a_checksum_is_that_of_the_content(store, kind, files, put, size):
    """What the content adds up to, by the listing and by the store's answer for the key alone."""
    window = files.of(random_bytes(size))
    store.write(Key("file"), window, Attributes())

    [[listed]] = list(store.pages("file"))
    told = {listed.checksum, store.stat(Key("file")).checksum}

    if kind == "volume":
        assert {None} == told
    else:
        [found] = told
        algorithm = algorithm_of(found)
        assert checksum(algorithm, of_window(algorithm, window)) == found
