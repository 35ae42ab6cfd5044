"""The GCS server of the tests: resumable sessions, byte by byte on the wire."""

import http.client
import ssl
import time
from urllib.parse import urlsplit

from servers.gcs import OWNER_TOKEN
from servers.wire import Wire, crc32c

CHUNK = 256 * 1024
BODY = bytes(range(256)) * 3 * 1024
"""Three chunks."""


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
