"""Moments of the last hour, finely for what was lately, coarser before: what the page draws."""

from collections import deque
from typing import Final, NamedTuple

SPAN_SECONDS: Final = 3600.0
LEAST_APART_SECONDS: Final = 1.0
MOST_MOMENTS: Final = 480


class Moment(NamedTuple):
    """Counts since the start, and what waited."""

    at: float
    """Monotonic."""
    sent_bytes: int
    sent_files: int
    backlog_bytes: int
    backlog_files: int


class History:
    """Bounded in number and time. The first moment is the start's."""

    def __init__(self, at: float) -> None:
        self._moments = deque([Moment(at, 0, 0, 0, 0)])

    def add(self, moment: Moment) -> None:
        """Keep it; the one before it goes if it adds nothing to its neighbours, or is too close between them."""
        moments = self._moments
        if len(moments) > 1 and _is_dispensable(moments[-2], moments[-1], moment):
            moments.pop()
        moments.append(moment)
        while len(moments) > 2 and moments[1].at < moment.at - SPAN_SECONDS:
            moments.popleft()
        if len(moments) > MOST_MOMENTS:
            self._thin()

    def moments(self) -> list[Moment]:
        """All that are kept, the oldest first."""
        return list(self._moments)

    def _thin(self) -> None:
        """Every second one of the older half goes; counts are sums, so that no byte goes with them."""
        kept = list(self._moments)
        half = len(kept) // 2
        self._moments = deque(kept[:half:2] + kept[half:])


def _is_dispensable(before: Moment, last: Moment, now: Moment) -> bool:
    is_idle = before[1:] == last[1:] == now[1:]
    return is_idle or now.at - before.at < LEAST_APART_SECONDS
