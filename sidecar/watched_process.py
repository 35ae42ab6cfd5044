"""
``--watch-process``: main's end is the end of its process, where the containers of a pod share their
process namespace. The kernel tells of it by a pidfd: it stands for one process, whose number may be given
to another after it.
"""

import os
import select
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from lighterman.clock import Clock
from lighterman.errors import ConfigurationError, UsageError
from lighterman.log import get_logger
from sidecar.first_process import started
from sidecar.loop import Loop
from sidecar.processes import Process, process_of

LOOK_SECONDS: Final = 0.1
"""
How often a name is looked for until it is seen: no event tells of a process that begins, and a main that
fails at once may live for less than a second.
"""
HOOKS: Final = ("ready", "mark-stop")
"""Commands of this program that run beside the sidecar, in an interpreter that may go by main's name."""
ALIVE_SECONDS: Final = 1.0
"""How often a process is looked at whose end the kernel doesn't tell."""
LOOK_SHARE: Final = 100
"""A look over all processes takes a hundredth of the time at most, however many a node has."""
UNSEEN_SECONDS: Final = 60.0
"""So long after the start a name that wasn't seen is said: main's image may be pulled meanwhile."""
COMM_BYTES: Final = 15
"""What the kernel keeps of a process's name (TASK_COMM_LEN less its end)."""
MOST_PIDS: Final = 4_194_304
"""PID_MAX_LIMIT of 64-bit kernels."""
_SHARED_HINT: Final = (
    "shareProcessNamespace: true in the pod's spec shows main's processes to the sidecar; "
    "else --done-file, or --native with SIGTERM"
)


def watched(text: str) -> str | int:
    """What ``--watch-process`` says: a number from 1 up, or a name as ``ps`` shows it."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        if not 1 <= int(text) <= MOST_PIDS:
            raise ValueError(f"{text} is no process's number; write one from 1 to {MOST_PIDS}")
        return int(text)
    if not text or "/" in text or text.startswith("-") or not text.isprintable():
        raise ValueError(
            f"{text!r} is no process's name; write its last part, like python or train.sh"
        )
    return text


def is_named(name: str, comm: str, arguments: Sequence[str]) -> bool:
    """
    Whether a process goes by ``name``: as the kernel has it (``comm``, cut after 15 bytes), as it was
    called (the last part of its first argument), or as the script that its interpreter runs by ``#!``.
    """
    called = [argument.rpartition("/")[2] for argument in arguments[:2]]
    if name == comm or called[:1] == [name]:
        return True
    # By "#!" the kernel names a process after the script, which stands second among its arguments.
    return called[1:] == [name] and os.fsencode(name)[:COMM_BYTES] == os.fsencode(comm)


class WatchedProcess:
    """
    Make it as early as can be: a process that ends before it is looked for is never seen. Of several
    that go by the name, the oldest is main. Lives in the main thread.
    """

    def __init__(self, wanted: str | int, clock: Clock) -> None:
        """
        ``ConfigurationError`` for a number that no process has, and where no process but one's own can
        be seen; ``UsageError`` for one's own number.
        """
        self._wanted = wanted
        self._clock = clock
        self._began = clock.monotonic()
        self._process: Process | None = None
        self._descriptor: int | None = None
        self._is_listened_to = False
        self._has_said_unseen = False
        self.look_at: float | None = self._began
        """When to look of one's own accord; ``None``: the kernel will tell."""
        if isinstance(wanted, int):
            self._hold(_of_number(wanted))
        elif os.getpid() == 1:
            raise ConfigurationError(
                f"--watch-process {wanted}: this container sees no processes but its own",
                hint=_SHARED_HINT,
            )
        else:
            self._look()

    def has_ended(self, loop: Loop) -> bool:
        """Whether it was seen, and has ended. A name that was never seen is no end, and said once."""
        if self._process is None:
            if self.look_at is not None and self._clock.monotonic() < self.look_at:
                return False
            self._look()
        if self._process is None or not self._is_over(loop):
            return False
        get_logger().info("sidecar.process_ended", process=str(self._wanted), pid=self._process.pid)
        self._let_go(loop)
        return True

    def _is_over(self, loop: Loop) -> bool:
        assert self._process is not None  # noqa: S101 - the caller has looked
        if self._descriptor is None:
            now = self._clock.monotonic()
            if self.look_at is not None and now < self.look_at:
                return False
            self.look_at = now + ALIVE_SECONDS
            return not _is_alive(self._process)
        if not self._is_listened_to:
            loop.listen(self._descriptor)
            self._is_listened_to = True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def _let_go(self, loop: Loop) -> None:
        if self._descriptor is not None:
            loop.ignore(self._descriptor)
            os.close(self._descriptor)
        self._descriptor = self.look_at = None

    def _look(self) -> None:
        began = self._clock.monotonic()
        ours = set(_own_line())
        named = [
            process for process in _processes_named(str(self._wanted)) if process.pid not in ours
        ]
        now = self._clock.monotonic()
        if named:
            self._hold(min(named, key=lambda process: (process.started, process.pid)))
            return
        self.look_at = now + max(LOOK_SECONDS, LOOK_SHARE * (now - began))
        if not self._has_said_unseen and now - self._began >= UNSEEN_SECONDS:
            self._has_said_unseen = True
            get_logger().warning(
                "sidecar.process_not_seen",
                process=str(self._wanted),
                seconds=round(now - self._began),
                hint=f"it is looked for on; is the name right (ps -e)? {_SHARED_HINT}",
            )

    def _hold(self, process: Process) -> None:
        self._process = process
        self.look_at = None
        try:
            self._descriptor = os.pidfd_open(process.pid)
        except OSError:  # gone; or a kernel before 5.3, a sandbox, too many open files
            self.look_at = self._clock.monotonic()
        else:
            now = process_of(process.pid)
            if now is None or now.started != process.started:
                # It ended between the look and the opening: the descriptor may be another's.
                os.close(self._descriptor)
                self._descriptor, self.look_at = None, self._clock.monotonic()
        get_logger().info("sidecar.process_watched", process=str(self._wanted), pid=process.pid)


def _of_number(pid: int) -> Process:
    if pid == os.getpid():
        raise UsageError(
            f"--watch-process {pid} is the sidecar itself",
            hint="give main's number or name as the sidecar sees it. " + _SHARED_HINT,
        )
    process = process_of(pid)
    if process is None:
        raise ConfigurationError(
            f"--watch-process {pid}: there is no process of that number",
            hint="give main's name: numbers differ with each start. " + _SHARED_HINT,
        )
    return process


def _is_alive(process: Process) -> bool:
    now = process_of(process.pid)
    return now is not None and now.started == process.started and not now.is_dead


def _own_line() -> Iterator[int]:
    """The sidecar itself and those that it comes from, which may go by the same name."""
    pid = os.getpid()
    while pid > 0 and (process := process_of(pid)) is not None:
        yield pid
        pid = process.parent


def _processes_named(name: str) -> Iterator[Process]:
    for entry in os.listdir("/proc"):
        if not entry.isdecimal():
            continue
        before = process_of(int(entry))
        if before is None or before.is_dead:
            continue
        try:
            comm = os.fsdecode(Path(f"/proc/{entry}/comm").read_bytes().removesuffix(b"\n"))
            line = Path(f"/proc/{entry}/cmdline").read_bytes()
        except OSError:  # ended meanwhile, or hidden from this uid
            continue
        arguments = [os.fsdecode(part) for part in line.split(b"\0")]
        if is_named(name, comm, arguments[:2]) and not started(arguments, HOOKS):
            yield before
