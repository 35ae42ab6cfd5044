"""
Who retries what: the engines retry a single request, few times and quickly; this is the one owner of
attempts at a file, a part or a listing. Only transient trouble is tried again, with exponential waits
and full jitter, until the deadline.
"""

import random
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from lighterman.clock import Clock
from lighterman.errors import LightermanError, Retry
from lighterman.log import get_logger

if TYPE_CHECKING:
    import tenacity

T = TypeVar("T")

FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 15.0


class CountsRetries(Protocol):
    """Whoever sums up the retries for the report."""

    def retried(self) -> None: ...


class Attempts:
    """
    Calls an operation until it succeeds, fails for good, or ``retry_seconds`` have passed since its
    first failure. Then the last error is raised as it was. ``stop`` ends the waiting early, likewise.
    """

    def __init__(
        self,
        retry_seconds: float,
        clock: Clock,
        counter: CountsRetries,
        stop: threading.Event | None = None,
    ) -> None:
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._counter = counter
        self._stop = stop or threading.Event()

    @property
    def is_stopped(self) -> bool:
        """Whether nothing new should be begun."""
        return self._stop.is_set()

    def call(self, what: str, operation: Callable[[], T]) -> T:
        """``operation()``. ``what`` names it in the log line of each retry (``get data/a.bin``)."""
        try:
            return operation()
        except LightermanError as error:
            if error.retry is not Retry.LATER or self._stop.is_set():
                raise
            first_error = error
        return self._again(what, operation, first_error)

    def _again(self, what: str, operation: Callable[[], T], first_error: LightermanError) -> T:
        # Most runs never need it: 37 ms of a cold start.
        import tenacity

        begun = self._clock.monotonic()
        pending: list[LightermanError] = [first_error]

        def attempt() -> T:
            if pending:  # the attempt that was made before tenacity was loaded
                raise pending.pop()
            return operation()

        def is_transient(error: BaseException) -> bool:
            return isinstance(error, LightermanError) and error.retry is Retry.LATER

        def wait(state: "tenacity.RetryCallState") -> float:
            exponential: float = FIRST_WAIT_SECONDS * 2.0 ** min(state.attempt_number, 16)
            # At least a tenth of it, so that no streak of small draws hammers a store that is down.
            return min(LONGEST_WAIT_SECONDS, exponential) * random.uniform(0.1, 1.0)

        def is_over(state: "tenacity.RetryCallState") -> bool:
            waited = self._clock.monotonic() - begun
            return self._stop.is_set() or waited + state.upcoming_sleep > self._retry_seconds

        def tell(state: "tenacity.RetryCallState") -> None:
            self._counter.retried()
            error = state.outcome.exception() if state.outcome else None
            get_logger().warning(
                "transfer.retry",
                what=what,
                attempt=state.attempt_number,
                wait_seconds=round(state.upcoming_sleep, 3),
                error=str(error),
                kind=getattr(error, "kind", ""),
            )

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_transient),
            wait=wait,
            stop=is_over,
            before_sleep=tell,
            sleep=self._wait,
            reraise=True,
        )
        return retrying(attempt)

    def _wait(self, seconds: float) -> None:
        self._clock.wait(seconds, self._stop)
