"""A fresh journal takes over what init brought, as far as disk and listing bear it out."""

import os

import pytest
from sending import Outputs, noise

from lighterman.handover import Handover
from sidecar.upload import Result


def bring(outputs: Outputs, *names: str, size_bytes: int = 10) -> None:
    """Objects are made, and init brings them."""
    for name in names:
        outputs.send(outputs.write(name, noise(size_bytes)))
    etags = {name: outputs.synced(name).etag for name in names}
    outputs.close()
    outputs.journal = None
    for file in os.scandir(outputs.state):
        os.unlink(file)
    (outputs.root / ".lighterman").mkdir()
    handover = Handover(str(outputs.root), f"{outputs.root}/.lighterman")
    for name, etag in etags.items():
        with (outputs.root / name).open("rb") as file:
            place = outputs.store.destination
            handover.add(place, outputs.key(name), etag, str(outputs.root / name), file.fileno())
    handover.flush()
    handover.close()
    outputs.restart()


def test_what_init_brought_is_synced_without_a_look_at_its_content(outputs):
    """At any store, whatever its ETags are worth."""
    bring(outputs, "a", "dir/b")
    assert outputs.uploader.adopt() == 2
    for name in ("a", "dir/b"):
        assert outputs.synced(name).uploaded is False
        assert outputs.send(name) is Result.UNCHANGED
    assert {"write", "begin", "has_content"}.isdisjoint(outputs.store.calls)
    assert outputs.tally.totals().skipped == 2


@pytest.mark.parametrize("is_deleted", [True, False])
def test_what_the_listing_doesn_t_bear_out_isn_t_taken(outputs, is_deleted):
    """The journal's ETags are those of a listing."""
    bring(outputs, "a", "b")
    if is_deleted:
        outputs.store.delete(outputs.key("a"))
    else:
        outputs.write("c", b"another's")
        outputs.send("c")
        outputs.store.copy(
            outputs.key("c"),
            outputs.synced("c").etag,
            outputs.key("a"),
            outputs.store.stat(outputs.key("c")).attributes,
        )
        outputs.journal.forget("c")
    outputs.uploader.adopt()
    assert outputs.synced("a") is None
    assert outputs.synced("b") is not None
    assert outputs.send("a") is Result.SENT


def test_a_name_that_no_key_can_have_is_passed_over(outputs):
    """It is refused by name when it is to be sent."""
    bring(outputs, "a")
    handover = Handover(str(outputs.root), f"{outputs.root}/.lighterman")
    path = outputs.root / "\udc80"
    path.write_bytes(b"1")
    with path.open("rb") as file:
        key = f"{outputs.prefix}/\udc80"
        handover.add(outputs.store.destination, key, "etag", str(path), file.fileno())
    handover.flush()
    handover.close()
    outputs.uploader.adopt()
    assert outputs.synced("a") is not None
    assert outputs.journal.count() == 1


def test_a_marker_that_is_listed_isn_t_written_again(s3_outputs):
    """An empty directory says nothing but its name."""
    outputs = s3_outputs
    (outputs.root / "empty").mkdir()
    assert outputs.uploader.mark_directory("empty").result is Result.SENT
    outputs.close()
    outputs.journal = None
    for file in os.scandir(outputs.state):
        os.unlink(file)
    outputs.restart()
    outputs.uploader.adopt()
    assert outputs.uploader.mark_directory("empty").result is Result.UNCHANGED
    assert outputs.store.calls.count("write") == 0
    assert outputs.synced("empty/").uploaded is False
