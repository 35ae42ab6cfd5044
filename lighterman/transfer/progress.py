"""
Progress of a command: a bar on a terminal, else a log line every 10 s with done and total bytes, rate
and ETA. While there is nothing to do it sleeps and says nothing.
"""

import sys
import threading
from types import TracebackType
from typing import Final

from lighterman.clock import Clock
from lighterman.log import get_logger
from lighterman.transfer.tally import Tally, Totals

EVERY_SECONDS: Final = 10.0
BAR_SECONDS: Final = 0.2


def described(before: Totals, now: Totals, seconds: float) -> dict[str, object]:
    """The fields of a progress line: what is done of what is planned, and how fast since ``before``."""
    done_bytes = now.bytes + now.arriving
    rate = max(0, done_bytes - before.bytes - before.arriving) / seconds if seconds > 0 else 0.0
    left_bytes = max(0, now.planned_bytes - done_bytes)
    fields: dict[str, object] = {
        "done_files": now.files,
        "planned_files": now.planned_files,
        "done_bytes": done_bytes,
        "planned_bytes": now.planned_bytes,
        "rate_bytes_per_second": round(rate),
    }
    if rate > 0:
        fields["eta_seconds"] = round(left_bytes / rate)
    return fields


class Progress:
    """Tells of a tally, from entering to leaving the block, in a thread of its own."""

    def __init__(
        self, command: str, tally: Tally, clock: Clock, *, terminal: bool | None = None
    ) -> None:
        self._command = command
        self._tally = tally
        self._clock = clock
        on_terminal = bool(sys.stderr and sys.stderr.isatty())  # none: closed at the start
        self._terminal = on_terminal if terminal is None else terminal
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._show_bar if self._terminal else self._log_lines,
            name="progress",
            daemon=True,
        )

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._tally.wake()
        self._thread.join()

    def _log_lines(self) -> None:
        before, since = self._tally.totals(), self._clock.monotonic()
        while self._tally.wait_until_busy(self._over):
            if self._clock.wait(EVERY_SECONDS, self._over):
                return
            now, moment = self._tally.totals(), self._clock.monotonic()
            get_logger().info(f"{self._command}.progress", **described(before, now, moment - since))
            before, since = now, moment

    def _show_bar(self) -> None:
        if not self._tally.wait_until_busy(self._over):
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(self._command, total=None)
            over = False
            while not over:
                over = self._clock.wait(BAR_SECONDS, self._over)
                totals = self._tally.totals()
                bar.update(
                    task,
                    completed=totals.bytes + totals.arriving,
                    total=totals.planned_bytes,
                    description=f"{self._command} {totals.files}/{totals.planned_files} files",
                )
