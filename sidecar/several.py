"""
Several outputs in one process: each has its service, watch and journal; the thread that decides, the end of main,
the memory budget, and the pace of a connection are shared.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from lighterman.errors import ExitCode, LightermanError
from lighterman.log import get_logger
from lighterman.transfer.pace import Pace
from sidecar.ending import Main, MainsEnd
from sidecar.loop import Loop
from sidecar.opened import Opened
from sidecar.rig import PART_THREADS
from sidecar.service import Service


class Several:
    """Services that go on side by side; over when all are."""

    def __init__(
        self,
        services: Sequence[Service],
        *,
        loop: Loop,
        end: MainsEnd,
        told: threading.Event,
    ) -> None:
        """``end`` is the one that all ``services`` were given; they were given no ``told``."""
        self._services = services
        self._loop = loop
        self._end = end
        self._told = told

    def run(self) -> None:
        """
        Until everything of all is in their buckets. Before main's end the first failure ends all, as it does
        with one output; after it the others go on, and the first failure that another try doesn't mend
        is raised, else the first.
        """
        self._end.listen(self._told)
        for service in self._services:
            service.begin()
        failures: list[LightermanError] = []
        going = list(self._services)
        readable: set[int] = set()
        while going:
            for service in tuple(going):
                try:
                    is_over = service.step(readable)
                except LightermanError as error:
                    failures.append(error)
                    going.remove(service)
                    service.close()
                    get_logger().error(
                        "sidecar.output_failed",
                        path=service.path,
                        error=error.message,
                        hint=error.hint,
                        kind=error.kind,
                    )
                    if not service.is_ending:
                        raise
                else:
                    if is_over:
                        going.remove(service)
            if going:
                readable = self._loop.turn(_soonest([each.wait_seconds() for each in going]))
        if failures:
            raise worst(failures)


class StartedOnce:
    """Main, which each service starts once its bucket is known to be there: the last of them does."""

    def __init__(self, main: Main, services: int) -> None:
        self._main = main
        self._missing = services

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self._main.ended

    @property
    def failed(self) -> bool:
        """Whether it has ended badly."""
        return self._main.failed

    def start(self) -> None:
        """One more is ready."""
        self._missing -= 1
        if not self._missing:
            self._main.start()

    def reap(self) -> None:
        """After SIGCHLD: see whether it ended."""
        self._main.reap()

    def pass_on(self, number: int) -> None:
        """Send it a signal."""
        self._main.pass_on(number)

    def kill(self) -> None:
        """It has no time left."""
        self._main.kill()


def shared_by(opened: Sequence[Opened]) -> Iterator[tuple[Opened, dict[str, Any]]]:
    """What each output's service shares with those of the same connection: its pace."""
    paces: dict[int, Pace] = {}
    for output in opened:
        most = output.options.workers + PART_THREADS
        yield output, {"pace": paces.setdefault(id(output.store), Pace(most))}


def worst(failures: list[LightermanError]) -> LightermanError:
    """The first that another try doesn't mend (not 75), else the first: what the process ends with."""
    return next((error for error in failures if error.exit_code != ExitCode.TRY_AGAIN), failures[0])


def _soonest(waits: list[float | None]) -> float | None:
    return min((wait for wait in waits if wait is not None), default=None)
