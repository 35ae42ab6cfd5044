"""``--watch-process``: the end of main's process ends the sidecar, when all of it is in the bucket."""

import shutil
import signal
import subprocess
import uuid

import pytest

SETTLE = ("--settle", "0.2")


@pytest.fixture
def main_of(tmp_path):
    """Starts a shell under a name of its own that writes ``late`` into the outputs when it is told."""
    started = []

    def start(outputs, name=None):
        name = name or f"m{uuid.uuid4().hex[:12]}"
        shell = tmp_path / name
        shutil.copy2(shutil.which("sh"), shell)
        script = "read line; echo late > late; echo tmp > last.tmp"
        started.append(
            subprocess.Popen([shell, "-c", script], cwd=outputs.path, stdin=subprocess.PIPE)
        )
        return started[-1], name

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("by", ["number", "name"])
def test_the_end_of_the_process_ends_it(outputs, main_of, by):
    """Everything that it wrote before is in the bucket, temporary names too."""
    main, name = main_of(outputs)
    running = outputs.sidecar(*SETTLE, "--watch-process", main.pid if by == "number" else name)
    outputs.write("early")
    outputs.wait_for("early")
    assert running.process.poll() is None
    main.communicate(b"go\n")
    ended = running.finish(seconds=20)
    assert (ended.code, outputs.names()) == (0, ["early", "last.tmp", "late"])
    assert ended.event("sidecar.process_ended")["pid"] == main.pid


def test_main_may_begin_after_the_sidecar(outputs, main_of):
    """A native sidecar is there before; the name is looked for until it is seen."""
    name = f"m{uuid.uuid4().hex[:12]}"
    running = outputs.sidecar(*SETTLE, "--watch-process", name)
    main, _ = main_of(outputs, name)
    running.wait_for_event("sidecar.process_watched")
    main.communicate(b"go\n")
    assert (running.finish(seconds=20).code, outputs.there("late")) == (0, "late\n")


def test_the_end_of_the_process_ends_the_grace_too(outputs, main_of):
    """After SIGTERM an ordinary sidecar needn't wait for the deadline."""
    main, name = main_of(outputs)
    running = outputs.sidecar(*SETTLE, "--grace", "600", "--watch-process", name)
    running.signal(signal.SIGTERM)
    running.wait_for_event("sidecar.stopping")
    main.communicate(b"go\n")
    assert (running.finish(seconds=20).code, outputs.there("late")) == (0, "late\n")


def test_a_process_that_ends_while_the_sidecar_starts_is_no_busy_loop(
    s3_bucket, program_over, proxy_to, tmp_path, main_of
):
    """Its end is kept until the store has answered."""
    from outputs_place import Outputs
    from servers.faults import Delay, is_listing

    proxy = proxy_to(s3_bucket.endpoint)
    proxy.on(is_listing, Delay(2.0))
    outputs = Outputs(
        program_over(s3_bucket._replace(endpoint=proxy.url)), s3_bucket, tmp_path / "outputs"
    )
    main, name = main_of(outputs)
    running = outputs.program.start("sidecar", *outputs.flags("--watch-process", name))
    proxy.wait_for(is_listing)
    main.communicate(b"go\n")
    assert (running.finish(seconds=20).code, outputs.there("late")) == (0, "late\n")


@pytest.mark.parametrize(
    ("said", "code", "hint"),
    [
        ("", 64, "--help"),
        ("0", 64, "--help"),
        ("/usr/bin/python", 64, "--help"),
        ("4194304", 78, "shareProcessNamespace"),
    ],
)
def test_what_cannot_be_watched_is_said_at_the_start(outputs, said, code, hint):
    """Not when the outputs are at stake."""
    ended = outputs.program.run("sidecar", *outputs.flags(f"--watch-process={said}"))
    assert (ended.code, hint in ended.report["error"]["hint"]) == (code, True)


def test_without_a_shared_namespace_it_says_so(outputs):
    """78: as PID 1 it sees only itself, and what the pod's spec lacks is named."""
    command = ["unshare", "--pid", "--fork", "--mount-proc"]
    ended = outputs.program.run(
        "sidecar", *outputs.flags("--watch-process", "train"), through=command
    )
    assert (ended.code, "shareProcessNamespace" in ended.report["error"]["hint"]) == (78, True)
