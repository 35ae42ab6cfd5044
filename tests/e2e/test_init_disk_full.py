"""A disk that fills up in the middle: 73, nothing partial, and a second start that completes."""

import contextlib
import os
import threading

import pytest
from pulls import MIB, Pull
from servers.faults import Call, is_get


@pytest.fixture
def proxy(proxy_to, moto_endpoint):
    """Fills the disk when it is told to."""
    return proxy_to(moto_endpoint)


@pytest.fixture
def pull(s3_bucket, tmp_path, proxy, mounted):
    """Init of a fresh bucket into a tmpfs of 32 MiB."""
    pull = Pull(s3_bucket, tmp_path, proxy.url)
    pull.dest = mounted("-o", "size=32m,nr_inodes=400")
    return pull


def small(pull):
    """Ten files of 2 MiB."""
    return {f"d/{number}": os.urandom(2 * MIB) for number in range(10)}


def large(pull):
    """One file, in ranges of 8 MiB."""
    return {"large": os.urandom(28 * MIB)}


def mixed(pull):
    """Both, side by side."""
    return {f"d/{number}": os.urandom(MIB) for number in range(8)} | {"large": os.urandom(20 * MIB)}


class Other:
    """Something else that takes all room, or all names, at the moment that it is told to; it gives them back."""

    def __init__(self, pull):
        self._dest = pull.dest
        self._files = []
        self._is_done = threading.Event()

    def take_bytes(self, _request):
        """But those of a few pages."""
        told = os.statvfs(self._dest)
        self._files = [self._dest / "other"]
        with contextlib.suppress(OSError):  # init takes some of it meanwhile
            self._files[0].write_bytes(bytes(told.f_bavail * told.f_frsize - 64 * 1024))
        self._is_done.set()

    def take_names(self, _request):
        count = os.statvfs(self._dest).f_favail
        self._files = [self._dest / f"other-{number}" for number in range(count)]
        with contextlib.suppress(OSError):
            for file in self._files:
                file.touch()
        self._is_done.set()

    def give_back(self):
        assert self._is_done.wait(30)
        for file in self._files:
            file.unlink(missing_ok=True)


@pytest.mark.parametrize("content", [small, large, mixed])
@pytest.mark.parametrize("workers", ["1", "16"])
def test_a_disk_that_fills_up_in_the_middle(pull, proxy, content, workers):
    """Exit 73, no partial file under a final name, the message tells how much was needed."""
    objects = content(pull)
    for key, body in objects.items():
        pull.bucket.put(key, body)
    other = Other(pull)
    proxy.on(is_get, Call(other.take_bytes), skip=1)

    finished = pull.run("--workers", workers)

    message = finished.report["error"]["message"]
    assert (finished.code, finished.report["error"]["kind"]) == (73, "cannot_write")
    assert message.startswith(f"no space left for {pull.dest}/")
    sizes = {len(body) for body in objects.values()}
    assert any(f" of {size} bytes; " in message for size in sizes)
    assert message.endswith(" bytes are free")
    other.give_back()
    assert all(body == objects[key] for key, body in pull.files().items())
    assert pull.temporaries() == []
    assert {path.name for path in (pull.dest / ".lighterman").iterdir()} <= {
        "init.lock", "init.sqlite3", "init.sqlite3-journal",
    }  # fmt: skip

    again = pull.run("--workers", workers)

    assert again.code == 0, again.stderr
    assert pull.files() == objects
    assert pull.temporaries() == []


def test_a_disk_that_takes_no_more_files(pull, proxy):
    """Its inodes may end before its bytes do."""
    objects = {f"d/{number}": b"1" for number in range(20)}
    for key, body in objects.items():
        pull.bucket.put(key, body)
    other = Other(pull)
    proxy.on(is_get, Call(other.take_names), skip=2)
    finished = pull.run("--workers", "1")
    assert finished.code == 73
    assert finished.report["error"]["message"].startswith(f"no space left for {pull.dest}/d/")
    other.give_back()
    assert pull.temporaries() == []
    assert pull.run("--workers", "1").code == 0
    assert pull.files() == objects


def test_what_came_half_is_no_room_that_is_asked_for_twice(pull, proxy):
    """A large file that goes on needs only what is missing of it."""
    body = os.urandom(24 * MIB)
    pull.bucket.put("large", body)
    proxy.on(
        lambda request: (
            is_get(request) and request.headers["range"].startswith(f"bytes={8 * MIB}-")
        ),
        Call(lambda _: running.process.terminate()),
    )
    running = pull.start("--workers", "1")
    assert running.finish().code == 75
    assert len(pull.temporaries()) == 1
    (pull.dest / "other").write_bytes(bytes(6 * MIB))
    assert os.statvfs(pull.dest).f_bavail * os.statvfs(pull.dest).f_frsize < len(body)
    assert pull.run().code == 0
    assert pull.files() == {"large": body, "other": bytes(6 * MIB)}
