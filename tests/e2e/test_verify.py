"""``lighterman verify``: a prefix beside its manifests, or beside a path."""

import json

import pytest
import trees
from outputs_place import Outputs
from servers.faults import is_get, is_listing, s3_error

MIB = 1024 * 1024
NAME = ".lighterman-manifest.json"


def verify(outputs, *flags):
    """What it ended with, what it printed of single objects, and its last line."""
    ended = outputs.program.run("verify", "--connection", "bucket", "--dir", "out", *flags)
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    named = {line["key"].removeprefix("out/"): line["state"] for line in lines if "key" in line}
    return ended, named, lines[-1] if lines else {}


@pytest.fixture
def published(bucket, program_over, tmp_path):
    """A group of a small and a large file, and a file beside it, on each kind of bucket."""
    outputs = Outputs(program_over(bucket), bucket, tmp_path / "outputs")
    outputs.write("ckpt/small", "small")
    trees.make_large(outputs.path / "ckpt" / "large", 9 * MIB)
    outputs.write("other", "other")
    assert outputs.sync("--group", "ckpt", "--marker", "_END").code == 0
    return outputs


@pytest.mark.parametrize("flags", [(), ("--read",)], ids=["listing", "read"])
def test_a_prefix_is_equal_to_its_manifests(published, flags):
    """0; by the listing's checksums, else by the size alone unless ``--read``."""
    ended, named, last = verify(published, *flags)
    assert (ended.code, named, last["state"], last["files"]) == (0, {}, "equal", 2), ended.stderr
    assert ended.report["files"] == 2
    assert last["by_size_alone"] == ended.report.get("unverified", 0)
    if flags:
        assert last["by_size_alone"] == 0
    assert last["beside"] == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda outputs: outputs.place.put("out/ckpt/small", b"SMALL"), {"ckpt/small": "differs"}),
        (lambda outputs: outputs.place.put("out/ckpt/small", b"longer"), {"ckpt/small": "differs"}),
        (lambda outputs: outputs.place.put("out/ckpt/beside", b"x"), {}),
    ],
    ids=["content", "size", "beside"],
)
def test_what_differs_is_named(published, change, named):
    """65, by name; what lies beside is counted."""
    change(published)
    ended, found, last = verify(published, "--read")
    assert (ended.code, found) == (65 if named else 0, named)
    assert last["beside"] == (not named)
    if named:
        assert ended.report["failed"]["count"] == 1
        assert ended.report["error"]["message"] == "1 files of 2 are not as they should be"
    if not named:
        assert verify(published, "--read", "--exact")[:1][0].code == 65


def test_what_is_not_there_is_named(outputs):
    """65: the manifest says that it should be."""
    outputs.write("ckpt/a", "one")
    outputs.write("ckpt/b", "two")
    assert outputs.sync("--group", "ckpt").code == 0
    (outputs.place.root / "out" / "ckpt" / "b").unlink()
    ended, named, last = verify(outputs)
    assert (ended.code, named) == (65, {"ckpt/b": "missing"})
    assert (last["state"], last["files"], last["different"]) == ("unequal", 1, 1)


def test_a_marker_is_a_manifest_of_the_whole_prefix(outputs):
    """``--marker NAME`` compares with that one alone."""
    outputs.write("ckpt/a", "one")
    outputs.write("b", "two")
    assert outputs.sync("--group", "ckpt", "--marker", "_END").code == 0
    assert verify(outputs, "--marker", "_END", "--read", "--exact")[0].code == 0
    outputs.place.put("out/b", b"TWO")
    ended, named, _ = verify(outputs, "--marker", "_END", "--read")
    assert (ended.code, named) == (65, {"b": "differs"})
    assert verify(outputs, "--read")[0].code == 0


@pytest.mark.parametrize(
    ("files", "said"), [((), "nothing below"), (("a",), "no .lighterman-manifest.json below")]
)
def test_nothing_to_compare_is_66(outputs, files, said):
    """Nothing there, or no manifest."""
    for name in files:
        outputs.place.put(f"out/{name}", b"x")
    ended, _, _ = verify(outputs)
    assert (ended.code, said in ended.report["error"]["message"]) == (66, True)


@pytest.mark.parametrize("text", [b"{", b'{"version":1}', b'{"version":2,"files":{}}'])
def test_what_is_no_manifest_is_65(outputs, text):
    """With what is wrong with it."""
    outputs.place.put(f"out/{NAME}", text)
    ended, _, _ = verify(outputs)
    assert (ended.code, "is no manifest" in ended.report["error"]["message"]) == (65, True)


def test_a_prefix_is_compared_with_a_path(published):
    """0; sizes and the checksums that listings tell, of large files by parts too where they can be computed."""
    ended, named, last = verify(published, "--path", published.path)
    assert (ended.code, named, last["files"], last["beside"]) == (0, {}, 3, 1), ended.stderr
    # Azure tells no checksum of a blob of blocks.
    assert last["by_size_alone"] <= 1
    assert verify(published, "--path", published.path, "--read")[2]["by_size_alone"] == 0


def test_what_a_path_has_otherwise_is_named(published):
    """65: other content, another size, not there; what the bucket has more is counted."""
    published.write("ckpt/small", "SMALL")
    published.write("other", "longer")
    published.write("new")
    published.place.put("out/more", b"x")
    ended, named, last = verify(published, "--path", published.path)
    assert ended.code == 65
    assert named == {"ckpt/small": "differs", "other": "differs", "new": "missing"}
    assert (last["different"], last["beside"]) == (3, 2)
    ended, named, _ = verify(published, "--path", published.path, "--exclude", "new", "--exact")
    assert named == {
        "ckpt/small": "differs",
        "other": "differs",
        "more": "beside",
        "_END": "beside",
    }


def test_a_volume_tells_no_checksums(outputs):
    """By the size alone, unless the objects are read."""
    outputs.write("a", "one")
    assert outputs.sync().code == 0
    outputs.place.put("out/a", b"ONE")
    ended, _, last = verify(outputs, "--path", outputs.path)
    assert (ended.code, last["by_size_alone"], ended.report["unverified"]) == (0, 1, 1)
    assert verify(outputs, "--path", outputs.path, "--read")[1] == {"a": "differs"}


def test_differences_are_named_in_bounds(outputs):
    """A hundred lines, ten in the report; all are counted."""
    for number in range(150):
        outputs.write(f"f{number:03}")
    outputs.place.put("out/there", b"x")
    ended, named, last = verify(outputs, "--path", outputs.path)
    assert (ended.code, len(named), last["different"]) == (65, 100, 150)
    assert ended.report["failed"]["count"] == 150


def test_text_for_people(outputs):
    """One line for each difference, and one for the whole."""
    outputs.write("a", "one")
    outputs.write("b", "two")
    assert outputs.sync().code == 0
    (outputs.place.root / "out" / "a").unlink()
    ended = outputs.program.run(
        *("verify", "--connection", "bucket", "--dir", "out", "--path", outputs.path),
        *("--results", "text"),
    )
    assert ended.stdout.splitlines() == [
        "missing  out/a: it isn't there",
        "unequal  1 differ; 1 files, 3 B; 1 of them by their size alone (--read compares them)",
    ]


def test_transient_trouble_is_tried_again(s3_bucket, program_over, proxy_to, tmp_path):
    """Of listings and of reads."""
    proxy = proxy_to(s3_bucket.endpoint)
    program = program_over(s3_bucket._replace(endpoint=proxy.url))
    outputs = Outputs(program, s3_bucket, tmp_path / "outputs")
    outputs.write("ckpt/a", "one")
    assert outputs.sync("--group", "ckpt").code == 0
    proxy.on(is_listing, s3_error(503, "SlowDown"), times=1)
    proxy.on(is_get, s3_error(500, "InternalError"), times=2)
    ended, _, _ = verify(outputs, "--read")
    assert ended.code == 0, ended.stderr


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (("--path", "x", "--marker", "y"), 64),
        (("--path", "not-there"), 66),
        (("--exclude", "/", "--path", "."), 64),
    ],
)
def test_flags_that_cannot_be_meant(outputs, flags, code):
    """One line that says what, and the right code."""
    outputs.place.put("out/a", b"x")
    assert verify(outputs, *flags)[0].code == code
