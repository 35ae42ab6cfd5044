"""How files are cut into parts, named in the bucket and described, as pure functions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman.stores.contract import UploadLimits
from sidecar.attributes import attributes_of, content_type
from sidecar.parts import MIB, part_bytes_for, spans
from sidecar.states import FileState, RelPath, join, key_of, marker_path, printable, split

S3 = UploadLimits(5 * MIB, 5 << 30, 10_000)
AZURE = UploadLimits(1, 4000 * MIB, 50_000)
VOLUME = UploadLimits(1, 1 << 50, 10_000)

components = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12
)
paths = st.lists(components, min_size=1, max_size=5).map(lambda parts: RelPath("/".join(parts)))


@pytest.mark.parametrize(
    ("size_bytes", "expected"),
    [
        (0, 8 * MIB),
        (1, 8 * MIB),
        (8 * MIB * 10_000, 8 * MIB),
        (8 * MIB * 10_000 + 1, 9 * MIB),
        (1 << 40, 105 * MIB),
        (5 << 40, 525 * MIB),
    ],
)
def test_parts_grow_with_the_file(size_bytes, expected):
    """``part = max(8 MiB, ceil(size / 10,000))`` rounded up to MiB."""
    assert expected == part_bytes_for(size_bytes, S3)


@given(st.integers(0, 40 << 40), st.sampled_from([S3, AZURE, VOLUME]))
def test_parts_are_within_the_limits_of_the_store(size_bytes, limits):
    """No file needs a part too small, too large or too many."""
    part_bytes = part_bytes_for(size_bytes, limits)

    assert limits.least_part_bytes <= part_bytes <= limits.most_part_bytes
    assert -(-size_bytes // part_bytes) <= limits.most_parts


@given(st.integers(0, 1000), st.integers(1, 100))
def test_spans_cover_a_file_once(size_bytes, part_bytes):
    """Every byte is in one part, in order, and only the last one is shorter."""
    cut = list(spans(size_bytes, part_bytes))

    assert list(range(1, len(cut) + 1)) == [span.number for span in cut]
    position = 0
    for span in cut:
        assert position == span.start
        position += span.size_bytes
    assert size_bytes == position
    assert all(span.size_bytes == part_bytes for span in cut[:-1])
    assert size_bytes == 0 or all(span.size_bytes > 0 for span in cut)


@given(paths)
def test_a_path_is_its_directory_and_name(path):
    """Taken apart and joined, it is the same; so is a directory's marker."""
    directory, name = split(path)
    assert path == join(directory, name)
    assert "/" not in name

    marker = marker_path(path)
    assert f"{path}/" == marker
    assert marker_path(marker) == marker
    assert (directory, f"{name}/") == split(marker)
    assert marker == join(*split(marker))


@given(paths, paths)
def test_keys_are_the_prefix_and_the_path(prefix, path):
    """A key is never normalised: what comes after the prefix is the path."""
    assert f"{prefix}/{path}" == key_of(prefix, path)
    assert path == key_of("", path)


def test_names_that_are_no_utf8_can_be_printed():
    """A message about such a file must reach any terminal and log."""
    assert printable("a\udcff é") == "a\\xff é"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.safetensors", "application/octet-stream"),
        ("part-0.parquet", "application/vnd.apache.parquet"),
        ("x.npy", "application/octet-stream"),
        ("metrics.jsonl", "application/jsonl"),
        ("run.log", "text/plain"),
        ("config.yaml", "application/yaml"),
        ("README.md", "text/markdown"),
        ("README.MD", "text/markdown"),
        ("plot.png", "image/png"),
        ("index.html", "text/html"),
        ("data.json", "application/json"),
        ("table.csv", "text/csv"),
        ("archive.tar.gz", "application/gzip"),
        ("Makefile", "application/octet-stream"),
        (".bashrc", "application/octet-stream"),
        ("dir.txt/file", "application/octet-stream"),
        ("events.out.tfevents.1700000000.host", "application/octet-stream"),
    ],
)
def test_content_type_by_extension(name, expected):
    """Objects get a Content-Type by extension."""
    assert expected == content_type(name)


def test_the_systems_own_tables_have_no_say(monkeypatch, tmp_path):
    """The same file has the same type in every image."""
    import mimetypes

    table = tmp_path / "mime.types"
    table.write_text("application/x-of-this-system odd-extension\n")
    monkeypatch.setattr(mimetypes, "knownfiles", [str(table)])

    assert content_type("a.odd-extension") == "application/octet-stream"


def test_mode_and_mtime_are_those_of_the_state():
    """mode and mtime as metadata; a marker is a directory."""
    state = FileState(1, 2, 3, 1_700_000_000_123_456_789, 5, 0o640)

    of_file = attributes_of(RelPath("a/b.txt"), state)
    of_marker = attributes_of(RelPath("a/b.txt/"), state)

    assert ("text/plain", 0o640, state.mtime_ns) == (
        of_file.content_type,
        of_file.mode,
        of_file.mtime_ns,
    )
    assert of_marker.content_type == "application/x-directory"
