"""What every store promises of keys: they are exact, or refused by name."""

import re

import pytest

from lighterman.errors import CannotWriteError, UntrustedDataError
from lighterman.stores.contract import Attributes, Key

PLAIN = [
    "a b",
    " leading and trailing ",
    "a+b",
    "100%",
    "a%20b",
    "a%2Fb/c%",
    "a#b",
    "a?b=c",
    "a&b;c,d=e",
    "a\\b",
    "quo'te\"s",
    "<tag>&amp;",
    "[x]{y}|^`~",
    "!$()*:@",
    ".hidden/.file",
    "...",
    "a/..b/c..",
    "ünïcödé/日本語/\U0001f6a2",
    "e\u0301 is not \u00e9",
    "\u200b\u00a0\ufeff",
    "n" * 200,
    "é" * 100 + "/" + "n" * 200,
    "/".join("deep" * 10 for _ in range(10)),
    "tab\there",
    "del\x7f",
]
"""Keys that every store takes."""
ODD = ["a//b", "./x", "../y", "a/../b", "a/./b", "/lead", "//", "a/b//"]
"""Keys that an object store takes, and a volume can't: its paths would be others."""
NOT_AZURES = {key for key in [*PLAIN, *ODD] if re.search(r"[\\\t\x7f]|\.(?:/|$)", key)}
"""
Exceptions of Azure, which has no control characters, makes slashes of backslashes and drops dots at the end of
segments: refused by name where something is to be written.
"""
CONTROL = ["line\nbreak", "\x01start", "bell\x07", "escape\x1b[0m"]

PART_BYTES = 5 * 1024 * 1024


def round_trip(key, store, put, get, listed):
    """Every method on one key, beside its neighbours."""
    etag = put(key, b"content")
    put("neighbour", b"other")
    assert [key] == listed(key)
    assert sorted([key, "neighbour"], key=str.encode) == listed()
    assert (key, 7, etag) == (
        store.stat(Key(key)).key,
        store.stat(Key(key)).size_bytes,
        store.stat(Key(key)).etag,
    )
    assert b"content" == get(key)
    store.copy(Key(key), etag, Key("copied"), Attributes())
    store.copy(Key("copied"), store.stat(Key("copied")).etag, Key(key), Attributes())
    assert b"content" == get("copied")
    assert b"content" == get(key)
    store.delete(Key(key))
    # A volume keeps the directory that the file was in, by now an empty one.
    assert ["copied", "neighbour"] == [left for left in listed() if not left.endswith("/")]


@pytest.mark.parametrize("key", PLAIN)
def test_a_key_is_never_normalised(store, kind, put, get, listed, key):
    """A *key* is the full name of an object, as the user sees it in a console; never normalised."""
    if kind == "azurite" and key in NOT_AZURES:
        assert_not_written(store, put, listed, key)
    else:
        round_trip(key, store, put, get, listed)


@pytest.mark.parametrize("key", PLAIN)
def test_a_key_goes_by_parts_as_it_is(store, kind, files, put, get, listed, key):
    """A *key* is never normalised, in uploads by parts neither."""
    if kind == "azurite" and key in NOT_AZURES:
        assert_not_written(store, put, listed, key)
        return
    upload_id = store.begin(Key(key), Attributes(), part_bytes=PART_BYTES)
    found = [(upload.key, upload.upload_id) for upload in store.open_uploads(key)]
    part = store.send_part(Key(key), upload_id, 1, files.of(b"content"))
    assert [(1, 7)] == [(p.number, p.size_bytes) for p in store.sent_parts(Key(key), upload_id)]
    store.finish(Key(key), upload_id, [part])

    # GCS lists no sessions.
    assert ([] if kind == "gcs" else [(key, upload_id)]) == found
    assert [key] == listed()
    assert b"content" == get(key)


@pytest.mark.parametrize("key", ODD)
def test_an_odd_key_is_exact_or_refused(store, kind, put, get, listed, key):
    """A *key* is never normalised; a volume refuses those that its paths would change."""
    if kind == "volume":
        assert_refused(store, put, listed, key)
    elif kind == "azurite" and key in NOT_AZURES:
        assert_not_written(store, put, listed, key)
    else:
        round_trip(key, store, put, get, listed)


@pytest.mark.parametrize("key", CONTROL)
def test_control_characters_are_kept(store, kind, put, get, listed, key):
    """A *key* is never normalised; only by parts S3 takes no key that XML can't hold, Azure none, and GCS no line breaks."""
    if kind == "azurite" or (kind == "gcs" and "\n" in key):
        assert_not_written(store, put, listed, key)
        return
    if kind == "moto" and "\n" in key:
        key = key.replace(
            "\n", "\x02"
        )  # moto takes no line breaks: an exception of that server alone
    round_trip(key, store, put, get, listed)
    if kind not in {"volume", "gcs"} and "\n" not in key:
        with pytest.raises(CannotWriteError, match="control characters"):
            store.begin(Key(key), Attributes(), part_bytes=PART_BYTES)


def assert_not_written(store, put, listed, key):
    etag = put("neighbour", b"x")
    for call in (
        lambda: put(key, b"x"),
        lambda: store.copy(Key("neighbour"), etag, Key(key), Attributes()),
        lambda: store.begin(Key(key), Attributes(), part_bytes=PART_BYTES),
    ):
        with pytest.raises(CannotWriteError, match="can't keep the key") as caught:
            call()
        assert (key, store.connection) == (caught.value.key, caught.value.connection)
    assert ["neighbour"] == listed()


def assert_refused(store, put, listed, key):
    for call in (
        lambda: put(key, b"x"),
        lambda: store.stat(Key(key)),
        lambda: store.begin(Key(key), Attributes(), part_bytes=PART_BYTES),
        lambda: store.delete(Key(key)),
    ):
        with pytest.raises(UntrustedDataError) as caught:
            call()
        assert key == caught.value.key
    assert [] == listed()
