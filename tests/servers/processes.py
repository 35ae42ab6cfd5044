"""A server as a process of its own, ended by its own pid."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 60.0
END_SECONDS = 5.0


@contextmanager
def running(
    command: list[str], log: Path, ready: str, environment: dict[str, str] | None = None
) -> Iterator[re.Match[str]]:
    """Run ``command`` for the length of the block; gives the match of ``ready`` in what it writes."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if environment is None else {**os.environ, **environment},
        )
    try:
        yield _wait_until_ready(process, log, ready)
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path, ready: str) -> re.Match[str]:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if match := re.search(ready, log.read_text(errors="replace")):
            return match
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        break
    raise RuntimeError(f"{process.args} didn't start:\n{log.read_text(errors='replace')[-2000:]}")


@contextmanager
def moto_server(log: Path, environment: dict[str, str] | None = None) -> Iterator[str]:
    """
    Moto's server (S3, STS, IAM) on a free loopback port; gives its URL.

    A process, not moto's thread: a server in the process of the client under test would slow it down.
    ``environment`` holds moto's own settings (``INITIAL_NO_AUTH_ACTION_COUNT``).
    """
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    ready = r"Running on (http://127\.0\.0\.1:\d+)"
    with running(command, log, ready, environment) as match:
        yield match[1]
