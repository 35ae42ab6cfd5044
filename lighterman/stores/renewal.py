"""What ends after a while, renewed before it does: by one thread, while the others go on with what is good."""

import threading
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from lighterman.errors import LightermanError
from lighterman.log import get_logger
from lighterman.secret import MASK

T = TypeVar("T")


class Lease(NamedTuple, Generic[T]):
    """Something that is good until an end. Never printed."""

    value: T
    renew_at_seconds: float
    """From then on another one is to be got."""
    ends_at_seconds: float
    """From then on it isn't given any more."""

    def __repr__(self) -> str:
        return f"Lease({MASK})"


class Renewed(Generic[T]):
    """
    Always one that is good, each got by ``fetch``. Safe to share among threads. ``now`` is the clock that
    leases are told by; ``source`` is where the login came from, for the log.
    """

    def __init__(
        self,
        fetch: Callable[[], Lease[T]],
        now: Callable[[], float],
        *,
        again_seconds: float,
        connection: str,
        source: str,
    ) -> None:
        """After an early renewal that failed, ``again_seconds`` pass before the next one."""
        self._fetch = fetch
        self._now = now
        self._again_seconds = again_seconds
        self._connection = connection
        self._source = source
        self._lock = threading.Lock()
        self._lease: Lease[T] | None = None
        self._fetches = 0
        """Those that have ended."""
        self._failed: LightermanError | None = None
        """The error of the last fetch, if that failed."""

    def current(self) -> T:
        """The one to use now. The errors of ``fetch``, once what there was has ended."""
        lease, now = self._lease, self._now()
        if lease is None or now >= lease.ends_at_seconds:
            return self._waited_for(lease)
        if now < lease.renew_at_seconds or not self._lock.acquire(blocking=False):
            return lease.value
        try:
            return self._early(lease, now)
        finally:
            self._lock.release()

    def instead_of(self, refused: T) -> T | None:
        """Another one than that which was refused before its end; ``None`` if there is no other."""
        with self._lock:
            lease = self._lease
            if lease is None or lease.value == refused:
                lease = self._lease = self._fetched()
            return lease.value if lease.value != refused else None

    def _waited_for(self, seen: Lease[T] | None) -> T:
        fetches = self._fetches
        with self._lock:
            if self._failed is not None and self._fetches != fetches:
                # What one thread learned while the others waited for it holds for them too.
                error = self._failed
                raise type(error)(error.message, hint=error.hint, connection=error.connection)
            return self._other_than(seen)

    def _other_than(self, seen: Lease[T] | None) -> T:
        if self._lease is None or self._lease is seen:
            self._lease = self._fetched()
        return self._lease.value

    def _fetched(self) -> Lease[T]:
        self._failed = None
        try:
            return self._fetch()
        except LightermanError as error:
            error.connection = error.connection or self._connection
            self._failed = error
            raise
        finally:
            self._fetches += 1

    def _early(self, lease: Lease[T], now: float) -> T:
        try:
            return self._other_than(lease)
        except LightermanError as error:
            self._lease = lease._replace(renew_at_seconds=now + self._again_seconds)
            get_logger().warning(
                "credentials.kept",
                connection=self._connection,
                source=self._source,
                error=error.message,
            )
            return lease.value
