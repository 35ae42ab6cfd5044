"""A sidecar beside writers that nobody here wrote, and what came of it: the bucket, pulled back, beside the tree."""

import os
import signal
import subprocess
from pathlib import Path

import trees
from outputs_place import eventually

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
EVENTS_OF_A_FILE = 3
"""CREATE, MODIFY, CLOSE_WRITE."""


class Written:
    """Outputs under a sidecar that mirrors deletes, so that the bucket has the tree and nothing else."""

    def __init__(self, outputs, back, *more):
        self.outputs = outputs
        self.path = outputs.path
        self._back = back
        self._running = outputs.sidecar(
            *("--settle", "0.2", "--native", "--grace", "600", "--deletes", "mirror", *more)
        )

    def do(self, *command, **options):
        """One writer, from its beginning to its end."""
        subprocess.run(
            [str(part) for part in command],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            **options,
        )

    def wait_until_some_is_there(self):
        """What follows happens while files are on their way."""
        eventually(self.outputs.names)

    def wait_for_event(self, *arguments, **options):
        return self._running.wait_for_event(*arguments, **options)

    def stop(self):
        """SIGSTOP: what is done until ``go_on`` is told at once."""
        self._running.signal(signal.SIGSTOP)

    def go_on(self):
        self._running.signal(signal.SIGCONT)

    def differences(self):
        """End the sidecar, pull the bucket into a directory of its own, and compare the two trees."""
        self._running.signal(signal.SIGTERM)
        ended = self._running.finish(seconds=600)
        assert ended.code == 0, ended.report
        pulled = self.outputs.program.start(
            *("init", "--connection", "bucket", "--dir", "out:.", "--to", self._back)
        ).finish(seconds=600)
        assert pulled.code == 0, pulled.report
        empty = [_empty_directories(place) for place in (self.path, self._back)]
        found = trees.differences(self.path, self._back)
        return found if empty[0] == empty[1] else [*found, f"empty directories: {empty}"]


def _empty_directories(root):
    return sorted(
        os.path.relpath(where, root)
        for where, directories, files in os.walk(root)
        if not directories and not files and ".lighterman" not in Path(where).parts
    )


def burst(written, files, directories=20):
    """
    Make so many files at full speed, in directories that are watched, while the sidecar gets no time, as in a
    container that is throttled; then the kernel's queue is shown to have been full.
    """
    for number in range(directories):
        written.outputs.write(f"d{number}/first")
    eventually(lambda: len(written.outputs.names()) == directories)
    written.stop()
    for number in range(files):
        descriptor = os.open(
            written.path / f"d{number % directories}" / f"f{number}", os.O_CREAT | os.O_WRONLY
        )
        os.write(descriptor, b"%d" % number)
        os.close(descriptor)
    written.go_on()
    written.wait_for_event("sidecar.overflow")
