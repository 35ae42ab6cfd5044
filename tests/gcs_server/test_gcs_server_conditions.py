"""The GCS server of the tests: preconditions, hashes and copies."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from google.api_core.exceptions import (
    BadRequest,
    NotFound,
    PreconditionFailed,
)
from servers.wire import Wire, crc32c, md5

CHUNK = 256 * 1024
BODY = bytes(range(256)) * 3 * 1024
"""Three chunks."""


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

    @pytest.mark.parametrize("end", [b"\n", b"\r\n"])
    def test_lines_of_a_multipart_upload(self, gcs_bucket, wire, end):
        """The lines of a multipart upload may end either way, and its content is taken to the byte."""
        content = b"-=\r\nline\n\r\n"
        lines = [b"--=", b"Content-Type: application/json", b"", b'{"name": "a"}']
        lines += [b"--=", b"Content-Type: text/x", b"", content, b"--=--"]
        kind = {"Content_Type": 'multipart/related; boundary="="'}
        path = f"/upload/storage/v1/b/{gcs_bucket.name}/o?uploadType=multipart"
        answer = wire.ask("POST", path, end.join(lines), **kind)
        assert (200, "text/x") == (answer.status, answer.json["contentType"])
        assert content == gcs_bucket.get("a")

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

    def test_moved(self, gcs_bucket, wire):
        """A move is a copy and a delete at once, pinned as they are."""
        gcs_bucket.put("a", b"x", metadata={"k": "v"})
        there = f"/storage/v1/b/{gcs_bucket.name}/o/a/moveTo/o/b"
        assert 412 == wire.ask("POST", there + "?ifSourceGenerationMatch=1").status
        assert 200 == wire.ask("POST", there).status
        assert ["b"] == gcs_bucket.keys()
        assert {"k": "v"} == gcs_bucket.head("b")["metadata"]

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
