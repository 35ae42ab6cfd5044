"""The sink of the benchmark takes what it is sent, as S3 does, so that no client is flattered or misled."""

import os
import re
import shutil
import tempfile
import urllib.request
from pathlib import Path
from urllib.parse import unquote

import pytest
from shiploads import make_tree
from sink import changes, check_objects, count_objects, empty_sink, sink

SIZES = {"a/1.bin": 10, "a/2 +.bin": 20, "b.bin": 0}

pytestmark = pytest.mark.skipif(
    shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") is None
    or not Path("/usr/lib/nginx/modules/ngx_http_lua_module.so").exists(),
    reason="nginx with Lua is for make bench-send alone",
)


@pytest.fixture
def store():
    """A sink, and a tree beside it. Its directory is public: nginx gives up root, and pytest's own is closed."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        root.chmod(0o755)
        make_tree(root / "tree", SIZES)
        with sink(root) as found:
            yield found


def ask(store, method, path, body=None):
    request = urllib.request.Request(f"{store.endpoint}/bucket{path}", method=method, data=body)
    with urllib.request.urlopen(request) as answer:
        return answer.status, answer.headers.get("ETag", "").strip('"'), answer.read().decode()


def put_all(store):
    tree = store.root / "tree"
    return {
        name: ask(store, "PUT", f"/{urllib.request.quote(name)}", (tree / name).read_bytes())[:2]
        for name in SIZES
    }


def test_what_is_put_is_listed_with_its_etag_and_size(store):
    """A client that checks what it sent against a listing is answered truly, and in the order of the keys."""
    put = put_all(store)
    _, _, text = ask(store, "GET", "/?list-type=2&encoding-type=url")
    listed = re.findall(r"<Key>(.*?)</Key>.*?&quot;(.*?)&quot;.*?<Size>(\d+)<", text)
    expected = [(name, (200, etag)[1], SIZES[name]) for name, (_, etag) in sorted(put.items())]
    assert expected == [(unquote(key), etag, int(size)) for key, etag, size in listed]
    assert {200} == {status for status, _ in put.values()}
    check_objects("a client", store, "bucket", store.root / "tree", SIZES)
    assert count_objects(store, "bucket") == len(SIZES)


def test_other_bytes_than_the_files_are_found_out(store):
    """A program that sends something else is measured for nothing."""
    put_all(store)
    ask(store, "PUT", "/a/1.bin", b"x" * 10)
    with pytest.raises(SystemExit, match=r"other bytes than those of a/1.bin"):
        check_objects("a client", store, "bucket", store.root / "tree", SIZES)


def test_parts_become_an_object(store):
    """By the three requests of an upload by parts, whose bytes are those of its parts in their order."""
    before = changes(store)
    _, _, begun = ask(store, "POST", "/deep/er/c.bin?uploads")
    [upload_id] = re.findall("<UploadId>(.*)</UploadId>", begun)
    for number, body in ((2, b"second"), (1, b"first-")):
        ask(store, "PUT", f"/deep/er/c.bin?partNumber={number}&uploadId={upload_id}", body)
    _, _, done = ask(store, "POST", f"/deep/er/c.bin?uploadId={upload_id}", b"<Complete/>")
    (store.root / "whole").mkdir()
    (store.root / "whole/deep").mkdir()
    (store.root / "whole/deep/er").mkdir()
    (store.root / "whole/deep/er/c.bin").write_bytes(b"first-second")
    check_objects("a client", store, "bucket", store.root / "whole", {"deep/er/c.bin": 12})
    assert "<ETag>" in done
    assert changes(store) == before + 1
    assert count_objects(store, "bucket") == 1


def test_an_emptied_sink_lists_nothing(store):
    """Each program begins with nothing."""
    put_all(store)
    empty_sink(store)
    assert "<Key>" not in ask(store, "GET", "/?list-type=2")[2]
    assert not list((store.root / "objects").iterdir())
