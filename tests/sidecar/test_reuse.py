"""What the bucket has isn't sent again: renames, rewrites that changed nothing, and logs that grow."""

import json
import os

import msgspec
import pytest
from sending import MIB, Outputs, noise

from lighterman.checksums import CRC32C, new_sum
from lighterman.errors import (
    ConfigurationError,
    CredentialsError,
    TransientError,
)
from lighterman.stores.contract import Attributes, Key, Window
from sidecar import reuse
from sidecar.states import FileState, RelPath
from sidecar.upload import Result

SENDING = {"write", "send_part", "begin"}
LARGE_BYTES = 20 * MIB
COPIES_PARTS = pytest.mark.parametrize(
    "store", ["s3", pytest.param("rgw", marks=pytest.mark.ceph)], indirect=True
)
"""The others are never asked to."""


def sent(outputs: Outputs) -> list[str]:
    """The calls that carried bytes, since the last look."""
    calls = [call for call in outputs.store.calls if call in SENDING]
    outputs.store.calls.clear()
    return calls


def assert_as_it_is(outputs: Outputs, path: str) -> None:
    """The object has the file's bytes, mode and mtime, and the journal its state and ETag."""
    place = outputs.root / path
    stat = outputs.store.stat(outputs.key(path))
    assert place.read_bytes() == outputs.stored(path)
    status = place.stat()
    assert (status.st_mode & 0o7777, status.st_mtime_ns) == (
        stat.attributes.mode,
        stat.attributes.mtime_ns,
    )
    synced = outputs.synced(path)
    assert (stat.etag, status.st_ctime_ns) == (synced.etag, synced.state.ctime_ns)
    outputs.store.calls.clear()


@pytest.fixture
def moved(outputs):
    """A synced file, and the same renamed: the two paths."""

    def move(content: bytes = b"content", to: str = "b/new name.bin") -> tuple[RelPath, RelPath]:
        old = outputs.write("a/old", content)
        outputs.send(old)
        (outputs.root / to).parent.mkdir(exist_ok=True)
        (outputs.root / old).rename(outputs.root / to)
        outputs.rest(to)
        outputs.store.calls.clear()
        return old, RelPath(to)

    return move


# Renames


@pytest.mark.parametrize("size_bytes", [1, 70_000, LARGE_BYTES])
def test_a_renamed_file_is_copied_inside_the_store(outputs, moved, size_bytes):
    """A rename of a synced file is a copy inside the store."""
    old, new = moved(noise(size_bytes))

    assert outputs.send(new, origin=old) is Result.SENT

    assert sent(outputs) == []
    assert_as_it_is(outputs, new)
    assert outputs.synced(new).crc32c == outputs.synced(old).crc32c is not None
    assert (outputs.tally.totals().files, outputs.tally.totals().bytes) == (2, size_bytes)


def test_a_rename_is_found_without_events_after_a_restart(outputs, moved):
    """Same device, inode, size and mtime under another path of the journal, and the same CRC32C."""
    _, new = moved(noise(70_000))
    outputs.restart()

    assert outputs.send(new) is Result.SENT

    assert sent(outputs) == []
    assert_as_it_is(outputs, new)


def test_another_file_of_the_same_state_is_no_rename(outputs, moved):
    """An inode is used again, and an mtime can be set: without events the content decides."""
    _, new = moved(b"content")
    status = (outputs.root / new).stat()
    (outputs.root / new).write_bytes(b"CONTENT")
    os.utime(outputs.root / new, ns=(status.st_atime_ns, status.st_mtime_ns))
    outputs.rest(new)
    outputs.restart()
    assert outputs.journal.synced_as(FileState.of((outputs.root / new).stat()))

    outputs.send(new)

    assert sent(outputs) == ["write"]
    assert_as_it_is(outputs, new)


def test_a_file_that_was_rewritten_under_its_new_name_is_sent(outputs, moved):
    """The journal has the file's present content state, or it is uploaded."""
    old, new = moved(b"content")
    (outputs.root / new).write_bytes(b"another")
    outputs.rest(new)

    outputs.send(new, origin=old)

    assert sent(outputs) == ["write"]
    assert_as_it_is(outputs, new)


def test_an_object_that_was_overwritten_since_is_not_copied(outputs, moved):
    """The source may have been overwritten since by an upload: pinned to the ETag that the journal has."""
    old, new = moved(b"content")
    with open(outputs.root / new, "rb") as file:
        os.ftruncate(other := os.memfd_create("other"), 7)
        outputs.store.write(outputs.key(old), Window(other, 0, 7), Attributes())
        os.close(other)
        assert file.read() == b"content"
    outputs.store.calls.clear()

    assert outputs.send(new, origin=old) is Result.SENT

    assert sent(outputs) == ["write"]
    assert_as_it_is(outputs, new)


def test_an_object_that_is_gone_is_not_copied(outputs, moved):
    """Else uploaded."""
    old, new = moved(b"content")
    outputs.store.delete(outputs.key(old))
    outputs.store.calls.clear()

    outputs.send(new, origin=old)

    assert sent(outputs) == ["write"]
    assert_as_it_is(outputs, new)


def raising(error: Exception):
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize("error", [CredentialsError("403"), ConfigurationError("501")])
def test_a_store_that_refuses_copies_is_asked_once(outputs, said, error):
    """Falls back to an upload where the store refuses, once said."""
    for name in ("a", "b"):
        outputs.write(name, name.encode())
        outputs.send(name)
        (outputs.root / name).rename(outputs.root / f"{name}2")
    outputs.rest("b2")
    outputs.store.before("copy", raising(error))
    outputs.store.calls.clear()

    assert outputs.send("a2", origin="a") is Result.SENT
    assert outputs.send("b2", origin="b") is Result.SENT

    assert outputs.store.calls.count("copy") == 1
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    assert [line["event"] for line in lines].count("sidecar.copies_refused") == 1
    assert_as_it_is(outputs, "b2")


def test_transient_trouble_of_a_copy_is_tried_again(outputs, moved):
    """A store that is down for a moment is no store that refuses."""
    old, new = moved(b"content")
    outputs.store.before("copy", raising(TransientError("503")))

    outputs.send(new, origin=old)

    assert sent(outputs) == []
    assert_as_it_is(outputs, new)


def test_a_hard_link_is_copied_after_a_restart(outputs):
    """Another name of the same file has its content."""
    path = outputs.write("a", noise(70_000))
    outputs.send(path)
    os.link(outputs.root / "a", outputs.root / "b")
    outputs.rest("b")
    outputs.restart()

    outputs.send("b")

    assert sent(outputs) == []
    assert_as_it_is(outputs, "b")


# Rewrites


@pytest.mark.parametrize("size_bytes", [1, 70_000, LARGE_BYTES])
@pytest.mark.parametrize("how", ["in place", "by rename", "touched", "chmod"])
def test_a_file_that_was_rewritten_unchanged_is_not_sent(outputs, how, size_bytes):
    """Identical content isn't sent twice; the object gets the file's mode and mtime all the same."""
    content = noise(size_bytes)
    path = outputs.write("a.bin", content)
    outputs.send(path)
    place = outputs.root / path
    match how:
        case "in place":
            place.write_bytes(content)
        case "by rename":
            (outputs.root / "new").write_bytes(content)
            (outputs.root / "new").rename(place)
        case "touched":
            os.utime(place, ns=(1, 1_600_000_000_123_000_000))
        case "chmod":
            place.chmod(0o600)
    outputs.rest(path)
    outputs.store.calls.clear()

    assert outputs.send(path) is Result.SENT

    assert sent(outputs) == []
    assert_as_it_is(outputs, path)
    assert outputs.tally.totals().bytes == size_bytes
    assert outputs.send(path) is Result.UNCHANGED


@pytest.mark.parametrize("size_bytes", [70_000, LARGE_BYTES])
def test_other_content_of_the_same_size_is_sent(outputs, size_bytes):
    """One bit is enough."""
    content = bytearray(noise(size_bytes))
    path = outputs.write("a", bytes(content))
    outputs.send(path)
    content[-1] ^= 1
    outputs.write("a", bytes(content))
    outputs.store.calls.clear()

    outputs.send(path)

    assert sent(outputs)
    assert_as_it_is(outputs, path)


def test_an_equal_crc32c_alone_is_not_believed(outputs):
    """32 bits are too few when a user's results depend on them: the store's own sum has to agree."""
    path = outputs.write("a", b"content")
    outputs.send(path)
    outputs.write("a", b"CONTENT")
    total = new_sum(CRC32C)
    total.update(b"CONTENT")
    colliding = msgspec.structs.replace(outputs.synced(path), crc32c=total.hexdigest())
    outputs.journal.mark_synced([(path, colliding)])
    outputs.store.calls.clear()

    outputs.send(path)

    assert sent(outputs) == ["write"]
    assert_as_it_is(outputs, path)


def test_a_rewrite_of_an_object_that_another_replaced_is_sent(outputs):
    """The object's ETag is what the journal has, or nothing is spared."""
    path = outputs.write("a", b"content")
    outputs.send(path)
    other = os.memfd_create("other")
    outputs.store.write(outputs.key(path), Window(other, 0, 0), Attributes())
    os.close(other)
    outputs.write("a", b"content")
    outputs.store.calls.clear()

    outputs.send(path)

    assert sent(outputs) == ["write"]
    assert_as_it_is(outputs, path)


def test_a_checkpoint_of_one_size_is_not_read_again_and_again(outputs, monkeypatch):
    """A large file that never was the same is sent without being read before."""
    read = []
    whole = reuse.crc32c_of
    monkeypatch.setattr(reuse, "crc32c_of", lambda window: read.append(1) or whole(window))
    path = RelPath("model.pt")
    for seed in range(5):
        outputs.write(path, noise(9 * MIB, seed))
        assert outputs.send(path) is Result.SENT

    assert len(read) == reuse.MOST_MISSES
    assert_as_it_is(outputs, path)


# Logs that grow


@pytest.fixture
def log(outputs):
    """A live file of 12 MiB that is in the bucket, and how it grows."""
    content = [noise(12 * MIB)]
    path = outputs.write("train.log", content[0])
    outputs.send(path, live=True)
    outputs.store.calls.clear()

    def grow(size_bytes: int) -> RelPath:
        with open(outputs.root / path, "ab") as file:
            file.write(noise(size_bytes, seed=len(content)))
        content.append(b"")
        outputs.rest(path)
        return path

    return grow


def test_of_a_log_that_grew_only_the_tail_is_sent(outputs, log):
    """A growing log isn't sent whole again, where the store makes a part of what it has."""
    path = log(1000)

    assert outputs.send(path, live=True) is Result.SENT

    carried = outputs.tally.totals().bytes - 12 * MIB
    expected = 1000 if outputs.store.copies_parts else 12 * MIB + 1000
    assert carried == expected
    assert ("copy_part" in outputs.store.calls) == outputs.store.copies_parts
    assert_as_it_is(outputs, path)
    assert outputs.open_uploads() == []


def test_a_log_grows_again_and_again(outputs, log):
    """Each object is the head of the next one, whatever the tail's size."""
    sizes = [1, 9 * MIB, 70_000]
    for size_bytes in sizes:
        path = log(size_bytes)
        assert outputs.send(path, live=True) is Result.SENT
        assert_as_it_is(outputs, path)

    if outputs.store.copies_parts:
        assert outputs.tally.totals().bytes == 12 * MIB + sum(sizes)
    size = os.stat(outputs.root / path).st_size
    assert outputs.send(path, live=True) is Result.UNCHANGED
    assert outputs.store.stat(outputs.key(path)).size_bytes == size


def test_a_log_whose_head_was_rewritten_is_sent_whole(outputs, log):
    """As prefixes that they really had: cut and regrown beyond its size (copytruncate), it is another file."""
    path = log(1)
    (outputs.root / path).write_bytes(noise(13 * MIB, seed=77))
    outputs.rest(path)

    assert outputs.send(path, live=True) is Result.SENT

    assert "copy_part" not in outputs.store.calls
    assert_as_it_is(outputs, path)


def test_a_log_whose_object_another_replaced_is_sent_whole(outputs, log):
    """Pinned to its ETag."""
    path = log(1000)
    other = os.memfd_create("other")
    os.ftruncate(other, 6 * MIB)
    outputs.store.write(outputs.key(path), Window(other, 0, 6 * MIB), Attributes())
    os.close(other)

    assert outputs.send(path, live=True) is Result.SENT

    assert_as_it_is(outputs, path)
    assert outputs.open_uploads() == []


@COPIES_PARTS
def test_a_log_is_sent_whole_where_parts_are_not_copied(outputs, log):
    """For others whole; what was begun is left nowhere."""
    path = log(1000)
    outputs.store.before("copy_part", raising(CredentialsError("403")))

    assert outputs.send(path, live=True) is Result.SENT

    assert_as_it_is(outputs, path)
    assert outputs.open_uploads() == []


@COPIES_PARTS
def test_a_log_that_is_cut_while_its_tail_is_sent_is_no_object(outputs, log):
    """Nothing torn: the upload is dropped, and the file is sent as it is."""
    path = log(1000)
    outputs.store.before("copy_part", lambda: os.truncate(outputs.root / path, 10))

    outputs.send(path, live=True)
    outputs.rest(path)
    assert outputs.send(path, live=True) in {Result.SENT, Result.UNCHANGED}

    assert_as_it_is(outputs, path)
    assert outputs.open_uploads() == []


def test_a_log_that_was_being_extended_when_the_process_ended_goes_on(outputs, log):
    """An upload that a crash left open is dropped or resumed, and nothing of it stays."""
    path = log(1000)
    error = raising(SystemExit())
    outputs.store.before("finish", error)
    with pytest.raises(SystemExit):
        outputs.send(path, live=True)
    outputs.restart()
    outputs.uploader.recover()
    log(500)

    assert outputs.send(path, live=True) is Result.SENT

    assert_as_it_is(outputs, path)
    assert outputs.open_uploads() == []


def test_what_changed_while_it_was_compared_is_not_copied(outputs, moved):
    """The file is looked at again after it was read."""
    _, new = moved(noise(70_000))
    outputs.restart()
    place = outputs.root / new
    whole = outputs.uploader._reuse._sum

    def change_after(output):
        found = whole(output)
        place.chmod(0o600)
        return found

    outputs.uploader._reuse._sum = change_after
    assert outputs.send(new) is Result.CHANGED
    assert outputs.store.calls.count("copy") == 0
    assert Key(outputs.key(new)) not in outputs.listed_keys()


def test_a_copy_leaves_no_upload_of_an_earlier_state(outputs):
    """Uploads that a crash left open are resumed or aborted."""
    content = noise(20 * MIB)
    path = outputs.write("a", content)
    outputs.send(path)
    outputs.write("a", noise(20 * MIB, seed=1))
    outputs.store.before("finish", raising(SystemExit()))
    with pytest.raises(SystemExit):
        outputs.send(path)
    outputs.write("a", content)

    assert outputs.send(path) is Result.SENT

    assert outputs.store.calls.count("copy") == 1
    assert_as_it_is(outputs, path)
    assert outputs.open_uploads() == []
    assert outputs.journal.open_uploads() == []
