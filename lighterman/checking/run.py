"""All checks, one after another, in a thread that a stop doesn't wait for."""

import os
import threading
from argparse import Namespace
from typing import Final

from initializer.space import Need
from lighterman.checking.access import Access
from lighterman.checking.directories import check_place, existing_parent
from lighterman.checking.findings import Findings, State
from lighterman.checking.grace import check_grace
from lighterman.checking.sources import Needed
from lighterman.checking.subjects import Place, Subjects
from lighterman.command import Context
from lighterman.errors import DeadlineError, ExitCode
from lighterman.log import get_logger

HALT_SECONDS: Final = 5.0
"""How long a stop waits for the request under way and for the probes to be taken away."""
_LOOK_SECONDS: Final = 0.5


class Checks:
    """The checks of all subjects."""

    def __init__(
        self, subjects: Subjects, arguments: Namespace, context: Context, findings: Findings
    ) -> None:
        self._subjects = subjects
        self._grace_seconds: float = arguments.grace
        self._context = context
        self._findings = findings
        self._accesses = [
            Access(wanted, context, findings, context.stop) for wanted in subjects.connections
        ]

    def run(self) -> int:
        """0 when all hold; raises the error that those that don't amount to, or ``DeadlineError``."""
        ended = threading.Event()
        errors: list[BaseException] = []

        def work() -> None:
            try:
                self._all()
            except BaseException as error:  # noqa: BLE001 - raised again below
                errors.append(error)
            finally:
                ended.set()

        threading.Thread(target=work, name="check", daemon=True).start()
        clock = self._context.clock
        while not clock.wait(_LOOK_SECONDS, ended):
            if self._context.stop.is_set() and not clock.wait(HALT_SECONDS, ended):
                raise DeadlineError("told to stop while a request hung", hint=self._left())
        if errors:
            raise errors[0]
        counts = self._findings.counts()
        get_logger().info("check.done", **{str(state): counts[state] for state in State})
        if verdict := self._findings.verdict():
            raise verdict
        return ExitCode.DONE

    def _all(self) -> None:
        for access in self._accesses:
            access.run()
        for place in self._subjects.places:
            if self._context.stop.is_set():
                raise DeadlineError("told to stop before all was checked", hint="start it again")
            self._place(place)

    def _place(self, place: Place) -> None:
        check_place(place, self._needed(place), self._findings)
        if place.is_outputs:
            rates = [
                outputs.rate_bytes_per_second
                for access in self._accesses
                for outputs in access.outputs
                if outputs.rate_bytes_per_second is not None
            ]
            check_grace(place.path, self._grace_seconds, min(rates, default=None), self._findings)

    def _needed(self, place: Place) -> Needed | None:
        """What init would bring there, with all that it would bring to the same filesystem."""
        needs = [
            (destination, needed)
            for access in self._accesses
            for destination, needed in access.sources.needs.items()
        ]
        if place.path not in [destination for destination, _ in needs]:
            return None
        device = _device(place.path)
        total = Needed(Need(0, 0))
        for destination, needed in needs:
            if _device(destination) == device:
                total = total.plus(needed)
        return total

    def _left(self) -> str:
        left = [
            key
            for access in self._accesses
            for outputs in access.outputs
            for key in outputs.probe.left
        ]
        return f"delete what may be left there: {', '.join(left)}" if left else "start it again"


def _device(path: str) -> int:
    there = existing_parent(path)
    return (os.stat(there) if os.path.exists(there) else os.lstat(there)).st_dev
