"""A store that is kept to a rate: the same bytes, asked for in pieces, each when its turn came."""

import hashlib
import os
import threading

import pytest

from lighterman.errors import DeadlineError, SourceChangedError
from lighterman.stores.contract import Attributes
from lighterman.stores.limited import LimitedStore, limited
from lighterman.stores.volume import VolumeStore
from lighterman.transfer.limit import BURST_SECONDS, Limiter

RATE = 1_000_000
SLICE = int(RATE * BURST_SECONDS)
SIZE = 3 * SLICE + 17


class HandClock:
    """Time passes when somebody waits."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def wait(self, seconds, until=None):
        if until is not None and until.is_set():
            return True
        self.now += seconds
        return False


class Told(VolumeStore):
    """A volume that notes when it was asked for how much."""

    def __init__(self, root, clock):
        super().__init__(root, "told")
        self._clock = clock
        self.asked = []

    def _note(self, window):
        self.asked.append((self._clock.now, window.size_bytes))

    def read_into(self, key, window, *, at, etag, digest=None):
        self._note(window)
        return super().read_into(key, window, at=at, etag=etag, digest=digest)

    def write(self, key, window, attributes, **conditions):
        self._note(window)
        return super().write(key, window, attributes, **conditions)

    def send_part(self, key, upload_id, number, window):
        self._note(window)
        return super().send_part(key, upload_id, number, window)


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def inner(tmp_path, clock):
    return Told(str(tmp_path), clock)


@pytest.fixture
def store(inner, clock):
    return LimitedStore(inner, Limiter(RATE, clock))


@pytest.fixture
def content(tmp_path):
    content = os.urandom(SIZE)
    (tmp_path / "a").write_bytes(content)
    return content


def test_a_read_comes_in_slices_of_half_a_second(store, inner, content, files, clock):
    """The window is filled, the digest sees it in order, and no request asks for more than a slice."""
    told = store.stat("a")
    window = files.of(b"")._replace(size_bytes=SIZE - 5)
    digest = hashlib.md5(usedforsecurity=False)
    store.read_into("a", window, at=5, etag=told.etag, digest=digest)
    assert os.pread(window.descriptor, SIZE, 0) == content[5:]
    assert digest.hexdigest() == hashlib.md5(content[5:], usedforsecurity=False).hexdigest()
    assert [size for _, size in inner.asked] == [SLICE, SLICE, SLICE, 12]
    assert clock.now == pytest.approx((SIZE - 5) / RATE - BURST_SECONDS)


def test_each_slice_is_of_the_version_that_was_asked_for(store, inner, tmp_path, content, files):
    """An object that is replaced between two slices gives no mixed range."""
    told = store.stat("a")
    window = files.of(b"")._replace(size_bytes=SIZE)
    read_into = inner.read_into

    def replaced_after_the_first(key, piece, **how):
        attributes = read_into(key, piece, **how)
        (tmp_path / "new").write_bytes(b"n" * SIZE)
        (tmp_path / "new").rename(tmp_path / "a")
        return attributes

    inner.read_into = replaced_after_the_first
    with pytest.raises(SourceChangedError):
        store.read_into("a", window, at=0, etag=told.etag)


def test_nothing_is_a_request_too_and_waits_for_nobody(store, inner, tmp_path, files, clock):
    """An empty object's attributes come at once, whoever has used the rate up."""
    (tmp_path / "empty").write_bytes(b"")
    store.write("b", files.of(bytes(4 * RATE)), Attributes())
    before = clock.now
    store.read_into("empty", files.of(b""), at=0, etag=store.stat("empty").etag)
    assert inner.asked[-1] == (before, 0)


def test_what_is_sent_counts_as_what_is_read(store, inner, content, files, clock):
    """Both directions share the rate: a write and a part wait for their whole size."""
    store.write("b", files.of(bytes(SLICE)), Attributes())
    upload = store.begin("c", Attributes(), part_bytes=RATE)
    part = store.send_part("c", upload, 1, files.of(bytes(RATE)))
    assert [part] == store.sent_parts("c", upload)
    store.finish("c", upload, [part])
    assert inner.asked == [(0.0, SLICE), (pytest.approx(1.0), RATE)]
    window = files.of(b"")._replace(size_bytes=100)
    store.read_into("a", window, at=0, etag=store.stat("a").etag)
    assert inner.asked[-1][0] == pytest.approx(1.0 + 100 / RATE)


def test_a_stop_ends_the_wait_with_75(inner, content, files, clock):
    """Told to stop while it waits: no byte more, and another start goes on."""
    stop = threading.Event()
    store = LimitedStore(inner, Limiter(RATE, clock), stop)
    stop.set()
    window = files.of(b"")._replace(size_bytes=SIZE)
    with pytest.raises(DeadlineError) as caught:
        store.read_into("a", window, at=0, etag=store.stat("a").etag)
    assert caught.value.exit_code == 75
    assert [size for _, size in inner.asked] == [SLICE]


def test_without_a_limit_a_store_is_itself(inner, clock):
    """No layer between where nothing is limited."""
    assert limited(inner, None) is inner
    assert isinstance(limited(inner, Limiter(RATE, clock)), LimitedStore)


def test_all_else_goes_through(store, inner, content, files):
    """What carries no content is the store's own."""
    told = store.stat("a")
    assert [[item.key for item in page] for page in store.pages("a")] == [["a"]]
    copied = store.copy("a", told.etag, "b", Attributes())
    assert store.stat("b").etag == copied
    store.delete("b")
    upload = store.begin("c", Attributes(), part_bytes=RATE)
    assert [one.upload_id for one in store.open_uploads("c")] == [upload]
    store.abandon("c", upload)
    assert store.open_uploads("c") == []
    window = files.of(content)
    listed = next(store.pages("a"))[0]
    assert store.part_etag(window) == inner.part_etag(window)
    assert store.has_content(listed, window, RATE) == inner.has_content(listed, window, RATE)
    assert store.made_of("a", []) == inner.made_of("a", [])
    shared = ("connection", "prefix", "destination", "limits", "small_write_bytes")
    assert [getattr(store, name) for name in shared] == [getattr(inner, name) for name in shared]
    store.close()
