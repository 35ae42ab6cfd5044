"""Which process ``--watch-process`` means, and when it has ended."""

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid

import pytest

from lighterman.clock import SystemClock
from lighterman.errors import ConfigurationError, UsageError
from sidecar import watched_process
from sidecar.loop import Loop
from sidecar.processes import Process
from sidecar.watched_process import WatchedProcess, is_named, watched


class Clock(SystemClock):
    """Goes on when it is told to."""

    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def loop():
    with Loop() as loop:
        yield loop


@pytest.fixture
def start(tmp_path):
    """Starts a program of a name that nobody else has, which sleeps until it is killed."""
    started = []

    def start(name=None, path=None):
        if path is None:
            path = tmp_path / (name or f"m{uuid.uuid4().hex[:12]}")
            if not path.exists():
                shutil.copy2(shutil.which("sleep"), path)
        started.append(subprocess.Popen([path, "600"]))
        return started[-1], path.name

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_for_its_end(process, loop):
    """By the descriptor that the watch gave to the loop, which wakes it."""
    deadline = time.monotonic() + 20
    while not process.has_ended(loop):
        assert time.monotonic() < deadline
        assert loop.turn(20)


@pytest.mark.parametrize(
    ("text", "said"),
    [("train", "train"), (" 17 ", 17), ("4194304", 4194304), ("a b", "a b"), ("7z", "7z")],
)
def test_a_number_is_a_pid_and_anything_else_a_name(text, said):
    """Names may begin with digits."""
    assert watched(text) == said


@pytest.mark.parametrize("text", ["", " ", "0", "4194305", "/usr/bin/python", "-1", "a\nb"])
def test_what_is_neither_is_refused_with_a_mend(text):
    """A path is the common slip: only its last part is a name."""
    with pytest.raises(ValueError, match="write"):
        watched(text)


@pytest.mark.parametrize(
    ("name", "comm", "arguments", "expected"),
    [
        ("python", "python", ["/usr/bin/python3.13", "train.py"], True),
        ("python3.13", "python", ["/usr/bin/python3.13", "train.py"], True),
        ("train.py", "python", ["/usr/bin/python3.13", "train.py"], False),
        ("train.sh", "train.sh", ["/bin/sh", "./train.sh"], True),
        ("train-my-large-model.sh", "train-my-large-", ["sh", "./train-my-large-model.sh"], True),
        ("train-my-large-model.sh", "train-my-large-", ["sh", "./train-my-large-other.sh"], False),
        ("averylongprogramname", "averylongprogra", ["bin/averylongprogramname"], True),
        ("averylongprogram", "averylongprogra", ["bin/averylongprogramname"], False),
        ("model.bin", "cp", ["cp", "model.bin"], False),
        ("kthreadd", "kthreadd", [""], True),
    ],
)
def test_a_process_goes_by_its_name_its_call_or_its_script(name, comm, arguments, expected):
    """As ``ps`` shows it, though the kernel keeps fifteen bytes of a name."""
    assert is_named(name, comm, arguments) is expected


def test_the_end_of_a_process_is_known_by_its_number(start, clock, loop):
    """Without a look at the clock: the kernel wakes the loop."""
    main, _ = start()
    process = WatchedProcess(main.pid, clock)
    assert (process.has_ended(loop), process.look_at) == (False, None)
    main.kill()
    wait_for_its_end(process, loop)
    main.wait()
    assert loop.turn(0) == set(), "it is asleep again"


def test_a_process_that_nobody_waited_for_has_ended(start, clock, loop):
    """A zombie writes nothing more; main's parent may be slow to take leave of it."""
    main, _ = start()
    os.kill(main.pid, signal.SIGKILL)
    os.waitid(os.P_PID, main.pid, os.WEXITED | os.WNOWAIT)
    assert WatchedProcess(main.pid, clock).has_ended(loop)


def test_a_name_that_is_there_at_the_start_is_seen(start, clock, loop):
    """And of several the oldest is main: the others are its workers."""
    main, name = start()
    worker, _ = start(path=main.args[0])
    process = WatchedProcess(name, clock)
    worker.kill()
    worker.wait()
    assert not process.has_ended(loop)
    main.kill()
    wait_for_its_end(process, loop)


def test_a_name_that_appears_is_seen_at_the_next_look(start, clock, loop, tmp_path):
    """A native sidecar begins before main."""
    name = f"m{uuid.uuid4().hex[:12]}"
    process = WatchedProcess(name, clock)
    assert not process.has_ended(loop)
    main, _ = start(name)
    wait_until_it_is_called_so(main, name)
    assert not process.has_ended(loop)
    assert process.look_at is not None
    clock.now = process.look_at
    assert (process.has_ended(loop), process.look_at) == (False, None)
    main.kill()
    wait_for_its_end(process, loop)


def wait_until_it_is_called_so(process, name):
    deadline = time.monotonic() + 20
    while True:
        with open(f"/proc/{process.pid}/comm") as file:
            if file.read().strip() == name:
                return
        assert time.monotonic() < deadline


def test_a_name_never_seen_is_said_once_and_is_no_end(clock, loop, said):
    """A slip in the name must not end the sidecar before main."""
    process = WatchedProcess("no-such-main", clock)
    end = clock.now + 2 * watched_process.UNSEEN_SECONDS
    while clock.now < end:
        assert not process.has_ended(loop)
        clock.now = max(clock.now + 1, process.look_at or 0.0)
    assert said.getvalue().count("sidecar.process_not_seen") == 1
    assert "shareProcessNamespace" in said.getvalue()


def test_looks_cost_no_more_than_a_hundredth_of_the_time(monkeypatch, clock):
    """Whatever the number of processes: a look of 0.5 s is followed by 50 s without."""

    def slow(_name):
        clock.now += 0.5
        return iter(())

    monkeypatch.setattr(watched_process, "_processes_named", slow)
    process = WatchedProcess("main", clock)
    assert process.look_at == pytest.approx(clock.now + 50.0)


def test_a_number_that_another_process_has_by_then_is_an_end(start, clock, loop, monkeypatch):
    """Without pidfd, the time at which a process began tells them apart."""

    def refused(_pid, _flags=0):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refused)
    main, _ = start()
    process = WatchedProcess(main.pid, clock)
    assert not process.has_ended(loop)
    clock.now += watched_process.ALIVE_SECONDS
    assert not process.has_ended(loop)
    monkeypatch.setattr(
        watched_process, "process_of", lambda pid: Process(pid, 1, 1, is_dead=False)
    )
    assert not process.has_ended(loop), "it isn't looked at before its time"
    clock.now += watched_process.ALIVE_SECONDS
    assert process.has_ended(loop)


def test_a_process_that_ends_as_it_is_seen_has_ended(start, clock, loop, monkeypatch):
    """Between the look and the opening its number may become another's: that one isn't waited for."""
    main, _ = start()
    other, _ = start()
    opened = os.pidfd_open

    def too_late(pid, _flags=0):
        main.kill()
        main.wait()
        return opened(other.pid)

    monkeypatch.setattr(os, "pidfd_open", too_late)
    assert WatchedProcess(main.pid, clock).has_ended(loop)


def test_a_number_that_nobody_has_is_configuration(clock):
    """78, with the way to name it."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    with pytest.raises(ConfigurationError, match="no process of that number") as caught:
        WatchedProcess(gone.pid, clock)
    assert "name" in caught.value.hint


def test_ones_own_number_is_a_usage_error(clock):
    """It would wait for itself."""
    with pytest.raises(UsageError, match="itself"):
        WatchedProcess(os.getpid(), clock)


@pytest.mark.parametrize("command", ["ready", "mark-stop", "nothing-of-ours"])
def test_a_hook_of_this_program_is_never_main(clock, command):
    """Its interpreter may go by main's name, in a process namespace that they share."""
    name = f"m{uuid.uuid4().hex[:12]}"
    wait = "import sys; print(flush=True); sys.stdin.read()"
    line = [name, "-c", wait, "-m", "lighterman", command, "--spec", "job.yaml"]
    with subprocess.Popen(
        line, executable=sys.executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as hook:
        hook.stdout.readline()
        is_seen = WatchedProcess(name, clock).look_at is None
        hook.stdin.close()
    assert is_seen is (command == "nothing-of-ours")


def test_ones_own_name_is_not_ones_own_process(clock, loop):
    """The sidecar is a ``python`` too, and so may be who started it."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from lighterman.clock import SystemClock\n"
        "from sidecar.watched_process import WatchedProcess\n"
        "open('/proc/self/comm', 'w').write('uncommon-name')\n"
        "print(WatchedProcess('uncommon-name', SystemClock()).look_at is not None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, os.getcwd()], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"
