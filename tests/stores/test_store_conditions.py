"""What every store promises of writes under a condition: of objects written at once, by parts, and copied."""

import pytest
from servers.windows import content_of

from lighterman.clock import SystemClock
from lighterman.errors import ConditionFailedError, SourceChangedError
from lighterman.stores.contract import Attributes, ETag, Key, Span, Window
from lighterman.stores.limited import limited
from lighterman.transfer.limit import Limiter

MIB = 1 << 20
GIVEN = Attributes("text/plain", 0o640, 1_700_000_000_000_000_000)
WAYS = ["at once", "larger", "by parts", "copied"]


@pytest.fixture(params=WAYS)
def way(request):
    """How the object is made."""
    return request.param


@pytest.fixture
def make(store, files, way):
    """Makes an object of the content, by each way, under the conditions."""

    def at_once(key, content, **conditions) -> ETag:
        return store.write(Key(key), files.of(content), GIVEN, **conditions)

    def larger(key, content, **conditions) -> ETag:
        return at_once(key, content.ljust(2 * MIB), **conditions)

    def by_parts(key, content, **conditions) -> ETag:
        window = files.of(content)
        upload_id = store.begin(Key(key), GIVEN, part_bytes=5 * MIB, **conditions)
        part = store.send_part(Key(key), upload_id, 1, window)
        return store.finish(Key(key), upload_id, [part], **conditions)

    def copied(key, content, **conditions) -> ETag:
        etag = at_once("source", content)
        return store.copy(Key("source"), etag, Key(key), GIVEN, **conditions)

    return {"at once": at_once, "larger": larger, "by parts": by_parts, "copied": copied}[way]


def is_weak(kind, way) -> bool:
    """Whether this server alone forgets a condition of the end of an upload (see the sidecar's probe)."""
    return kind in {"moto", "rgw"} and way in {"by parts", "copied"}


def test_an_object_is_replaced_by_whom_knows_it(store, make, get):
    """``replacing`` puts the new object in the place of the one of that ETag."""
    first = make("key", b"first")

    second = make("key", b"second", replacing=first)

    assert (second, b"second") == (store.stat(Key("key")).etag, get("key").rstrip())
    assert first != second


def test_an_object_that_another_wrote_is_not_replaced(kind, way, put, make, get):
    """``replacing`` raises ``ConditionFailedError`` if the key has another object."""
    if is_weak(kind, way):
        pytest.skip("this server forgets the condition")
    first = make("key", b"first")
    put("key", b"somebody else's")

    with pytest.raises(ConditionFailedError) as caught:
        make("key", b"second", replacing=first)

    assert "key" == caught.value.key
    assert b"somebody else's" == get("key")


def test_an_object_that_is_gone_is_not_replaced(kind, way, store, make, listed):
    """``replacing`` raises ``ConditionFailedError`` if the key has none."""
    if is_weak(kind, way):
        pytest.skip("this server forgets the condition")
    first = make("key", b"first")
    store.delete(Key("key"))

    with pytest.raises(ConditionFailedError):
        make("key", b"second", replacing=first)

    assert "key" not in listed()


def test_an_object_is_made_where_nothing_is(kind, way, make, get):
    """``only_if_absent`` raises ``ConditionFailedError`` if the key has an object."""
    if kind == "rgw" and way in {"by parts", "copied"}:
        pytest.skip("this server forgets the condition")
    make("key", b"first", only_if_absent=True)

    with pytest.raises(ConditionFailedError):
        make("key", b"second", only_if_absent=True)

    assert b"first" == get("key").rstrip()


def test_a_pin_of_the_source_is_told_from_a_condition_of_the_target(store, put):
    """``SourceChangedError`` is of the source of a copy, ``ConditionFailedError`` of its target."""
    etag = put("source", b"before")
    put("source", b"after.")

    with pytest.raises(SourceChangedError):
        store.copy(Key("source"), etag, Key("target"), GIVEN, only_if_absent=True)


@pytest.mark.parametrize("size", [10, 2 * MIB])
def test_an_object_is_given_other_attributes_by_a_copy_onto_itself(store, put, get, size):
    """The target may be the source itself, which so gets other attributes."""
    etag = put("key.txt", b"x" * size, content_type="text/plain", mode=0o600, mtime_ns=10**18)

    made = store.copy(Key("key.txt"), etag, Key("key.txt"), GIVEN)

    found = store.stat(Key("key.txt"))
    assert (made, 0o640, GIVEN.mtime_ns) == (
        found.etag,
        found.attributes.mode,
        found.attributes.mtime_ns,
    )
    assert b"x" * size == get("key.txt")


def test_the_rate_limited_store_says_the_same_conditions(store, put, files, get):
    """A store that is kept to a rate is the store."""
    slow = limited(store, Limiter(1 << 30, SystemClock()))
    etag = put("key", b"first")
    put("key", b"second")

    with pytest.raises(ConditionFailedError):
        slow.write(Key("key"), files.of(b"third"), GIVEN, replacing=etag)
    with pytest.raises(ConditionFailedError):
        slow.write(Key("key"), files.of(b"third"), GIVEN, only_if_absent=True)
    assert slow.copies_parts == store.copies_parts
    assert b"second" == get("key")


# The content of an object, known for sure


@pytest.mark.parametrize("size", [1, 300_000, 2 * MIB])
def test_the_same_content_is_known(store, files, put, size):
    """Whether the object of that ETag has the window's content."""
    content = b"ab" * (size // 2) + b"c"
    etag = put("key", content)

    assert store.same_content(Key("key"), etag, files.of(content), 8 * MIB)
    assert not store.same_content(Key("key"), etag, files.of(content[:-1] + b"d"), 8 * MIB)


def test_the_same_content_is_known_of_an_object_that_came_by_parts(store, files):
    """By a sum of 128 bits or byte for byte; ``part_bytes`` as it came."""
    content = bytes(5 * MIB) + b"the rest"
    window = files.of(content)
    upload_id = store.begin(Key("key"), GIVEN, part_bytes=5 * MIB)
    parts = [
        store.send_part(Key("key"), upload_id, 1, window._replace(size_bytes=5 * MIB)),
        store.send_part(Key("key"), upload_id, 2, Window(window.descriptor, 5 * MIB, 8)),
    ]
    etag = store.finish(Key("key"), upload_id, parts)

    assert store.same_content(Key("key"), etag, window, 5 * MIB)
    other = files.of(bytes(5 * MIB) + b"the Rest")
    assert not store.same_content(Key("key"), etag, other, 5 * MIB)


def test_another_object_has_not_the_same_content(kind, store, files, put):
    """False where the key has another object by now, or none, as far as the store is asked at all."""
    etag = put("key", b"content")
    put("key", b"another")

    if kind not in {"moto", "rgw"}:  # an ETag of S3's is the sum itself
        assert not store.same_content(Key("key"), etag, files.of(b"content"), 8 * MIB)
        store.delete(Key("key"))
        assert not store.same_content(Key("key"), etag, files.of(b"content"), 8 * MIB)
    assert not store.same_content(Key("key"), etag, files.of(b"another"), 8 * MIB)


# Parts that are copied inside the store


@pytest.fixture
def head_store(kind, store):
    """A store that makes parts of what it has."""
    if not store.copies_parts:
        with pytest.raises(NotImplementedError):
            store.copy_part(Key("a"), ETag("b"), Key("c"), "d", 1, Span(0, 1))
        pytest.skip("it takes no part but bytes")
    return store


def test_an_object_grows_by_what_was_added(head_store, files):
    """Fill a part of an upload with a span of an object that the store has."""
    store, head, tail = head_store, bytes(range(256)) * (6 * MIB // 256), b"the tail"
    window = files.of(head)
    upload_id = store.begin(Key("log"), GIVEN, part_bytes=6 * MIB)
    etag = store.finish(Key("log"), upload_id, [store.send_part(Key("log"), upload_id, 1, window)])

    upload_id = store.begin(Key("log"), GIVEN, part_bytes=6 * MIB)
    parts = [
        store.copy_part(Key("log"), etag, Key("log"), upload_id, 1, Span(0, len(head))),
        store.send_part(Key("log"), upload_id, 2, files.of(tail)),
    ]
    made = store.finish(Key("log"), upload_id, parts)

    target = files.of(bytes(len(head) + len(tail)))
    store.read_into(Key("log"), target, at=0, etag=made)
    assert head + tail == content_of(target)


def test_a_part_is_copied_of_the_object_of_its_etag_alone(head_store, files, put):
    """Pinned to its ETag."""
    store = head_store
    etag = put("source", bytes(6 * MIB))
    put("source", bytes(6 * MIB) + b"x")
    upload_id = store.begin(Key("target"), GIVEN, part_bytes=6 * MIB)

    with pytest.raises(SourceChangedError):
        store.copy_part(Key("source"), etag, Key("target"), upload_id, 1, Span(0, 6 * MIB))
    store.abandon(Key("target"), upload_id)
