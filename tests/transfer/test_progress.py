"""Progress: a bar on a terminal; else a line every 10 s with done and total bytes, rate and ETA."""

import io
import os
import pty
import subprocess
import sys
import threading

from lighterman import log
from lighterman.transfer.progress import EVERY_SECONDS, Progress, described
from lighterman.transfer.tally import Tally


class SteppedClock:
    """Each wait is one step that the test allows; the hook sees how long it would have been."""

    def __init__(self, steps):
        self.now = 0.0
        self.waits = []
        self._steps = steps

    def monotonic(self):
        return self.now

    def wall(self):
        return self.now

    def wait(self, seconds, until=None):
        self.waits.append(seconds)
        self.now += seconds
        if self._steps:
            self._steps.pop(0)()
            return False
        return until.wait(10)


def test_a_line_tells_done_total_rate_and_eta():
    """The rate is that of the time since the line before."""
    tally = Tally()
    tally.planned(4, 1000)
    before = tally.totals()
    tally.carried(200)
    tally.done()
    assert described(before, tally.totals(), 10.0) == {
        "done_files": 1,
        "planned_files": 4,
        "done_bytes": 200,
        "planned_bytes": 1000,
        "rate_bytes_per_second": 20,
        "eta_seconds": 40,
    }


def test_without_a_rate_there_is_no_eta():
    """Nothing moved: when it ends can't be told."""
    tally = Tally()
    tally.planned(1, 10)
    assert "eta_seconds" not in described(tally.totals(), tally.totals(), 10.0)


def test_a_line_is_written_every_ten_seconds_while_there_is_work():
    """One log line after each interval."""
    stream, tally, second = io.StringIO(), Tally(), threading.Event()
    log.configure(stream=stream, style="json")
    tally.planned(2, 100)
    clock = SteppedClock([lambda: tally.carried(50), second.set])
    with Progress("init", tally, clock, terminal=False):
        assert second.wait(10)
    lines = stream.getvalue().splitlines()
    assert '"event": "init.progress"' in lines[0]
    assert '"done_bytes": 50' in lines[0]
    assert set(clock.waits) == {EVERY_SECONDS}


def test_with_nothing_to_do_nothing_is_written_and_nothing_wakes():
    """Idle it costs next to nothing."""
    stream, clock = io.StringIO(), SteppedClock([])
    log.configure(stream=stream, style="json")
    with Progress("sidecar", Tally(), clock, terminal=False):
        pass
    assert (stream.getvalue(), clock.waits) == ("", [])


def test_on_a_terminal_a_bar_is_drawn():
    """The bar goes to stderr, so that stdout stays the command's own."""
    program = (
        "import threading; from lighterman.clock import SystemClock;"
        "from lighterman.transfer.tally import Tally; from lighterman.transfer.progress import Progress;"
        "tally = Tally(); tally.planned(2, 100); tally.carried(50); tally.done();\n"
        "with Progress('init', tally, SystemClock()): threading.Event().wait(0.5)"
    )
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", program], stderr=theirs, stdout=subprocess.PIPE, check=True
    )
    os.close(theirs)
    seen = os.read(ours, 65536).decode()
    os.close(ours)
    assert "init 1/2 files" in seen
    assert done.stdout == b""


def test_on_a_terminal_without_work_no_bar_is_drawn(capsys):
    """A run that finds everything there already draws nothing."""
    with Progress("init", Tally(), SteppedClock([]), terminal=True):
        pass
    assert capsys.readouterr().err == ""
