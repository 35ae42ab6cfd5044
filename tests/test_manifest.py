"""Manifests as they are made and read."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman import manifest
from lighterman.manifest import ManifestFile, Run, Writing, parsed

FILES = st.dictionaries(
    st.text(min_size=1).filter(lambda text: text.isprintable() or "\n" in text),
    st.tuples(st.integers(0, 1 << 60), st.integers(0, (1 << 32) - 1)),
    max_size=5,
)


@given(FILES, st.one_of(st.none(), st.builds(Run, st.text(), st.integers(0), st.integers(0))))
def test_what_is_made_is_what_is_read(files, run):
    """Whatever the names."""
    writing = Writing()
    for path, (size_bytes, total) in files.items():
        writing.add(path, size_bytes, f"{total:08x}")
    found = parsed(writing.text(run))
    expected = {path: ManifestFile(size, f"{total:08x}") for path, (size, total) in files.items()}
    assert (expected, run) == (found.files, found.run)
    assert writing.files == len(files)
    assert writing.bytes == sum(size for size, _ in files.values())


def test_one_that_is_too_large_tells_of_no_files(monkeypatch):
    """It only counts them, in bounded memory; read as a manifest it is none."""
    monkeypatch.setattr(manifest, "MOST_BYTES", 200)
    writing = Writing()
    for number in range(1000):
        writing.add(f"f{number}", 3, "00000000")
    assert writing.is_too_large
    assert len(writing.text()) < 50
    text = writing.text(Run("2026-01-01T00:00:00Z", writing.files, writing.bytes))
    assert msgspec.json.decode(text)["run"] == {
        "finished": "2026-01-01T00:00:00Z",
        "files": 1000,
        "bytes": 3000,
    }
    with pytest.raises(ValueError, match="files"):
        parsed(text)
