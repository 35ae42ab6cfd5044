"""What ends is renewed before it does, whatever it is and whoever gives it."""

import threading

import pytest

from lighterman.errors import CredentialsError, TransientError
from lighterman.stores.renewal import Lease, Renewed

AGAIN_SECONDS = 30.0
LIFE_SECONDS = 100.0
EARLY_SECONDS = 20.0


class Giver:
    """Gives ``1``, ``2``, … by a clock that is told the time; fails when it is told to."""

    def __init__(self) -> None:
        self.now_seconds = 0.0
        self.asked = 0
        self.error: Exception | None = None
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self) -> Lease[int]:
        self.asked += 1
        assert self.may_answer.wait(30)
        if self.error:
            raise self.error
        now = self.now_seconds
        return Lease(self.asked, now + LIFE_SECONDS - EARLY_SECONDS, now + LIFE_SECONDS)


@pytest.fixture
def giver() -> Giver:
    return Giver()


@pytest.fixture
def renewed(giver: Giver) -> Renewed[int]:
    return Renewed(
        giver,
        lambda: giver.now_seconds,
        again_seconds=AGAIN_SECONDS,
        connection="mine",
        source="somewhere",
    )


def test_what_has_ended_is_never_given(giver, renewed):
    """Also when its renewal failed a moment before the end, and isn't due again."""
    first = renewed.current()
    giver.now_seconds = LIFE_SECONDS - 1
    giver.error = TransientError("away")
    assert first == renewed.current()

    giver.now_seconds = LIFE_SECONDS
    with pytest.raises(TransientError):
        renewed.current()


def test_an_early_renewal_that_failed_is_tried_again_after_a_while(giver, renewed):
    """Not by each request: whoever gives it has trouble already."""
    renewed.current()
    giver.now_seconds = LIFE_SECONDS - EARLY_SECONDS
    giver.error = TransientError("away")
    assert [1, 1, 1] == [renewed.current() for _ in range(3)]
    assert 2 == giver.asked


def test_threads_that_waited_share_the_failure(giver, renewed):
    """A login that is refused is asked for once by all who wait, not by one after the other."""
    giver.error = CredentialsError("no", hint="mend it")
    giver.may_answer.clear()
    lock = CountedLock()
    renewed._lock = lock
    errors: list[CredentialsError] = []

    def ask() -> None:
        with pytest.raises(CredentialsError) as caught:
            renewed.current()
        errors.append(caught.value)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert lock.wait_for(8)
    giver.may_answer.set()
    for thread in threads:
        thread.join(30)

    assert 1 == giver.asked
    assert [("no", "mend it", "mine")] * 8 == [(e.message, e.hint, e.connection) for e in errors]


class CountedLock:
    """A lock that tells how many have come to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = threading.Condition()
        self._came = 0

    def __enter__(self) -> None:
        with self._count:
            self._came += 1
            self._count.notify_all()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait_for(self, count: int) -> bool:
        with self._count:
            return self._count.wait_for(lambda: self._came >= count, 30)


def test_one_that_was_refused_is_replaced_once(giver, renewed):
    """Whoever comes later gets what the first one got."""
    first = renewed.current()

    assert [2, 2] == [renewed.instead_of(first), renewed.instead_of(first)]
    assert 2 == renewed.current() == giver.asked


def test_no_lease_shows_what_it_is(renewed):
    """It holds a secret."""
    renewed.current()

    assert "Lease(********)" == repr(renewed._lease)
