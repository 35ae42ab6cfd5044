"""
Files that change while they are sent: no object is torn, what is sent is one state that the file had,
and in the end the last one is there.
"""

import contextlib
import os
from collections.abc import Callable, Iterator

import pytest
from sending import MIB, Outputs, noise

from lighterman.transfer.budget import Budget
from sidecar.states import RelPath
from sidecar.upload import Result

LARGE_BYTES = 20 * MIB  # three parts
OLD = noise(LARGE_BYTES, seed=1)
NEW = noise(LARGE_BYTES, seed=2)
SHORT = noise(9 * MIB, seed=3)


def replaced(outputs: Outputs, path: RelPath) -> bytes:
    """Another file is renamed into its place."""
    (outputs.root / "new").write_bytes(NEW)
    (outputs.root / "new").rename(outputs.root / path)
    return NEW


def rewritten(outputs: Outputs, path: RelPath) -> bytes:
    """Rewritten in place with as many bytes, its mtime set back: only the ctime tells."""
    before = os.stat(outputs.root / path)
    with (outputs.root / path).open("r+b") as file:
        file.write(NEW)
    os.utime(outputs.root / path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return NEW


def one_byte(outputs: Outputs, path: RelPath) -> bytes:
    """One byte in its middle is another."""
    with (outputs.root / path).open("r+b") as file:
        file.seek(LARGE_BYTES // 2)
        file.write(b"!")
    return (outputs.root / path).read_bytes()


def truncated(outputs: Outputs, path: RelPath) -> bytes:
    """Cut inside a part that may have been sent."""
    os.truncate(outputs.root / path, 9 * MIB)
    return OLD[: 9 * MIB]


def shortened(outputs: Outputs, path: RelPath) -> bytes:
    """Truncated and written anew, with less."""
    (outputs.root / path).write_bytes(SHORT)
    return SHORT


def grown(outputs: Outputs, path: RelPath) -> bytes:
    """Appended to."""
    with (outputs.root / path).open("ab") as file:
        file.write(b"more")
    return OLD + b"more"


def removed(outputs: Outputs, path: RelPath) -> None:
    """Unlinked."""
    (outputs.root / path).unlink()


CHANGES = [replaced, rewritten, one_byte, truncated, shortened, grown]


@pytest.mark.parametrize("moment", [0, 1, 2])
@pytest.mark.parametrize("change", CHANGES)
def test_a_large_file_that_changes_during_its_upload(outputs, change, moment):
    """The object stays what it was until all of one state arrived; no upload is left behind."""
    outputs.write("big", b"the good one")
    outputs.send("big")
    path = outputs.write("big", OLD)
    last: list[bytes] = []
    passing: list[Callable[[], object]] = [lambda: None] * moment
    outputs.store.before("send_part", *passing, lambda: last.append(change(outputs, path)))

    assert outputs.send(path) is Result.CHANGED

    assert outputs.stored("big") == b"the good one"
    assert outputs.open_uploads() == []
    outputs.rest(path)
    assert outputs.send(path) is Result.SENT
    assert outputs.stored(path) == last[0]
    assert outputs.open_uploads() == []


@pytest.mark.parametrize("change", CHANGES)
def test_a_large_file_that_changes_as_its_parts_are_joined(outputs, change):
    """The object is the state whose parts arrived; the next look sends the other one."""
    path = outputs.write("big", OLD)
    last: list[bytes] = []
    outputs.store.before("finish", lambda: last.append(change(outputs, path)))

    assert outputs.send(path) is Result.SENT
    assert outputs.stored(path) == OLD
    outputs.rest(path)
    assert outputs.send(path) is Result.SENT
    assert outputs.stored(path) == last[0]


def test_a_large_file_that_vanishes_during_its_upload(outputs):
    """Nothing is left of it, at the store or in the journal."""
    path = outputs.write("big", OLD)
    outputs.store.before("send_part", lambda: None, lambda: removed(outputs, path))

    assert outputs.send(path) is Result.CHANGED
    assert outputs.send(path) is Result.GONE
    assert outputs.open_uploads() == []
    assert outputs.synced(path) is None


class BudgetThatTakesTime(Budget):
    """While the buffer is waited for, something happens."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__(64 * MIB)
        self.meanwhile = meanwhile

    @contextlib.contextmanager
    def take(self, size_bytes: int) -> Iterator[None]:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        with super().take(size_bytes):
            yield


SMALL_OLD = b"old content"


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    ("new", "mended"),
    [(b"new content", False), (b"old", True), (b"", True), (b"old content, and more", False)],
    ids=["rewritten", "truncated", "emptied", "grown"],
)
def test_a_small_file_that_changes_before_its_bytes_are_read(outputs, new, mended, live):
    """A small object would be visible at once: it isn't sent before its state is known to have held."""
    path = outputs.write("small", SMALL_OLD)

    def change() -> None:
        with (outputs.root / path).open("r+b") as file:
            file.write(new)
            file.truncate()

    outputs.budget = BudgetThatTakesTime(change)
    outputs.restart()
    result = outputs.send(path, live=live)

    if live and not mended:
        assert result is Result.SENT
        assert outputs.stored(path) == new[: len(SMALL_OLD)]
    else:
        assert result is Result.CHANGED
        assert outputs.listed_keys() == []
    outputs.rest(path)
    assert outputs.send(path, live=live) is Result.SENT
    assert outputs.stored(path) == new


def test_a_small_file_that_changes_as_it_is_put(outputs):
    """The request has bytes of its own: the object is the state before, then the state after."""
    path = outputs.write("small", SMALL_OLD)
    outputs.store.before("write", lambda: (outputs.root / path).write_bytes(b"NEW CONTENT"))

    assert outputs.send(path) is Result.SENT
    assert outputs.stored(path) == SMALL_OLD
    outputs.rest(path)
    assert outputs.send(path) is Result.SENT
    assert outputs.stored(path) == b"NEW CONTENT"


@pytest.mark.parametrize("size_bytes", [10, LARGE_BYTES])
def test_a_live_file_is_sent_as_the_prefix_that_it_had(outputs, size_bytes):
    """Live files are sent as a prefix that they really had, and again when they grew."""
    content = noise(size_bytes)
    path = outputs.write("run.log", content)

    def grow() -> None:
        with (outputs.root / path).open("ab") as file:
            file.write(b"one line more\n")

    outputs.store.before("send_part", grow)
    outputs.store.before("write", grow)

    assert outputs.send(path, live=True) is Result.SENT
    assert outputs.stored(path) == content
    assert outputs.send(path, live=True) is Result.SENT
    assert outputs.stored(path) == content + b"one line more\n"
    assert outputs.send(path, live=True) is Result.UNCHANGED


def test_a_live_file_that_is_cut_meanwhile_is_no_prefix(outputs):
    """A log that is rotated by truncation is looked at again."""
    path = outputs.write("run.log", OLD)
    outputs.store.before(
        "send_part", lambda: None, lambda: (outputs.root / path).write_bytes(b"rotated\n")
    )

    assert outputs.send(path, live=True) is Result.CHANGED
    assert outputs.send(path, live=True) is Result.SENT
    assert outputs.stored(path) == b"rotated\n"
    assert outputs.open_uploads() == []


@pytest.mark.parametrize("change", [replaced, truncated])
def test_parts_in_parallel_end_at_the_first_that_sees_the_change(outputs, change):
    """After a change no further part of the file is read."""
    outputs.restart(part_threads=4)
    path = outputs.write("big", noise(64 * MIB))
    outputs.store.before("send_part", *[lambda: None] * 3, lambda: change(outputs, path))

    assert outputs.send(path) is Result.CHANGED
    assert outputs.open_uploads() == []
    outputs.rest(path)
    assert outputs.send(path) is Result.SENT
    assert (outputs.root / path).read_bytes() == outputs.stored(path)
