"""What every store promises of uploads by parts."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from servers.buckets import place_of

from lighterman.errors import (
    ConditionFailedError,
    SourceChangedError,
    SourceMissingError,
    TransientError,
    UploadMissingError,
)
from lighterman.stores.contract import Attributes, ETag, Key, Part, Window

MIB = 1024 * 1024
PART_BYTES = 5 * MIB
CONTENT = os.urandom(2 * PART_BYTES + 12_345)
MODE, MTIME_NS = 0o640, 1_700_000_000_123_456_789
GIVEN = Attributes("text/x-notes", MODE, MTIME_NS)


@pytest.fixture
def send(store):
    """Sends some or all parts of ``CONTENT``."""

    def parts(key, upload_id, window, numbers=(1, 2, 3)) -> list[Part]:
        return [
            store.send_part(Key(key), upload_id, number, part_window(window, number))
            for number in numbers
        ]

    return parts


def as_told(store, parts) -> list[Part]:
    """These parts as ``sent_parts`` tells them: where they go in order, only how far the store came."""
    return [part._replace(etag=ETag("")) for part in parts] if store.limits.in_order else parts


def part_window(window: Window, number: int) -> Window:
    start = (number - 1) * PART_BYTES
    return Window(window.descriptor, start, min(PART_BYTES, window.size_bytes - start))


def test_parts_become_one_object(store, kind, files, send, get):
    """Make the object of these parts visible, whole."""
    window = files.of(CONTENT)
    upload_id = store.begin(Key("dir/big"), GIVEN, part_bytes=PART_BYTES)
    parts = send("dir/big", upload_id, window)

    etag = store.finish(Key("dir/big"), upload_id, parts)

    found = store.stat(Key("dir/big"))
    content_type = None if kind == "volume" else GIVEN.content_type
    assert (len(CONTENT), etag) == (found.size_bytes, found.etag)
    assert Attributes(content_type, MODE, MTIME_NS) == found.attributes
    assert CONTENT == get("dir/big")
    assert [] == store.open_uploads("")


def test_nothing_is_visible_before_the_end(store, files, send, listed):
    """Make the object visible, whole: until then no reader and no listing sees any of it."""
    upload_id = store.begin(Key("big"), GIVEN, part_bytes=PART_BYTES)
    send("big", upload_id, files.of(CONTENT))

    assert [] == listed()
    with pytest.raises(SourceMissingError):
        store.stat(Key("big"))


def test_the_old_object_stands_until_the_end(store, files, put, send, get):
    """A reader sees the old object or the new one."""
    put("big", b"old")
    upload_id = store.begin(Key("big"), GIVEN, part_bytes=PART_BYTES)
    parts = send("big", upload_id, files.of(CONTENT))

    assert b"old" == get("big")
    store.finish(Key("big"), upload_id, parts)
    assert CONTENT == get("big")


def test_parts_may_come_in_any_order_and_at_once(store, files, send, get):
    """All methods may be called from many threads at once; in order, where the store's limits say so."""
    window = files.of(CONTENT)
    upload_id = store.begin(Key("big"), GIVEN, part_bytes=PART_BYTES)
    if store.limits.in_order:
        with pytest.raises(UploadMissingError, match="before"):
            send("big", upload_id, window, [2])
        return

    with ThreadPoolExecutor(3) as pool:
        parts = [
            part
            for sent in pool.map(lambda n: send("big", upload_id, window, [n]), (3, 1, 2))
            for part in sent
        ]

    store.finish(Key("big"), upload_id, sorted(parts))
    assert CONTENT == get("big")


def test_the_store_tells_the_parts_that_it_has(store, files, send):
    """The parts that the store has, by number."""
    upload_id = store.begin(Key("big"), GIVEN, part_bytes=PART_BYTES)
    assert [] == store.sent_parts(Key("big"), upload_id)

    numbers = [1, 2, 3] if store.limits.in_order else [3, 1]
    parts = sorted(send("big", upload_id, files.of(CONTENT), numbers))

    assert as_told(store, parts) == store.sent_parts(Key("big"), upload_id)
    assert (PART_BYTES, 12_345) == (parts[0].size_bytes, parts[-1].size_bytes)


def test_a_part_sent_twice_counts_once(store, files, send, get):
    """Sent twice, the last one counts (where parts go in order: the first one)."""
    upload_id = store.begin(Key("big"), GIVEN, part_bytes=PART_BYTES)
    if store.limits.in_order:
        send("big", upload_id, files.of(CONTENT), [1, 1, 2, 1])
    else:
        send("big", upload_id, files.of(os.urandom(len(CONTENT))), [1, 3])
    parts = send("big", upload_id, files.of(CONTENT))

    assert as_told(store, parts) == store.sent_parts(Key("big"), upload_id)
    store.finish(Key("big"), upload_id, parts)
    assert CONTENT == get("big")


SECOND_PROCESS = """
import json, os, sys
import msgspec
from lighterman.connections.model import Bucket, Connection, HostPath, Options
from lighterman.stores import open_store
from lighterman.stores.contract import Key, Window
from lighterman.transfer.settings import TransferSettings
told = json.load(sys.stdin)
schema = msgspec.convert(told["schema"], Bucket if "bucket" in told["schema"] else HostPath)
connection = Connection(name="again", kind=told["kind"], schema=schema, env=told["env"], options=Options(**told["options"]))
store = open_store(connection, {}, TransferSettings(), concurrency=2)
[upload_id] = [upload.upload_id for upload in store.open_uploads(told["key"])] or [told["upload_id"]]
key = Key(told["key"])
parts = store.sent_parts(key, upload_id)
file = os.open(told["path"], os.O_RDONLY)
size = os.fstat(file).st_size
for number in sorted({1, 2, 3} - {part.number for part in parts}):
    start = (number - 1) * told["part_bytes"]
    window = Window(file, start, min(told["part_bytes"], size - start))
    parts.append(store.send_part(key, upload_id, number, window))
print(json.dumps([store.finish(key, upload_id, sorted(parts)), len(parts)]))
store.close()
"""


def test_another_process_goes_on_with_an_upload(store, connection, files, send, get, tmp_path):
    """Returns its id, which any process may go on with."""
    upload_id = store.begin(Key("big"), GIVEN, part_bytes=PART_BYTES)
    send("big", upload_id, files.of(CONTENT), [1 if store.limits.in_order else 2])
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    schema = connection.schema
    told = {
        "key": "big",
        "upload_id": upload_id,
        "path": str(path),
        "part_bytes": PART_BYTES,
        "kind": connection.kind,
        "schema": {"bucket": schema.bucket}
        if hasattr(schema, "bucket")
        else {"hostPath": place_of(connection), "mountPath": place_of(connection)},
        "env": {k: v if isinstance(v, str) else v.reveal() for k, v in connection.env.items()},
        "options": {"endpoint": connection.options.endpoint, "region": connection.options.region},
    }

    done = subprocess.run(
        [sys.executable, "-c", SECOND_PROCESS],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert 0 == done.returncode, done.stderr
    assert [store.stat(Key("big")).etag, 3] == json.loads(done.stdout)
    assert CONTENT == get("big")
    assert MTIME_NS == store.stat(Key("big")).attributes.mtime_ns


def test_an_abandoned_upload_is_gone(store, files, send, listed):
    """Drop an upload and what it holds. ``UploadMissingError`` if the upload is no more."""
    upload_id = store.begin(Key("big"), GIVEN, part_bytes=PART_BYTES)
    parts = send("big", upload_id, files.of(CONTENT), [1])

    store.abandon(Key("big"), upload_id)

    assert [] == store.open_uploads("")
    assert [] == listed()
    with pytest.raises(UploadMissingError):
        store.sent_parts(Key("big"), upload_id)
    with pytest.raises(UploadMissingError) as caught:
        store.finish(Key("big"), upload_id, parts)
    assert ("big", store.connection) == (caught.value.key, caught.value.connection)


def test_a_part_of_an_abandoned_upload_is_refused(store, kind, files, send):
    """``UploadMissingError`` if the upload is no more."""
    # moto answers 500 to a part of an upload that it doesn't know: an exception of that server alone.
    refusal = TransientError if kind == "moto" else UploadMissingError
    upload_id = store.begin(Key("big"), GIVEN, part_bytes=PART_BYTES)
    store.abandon(Key("big"), upload_id)

    if (
        kind == "azurite"
    ):  # Azure knows no uploads, only blocks, and takes any: what is never finished ends
        parts = send("big", upload_id, files.of(CONTENT), [1])
        with pytest.raises(UploadMissingError):
            store.finish(Key("big"), upload_id, parts)
        return
    with pytest.raises(refusal):
        send("big", upload_id, files.of(CONTENT), [1])


def test_abandoning_twice_is_no_error(store):
    """One that is no more is no error."""
    upload_id = store.begin(Key("big"), GIVEN, part_bytes=PART_BYTES)

    store.abandon(Key("big"), upload_id)
    store.abandon(Key("big"), upload_id)

    assert [] == store.open_uploads("")


def test_an_upload_with_a_part_that_was_not_sent_is_not_finished(store, files, send):
    """``UploadMissingError``: nothing is made visible of an upload that lacks a part."""
    upload_id = store.begin(Key("big"), GIVEN, part_bytes=PART_BYTES)
    parts = send("big", upload_id, files.of(CONTENT), [1])

    with pytest.raises(UploadMissingError):
        store.finish(Key("big"), upload_id, [*parts, Part(2, ETag("0" * 32), PART_BYTES)])
    with pytest.raises(SourceMissingError):
        store.stat(Key("big"))


def test_open_uploads_are_told_by_prefix(store, kind):
    """Uploads that wait for their end, of keys that start with ``prefix``."""
    keys = ["a/1 +%", "a/2", "b"]
    ids = {key: store.begin(Key(key), Attributes(), part_bytes=PART_BYTES) for key in keys}

    found = store.open_uploads("a/")

    if kind == "gcs":  # it lists no sessions, and ends them by itself after a week
        assert [] == found
        return
    assert [(key, ids[key]) for key in keys[:2]] == sorted(
        (upload.key, upload.upload_id) for upload in found
    )
    # moto says of every upload that it was begun in 2010: an exception of that server alone.
    now_seconds = 1_289_390_400 if kind == "moto" else time.time()
    assert all(abs(upload.begun_seconds - now_seconds) < 86_400 for upload in found)
    assert {*ids.values()} == {upload.upload_id for upload in store.open_uploads("")}


def test_a_file_that_became_shorter_is_not_sent(store, files, send):
    """``SourceChangedError``: what is being read is no longer what it was when the reading began."""
    window = files.of(CONTENT)
    upload_id = store.begin(Key("big"), GIVEN, part_bytes=PART_BYTES)
    os.ftruncate(window.descriptor, PART_BYTES // 2)

    with pytest.raises(SourceChangedError):
        send("big", upload_id, window, [1])
    assert [] == store.sent_parts(Key("big"), upload_id)


def test_an_object_is_known_by_its_parts_or_not_known(store, kind, files, put, send):
    """The ETag of the object, if it is what ``finish`` of these parts makes; ``None`` if it is another."""
    window = files.of(CONTENT)
    upload_id = store.begin(Key("big"), GIVEN, part_bytes=PART_BYTES)
    parts = send("big", upload_id, window)

    assert store.made_of(Key("big"), parts) is None
    put("big", b"another")
    assert store.made_of(Key("big"), parts) is None
    etag = store.finish(Key("big"), upload_id, parts)
    assert (None if kind == "volume" else etag) == store.made_of(Key("big"), parts)


def test_the_etag_of_a_part_can_be_told_or_is_not_told(store, kind, files, send):
    """The ETag that a part of these bytes has; ``None`` where it can't be computed."""
    window = files.of(CONTENT)
    upload_id = store.begin(Key("big"), GIVEN, part_bytes=PART_BYTES)

    [part] = send("big", upload_id, window, [1])

    told = store.part_etag(part_window(window, 1))
    assert (None if kind == "volume" else part.etag) == told


def test_an_upload_that_must_not_replace_ends_where_nothing_is(store, files, send, get):
    """Make the object of these parts visible: with ``only_if_absent``, where the key has none."""
    upload_id = store.begin(Key("big"), GIVEN, part_bytes=PART_BYTES, only_if_absent=True)
    parts = send("big", upload_id, files.of(CONTENT))

    etag = store.finish(Key("big"), upload_id, parts, only_if_absent=True)

    assert store.stat(Key("big")).etag == etag
    assert CONTENT == get("big")


def test_an_upload_that_must_not_replace_never_does(store, kind, files, put, send, get):
    """``ConditionFailedError`` with ``only_if_absent`` if the key has an object by now."""
    upload_id = store.begin(Key("big"), GIVEN, part_bytes=PART_BYTES, only_if_absent=True)
    parts = send("big", upload_id, files.of(CONTENT))
    put("big", b"somebody else's")

    if (
        kind == "rgw"
    ):  # Ceph 16 ignores the condition of a Complete: an exception of that server alone
        store.finish(Key("big"), upload_id, parts, only_if_absent=True)
        assert CONTENT == get("big")
        return
    with pytest.raises(ConditionFailedError) as caught:
        store.finish(Key("big"), upload_id, parts, only_if_absent=True)
    assert ("big", store.connection) == (caught.value.key, caught.value.connection)
    assert b"somebody else's" == get("big")


def test_an_upload_of_many_parts_is_listed_whole(store, kind, files):
    """The parts that the store has, by number: also over a page of the store's own listing."""
    # Where parts go in order, each is whole, and the store tells one number only.
    count, size, threads = (40, 256 * 1024, 1) if store.limits.in_order else (1_003, 1, 8)
    window = files.of(b"x" * size)
    upload_id = store.begin(Key("many"), Attributes(), part_bytes=size)
    with ThreadPoolExecutor(threads) as pool:
        list(
            pool.map(
                lambda n: store.send_part(Key("many"), upload_id, n, window), range(1, count + 1)
            )
        )

    parts = store.sent_parts(Key("many"), upload_id)

    assert list(range(1, count + 1)) == [part.number for part in parts]
