"""The real program as a process: what it printed, reported, used and ended with."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
DEADLINE_SECONDS = 120


@dataclass(frozen=True)
class Finished:
    """A process that ended."""

    code: int
    stdout: str
    stderr: str
    report: dict
    peak_rss_bytes: int

    @property
    def events(self):
        """Log lines as objects."""
        return [json.loads(line) for line in self.stderr.splitlines() if line.startswith("{")]

    def event(self, name):
        """The last log line of that event."""
        return [line for line in self.events if line["event"] == name][-1]


class Running:
    """A process under way. ``log`` grows while it runs."""

    def __init__(self, process, report_path, secrets):
        self.process = process
        self.pid = process.pid
        self._report_path = report_path
        self._secrets = secrets
        self._lines = []
        self._grown = threading.Condition()
        self._stdout = []
        self._readers = [
            threading.Thread(target=self._read_log, daemon=True),
            threading.Thread(
                target=lambda: self._stdout.append(process.stdout.read()), daemon=True
            ),
        ]
        self._peak_rss_bytes = 0
        self._ended = threading.Event()
        self._readers.append(threading.Thread(target=self._watch_memory, daemon=True))
        for reader in self._readers:
            reader.start()

    def _watch_memory(self):
        """
        Its own high-water mark, read while it lives: what ``wait4`` tells begins at the size of the
        process that forked it.
        """
        while not self._ended.wait(0.02):
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                    if line.startswith("VmHWM:"):
                        self._peak_rss_bytes = int(line.split()[1]) * 1024

    def _read_log(self):
        for line in self.process.stderr:
            with self._grown:
                self._lines.append(line)
                self._grown.notify_all()
        with self._grown:
            self._lines.append("")
            self._grown.notify_all()

    def wait_for_event(self, name, count=1, seconds=DEADLINE_SECONDS):
        """Wait until the log has that event so often; returns the last one's fields."""

        def seen():
            return [line for line in self._lines if f'"event": "{name}"' in line]

        with self._grown:
            found = self._grown.wait_for(
                lambda: len(seen()) >= count or self._lines[-1:] == [""], seconds
            )
            lines = "".join(self._lines)
            assert found, f"no {name} within {seconds} s:\n{lines}"
            assert len(seen()) >= count, f"ended without {name}:\n{lines}"
            return json.loads(seen()[-1])

    def count(self, name):
        """How often the log has that event by now."""
        with self._grown:
            return sum(f'"event": "{name}"' in line for line in self._lines)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """SIGKILL, and wait until it is gone."""
        self.process.send_signal(signal.SIGKILL)
        return self.finish()

    def finish(self, seconds=DEADLINE_SECONDS):
        """Wait for its end; a process that doesn't end in time is killed, and the test fails."""
        deadline = time.monotonic() + seconds
        timer = threading.Timer(seconds, self.process.kill)
        timer.daemon = True
        timer.start()
        self.process.wait()
        timer.cancel()
        self._ended.set()
        for reader in self._readers:
            reader.join()
        self.process.stderr.close()
        self.process.stdout.close()
        stderr, stdout = "".join(self._lines), "".join(self._stdout)
        assert time.monotonic() < deadline, f"it did not end within {seconds} s:\n{stderr[-3000:]}"
        report_text = ""
        with contextlib.suppress(FileNotFoundError):
            report_text = self._report_path.read_text()
        for secret in self._secrets:
            for name, text in (("stdout", stdout), ("stderr", stderr), ("report", report_text)):
                assert secret not in text, f"a secret reached {name}"
        return Finished(
            code=self.process.returncode,
            stdout=stdout,
            stderr=stderr,
            report=json.loads(report_text) if report_text else {},
            peak_rss_bytes=self._peak_rss_bytes,
        )


class Program:
    """
    Runs ``python -m lighterman`` in a directory with an environment of its own. Whatever any of its
    processes prints, logs or reports, at every level, is searched for ``secrets``.
    """

    def __init__(self, directory, environ, secrets=()):
        self.directory = Path(directory)
        self.environ = dict(environ)
        self.secrets = list(secrets)
        self._runs = 0

    def start(self, *arguments, **popen):
        self._runs += 1
        report = self.directory / f"report-{self._runs}.json"
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "LIGHTERMAN_REPORT": str(report),
            "LIGHTERMAN_LOG_LEVEL": "debug",
            "LIGHTERMAN_RETRY_FOR": "30",
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE")},
            **self.environ,
            **popen.pop("environ", {}),
        }
        process = subprocess.Popen(
            [*popen.pop("through", ()), sys.executable, "-m", "lighterman", *map(str, arguments)],
            env=environ,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **popen,
        )
        return Running(process, report, self.secrets)

    def run(self, *arguments, **popen):
        """Start it and wait for its end."""
        return self.start(*arguments, **popen).finish()
