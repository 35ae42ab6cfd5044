"""Manifests beside what a listing shows."""

import json

import google_crc32c
import pytest

from initializer.manifests import Manifests
from lighterman.clock import SystemClock
from lighterman.errors import SourceMissingError, UntrustedDataError
from lighterman.manifest import NAME
from lighterman.stores.volume import VolumeStore
from lighterman.transfer.retry import Attempts
from lighterman.transfer.tally import Tally


class Place:
    """A volume whose manifests are read."""

    def __init__(self, path):
        self.path = path
        self.store = VolumeStore(str(path), "place")
        self.manifests = Manifests(self.store, Attempts(0, SystemClock(), Tally()))

    def write(self, name, content=b"x"):
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_bytes(content)

    def manifest(self, directory, files, **more):
        told = {
            name: {"size_bytes": len(content), "crc32c": f"{google_crc32c.value(content):08x}"}
            for name, content in files.items()
        }
        text = json.dumps({"version": 1, "files": told, **more}).encode()
        self.write(f"{directory}{NAME}", text)

    def look(self, prefix="", page=None):
        """The listing, in pages of so many keys, through the manifests."""
        listed = [item for items in self.store.pages(prefix) for item in items]
        size = page or max(1, len(listed))
        pages = [listed[at : at + size] for at in range(0, len(listed), size)]
        passed = list(self.manifests.watched(iter(pages)))
        assert passed == pages
        return [(one.key, one.error, one.reason) for one in self.manifests.refusals()]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.mark.parametrize("page", [None, 1, 2])
def test_what_the_manifest_says_of_each_file(place, page):
    """Its CRC32C; of what it doesn't name it says nothing."""
    files = {"a": b"first", "d/b": b"second", "-before": b"third"}
    for name, content in files.items():
        place.write(f"m/{name}", content)
    place.write("m/other")
    place.write("elsewhere")
    place.manifest("m/", files)
    assert place.look(page=page) == []
    for name, content in files.items():
        expected = f"crc32c:{google_crc32c.value(content):08x}"
        assert place.manifests.checksum_of(f"m/{name}") == expected
    for name in ("m/other", "elsewhere", f"m/{NAME}", "a"):
        assert place.manifests.checksum_of(name) is None


def test_the_nearest_manifest_counts(place):
    """A group inside a prefix that has one too; at the root there is no slash before its name."""
    place.write("a", b"a")
    place.write("g/a", b"a")
    place.manifest("", {"a": b"a", "g/a": b"of the root"})
    place.manifest("g/", {"a": b"a"})
    refused = place.look()
    assert place.manifests.checksum_of("g/a") == f"crc32c:{google_crc32c.value(b'a'):08x}"
    assert [key for key, _, _ in refused] == ["g/a"]


@pytest.mark.parametrize("page", [None, 1])
@pytest.mark.parametrize("name", ["a", "-before", "z"])
def test_what_is_not_there_is_missing(place, name, page):
    """Whether it would come before the manifest in the listing, or after."""
    place.write("m/b")
    place.manifest("m/", {"b": b"x", name: b"gone"})
    refused = place.look(page=page)
    why = f"it isn't there, and should be by m/{NAME}"
    assert refused == [(f"m/{name}", SourceMissingError, why)]


def test_another_size_is_refused_before_a_byte_moves(place):
    """65, with both sizes."""
    place.write("m/b", b"12345")
    place.manifest("m/", {"b": b"x"})
    refused = place.look()
    why = f"it has 5 bytes, and 1 by m/{NAME}"
    assert refused == [("m/b", UntrustedDataError, why)]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"not json",
        b"[]",
        b'{"version": 2, "files": {}}',
        b'{"version": 1}',
        b'{"version": 1, "files": {"a": {"size_bytes": "1", "crc32c": "0"}}}',
        b'{"version": 1, "files": {"a": {"size_bytes": 1, "crc32c": "xyz"}}}',
        b'{"version": 1, "files": {"a": {"size_bytes": -1, "crc32c": "00000000"}}}',
        b'{"version": 1, "files": {"\xff": {"size_bytes": 1, "crc32c": "00000000"}}}',
    ],
)
def test_what_is_no_manifest_is_said(place, text):
    """65, by its key, with what is wrong with it."""
    place.write(f"m/{NAME}", text)
    with pytest.raises(UntrustedDataError, match=rf"'m/{NAME}' is no manifest: ") as caught:
        place.look()
    assert "delete it" in caught.value.hint


def test_fields_of_a_later_day_are_no_error(place):
    """In this version more may be said."""
    place.write("m/a", b"x")
    place.manifest("m/", {"a": b"x"}, made_by="lighterman 9")
    assert place.look() == []


def test_names_that_only_end_like_one_are_none(place):
    """Only a whole name is."""
    place.write(f"m/x{NAME}", b"whatever")
    assert place.look() == []


def test_one_too_large_is_not_used(place, monkeypatch):
    """It is said, and its files come by what the listing says."""
    place.write("m/a", b"x")
    place.manifest("m/", {"a": b"y"})
    monkeypatch.setattr("initializer.manifests.MOST_BYTES", 10)
    assert place.look() == []
    assert place.manifests.checksum_of("m/a") is None


def test_a_listing_that_begins_again_reads_them_again(place):
    """Where a store turned out to list in another order."""
    place.write("m/a", b"x")
    place.manifest("m/", {"a": b"x"})
    place.look()
    place.manifests.begin_again()
    assert place.manifests.checksum_of("m/a") is None
    assert place.look() == []
    assert place.manifests.checksum_of("m/a") is not None
