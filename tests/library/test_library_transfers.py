"""`lighterman.connect(NAME)` → a store: `upload_file`, `upload_dir`, `download_file`, `download_dir`, `list`."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

import pytest
from trees import MIB, NAMES_FOR_AZURE, ODD_NAMES, differences, make_large, make_tree

from lighterman.clock import SystemClock
from lighterman.errors import (
    CannotWriteError,
    SourceChangedError,
    SourceMissingError,
    UntrustedDataError,
)
from lighterman.transfer.settings import TransferSettings


def keys(place, prefix=""):
    return [entry.key for entry in place.list(prefix)]


def open_files():
    """What this process holds open besides its sockets, of which the store keeps a few."""
    names = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the listing's own
            names.append(os.readlink(f"/proc/self/fd/{number}").partition(":")[0])
    return sorted(name for name in names if name != "socket")


def leftovers(root):
    return [path.name for path in Path(root).rglob(".lighterman*")]


def test_a_directory_of_odd_files_comes_back_byte_for_byte(place, kind, tmp_path):
    """A round trip keeps bytes, modes and mtimes, whatever the names."""
    names = NAMES_FOR_AZURE if kind == "azurite" else ODD_NAMES
    tree = make_tree(tmp_path / "tree", 200, most_bytes=256 * 1024, names=names)
    sent = place.upload_dir(tree, "runs/1")
    came = place.download_dir("runs/1", tmp_path / "back")
    assert [] == differences(tree, tmp_path / "back")
    assert (200, 200) == (sent.files, came.files)
    assert sent.size_bytes == came.size_bytes > 0


def test_a_large_file_goes_by_parts_and_comes_back(place, tmp_path):
    """One file of several parts, each way by itself; nothing is left beside it."""
    large = make_large(tmp_path / "model.bin", 40 * MIB + 17)
    place.upload_file(large, "models/model.bin")
    place.download_file("models/model.bin", tmp_path / "new" / "model.bin")
    assert large.read_bytes() == (tmp_path / "new" / "model.bin").read_bytes()
    assert large.stat().st_mtime_ns == (tmp_path / "new" / "model.bin").stat().st_mtime_ns
    assert ["model.bin"] == os.listdir(tmp_path / "new")


def test_paths_are_relative_to_the_connections_prefix(place, catalog, tree):
    """A connection's own prefix is in no key that a program sees, and in every key of the store."""
    place.upload_file(tree({"a.txt": b"1"}) / "a.txt", "x/b.txt")
    assert ["x/b.txt"] == keys(place)
    store = place._opened.store
    held = [one.key for page in store.pages("") for one in page]
    assert ["/".join(filter(None, (store.prefix, "x/b.txt")))] == held


def test_an_entry_tells_size_version_and_time(place, tree):
    """Entries have a key, a size, an ETag and an aware time."""
    before = datetime.now(UTC).timestamp() - 5
    place.upload_file(tree({"a.txt": b"1234"}) / "a.txt", "a.txt")
    (entry,) = place.list()
    assert ("a.txt", 4, False, False) == (
        entry.key,
        entry.size_bytes,
        entry.archived,
        entry.is_directory,
    )
    assert entry.etag
    assert entry.modified.tzinfo is UTC
    # What the store wrote just now, or a volume's file was given: its own time.
    assert before <= entry.modified.timestamp() <= datetime.now(UTC).timestamp() + 5


def test_dirs_are_exact(place, tree, tmp_path):
    """`model` never pulls `model-hf`, and never lists it."""
    place.upload_dir(
        tree({"model/a": b"a", "model-hf/b": b"b", "model.txt": b"c", "model/sub/c": b"d"})
    )
    assert ["model/a", "model/sub/c"] == keys(place, "model")
    place.download_dir("model", tmp_path / "back")
    assert [] == differences(tmp_path / "tree" / "model", tmp_path / "back")


def test_the_whole_root_is_an_empty_prefix(place, tree, tmp_path):
    """`""` is all that the connection has."""
    root = tree({"a": b"a", "b/c": b"c"})
    place.upload_dir(root)
    place.download_dir("", tmp_path / "back")
    assert [] == differences(root, tmp_path / "back")


def test_empty_directories_and_empty_files_come_back(place, tree, tmp_path):
    """Zero-byte objects are files; empty directories become `dir/` markers and come back."""
    root = tree({"full/empty-file": b""})
    (root / "empty-directory").mkdir()
    place.upload_dir(root, "x")
    place.download_dir("x", tmp_path / "back")
    assert ["x/empty-directory/", "x/full/empty-file"] == keys(place, "x")
    assert [True, False] == [entry.is_directory for entry in place.list("x")]
    assert (tmp_path / "back" / "empty-directory").is_dir()
    assert b"" == (tmp_path / "back" / "full" / "empty-file").read_bytes()


def test_a_second_download_brings_only_what_is_left(place, tree, tmp_path):
    """Whole files are recognised."""
    place.upload_dir(tree({"a": b"1", "b": b"22", "c": b"333"}), "x")
    place.download_dir("x", tmp_path / "back")
    (tmp_path / "back" / "b").unlink()
    again = place.download_dir("x", tmp_path / "back")
    assert (1, 2, 2) == (again.files, again.size_bytes, again.skipped)


def test_a_second_upload_with_a_state_sends_only_what_changed(place, tree, tmp_path):
    """With a `state`, what the journal has in the bucket isn't sent again, on any store."""
    root, state = tree({"a": b"1", "b": b"22"}), tmp_path / "state"
    place.upload_dir(root, "x", state=state)
    (root / "b").write_bytes(b"333")
    again = place.upload_dir(root, "x", state=state)
    assert (1, 3) == (again.files, again.size_bytes)
    place.download_file("x/b", tmp_path / "b")
    assert b"333" == (tmp_path / "b").read_bytes()


def test_what_is_excluded_stays(place, tree):
    """`exclude` has globs as gitignore writes them; Lighterman's own notes never go along."""
    root = tree({"a.txt": b"1", "b.tmp": b"2", "cache/c": b"3", ".lighterman/init.sqlite3": b"4"})
    place.upload_dir(root, exclude=["cache/"])
    assert ["a.txt", "b.tmp"] == keys(place)


def test_links_inside_are_followed_and_links_out_are_left(place, tree, tmp_path):
    """Symlinks to inside the path are uploaded as what they point to; out of it: skipped."""
    (tmp_path / "outside").write_bytes(b"secret")
    root = tree({"a": b"1"})
    (root / "inside").symlink_to("a")
    (root / "out").symlink_to(tmp_path / "outside")
    place.upload_dir(root)
    assert ["a", "inside"] == keys(place)


def test_a_file_may_be_named_by_a_link(place, tmp_path, tree):
    """`upload_file` brings what the path leads to, wherever that is."""
    root = tree({"a": b"1"})
    (tmp_path / "link").symlink_to(root / "a")
    place.upload_file(tmp_path / "link", "a")
    assert ["a"] == keys(place)


@pytest.mark.parametrize(
    "key", ["", "a/", "/a", "../a", "a/../b", "a//b", "./a", "a\0b", "x" * 256, "\udcff"]
)
def test_a_key_that_could_not_be_downloaded_is_refused(place, tree, key):
    """An unsafe key is refused by name before any byte."""
    path = tree({"a": b"1"}) / "a"
    with pytest.raises(UntrustedDataError) as caught:
        place.upload_file(path, key)
    assert caught.value.hint
    assert [] == keys(place)


def test_what_is_missing_is_named(place, tmp_path):
    """A declared file or dir that isn't there is an error that names it; nothing is left of the attempt."""
    for ask in (
        lambda: place.download_file("no/such.bin", tmp_path / "new" / "a"),
        lambda: place.download_dir("no/such.bin", tmp_path / "new"),
    ):
        with pytest.raises(SourceMissingError, match=r"no/such\.bin"):
            ask()
    assert not (tmp_path / "new").exists()
    for ask in (
        lambda: place.upload_file(tmp_path / "nothing", "a"),
        lambda: place.upload_dir(tmp_path / "nothing", "a"),
    ):
        with pytest.raises(SourceMissingError, match="nothing"):
            ask()


def test_a_directory_is_no_file(place, tree, tmp_path):
    """Each of the four says what is to be called instead, or named."""
    root = tree({"a/b": b"1"})
    place.upload_dir(root)
    with pytest.raises(SourceMissingError) as caught:
        place.upload_file(root / "a", "a")
    assert "upload_dir" in caught.value.hint
    with pytest.raises(SourceMissingError) as caught:
        place.upload_dir(root / "a" / "b")
    assert "upload_file" in caught.value.hint
    with pytest.raises(SourceMissingError):
        place.download_file("a/", tmp_path / "x")
    with pytest.raises(CannotWriteError, match="is a directory"):
        place.download_file("a/b", tmp_path)


def test_a_download_replaces_a_file_at_once(place, tree, tmp_path):
    """Nothing partial is ever visible under its final name: what is there is replaced by a rename."""
    place.upload_file(tree({"a": b"new"}) / "a", "a")
    (tmp_path / "here").write_bytes(b"old")
    with (tmp_path / "here").open("rb") as held:
        place.download_file("a", tmp_path / "here")
        assert b"old" == held.read()
    assert b"new" == (tmp_path / "here").read_bytes()
    assert [] == leftovers(tmp_path)


def test_calls_for_the_same_file_do_not_disturb_each_other(place, tmp_path):
    """Many ranks that all want the same model get it whole."""
    large = make_large(tmp_path / "model", 17 * MIB)
    place.upload_file(large, "model")
    target = tmp_path / "shared" / "model"
    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(place.download_file, "model", target) for _ in range(6)]:
            done.result()
    assert large.read_bytes() == target.read_bytes()
    assert ["model"] == os.listdir(target.parent)


def test_many_threads_share_one_place(place, tree):
    """Safe to share among threads, small files and large ones."""
    root = tree({f"{number}": os.urandom(1000 * number) for number in range(30)})
    with ThreadPoolExecutor(10) as pool:
        sent = [pool.submit(place.upload_file, root / str(n), f"x/{n}") for n in range(30)]
        for one in sent:
            one.result()
    assert {f"x/{number}": 1000 * number for number in range(30)} == {
        entry.key: entry.size_bytes for entry in place.list()
    }


def test_a_file_that_is_written_meanwhile_is_not_torn(place, tmp_path):
    """What is sent is one state that the file had, or nothing."""
    path, over = tmp_path / "busy", threading.Event()
    path.write_bytes(b"a" * MIB)

    def write() -> None:
        with path.open("r+b", buffering=0) as file:
            for number in cycle(range(26)):
                if over.is_set():
                    return
                file.seek(0)
                file.write(bytes([97 + number]) * MIB)

    writer = threading.Thread(target=write)
    writer.start()
    place._opened.settings = TransferSettings(retry_seconds=0.5)
    try:
        place.upload_file(path, "busy")
    except SourceChangedError:
        assert [] == keys(place)
    else:
        place.download_file("busy", tmp_path / "sent")
        assert 1 == len(set((tmp_path / "sent").read_bytes()))
    finally:
        over.set()
        writer.join()


class YoungClock(SystemClock):
    """To it a file has always changed just now; waiting takes no time, but time goes on."""

    def __init__(self, path):
        self._path = path
        self._waited_seconds = 0.0

    def wall(self):
        return self._path.stat().st_ctime + 0.001

    def monotonic(self):
        return super().monotonic() + self._waited_seconds

    def wait(self, seconds, until=None):
        self._waited_seconds += seconds
        return until is not None and until.is_set()


def test_a_file_that_never_rests_is_given_up(place, tmp_path):
    """After the time for retries it is an error that names the file, and there is no object."""
    (tmp_path / "busy").write_bytes(b"1")
    place._opened.clock = YoungClock(tmp_path / "busy")
    with pytest.raises(SourceChangedError, match="busy changes faster"):
        place.upload_file(tmp_path / "busy", "busy")
    assert [] == keys(place)


def test_nothing_stays_behind_of_uploads(place, tree):
    """Threads, descriptors and temporary directories of a call end with it."""
    root = tree({str(number): b"1" for number in range(50)})
    place.upload_dir(root, "warm")
    threads, files = threading.active_count(), open_files()
    for number in range(3):
        place.upload_dir(root, f"x/{number}")
    assert threads >= threading.active_count()
    assert files == open_files()


def test_it_works_in_any_thread(place, tree, tmp_path):
    """No signal handler is set, which only the main thread could."""
    root = tree({"a": b"1"})
    with ThreadPoolExecutor(1) as pool:
        pool.submit(place.upload_dir, root).result()
        pool.submit(place.download_dir, "", tmp_path / "back").result()
    assert [] == differences(root, tmp_path / "back")


def test_a_closed_place_says_so(place, tmp_path):
    """After `close` every call is a ValueError, like that of a closed file."""
    place.close()
    place.close()
    for ask in (
        place.list,
        lambda: place.upload_file("a", "a"),
        lambda: place.download_dir("a", tmp_path),
    ):
        with pytest.raises(ValueError, match="'datasets' is closed"):
            ask()
    assert "closed" in repr(place)
