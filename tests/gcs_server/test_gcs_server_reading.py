"""The GCS server of the tests: ranges, headers and stored encodings."""

import gzip

import pytest
from servers.gcs import OWNER_TOKEN
from servers.wire import crc32c, md5


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
