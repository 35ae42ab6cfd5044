"""What is at the destination, compared with what the journal says or has lost."""

import os
import shutil
import sqlite3

import msgspec
import pytest
from sending import MIB, Outputs, noise

from lighterman.errors import CannotWriteError, TransientError
from lighterman.stores.contract import Attributes, ETag, Key, Listed
from sidecar.listing import Listing
from sidecar.output import opened
from sidecar.rebuild import Adoption, verify_listing
from sidecar.states import FileState, RelPath, Synced
from sidecar.upload import Result


def put(outputs: Outputs, key: str, content: bytes) -> None:
    """Someone writes an object."""
    place = outputs.root.parent / "put"
    place.write_bytes(content)
    with opened(str(outputs.root.parent), RelPath("put")) as output:
        outputs.store.write(Key(key), output.window, Attributes())


def lose_the_journal(outputs: Outputs) -> None:
    outputs.close()
    outputs.journal = None
    shutil.rmtree(outputs.state)
    outputs.restart()


@pytest.mark.parametrize("size_bytes", [0, 10, 8 * MIB, 20 * MIB])
def test_equal_files_are_not_sent_again_after_the_journal_was_lost(s3_outputs, size_bytes):
    """With it gone, the listing is compared."""
    outputs = s3_outputs
    path = outputs.write("dir/a", noise(size_bytes))
    outputs.send(path)
    etag = outputs.synced(path).etag
    lose_the_journal(outputs)
    assert outputs.journal.fresh

    assert outputs.uploader.adopt() == 1
    assert outputs.send(path) is Result.UNCHANGED

    assert {"write", "begin"}.isdisjoint(outputs.store.calls)
    synced = outputs.synced(path)
    assert (etag, False) == (synced.etag, synced.uploaded)
    assert outputs.tally.totals().bytes == 0


def test_a_large_object_that_was_put_whole_is_found_equal_too(s3_outputs, s3_bucket):
    """Other programs put what this one sends by parts."""
    outputs = s3_outputs
    content = noise(9 * MIB)
    s3_bucket.put(outputs.key("a"), content)
    path = outputs.write("a", content)
    outputs.uploader.adopt()

    assert outputs.send(path) is Result.UNCHANGED


@pytest.mark.parametrize("other", [b"CONTENT", b"other size", None])
def test_what_differs_is_sent(outputs, other):
    """Size and content decide, and what isn't there is no question."""
    if other is not None:
        put(outputs, outputs.key("a"), other)
    put(outputs, outputs.key("something else"), b"x")
    path = outputs.write("a", b"content")
    outputs.uploader.adopt()

    assert outputs.send(path) is Result.SENT
    assert outputs.stored(path) == b"content"
    assert outputs.synced(path).uploaded


def test_the_listing_vouches_once(s3_outputs):
    """After a key was overwritten, what was listed of it says nothing any more."""
    outputs = s3_outputs
    put(outputs, outputs.key("a"), b"one")
    path = outputs.write("a", b"two")
    outputs.uploader.adopt()
    outputs.send(path)
    outputs.journal.forget(path)
    outputs.write("a", b"one")

    assert outputs.send(path) is Result.SENT
    assert outputs.stored(path) == b"one"


def test_an_empty_destination_has_nothing_to_adopt(outputs):
    """Neighbours with a longer name aren't below the prefix."""
    put(outputs, f"{outputs.prefix}-other/a", b"content")
    path = outputs.write("a")

    assert outputs.uploader.adopt() == 0
    assert outputs.send(path) is Result.SENT
    assert "adoption.db" not in os.listdir(outputs.state)


def test_what_was_adopted_is_never_deleted(s3_outputs):
    """``mirror`` deletes only keys that this journal uploaded."""
    outputs = s3_outputs
    put(outputs, outputs.key("a"), b"content")
    path = outputs.write("a", b"content")
    outputs.uploader.adopt()
    outputs.send(path)
    (outputs.root / path).unlink()

    assert not outputs.uploader.delete(path)
    assert outputs.stored("a") == b"content"
    assert outputs.synced(path) is None


def test_a_file_that_changes_while_it_is_compared_is_not_adopted(s3_outputs):
    """Its bytes may be those of two states."""
    outputs = s3_outputs
    put(outputs, outputs.key("a"), b"content")
    path = outputs.write("a", b"content")
    outputs.uploader.adopt()
    outputs.store.before("has_content", lambda: os.utime(outputs.root / path))

    assert outputs.send(path) is Result.CHANGED
    outputs.rest(path)
    assert outputs.send(path) is Result.SENT


def test_a_file_that_is_cut_while_it_is_compared_is_not_adopted(s3_outputs):
    """It ended before its size."""
    outputs = s3_outputs
    put(outputs, outputs.key("a"), b"content")
    path = outputs.write("a", b"content")
    outputs.uploader.adopt()
    outputs.store.before("has_content", lambda: os.truncate(outputs.root / path, 3))

    assert outputs.send(path) is Result.CHANGED


def test_a_listing_that_breaks_off_is_tried_again(outputs):
    """Half a listing says nothing; its file doesn't stay."""
    put(outputs, outputs.key("a"), b"content")

    def fail() -> None:
        raise TransientError("reset")

    outputs.store.before("pages", fail)

    assert outputs.uploader.adopt() == 1
    assert outputs.tally.totals().retries == 1
    outputs.uploader.close()
    assert sorted(name for name in os.listdir(outputs.state) if "adoption" in name) == []


def test_the_last_check_passes_what_is_there(outputs):
    """Every regular file of the final walk is in the bucket with the size and ETag of the journal."""
    for path in ("a", "b/c", "b/c-d", "ü/%_"):
        outputs.send(outputs.write(path))
    outputs.send(outputs.write("large", noise(9 * MIB)))
    (outputs.root / "empty/inner").mkdir(parents=True)
    outputs.uploader.mark_directory(RelPath("empty/inner"))

    assert verify_listing(outputs.store, outputs.prefix, outputs.journal) == []
    assert outputs.journal.count() == 6
    assert "listing.db" not in os.listdir(outputs.state)


@pytest.mark.parametrize("what", ["gone", "another size", "another content"])
def test_the_last_check_names_what_is_not(outputs, what):
    """What someone took away or overwrote is forgotten, and sent again."""
    paths = [outputs.write(path) for path in ("a", "b/c", "b/d")]
    for path in paths:
        outputs.send(path)
    if what == "gone":
        outputs.store.delete(outputs.key("b/c"))
    else:
        put(outputs, outputs.key("b/c"), b"CONTENT" if what == "another content" else b"x")

    assert verify_listing(outputs.store, outputs.prefix, outputs.journal) == ["b/c"]
    assert outputs.synced("b/c") is None
    assert outputs.synced("b/d") is not None
    assert outputs.send("b/c") is Result.SENT
    assert verify_listing(outputs.store, outputs.prefix, outputs.journal) == []


def test_a_marker_has_to_be_there_or_something_below_it(outputs):
    """A store of real directories lists one as such only while it is empty."""
    for directory in ("filled", "gone"):
        (outputs.root / directory).mkdir()
        outputs.uploader.mark_directory(RelPath(directory))
    outputs.send(outputs.write("filled/file"))
    outputs.send(outputs.write("gone-not/file"))
    outputs.store.delete(outputs.key("gone/"))

    assert verify_listing(outputs.store, outputs.prefix, outputs.journal) == ["gone/"]


def test_an_emptied_bucket_is_noticed(outputs):
    """A listing without a page says that nothing is there."""
    outputs.send(outputs.write("a"))
    outputs.store.delete(outputs.key("a"))

    assert verify_listing(outputs.store, outputs.prefix, outputs.journal) == ["a"]


class Many:
    """The listing of a store with more keys than memory should hold."""

    def __init__(self, count: int) -> None:
        self.count = count

    def pages(self, prefix: str):
        for start in range(0, self.count, 1000):
            yield [
                Listed(Key(f"{prefix}{number:07}"), number, ETag(f"e{number}"), 0.0)
                for number in range(start, min(start + 1000, self.count))
            ]


def test_a_hundred_thousand_files_are_checked_on_disk(tmp_path, volume_store):
    """One difference among many is found, by one query."""
    outputs = Outputs(tmp_path, volume_store, prefix="p")
    rows = [
        (
            RelPath(f"{number:07}"),
            Synced(
                FileState(1, number, number, 1, 1, 1), Key(f"p/{number:07}"), ETag(f"e{number}")
            ),
        )
        for number in range(100_000)
    ]
    outputs.journal.mark_synced(rows)
    outputs.journal.mark_synced(
        [(RelPath("0055555"), msgspec.structs.replace(rows[55_555][1], etag=ETag("other")))]
    )

    found = verify_listing(Many(100_000), "p", outputs.journal)

    assert found == ["0055555"]
    assert outputs.journal.count() == 99_999
    outputs.close()


def test_a_listing_is_told_once_and_leaves_nothing(tmp_path):
    """What is asked for is taken."""
    with Listing(Many(2500), "p", str(tmp_path)) as listing:
        assert listing.count == 2500
        found = listing.take(Key("p/0000007"))
        assert (7, ETag("e7")) == (found.size_bytes, found.etag)
        assert listing.take(Key("p/0000007")) is None
        assert listing.take(Key("p/none")) is None

    assert os.listdir(tmp_path) == []


def test_a_listing_that_cannot_be_kept_is_said(tmp_path):
    """No place beside the journal is an error with a hint."""
    with pytest.raises(CannotWriteError, match="can't keep the destination's listing") as caught:
        Listing(Many(1), "p", str(tmp_path / "nowhere" / "at-all"))

    assert "--state" in caught.value.hint


def test_a_state_directory_that_was_cleared_away_is_made_again(tmp_path):
    """A job that clears its outputs takes the default state directory with them."""
    with Listing(Many(1), "p", str(tmp_path / "state")) as listing:
        assert listing.count == 1


def test_a_listing_left_by_a_crash_is_replaced(tmp_path, volume_store):
    """What a killed process left is no listing of today."""
    left = sqlite3.connect(tmp_path / "adoption.db")
    left.execute("CREATE TABLE listed (key TEXT)")
    left.commit()
    left.close()

    adoption = Adoption(volume_store, "p", str(tmp_path))

    assert adoption.count == 0
    adoption.close()


@pytest.mark.parametrize("marker", ["", "_END"])
def test_manifests_are_found_in_the_listing(s3_outputs, marker):
    """By their name, at any depth, and the marker by its own; each is told once."""
    outputs = s3_outputs
    name = ".lighterman-manifest.json"
    keys = [f"run-1/{name}", f"run-1/g/h/{name}", "run-1/_END"]
    others = ["run-1/", f"run-1/not{name}", f"run-1/{name}.bak", f"run-10/{name}", "run-1/g/_END"]
    for key in keys + others:
        put(outputs, key, b"")
    adoption = Adoption(outputs.store, "run-1", outputs.state)
    found = dict(adoption.manifests(marker))
    assert sorted(keys if marker else keys[:2]) == sorted(found)
    assert all(found.values())
    assert adoption.manifests(marker) == []
    adoption.close()


def test_what_nobody_took_is_told_in_order(s3_outputs):
    """Page by page."""
    outputs = s3_outputs
    for number in range(5):
        put(outputs, f"run-1/{number}", b"")
    with Listing(outputs.store, "run-1", outputs.state) as listing:
        listing.take(Key("run-1/3"))
        assert list(listing.left()) == ["run-1/0", "run-1/1", "run-1/2", "run-1/4"]
