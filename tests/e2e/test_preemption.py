"""A node that is taken away: main's last checkpoint comes after the signal, or is cut half-way."""

import signal
import subprocess
import sys
import time

import pytest
from outputs_place import eventually

MIB = 1024 * 1024
CHECKPOINT_BYTES = 24 * MIB
WRITES_ON = f"""
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: None)
print("ready", flush=True)
signal.pause()
until = time.monotonic() + float(os.environ["FOR_SECONDS"])
with open("checkpoint.tmp", "wb") as file:
    for _ in range(24):
        file.write(b"c" * {MIB})
        file.flush()
        time.sleep(max(0.0, until - time.monotonic()) / 24)
os.rename("checkpoint.tmp", "checkpoint")
"""
SAVES_IN_PLACE = f"""
import sys, time
with open("model.bin", "r+b") as file:
    file.write(b"b" * {12 * MIB})
    file.flush()
    print("half", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def main_in():
    """Runs a Python script as main, in the outputs path, and waits for its first word."""
    started = []

    def start(outputs, script, **environ):
        main = subprocess.Popen(
            [sys.executable, "-c", script], cwd=outputs.path, stdout=subprocess.PIPE, env=environ
        )
        started.append(main)
        assert main.stdout.readline()
        return main

    yield start
    for main in started:
        main.kill()
        main.communicate()


@pytest.mark.parametrize("how", ["the grace", "its process", "native"])
def test_a_checkpoint_that_main_writes_after_the_signal_is_in_the_bucket(s3_outputs, main_in, how):
    """SIGTERM to both at once; main writes for some of the grace more, and ends."""
    main = main_in(s3_outputs, WRITES_ON, FOR_SECONDS="2")
    flags = {
        "the grace": ("--grace", "8"),
        "its process": ("--grace", "600", "--watch-process", main.pid),
        "native": ("--native", "--grace", "8"),
    }[how]
    running = s3_outputs.sidecar("--settle", "0.2", *flags)
    main.terminate()
    if how == "native":  # the kubelet tells it after main
        main.wait()
    running.signal(signal.SIGTERM)
    ended = running.finish(seconds=30)
    assert main.wait() == 0
    assert (ended.code, s3_outputs.place.contents("out/")) == (
        0,
        {"out/checkpoint": CHECKPOINT_BYTES},
    )


def test_a_save_in_place_that_is_cut_with_the_pod_replaces_nothing(s3_outputs, main_in):
    """Main and sidecar killed half-way: the bucket keeps the last good checkpoint, whole."""
    s3_outputs.write("model.bin", "a" * CHECKPOINT_BYTES)
    running = s3_outputs.sidecar("--settle", "0.2")
    s3_outputs.wait_for("model.bin", "a" * CHECKPOINT_BYTES)
    main = main_in(s3_outputs, SAVES_IN_PLACE)
    s3_outputs.write("beside")
    s3_outputs.wait_for("beside")  # the sidecar has had its time to be wrong
    running.kill()
    main.kill()
    assert s3_outputs.there("model.bin") == "a" * CHECKPOINT_BYTES


def test_a_save_in_place_that_the_grace_cuts_replaces_nothing(s3_outputs, main_in):
    """An ordinary sidecar that isn't told of main's end sends no half of a file that the bucket has whole."""
    s3_outputs.write("model.bin", "a" * CHECKPOINT_BYTES)
    running = s3_outputs.sidecar("--settle", "0.2", "--grace", "4")
    s3_outputs.wait_for("model.bin", "a" * CHECKPOINT_BYTES)
    main = main_in(s3_outputs, SAVES_IN_PLACE)
    running.signal(signal.SIGTERM)
    ended = running.finish(seconds=20)
    main.kill()
    assert s3_outputs.there("model.bin") == "a" * CHECKPOINT_BYTES
    assert (ended.code, ended.report["failed"]["first"][0]["key"]) == (75, "out/model.bin")
    assert s3_outputs.place.open_uploads() == []


def test_a_save_in_place_that_goes_on_in_the_grace_is_there_when_it_is_whole(s3_outputs, main_in):
    """It is sent at its close, as ever."""
    s3_outputs.write("model.bin", "a" * 1000)
    running = s3_outputs.sidecar("--settle", "0.2", "--grace", "8")
    s3_outputs.wait_for("model.bin", "a" * 1000)
    with (s3_outputs.path / "model.bin").open("r+") as file:
        file.write("b" * 500)
        file.flush()
        running.signal(signal.SIGTERM)
        running.wait_for_event("sidecar.stopping")
        began = time.monotonic()
        eventually(lambda: time.monotonic() - began > 1)
        file.write("b" * 500)
    ended = running.finish(seconds=20)
    assert (ended.code, s3_outputs.there("model.bin")) == (0, "b" * 1000)
