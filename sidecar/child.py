"""
``run``'s CMD as a child: signals are passed on, orphans are reaped where this process is PID 1, and its
end is kept as a shell would tell it.
"""

import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from lighterman.log import get_logger
from lighterman.secret import scrub

NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
"""As POSIX shells end: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html 2.8.2"""
SIGNALLED: Final = 128
_HINTS: Final = {
    errno.ENOENT: "is it in this image, and in PATH? run needs lighterman in main's own image",
    errno.EACCES: "chmod +x, and a mount without noexec",
    errno.ENOEXEC: "a script needs a first line like #!/bin/sh; or name its interpreter: -- sh SCRIPT",
}

_CREDENTIALS: Final = ("AWS_", "AZURE_", "AZ_CLIENT_", "AZ_TENANT_", "GOOGLE_", "GC_")
_DOCUMENTS: Final = (
    "LIGHTERMAN_CATALOG",
    "POLYAXON_CONNECTIONS_CATALOG",
    "STORAGE_CONFIG",
    "STORAGE_OVERRIDE_CONFIG",
)
_NO_CREDENTIALS: Final = frozenset({"AWS_REGION", "AWS_DEFAULT_REGION"})


class Child:
    """One command, from ``start`` to its end."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._command = list(command)
        self._environ = dict(environ)
        self._process: subprocess.Popen[bytes] | None = None
        self.code: int | None = None
        """The exit code, 128 + n after signal n; ``None`` while it runs."""

    @property
    def ended(self) -> bool:
        """Whether it has ended, or could not be started at all."""
        return self.code is not None

    @property
    def failed(self) -> bool:
        """Whether it has ended with another code than 0, killed or never started included."""
        return bool(self.code)

    def start(self) -> None:
        """Start it, in this process group, so that a terminal's keys and job control reach it too."""
        try:
            self._process = subprocess.Popen(self._command, env=self._environ)  # noqa: S603 - run is for that
        except OSError as error:
            is_missing = isinstance(error, FileNotFoundError)
            self.code = NOT_FOUND if is_missing else NOT_EXECUTABLE
            get_logger().error(
                "run.not_started",
                command=self._command[0],
                error=error.strerror or str(error),
                hint=_HINTS.get(error.errno or 0, "check the command and its permissions"),
                code=self.code,
            )
            return
        get_logger().info("run.started", command=self._command[0], pid=self._process.pid)

    def pass_on(self, number: int) -> None:
        """Send it a signal, unless the terminal has sent it to both."""
        from_terminal = number in (signal.SIGINT, signal.SIGQUIT) and sys.stdin.isatty()
        if self._process and not self.ended and not from_terminal:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def kill(self) -> None:
        """It has no time left."""
        self.pass_on(signal.SIGKILL)

    def reap(self) -> None:
        """Note its end; as PID 1 also take leave of processes that lost their parents."""
        if os.getpid() != 1:
            self._poll()
            return
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self._process and pid == self._process.pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                self._note_end(self._process.returncode)

    def _poll(self) -> None:
        if self._process and not self.ended:
            code = self._process.poll()
            if code is not None:
                self._note_end(code)

    def _note_end(self, code: int) -> None:
        self.code = code if code >= 0 else SIGNALLED - code
        get_logger().info("run.ended", command=self._command[0], code=self.code)


def without_credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """
    ``environ`` without what opens a store: the variables of the clouds' credentials, catalogs that stand
    in a variable, and whatever holds a secret that this process has read.
    """
    return {name: value for name, value in environ.items() if not _opens_a_store(name, value)}


def _opens_a_store(name: str, value: str) -> bool:
    upper = name.upper()
    if upper in _NO_CREDENTIALS:
        return False
    return upper.startswith(_CREDENTIALS) or upper in _DOCUMENTS or scrub(value) != value
