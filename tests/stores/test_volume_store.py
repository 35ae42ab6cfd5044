"""What only a local volume has: symlinks, directories, permissions, a disk that is full."""

import errno
import os
import resource
import subprocess
import sys

import pytest

from lighterman.connections.model import Bucket, Connection, HostPath, Options, VolumeClaim
from lighterman.errors import (
    BucketMissingError,
    CannotWriteError,
    ConditionFailedError,
    ConfigurationError,
    CredentialsError,
    SourceChangedError,
    SourceMissingError,
    TransientError,
    UntrustedDataError,
)
from lighterman.stores import windows
from lighterman.stores.contract import Attributes, ETag, Key, Window
from lighterman.stores.windows import WindowBody, reading_failed, writing_failed

PART_BYTES = 5 * 1024 * 1024


@pytest.fixture
def root(tmp_path):
    directory = tmp_path / "root"
    directory.mkdir()
    return directory


@pytest.fixture
def store(root, opened):
    return opened(volume(root))


def volume(root, **fields):
    schema = HostPath(host_path=str(root), mount_path=str(root), **fields)
    return Connection(name="volume", kind="host_path", schema=schema)


def test_files_of_others_are_listed_and_read(store, root, get, listed):
    """Keys are the paths below the root."""
    (root / "a").mkdir()
    (root / "a" / "b.txt").write_bytes(b"hello")
    (root / "a" / "b.txt").chmod(0o604)

    assert ["a/b.txt"] == listed()
    assert b"hello" == get("a/b.txt")
    assert 0o604 == store.stat(Key("a/b.txt")).attributes.mode


def test_a_volume_claim_is_its_mount_path(root, opened):
    """volume_claim: {volumeClaim, mountPath, readOnly}."""
    schema = VolumeClaim(volume_claim="data", mount_path=str(root))
    (root / "file").touch()

    store = opened(Connection(name="v", kind="volume_claim", schema=schema))

    assert ["file"] == [item.key for page in store.pages("") for item in page]


def test_a_volume_without_a_path_is_refused(opened):
    """The catalog is off (78)."""
    with pytest.raises(ConfigurationError, match="mountPath"):
        opened(Connection(name="v", kind="host_path", schema=Bucket("s3://b")))


def test_options_of_buckets_are_refused_by_name(opened, root):
    """Nothing is silently ignored."""
    schema = HostPath(host_path=str(root), mount_path=str(root))
    options = Options(storage_class="STANDARD_IA")
    with pytest.raises(ConfigurationError, match=r"options\.storage_class"):
        opened(Connection(name="v", kind="host_path", schema=schema, options=options))


def test_symlinks_inside_are_followed_and_others_left_out(store, root, tmp_path, get, listed):
    """Symlinks to inside are followed; out of the root they are skipped."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "real").mkdir()
    (root / "real" / "file").write_bytes(b"hello")
    (root / "link").symlink_to("real/file")
    (root / "directory").symlink_to("real")
    (root / "real" / "up").symlink_to("..")
    (root / "out").symlink_to(outside / "secret")
    (root / "outdir").symlink_to(outside)
    (root / "dangling").symlink_to("nowhere")
    (root / "self").symlink_to("self")
    os.mkfifo(root / "fifo")

    assert ["directory/file", "link", "real/file"] == listed()
    assert b"hello" == get("link")
    assert b"hello" == get("directory/file")
    assert [] == listed("outdir/")
    for key in ("out", "outdir/secret", "dangling", "self", "fifo", "real"):
        with pytest.raises(SourceMissingError):
            store.stat(Key(key))


def test_nothing_is_written_or_deleted_through_a_symlink_that_leads_out(
    store, root, tmp_path, files
):
    """A place that leaves the root is never written."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    (root / "out").symlink_to(outside)

    for call in (
        lambda: store.write(Key("out/new"), files.of(b"x"), Attributes()),
        lambda: store.write(Key("out/deep/new"), files.of(b"x"), Attributes()),
        lambda: store.write(Key("out/dir/"), files.of(b""), Attributes()),
        lambda: store.delete(Key("out/precious")),
    ):
        with pytest.raises(CannotWriteError, match="leads out of"):
            call()

    assert ["precious"] == os.listdir(outside)


def test_a_symlink_at_the_place_is_replaced_not_followed(store, root, tmp_path, files):
    """Every write that a reader could see is a rename."""
    (tmp_path / "target").write_bytes(b"untouched")
    (root / "file").symlink_to(tmp_path / "target")

    store.write(Key("file"), files.of(b"new"), Attributes())

    assert b"untouched" == (tmp_path / "target").read_bytes()
    assert b"new" == (root / "file").read_bytes()


@pytest.mark.parametrize(
    "key",
    ["..", "a/../b", "/etc/passwd", "a//b", ".", "a\0b", "", "n" * 256, ".lighterman-uploads/x"],
)
def test_unsafe_keys_are_refused(store, files, key):
    """A key that can't be placed inside (``..``, absolute, NUL, a component over 255 bytes)."""
    with pytest.raises(UntrustedDataError):
        store.write(Key(key), files.of(b"x"), Attributes())
    with pytest.raises(UntrustedDataError):
        store.stat(Key(key))


def test_nothing_of_the_stores_own_is_listed(store, root, files, listed):
    """The hidden directory of uploads is never listed."""
    upload_id = store.begin(Key("big"), Attributes(), part_bytes=PART_BYTES)
    store.send_part(Key("big"), upload_id, 1, files.of(b"x"))
    (root / ".lighterman-tmp-left-by-a-crash").touch()

    assert [] == listed()
    assert [] == listed(".lighterman")
    assert [] == listed(".lighterman-uploads/")


@pytest.mark.parametrize("upload_id", ["../../etc", "x", "0" * 32])
def test_an_upload_id_is_never_a_path(store, files, upload_id):
    """``UploadMissingError`` if the upload is no more, or never was."""
    from lighterman.errors import UploadMissingError

    for call in (
        lambda: store.sent_parts(Key("big"), upload_id),
        lambda: store.send_part(Key("big"), upload_id, 1, files.of(b"x")),
        lambda: store.finish(Key("big"), upload_id, []),
    ):
        with pytest.raises(UploadMissingError):
            call()
    store.abandon(Key("big"), upload_id)


def test_a_part_whose_file_is_gone_is_missed(store, root, files):
    """Nothing is made visible of an upload that lacks a part."""
    from lighterman.errors import UploadMissingError

    upload_id = store.begin(Key("big"), Attributes(), part_bytes=PART_BYTES)
    part = store.send_part(Key("big"), upload_id, 1, files.of(b"x"))
    (root / ".lighterman-uploads" / upload_id / "part-1").unlink()

    with pytest.raises(UploadMissingError):
        store.finish(Key("big"), upload_id, [part])
    assert [".lighterman-uploads"] == os.listdir(root)


def test_a_read_only_volume_is_only_read(root, opened, files):
    """``readOnly``."""
    (root / "file").write_bytes(b"hello")
    store = opened(volume(root, read_only=True))

    etag = store.stat(Key("file")).etag
    store.read_into(Key("file"), files.of(b"....."), at=0, etag=etag)
    for call in (
        lambda: store.write(Key("k"), files.of(b"x"), Attributes()),
        lambda: store.copy(Key("file"), etag, Key("k"), Attributes()),
        lambda: store.delete(Key("file")),
        lambda: store.begin(Key("k"), Attributes(), part_bytes=PART_BYTES),
    ):
        with pytest.raises(CannotWriteError, match="readOnly") as caught:
            call()
        assert caught.value.hint
    assert ["file"] == os.listdir(root)


@pytest.mark.parametrize("key", ["file/below", "directory"])
def test_a_file_where_a_directory_is_needed_is_said(store, root, files, key):
    """A file where another key needs a directory, and the reverse."""
    (root / "file").touch()
    (root / "directory").mkdir()

    with pytest.raises(CannotWriteError) as caught:
        store.write(Key(key), files.of(b"x"), Attributes())

    assert caught.value.hint
    assert ["directory", "file"] == sorted(os.listdir(root))


def test_a_marker_cannot_be_made_of_a_file_or_of_bytes(store, root, files):
    """``dir/`` is a directory, which has no content."""
    (root / "file").touch()

    with pytest.raises(CannotWriteError):
        store.write(Key("file/"), files.of(b""), Attributes())
    with pytest.raises(UntrustedDataError):
        store.write(Key("dir/"), files.of(b"x"), Attributes())


def test_a_marker_only_if_absent(store, files, listed):
    """``only_if_absent`` raises ``ConditionFailedError`` if the key has an object."""
    store.write(Key("dir/"), files.of(b""), Attributes(mtime_ns=10**18), only_if_absent=True)

    with pytest.raises(ConditionFailedError):
        store.write(Key("dir/"), files.of(b""), Attributes(), only_if_absent=True)
    assert 10**18 == store.stat(Key("dir/")).attributes.mtime_ns


def test_a_directory_that_holds_something_is_not_deleted(store, root, listed):
    """Delete one object: the directory of others is none."""
    (root / "dir").mkdir()
    (root / "dir" / "file").touch()

    store.delete(Key("dir/"))
    store.delete(Key("dir"))

    assert ["dir/file"] == listed()


def test_a_write_keeps_to_the_umask(store, root, files):
    """A mode that wasn't given is the process's default."""
    store.write(Key("file"), files.of(b"x"), Attributes())

    umask = os.umask(0)
    os.umask(umask)
    assert 0o666 & ~umask == (root / "file").stat().st_mode & 0o777


def test_a_file_replaced_by_another_of_its_size_and_mtime_is_another(store, root, files):
    """ETag from inode, size, mtime and ctime."""
    (root / "file").write_bytes(b"before")
    os.utime(root / "file", ns=(1, 1))
    etag = store.stat(Key("file")).etag
    (root / "new").write_bytes(b"after.")
    os.utime(root / "new", ns=(1, 1))
    (root / "new").rename(root / "file")

    with pytest.raises(SourceChangedError):
        store.read_into(Key("file"), files.of(b"......"), at=0, etag=etag)


def test_a_root_that_vanishes_is_said(store, root, files):
    """``BucketMissingError`` names a volume that isn't there."""
    root.rmdir()

    for call in (
        lambda: list(store.pages("")),
        lambda: store.write(Key("a/b"), files.of(b"x"), Attributes()),
        lambda: store.write(Key("a/"), files.of(b""), Attributes()),
        lambda: store.delete(Key("a")),
        lambda: store.stat(Key("a")),
    ):
        with pytest.raises(BucketMissingError, match=str(root)):
            call()
    assert [] == store.open_uploads("")


AS_ANOTHER_USER = """
import os, sys
from lighterman.connections.model import Connection, HostPath
from lighterman.stores import open_store
from lighterman.stores.contract import Attributes, ETag, Key, Window
from lighterman.transfer.settings import TransferSettings
root = sys.argv[1]
schema = HostPath(host_path=root, mount_path=root)
store = open_store(Connection(name="v", kind="host_path", schema=schema), {}, TransferSettings(), concurrency=1)
list(store.pages("nothing"))  # all is imported
if os.getuid() == 0:
    os.setgid(65532)
    os.setuid(65532)
for call in (
    lambda: store.stat(Key("file")),
    lambda: list(store.pages("closed/")),
    lambda: list(store.pages("")),
    lambda: store.write(Key("new"), Window(0, 0, 0), Attributes()),
    lambda: store.write(Key("new/deep"), Window(0, 0, 0), Attributes()),
    lambda: store.delete(Key("file")),
):
    try:
        print(call())
    except Exception as error:
        print(type(error).__name__, bool(error.hint))
"""


def test_permissions_are_told_as_what_they_are(root):
    """No permission to read is a matter of the login (77), none to write is 73."""
    (root / "file").write_bytes(b"x")
    (root / "file").chmod(0)
    (root / "closed").mkdir(mode=0)
    root.chmod(0o555)
    for parent in root.parents:
        if "pytest" in str(parent):
            parent.chmod(0o755)

    done = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER_USER, str(root)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    root.chmod(0o755)
    (root / "closed").chmod(0o755)
    assert [
        "CredentialsError True",
        "CredentialsError True",
        "CredentialsError True",
        "CannotWriteError True",
        "CannotWriteError True",
        "CannotWriteError True",
    ] == done.stdout.splitlines(), done.stderr


def test_a_write_that_finds_no_space_leaves_nothing(store, root, files):
    """No space: ``CannotWriteError``, and nothing half-written is left."""
    content = files.of(b"x" * 100_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(CannotWriteError, match="no space"):
            store.write(Key("file"), content, Attributes())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert [] == os.listdir(root)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, CannotWriteError),
        (errno.EDQUOT, CannotWriteError),
        (errno.EROFS, CannotWriteError),
        (errno.EACCES, CannotWriteError),
        (errno.EIO, TransientError),
        (errno.ESTALE, TransientError),
    ],
)
def test_what_an_error_of_writing_means(code, kind):
    """No space, no permission or no such place to write (73); what may pass is transient."""
    assert kind is type(writing_failed(OSError(code, "x"), "there"))


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.EACCES, CredentialsError), (errno.EIO, TransientError)]
)
def test_what_an_error_of_reading_means(code, kind):
    """Without the permission (77); what may pass is transient."""
    assert kind is type(reading_failed(OSError(code, "x"), "there"))


def test_a_copy_that_the_kernel_refuses_is_made_by_hand(tmp_path):
    """Through a small buffer where the kernel can't (here: a file opened for appending)."""
    source = os.open(tmp_path / "source", os.O_RDWR | os.O_CREAT)
    os.write(source, b"0123456789")
    target = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT | os.O_APPEND)

    copied = windows.copy_between(Window(source, 2, 5), target, 0)

    assert (5, b"23456") == (copied, os.pread(target, 9, 0))
    os.close(source)
    os.close(target)


def test_a_copy_from_nowhere_is_an_error(tmp_path, files):
    """Foreign exceptions are mapped at the edge."""
    with pytest.raises(TransientError):
        windows.copy_between(Window(-1, 0, 5), files.of(b"").descriptor, 0)
    with pytest.raises(TransientError):
        windows.write_at(-1, b"x", 0)


def test_a_window_is_a_seekable_body(files):
    """A window as a seekable binary file, for clients that stream a body."""
    body = WindowBody(files.of(b"0123456789")._replace(start=2, size_bytes=5))

    assert (True, True, 5) == (body.readable(), body.seekable(), len(body))
    assert b"23" == body.read(2)
    assert 2 == body.tell()
    assert 4 == body.seek(-1, os.SEEK_END)
    assert b"6" == body.read()
    assert b"" == body.read(None)
    assert 1 == body.seek(-3, os.SEEK_CUR) - 1
    with pytest.raises(TransientError):
        WindowBody(Window(-1, 0, 1)).read()


def test_the_listing_of_a_vanishing_tree_goes_on(store, root, listed):
    """The listing is of what is there."""
    for name in ("a", "b"):
        (root / name).mkdir()
        (root / name / "file").touch()
    pages = store.pages("")
    (root / "a" / "file").unlink()
    (root / "a").rmdir()

    assert ["b/file"] == [item.key for page in pages for item in page]


def test_an_etag_of_nothing_pins_nothing(store, root, files):
    """``SourceChangedError`` when the object is another by now."""
    (root / "dir").mkdir()

    with pytest.raises(SourceChangedError):
        store.read_into(Key("dir/"), files.of(b""), at=0, etag=ETag("other"))
    assert "directory" == store.stat(Key("dir/")).etag


def test_nothing_is_left_of_a_file_that_a_killed_process_was_writing(root, store, files):
    """It has no name before it is whole."""
    with store._root.replacing("new") as replacement:
        os.write(replacement.descriptor, b"half")
        assert [] == os.listdir(root)
        replacement.place(None, None)
    assert ["new"] == os.listdir(root)


def test_a_filesystem_without_nameless_files_is_written_all_the_same(root, store, monkeypatch):
    """Under a hidden name then, which is gone when the file isn't placed."""
    real_open = os.open

    def without_nameless(path, flags, *rest, **named):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no nameless files")
        return real_open(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", without_nameless)
    with store._root.replacing("new") as replacement:
        os.write(replacement.descriptor, b"half")
        assert [] == [entry.key for page in store.pages("") for entry in page]
    assert [] == os.listdir(root)
    with store._root.replacing("new") as replacement:
        assert replacement.place_if_absent(None, None)
    assert ["new"] == os.listdir(root)
