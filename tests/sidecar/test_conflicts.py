"""``--on-conflict fail``: what someone else wrote is never clobbered."""

import os

import pytest
from sending import MIB, Outputs, noise

from lighterman.errors import ConflictError, TransientError
from lighterman.stores.contract import Attributes, Window
from sidecar.states import RelPath
from sidecar.upload import Result

SIZES = [7, 20 * MIB]
"""At once, and by parts."""
THEIRS = b"somebody else's"


@pytest.fixture
def outputs(tmp_path, store):
    """Outputs on their way to each kind of store, with ``--on-conflict fail``."""
    outputs = Outputs(tmp_path, store, fails_on_conflict=True)
    yield outputs
    outputs.close()


def put(outputs: Outputs, path: str, content: bytes = THEIRS) -> None:
    """Someone else writes an object."""
    descriptor = os.memfd_create("theirs")
    os.write(descriptor, content)
    outputs.store.write(outputs.key(path), Window(descriptor, 0, len(content)), Attributes())
    os.close(descriptor)


def raising(error: BaseException):
    def act() -> None:
        raise error

    return act


def refused(outputs: Outputs, path: str, **options) -> ConflictError:
    with pytest.raises(ConflictError) as caught:
        outputs.send(path, **options)
    assert (65, "conflict") == (caught.value.exit_code, caught.value.kind)
    assert str(outputs.key(path)) == caught.value.key
    assert outputs.open_uploads() == []
    return caught.value


@pytest.mark.parametrize("size_bytes", SIZES)
def test_a_new_key_that_is_taken_is_left_alone(outputs, size_bytes):
    """If-None-Match for new keys: a conflict is named, and kept out of the bucket."""
    put(outputs, "a")
    outputs.write("a", noise(size_bytes))

    refused(outputs, "a")

    assert THEIRS == outputs.stored("a")
    assert outputs.synced("a") is None


@pytest.mark.parametrize("size_bytes", SIZES)
def test_a_known_key_that_another_wrote_since_is_left_alone(outputs, size_bytes):
    """If-Match on the journalled ETag for known ones."""
    outputs.write("a", noise(size_bytes))
    outputs.send("a")
    put(outputs, "a")
    outputs.write("a", noise(size_bytes, seed=1))

    refused(outputs, "a")

    assert THEIRS == outputs.stored("a")


@pytest.mark.parametrize("size_bytes", SIZES)
def test_what_nobody_else_wrote_is_replaced(outputs, size_bytes):
    """The object that the journal has is its own, time after time."""
    for seed in range(3):
        content = noise(size_bytes + seed, seed)
        outputs.write("a", content)
        assert outputs.send("a") is Result.SENT
        assert content == outputs.stored("a")


@pytest.mark.parametrize("size_bytes", SIZES)
def test_what_somebody_deleted_is_written_again(outputs, size_bytes):
    """A key without an object is nobody's."""
    outputs.write("a", noise(size_bytes))
    outputs.send("a")
    outputs.store.delete(outputs.key("a"))
    content = noise(size_bytes, seed=1)
    outputs.write("a", content)

    assert outputs.send("a") is Result.SENT
    assert content == outputs.stored("a")


@pytest.mark.parametrize("method", ["write", "finish"])
def test_our_own_write_whose_answer_was_lost_is_no_conflict(outputs, method):
    """A 412 after an ambiguous retry is first compared by checksum: it may be our own write."""
    content = noise(SIZES[method == "finish"])
    path = outputs.write("a", content)
    real = getattr(outputs.store._store, method)

    def land(*arguments, **options):
        setattr(outputs.store._store, method, real)
        real(*arguments, **options)
        raise TransientError("the answer was lost")

    setattr(outputs.store._store, method, land)

    assert outputs.send(path) is Result.SENT

    assert outputs.store.stat(outputs.key("a")).etag == outputs.synced("a").etag
    assert content == outputs.stored("a")
    assert outputs.open_uploads() == []
    assert outputs.send(path) is Result.UNCHANGED


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_a_log_that_grew_whose_answer_was_lost_is_no_conflict(outputs):
    """Its object is made of parts that only we know: one that was copied, and the tail."""
    path = outputs.write("train.log", noise(12 * MIB))
    outputs.send(path, live=True)
    with open(outputs.root / path, "ab") as file:
        file.write(noise(1000, seed=1))
    outputs.rest(path)
    content = (outputs.root / path).read_bytes()
    real = outputs.store._store.finish

    def land(*arguments, **options):
        outputs.store._store.finish = real
        real(*arguments, **options)
        raise TransientError("the answer was lost")

    outputs.store._store.finish = land
    outputs.store.calls.clear()

    assert outputs.send(path, live=True) is Result.SENT

    assert "copy_part" in outputs.store.calls
    assert outputs.store.stat(outputs.key(path)).etag == outputs.synced(path).etag
    assert content == outputs.stored(path)
    assert outputs.send(path, live=True) is Result.UNCHANGED


@pytest.mark.parametrize("size_bytes", SIZES)
def test_our_own_write_that_a_kill_kept_out_of_the_journal_is_no_conflict(outputs, size_bytes):
    """The next start finds the object of the content that it has, and notes it."""
    content = noise(size_bytes)
    path = outputs.write("a", content)
    outputs.send(path)
    outputs.journal.forget(path)

    assert outputs.send(path) is Result.SENT

    assert content == outputs.stored("a")
    assert outputs.synced("a").etag == outputs.store.stat(outputs.key("a")).etag
    assert not outputs.synced("a").uploaded


def test_who_comes_between_is_not_clobbered(outputs):
    """Multipart finish too: the condition is compared at the very end."""
    path = outputs.write("a", noise(20 * MIB))
    outputs.store.before("send_part", lambda: put(outputs, "a"))

    refused(outputs, path)

    assert THEIRS == outputs.stored("a")


def test_a_rename_onto_what_someone_else_wrote_is_a_conflict(outputs):
    """A copy inside the store clobbers as little as an upload."""
    outputs.write("a", noise(70_000))
    outputs.send("a")
    put(outputs, "b")
    (outputs.root / "a").rename(outputs.root / "b")
    outputs.rest("b")

    refused(outputs, "b", origin=RelPath("a"))

    assert THEIRS == outputs.stored("b")


@pytest.mark.parametrize("size_bytes", SIZES)
def test_a_rename_to_a_free_key_is_a_copy(outputs, size_bytes):
    """Under conditions too, nothing is sent that the store has."""
    outputs.write("a", noise(size_bytes))
    outputs.send("a")
    (outputs.root / "a").rename(outputs.root / "b")
    outputs.rest("b")
    outputs.store.calls.clear()

    assert outputs.send("b", origin=RelPath("a")) is Result.SENT

    assert not {"write", "send_part"} & set(outputs.store.calls)
    assert noise(size_bytes) == outputs.stored("b")


def test_a_log_grows_under_conditions(outputs):
    """Its own object is what it replaces; another's is left alone."""
    path = outputs.write("train.log", noise(12 * MIB))
    outputs.send(path, live=True)
    for _ in range(2):
        with open(outputs.root / path, "ab") as file:
            file.write(b"more")
        outputs.rest(path)
        assert outputs.send(path, live=True) is Result.SENT
        assert (outputs.root / path).read_bytes() == outputs.stored(path)
    put(outputs, path)
    with open(outputs.root / path, "ab") as file:
        file.write(b"more")
    outputs.rest(path)

    refused(outputs, path, live=True)

    assert THEIRS == outputs.stored(path)


def test_markers_of_directories_are_everybodys(outputs):
    """An empty object is a marker, whoever made it; one with content is another's."""
    (outputs.root / "d").mkdir()
    (outputs.root / "e").mkdir()
    put(outputs, "d/", b"")

    assert outputs.uploader.mark_directory(RelPath("d")).result is Result.SENT
    assert outputs.uploader.mark_directory(RelPath("d")).result is Result.UNCHANGED
    assert outputs.uploader.mark_directory(RelPath("e")).result is Result.SENT
    assert outputs.store.stat(outputs.key("e/")).size_bytes == 0


@pytest.mark.parametrize(
    "store", ["s3", "gcs", "azure", pytest.param("rgw", marks=pytest.mark.ceph)], indirect=True
)
def test_a_marker_with_content_is_another_s(outputs):
    """Named, and kept. A volume has directories."""
    (outputs.root / "d").mkdir()
    put(outputs, "d/", THEIRS)

    with pytest.raises(ConflictError):
        outputs.uploader.mark_directory(RelPath("d"))
    assert THEIRS == outputs.stored("d/")


def test_without_it_the_last_writer_wins(tmp_path, s3_store):
    """``overwrite`` is the default, and costs no request."""
    outputs = Outputs(tmp_path, s3_store)
    put(outputs, "a")
    outputs.write("a", b"ours")
    outputs.store.calls.clear()

    assert outputs.send("a") is Result.SENT
    assert outputs.store.calls == ["write"]
    assert b"ours" == outputs.stored("a")
    outputs.close()
