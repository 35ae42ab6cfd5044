"""``lighterman run -- CMD``: CMD's signals, its exit code, and its outputs after it."""

import os
import signal
import subprocess
import sys

import pytest
from outputs_place import eventually

SH = ("sh", "-c")
PYTHON = (sys.executable, "-c")


def test_what_cmd_wrote_is_in_the_bucket_when_run_ends(outputs):
    """Exit 0: CMD exited 0 **and** everything is in the bucket."""
    ended = outputs.run(command=(*SH, "mkdir -p outputs/d; echo done > outputs/d/result"))
    assert (ended.code, outputs.there("d/result")) == (0, "done\n")


def test_outputs_are_synced_while_cmd_runs(outputs):
    """Not only at its end."""
    running = outputs.program.start(
        "run",
        *outputs.flags("--settle", "0.1"),
        "--",
        *(*SH, "echo 1 > outputs/a; while [ ! -e go ]; do sleep 0.05; done"),
    )
    outputs.wait_for("a", "1\n")
    assert running.process.poll() is None
    (outputs.program.directory / "go").touch()
    assert running.finish().code == 0


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ((*SH, "echo x > outputs/a; exit 3"), 3),
        ((*SH, "echo x > outputs/a; kill -9 $$"), 137),
        ((*SH, "echo x > outputs/a; kill -TERM $$"), 143),
    ],
)
def test_cmds_exit_code_is_kept_and_its_outputs_too(outputs, command, code):
    """As a shell tells it: 128 + n after signal n."""
    ended = outputs.run(command=command)
    assert (ended.code, outputs.there("a")) == (code, "x\n")


@pytest.mark.parametrize(("command", "code"), [("no-such-command", 127), ("./plain", 126)])
def test_a_command_that_cannot_be_started_is_said(outputs, command, code):
    """127: not found; 126: not executable."""
    (outputs.program.directory / "plain").write_text("no program")
    ended = outputs.run(command=(command,))
    assert (ended.code, ended.event("run.not_started")["command"]) == (code, command)


def test_run_without_a_command_is_a_usage_error(outputs):
    """64, with the way to write it."""
    ended = outputs.program.run("run", *outputs.flags())
    assert (ended.code, "-- CMD" in ended.report["error"]["hint"]) == (64, True)


def test_a_failed_sync_is_runs_code_when_cmd_succeeded(outputs):
    """An output that can't be named in a bucket fails the whole run (73)."""
    ended = outputs.run(command=(*PYTHON, r"open(b'outputs/\xff', 'w')"))
    assert ended.code == 73


def test_cmds_code_wins_over_the_syncs_which_is_said(outputs):
    """``run`` ends with CMD's code if that isn't 0."""
    ended = outputs.run(command=(*PYTHON, r"open(b'outputs/\xff', 'w'); raise SystemExit(5)"))
    assert (ended.code, ended.event("run.sync_failed")["kind"]) == (5, "cannot_write")


HANDLER = """
import signal, sys
def note(number, frame):
    open(f"outputs/got-{signal.Signals(number).name}", "w").close()
    if number == signal.SIGTERM:
        sys.exit(0)
for name in ("TERM", "INT", "HUP", "USR1", "USR2", "QUIT"):
    signal.signal(getattr(signal, f"SIG{name}"), note)
open("outputs/ready", "w").close()
while True:
    signal.pause()
"""


def test_signals_are_passed_on(outputs):
    """TERM, INT, HUP, USR1, USR2, QUIT; SIGTERM starts the grace, and what CMD writes then is synced."""
    running = outputs.program.start(
        "run", *outputs.flags("--settle", "0.1"), "--", *PYTHON, HANDLER
    )
    outputs.wait_for("ready", "")
    for name in ("SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGTERM"):
        running.signal(getattr(signal, name))
        outputs.wait_for(f"got-{name}", "")
    assert running.finish().code == 0


def test_a_cmd_that_ignores_sigterm_does_not_outlive_the_grace(outputs):
    """At the deadline what it wrote is in the bucket, and run ends with 75."""
    script = "import signal, time; signal.signal(15, signal.SIG_IGN)\n"
    script += "open('outputs/ready', 'w').write(str(__import__('os').getpid()))\n"
    script += "time.sleep(600)"
    running = outputs.program.start(
        "run", *outputs.flags("--settle", "0.1", "--grace", "3"), "--", *PYTHON, script
    )
    running.wait_for_event("sidecar.file_synced")
    pid = int(outputs.there("ready"))
    running.signal(signal.SIGTERM)
    ended = running.finish(seconds=20)
    assert (ended.code, "CMD has not ended" in ended.report["error"]["message"]) == (75, True)
    assert not os.path.exists(f"/proc/{pid}") or _is_dead(pid)


def _is_dead(pid):
    def state():
        try:
            with open(f"/proc/{pid}/stat") as file:
                return file.read().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return "X"

    return eventually(lambda: state() in "XZ")


@pytest.mark.parametrize("scrub", [True, False])
def test_scrub_env_takes_the_credentials_out(outputs, scrub):
    """``--scrub-env``: variables of the clouds, catalogs in a variable; the rest is passed on."""
    environ = {
        "AWS_SECRET_ACCESS_KEY": "do-not-show",
        "AWS_REGION": "eu-west-1",
        "AZURE_STORAGE_KEY": "nor-this",
        "HOME_OF_JOB": "kept",
    }
    flags = ("--scrub-env",) if scrub else ()
    ended = outputs.run(*flags, command=(*SH, "env > outputs/env"), environ=environ)
    seen = outputs.there("env")
    assert ended.code == 0
    assert "HOME_OF_JOB=kept" in seen
    assert "AWS_REGION=eu-west-1" in seen
    assert ("do-not-show" in seen, "nor-this" in seen) == (not scrub, not scrub)
    assert ("LIGHTERMAN_CATALOG" in seen) is not scrub


def test_as_pid_1_it_reaps_orphans(outputs):
    """In a container nobody else does; CMD's own code isn't mixed up with theirs."""
    script = (
        "(sh -c 'exit 9' &) ; (sleep 0.1 &) ; sleep 0.5;"
        " for d in /proc/[0-9]*; do grep -s '^State:.*Z' $d/status && echo zombie >> outputs/z; done;"
        " exit 4"
    )
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-m", "lighterman"]
    command += ["run", *map(str, outputs.flags()), "--", *SH, script]
    environ = {**os.environ, **outputs.program.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        command,
        env=environ,
        cwd=outputs.program.directory,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, outputs.names()) == (4, []), done.stderr.decode()


ORPHANS = """
import os, sys, time
for number in range(100):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(number % 7)
        os._exit(0)
    os.wait()
deadline = time.monotonic() + 20
while True:
    states = []
    for name in os.listdir("/proc"):
        if name.isdecimal() and name not in ("1", str(os.getpid())):
            try:
                states.append(open(f"/proc/{name}/stat").read().rpartition(")")[2].split()[0])
            except OSError:
                pass
    if not states:
        sys.exit(5)
    if time.monotonic() > deadline:
        sys.exit(6)
    time.sleep(0.05)
"""


def test_a_hundred_orphans_are_reaped_while_cmd_runs(outputs):
    """As PID 1 it takes leave of each; none of their codes is taken for CMD's."""
    ended = outputs.program.run(
        "run",
        *outputs.flags(),
        "--",
        *(*PYTHON, ORPHANS),
        through=["unshare", "--pid", "--fork", "--mount-proc"],
    )
    assert ended.code == 5


def test_as_pid_1_it_passes_sigterm_on_and_ends_with_cmds_code(outputs):
    """143, and what CMD wrote in its grace is there."""
    script = "trap 'echo saved > outputs/saved; trap - TERM; kill -TERM $$' TERM;"
    script += " echo 1 > outputs/ready; while :; do sleep 0.05; done"
    running = outputs.program.start(
        "run",
        *outputs.flags("--settle", "0.1"),
        "--",
        *(*SH, script),
        through=["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"],
    )
    outputs.wait_for("ready", "1\n")
    with open(f"/proc/{running.pid}/task/{running.pid}/children") as file:
        [wrapper] = map(int, file.read().split())
    os.kill(wrapper, signal.SIGTERM)
    assert (running.finish(seconds=30).code, outputs.there("saved")) == (143, "saved\n")


def test_a_script_without_its_first_line_is_said_with_a_mend(outputs):
    """126: the kernel can't tell what should run it."""
    script = outputs.program.directory / "script"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    ended = outputs.run(command=("./script",))
    assert (ended.code, "#!" in ended.event("run.not_started")["hint"]) == (126, True)
