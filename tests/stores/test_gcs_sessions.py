"""Resumable sessions: where they break, they go on; what is sent again is counted."""

import os

import pytest
from servers.faults import Answer, CallAfter, Reset, gcs_error

from lighterman import secret
from lighterman.checksums import CRC32C, of_window
from lighterman.errors import (
    SlowDownError,
    SourceMissingError,
    TransientError,
    UploadMissingError,
)
from lighterman.stores.contract import Attributes, ETag, Key, Part, Window

KIB = 1024
QUANTUM = 256 * KIB
PART_BYTES = 1024 * KIB
CONTENT = os.urandom(3 * PART_BYTES + 300 * KIB + 17)
COUNT = 4
BIG = Key("big")


def is_session(request):
    return request.method == "PUT" and "content-range" in request.headers


def is_chunk(request):
    return is_session(request) and not request.headers["content-range"].startswith("bytes *")


def is_last(request):
    return is_session(request) and not request.headers["content-range"].endswith("*")


@pytest.fixture
def proxy(proxy_to, gcs):
    return proxy_to(gcs.endpoint)


@pytest.fixture
def connection(gcs_bucket, proxy):
    return gcs_bucket.connection(endpoint=proxy.url)


@pytest.fixture
def store(connection, opened):
    return opened(connection)


@pytest.fixture
def upload_id(store) -> str:
    return store.begin(BIG, Attributes("text/x-notes", 0o640, 7), part_bytes=PART_BYTES)


@pytest.fixture
def window(files) -> Window:
    return files.of(CONTENT)


def send(store, upload_id, window, numbers=range(1, COUNT + 1)) -> list[Part]:
    return [store.send_part(BIG, upload_id, number, part(window, number)) for number in numbers]


def part(window: Window, number: int) -> Window:
    start = (number - 1) * PART_BYTES
    return Window(window.descriptor, start, min(PART_BYTES, window.size_bytes - start))


def sent_bytes(proxy) -> int:
    return sum(request.body_bytes for request in proxy.seen(is_session))


def test_each_byte_is_sent_once(store, proxy, gcs_bucket, upload_id, window):
    """A part is one request, and the end is one more; nothing is asked that is known."""
    parts = send(store, upload_id, window)
    store.finish(BIG, upload_id, parts)

    assert CONTENT == gcs_bucket.get("big")
    assert len(CONTENT) == sent_bytes(proxy)
    assert COUNT + 1 == len(proxy.seen(is_session))
    assert all("authorization" not in request.headers for request in proxy.seen(is_session))


def test_the_checksum_of_all_parts_goes_along(store, proxy, upload_id, window):
    """CRC32C is verified both ways: the store refuses what doesn't add up."""
    parts = send(store, upload_id, window)
    store.finish(BIG, upload_id, parts)

    [last] = proxy.seen(is_last)
    assert last.headers["x-goog-hash"].startswith("crc32c=")
    assert [of_window(CRC32C, part(window, number)) for number in range(1, COUNT + 1)] == [
        each.etag for each in parts
    ]


@pytest.mark.parametrize("broken_at", [0, 100, QUANTUM, 3 * QUANTUM + 5])
def test_a_session_goes_on_from_its_offset(store, proxy, gcs_bucket, upload_id, window, broken_at):
    """A reset in mid-chunk: what the store kept isn't sent again."""
    proxy.on(is_chunk, Reset(after_bytes=broken_at), skip=1)

    store.finish(BIG, upload_id, send(store, upload_id, window))

    assert CONTENT == gcs_bucket.get("big")
    assert sent_bytes(proxy) <= len(CONTENT) + broken_at


def test_bytes_that_arrived_before_the_answer_was_lost_are_not_sent_again(
    store, proxy, gcs_bucket, upload_id, window
):
    """The session is asked how far it is."""
    proxy.on(is_chunk, CallAfter(lambda _: _lost()), skip=1)

    store.finish(BIG, upload_id, send(store, upload_id, window))

    assert CONTENT == gcs_bucket.get("big")
    assert len(CONTENT) == sent_bytes(proxy)


def _lost():
    raise ConnectionResetError("the answer is lost")


def test_another_process_goes_on_from_the_offset(
    store, proxy, gcs_bucket, opened, connection, upload_id, window
):
    """Any process may go on: what the store kept of a broken part isn't sent again either."""
    send(store, upload_id, window, [1])
    proxy.on(is_chunk, Answer(503))
    with pytest.raises(SlowDownError):
        send(store, upload_id, window, [2])
    again = opened(connection)

    assert [Part(1, ETag(""), PART_BYTES)] == again.sent_parts(BIG, upload_id)
    parts = [Part(1, again.part_etag(part(window, 1)), PART_BYTES)]
    parts += send(again, upload_id, window, [2, 3, 4])
    again.finish(BIG, upload_id, parts)

    assert CONTENT == gcs_bucket.get("big")
    assert sent_bytes(proxy) <= len(CONTENT) + PART_BYTES


def test_the_tail_is_lost_with_its_process(store, opened, connection, upload_id, window):
    """``UploadMissingError``: what was held in memory has to be sent again, and ``sent_parts`` says so."""
    parts = send(store, upload_id, window)
    again = opened(connection)

    assert [1, 2, 3] == [each.number for each in again.sent_parts(BIG, upload_id)]
    with pytest.raises(UploadMissingError):
        again.finish(BIG, upload_id, parts)
    send(again, upload_id, window, [4])
    assert again.finish(BIG, upload_id, parts) == again.stat(BIG).etag


def test_an_answer_of_finish_that_was_lost_is_the_same_object(
    store, proxy, opened, connection, upload_id, window
):
    """A finished session tells its object: to whoever finishes it again, in any process."""
    parts = send(store, upload_id, window)
    proxy.on(is_last, CallAfter(lambda _: _lost()))
    etag = store.finish(BIG, upload_id, parts)
    again = opened(connection)

    assert store.stat(BIG).etag == etag == again.finish(BIG, upload_id, parts)
    assert etag == again.made_of(BIG, parts)
    with pytest.raises(UploadMissingError, match="finished"):
        again.sent_parts(BIG, upload_id)


def test_content_that_changed_between_two_processes_is_no_object(
    store, opened, connection, files, upload_id, window
):
    """What doesn't add up is never made visible; the upload is to be begun anew."""
    send(store, upload_id, window, [1, 2])
    other = files.of(os.urandom(len(CONTENT)))
    again = opened(connection)

    parts = send(again, upload_id, other)

    with pytest.raises(UploadMissingError, match="damaged"):
        again.finish(BIG, upload_id, parts)
    with pytest.raises(SourceMissingError):
        again.stat(BIG)


def test_an_object_that_adds_up_to_something_else_does_not_stay(
    store, proxy, gcs_bucket, upload_id, window
):
    """A server that doesn't look at the checksum is found out by its answer."""
    parts = send(store, upload_id, window)
    generation = gcs_bucket.put("big", b"other")
    found = gcs_bucket.head("big")
    told = f'{{"name": "big", "generation": "{generation}", "size": "{len(CONTENT)}",'
    told += f' "crc32c": "{found["crc32c"]}", "updated": "{found["updated"]}"}}'
    proxy.on(is_last, Answer(200, told.encode(), Content_Type="application/json"))

    with pytest.raises(UploadMissingError, match="damaged"):
        store.finish(BIG, upload_id, parts)
    assert [] == gcs_bucket.keys()

    # Again, when it is gone already.
    proxy.on(is_session, Answer(200, told.encode(), Content_Type="application/json"))
    with pytest.raises(UploadMissingError, match="damaged"):
        store.finish(BIG, upload_id, parts)


@pytest.mark.parametrize("status", [404, 410])
def test_a_session_that_ended_is_no_more(store, proxy, upload_id, window, status):
    """``UploadMissingError``: sessions end after a week."""
    proxy.on(is_session, gcs_error(status, "notFound"), times=None)

    for call in (
        lambda: send(store, upload_id, window, [1]),
        lambda: store.sent_parts(BIG, upload_id),
        lambda: store.finish(BIG, upload_id, []),
    ):
        with pytest.raises(UploadMissingError) as caught:
            call()
        assert ("big", "bucket") == (caught.value.key, caught.value.connection)


@pytest.mark.parametrize("upload_id", ["", "1048576", "0 /x", "x /y", "1048576 https://elsewhere/"])
def test_an_id_of_another_kind_is_no_session(store, upload_id):
    """``UploadMissingError``: a journal may have been written by another store."""
    with pytest.raises(UploadMissingError):
        store.sent_parts(BIG, upload_id)
    store.abandon(BIG, upload_id)


def test_an_empty_object_goes_by_parts(store, gcs_bucket, files, upload_id):
    """Zero bytes are an object too."""
    parts = [store.send_part(BIG, upload_id, 1, files.of(b""))]

    store.finish(BIG, upload_id, parts)

    assert {"big": 0} == gcs_bucket.contents()


@pytest.mark.parametrize("size", [1, QUANTUM - 1, QUANTUM, QUANTUM + 1, PART_BYTES, PART_BYTES + 1])
def test_every_size_comes_whole(store, gcs_bucket, files, upload_id, size):
    """Whole multiples of 256 KiB go as they come, and what follows them at the end."""
    window = files.of(CONTENT[:size])
    count = -(-size // PART_BYTES)

    store.finish(BIG, upload_id, send(store, upload_id, window, range(1, count + 1)))

    assert CONTENT[:size] == gcs_bucket.get("big")


def test_a_store_that_keeps_nothing_is_transient(store, proxy, upload_id, window):
    """``TransientError``, after a few quick attempts."""
    proxy.on(is_chunk, Answer(308), times=None)

    with pytest.raises(TransientError, match="keeps too little of 'big'"):
        send(store, upload_id, window, [1])
    assert 3 == len(proxy.seen(is_chunk))


def test_more_than_was_sent_is_no_reason_to_wait(store, proxy, upload_id, window):
    """Where another process sends to the same session, the store may be further than this one sent."""
    proxy.on(is_chunk, Answer(308, Range=f"bytes=0-{2 * PART_BYTES - 1}"))

    assert PART_BYTES == send(store, upload_id, window, [1])[0].size_bytes


def test_a_session_that_is_no_more_is_not_held(store, proxy, upload_id, window):
    """What was held of it is let go: a process that lives for weeks loses some."""
    send(store, upload_id, window)
    proxy.on(is_session, gcs_error(410, "notFound"))
    with pytest.raises(UploadMissingError):
        store.sent_parts(BIG, upload_id)

    assert {} == store._uploads._sessions


def test_where_a_session_is_is_no_ones_to_see(store, upload_id):
    """The id may be all that it takes: it is never logged."""
    path = upload_id.partition(" ")[2]

    assert secret.MASK == secret.scrub(path)


def test_a_session_behind_another_name_is_used_at_the_endpoint(store, proxy, upload_id, window):
    """A server may know itself by another name than the one that leads there."""
    send(store, upload_id, window, [1])

    assert 1 == len(proxy.seen(is_chunk))
