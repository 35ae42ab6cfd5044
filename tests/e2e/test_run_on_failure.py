"""``run --on-failure``: what becomes of the outputs when CMD failed."""

import signal
import sys

import pytest
from outputs_place import Outputs
from servers.faults import Stall, is_put

MIB = 1024 * 1024
FAILS_LATE = (
    "echo 1 > outputs/early; until [ -e go ]; do sleep 0.05; done;"
    " echo 2 > outputs/late; echo 3 > outputs/x.tmp; exit 3"
)
SAVES_IN_PLACE = f"""
import os, signal, time
def save(letter, most):
    with open("outputs/model.bin", "r+b" if os.path.exists("outputs/model.bin") else "wb") as file:
        for _ in range(most):
            file.write(letter * {MIB})
        if letter == b"b":
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
save(b"a", 20)
while not os.path.exists("go"):
    time.sleep(0.05)
save(b"b", 10)
"""


def start(outputs, *flags, command=("sh", "-c", FAILS_LATE), wait_for="early", text="1\n", **popen):
    """CMD has written, that is synced, and it is about to go on."""
    running = outputs.program.start(
        "run", *outputs.flags("--settle", "0.3", *flags), "--", *command, **popen
    )
    outputs.wait_for(wait_for, text)
    (outputs.program.directory / "go").touch()
    return running


def failed(outputs):
    """What went to the failed CMD's prefix."""
    return sorted(outputs.place.keys("failed/"))


def test_upload_sends_them_as_always(outputs):
    """The default: all that CMD left, where outputs go."""
    ended = start(outputs).finish()
    assert (ended.code, outputs.names()) == (3, ["early", "late", "x.tmp"])


def test_skip_sends_nothing_more(outputs):
    """What was sent while CMD ran stays; what it wrote last before its failure isn't sent."""
    ended = start(outputs, "--on-failure", "skip").finish()
    assert (ended.code, outputs.names()) == (3, ["early"])
    assert ended.event("sidecar.dropped")["known"] >= 1


@pytest.mark.parametrize("how", ["skip", "failed"])
def test_outputs_of_a_cmd_that_succeeds_go_where_they_always_do(outputs, how):
    """Whatever is said for the other case."""
    ended = outputs.run(
        "--on-failure", how, command=("sh", "-c", "echo 1 > outputs/a; echo 2 > outputs/b.tmp")
    )
    assert (ended.code, outputs.names(), failed(outputs)) == (0, ["a", "b.tmp"], [])


def test_a_prefix_gets_everything_that_a_failed_cmd_left(outputs):
    """All of the outputs, sent before or not; the usual prefix keeps what it had when CMD failed."""
    environ = {"POD_NAME": "p-0"}
    ended = start(outputs, "--on-failure", "failed/{pod}", environ=environ).finish()
    assert (ended.code, outputs.names()) == (3, ["early"])
    assert failed(outputs) == [f"failed/p-0/{name}" for name in ("early", "late", "x.tmp")]


def test_a_second_failure_sends_what_changed(outputs):
    """The prefix has a journal of its own, beside the usual one."""
    flags = ("--on-failure", "failed")
    first = outputs.run(*flags, command=("sh", "-c", "echo 1 > outputs/a; exit 3"))
    second = outputs.run(*flags, command=("sh", "-c", "echo 2 > outputs/b; exit 4"))
    as_always = outputs.names()  # what went there before CMD had failed
    third = outputs.run(*flags, command=("sh", "-c", "echo 3 > outputs/c"))
    assert [ended.code for ended in (first, second, third)] == [3, 4, 0]
    assert failed(outputs) == ["failed/a", "failed/b"]
    assert second.report["files"] == 1 + len(as_always)
    assert outputs.names() == ["a", "b", "c"]


def test_a_state_inside_of_the_outputs_is_not_sent(outputs):
    """Neither of the two journals is an output."""
    ended = outputs.run(
        *("--on-failure", "failed", "--state", outputs.path / "state"),
        command=("sh", "-c", "echo 1 > outputs/a; exit 3"),
    )
    assert (ended.code, failed(outputs)) == (3, ["failed/a"])


@pytest.mark.parametrize("how", ["skip", "failed"])
def test_a_save_in_place_that_is_killed_half_way_replaces_nothing(outputs, how):
    """137: a killed CMD failed, and the usual prefix keeps the last good checkpoint."""
    running = start(
        outputs,
        *("--on-failure", how),
        command=(sys.executable, "-c", SAVES_IN_PLACE),
        wait_for="model.bin",
        text="a" * 20 * MIB,
    )
    assert running.finish().code == 137
    assert outputs.there("model.bin") == "a" * 20 * MIB
    assert failed(outputs) == (["failed/model.bin"] if how == "failed" else [])


def test_a_cmd_that_was_not_started_has_failed(outputs):
    """127, and nothing is sent with ``skip``."""
    outputs.write("a")
    ended = outputs.run("--on-failure", "skip", command=("no-such-command",))
    assert (ended.code, outputs.names()) == (127, [])


def test_skip_waits_for_cmds_end_until_the_deadline(outputs):
    """While CMD may still fail, the end of the grace sends nothing as it is; killed, it has failed."""
    script = "trap '' TERM; echo 1 > outputs/early; until [ -e go ]; do sleep 0.05; done;"
    script += " echo 2 > outputs/x.tmp; while :; do sleep 0.1; done"
    running = start(outputs, "--on-failure", "skip", "--grace", "3", command=("sh", "-c", script))
    running.signal(signal.SIGTERM)
    ended = running.finish(seconds=20)
    assert (ended.code, outputs.names()) == (75, ["early"])
    assert "CMD has not ended" in ended.report["error"]["message"]


def test_the_grace_holds_for_the_failed_prefix_too(s3_bucket, program_over, proxy_to, tmp_path):
    """It ends with CMD's code before the kill, and says what kept it from sending."""
    proxy = proxy_to(s3_bucket.endpoint)
    program = program_over(s3_bucket._replace(endpoint=proxy.url))
    outputs = Outputs(program, s3_bucket, tmp_path / "outputs")
    proxy.on(lambda request: is_put(request) and "/failed/" in request.path, Stall(), times=None)
    running = start(
        outputs,
        *("--on-failure", "failed", "--grace", "3"),
        command=("sh", "-c", "echo 1 > outputs/early; exec sleep 600"),
    )
    running.signal(signal.SIGTERM)
    ended = running.finish(seconds=20)
    assert (ended.code, ended.event("run.sync_failed")["kind"]) == (143, "deadline")
    assert ended.report["failed"]["first"][0]["key"] == "failed/early"


@pytest.mark.parametrize(
    ("said", "code"), [("uplaod", 64), ("out", 64), ("failed/{pod}", 78), ("a//b", 78)]
)
def test_what_cannot_be_meant_is_said_before_cmd_runs(outputs, said, code):
    """Nothing half-done."""
    ended = outputs.run("--on-failure", said, command=("sh", "-c", "echo 1 > ran"))
    assert (ended.code, (outputs.program.directory / "ran").exists()) == (code, False)
    assert "--on-failure" in ended.report["error"]["message"]
