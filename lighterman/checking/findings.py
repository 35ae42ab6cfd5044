"""What was tried and how it went, one line each."""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, TypeVar

from lighterman.errors import LightermanError, Retry
from lighterman.transfer.tally import Tally

T = TypeVar("T")


class State(StrEnum):
    """How one check went. Only ``failed`` decides about the exit code."""

    OK = "ok"
    NOTE = "note"
    """Nothing to mend, but worth knowing."""
    WARNING = "warning"
    """The job would run; something about it is worth mending."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """It couldn't be tried, or there was nothing to try it on."""


class Finding(NamedTuple):
    """One line."""

    subject: str
    """A connection's name or a directory."""
    check: str
    state: State
    said: str
    hint: str = ""
    error: LightermanError | None = None


class Findings:
    """Collects lines and shows each as it comes; failures also become the report's."""

    def __init__(self, show: Callable[[Finding], None], tally: Tally) -> None:
        self._show = show
        self._tally = tally
        self._all: list[Finding] = []

    def tell(self, subject: str, check: str, state: State, said: str, hint: str = "") -> None:
        """One line that no error stands behind."""
        self._add(Finding(subject, check, state, said, hint))

    def failed(self, subject: str, check: str, error: LightermanError, hint: str = "") -> None:
        """One check that doesn't hold. ``hint`` is added to the error's own."""
        hints = "; ".join(part for part in (error.hint, hint) if part)
        self._add(Finding(subject, check, State.FAILED, error.message, hints, error))
        self._tally.failed(f"{subject}: {check}", error.kind, error.message)

    def _add(self, finding: Finding) -> None:
        self._all.append(finding)
        self._show(finding)

    def counts(self) -> dict[State, int]:
        """How many lines of each state."""
        return {state: sum(one.state is state for one in self._all) for state in State}

    def verdict(self) -> LightermanError | None:
        """
        The error that all of it amounts to; ``None`` if every check holds. The first failure that another
        start won't mend decides, else the first: who is told to try again later shall not do so in vain.
        """
        failures = [one for one in self._all if one.error is not None]
        if not failures:
            return None
        for_good = [one for one in failures if one.error and one.error.retry is Retry.NEVER]
        first = (for_good or failures)[0]
        error = first.error
        if error is None:
            raise AssertionError
        more = f" (and {len(failures) - 1} more checks failed)" if len(failures) > 1 else ""
        return type(error)(
            f"{first.subject}: {first.check}: {error.message}{more}",
            hint=first.hint,
            connection=error.connection,
            key=error.key,
        )
