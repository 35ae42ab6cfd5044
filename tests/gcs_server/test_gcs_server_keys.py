"""The GCS server of the tests: what it shares with another emulator, its keys and its listings."""

import sys
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from google.api_core.exceptions import (
    BadRequest,
    NotFound,
)
from google.cloud import storage
from servers.buckets import new_bucket_name
from servers.gcs import GcsBucket, plain_client
from servers.processes import running
from servers.wire import crc32c, md5

CHUNK = 256 * 1024
BODY = bytes(range(256)) * 3 * 1024
"""Three chunks."""


@pytest.fixture(params=["ours", "gcp-storage-emulator"])
def any_bucket(request, tmp_path) -> Iterator[storage.Bucket]:
    """A fresh bucket, as Google's client sees it, of this server and of another emulator."""
    if request.param == "ours":
        endpoint = request.getfixturevalue("gcs").endpoint
        with plain_client(endpoint) as client:
            yield client.create_bucket(new_bucket_name())
        return
    program = (
        "from gcp_storage_emulator.server import create_server\n"
        "server = create_server('127.0.0.1', 0, in_memory=True)\n"
        "server.start()\n"
        "print('port', server._api._httpd.server_address[1], flush=True)\n"
        "import signal\nsignal.pause()\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    with (
        running(command, tmp_path / "log", r"port (\d+)") as match,
        plain_client(f"http://127.0.0.1:{match[1]}") as client,
    ):
        yield client.create_bucket(new_bucket_name())


class TestWhatEveryEmulatorDoes:
    def test_an_object_comes_back_with_its_metadata_and_hashes(self, any_bucket):
        """What is put is there, with size, type, metadata, MD5, CRC32C and a generation."""
        blob = any_bucket.blob("a/b ü")
        blob.metadata = {"mtime": "2026-01-01T00:00:00.5Z", "mode": "100644"}
        blob.upload_from_string(b"hello", content_type="text/csv")
        found = any_bucket.get_blob("a/b ü")
        assert (5, "text/csv", md5(b"hello"), crc32c(b"hello")) == (
            found.size,
            found.content_type,
            found.md5_hash,
            found.crc32c,
        )
        assert {"mtime": "2026-01-01T00:00:00.5Z", "mode": "100644"} == found.metadata
        assert found.generation > 0
        assert b"hello" == found.download_as_bytes()

    def test_a_new_content_is_a_new_generation(self, any_bucket):
        """Each write of a key gives it another generation."""
        blob = any_bucket.blob("a")
        blob.upload_from_string(b"1")
        first = blob.generation
        blob.upload_from_string(b"2")
        assert blob.generation > first

    def test_a_session_takes_chunks_until_the_last(self, any_bucket):
        """A resumable upload in chunks of 256 KiB makes one object of them all."""
        blob = any_bucket.blob("big", chunk_size=CHUNK)
        with blob.open("wb", ignore_flush=True) as sink:
            sink.write(BODY + b"tail")
        assert BODY + b"tail" == any_bucket.blob("big").download_as_bytes()

    def test_a_listing_of_a_prefix(self, any_bucket):
        """A listing holds every key with the prefix once, in order, and no other."""
        keys = [f"p/{number}" for number in range(7)]
        for key in [*keys, "p", "q"]:
            any_bucket.blob(key).upload_from_string(b"x")
        assert keys == [blob.name for blob in any_bucket.list_blobs(prefix="p/")]

    def test_a_copy_and_a_delete(self, any_bucket):
        """A rewrite makes the same content under another key; what is deleted is gone."""
        blob = any_bucket.blob("from")
        blob.upload_from_string(b"content")
        token, rewritten, size = any_bucket.blob("to").rewrite(blob)
        assert (None, 7, 7) == (token, rewritten, size)
        blob.delete()
        assert [b"content"] == [each.download_as_bytes() for each in any_bucket.list_blobs()]
        with pytest.raises(NotFound):
            blob.delete()


class TestKeys:
    @pytest.mark.parametrize(
        "key",
        [
            "dir/",
            "/lead",
            "a//b",
            "a/../b",
            "./a",
            "..a",
            "tab\there",
            "50%25 off?#&+=;",
            "ünïcödé/😀",
            "quote\"'<&>",
            "b/o/x/rewriteTo/b/y/o/z",
            "x" * 1024,
        ],
    )
    def test_odd_keys_stay_as_they_are(self, gcs_bucket, key):
        """A key is listed, read, copied and deleted exactly as it was written."""
        gcs_bucket.put(key, b"odd")
        assert [key] == gcs_bucket.keys()
        assert b"odd" == gcs_bucket.get(key)
        with gcs_bucket.client() as client:
            bucket = client.bucket(gcs_bucket.name)
            bucket.blob("copy").rewrite(bucket.blob(key))
        gcs_bucket.delete(key)
        assert {"copy": 3} == gcs_bucket.contents()

    @pytest.mark.parametrize("key", [".", "..", "a\nb", "a\rb", "é" * 513])
    def test_disallowed_keys(self, gcs_bucket, key):
        """A name that GCS doesn't allow is refused."""
        with pytest.raises(BadRequest):
            gcs_bucket.put(key, b"x")

    def test_the_order_is_that_of_utf8(self, gcs_bucket):
        """A listing is in the order of the keys' UTF-8 bytes."""
        keys = ["a/b", "a", "a-x", "a.y", "ä", "Z", "z", "￿", "😀", "~"]
        for key in keys:
            gcs_bucket.put(key)
        assert sorted(keys, key=lambda key: key.encode()) == gcs_bucket.keys()

    def test_the_xml_api_means_the_same_keys(self, gcs_bucket, wire):
        """What one API writes under a key, the other reads."""
        path = f"/{gcs_bucket.name}/{quote('a//ü /', safe='')}"
        assert 200 == wire.ask("PUT", path, b"xml").status
        assert ["a//ü /"] == gcs_bucket.keys()
        gcs_bucket.put("a//ü /", b"json")
        assert b"json" == wire.ask("GET", path).body


class TestListings:
    def test_pages(self, gcs_bucket):
        """Pages hold as many as were asked for, and every key once."""
        for key in "abcdefg":
            gcs_bucket.put(key)
        with gcs_bucket.client() as client:
            pages = client.list_blobs(gcs_bucket.name, page_size=3).pages
            assert ["abc", "def", "g"] == ["".join(blob.name for blob in page) for page in pages]

    def test_fields_select(self, gcs_bucket, wire):
        """``fields`` leaves only what it names."""
        gcs_bucket.put("a", b"1")
        gcs_bucket.put("b", b"2")
        path = f"/storage/v1/b/{gcs_bucket.name}/o?maxResults=1"
        answer = wire.ask("GET", path + "&fields=items(name,size),nextPageToken").json
        assert {"items", "nextPageToken"} == set(answer)
        assert [{"name": "a", "size": "1"}] == answer["items"]
        assert {"items": [{"name": "a"}]} == wire.ask("GET", path + "&fields=items/name").json

    def test_delimiter(self, gcs_bucket):
        """With a delimiter, keys beyond it are told as prefixes, once, over page ends too."""
        for key in ["a", "d/1", "d/2", "d/3", "e/f/g", "h"]:
            gcs_bucket.put(key)
        with gcs_bucket.client() as client:
            found = client.list_blobs(gcs_bucket.name, delimiter="/", page_size=2)
            assert ["a", "h"] == [blob.name for blob in found]
            assert {"d/", "e/"} == found.prefixes

    def test_offsets(self, gcs_bucket):
        """A listing may begin at one name and end before another."""
        for key in "abcde":
            gcs_bucket.put(key)
        with gcs_bucket.client() as client:
            found = client.list_blobs(gcs_bucket.name, start_offset="b", end_offset="d")
            assert ["b", "c"] == [blob.name for blob in found]

    def test_a_page_goes_on_after_its_last_key_was_deleted(self, gcs_bucket):
        """A page token holds, whatever happened to the key that it was made from."""
        for key in "abcd":
            gcs_bucket.put(key)
        with gcs_bucket.client() as client:
            pages = client.list_blobs(gcs_bucket.name, page_size=2).pages
            assert ["a", "b"] == [blob.name for blob in next(pages)]
            gcs_bucket.delete("b")
            assert ["c", "d"] == [blob.name for blob in next(pages)]

    def test_no_page_exceeds_1000(self, gcs_bucket, wire):
        """A page has 1,000 entries at most, whatever is asked for."""
        names = [f"{number:04}" for number in range(1003)]
        for name in names:
            wire.ask("PUT", f"/{gcs_bucket.name}/{name}")
        path = f"/storage/v1/b/{gcs_bucket.name}/o?maxResults=5000"
        assert 1000 == len(wire.ask("GET", path).json["items"])
        assert names == gcs_bucket.keys()

    def test_a_bucket_that_is_not_there(self, gcs_bucket, gcs):
        """A listing of an absent bucket is 404."""
        with pytest.raises(NotFound, match="bucket does not exist"):
            GcsBucket(gcs, "not-there").keys()
