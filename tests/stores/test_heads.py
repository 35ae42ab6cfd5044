"""Heads of answers, as far as a plain read needs them."""

import pytest

from lighterman.stores.heads import parsed


def head(*lines):
    return parsed("\r\n".join((*lines, "", "")).encode("latin-1"))


@pytest.mark.parametrize(
    ("lines", "status", "length_bytes", "keeps"),
    [
        (("HTTP/1.1 200 OK", "Content-Length: 12"), 200, 12, True),
        (("HTTP/1.1 206 Partial Content", "content-length:0"), 206, 0, True),
        (("HTTP/1.0 200 OK", "Content-Length: 12"), 200, 12, False),
        (("HTTP/1.1 200 OK", "Content-Length: 12", "Connection: close"), 200, 12, False),
        (("HTTP/1.1 200 OK", "Content-Length: 12", "CONNECTION: Close"), 200, 12, False),
        (("HTTP/1.1 200 OK", "X-Content-Length: 3", "Content-Length:  4 "), 200, 4, True),
        (("HTTP/1.1 503 Slow Down", "Transfer-Encoding: chunked"), 503, -1, False),
        (("HTTP/1.1 200 OK",), 200, -1, False),
        (("HTTP/1.1 200 OK", "Content-Length: 1", "Content-Length: 2"), 200, -1, False),
        (("HTTP/1.1 200 OK", "Content-Length: 1", "Transfer-Encoding: chunked"), 200, -1, False),
        (("HTTP/1.1 200 OK", "Content-Length: +1"), 200, -1, False),
        (("HTTP/1.1 200 OK", "Content-Length: 1_0"), 200, -1, False),
        (("HTTP/1.1 200 OK", "Content-Length: -1"), 200, -1, False),
        (("HTTP/1.1 200 OK", "Content-Length: "), 200, -1, False),
    ],
)
def test_status_length_and_whether_it_goes_on(lines, status, length_bytes, keeps):
    """A length that isn't told, or told twice, is none; then nothing follows on that connection."""
    found = head(*lines)
    assert (found.status, found.length_bytes, found.keeps) == (status, length_bytes, keeps)


@pytest.mark.parametrize(
    "line", ["", "SSH-2.0-OpenSSH_9", "HTTP/2 200", "HTTP/1.1 abc OK", "HTTP/1.1"]
)
def test_what_is_no_head_is_none(line):
    """Another protocol's greeting, for one."""
    assert head(line, "Content-Length: 3") is None


def test_fields_by_their_names():
    """Whatever case they come in; a value keeps its own, and what isn't ASCII."""
    found = head("HTTP/1.1 200 OK", "X-Amz-Meta-Mode: 100644", 'ETag: "Ab"', "x-odd:  a: b  ")
    assert found.field(b"x-amz-meta-mode") == "100644"
    assert found.field(b"etag") == '"Ab"'
    assert found.field(b"x-odd") == "a: b"
    assert found.field(b"odd") == ""
    assert found.mapping() == {"x-amz-meta-mode": "100644", "etag": '"Ab"', "x-odd": "a: b"}
