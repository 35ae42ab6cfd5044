"""All that stands against a plan, told as one error."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from initializer.plan import Refuse
from lighterman.errors import LightermanError, SourceMissingError, UntrustedDataError
from lighterman.transfer.tally import Tally

NAMED: Final = 10
"""So many of each kind are named; the rest are counted."""
_HINTS: Final[dict[type[LightermanError], str]] = {
    UntrustedDataError: "rename the objects (or have their manifest written anew), or declare the parts of the "
    "prefix that are meant",
    SourceMissingError: "restore what is archived, bring what a manifest names, or leave it out",
}
_OTHER_HINT: Final = "take away what is in the way, or choose another destination"


class Refusals:
    """Collects what is missing and what is refused, in memory for a few of them."""

    def __init__(self) -> None:
        self._missing: list[tuple[str, str, int]] = []
        self._first: dict[type[LightermanError], list[Refuse]] = {}
        self._counts: Counter[type[LightermanError]] = Counter()

    def missing(self, sources: Iterable[tuple[str, str]], left_out: int = 0) -> None:
        """
        Declared sources that aren't there, each with its connection; or of which ``include`` and ``exclude``
        left out all objects that are.
        """
        self._missing.extend((name, connection, left_out) for name, connection in sources)

    def add(self, refusal: Refuse) -> None:
        """A key that can't come."""
        self._counts[refusal.error] += 1
        first = self._first.setdefault(refusal.error, [])
        if len(first) < NAMED:
            first.append(refusal)

    def raise_any(self, tally: Tally) -> None:
        """
        The error that says it all: missing sources before refused keys, each named. The first ones go
        into the report too.
        """
        if self._missing:
            for name, _, left_out in self._missing:
                tally.failed(name, SourceMissingError.kind, _why_missing(left_out))
            told = [
                (f"{name!r} in connection {connection!r}" if name != connection else f"{name!r}")
                + (f" ({_why_missing(left_out)})" if left_out else "")
                for name, connection, left_out in self._missing
            ]
            raise SourceMissingError(
                f"nothing is there: {_named(told, len(told))}",
                hint="mend what is declared, or set optional: true in the job spec",
                connection=self._missing[0][1],
                key=self._missing[0][0],
            )
        for error, first in self._first.items():
            for refusal in first:
                tally.failed(refusal.key, error.kind, refusal.reason)
            reasons = [f"{refusal.key!r} ({refusal.reason})" for refusal in first]
            raise error(
                f"refused before any byte moved: {_named(reasons, self._counts[error])}",
                hint=_HINTS.get(error, _OTHER_HINT),
                key=first[0].key,
            )


def _why_missing(left_out: int) -> str:
    if not left_out:
        return "it isn't there"
    objects = "1 object is" if left_out == 1 else f"{left_out} objects are"
    return f"{objects} there, and include and exclude leave none"


def _named(first: list[str], count: int) -> str:
    shown = ", ".join(first[:NAMED])
    return shown if count <= NAMED else f"{shown} and {count - NAMED} more"
