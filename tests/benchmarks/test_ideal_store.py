"""The store of the benchmark answers what it is asked, as S3 does, so that no client is flattered or misled."""

import os
import re
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlencode

import pytest
from buckets import add_bucket
from ideal_store import ideal_store

SIZES = {
    f"{letter}/{number:04}.bin": number % 3
    for letter in ("a", "b c", "d+")
    for number in range(500)
} | {"b": 1}
KEYS = sorted(SIZES)

pytestmark = pytest.mark.skipif(
    shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") is None
    or not Path("/usr/lib/nginx/modules/ngx_http_lua_module.so").exists(),
    reason="nginx with Lua is for make bench alone",
)


@pytest.fixture(scope="module")
def store():
    """A store with one bucket. Its directory is public: nginx gives up root, and pytest's own is closed."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        root.chmod(0o755)
        add_bucket(root, "bucket", SIZES)
        with ideal_store(root) as found:
            yield found


def ask(store, path, headers=None):
    request = urllib.request.Request(f"{store.endpoint}/bucket{path}", headers=headers or {})
    with urllib.request.urlopen(request) as answer:
        return answer.read().decode("latin-1"), answer.headers


def listed(store, **query):
    """All keys and common prefixes, over as many pages as it takes."""
    found, pages, token = [], 0, {}
    while True:
        text, _ = ask(store, "/?" + urlencode({"list-type": "2", **query, **token}))
        pages += 1
        found += [
            unquote(key)
            for key in re.findall("<(?:Key|Prefix)>([^<]+)<", text.partition("IsTruncated")[2])
        ]
        if "<IsTruncated>true" not in text:
            return found, pages
        token = {
            "continuation-token": unquote(re.findall("<NextContinuationToken>([^<]+)", text)[0])
        }


@pytest.mark.parametrize(
    ("query", "wanted", "pages"),
    [
        ({}, KEYS, 2),
        ({"prefix": "b c/"}, [key for key in KEYS if key.startswith("b c/")], 1),
        ({"prefix": "b"}, [key for key in KEYS if key.startswith("b")], 1),
        ({"prefix": "nothing"}, [], 1),
        ({"start-after": "a/0007.bin"}, KEYS[8:], 2),
        ({"start-after": "a/0007"}, KEYS[7:], 2),
        ({"start-after": KEYS[-1]}, [], 1),
        ({"prefix": "d+/", "start-after": "b"}, KEYS[-500:], 1),
        ({"prefix": "d+/", "max-keys": "100"}, KEYS[-500:], 5),
        ({"delimiter": "/"}, ["a/", "b", "b c/", "d+/"], 1),
        ({"delimiter": "/", "max-keys": "1"}, ["a/", "b", "b c/", "d+/"], 4),
    ],
)
def test_a_listing_has_what_was_asked_for(store, query, wanted, pages):
    """Prefix, start-after, delimiter and pages, as ListObjectsV2 has them."""
    assert (wanted, pages) == (sorted(listed(store, **query)[0]), listed(store, **query)[1])


def test_an_object_has_the_etag_of_the_listing_and_if_match_holds(store):
    """A client that pins what it reads is answered truly."""
    listing, _ = ask(store, "/?list-type=2&prefix=b%20c/0002")
    etag = re.findall("&quot;(.*)&quot;", listing)[0]
    body, headers = ask(store, "/b%20c/0002.bin", {"If-Match": f'"{etag}"', "Range": "bytes=1-1"})
    assert (1, f'"{etag}"') == (len(body), headers["ETag"])
    with pytest.raises(urllib.error.HTTPError, match="412"):
        ask(store, "/b%20c/0002.bin", {"If-Match": '"another"'})
