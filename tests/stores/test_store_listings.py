"""What every store promises of its listings."""

import threading
import time

import pytest
from servers.buckets import place_of

from initializer.ahead import Ahead, Listing
from lighterman.clock import SystemClock
from lighterman.errors import BucketMissingError
from lighterman.stores.contract import Key
from lighterman.transfer.retry import Attempts
from lighterman.transfer.tally import Tally

MANY_KEYS = 10_000
MOST_PAGE_KEYS = 5_000
"""Azure's pages; the others have 1,000."""


def test_every_object_under_the_prefix_is_listed(put_all, listed):
    """Pages of every object whose key starts with ``prefix``."""
    put_all(["a/1", "a/2/3", "b"])

    assert ["a/1", "a/2/3", "b"] == listed()
    assert ["a/1", "a/2/3"] == listed("a/")


def test_a_prefix_is_any_leading_string_of_a_key(put_all, listed):
    """A *prefix* is any leading string of a key, matched exactly."""
    put_all(["model/w", "model-hf/w", "mo"])

    assert ["model/w"] == listed("model/")
    assert ["model-hf/w", "model/w"] == listed("mod")
    assert ["model/w"] == listed("model/w")
    assert [] == listed("odel")


def test_keys_come_in_byte_order(kind, put_all, listed):
    """In the byte order of their UTF-8 keys."""
    # Azurite compares UTF-16, where what is beyond 16 bits comes before U+E000: an exception of that server alone.
    encoding = "utf-16-be" if kind == "azurite" else "utf-8"
    keys = [
        "a-x",
        "a.y",
        "a/b",
        "a/b.c/d",
        "a/b-c",
        "a0",
        "Z",
        "ä",
        "日本",
        "a b",
        "\U0001f6a2",
        "\uff5e",
    ]
    put_all(keys)

    assert sorted(keys, key=lambda key: key.encode(encoding)) == listed()


def test_more_than_a_page_of_keys_is_listed_page_by_page(store, put_all):
    """With memory for one page."""
    keys = [f"many/{number:05d}" for number in range(MANY_KEYS)]
    put_all(keys)

    pages = [[item.key for item in page] for page in store.pages("many/")]

    assert keys == [key for page in pages for key in page]
    assert len(pages) > 1
    assert max(map(len, pages)) <= MOST_PAGE_KEYS


ODD = [
    "a b",
    "a+b%2F",
    "a-x",
    "a.y",
    "a/b",
    "a/b.c/d",
    "a/b-c",
    "a0",
    "Z",
    "ä",
    "日本",
    "\uff5e",
]


@pytest.mark.parametrize("prefix", ["", "a", "a/"])
def test_a_listing_may_begin_after_a_key(store, put_all, prefix):
    """And comes after ``after``, which need be no object's key."""
    put_all(ODD)

    for after in [*ODD, "!", "a.", "a/b.", "zz", "\U0001f6a2"]:
        pages = store.pages(prefix, after=after)
        expected = [key for key in sorted(ODD) if key.startswith(prefix) and key > after]
        assert expected == [item.key for page in pages for item in page]


def test_a_long_listing_in_parts_is_that_from_end_to_end(store, put_all, tmp_path):
    """No key lost or doubled, in the same order, where threads list parts of it (or may not)."""
    keys = {f"many/{number % 7}/{number * 7919 % 4001:04}.é+b" for number in range(3500)}
    put_all(sorted(keys | {"manx", "manz"}))
    attempts = Attempts(10, SystemClock(), Tally())
    asked = []
    begun = threading.Event()

    class Watched:
        lists_after = store.lists_after

        def pages(self, prefix, *, after=""):
            asked.append(after)
            if after:
                begun.set()
            for number, page in enumerate(store.pages(prefix, after=after)):
                if number == 2 and store.lists_after and not after:
                    assert begun.wait(30)  # a part of it must have been asked for by then
                yield page

    with Ahead([Listing(Watched(), "many/")], attempts, str(tmp_path)) as ahead:
        found = [item for page in ahead.pages(0) for item in page]

    assert [item for page in store.pages("many/") for item in page] == found
    assert sorted(keys) == [item.key for item in found]
    assert store.lists_after == (len(asked) > 1)


def test_a_directory_marker_is_listed(put, listed):
    """Directory markers are listed as the objects that they are (an empty directory as ``dir/``)."""
    for key in ("file", "empty/", "nested/empty/"):
        put(key)

    assert ["empty/", "file", "nested/empty/"] == listed()
    assert ["empty/"] == listed("empty/")


@pytest.mark.parametrize("prefix", ["nothing", "nothing/", "file/", "a/b/c/d", "\0", "../"])
def test_an_absent_prefix_lists_nothing(put, listed, prefix):
    """An absent prefix gives no page or empty ones."""
    put("file", b"x")

    assert [] == listed(prefix)


def test_a_listing_tells_size_etag_and_time(store, put):
    """One object as a listing tells it."""
    before = time.time()
    etag = put("file", b"hello")

    [listed] = [item for page in store.pages("file") for item in page]
    found = store.stat(Key("file"))

    assert (Key("file"), 5, etag, False) == (
        listed.key,
        listed.size_bytes,
        listed.etag,
        listed.archived,
    )
    assert (etag, 5) == (found.etag, found.size_bytes)
    assert abs(listed.modified_seconds - before) < 60
    assert abs(found.modified_seconds - before) < 60


def test_a_bucket_that_is_not_there_is_named(missing_store):
    """``BucketMissingError``."""
    with pytest.raises(BucketMissingError, match="not-there") as caught:
        list(missing_store.pages(""))

    assert caught.value.hint
    assert missing_store.connection == caught.value.connection


def test_the_destination_is_stable_and_holds_no_secret(store, connection, opened):
    """Endpoint and bucket as one stable string without secrets."""
    again = opened(connection)

    assert store.destination == again.destination
    assert place_of(connection) in store.destination
    assert "testsecret" not in store.destination
