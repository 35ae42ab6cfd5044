"""The GCS server of the tests, asked by Google's own client and byte by byte on the wire."""

import base64
import gzip
import hashlib
import http.client
import json
import ssl
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

import google_crc32c
import pytest
from google.api_core.exceptions import (
    BadRequest,
    Forbidden,
    NotFound,
    PreconditionFailed,
)
from google.auth import exceptions as auth_exceptions
from google.auth import jwt
from google.auth.crypt import RSASigner
from google.auth.transport.requests import Request
from google.cloud import storage
from google.oauth2 import service_account
from servers.buckets import new_bucket_name
from servers.gcs import OWNER_TOKEN, GcsBucket, GcsServer, plain_client
from servers.gcs_face import AUDIENCE
from servers.processes import running

CHUNK = 256 * 1024
BODY = bytes(range(256)) * 3 * 1024
"""Three chunks."""


class Wire:
    """Requests as they are, with the owner's token."""

    def __init__(self, endpoint: str) -> None:
        self._connection = http.client.HTTPConnection(str(urlsplit(endpoint).netloc), timeout=30)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> "Answered":
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"Authorization": f"Bearer {OWNER_TOKEN}"} | given
        target = path if path.startswith("/") else path.split("/", 3)[3].join(["/", ""])
        self._connection.request(method, target, body, given)
        answer = self._connection.getresponse()
        return Answered(answer, answer.read())

    def close(self) -> None:
        self._connection.close()


class Answered:
    def __init__(self, answer: http.client.HTTPResponse, body: bytes) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)


@pytest.fixture
def wire(gcs: GcsServer) -> Iterator[Wire]:
    """A connection to the server."""
    made = Wire(gcs.endpoint)
    yield made
    made.close()


@pytest.fixture
def begin(wire: Wire, gcs_bucket: GcsBucket):
    """Begins resumable sessions; gives their URIs."""

    def session(key: str, query: str = "", fields: dict | None = None, **headers: str) -> str:
        path = (
            f"/upload/storage/v1/b/{gcs_bucket.name}/o?uploadType=resumable&name={quote(key, '')}"
        )
        answer = wire.ask("POST", path + query, json.dumps(fields or {}).encode(), **headers)
        assert 200 == answer.status, answer.body
        return str(answer.headers["Location"])

    return session


def crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


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


class TestPreconditions:
    def test_create_only(self, gcs_bucket):
        """``ifGenerationMatch=0`` makes an object only where there is none."""
        with gcs_bucket.client() as client:
            blob = client.bucket(gcs_bucket.name).blob("a")
            blob.upload_from_string(b"first", if_generation_match=0)
            with pytest.raises(PreconditionFailed):
                blob.upload_from_string(b"second", if_generation_match=0)
        assert b"first" == gcs_bucket.get("a")

    def test_one_of_many_creates(self, gcs_bucket, gcs):
        """Of many that create one key at once, exactly one succeeds."""

        def create(number: int) -> int:
            wire = Wire(gcs.endpoint)
            headers = {"x-goog-if-generation-match": "0"}
            body = b"%d" % number * 100
            status = wire.ask("PUT", f"/{gcs_bucket.name}/a", body, **headers).status
            wire.close()
            return status

        with ThreadPoolExecutor(16) as pool:
            statuses = list(pool.map(create, range(64)))
        assert [200] + [412] * 63 == sorted(statuses)

    def test_replace_only_what_was_seen(self, gcs_bucket):
        """A generation that isn't the object's any more lets nothing be replaced, deleted or read."""
        old = int(gcs_bucket.put("a", b"old"))
        new = int(gcs_bucket.put("a", b"new"))
        with gcs_bucket.client() as client:
            blob = client.bucket(gcs_bucket.name).blob("a")
            for act in (
                lambda: blob.upload_from_string(b"x", if_generation_match=old),
                lambda: blob.delete(if_generation_match=old),
                lambda: blob.reload(if_generation_match=old),
                lambda: blob.patch(if_generation_match=old),
                lambda: blob.download_as_bytes(if_generation_match=old),
            ):
                with pytest.raises(PreconditionFailed):
                    act()
            assert b"new" == blob.download_as_bytes(if_generation_match=new)
            blob.delete(if_generation_match=new)
        assert [] == gcs_bucket.keys()

    def test_an_older_generation_is_not_there(self, gcs_bucket, wire):
        """Without versioning, a replaced generation is 404 in both APIs."""
        old = gcs_bucket.put("a", b"old")
        gcs_bucket.put("a", b"new")
        json_path = f"/storage/v1/b/{gcs_bucket.name}/o/a?alt=media&generation={old}"
        assert 404 == wire.ask("GET", json_path).status
        answer = wire.ask("GET", f"/{gcs_bucket.name}/a?generation={old}")
        assert 404 == answer.status
        assert b"<Code>NoSuchKey</Code>" in answer.body

    def test_not_match_is_304(self, gcs_bucket, wire):
        """``ifGenerationNotMatch`` of what the caller has already is 304, without a body."""
        generation = gcs_bucket.put("a", b"x")
        path = f"/storage/v1/b/{gcs_bucket.name}/o/a?ifGenerationNotMatch="
        known = wire.ask("GET", path + generation)
        assert (304, b"") == (known.status, known.body)
        assert 200 == wire.ask("GET", path + "1").status

    def test_metageneration(self, gcs_bucket):
        """Each change of metadata makes a new metageneration of the same generation."""
        generation = int(gcs_bucket.put("a", b"x", metadata={"k": "1", "l": "2"}))
        with gcs_bucket.client() as client:
            blob = client.bucket(gcs_bucket.name).get_blob("a")
            blob.metadata = {"k": None, "m": "3"}
            blob.patch(if_metageneration_match=1)
            assert (generation, 2) == (blob.generation, blob.metageneration)
            assert {"l": "2", "m": "3"} == blob.metadata
            with pytest.raises(PreconditionFailed):
                blob.patch(if_metageneration_match=1)

    def test_a_copy_pinned_to_its_source(self, gcs_bucket):
        """A rewrite of a source that is another by now is refused."""
        old = int(gcs_bucket.put("a", b"old"))
        gcs_bucket.put("a", b"new")
        with gcs_bucket.client() as client:
            bucket = client.bucket(gcs_bucket.name)
            with pytest.raises(PreconditionFailed):
                bucket.blob("b").rewrite(bucket.blob("a"), if_source_generation_match=old)
            with pytest.raises(NotFound):
                bucket.blob("b").rewrite(bucket.blob("a", generation=old))
        assert ["a"] == gcs_bucket.keys()

    def test_etags_of_the_xml_api(self, gcs_bucket, wire):
        """``If-Match`` and ``If-None-Match`` take the ETag that the XML API gave: the MD5."""
        path = f"/{gcs_bucket.name}/a"
        etag = wire.ask("PUT", path, b"hello").headers["ETag"]
        assert '"5d41402abc4b2a76b9719d911017c592"' == etag
        assert 200 == wire.ask("GET", path, If_Match=etag).status
        assert 412 == wire.ask("GET", path, If_Match='"other"').status
        assert 304 == wire.ask("GET", path, If_None_Match=etag).status
        assert 200 == wire.ask("GET", path, If_None_Match='"other"').status


class TestHashes:
    @pytest.mark.parametrize("good", [True, False])
    @pytest.mark.parametrize("algorithm", ["md5", "crc32c"])
    def test_of_a_put(self, gcs_bucket, wire, algorithm, good):
        """A PUT whose ``x-goog-hash`` is wrong makes no object."""
        digest = {"md5": md5, "crc32c": crc32c}[algorithm](b"hello" if good else b"other")
        path = f"/{gcs_bucket.name}/a"
        answer = wire.ask("PUT", path, b"hello", x_goog_hash=f"{algorithm}={digest}")
        assert (200 if good else 400) == answer.status
        assert (["a"] if good else []) == gcs_bucket.keys()
        assert good or b"<Code>BadDigest</Code>" in answer.body

    def test_content_md5(self, gcs_bucket, wire):
        """A wrong ``Content-MD5`` is refused."""
        assert (
            400 == wire.ask("PUT", f"/{gcs_bucket.name}/a", b"hello", Content_MD5=md5(b"x")).status
        )

    def test_of_a_multipart_upload(self, gcs_bucket):
        """A hash in an upload's metadata is checked."""
        with gcs_bucket.client() as client:
            blob = client.bucket(gcs_bucket.name).blob("a")
            blob.md5_hash = md5(b"other")
            with pytest.raises(BadRequest, match="doesn't match calculated MD5"):
                blob.upload_from_string(b"hello", checksum=None)
        assert [] == gcs_bucket.keys()

    @pytest.mark.parametrize("good", [True, False])
    def test_of_a_session_at_its_end(self, gcs_bucket, begin, wire, good):
        """A wrong hash beside a session's last chunk makes no object, and ends the session."""
        uri = begin("a")
        size = len(BODY)
        wire.ask("PUT", uri, BODY[:CHUNK], Content_Range=f"bytes 0-{CHUNK - 1}/*")
        answer = wire.ask(
            "PUT",
            uri,
            BODY[CHUNK:],
            Content_Range=f"bytes {CHUNK}-{size - 1}/{size}",
            X_Goog_Hash=f"crc32c={crc32c(BODY if good else BODY[CHUNK:])}",
        )
        assert (200 if good else 400) == answer.status
        assert (["a"] if good else []) == gcs_bucket.keys()
        status = wire.ask("PUT", uri, Content_Range="bytes */*").status
        assert (200 if good else 410) == status


class TestSessions:
    def test_how_far_it_is(self, begin, wire):
        """A session tells what it has: nothing without a range, then the last byte."""
        uri = begin("a")
        asked = wire.ask("PUT", uri, Content_Range="bytes */*")
        assert (308, None) == (asked.status, asked.headers["Range"])
        wire.ask("PUT", uri, BODY[:CHUNK], Content_Range=f"bytes 0-{CHUNK - 1}/*")
        asked = wire.ask("PUT", uri, Content_Range="bytes */*")
        assert (308, f"bytes=0-{CHUNK - 1}") == (asked.status, asked.headers["Range"])

    def test_nothing_is_visible_before_its_end(self, gcs_bucket, begin, wire):
        """An unfinished session is no object, and an old one stays until it ends."""
        gcs_bucket.put("a", b"old")
        uri = begin("a")
        wire.ask("PUT", uri, BODY, Content_Range=f"bytes 0-{len(BODY) - 1}/*")
        assert b"old" == gcs_bucket.get("a")
        answer = wire.ask("PUT", uri, Content_Range=f"bytes */{len(BODY)}")
        assert (200, crc32c(BODY)) == (answer.status, answer.json["crc32c"])
        assert BODY == gcs_bucket.get("a")

    def test_a_finished_one_tells_its_object(self, gcs_bucket, begin, wire):
        """Asked after its end, a session answers 200 with the object that it made."""
        uri = begin("a", fields={"metadata": {"k": "v"}}, X_Upload_Content_Type="text/x")
        made = wire.ask("PUT", uri, b"small")
        again = wire.ask("PUT", uri, Content_Range="bytes */5")
        assert (200, 200) == (made.status, again.status)
        assert made.json == again.json
        assert ("text/x", {"k": "v"}) == (made.json["contentType"], made.json["metadata"])

    def test_an_empty_object(self, gcs_bucket, begin, wire):
        """A session of no bytes makes an empty object."""
        assert 200 == wire.ask("PUT", begin("a"), Content_Range="bytes */0").status
        assert {"a": 0} == gcs_bucket.contents()

    def test_bytes_that_are_there_are_passed_over(self, gcs_bucket, begin, wire):
        """What is sent again does no harm, whatever it says."""
        uri = begin("a")
        wire.ask("PUT", uri, BODY[: 2 * CHUNK], Content_Range=f"bytes 0-{2 * CHUNK - 1}/*")
        spoiled = b"?" * CHUNK + BODY[CHUNK:]
        size = len(BODY)
        wire.ask("PUT", uri, spoiled, Content_Range=f"bytes 0-{size - 1}/{size}")
        assert BODY == gcs_bucket.get("a")

    def test_a_gap_is_refused(self, begin, wire):
        """Bytes beyond what is there are refused, and change nothing."""
        uri = begin("a")
        answer = wire.ask(
            "PUT", uri, BODY[CHUNK:], Content_Range=f"bytes {CHUNK}-{len(BODY) - 1}/*"
        )
        assert 503 == answer.status
        assert b"exceeds already uploaded size of 0 byte(s)" in answer.body
        assert wire.ask("PUT", uri, Content_Range="bytes */*").headers["Range"] is None

    def test_a_chunk_below_256_kib(self, begin, wire):
        """A chunk that isn't the last must have 256 KiB; of a longer one, whole multiples stay."""
        uri = begin("a")
        answer = wire.ask("PUT", uri, b"x" * 1000, Content_Range="bytes 0-999/*")
        assert 400 == answer.status
        assert b"equal or greater than 262144" in answer.body
        odd = CHUNK + 1000
        answer = wire.ask("PUT", uri, BODY[:odd], Content_Range=f"bytes 0-{odd - 1}/*")
        assert (308, f"bytes=0-{CHUNK - 1}") == (answer.status, answer.headers["Range"])

    def test_a_request_that_breaks_off(self, gcs, begin, wire):
        """Of a chunk whose sender dies, whole multiples of 256 KiB stay."""
        uri = begin("a")
        address = urlsplit(uri)
        cut = http.client.HTTPConnection(str(address.netloc), timeout=30)
        cut.putrequest("PUT", f"{address.path}?{address.query}")
        cut.putheader("Content-Length", str(len(BODY)))
        cut.putheader("Content-Range", f"bytes 0-{len(BODY) - 1}/{len(BODY)}")
        cut.endheaders()
        cut.send(BODY[: CHUNK + 5000])
        cut.close()
        deadline = time.monotonic() + 10
        found = None
        while found is None and time.monotonic() < deadline:
            found = wire.ask("PUT", uri, Content_Range="bytes */*").headers["Range"]
        assert f"bytes=0-{CHUNK - 1}" == found

    def test_the_uri_is_all_the_login(self, gcs_bucket, begin, wire):
        """Who has a session's URI needs no token."""
        assert 200 == wire.ask("PUT", begin("a"), b"x", Authorization="").status

    def test_cancelled(self, begin, wire):
        """A cancelled session answers 499, and is no more after."""
        uri = begin("a")
        assert 499 == wire.ask("DELETE", uri).status
        assert 410 == wire.ask("PUT", uri, Content_Range="bytes */*").status
        assert 410 == wire.ask("PUT", uri, b"x").status

    def test_unknown(self, gcs_bucket, wire):
        """A session that never was is 404."""
        path = f"/upload/storage/v1/b/{gcs_bucket.name}/o?uploadType=resumable&upload_id=nothing"
        assert 404 == wire.ask("PUT", path, b"x").status

    def test_preconditions_hold_at_its_end(self, gcs_bucket, begin, wire):
        """The preconditions that a session began with decide when it ends."""
        uri = begin("a", "&ifGenerationMatch=0")
        gcs_bucket.put("a", b"meanwhile")
        assert 412 == wire.ask("PUT", uri, b"late").status
        assert b"meanwhile" == gcs_bucket.get("a")

    def test_the_size_that_was_announced(self, begin, wire):
        """A session ends with the size that its beginning announced, or not at all."""
        uri = begin("a", X_Upload_Content_Length="5")
        assert 400 == wire.ask("PUT", uri, b"four").status
        assert 200 == wire.ask("PUT", uri, b"fives").status

    def test_another_process_goes_on(self, gcs_bucket, begin, wire):
        """Google's own client goes on with a session by its URI alone."""
        uri = begin("a")
        wire.ask("PUT", uri, BODY[:CHUNK], Content_Range=f"bytes 0-{CHUNK - 1}/*")
        other = Wire(gcs_bucket.endpoint)
        at = (
            int(other.ask("PUT", uri, Content_Range="bytes */*").headers["Range"].split("-")[1]) + 1
        )
        size = len(BODY)
        other.ask("PUT", uri, BODY[at:], Content_Range=f"bytes {at}-{size - 1}/{size}")
        other.close()
        assert BODY == gcs_bucket.get("a")


class TestReading:
    @pytest.mark.parametrize(
        ("asked", "status", "content", "told"),
        [
            ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
            ("bytes=7-", 206, b"789", "bytes 7-9/10"),
            ("bytes=-3", 206, b"789", "bytes 7-9/10"),
            ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
            ("bytes=10-11", 416, None, "bytes */10"),
            ("bytes=0-1,4-5", 200, b"0123456789", None),
            ("lines=1-2", 200, b"0123456789", None),
        ],
    )
    def test_ranges(self, gcs_bucket, wire, asked, status, content, told):
        """One range is answered as such, one past the end is 416, anything else is the whole."""
        gcs_bucket.put("a", b"0123456789")
        for path in (f"/{gcs_bucket.name}/a", f"/storage/v1/b/{gcs_bucket.name}/o/a?alt=media"):
            answer = wire.ask("GET", path, Range=asked)
            assert (status, told) == (answer.status, answer.headers["Content-Range"])
            assert content in {None, answer.body}

    def test_what_the_xml_api_tells(self, gcs_bucket, wire):
        """HEAD has the size, the generation, the hashes and the metadata."""
        generation = gcs_bucket.put(
            "a",
            b"hello",
            metadata={"mtime": "1"},
            content_type="text/csv",
            cache_control="no-store",
        )
        headers = wire.ask("HEAD", f"/{gcs_bucket.name}/a").headers
        assert [f"crc32c={crc32c(b'hello')}", f"md5={md5(b'hello')}"] == headers.get_all(
            "x-goog-hash"
        )
        told = ("Content-Length", "x-goog-generation", "x-goog-meta-mtime", "Content-Type")
        assert ["5", generation, "1", "text/csv"] == [headers[name] for name in told]
        assert "no-store" == headers["Cache-Control"]

    def test_gzip_is_taken_off_unless_accepted(self, gcs_bucket, wire):
        """An object with ``Content-Encoding: gzip`` comes whole and unpacked, or as stored if accepted."""
        packed = gzip.compress(b"text" * 1000)
        gcs_bucket.put("a", packed, content_encoding="gzip")
        path = f"/{gcs_bucket.name}/a"
        plain = wire.ask("GET", path, Range="bytes=0-9")
        assert (200, b"text" * 1000) == (plain.status, plain.body)
        assert (None, "gzip", None) == (
            plain.headers["Content-Encoding"],
            plain.headers["x-goog-stored-content-encoding"],
            plain.headers["Content-Length"],
        )
        stored = wire.ask("GET", path, Range="bytes=0-9", Accept_Encoding="gzip")
        assert (206, packed[:10]) == (stored.status, stored.body)
        assert "gzip" == stored.headers["Content-Encoding"]

    def test_a_large_object(self, gcs_bucket, wire):
        """Content beyond what is held in memory is the same."""
        content = bytes(range(256)) * 4096 * 5
        assert 200 == wire.ask("PUT", f"/{gcs_bucket.name}/a", content).status
        assert content == gcs_bucket.get("a")
        answer = wire.ask("GET", f"/{gcs_bucket.name}/a", Range="bytes=1000000-4000000")
        assert content[1000000:4000001] == answer.body

    def test_a_chunked_body(self, gcs_bucket, wire):
        """A body without a length is taken in chunks, and the connection goes on after it."""
        path = f"/{gcs_bucket.name}/a"
        wire._connection.request(
            "PUT",
            path,
            iter([b"x" * 300_000, b"y"]),
            {"Authorization": f"Bearer {OWNER_TOKEN}"},
            encode_chunked=True,
        )
        answer = wire._connection.getresponse()
        answer.read()
        assert 200 == answer.status
        assert b"x" * 300_000 + b"y" == wire.ask("GET", path).body


class TestCopies:
    def test_metadata_is_kept_or_replaced(self, gcs_bucket):
        """A rewrite without a body keeps the metadata, one with a body has only the body's."""
        gcs_bucket.put("a", b"x", metadata={"k": "v"}, content_type="text/x")
        with gcs_bucket.client() as client:
            bucket = client.bucket(gcs_bucket.name)
            bucket.copy_blob(bucket.blob("a"), bucket, "kept")
            replaced = bucket.blob("replaced")
            replaced.metadata = {"l": "w"}
            replaced.content_type = "text/y"
            replaced.rewrite(bucket.blob("a"))
        kept, changed = gcs_bucket.head("kept"), gcs_bucket.head("replaced")
        assert ({"k": "v"}, "text/x") == (kept["metadata"], kept["contentType"])
        assert ({"l": "w"}, "text/y") == (changed["metadata"], changed["contentType"])

    def test_in_several_calls(self, gcs_bucket, wire):
        """A rewrite that is bounded for each call goes on by its token until it is done."""
        content = b"x" * (2 * 1024 * 1024 + 1)
        gcs_bucket.put("a", content)
        there = f"/storage/v1/b/{gcs_bucket.name}/o"
        path = f"{there}/a/rewriteTo{there[11:]}/b?maxBytesRewrittenPerCall=1048576"
        first = wire.ask("POST", path).json
        second = wire.ask("POST", f"{path}&rewriteToken={first['rewriteToken']}").json
        assert [False, False] == [first["done"], second["done"]]
        assert ["a"] == gcs_bucket.keys()
        third = wire.ask("POST", f"{path}&rewriteToken={second['rewriteToken']}").json
        assert (True, str(len(content))) == (third["done"], third["totalBytesRewritten"])
        assert content == gcs_bucket.get("b")

    def test_by_the_xml_api(self, gcs_bucket, wire):
        """``x-goog-copy-source`` copies inside the store, with its preconditions."""
        gcs_bucket.put("a b", b"x", metadata={"k": "v"})
        source = f"{gcs_bucket.name}/a%20b"
        path = f"/{gcs_bucket.name}/c"
        assert 200 == wire.ask("PUT", path, x_goog_copy_source=source).status
        assert {"k": "v"} == gcs_bucket.head("c")["metadata"]
        create_only = {"x_goog_copy_source": source, "x_goog_if_generation_match": "0"}
        assert 412 == wire.ask("PUT", path, **create_only).status

    def test_composed(self, gcs_bucket):
        """A composed object has a CRC32C and no MD5."""
        gcs_bucket.put("a", b"hel")
        gcs_bucket.put("b", b"lo")
        with gcs_bucket.client() as client:
            bucket = client.bucket(gcs_bucket.name)
            bucket.blob("c").compose([bucket.blob("a"), bucket.blob("b")])
        found = gcs_bucket.head("c")
        assert (2, crc32c(b"hello"), None) == (
            found["componentCount"],
            found["crc32c"],
            found.get("md5Hash"),
        )
        assert b"hello" == gcs_bucket.get("c")


class TestAccess:
    def test_a_service_account_logs_in(self, gcs_bucket, gcs):
        """A key's signed JWT buys an access token, which opens the bucket."""
        credentials = service_account.Credentials.from_service_account_info(
            gcs.service_account(), scopes=["https://www.googleapis.com/auth/devstorage.read_write"]
        )
        credentials.refresh(Request())
        with plain_client(gcs.endpoint, credentials.token) as client:
            client.bucket(gcs_bucket.name).blob("a").upload_from_string(b"x")
        assert ["a"] == gcs_bucket.keys()

    def test_an_account_that_nobody_knows(self, gcs):
        """The key of an unknown account is refused."""
        key = gcs.service_account() | {"client_email": "nobody@tests.iam.gserviceaccount.com"}
        credentials = service_account.Credentials.from_service_account_info(key, scopes=["x"])
        with pytest.raises(auth_exceptions.RefreshError, match="account not found"):
            credentials.refresh(Request())

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"iat": -7200, "exp": -3600}, "reasonable timeframe"),
            ({"iat": 7200, "exp": 10_800}, "reasonable timeframe"),
            ({"aud": "https://example.com/token"}, "Failed audience check"),
        ],
    )
    def test_claims_that_are_wrong(self, gcs, wire, changed, message):
        """A JWT of another time or for somebody else is refused, and the answer says why."""
        now = time.time()
        changed = {key: v if key == "aud" else int(now + v) for key, v in changed.items()}
        answer = self.bought(wire, self.signed(gcs.service_account(), **changed))
        assert (400, "invalid_grant") == (answer.status, answer.json["error"])
        assert message in answer.json["error_description"]

    def test_a_signature_that_is_wrong(self, gcs, wire):
        """A JWT whose signature was changed is refused."""
        whole = self.signed(gcs.service_account())
        answer = self.bought(wire, whole[:-20] + whole[:20])
        assert (400, "invalid_grant") == (answer.status, answer.json["error"])

    @staticmethod
    def signed(key: dict[str, str], **changed: object) -> str:
        """A service account's JWT."""
        now = int(time.time())
        claims = {"iss": key["client_email"], "aud": AUDIENCE, "iat": now, "exp": now + 600}
        return jwt.encode(RSASigner.from_service_account_info(key), claims | changed).decode()

    @staticmethod
    def bought(wire: Wire, assertion: str) -> Answered:
        """What the token endpoint gives for it."""
        grant = quote("urn:ietf:params:oauth:grant-type:jwt-bearer")
        return wire.ask("POST", "/token", f"grant_type={grant}&assertion={assertion}".encode())

    def test_a_self_signed_jwt_is_a_token(self, gcs_bucket, gcs, wire):
        """What a known account signs itself opens the door too."""
        token = self.signed(gcs.service_account(), aud="https://storage.googleapis.com/")
        path = f"/{gcs_bucket.name}/a"
        assert 200 == wire.ask("PUT", path, b"x", Authorization=f"Bearer {token}").status

    def test_a_token_that_ended(self, gcs_bucket, gcs, wire):
        """An expired, revoked or unknown token is 401."""
        gcs.allow("short", lifetime_seconds=-1)
        gcs.allow("revoked")
        gcs.revoke("revoked")
        for token in ("short", "revoked", "unknown"):
            answer = wire.ask("GET", f"/{gcs_bucket.name}/a", Authorization=f"Bearer {token}")
            assert 401 == answer.status
            path = f"/storage/v1/b/{gcs_bucket.name}"
            answer = wire.ask("GET", path, Authorization=f"Bearer {token}")
            assert (401, "Invalid Credentials") == (answer.status, answer.json["error"]["message"])
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]

    def test_refresh_tokens(self, gcs, gcs_bucket, wire):
        """A user's refresh token, or a federated subject token, buys an access token."""
        gcs.accept_refresh("refresh-me")
        for grant, name in (
            ("refresh_token", "refresh_token"),
            ("urn:ietf:params:oauth:grant-type:token-exchange", "subject_token"),
        ):
            form = f"grant_type={quote(grant)}&{name}=refresh-me"
            answer = wire.ask("POST", "/token", form.encode())
            assert 200 == answer.status
            token = answer.json["access_token"]
            path = f"/{gcs_bucket.name}/a"
            assert 404 == wire.ask("GET", path, Authorization=f"Bearer {token}").status
        refused = wire.ask("POST", "/token", b"grant_type=refresh_token&refresh_token=other")
        assert 400 == refused.status

    def test_roles(self, gcs_bucket, gcs):
        """Who isn't the owner may do what a role of the bucket gives, and is told which permission lacks."""
        who = "viewer@tests.iam.gserviceaccount.com"
        gcs.service_account(who, owner=False)
        token = gcs.allow("viewer-token", who)
        gcs_bucket.put("a", b"x")
        with plain_client(gcs.endpoint, token) as client:
            bucket = client.bucket(gcs_bucket.name)
            with pytest.raises(Forbidden, match=r"does not have storage\.objects\.get access"):
                bucket.blob("a").reload()
            gcs_bucket.grant("roles/storage.objectViewer", f"serviceAccount:{who}")
            assert b"x" == bucket.blob("a").download_as_bytes()
            with pytest.raises(Forbidden, match=r"storage\.objects\.create"):
                bucket.blob("b").upload_from_string(b"x", retry=None)
            gcs_bucket.grant("roles/storage.objectCreator", f"serviceAccount:{who}")
            bucket.blob("b").upload_from_string(b"x", retry=None)
            with pytest.raises(Forbidden, match=r"storage\.objects\.delete"):
                bucket.blob("b").upload_from_string(b"again", retry=None)
            asked = ["storage.objects.create", "storage.objects.delete"]
            assert ["storage.objects.create"] == bucket.test_iam_permissions(asked)

    def test_without_login(self, gcs_bucket, wire):
        """Nobody in particular may do what the bucket lets everyone do; else it is 401."""
        gcs_bucket.put("a", b"x")
        path = f"/{gcs_bucket.name}/a"
        refused = wire.ask("GET", path, Authorization="")
        assert 401 == refused.status
        assert b"Anonymous caller does not have storage.objects.get access" in refused.body
        gcs_bucket.grant("roles/storage.objectViewer", "allUsers")
        assert b"x" == wire.ask("GET", path, Authorization="").body
        assert 401 == wire.ask("PUT", path, b"y", Authorization="").status


class TestTls:
    def test_a_session_behind_tls(self, gcs_bucket, gcs, proxy_to, authority):
        """A session's URI names the scheme and the port that the client came by."""
        proxy = proxy_to(gcs.endpoint, tls=authority.server)
        context = ssl.create_default_context(cafile=str(authority.ca_bundle))
        link = http.client.HTTPSConnection("127.0.0.1", proxy.port, context=context, timeout=30)
        path = f"/upload/storage/v1/b/{gcs_bucket.name}/o?uploadType=resumable&name=a"
        link.request("POST", path, b"{}", {"Authorization": f"Bearer {OWNER_TOKEN}"})
        answer = link.getresponse()
        answer.read()
        assert answer.headers["Location"].startswith(f"{proxy.url}/upload/storage/v1/")
        link.close()
