"""A mounted login that changes under the running program."""

import io
import json
import shutil
import threading
import time

import pytest

from lighterman import log
from lighterman.connections.credentials import LOOK_EVERY_SECONDS, S3Login, S3Logins
from lighterman.connections.model import Bucket, Connection, Mount
from lighterman.connections.mounted import read_mounts
from lighterman.errors import ConfigurationError, CredentialsError, TransientError

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def keys(mark: str) -> dict[str, str]:
    return {name: f"{name[4:10]}-{mark}" for name in KEYS}


def mark_of(login: S3Login) -> str:
    assert login.access_key_id is not None
    assert login.secret_access_key is not None
    found = {
        part.reveal().rpartition("-")[2] for part in (login.access_key_id, login.secret_access_key)
    }
    (mark,) = found
    return mark


def connection(secret) -> Connection:
    return Connection(
        name="c", kind="s3", schema=Bucket("b"), secret=Mount(name="s", mount_path=str(secret.root))
    )


@pytest.fixture
def logged():
    """What is logged, as JSON lines."""
    stream = io.StringIO()
    log.configure("info", "json", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    log.configure()


def test_a_rotated_secret_is_read_again_without_a_restart(mounted, hand_clock, logged):
    """A mounted file is read again when it changes: rotation needs no restart."""
    secret = mounted("s3", keys("old"))
    logins = S3Logins(connection(secret), {}, hand_clock)
    first = logins.current()
    secret.put(keys("new"))
    assert first is logins.current()
    hand_clock.now_seconds += LOOK_EVERY_SECONDS
    second = logins.current()
    assert ("old", "new") == (mark_of(first), mark_of(second))
    assert first != second
    assert ["credentials.reread"] == [line["event"] for line in logged()]


def test_an_unchanged_secret_gives_the_very_same_login(mounted, hand_clock):
    """A look that finds nothing new costs no new login."""
    logins = S3Logins(connection(mounted("s3", keys("old"))), {}, hand_clock)
    first = logins.current()
    hand_clock.now_seconds += 100
    assert first is logins.current()
    assert first is logins.refreshed()


def test_a_refused_login_can_be_looked_after_at_once(mounted, hand_clock):
    """refreshed looks at the files now, without waiting for the next look."""
    secret = mounted("s3", keys("old"))
    logins = S3Logins(connection(secret), {}, hand_clock)
    assert "old" == mark_of(logins.current())
    secret.put(keys("new"))
    assert "new" == mark_of(logins.refreshed())


def test_the_same_login_in_new_files_is_an_equal_login(mounted, hand_clock, logged):
    """A store sees by equality whether its login changed: rewritten files with the same keys don't count."""
    secret = mounted("s3", keys("old"))
    logins = S3Logins(connection(secret), {}, hand_clock)
    first = logins.current()
    secret.put(keys("old"))
    assert first == logins.refreshed()
    assert [] == logged()


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({}, "no login in the files in {root} any more"),
        (
            {"AWS_ACCESS_KEY_ID": "x"},
            "AWS_ACCESS_KEY_ID (files in {root}) without AWS_SECRET_ACCESS_KEY",
        ),
        ({"x.json": '{"AWS'}, "{root}/x.json:1:2: not JSON: Unterminated string starting at"),
    ],
)
def test_a_half_replaced_secret_keeps_the_last_good_login(
    mounted, hand_clock, logged, files, error
):
    """While the files are gone or half there, the last good login stays; it is said once, and mended later."""
    secret = mounted("s3", keys("old"))
    environ = {name: f"process-{name}" for name in KEYS}
    logins = S3Logins(connection(secret), environ, hand_clock)
    first = logins.current()
    secret.put(files)
    for _ in range(3):
        hand_clock.now_seconds += LOOK_EVERY_SECONDS
        assert first is logins.current()
    (line,) = logged()
    assert ("credentials.kept", error.format(root=secret.root)) == (line["event"], line["error"])
    secret.put(keys("new"))
    hand_clock.now_seconds += LOOK_EVERY_SECONDS
    assert "new" == mark_of(logins.current())


def test_an_unmounted_secret_keeps_the_last_good_login(mounted, hand_clock):
    """The directory itself may be gone for a moment."""
    secret = mounted("s3", keys("old"))
    logins = S3Logins(connection(secret), {}, hand_clock)
    assert "old" == mark_of(logins.current())
    shutil.rmtree(secret.root)
    assert "old" == mark_of(logins.refreshed())


def test_a_secret_that_appears_later_takes_over(mounted, hand_clock):
    """Files come first as soon as they are there."""
    secret = mounted("s3", {})
    logins = S3Logins(connection(secret), dict.fromkeys(KEYS, "process-env"), hand_clock)
    assert "process environment" == logins.current().source
    secret.put(keys("new"))
    assert "new" == mark_of(logins.refreshed())


def test_a_login_that_never_was_good_is_an_error_each_time(mounted, hand_clock):
    """Without a last good login there is nothing to keep; mended files are read at the next call."""
    secret = mounted("s3", {"AWS_ACCESS_KEY_ID": "x"})
    logins = S3Logins(connection(secret), {}, hand_clock)
    for _ in range(2):
        with pytest.raises(CredentialsError):
            logins.current()
    secret.put(keys("new"))
    assert "new" == mark_of(logins.current())


def test_no_login_is_ever_put_together_of_two_versions(mounted):
    """Whenever it is looked at while the secret is replaced, id and secret are of one version."""
    secret = mounted("s3", keys("0"))
    logins = S3Logins(connection(secret), {})
    seen = {mark_of(logins.current())}
    enough = threading.Event()

    def rotate() -> None:
        while not enough.is_set():
            secret.put(keys(str(secret.version)))

    writer = threading.Thread(target=rotate)
    writer.start()
    deadline = time.monotonic() + 30
    try:
        while len(seen) < 20 and time.monotonic() < deadline:
            seen.add(mark_of(logins.refreshed()))
    finally:
        enough.set()
        writer.join()
    assert 20 == len(seen)


def test_files_that_never_rest_are_transient_trouble(mounted):
    """Files that change under every reading are given up for now (75), not guessed at."""
    secret = mounted("s3", keys("0"))

    class Meddler(frozenset[str]):
        """Replaces the secret whenever one of its files has been met."""

        def __contains__(self, name: object) -> bool:
            secret.put(keys(str(secret.version)))
            return super().__contains__(name)

    mount = Mount(name="s", mount_path=str(secret.root))
    with pytest.raises(TransientError) as caught:
        read_mounts([mount], Meddler(KEYS))
    assert f"the files in {secret.root} keep changing while they are read" == caught.value.message


def test_a_file_that_cannot_be_read_is_a_refusal_with_its_mend(tmp_path):
    """77, with the file and what lets it be read."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    cases = {"/proc/self/mem": "Input/output error", str(loop): "Too many levels of symbolic links"}
    for path, said in cases.items():
        with pytest.raises(CredentialsError) as caught:
            read_mounts([Mount(name="s", mount_path=path)], KEYS)
        assert f"{path} can't be read: {said}" == caught.value.message
        assert "defaultMode" in caught.value.hint


def test_a_connection_without_mounts_resolves_its_login_once(hand_clock):
    """Cheap: without mounted files there is nothing to look at again."""
    environ = dict.fromkeys(KEYS, "process-env")
    logins = S3Logins(Connection(name="c", kind="s3", schema=Bucket("b")), environ, hand_clock)
    first = logins.current()
    environ.clear()
    hand_clock.now_seconds += 100
    assert first is logins.current()


def test_an_error_of_the_login_names_the_connection(hand_clock):
    """Whose login it was is in the error."""
    broken = Connection(name="mine", kind="s3", schema=Bucket("b"), env={"AWS_USE_SSL": "maybe"})
    with pytest.raises(ConfigurationError) as caught:
        S3Logins(broken, {}, hand_clock).current()
    assert "mine" == caught.value.connection
